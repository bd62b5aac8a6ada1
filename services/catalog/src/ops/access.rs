//! How a partner is let in. Whoever changes any of it holds the row of the partner's access, and the whole of it is
//! published with each change, so that whoever follows needs no more than the last entry.

use contracts::id::{ClientCertificateId, PartnerId, TokenKeyId};
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use super::{kind, taken};
use crate::events;
use crate::model::access::{
    AccessChange, CertificateState, ClientCertificate, PartnerAccess, TokenKey, TokenKeyState,
};
use crate::model::version::Version;
use crate::store::access as rows;
use crate::store::partner as partners;

const ISSUER: &str = "ISSUER";
const SPIFFE: &str = "SPIFFE";

/// The access of a partner that there is, at the version that the caller has read. A suspended partner's changes too: it
/// has to be right when the partner is resumed.
async fn open(
    tx: &mut Tx,
    partner_id: &PartnerId,
    etag: Option<&str>,
) -> Result<PartnerAccess, Fault> {
    let partner = partners::partner_state(tx, partner_id).await?;
    partner.ok_or_else(|| Refusal::not_found(kind::PARTNER))?;
    let access = rows::access_for_update(tx, partner_id).await?;
    access.version.require(etag, kind::PARTNER_ACCESS)?;
    Ok(access)
}

/// Writes the change and tells of it.
async fn close(tx: &mut Tx, mut access: PartnerAccess) -> Result<PartnerAccess, Fault> {
    let before = access.version;
    access.touch(tx.now());
    rows::access_update(tx, &access, before).await?;
    tx.publish(events::partner_access(&access));
    Ok(access)
}

/// Changes issuer, scopes or quotas.
pub(crate) struct UpdateAccess {
    pub(crate) partner_id: PartnerId,
    pub(crate) change: AccessChange,
    pub(crate) etag: Option<String>,
}

impl Operation for UpdateAccess {
    type Output = PartnerAccess;

    fn name(&self) -> &'static str {
        "partner_access.update"
    }

    async fn run(&self, tx: &mut Tx) -> Result<PartnerAccess, Fault> {
        let mut access = open(tx, &self.partner_id, self.etag.as_deref()).await?;
        let name = self.change.issuer_name.as_deref().unwrap_or_default();
        if !name.is_empty() && !rows::holder_claim(tx, ISSUER, name, &self.partner_id).await? {
            let message =
                "Another partner signs tokens under this issuer_name, or did; choose another.";
            return Err(taken("access.issuer_name", message).into());
        }
        access.change(&self.change);
        let access = close(tx, access).await?;
        tx.audit(self.name(), self.partner_id, "done");
        Ok(access)
    }
}

/// Adds a token key.
pub(crate) struct AddTokenKey {
    pub(crate) partner_id: PartnerId,
    pub(crate) kid: String,
    pub(crate) public_key_jwk: String,
    pub(crate) etag: Option<String>,
}

impl Operation for AddTokenKey {
    type Output = TokenKey;

    fn name(&self) -> &'static str {
        "token_key.add"
    }

    async fn run(&self, tx: &mut Tx) -> Result<TokenKey, Fault> {
        let mut access = open(tx, &self.partner_id, self.etag.as_deref()).await?;
        let key = TokenKey {
            token_key_id: TokenKeyId::from_uuid(tx.ids().next()),
            partner_id: self.partner_id,
            kid: self.kid.clone(),
            public_key_jwk: self.public_key_jwk.clone(),
            state: TokenKeyState::Active,
            revoke_reason: String::new(),
            version: Version::FIRST,
            create_time: tx.now(),
            retire_time: None,
            revoke_time: None,
        };
        access.require_room_for_key()?;
        if !rows::token_key_insert(tx, &key).await? {
            let message = "The partner has a token key of this kid, maybe a revoked one; name the new key otherwise.";
            return Err(taken("kid", message).into());
        }
        access.keys.push(key.clone());
        close(tx, access).await?;
        tx.audit(self.name(), key.token_key_id, "done");
        Ok(key)
    }
}

/// What becomes of a token key.
pub(crate) enum Turn {
    /// It is accepted until then.
    Retire(Micros),
    /// It is refused, and why.
    Revoke(String),
}

/// Retires a token key, or revokes it.
pub(crate) struct TurnTokenKey {
    pub(crate) token_key_id: TokenKeyId,
    pub(crate) turn: Turn,
    pub(crate) etag: Option<String>,
}

impl Operation for TurnTokenKey {
    type Output = TokenKey;

