//! What the catalogue's contract says of a partner, as news.

use std::sync::Arc;

use contracts::catalog::v1 as pb;
use contracts::id::PartnerId;

use super::{Access, News, Pin, Quotas, TokenKey};
use crate::auth::jws::PublicKey;
use crate::clock::Micros;
use crate::errors::Refusal;
use crate::validate::Violations;

impl News {
    /// Whether a partner is suspended.
    pub fn of_partner(partner: &pb::Partner) -> Result<News, Refusal> {
        Ok(News::State {
            partner_id: partner_id(&partner.partner_id)?,
            revision: revision(partner),
            suspended: partner.state() == pb::PartnerState::Suspended,
        })
    }

    /// How a partner is let in. A key that cannot be used is left out: it would let nobody in.
    pub fn of_access(access: &pb::PartnerAccess) -> Result<News, Refusal> {
        let partner_id = partner_id(&access.partner_id)?;
        let quotas = access.quotas.unwrap_or_default();
        let positive = |number: i32| u32::try_from(number).unwrap_or(0);
        let scopes = &access.allowed_scopes;
        let access = Access {
            revision: access.revision,
            issuer_name: access.issuer_name.clone(),
            scopes: (!scopes.is_empty()).then(|| scopes.iter().cloned().collect()),
            quotas: Quotas {
                calls_per_second: positive(quotas.calls_per_second),
                concurrent_calls: positive(quotas.concurrent_calls),
                placements_per_second: positive(quotas.placements_per_second),
            },
            keys: access.token_keys.iter().filter_map(token_key).collect(),
            certificates: access.client_certificates.iter().filter_map(pin).collect(),
        };
        Ok(News::Access(partner_id, Arc::new(access)))
    }
}

/// Entries from before there were revisions have it in their etag.
fn revision(partner: &pb::Partner) -> i64 {
    if partner.revision > 0 {
        return partner.revision;
    }
    let counted = partner.etag.strip_prefix('v');
    counted.and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn partner_id(text: &str) -> Result<PartnerId, Refusal> {
    let mut v = Violations::new();
    let partner_id = v.id::<PartnerId>("partner_id", text);
    v.finish()?;
    partner_id.ok_or_else(|| Refusal::invalid("partner_id", "must not be empty."))
}

fn time(time: &Option<prost_types::Timestamp>) -> Option<Micros> {
    Violations::new().opt_time("time", time)
}

fn token_key(key: &pb::TokenKey) -> Option<TokenKey> {
    let until = match key.state() {
        pb::TokenKeyState::Active => None,
        // Without a time it is not known until when; then it is over.
        pb::TokenKeyState::Retiring => Some(time(&key.retire_time).unwrap_or(Micros(0))),
        pb::TokenKeyState::Revoked | pb::TokenKeyState::Unspecified => return None,
    };
    let mut jwk: serde_json::Value = serde_json::from_str(&key.public_key_jwk).ok()?;
    // The catalogue lets no key in that calls itself otherwise; one without a name gets its own.
    jwk.as_object_mut()?
        .insert("kid".into(), key.kid.clone().into());
    match PublicKey::from_jwk_value(&jwk) {
        Ok(public) => Some(TokenKey {
            kid: key.kid.clone(),
            key: public,
            until,
        }),
        Err(error) => {
            tracing::warn!(token_key = key.token_key_id, %error, "a partner's token key cannot be used");
            None
        }
    }
}

fn pin(certificate: &pb::ClientCertificate) -> Option<Pin> {
    if certificate.state() != pb::ClientCertificateState::Active {
        return None;
    }
    let sha256 = match certificate.sha256_fingerprint.as_str() {
        "" => None,
        text => Some(<[u8; 32]>::try_from(hex::decode(text).ok()?).ok()?),
    };
    let name = &certificate.spiffe_id;
    Some(Pin {
        sha256,
        spiffe_id: (!name.is_empty()).then(|| name.clone()),
        start: time(&certificate.start_time),
        end: time(&certificate.expire_time),
    })
}
