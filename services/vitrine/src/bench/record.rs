//! What was measured: a histogram per step for the whole, and slots of time for what happened when.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::wire::Failed;

/// The longest latency that is told apart, in microseconds: two minutes.
const LATENCY_MAX_US: u64 = 120_000_000;
/// One slot of the timeline.
pub const SLOT: Duration = Duration::from_millis(250);

/// A step of an order, or of looking around.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// PlaceOrder.
    Place,
    /// ConfirmPayment.
    Confirm,
    /// CancelOrder.
    Cancel,
    /// ExtendHold.
    Extend,
    /// QuoteOrder.
    Quote,
    /// GetAvailability and GetOrder.
    Browse,
    /// From the commit to the partner's feed.
    Feed,
}

impl Step {
    /// All of them, in the order of their numbers.
    pub const ALL: [Step; 7] = [
        Step::Place,
        Step::Confirm,
        Step::Cancel,
        Step::Extend,
        Step::Quote,
        Step::Browse,
        Step::Feed,
    ];

    /// As reports say it.
    pub fn name(self) -> &'static str {
        match self {
            Step::Place => "place",
            Step::Confirm => "confirm",
            Step::Cancel => "cancel",
            Step::Extend => "extend",
            Step::Quote => "quote",
            Step::Browse => "browse",
            Step::Feed => "feed",
        }
    }
}

/// A quarter of a second.
#[derive(Default)]
pub struct Slot {
    /// Calls that were done.
    pub done: u64,
    /// Calls that were refused or broke.
    pub failed: u64,
    latency: Option<Histogram<u64>>,
}

impl Slot {
    /// A quantile of what ended in this slot, in milliseconds.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        self.latency
            .as_ref()
            .map(|h| h.value_at_quantile(quantile) as f64 / 1_000.0)
    }
}

/// One step's figures.
struct StepRecord {
    whole: Histogram<u64>,
    slots: Vec<Slot>,
    done: u64,
    failed: u64,
}

impl StepRecord {
    fn new() -> Self {
        StepRecord {
            whole: histogram(3),
            slots: Vec::new(),
            done: 0,
            failed: 0,
        }
    }

    fn slot(&mut self, at: Duration) -> &mut Slot {
        let index = (at.as_micros() / SLOT.as_micros()) as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Slot::default);
        }
        &mut self.slots[index]
    }
}

/// A histogram of microseconds.
pub fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, digits).expect("bounds that fit each other")
}

/// The record of one phase.
pub struct Recorder {
    /// When the phase began; slots count from here.
    pub began: Instant,
    /// What was due before this is warm-up: it is in the slots, but in no total.
    pub measured_from: Instant,
    steps: Vec<StepRecord>,
    /// Refusals and breaks of the measured time, by the suite's reason.
    pub reasons: BTreeMap<String, u64>,
}

impl Recorder {
    /// An empty record.
    pub fn new(began: Instant, warm_up: Duration) -> Self {
        Recorder {
            began,
            measured_from: began + warm_up,
            steps: Step::ALL.iter().map(|_| StepRecord::new()).collect(),
            reasons: BTreeMap::new(),
        }
    }

    /// A call that was done, counted from when it was due.
    pub fn done(&mut self, step: Step, due: Instant, now: Instant) {
        let latency = now.saturating_duration_since(due);
        let at = now.saturating_duration_since(self.began);
        let measured = due >= self.measured_from;
        let micros = u64::try_from(latency.as_micros()).unwrap_or(LATENCY_MAX_US);
        let record = &mut self.steps[step as usize];
        if measured {
            record.whole.saturating_record(micros.max(1));
            record.done += 1;
        }
        let slot = record.slot(at);
        slot.done += 1;
        slot.latency
            .get_or_insert_with(|| histogram(2))
            .saturating_record(micros.max(1));
    }

    /// A call that was not.
    pub fn failed(&mut self, step: Step, due: Instant, now: Instant, why: &Failed) {
        let at = now.saturating_duration_since(self.began);
        let record = &mut self.steps[step as usize];
        record.slot(at).failed += 1;
        if due >= self.measured_from {
            record.failed += 1;
            match self.reasons.get_mut(why.word()) {
                Some(count) => *count += 1,
                None => {
                    self.reasons.insert(why.word().to_owned(), 1);
                }
            }
        }
    }

