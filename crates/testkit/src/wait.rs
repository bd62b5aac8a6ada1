//! Waiting for a state, never for a time.

use std::time::Duration;

use kit::clock::{Clock, SystemClock};

/// Between two looks; short beside anything that is waited for.
const PAUSE: Duration = Duration::from_millis(2);

/// Looks until `state` holds; false when it does not within `bound`.
pub fn eventually(bound: Duration, mut state: impl FnMut() -> bool) -> bool {
    let start = SystemClock.instant();
    loop {
        if state() {
            return true;
        }
        if SystemClock.instant().saturating_duration_since(start) > bound {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}

/// The same for a state that has to be asked for.
pub async fn eventually_async<F, S>(bound: Duration, mut state: F) -> bool
where
    F: FnMut() -> S,
    S: Future<Output = bool>,
{
    let start = SystemClock.instant();
    loop {
        if state().await {
            return true;
        }
        if SystemClock.instant().saturating_duration_since(start) > bound {
            return false;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
