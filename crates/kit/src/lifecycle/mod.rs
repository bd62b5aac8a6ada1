//! How a process lives and ends: background work, readiness, signals and the drain.
//!
//! ```text
//! running ── signal, failed task, request ──▶ not ready ──drain_delay_s──▶ stop accepting ──▶ end streams
//!                                             ──▶ finish tasks ──▶ flush telemetry ──▶ report
//! ```
//!
//! All of the drain lies under one deadline. A second signal ends it at once. A process does:
//!
//! ```text
//! let telemetry = telemetry::init(&config.telemetry, name)?;
//! let life = Lifecycle::with_ready(config.ready);
//! life.handle_signals()?;
//! let admin = Admin::bind(&config.admin).await?.serve(state)?;
//! …                                    // assemble services, life.adopt(parts), serve
//! life.wait_for_shutdown().await;
//! let report = life.drain_with(&config.drain, |left| telemetry.flush(left)).await;
//! drop(admin);
//! ExitCode::from(report.exit_code())
//! ```
//!
//! **Background work that ends fails the process.** A task started with [`Lifecycle::spawn`] is meant to
//! run until the drain. When it panics, returns an error or just returns before that, the process logs it,
//! drains and exits non-zero, and whatever runs it (Kubernetes, systemd) starts it again from a known
//! state. It is not restarted inside: a task that must survive an error handles that error with a bounded
//! backoff of its own, and what gets past it is a defect that nobody should have to find in a log.

mod drain;
mod ready;
mod signals;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

pub use drain::{DrainConfig, DrainReport, Unfinished};
pub use ready::{CheckResult, Readiness, ReadyConfig};
pub use signals::Signal;

use crate::errors::BoxError;
use crate::parts::{Parts, ReadyCheck, Task};

/// Why the process ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShutdownCause {
    /// It was told to by the operating system.
    Signal(Signal),
    /// It was told to from inside: a demo that has ended, a test.
    Requested,
    /// Background work ended before its time.
    TaskFailed {
        /// The task.
        task: &'static str,
        /// What it died of.
        reason: String,
    },
}

impl fmt::Display for ShutdownCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShutdownCause::Signal(signal) => write!(f, "signal {signal}"),
            ShutdownCause::Requested => f.write_str("requested"),
            ShutdownCause::TaskFailed { task, reason } => {
                write!(f, "background task {task} {reason}")
            }
        }
    }
}

/// What background work may return.
pub trait Outcome: Send + 'static {
    /// The error in it, if there is one.
    fn error(self) -> Option<BoxError>;
}

impl Outcome for () {
    fn error(self) -> Option<BoxError> {
        None
    }
}

impl<E: Into<BoxError> + Send + 'static> Outcome for Result<(), E> {
    fn error(self) -> Option<BoxError> {
        self.err().map(Into::into)
    }
}