    /// How many were done after the warm-up.
    pub fn count(&self, step: Step) -> u64 {
        self.steps[step as usize].done
    }

    /// How many were refused or broke after the warm-up.
    pub fn failures(&self, step: Step) -> u64 {
        self.steps[step as usize].failed
    }

    /// A quantile of the measured time, in milliseconds; none when nothing was done.
    pub fn quantile_ms(&self, step: Step, quantile: f64) -> Option<f64> {
        let whole = &self.steps[step as usize].whole;
        (!whole.is_empty()).then(|| whole.value_at_quantile(quantile) as f64 / 1_000.0)
    }

    /// The slots of a step, from the beginning of the phase.
    pub fn slots(&self, step: Step) -> &[Slot] {
        &self.steps[step as usize].slots
    }

    /// The highest rate a second at which a step was done over any `window` that lies between the warm-up and `until`.
    pub fn peak_per_s(&self, step: Step, window: Duration, until: Duration) -> f64 {
        self.peak_of_per_s(&[step], window, until)
    }

    /// The same of several steps together.
    pub fn peak_of_per_s(&self, steps: &[Step], window: Duration, until: Duration) -> f64 {
        let of = |time: Duration| (time.as_micros() / SLOT.as_micros()) as usize;
        // The first slot that lies wholly after the warm-up.
        let from = of(self.measured_from - self.began + SLOT - Duration::from_nanos(1));
        let done = |n: usize| -> u64 {
            let slots = steps.iter().filter_map(|step| self.slots(*step).get(n));
            slots.map(|slot| slot.done).sum()
        };
        let longest = steps.iter().map(|step| self.slots(*step).len()).max();
        let measured: Vec<u64> = (from..of(until).min(longest.unwrap_or(0)))
            .map(done)
            .collect();
        let length = of(window).clamp(1, measured.len().max(1));
        measured
            .windows(length)
            .map(|slots| slots.iter().sum::<u64>())
            .max()
            .map_or(0.0, |most| {
                most as f64 / (SLOT * length as u32).as_secs_f64()
            })
    }
}

#[cfg(test)]
mod tests {
    use kit::clock::{Clock, SystemClock};

    use super::*;

    #[test]
    fn latency_counts_from_when_the_call_was_due_and_not_in_the_warm_up() {
        let began = SystemClock.instant();
        let mut record = Recorder::new(began, Duration::from_secs(1));
        let at = |ms: u64| began + Duration::from_millis(ms);
        record.done(Step::Place, at(0), at(900));
        record.done(Step::Place, at(1_000), at(1_010));
        record.done(Step::Place, at(1_000), at(1_020));
        assert_eq!(record.count(Step::Place), 2);
        let p99 = record.quantile_ms(Step::Place, 0.99).expect("two values");
        assert!((19.9..20.1).contains(&p99), "{p99}");
        assert_eq!(record.quantile_ms(Step::Confirm, 0.99), None);
        assert_eq!(
            record.slots(Step::Place)[3].done,
            1,
            "the warm-up is on the timeline"
        );
    }

    #[test]
    fn the_peak_is_the_best_window_after_the_warm_up() {
        let began = SystemClock.instant();
        let mut record = Recorder::new(began, Duration::from_secs(1));
        // 100 a second, but 200 a second in the third second, and many in the warm-up.
        for ms in 0..4_000_u64 {
            let at = began + Duration::from_millis(ms);
            let every = match ms / 1_000 {
                0 => 1,
                2 => 5,
                _ => 10,
            };
            if ms % every == 0 {
                record.done(Step::Place, at, at);
            }
        }
        let peak = |seconds| {
            record.peak_per_s(
                Step::Place,
                Duration::from_secs(seconds),
                Duration::from_secs(4),
            )
        };
        assert_eq!(peak(1), 200.0);
        assert_eq!(peak(3), 400.0 / 3.0);
    }
}
