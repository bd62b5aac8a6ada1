//! What waits for a lane, and who is let in.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kit::errors::Fault;
use tokio::sync::{Notify, oneshot};

use super::Priority;

/// A command that waits, and whom to answer.
pub(super) struct Waiting<C, R> {
    pub(super) command: C,
    pub(super) deadline: Option<Instant>,
    pub(super) span: tracing::Span,
    pub(super) reply: oneshot::Sender<Result<R, Fault>>,
}

/// The shortest advice to try again.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(20);

pub(super) struct Queue<C, R> {
    batch_max: usize,
    queue_max: usize,
    state: Mutex<State<C, R>>,
    changed: Notify,
}

struct State<C, R> {
    money: VecDeque<Waiting<C, R>>,
    normal: VecDeque<Waiting<C, R>>,
    /// When the batch that runs now was begun.
    running_since: Option<Instant>,
    /// How long a batch took of late, smoothed.
    batch_time: Duration,
    closed: bool,
}

impl<C, R> Queue<C, R> {
    pub(super) fn new(batch_max: usize, queue_max: usize) -> Self {
        let state = State {
            money: VecDeque::new(),
            normal: VecDeque::new(),
            running_since: None,
            batch_time: Duration::ZERO,
            closed: false,
        };
        Queue {
            batch_max,
            queue_max,
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    /// Lets a command in, unless there is no room or its turn would come too late.
    pub(super) fn push(
        &self,
        waiting: Waiting<C, R>,
        priority: Priority,
        now: Instant,
    ) -> Result<(), Fault> {
        let mut state = self.lock();
        if state.closed {
            return Err(Fault::busy(
                "The server is going away and nothing was done; try again.",
                RETRY_AFTER_MIN,
            ));
        }
        let expected = state.expected_wait(priority, self.batch_max, now);
        let lane = match priority {
            Priority::MoneyTaken => &mut state.money,
            Priority::Normal => &mut state.normal,
        };
        let late = waiting
            .deadline
            .is_some_and(|deadline| deadline <= now + expected);
        if late || lane.len() >= self.queue_max {
            let message =
                "There is more to do than can be done in time and nothing was done; try again.";
            return Err(Fault::busy(message, expected.max(RETRY_AFTER_MIN)));
        }
        lane.push_back(waiting);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The next batch, as soon as there is a command; none when the lane is closed and empty.
    pub(super) async fn gather(&self) -> Option<Vec<Waiting<C, R>>> {
        loop {
            {
                let mut state = self.lock();
                let batch = state.take(self.batch_max);
                if !batch.is_empty() {
                    return Some(batch);
                }
                if state.closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    pub(super) fn begin(&self, now: Instant) {
        self.lock().running_since = Some(now);
    }

    pub(super) fn end(&self, now: Instant) {
        let mut state = self.lock();
        if let Some(since) = state.running_since.take() {
            let took = now.saturating_duration_since(since);
            state.batch_time = match state.batch_time {
                Duration::ZERO => took,
                before => (before * 7 + took * 3) / 10,
            };
        }
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Throws away what waits: its callers learn that nothing is known.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.money.clear();
        state.normal.clear();
    }

    pub(super) fn waiting(&self) -> usize {
        let state = self.lock();
        state.money.len() + state.normal.len()
    }

    pub(super) fn batch_time(&self) -> Duration {
        self.lock().batch_time
    }

    /// The data behind this lock is whole between any two statements, so a panic elsewhere spoils nothing.
    fn lock(&self) -> MutexGuard<'_, State<C, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C, R> State<C, R> {
    /// How long a command that came in now would take. Nothing for an idle lane, so that a slow spell long
    /// ago cannot keep everybody out.
    fn expected_wait(&self, priority: Priority, batch_max: usize, now: Instant) -> Duration {
        let ahead = match priority {
            Priority::MoneyTaken => self.money.len(),
            Priority::Normal => self.money.len() + self.normal.len(),
        };
        let Some(since) = self.running_since else {
            if self.money.is_empty() && self.normal.is_empty() {
                return Duration::ZERO;
            }
            return self.batches(ahead, batch_max);
        };
        let left = self
            .batch_time
            .saturating_sub(now.saturating_duration_since(since));
        left + self.batches(ahead, batch_max)
    }

    fn batches(&self, ahead: usize, batch_max: usize) -> Duration {
        let batches = u32::try_from(ahead / batch_max + 1).unwrap_or(u32::MAX);
        self.batch_time.saturating_mul(batches)
    }

    fn take(&mut self, batch_max: usize) -> Vec<Waiting<C, R>> {
        let money = self.money.len().min(batch_max);
        let normal = self.normal.len().min(batch_max - money);
        self.money
            .drain(..money)
            .chain(self.normal.drain(..normal))
            .collect()
    }
}
