//! The one table from reasons to gRPC codes.

use contracts::ErrorReason;
use tonic::Code;

/// The gRPC code of a reason, as `errors.proto` names it beside each value.
pub fn code_of(reason: ErrorReason) -> Code {
    use ErrorReason as R;
    match reason {
        R::InvalidField
        | R::BadPageToken
        | R::BadCursor
        | R::BadQuote
        | R::BadLink
        | R::MixedCurrency => Code::InvalidArgument,
        R::NotFound => Code::NotFound,
        R::KeyReused | R::AlreadyExists => Code::AlreadyExists,
        R::EtagMismatch => Code::Aborted,
        R::NotOffered => Code::Unimplemented,
        R::Unauthenticated | R::BadSignature | R::BadStatement => Code::Unauthenticated,
        R::PermissionDenied | R::WrongListener => Code::PermissionDenied,
        R::Overloaded | R::Draining => Code::Unavailable,
        R::RateLimited => Code::ResourceExhausted,
        R::Deadline => Code::DeadlineExceeded,
        R::OutcomeUnknown => Code::Unknown,
        R::Unspecified | R::Internal => Code::Internal,
        R::CursorExpired => Code::OutOfRange,
        R::WrongState
        | R::PartnerSuspended
        | R::SelfApproval
        | R::OutsideWindow
        | R::HostNotApproved
        | R::NotAllowedHere
        | R::ProgrammeClash
        | R::SoldOut
        | R::PriceChanged
        | R::ListingNotLive
        | R::LimitExceeded
        | R::ListingRedirects
        | R::Territory
        | R::SaleStopped
        | R::QuoteExpired
        | R::HoldExpired
        | R::HoldCap
        | R::NoAllotment
        | R::DropClosed
        | R::StockInUse
        | R::OverQuantity
        | R::RefundContradicted
        | R::ShipBlocked
        | R::TooLate
        | R::ListingInApp
        | R::NoLinkAddress
        | R::LinkExpired
        | R::RateMissing
        | R::CaseClosed
        | R::LevelNotHigher
        | R::OutcomeMissing
        | R::ArbiterMissing
        | R::NotTheArbiter
        | R::DecisionPending => Code::FailedPrecondition,
    }
}

const PREFIX: &str = "ERROR_REASON_";

/// The reason as it travels: `SOLD_OUT`.
pub fn reason_name(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// The reason that travelled under `name`.
pub(super) fn reason_named(name: &str) -> Option<ErrorReason> {
    ErrorReason::from_str_name(&format!("{PREFIX}{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The comment in the contract is what integrators read; the table must say the same.
    #[test]
    fn the_table_says_what_the_contract_says() {
        let proto = include_str!("../../../../proto/vitrine/common/v1/errors.proto");
        // The first line of a comment names the code; there may be more.
        let mut comment: Option<&str> = None;
        let mut checked = 0;
        for line in proto.lines().map(str::trim) {
            if let Some(text) = line.strip_prefix("// ") {
                comment.get_or_insert(text);
                continue;
            }
            let comment = comment.take().unwrap_or_default();
            if let Some((name, _)) = line
                .split_once(" = ")
                .filter(|(name, _)| name.starts_with(PREFIX))
            {
                let reason =
                    ErrorReason::from_str_name(name).expect("the generated code has every reason");
                assert_eq!(reason_named(reason_name(reason)), Some(reason));
                if reason != ErrorReason::Unspecified {
                    let said = comment.split(':').next().unwrap_or_default();
                    assert_eq!(said, shouted(code_of(reason)), "{name}");
                    checked += 1;
                }
            }
        }
        assert!(checked > 40, "only {checked} reasons found");
    }

    fn shouted(code: Code) -> String {
        let mut text = String::new();
        for letter in format!("{code:?}").chars() {
            if letter.is_uppercase() && !text.is_empty() {
                text.push('_');
            }
            text.push(letter.to_ascii_uppercase());
        }
        text
    }
}
