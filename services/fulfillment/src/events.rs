//! What this service publishes in its feed, and what it reads from the order feed.
//!
//! Every entry is about an order: progress of one order is read in the order in which it happened. What
//! happened (a parcel, a decision) comes before the fulfilment that it left behind.

pub mod care;
pub mod orders;

use ::store::feed::NewEntry;
use contracts::fulfillment::v1 as pb;
use contracts::fulfillment::v1::fulfillment_feed_entry::Content;
use contracts::id::{OrderId, PartnerId};
use contracts::money::Money;
use contracts::order::v1 as order_pb;
use contracts::order::v1::order_feed_entry::Content as OrderContent;
use contracts::order::v1::{OrderChange, OrderFeedEntry};
use kit::clock::Micros;
use kit::errors::Refusal;
use kit::validate::Violations;

use crate::model::aftersale::{Aftersale, Settlement};
use crate::model::returns::{GoodsReturn, RefundState, ReturnRefund};
use crate::model::{
    Block, Blocks, CancelReason, CancelVerdict, Fulfillment, PaidLine, PaidOrder, Shipment,
};
use crate::ops::aftersale_time::MatterRefund;
use crate::ops::returns::RefundNews;
use crate::rpc::render;

fn entry(kind: &'static str, order: OrderId, content: Content) -> NewEntry {
    NewEntry::new(
        kind,
        order,
        &pb::FulfillmentFeedEntry {
            meta: None,
            content: Some(content),
        },
    )
}

/// A fulfilment was created or changed; this is it after the change.
pub fn fulfillment_changed(fulfillment: &Fulfillment) -> NewEntry {
    entry(
        "fulfillment",
        fulfillment.order_id,
        Content::Fulfillment(render::fulfillment(fulfillment)),
    )
    .partner(fulfillment.partner_id)
    .etag(fulfillment.etag())
}

/// A shipment was shipped or tracked; its state tells.
pub fn shipment_changed(shipment: &Shipment) -> NewEntry {
    entry(
        "shipment",
        shipment.order_id,
        Content::Shipment(render::shipment(shipment)),
    )
    .partner(shipment.partner_id)
    .etag(shipment.etag())
}

/// A cancellation was decided. The etag is that of the fulfilment after it.
pub fn cancel_decided(
    fulfillment: &Fulfillment,
    verdict: &CancelVerdict,
    reason: CancelReason,
) -> NewEntry {
    let content = pb::CancelDecided {
        order_id: fulfillment.order_id.into(),
        decision: render::cancel_decision(verdict.decision()).into(),
        lines: verdict.lines().iter().map(render::line_quantity).collect(),
        reason: render::cancel_reason(reason).into(),
    };
    entry(
        "cancel_decided",
        fulfillment.order_id,
        Content::CancelDecided(content),
    )
    .partner(fulfillment.partner_id)
    .etag(fulfillment.etag())
}

/// A return was asked for or changed; its state tells.
pub fn return_changed(goods_return: &GoodsReturn) -> NewEntry {
    entry(
        "goods_return",
        goods_return.order_id,
        Content::GoodsReturn(render::goods_return(goods_return)),
    )
    .partner(goods_return.partner_id)
    .etag(goods_return.etag())
}

/// A matter after the sale was opened or changed; its state and next action tell.
pub fn aftersale_changed(matter: &Aftersale) -> NewEntry {
    entry(
        "aftersale",
        matter.order_id,
        Content::Aftersale(render::aftersale(matter)),
    )
    .partner(matter.partner_id)
    .etag(matter.etag())
}

/// What a matter comes to: for the order service alone, which tells partners of the refund.
pub fn aftersale_settled(matter: &Aftersale, settlement: &Settlement) -> NewEntry {
    entry(
        "aftersale_settlement",
        matter.order_id,
        Content::AftersaleSettlement(render::settlement(matter, settlement)),
    )
    .etag(matter.etag())
}

/// What an entry of the order feed means here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderNews {
    /// An order is paid; fulfilment begins.
    Paid(Box<PaidOrder>),
    /// An order's contact data is there.
    ContactSet(OrderId),
    /// The refund of a return was authorised or changed.
    ReturnRefund(Box<RefundNews>),
    /// The refund of a matter was authorised or changed.
    MatterRefund(Box<MatterRefund>),
    /// A shopper's personal data is to be erased.
    Erase(PartnerId, String),
    /// Nothing.
    Other,
}

impl OrderNews {
    /// The order that it is about.
    pub fn order(&self) -> Option<OrderId> {
        match self {
            OrderNews::Paid(order) => Some(order.order_id),
            OrderNews::ContactSet(order) => Some(*order),
            OrderNews::ReturnRefund(news) => Some(news.order_id),
            OrderNews::MatterRefund(news) => Some(news.order_id),
            OrderNews::Erase(..) | OrderNews::Other => None,
        }
    }
}

/// Reads an entry of the order feed that arrives `now`.
pub fn order_news(entry: &OrderFeedEntry, now: Micros) -> Result<OrderNews, Refusal> {
    let changed = match &entry.content {
        Some(OrderContent::OrderChanged(changed)) => changed,
        Some(OrderContent::Refund(refund)) => {
            return Ok(refund_news(refund)?.unwrap_or(OrderNews::Other));
        }
        Some(OrderContent::ShopperErasureRequested(asked)) => {
            let mut wrong = Violations::new();
            let partner_id = wrong.id("partner_id", &asked.partner_id);
            let shopper_ref = wrong.text("shopper_ref", &asked.shopper_ref, 1..=128);
            wrong.finish()?;
            return Ok(partner_id.map_or(OrderNews::Other, |id| OrderNews::Erase(id, shopper_ref)));
        }
        _ => return Ok(OrderNews::Other),
    };
    let mut wrong = Violations::new();
    let order = wrong
        .required("order", &changed.order)
        .cloned()
        .unwrap_or_default();
    match changed.change() {
        OrderChange::Paid => {
            wrong.finish()?;
            Ok(OrderNews::Paid(Box::new(paid_order(&order, now)?)))
        }
        OrderChange::ContactSet => {
            let order_id = wrong.id("order.order_id", &order.order_id);
            wrong.finish()?;
            // An id that is missing was refused above.
            Ok(order_id.map_or(OrderNews::Other, OrderNews::ContactSet))
        }
        _ => Ok(OrderNews::Other),
    }
}

