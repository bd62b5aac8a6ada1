//! Refunds that people decide on, and what a cancellation would be.

use std::sync::Arc;

use ::store::idempotency::Idempotent;
use contracts::money::Currency;
use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::errors::Fault;
use kit::validate::Violations;

use super::{Api, after, bound_to, keyed, parse, render};
use crate::model::payment::Signed;
use crate::model::proposal::{Draft, Proposal, ProposalState, RefundDraft};
use crate::model::refund_decided::LineDraft;
use crate::model::{Component, CostBearer, OrderState, Refund, RefundReason};
use crate::ops::money::{GetRefund, ListProposals, PreviewCancel};
use crate::ops::refund::WithdrawRefund;
use crate::ops::refund_decide::{Decide, DecideProposal, Decided, ReportPartnerRefund};
use crate::statement::money::PartnerRefundClaims;
use crate::statement::{self, STATEMENT_CHARS_MAX};

const AUTHORISE_REFUND: &str = "vitrine.order.v1.RefundService/AuthoriseRefund";
const DECIDE_PROPOSAL: &str = "vitrine.order.v1.RefundService/DecideRefundProposal";
const WITHDRAW_REFUND: &str = "vitrine.order.v1.RefundService/WithdrawRefund";
const REPORT_PARTNER_REFUND: &str = "vitrine.order.v1.RefundService/ReportPartnerRefund";

impl Api {
    pub(super) async fn preview_cancellation(
        &self,
        caller: &Arc<Caller>,
        request: pb::PreviewCancellationRequest,
    ) -> Result<pb::PreviewCancellationResponse, Fault> {
        let mut v = Violations::new();
        let order_id = v.id("order_id", &request.order_id);
        let lines_max = usize::try_from(self.config.order_lines_max).unwrap_or(usize::MAX);
        let lines = parse::quantities(&mut v, &request.lines, lines_max);
        v.finish()?;
        let Some(order_id) = order_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let preview = PreviewCancel {
            partner_id: bound_to(caller)?,
            order_id,
            lines,
        };
        let (order, step, now) = self.db.read(caller, preview).await?;
        let currency = order.placement.amount.currency;
        let lines = step.refund_lines();
        let sure_until = match order.state {
            OrderState::PendingPayment => Some(order.hold_expire_time),
            _ => order.ship_not_before,
        };
        Ok(pb::PreviewCancellationResponse {
            shopper_amount: render::money(currency, step.refund.shopper),
            partner_amount: render::money(currency, step.refund.partner),
            line_amounts: lines
                .iter()
                .filter_map(|line| {
                    let parts = line.parts?;
                    Some(render::line_parts(currency, &line.order_line_id, &parts))
                })
                .collect(),
            lines: lines
                .iter()
                .map(|line| pb::LineQuantity {
                    order_line_id: line.order_line_id.into(),
                    quantity: line.quantity,
                })
                .collect(),
            needs_fulfillment: order.was_paid(),
            sure_until: sure_until
                .filter(|until| now < *until)
                .map(kit::clock::Micros::to_proto),
            etag: order.etag(),
        })
    }

    pub(super) async fn get_refund(
        &self,
        caller: &Arc<Caller>,
        request: pb::GetRefundRequest,
    ) -> Result<pb::GetRefundResponse, Fault> {
        let mut v = Violations::new();
        let refund_id = v.id("refund_id", &request.refund_id);
        v.finish()?;
        let Some(refund_id) = refund_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let partner_id = bound_to(caller)?;
        let get = GetRefund {
            partner_id,
            refund_id,
        };
        let found = self.db.read(caller, get).await?;
        Ok(pb::GetRefundResponse {
            refund: Some(render::refund(&found)),
        })
    }

