//! Faults on the wire, and back.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::reason::reason_named;
use super::{
    BoxError, ErrorReason, Fault, FieldViolation, Precondition, Refusal, code_of, reason_name,
};
use crate::scope::Scope;

/// The domain of every `google.rpc.ErrorInfo` of the suite.
pub const DOMAIN: &str = "vitrine";

pub(super) const UNKNOWN_MESSAGE: &str =
    "Whether this was done cannot be told just now; ask again with the same key.";
const CONFLICT_MESSAGE: &str = "Another change got in the way and nothing was done; try again.";
const LOST_MESSAGE: &str =
    "The server cannot reach its data just now and nothing was done; try again.";
const CONFLICT_RETRY: Duration = Duration::from_millis(50);
const LOST_RETRY: Duration = Duration::from_secs(1);

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let mut details = ErrorDetails::new();
        details.set_error_info(
            reason_name(refusal.reason),
            DOMAIN,
            refusal
                .metadata
                .into_iter()
                .collect::<std::collections::HashMap<_, _>>(),
        );
        for violation in refusal.violations {
            details.add_bad_request_violation(violation.field, violation.description);
        }
        for condition in refusal.preconditions {
            details.add_precondition_failure_violation(
                condition.kind,
                condition.subject,
                condition.description,
            );
        }
        if refusal.retry_after.is_some() {
            details.set_retry_info(refusal.retry_after);
        }
        Status::with_error_details(code_of(refusal.reason), refusal.message, details)
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(refusal) => refusal.into(),
            Fault::Busy {
                message,
                retry_after,
            } => Refusal::new(ErrorReason::Overloaded, message)
                .retry_after(retry_after)
                .into(),
            Fault::Unknown { message } => Refusal::new(ErrorReason::OutcomeUnknown, message).into(),
            Fault::Conflict(error) => {
                tracing::debug!(error = %super::chain(&*error), "conflict answered to the caller");
                Refusal::new(ErrorReason::Overloaded, CONFLICT_MESSAGE)
                    .retry_after(CONFLICT_RETRY)
                    .into()
            }
            Fault::ConnectionLost(error) => {
                tracing::warn!(
                    request_id = Scope::request_id(),
                    error = %super::chain(&*error),
                    "connection to the database lost"
                );
                Refusal::new(ErrorReason::Overloaded, LOST_MESSAGE)
                    .retry_after(LOST_RETRY)
                    .into()
            }
            Fault::Internal(error) => internal(&error),
        }
    }
}

/// Logs a fault of ours under the request id and gives what callers may know of it: the id.
pub fn internal(error: &BoxError) -> Status {
    let request_id = Scope::request_id();
    tracing::error!(request_id, error = %super::chain(&**error), "internal error");
    internal_status(&request_id)
}

/// The answer for a fault that is logged elsewhere.
pub(crate) fn internal_status(request_id: &str) -> Status {
    let message = if request_id.is_empty() {
        "Internal error.".to_owned()
    } else {
        format!("Internal error; name request {request_id} when you report it.")
    };
    let refusal = Refusal::new(ErrorReason::Internal, message);
    if request_id.is_empty() {
        refusal.into()
    } else {
        refusal.with("request_id", request_id).into()
    }
}

impl Fault {
    /// What another service's answer means for the unit that asked.
    ///
    /// Everything that leaves open whether the other side did it is [`Fault::Unknown`]. That our own
    /// token was not accepted is our fault, not our caller's.
    pub fn from_status(status: &Status) -> Fault {
        let details = status.get_error_details();
        let reason = details
            .error_info()
            .filter(|info| info.domain == DOMAIN)
            .and_then(|info| reason_named(&info.reason));
        let retry_after = details.retry_info().and_then(|info| info.retry_delay);
        match reason {
            Some(ErrorReason::Overloaded | ErrorReason::RateLimited | ErrorReason::Draining) => {
                Fault::Busy {
                    message: status.message().to_owned(),
                    retry_after: retry_after.unwrap_or(LOST_RETRY),
                }
            }
            Some(ErrorReason::OutcomeUnknown | ErrorReason::Deadline) => Fault::unknown(),
            Some(
                ErrorReason::Internal
                | ErrorReason::Unauthenticated
                | ErrorReason::PermissionDenied,
            ) => Fault::Internal(Box::new(status.clone())),
            Some(reason) => Fault::Refused(refusal_of(reason, status, &details, retry_after)),
            None => match status.code() {
                Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => {
                    Fault::unknown()
                }
                _ => Fault::Internal(Box::new(status.clone())),
            },
        }
    }
}

