//! Orders and their lines.

use std::collections::HashMap;
use std::sync::Arc;

use ::store::macros::same;
use ::store::{Tx, bulk, insert, sql};
use contracts::id::OrderId;
use kit::clock::Micros;
use kit::errors::Fault;

use super::order_row::{self, PlacementRow, placement_columns};
use super::{all_written, column, id, micros, word};
use crate::model::refund::RefundShares;
use crate::model::{
    AftersaleState, Balance, CancelReason, CareBlocks, FulfillmentState, Line, LineQuantities,
    Order, OrderState, PaymentState, Placement, QuotaOwner,
};

/// What was agreed for these orders. It never changes, so it may be read without a lock.
pub async fn placements_by_id(tx: &mut Tx, ids: &[OrderId]) -> Result<Vec<Arc<Placement>>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all PlacementRow,
        postgres: concat!("SELECT ", placement_columns!(), "FROM UNNEST($1::TEXT[]) AS k(id) \
                   CROSS JOIN LATERAL (SELECT * FROM orders WHERE order_id = k.id LIMIT 1) AS o \
                   CROSS JOIN LATERAL (SELECT * FROM order_line WHERE order_id = k.id ORDER BY line_number LIMIT 1000) \
                   AS l"),
        sqlite: concat!("SELECT ", placement_columns!(), "FROM json_each($1) AS k \
                 CROSS JOIN orders AS o ON o.order_id = k.value->>0 \
                 CROSS JOIN order_line AS l ON l.order_id = o.order_id ORDER BY k.key, l.line_number"),
        columns: [ids]
    )?;
    order_row::read(rows)
}

#[derive(sqlx::FromRow)]
struct StateRow {
    order_id: String,
    state: String,
    payment_state: String,
    fulfillment_state: String,
    aftersale_state: String,
    hold_expire_time: i64,
    pay_time: Option<i64>,
    ship_not_before: Option<i64>,
    ship_by: Option<i64>,
    has_contact: bool,
    care_blocks: String,
    cancel_reason: String,
    refund_due: i64,
    refunded: i64,
    refunds_open: i64,
    paid_back: i64,
    partner_paid_back: i64,
    returns_open: i64,
    complete_after: Option<i64>,
    care_version: i64,
    version: i64,
}

macro_rules! state_columns {
    () => {
        "o.order_id, o.state, o.payment_state, o.fulfillment_state, o.aftersale_state, o.hold_expire_time, o.pay_time, \
         o.ship_not_before, o.ship_by, o.has_contact, o.care_blocks, o.cancel_reason, o.refund_due, o.refunded, \
         o.refunds_open, o.paid_back, o.partner_paid_back, o.returns_open, o.complete_after, o.care_version, o.version "
    };
}

impl StateRow {
    fn read(
        self,
        placement: Arc<Placement>,
        quantities: Option<Vec<LineQuantities>>,
    ) -> Result<Order, Fault> {
        let mut order = Order::placed(placement);
        if let Some(quantities) = quantities {
            order.quantities = quantities;
        }
        order.state = word(OrderState::parse(&self.state), "orders.state")?;
        order.payment_state = word(
            PaymentState::parse(&self.payment_state),
            "orders.payment_state",
        )?;
        order.fulfillment_state = word(
            FulfillmentState::parse(&self.fulfillment_state),
            "orders.fulfillment_state",
        )?;
        order.aftersale_state = word(
            AftersaleState::parse(&self.aftersale_state),
            "orders.aftersale_state",
        )?;
        order.hold_expire_time = Micros(self.hold_expire_time);
        order.pay_time = self.pay_time.map(Micros);
        order.ship_not_before = self.ship_not_before.map(Micros);
        order.ship_by = self.ship_by.map(Micros);
        order.has_contact = self.has_contact;
        order.care_blocks = CareBlocks::parse(&self.care_blocks);
        order.cancel_reason = match self.cancel_reason.as_str() {
            "" => None,
            reason => Some(word(CancelReason::parse(reason), "orders.cancel_reason")?),
        };
        order.balance = Balance {
            given: Vec::new(),
            refund_due: self.refund_due,
            refunded: self.refunded,
            refunds_open: self.refunds_open,
            paid_back: RefundShares {
                shopper: self.paid_back,
                partner: self.partner_paid_back,
            },
        };
        order.returns_open = self.returns_open;
        order.complete_after = self.complete_after.map(Micros);
        order.care_version = self.care_version;
        order.version = self.version;
        Ok(order)
    }
}

