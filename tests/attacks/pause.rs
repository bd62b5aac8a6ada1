//! The one place where the long run waits: while an attack gets under way, and before a refused attacker tries again.

use std::time::Duration;

/// Lets so much time pass.
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
