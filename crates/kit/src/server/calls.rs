//! What a connection and the calls on it know of each other.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::AtomicWaker;
use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::ServerConfig;
use super::seats::Standing;

/// A connection, in the extensions of each request that came over it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    streams_end: CancellationToken,
    standing: Standing,
    proven: AtomicBool,
    /// Calls since it began.
    begun: AtomicU64,
    /// Calls under way that need no credential.
    unasked: AtomicUsize,
    /// Time is told in halves here: the number of the current one, 0 or 1.
    half: AtomicU8,
    under_way: Mutex<UnderWay>,
}

#[derive(Default)]
struct UnderWay {
    calls: Vec<Option<Arc<Cut>>>,
    free: Vec<usize>,
}

impl Connection {
    pub(super) fn new(streams_end: CancellationToken, standing: Standing) -> Self {
        Connection {
            inner: Arc::new(Inner {
                streams_end,
                standing,
                proven: AtomicBool::new(false),
                begun: AtomicU64::new(0),
                unasked: AtomicUsize::new(0),
                half: AtomicU8::new(0),
                under_way: Mutex::default(),
            }),
        }
    }

    /// Cancelled when the connection is about to close, so that streams on it have to end.
    pub(crate) fn streams_end(&self) -> CancellationToken {
        self.inner.streams_end.clone()
    }

    /// A call on it had a good credential.
    pub(crate) fn proved(&self) {
        let proven = &self.inner.proven;
        if !proven.load(Ordering::Relaxed) && !proven.swap(true, Ordering::Relaxed) {
            self.inner.standing.proved();
        }
    }

    /// Counts the call of the running task, until the guard is dropped.
    pub(crate) fn begin(&self) -> OpenCall {
        let cut = CUT.try_with(Arc::clone).unwrap_or_default();
        self.inner.begun.fetch_add(1, Ordering::Relaxed);
        let place = self.inner.lock().add(cut.clone());
        OpenCall {
            connection: self.clone(),
            place,
            cut,
            unasked: false,
            room: None,
        }
    }

    /// Ends answers that their client does not take, and returns when nobody has used the connection for long.
    pub(super) async fn watch(&self, config: &ServerConfig, stalled_answers: impl Fn(usize)) {
        let seconds = |s: u64| (s > 0).then(|| Duration::from_secs(s));
        let first_call = seconds(config.first_call_timeout_s);
        let idle = seconds(config.idle_timeout_s);
        let stalled = seconds(config.stalled_answer_timeout_s);
        let Some(shortest) = [first_call, idle, stalled].into_iter().flatten().min() else {
            return std::future::pending().await;
        };
        let step = shortest / 2;
        let (mut quiet, mut half, mut seen) = (Duration::ZERO, Duration::ZERO, 0);
        loop {
            tokio::time::sleep(step).await;
            half += step;
            if stalled.is_some_and(|stalled| half >= stalled) {
                half = Duration::ZERO;
                match self.cut_stalled() {
                    0 => {}
                    count => stalled_answers(count),
                }
            }
            let begun = self.inner.begun.load(Ordering::Relaxed);
            let is_quiet = begun == seen && self.inner.lock().is_empty();
            quiet = if is_quiet {
                quiet + step
            } else {
                Duration::ZERO
            };
            seen = begun;
            let proven = self.inner.proven.load(Ordering::Relaxed);
            let patience = if proven { idle } else { first_call };
            if patience.is_some_and(|patience| quiet >= patience) {
                return;
            }
        }
    }

    /// Begins the next half of time, and ends the answers that waited for all of the last one.
    fn cut_stalled(&self) -> usize {
        let next = 1 - self.inner.half.load(Ordering::Relaxed).min(1);
        let under_way = self.inner.lock();
        // What has the number of the half that begins now has waited since the half before the last.
        let has_waited = |call: &&Arc<Cut>| call.waiting.load(Ordering::Relaxed) == next;
        let mut stalled = 0;
        for call in under_way.calls.iter().flatten().filter(has_waited) {
            call.now();
            stalled += 1;
        }
        drop(under_way);
        self.inner.half.store(next, Ordering::Relaxed);
        stalled
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    fn add(&mut self, call: Arc<Cut>) -> usize {
        let place = self.free.pop().unwrap_or(self.calls.len());
        match self.calls.get_mut(place) {
            Some(free) => *free = Some(call),
            None => self.calls.push(Some(call)),
        }
        place
    }

    fn remove(&mut self, place: usize) {
        if let Some(call) = self.calls.get_mut(place) {
            *call = None;
            self.free.push(place);
        }
    }

    fn is_empty(&self) -> bool {
        self.free.len() == self.calls.len()
    }
}

/// A call under way on a connection.
pub(crate) struct OpenCall {
    connection: Connection,
    place: usize,
    cut: Arc<Cut>,
    unasked: bool,
    room: Option<OwnedSemaphorePermit>,
}

impl OpenCall {
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Counts it among those that need no credential; whether that is still within the limit.
    pub(crate) fn count_unasked(&mut self, most: usize) -> bool {
        self.unasked = true;
        self.connection
            .inner
            .unasked
            .fetch_add(1, Ordering::Relaxed)
            < most
    }

    /// Keeps room that is bounded over all connections until the call ends.
    pub(crate) fn keep(&mut self, room: OwnedSemaphorePermit) {
        self.room = Some(room);
    }

    /// From now on the client has to make room before the answer goes on.
    pub(crate) fn wait(&self) {
        let half = self.connection.inner.half.load(Ordering::Relaxed);
        let _ = self.cut.waiting.compare_exchange(
            NOT_WAITING,
            half,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    /// The client made room.
    pub(crate) fn go_on(&self) {
        self.cut.waiting.store(NOT_WAITING, Ordering::Relaxed);
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.connection.inner.lock().remove(self.place);
        if self.unasked {
            self.connection
                .inner
                .unasked
                .fetch_sub(1, Ordering::Relaxed);
        }
        self.room.take();
    }
}

tokio::task_local! {
    static CUT: Arc<Cut>;
}

const NOT_WAITING: u8 = 2;

/// Ends the task of a call from outside. An answer that waits for its client is not asked for anything, so it could
/// not end itself.
struct Cut {
    is_cut: AtomicBool,
    /// The half of time in which the client was asked to make room.
    waiting: AtomicU8,
    task: AtomicWaker,
}

impl Default for Cut {
    fn default() -> Self {
        Cut {
            is_cut: AtomicBool::new(false),
            waiting: AtomicU8::new(NOT_WAITING),
            task: AtomicWaker::new(),
        }
    }
}

impl Cut {
    fn now(&self) {
        self.is_cut.store(true, Ordering::Release);
        self.task.wake();
    }
}

/// Runs each call of a connection in a task that can be ended.
#[derive(Clone)]
pub(super) struct CallTasks(pub(super) TokioExecutor);

impl<F> Executor<F> for CallTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, call: F) {
        let cut = Arc::new(Cut::default());
        let call = CUT.scope(cut.clone(), call);
        self.0.execute(Cuttable {
            cut,
            call: Box::pin(call),
        });
    }
}

struct Cuttable<F> {
    cut: Arc<Cut>,
    call: Pin<Box<F>>,
}

impl<F: Future<Output = ()>> Future for Cuttable<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.cut.task.register(cx.waker());
        if self.cut.is_cut.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        self.call.as_mut().poll(cx)
    }
}
