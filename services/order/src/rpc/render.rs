//! From the model to the messages of the contract. Used by the RPCs and by the feed alike, so that an order
//! looks the same wherever it is read.

mod drops;

pub use drops::{drop_sale, drop_sale_for};

mod money;

use contracts::common::v1 as common;
use contracts::money::{Currency, Money, Price};
use contracts::order::v1 as pb;
use kit::clock::Micros;

use crate::model::{
    AftersaleState, Allotment, Assignment, CancelReason, CollectedBy, Destination,
    FulfillmentState, Line, LineAmount, LineQuantities, Movement, MovementKind, Order, OrderAmount,
    OrderState, Payment, PaymentOutcome, PaymentState, Placement, PriceSource, ShipBlock, Stock,
    Touchpoint, Unit,
};

pub use money::{
    chargeback, compensation, compensation_reason, cost_bearer, line_parts, refund, refund_reason,
};

/// An amount of money.
pub fn money(currency: Currency, minor_units: i64) -> Option<common::Money> {
    Some(Money::new(currency, minor_units).to_proto())
}

/// A price for a quantity.
pub fn price(price: Price) -> Option<common::Price> {
    Some(price.to_proto())
}

fn time(time: Micros) -> Option<prost_types::Timestamp> {
    Some(time.to_proto())
}

/// The amounts of one line.
pub fn line_amount(currency: Currency, amount: &LineAmount) -> pb::LineAmount {
    pb::LineAmount {
        price: money(currency, amount.price),
        retailer_discount: money(currency, amount.retailer_discount),
        partner_discount: money(currency, amount.partner_discount),
        shipping: money(currency, amount.shipping),
        tax: money(currency, amount.tax),
        tax_included: amount.tax_included,
        payable: money(currency, amount.payable),
        commission: money(currency, amount.commission),
    }
}

/// The amounts of all lines together.
pub fn order_amount(amount: &OrderAmount) -> pb::OrderAmount {
    let currency = amount.currency;
    pb::OrderAmount {
        price: money(currency, amount.price),
        retailer_discount: money(currency, amount.retailer_discount),
        partner_discount: money(currency, amount.partner_discount),
        shipping: money(currency, amount.shipping),
        tax: money(currency, amount.tax),
        payable: money(currency, amount.payable),
        commission: money(currency, amount.commission),
        partner_owes: money(currency, amount.partner_owes()),
    }
}

/// One step that led to a line or a link.
pub fn touchpoint(touchpoint: &Touchpoint) -> common::Touchpoint {
    common::Touchpoint {
        outlet_id: touchpoint.outlet_id.map(String::from).unwrap_or_default(),
        room_id: touchpoint.room_id.map(String::from).unwrap_or_default(),
        creator_id: touchpoint.creator_id.map(String::from).unwrap_or_default(),
        surface: touchpoint.surface.clone(),
        media_time_ms: touchpoint.media_time_ms,
        touch_time: touchpoint.touch_time.map(Micros::to_proto),
        click_token: String::new(),
    }
}

fn quantities(quantities: &LineQuantities) -> pb::LineQuantities {
    pb::LineQuantities {
        ordered: quantities.ordered,
        cancelled: quantities.cancelled,
        shipped: quantities.shipped,
        delivered: quantities.delivered,
        undelivered: quantities.undelivered,
        returned: quantities.returned,
        refunded: quantities.refunded,
    }
}

fn line(currency: Currency, line: &Line, counted: &LineQuantities) -> pb::OrderLine {
    pb::OrderLine {
        order_line_id: line.order_line_id.into(),
        listing_id: line.listing_id.into(),
        variant_id: line.variant_id.into(),
        sku: line.sku.clone(),
        title: line.title.clone(),
        unit: unit(line.unit).into(),
        terms_version: line.terms_version,
        unit_price: price(line.unit_price),
        amount: Some(line_amount(currency, &line.amount)),
        quantities: Some(quantities(counted)),
        touchpoints: line.touchpoints.iter().map(touchpoint).collect(),
        drop_id: line.drop_id.map(String::from).unwrap_or_default(),
        unit_ids: Vec::new(),
        collected_by: match line.collected_by {
            CollectedBy::Partner => common::CollectedBy::Partner,
            CollectedBy::Retailer => common::CollectedBy::Retailer,
        }
        .into(),
        legal_entity: line.legal_entity.clone(),
        price_source: price_source(line.price_source).into(),
    }
}

fn destination(destination: &Destination) -> pb::Destination {
    pb::Destination {
        region_code: destination.region_code.clone(),
        subdivision_code: destination.subdivision_code.clone(),
    }
}

