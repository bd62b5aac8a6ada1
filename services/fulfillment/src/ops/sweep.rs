//! What time does: it lifts blocks, and it lets waiting cancellations be forgotten.

use std::time::Duration;

use kit::errors::Fault;
use store::{Operation, Tx};

use crate::events;
use crate::store::arrival::arrivals_forget;
use crate::store::fulfillment::{fulfillments_lapsed, fulfillments_lock, fulfillments_save};

/// Asks whether time has lifted a block that still stands.
pub struct AnyLapsed;

impl Operation for AnyLapsed {
    type Output = bool;

    fn name(&self) -> &'static str {
        "fulfillment.any_lapsed"
    }

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        let now = tx.now();
        Ok(!fulfillments_lapsed(tx, now, 1).await?.is_empty())
    }
}

/// Lifts the blocks that time has lifted, of so many fulfilments at most; the output is of how many. Run it
/// again until that is less. Any number of replicas may run it at once.
pub struct LiftLapsed {
    /// The most fulfilments in one unit of work.
    pub rows_max: i64,
}

impl Operation for LiftLapsed {
    type Output = usize;

    fn name(&self) -> &'static str {
        "fulfillment.lift_lapsed"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<usize, Fault> {
        let now = tx.now();
        let mut ids = fulfillments_lapsed(tx, now, self.rows_max).await?;
        ids.sort_unstable();
        // Somebody else may have lifted or shipped them before they were locked.
        let mut lifted: Vec<_> = fulfillments_lock(tx, &ids).await?.into_values().collect();
        lifted.retain_mut(|fulfillment| fulfillment.lift_lapsed(now));
        fulfillments_save(tx, &mut lifted).await?;
        for fulfillment in &lifted {
            tx.publish(events::fulfillment_changed(fulfillment));
            tx.audit(
                "fulfillment.lift_lapsed",
                fulfillment.id,
                fulfillment.state.word(),
            );
        }
        Ok(ids.len())
    }
}

/// Forgets cancellations whose order never came, of so many orders at most; the output is of how many.
pub struct ForgetTombstones {
    /// How long a cancellation waits.
    pub keep: Duration,
    /// The most orders in one unit of work.
    pub rows_max: i64,
}

impl Operation for ForgetTombstones {
    type Output = usize;

    fn name(&self) -> &'static str {
        "fulfillment.forget_tombstones"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<usize, Fault> {
        let before = tx.now().minus(self.keep);
        let forgotten = arrivals_forget(tx, before, self.rows_max).await?;
        for order in &forgotten {
            tx.audit(
                "fulfillment.cancel",
                order.as_str(),
                "forgotten: the order never arrived",
            );
        }
        Ok(forgotten.len())
    }
}
