//! What time does to cases.

use std::time::Duration;

use kit::errors::Fault;
use store::{Operation, Tx};

use super::keep;
use crate::model::care::Rules;
use crate::store::care::case::cases_lock;
use crate::store::care::list::cases_due;
use crate::store::care::talk::words_forget;

/// Asks whether a timer is due.
pub struct AnyDue;

impl Operation for AnyDue {
    type Output = bool;

    fn name(&self) -> &'static str {
        "case.any_due"
    }

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        let now = tx.now();
        Ok(!cases_due(tx, now, 1).await?.is_empty())
    }
}

/// Fires the timers that are due, of so many at most; the output is how many were. Run it again until that is
/// less. Any number of replicas may run it at once: a timer that fired is gone in the same transaction.
pub struct FireTimers {
    /// The most timers in one unit of work.
    pub rows_max: i64,
    /// What steps obey.
    pub rules: Rules,
}

impl Operation for FireTimers {
    type Output = usize;

    fn name(&self) -> &'static str {
        "case.fire"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<usize, Fault> {
        let now = tx.now();
        let due = cases_due(tx, now, self.rows_max).await?;
        let count = due.len();
        let mut ids = due;
        ids.sort_unstable();
        ids.dedup();
        for mut case in cases_lock(tx, &ids).await?.into_values() {
            // Somebody may have fired or taken them away before the case was locked.
            if case.fire(&self.rules, now) {
                keep(tx, &mut case, None).await?;
            }
        }
        Ok(count)
    }
}

/// Forgets what was said in cases that were closed long ago, of so many at most; the output is of how many.
pub struct ForgetWords {
    /// How long words are kept after the end.
    pub keep: Duration,
    /// The most cases in one unit of work.
    pub rows_max: i64,
}

impl Operation for ForgetWords {
    type Output = usize;

    fn name(&self) -> &'static str {
        "case.forget_words"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<usize, Fault> {
        let before = tx.now().minus(self.keep);
        let forgotten = words_forget(tx, before, self.rows_max).await?;
        for id in &forgotten {
            tx.audit(self.name(), id.as_str(), "forgotten: it closed long ago");
        }
        Ok(forgotten.len())
    }
}
