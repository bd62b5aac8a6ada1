//! Writing what becomes of orders after they were paid. An order is read without a lock and written only if its
//! version is still the one that was read; counters of units are written before, as everybody does.

use ::store::{Tx, bulk, sql};
use contracts::id::{OrderId, PaymentId};
use kit::clock::Micros;
use kit::errors::Fault;

use super::id;
use crate::model::refund::RefundShares;
use crate::model::{CancelReason, CareBlocks, Line, LineQuantities, Order};

/// Writes an order if nobody changed it since its version was read. What was agreed at placement, and what only
/// the desk decides, stays as it is.
pub async fn order_update(
    tx: &mut Tx,
    order: &Order,
    loaded_version: i64,
    complete_after: Option<Micros>,
) -> Result<(), Fault> {
    let now = tx.now();
    let rows = sql!(
        tx,
        execute,
        "UPDATE orders SET state = $1, payment_state = $2, fulfillment_state = $3, has_contact = $4, \
         cancel_reason = $5, refund_due = $6, version = $7, update_time = $8, complete_after = $9 \
         WHERE order_id = $10 AND version = $11",
        order.state.as_str(),
        order.payment_state.as_str(),
        order.fulfillment_state.as_str(),
        order.has_contact,
        order.cancel_reason.map_or("", CancelReason::as_str),
        order.refund_due,
        order.version,
        now,
        complete_after,
        order.order_id(),
        loaded_version
    )?;
    if rows == 1 {
        Ok(())
    } else {
        Err(Fault::Conflict("an order was changed by another".into()))
    }
}

/// Writes the counters of an order's lines; the order was written before.
pub async fn order_lines_update(tx: &mut Tx, order: &Order) -> Result<(), Fault> {
    let column =
        |of: fn(&LineQuantities) -> i64| order.quantities.iter().map(of).collect::<Vec<i64>>();
    let ids: Vec<&str> = order
        .placement
        .lines
        .iter()
        .map(|line| line.order_line_id.as_str())
        .collect();
    bulk!(
        tx,
        execute,
        postgres: "UPDATE order_line AS l SET cancelled = u.cancelled, shipped = u.shipped, delivered = u.delivered, \
                   undelivered = u.undelivered \
                   FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[]) \
                   AS u(id, cancelled, shipped, delivered, undelivered) \
                   WHERE l.order_id = $6 AND l.order_line_id = u.id",
        sqlite: "UPDATE order_line SET cancelled = u.value->>1, shipped = u.value->>2, delivered = u.value->>3, \
                 undelivered = u.value->>4 FROM json_each($1) AS u \
                 WHERE order_line.order_id = $2 AND order_line.order_line_id = u.value->>0",
        columns: [
            ids,
            column(|line| line.cancelled),
            column(|line| line.shipped),
            column(|line| line.delivered),
            column(|line| line.undelivered)
        ],
        also: [order.order_id()]
    )?;
    Ok(())
}

/// Units of one line that were sold and go back to where they came from.
#[derive(Clone, Copy, Debug)]
pub struct Unsold<'a> {
    /// The line.
    pub line: &'a Line,
    /// How many of its units.
    pub quantity: i64,
}

