//! The suite's own tokens.

use std::sync::Arc;
use std::time::Duration;

use contracts::common::v1::Audience;
use http::HeaderValue;
use moka::sync::Cache;

use super::AuthConfig;
use super::claims::Claims;
use super::issuer::Issuer;
use super::jws;
use super::key::SigningKey;
use crate::clock::{Micros, SharedClock};
use crate::ids::SharedIds;

/// Signs tokens under one issuer's name.
#[derive(Clone)]
pub struct TokenSigner {
    key: SigningKey,
    issuer: String,
    audience: String,
    clock: SharedClock,
    ids: SharedIds,
}

impl TokenSigner {
    /// Signs under the suite's own name.
    pub fn new(key: SigningKey, config: &AuthConfig, clock: SharedClock, ids: SharedIds) -> Self {
        TokenSigner {
            key,
            issuer: config.own_issuer.clone(),
            audience: config.audience.clone(),
            clock,
            ids,
        }
    }

    /// Signs under another name, for tests and demos that play a partner.
    pub fn named(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = issuer.into();
        self
    }

    /// The issuer that accepts these tokens, for a [`super::TokenVerifier`].
    pub fn issuer(&self, may_mint: &[Audience]) -> Issuer {
        Issuer::own(&self.issuer, &self.key, may_mint)
    }

    /// A token that says `claims`, from now on for `life`.
    pub fn mint(&self, mut claims: Claims, life: Duration) -> String {
        let now = self.clock.now();
        claims.iss.clone_from(&self.issuer);
        claims.aud = vec![self.audience.clone()];
        claims.iat = Some(now.seconds());
        claims.exp = Some(now.plus(life).seconds());
        if claims.jti.is_none() {
            claims.jti = Some(format!("{:032x}", self.ids.next()));
        }
        let payload = serde_json::to_vec(&claims).expect("claims are plain texts and numbers");
        jws::sign(&self.key, "JWT", &payload)
    }
}

/// Supplies one service's fresh SERVICE tokens. Cheap to clone.
#[derive(Clone)]
pub struct ServiceTokens {
    inner: Arc<Inner>,
}

struct Inner {
    signer: TokenSigner,
    service: String,
    scopes: Vec<String>,
    life: Duration,
    minted: Cache<String, Minted>,
}

#[derive(Clone)]
struct Minted {
    bearer: HeaderValue,
    renew: Micros,
}

impl ServiceTokens {
    /// Tokens of `service` with these scopes.
    pub fn new(signer: TokenSigner, service: &str, scopes: &[&str], config: &AuthConfig) -> Self {
        let life = Duration::from_secs(config.service_token_life_s.max(1));
        ServiceTokens {
            inner: Arc::new(Inner {
                signer,
                service: service.to_owned(),
                scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
                life,
                minted: Cache::builder()
                    .max_capacity(config.service_tokens_cached)
                    .time_to_live(life)
                    .build(),
            }),
        }
    }

    pub(crate) fn clock(&self) -> &SharedClock {
        &self.inner.signer.clock
    }

    /// The value of an `authorization` header, for a call on behalf of somebody or of the service
    /// itself. A token is used for four fifths of its life.
    pub fn bearer(&self, on_behalf_of: Option<&str>) -> HeaderValue {
        let inner = &*self.inner;
        let now = inner.signer.clock.now();
        let key = on_behalf_of.unwrap_or_default();
        if let Some(minted) = inner.minted.get(key).filter(|minted| now < minted.renew) {
            return minted.bearer;
        }
        let claims = Claims::service(&inner.service, on_behalf_of).scopes(&inner.scopes);
        let token = inner.signer.mint(claims, inner.life);
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))
            .expect("a compact JWS is plain ASCII");
        bearer.set_sensitive(true);
        let minted = Minted {
            bearer: bearer.clone(),
            renew: now.plus(inner.life * 4 / 5),
        };
        inner.minted.insert(key.to_owned(), minted);
        bearer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::TokenVerifier;
    use crate::clock::ManualClock;
    use crate::ids::SeededIds;

    #[test]
    fn service_tokens_are_good_reused_and_renewed() {
        let clock = Arc::new(ManualClock::default());
        let ids = SeededIds::shared(1, clock.clone());
        let config = AuthConfig::default();
        let signer = TokenSigner::new(SigningKey::generate(), &config, clock.clone(), ids);
        let own = signer.issuer(&[Audience::Service]);
        let verifier = TokenVerifier::new(&config, vec![own], clock.clone());
        let tokens = ServiceTokens::new(signer, "order", &["catalog.read"], &config);

        let first = tokens.bearer(Some("partner:acme"));
        assert_eq!(tokens.bearer(Some("partner:acme")), first);
        assert_ne!(tokens.bearer(None), first);
        assert!(first.is_sensitive());
        let text = first
            .to_str()
            .expect("ASCII")
            .strip_prefix("Bearer ")
            .expect("a bearer token")
            .to_owned();
        let identity = verifier.verify(&text).expect("our own token");
        assert_eq!(identity.audience, Audience::Service);
        assert_eq!(identity.subject, "order");
        assert_eq!(identity.on_behalf_of.as_deref(), Some("partner:acme"));
        assert!(identity.scopes.contains("catalog.read"));

        clock.advance(Duration::from_secs(239));
        assert_eq!(tokens.bearer(Some("partner:acme")), first);
        clock.advance(Duration::from_secs(1));
        assert_ne!(tokens.bearer(Some("partner:acme")), first);
    }
}
