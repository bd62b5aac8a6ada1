//! How partners are let in.

use contracts::id::{ClientCertificateId, PartnerId, TokenKeyId};
use kit::clock::Micros;
use kit::errors::Fault;
use store::{Tx, sql};

use super::{Slice, codes, id, locked, met, word};
use crate::model::access::{
    CREDENTIALS_MAX, CertificateState, ClientCertificate, PartnerAccess, Quotas, TokenKey,
    TokenKeyState,
};
use crate::model::version::Version;

#[derive(sqlx::FromRow)]
struct Row {
    partner_id: String,
    issuer_name: String,
    allowed_scopes: String,
    calls_per_second: i64,
    concurrent_calls: i64,
    placements_per_second: i64,
    version: i64,
    update_time: i64,
}

impl Row {
    fn access(self) -> Result<PartnerAccess, Fault> {
        let partner_id = id(&self.partner_id)?;
        Ok(PartnerAccess {
            issuer_name: self.issuer_name,
            allowed_scopes: codes(&self.allowed_scopes),
            quotas: Quotas {
                calls_per_second: self.calls_per_second,
                concurrent_calls: self.concurrent_calls,
                placements_per_second: self.placements_per_second,
            },
            version: Version(self.version),
            ..PartnerAccess::untouched(partner_id, Micros(self.update_time))
        })
    }
}

/// Reads of partners that were only registered too.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT p.partner_id, COALESCE(a.issuer_name, '') AS issuer_name, \
             COALESCE(a.allowed_scopes, '') AS allowed_scopes, COALESCE(a.calls_per_second, 0) AS calls_per_second, \
             COALESCE(a.concurrent_calls, 0) AS concurrent_calls, \
             COALESCE(a.placements_per_second, 0) AS placements_per_second, COALESCE(a.version, 0) AS version, \
             COALESCE(a.update_time, p.create_time) AS update_time \
             FROM partner AS p LEFT JOIN partner_access AS a ON a.partner_id = p.partner_id ",
            $rest
        )
    };
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    token_key_id: String,
    partner_id: String,
    kid: String,
    public_key_jwk: String,
    state: String,
    revoke_reason: String,
    version: i64,
    create_time: i64,
    retire_time: Option<i64>,
    revoke_time: Option<i64>,
}

impl KeyRow {
    fn key(self) -> Result<TokenKey, Fault> {
        Ok(TokenKey {
            token_key_id: id(&self.token_key_id)?,
            partner_id: id(&self.partner_id)?,
            kid: self.kid,
            public_key_jwk: self.public_key_jwk,
            state: word(TokenKeyState::named, "token_key.state", &self.state)?,
            revoke_reason: self.revoke_reason,
            version: Version(self.version),
            create_time: Micros(self.create_time),
            retire_time: self.retire_time.map(Micros),
            revoke_time: self.revoke_time.map(Micros),
        })
    }
}

macro_rules! select_keys {
    ($rest:literal) => {
        concat!(
            "SELECT token_key_id, partner_id, kid, public_key_jwk, state, revoke_reason, version, create_time, \
             retire_time, revoke_time FROM token_key ",
            $rest
        )
    };
}

#[derive(sqlx::FromRow)]
struct CertificateRow {
    client_certificate_id: String,
    partner_id: String,
    sha256_fingerprint: String,
    spiffe_id: String,
    start_time: Option<i64>,
    expire_time: Option<i64>,
    state: String,
    revoke_reason: String,
    create_time: i64,
    revoke_time: Option<i64>,
}

impl CertificateRow {
    fn certificate(self) -> Result<ClientCertificate, Fault> {
        let state = word(
            CertificateState::named,
            "client_certificate.state",
            &self.state,
        )?;
        Ok(ClientCertificate {
            client_certificate_id: id(&self.client_certificate_id)?,
            partner_id: id(&self.partner_id)?,
            sha256_fingerprint: self.sha256_fingerprint,
            spiffe_id: self.spiffe_id,
            start_time: self.start_time.map(Micros),
            expire_time: self.expire_time.map(Micros),
            state,
            revoke_reason: self.revoke_reason,
            create_time: Micros(self.create_time),
            revoke_time: self.revoke_time.map(Micros),
        })
    }
}

macro_rules! select_certificates {
    ($rest:literal) => {
        concat!(
            "SELECT client_certificate_id, partner_id, sha256_fingerprint, spiffe_id, start_time, expire_time, state, \
             revoke_reason, create_time, revoke_time FROM client_certificate ",
            $rest
        )
    };
}