/// Locks orders and reads them as they are now. `placements` must be sorted by id; allotments, where they
/// are needed too, are locked before.
pub async fn orders_lock(
    tx: &mut Tx,
    placements: Vec<Arc<Placement>>,
) -> Result<Vec<Order>, Fault> {
    debug_assert!(
        placements.is_sorted_by_key(|placement| placement.order_id),
        "orders are locked in order of id"
    );
    if placements.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all StateRow,
        postgres: concat!("SELECT ", state_columns!(), "FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM orders WHERE order_id = k.id LIMIT 1 FOR UPDATE) AS o"),
        sqlite: concat!("SELECT ", state_columns!(), "FROM json_each($1) AS k \
                 CROSS JOIN orders AS o ON o.order_id = k.value->>0"),
        columns: [column(&placements, |placement| placement.order_id)]
    )?;
    read_states(tx, placements, rows).await
}

/// Orders as they are now, without a lock, for answers.
pub async fn orders_read(
    tx: &mut Tx,
    placements: Vec<Arc<Placement>>,
) -> Result<Vec<Order>, Fault> {
    if placements.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all StateRow,
        postgres: concat!("SELECT ", state_columns!(), "FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM orders WHERE order_id = k.id LIMIT 1) AS o"),
        sqlite: concat!("SELECT ", state_columns!(), "FROM json_each($1) AS k \
                 CROSS JOIN orders AS o ON o.order_id = k.value->>0"),
        columns: [column(&placements, |placement| placement.order_id)]
    )?;
    read_states(tx, placements, rows).await
}

async fn read_states(
    tx: &mut Tx,
    placements: Vec<Arc<Placement>>,
    rows: Vec<StateRow>,
) -> Result<Vec<Order>, Fault> {
    // While an order waits for payment, and when it waited in vain, nothing has happened to its lines.
    let counted = |row: &&StateRow| row.state != "PENDING_PAYMENT" && row.state != "EXPIRED";
    let ids: Vec<&str> = rows
        .iter()
        .filter(counted)
        .map(|row| row.order_id.as_str())
        .collect();
    let mut quantities = line_quantities(tx, &ids).await?;
    let mut states: HashMap<String, StateRow> = rows
        .into_iter()
        .map(|row| (row.order_id.clone(), row))
        .collect();
    let mut orders = Vec::with_capacity(placements.len());
    for placement in placements {
        if let Some(row) = states.remove(placement.order_id.as_str()) {
            let quantities = quantities.remove(placement.order_id.as_str());
            orders.push(row.read(placement, quantities)?);
        }
    }
    Ok(orders)
}

type QuantityRow = (String, i64, i64, i64, i64, i64, i64, i64);

/// The counters of the lines of these orders, in the order of the lines.
async fn line_quantities(
    tx: &mut Tx,
    ids: &[&str],
) -> Result<HashMap<String, Vec<LineQuantities>>, Fault> {
    let mut found: HashMap<String, Vec<LineQuantities>> = HashMap::new();
    if ids.is_empty() {
        return Ok(found);
    }
    let rows = bulk!(
        tx,
        all QuantityRow,
        postgres: "SELECT l.order_id, l.ordered, l.cancelled, l.shipped, l.delivered, l.undelivered, l.returned, \
                   l.refunded FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM order_line WHERE order_id = k.id ORDER BY line_number LIMIT 1000) AS l",
        sqlite: "SELECT l.order_id, l.ordered, l.cancelled, l.shipped, l.delivered, l.undelivered, l.returned, \
                 l.refunded FROM json_each($1) AS k CROSS JOIN order_line AS l ON l.order_id = k.value->>0 \
                 ORDER BY k.key, l.line_number",
        columns: [ids]
    )?;
    for (order_id, ordered, cancelled, shipped, delivered, undelivered, returned, refunded) in rows
    {
        let quantities = LineQuantities {
            ordered,
            cancelled,
            shipped,
            delivered,
            undelivered,
            returned,
            refunded,
        };
        found.entry(order_id).or_default().push(quantities);
    }
    Ok(found)
}

