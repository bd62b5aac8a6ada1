//! What waits for a lane, and who is let in.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kit::clock::Clock;
use kit::errors::Fault;
use kit::load::QueueTime;
use tokio::sync::{Notify, oneshot};

use super::pace::Pace;
use super::{LaneConfig, Priority};

/// A command that waits, and whom to answer.
pub(super) struct Waiting<C, R> {
    pub(super) command: C,
    pub(super) deadline: Option<Instant>,
    pub(super) span: tracing::Span,
    /// Where the wait is told.
    pub(super) queue: QueueTime,
    pub(super) reply: oneshot::Sender<Result<R, Fault>>,
}

struct Queued<C, R> {
    waiting: Waiting<C, R>,
    since: Instant,
    /// How many batches had gathered when it came.
    gathered: u64,
}

/// A batch that was gathered.
pub(super) struct Gathered<C, R> {
    pub(super) commands: Vec<Waiting<C, R>>,
    /// How long the first of them waited.
    pub(super) waited: Duration,
    /// How many were sent away since the batch before, because their turn would have come too late.
    pub(super) sent_away: u64,
}

/// The shortest advice to try again.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(20);
/// Of how many batches it is known when they gathered; who waits longer waited at least that long.
const BEGINNINGS: usize = 64;

pub(super) struct Queue<C, R> {
    batch_max: usize,
    queue_max: usize,
    normal_wait_max: Duration,
    state: Mutex<State<C, R>>,
    changed: Notify,
}

struct State<C, R> {
    money: VecDeque<Queued<C, R>>,
    normal: VecDeque<Queued<C, R>>,
    /// When the batch that runs now was begun, and its size.
    running: Option<(Instant, usize)>,
    pace: Pace,
    /// How many batches have gathered, and when the last of them did.
    gathered: u64,
    beginnings: VecDeque<Instant>,
    sent_away: u64,
    /// Spreads advice to try again.
    turn: u64,
    closed: bool,
}

/// When a command that came now would have its turn, and when it would be done.
#[derive(Clone, Copy, Debug)]
struct Outlook {
    wait: Duration,
    done: Duration,
    /// Whether it would be in the next batch.
    next: bool,
}

