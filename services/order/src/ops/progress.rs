//! Orders on their way after payment, as fulfilment tells, until their return window has ended.

use std::time::Duration;

use ::store::{Operation, Tx};
use contracts::id::{OrderId, RefundId};
use contracts::money::Money;
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use crate::events::{self, OrderChange};
use crate::model::progress::{Arrival, LineProgress, Step, StepKind};
use crate::model::{
    CancelReason, CareBlocks, Order, OrderState, Refund, RefundReason, RefundState,
};
use crate::store::order_progress::{
    Unsold, order_lines_update, order_note_blocks, order_note_reason, order_update,
    orders_to_complete, payment_owe, units_unsell,
};
use crate::store::{order_list, payment};

/// Moves an order on to where fulfilment says it is.
pub async fn advance(
    tx: &mut Tx,
    order_id: &OrderId,
    progress: &[LineProgress],
    return_window: Duration,
) -> Result<(), Fault> {
    // Every order's fulfilment begins like this, and there is nothing to look up for it.
    if progress.iter().all(LineProgress::is_nothing) {
        return Ok(());
    }
    let Some(mut order) = order_list::order_by_id(tx, order_id).await? else {
        return Err(Refusal::not_found("order").into());
    };
    let loaded_version = order.version;
    let steps = order.advance(progress)?;
    if steps.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    give_back_units(tx, &order, &steps).await?;
    let complete_after = match order.arrival() {
        Some(Arrival::Delivered) => Some(now.plus(return_window)),
        Some(Arrival::NothingArrived) => Some(now),
        None => None,
    };
    order_update(tx, &order, loaded_version, complete_after).await?;
    order_lines_update(tx, &order).await?;
    for step in &steps {
        tx.publish(events::order_changed(
            change_of(step.kind),
            &step.order,
            now,
        ));
        if !step.refund.is_zero() {
            authorise(tx, step, now).await?;
        }
        tx.audit(action_of(step.kind), *order_id, "done");
    }
    Ok(())
}

/// Cancelled units can be sold again; units that got lost cannot.
async fn give_back_units(tx: &mut Tx, order: &Order, steps: &[Step]) -> Result<(), Fault> {
    let cancelled = steps
        .iter()
        .find(|step| step.kind == StepKind::LinesCancelled);
    let Some(step) = cancelled else { return Ok(()) };
    let lines = &order.placement.lines;
    let unsold: Vec<Unsold<'_>> = step
        .units
        .iter()
        .filter_map(|(index, quantity)| {
            Some(Unsold {
                line: lines.get(*index)?,
                quantity: *quantity,
            })
        })
        .collect();
    units_unsell(tx, order, &unsold).await
}

/// Tells the partner to pay back what a step owes.
async fn authorise(tx: &mut Tx, step: &Step, now: Micros) -> Result<(), Fault> {
    let placement = &step.order.placement;
    let (payment_id, payment_reference) = payment_owe(tx, &placement.order_id, step.refund).await?;
    let money = |minor_units| Money::new(placement.amount.currency, minor_units);
    let refund = Refund {
        refund_id: RefundId::from_uuid(tx.ids().next()),
        order_id: placement.order_id,
        partner_id: placement.partner_id,
        payment_id,
        payment_reference,
        reason: match step.kind {
            StepKind::Undelivered => RefundReason::Undelivered,
            _ => RefundReason::LinesCancelled,
        },
        shopper_amount: money(step.refund.shopper),
        partner_amount: money(step.refund.partner),
        state: RefundState::Authorised,
        lines: step.refund_lines(),
        create_time: now,
        finish_time: None,
        version: 1,
    };
    payment::refunds_insert(tx, std::slice::from_ref(&refund)).await?;
    tx.publish(events::refund(&refund));
    Ok(())
}

fn change_of(kind: StepKind) -> OrderChange {
    match kind {
        StepKind::LinesCancelled => OrderChange::LinesCancelled,
        StepKind::Shipped => OrderChange::Shipped,
        StepKind::Delivered => OrderChange::Delivered,
        StepKind::Undelivered => OrderChange::Undelivered,
    }
}

fn action_of(kind: StepKind) -> &'static str {
    match kind {
        StepKind::LinesCancelled => "order.lines_cancelled",
        StepKind::Shipped => "order.shipped",
        StepKind::Delivered => "order.delivered",
        StepKind::Undelivered => "order.undelivered",
    }
}

/// Notes why fulfilment cancelled units of an order; the units themselves follow.
pub async fn note_cancel_reason(
    tx: &mut Tx,
    order_id: &OrderId,
    reason: CancelReason,
) -> Result<(), Fault> {
    order_note_reason(tx, order_id, reason).await
}

/// Notes what people have set in the way of shipping, or lifted.
pub async fn note_blocks(tx: &mut Tx, order_id: &OrderId, blocks: CareBlocks) -> Result<(), Fault> {
    order_note_blocks(tx, order_id, blocks).await
}

/// Completes orders whose return window has ended, the longest ended first; gives how many.
#[derive(Clone, Copy, Debug)]
pub struct CompleteOrders {
    /// The most orders in one transaction.
    pub orders_max: i64,
}

impl Operation for CompleteOrders {
    type Output = u64;

    fn name(&self) -> &'static str {
        "order.complete"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<u64, Fault> {
        let now = tx.now();
        let mut ids = orders_to_complete(tx, self.orders_max).await?;
        // Everybody takes orders in the order of their ids.
        ids.sort_unstable();
        let mut completed = 0;
        for order_id in &ids {
            let Some(mut order) = order_list::order_by_id(tx, order_id).await? else {
                continue;
            };
            if order.state != OrderState::Confirmed {
                continue;
            }
            let loaded_version = order.version;
            order.complete();
            order_update(tx, &order, loaded_version, None).await?;
            tx.publish(events::order_changed(OrderChange::Completed, &order, now));
            tx.audit(self.name(), *order_id, "done");
            completed += 1;
        }
        Ok(completed)
    }
}

/// Whether the return window of any order has ended.
#[derive(Clone, Copy, Debug)]
pub struct AnyToComplete;

impl Operation for AnyToComplete {
    type Output = bool;

    fn name(&self) -> &'static str {
        "order.any_to_complete"
    }

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        Ok(!orders_to_complete(tx, 1).await?.is_empty())
    }
}
