//! How far a consumer has come.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use kit::clock::{Micros, SharedClock};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge};

/// How far a consumer has come; shared with whoever wants to know.
pub struct Status {
    clock: SharedClock,
    caught_up: AtomicBool,
    /// The moment up to which everything is known to be applied.
    fresh: AtomicI64,
    position: AtomicI64,
    parked: AtomicU64,
    stops: AtomicU64,
    instruments: Instruments,
}

struct Instruments {
    consumer: KeyValue,
    lag: Gauge<f64>,
    parked: Gauge<u64>,
    applied: Counter<u64>,
    stops: Counter<u64>,
}

impl Status {
    pub(super) fn new(consumer: &'static str, clock: SharedClock) -> Self {
        let meter = kit::telemetry::meter();
        let instruments = Instruments {
            consumer: KeyValue::new("consumer", consumer),
            lag: meter
                .f64_gauge("vitrine.consumer.lag")
                .with_description(
                    "age of what a feed's consumer has yet to apply; 0 when it has caught up",
                )
                .with_unit("s")
                .build(),
            parked: meter
                .u64_gauge("vitrine.consumer.parked")
                .with_description(
                    "feed entries that could not be applied, and those that wait behind them",
                )
                .with_unit("{entry}")
                .build(),
            applied: meter
                .u64_counter("vitrine.consumer.entries")
                .with_description("feed entries applied or parked")
                .with_unit("{entry}")
                .build(),
            stops: meter
                .u64_counter("vitrine.consumer.stops")
                .with_description("times a consumer stopped because of something that may pass")
                .with_unit("{stop}")
                .build(),
        };
        let now = clock.now().0;
        Status {
            clock,
            caught_up: AtomicBool::new(false),
            fresh: AtomicI64::new(now),
            position: AtomicI64::new(0),
            parked: AtomicU64::new(0),
            stops: AtomicU64::new(0),
            instruments,
        }
    }

    /// The age of what is yet to be applied; zero when everything is, as far as the source told.
    pub fn lag(&self) -> Duration {
        if self.is_caught_up() {
            return Duration::ZERO;
        }
        self.clock
            .now()
            .since(Micros(self.fresh.load(Ordering::Relaxed)))
    }

    /// Whether everything the source told of is applied or parked.
    pub fn is_caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Acquire)
    }

    /// The position of the last entry applied or parked.
    pub fn position(&self) -> i64 {
        self.position.load(Ordering::Acquire)
    }

    /// How many entries are parked, those that only wait behind others included.
    pub fn parked(&self) -> u64 {
        self.parked.load(Ordering::Acquire)
    }

    /// How often it stopped because of something that may pass, and tried again.
    pub fn stops(&self) -> u64 {
        self.stops.load(Ordering::Acquire)
    }

    pub(super) fn moved(&self, position: i64, entries: usize, commit_time: Option<Micros>) {
        self.caught_up.store(false, Ordering::Release);
        if let Some(time) = commit_time {
            self.fresh.store(time.0, Ordering::Relaxed);
        }
        self.position.store(position, Ordering::Release);
        let entries = u64::try_from(entries).unwrap_or(u64::MAX);
        self.instruments
            .applied
            .add(entries, std::slice::from_ref(&self.instruments.consumer));
        self.report();
    }

    pub(super) fn caught_up(&self, position: i64) {
        self.position.store(position, Ordering::Release);
        self.fresh.store(self.clock.now().0, Ordering::Relaxed);
        self.caught_up.store(true, Ordering::Release);
        self.report();
    }

    pub(super) fn stopped(&self) {
        self.caught_up.store(false, Ordering::Release);
        self.stops.fetch_add(1, Ordering::AcqRel);
        self.instruments
            .stops
            .add(1, std::slice::from_ref(&self.instruments.consumer));
        self.report();
    }

    pub(super) fn set_parked(&self, parked: u64) {
        self.parked.store(parked, Ordering::Release);
        self.report();
    }

    fn report(&self) {
        let attributes = std::slice::from_ref(&self.instruments.consumer);
        self.instruments
            .lag
            .record(self.lag().as_secs_f64(), attributes);
        self.instruments.parked.record(self.parked(), attributes);
    }
}
