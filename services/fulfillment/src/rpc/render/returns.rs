//! Returns in the words of the contract.

use contracts::fulfillment::v1 as pb;
use contracts::order::v1 as order;
use kit::clock::Micros;

use super::unit;
use crate::model::returns::{
    ConditionQuantity, Eligibility, GoodsCondition, GoodsReturn, Ineligible, Instructions,
    RefundState, ReturnInitiator, ReturnKind, ReturnLine, ReturnReason, ReturnRefund, ReturnState,
};

both_ways! {
    /// Where a return is.
    return_state, return_state_of: ReturnState = pb::ReturnState {
        Requested, Approved, Rejected, Cancelled, Expired, Received, Completed
    }
}
both_ways! {
    /// What the shopper wants.
    return_kind, return_kind_of: ReturnKind = pb::ReturnKind {
        ReturnAndRefund, RefundOnly, Exchange, Replacement
    }
}
both_ways! {
    /// Why something is sent back.
    return_reason, return_reason_of: ReturnReason = pb::ReturnReason {
        ChangedMind, DoesNotFit, NotAsDescribed, Defective, DamagedInTransit, WrongItem, ArrivedLate, Other
    }
}
both_ways! {
    /// How goods came back.
    goods_condition, goods_condition_of: GoodsCondition = pb::GoodsCondition {
        AsNew, Opened, Used, Damaged, Defective
    }
}
both_ways! {
    /// Who asked for a return.
    return_initiator, return_initiator_of: ReturnInitiator = pb::ReturnInitiator { Partner, Retailer }
}
both_ways! {
    /// Where the money of a return is.
    refund_state, refund_state_of: RefundState = order::RefundState {
        Authorised, Executed, Failed, Withdrawn
    }
}
both_ways! {
    /// Why nothing can be sent back.
    ineligible, ineligible_of: Ineligible = pb::IneligibleReason { NotDelivered, AllInReturns, WindowOver }
}

/// A return.
pub fn goods_return(goods_return: &GoodsReturn) -> pb::GoodsReturn {
    pb::GoodsReturn {
        return_id: goods_return.id.into(),
        order_id: goods_return.order_id.into(),
        fulfillment_id: goods_return.fulfillment_id.into(),
        partner_id: goods_return.partner_id.into(),
        kind: return_kind(goods_return.kind).into(),
        state: return_state(goods_return.state).into(),
        initiator: return_initiator(goods_return.initiator).into(),
        lines: goods_return.lines.iter().map(line).collect(),
        instructions: goods_return.instructions.as_ref().map(instructions),
        decision_message: goods_return.decision_message.clone(),
        create_time: Some(goods_return.create_time.to_proto()),
        decide_time: goods_return.decide_time.map(Micros::to_proto),
        receive_time: goods_return.receive_time.map(Micros::to_proto),
        finish_time: goods_return.finish_time.map(Micros::to_proto),
        refund: goods_return.refund.as_ref().map(refund),
        etag: goods_return.etag(),
        aftersale_id: goods_return
            .aftersale_id
            .map(String::from)
            .unwrap_or_default(),
    }
}

fn line(line: &ReturnLine) -> pb::GoodsReturnLine {
    pb::GoodsReturnLine {
        order_line_id: line.order_line_id.into(),
        variant_id: line.variant_id.into(),
        sku: line.sku.clone(),
        unit: unit(line.unit).into(),
        reason: return_reason(line.reason).into(),
        requested_quantity: line.requested,
        approved_quantity: line.approved,
        received_quantity: line.received(),
        restock_quantity: line.restock(),
        conditions: line.conditions.iter().map(condition).collect(),
    }
}

fn condition(part: &ConditionQuantity) -> pb::ConditionQuantity {
    pb::ConditionQuantity {
        condition: goods_condition(part.condition).into(),
        quantity: part.quantity,
        restock_quantity: part.restock,
    }
}

pub(super) fn instructions(instructions: &Instructions) -> pb::ReturnInstructions {
    pb::ReturnInstructions {
        return_site_reference: instructions.return_site_reference.clone(),
        carrier_code: instructions.carrier_code.clone(),
        tracking_number: instructions.tracking_number.clone(),
        return_by_time: Some(instructions.return_by_time.to_proto()),
    }
}

pub(super) fn refund(refund: &ReturnRefund) -> pb::ReturnRefund {
    pb::ReturnRefund {
        refund_id: refund.refund_id.into(),
        state: refund_state(refund.state).into(),
        shopper_amount: Some(refund.shopper_amount.to_proto()),
    }
}

/// What of a line can be sent back.
pub fn eligibility(line: &Eligibility) -> pb::LineEligibility {
    let windows = line.windows.iter().map(|units| pb::ReturnWindow {
        quantity: units.quantity,
        end_time: Some(units.until.to_proto()),
    });
    pb::LineEligibility {
        order_line_id: line.order_line_id.into(),
        delivered_quantity: line.delivered,
        open_quantity: line.in_returns,
        returned_quantity: line.returned,
        returnable_quantity: line.returnable(),
        windows: windows.collect(),
        ineligible_reason: line
            .ineligible()
            .map_or(pb::IneligibleReason::Unspecified, ineligible)
            .into(),
    }
}
