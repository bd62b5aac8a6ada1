//! What fulfilment's feed means here: how far the lines of paid orders have come, and what of them came back.
//!
//! A fulfilment's entry carries its counters as they are, so it says everything there is to know about units.
//! Why units were cancelled is in the decision, which comes before the fulfilment that it left behind.

use std::time::Duration;

use ::store::Tx;
use ::store::consumer::{Acting, Consume};
use contracts::feed::FeedMessage;
use contracts::fulfillment::v1 as pb;
use contracts::fulfillment::v1::fulfillment_feed_entry::Content;
use contracts::id::OrderId;
use contracts::order::v1 as order_pb;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;

use crate::model::progress::LineProgress;
use crate::model::told::{News, SettledLine, SettlementNews};
use crate::model::{CancelReason, CareBlocks, CostBearer, ReturnNews, ReturnStage, ReturnedLine};
use crate::ops::told;
use crate::store::version_of;

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
        match news(entry)? {
            Some(news) => told::take(tx, &[news], self.return_window, &|_, _| ()).await,
            None => Ok(()),
        }
    }

    async fn apply_all(
        &self,
        tx: &mut Tx,
        entries: &[&pb::FulfillmentFeedEntry],
        acting: &Acting,
    ) -> Result<(), Fault> {
        let (mut told, mut from) = (Vec::with_capacity(entries.len()), Vec::new());
        for entry in entries {
            if let Some(news) = news(entry)? {
                told.push(news);
                from.push(entry.meta());
            }
        }
        if told.is_empty() {
            return Ok(());
        }
        let because_of = |tx: &mut Tx, index: usize| {
            if let Some(meta) = from.get(index) {
                acting.because_of(tx, meta);
            }
        };
        told::take(tx, &told, self.return_window, &because_of).await
    }
}

/// What an entry tells; none when it is nothing to orders.
fn news(entry: &pb::FulfillmentFeedEntry) -> Result<Option<News>, Refusal> {
    match &entry.content {
        Some(Content::Fulfillment(fulfillment)) => {
            let (order_id, lines) = lines_of(fulfillment)?;
            Ok(Some(News::Progress {
                order_id,
                lines,
                blocks: blocks_of(fulfillment),
                version: version_of(&fulfillment.etag),
            }))
        }
        Some(Content::CancelDecided(decided)) if !decided.lines.is_empty() => {
            let (order_id, reason) = decision(decided)?;
            Ok(Some(News::CancelReason { order_id, reason }))
        }
        Some(Content::AftersaleSettlement(found)) => {
            settlement(found).map(|news| Some(News::Settlement(news)))
        }
        Some(Content::GoodsReturn(found)) => return_of(found).map(|news| Some(News::Return(news))),
        // Parcels are for those who follow them; what they did to units is in the fulfilment. What comes of a matter is
        // in its settlement, what comes of a case is done by calls of its own.
        Some(
            Content::CancelDecided(_)
            | Content::Shipment(_)
            | Content::CaseEvent(_)
            | Content::Aftersale(_),
        )
        | None => Ok(None),
    }
}

/// A return: it is told in more entries than it has stages here, because its decision and its refund are told too.
fn return_of(found: &pb::GoodsReturn) -> Result<ReturnNews, Refusal> {
    let mut v = Violations::new();
    let (return_id, order_id) = (
        v.id("return_id", &found.return_id),
        v.id("order_id", &found.order_id),
    );
    let stage = match v.enumeration::<pb::ReturnState>("state", found.state) {
        pb::ReturnState::Unspecified | pb::ReturnState::Requested | pb::ReturnState::Approved => {
            ReturnStage::Open
        }
        pb::ReturnState::Rejected | pb::ReturnState::Cancelled | pb::ReturnState::Expired => {
            ReturnStage::Ended
        }
        pb::ReturnState::Received | pb::ReturnState::Completed => ReturnStage::Received,
    };
    let mut lines = Vec::with_capacity(found.lines.len());
    for (index, line) in found.lines.iter().enumerate() {
        let mut v = v.nested(format_args!("lines[{index}]"));
        if let Some(order_line_id) = v.id("order_line_id", &line.order_line_id) {
            lines.push(ReturnedLine {
                order_line_id,
                received: line.received_quantity,
                restock: line.restock_quantity,
            });
        }
    }
    v.finish()?;
    if stage != ReturnStage::Received {
        lines.clear();
    }
    let (Some(return_id), Some(order_id)) = (return_id, order_id) else {
        return Err(Refusal::not_found("order"));
    };
    Ok(ReturnNews {
        return_id,
        order_id,
        stage,
        lines,
        settled_apart: !found.aftersale_id.is_empty(),
    })
}

/// What a matter was settled on.
fn settlement(found: &pb::AftersaleSettlement) -> Result<SettlementNews, Refusal> {
    let mut v = Violations::new();
    let (aftersale_id, order_id) = (
        v.id("aftersale_id", &found.aftersale_id),
        v.id("order_id", &found.order_id),
    );
    let return_id = v.opt_id("return_id", &found.return_id);
    let cost_bearer = match v.enumeration::<order_pb::CostBearer>("cost_bearer", found.cost_bearer)
    {
        order_pb::CostBearer::Unspecified | order_pb::CostBearer::Retailer => CostBearer::Retailer,
        order_pb::CostBearer::Partner => CostBearer::Partner,
        order_pb::CostBearer::Creator => CostBearer::Creator,
        order_pb::CostBearer::Carrier => CostBearer::Carrier,
    };
    let mut lines = Vec::with_capacity(found.lines.len());
    for (index, line) in found.lines.iter().enumerate() {
        let mut v = v.nested(format_args!("lines[{index}]"));
        let known = (
            v.id("order_line_id", &line.order_line_id),
            v.money("amount", &line.amount),
        );
        if let (Some(order_line_id), Some(amount)) = known {
            lines.push(SettledLine {
                order_line_id,
                quantity: line.quantity,
                amount,
            });
        }
    }
    let mut restock = Vec::with_capacity(found.restock.len());
    for (index, line) in found.restock.iter().enumerate() {
        let mut v = v.nested(format_args!("restock[{index}]"));
        if let Some(order_line_id) = v.id("order_line_id", &line.order_line_id) {
            restock.push((order_line_id, line.quantity));
        }
    }
    v.finish()?;
    let (Some(aftersale_id), Some(order_id)) = (aftersale_id, order_id) else {
        return Err(Refusal::not_found("order"));
    };
    Ok(SettlementNews {
        aftersale_id,
        order_id,
        return_id,
        cost_bearer,
        lines,
        restock,
    })
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
