//! Matters after the sale in the words of the contract.

use contracts::fulfillment::v1 as pb;
use contracts::money::Money;
use contracts::order::v1 as order;
use kit::clock::Micros;

use super::returns::{instructions as return_instructions, refund};
use super::unit;
use crate::model::aftersale::{
    Action, Aftersale, AftersaleKind, AftersaleReason, AftersaleState, Choice, CostBearer,
    InspectedCondition, LineChoices, MatterLine, NextAction, Offer, Party, Reshipment, Settlement,
    Step, StepKind, Unable,
};
use crate::store::aftersale_parts::Evidence;

both_ways! {
    /// What is to become of a matter.
    aftersale_kind, aftersale_kind_of: AftersaleKind = pb::AftersaleKind {
        RefundOnly, ReturnAndRefund, Exchange, Replacement
    }
}
both_ways! {
    /// Where a matter is.
    aftersale_state, aftersale_state_of: AftersaleState = pb::AftersaleState {
        Requested, CounterOffered, AwaitingApproval, AwaitingGoods, GoodsReceived, AwaitingReshipment, Refunding,
        Resolved, Rejected, Withdrawn, Expired
    }
}
both_ways! {
    /// Why.
    aftersale_reason, aftersale_reason_of: AftersaleReason = pb::AftersaleReason {
        Damaged, WrongItem, NotAsDescribed, CounterfeitClaim, MissingParts, NeverArrived, ChangedMind, Late, Defective,
        DoesNotFit, Other, CarrierLost, CarrierDamaged, CarrierRefused, CarrierReturned
    }
}
both_ways! {
    /// A side of a matter.
    aftersale_party, aftersale_party_of: Party = pb::AftersaleParty { Shopper, Partner, Retailer, Carrier, Time }
}
both_ways! {
    /// What is to be done next.
    aftersale_action, aftersale_action_of: Action = pb::AftersaleAction {
        Review, AnswerOffer, ApproveRefund, SendGoods, InspectGoods, Reship, ExecuteRefund, ReissueRefund
    }
}
both_ways! {
    /// Who bears it.
    cost_bearer, cost_bearer_of: CostBearer = order::CostBearer { Retailer, Partner, Creator, Carrier }
}
both_ways! {
    /// What an inspection finds.
    inspected_condition, inspected_condition_of: InspectedCondition = pb::InspectedCondition {
        Sellable, Damaged, Counterfeit, NotOurs
    }
}
both_ways! {
    /// What happened.
    aftersale_step_kind, aftersale_step_kind_of: StepKind = pb::AftersaleStepKind {
        Opened, Offered, OfferAccepted, OfferDeclined, Granted, ApprovalAsked, Approved, Rejected, Withdrawn, Received,
        Inspected, Reshipped, Settled, RefundAuthorised, RefundFailed, RefundExecuted, EvidenceAdded, Expired, Reminded
    }
}
both_ways! {
    /// Why nothing can be asked for.
    unable, unable_of: Unable = pb::AftersaleIneligibleReason {
        NotDelivered, AllInMatters, WindowOver, AllPaidBack, AmountUnknown
    }
}

/// A matter.
pub fn aftersale(matter: &Aftersale) -> pb::Aftersale {
    let leg = matter.leg.as_ref();
    let instructions = matter.instructions.as_ref();
    pb::Aftersale {
        aftersale_id: matter.id.into(),
        order_id: matter.order_id.into(),
        fulfillment_id: matter.fulfillment_id.into(),
        partner_id: matter.partner_id.into(),
        kind: aftersale_kind(matter.kind).into(),
        state: aftersale_state(matter.state).into(),
        reason: aftersale_reason(matter.reason).into(),
        opened_by: aftersale_party(matter.opened_by).into(),
        lines: matter.lines.iter().map(line).collect(),
        next_action: matter.next_action().map(next_action),
        offer: matter
            .offer
            .as_ref()
            .map(|found| offer(found, &matter.lines)),
        message: matter.message.clone(),
        cost_bearer: cost_bearer(matter.cost_bearer).into(),
        instructions: instructions.map(return_instructions),
        return_id: leg.map(|leg| leg.id.into()).unwrap_or_default(),
        reshipment: matter.reshipment.as_ref().map(reshipment),
        refund: matter.refund.as_ref().map(refund),
        create_time: Some(matter.create_time.to_proto()),
        settle_time: matter.settle_time.map(Micros::to_proto),
        finish_time: matter.finish_time.map(Micros::to_proto),
        etag: matter.etag(),
        shipment_id: matter.shipment_id.map(String::from).unwrap_or_default(),
    }
}

