//! Forgetting what is older than promised.

use std::time::Duration;

use kit::caller::Caller;
use kit::clock::Micros;
use kit::errors::Fault;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::head::SERVICE;
use crate::idempotency::SweepKeys;
use crate::{Db, Operation, Tx, sql};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long things are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SweepConfig {
    /// Days that feed entries are kept. Whoever is away longer bootstraps from the lists.
    pub feed_keep_days: u32,
    /// Days that idempotency keys are remembered.
    pub keys_keep_days: u32,
    /// The most rows taken away in one unit of work.
    pub sweep_rows_max: u32,
    /// Seconds between sweeps.
    pub sweep_interval_s: u64,
}

impl Default for SweepConfig {
    fn default() -> Self {
        SweepConfig {
            feed_keep_days: 30,
            keys_keep_days: 7,
            sweep_rows_max: 1_000,
            sweep_interval_s: 600,
        }
    }
}

/// Takes away entries older than `keep`, the oldest first and at most `rows_max`; the output is how many went.
/// Positions are never given again.
pub struct SweepFeed {
    /// How long an entry is kept.
    pub keep: Duration,
    /// The most rows in one unit of work.
    pub rows_max: i64,
}

impl Operation for SweepFeed {
    type Output = u64;

    fn name(&self) -> &'static str {
        "feed.sweep"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<u64, Fault> {
        let before = tx.now().minus(self.keep);
        let (floor,) = sql!(
            tx,
            one(i64,),
            "SELECT floor FROM feed_head WHERE scope = $1",
            SERVICE
        )?;
        let oldest = sql!(
            tx,
            all(i64, i64),
            "SELECT position, commit_time FROM feed WHERE position > $1 ORDER BY position LIMIT $2",
            floor,
            self.rows_max
        )?;
        // Times need not rise with positions; what goes has to be one stretch all the same.
        let Some(&(last, _)) = oldest
            .iter()
            .take_while(|(_, time)| Micros(*time) < before)
            .last()
        else {
            return Ok(0);
        };
        let gone = sql!(
            tx,
            execute,
            "DELETE FROM feed WHERE position > $1 AND position <= $2",
            floor,
            last
        )?;
        sql!(
            tx,
            execute,
            "UPDATE feed_head SET floor = $1 WHERE scope = $2 AND floor < $1",
            last,
            SERVICE
        )?;
        Ok(gone)
    }
}

/// Begins a new life of the feed: every cursor handed out before expires, so that consumers read the lists
/// again. For after a restore from a backup, when positions are about to be given a second time.
pub struct NewEpoch;

impl Operation for NewEpoch {
    type Output = ();

    fn name(&self) -> &'static str {
        "feed.new_epoch"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        let epoch = format!("{:032x}", tx.ids().next());
        sql!(
            tx,
            execute,
            "UPDATE feed_epoch SET epoch = $1 WHERE singleton = 1",
            epoch
        )?;
        Ok(())
    }
}

/// Background work that sweeps feed and idempotency keys.
pub struct Sweeper {
    db: Db,
    config: SweepConfig,
}

impl Sweeper {
    /// Sweeps `db`.
    pub fn new(db: Db, config: SweepConfig) -> Self {
        Sweeper { db, config }
    }

    /// Sweeps now and again until `drain`.
    pub async fn run(self, drain: CancellationToken) {
        let caller = Caller::system("sweeper");
        let pause = Duration::from_secs(self.config.sweep_interval_s.max(1));
        loop {
            if let Err(fault) = self.sweep(&caller, &drain).await {
                tracing::warn!(error = %fault.chain(), "sweeping failed, the next turn tries again");
            }
            tokio::select! {
                biased;
                () = drain.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Takes away everything that is too old, in bounded units. What stops one of the two sweeps does not
    /// stop the other.
    pub async fn sweep(&self, caller: &Caller, drain: &CancellationToken) -> Result<(), Fault> {
        let rows_max = i64::from(self.config.sweep_rows_max.max(1));
        let feed = || SweepFeed {
            keep: DAY * self.config.feed_keep_days,
            rows_max,
        };
        let keys = || SweepKeys {
            keep: DAY * self.config.keys_keep_days,
            rows_max,
        };
        let feed = self.until_done(caller, drain, feed).await;
        let keys = self.until_done(caller, drain, keys).await;
        if let (Err(fault), Err(_)) = (&keys, &feed) {
            // Only one of them can be the answer.
            tracing::warn!(error = %fault.chain(), "sweeping idempotency keys failed as well");
        }
        feed.and(keys)
    }

    async fn until_done<O: Operation<Output = u64>>(
        &self,
        caller: &Caller,
        drain: &CancellationToken,
        unit: impl Fn() -> O,
    ) -> Result<(), Fault> {
        let full = u64::from(self.config.sweep_rows_max.max(1));
        while !drain.is_cancelled() && self.db.execute(caller, unit()).await? >= full {}
        Ok(())
    }
}
