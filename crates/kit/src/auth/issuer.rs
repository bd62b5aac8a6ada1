//! Who may issue tokens, for whom, and with which keys.

use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use contracts::common::v1::Audience;
use contracts::id::PartnerId;
use serde::{Deserialize, Serialize};

use super::jws::{Algorithm, JwsError, Parts, PublicKey};
use super::key::SigningKey;
use crate::caller::{audience_named, audience_word};

/// More keys than this are a mistake.
const MAX_KEYS: usize = 32;

/// One issuer, as config names it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IssuerConfig {
    /// What the tokens' `iss` says.
    pub issuer: String,
    /// The algorithms that its tokens may be signed with: `EdDSA`, `ES256`, `RS256`.
    pub algorithms: Vec<Algorithm>,
    /// Its public keys, as the JSON of a JWK set.
    pub jwks: Option<String>,
    /// The file with its public keys, as the JSON of a JWK set.
    pub jwks_file: Option<PathBuf>,
    /// Whom its tokens may speak for: `partner`, `viewer`, `retailer`.
    pub may_mint: Vec<String>,
    /// The one partner whose tokens it may mint. Required for `partner` and `viewer` in production;
    /// an issuer without it may speak for every partner.
    pub partner_id: Option<String>,
}

/// Why an issuer cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("issuer {issuer:?}: {problem}")]
pub struct IssuerError {
    issuer: String,
    problem: String,
}

impl IssuerError {
    pub(super) fn twice(name: &str) -> Self {
        IssuerError {
            issuer: name.to_owned(),
            problem: "named twice; every issuer has one entry".into(),
        }
    }
}

/// One issuer and its keys.
#[derive(Clone, Debug)]
pub struct Issuer {
    pub(super) name: String,
    algorithms: Vec<Algorithm>,
    keys: Vec<PublicKey>,
    may_mint: Vec<Audience>,
    pub(super) partner_id: Option<PartnerId>,
}

impl Issuer {
    /// The suite itself: its own key, and whichever audiences its own tokens may speak for. Services
    /// need [`Audience::Service`]; a demo mints the others too.
    pub fn own(name: impl Into<String>, key: &SigningKey, may_mint: &[Audience]) -> Self {
        Issuer {
            name: name.into(),
            algorithms: vec![Algorithm::EdDsa],
            keys: vec![key.public_key()],
            may_mint: may_mint.to_vec(),
            partner_id: None,
        }
    }

    /// An issuer from its config; reads the key file, if one is named.
    pub fn from_config(config: &IssuerConfig) -> Result<Self, IssuerError> {
        let problem = |problem: String| IssuerError {
            issuer: config.issuer.clone(),
            problem,
        };
        if config.issuer.is_empty() {
            return Err(problem("issuer must not be empty".into()));
        }
        if config.algorithms.is_empty() {
            return Err(problem(
                "algorithms must name at least one of EdDSA, ES256, RS256".into(),
            ));
        }
        let may_mint = audiences(config).map_err(&problem)?;
        let partner_id = match &config.partner_id {
            None => None,
            Some(text) => Some(
                PartnerId::from_str(text)
                    .map_err(|error| problem(format!("partner_id: {error}")))?,
            ),
        };
        if partner_id.is_some() && may_mint.contains(&Audience::Retailer) {
            return Err(problem(
                "an issuer bound to a partner may not mint retailer tokens".into(),
            ));
        }
        let json = match (&config.jwks, &config.jwks_file) {
            (Some(json), None) => json.clone(),
            (None, Some(path)) => fs::read_to_string(path)
                .map_err(|error| problem(format!("jwks_file {}: {error}", path.display())))?,
            _ => {
                return Err(problem(
                    "exactly one of jwks and jwks_file must be set".into(),
                ));
            }
        };
        let keys = keys_of(&json, &config.algorithms).map_err(&problem)?;
        Ok(Issuer {
            name: config.issuer.clone(),
            algorithms: config.algorithms.clone(),
            keys,
            may_mint,
            partner_id,
        })
    }

    /// Whom a token speaks for, when the issuer may say so.
    pub(super) fn audience(&self, actor: Option<&str>) -> Option<Audience> {
        match actor {
            Some(word) => audience_named(word).filter(|audience| self.may_mint.contains(audience)),
            None if self.may_mint.len() == 1 => self.may_mint.first().copied(),
            None => None,
        }
    }

    /// Whether tokens may be signed this way.
    pub(super) fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Verifies with the key that the header names, or with the only one there is for its algorithm.
    pub(super) fn verify(&self, parts: &Parts<'_>) -> Result<(), JwsError> {
        let mut fitting = self.keys.iter().filter(|key| {
            key.algorithm() == parts.header.alg
                && parts
                    .header
                    .kid
                    .as_deref()
                    .is_none_or(|kid| key.kid() == Some(kid))
        });
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => parts.verify(key),
            _ => Err(JwsError::WrongKey),
        }
    }
}

fn audiences(config: &IssuerConfig) -> Result<Vec<Audience>, String> {
    let mut audiences = Vec::new();
    for word in &config.may_mint {
        match audience_named(word) {
            Some(Audience::Service) => {
                return Err("may_mint: service tokens are the suite's own; leave it out".into());
            }
            Some(audience) => audiences.push(audience),
            None => {
                return Err(format!(
                    "may_mint: {word:?} is none of partner, viewer, retailer"
                ));
            }
        }
    }
    audiences.sort_by_key(|audience| audience_word(*audience));
    audiences.dedup();
    if audiences.is_empty() {
        return Err("may_mint must name at least one of partner, viewer, retailer".into());
    }
    Ok(audiences)
}

fn keys_of(json: &str, algorithms: &[Algorithm]) -> Result<Vec<PublicKey>, String> {
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
    let keys: Vec<PublicKey> = set
        .keys
        .iter()
        .filter_map(|value| PublicKey::from_jwk_value(value).ok())
        .filter(|key| algorithms.contains(&key.algorithm()))
        .collect();
    for (index, key) in keys.iter().enumerate() {
        let twin = keys[..index]
            .iter()
            .any(|other| other.algorithm() == key.algorithm() && other.kid() == key.kid());
        if twin {
            return Err(format!(
                "jwks has two keys with the kid {:?}",
                key.kid().unwrap_or_default()
            ));
        }
    }
    if keys.is_empty() {
        return Err("jwks has no public key for the allowed algorithms".into());
    }
    Ok(keys)
}
