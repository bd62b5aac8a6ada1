//! The task of one lane.

use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kit::caller::{Caller, Tenant};
use kit::clock::SharedClock;
use kit::errors::{BoxError, Fault};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use tokio::sync::oneshot;
use tracing::Instrument;

use super::BatchRun;
use super::queue::{Queue, Waiting};
use crate::{Db, Operation, Tx};

/// The most traces that one batch is linked to.
const LINKS_MAX: usize = 32;

type Replies<R> = Vec<Option<oneshot::Sender<Result<R, Fault>>>>;

pub(super) fn start<C, R, B>(db: Db, runner: Arc<B>, queue: Arc<Queue<C, R>>, bisect_runs_max: u32)
where
    C: Send + Sync + 'static,
    R: Send + 'static,
    B: BatchRun<C, R>,
{
    let worker = Worker {
        caller: Caller::system(runner.name()),
        clock: db.clock(),
        instruments: Instruments::new(runner.name()),
        db,
        runner,
        queue,
        bisect_runs_max,
    };
    kit::spawn_thread("lane", worker.run());
}

struct Worker<C, R, B> {
    db: Db,
    runner: Arc<B>,
    queue: Arc<Queue<C, R>>,
    caller: Caller,
    clock: SharedClock,
    instruments: Instruments,
    bisect_runs_max: u32,
}

/// However the worker ends, nobody is left waiting.
struct Abandon<C, R>(Arc<Queue<C, R>>);

impl<C, R> Drop for Abandon<C, R> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl<C, R, B> Worker<C, R, B>
where
    C: Send + Sync + 'static,
    R: Send + 'static,
    B: BatchRun<C, R>,
{
    async fn run(mut self) {
        // Opened here, so that the answers of the database come to this thread.
        let apart = match self.db.apart() {
            Ok(apart) => apart,
            Err(error) => {
                tracing::warn!(%error, "a lane shares the connections of everybody");
                None
            }
        };
        if let Some(db) = &apart {
            self.db = db.clone();
        }
        self.serve().await;
        if let Some(db) = apart {
            db.close().await;
        }
    }

    async fn serve(&self) {
        let _abandon = Abandon(self.queue.clone());
        while let Some(gathered) = self.queue.gather(&*self.clock).await {
            let batch = gathered.commands;
            let begun = self.clock.instant();
            let span = tracing::info_span!(
                "lane.batch",
                lane = self.runner.name(),
                commands = batch.len()
            );
            batch.iter().take(LINKS_MAX).for_each(|waiting| {
                span.follows_from(&waiting.span);
            });
            self.instruments
                .gathered(gathered.waited, gathered.sent_away);
            let size = batch.len();
            self.run_batch(batch).instrument(span).await;
            let ended = self.clock.instant();
            self.instruments
                .batch(size, ended.saturating_duration_since(begun).as_secs_f64());
        }
    }

    async fn run_batch(&self, batch: Vec<Waiting<C, R>>) {
        let now = self.clock.instant();
        let mut commands = Vec::with_capacity(batch.len());
        let mut replies: Replies<R> = Vec::with_capacity(batch.len());
        for waiting in batch {
            if waiting.deadline.is_some_and(|deadline| deadline <= now) {
                // Its caller has given up; the work would only delay those who have not.
                let message = "Its turn came too late and nothing was done; try again.";
                answer(
                    waiting.reply,
                    Err(Fault::busy(message, self.queue.batch_time())),
                );
                self.instruments.late();
                continue;
            }
            commands.push(waiting.command);
            replies.push(Some(waiting.reply));
        }
        let commands = Arc::new(commands);
        let mut left = self.bisect_runs_max;
        // The first part is on top, so that commands run in arrival order.
        let mut parts: Vec<Range<usize>> = std::iter::once(0..commands.len()).collect();
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            self.queue.begin(self.clock.instant(), part.len());
            let outcome = self.run_part(&commands, part.clone()).await;
            // Before anybody is answered: who asks again at once must not be told that the lane is busy with
            // what they were answered for.
            self.queue.end(self.clock.instant());
            match outcome {
                Ok(results) => give(&mut replies[part], results),
                Err(fault) if part.len() == 1 || fault.is_transient() || left == 0 => {
                    fail(&mut replies[part], fault);
                }
                Err(fault) => {
                    left -= 1;
                    tracing::warn!(
                        lane = self.runner.name(),
                        commands = part.len(),
                        error = %fault.chain(),
                        "a batch failed and is divided to find the culprit"
                    );
                    let middle = part.start + part.len() / 2;
                    parts.push(middle..part.end);
                    parts.push(part.start..middle);
                }
            }
        }
    }

    async fn run_part(&self, commands: &Arc<Vec<C>>, part: Range<usize>) -> Result<Vec<R>, Fault> {
        let expected = part.len();
        let batch = Batch {
            runner: self.runner.clone(),
            commands: commands.clone(),
            part,
            result: PhantomData::<fn() -> R>,
        };
        let results = self.db.execute(&self.caller, batch).await?;
        if results.len() != expected {
            // It is committed, so nobody can be told that nothing was done.
            tracing::error!(
                lane = self.runner.name(),
                expected,
                got = results.len(),
                "a batch lost count"
            );
            return Err(Fault::unknown());
        }
        Ok(results)
    }
}

