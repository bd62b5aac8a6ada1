//! Orders whose return window has ended.

use ::store::{Operation, Tx};
use kit::errors::Fault;

use crate::events::{self, OrderChange};
use crate::model::{Order, OrderState};
use crate::store::order::{orders_lock, placements_by_id};
use crate::store::order_progress::{orders_advance, orders_to_complete};

/// Completes orders whose return window has ended and that wait for no return, the longest ended first; gives how
/// many.
#[derive(Clone, Copy, Debug)]
pub struct CompleteOrders {
    /// The most orders in one transaction.
    pub orders_max: i64,
}

impl Operation for CompleteOrders {
    type Output = u64;

    fn name(&self) -> &'static str {
        "order.complete"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<u64, Fault> {
        let now = tx.now();
        let mut ids = orders_to_complete(tx, self.orders_max).await?;
        // Everybody takes orders in the order of their ids.
        ids.sort_unstable();
        let placements = placements_by_id(tx, &ids).await?;
        let mut orders = orders_lock(tx, placements).await?;
        // Under the locks it may look different: a return was asked for, another replica was faster.
        orders.retain(|order| {
            order.state == OrderState::Confirmed
                && order.returns_open == 0
                && order.complete_after.is_some_and(|end| end <= now)
        });
        let completed: Vec<(Order, i64)> = orders
            .into_iter()
            .map(|mut order| {
                let loaded = order.version;
                order.complete();
                (order, loaded)
            })
            .collect();
        let written: Vec<(&Order, i64)> = completed
            .iter()
            .map(|(order, loaded)| (order, *loaded))
            .collect();
        orders_advance(tx, &written).await?;
        for (order, _) in &completed {
            tx.publish(events::order_changed(OrderChange::Completed, order, now));
            tx.audit(self.name(), *order.order_id(), "done");
        }
        Ok(completed.len() as u64)
    }
}

/// Whether the return window of any order has ended.
#[derive(Clone, Copy, Debug)]
pub struct AnyToComplete;

impl Operation for AnyToComplete {
    type Output = bool;

    fn name(&self) -> &'static str {
        "order.any_to_complete"
    }

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        Ok(!orders_to_complete(tx, 1).await?.is_empty())
    }
}
