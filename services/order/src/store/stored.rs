//! Reads what was written before. A table that holds something else was changed by somebody else: a fault of
//! ours, never the caller's.

use std::fmt::Display;
use std::str::FromStr;

use kit::errors::Fault;

/// An id from a row.
pub fn id<I>(text: &str) -> Result<I, Fault>
where
    I: FromStr,
    I::Err: Display,
{
    text.parse().map_err(|error| Fault::internal(format!("a stored id is none: {error}")))
}

/// A word from a row.
pub fn word<W>(text: &str, parse: impl Fn(&str) -> Option<W>) -> Result<W, Fault> {
    parse(text).ok_or_else(|| Fault::internal(format!("a stored word means nothing here: {text}")))
}

/// JSON from a row.
pub fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(Fault::internal)
}
