//! Matters that a carrier's word opens.

use contracts::id::AftersaleId;
use kit::clock::Micros;

use super::super::fulfillment::Fulfillment;
use super::super::shipment::{EventLimits, Shipment, TrackingStatus};
use super::open::new;
use super::{
    Aftersale, AftersaleKind, AftersaleReason, AftersaleState, CostBearer, Found, MatterLine,
    Party, Step, StepKind,
};

/// Why a parcel that ended so opens a matter; none when it does not.
pub fn opens_matter(status: TrackingStatus) -> Option<AftersaleReason> {
    match status {
        TrackingStatus::Lost => Some(AftersaleReason::CarrierLost),
        TrackingStatus::Destroyed => Some(AftersaleReason::CarrierDamaged),
        TrackingStatus::Refused => Some(AftersaleReason::CarrierRefused),
        TrackingStatus::ReturnedToSender => Some(AftersaleReason::CarrierReturned),
        TrackingStatus::InTransit
        | TrackingStatus::OutForDelivery
        | TrackingStatus::AttemptFailed
        | TrackingStatus::Delivered => None,
    }
}

impl Aftersale {
    /// The parcel ended undelivered: what is to come back is waited for or inspected. The order service pays back what
    /// was not delivered by itself, so no money is promised here and no delivered unit is set aside.
    pub fn of_parcel(
        id: AftersaleId,
        goods: &Fulfillment,
        shipment: &Shipment,
        reason: AftersaleReason,
        limits: EventLimits,
        now: Micros,
    ) -> Self {
        let mut matter = new(goods, id, Party::Carrier, now);
        matter.shipment_id = Some(shipment.id);
        matter.reason = reason;
        matter.cost_bearer = match reason {
            AftersaleReason::CarrierLost | AftersaleReason::CarrierDamaged => CostBearer::Carrier,
            _ => CostBearer::Retailer,
        };
        let line = |part: &super::super::LineQuantity| {
            let own = goods
                .lines
                .iter()
                .find(|own| own.order_line_id == part.order_line_id)?;
            Some(MatterLine {
                order_line_id: own.order_line_id,
                variant_id: own.variant_id,
                sku: own.sku.clone(),
                unit: own.unit,
                quantity: part.quantity,
                currency: None,
                amount: 0,
                offer_amount: 0,
                found: Found::default(),
            })
        };
        matter.lines = shipment.lines.iter().filter_map(line).collect();
        match reason {
            AftersaleReason::CarrierRefused => {
                matter.kind = AftersaleKind::ReturnAndRefund;
                matter.state = AftersaleState::AwaitingGoods;
                matter.due_time = Some(now.plus(limits.back));
            }
            AftersaleReason::CarrierReturned => {
                matter.kind = AftersaleKind::ReturnAndRefund;
                matter.state = AftersaleState::GoodsReceived;
                matter.due_time = Some(now.plus(limits.inspection));
            }
            _ => {
                matter.state = AftersaleState::Resolved;
                matter.settle_time = Some(now);
                matter.finish_time = Some(now);
            }
        }
        matter.step_count = 1;
        matter.news.steps.push(Step {
            number: 1,
            kind: StepKind::Opened,
            party: Party::Carrier,
            state: matter.state,
            message: String::new(),
            who: String::new(),
            time: now,
        });
        matter
    }
}
