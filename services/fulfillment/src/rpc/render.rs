//! The model in the words of the contract, and the contract's enums in the words of the model.

use contracts::common::v1 as common;
use contracts::fulfillment::v1 as pb;
use contracts::order::v1 as order;
use kit::clock::Micros;

use crate::model::{
    Block, CancelDecision, CancelReason, Fulfillment, FulfillmentState, Line, LineQuantity,
    Shipment, ShipmentState, TrackingEvent, TrackingStatus, Unit,
};

/// Declares the conversions of an enum in both directions; the contract's unspecified value has none.
macro_rules! both_ways {
    ($(#[$doc:meta])* $to:ident, $from:ident: $model:ident = $contract:path { $($variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        pub fn $to(value: $model) -> $contract {
            use $contract as Contract;
            match value {
                $($model::$variant => Contract::$variant),+
            }
        }

        $(#[$doc])*
        pub fn $from(value: $contract) -> Option<$model> {
            use $contract as Contract;
            match value {
                Contract::Unspecified => None,
                $(Contract::$variant => Some($model::$variant)),+
            }
        }
    };
}

mod aftersales;
mod care;
mod returns;

pub use aftersales::*;
pub use care::*;
pub use returns::*;

both_ways! {
    /// Where a fulfilment is.
    fulfillment_state, fulfillment_state_of: FulfillmentState = pb::FulfillmentState {
        Waiting, Ready, InProgress, Shipped, Finished, Cancelled
    }
}
both_ways! {
    /// Where a shipment is.
    shipment_state, shipment_state_of: ShipmentState = pb::ShipmentState { Packed, Shipped, Delivered, Failed }
}
both_ways! {
    /// What a carrier says.
    tracking_status, tracking_status_of: TrackingStatus = pb::TrackingStatus {
        InTransit, OutForDelivery, AttemptFailed, Delivered, Lost, ReturnedToSender, Refused, Destroyed
    }
}
both_ways! {
    /// What blocks shipping.
    block, block_of: Block = order::ShipBlock { Remorse, Fraud, AddressMissing, Presale, Inspection }
}
both_ways! {
    /// Why something is cancelled.
    cancel_reason, cancel_reason_of: CancelReason = order::CancelReason {
        ShopperRequest, PartnerRequest, Shortage, Fraud, ProductSafety
    }
}
both_ways! {
    /// What a variant is counted in.
    unit, unit_of: Unit = common::Unit { Each, Gram }
}

/// What was decided about a cancellation.
pub fn cancel_decision(decision: CancelDecision) -> pb::CancelDecision {
    match decision {
        CancelDecision::Cancelled => pb::CancelDecision::Cancelled,
        CancelDecision::Pending => pb::CancelDecision::CancelPending,
        CancelDecision::TooLate => pb::CancelDecision::TooLate,
    }
}

/// A fulfilment.
pub fn fulfillment(fulfillment: &Fulfillment) -> pb::Fulfillment {
    pb::Fulfillment {
        fulfillment_id: fulfillment.id.into(),
        order_id: fulfillment.order_id.into(),
        partner_id: fulfillment.partner_id.into(),
        state: fulfillment_state(fulfillment.state).into(),
        ship_blocks: fulfillment
            .blocks
            .iter()
            .map(|set| block(set).into())
            .collect(),
        lines: fulfillment.lines.iter().map(line).collect(),
        ship_not_before: Some(fulfillment.ship_not_before.to_proto()),
        ship_by: Some(fulfillment.ship_by.to_proto()),
        destination: Some(order::Destination {
            region_code: fulfillment.region_code.clone(),
            subdivision_code: fulfillment.subdivision_code.clone(),
        }),
        create_time: Some(fulfillment.create_time.to_proto()),
        etag: fulfillment.etag(),
    }
}

fn line(line: &Line) -> pb::FulfillmentLine {
    pb::FulfillmentLine {
        order_line_id: line.order_line_id.into(),
        variant_id: line.variant_id.into(),
        sku: line.sku.clone(),
        title: line.title.clone(),
        unit: unit(line.unit).into(),
        quantities: Some(order::LineQuantities {
            ordered: line.ordered,
            cancelled: line.cancelled,
            shipped: line.shipped,
            delivered: line.delivered,
            undelivered: line.undelivered,
            returned: line.returned,
            // Money is the order's to tell of.
            refunded: 0,
        }),
    }
}

/// A quantity of one line.
pub fn line_quantity(part: &LineQuantity) -> order::LineQuantity {
    order::LineQuantity {
        order_line_id: part.order_line_id.into(),
        quantity: part.quantity,
    }
}

/// A shipment.
pub fn shipment(shipment: &Shipment) -> pb::Shipment {
    pb::Shipment {
        shipment_id: shipment.id.into(),
        fulfillment_id: shipment.fulfillment_id.into(),
        order_id: shipment.order_id.into(),
        partner_id: shipment.partner_id.into(),
        state: shipment_state(shipment.state).into(),
        lines: shipment.lines.iter().map(shipment_line).collect(),
        carrier_code: shipment.carrier_code.clone(),
        tracking_number: shipment.tracking_number.clone(),
        events: shipment.events.iter().map(event).collect(),
        ship_time: Some(shipment.ship_time.to_proto()),
        finish_time: shipment.finish_time.map(Micros::to_proto),
        etag: shipment.etag(),
    }
}

fn shipment_line(part: &LineQuantity) -> pb::ShipmentLine {
    pb::ShipmentLine {
        order_line_id: part.order_line_id.into(),
        quantity: part.quantity,
        unit_ids: Vec::new(),
    }
}

fn event(event: &TrackingEvent) -> pb::TrackingEvent {
    pb::TrackingEvent {
        carrier_event_id: event.carrier_event_id.clone(),
        status: tracking_status(event.status).into(),
        event_time: Some(event.event_time.to_proto()),
        description: event.description.clone(),
    }
}
