//! How a partner is let in, as the contract says it.

use contracts::catalog::v1;
use kit::clock::Micros;

use crate::model::access::{
    CertificateState, ClientCertificate, PartnerAccess, Quotas, TokenKey, TokenKeyState,
};

pub(crate) fn access(access: &PartnerAccess) -> v1::PartnerAccess {
    v1::PartnerAccess {
        partner_id: access.partner_id.to_string(),
        issuer_name: access.issuer_name.clone(),
        allowed_scopes: access.allowed_scopes.clone(),
        quotas: Some(quotas(access.quotas)),
        token_keys: access.keys.iter().map(token_key).collect(),
        client_certificates: access.certificates.iter().map(certificate).collect(),
        update_time: Some(access.update_time.to_proto()),
        etag: access.version.etag(),
        revision: access.version.0,
    }
}

fn quotas(quotas: Quotas) -> v1::PartnerQuotas {
    // The tables hold no more than the contract allows.
    let number = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
    v1::PartnerQuotas {
        calls_per_second: number(quotas.calls_per_second),
        concurrent_calls: number(quotas.concurrent_calls),
        placements_per_second: number(quotas.placements_per_second),
    }
}

pub(crate) fn token_key(key: &TokenKey) -> v1::TokenKey {
    let state = match key.state {
        TokenKeyState::Active => v1::TokenKeyState::Active,
        TokenKeyState::Retiring => v1::TokenKeyState::Retiring,
        TokenKeyState::Revoked => v1::TokenKeyState::Revoked,
    };
    v1::TokenKey {
        token_key_id: key.token_key_id.to_string(),
        partner_id: key.partner_id.to_string(),
        kid: key.kid.clone(),
        public_key_jwk: key.public_key_jwk.clone(),
        state: state.into(),
        create_time: Some(key.create_time.to_proto()),
        retire_time: key.retire_time.map(Micros::to_proto),
        revoke_time: key.revoke_time.map(Micros::to_proto),
        etag: key.version.etag(),
    }
}

pub(crate) fn certificate(certificate: &ClientCertificate) -> v1::ClientCertificate {
    let state = match certificate.state {
        CertificateState::Active => v1::ClientCertificateState::Active,
        CertificateState::Revoked => v1::ClientCertificateState::Revoked,
    };
    v1::ClientCertificate {
        client_certificate_id: certificate.client_certificate_id.to_string(),
        partner_id: certificate.partner_id.to_string(),
        sha256_fingerprint: certificate.sha256_fingerprint.clone(),
        spiffe_id: certificate.spiffe_id.clone(),
        start_time: certificate.start_time.map(Micros::to_proto),
        expire_time: certificate.expire_time.map(Micros::to_proto),
        state: state.into(),
        create_time: Some(certificate.create_time.to_proto()),
        revoke_time: certificate.revoke_time.map(Micros::to_proto),
        etag: certificate.version().etag(),
    }
}
