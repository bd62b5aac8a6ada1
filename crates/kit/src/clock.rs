//! Time, passed in. Nothing outside this module asks the machine what time it is.

use std::ops::Sub;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// A moment: microseconds since 1970-01-01 UTC. The form in which every table keeps time.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// The latest moment that a protobuf timestamp can say: the end of the year 9999.
    pub const MAX: Micros = Micros(253_402_300_799_999_999);
    /// The earliest moment that a protobuf timestamp can say: the start of the year 1.
    pub const MIN: Micros = Micros(-62_135_596_800_000_000);

    /// A moment from whole seconds since the epoch.
    pub const fn from_seconds(seconds: i64) -> Self {
        Micros(seconds.saturating_mul(MICROS_PER_SECOND))
    }

    /// A moment from milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Micros(millis.saturating_mul(1_000))
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SECOND)
    }

    /// Milliseconds since the epoch, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The moment `by` later; stops at the end of what 64 bits hold.
    pub fn plus(self, by: Duration) -> Self {
        Micros(self.0.saturating_add(span(by)))
    }

    /// The moment `by` earlier; stops at the end of what 64 bits hold.
    pub fn minus(self, by: Duration) -> Self {
        Micros(self.0.saturating_sub(span(by)))
    }

    /// How long ago `earlier` was; zero when it is not earlier.
    pub fn since(self, earlier: Micros) -> Duration {
        let micros = self.0.saturating_sub(earlier.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }

    /// The same moment on the wire.
    pub fn to_proto(self) -> Timestamp {
        let nanos = self.0.rem_euclid(MICROS_PER_SECOND) * 1_000;
        Timestamp {
            seconds: self.seconds(),
            nanos: i32::try_from(nanos).unwrap_or(0),
        }
    }

    /// A moment from the wire; none when it lies outside the years 1 to 9999 or its nanoseconds are
    /// no fraction of a second. Nanoseconds are cut to microseconds.
    pub fn from_proto(time: &Timestamp) -> Option<Self> {
        if !(0..1_000_000_000).contains(&time.nanos) {
            return None;
        }
        let micros = time
            .seconds
            .checked_mul(MICROS_PER_SECOND)?
            .checked_add(i64::from(time.nanos / 1_000))?;
        let time = Micros(micros);
        (Micros::MIN..=Micros::MAX).contains(&time).then_some(time)
    }
}

impl Sub for Micros {
    type Output = Duration;

    fn sub(self, earlier: Micros) -> Duration {
        self.since(earlier)
    }
}

fn span(by: Duration) -> i64 {
    i64::try_from(by.as_micros()).unwrap_or(i64::MAX)
}

/// Where time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> Micros;
    /// The clock that never goes back; for measuring.
    fn instant(&self) -> Instant;
}

/// A clock that many hold.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The machine's clock, ready to be passed around.
    pub fn shared() -> SharedClock {
        Arc::new(SystemClock)
    }
}

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that asks the machine for the time"
    )]
    fn now(&self) -> Micros {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => Micros(span(after)),
            Err(before) => Micros(-span(before.duration())),
        }
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that asks the machine for the time"
    )]
    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock {
    start: Micros,
    origin: Instant,
    now: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn new(start: Micros) -> Self {
        ManualClock {
            start,
            origin: SystemClock.instant(),
            now: AtomicI64::new(start.0),
        }
    }

    /// A clock that stands at `start`, ready to be shared.
    pub fn shared(start: Micros) -> Arc<Self> {
        Arc::new(Self::new(start))
    }

    /// Puts the clock to `time`. [`Clock::instant`] follows, but never goes back before the start.
    pub fn set(&self, time: Micros) {
        self.now.store(time.0, Ordering::SeqCst);
    }

    /// Moves the clock on and returns the new time.
    pub fn advance(&self, by: Duration) -> Micros {
        let by = span(by);
        Micros(self.now.fetch_add(by, Ordering::SeqCst).saturating_add(by))
    }
}

impl Default for ManualClock {
    /// Stands at 2026-01-01 00:00:00 UTC.
    fn default() -> Self {
        Self::new(Micros::from_seconds(1_767_225_600))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Micros {
        Micros(self.now.load(Ordering::SeqCst))
    }

    fn instant(&self) -> Instant {
        self.origin + self.now().since(self.start)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn survives_the_wire(micros in Micros::MIN.0..=Micros::MAX.0) {
            let time = Micros(micros);
            prop_assert_eq!(Micros::from_proto(&time.to_proto()), Some(time));
        }

        #[test]
        fn plus_and_minus_undo_each_other(start in -1_000_000_000_000i64..1_000_000_000_000, by in 0u64..1_000_000_000) {
            let by = Duration::from_micros(by);
            let start = Micros(start);
            prop_assert_eq!(start.plus(by).minus(by), start);
            prop_assert_eq!(start.plus(by).since(start), by);
            prop_assert_eq!(start.since(start.plus(by)), Duration::ZERO);
        }
    }

    #[test]
    fn refuses_what_is_no_timestamp() {
        for (seconds, nanos) in [
            (0, -1),
            (0, 1_000_000_000),
            (i64::MAX, 0),
            (253_402_300_800, 0),
        ] {
            assert_eq!(Micros::from_proto(&Timestamp { seconds, nanos }), None);
        }
    }

    #[test]
    fn manual_clock_moves_both_faces() {
        let clock = ManualClock::default();
        let (time, instant) = (clock.now(), clock.instant());
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now().since(time), Duration::from_secs(5));
        assert_eq!(clock.instant() - instant, Duration::from_secs(5));
        clock.set(Micros(0));
        assert!(clock.instant() <= instant);
    }
}
