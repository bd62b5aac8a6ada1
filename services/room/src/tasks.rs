//! Background work that is only housekeeping.

use std::sync::Arc;
use std::time::Duration;

use ::store::Db;
use kit::caller::Caller;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
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
