//! Background work: housekeeping, rooms for times of slots that come near, and hand-overs when their time comes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::store::Db;
use contracts::id::ChannelId;
use kit::caller::Caller;
use kit::errors::Fault;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::ops::handover::{Direct, Due};
use crate::ops::materialise::{CatchUp, IsBehind, ReadActive};
use crate::ops::sweep::SweepLogs;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Forgets the logs of rooms that ended long ago, now and again, until `drain`.
pub async fn sweep_logs(db: Db, config: Arc<Config>, drain: CancellationToken) {
    let caller = Caller::system("room-sweep");
    let pause = Duration::from_secs(config.log_sweep_interval_s.max(1));
    let rows_max = i64::from(config.log_sweep_rows_max.max(1));
    loop {
        let sweep = SweepLogs {
            keep: DAY * config.log_keep_days,
            rows_max,
        };
        let more = match db.execute(&caller, sweep).await {
            Ok(gone) => i64::try_from(gone).is_ok_and(|gone| gone >= rows_max),
            Err(fault) => {
                tracing::warn!(error = %fault.chain(), "old logs of rooms were not forgotten, the next turn tries again");
                false
            }
        };
        if drain.is_cancelled() {
            return;
        }
        if !more
            && drain
                .run_until_cancelled(tokio::time::sleep(pause))
                .await
                .is_none()
        {
            return;
        }
    }
}

/// Pauses, unless `drain` comes first; false when it did.
async fn pause(drain: &CancellationToken, wait: Duration) -> bool {
    let slept = drain.run_until_cancelled(tokio::time::sleep(wait)).await;
    slept.is_some()
}

/// Makes rooms of times of slots that come near, until `drain`.
pub async fn programme(db: Db, config: Arc<Config>, drain: CancellationToken) {
    let caller = Caller::system("room-programme");
    let wait = Duration::from_secs(config.programme_interval_s.max(1));
    loop {
        if let Err(fault) = catch_up(&db, &caller, &config).await {
            tracing::warn!(error = %fault.chain(), "times of slots did not become rooms, the next turn tries again");
        }
        if !pause(&drain, wait).await {
            return;
        }
    }
}

/// One look at all channels. It locks the programme only where there is something to do.
async fn catch_up(db: &Db, caller: &Caller, config: &Config) -> Result<(), Fault> {
    let horizons = config.horizons();
    let mut after = String::new();
    loop {
        let page = ReadActive {
            after: after.clone(),
            limit: CHANNELS_PAGE,
        };
        let channels = db.read(caller, page).await?;
        let Some(last) = channels.last() else {
            return Ok(());
        };
        after = last.to_string();
        for channel_id in channels {
            let look = IsBehind {
                channel_id,
                horizons,
            };
            if let Some(slots) = db.read(caller, look).await? {
                let catch_up = CatchUp {
                    channel_id,
                    slots,
                    horizons,
                };
                db.execute(caller, catch_up).await?;
            }
        }
    }
}

const CHANNELS_PAGE: i64 = 100;
/// How long a channel whose next room could not begin is left alone.
const PATIENCE: Duration = Duration::from_secs(5);

/// Hands channels over to their next room when its time comes, until `drain`. What is due is read from the tables each
/// time, so that nothing is lost with this process and nothing is done twice.
pub async fn director(db: Db, config: Arc<Config>, drain: CancellationToken) {
    let caller = Caller::system("room-director");
    let wait = Duration::from_millis(config.director_poll_ms.max(1));
    let overtime = Duration::from_secs(config.overtime_max_s);
    let limit = i64::from(config.director_channels_max.max(1));
    let mut refused: HashMap<ChannelId, Instant> = HashMap::new();
    loop {
        let due = match db.read(&caller, Due { overtime, limit }).await {
            Ok(due) => due,
            Err(fault) => {
                tracing::warn!(error = %fault.chain(), "cannot see which channels are due, trying again");
                Vec::new()
            }
        };
        refused.retain(|_, since| since.elapsed() < PATIENCE);
        for channel_id in due {
            if refused.contains_key(&channel_id) {
                continue;
            }
            let direct = Direct {
                channel_id,
                overtime,
            };
            if let Err(fault) = db.execute(&caller, direct).await {
                tracing::warn!(%channel_id, error = %fault.chain(), "a channel's next room could not begin; what is on air goes on");
                refused.insert(channel_id, Instant::now());
            }
        }
        if !pause(&drain, wait).await {
            return;
        }
    }
}
