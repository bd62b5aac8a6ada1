//! Verification of bearer tokens.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use contracts::common::v1::Audience;
use moka::sync::Cache;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::AuthConfig;
use super::claims::Claims;
use super::identity::Identity;
use super::issuer::{Issuer, IssuerError};
use super::jws::{JwsError, Parts};
use super::peer::Peer;
use super::refresh::Refresh;
use crate::clock::{Micros, SharedClock};
use crate::partners::PartnerDirectory;

/// Why a token is not accepted. For our logs: callers get one and the same sentence for all of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Larger than a token may be.
    #[error("larger than a token may be")]
    TooLarge,
    /// No JWS, or its signature is wrong.
    #[error("{0}")]
    Jws(#[from] JwsError),
    /// The payload is no set of claims.
    #[error("the payload is no set of claims")]
    Malformed,
    /// No issuer of that name.
    #[error("the issuer is not one of ours")]
    UnknownIssuer,
    /// The issuer has no such key, or no longer.
    #[error("the issuer has no such key")]
    UnknownKey,
    /// The issuer may not sign this way.
    #[error("the issuer may not use this algorithm")]
    AlgorithmNotAllowed,
    /// Meant for somebody else.
    #[error("the token is meant for another audience")]
    WrongAudience,
    /// No longer good.
    #[error("expired")]
    Expired,
    /// Not good yet.
    #[error("not valid yet")]
    NotYetValid,
    /// Good for longer than a token may be.
    #[error("valid for longer than a token may be")]
    TooLongLived,
    /// The issuer may not speak for this kind of caller.
    #[error("the issuer may not mint tokens for this actor")]
    ActorNotAllowed,
    /// The issuer is bound to another partner.
    #[error("the issuer may not mint tokens of this partner")]
    ForeignPartner,
    /// A claim is missing or wrong.
    #[error("the claim {0} is missing or wrong")]
    Claim(&'static str),
    /// Came without the certificate that it needs.
    #[error("the connection has no client certificate")]
    CertificateMissing,
    /// Bound to another certificate.
    #[error("the token is bound to another client certificate")]
    OtherCertificate,
    /// Not bound to any.
    #[error("the token is not bound to the client certificate")]
    NotBound,
    /// The issuer names other SPIFFE ids.
    #[error("the client certificate's SPIFFE id is not one of the issuer's")]
    OtherSpiffeId,
    /// The issuer names other certificates.
    #[error("the client certificate is not one that is pinned for the issuer")]
    NotPinned,
    /// Revoked while the connection was open.
    #[error("the client certificate is revoked")]
    CertificateRevoked,
}

impl AuthError {
    /// Whether the token is genuine and only the connection's certificate is at fault.
    pub fn is_about_certificate(&self) -> bool {
        matches!(
            self,
            AuthError::CertificateMissing
                | AuthError::OtherCertificate
                | AuthError::NotBound
                | AuthError::OtherSpiffeId
                | AuthError::NotPinned
                | AuthError::CertificateRevoked
        )
    }
}

/// Verifies bearer tokens; remembers good ones until they expire. Cheap to clone.
#[derive(Clone)]
pub struct TokenVerifier {
    rules: Arc<Rules>,
    state: Arc<ArcSwap<State>>,
    refresh: Refresh,
    partners: PartnerDirectory,
    clock: SharedClock,
}

struct Rules {
    audience: String,
    leeway: Duration,
    max_life: Duration,
    max_viewer_life: Duration,
    max_bytes: usize,
    cached: u64,
    binding_required: bool,
}

/// How many of the tokens verified last are found without a look into the cache, whose bookkeeping costs more than
/// all the rest. Few partners make most calls, each with one token.
const RECENT: usize = 64;

struct State {
    issuers: HashMap<String, Issuer>,
    verified: Cache<[u8; 32], Arc<Identity>>,
    recent: [ArcSwapOption<Recent>; RECENT],
}

struct Recent {
    key: [u8; 32],
    identity: Arc<Identity>,
}

impl TokenVerifier {
    /// A verifier for the tokens of these issuers. Limits come from `config`; its own list of issuers is
    /// not read here, see [`TokenVerifier::from_config`].
    pub fn new(config: &AuthConfig, issuers: Vec<Issuer>, clock: SharedClock) -> Self {
        let rules = Rules {
            audience: config.audience.clone(),
            leeway: Duration::from_secs(config.leeway_s),
            max_life: Duration::from_secs(config.max_token_life_s),
            max_viewer_life: Duration::from_secs(config.max_viewer_token_life_s),
            max_bytes: config.max_token_bytes,
            cached: config.verified_tokens_cached,
            binding_required: config.require_certificate_binding,
        };
        let state = State::new(issuers, &rules);
        TokenVerifier {
            rules: Arc::new(rules),
            state: Arc::new(ArcSwap::from_pointee(state)),
            refresh: Refresh::new(config, clock.clone()),
            partners: PartnerDirectory::new(),
            clock,
        }
    }

    /// Also accepts the tokens that partners sign with the keys that this directory has of them.
    #[must_use]
    pub fn with_partners(self, partners: PartnerDirectory) -> Self {
        TokenVerifier { partners, ..self }
    }

    /// What is known of the partners.
    pub fn partners(&self) -> &PartnerDirectory {
        &self.partners
    }

    /// A verifier for the configured issuers and the suite's `own`.
    pub fn from_config(
        config: &AuthConfig,
        own: Issuer,
        clock: SharedClock,
    ) -> Result<Self, IssuerError> {
        Ok(Self::new(config, Self::issuers(config, own)?, clock))
    }

    /// Takes other issuers, and reads their key files. Tokens verified before are verified anew. When anything is wrong, the old issuers stay.
    pub fn reload(&self, config: &AuthConfig, own: Issuer) -> Result<(), IssuerError> {
        let issuers = Self::issuers(config, own)?;
        self.state.store(Arc::new(State::new(issuers, &self.rules)));
        Ok(())
    }

    fn issuers(config: &AuthConfig, own: Issuer) -> Result<Vec<Issuer>, IssuerError> {
        let mut issuers = vec![own];
        for entry in &config.issuers {
            let issuer = Issuer::from_config(entry)?;
            if issuers.iter().any(|other| other.name == issuer.name) {
                return Err(IssuerError::twice(&issuer.name));
            }
            issuers.push(issuer);
        }
        Ok(issuers)
    }

    /// Keeps the issuers' keys as their files and addresses say, until told to stop.
    pub fn keep_fresh(&self, stop: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        let state = self.state.clone();
        let issuers = move || state.load().issuers.values().cloned().collect();
        self.refresh.clone().run(issuers, stop)
    }

    /// Whether [`TokenVerifier::keep_fresh`] has looked for every issuer's keys, with or without success: before that,
    /// good tokens may be refused.
    pub fn has_looked_for_keys(&self) -> bool {
        self.refresh.has_looked()
    }

    /// Whom the token stands for; when its key is unknown, after a look whether the issuer has a new one.
    pub async fn verify_with_new_keys(&self, token: &str) -> Result<Arc<Identity>, AuthError> {
        match self.verify(token) {
            Err(AuthError::UnknownKey) => {}
            known => return known,
        }
        let issuer = {
            let payload = Parts::of(token)?.payload()?;
            issuer_of(&payload, &self.state.load(), &self.partners)?.into_owned()
        };
        if self.refresh.ask(&issuer).await {
            self.verify(token)
        } else {
            Err(AuthError::UnknownKey)
        }
    }

    /// Whether this identity may come in this way: bound tokens only with their certificate, an issuer's tokens only
    /// with the certificates that it names.
    pub fn check_peer(&self, identity: &Identity, peer: Option<&Peer>) -> Result<(), AuthError> {
        identity.check_certificate(peer, self.rules.binding_required)
    }

    /// Whom the token stands for.
    pub fn verify(&self, token: &str) -> Result<Arc<Identity>, AuthError> {
        if token.len() > self.rules.max_bytes {
            return Err(AuthError::TooLarge);
        }
        let state = self.state.load();
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let now = self.clock.now();
        let recent = state.recent(&key);
        if let Some(identity) = recent.filter(|found| found.key.is_good(now)) {
            if self.is_over(identity.expires) {
                return Err(AuthError::Expired);
            }
            return Ok(identity);
        }
        let known = state.verified.get(&key);
        let identity = match known.filter(|found| found.key.is_good(now)) {
            Some(identity) if self.is_over(identity.expires) => {
                state.verified.invalidate(&key);
                return Err(AuthError::Expired);
            }
            Some(identity) => identity,
            // Also when it was verified with a key that is gone.
            None => {
                let identity = Arc::new(self.verify_anew(token, &state)?);
                state.verified.insert(key, identity.clone());
                identity
            }
        };
        let found = Recent {
            key,
            identity: identity.clone(),
        };
        state.slot(&key).store(Some(Arc::new(found)));
        Ok(identity)
    }

    /// Whom the token stands for, if it was verified before; never verifies, so it costs little even when there are
    /// many that are not good.
    pub fn recall(&self, token: &str) -> Option<Arc<Identity>> {
        if token.len() > self.rules.max_bytes {
            return None;
        }
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let state = self.state.load();
        let identity = state.recent(&key).or_else(|| state.verified.get(&key))?;
        let good = identity.key.is_good(self.clock.now());
        (good && !self.is_over(identity.expires)).then_some(identity)
    }

    fn verify_anew(&self, token: &str, state: &State) -> Result<Identity, AuthError> {
        let parts = Parts::of(token)?;
        if !says_token(parts.header.typ.as_deref()) {
            return Err(AuthError::Malformed);
        }
        let payload = parts.payload()?;
        let issuer = issuer_of(&payload, state, &self.partners)?;
        if !issuer.allows(parts.header.alg) {
            return Err(AuthError::AlgorithmNotAllowed);
        }
        let key = issuer.keys.verify(&parts, self.clock.now())?;
        let claims: Claims = serde_json::from_slice(&payload).map_err(|_| AuthError::Malformed)?;
        if !claims.aud.contains(&self.rules.audience) {
            return Err(AuthError::WrongAudience);
        }
        let (expires, life) = self.times(&claims)?;
        let identity = Identity::of(claims, &issuer, expires, key)?;
        let longest = match identity.audience {
            Audience::Viewer => self.rules.max_viewer_life.min(self.rules.max_life),
            _ => self.rules.max_life,
        };
        if life > longest {
            return Err(AuthError::TooLongLived);
        }
        Ok(identity)
    }

    /// When the token expires and how long it lives.
    fn times(&self, claims: &Claims) -> Result<(Micros, Duration), AuthError> {
        let now = self.clock.now();
        let expires = Micros::from_seconds(claims.exp.ok_or(AuthError::Claim("exp"))?);
        if self.is_over(expires) {
            return Err(AuthError::Expired);
        }
        let latest_start = now.plus(self.rules.leeway);
        for start in [claims.nbf, claims.iat].into_iter().flatten() {
            if Micros::from_seconds(start) > latest_start {
                return Err(AuthError::NotYetValid);
            }
        }
        let issued = claims.iat.map_or(now, Micros::from_seconds);
        Ok((expires, expires.since(issued)))
    }

    fn is_over(&self, expires: Micros) -> bool {
        self.clock.now() >= expires.plus(self.rules.leeway)
    }
}

impl State {
    fn new(issuers: Vec<Issuer>, rules: &Rules) -> Self {
        State {
            issuers: issuers
                .into_iter()
                .map(|issuer| (issuer.name.clone(), issuer))
                .collect(),
            verified: Cache::builder()
                .max_capacity(rules.cached)
                .time_to_live(rules.max_life)
                .build(),
            recent: std::array::from_fn(|_| ArcSwapOption::empty()),
        }
    }

    fn slot(&self, key: &[u8; 32]) -> &ArcSwapOption<Recent> {
        &self.recent[usize::from(key[0]) % RECENT]
    }

    fn recent(&self, key: &[u8; 32]) -> Option<Arc<Identity>> {
        let slot = self.slot(key).load();
        let found = slot.as_ref().filter(|found| found.key == *key)?;
        Some(found.identity.clone())
    }
}

/// RFC 8725 3.11: what was signed as something else, such as a payment statement, is no token, whatever it says.
fn says_token(typ: Option<&str>) -> bool {
    let typ = typ.unwrap_or("JWT").to_ascii_lowercase();
    matches!(
        typ.strip_prefix("application/").unwrap_or(&typ),
        "jwt" | "at+jwt"
    )
}

/// The issuer that the unverified payload names; only decides whose keys it has to stand up to. What the configuration
/// names goes first, so that no partner can take a name of its.
fn issuer_of<'a>(
    payload: &[u8],
    state: &'a State,
    partners: &PartnerDirectory,
) -> Result<Cow<'a, Issuer>, AuthError> {
    #[derive(Deserialize)]
    struct Named {
        iss: String,
    }
    let named: Named = serde_json::from_slice(payload).map_err(|_| AuthError::Malformed)?;
    if let Some(configured) = state.issuers.get(&named.iss) {
        return Ok(Cow::Borrowed(configured));
    }
    let registered = partners.issuer(&named.iss);
    let registered = registered.ok_or(AuthError::UnknownIssuer)?;
    Ok(Cow::Owned(Issuer::clone(&registered)))
}

#[cfg(test)]
#[path = "verifier_tests.rs"]
mod tests;
