//! What a failed entry means for the cursor.

use std::error::Error;

use kit::errors::Fault;

use crate::error::StoreError;

/// What to expect of another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// It may pass by itself: stop and try again.
    Passing,
    /// The same entry will fail in the same way until something else changes: park it.
    Lasting,
    /// Nobody knows: try a few times, then park it.
    Doubtful,
}

pub(super) fn outlook(fault: &Fault) -> Outlook {
    match fault {
        fault if fault.is_transient() => Outlook::Passing,
        Fault::Refused(_) => Outlook::Lasting,
        Fault::Internal(error) if is_lasting(&**error) => Outlook::Lasting,
        _ => Outlook::Doubtful,
    }
}

/// A constraint said no, or bytes could not be read.
fn is_lasting(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(store) = error.downcast_ref::<StoreError>() {
            return store.violation().is_some();
        }
        if error.is::<prost::DecodeError>() || error.is::<prost::UnknownEnumValue>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use contracts::ErrorReason;
    use kit::errors::Refusal;

    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        let refusal = Refusal::new(ErrorReason::WrongState, "no");
        for (fault, expected) in [
            (
                Fault::busy("full", Duration::from_millis(1)),
                Outlook::Passing,
            ),
            (Fault::Conflict("40001".into()), Outlook::Passing),
            (Fault::ConnectionLost("gone".into()), Outlook::Passing),
            (Fault::unknown(), Outlook::Passing),
            (
                refusal.clone().retry_after(Duration::from_millis(1)).into(),
                Outlook::Passing,
            ),
            (refusal.into(), Outlook::Lasting),
            (
                Fault::internal(prost::UnknownEnumValue(9)),
                Outlook::Lasting,
            ),
            (Fault::internal("who knows"), Outlook::Doubtful),
        ] {
            assert_eq!(outlook(&fault), expected, "{fault:?}");
        }
    }
}
