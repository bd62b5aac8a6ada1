//! Work in progress, bounded: who may come in now, and what is learned when they leave.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use contracts::policy::Criticality;

use super::Target;
use super::accounts::Account;
use super::limit::{Limit, Seen};
use crate::clock::SharedClock;
use crate::load::{QueueTime, Queued};

/// Who gives way first; the later the sooner. NORMAL work, such as packing what is paid, comes before NORMAL
/// reading, which somebody does who has bought nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Critical,
    Important,
    Work,
    Reading,
    Sheddable,
}

impl Class {
    pub(super) const ALL: [Class; 5] = [
        Class::Critical,
        Class::Important,
        Class::Work,
        Class::Reading,
        Class::Sheddable,
    ];

    pub(super) fn of(target: &Target) -> Class {
        let reads = || matches!(target, Target::Method(policy) if !policy.is_mutation());
        match target.criticality() {
            Criticality::Critical => Class::Critical,
            Criticality::Important => Class::Important,
            Criticality::Normal if reads() => Class::Reading,
            Criticality::Normal => Class::Work,
            Criticality::Sheddable | Criticality::Unspecified => Class::Sheddable,
        }
    }
}

/// How much of a gate's room whom is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    /// Room that only CRITICAL may use, beside all others.
    pub(super) critical: usize,
    /// What the classes from IMPORTANT on may fill, in per cent of the limit.
    pub(super) percent: [u8; 4],
}

impl Shares {
    /// What a class may fill of a limit; CRITICAL knows other bounds.
    pub(super) fn of(&self, class: Class, limit: usize) -> usize {
        let percent = match class {
            Class::Critical => 100,
            Class::Important => self.percent[0],
            Class::Work => self.percent[1],
            Class::Reading => self.percent[2],
            Class::Sheddable => self.percent[3],
        };
        // At least one, or a class of calls could never be served at all.
        (limit * usize::from(percent.min(100)) / 100).max(1)
    }
}

/// What the gate tells whoever watches it, at every look.
pub(super) type Watch = Box<dyn Fn(&Seen, usize, usize) + Send + Sync>;

pub(super) struct Gate {
    max: usize,
    shares: Shares,
    clock: SharedClock,
    limit: AtomicUsize,
    used: AtomicUsize,
    critical: AtomicUsize,
    looks: Option<Looks>,
}

/// How the limit is found; streams have a fixed one.
struct Looks {
    origin: Instant,
    interval: Duration,
    /// When to look next, in microseconds since the origin.
    next_us: AtomicU64,
    /// When the limit last fell, in the same.
    fell_us: AtomicU64,
    finder: Mutex<(Limit, Instant)>,
    tally: Tally,
    watch: Watch,
}

/// What happened since the last look; written by every call, without a lock.
#[derive(Default)]
struct Tally {
    ended: AtomicU64,
    queued: AtomicU64,
    stale: AtomicU64,
    wait_us: AtomicU64,
    took_us: AtomicU64,
    away: AtomicU64,
    peak: AtomicUsize,
    refused: AtomicBool,
}

impl Gate {
    /// A gate whose limit never changes.
    pub(super) fn fixed(max: usize, shares: Shares, clock: SharedClock) -> Self {
        let max = max.max(1);
        Gate {
            max,
            shares,
            clock,
            limit: AtomicUsize::new(max),
            used: AtomicUsize::new(0),
            critical: AtomicUsize::new(0),
            looks: None,
        }
    }

    /// A gate that finds its limit, looking at it once in an interval.
    pub(super) fn adaptive(
        limit: Limit,
        interval: Duration,
        shares: Shares,
        clock: SharedClock,
        watch: Watch,
    ) -> Self {
        let origin = clock.instant();
        let interval = interval.max(Duration::from_millis(1));
        Gate {
            looks: Some(Looks {
                origin,
                interval,
                next_us: AtomicU64::new(micros(interval)),
                fell_us: AtomicU64::new(0),
                finder: Mutex::new((limit, origin)),
                tally: Tally::default(),
                watch,
            }),
            ..Gate::fixed(0, shares, clock)
        }
        .starting()
    }

    fn starting(mut self) -> Self {
        if let Some(looks) = &mut self.looks
            && let Ok((limit, _)) = looks.finder.get_mut()
        {
            self.max = limit.get();
            self.limit = AtomicUsize::new(self.max);
        }
        self
    }

    /// Lets one in, when its class has room.
    pub(super) fn enter(self: &Arc<Self>, class: Class) -> Option<Permit> {
        let now = self.clock.instant();
        self.look_if_due(now);
        let limit = self.limit();
        let is_critical = class == Class::Critical;
        let reserved = is_critical && self.reserve();
        if is_critical && !reserved {
            self.take(self.max)?;
            self.critical.fetch_add(1, Ordering::AcqRel);
        } else if reserved {
            self.used.fetch_add(1, Ordering::AcqRel);
        } else if self.take(self.shares.of(class, limit)).is_none() {
            self.missed();
            return None;
        }
        if let Some(looks) = &self.looks {
            let used = self.used();
            if used > looks.tally.peak.load(Ordering::Relaxed) {
                looks.tally.peak.fetch_max(used, Ordering::Relaxed);
            }
        }
        Some(Permit {
            gate: self.clone(),
            class,
            began: now,
            queue: QueueTime::new(),
            held: None,
            unproven: None,
        })
    }

