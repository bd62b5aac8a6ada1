//! What fulfilment's feed means here: how far the lines of paid orders have come.
//!
//! A fulfilment's entry carries its counters as they are, so it says everything there is to know about units.
//! Why units were cancelled is in the decision, which comes before the fulfilment that it left behind.

use std::time::Duration;

use ::store::Tx;
use ::store::consumer::Consume;
use contracts::fulfillment::v1 as pb;
use contracts::fulfillment::v1::fulfillment_feed_entry::Content;
use contracts::id::OrderId;
use contracts::order::v1 as order_pb;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;

use crate::model::progress::LineProgress;
use crate::model::{CancelReason, CareBlocks};
use crate::ops::progress;

/// Moves orders on as fulfilment tells.
#[derive(Clone, Copy, Debug)]
pub struct FulfillmentProgress {
    return_window: Duration,
}

impl FulfillmentProgress {
    /// After the last delivery goods may be sent back for `return_window`.
    pub fn new(return_window: Duration) -> Self {
        FulfillmentProgress { return_window }
    }
}

impl Consume<pb::FulfillmentFeedEntry> for FulfillmentProgress {
    async fn apply(&self, tx: &mut Tx, entry: &pb::FulfillmentFeedEntry) -> Result<(), Fault> {
        match &entry.content {
            Some(Content::Fulfillment(fulfillment)) => {
                let (order_id, lines) = lines_of(fulfillment)?;
                progress::note_blocks(tx, &order_id, blocks_of(fulfillment)).await?;
                progress::advance(tx, &order_id, &lines, self.return_window).await
            }
            Some(Content::CancelDecided(decided)) if !decided.lines.is_empty() => {
                let (order_id, reason) = decision(decided)?;
                progress::note_cancel_reason(tx, &order_id, reason).await
            }
            // Parcels are for those who follow them; what they did to units is in the fulfilment.
            Some(Content::CancelDecided(_) | Content::Shipment(_) | Content::GoodsReturn(_))
            | None => Ok(()),
        }
    }
}

fn lines_of(fulfillment: &pb::Fulfillment) -> Result<(OrderId, Vec<LineProgress>), Refusal> {
    let mut v = Violations::new();
    let order_id = v.id("order_id", &fulfillment.order_id);
    let mut lines = Vec::with_capacity(fulfillment.lines.len());
    for (index, line) in fulfillment.lines.iter().enumerate() {
        let mut v = v.nested(format_args!("lines[{index}]"));
        let quantities = line.quantities.unwrap_or_default();
        let Some(order_line_id) = v.id("order_line_id", &line.order_line_id) else {
            continue;
        };
        lines.push(LineProgress {
            order_line_id,
            cancelled: quantities.cancelled,
            shipped: quantities.shipped,
            delivered: quantities.delivered,
            undelivered: quantities.undelivered,
        });
    }
    v.finish()?;
    let order_id = order_id.ok_or_else(|| Refusal::not_found("order"))?;
    Ok((order_id, lines))
}

/// The blocks that people set; the others follow from the order itself.
fn blocks_of(fulfillment: &pb::Fulfillment) -> CareBlocks {
    let has = |block: order_pb::ShipBlock| fulfillment.ship_blocks().any(|set| set == block);
    CareBlocks {
        fraud: has(order_pb::ShipBlock::Fraud),
        inspection: has(order_pb::ShipBlock::Inspection),
    }
}

fn decision(decided: &pb::CancelDecided) -> Result<(OrderId, CancelReason), Refusal> {
    let mut v = Violations::new();
    let order_id = v.id("order_id", &decided.order_id);
    let reason = match v.enumeration::<order_pb::CancelReason>("reason", decided.reason) {
        order_pb::CancelReason::Unspecified | order_pb::CancelReason::ShopperRequest => {
            CancelReason::ShopperRequest
        }
        order_pb::CancelReason::PartnerRequest => CancelReason::PartnerRequest,
        order_pb::CancelReason::Shortage => CancelReason::Shortage,
        order_pb::CancelReason::Fraud => CancelReason::Fraud,
        order_pb::CancelReason::ProductSafety => CancelReason::ProductSafety,
    };
    v.finish()?;
    let order_id = order_id.ok_or_else(|| Refusal::not_found("order"))?;
    Ok((order_id, reason))
}