impl<C, R> Queue<C, R> {
    pub(super) fn new(config: &LaneConfig) -> Self {
        let state = State {
            money: VecDeque::new(),
            normal: VecDeque::new(),
            running: None,
            pace: Pace::default(),
            gathered: 0,
            beginnings: VecDeque::with_capacity(BEGINNINGS),
            sent_away: 0,
            turn: 0,
            closed: false,
        };
        Queue {
            batch_max: config.batch_max.max(1) as usize,
            queue_max: config.queue_max.max(1) as usize,
            normal_wait_max: Duration::from_millis(config.normal_wait_max_ms),
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
        let outlook = state.outlook(priority, self.batch_max, now);
        let gathered = state.gathered;
        let lane = match priority {
            Priority::MoneyTaken => &mut state.money,
            Priority::Normal => &mut state.normal,
        };
        let late = waiting
            .deadline
            .is_some_and(|deadline| deadline <= now + outlook.done);
        // The next batch has room for it and runs anyhow: nobody is helped by sending it away, however slow
        // batches are.
        let long =
            priority == Priority::Normal && !outlook.next && outlook.wait > self.normal_wait_max;
        if late || long || lane.len() >= self.queue_max {
            state.sent_away += 1;
            let after = state.spread(outlook.done.max(RETRY_AFTER_MIN));
            drop(state);
            waiting.queue.turned_away();
            let message =
                "There is more to do than can be done in time and nothing was done; try again.";
            return Err(Fault::busy(message, after));
        }
        lane.push_back(Queued {
            waiting,
            since: now,
            gathered,
        });
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The next batch, as soon as there is a command; none when the lane is closed and empty.
    pub(super) async fn gather(&self, clock: &dyn Clock) -> Option<Gathered<C, R>> {
        loop {
            {
                let mut state = self.lock();
                let batch = state.take(self.batch_max, clock.instant());
                if !batch.commands.is_empty() {
                    return Some(batch);
                }
                if state.closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    pub(super) fn begin(&self, now: Instant, commands: usize) {
        self.lock().running = Some((now, commands));
    }

    pub(super) fn end(&self, now: Instant) {
        let mut state = self.lock();
        if let Some((since, commands)) = state.running.take() {
            let took = now.saturating_duration_since(since);
            state.pace.learn(commands, took, now);
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
        self.lock().pace.usual()
    }

    /// The data behind this lock is whole between any two statements, so a panic elsewhere spoils nothing.
    fn lock(&self) -> MutexGuard<'_, State<C, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C, R> State<C, R> {
    /// What a command that came now could expect. An idle lane begins it at once, so that a slow spell long ago
    /// cannot keep everybody out.
    fn outlook(&self, priority: Priority, batch_max: usize, now: Instant) -> Outlook {
        let ahead = match priority {
            Priority::MoneyTaken => self.money.len(),
            Priority::Normal => self.money.len() + self.normal.len(),
        };
        if self.running.is_none() && ahead == 0 {
            return Outlook {
                wait: Duration::ZERO,
                done: Duration::ZERO,
                next: true,
            };
        }
        let asked_at = self.running.map_or(now, |(since, _)| since);
        let (mut left, mut at_least) = (Duration::ZERO, Duration::ZERO);
        if let Some((since, commands)) = self.running {
            let so_far = now.saturating_duration_since(since);
            let expected = self.pace.expect(commands, asked_at);
            left = expected.saturating_sub(so_far);
            if so_far > expected {
                // Something became slower. How much is not known before the batch ends, but what has lasted
                // longer than expected seldom ends at once, and the next will hardly be quicker.
                left = so_far - expected;
                at_least = so_far;
            }
        }
        let full = self.pace.expect(batch_max, asked_at).max(at_least);
        let own = self
            .pace
            .expect(ahead % batch_max + 1, asked_at)
            .max(at_least);
        let batches = u32::try_from(ahead / batch_max).unwrap_or(u32::MAX);
        let wait = left.saturating_add(full.saturating_mul(batches));
        Outlook {
            wait,
            done: wait.saturating_add(own),
            next: batches == 0,
        }
    }

    fn take(&mut self, batch_max: usize, now: Instant) -> Gathered<C, R> {
        let money = self.money.len().min(batch_max);
        let normal = self.normal.len().min(batch_max - money);
        let mut waited = Duration::ZERO;
        let mut commands = Vec::with_capacity(money + normal);
        for queued in self.money.drain(..money).chain(self.normal.drain(..normal)) {
            waited = waited.max(now.saturating_duration_since(queued.since));
            // To wait for the batch that runs is no sign of load; to be left out of the next one is.
            let passed = usize::try_from(self.gathered - queued.gathered).unwrap_or(usize::MAX);
            let left_out = match passed {
                0 => None,
                passed => self
                    .beginnings
                    .get(self.beginnings.len().saturating_sub(passed)),
            };
            let beyond = left_out.map_or(Duration::ZERO, |at| now.saturating_duration_since(*at));
            queued.waiting.queue.add(beyond);
            commands.push(queued.waiting);
        }
        if !commands.is_empty() {
            self.gathered += 1;
            if self.beginnings.len() == BEGINNINGS {
                self.beginnings.pop_front();
            }
            self.beginnings.push_back(now);
        }
        Gathered {
            sent_away: match commands.is_empty() {
                true => 0,
                false => std::mem::take(&mut self.sent_away),
            },
            commands,
            waited,
        }
    }

    /// From once to one and a half times as long, so that callers do not come back together.
    fn spread(&mut self, after: Duration) -> Duration {
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        self.turn = self.turn.wrapping_add(GOLDEN);
        after + after.mul_f64((self.turn >> 11) as f64 / (1u64 << 54) as f64)
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