/// The one of a partner that is there, to be changed; made when it is asked for the first time.
pub(crate) async fn access_for_update(
    tx: &mut Tx,
    partner_id: &PartnerId,
) -> Result<PartnerAccess, Fault> {
    let now = tx.now();
    sql!(
        tx,
        execute,
        "INSERT INTO partner_access (partner_id, issuer_name, allowed_scopes, calls_per_second, concurrent_calls, \
         placements_per_second, version, update_time) VALUES ($1, '', '', 0, 0, 0, 0, $2) \
         ON CONFLICT (partner_id) DO NOTHING",
        partner_id,
        now
    )?;
    let row = locked!(
        tx,
        "FOR UPDATE",
        optional Row,
        "SELECT partner_id, issuer_name, allowed_scopes, calls_per_second, concurrent_calls, placements_per_second, \
         version, update_time FROM partner_access WHERE partner_id = $1",
        partner_id
    )?;
    let row = row.ok_or_else(|| Fault::internal("the row that was just made is not there"))?;
    with_credentials(tx, row.access()?).await
}

/// The one of a partner.
pub(crate) async fn access_by_id(
    tx: &mut Tx,
    partner_id: &PartnerId,
) -> Result<Option<PartnerAccess>, Fault> {
    match sql!(tx, optional Row, select!("WHERE p.partner_id = $1"), partner_id)? {
        Some(row) => Ok(Some(with_credentials(tx, row.access()?).await?)),
        None => Ok(None),
    }
}

/// Those of all partners, by creation of the partners.
pub(crate) async fn access_list(tx: &mut Tx, slice: &Slice) -> Result<Vec<PartnerAccess>, Fault> {
    let rows = sql!(
        tx,
        all Row,
        select!("WHERE p.partner_id > $1 ORDER BY p.partner_id LIMIT $2"),
        &slice.after,
        slice.limit
    )?;
    let mut list = Vec::with_capacity(rows.len());
    for row in rows {
        list.push(with_credentials(tx, row.access()?).await?);
    }
    Ok(list)
}

async fn with_credentials(tx: &mut Tx, mut access: PartnerAccess) -> Result<PartnerAccess, Fault> {
    let limit = CREDENTIALS_MAX as i64;
    let keys = sql!(
        tx,
        all KeyRow,
        select_keys!("WHERE partner_id = $1 AND state <> 'REVOKED' ORDER BY token_key_id LIMIT $2"),
        access.partner_id,
        limit
    )?;
    access.keys = keys
        .into_iter()
        .map(KeyRow::key)
        .collect::<Result<_, Fault>>()?;
    let certificates = sql!(
        tx,
        all CertificateRow,
        select_certificates!(
            "WHERE partner_id = $1 AND state <> 'REVOKED' ORDER BY client_certificate_id LIMIT $2"
        ),
        access.partner_id,
        limit
    )?;
    access.certificates = certificates
        .into_iter()
        .map(CertificateRow::certificate)
        .collect::<Result<_, Fault>>()?;
    Ok(access)
}

/// Writes a change of one that was read at version `before`.
pub(crate) async fn access_update(
    tx: &mut Tx,
    access: &PartnerAccess,
    before: Version,
) -> Result<(), Fault> {
    let rows = sql!(
        tx,
        execute,
        "UPDATE partner_access SET issuer_name = $1, allowed_scopes = $2, calls_per_second = $3, \
         concurrent_calls = $4, placements_per_second = $5, version = $6, update_time = $7 \
         WHERE partner_id = $8 AND version = $9",
        &access.issuer_name,
        access.allowed_scopes.join(" "),
        access.quotas.calls_per_second,
        access.quotas.concurrent_calls,
        access.quotas.placements_per_second,
        access.version.0,
        access.update_time,
        access.partner_id,
        before.0
    )?;
    met(rows, "partner_access")
}

/// Notes that a name is a partner's for good; false when it is another's.
pub(crate) async fn holder_claim(
    tx: &mut Tx,
    kind: &'static str,
    name: &str,
    partner_id: &PartnerId,
) -> Result<bool, Fault> {
    sql!(
        tx,
        execute,
        "INSERT INTO credential_holder (kind, name, partner_id) VALUES ($1, $2, $3) \
         ON CONFLICT (kind, name) DO NOTHING",
        kind,
        name,
        partner_id
    )?;
    let holder = sql!(
        tx,
        optional(String,),
        "SELECT partner_id FROM credential_holder WHERE kind = $1 AND name = $2",
        kind,
        name
    )?;
    Ok(holder.is_some_and(|(holder,)| holder == partner_id.as_str()))
}