/// The life of one process, or of one test. Cheap to clone; all clones are the same life.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shutdown: CancellationToken,
    draining: CancellationToken,
    stop_accepting: CancellationToken,
    end: CancellationToken,
    immediate: CancellationToken,
    cause: Mutex<Option<ShutdownCause>>,
    acceptors: TaskTracker,
    tasks: TaskTracker,
    running: Mutex<BTreeMap<&'static str, usize>>,
    checks: ready::Checks,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifecycle {
    /// A life that has just begun, with the default limits on readiness checks.
    pub fn new() -> Self {
        Self::with_ready(ReadyConfig::default())
    }

    /// A life that has just begun.
    pub fn with_ready(config: ReadyConfig) -> Self {
        Lifecycle {
            inner: Arc::new(Inner {
                shutdown: CancellationToken::new(),
                draining: CancellationToken::new(),
                stop_accepting: CancellationToken::new(),
                end: CancellationToken::new(),
                immediate: CancellationToken::new(),
                cause: Mutex::new(None),
                acceptors: TaskTracker::new(),
                tasks: TaskTracker::new(),
                running: Mutex::new(BTreeMap::new()),
                checks: ready::Checks::new(config),
            }),
        }
    }

    /// Cancelled when streams and background work are to end: they hand out their resume token or commit
    /// what they hold, and return.
    pub fn token(&self) -> CancellationToken {
        self.inner.end.clone()
    }

    /// Cancelled when listeners are to stop accepting; always before [`Lifecycle::token`].
    pub fn stop_accepting(&self) -> CancellationToken {
        self.inner.stop_accepting.clone()
    }

    /// Cancelled as soon as the process is no longer ready; the first thing a drain does.
    pub fn draining(&self) -> CancellationToken {
        self.inner.draining.clone()
    }

    /// Whether the drain has begun.
    pub fn is_draining(&self) -> bool {
        self.inner.draining.is_cancelled()
    }

    /// Held by an accept loop while it accepts. Streams end only after every loop has let go, so that no
    /// connection comes in behind them.
    pub fn acceptor(&self) -> AcceptorGuard {
        AcceptorGuard {
            _token: self.inner.acceptors.token(),
        }
    }

    /// Starts background work that runs until [`Lifecycle::token`] is cancelled. Ending earlier, in
    /// whatever way, fails the process; see the module's own words.
    pub fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future + Send + 'static,
        F::Output: Outcome,
    {
        let guard = self.work(name);
        let watched = self.watched(name, self.draining(), future);
        drop(crate::spawn(name, async move {
            watched.await;
            drop(guard);
        }));
    }

    /// Starts work that outlives the drain and runs until `stop`, such as the admin port. The drain does
    /// not wait for it. Ending before `stop` fails the process.
    pub fn spawn_until<F>(&self, name: &'static str, stop: CancellationToken, future: F)
    where
        F: Future + Send + 'static,
        F::Output: Outcome,
    {
        drop(crate::spawn(name, self.watched(name, stop, future)));
    }

    /// Starts finite work, such as one connection, that the drain waits for. It may end whenever it likes.
    pub fn track<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let guard = self.work(name);
        crate::spawn(name, async move {
            let output = future.await;
            drop(guard);
            output
        })
    }

    /// Counts as unfinished work of this name until dropped; for work that runs on somebody else's task.
    pub fn work(&self, name: &'static str) -> WorkGuard {
        *lock(&self.inner.running).entry(name).or_default() += 1;
        WorkGuard {
            name,
            life: self.inner.clone(),
            _token: self.inner.tasks.token(),
        }
    }

    /// Takes over what an assembled service brings: its background work and its conditions of being
    /// ready. The service's name becomes the scope of its checks.
    pub fn adopt(&self, parts: &mut Parts) {
        for check in std::mem::take(&mut parts.ready) {
            self.inner.checks.add(parts.name, check);
        }
        for Task { name, future } in std::mem::take(&mut parts.tasks) {
            self.spawn(name, future);
        }
    }

    /// Adds a condition of being ready. It is asked under a timeout and its answer is kept for a moment,
    /// so a busy prober costs the database nothing.
    pub fn add_check<F, R>(&self, name: &'static str, check: F)
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let check = move || -> BoxFuture<'static, Result<(), BoxError>> { Box::pin(check()) };
        let check = Arc::new(check);
        self.inner.checks.add("", ReadyCheck { name, check });
    }

    /// Asks every check. A draining process is not ready, whatever they say.
    pub async fn readiness(&self) -> Readiness {
        self.inner.checks.ask(None, self.is_draining()).await
    }

    /// Asks the checks of one service, and those that belong to none.
    pub async fn readiness_of(&self, service: &str) -> Readiness {
        self.inner
            .checks
            .ask(Some(service), self.is_draining())
            .await
    }

    /// Whether every check passes and no drain has begun.
    pub async fn is_ready(&self) -> bool {
        self.readiness().await.is_ready()
    }

    /// Asks the process to end. The first cause is the one that is kept.
    pub fn request_shutdown(&self, cause: ShutdownCause) {
        lock(&self.inner.cause).get_or_insert(cause);
        self.inner.shutdown.cancel();
    }

    /// Waits until somebody asks the process to end.
    pub async fn wait_for_shutdown(&self) -> ShutdownCause {
        self.inner.shutdown.cancelled().await;
        self.cause().unwrap_or(ShutdownCause::Requested)
    }

    /// Why the process ends, if it does.
    pub fn cause(&self) -> Option<ShutdownCause> {
        lock(&self.inner.cause).clone()
    }

    /// Ends the drain at once, with whatever is unfinished; what a second signal does.
    pub fn end_now(&self) {
        self.inner.immediate.cancel();
    }

    /// Runs background work and fails the process when it ends before `end` is cancelled.
    fn watched<F>(
        &self,
        name: &'static str,
        end: CancellationToken,
        future: F,
    ) -> impl Future<Output = ()> + Send + use<F>
    where
        F: Future + Send + 'static,
        F::Output: Outcome,
    {
        let life = self.clone();
        async move {
            let reason = match AssertUnwindSafe(future).catch_unwind().await {
                Ok(output) => output
                    .error()
                    .map(|e| format!("failed: {}", with_sources(&*e))),
                Err(panic) => Some(format!("panicked: {}", panic_text(&*panic))),
            };
            match (reason, end.is_cancelled()) {
                (None, true) => tracing::debug!(task = name, "background task ended"),
                (Some(reason), true) => {
                    tracing::warn!(task = name, reason, "background task ended badly")
                }
                (reason, false) => {
                    let reason =
                        reason.unwrap_or_else(|| "returned before it was told to".to_owned());
                    tracing::error!(
                        task = name,
                        reason,
                        "background task ended, the process cannot go on"
                    );
                    life.request_shutdown(ShutdownCause::TaskFailed { task: name, reason });
                }
            }
        }
    }
}

/// Says that an accept loop still accepts.
#[derive(Debug)]
pub struct AcceptorGuard {
    _token: TaskTrackerToken,
}

/// Says that a piece of work is unfinished.
#[derive(Debug)]
pub struct WorkGuard {
    name: &'static str,
    life: Arc<Inner>,
    // Given back after the name is: whoever waits for the tracker sees the names gone.
    _token: TaskTrackerToken,
}

impl Drop for WorkGuard {
    fn drop(&mut self) {
        let mut running = lock(&self.life.running);
        if let Some(count) = running.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                running.remove(self.name);
            }
        }
    }
}

/// The data behind these locks is whole between any two statements, so a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("with something that is no text")
}

fn with_sources(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
