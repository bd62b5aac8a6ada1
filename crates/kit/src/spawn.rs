//! The only way to start a task.

use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::scope::Scope;

/// Starts a task that carries the tracing span and the [`Scope`] of its starter. Dropping the handle
/// does not stop it; long-lived work belongs to [`crate::lifecycle`], which waits for it.
#[allow(clippy::disallowed_methods, reason = "the one place that starts tasks")]
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let span = tracing::debug_span!("task", task = name);
    match Scope::shared() {
        Some(scope) => tokio::spawn(scope.run_shared(future).instrument(span)),
        None => tokio::spawn(future.instrument(span)),
    }
}
