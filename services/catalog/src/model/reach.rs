//! Where and when something may be sold: sets of territories and periods of time.

use kit::clock::Micros;
use kit::validate::Window;

/// Whether two sets of territories have one in common. An empty set is anywhere.
pub fn territories_meet(one: &[String], other: &[String]) -> bool {
    one.is_empty() || other.is_empty() || one.iter().any(|code| other.contains(code))
}

/// Whether a set of territories lies inside another. An empty set is anywhere.
pub fn territories_within(inner: &[String], outer: &[String]) -> bool {
    outer.is_empty() || (!inner.is_empty() && inner.iter().all(|code| outer.contains(code)))
}

/// Whether two periods have a moment in common that is not over yet.
pub fn windows_meet(one: Window, other: Window, now: Micros) -> bool {
    let starts = [Some(now), one.start, other.start];
    let ends = [one.end, other.end];
    let start = starts.into_iter().flatten().max().unwrap_or(now);
    ends.into_iter().flatten().all(|end| start < end)
}

/// Whether a period lies inside another.
pub fn window_within(inner: Window, outer: Window) -> bool {
    let starts_late_enough = match (inner.start, outer.start) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(inner), Some(outer)) => inner >= outer,
    };
    let ends_early_enough = match (inner.end, outer.end) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(inner), Some(outer)) => inner <= outer,
    };
    starts_late_enough && ends_early_enough
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn codes() -> impl Strategy<Value = Vec<String>> {
        proptest::sample::subsequence(vec!["AT", "CH", "DE", "FR"], 0..=4)
            .prop_map(|codes| codes.into_iter().map(str::to_owned).collect())
    }

    fn window() -> impl Strategy<Value = Window> {
        let moment = || proptest::option::of(0_i64..12);
        (moment(), moment())
            .prop_filter("a window has a length", |(start, end)| {
                start.zip(*end).is_none_or(|(start, end)| start < end)
            })
            .prop_map(|(start, end)| Window {
                start: start.map(Micros),
                end: end.map(Micros),
            })
    }

    fn sells_to(codes: &[String], code: &str) -> bool {
        codes.is_empty() || codes.iter().any(|known| known == code)
    }

    proptest! {
        #[test]
        fn territories_meet_where_somebody_could_buy_from_both(one in codes(), other in codes()) {
            // XX stands for everywhere else.
            let places = ["AT", "CH", "DE", "FR", "XX"];
            let meet = places.iter().any(|code| sells_to(&one, code) && sells_to(&other, code));
            prop_assert_eq!(territories_meet(&one, &other), meet);
            let within = places.iter().all(|code| !sells_to(&one, code) || sells_to(&other, code));
            prop_assert_eq!(territories_within(&one, &other), within);
        }

        #[test]
        fn windows_meet_where_a_moment_to_come_is_in_both(
            one in window(), other in window(), now in 0_i64..12,
        ) {
            // 12 and later is one like the other.
            let meet = (now..=13).map(Micros).any(|t| one.contains(t) && other.contains(t));
            prop_assert_eq!(windows_meet(one, other, Micros(now)), meet);
            let within = (-1..=13).map(Micros).all(|t| !one.contains(t) || other.contains(t));
            prop_assert_eq!(window_within(one, other), within);
        }
    }
}
