//! Text that must not be printed.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is printed in a secret's place.
pub(super) const HIDDEN: &str = "***";

/// The name by which the config reader knows a secret, so that no message about it quotes its text.
pub(super) const NEWTYPE: &str = "$vitrine::Secret";

/// Text that is printed as `***` wherever it goes, and wiped from memory when dropped. Empty means unset,
/// and is printed as such.
#[derive(Clone, Default)]
pub struct Secret(SecretString);

impl Secret {
    /// Hides this text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(SecretString::from(text.into()))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether nothing was set.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }

    fn shown(&self) -> &'static str {
        if self.is_empty() { "" } else { HIDDEN }
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret::new(text)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.shown())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(NEWTYPE, SecretVisitor)
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Secret, D::Error> {
        deserializer.deserialize_string(self)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        if text == HIDDEN {
            // Somebody fed printed configuration back in.
            return Err(E::custom(
                "is a secret that was printed as ***, give the secret itself",
            ));
        }
        Ok(Secret::new(text))
    }
}

/// Hides the password in every `scheme://user:password@host` of a configuration.
pub(super) fn hide_passwords(value: &mut toml::Value) {
    match value {
        toml::Value::String(text) => {
            if let Some(hidden) = without_password(text) {
                *text = hidden;
            }
        }
        toml::Value::Array(items) => items.iter_mut().for_each(hide_passwords),
        toml::Value::Table(table) => table
            .iter_mut()
            .for_each(|(_, value)| hide_passwords(value)),
        _ => {}
    }
}

fn without_password(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (user_info, _) = rest[..end].rsplit_once('@')?;
    let (user, password) = user_info.split_once(':')?;
    if password.is_empty() {
        return None;
    }
    Some(format!(
        "{scheme}://{user}:{HIDDEN}{}",
        &rest[user_info.len()..]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_addresses_are_hidden() {
        for (text, shown) in [
            (
                "postgres://u:p@host:5432/db?x=y@z",
                "postgres://u:***@host:5432/db?x=y@z",
            ),
            ("postgres://u:p@ss@host", "postgres://u:***@host"),
            ("postgres://u@host/db", "postgres://u@host/db"),
            ("http://host/a:b@c", "http://host/a:b@c"),
            ("plain:text@x", "plain:text@x"),
        ] {
            let mut value = toml::Value::Array(vec![text.into()]);
            hide_passwords(&mut value);
            assert_eq!(value, toml::Value::Array(vec![shown.into()]));
        }
    }
}
