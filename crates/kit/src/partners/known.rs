//! What is known of one partner.

use std::collections::BTreeSet;
use std::sync::Arc;

use contracts::id::PartnerId;

use crate::auth::Issuer;
use crate::auth::jws::PublicKey;
use crate::clock::Micros;

/// How much a partner may ask for; 0 for the server's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Calls a second, CRITICAL ones not counted.
    pub calls_per_second: u32,
    /// Unary calls under way at a time, CRITICAL ones not counted.
    pub concurrent_calls: u32,
    /// Orders placed a second.
    pub placements_per_second: u32,
}

/// A key that a partner signs its tokens with.
#[derive(Clone, Debug)]
pub struct TokenKey {
    /// Its name in the tokens.
    pub kid: String,
    /// The key.
    pub key: PublicKey,
    /// Until when it counts, when that is known.
    pub until: Option<Micros>,
}

/// A certificate that a partner's connections may show: by fingerprint, by SPIFFE id, or by both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// SHA-256 of the certificate.
    pub sha256: Option<[u8; 32]>,
    /// One of the certificate's URI names.
    pub spiffe_id: Option<String>,
    /// From when it counts.
    pub start: Option<Micros>,
    /// Until when it counts.
    pub end: Option<Micros>,
}

impl Pin {
    fn fits(&self, sha256: &[u8; 32], uris: &[&str], now: Micros) -> bool {
        let by_fingerprint = self.sha256.as_ref().is_none_or(|pinned| pinned == sha256);
        let by_name = self
            .spiffe_id
            .as_deref()
            .is_none_or(|pinned| uris.contains(&pinned));
        let names_one = self.sha256.is_some() || self.spiffe_id.is_some();
        let in_time =
            self.start.is_none_or(|start| start <= now) && self.end.is_none_or(|end| now < end);
        names_one && by_fingerprint && by_name && in_time
    }
}

/// What a partner's pins say of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinned {
    /// The partner has none, so every certificate will do that the handshake let in.
    Nothing,
    /// It is one of the partner's.
    Yes,
    /// It is none of the partner's, or not at this time.
    No,
}

/// How a partner is let in.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Grows with every change.
    pub revision: i64,
    /// The `iss` of the tokens that the partner signs itself; empty when it signs none.
    pub issuer_name: String,
    /// The scopes that its tokens may use; none for all that they say.
    pub scopes: Option<BTreeSet<String>>,
    /// How much it may ask for.
    pub quotas: Quotas,
    /// The keys that it signs its tokens with.
    pub keys: Vec<TokenKey>,
    /// The certificates that its connections may show.
    pub certificates: Vec<Pin>,
}

impl Access {
    /// Whether a certificate is one of the partner's.
    pub fn pinned(&self, sha256: &[u8; 32], uris: &[&str], now: Micros) -> Pinned {
        if self.certificates.is_empty() {
            return Pinned::Nothing;
        }
        let fits = |pin: &Pin| pin.fits(sha256, uris, now);
        if self.certificates.iter().any(fits) {
            Pinned::Yes
        } else {
            Pinned::No
        }
    }

    /// Whether tokens of the partner may use a scope, whatever they say.
    pub fn allows(&self, scope: &str) -> bool {
        self.scopes
            .as_ref()
            .is_none_or(|scopes| scopes.contains(scope))
    }
}

/// Something new about a partner.
#[derive(Clone, Debug)]
pub enum News {
    /// Whether it is suspended.
    State {
        /// The partner.
        partner_id: PartnerId,
        /// Grows with every change of the state.
        revision: i64,
        /// Whether it is.
        suspended: bool,
    },
    /// How it is let in.
    Access(PartnerId, Arc<Access>),
}

impl News {
    /// The partner.
    pub fn partner_id(&self) -> PartnerId {
        match self {
            News::State { partner_id, .. } | News::Access(partner_id, _) => *partner_id,
        }
    }
}

/// A partner, as it is known.
#[derive(Clone, Debug)]
pub struct Known {
    /// Whether it is suspended.
    pub suspended: bool,
    /// How it is let in.
    pub access: Arc<Access>,
    state_revision: i64,
    pub(super) issuer: Option<Arc<Issuer>>,
}

impl Known {
    /// What is known after some news; none when it was known before.
    pub(super) fn after(before: Option<&Known>, news: News) -> Option<Known> {
        let mut known = before.cloned().unwrap_or_else(|| Known {
            suspended: false,
            access: Arc::default(),
            state_revision: 0,
            issuer: None,
        });
        match news {
            News::State { revision, .. } if revision <= known.state_revision => return None,
            News::State {
                revision,
                suspended,
                ..
            } => (known.state_revision, known.suspended) = (revision, suspended),
            News::Access(_, access) if access.revision <= known.access.revision => return None,
            News::Access(partner_id, access) => {
                known.sign_with(partner_id, &access);
                known.access = access;
            }
        }
        Some(known)
    }

    /// Tokens of keys and names that no longer count are refused from here on, those let in before too.
    fn sign_with(&mut self, partner_id: PartnerId, access: &Access) {
        let same_name = self.access.issuer_name == access.issuer_name;
        if let Some(before) = self.issuer.take_if(|_| !same_name) {
            before.set_keys(Vec::new());
        }
        if access.issuer_name.is_empty() {
            return;
        }
        let issuer = self.issuer.get_or_insert_with(|| {
            Arc::new(Issuer::registered(access.issuer_name.clone(), partner_id))
        });
        let until = |key: &TokenKey| key.until.unwrap_or(Micros::MAX);
        let keys = access.keys.iter().map(|key| (key.key.clone(), until(key)));
        issuer.set_keys(keys.collect());
    }
}
