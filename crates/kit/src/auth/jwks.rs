//! The public keys of one issuer, as they are now.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use serde::Deserialize;

use super::fetch::JwksUrl;
use super::jws::{Algorithm, JwsError, Parts, PublicKey};
use super::verifier::AuthError;
use crate::clock::Micros;

/// More keys than this are a mistake.
const MAX_KEYS: usize = 32;
/// A longer name of a key is none.
const MAX_KID: usize = 256;

/// Until when a key is good. Whoever was let in with the key holds the same mark, so that a key that is gone is gone
/// for all of them at once.
#[derive(Clone, Debug)]
pub(super) struct Mark(Arc<AtomicI64>);

impl Mark {
    fn until(until: Micros) -> Self {
        Mark(Arc::new(AtomicI64::new(until.0)))
    }

    fn set(&self, until: Micros) {
        self.0.store(until.0, Ordering::Release);
    }

    pub(super) fn is_good(&self, now: Micros) -> bool {
        now.0 < self.0.load(Ordering::Acquire)
    }
}

/// Marks say nothing of whom a token stands for.
impl PartialEq for Mark {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Mark {}

/// Where keys come from.
#[derive(Debug)]
pub(super) enum Source {
    /// They stand in the configuration, or are our own.
    Fixed,
    /// A file that is read again and again.
    File(PathBuf),
    /// An address that is asked again and again.
    Url(JwksUrl),
}

/// An issuer's keys.
#[derive(Debug)]
pub(super) struct Keys {
    source: Source,
    algorithms: Vec<Algorithm>,
    current: ArcSwap<Vec<Key>>,
}

#[derive(Debug)]
struct Key {
    public: PublicKey,
    jwk: serde_json::Value,
    mark: Mark,
}

impl Keys {
    /// Keys from the JSON of a JWK set; at least one of them must be of use.
    pub(super) fn of(source: Source, algorithms: &[Algorithm], json: &str) -> Result<Self, String> {
        let keys = Self::none(source, algorithms);
        keys.replace(json, Micros::MAX)?;
        if keys.current.load().is_empty() {
            return Err("jwks has no public key for the allowed algorithms".into());
        }
        Ok(keys)
    }

    /// No keys yet.
    pub(super) fn none(source: Source, algorithms: &[Algorithm]) -> Self {
        Keys {
            source,
            algorithms: algorithms.to_vec(),
            current: ArcSwap::default(),
        }
    }

