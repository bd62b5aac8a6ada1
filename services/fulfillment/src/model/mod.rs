//! What fulfilling an order is, without a database, a wire or a clock.

pub mod aftersale;
pub mod blocks;
pub mod cancel;
pub mod care;
pub mod fulfillment;
pub mod returns;
pub mod shipment;
mod words;

#[cfg(test)]
mod tests;

pub use blocks::{Block, Blocks};
pub use cancel::{CancelAsk, CancelDecision, CancelReason, CancelVerdict};
pub use fulfillment::{Fulfillment, FulfillmentState, Line, PaidLine, PaidOrder, Unit};
pub use shipment::{Recorded, Shipment, ShipmentState, TrackingEvent, TrackingStatus};

use contracts::id::OrderLineId;

/// A quantity of one line, in the variant's unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineQuantity {
    /// The order's line.
    pub order_line_id: OrderLineId,
    /// Positive.
    pub quantity: i64,
}