    fn name(&self) -> &'static str {
        match self.turn {
            Turn::Retire(_) => "token_key.retire",
            Turn::Revoke(_) => "token_key.revoke",
        }
    }

    async fn run(&self, tx: &mut Tx) -> Result<TokenKey, Fault> {
        let find =
            |found: Option<TokenKey>| found.ok_or_else(|| Refusal::not_found(kind::TOKEN_KEY));
        let partner_id = find(rows::token_key_by_id(tx, &self.token_key_id).await?)?.partner_id;
        let mut access = open(tx, &partner_id, None).await?;
        // Read again, now that nobody else changes it.
        let mut key = find(rows::token_key_by_id(tx, &self.token_key_id).await?)?;
        let before = key.version;
        before.require(self.etag.as_deref(), kind::TOKEN_KEY)?;
        match &self.turn {
            Turn::Retire(until) => {
                key.retire(*until, tx.now())?;
                access.require_successor(&key.token_key_id)?;
            }
            Turn::Revoke(reason) => key.revoke(reason, tx.now())?,
        }
        rows::token_key_update(tx, &key, before).await?;
        access
            .keys
            .retain(|other| other.token_key_id != key.token_key_id);
        if key.state != TokenKeyState::Revoked {
            access.keys.push(key.clone());
            access.keys.sort_by_key(|key| key.token_key_id);
        }
        close(tx, access).await?;
        tx.audit(self.name(), key.token_key_id, key.state.word());
        Ok(key)
    }
}

/// Adds a client certificate.
pub(crate) struct AddCertificate {
    pub(crate) partner_id: PartnerId,
    pub(crate) sha256_fingerprint: String,
    pub(crate) spiffe_id: String,
    pub(crate) start_time: Option<Micros>,
    pub(crate) expire_time: Option<Micros>,
    pub(crate) etag: Option<String>,
}

impl Operation for AddCertificate {
    type Output = ClientCertificate;

    fn name(&self) -> &'static str {
        "client_certificate.add"
    }

    async fn run(&self, tx: &mut Tx) -> Result<ClientCertificate, Fault> {
        let mut access = open(tx, &self.partner_id, self.etag.as_deref()).await?;
        if self.expire_time.is_some_and(|end| end <= tx.now()) {
            let field = "client_certificate.expire_time";
            return Err(Refusal::invalid(field, "must be after now.").into());
        }
        access.require_room_for_certificate()?;
        let certificate = ClientCertificate {
            client_certificate_id: ClientCertificateId::from_uuid(tx.ids().next()),
            partner_id: self.partner_id,
            sha256_fingerprint: self.sha256_fingerprint.clone(),
            spiffe_id: self.spiffe_id.clone(),
            start_time: self.start_time,
            expire_time: self.expire_time,
            state: CertificateState::Active,
            revoke_reason: String::new(),
            create_time: tx.now(),
            revoke_time: None,
        };
        let name = &certificate.spiffe_id;
        if !name.is_empty() && !rows::holder_claim(tx, SPIFFE, name, &self.partner_id).await? {
            let message = "Another partner has this spiffe_id, or had it; give each partner names of its own.";
            return Err(taken("client_certificate.spiffe_id", message).into());
        }
        if !rows::certificate_insert(tx, &certificate).await? {
            let message = "A certificate of this fingerprint is known, maybe a revoked one; issue a new certificate.";
            return Err(taken("client_certificate.sha256_fingerprint", message).into());
        }
        access.certificates.push(certificate.clone());
        close(tx, access).await?;
        tx.audit(self.name(), certificate.client_certificate_id, "done");
        Ok(certificate)
    }
}

/// Revokes a client certificate.
pub(crate) struct RevokeCertificate {
    pub(crate) client_certificate_id: ClientCertificateId,
    pub(crate) reason: String,
    pub(crate) etag: Option<String>,
}

impl Operation for RevokeCertificate {
    type Output = ClientCertificate;

    fn name(&self) -> &'static str {
        "client_certificate.revoke"
    }

    async fn run(&self, tx: &mut Tx) -> Result<ClientCertificate, Fault> {
        let certificate_id = &self.client_certificate_id;
        let find = |found: Option<ClientCertificate>| {
            found.ok_or_else(|| Refusal::not_found(kind::CLIENT_CERTIFICATE))
        };
        let partner_id = find(rows::certificate_by_id(tx, certificate_id).await?)?.partner_id;
        let mut access = open(tx, &partner_id, None).await?;
        let mut certificate = find(rows::certificate_by_id(tx, certificate_id).await?)?;
        let etag = self.etag.as_deref();
        certificate
            .version()
            .require(etag, kind::CLIENT_CERTIFICATE)?;
        certificate.revoke(&self.reason, tx.now())?;
        rows::certificate_revoke(tx, &certificate).await?;
        access
            .certificates
            .retain(|other| other.client_certificate_id != *certificate_id);
        close(tx, access).await?;
        tx.audit(self.name(), *certificate_id, certificate.state.word());
        Ok(certificate)
    }
}
