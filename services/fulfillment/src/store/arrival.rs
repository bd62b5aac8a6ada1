//! Orders on their way in, and cancellations that came ahead of them.

use contracts::id::{FulfillmentId, OrderId, OrderLineId, PartnerId};
use kit::clock::Micros;
use kit::errors::Fault;
use store::{Tx, sql};

use super::{id, word};
use crate::model::{CancelAsk, CancelReason, LineQuantity};

/// A cancellation that waits for its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Whose order the caller took it for.
    pub partner_id: PartnerId,
    /// What is to be cancelled.
    pub ask: CancelAsk,
}

/// Lets an order in: true once, and then never again. Locks the order's row of arrival.
pub async fn arrival_let_in(
    tx: &mut Tx,
    order: &OrderId,
    fulfillment: &FulfillmentId,
) -> Result<Arrival, Fault> {
    let now = tx.now();
    let row = sql!(
        tx,
        optional(i64,),
        "INSERT INTO order_arrival (order_id, fulfillment_id, touch_time) VALUES ($1, $2, $3) \
         ON CONFLICT (order_id) DO UPDATE SET fulfillment_id = excluded.fulfillment_id, \
         touch_time = excluded.touch_time WHERE order_arrival.fulfillment_id = '' RETURNING tombstones",
        order,
        fulfillment,
        now
    )?;
    Ok(match row {
        None => Arrival::Known,
        Some((0,)) => Arrival::New,
        Some(_) => Arrival::Expected,
    })
}

/// What is known of an order that comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It came in before.
    Known,
    /// Nothing.
    New,
    /// Cancellations wait for it.
    Expected,
}

/// Counts one more cancellation ahead of its order; none when the order has arrived. Locks the order's row
/// of arrival, so that the order cannot come in before this transaction has ended.
pub async fn arrival_expect(tx: &mut Tx, order: &OrderId) -> Result<Option<i64>, Fault> {
    let now = tx.now();
    let row = sql!(
        tx,
        optional(i64,),
        "INSERT INTO order_arrival (order_id, tombstones, touch_time) VALUES ($1, 1, $2) \
         ON CONFLICT (order_id) DO UPDATE SET tombstones = order_arrival.tombstones + 1, \
         touch_time = excluded.touch_time WHERE order_arrival.fulfillment_id = '' RETURNING tombstones",
        order,
        now
    )?;
    Ok(row.map(|(tombstones,)| tombstones))
}

/// Keeps a cancellation until its order arrives.
pub async fn tombstone_insert(
    tx: &mut Tx,
    order: &OrderId,
    stone: &Tombstone,
) -> Result<(), Fault> {
    let (key, now) = (format!("{:032x}", tx.ids().next()), tx.now());
    let lines: Vec<(&str, i64)> = stone
        .ask
        .lines
        .iter()
        .map(|line| (line.order_line_id.as_str(), line.quantity))
        .collect();
    let lines = serde_json::to_string(&lines).map_err(Fault::internal)?;
    sql!(
        tx,
        execute,
        "INSERT INTO tombstone (tombstone_id, order_id, partner_id, lines, reason, create_time) \
         VALUES ($1, $2, $3, $4, $5, $6)",
        key,
        order,
        &stone.partner_id,
        lines,
        stone.ask.reason.word(),
        now
    )?;
    Ok(())
}

/// Takes away the cancellations that wait for an order, the oldest first.
pub async fn tombstones_take(tx: &mut Tx, order: &OrderId) -> Result<Vec<Tombstone>, Fault> {
    let rows = sql!(
        tx,
        all(String, String, String),
        "SELECT partner_id, lines, reason FROM tombstone WHERE order_id = $1 ORDER BY tombstone_id",
        order
    )?;
    sql!(
        tx,
        execute,
        "DELETE FROM tombstone WHERE order_id = $1",
        order
    )?;
    rows.iter()
        .map(|(partner, lines, reason)| tombstone(partner, lines, reason))
        .collect()
}

fn tombstone(partner: &str, lines: &str, reason: &str) -> Result<Tombstone, Fault> {
    let lines: Vec<(String, i64)> = serde_json::from_str(lines).map_err(Fault::internal)?;
    let line = |(line, quantity): &(String, i64)| {
        let order_line_id: OrderLineId = id(line)?;
        Ok(LineQuantity {
            order_line_id,
            quantity: *quantity,
        })
    };
    let lines = lines.iter().map(line).collect::<Result<_, Fault>>()?;
    let reason = word("reason", reason, CancelReason::named)?;
    Ok(Tombstone {
        partner_id: id(partner)?,
        ask: CancelAsk { lines, reason },
    })
}

/// Forgets, with their cancellations, orders that have not arrived although they were expected before
/// `before`; at most so many. Gives their ids.
pub async fn arrivals_forget(
    tx: &mut Tx,
    before: Micros,
    limit: i64,
) -> Result<Vec<String>, Fault> {
    let rows = sql!(
        tx,
        all(String,),
        "DELETE FROM order_arrival WHERE fulfillment_id = '' AND order_id IN (SELECT order_id FROM order_arrival \
         WHERE fulfillment_id = '' AND touch_time < $1 ORDER BY touch_time LIMIT $2) RETURNING order_id",
        before,
        limit
    )?;
    Ok(rows.into_iter().map(|(order,)| order).collect())
}