    pub(super) async fn authorise_refund(
        &self,
        caller: &Arc<Caller>,
        request: pb::AuthoriseRefundRequest,
    ) -> Result<pb::AuthoriseRefundResponse, Fault> {
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let order_id = v.id("order_id", &request.order_id);
        let reason = decided_reason(&mut v, request.reason);
        let cost_bearer = cost_bearer(&mut v, request.cost_bearer);
        let note = v.text("note", &request.note, 1..=500);
        let lines_max = usize::try_from(self.config.order_lines_max).unwrap_or(usize::MAX);
        let mut money = DraftMoney::default();
        let lines = line_drafts(&mut v, &request.lines, lines_max, &mut money);
        let shopper = match &request.shopper_amount {
            None => 0,
            Some(_) => money.read(&mut v, "shopper_amount", &request.shopper_amount),
        };
        if lines.is_empty() && shopper == 0 && request.lines.is_empty() {
            v.add(
                "shopper_amount",
                "must be positive when there are no lines.",
            );
        } else if !request.lines.is_empty() && request.shopper_amount.is_some() {
            v.add("shopper_amount", "must be absent when there are lines.");
        } else if !lines.is_empty() && lines.iter().all(|line| line.shopper + line.partner == 0) {
            v.add("lines", "must give something back.");
        }
        if money.mixed || money.total.is_none() {
            v.add(
                "lines",
                "must be in one currency, and sum to what 64 bits can hold.",
            );
        }
        v.finish()?;
        let (Some(order_id), Some(reason)) = (order_id, reason) else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let decide = Decide {
            order_id,
            draft: Draft::Refund(RefundDraft {
                reason,
                cost_bearer,
                lines,
                shopper,
            }),
            currency: money.currency,
            note,
            alone_max_units: self.config.refund_alone_max_units,
        };
        let keyed = keyed(caller, AUTHORISE_REFUND, &request_id, &request);
        let render = |decided: &Decided| match decided {
            Decided::Refund(refund) => pb::AuthoriseRefundResponse {
                refund: Some(render::refund(refund)),
                proposal: None,
            },
            Decided::Proposed(proposed) => pb::AuthoriseRefundResponse {
                refund: None,
                proposal: Some(proposal(proposed)),
            },
            Decided::Compensation(_) => pb::AuthoriseRefundResponse::default(),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, decide, render))
            .await
    }

    pub(super) async fn decide_refund_proposal(
        &self,
        caller: &Arc<Caller>,
        request: pb::DecideRefundProposalRequest,
    ) -> Result<pb::DecideRefundProposalResponse, Fault> {
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let refund_proposal_id = v.id("refund_proposal_id", &request.refund_proposal_id);
        let least = usize::from(!request.approve);
        let note = v.text("note", &request.note, least..=500);
        v.finish()?;
        let Some(refund_proposal_id) = refund_proposal_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let decide = DecideProposal {
            refund_proposal_id,
            approve: request.approve,
            note,
        };
        let keyed = keyed(caller, DECIDE_PROPOSAL, &request_id, &request);
        let render = |(decided, made): &(Proposal, Option<Decided>)| {
            let mut response = pb::DecideRefundProposalResponse {
                proposal: Some(proposal(decided)),
                ..Default::default()
            };
            match made {
                Some(Decided::Refund(refund)) => response.refund = Some(render::refund(refund)),
                Some(Decided::Compensation(made)) => {
                    response.compensation = Some(render::compensation(made));
                }
                Some(Decided::Proposed(_)) | None => {}
            }
            response
        };
        self.db
            .execute(caller, Idempotent::new(keyed, decide, render))
            .await
    }

    pub(super) async fn list_refund_proposals(
        &self,
        caller: &Arc<Caller>,
        request: pb::ListRefundProposalsRequest,
    ) -> Result<pb::ListRefundProposalsResponse, Fault> {
        let mut v = Violations::new();
        let state = match request.state {
            0 => "",
            number => match v.enumeration::<pb::RefundProposalState>("state", number) {
                pb::RefundProposalState::Unspecified => "",
                pb::RefundProposalState::Proposed => ProposalState::Proposed.as_str(),
                pb::RefundProposalState::Approved => ProposalState::Approved.as_str(),
                pb::RefundProposalState::Rejected => ProposalState::Rejected.as_str(),
            },
        };
        v.finish()?;
        let query = format!("refund_proposals|{state}");
        let page = self.page(request.page_size, &request.page_token, &query)?;
        let list = ListProposals {
            state,
            after: after(&page)?,
            limit: page.limit(),
        };
        let found = self.db.read(caller, list).await?;
        let (found, next_page_token) =
            page.cut(found, |found| vec![found.refund_proposal_id.to_string()]);
        Ok(pb::ListRefundProposalsResponse {
            proposals: found.iter().map(proposal).collect(),
            next_page_token,
        })
    }

    pub(super) async fn withdraw_refund(
        &self,
        caller: &Arc<Caller>,
        request: pb::WithdrawRefundRequest,
    ) -> Result<pb::WithdrawRefundResponse, Fault> {
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let refund_id = v.id("refund_id", &request.refund_id);
        let etag = v.text("etag", &request.etag, 0..=64);
        v.finish()?;
        let Some(refund_id) = refund_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let withdraw = WithdrawRefund { refund_id, etag };
        let keyed = keyed(caller, WITHDRAW_REFUND, &request_id, &request);
        let render = |withdrawn: &Refund| pb::WithdrawRefundResponse {
            refund: Some(render::refund(withdrawn)),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, withdraw, render))
            .await
    }

    pub(super) async fn report_partner_refund(
        &self,
        caller: &Arc<Caller>,
        request: pb::ReportPartnerRefundRequest,
    ) -> Result<pb::ReportPartnerRefundResponse, Fault> {
        let partner_id = caller.partner()?;
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let order_id: Option<contracts::id::OrderId> = v.id("order_id", &request.order_id);
        let statement = v.text("statement", &request.statement, 1..=STATEMENT_CHARS_MAX);
        v.finish()?;
        let (stated, kid, active) = self
            .keys
            .verify_as::<PartnerRefundClaims>(caller, &partner_id, &statement)
            .await?;
        if Some(stated.order_id) != order_id {
            return Err(
                statement::bad("The statement is about another order than order_id.").into(),
            );
        }
        let report = ReportPartnerRefund {
            partner_id,
            stated,
            kid,
            active,
            statement: Signed(statement),
            others_cost_max_units: self.config.partner_refund_max_units,
        };
        let keyed = keyed(caller, REPORT_PARTNER_REFUND, &request_id, &request);
        let render = |refund: &Refund| pb::ReportPartnerRefundResponse {
            refund: Some(render::refund(refund)),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, report, render))
            .await
    }
}

