//! Refunds, compensations and chargebacks.

use contracts::id::OrderLineId;
use contracts::money::Currency;
use contracts::order::v1 as pb;
use kit::clock::Micros;

use super::{money, time};
use crate::model::money::{
    Chargeback, ChargebackState, Compensation, CompensationReason, CompensationState, Payer,
};
use crate::model::{CostBearer, Parts, Refund, RefundFailure, RefundReason, RefundState};

/// A refund.
pub fn refund(refund: &Refund) -> pb::Refund {
    let quantity = |line: &crate::model::RefundLine| pb::LineQuantity {
        order_line_id: line.order_line_id.into(),
        quantity: line.quantity,
    };
    let currency = refund.shopper_amount.currency;
    let units = refund.lines.iter().filter(|line| line.quantity > 0);
    pb::Refund {
        refund_id: refund.refund_id.into(),
        order_id: refund.order_id.into(),
        partner_id: refund.partner_id.into(),
        payment_id: refund.payment_id.into(),
        payment_reference: refund.payment_reference.clone(),
        reason: refund_reason(refund.reason).into(),
        shopper_amount: Some(refund.shopper_amount.to_proto()),
        partner_amount: Some(refund.partner_amount.to_proto()),
        state: refund_state(refund.state).into(),
        lines: units.map(quantity).collect(),
        create_time: time(refund.create_time),
        finish_time: refund.finish_time.map(Micros::to_proto),
        etag: refund.etag(),
        attempt: refund.attempt,
        failure: refund
            .failure
            .map_or(pb::RefundFailure::Unspecified, refund_failure)
            .into(),
        refund_reference: refund.refund_reference.clone(),
        return_id: refund.return_id.map(String::from).unwrap_or_default(),
        report_time: refund.report_time.map(Micros::to_proto),
        aftersale_id: refund.aftersale_id.map(String::from).unwrap_or_default(),
        cost_bearer: cost_bearer(refund.cost_bearer).into(),
        line_amounts: refund
            .parts()
            .map(|(order_line_id, parts)| line_parts(currency, order_line_id, &parts))
            .collect(),
        partner_first: refund.partner_first,
    }
}

/// What goes back of one line.
pub fn line_parts(
    currency: Currency,
    order_line_id: &OrderLineId,
    parts: &Parts,
) -> pb::RefundLineAmount {
    pb::RefundLineAmount {
        order_line_id: order_line_id.into(),
        shopper_amount: money(currency, parts.shopper()),
        goods_amount: money(currency, parts.goods),
        shipping_amount: money(currency, parts.shipping),
        tax_added_amount: money(currency, parts.tax_added()),
        tax_included_amount: money(currency, parts.tax - parts.tax_added()),
        partner_amount: money(currency, parts.partner),
    }
}

/// A compensation.
pub fn compensation(compensation: &Compensation) -> pb::Compensation {
    pb::Compensation {
        compensation_id: compensation.compensation_id.into(),
        order_id: compensation.order_id.into(),
        partner_id: compensation.partner_id.into(),
        order_line_id: compensation
            .line
            .map(|(_, order_line_id)| order_line_id.into())
            .unwrap_or_default(),
        reason: compensation_reason(compensation.reason).into(),
        amount: Some(compensation.amount.to_proto()),
        cost_bearer: cost_bearer(compensation.cost_bearer).into(),
        payer: match compensation.payer {
            Payer::Partner => pb::CompensationPayer::Partner,
            Payer::Retailer => pb::CompensationPayer::Retailer,
        }
        .into(),
        state: match compensation.state {
            CompensationState::Authorised => pb::CompensationState::Authorised,
            CompensationState::Executed => pb::CompensationState::Executed,
            CompensationState::Failed => pb::CompensationState::Failed,
        }
        .into(),
        failure: compensation
            .failure
            .map_or(pb::RefundFailure::Unspecified, refund_failure)
            .into(),
        compensation_reference: compensation.compensation_reference.clone(),
        matter_reference: compensation.matter_reference.clone(),
        create_time: time(compensation.create_time),
        finish_time: compensation.finish_time.map(Micros::to_proto),
        etag: format!("v{}", compensation.version),
    }
}