/// A stretch of commands as a unit of work.
struct Batch<C, R, B> {
    runner: Arc<B>,
    commands: Arc<Vec<C>>,
    part: Range<usize>,
    result: PhantomData<fn() -> R>,
}

impl<C, R, B> Operation for Batch<C, R, B>
where
    C: Send + Sync + 'static,
    R: Send + 'static,
    B: BatchRun<C, R>,
{
    type Output = Vec<R>;

    fn name(&self) -> &'static str {
        self.runner.name()
    }

    fn audited(&self) -> bool {
        false
    }

    fn tenant(&self, _lane: &Caller) -> Tenant {
        self.runner.tenant(&self.commands[self.part.clone()])
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<R>, Fault> {
        self.runner.run(tx, &self.commands[self.part.clone()]).await
    }
}

fn give<R>(replies: &mut [Option<oneshot::Sender<Result<R, Fault>>>], results: Vec<R>) {
    for (reply, result) in replies.iter_mut().zip(results) {
        if let Some(reply) = reply.take() {
            answer(reply, Ok(result));
        }
    }
}

fn fail<R>(replies: &mut [Option<oneshot::Sender<Result<R, Fault>>>], fault: Fault) {
    let fault = Shared::of(fault);
    for reply in replies.iter_mut().filter_map(Option::take) {
        answer(reply, Err(fault.fault()));
    }
}

/// A caller who is gone does not hear it, and that is all.
fn answer<R>(reply: oneshot::Sender<Result<R, Fault>>, result: Result<R, Fault>) {
    let _ = reply.send(result);
}

/// One fault for many callers.
enum Shared {
    Refused(kit::errors::Refusal),
    Busy(String, std::time::Duration),
    Unknown(String),
    Conflict(SharedError),
    ConnectionLost(SharedError),
    Internal(SharedError),
}

impl Shared {
    fn of(fault: Fault) -> Self {
        match fault {
            Fault::Refused(refusal) => Shared::Refused(refusal),
            Fault::Busy {
                message,
                retry_after,
            } => Shared::Busy(message, retry_after),
            Fault::Unknown { message } => Shared::Unknown(message),
            Fault::Conflict(error) => Shared::Conflict(SharedError(Arc::new(error))),
            Fault::ConnectionLost(error) => Shared::ConnectionLost(SharedError(Arc::new(error))),
            Fault::Internal(error) => Shared::Internal(SharedError(Arc::new(error))),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Shared::Refused(refusal) => Fault::Refused(refusal.clone()),
            Shared::Busy(message, retry_after) => Fault::busy(message.as_str(), *retry_after),
            Shared::Unknown(message) => Fault::Unknown {
                message: message.clone(),
            },
            Shared::Conflict(error) => Fault::Conflict(error.clone().into()),
            Shared::ConnectionLost(error) => Fault::ConnectionLost(error.clone().into()),
            Shared::Internal(error) => Fault::Internal(error.clone().into()),
        }
    }
}

#[derive(Clone, Debug)]
struct SharedError(Arc<BoxError>);

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&*self.0, f)
    }
}

impl Error for SharedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

struct Instruments {
    lane: KeyValue,
    size: Histogram<u64>,
    duration: Histogram<f64>,
    late: Counter<u64>,
    sent_away: Counter<u64>,
    wait: Histogram<f64>,
}

impl Instruments {
    fn new(lane: &'static str) -> Self {
        let meter = kit::telemetry::meter();
        Instruments {
            lane: KeyValue::new("lane", lane),
            size: meter
                .u64_histogram("vitrine.lane.batch.size")
                .with_description("commands that ran in one transaction")
                .with_unit("{command}")
                .with_boundaries(vec![
                    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0,
                ])
                .build(),
            duration: meter
                .f64_histogram("vitrine.lane.batch.duration")
                .with_description("how long a batch took, commit included")
                .with_unit("s")
                .with_boundaries(vec![
                    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0,
                ])
                .build(),
            sent_away: meter
                .u64_counter("vitrine.lane.sent_away")
                .with_description(
                    "commands that were refused because their turn would have come too late",
                )
                .with_unit("{command}")
                .build(),
            wait: meter
                .f64_histogram("vitrine.lane.wait.duration")
                .with_description("how long the first command of a batch waited for its turn")
                .with_unit("s")
                .with_boundaries(vec![
                    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0,
                ])
                .build(),
            late: meter
                .u64_counter("vitrine.lane.late")
                .with_description("commands whose turn came after their deadline")
                .with_unit("{command}")
                .build(),
        }
    }

    fn batch(&self, size: usize, seconds: f64) {
        let lane = std::slice::from_ref(&self.lane);
        self.size
            .record(u64::try_from(size).unwrap_or(u64::MAX), lane);
        self.duration.record(seconds, lane);
    }

    fn gathered(&self, waited: Duration, sent_away: u64) {
        let lane = std::slice::from_ref(&self.lane);
        self.wait.record(waited.as_secs_f64(), lane);
        if sent_away > 0 {
            self.sent_away.add(sent_away, lane);
        }
    }

    fn late(&self) {
        self.late.add(1, std::slice::from_ref(&self.lane));
    }
}
