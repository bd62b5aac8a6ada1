//! A signed word of the suite about where an audit trail ended at some moment.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use kit::auth::SigningKey;
use kit::auth::jws::{self, PublicKey};
use kit::clock::Micros;
use serde::{Deserialize, Serialize};

/// Says in header and content what is signed, so that no other thing signed with the same key can pass for one.
const KIND: &str = "vitrine-audit-checkpoint";

/// Where the trail of a service ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Always the same; see [`KIND`].
    kind: String,
    /// Whose trail.
    pub service: String,
    /// The position of the last row.
    pub position: i64,
    /// The hash of that row, in hex.
    pub hash: String,
    /// When this was signed, in microseconds since 1970.
    pub time: i64,
    /// The file it was written to, without its ending: a line that is moved elsewhere shows.
    pub series: String,
    /// 1 for the first of its file, then one more each: a line that is taken out shows.
    pub number: u64,
}

impl Checkpoint {
    /// A checkpoint to be signed.
    pub fn new(
        service: &str,
        head: &store::audit::Head,
        time: Micros,
        series: &str,
        number: u64,
    ) -> Self {
        Checkpoint {
            kind: KIND.into(),
            service: service.into(),
            position: head.position,
            hash: hex::encode(&head.hash),
            time: time.0,
            series: series.into(),
            number,
        }
    }

    /// One line of text: a compact JWS.
    pub fn sign(&self, key: &SigningKey) -> String {
        let payload = serde_json::to_vec(self).expect("a checkpoint is plain texts and numbers");
        jws::sign(key, KIND, &payload)
    }

    /// Reads a line, when one of the keys signed it.
    pub fn open(line: &str, keys: &Keys) -> Result<Self, String> {
        let Some(kid) = jws::kid_of(line) else {
            return Err("it is no signed checkpoint".into());
        };
        let Some(key) = keys.by_kid.get(&kid) else {
            return Err(format!(
                "it is signed with the key {kid}, which is not among those that were given"
            ));
        };
        let payload = jws::verify(line, key).map_err(|error| error.to_string())?;
        let found: Checkpoint = serde_json::from_slice(&payload)
            .map_err(|_| "its signature is good, but it is no checkpoint".to_owned())?;
        if found.kind != KIND {
            return Err("its signature is good, but it is no checkpoint".into());
        }
        Ok(found)
    }
}

/// The public keys that checkpoints may be signed with, by their names.
#[derive(Default)]
pub struct Keys {
    by_kid: BTreeMap<String, PublicKey>,
}

impl Keys {
    /// One key.
    pub fn of(key: &SigningKey) -> Self {
        let mut keys = Keys::default();
        keys.by_kid.insert(key.kid().into(), key.public_key());
        keys
    }

    /// The keys of files: each a JWK, a JWK set, or a private key in PEM.
    pub fn load<P: AsRef<Path>>(files: &[P]) -> anyhow::Result<Self> {
        let mut keys = Keys::default();
        for file in files.iter().map(AsRef::as_ref) {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("the key file {} could not be read", file.display()))?;
            keys.add(&text)
                .with_context(|| format!("the key file {}", file.display()))?;
        }
        Ok(keys)
    }

    fn add(&mut self, text: &str) -> anyhow::Result<()> {
        if text.trim_start().starts_with("-----") {
            let key = SigningKey::from_pem(text)?;
            self.by_kid.insert(key.kid().into(), key.public_key());
            return Ok(());
        }
        let value: serde_json::Value = serde_json::from_str(text)
            .context("is neither a JWK, nor a JWK set, nor a private key in PEM")?;
        let listed = match value.get("keys").and_then(|keys| keys.as_array()) {
            Some(listed) => listed.clone(),
            None => vec![value],
        };
        for jwk in &listed {
            let key = PublicKey::from_jwk_value(jwk)?;
            let Some(kid) = key.kid() else {
                bail!("holds a key without a kid: vitrine audit key prints one that has it");
            };
            self.by_kid.insert(kid.to_owned(), key);
        }
        Ok(())
    }
}