fn refusal_of(
    reason: ErrorReason,
    status: &Status,
    details: &ErrorDetails,
    retry_after: Option<Duration>,
) -> Refusal {
    let mut refusal = Refusal::new(reason, status.message());
    refusal.retry_after = retry_after;
    if let Some(info) = details.error_info() {
        refusal.metadata = info.metadata.clone().into_iter().collect();
    }
    if let Some(request) = details.bad_request() {
        refusal.violations = request
            .field_violations
            .iter()
            .map(|violation| FieldViolation {
                field: violation.field.clone(),
                description: violation.description.clone(),
            })
            .collect();
    }
    if let Some(failure) = details.precondition_failure() {
        refusal.preconditions = failure
            .violations
            .iter()
            .map(|violation| Precondition {
                kind: violation.r#type.clone(),
                subject: violation.subject.clone(),
                description: violation.description.clone(),
            })
            .collect();
    }
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(fault: Fault) -> Fault {
        let status = Status::from(fault);
        let (parts, ()) = status.into_http::<()>().into_parts();
        Fault::from_status(&Status::from_header_map(&parts.headers).expect("an error has a status"))
    }

    #[test]
    fn a_refusal_survives_the_wire_whole() {
        let mut refusal = Refusal::invalid("lines[2].quantity", "must be at least 1.")
            .because("STATE", "listing", "PAUSED")
            .with("listing_id", "listing_1")
            .retry_after(Duration::from_millis(1_500));
        refusal.message = "Größer als erlaubt: 100 %.".into();
        match round_trip(refusal.clone().into()) {
            Fault::Refused(back) => assert_eq!(back, refusal),
            other => panic!("expected the refusal, got {other:?}"),
        }
    }

    #[test]
    fn the_three_meanings_stay_apart() {
        let busy = round_trip(Fault::busy("Too much.", Duration::from_secs(2)));
        assert!(
            matches!(busy, Fault::Busy { retry_after, .. } if retry_after == Duration::from_secs(2))
        );
        assert!(matches!(
            round_trip(Fault::Conflict("40001".into())),
            Fault::Busy { .. }
        ));
        assert!(matches!(
            round_trip(Fault::ConnectionLost("gone".into())),
            Fault::Busy { .. }
        ));
        assert!(matches!(
            round_trip(Fault::unknown()),
            Fault::Unknown { .. }
        ));
        assert!(matches!(
            round_trip(Fault::internal("secret")),
            Fault::Internal(_)
        ));
        for code in [
            Code::Unavailable,
            Code::Cancelled,
            Code::DeadlineExceeded,
            Code::Unknown,
        ] {
            assert!(matches!(
                Fault::from_status(&Status::new(code, "x")),
                Fault::Unknown { .. }
            ));
        }
        assert!(matches!(
            Fault::from_status(&Status::new(Code::NotFound, "x")),
            Fault::Internal(_)
        ));
    }

    #[test]
    fn not_found_says_nothing_of_what_was_asked_for() {
        let headers = |refusal: Refusal| Status::from(refusal).into_http::<()>().headers().clone();
        assert_eq!(
            headers(Refusal::not_found("order")),
            headers(Refusal::not_found("order"))
        );
        assert_eq!(
            Status::from(Refusal::not_found("order")).message(),
            "There is no such order, or it is not yours."
        );
    }

    #[tokio::test]
    async fn an_internal_error_shows_the_request_id_and_nothing_else() {
        let scope = Scope {
            request_id: "r-42".into(),
            ..Scope::default()
        };
        let status = scope
            .run(async { Status::from(Fault::internal("password=hunter2")) })
            .await;
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().contains("r-42"));
        let bytes = format!("{status:?}");
        assert!(!bytes.contains("hunter2"), "{bytes}");
        assert_eq!(
            status
                .get_details_error_info()
                .map(|info| info.metadata["request_id"].clone()),
            Some("r-42".to_owned())
        );
    }
}
