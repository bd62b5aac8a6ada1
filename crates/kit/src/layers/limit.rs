//! How many calls may be under way: found out from how long they wait inside.
//!
//! The rule is Little's law. Of the calls under way, those that wait are `rate × wait`; taking away just these
//! leaves the work that is really being done, so the limit can never fall below what the server needs to be busy,
//! however slow its disk became. After it fell, only calls that came since tell whether that was enough. It grows
//! while calls are refused and none waits, at first with care and then by a quarter at a time, and by itself while
//! there is no load, so that nothing that is over keeps anybody out; and not faster than a call takes to tell what
//! came of it.

use std::time::{Duration, Instant};

/// Between what the limit moves, and what it aims at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) min: usize,
    pub(super) max: usize,
    /// How long calls may wait inside before there are too many of them.
    pub(super) target: Duration,
}

/// What was seen since the last look. CRITICAL calls are left out: they go first and wait for nobody.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Calls that ended.
    pub(super) ended: u64,
    /// Those among them that went through a queue and had come after the limit last fell.
    pub(super) queued: u64,
    /// Those that went through a queue and had come before.
    pub(super) stale: u64,
    /// How long these waited, on average.
    pub(super) wait: Duration,
    /// How long these took in all, on average.
    pub(super) took: Duration,
    /// Those that a queue sent away.
    pub(super) away: u64,
    /// The most calls under way.
    pub(super) peak: usize,
    /// Whether calls are under way now.
    pub(super) busy: bool,
    /// Whether somebody was refused for the limit, or nearly.
    pub(super) wanted: bool,
}

/// The limit.
#[derive(Debug)]
pub(super) struct Limit {
    bounds: Bounds,
    limit: f64,
    /// Until then the effect of the last step down on what queues send away cannot be seen.
    settled_at: Option<Instant>,
    /// Steps up since the last one down.
    calm: f64,
    /// Rounds that passed while nothing ended: a batch tells of all the time that it took.
    untold: f64,
}

/// What a look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) limit: usize,
    /// Whether it fell.
    pub(super) fell: bool,
}

const GROW: f64 = 1.25;
const DRIFT: f64 = 1.05;
/// After so many small steps up, what made it fall is over.
const CALM: f64 = 5.0;
/// More than from the floor to the ceiling takes; keeps the power in bounds after a long silence.
const ROUNDS_MAX: f64 = 400.0;
/// What time counts in which nothing ended: less, because one batch tells less than many calls would have.
const UNTOLD: f64 = 0.25;
const SETTLE_MAX: Duration = Duration::from_secs(1);
/// Sending away costs far more than refusing at the door: one in so many is too much.
const AWAY_ONE_IN: u64 = 20;

impl Limit {
    pub(super) fn new(bounds: Bounds) -> Self {
        let max = bounds.max.max(1);
        let bounds = Bounds {
            min: bounds.min.clamp(1, max),
            max,
            ..bounds
        };
        Limit {
            bounds,
            // Nothing is known yet, and the queues have bounds of their own.
            limit: max as f64,
            settled_at: None,
            calm: CALM,
            untold: 0.0,
        }
    }

    pub(super) fn get(&self) -> usize {
        (self.limit as usize).clamp(self.bounds.min, self.bounds.max)
    }

    /// Moves the limit; `rounds` is how many looks would have fitted since the last, each so long.
    pub(super) fn look(&mut self, now: Instant, rounds: u32, each: Duration, seen: &Seen) -> Found {
        let before = self.get();
        let target = self.bounds.target.as_secs_f64();
        let wait = seen.wait.as_secs_f64();
        let turned_away = seen.away * AWAY_ONE_IN > seen.ended;
        let unknown = seen.queued == 0 && seen.stale > 0;
        let rounds = f64::from(rounds);
        let untold = std::mem::take(&mut self.untold);
        if wait > target || turned_away {
            self.shrink(now, seen, turned_away);
        } else if wait < target / 2.0 && !unknown {
            let stuck = seen.ended == 0 && seen.busy;
            if stuck && seen.wanted {
                self.untold = untold + rounds * UNTOLD;
                return self.found(before);
            }
            let pace: f64 = match seen.wanted {
                true if self.calm >= CALM => GROW,
                _ => DRIFT,
            };
            let slowly = (seen.took.as_secs_f64() / 2.0 / each.as_secs_f64().max(1e-6)).max(1.0);
            let rounds = ((rounds + untold) / slowly).min(ROUNDS_MAX);
            self.calm += rounds;
            self.limit = (self.limit * pace.powf(rounds)).min(self.bounds.max as f64);
        }
        self.found(before)
    }

    fn found(&self, before: usize) -> Found {
        Found {
            limit: self.get(),
            fell: self.get() < before,
        }
    }

    fn shrink(&mut self, now: Instant, seen: &Seen, turned_away: bool) {
        if turned_away && self.settled_at.is_some_and(|at| now < at) {
            return;
        }
        self.calm = 0.0;
        let took = seen.took.as_secs_f64();
        let surplus = seen.wait.as_secs_f64() - self.bounds.target.as_secs_f64() / 2.0;
        let kept = if took > 0.0 {
            1.0 - surplus / took
        } else {
            1.0
        };
        let kept = kept.clamp(0.5, if turned_away { 0.8 } else { 1.0 });
        // A limit far above what is under way would need many steps until anybody felt it.
        let felt = self.limit.min(seen.peak as f64 * 1.5);
        self.limit = (felt * kept).clamp(self.bounds.min as f64, self.bounds.max as f64);
        self.settled_at = now.checked_add(seen.took.min(SETTLE_MAX));
    }
}
