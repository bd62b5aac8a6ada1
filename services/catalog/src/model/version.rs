//! How often a thing was changed, and the etag that callers see of it.

use kit::errors::{ErrorReason, Refusal};

/// How often a thing was changed, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub i64);

impl Version {
    /// The version of what was just made.
    pub const FIRST: Version = Version(1);

    /// The version after one more change.
    #[must_use]
    pub fn next(self) -> Version {
        Version(self.0.saturating_add(1))
    }

    /// The opaque text that callers hand back to say which version they have read.
    pub fn etag(self) -> String {
        format!("v{}", self.0)
    }

    /// Refuses when the caller has read another version. Without an etag every version will do.
    pub fn require(self, etag: Option<&str>, kind: &str) -> Result<(), Refusal> {
        match etag {
            Some(etag) if etag != self.etag() => Err(Refusal::new(
                ErrorReason::EtagMismatch,
                format!(
                    "The {kind} was changed since it was read; read it again, then decide on what it says now."
                ),
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_fits_one_version_only() {
        let second = Version::FIRST.next();
        assert_eq!(second.require(None, "listing"), Ok(()));
        assert_eq!(second.require(Some(&second.etag()), "listing"), Ok(()));
        for other in ["v1", "v3", "2", "v02", ""] {
            let refusal = second.require(Some(other), "listing").expect_err(other);
            assert_eq!(refusal.reason, ErrorReason::EtagMismatch);
        }
    }
}
