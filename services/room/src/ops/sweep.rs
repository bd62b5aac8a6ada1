//! Forgetting what nobody can go on from any more.

use std::time::Duration;

use ::store::{Operation, Tx};
use kit::errors::Fault;

use crate::store::counter::counter_writers_forget;
use crate::store::log::events_forget;

/// Forgets the logs of rooms that ended long ago, and processes that are gone; the output is how many events went.
pub struct SweepLogs {
    /// How long they are kept.
    pub keep: Duration,
    /// The most events in one unit of work.
    pub rows_max: i64,
}

impl Operation for SweepLogs {
    type Output = u64;

    fn name(&self) -> &'static str {
        "room.sweep"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<u64, Fault> {
        let before = tx.now().minus(self.keep);
        counter_writers_forget(tx, before).await?;
        events_forget(tx, before, self.rows_max).await
    }
}