/// Puts in a new key; false when the partner has one of this `kid`.
pub(crate) async fn token_key_insert(tx: &mut Tx, key: &TokenKey) -> Result<bool, Fault> {
    let rows = sql!(
        tx,
        execute,
        "INSERT INTO token_key (token_key_id, partner_id, kid, public_key_jwk, state, revoke_reason, version, \
         create_time, retire_time, revoke_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (partner_id, kid) DO NOTHING",
        key.token_key_id,
        key.partner_id,
        &key.kid,
        &key.public_key_jwk,
        key.state.word(),
        &key.revoke_reason,
        key.version.0,
        key.create_time,
        key.retire_time,
        key.revoke_time
    )?;
    Ok(rows == 1)
}

/// Writes a change of one that was read at version `before`.
pub(crate) async fn token_key_update(
    tx: &mut Tx,
    key: &TokenKey,
    before: Version,
) -> Result<(), Fault> {
    let rows = sql!(
        tx,
        execute,
        "UPDATE token_key SET state = $1, revoke_reason = $2, version = $3, retire_time = $4, revoke_time = $5 \
         WHERE token_key_id = $6 AND version = $7",
        key.state.word(),
        &key.revoke_reason,
        key.version.0,
        key.retire_time,
        key.revoke_time,
        key.token_key_id,
        before.0
    )?;
    met(rows, "token_key")
}

/// One of them.
pub(crate) async fn token_key_by_id(
    tx: &mut Tx,
    token_key_id: &TokenKeyId,
) -> Result<Option<TokenKey>, Fault> {
    let row = sql!(tx, optional KeyRow, select_keys!("WHERE token_key_id = $1"), token_key_id)?;
    row.map(KeyRow::key).transpose()
}

/// Those of one partner, revoked ones too.
pub(crate) async fn token_key_list(
    tx: &mut Tx,
    partner_id: &PartnerId,
    slice: &Slice,
) -> Result<Vec<TokenKey>, Fault> {
    let rows = sql!(
        tx,
        all KeyRow,
        select_keys!("WHERE partner_id = $1 AND token_key_id > $2 ORDER BY token_key_id LIMIT $3"),
        partner_id,
        &slice.after,
        slice.limit
    )?;
    rows.into_iter().map(KeyRow::key).collect()
}

/// Puts in a new certificate; false when one of this fingerprint is known.
pub(crate) async fn certificate_insert(
    tx: &mut Tx,
    certificate: &ClientCertificate,
) -> Result<bool, Fault> {
    let rows = sql!(
        tx,
        execute,
        "INSERT INTO client_certificate (client_certificate_id, partner_id, sha256_fingerprint, spiffe_id, \
         start_time, expire_time, state, revoke_reason, create_time, revoke_time) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
        certificate.client_certificate_id,
        certificate.partner_id,
        &certificate.sha256_fingerprint,
        &certificate.spiffe_id,
        certificate.start_time,
        certificate.expire_time,
        certificate.state.word(),
        &certificate.revoke_reason,
        certificate.create_time,
        certificate.revoke_time
    )?;
    Ok(rows == 1)
}

/// Writes that an accepted one was revoked.
pub(crate) async fn certificate_revoke(
    tx: &mut Tx,
    certificate: &ClientCertificate,
) -> Result<(), Fault> {
    let rows = sql!(
        tx,
        execute,
        "UPDATE client_certificate SET state = $1, revoke_reason = $2, revoke_time = $3 \
         WHERE client_certificate_id = $4 AND state = $5",
        certificate.state.word(),
        &certificate.revoke_reason,
        certificate.revoke_time,
        certificate.client_certificate_id,
        CertificateState::Active.word()
    )?;
    met(rows, "client_certificate")
}

/// One of them.
pub(crate) async fn certificate_by_id(
    tx: &mut Tx,
    client_certificate_id: &ClientCertificateId,
) -> Result<Option<ClientCertificate>, Fault> {
    let row = sql!(
        tx,
        optional CertificateRow,
        select_certificates!("WHERE client_certificate_id = $1"),
        client_certificate_id
    )?;
    row.map(CertificateRow::certificate).transpose()
}

/// Those of one partner, revoked ones too.
pub(crate) async fn certificate_list(
    tx: &mut Tx,
    partner_id: &PartnerId,
    slice: &Slice,
) -> Result<Vec<ClientCertificate>, Fault> {
    let rows = sql!(
        tx,
        all CertificateRow,
        select_certificates!(
            "WHERE partner_id = $1 AND client_certificate_id > $2 ORDER BY client_certificate_id LIMIT $3"
        ),
        partner_id,
        &slice.after,
        slice.limit
    )?;
    rows.into_iter().map(CertificateRow::certificate).collect()
}
