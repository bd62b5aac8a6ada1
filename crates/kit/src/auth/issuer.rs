//! Who may issue tokens, for whom, and with which keys.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use contracts::common::v1::Audience;
use contracts::id::PartnerId;
use serde::{Deserialize, Serialize};

use super::fetch::JwksUrl;
use super::jwks::{Keys, Source};
use super::jws::{Algorithm, PublicKey};
use super::key::SigningKey;
use super::peer::{PeerCertificate, is_spiffe_id, sha256_of_text};
use super::verifier::AuthError;
use crate::caller::{audience_named, audience_word};
use crate::clock::Micros;

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
    /// The file with its public keys, as the JSON of a JWK set; read again every `auth.jwks_refresh_s`.
    pub jwks_file: Option<PathBuf>,
    /// The https address of its public keys (http only on this machine); asked again every `auth.jwks_refresh_s`.
    pub jwks_url: Option<String>,
    /// Whom its tokens may speak for: `partner`, `viewer`, `retailer`.
    pub may_mint: Vec<String>,
    /// The one partner whose tokens it may mint. Required for `partner` and `viewer` in production;
    /// an issuer without it may speak for every partner.
    pub partner_id: Option<String>,
    /// The SPIFFE ids of the client certificates that its tokens may come with; any when empty.
    pub spiffe_ids: Vec<String>,
    /// The SHA-256 fingerprints of the client certificates that its tokens may come with, hexadecimal; any when empty.
    /// With both lists a certificate must be in both. Neither is for VIEWER tokens.
    pub certificate_sha256: Vec<String>,
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
    pub(super) keys: Arc<Keys>,
    may_mint: Vec<Audience>,
    pub(super) partner_id: Option<PartnerId>,
    pub(super) certificates: Option<Arc<CertificateRule>>,
}

/// Which client certificates the tokens of an issuer come with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CertificateRule {
    spiffe_ids: BTreeSet<String>,
    sha256: BTreeSet<[u8; 32]>,
}

impl CertificateRule {
    /// None when any certificate will do.
    fn from_config(config: &IssuerConfig) -> Result<Option<Self>, String> {
        if let Some(bad) = config.spiffe_ids.iter().find(|id| !is_spiffe_id(id)) {
            return Err(format!(
                "spiffe_ids: {bad:?} is no spiffe://trust-domain/path"
            ));
        }
        let sha256 = config
            .certificate_sha256
            .iter()
            .map(|text| {
                sha256_of_text(text).ok_or_else(|| {
                    format!("certificate_sha256: {text:?} is no SHA-256 of 64 hexadecimal digits")
                })
            })
            .collect::<Result<BTreeSet<_>, _>>()?;
        let rule = CertificateRule {
            spiffe_ids: config.spiffe_ids.iter().cloned().collect(),
            sha256,
        };
        Ok((!rule.spiffe_ids.is_empty() || !rule.sha256.is_empty()).then_some(rule))
    }

    pub(super) fn check(&self, shown: &PeerCertificate) -> Result<(), AuthError> {
        let named = |id: &str| self.spiffe_ids.contains(id);
        if !self.spiffe_ids.is_empty() && !shown.spiffe_id().is_some_and(named) {
            return Err(AuthError::OtherSpiffeId);
        }
        if !self.sha256.is_empty() && !self.sha256.contains(shown.sha256()) {
            return Err(AuthError::NotPinned);
        }
        Ok(())
    }
}

impl Issuer {
    /// The suite itself: its own key, and whichever audiences its own tokens may speak for. Services
    /// need [`Audience::Service`]; a demo mints the others too.
    pub fn own(name: impl Into<String>, key: &SigningKey, may_mint: &[Audience]) -> Self {
        Issuer {
            name: name.into(),
            algorithms: vec![Algorithm::EdDsa],
            keys: Arc::new(Keys::fixed(key.public_key())),
            may_mint: may_mint.to_vec(),
            partner_id: None,
            certificates: None,
        }
    }

    /// A partner that signs its tokens with keys of its own, which the catalogue knows; none yet.
    pub(crate) fn registered(name: String, partner_id: PartnerId) -> Self {
        let algorithms = vec![Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256];
        Issuer {
            name,
            keys: Arc::new(Keys::none(Source::Fixed, &algorithms)),
            algorithms,
            may_mint: vec![Audience::Partner, Audience::Viewer],
            partner_id: Some(partner_id),
            certificates: None,
        }
    }

    /// The keys of a registered partner from now on, each until its time. Tokens of others are refused at once.
    pub(crate) fn set_keys(&self, keys: Vec<(PublicKey, Micros)>) {
        self.keys.assign(keys);
    }

    /// An issuer from its config; reads the key file, if one is named. Keys that are to be asked for are not there yet.
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
        let certificates = CertificateRule::from_config(config).map_err(&problem)?;
        let keys = keys(config).map_err(&problem)?;
        Ok(Issuer {
            name: config.issuer.clone(),
            algorithms: config.algorithms.clone(),
            keys: Arc::new(keys),
            may_mint,
            partner_id,
            certificates: certificates.map(Arc::new),
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
}

fn keys(config: &IssuerConfig) -> Result<Keys, String> {
    let algorithms = &config.algorithms;
    match (&config.jwks, &config.jwks_file, &config.jwks_url) {
        (Some(json), None, None) => Keys::of(Source::Fixed, algorithms, json),
        (None, Some(path), None) => {
            let json = fs::read_to_string(path)
                .map_err(|error| format!("jwks_file {}: {error}", path.display()))?;
            Keys::of(Source::File(path.clone()), algorithms, &json)
        }
        // Whoever issues tokens may be down when we start; that must not keep us down.
        (None, None, Some(url)) => Ok(Keys::none(Source::Url(JwksUrl::parse(url)?), algorithms)),
        _ => Err("exactly one of jwks, jwks_file and jwks_url must be set".into()),
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
