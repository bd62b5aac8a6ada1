//! Lanes that run many commands in one transaction.
//!
//! While one batch commits the next one gathers, so there is no timer to tune: alone, a command is a batch of
//! one at once; under load batches grow by themselves. How many lanes there are is a matter of speed only;
//! whatever runs the batch has to be right with any number of lanes and replicas beside it.
//!
//! A command whose deadline cannot be met is refused before it costs anything, when it comes or, if it turned
//! out so, when its turn does; so is one that would wait longer than the queue may be. Whoever is let in is told
//! by [`kit::load::QueueTime`] how long the queue held it up, and the server's limit follows from that. Once its batch has begun it runs, whether its caller still waits or not.

mod pace;
mod queue;
mod worker;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kit::caller::Tenant;
use kit::clock::SharedClock;
use kit::errors::Fault;
use kit::scope::Scope;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{Db, Tx};
use queue::{Queue, Waiting};

/// Limits of lanes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LaneConfig {
    /// Lanes beside each other. More help where commands seldom touch the same rows.
    pub lanes: u32,
    /// The most commands in one transaction.
    pub batch_max: u32,
    /// The most commands of each priority that wait in one lane.
    pub queue_max: u32,
    /// How long a command may have to wait for its turn, in milliseconds; what would wait longer is refused at
    /// once. Not counted for the next batch, which runs anyhow, nor for money that was taken, which only its
    /// caller's deadline bounds.
    pub normal_wait_max_ms: u64,
    /// How often one batch is divided and run again to find the commands that fail it; when that is used up,
    /// the rest fails as the last part did.
    pub bisect_runs_max: u32,
}

impl Default for LaneConfig {
    fn default() -> Self {
        LaneConfig {
            lanes: 1,
            batch_max: 512,
            queue_max: 4_096,
            normal_wait_max_ms: 250,
            bisect_runs_max: 64,
        }
    }
}

/// Which commands go first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Priority {
    /// Somebody's money is already taken, or work would be lost.
    MoneyTaken,
    /// Everything else.
    #[default]
    Normal,
}

/// How a command wants to be taken in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Admission {
    /// Whether it goes first.
    pub priority: Priority,
    /// Until when an answer is of use; none takes the deadline of the call in progress, if it has one.
    pub deadline: Option<Instant>,
    /// Commands with the same affinity go through the same lane; none spreads them.
    pub affinity: Option<u64>,
}

/// What runs a batch.
pub trait BatchRun<C, R>: Send + Sync + 'static {
    /// The name in traces and metrics.
    fn name(&self) -> &'static str;

    /// Whose rows the commands may see and change together: [`Tenant::of`] their callers.
    fn tenant(&self, commands: &[C]) -> Tenant;

    /// Runs all commands in arrival order in this transaction and answers one result for each. An error means
    /// that none took effect; one that may not pass by itself makes the lane divide the batch until the
    /// culprit fails alone. It may run again, as an [`crate::Operation`] may. Commands have callers of their
    /// own: see [`Tx::act_for`]; no audit row is added for the batch itself.
    fn run(
        &self,
        tx: &mut Tx,
        commands: &[C],
    ) -> impl Future<Output = Result<Vec<R>, Fault>> + Send;
}

/// A way in to the lanes; cheap to clone. When the last is dropped, the lanes finish what waits and end.
pub struct Lane<C, R> {
    inner: Arc<Inner<C, R>>,
}

impl<C, R> Clone for Lane<C, R> {
    fn clone(&self) -> Self {
        Lane {
            inner: self.inner.clone(),
        }
    }
}

struct Inner<C, R> {
    queues: Vec<Arc<Queue<C, R>>>,
    clock: SharedClock,
    turn: AtomicUsize,
}

impl<C, R> Drop for Inner<C, R> {
    fn drop(&mut self) {
        self.queues.iter().for_each(|queue| queue.close());
    }
}

impl<C, R> Lane<C, R>
where
    C: Send + Sync + 'static,
    R: Send + 'static,
{
    /// Starts the lanes.
    pub fn start<B: BatchRun<C, R>>(db: &Db, runner: B, config: &LaneConfig) -> Self {
        let runner = Arc::new(runner);
        let clock = db.clock();
        let queues = (0..config.lanes.max(1))
            .map(|_| {
                let queue = Arc::new(Queue::new(config));
                worker::start(
                    db.clone(),
                    runner.clone(),
                    queue.clone(),
                    config.bisect_runs_max,
                );
                queue
            })
            .collect();
        Lane {
            inner: Arc::new(Inner {
                queues,
                clock,
                turn: AtomicUsize::new(0),
            }),
        }
    }

    /// Hands in a command and waits for its own result. Busy means that nothing was done.
    pub async fn submit(&self, command: C, how: Admission) -> Result<R, Fault> {
        let (reply, answer) = oneshot::channel();
        let now = self.inner.clock.instant();
        let deadline = how.deadline.or_else(Scope::deadline);
        let waiting = Waiting {
            command,
            deadline,
            span: tracing::Span::current(),
            queue: Scope::queue(),
            reply,
        };
        self.queue(how.affinity).push(waiting, how.priority, now)?;
        // A lane that ends without an answer was torn down in the middle of its work.
        answer.await.unwrap_or_else(|_| Err(Fault::unknown()))
    }

    /// How many commands wait.
    pub fn waiting(&self) -> usize {
        self.inner.queues.iter().map(|queue| queue.waiting()).sum()
    }

    /// How long a batch took of late; the longest of the lanes.
    pub fn batch_time(&self) -> Duration {
        self.inner
            .queues
            .iter()
            .map(|queue| queue.batch_time())
            .max()
            .unwrap_or_default()
    }

    fn queue(&self, affinity: Option<u64>) -> &Queue<C, R> {
        let lanes = self.inner.queues.len();
        let index = match affinity {
            Some(affinity) => usize::try_from(affinity % lanes as u64).unwrap_or(0),
            None => self.inner.turn.fetch_add(1, Ordering::Relaxed) % lanes,
        };
        &self.inner.queues[index]
    }
}
