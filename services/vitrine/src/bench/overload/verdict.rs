//! What an overload came to: what was done in time, and when it was over.

use std::time::Duration;

use serde_json::json;

use super::super::load::Driven;
use super::super::record::SLOT;
use super::Part;
use super::crowd::{Books, Slot};

/// It is over when so much is served again as before, over so long.
const RECOVERED: f64 = 0.95;
const RECOVERED_SLOTS: usize = 4;

/// What a part found.
pub(super) struct Found {
    pub(super) part: Part,
    pub(super) peak: f64,
    pub(super) good: f64,
    /// None when it never was.
    pub(super) recovery: Option<Duration>,
    pub(super) refused: u64,
}

/// How long the stages are.
pub(super) struct Times {
    pub(super) before: Duration,
    pub(super) over: Duration,
    pub(super) after: Duration,
}

/// What the books say of one part.
pub(super) fn judge(
    part: Part,
    peak: f64,
    books: &Books,
    times: &Times,
    driven: &Driven,
) -> (Found, serde_json::Value) {
    let (begins, ends) = (times.before, times.before + times.over);
    let good = books.good_per_s(begins, ends);
    let earlier = books.between(begins / 3, begins);
    let usual = served(&earlier);
    let later = books.between(ends, ends + times.after);
    let overloaded = books.between(begins, ends);
    let came: u64 = overloaded.iter().map(|slot| slot.due).sum();
    let found = Found {
        part,
        peak,
        good,
        recovery: recovery(&later, usual),
        refused: books.confirmations_refused(),
    };
    let whole = books.between(Duration::ZERO, ends + times.after);
    let timeline: Vec<u64> = whole.iter().map(|slot| slot.good).collect();
    let told = json!({
        "offered_per_s": came as f64 / times.over.as_secs_f64(),
        "offered_times": came as f64 / times.over.as_secs_f64() / peak,
        "turned_away_by_generator": driven.turned_away,
        "left_by_generator": driven.left,
        "generator_behind_p50_ms": books.behind.value_at_quantile(0.5) as f64 / 1_000.0,
        "generator_behind_p99_ms": books.behind.value_at_quantile(0.99) as f64 / 1_000.0,
        "served_before": usual,
        "goodput_before_per_s": books.good_per_s(begins / 3, begins),
        "goodput_after_per_s": books.good_per_s(ends, ends + times.after),
        "came": books.due, "placed": books.placed, "paid": books.paid, "in_time": books.good, "too_late": books.late,
        "not_placed": books.refused, "not_confirmed": books.unconfirmed, "not_paid": books.not_paid,
        "slot_s": SLOT.as_secs_f64(),
        "goodput_per_slot": timeline,
        "overload_from_s": begins.as_secs_f64(), "overload_to_s": ends.as_secs_f64(),
    });
    (found, told)
}

/// The share of those who were due that had their order in time.
fn served(slots: &[Slot]) -> f64 {
    let due: u64 = slots.iter().map(|slot| slot.due).sum();
    let served: u64 = slots.iter().map(|slot| slot.served).sum();
    served as f64 / due.max(1) as f64
}

/// When those who come are served again as they usually are: in the first slot of a second in which they are.
fn recovery(later: &[Slot], usual: f64) -> Option<Duration> {
    let enough = |slots: &[Slot]| served(slots) >= RECOVERED * usual;
    let first = later
        .windows(RECOVERED_SLOTS)
        .position(|second| enough(second) && enough(&second[..1]))?;
    Some(SLOT * u32::try_from(first).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_when_a_whole_second_is_served_as_usual() {
        let slot = |served| Slot {
            due: 100,
            served,
            good: 0,
        };
        let slots: Vec<Slot> = [0, 99, 10, 94, 99, 99, 99, 99].map(slot).to_vec();
        assert_eq!(recovery(&slots, 1.0), Some(SLOT * 4));
        assert_eq!(recovery(&slots, 0.1), Some(SLOT));
        assert_eq!(recovery(&slots[..6], 1.0), None);
        assert_eq!(recovery(&slots[4..], 1.0), Some(Duration::ZERO));
    }
}
