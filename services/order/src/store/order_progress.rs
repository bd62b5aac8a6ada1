//! Writing what becomes of orders after they were paid, many at once. Whoever writes here has locked the orders,
//! and before them the allotments whose units move.

use std::collections::HashMap;

use ::store::{Tx, bulk, sql};
use contracts::id::{OrderId, PaymentId, ReturnId};
use kit::errors::Fault;

use super::{all_written, column, id, word};
use crate::model::refund::RefundShares;
use crate::model::{CancelReason, LineQuantities, Order, ReturnStage};

/// Writes orders, each with the version that was loaded. What was agreed at placement, and what only the desk
/// decides, stays as it is.
pub async fn orders_advance(tx: &mut Tx, orders: &[(&Order, i64)]) -> Result<(), Fault> {
    if orders.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    let written = bulk!(
        tx,
        execute,
        postgres: "UPDATE orders AS o SET state = u.state, payment_state = u.payment_state, \
                   fulfillment_state = u.fulfillment_state, aftersale_state = u.aftersale_state, \
                   has_contact = u.has_contact, care_blocks = u.care_blocks, cancel_reason = u.cancel_reason, \
                   refund_due = u.refund_due, refunded = u.refunded, refunds_open = u.refunds_open, \
                   paid_back = u.paid_back, partner_paid_back = u.partner_paid_back, returns_open = u.returns_open, \
                   complete_after = u.complete_after, care_version = u.care_version, version = u.version, \
                   update_time = $19 \
                   FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], \
                   $7::BOOLEAN[], $8::TEXT[], $9::TEXT[], $10::BIGINT[], $11::BIGINT[], $12::BIGINT[], \
                   $13::BIGINT[], $14::BIGINT[], $15::BIGINT[], $16::BIGINT[], $17::BIGINT[], $18::BIGINT[]) \
                   AS u(id, loaded_version, state, payment_state, fulfillment_state, aftersale_state, has_contact, \
                   care_blocks, cancel_reason, refund_due, refunded, refunds_open, paid_back, partner_paid_back, \
                   returns_open, complete_after, care_version, version) \
                   WHERE o.order_id = u.id AND o.version = u.loaded_version",
        sqlite: "UPDATE orders SET state = u.value->>2, payment_state = u.value->>3, \
                 fulfillment_state = u.value->>4, aftersale_state = u.value->>5, has_contact = u.value->>6, \
                 care_blocks = u.value->>7, cancel_reason = u.value->>8, refund_due = u.value->>9, \
                 refunded = u.value->>10, refunds_open = u.value->>11, paid_back = u.value->>12, \
                 partner_paid_back = u.value->>13, returns_open = u.value->>14, complete_after = u.value->>15, \
                 care_version = u.value->>16, version = u.value->>17, update_time = $2 FROM json_each($1) AS u \
                 WHERE orders.order_id = u.value->>0 AND orders.version = u.value->>1",
        columns: [
            column(orders, |(o, _)| *o.order_id()), column(orders, |(_, loaded)| *loaded),
            column(orders, |(o, _)| o.state.as_str()), column(orders, |(o, _)| o.payment_state.as_str()),
            column(orders, |(o, _)| o.fulfillment_state.as_str()),
            column(orders, |(o, _)| o.aftersale_state.as_str()), column(orders, |(o, _)| o.has_contact),
            column(orders, |(o, _)| o.care_blocks.words()),
            column(orders, |(o, _)| o.cancel_reason.map_or("", CancelReason::as_str)),
            column(orders, |(o, _)| o.balance.refund_due), column(orders, |(o, _)| o.balance.refunded),
            column(orders, |(o, _)| o.balance.refunds_open), column(orders, |(o, _)| o.balance.paid_back.shopper),
            column(orders, |(o, _)| o.balance.paid_back.partner), column(orders, |(o, _)| o.returns_open),
            column(orders, |(o, _)| o.complete_after), column(orders, |(o, _)| o.care_version),
            column(orders, |(o, _)| o.version)
        ],
        also: [now]
    )?;
    all_written("orders", written, orders.len())
}

/// Writes the counters of the lines of these orders.
pub async fn lines_advance(tx: &mut Tx, orders: &[&Order]) -> Result<(), Fault> {
    let mut lines: Vec<(OrderId, i64, LineQuantities)> = Vec::with_capacity(orders.len());
    for order in orders {
        let numbered = (0..).zip(&order.quantities);
        lines.extend(numbered.map(|(number, counted)| (*order.order_id(), number, *counted)));
    }
    if lines.is_empty() {
        return Ok(());
    }
    let lines = lines.as_slice();
    let written = bulk!(
        tx,
        execute,
        postgres: "UPDATE order_line AS l SET cancelled = u.cancelled, shipped = u.shipped, delivered = u.delivered, \
                   undelivered = u.undelivered, returned = u.returned, refunded = u.refunded \
                   FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::BIGINT[], \
                   $7::BIGINT[], $8::BIGINT[]) \
                   AS u(order_id, line_number, cancelled, shipped, delivered, undelivered, returned, refunded) \
                   WHERE l.order_id = u.order_id AND l.line_number = u.line_number",
        sqlite: "UPDATE order_line SET cancelled = u.value->>2, shipped = u.value->>3, delivered = u.value->>4, \
                 undelivered = u.value->>5, returned = u.value->>6, refunded = u.value->>7 FROM json_each($1) AS u \
                 WHERE order_line.order_id = u.value->>0 AND order_line.line_number = u.value->>1",
        columns: [
            column(lines, |line| line.0), column(lines, |line| line.1), column(lines, |line| line.2.cancelled),
            column(lines, |line| line.2.shipped), column(lines, |line| line.2.delivered),
            column(lines, |line| line.2.undelivered), column(lines, |line| line.2.returned),
            column(lines, |line| line.2.refunded)
        ]
    )?;
    all_written("order lines", written, lines.len())
}

