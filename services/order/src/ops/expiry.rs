//! Holds that ran out, found in bounded pages and ended at the desk, like everything else that moves units.

use std::sync::Arc;
use std::time::Duration;

use ::store::{Db, Operation, Tx};
use contracts::id::OrderId;
use futures::future::join_all;
use kit::caller::Caller;
use kit::clock::Micros;
use kit::errors::Fault;
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use crate::config::Config;
use crate::model::command::{Answer, Command, Expire};
use crate::store::order::orders_overdue;

/// A page of orders whose hold ran out, longest ago first.
#[derive(Clone, Copy, Debug)]
struct Overdue {
    after: Option<(Micros, OrderId)>,
    orders_max: i64,
}

impl Operation for Overdue {
    type Output = Vec<(Micros, OrderId)>;

    fn name(&self) -> &'static str {
        "order.overdue"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        orders_overdue(tx, self.after.as_ref(), self.orders_max).await
    }
}

/// Ends holds that ran out. Several replicas may: the desk lets each order expire once.
pub struct Expiry {
    db: Db,
    desk: Desk,
    caller: Arc<Caller>,
    interval: Duration,
    orders_max: i64,
}

impl Expiry {
    /// On `db`, through `desk`, with the rhythm and the limits of `config`.
    pub fn new(db: Db, desk: Desk, config: &Config) -> Self {
        Expiry {
            db,
            desk,
            caller: Arc::new(Caller::system("expire-holds")),
            interval: config.sweep_interval(),
            orders_max: i64::try_from(config.sweep_orders_max)
                .unwrap_or(i64::MAX)
                .max(1),
        }
    }

    /// Goes on until `drain`.
    pub async fn run(self, drain: CancellationToken) {
        while !drain.is_cancelled() {
            if let Err(fault) = self.turn().await {
                tracing::warn!(error = %fault.chain(), "ending holds failed, the next turn tries again");
            }
            tokio::select! {
                biased;
                () = drain.cancelled() => {}
                () = tokio::time::sleep(self.interval) => {}
            }
        }
    }

    /// Ends all holds that ran out until now; answers how many there were. What cannot be ended now is left
    /// to the next turn.
    pub async fn turn(&self) -> Result<u64, Fault> {
        let mut expired = 0;
        let mut after = None;
        loop {
            let page = self
                .db
                .read(
                    &self.caller,
                    Overdue {
                        after,
                        orders_max: self.orders_max,
                    },
                )
                .await?;
            let whole = i64::try_from(page.len()).unwrap_or(i64::MAX) >= self.orders_max;
            after = page.last().copied();
            let expire = |(_, order_id): (Micros, OrderId)| async move {
                self.desk
                    .submit(&self.caller, Command::Expire(Expire { order_id }))
                    .await
            };
            for answer in join_all(page.into_iter().map(expire)).await {
                expired += u64::from(answer? == Answer::Expired);
            }
            if !whole {
                return Ok(expired);
            }
        }
    }
}
