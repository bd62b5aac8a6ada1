//! The retry rules of the README, in code. `suite/retry_rules.rs` holds the two against each other.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// What the retry rules make of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The suite's answer is no; it had no effect.
    Answer,
    /// Not done: again, not before the time that the server named.
    NotDone(Option<Duration>),
    /// Perhaps done: again with the same key.
    Unknown,
}

/// The retry rules of the README. `ErrorInfo` of the domain `vitrine` is the suite's own word; an error without it is
/// the word of a library, a proxy or a broken connection, which cannot know what was done.
pub fn verdict(status: &Status) -> Verdict {
    let details = status.get_error_details();
    let reason = details
        .error_info()
        .filter(|info| info.domain == kit::errors::DOMAIN)
        .map(|info| info.reason.as_str());
    match reason {
        Some("OVERLOADED" | "RATE_LIMITED" | "DRAINING") => {
            Verdict::NotDone(details.retry_info().and_then(|info| info.retry_delay))
        }
        Some("DEADLINE" | "OUTCOME_UNKNOWN" | "INTERNAL") => Verdict::Unknown,
        Some(_) => Verdict::Answer,
        None => match status.code() {
            Code::Unavailable
            | Code::Unknown
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::ResourceExhausted => Verdict::Unknown,
            _ => Verdict::Answer,
        },
    }
}

/// The reason of a refusal, such as `SOLD_OUT`; empty where there is none.
pub fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map_or_else(String::new, |info| info.reason)
}
