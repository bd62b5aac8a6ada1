//! What this service publishes in its feed, and what it reads from those of others.
//!
//! Orders, payments and refunds belong to their partner; units belong to the retailer alone.

pub mod catalog;
pub mod follow;
pub mod fulfillment;

use ::store::feed::NewEntry;
use contracts::id::PartnerId;
use contracts::order::v1 as pb;
use contracts::order::v1::order_feed_entry::Content;
use kit::clock::Micros;

use crate::model::conversion::{Conversion, Reversal};
use crate::model::money::{Chargeback, Compensation};
use crate::model::{Order, Payment, Refund, Stock};
use crate::rpc::{conversion, render};

pub use contracts::order::v1::OrderChange;

fn entry(kind: &'static str, aggregate_id: impl Into<String>, content: Content) -> NewEntry {
    NewEntry::new(
        kind,
        aggregate_id,
        &pb::OrderFeedEntry {
            meta: None,
            content: Some(content),
        },
    )
}

/// An order changed at `now`; this is the order after it.
pub fn order_changed(change: OrderChange, order: &Order, now: Micros) -> NewEntry {
    let content = pb::OrderChanged {
        change: change.into(),
        order: Some(render::order(order, now)),
    };
    entry("order", *order.order_id(), Content::OrderChanged(content))
        .partner(order.placement.partner_id)
        .etag(order.etag())
}

/// A payment was recorded.
pub fn payment(payment: &Payment) -> NewEntry {
    entry(
        "payment",
        payment.payment_id,
        Content::Payment(render::payment(payment)),
    )
    .partner(payment.partner_id)
}

/// A refund was authorised or changed.
pub fn refund(refund: &Refund) -> NewEntry {
    entry(
        "refund",
        refund.refund_id,
        Content::Refund(render::refund(refund)),
    )
    .partner(refund.partner_id)
    .etag(refund.etag())
}

/// A compensation was authorised or changed.
pub fn compensation(made: &Compensation) -> NewEntry {
    entry(
        "compensation",
        made.compensation_id,
        Content::Compensation(render::compensation(made)),
    )
    .partner(made.partner_id)
    .etag(format!("v{}", made.version))
}

/// A chargeback was opened or decided.
pub fn chargeback(reported: &Chargeback) -> NewEntry {
    entry(
        "chargeback",
        reported.chargeback_id,
        Content::Chargeback(render::chargeback(reported)),
    )
    .partner(reported.partner_id)
    .etag(format!("v{}", reported.version))
}

/// A conversion was reported, or reversed.
pub fn conversion_changed(changed: &Conversion, reversal: Option<&Reversal>) -> NewEntry {
    let content = pb::ConversionChanged {
        conversion: Some(conversion::rendered(changed)),
        reversal: reversal.map(conversion::rendered_reversal),
    };
    entry(
        "conversion",
        changed.conversion_id,
        Content::ConversionChanged(content),
    )
    .partner(changed.partner_id)
    .etag(changed.etag())
}

/// A shopper's personal data is to be erased, by all who hold some.
pub fn shopper_erasure_requested(partner_id: &PartnerId, shopper_ref: &str) -> NewEntry {
    let content = pb::ShopperErasureRequested {
        partner_id: (*partner_id).into(),
        shopper_ref: shopper_ref.to_owned(),
    };
    entry(
        "shopper_erasure",
        shopper_ref,
        Content::ShopperErasureRequested(content),
    )
    .partner(*partner_id)
}

/// An allotment's movement or listing set changed. No partner sees it.
pub fn stock_changed(stock: &Stock) -> NewEntry {
    entry(
        "stock",
        stock.allotment_id,
        Content::StockChanged(render::stock_changed(stock)),
    )
    .etag(stock.etag())
}