/// Writes new orders with their lines; a key or an id that somebody else has taken meanwhile makes the unit
/// run again.
pub async fn orders_insert(tx: &mut Tx, orders: &mut [&Order]) -> Result<(), Fault> {
    if orders.is_empty() {
        return Ok(());
    }
    // Sorted by key, so that two batches with the same keys wait for each other in one direction only.
    let key = |order: &&Order| {
        (
            order.placement.partner_id,
            order.placement.partner_order_id.clone(),
        )
    };
    orders.sort_unstable_by_key(key);
    let orders = &*orders;
    let (now, rows) = (tx.now(), orders.len());
    let placed = column(orders, |order| &order.placement);
    let placed = placed.as_slice();
    insert!(tx, "orders", {
        order_id: column(placed, |p| p.order_id), partner_id: column(placed, |p| p.partner_id),
        partner_order_id: column(placed, |p| p.partner_order_id.as_str()),
        partner_checkout_id: column(placed, |p| p.partner_checkout_id.as_str()),
        shopper_ref: column(placed, |p| p.shopper_ref.as_str()), fingerprint: column(placed, |p| p.fingerprint),
        region_code: column(placed, |p| p.destination.region_code.as_str()),
        subdivision_code: column(placed, |p| p.destination.subdivision_code.as_str()),
        currency_code: column(placed, |p| p.amount.currency.code()), price: column(placed, |p| p.amount.price),
        retailer_discount: column(placed, |p| p.amount.retailer_discount),
        partner_discount: column(placed, |p| p.amount.partner_discount),
        shipping: column(placed, |p| p.amount.shipping), tax: column(placed, |p| p.amount.tax),
        payable: column(placed, |p| p.amount.payable), commission: column(placed, |p| p.amount.commission),
        remorse_us: column(placed, |p| micros(p.ship_terms.remorse)),
        ship_within_us: column(placed, |p| micros(p.ship_terms.ship_within)),
        presale_time: column(placed, |p| p.ship_terms.presale_time),
        placed_hold_end: column(placed, |p| p.hold_expire_time), place_time: column(placed, |p| p.place_time),
        state: column(orders, |o| o.state.as_str()), payment_state: column(orders, |o| o.payment_state.as_str()),
        hold_expire_time: column(orders, |o| o.hold_expire_time), pay_time: column(orders, |o| o.pay_time),
        ship_not_before: column(orders, |o| o.ship_not_before), ship_by: column(orders, |o| o.ship_by),
        cancel_reason: column(orders, |o| o.cancel_reason.map_or("", CancelReason::as_str)),
        refund_due: column(orders, |o| o.balance.refund_due), version: column(orders, |o| o.version),
        refunds_open: column(orders, |o| o.balance.refunds_open), update_time: same(now, rows),
        fulfillment_state: same("UNFULFILLED", rows), aftersale_state: same("NONE", rows),
        has_contact: same(false, rows),
    })?;
    lines_insert(tx, orders).await
}

/// A line to be written: its order, its number, the line, its counters.
type NewLine<'a> = (OrderId, i64, &'a Line, LineQuantities);

async fn lines_insert(tx: &mut Tx, orders: &[&Order]) -> Result<(), Fault> {
    let mut lines: Vec<NewLine<'_>> = Vec::with_capacity(orders.len());
    for order in orders {
        let counted = order.placement.lines.iter().zip(&order.quantities);
        lines.extend(
            (0..)
                .zip(counted)
                .map(|(number, (line, counts))| (*order.order_id(), number, line, *counts)),
        );
    }
    let lines = lines.as_slice();
    let touchpoints = lines
        .iter()
        .map(|(_, _, line, _)| serde_json::to_string(&line.touchpoints));
    let touchpoints: Vec<String> = touchpoints
        .collect::<Result<_, _>>()
        .map_err(Fault::internal)?;
    let rows = lines.len();
    insert!(tx, "order_line", {
        order_id: column(lines, |l| l.0), line_number: column(lines, |l| l.1),
        order_line_id: column(lines, |l| l.2.order_line_id), listing_id: column(lines, |l| l.2.listing_id),
        allotment_id: column(lines, |l| l.2.allotment_id), variant_id: column(lines, |l| l.2.variant_id),
        product_id: column(lines, |l| l.2.product_id), sku: column(lines, |l| l.2.sku.as_str()),
        title: column(lines, |l| l.2.title.as_str()), unit: column(lines, |l| l.2.unit.as_str()),
        terms_version: column(lines, |l| l.2.terms_version),
        unit_price: column(lines, |l| l.2.unit_price.amount().minor_units),
        per_quantity: column(lines, |l| l.2.unit_price.per_quantity()), price: column(lines, |l| l.2.amount.price),
        retailer_discount: column(lines, |l| l.2.amount.retailer_discount),
        partner_discount: column(lines, |l| l.2.amount.partner_discount),
        shipping: column(lines, |l| l.2.amount.shipping), tax: column(lines, |l| l.2.amount.tax),
        tax_included: column(lines, |l| l.2.amount.tax_included), payable: column(lines, |l| l.2.amount.payable),
        commission: column(lines, |l| l.2.amount.commission),
        drop_id: column(lines, |l| l.2.drop_id.as_ref().map_or("", |drop_id| drop_id.as_str())),
        drop_person_limited: column(lines, |l| l.2.drop_person_limited),
        collected_by: column(lines, |l| l.2.collected_by.as_str()),
        legal_entity: column(lines, |l| l.2.legal_entity.as_str()), touchpoints: touchpoints,
        ordered: column(lines, |l| l.3.ordered), cancelled: column(lines, |l| l.3.cancelled),
        price_source: column(lines, |l| l.2.price_source.as_str()),
        drop_quota: column(lines, |l| l.2.draws.quota.as_ref().map_or("", QuotaOwner::as_str)),
        allotment_person_limited: column(lines, |l| l.2.draws.allotment_person_limited),
        person: column(lines, |l| l.2.draws.person.as_deref().unwrap_or_default()),
        shipped: same(0, rows), delivered: same(0, rows), undelivered: same(0, rows), returned: same(0, rows),
        refunded: same(0, rows),
    })?;
    Ok(())
}

