//! Compensations and chargebacks.

use std::sync::Arc;

use ::store::idempotency::Idempotent;
use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::errors::Fault;
use kit::validate::Violations;

use super::money::{cost_bearer, proposal};
use super::{Api, after, keyed, listed_partner, parse, render};
use crate::model::money::{Chargeback, Compensation, CompensationReason, Payer};
use crate::model::payment::Signed;
use crate::model::proposal::{CompensationDraft, Draft};
use crate::ops::chargeback::ReportChargeback;
use crate::ops::compensation::{CompleteCompensation, ReportCompensation};
use crate::ops::money::{ListChargebacks, ListCompensations};
use crate::ops::refund_decide::{Decide, Decided};
use crate::statement::money::{ChargebackClaims, CompensationClaims};
use crate::statement::{self, STATEMENT_CHARS_MAX};
use crate::store::refund::RefundFilter;

const AUTHORISE_COMPENSATION: &str = "vitrine.order.v1.RefundService/AuthoriseCompensation";
const REPORT_COMPENSATION: &str = "vitrine.order.v1.RefundService/ReportCompensation";
const COMPLETE_COMPENSATION: &str = "vitrine.order.v1.RefundService/CompleteCompensation";
const REPORT_CHARGEBACK: &str = "vitrine.order.v1.RefundService/ReportChargeback";

