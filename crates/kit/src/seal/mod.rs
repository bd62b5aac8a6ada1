//! Sealing of personal data: what is kept of a person is unreadable without that person's key.
//!
//! Each shopper has data keys ([`DataKey`], AES-256-GCM), one for each kind of personal data. What is sealed is bound to
//! its [`Place`], so that a row's content put into another row does not open. Data keys are kept wrapped by a key of the
//! retailer behind [`KeyWrap`]: a file ([`FileKeys`]), or a key management service. Whoever destroys a data key has erased
//! all that was sealed with it, wherever copies of it lie.

mod file;
mod wrap;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

pub use file::{FileKeys, KeyFileError};
pub use wrap::{KeyWrap, WrapError, WrapFuture, Wrapped};

/// The bytes of a key; wiped when dropped.
pub type KeyBytes = Zeroizing<[u8; 32]>;

/// The form of what is sealed: this byte, the nonce, then the text with its tag.
const FORM: u8 = 1;
const NONCE_BYTES: usize = 12;

/// A value about a person. It is never printed and never serialised by accident: there is no `Display`, no `Serialize`,
/// and `Debug` hides it.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Personal<T>(T);

impl<T> Personal<T> {
    /// Hides this value.
    pub fn new(value: T) -> Self {
        Personal(value)
    }

    /// The value itself; whoever asks for it is responsible for where it goes.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// The value itself, for good.
    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

impl<T> From<T> for Personal<T> {
    fn from(value: T) -> Self {
        Personal(value)
    }
}

/// Where something sealed is kept. It opens there and nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The row, by its key.
    pub row: &'a str,
    /// The field, or the name of the fields that are sealed together.
    pub field: &'a str,
}

impl<'a> Place<'a> {
    /// A field of a row of a table.
    pub fn new(table: &'a str, row: &'a str, field: &'a str) -> Self {
        Place { table, row, field }
    }
}

/// It cannot be read: it was changed, was sealed for another place, or with another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sealed data cannot be opened with this key at this place")]
pub struct Unreadable;

/// The key that data is sealed with. Its bytes are wiped when the last holder lets go of it.
#[derive(Clone)]
pub struct DataKey {
    id: Arc<str>,
    bytes: Arc<KeyBytes>,
}

impl DataKey {
    /// A key under its name.
    pub fn new(id: impl Into<Arc<str>>, bytes: KeyBytes) -> Self {
        DataKey {
            id: id.into(),
            bytes: Arc::new(bytes),
        }
    }

    /// Its name, which is stored beside what it sealed.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Seals a text for a place.
    pub fn seal(&self, place: Place<'_>, text: &[u8]) -> Vec<u8> {
        let mut sealed = text.to_vec();
        let nonce = self
            .cipher()
            .seal_in_place_append_tag(Aad::from(self.bound(place)), &mut sealed)
            .expect("a text that fits into memory can be sealed");
        let mut out = Vec::with_capacity(1 + NONCE_BYTES + sealed.len());
        out.push(FORM);
        out.extend_from_slice(nonce.as_ref());
        out.extend_from_slice(&sealed);
        out
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unreadable> {
        let (&form, rest) = sealed.split_first().ok_or(Unreadable)?;
        let (nonce, text) = rest.split_at_checked(NONCE_BYTES).ok_or(Unreadable)?;
        if form != FORM {
            return Err(Unreadable);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unreadable)?;
        let mut text = Zeroizing::new(text.to_vec());
        let length = self
            .cipher()
            .open_in_place(nonce, Aad::from(self.bound(place)), &mut text)
            .map_err(|_| Unreadable)?
            .len();
        text.truncate(length);
        Ok(text)
    }

    /// The same, of a text.
    pub fn open_text(&self, place: Place<'_>, sealed: &[u8]) -> Result<String, Unreadable> {
        let text = self.open(place, sealed)?;
        std::str::from_utf8(&text)
            .map(str::to_owned)
            .map_err(|_| Unreadable)
    }

    fn cipher(&self) -> RandomizedNonceKey {
        RandomizedNonceKey::new(&AES_256_GCM, &self.bytes[..]).expect("32 bytes are a key")
    }

    /// What the seal covers beside the text. Every part carries its length, so that none runs into the next.
    fn bound(&self, place: Place<'_>) -> Vec<u8> {
        let mut bound = vec![FORM];
        for part in [&*self.id, place.table, place.row, place.field] {
            bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bound.extend_from_slice(part.as_bytes());
        }
        bound
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.id)
    }
}

#[cfg(test)]
mod security {
    use super::*;

    fn key(id: &str, byte: u8) -> DataKey {
        DataKey::new(id, Zeroizing::new([byte; 32]))
    }

    #[test]
    fn personal_data_opens_with_its_key_at_its_place_only() {
        let place = Place::new("contact", "order_1", "all");
        let sealed = key("k", 1).seal(place, b"Marie Curie");
        assert_eq!(
            key("k", 1).open_text(place, &sealed).as_deref(),
            Ok("Marie Curie")
        );
        let elsewhere = [
            Place::new("contact", "order_2", "all"),
            Place::new("contac", "torder_1", "all"),
            Place::new("message", "order_1", "all"),
            Place::new("contact", "order_1", "name"),
        ];
        for place in elsewhere {
            assert_eq!(
                key("k", 1).open_text(place, &sealed),
                Err(Unreadable),
                "{place:?}"
            );
        }
        for other in [key("k", 2), key("j", 1)] {
            assert_eq!(other.open_text(place, &sealed), Err(Unreadable));
        }
    }

    #[test]
    fn personal_data_that_was_changed_does_not_open() {
        let place = Place::new("t", "r", "f");
        let sealed = key("k", 1).seal(place, b"text");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(
                key("k", 1).open_text(place, &changed),
                Err(Unreadable),
                "byte {at}"
            );
            assert_eq!(
                key("k", 1).open_text(place, &sealed[..at]),
                Err(Unreadable),
                "cut at {at}"
            );
        }
    }

    #[test]
    fn personal_data_is_sealed_differently_each_time() {
        let place = Place::new("t", "r", "f");
        let sealed = |_| key("k", 1).seal(place, b"text");
        let all: std::collections::BTreeSet<Vec<u8>> = (0..1_000).map(sealed).collect();
        assert_eq!(all.len(), 1_000);
    }

    #[test]
    fn personal_data_and_keys_are_not_in_debug() {
        let printed = format!(
            "{:?} {:?} {:?}",
            Personal::new("Marie"),
            Some(Personal::new(vec!["Marie"])),
            key("k-9", b'M')
        );
        assert!(
            !printed.contains("Marie") && !printed.contains("77"),
            "{printed}"
        );
        assert!(printed.contains("k-9"));
    }
}
