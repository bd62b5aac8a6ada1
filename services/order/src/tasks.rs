//! Background work that belongs to no call.

use std::time::Duration;

use ::store::Db;
use kit::caller::Caller;
use kit::errors::Fault;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::ops::complete::{AnyToComplete, CompleteOrders};
use crate::ops::ledger::{AnyBacklog, CatchUpLedger};

/// Completes orders when their return window has ended.
pub struct Completion {
    db: Db,
    caller: Caller,
    interval: Duration,
    orders_max: i64,
}

impl Completion {
    /// On `db`, with the rhythm and the limits of `config`.
    pub fn new(db: Db, config: &Config) -> Self {
        Completion {
            db,
            caller: Caller::system("complete-orders"),
            interval: config.sweep_interval(),
            orders_max: i64::try_from(config.sweep_orders_max)
                .unwrap_or(i64::MAX)
                .max(1),
        }
    }

    /// Completes until `drain`.
    pub async fn run(self, drain: CancellationToken) {
        while !drain.is_cancelled() {
            if let Err(fault) = self.turn(&drain).await {
                tracing::warn!(error = %fault.chain(), "completing orders failed, the next turn tries again");
            }
            tokio::select! {
                biased;
                () = drain.cancelled() => {}
                () = tokio::time::sleep(self.interval) => {}
            }
        }
    }

    async fn turn(&self, drain: &CancellationToken) -> Result<(), Fault> {
        let orders_max = self.orders_max;
        // Nearly always there is nothing to do, and looking takes no writer.
        while !drain.is_cancelled() && self.db.read(&self.caller, AnyToComplete).await? {
            let complete = CompleteOrders { orders_max };
            if self.db.execute(&self.caller, complete).await? == 0 {
                // Another replica was faster.
                break;
            }
        }
        Ok(())
    }
}

/// Makes the ledger's entries of orders from before the ledger, until there are none left.
pub struct LedgerBacklog {
    db: Db,
    caller: Caller,
    interval: Duration,
    orders_max: i64,
}

impl LedgerBacklog {
    /// On `db`, with the rhythm and the limits of `config`.
    pub fn new(db: Db, config: &Config) -> Self {
        LedgerBacklog {
            db,
            caller: Caller::system("ledger-backlog"),
            interval: config.sweep_interval(),
            orders_max: i64::try_from(config.sweep_orders_max)
                .unwrap_or(i64::MAX)
                .max(1),
        }
    }

    /// Goes on until nothing is left or until `drain`; a pause after each page leaves the writer to others.
    pub async fn run(self, drain: CancellationToken) {
        while !drain.is_cancelled() {
            match self.turn().await {
                Ok(true) => {}
                Ok(false) => break,
                Err(fault) => {
                    tracing::warn!(error = %fault.chain(), "making up the ledger failed, the next turn tries again");
                }
            }
            tokio::select! {
                biased;
                () = drain.cancelled() => {}
                () = tokio::time::sleep(self.interval) => {}
            }
        }
        // A task that ends before the drain looks like one that died.
        drain.cancelled().await;
    }

    async fn turn(&self) -> Result<bool, Fault> {
        if !self.db.read(&self.caller, AnyBacklog).await? {
            return Ok(false);
        }
        let orders_max = self.orders_max;
        self.db
            .execute(&self.caller, CatchUpLedger { orders_max })
            .await?;
        Ok(true)
    }
}