    /// One key, for good.
    pub(super) fn fixed(public: PublicKey) -> Self {
        let key = Key {
            jwk: serde_json::Value::Null,
            mark: Mark::until(Micros::MAX),
            public,
        };
        Keys {
            source: Source::Fixed,
            algorithms: vec![key.public.algorithm()],
            current: ArcSwap::from_pointee(vec![key]),
        }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// Takes over what the set says now, good until then; whether it says something new. Keys that it no longer has
    /// are good for nothing from now on. What is no JWK set changes nothing.
    pub(super) fn replace(&self, json: &str, until: Micros) -> Result<bool, String> {
        let found = parse(json, &self.algorithms)?;
        let before = self.current.load_full();
        let mut news = found.len() != before.len();
        let mut now = Vec::with_capacity(found.len());
        for (public, jwk) in found {
            let mark = match before.iter().find(|key| key.jwk == jwk) {
                Some(same) => {
                    same.mark.set(until);
                    same.mark.clone()
                }
                None => {
                    news = true;
                    Mark::until(until)
                }
            };
            now.push(Key { public, jwk, mark });
        }
        let now = Arc::new(now);
        self.current.store(now.clone());
        for gone in before.iter() {
            if !now.iter().any(|key| key.jwk == gone.jwk) {
                gone.mark.set(Micros::MIN);
            }
        }
        Ok(news)
    }

    /// Takes over these keys, each good until its time; their names are unique for ever. Keys that are not among them are
    /// good for nothing from now on.
    pub(super) fn assign(&self, found: Vec<(PublicKey, Micros)>) {
        let before = self.current.load_full();
        let same = |key: &Key, kid: Option<&str>| kid.is_some() && key.public.kid() == kid;
        let mut now = Vec::with_capacity(found.len().min(MAX_KEYS));
        for (public, until) in found.into_iter().take(MAX_KEYS) {
            let known = before.iter().find(|key| same(key, public.kid()));
            let mark = known.map_or_else(|| Mark::until(until), |key| key.mark.clone());
            mark.set(until);
            let jwk = serde_json::Value::Null;
            now.push(Key { public, jwk, mark });
        }
        for gone in before.iter() {
            if !now.iter().any(|key| same(key, gone.public.kid())) {
                gone.mark.set(Micros::MIN);
            }
        }
        self.current.store(Arc::new(now));
    }

    /// Verifies with the key that the header names, or with the only one there is for its algorithm.
    pub(super) fn verify(&self, parts: &Parts<'_>, now: Micros) -> Result<Mark, AuthError> {
        let kid = parts.header.kid.as_deref();
        if kid.is_some_and(|kid| !is_plain(kid)) {
            return Err(AuthError::Jws(JwsError::Malformed));
        }
        let keys = self.current.load();
        let mut fitting = keys.iter().filter(|key| {
            key.public.algorithm() == parts.header.alg
                && kid.is_none_or(|kid| key.public.kid() == Some(kid))
                && key.mark.is_good(now)
        });
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => {
                parts.verify(&key.public)?;
                Ok(key.mark.clone())
            }
            _ => Err(AuthError::UnknownKey),
        }
    }
}

/// A name of a key is only ever compared. What looks like a path or an escape is no name all the same.
fn is_plain(kid: &str) -> bool {
    kid.len() <= MAX_KID
        && kid.bytes().all(|byte| byte.is_ascii_graphic())
        && !kid.starts_with('/')
        && !kid.contains("..")
        && !kid.contains(['\\', '%'])
}

fn parse(
    json: &str,
    algorithms: &[Algorithm],
) -> Result<Vec<(PublicKey, serde_json::Value)>, String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set =
        serde_json::from_str(json).map_err(|error| format!("jwks is no JWK set: {error}"))?;
    if set.keys.len() > MAX_KEYS {
        return Err(format!("jwks has more than {MAX_KEYS} keys"));
    }
    // A provider's set may hold keys for other uses; those are passed over, not refused.
    let keys: Vec<(PublicKey, serde_json::Value)> = set
        .keys
        .into_iter()
        .filter_map(|jwk| Some((PublicKey::from_jwk_value(&jwk).ok()?, jwk)))
        .filter(|(key, _)| algorithms.contains(&key.algorithm()))
        .collect();
    for (index, (key, _)) in keys.iter().enumerate() {
        let twin = keys[..index]
            .iter()
            .any(|(other, _)| other.algorithm() == key.algorithm() && other.kid() == key.kid());
        if twin {
            return Err(format!(
                "jwks has two keys with the kid {:?}",
                key.kid().unwrap_or_default()
            ));
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::{SigningKey, jws};

    const NOW: Micros = Micros(1_000_000);
    const LATER: Micros = Micros(2_000_000);

    fn set(seeds: &[u8]) -> String {
        let keys: Vec<_> = seeds
            .iter()
            .map(|seed| SigningKey::from_seed(&[*seed; 32]).public_jwk())
            .collect();
        json!({ "keys": keys }).to_string()
    }

    fn signed(seed: u8) -> String {
        jws::sign(&SigningKey::from_seed(&[seed; 32]), "JWT", b"{}")
    }

    fn verify(keys: &Keys, token: &str, now: Micros) -> Result<Mark, AuthError> {
        keys.verify(&Parts::of(token).expect("a JWS"), now)
    }

    #[test]
    fn a_key_that_is_gone_takes_its_mark_along_and_one_that_stays_keeps_it() {
        let keys = Keys::of(Source::Fixed, &[Algorithm::EdDsa], &set(&[1, 2])).expect("keys");
        let (one, two) = (signed(1), signed(2));
        let (stays, goes) = (
            verify(&keys, &one, NOW).expect("good"),
            verify(&keys, &two, NOW),
        );
        let goes = goes.expect("good");
        assert_eq!(keys.replace(&set(&[1, 2]), LATER), Ok(false));
        assert_eq!(keys.replace(&set(&[1, 3]), LATER), Ok(true));
        assert!(stays.is_good(NOW) && !goes.is_good(NOW));
        assert!(verify(&keys, &signed(3), NOW).is_ok());
        assert_eq!(verify(&keys, &two, NOW), Err(AuthError::UnknownKey));
        // What is no set changes nothing, an empty one takes all away.
        for bad in ["", "{", "[]", "{}", r#"{"keys": 5}"#] {
            assert!(keys.replace(bad, LATER).is_err(), "{bad}");
        }
        assert!(verify(&keys, &one, NOW).is_ok());
        assert_eq!(keys.replace(r#"{"keys": []}"#, LATER), Ok(true));
        assert!(!stays.is_good(NOW));
    }

    #[test]
    fn keys_that_nobody_confirms_any_longer_end() {
        let keys = Keys::of(Source::Fixed, &[Algorithm::EdDsa], &set(&[1])).expect("keys");
        keys.replace(&set(&[1]), LATER).expect("the same");
        let mark = verify(&keys, &signed(1), NOW).expect("good");
        assert!(!mark.is_good(LATER));
        assert_eq!(verify(&keys, &signed(1), LATER), Err(AuthError::UnknownKey));
        keys.replace(&set(&[1]), Micros(3_000_000)).expect("again");
        assert!(mark.is_good(LATER));
    }

    #[test]
    fn names_of_keys_that_look_like_paths_are_none() {
        for kid in [
            "../../etc/passwd",
            "/dev/null",
            "a\\b",
            "a%2e%2e",
            "a b",
            "a\0",
            &"x".repeat(257),
        ] {
            assert!(!is_plain(kid), "{kid}");
        }
        for kid in [
            "k1",
            "2026-11",
            "abc/def+gh=",
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        ] {
            assert!(is_plain(kid), "{kid}");
        }
    }
}
