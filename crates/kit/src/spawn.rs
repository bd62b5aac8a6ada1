//! The only way to start a task.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use tokio::runtime;
use tokio::sync::oneshot;
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

/// The end of what runs on a thread of its own: its output, or nothing when it panicked.
pub struct Threaded<T>(oneshot::Receiver<T>);

impl<T> Future for Threaded<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(context).map(Result::ok)
    }
}

/// Runs what everybody else waits for on a thread of its own, with a runtime of its own: on the shared one
/// its turn comes after that of hundreds of calls, and each answer of the database would wait as long. What
/// it starts by [`spawn`], and the sockets that it opens, stay on that thread and end with it.
///
/// When the system gives no thread, it runs among the others.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place that starts threads for tasks"
)]
pub fn spawn_thread<F>(name: &'static str, future: F) -> Threaded<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (end, ended) = oneshot::channel();
    let span = tracing::debug_span!("task", task = name);
    let work = async move {
        // Whoever started it need not wait for its end.
        let _ = end.send(future.await);
    }
    .instrument(span);
    let (give, take) = std::sync::mpsc::sync_channel(1);
    let started = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| {
            thread::Builder::new().name(name.to_owned()).spawn(move || {
                if let Ok(work) = take.recv() {
                    runtime.block_on(work);
                }
            })
        });
    match started {
        // The thread waits for this one thing, and the channel has room for it.
        Ok(_) => drop(give.send(work)),
        Err(error) => {
            tracing::warn!(%error, task = name, "no thread of its own; it runs among the others");
            tokio::spawn(work);
        }
    }
    Threaded(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_runs_on_a_thread_of_its_own_and_hands_its_output_back() {
        let here = thread::current().id();
        let inner = async {
            let there = thread::current().id();
            let child = spawn("child", async { thread::current().id() }).await;
            (there, child.ok())
        };
        let (there, child) = spawn_thread("apart", inner).await.expect("an output");
        assert_ne!(there, here);
        assert_eq!(child, Some(there), "what it starts stays there");
    }

    #[tokio::test]
    async fn a_panic_is_an_end_without_an_output() {
        let ended = spawn_thread("apart", async { panic!("on purpose") }).await;
        assert_eq!(ended, None::<()>);
    }
}