/// What was agreed, as every repetition of PlaceOrder is answered.
pub fn placement(placement: &Placement) -> pb::PlaceOrderResponse {
    let currency = placement.amount.currency;
    let as_placed = |placed: &Line| {
        let counted = LineQuantities {
            ordered: placed.quantity,
            ..LineQuantities::default()
        };
        line(currency, placed, &counted)
    };
    pb::PlaceOrderResponse {
        order_id: placement.order_id.into(),
        partner_order_id: placement.partner_order_id.clone(),
        lines: placement.lines.iter().map(as_placed).collect(),
        amount: Some(order_amount(&placement.amount)),
        hold_expire_time: time(placement.hold_expire_time),
        place_time: time(placement.place_time),
    }
}

/// An order as it is at `now`.
pub fn order(order: &Order, now: Micros) -> pb::Order {
    let placed = &*order.placement;
    let currency = placed.amount.currency;
    let counted = placed.lines.iter().zip(&order.quantities);
    let pending = order.state == OrderState::PendingPayment;
    pb::Order {
        order_id: placed.order_id.into(),
        partner_id: placed.partner_id.into(),
        partner_order_id: placed.partner_order_id.clone(),
        partner_checkout_id: placed.partner_checkout_id.clone(),
        shopper_ref: placed.shopper_ref.clone(),
        state: order_state(order.state).into(),
        payment_state: payment_state(order.payment_state).into(),
        fulfillment_state: fulfillment_state(order.fulfillment_state).into(),
        aftersale_state: aftersale_state(order.aftersale_state).into(),
        lines: counted
            .map(|(placed, counted)| line(currency, placed, counted))
            .collect(),
        amount: Some(order_amount(&placed.amount)),
        destination: Some(destination(&placed.destination)),
        hold_expire_time: pending.then(|| order.hold_expire_time.to_proto()),
        place_time: time(placed.place_time),
        pay_time: order.pay_time.map(Micros::to_proto),
        ship_not_before: order.ship_not_before.map(Micros::to_proto),
        ship_by: order.ship_by.map(Micros::to_proto),
        ship_blocks: order
            .ship_blocks(now)
            .into_iter()
            .map(|block| ship_block(block).into())
            .collect(),
        has_contact: order.has_contact,
        cancel_reason: order
            .cancel_reason
            .map_or(pb::CancelReason::Unspecified, cancel_reason)
            .into(),
        etag: order.etag(),
        refund_due: money(currency, order.balance.refund_due),
        refunded: money(currency, order.balance.refunded),
    }
}

/// A recorded payment.
pub fn payment(payment: &Payment) -> pb::Payment {
    pb::Payment {
        payment_id: payment.payment_id.into(),
        order_id: payment.order_id.into(),
        payment_reference: payment.payment_reference.clone(),
        amount: Some(payment.amount.to_proto()),
        outcome: payment_outcome(payment.outcome).into(),
        pay_time: time(payment.pay_time),
        record_time: time(payment.record_time),
    }
}

/// What was decided about a payment, as every repetition of ConfirmPayment is answered.
pub fn confirmation(payment: &Payment) -> pb::ConfirmPaymentResponse {
    pb::ConfirmPaymentResponse {
        payment_id: payment.payment_id.into(),
        outcome: payment_outcome(payment.outcome).into(),
        refund: payment.first_refund().as_ref().map(refund),
        record_time: time(payment.record_time),
    }
}

/// The units of an allotment, for the feed.
pub fn stock_changed(stock: &Stock) -> pb::StockChanged {
    pb::StockChanged {
        allotment_id: stock.allotment_id.into(),
        supplied: stock.supplied,
        available: stock.available,
        held: stock.held,
        sold: stock.sold,
    }
}

/// An allotment with its listings.
pub fn allotment(allotment: &Allotment) -> pb::Allotment {
    let Allotment { stock, listings } = allotment;
    pb::Allotment {
        allotment_id: stock.allotment_id.into(),
        variant_id: stock.variant_id.into(),
        display_name: stock.display_name.clone(),
        supplied: stock.supplied,
        available: stock.available,
        held: stock.held,
        sold: stock.sold,
        listings: listings.iter().map(assignment).collect(),
        create_time: time(stock.create_time),
        etag: stock.etag(),
        per_person_limit: stock.per_person_limit,
    }
}

fn assignment(assignment: &Assignment) -> pb::AllotmentListing {
    pb::AllotmentListing {
        listing_id: assignment.listing_id.into(),
        partner_id: assignment.partner_id.into(),
        unit_cap: assignment.unit_cap,
        taken: assignment.taken,
    }
}