/// Why a shopper is compensated.
pub fn compensation_reason(reason: CompensationReason) -> pb::CompensationReason {
    match reason {
        CompensationReason::Counterfeit => pb::CompensationReason::Counterfeit,
        CompensationReason::Late => pb::CompensationReason::Late,
        CompensationReason::Damage => pb::CompensationReason::Damage,
        CompensationReason::BrokenPromise => pb::CompensationReason::BrokenPromise,
        CompensationReason::Other => pb::CompensationReason::Other,
    }
}

/// A chargeback.
pub fn chargeback(chargeback: &Chargeback) -> pb::Chargeback {
    pb::Chargeback {
        chargeback_id: chargeback.chargeback_id.into(),
        order_id: chargeback.order_id.into(),
        partner_id: chargeback.partner_id.into(),
        payment_id: chargeback.payment_id.into(),
        payment_reference: chargeback.payment_reference.clone(),
        chargeback_reference: chargeback.chargeback_reference.clone(),
        amount: Some(chargeback.amount.to_proto()),
        state: match chargeback.state {
            ChargebackState::Opened => pb::ChargebackState::Opened,
            ChargebackState::Won => pb::ChargebackState::Won,
            ChargebackState::Lost => pb::ChargebackState::Lost,
        }
        .into(),
        open_time: time(chargeback.open_time),
        decide_time: chargeback.decide_time.map(Micros::to_proto),
        create_time: time(chargeback.create_time),
        etag: format!("v{}", chargeback.version),
    }
}

/// Who bears a cost.
pub fn cost_bearer(bearer: CostBearer) -> pb::CostBearer {
    match bearer {
        CostBearer::Retailer => pb::CostBearer::Retailer,
        CostBearer::Partner => pb::CostBearer::Partner,
        CostBearer::Creator => pb::CostBearer::Creator,
        CostBearer::Carrier => pb::CostBearer::Carrier,
    }
}

/// Why money goes back.
pub fn refund_reason(reason: RefundReason) -> pb::RefundReason {
    match reason {
        RefundReason::HoldExpired => pb::RefundReason::HoldExpired,
        RefundReason::OrderCancelled => pb::RefundReason::OrderCancelled,
        RefundReason::DuplicatePayment => pb::RefundReason::DuplicatePayment,
        RefundReason::AmountMismatch => pb::RefundReason::AmountMismatch,
        RefundReason::SaleStopped => pb::RefundReason::SaleStopped,
        RefundReason::LinesCancelled => pb::RefundReason::LinesCancelled,
        RefundReason::Undelivered => pb::RefundReason::Undelivered,
        RefundReason::Returned => pb::RefundReason::Returned,
        RefundReason::Goodwill => pb::RefundReason::Goodwill,
        RefundReason::Aftersale => pb::RefundReason::Aftersale,
        RefundReason::NeverArrived => pb::RefundReason::NeverArrived,
        RefundReason::NotAsDescribed => pb::RefundReason::NotAsDescribed,
        RefundReason::PriceAdjustment => pb::RefundReason::PriceAdjustment,
    }
}

/// Why a partner could not pay.
fn refund_failure(failure: RefundFailure) -> pb::RefundFailure {
    match failure {
        RefundFailure::AccountClosed => pb::RefundFailure::AccountClosed,
        RefundFailure::Declined => pb::RefundFailure::Declined,
        RefundFailure::PaymentTooOld => pb::RefundFailure::PaymentTooOld,
        RefundFailure::InsufficientFunds => pb::RefundFailure::InsufficientFunds,
        RefundFailure::Other => pb::RefundFailure::Other,
    }
}

fn refund_state(state: RefundState) -> pb::RefundState {
    match state {
        RefundState::Authorised => pb::RefundState::Authorised,
        RefundState::Executed => pb::RefundState::Executed,
        RefundState::Failed => pb::RefundState::Failed,
        RefundState::Withdrawn => pb::RefundState::Withdrawn,
    }
}
