//! Payment keys.

use contracts::id::{PartnerId, PaymentKeyId};
use kit::clock::Micros;
use kit::errors::Fault;
use store::{Tx, sql};

use super::{Slice, id, locked, met, word};
use crate::model::payment_key::{PaymentKey, PaymentKeyState};

#[derive(sqlx::FromRow)]
struct Row {
    payment_key_id: String,
    partner_id: String,
    kid: String,
    public_key_jwk: String,
    state: String,
    revoke_reason: String,
    create_time: i64,
    revoke_time: Option<i64>,
}

impl Row {
    fn key(self) -> Result<PaymentKey, Fault> {
        Ok(PaymentKey {
            payment_key_id: id(&self.payment_key_id)?,
            partner_id: id(&self.partner_id)?,
            kid: self.kid,
            public_key_jwk: self.public_key_jwk,
            state: word(PaymentKeyState::named, "payment_key.state", &self.state)?,
            revoke_reason: self.revoke_reason,
            create_time: Micros(self.create_time),
            revoke_time: self.revoke_time.map(Micros),
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT payment_key_id, partner_id, kid, public_key_jwk, state, revoke_reason, create_time, \
             revoke_time FROM payment_key ",
            $rest
        )
    };
}

/// Puts in a new one; false when the partner has one of this `kid`.
pub(crate) async fn payment_key_insert(tx: &mut Tx, key: &PaymentKey) -> Result<bool, Fault> {
    let rows = sql!(
        tx,
        execute,
        "INSERT INTO payment_key (payment_key_id, partner_id, kid, public_key_jwk, state, revoke_reason, \
         create_time, revoke_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (partner_id, kid) DO NOTHING",
        key.payment_key_id,
        key.partner_id,
        &key.kid,
        &key.public_key_jwk,
        key.state.word(),
        &key.revoke_reason,
        key.create_time,
        key.revoke_time
    )?;
    Ok(rows == 1)
}

/// Writes that an accepted one was revoked.
pub(crate) async fn payment_key_revoke(tx: &mut Tx, key: &PaymentKey) -> Result<(), Fault> {
    let rows = sql!(
        tx,
        execute,
        "UPDATE payment_key SET state = $1, revoke_reason = $2, revoke_time = $3 \
         WHERE payment_key_id = $4 AND state = $5",
        key.state.word(),
        &key.revoke_reason,
        key.revoke_time,
        key.payment_key_id,
        PaymentKeyState::Active.word()
    )?;
    met(rows, "payment_key")
}

/// One of them, to be changed.
pub(crate) async fn payment_key_for_update(
    tx: &mut Tx,
    payment_key_id: &PaymentKeyId,
) -> Result<Option<PaymentKey>, Fault> {
    let row = locked!(
        tx,
        "FOR UPDATE",
        optional Row,
        select!("WHERE payment_key_id = $1"),
        payment_key_id
    )?;
    row.map(Row::key).transpose()
}

/// Those of one partner, revoked ones too.
pub(crate) async fn payment_key_list(
    tx: &mut Tx,
    partner_id: &PartnerId,
    slice: &Slice,
) -> Result<Vec<PaymentKey>, Fault> {
    let rows = sql!(
        tx,
        all Row,
        select!("WHERE partner_id = $1 AND payment_key_id > $2 ORDER BY payment_key_id LIMIT $3"),
        partner_id,
        &slice.after,
        slice.limit
    )?;
    rows.into_iter().map(Row::key).collect()
}