/// Whose order it is that an entry tells is paid.
pub fn shopper_news(entry: &OrderFeedEntry) -> Option<(OrderId, PartnerId, &str)> {
    let Some(OrderContent::OrderChanged(changed)) = &entry.content else {
        return None;
    };
    let order = changed.order.as_ref()?;
    if changed.change() != OrderChange::Paid || order.shopper_ref.is_empty() {
        return None;
    }
    let (order_id, partner_id) = (order.order_id.parse().ok()?, order.partner_id.parse().ok()?);
    Some((order_id, partner_id, &order.shopper_ref))
}

/// Reads a refund; none when it is for no return and no matter.
pub fn refund_news(refund: &order_pb::Refund) -> Result<Option<OrderNews>, Refusal> {
    if refund.return_id.is_empty() && refund.aftersale_id.is_empty() {
        return Ok(None);
    }
    let mut wrong = Violations::new();
    let aftersale_id = wrong.opt_id("aftersale_id", &refund.aftersale_id);
    let return_id = wrong.opt_id("return_id", &refund.return_id);
    let order_id = wrong.id("order_id", &refund.order_id);
    let refund_id = wrong.id("refund_id", &refund.refund_id);
    let amount = wrong.money("shopper_amount", &refund.shopper_amount);
    let state = match wrong.enumeration("state", refund.state) {
        order_pb::RefundState::Unspecified => None,
        order_pb::RefundState::Authorised => Some(RefundState::Authorised),
        order_pb::RefundState::Executed => Some(RefundState::Executed),
        order_pb::RefundState::Failed => Some(RefundState::Failed),
        order_pb::RefundState::Withdrawn => Some(RefundState::Withdrawn),
    };
    wrong.finish()?;
    let known = (order_id, refund_id, amount, state);
    let (Some(order_id), Some(refund_id), Some(shopper_amount), Some(state)) = known else {
        return Err(Refusal::not_found("refund"));
    };
    let refund = ReturnRefund {
        refund_id,
        state,
        attempt: refund.attempt.max(0),
        shopper_amount,
    };
    // A matter tells the return that is a part of it.
    if let Some(aftersale_id) = aftersale_id {
        return Ok(Some(OrderNews::MatterRefund(Box::new(MatterRefund {
            aftersale_id,
            order_id,
            refund,
        }))));
    }
    Ok(return_id.map(|return_id| {
        OrderNews::ReturnRefund(Box::new(RefundNews {
            return_id,
            order_id,
            refund,
        }))
    }))
}

/// Reads a paid order.
pub fn paid_order(order: &order_pb::Order, now: Micros) -> Result<PaidOrder, Refusal> {
    let mut wrong = Violations::new();
    let order_id = wrong.id("order_id", &order.order_id);
    let partner_id = wrong.id("partner_id", &order.partner_id);
    wrong.items("lines", &order.lines, 1..=usize::MAX);
    let lines: Vec<PaidLine> = order
        .lines
        .iter()
        .enumerate()
        .filter_map(|(at, line)| paid_line(&mut wrong, at, line))
        .collect();
    let before = wrong
        .opt_time("ship_not_before", &order.ship_not_before)
        .unwrap_or(now);
    let by = wrong.opt_time("ship_by", &order.ship_by).unwrap_or(before);
    let blocks = paid_blocks(order);
    wrong.finish()?;
    let destination = order.destination.clone().unwrap_or_default();
    let (Some(order_id), Some(partner_id)) = (order_id, partner_id) else {
        return Err(Refusal::not_found("order"));
    };
    Ok(PaidOrder {
        order_id,
        partner_id,
        lines,
        ship_not_before: before,
        ship_by: by,
        blocks,
        region_code: destination.region_code,
        subdivision_code: destination.subdivision_code,
    })
}

fn paid_line(wrong: &mut Violations, at: usize, line: &order_pb::OrderLine) -> Option<PaidLine> {
    let mut wrong = wrong.nested(format_args!("lines[{at}]"));
    let order_line_id = wrong.id("order_line_id", &line.order_line_id);
    let variant_id = wrong.id("variant_id", &line.variant_id);
    let unit = wrong.enumeration("unit", line.unit);
    let quantities = line.quantities.unwrap_or_default();
    let ordered = wrong.range("quantities.ordered", quantities.ordered, 1..=i64::MAX);
    let cancelled = wrong.range("quantities.cancelled", quantities.cancelled, 0..=ordered);
    if quantities.shipped > 0 {
        wrong.add("quantities.shipped", "must be 0: it arrives to be shipped.");
    }
    Some(PaidLine {
        order_line_id: order_line_id?,
        variant_id: variant_id?,
        sku: line.sku.clone(),
        title: line.title.clone(),
        unit: render::unit_of(unit)?,
        ordered,
        cancelled,
        payable: line
            .amount
            .as_ref()
            .and_then(|amount| amount.payable.as_ref())
            .and_then(|money| Money::try_from(money).ok()),
    })
}

fn paid_blocks(order: &order_pb::Order) -> Blocks {
    let said: Blocks = order.ship_blocks().filter_map(render::block_of).collect();
    said.with(Block::AddressMissing, !order.has_contact)
}
