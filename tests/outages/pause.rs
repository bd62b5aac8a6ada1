//! The one place here that lets time pass: pauses between tries, as the retry rules ask for, and the random moments of
//! the kills. What is waited *for* is waited for with `testkit::eventually`.

use std::time::Duration;

/// Lets time pass, for a task.
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Lets time pass, for a thread.
pub fn pause_thread(time: Duration) {
    std::thread::sleep(time);
}
