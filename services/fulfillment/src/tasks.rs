//! Background work that belongs to no call.

use std::time::Duration;

use ::store::{Db, Operation};
use kit::caller::Caller;
use kit::errors::Fault;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::ops::returns::{AnyOverdue, ExpireReturns, ForgetNotes};
use crate::ops::sweep::{AnyLapsed, ForgetTombstones, LiftLapsed};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Waiting cancellations and notes are looked through once in so many turns: they are kept for weeks.
const TURNS_PER_FORGETTING: u32 = 1_000;

/// Does what time does.
pub struct Time {
    db: Db,
    caller: Caller,
    interval: Duration,
    rows_max: u32,
    keep: Duration,
    notes_keep: Duration,
}

impl Time {
    /// On `db`, with the rhythm and the limits of `config`.
    pub fn new(db: Db, config: &Config) -> Self {
        Time {
            db,
            caller: Caller::system("time"),
            interval: Duration::from_millis(config.lift_interval_ms.max(1)),
            rows_max: config.lift_rows_max.max(1),
            keep: DAY * config.tombstone_keep_days,
            notes_keep: DAY * config.return_note_keep_days,
        }
    }

    /// Lifts, ends and forgets until `drain`.
    pub async fn run(self, drain: CancellationToken) {
        let mut turn = 0;
        while !drain.is_cancelled() {
            if let Err(fault) = self.turn(turn, &drain).await {
                tracing::warn!(error = %fault.chain(), "what time does failed, the next turn tries again");
            }
            turn = (turn + 1) % TURNS_PER_FORGETTING;
            tokio::select! {
                biased;
                () = drain.cancelled() => {}
                () = tokio::time::sleep(self.interval) => {}
            }
        }
    }

    async fn turn(&self, turn: u32, drain: &CancellationToken) -> Result<(), Fault> {
        let rows_max = i64::from(self.rows_max);
        // Nearly always there is nothing to do, and looking takes no writer.
        if self.db.read(&self.caller, AnyLapsed).await? {
            self.all(drain, || LiftLapsed { rows_max }).await?;
        }
        if self.db.read(&self.caller, AnyOverdue).await? {
            self.all(drain, || ExpireReturns { rows_max }).await?;
        }
        if turn == 0 {
            let keep = self.keep;
            self.all(drain, || ForgetTombstones { keep, rows_max })
                .await?;
            let keep = self.notes_keep;
            self.all(drain, || ForgetNotes { keep, rows_max }).await?;
        }
        Ok(())
    }

    /// Runs an operation again as long as it finds as many rows as it takes at most.
    async fn all<O: Operation<Output = usize>>(
        &self,
        drain: &CancellationToken,
        operation: impl Fn() -> O,
    ) -> Result<(), Fault> {
        let full = self.rows_max as usize;
        while !drain.is_cancelled() && self.db.execute(&self.caller, operation()).await? >= full {}
        Ok(())
    }
}