/// A movement.
pub fn movement(movement: &Movement) -> pb::Movement {
    pb::Movement {
        movement_id: movement.movement_id.into(),
        allotment_id: movement.allotment_id.into(),
        kind: match movement.kind {
            MovementKind::Initial => pb::MovementKind::Initial,
            MovementKind::TopUp => pb::MovementKind::TopUp,
            MovementKind::Restock => pb::MovementKind::Restock,
            MovementKind::Shrinkage => pb::MovementKind::Shrinkage,
            MovementKind::Withdrawn => pb::MovementKind::Withdrawn,
        }
        .into(),
        quantity: movement.quantity,
        reason: movement.reason.clone(),
        create_time: time(movement.create_time),
        actor: movement.actor.clone(),
    }
}

/// Whose terms made a price.
pub fn price_source(source: PriceSource) -> pb::PriceSource {
    match source {
        PriceSource::Listing => pb::PriceSource::Listing,
        PriceSource::Drop => pb::PriceSource::Drop,
    }
}

fn unit(unit: Unit) -> common::Unit {
    match unit {
        Unit::Each => common::Unit::Each,
        Unit::Gram => common::Unit::Gram,
    }
}

fn order_state(state: OrderState) -> pb::OrderState {
    match state {
        OrderState::PendingPayment => pb::OrderState::PendingPayment,
        OrderState::Confirmed => pb::OrderState::Confirmed,
        OrderState::Cancelled => pb::OrderState::Cancelled,
        OrderState::Expired => pb::OrderState::Expired,
        OrderState::Completed => pb::OrderState::Completed,
    }
}

fn payment_state(state: PaymentState) -> pb::PaymentState {
    match state {
        PaymentState::Unpaid => pb::PaymentState::Unpaid,
        PaymentState::PartiallyPaid => pb::PaymentState::PartiallyPaid,
        PaymentState::Paid => pb::PaymentState::Paid,
        PaymentState::NeedsReview => pb::PaymentState::NeedsReview,
        PaymentState::RefundDue => pb::PaymentState::RefundDue,
        PaymentState::PartiallyRefunded => pb::PaymentState::PartiallyRefunded,
        PaymentState::Refunded => pb::PaymentState::Refunded,
    }
}

fn fulfillment_state(state: FulfillmentState) -> pb::FulfillmentState {
    match state {
        FulfillmentState::Unfulfilled => pb::FulfillmentState::Unfulfilled,
        FulfillmentState::PartiallyShipped => pb::FulfillmentState::PartiallyShipped,
        FulfillmentState::Shipped => pb::FulfillmentState::Shipped,
        FulfillmentState::Delivered => pb::FulfillmentState::Delivered,
        FulfillmentState::Undelivered => pb::FulfillmentState::Undelivered,
    }
}

fn aftersale_state(state: AftersaleState) -> pb::AftersaleState {
    match state {
        AftersaleState::None => pb::AftersaleState::None,
        AftersaleState::ReturnOpen => pb::AftersaleState::ReturnOpen,
        AftersaleState::Returned => pb::AftersaleState::Returned,
    }
}

fn ship_block(block: ShipBlock) -> pb::ShipBlock {
    match block {
        ShipBlock::Remorse => pb::ShipBlock::Remorse,
        ShipBlock::Fraud => pb::ShipBlock::Fraud,
        ShipBlock::AddressMissing => pb::ShipBlock::AddressMissing,
        ShipBlock::Presale => pb::ShipBlock::Presale,
        ShipBlock::Inspection => pb::ShipBlock::Inspection,
    }
}

/// The reason of a cancellation.
pub fn cancel_reason(reason: CancelReason) -> pb::CancelReason {
    match reason {
        CancelReason::ShopperRequest => pb::CancelReason::ShopperRequest,
        CancelReason::PartnerRequest => pb::CancelReason::PartnerRequest,
        CancelReason::Shortage => pb::CancelReason::Shortage,
        CancelReason::Fraud => pb::CancelReason::Fraud,
        CancelReason::ProductSafety => pb::CancelReason::ProductSafety,
    }
}

fn payment_outcome(outcome: PaymentOutcome) -> pb::PaymentOutcome {
    match outcome {
        PaymentOutcome::Paid => pb::PaymentOutcome::Paid,
        PaymentOutcome::PartiallyPaid => pb::PaymentOutcome::PartiallyPaid,
        PaymentOutcome::NeedsReview => pb::PaymentOutcome::NeedsReview,
        PaymentOutcome::RefundDue => pb::PaymentOutcome::RefundDue,
    }
}
