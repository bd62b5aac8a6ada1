//! Who is the same person at several partners, without keeping who it is.
//!
//! The retailer names people by keys of its own, which may be customer numbers. What is kept is an HMAC of them under
//! the service's secret: good for counting, useless to whoever finds it in a table.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::config::{Config, PersonLimits};

/// The shortest secret that keys of people may be hashed with.
const SECRET_BYTES_MIN: usize = 32;
/// Keeps this use of the secret apart from any other.
const CONTEXT: &[u8] = b"vitrine.order.person.v1";

/// Hashes keys of people.
#[derive(Debug)]
pub struct PersonHasher {
    key: hmac::Key,
}

impl PersonHasher {
    /// None where limits per person are off. An error says what is wrong with the configuration.
    pub fn new(config: &Config) -> Result<Option<Self>, String> {
        if config.person_limits == PersonLimits::Off {
            return Ok(None);
        }
        let secret = config.person_secret.expose();
        if secret.len() < SECRET_BYTES_MIN {
            return Err(format!(
                "order.person_secret must have at least {SECRET_BYTES_MIN} characters when order.person_limits is on"
            ));
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        Ok(Some(PersonHasher { key }))
    }

    /// What is kept of a person's key.
    pub fn hash(&self, person_key: &str) -> String {
        let tag = hmac::sign(&self.key, &[CONTEXT, person_key.as_bytes()].concat());
        URL_SAFE_NO_PAD.encode(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(secret: &str) -> Config {
        Config {
            person_limits: PersonLimits::On,
            person_secret: secret.into(),
            ..Config::default()
        }
    }

    #[test]
    fn the_same_key_is_the_same_person_under_one_secret_only() {
        let hasher = |secret: &str| {
            PersonHasher::new(&config(secret))
                .expect("a good secret")
                .expect("on")
        };
        let one = hasher("a secret of 32 characters or more");
        assert_eq!(one.hash("4711"), one.hash("4711"));
        assert_ne!(one.hash("4711"), one.hash("4712"));
        assert!(!one.hash("4711").contains("4711"));
        let other = hasher("another secret of 32 characters or more");
        assert_ne!(one.hash("4711"), other.hash("4711"));
    }

    #[test]
    fn off_needs_no_secret_and_on_needs_a_long_one() {
        assert!(matches!(PersonHasher::new(&Config::default()), Ok(None)));
        assert!(PersonHasher::new(&config("short")).is_err());
    }
}
