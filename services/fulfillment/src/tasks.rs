//! Background work that belongs to no call.

use std::time::Duration;

use ::store::{Db, Operation};
use kit::caller::Caller;
use kit::errors::Fault;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::model::aftersale::AftersaleLimits;
use crate::model::care::Rules;
use crate::ops::aftersale_time::{AnyDeadline, PassDeadlines};
use crate::ops::care::time::{AnyDue, FireTimers, ForgetWords};
use crate::ops::care::topic::{AnyUnheard, SpreadAnswers};
use crate::ops::returns::{AnyOverdue, ExpireReturns, ForgetNotes};
use crate::ops::sweep::{AnyLapsed, ForgetTombstones, LiftLapsed};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Waiting cancellations and notes are looked through once in so many turns: they are kept for weeks.
const TURNS_PER_FORGETTING: u32 = 1_000;

/// The most matters whose deadlines pass in one unit of work: each writes several rows.
const DEADLINES_MAX: i64 = 50;

/// Does what time does.
pub struct Time {
    db: Db,
    caller: Caller,
    interval: Duration,
    rows_max: u32,
    keep: Duration,
    notes_keep: Duration,
    aftersales: AftersaleLimits,
    care: Rules,
    words_keep: Duration,
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
            aftersales: config.aftersale_limits(),
            care: config.care.rules(),
            words_keep: DAY * config.care.words_keep_days,
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
        self.care(rows_max, drain).await?;
        if self.db.read(&self.caller, AnyDeadline).await? {
            self.deadlines(drain).await?;
        }
        if turn == 0 {
            let keep = self.keep;
            self.all(drain, || ForgetTombstones { keep, rows_max })
                .await?;
            let keep = self.notes_keep;
            self.all(drain, || ForgetNotes { keep, rows_max }).await?;
            let keep = self.words_keep;
            self.all(drain, || ForgetWords { keep, rows_max }).await?;
        }
        Ok(())
    }

    /// What time does to cases, and what topics have to say to them.
    async fn care(&self, rows_max: i64, drain: &CancellationToken) -> Result<(), Fault> {
        if self.db.read(&self.caller, AnyDue).await? {
            let rules = || self.care.clone();
            self.all(drain, || FireTimers {
                rows_max,
                rules: rules(),
            })
            .await?;
        }
        if self.db.read(&self.caller, AnyUnheard).await? {
            self.all(drain, || SpreadAnswers { rows_max }).await?;
        }
        Ok(())
    }

    async fn deadlines(&self, drain: &CancellationToken) -> Result<(), Fault> {
        let rows_max = i64::from(self.rows_max).min(DEADLINES_MAX);
        let full = usize::try_from(rows_max).unwrap_or(usize::MAX);
        while !drain.is_cancelled() {
            let limits = self.aftersales.clone();
            let passed = PassDeadlines { limits, rows_max };
            if self.db.execute(&self.caller, passed).await? < full {
                break;
            }
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