    /// Somebody was refused for want of room.
    pub(super) fn missed(&self) {
        if let Some(looks) = &self.looks {
            looks.tally.refused.store(true, Ordering::Relaxed);
        }
    }

    /// Room of its own for a CRITICAL call.
    fn reserve(&self) -> bool {
        let room = self.shares.critical;
        let free = |used: usize| (used < room).then_some(used + 1);
        let taken = self
            .critical
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, free);
        taken.is_ok()
    }

    fn take(&self, most: usize) -> Option<()> {
        let free = |used: usize| (used < most).then_some(used + 1);
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, free)
            .ok()
            .map(|_| ())
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    /// What is still free for a class.
    pub(super) fn free(&self, class: Class) -> usize {
        if class == Class::Critical {
            let reserved = self.shares.critical;
            let left = reserved.saturating_sub(self.critical.load(Ordering::Acquire));
            return left.max(self.max.saturating_sub(self.used()));
        }
        let share = self.shares.of(class, self.limit());
        share.saturating_sub(self.used())
    }

    /// Whether more than half of the limit is taken.
    pub(super) fn is_strained(&self) -> bool {
        self.used() * 2 > self.limit()
    }

    /// Looks at the limit when it is time, for who does not come in.
    pub(super) fn passed_by(&self) {
        self.look_if_due(self.clock.instant());
    }

    /// Looks at the limit when it is time; done by whoever comes or goes, so no task is needed, and what
    /// happened while nobody came is caught up on.
    fn look_if_due(&self, now: Instant) {
        let Some(looks) = &self.looks else { return };
        let at = micros(now.saturating_duration_since(looks.origin));
        if at >= looks.next_us.load(Ordering::Relaxed)
            && let Ok(mut finder) = looks.finder.try_lock()
        {
            let next = at.saturating_add(micros(looks.interval));
            if at < looks.next_us.swap(next, Ordering::Relaxed) {
                return;
            }
            let (limit, last) = &mut *finder;
            let since = now.saturating_duration_since(*last);
            *last = now;
            let rounds = since.as_micros() / looks.interval.as_micros().max(1);
            let rounds = u32::try_from(rounds).unwrap_or(u32::MAX).max(1);
            let seen = looks.tally.take(self.used(), self.limit());
            let found = limit.look(now, rounds, looks.interval, &seen);
            self.limit.store(found.limit, Ordering::Relaxed);
            if found.fell {
                looks.fell_us.store(at, Ordering::Relaxed);
            }
            (looks.watch)(&seen, found.limit, self.used());
        }
    }

    fn left(&self, class: Class, began: Instant, queue: &QueueTime) {
        self.used.fetch_sub(1, Ordering::AcqRel);
        if class == Class::Critical {
            self.critical.fetch_sub(1, Ordering::AcqRel);
            return;
        }
        let Some(looks) = &self.looks else { return };
        let now = self.clock.instant();
        let began_us = micros(began.saturating_duration_since(looks.origin));
        let fell_us = looks.fell_us.load(Ordering::Relaxed);
        let ended_us = micros(now.saturating_duration_since(looks.origin));
        let stale = began_us < fell_us && ended_us.saturating_sub(fell_us) < STALE_MAX_US;
        let took = now.saturating_duration_since(began);
        looks.tally.add(queue.met(), took, stale);
        self.look_if_due(now);
    }
}

impl Tally {
    fn add(&self, met: Queued, took: Duration, stale: bool) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        match met {
            Queued::Never => {}
            Queued::Away => {
                self.away.fetch_add(1, Ordering::Relaxed);
            }
            Queued::For(_) if stale => {
                self.stale.fetch_add(1, Ordering::Relaxed);
            }
            Queued::For(wait) => {
                self.queued.fetch_add(1, Ordering::Relaxed);
                self.wait_us.fetch_add(micros(wait), Ordering::Relaxed);
                self.took_us.fetch_add(micros(took), Ordering::Relaxed);
            }
        }
    }

    fn take(&self, used: usize, limit: usize) -> Seen {
        let taken = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        let queued = taken(&self.queued);
        let mean = |sum: u64| Duration::from_micros(sum / queued.max(1));
        let peak = self.peak.swap(used, Ordering::Relaxed).max(used);
        Seen {
            ended: taken(&self.ended),
            queued,
            stale: taken(&self.stale),
            wait: mean(taken(&self.wait_us)),
            took: mean(taken(&self.took_us)),
            away: taken(&self.away),
            peak,
            busy: used > 0,
            wanted: self.refused.swap(false, Ordering::Relaxed) || peak * 10 >= limit * 7,
        }
    }
}

/// What came before the limit fell tells nothing of the new one, but not for ever: should a long queue be left
/// over, it has to be seen.
const STALE_MAX_US: u64 = 1_000_000;

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Room for one call, given back when dropped.
pub(super) struct Permit {
    gate: Arc<Gate>,
    pub(super) class: Class,
    began: Instant,
    /// Where queues tell how long the call waited.
    pub(super) queue: QueueTime,
    /// On whose account it runs, once that is known.
    pub(super) held: Option<Held>,
    /// The print of a token that has not proved good yet.
    pub(super) unproven: Option<u64>,
}

impl Permit {
    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.left(self.class, self.began, &self.queue);
    }
}

/// A call counted on its caller's account until it is dropped.
pub(super) struct Held {
    pub(super) account: Arc<Account>,
    pub(super) kind: Kind,
}

/// What of a caller's is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Call,
    Critical,
    Stream,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.account
            .under_way(self.kind)
            .fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