/// Gives units back that were cancelled after payment: to the allotment, and to everything that counts them.
/// Kind by kind and each by id, as everybody locks them.
pub async fn units_unsell(tx: &mut Tx, order: &Order, unsold: &[Unsold<'_>]) -> Result<(), Fault> {
    let mut unsold = unsold.to_vec();
    unsold.sort_unstable_by_key(|units| (units.line.allotment_id, units.line.listing_id));
    for Unsold { line, quantity } in &unsold {
        let rows = sql!(
            tx,
            execute,
            "UPDATE allotment SET sold = sold - $1, available = available + $1 WHERE allotment_id = $2",
            quantity,
            line.allotment_id
        )?;
        counted(rows)?;
    }
    unsold.sort_unstable_by_key(|units| units.line.listing_id);
    for Unsold { line, quantity } in &unsold {
        let rows = sql!(
            tx,
            execute,
            "UPDATE allotment_listing SET taken = taken - $1 WHERE listing_id = $2",
            quantity,
            line.listing_id
        )?;
        counted(rows)?;
    }
    for Unsold { line, quantity } in &unsold {
        if let Some(drop_id) = line.drop_id {
            sql!(
                tx,
                execute,
                "UPDATE drop_sale SET taken = taken - $1 WHERE drop_id = $2",
                quantity,
                drop_id
            )?;
            sql!(
                tx,
                execute,
                "UPDATE drop_listing SET taken = taken - $1 WHERE drop_id = $2 AND listing_id = $3",
                quantity,
                drop_id,
                line.listing_id
            )?;
        }
    }
    for Unsold { line, quantity } in &unsold {
        shopper_release(tx, order, line.listing_id.as_str(), *quantity).await?;
        if let Some(drop_id) = line.drop_id.filter(|_| line.drop_person_limited) {
            shopper_release(tx, order, drop_id.as_str(), *quantity).await?;
        }
    }
    Ok(())
}

async fn shopper_release(
    tx: &mut Tx,
    order: &Order,
    scope: &str,
    quantity: i64,
) -> Result<(), Fault> {
    let placement = &order.placement;
    let rows = sql!(
        tx,
        execute,
        "UPDATE shopper_count SET taken = taken - $1 WHERE scope = $2 AND partner_id = $3 AND shopper_ref = $4",
        quantity,
        scope,
        placement.partner_id,
        &placement.shopper_ref
    )?;
    counted(rows)
}

fn counted(rows: u64) -> Result<(), Fault> {
    if rows == 1 {
        Ok(())
    } else {
        Err(Fault::internal("units of an order are counted nowhere"))
    }
}

/// Counts what goes back on the payment that paid the order; gives the payment and its reference. The table
/// refuses more than was paid.
pub async fn payment_owe(
    tx: &mut Tx,
    order_id: &OrderId,
    refund: RefundShares,
) -> Result<(PaymentId, String), Fault> {
    let row = sql!(
        tx,
        optional(String, String),
        "UPDATE payment SET refunded = refunded + $1, partner_refunded = partner_refunded + $2 \
         WHERE order_id = $3 AND outcome = 'PAID' RETURNING payment_id, payment_reference",
        refund.shopper,
        refund.partner,
        order_id
    )?;
    match row {
        Some((payment_id, payment_reference)) => Ok((id(&payment_id)?, payment_reference)),
        None => Err(Fault::internal("a paid order has no payment")),
    }
}

/// Notes why units of an order were cancelled.
pub async fn order_note_reason(
    tx: &mut Tx,
    order_id: &OrderId,
    reason: CancelReason,
) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "UPDATE orders SET cancel_reason = $1 WHERE order_id = $2",
        reason.as_str(),
        order_id
    )?;
    Ok(())
}

/// Notes what people have set in the way of shipping, if that is new.
pub async fn order_note_blocks(
    tx: &mut Tx,
    order_id: &OrderId,
    blocks: CareBlocks,
) -> Result<(), Fault> {
    let now = tx.now();
    sql!(
        tx,
        execute,
        "UPDATE orders SET care_blocks = $1, version = version + 1, update_time = $2 \
         WHERE order_id = $3 AND care_blocks <> $1",
        blocks.words(),
        now,
        order_id
    )?;
    Ok(())
}

/// Orders whose return window has ended, the longest ended first.
pub async fn orders_to_complete(tx: &mut Tx, limit: i64) -> Result<Vec<OrderId>, Fault> {
    let now = tx.now();
    let rows = sql!(
        tx,
        all(String,),
        "SELECT order_id FROM orders WHERE state = 'CONFIRMED' AND complete_after IS NOT NULL \
         AND complete_after <= $1 ORDER BY complete_after, order_id LIMIT $2",
        now,
        limit
    )?;
    rows.iter().map(|(order_id,)| id(order_id)).collect()
}
