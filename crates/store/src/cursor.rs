//! Opaque places in a feed.
//!
//! A cursor says which feed and whose view of it it belongs to and after which position to go on. To its
//! holder it is a word without meaning: whose view it is is only there as a hash, so it cannot be used for
//! another's, and its form may change.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::ErrorReason;
use kit::errors::Refusal;
use sha2::{Digest, Sha256};

const VERSION: u8 = 1;
const TAG: usize = 8;
const CHECK: usize = 5;
// A multiple of three, so that the text has no spare bits that could be changed unnoticed.
const LENGTH: usize = 1 + TAG + TAG + 8 + CHECK;

/// One view of one feed in its present life; makes and reads the view's cursors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorSpace {
    view: [u8; TAG],
    epoch: [u8; TAG],
}

impl CursorSpace {
    /// The view that `scope` (a partner's id; empty for the service's own) has of `feed` in `epoch`.
    pub fn new(feed: &str, scope: &str, epoch: &str) -> Self {
        CursorSpace {
            view: tag(&[b"view", feed.as_bytes(), scope.as_bytes()]),
            epoch: tag(&[b"epoch", epoch.as_bytes()]),
        }
    }

    /// The cursor after `position`.
    pub fn encode(&self, position: i64) -> String {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.view);
        bytes.extend_from_slice(&self.epoch);
        bytes.extend_from_slice(&position.to_be_bytes());
        let check = tag(&[b"check", &bytes]);
        bytes.extend_from_slice(&check[..CHECK]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position after which `cursor` goes on; 0, the beginning, for an empty one.
    pub fn decode(&self, cursor: &str) -> Result<i64, Refusal> {
        if cursor.is_empty() {
            return Ok(0);
        }
        let (view, epoch, position) = parse(cursor).ok_or_else(bad_cursor)?;
        if view != self.view {
            return Err(bad_cursor());
        }
        if epoch != self.epoch {
            return Err(cursor_expired());
        }
        Ok(position)
    }
}

fn parse(cursor: &str) -> Option<([u8; TAG], [u8; TAG], i64)> {
    // The length is checked first so that nobody makes us decode a long text.
    if cursor.len() != LENGTH / 3 * 4 {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (body, check) = bytes.split_at_checked(LENGTH - CHECK)?;
    if tag(&[b"check", body])[..CHECK] != *check {
        return None;
    }
    let (version, rest) = body.split_first()?;
    let (view, rest) = rest.split_first_chunk::<TAG>()?;
    let (epoch, position) = rest.split_first_chunk::<TAG>()?;
    let position = i64::from_be_bytes(position.try_into().ok()?);
    (*version == VERSION && position >= 0).then_some((*view, *epoch, position))
}

fn tag(parts: &[&[u8]]) -> [u8; TAG] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let hash = hash.finalize();
    let mut tag = [0; TAG];
    tag.copy_from_slice(&hash[..TAG]);
    tag
}

fn bad_cursor() -> Refusal {
    Refusal::new(
        ErrorReason::BadCursor,
        "The cursor is not one of this feed; send one that this feed gave you, or none to start at the beginning.",
    )
}

pub(crate) fn cursor_expired() -> Refusal {
    Refusal::new(
        ErrorReason::CursorExpired,
        "The feed no longer keeps what follows this cursor; read the lists, then go on from the `head_cursor` of this error.",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const _: () = assert!(LENGTH.is_multiple_of(3));

    fn space() -> CursorSpace {
        CursorSpace::new("order", "partner_1", "e1")
    }

    #[test]
    fn belongs_to_one_view_in_one_epoch() {
        let cursor = space().encode(42);
        assert_eq!(space().decode(&cursor).expect("its own"), 42);
        assert_eq!(space().decode("").expect("the beginning"), 0);
        for other in [
            CursorSpace::new("order", "partner_2", "e1"),
            CursorSpace::new("room", "partner_1", "e1"),
        ] {
            assert_eq!(
                other.decode(&cursor).expect_err("foreign").reason,
                ErrorReason::BadCursor
            );
        }
        let later = CursorSpace::new("order", "partner_1", "e2");
        assert_eq!(
            later.decode(&cursor).expect_err("old").reason,
            ErrorReason::CursorExpired
        );
    }

    proptest! {
        #[test]
        fn comes_back_as_it_was(position in 0..=i64::MAX) {
            prop_assert_eq!(space().decode(&space().encode(position)).expect("its own"), position);
        }

        #[test]
        fn garbage_is_refused(text in "\\PC{1,60}") {
            prop_assert_eq!(space().decode(&text).expect_err("garbage").reason, ErrorReason::BadCursor);
        }

        #[test]
        fn a_changed_letter_is_noticed(position in 0..=i64::MAX, at in 0usize..LENGTH / 3 * 4, letter in "[A-Za-z0-9_-]") {
            let cursor = space().encode(position);
            let mut changed = cursor.clone();
            changed.replace_range(at..=at, &letter);
            prop_assume!(changed != cursor);
            prop_assert_eq!(space().decode(&changed).expect_err("changed").reason, ErrorReason::BadCursor);
        }
    }
}