/// Writes what the desk changed of locked orders: each with the version that was loaded.
pub async fn orders_update(tx: &mut Tx, orders: &[(&Order, i64)]) -> Result<(), Fault> {
    if orders.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    let written = bulk!(
        tx,
        execute,
        postgres: "UPDATE orders AS o SET state = u.state, payment_state = u.payment_state, \
                   hold_expire_time = u.hold_expire_time, pay_time = u.pay_time, ship_not_before = u.ship_not_before, \
                   ship_by = u.ship_by, cancel_reason = u.cancel_reason, refund_due = u.refund_due, \
                   refunds_open = u.refunds_open, version = u.version, update_time = $13 \
                   FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::TEXT[], $4::TEXT[], $5::BIGINT[], $6::BIGINT[], \
                   $7::BIGINT[], $8::BIGINT[], $9::TEXT[], $10::BIGINT[], $11::BIGINT[], $12::BIGINT[]) \
                   AS u(id, loaded_version, state, payment_state, hold_expire_time, pay_time, ship_not_before, \
                   ship_by, cancel_reason, refund_due, version, refunds_open) WHERE o.order_id = u.id AND o.version = u.loaded_version",
        sqlite: "UPDATE orders SET state = u.value->>2, payment_state = u.value->>3, hold_expire_time = u.value->>4, \
                 pay_time = u.value->>5, ship_not_before = u.value->>6, ship_by = u.value->>7, \
                 cancel_reason = u.value->>8, refund_due = u.value->>9, version = u.value->>10, refunds_open = u.value->>11, \
                 update_time = $2 \
                 FROM json_each($1) AS u WHERE orders.order_id = u.value->>0 AND orders.version = u.value->>1",
        columns: [
            column(orders, |(o, _)| *o.order_id()), column(orders, |(_, loaded)| *loaded),
            column(orders, |(o, _)| o.state.as_str()), column(orders, |(o, _)| o.payment_state.as_str()),
            column(orders, |(o, _)| o.hold_expire_time), column(orders, |(o, _)| o.pay_time),
            column(orders, |(o, _)| o.ship_not_before), column(orders, |(o, _)| o.ship_by),
            column(orders, |(o, _)| o.cancel_reason.map_or("", CancelReason::as_str)),
            column(orders, |(o, _)| o.balance.refund_due), column(orders, |(o, _)| o.version),
            column(orders, |(o, _)| o.balance.refunds_open)
        ],
        also: [now]
    )?;
    all_written("changed orders", written, orders.len())
}

/// Counts every unit of these orders as cancelled: they were cancelled before payment.
pub async fn lines_cancel(tx: &mut Tx, ids: &[OrderId]) -> Result<(), Fault> {
    if ids.is_empty() {
        return Ok(());
    }
    bulk!(
        tx,
        execute,
        postgres: "UPDATE order_line AS l SET cancelled = l.ordered FROM UNNEST($1::TEXT[]) AS u(id) \
                   WHERE l.order_id = u.id",
        sqlite: "UPDATE order_line SET cancelled = ordered FROM json_each($1) AS u \
                 WHERE order_line.order_id = u.value->>0",
        columns: [ids]
    )?;
    Ok(())
}

/// Orders whose hold ran out, longest ago first, after `(time, id)` of the page before.
pub async fn orders_overdue(
    tx: &mut Tx,
    after: Option<&(Micros, OrderId)>,
    rows_max: i64,
) -> Result<Vec<(Micros, OrderId)>, Fault> {
    let now = tx.now();
    let (time, order_id) = after.map_or((Micros::MIN, ""), |(time, order_id)| {
        (*time, order_id.as_str())
    });
    let rows = sql!(
        tx,
        all(i64, String),
        "SELECT hold_expire_time, order_id FROM orders WHERE state = 'PENDING_PAYMENT' AND hold_expire_time <= $1 \
         AND (hold_expire_time, order_id) > ($2, $3) ORDER BY hold_expire_time, order_id LIMIT $4",
        now,
        time,
        order_id,
        rows_max
    )?;
    rows.iter()
        .map(|(time, order_id)| Ok((Micros(*time), id(order_id)?)))
        .collect()
}