/// The currency and the sum of what a request names.
struct DraftMoney {
    currency: Option<Currency>,
    mixed: bool,
    total: Option<i64>,
}

impl Default for DraftMoney {
    fn default() -> Self {
        DraftMoney {
            currency: None,
            mixed: false,
            total: Some(0),
        }
    }
}

impl DraftMoney {
    fn read(
        &mut self,
        v: &mut Violations,
        field: &str,
        value: &Option<contracts::common::v1::Money>,
    ) -> i64 {
        let Some(money) = v.money(field, value) else {
            return 0;
        };
        self.mixed |= self.currency.is_some_and(|known| known != money.currency);
        self.currency = Some(money.currency);
        self.total = self
            .total
            .and_then(|total| total.checked_add(money.minor_units));
        money.minor_units
    }
}

fn line_drafts(
    v: &mut Violations,
    lines: &[pb::RefundLineDraft],
    lines_max: usize,
    money: &mut DraftMoney,
) -> Vec<LineDraft> {
    if !v.items("lines", lines, 0..=lines_max) {
        return Vec::new();
    }
    let mut drafts: Vec<LineDraft> = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        let mut v = v.nested(format_args!("lines[{index}]"));
        let component = match v.opt_enumeration::<pb::RefundComponent>("component", line.component)
        {
            None | Some(pb::RefundComponent::Unspecified) => Component::All,
            Some(pb::RefundComponent::Goods) => Component::Goods,
            Some(pb::RefundComponent::Shipping) => Component::Shipping,
            Some(pb::RefundComponent::Tax) => Component::Tax,
        };
        let mut amount = |field: &str, value: &Option<contracts::common::v1::Money>| match value {
            None => 0,
            Some(_) => money.read(&mut v, field, value),
        };
        let shopper = amount("shopper_amount", &line.shopper_amount);
        let partner = amount("partner_amount", &line.partner_amount);
        let Some(order_line_id) = v.id("order_line_id", &line.order_line_id) else {
            continue;
        };
        if drafts
            .iter()
            .any(|draft| draft.order_line_id == order_line_id)
        {
            v.add(
                "order_line_id",
                "is in another line already; send each line once.",
            );
        }
        drafts.push(LineDraft {
            order_line_id,
            shopper,
            partner,
            component,
        });
    }
    drafts
}

