//! Payments that were stated.

use ::store::{Tx, bulk, insert, sql};
use contracts::id::OrderId;
use contracts::money::Money;
use kit::clock::Micros;
use kit::errors::Fault;

use super::{column, currency, id, opt_id, word};
use crate::model::payment::Signed;
use crate::model::{Payment, PaymentOutcome, RefundReason};

#[derive(sqlx::FromRow)]
struct PaymentRow {
    payment_id: String,
    order_id: String,
    partner_id: String,
    payment_reference: String,
    currency_code: String,
    amount: i64,
    partner_amount: i64,
    refunded: i64,
    partner_refunded: i64,
    outcome: String,
    refund_id: String,
    refund_reason: String,
    kid: String,
    statement: String,
    pay_time: i64,
    record_time: i64,
}

impl PaymentRow {
    fn read(self) -> Result<Payment, Fault> {
        let refund = match opt_id(&self.refund_id)? {
            None => None,
            Some(refund_id) => Some((
                refund_id,
                word(
                    RefundReason::parse(&self.refund_reason),
                    "payment.refund_reason",
                )?,
            )),
        };
        Ok(Payment {
            payment_id: id(&self.payment_id)?,
            order_id: id(&self.order_id)?,
            partner_id: id(&self.partner_id)?,
            payment_reference: self.payment_reference,
            amount: Money::new(currency(&self.currency_code)?, self.amount),
            partner_amount: self.partner_amount,
            refunded: self.refunded,
            partner_refunded: self.partner_refunded,
            outcome: word(PaymentOutcome::parse(&self.outcome), "payment.outcome")?,
            refund,
            kid: self.kid,
            statement: Signed(self.statement),
            pay_time: Micros(self.pay_time),
            record_time: Micros(self.record_time),
        })
    }
}

macro_rules! payment_columns {
    () => {
        "p.payment_id, p.order_id, p.partner_id, p.payment_reference, p.currency_code, p.amount, p.partner_amount, \
         p.refunded, p.partner_refunded, p.outcome, p.refund_id, p.refund_reason, p.kid, p.statement, p.pay_time, \
         p.record_time "
    };
}

/// The payments recorded under these references.
pub async fn payments_by_reference(
    tx: &mut Tx,
    keys: &[(OrderId, &str)],
) -> Result<Vec<Payment>, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all PaymentRow,
        postgres: concat!("SELECT ", payment_columns!(), "FROM UNNEST($1::TEXT[], $2::TEXT[]) \
                   AS k(order_id, payment_reference) CROSS JOIN LATERAL (SELECT * FROM payment \
                   WHERE order_id = k.order_id AND payment_reference = k.payment_reference LIMIT 1) AS p"),
        sqlite: concat!("SELECT ", payment_columns!(), "FROM json_each($1) AS k CROSS JOIN payment AS p \
                 ON p.order_id = k.value->>0 AND p.payment_reference = k.value->>1"),
        columns: [column(keys, |key| key.0), column(keys, |key| key.1)]
    )?;
    rows.into_iter().map(PaymentRow::read).collect()
}

/// Writes payments; a reference that somebody else has recorded meanwhile makes the unit run again.
pub async fn payments_insert(tx: &mut Tx, payments: &[&Payment]) -> Result<(), Fault> {
    if payments.is_empty() {
        return Ok(());
    }
    insert!(tx, "payment", {
        payment_id: column(payments, |p| p.payment_id), order_id: column(payments, |p| p.order_id),
        partner_id: column(payments, |p| p.partner_id),
        payment_reference: column(payments, |p| p.payment_reference.as_str()),
        currency_code: column(payments, |p| p.amount.currency.code()),
        amount: column(payments, |p| p.amount.minor_units), partner_amount: column(payments, |p| p.partner_amount),
        refunded: column(payments, |p| p.refunded), partner_refunded: column(payments, |p| p.partner_refunded),
        outcome: column(payments, |p| p.outcome.as_str()),
        refund_id: column(payments, |p| p.refund.as_ref().map_or("", |(refund_id, _)| refund_id.as_str())),
        refund_reason: column(payments, |p| p.refund.as_ref().map_or("", |(_, reason)| reason.as_str())),
        kid: column(payments, |p| p.kid.as_str()), statement: column(payments, |p| p.statement.0.as_str()),
        pay_time: column(payments, |p| p.pay_time), record_time: column(payments, |p| p.record_time),
    })?;
    Ok(())
}

/// All payments of an order, in the order in which they were recorded.
pub async fn payments_of_order(tx: &mut Tx, order_id: &OrderId) -> Result<Vec<Payment>, Fault> {
    let rows = sql!(
        tx,
        all PaymentRow,
        concat!("SELECT ", payment_columns!(), "FROM payment AS p WHERE p.order_id = $1 ORDER BY p.payment_id"),
        order_id
    )?;
    rows.into_iter().map(PaymentRow::read).collect()
}
