//! The key that wraps data keys, wherever it lives.

use std::pin::Pin;

use super::{KeyBytes, Unreadable};

/// Why a data key was not wrapped or unwrapped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// The wrapping key is gone: retired, or never of this keeper.
    #[error(
        "the wrapping key {0} is not there; was it retired before all data keys were wrapped anew?"
    )]
    UnknownKey(String),
    /// The wrapped key was changed, or belongs to another.
    #[error("a wrapped data key cannot be opened")]
    Unreadable,
    /// The keeper of the wrapping key does not answer. Trying again may help.
    #[error("the keeper of the wrapping key does not answer: {0}")]
    Unavailable(String),
}

impl From<Unreadable> for WrapError {
    fn from(_: Unreadable) -> Self {
        WrapError::Unreadable
    }
}

/// A data key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// The key that it is wrapped with.
    pub wrapping_key: String,
    /// The wrapped bytes.
    pub bytes: Vec<u8>,
}

/// What a [`KeyWrap`] answers, later.
pub type WrapFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, WrapError>> + Send + 'a>>;

/// Who keeps the key that wraps data keys.
///
/// The suite has [`super::FileKeys`]. A key management service is used by implementing this with its `Encrypt` and
/// `Decrypt` calls: `context` is what such services call additional data or encryption context, and has to be the same
/// for both; `newest` is the id (with its version, where versions are ids) that new keys are wrapped with. Wrapping and
/// unwrapping happen once for each shopper and then from memory for as long as [`crate::seal`]'s users cache keys, so a
/// service that answers within some tens of milliseconds is fast enough. An implementation must not cache what it
/// unwraps, must not log it, and says [`WrapError::Unavailable`] for whatever may be mended by trying again.
pub trait KeyWrap: Send + Sync + 'static {
    /// The key that new data keys are wrapped with.
    fn newest(&self) -> WrapFuture<'_, String>;

    /// Wraps a data key with the newest key.
    fn wrap<'a>(&'a self, key: &'a KeyBytes, context: &'a str) -> WrapFuture<'a, Wrapped>;

    /// Unwraps a data key. The context is the one it was wrapped with.
    fn unwrap<'a>(&'a self, wrapped: &'a Wrapped, context: &'a str) -> WrapFuture<'a, KeyBytes>;
}