/// Who bears a cost; the retailer when nothing is said.
pub(super) fn cost_bearer(v: &mut Violations, number: i32) -> CostBearer {
    match v.opt_enumeration::<pb::CostBearer>("cost_bearer", number) {
        None | Some(pb::CostBearer::Unspecified | pb::CostBearer::Retailer) => CostBearer::Retailer,
        Some(pb::CostBearer::Partner) => CostBearer::Partner,
        Some(pb::CostBearer::Creator) => CostBearer::Creator,
        Some(pb::CostBearer::Carrier) => CostBearer::Carrier,
    }
}

fn decided_reason(v: &mut Violations, number: i32) -> Option<RefundReason> {
    let reason = match pb::RefundReason::try_from(number) {
        Ok(pb::RefundReason::Goodwill) => Some(RefundReason::Goodwill),
        Ok(pb::RefundReason::NeverArrived) => Some(RefundReason::NeverArrived),
        Ok(pb::RefundReason::NotAsDescribed) => Some(RefundReason::NotAsDescribed),
        Ok(pb::RefundReason::PriceAdjustment) => Some(RefundReason::PriceAdjustment),
        _ => None,
    };
    if reason.is_none() {
        v.add(
            "reason",
            "must be GOODWILL, NEVER_ARRIVED, NOT_AS_DESCRIBED or PRICE_ADJUSTMENT.",
        );
    }
    reason
}

/// A proposal.
pub(super) fn proposal(found: &Proposal) -> pb::RefundProposal {
    let (shopper, partner) = found.draft.amounts();
    let (refund_reason, compensation_reason, bearer) = match &found.draft {
        Draft::Refund(draft) => (
            render::refund_reason(draft.reason),
            pb::CompensationReason::Unspecified,
            draft.cost_bearer,
        ),
        Draft::Compensation(draft) => (
            pb::RefundReason::Unspecified,
            render::compensation_reason(draft.reason),
            draft.cost_bearer,
        ),
    };
    let of_refund = matches!(found.draft, Draft::Refund(_));
    let made = |wanted: bool| match of_refund == wanted {
        true => found.made_id.clone(),
        false => String::new(),
    };
    pb::RefundProposal {
        refund_proposal_id: found.refund_proposal_id.into(),
        order_id: found.order_id.into(),
        shopper_amount: render::money(found.currency, shopper),
        partner_amount: render::money(found.currency, partner),
        refund_reason: refund_reason.into(),
        compensation_reason: compensation_reason.into(),
        cost_bearer: render::cost_bearer(bearer).into(),
        note: found.note.clone(),
        state: match found.state {
            ProposalState::Proposed => pb::RefundProposalState::Proposed,
            ProposalState::Approved => pb::RefundProposalState::Approved,
            ProposalState::Rejected => pb::RefundProposalState::Rejected,
        }
        .into(),
        proposer: found.proposer.clone(),
        decider: found.decider.clone(),
        decision_note: found.decision_note.clone(),
        refund_id: made(true),
        compensation_id: made(false),
        create_time: Some(found.create_time.to_proto()),
        decide_time: found.decide_time.map(kit::clock::Micros::to_proto),
    }
}
