//! A parcel and what its carrier says about it.

use std::time::Duration;

use contracts::ErrorReason;
use contracts::id::{FulfillmentId, OrderId, PartnerId, ShipmentId};
use kit::clock::Micros;
use kit::errors::Refusal;

use super::LineQuantity;
use super::fulfillment::Fulfillment;
use super::words::words;

words! {
    /// Where a shipment is.
    ShipmentState {
        /// Packed, waits for the carrier. Not used by the built-in carrier.
        Packed = "PACKED",
        /// With the carrier.
        Shipped = "SHIPPED",
        /// With the shopper.
        Delivered = "DELIVERED",
        /// Lost, refused or brought back.
        Failed = "FAILED",
    }
}

words! {
    /// What a carrier can say.
    TrackingStatus {
        /// On its way.
        InTransit = "IN_TRANSIT",
        /// On the last mile.
        OutForDelivery = "OUT_FOR_DELIVERY",
        /// An attempt failed; another follows.
        AttemptFailed = "ATTEMPT_FAILED",
        /// Delivered; the shipment ends.
        Delivered = "DELIVERED",
        /// Lost; the shipment ends.
        Lost = "LOST",
        /// Brought back; the shipment ends.
        ReturnedToSender = "RETURNED_TO_SENDER",
        /// Refused by the shopper, on its way back; the shipment ends.
        Refused = "REFUSED",
        /// Destroyed on its way; the shipment ends.
        Destroyed = "DESTROYED",
    }
}

impl TrackingStatus {
    /// The state that a shipment ends in with it; none when it goes on.
    pub fn ends_in(self) -> Option<ShipmentState> {
        match self {
            TrackingStatus::InTransit
            | TrackingStatus::OutForDelivery
            | TrackingStatus::AttemptFailed => None,
            TrackingStatus::Delivered => Some(ShipmentState::Delivered),
            TrackingStatus::Lost
            | TrackingStatus::ReturnedToSender
            | TrackingStatus::Refused
            | TrackingStatus::Destroyed => Some(ShipmentState::Failed),
        }
    }
}

/// One thing the carrier said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackingEvent {
    /// The carrier's own id of it, unique per shipment.
    pub carrier_event_id: String,
    /// What.
    pub status: TrackingStatus,
    /// When, by the carrier's clock.
    pub event_time: Micros,
    /// For people.
    pub description: String,
}

/// One parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipment {
    /// The shipment.
    pub id: ShipmentId,
    /// The fulfilment.
    pub fulfillment_id: FulfillmentId,
    /// The order.
    pub order_id: OrderId,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// State.
    pub state: ShipmentState,
    /// What is in it.
    pub lines: Vec<LineQuantity>,
    /// Who carries it.
    pub carrier_code: String,
    /// The carrier's number.
    pub tracking_number: String,
    /// The latest events, oldest first.
    pub events: Vec<TrackingEvent>,
    /// How many events there are in all.
    pub event_count: i64,
    /// When it was shipped.
    pub ship_time: Micros,
    /// When it ended.
    pub finish_time: Option<Micros>,
    /// Grows by one with every write; 0 before the first.
    pub version: i64,
}

/// What an event did to a shipment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Nothing: it was known.
    Known,
    /// It is in the history and moved nothing.
    Noted,
    /// The shipment ended with it.
    Ended {
        /// Whether the shopper has the goods.
        delivered: bool,
    },
}

/// Limits on the events of one shipment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventLimits {
    /// How many are kept with the shipment for reading.
    pub shown_max: usize,
    /// How many that do not end it are taken.
    pub count_max: i64,
    /// How long a refused parcel has for coming back.
    pub back: Duration,
    /// How long the inspection of a parcel that came back may take.
    pub inspection: Duration,
}

impl Shipment {
    /// A parcel of `fulfillment` that leaves `now`.
    pub fn leave(
        id: ShipmentId,
        fulfillment: &Fulfillment,
        lines: Vec<LineQuantity>,
        (carrier_code, tracking_number): (String, String),
        now: Micros,
    ) -> Self {
        Shipment {
            id,
            fulfillment_id: fulfillment.id,
            order_id: fulfillment.order_id,
            partner_id: fulfillment.partner_id,
            state: ShipmentState::Shipped,
            lines,
            carrier_code,
            tracking_number,
            events: Vec::new(),
            event_count: 0,
            ship_time: now,
            finish_time: None,
            version: 0,
        }
    }

    /// Changes with every change.
    pub fn etag(&self) -> String {
        format!("v{}", self.version)
    }

    /// Whether nothing the carrier says can move it any more.
    pub fn is_over(&self) -> bool {
        matches!(self.state, ShipmentState::Delivered | ShipmentState::Failed)
    }

    /// Takes in what the carrier said. `known` is the event with the same id, when there is one. The first
    /// event that ends the shipment ends it; whatever comes later, with whatever time, is only noted.
    pub fn record(
        &mut self,
        event: TrackingEvent,
        known: Option<&TrackingEvent>,
        limits: EventLimits,
        now: Micros,
    ) -> Result<Recorded, Refusal> {
        if let Some(known) = known {
            return same_event(known, &event).map(|()| Recorded::Known);
        }
        let end = event.status.ends_in().filter(|_| !self.is_over());
        if end.is_none() && self.event_count >= limits.count_max {
            let message = format!(
                "This shipment has {} events, the most that are kept; only one that ends it is still taken.",
                self.event_count
            );
            return Err(Refusal::wrong_state("shipment", self.state, message));
        }
        self.note(event, limits.shown_max);
        let Some(state) = end else {
            return Ok(Recorded::Noted);
        };
        self.state = state;
        self.finish_time = Some(now);
        Ok(Recorded::Ended {
            delivered: state == ShipmentState::Delivered,
        })
    }

    fn note(&mut self, event: TrackingEvent, shown_max: usize) {
        self.event_count += 1;
        let key = |event: &TrackingEvent| (event.event_time, event.carrier_event_id.clone());
        let at = self
            .events
            .partition_point(|other| key(other) <= key(&event));
        self.events.insert(at, event);
        if self.events.len() > shown_max {
            self.events.remove(0);
        }
    }
}

/// Carriers word the same event anew; what it says must stay.
fn same_event(known: &TrackingEvent, event: &TrackingEvent) -> Result<(), Refusal> {
    if known.status == event.status && known.event_time == event.event_time {
        return Ok(());
    }
    let message = format!(
        "This shipment has an event with this carrier_event_id that says {}; send a new event under its own id.",
        known.status
    );
    Err(Refusal::new(ErrorReason::KeyReused, message))
}