fn line(line: &MatterLine) -> pb::AftersaleLine {
    let found = line.found;
    let conditions = [
        (InspectedCondition::Sellable, found.sellable),
        (InspectedCondition::Damaged, found.damaged),
        (InspectedCondition::Counterfeit, found.counterfeit),
        (InspectedCondition::NotOurs, found.not_ours),
    ];
    let condition = |(condition, quantity): (InspectedCondition, i64)| pb::InspectedQuantity {
        condition: inspected_condition(condition).into(),
        quantity,
    };
    pb::AftersaleLine {
        order_line_id: line.order_line_id.into(),
        variant_id: line.variant_id.into(),
        sku: line.sku.clone(),
        unit: unit(line.unit).into(),
        quantity: line.quantity,
        amount: line
            .currency
            .map(|currency| Money::new(currency, line.amount).to_proto()),
        accepted_quantity: found.accepted(),
        restock_quantity: found.restock,
        conditions: conditions
            .into_iter()
            .filter(|(_, quantity)| *quantity > 0)
            .map(condition)
            .collect(),
    }
}

fn next_action(next: NextAction) -> pb::NextAction {
    pb::NextAction {
        party: aftersale_party(next.party).into(),
        action: aftersale_action(next.action).into(),
        deadline: Some(next.deadline.to_proto()),
    }
}

fn offer(offer: &Offer, lines: &[MatterLine]) -> pb::AftersaleOffer {
    let amount = |line: &MatterLine| {
        let money = Money::new(line.currency?, line.offer_amount);
        Some(pb::LineAmount {
            order_line_id: line.order_line_id.into(),
            amount: Some(money.to_proto()),
        })
    };
    pb::AftersaleOffer {
        kind: aftersale_kind(offer.kind).into(),
        amounts: lines.iter().filter_map(amount).collect(),
        message: offer.message.clone(),
        offer_number: i32::try_from(offer.number).unwrap_or(i32::MAX),
    }
}

fn reshipment(sent: &Reshipment) -> pb::Reshipment {
    let units = sent.units.iter().map(|part| pb::ReshippedUnits {
        order_line_id: part.order_line_id.into(),
        variant_id: part.variant_id.into(),
        quantity: part.quantity,
    });
    pb::Reshipment {
        carrier_code: sent.carrier_code.clone(),
        tracking_number: sent.tracking_number.clone(),
        units: units.collect(),
        ship_time: Some(sent.ship_time.to_proto()),
    }
}

/// What a matter comes to.
pub fn settlement(matter: &Aftersale, settlement: &Settlement) -> pb::AftersaleSettlement {
    let lines = settlement
        .lines
        .iter()
        .map(|(line, quantity, currency, amount)| pb::SettlementLine {
            order_line_id: (*line).into(),
            quantity: *quantity,
            amount: Some(Money::new(*currency, *amount).to_proto()),
        });
    let restock = settlement
        .restock
        .iter()
        .map(|(line, quantity)| order::LineQuantity {
            order_line_id: (*line).into(),
            quantity: *quantity,
        });
    pb::AftersaleSettlement {
        aftersale_id: matter.id.into(),
        order_id: matter.order_id.into(),
        return_id: settlement.return_id.map(String::from).unwrap_or_default(),
        reason: aftersale_reason(matter.reason).into(),
        cost_bearer: cost_bearer(matter.cost_bearer).into(),
        lines: lines.collect(),
        restock: restock.collect(),
    }
}

/// A step. Who did it is told by side only.
pub fn aftersale_step(step: &Step) -> pb::AftersaleStep {
    pb::AftersaleStep {
        step_number: i32::try_from(step.number).unwrap_or(i32::MAX),
        kind: aftersale_step_kind(step.kind).into(),
        party: aftersale_party(step.party).into(),
        state: aftersale_state(step.state).into(),
        message: step.message.clone(),
        time: Some(step.time.to_proto()),
    }
}

/// A piece of evidence.
pub fn aftersale_evidence(
    (piece, party, time): &(Evidence, Party, Micros),
) -> pb::AftersaleEvidence {
    pb::AftersaleEvidence {
        evidence: Some(pb::Evidence {
            evidence_reference: piece.reference.clone(),
            sha256_hex: piece.sha256_hex.clone(),
            media_type: piece.media_type.clone(),
            size_bytes: piece.size_bytes,
        }),
        party: aftersale_party(*party).into(),
        create_time: Some(time.to_proto()),
    }
}

/// What can be asked for about a line.
pub fn line_choices(found: &LineChoices) -> pb::AftersaleLineEligibility {
    let option = |choice: &Choice| pb::AftersaleOption {
        kind: aftersale_kind(choice.kind).into(),
        reasons: choice
            .reasons
            .iter()
            .map(|reason| aftersale_reason(*reason).into())
            .collect(),
        quantity: choice.quantity,
        max_amount: choice.most.map(Money::to_proto),
        end_time: Some(choice.until.to_proto()),
    };
    pb::AftersaleLineEligibility {
        order_line_id: found.order_line_id.into(),
        delivered_quantity: found.delivered,
        open_quantity: found.open,
        options: found.choices.iter().map(option).collect(),
        ineligible_reason: found.unable.map_or(0, |why| unable(why).into()),
    }
}