impl Api {
    pub(super) async fn authorise_compensation(
        &self,
        caller: &Arc<Caller>,
        request: pb::AuthoriseCompensationRequest,
    ) -> Result<pb::AuthoriseCompensationResponse, Fault> {
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let order_id = v.id("order_id", &request.order_id);
        let line = v.opt_id("order_line_id", &request.order_line_id);
        let reason = reason(&mut v, request.reason);
        let amount = v.money("amount", &request.amount);
        if amount.is_some_and(|amount| amount.minor_units == 0) {
            v.add("amount.minor_units", "must be positive.");
        }
        let cost_bearer = cost_bearer(&mut v, request.cost_bearer);
        let payer = match v.opt_enumeration::<pb::CompensationPayer>("payer", request.payer) {
            None | Some(pb::CompensationPayer::Unspecified | pb::CompensationPayer::Partner) => {
                Payer::Partner
            }
            Some(pb::CompensationPayer::Retailer) => Payer::Retailer,
        };
        let matter_reference = v.text("matter_reference", &request.matter_reference, 0..=64);
        let note = v.text("note", &request.note, 1..=500);
        v.finish()?;
        let (Some(order_id), Some(amount)) = (order_id, amount) else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let decide = Decide {
            order_id,
            draft: Draft::Compensation(CompensationDraft {
                line,
                reason,
                amount: amount.minor_units,
                cost_bearer,
                payer,
                matter_reference,
            }),
            currency: Some(amount.currency),
            note,
            alone_max_units: self.config.refund_alone_max_units,
        };
        let keyed = keyed(caller, AUTHORISE_COMPENSATION, &request_id, &request);
        let render = |decided: &Decided| match decided {
            Decided::Compensation(made) => pb::AuthoriseCompensationResponse {
                compensation: Some(render::compensation(made)),
                proposal: None,
            },
            Decided::Proposed(proposed) => pb::AuthoriseCompensationResponse {
                compensation: None,
                proposal: Some(proposal(proposed)),
            },
            Decided::Refund(_) => pb::AuthoriseCompensationResponse::default(),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, decide, render))
            .await
    }

    pub(super) async fn report_compensation(
        &self,
        caller: &Arc<Caller>,
        request: pb::ReportCompensationRequest,
    ) -> Result<pb::ReportCompensationResponse, Fault> {
        let partner_id = caller.partner()?;
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let compensation_id = v.id("compensation_id", &request.compensation_id);
        let statement = v.text("statement", &request.statement, 1..=STATEMENT_CHARS_MAX);
        v.finish()?;
        let Some(compensation_id) = compensation_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let (stated, kid, active) = self
            .keys
            .verify_as::<CompensationClaims>(caller, &partner_id, &statement)
            .await?;
        if stated.compensation_id != compensation_id {
            let message = "The statement is about another compensation than compensation_id.";
            return Err(statement::bad(message).into());
        }
        let report = ReportCompensation {
            partner_id,
            compensation_id,
            stated,
            kid,
            active,
            statement: Signed(statement),
        };
        let keyed = keyed(caller, REPORT_COMPENSATION, &request_id, &request);
        let render = |reported: &Compensation| pb::ReportCompensationResponse {
            compensation: Some(render::compensation(reported)),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, report, render))
            .await
    }

    pub(super) async fn complete_compensation(
        &self,
        caller: &Arc<Caller>,
        request: pb::CompleteCompensationRequest,
    ) -> Result<pb::CompleteCompensationResponse, Fault> {
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let compensation_id = v.id("compensation_id", &request.compensation_id);
        let compensation_reference = v.text(
            "compensation_reference",
            &request.compensation_reference,
            1..=128,
        );
        v.finish()?;
        let Some(compensation_id) = compensation_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let complete = CompleteCompensation {
            compensation_id,
            compensation_reference,
        };
        let keyed = keyed(caller, COMPLETE_COMPENSATION, &request_id, &request);
        let render = |completed: &Compensation| pb::CompleteCompensationResponse {
            compensation: Some(render::compensation(completed)),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, complete, render))
            .await
    }

    pub(super) async fn list_compensations(
        &self,
        caller: &Arc<Caller>,
        request: pb::ListCompensationsRequest,
    ) -> Result<pb::ListCompensationsResponse, Fault> {
        let filter = filter(caller, &request.partner_id, &request.order_id)?;
        let query = format!("compensations|{}|{}", filter.partner_id, filter.order_id);
        let page = self.page(request.page_size, &request.page_token, &query)?;
        let list = ListCompensations {
            filter,
            after: after(&page)?,
            limit: page.limit(),
        };
        let found = self.db.read(caller, list).await?;
        let (found, next_page_token) =
            page.cut(found, |found| vec![found.compensation_id.to_string()]);
        Ok(pb::ListCompensationsResponse {
            compensations: found.iter().map(render::compensation).collect(),
            next_page_token,
        })
    }

    pub(super) async fn report_chargeback(
        &self,
        caller: &Arc<Caller>,
        request: pb::ReportChargebackRequest,
    ) -> Result<pb::ReportChargebackResponse, Fault> {
        let partner_id = caller.partner()?;
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let order_id: Option<contracts::id::OrderId> = v.id("order_id", &request.order_id);
        let statement = v.text("statement", &request.statement, 1..=STATEMENT_CHARS_MAX);
        v.finish()?;
        let (stated, kid, active) = self
            .keys
            .verify_as::<ChargebackClaims>(caller, &partner_id, &statement)
            .await?;
        if Some(stated.order_id) != order_id {
            return Err(
                statement::bad("The statement is about another order than order_id.").into(),
            );
        }
        let report = ReportChargeback {
            partner_id,
            stated,
            kid,
            active,
            statement: Signed(statement),
        };
        let keyed = keyed(caller, REPORT_CHARGEBACK, &request_id, &request);
        let render = |reported: &Chargeback| pb::ReportChargebackResponse {
            chargeback: Some(render::chargeback(reported)),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, report, render))
            .await
    }

    pub(super) async fn list_chargebacks(
        &self,
        caller: &Arc<Caller>,
        request: pb::ListChargebacksRequest,
    ) -> Result<pb::ListChargebacksResponse, Fault> {
        let filter = filter(caller, &request.partner_id, &request.order_id)?;
        let query = format!("chargebacks|{}|{}", filter.partner_id, filter.order_id);
        let page = self.page(request.page_size, &request.page_token, &query)?;
        let list = ListChargebacks {
            filter,
            after: after(&page)?,
            limit: page.limit(),
        };
        let found = self.db.read(caller, list).await?;
        let (found, next_page_token) =
            page.cut(found, |found| vec![found.chargeback_id.to_string()]);
        Ok(pb::ListChargebacksResponse {
            chargebacks: found.iter().map(render::chargeback).collect(),
            next_page_token,
        })
    }
}

fn filter(caller: &Caller, partner: &str, order: &str) -> Result<RefundFilter, Fault> {
    let mut v = Violations::new();
    let asked = v.opt_id("partner_id", partner);
    let order_id: Option<contracts::id::OrderId> = v.opt_id("order_id", order);
    v.finish()?;
    Ok(RefundFilter {
        partner_id: listed_partner(caller, asked)?
            .map(String::from)
            .unwrap_or_default(),
        order_id: order_id.map(String::from).unwrap_or_default(),
        state: String::new(),
    })
}

fn reason(v: &mut Violations, number: i32) -> CompensationReason {
    match v.enumeration::<pb::CompensationReason>("reason", number) {
        pb::CompensationReason::Unspecified | pb::CompensationReason::Other => {
            CompensationReason::Other
        }
        pb::CompensationReason::Counterfeit => CompensationReason::Counterfeit,
        pb::CompensationReason::Late => CompensationReason::Late,
        pb::CompensationReason::Damage => CompensationReason::Damage,
        pb::CompensationReason::BrokenPromise => CompensationReason::BrokenPromise,
    }
}