/// Counts what is to go back on the payments that paid these orders, each order once; gives the payments and their
/// references. The table refuses more than was paid.
pub async fn payments_owe(
    tx: &mut Tx,
    owed: &[(OrderId, RefundShares)],
) -> Result<HashMap<OrderId, (PaymentId, String)>, Fault> {
    if owed.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = bulk!(
        tx,
        all(String, String, String),
        postgres: "UPDATE payment AS p SET refunded = p.refunded + u.refunded, \
                   partner_refunded = p.partner_refunded + u.partner_refunded \
                   FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::BIGINT[]) AS u(order_id, refunded, partner_refunded) \
                   WHERE p.order_id = u.order_id AND p.outcome = 'PAID' \
                   RETURNING p.order_id, p.payment_id, p.payment_reference",
        sqlite: "UPDATE payment SET refunded = refunded + (u.value->>1), \
                 partner_refunded = partner_refunded + (u.value->>2) FROM json_each($1) AS u \
                 WHERE payment.order_id = u.value->>0 AND payment.outcome = 'PAID' \
                 RETURNING order_id, payment_id, payment_reference",
        columns: [
            column(owed, |owed| owed.0), column(owed, |owed| owed.1.shopper), column(owed, |owed| owed.1.partner)
        ]
    )?;
    if rows.len() != owed.len() {
        return Err(Fault::internal("a paid order has no payment"));
    }
    rows.into_iter()
        .map(|(order_id, payment_id, reference)| {
            Ok((id(&order_id)?, (id(&payment_id)?, reference)))
        })
        .collect()
}

/// Counts what has gone back of a payment. The table refuses more than was to go back.
pub async fn payment_pay_back(
    tx: &mut Tx,
    payment_id: &PaymentId,
    amounts: RefundShares,
) -> Result<(), Fault> {
    let rows = sql!(
        tx,
        execute,
        "UPDATE payment SET paid_back = paid_back + $1, partner_paid_back = partner_paid_back + $2 \
         WHERE payment_id = $3",
        amounts.shopper,
        amounts.partner,
        payment_id
    )?;
    all_written("payments", rows, 1)
}

/// How far these returns have come.
pub async fn return_stages(
    tx: &mut Tx,
    ids: &[ReturnId],
) -> Result<HashMap<ReturnId, ReturnStage>, Fault> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = bulk!(
        tx,
        all(String, String),
        postgres: "SELECT r.return_id, r.stage FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT return_id, stage FROM order_return WHERE return_id = k.id LIMIT 1) AS r",
        sqlite: "SELECT r.return_id, r.stage FROM json_each($1) AS k \
                 CROSS JOIN order_return AS r ON r.return_id = k.value->>0",
        columns: [ids]
    )?;
    rows.into_iter()
        .map(|(return_id, stage)| {
            let stage = word(ReturnStage::parse(&stage), "order_return.stage")?;
            Ok((id(&return_id)?, stage))
        })
        .collect()
}

/// Writes how far returns have come, each once.
pub async fn returns_put(
    tx: &mut Tx,
    returns: &[(ReturnId, OrderId, ReturnStage)],
) -> Result<(), Fault> {
    if returns.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO order_return (return_id, order_id, stage, update_time) \
                   SELECT u.*, $4::BIGINT FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[]) AS u \
                   ON CONFLICT (return_id) DO UPDATE SET stage = excluded.stage, update_time = excluded.update_time",
        sqlite: "INSERT INTO order_return (return_id, order_id, stage, update_time) \
                 SELECT value->>0, value->>1, value->>2, $2 FROM json_each($1) WHERE true \
                 ON CONFLICT (return_id) DO UPDATE SET stage = excluded.stage, update_time = excluded.update_time",
        columns: [
            column(returns, |row| row.0), column(returns, |row| row.1), column(returns, |row| row.2.as_str())
        ],
        also: [now]
    )?;
    Ok(())
}

/// Orders whose return window has ended and that wait for no return, the longest ended first.
pub async fn orders_to_complete(tx: &mut Tx, limit: i64) -> Result<Vec<OrderId>, Fault> {
    let now = tx.now();
    let rows = sql!(
        tx,
        all(String,),
        "SELECT order_id FROM orders WHERE state = 'CONFIRMED' AND complete_after IS NOT NULL \
         AND returns_open = 0 AND complete_after <= $1 ORDER BY complete_after, order_id LIMIT $2",
        now,
        limit
    )?;
    rows.iter().map(|(order_id,)| id(order_id)).collect()
}
