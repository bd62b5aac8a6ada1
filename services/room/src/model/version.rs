//! How often a thing was changed, and the etag that callers see of it.

use kit::errors::{ErrorReason, Refusal};

/// The opaque text that callers hand back to say which version they have read.
pub fn etag(version: i64) -> String {
    format!("v{version}")
}

/// Refuses when the caller has read another version. Without an etag every version will do.
pub fn require_etag(version: i64, sent: Option<&str>, kind: &str) -> Result<(), Refusal> {
    match sent {
        Some(sent) if sent != etag(version) => Err(Refusal::new(
            ErrorReason::EtagMismatch,
            format!(
                "The {kind} was changed since it was read; read it again, then decide on what it says now."
            ),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_fits_one_version_only() {
        assert_eq!(require_etag(2, None, "room"), Ok(()));
        assert_eq!(require_etag(2, Some(&etag(2)), "room"), Ok(()));
        for other in ["v1", "v3", "2", "v02", ""] {
            let refusal = require_etag(2, Some(other), "room").expect_err(other);
            assert_eq!(refusal.reason, ErrorReason::EtagMismatch);
        }
    }
}
