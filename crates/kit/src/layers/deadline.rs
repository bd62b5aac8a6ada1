//! The time a call may take.
//!
//! tonic's own timeout answers CANCELLED, covers only the time to headers and takes garbage for "none";
//! this one answers DEADLINE_EXCEEDED with a reason, covers streams too and refuses garbage. What is left
//! goes along in the request's extensions and in the [`crate::scope::Scope`].

use std::time::Duration;

use http::HeaderMap;

use super::{Call, Handle, LayerDeps, Request, Response, Target, refuse};
use crate::clock::SharedClock;
use crate::errors::{ErrorReason, Refusal};
use crate::telemetry::Metrics;

pub(crate) const GRPC_TIMEOUT: &str = "grpc-timeout";

pub(super) struct EnforceDeadline<N> {
    next: N,
    cap: Duration,
    clock: SharedClock,
    metrics: Metrics,
}

impl<N> EnforceDeadline<N> {
    pub(super) fn new(next: N, deps: &LayerDeps) -> Self {
        EnforceDeadline {
            next,
            cap: Duration::from_millis(deps.config.deadline_cap_ms),
            clock: deps.clock.clone(),
            metrics: deps.metrics.clone(),
        }
    }

    /// A unary call always has a deadline and never more than the cap. A stream has one only when its
    /// caller or its policy names one: most live until either side ends them.
    fn time_for(&self, target: &Target, asked: Option<Duration>) -> Option<Duration> {
        let default = match target {
            Target::Method(policy) => policy.default_deadline,
            _ => None,
        };
        let wanted = asked.or(default);
        if target.streams() {
            wanted
        } else {
            Some(wanted.unwrap_or(self.cap).min(self.cap))
        }
    }
}

impl<N: Handle> Handle for EnforceDeadline<N> {
    async fn handle(&self, call: &mut Call, request: Request) -> Response {
        let asked = match asked_for(request.headers()) {
            Ok(asked) => asked,
            Err(refusal) => {
                self.metrics.refused("deadline", "unparsable");
                return refuse(refusal);
            }
        };
        let Some(time) = self.time_for(&call.target, asked) else {
            return self.next.handle(call, request).await;
        };
        call.deadline = self.clock.instant().checked_add(time);
        if time.is_zero() {
            self.metrics.refused("deadline", "over");
            return refuse(exceeded(&call.target));
        }
        let answer = tokio::time::timeout(time, self.next.handle(call, request)).await;
        answer.unwrap_or_else(|_| refuse(exceeded(&call.target)))
    }
}

/// The refusal for a call whose time is over.
pub(super) fn exceeded(target: &Target) -> Refusal {
    let is_mutation = matches!(target, Target::Method(policy) if policy.is_mutation());
    let message = if is_mutation {
        "The time for this call is over and whether it was done cannot be told; ask again with the same key."
    } else {
        "The time for this call is over; ask again, or with a longer deadline."
    };
    Refusal::new(ErrorReason::Deadline, message)
}

fn asked_for(headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let mut sent = headers.get_all(GRPC_TIMEOUT).iter();
    let Some(value) = sent.next() else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(parse_timeout);
    match (parsed, sent.next()) {
        (Some(time), None) => Ok(Some(time)),
        _ => Err(Refusal::invalid(
            GRPC_TIMEOUT,
            "must be 1 to 8 digits and one of H, M, S, m, u, n, and be sent once.",
        )),
    }
}

/// `TimeoutValue TimeoutUnit` of the gRPC specification.
pub(crate) fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// The same as text, never longer than the time given.
pub(crate) fn format_timeout(time: Duration) -> String {
    const MOST: u128 = 99_999_999;
    let units = [
        (time.as_micros(), "u"),
        (time.as_millis(), "m"),
        (u128::from(time.as_secs()), "S"),
    ];
    match units.into_iter().find(|(count, _)| *count <= MOST) {
        Some((count, unit)) => format!("{count}{unit}"),
        None => format!("{MOST}S"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn timeouts_survive_the_wire_and_never_grow(micros in 0u64..1_000_000_000_000_000) {
            let time = Duration::from_micros(micros);
            let back = parse_timeout(&format_timeout(time)).expect("our own text");
            prop_assert!(back <= time);
            prop_assert!(time.is_zero() || time - back <= time / 1_000 || time > Duration::from_secs(99_999_999));
        }

        #[test]
        fn garbage_is_no_timeout(text in ".{0,12}") {
            if let Some(time) = parse_timeout(&text) {
                prop_assert!(text.len() >= 2 && text.len() <= 9);
                prop_assert!(time <= Duration::from_secs(99_999_999 * 3_600));
            }
        }
    }

    #[test]
    fn units_are_the_specifications() {
        let cases = [
            ("1H", Some(3_600_000)),
            ("2M", Some(120_000)),
            ("3S", Some(3_000)),
            ("4m", Some(4)),
            ("1000u", Some(1)),
            ("99999999m", Some(99_999_999)),
            ("0S", Some(0)),
            ("", None),
            ("S", None),
            ("1", None),
            ("1s", None),
            ("-1S", None),
            ("+1S", None),
            ("100000000m", None),
            ("1.5S", None),
            (" 1S", None),
            ("1S ", None),
            ("1é", None),
            ("é", None),
        ];
        for (text, millis) in cases {
            assert_eq!(
                parse_timeout(text),
                millis.map(Duration::from_millis),
                "{text:?}"
            );
        }
    }
}
