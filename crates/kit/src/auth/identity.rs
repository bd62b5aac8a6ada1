//! Whom a verified token stands for.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::common::v1::{Audience, RetailerRole};
use contracts::id::{OutletId, PartnerId, RoomId};

use super::claims::{Claims, Confirmation};
use super::issuer::{CertificateRule, Issuer};
use super::jwks::Mark;
use super::peer::Peer;
use super::verifier::AuthError;
use crate::caller::{Caller, role_named};
use crate::clock::Micros;

const MAX_SUBJECT: usize = 256;
const MAX_SHOPPER_REF: usize = 128;
const MAX_SCOPES: usize = 64;

/// Whom a verified token stands for, in typed form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The token's `sub`.
    pub subject: String,
    /// The token's `iss`.
    pub issuer: String,
    /// Whom it speaks for.
    pub audience: Audience,
    /// The partner, for PARTNER and VIEWER.
    pub partner_id: Option<PartnerId>,
    /// The roles, for RETAILER.
    pub roles: Vec<RetailerRole>,
    /// The scopes.
    pub scopes: Arc<BTreeSet<String>>,
    /// The room, for VIEWER.
    pub room_id: Option<RoomId>,
    /// The outlet, for VIEWER.
    pub outlet_id: Option<OutletId>,
    /// The shopper, for VIEWER.
    pub shopper_ref: Option<String>,
    /// Whom it acts for, for SERVICE.
    pub on_behalf_of: Option<String>,
    /// When the token expires.
    pub expires: Micros,
    /// SHA-256 of the client certificate that the token is bound to.
    pub bound_to: Option<[u8; 32]>,
    /// Which client certificates the issuer's tokens come with.
    pub(super) certificates: Option<Arc<CertificateRule>>,
    /// Until when the key is good that the token was verified with.
    pub(super) key: Mark,
}

impl Identity {
    /// Reads verified claims. What does not belong to the audience is left out, so that nothing can come
    /// to rely on it.
    pub(super) fn of(
        claims: Claims,
        issuer: &Issuer,
        expires: Micros,
        key: Mark,
    ) -> Result<Self, AuthError> {
        let audience = issuer
            .audience(claims.actor.as_deref())
            .ok_or(AuthError::ActorNotAllowed)?;
        let subject = printable(claims.sub, MAX_SUBJECT).ok_or(AuthError::Claim("sub"))?;
        let mut identity = Identity {
            subject,
            issuer: issuer.name.clone(),
            audience,
            partner_id: None,
            roles: Vec::new(),
            scopes: Arc::new(
                claims
                    .scope
                    .split_ascii_whitespace()
                    .take(MAX_SCOPES)
                    .map(str::to_owned)
                    .collect(),
            ),
            room_id: None,
            outlet_id: None,
            shopper_ref: None,
            on_behalf_of: None,
            expires,
            bound_to: claims.cnf.as_ref().map(confirmed).transpose()?,
            certificates: issuer.certificates.clone(),
            key,
        };
        match audience {
            Audience::Partner => {
                identity.partner_id = partner_of(claims.partner_id.as_deref(), issuer)?;
                if identity.partner_id.is_none() {
                    return Err(AuthError::Claim("partner_id"));
                }
            }
            Audience::Viewer => {
                identity.partner_id = partner_of(claims.partner_id.as_deref(), issuer)?;
                identity.room_id = Some(parsed(claims.room_id.as_deref(), "room_id")?);
                identity.outlet_id = Some(parsed(claims.outlet_id.as_deref(), "outlet_id")?);
                let shopper = claims
                    .shopper_ref
                    .and_then(|text| printable(text, MAX_SHOPPER_REF));
                identity.shopper_ref = Some(shopper.ok_or(AuthError::Claim("shopper_ref"))?);
            }
            Audience::Retailer => {
                identity.roles = claims
                    .roles
                    .iter()
                    .filter_map(|word| role_named(word))
                    .collect();
            }
            Audience::Service => identity.on_behalf_of = claims.on_behalf_of,
            Audience::Unspecified => return Err(AuthError::ActorNotAllowed),
        }
        Ok(identity)
    }

    /// Whether the token may come in this way: with the certificate that it is bound to, and with one that its issuer
    /// names. Viewers' apps have no certificate, so what an issuer names is not for them.
    pub(super) fn check_certificate(
        &self,
        peer: Option<&Peer>,
        binding_required: bool,
    ) -> Result<(), AuthError> {
        let certificate = peer.and_then(|peer| peer.certificate.as_ref());
        if certificate.is_some_and(|certificate| certificate.is_revoked()) {
            return Err(AuthError::CertificateRevoked);
        }
        match (&self.bound_to, certificate) {
            (Some(_), None) => return Err(AuthError::CertificateMissing),
            (Some(bound), Some(shown)) if bound != shown.sha256() => {
                return Err(AuthError::OtherCertificate);
            }
            (Some(_), Some(_)) => {}
            (None, _) => {
                let asked = peer.is_some_and(|peer| peer.asks_certificates);
                if binding_required && asked && self.audience == Audience::Partner {
                    return Err(AuthError::NotBound);
                }
            }
        }
        match (&self.certificates, self.audience) {
            (None, _) | (_, Audience::Viewer) => Ok(()),
            (Some(rule), _) => rule.check(certificate.ok_or(AuthError::CertificateMissing)?),
        }
    }

    /// The caller that this identity is, in one call.
    pub fn caller(&self, request_id: &str, traceparent: &str) -> Caller {
        Caller {
            subject: self.subject.clone(),
            issuer: self.issuer.clone(),
            audience: self.audience,
            partner_id: self.partner_id,
            roles: self.roles.clone(),
            scopes: self.scopes.clone(),
            room_id: self.room_id,
            outlet_id: self.outlet_id,
            shopper_ref: self.shopper_ref.clone(),
            on_behalf_of: self.on_behalf_of.clone(),
            request_id: request_id.to_owned(),
            traceparent: traceparent.to_owned(),
        }
    }
}

fn confirmed(confirmation: &Confirmation) -> Result<[u8; 32], AuthError> {
    URL_SAFE_NO_PAD
        .decode(&confirmation.certificate_sha256)
        .ok()
        .and_then(|hash| hash.try_into().ok())
        .ok_or(AuthError::Claim("cnf"))
}

/// An issuer that is bound to a partner speaks for that one, whatever the token says or leaves out.
fn partner_of(claim: Option<&str>, issuer: &Issuer) -> Result<Option<PartnerId>, AuthError> {
    let claimed = match claim {
        None => None,
        Some(text) => Some(PartnerId::from_str(text).map_err(|_| AuthError::Claim("partner_id"))?),
    };
    match (&issuer.partner_id, claimed) {
        (Some(bound), Some(claimed)) if *bound != claimed => Err(AuthError::ForeignPartner),
        (Some(bound), _) => Ok(Some(*bound)),
        (None, claimed) => Ok(claimed),
    }
}

fn parsed<T: FromStr>(claim: Option<&str>, name: &'static str) -> Result<T, AuthError> {
    claim
        .and_then(|text| text.parse().ok())
        .ok_or(AuthError::Claim(name))
}

fn printable(text: String, longest: usize) -> Option<String> {
    let fits = !text.is_empty() && text.len() <= longest && !text.chars().any(char::is_control);
    fits.then_some(text)
}
