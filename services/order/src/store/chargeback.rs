//! Chargebacks, and what banks take of payments. Whoever changes one holds the row of its order.

use ::store::{Tx, sql};
use contracts::id::{OrderId, PaymentId};
use contracts::money::Money;
use kit::clock::Micros;
use kit::errors::Fault;

use super::refund::RefundFilter;
use super::{all_written, currency, id, word};
use crate::model::money::{Chargeback, ChargebackState};
use crate::model::payment::Signed;
use crate::model::refund::RefundShares;

#[derive(sqlx::FromRow)]
struct ChargebackRow {
    chargeback_id: String,
    order_id: String,
    partner_id: String,
    payment_id: String,
    payment_reference: String,
    chargeback_reference: String,
    currency_code: String,
    amount: i64,
    state: String,
    open_time: i64,
    decide_time: Option<i64>,
    create_time: i64,
    version: i64,
}

macro_rules! chargeback_columns {
    () => {
        "SELECT chargeback_id, order_id, partner_id, payment_id, payment_reference, chargeback_reference, \
         currency_code, amount, state, open_time, decide_time, create_time, version FROM chargeback "
    };
}

impl ChargebackRow {
    fn read(self) -> Result<Chargeback, Fault> {
        Ok(Chargeback {
            chargeback_id: id(&self.chargeback_id)?,
            order_id: id(&self.order_id)?,
            partner_id: id(&self.partner_id)?,
            payment_id: id(&self.payment_id)?,
            payment_reference: self.payment_reference,
            chargeback_reference: self.chargeback_reference,
            amount: Money::new(currency(&self.currency_code)?, self.amount),
            state: word(ChargebackState::parse(&self.state), "chargeback.state")?,
            open_time: Micros(self.open_time),
            decide_time: self.decide_time.map(Micros),
            create_time: Micros(self.create_time),
            version: self.version,
        })
    }
}

/// What was signed, and with which key.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The key.
    pub kid: String,
    /// The statement.
    pub statement: Signed,
}

/// Writes a new chargeback.
pub async fn chargeback_insert(
    tx: &mut Tx,
    opened: &Chargeback,
    proof: &Proof,
) -> Result<(), Fault> {
    let rows = sql!(
        tx,
        execute,
        "INSERT INTO chargeback (chargeback_id, order_id, partner_id, payment_id, payment_reference, \
         chargeback_reference, currency_code, amount, state, open_time, open_kid, open_statement, create_time, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING",
        opened.chargeback_id,
        opened.order_id,
        opened.partner_id,
        opened.payment_id,
        &opened.payment_reference,
        &opened.chargeback_reference,
        opened.amount.currency.code(),
        opened.amount.minor_units,
        opened.state.as_str(),
        opened.open_time,
        &proof.kid,
        &proof.statement.0,
        opened.create_time,
        opened.version
    )?;
    all_written("chargebacks", rows, 1)
}

/// A chargeback by the partner's reference.
pub async fn chargeback_by_reference(
    tx: &mut Tx,
    order_id: &OrderId,
    reference: &str,
) -> Result<Option<Chargeback>, Fault> {
    let row = sql!(
        tx,
        optional ChargebackRow,
        concat!(chargeback_columns!(), "WHERE order_id = $1 AND chargeback_reference = $2"),
        order_id,
        reference
    )?;
    row.map(ChargebackRow::read).transpose()
}

/// Writes how a chargeback was decided that was open.
pub async fn chargeback_decide(
    tx: &mut Tx,
    decided: &Chargeback,
    proof: &Proof,
) -> Result<(), Fault> {
    let rows = sql!(
        tx,
        execute,
        "UPDATE chargeback SET state = $1, decide_time = $2, decide_kid = $3, decide_statement = $4, version = $5 \
         WHERE chargeback_id = $6 AND state = 'OPENED'",
        decided.state.as_str(),
        decided.decide_time,
        &proof.kid,
        &proof.statement.0,
        decided.version,
        decided.chargeback_id
    )?;
    all_written("chargebacks", rows, 1)
}

/// Chargebacks after an id.
pub async fn chargeback_page(
    tx: &mut Tx,
    filter: &RefundFilter,
    after: &str,
    limit: i64,
) -> Result<Vec<Chargeback>, Fault> {
    // Each form has an index of its own.
    let rows = if !filter.order_id.is_empty() {
        sql!(
            tx,
            all ChargebackRow,
            concat!(
                chargeback_columns!(),
                "WHERE order_id = $1 AND chargeback_id > $2 AND ($3 = '' OR partner_id = $3) \
                 ORDER BY chargeback_id LIMIT $4"
            ),
            &filter.order_id,
            after,
            &filter.partner_id,
            limit
        )?
    } else if !filter.partner_id.is_empty() {
        sql!(
            tx,
            all ChargebackRow,
            concat!(
                chargeback_columns!(),
                "WHERE partner_id = $1 AND chargeback_id > $2 ORDER BY chargeback_id LIMIT $3"
            ),
            &filter.partner_id,
            after,
            limit
        )?
    } else {
        sql!(
            tx,
            all ChargebackRow,
            concat!(chargeback_columns!(), "WHERE chargeback_id > $1 ORDER BY chargeback_id LIMIT $2"),
            after,
            limit
        )?
    };
    rows.into_iter().map(ChargebackRow::read).collect()
}

/// What a bank has taken of a payment beside what is refunded of it.
pub async fn payment_charged_back(tx: &mut Tx, payment_id: &PaymentId) -> Result<i64, Fault> {
    let (charged_back,) = sql!(
        tx,
        one(i64,),
        "SELECT charged_back FROM payment WHERE payment_id = $1",
        payment_id
    )?;
    Ok(charged_back)
}

/// Counts what a bank takes of a payment, or gives back. The table refuses more than is left of it.
pub async fn payment_charge_back(
    tx: &mut Tx,
    payment_id: &PaymentId,
    amount: i64,
) -> Result<(), Fault> {
    let rows = sql!(
        tx,
        execute,
        "UPDATE payment SET charged_back = charged_back + $1 WHERE payment_id = $2",
        amount,
        payment_id
    )?;
    all_written("payments", rows, 1)
}

/// Counts what is not to go back of a payment any more. The table refuses less than has gone back.
pub async fn payment_forgo(
    tx: &mut Tx,
    payment_id: &PaymentId,
    amounts: RefundShares,
) -> Result<(), Fault> {
    let rows = sql!(
        tx,
        execute,
        "UPDATE payment SET refunded = refunded - $1, partner_refunded = partner_refunded - $2 WHERE payment_id = $3",
        amounts.shopper,
        amounts.partner,
        payment_id
    )?;
    all_written("payments", rows, 1)
}
