//! Matters after the sale.

mod parse;

use ::store::idempotency::Idempotent;
use contracts::common::v1::Audience;
use contracts::fulfillment::v1 as pb;
use contracts::fulfillment::v1::aftersale_service_server::AftersaleService;
use contracts::fulfillment::v1::decide_aftersale_request::Decision;
use contracts::id::AftersaleId;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::page::Page;
use kit::validate::Violations;
use prost::Message;
use tonic::{Request, Response, Status};

use super::read::{after_id, partner_word};
use super::{Api, answer, keyed, parse as common, render};
use crate::model::aftersale::{Aftersale, AftersaleAsk, AftersaleState, Party, Who};
use crate::ops::aftersale::{
    Act, ActOnAftersale, CheckAftersale, GetAftersale, ListAftersales, RequestAftersale,
};
use crate::store::aftersale_list::AftersaleQuery;

const SERVICE: &str = "vitrine.fulfillment.v1.AftersaleService";
const REQUEST: &str = "vitrine.fulfillment.v1.AftersaleService/RequestAftersale";
const DECIDE: &str = "vitrine.fulfillment.v1.AftersaleService/DecideAftersale";
const APPROVE: &str = "vitrine.fulfillment.v1.AftersaleService/ApproveAftersaleRefund";
const ANSWER: &str = "vitrine.fulfillment.v1.AftersaleService/AnswerAftersaleOffer";
const RECEIVE: &str = "vitrine.fulfillment.v1.AftersaleService/RecordAftersaleReceived";
const INSPECT: &str = "vitrine.fulfillment.v1.AftersaleService/InspectAftersale";
const RESHIP: &str = "vitrine.fulfillment.v1.AftersaleService/RecordAftersaleReshipped";
const WITHDRAW: &str = "vitrine.fulfillment.v1.AftersaleService/WithdrawAftersale";
const EVIDENCE: &str = "vitrine.fulfillment.v1.AftersaleService/AddAftersaleEvidence";

answer! {
    AftersaleService:
    check_aftersale_eligibility: CheckAftersaleEligibilityRequest => CheckAftersaleEligibilityResponse;
    request_aftersale: RequestAftersaleRequest => RequestAftersaleResponse;
    decide_aftersale: DecideAftersaleRequest => DecideAftersaleResponse;
    approve_aftersale_refund: ApproveAftersaleRefundRequest => ApproveAftersaleRefundResponse;
    answer_aftersale_offer: AnswerAftersaleOfferRequest => AnswerAftersaleOfferResponse;
    record_aftersale_received: RecordAftersaleReceivedRequest => RecordAftersaleReceivedResponse;
    inspect_aftersale: InspectAftersaleRequest => InspectAftersaleResponse;
    record_aftersale_reshipped: RecordAftersaleReshippedRequest => RecordAftersaleReshippedResponse;
    withdraw_aftersale: WithdrawAftersaleRequest => WithdrawAftersaleResponse;
    add_aftersale_evidence: AddAftersaleEvidenceRequest => AddAftersaleEvidenceResponse;
    get_aftersale: GetAftersaleRequest => GetAftersaleResponse;
    list_aftersales: ListAftersalesRequest => ListAftersalesResponse;
}

/// For which side the caller acts.
fn who(caller: &Caller) -> Who {
    let party = match caller.audience {
        Audience::Partner => Party::Shopper,
        _ => Party::Retailer,
    };
    Who {
        party,
        principal: caller.principal(),
    }
}

/// What a request that changes one matter has in common with the others.
struct Change {
    key: String,
    aftersale_id: Option<AftersaleId>,
    etag: Option<String>,
}

impl Change {
    fn parse(wrong: &mut Violations, key: &str, aftersale_id: &str, etag: &str) -> Self {
        Change {
            key: common::request_id(wrong, key),
            aftersale_id: wrong.id("aftersale_id", aftersale_id),
            etag: wrong.opt_text("etag", etag, 1..=64),
        }
    }
}

/// Answers that hold the matter and nothing else.
trait Answers: Message + Default + 'static {
    fn of(aftersale: pb::Aftersale) -> Self;
}

macro_rules! answers {
    ($($response:ident),+ $(,)?) => {
        $(impl Answers for pb::$response {
            fn of(aftersale: pb::Aftersale) -> Self {
                pb::$response { aftersale: Some(aftersale) }
            }
        })+
    };
}

answers! {
    RequestAftersaleResponse, DecideAftersaleResponse, ApproveAftersaleRefundResponse, AnswerAftersaleOfferResponse,
    RecordAftersaleReceivedResponse, InspectAftersaleResponse, RecordAftersaleReshippedResponse,
    WithdrawAftersaleResponse, AddAftersaleEvidenceResponse,
}

impl Api {
    async fn act<A: Answers>(
        &self,
        caller: &Caller,
        method: &'static str,
        change: Change,
        act: Option<Act>,
        request: &impl Message,
    ) -> Result<A, Fault> {
        // What is missing here was refused before.
        let (Some(aftersale_id), Some(act)) = (change.aftersale_id, act) else {
            return Err(Refusal::not_found("aftersale").into());
        };
        let operation = ActOnAftersale {
            aftersale_id,
            partner: common::readable(caller, None)?,
            etag: change.etag,
            who: who(caller),
            act,
            limits: self.config.aftersale_limits(),
        };
        let keyed = keyed(caller, method, &change.key, request);
        let render = |matter: &Aftersale| A::of(render::aftersale(matter));
        let operation = Idempotent::new(keyed, operation, render);
        self.db.execute(caller, operation).await
    }

    async fn check_aftersale_eligibility(
        &self,
        caller: &Caller,
        request: pb::CheckAftersaleEligibilityRequest,
    ) -> Result<pb::CheckAftersaleEligibilityResponse, Fault> {
        let mut wrong = Violations::new();
        let order_id = wrong.id("order_id", &request.order_id);
        wrong.finish()?;
        let operation = CheckAftersale {
            order_id: order_id.ok_or_else(|| Refusal::not_found("order"))?,
            partner: common::readable(caller, None)?,
            limits: self.config.aftersale_limits(),
        };
        let lines = self.db.read(caller, operation).await?;
        Ok(pb::CheckAftersaleEligibilityResponse {
            lines: lines.iter().map(render::line_choices).collect(),
        })
    }

    async fn request_aftersale(
        &self,
        caller: &Caller,
        request: pb::RequestAftersaleRequest,
    ) -> Result<pb::RequestAftersaleResponse, Fault> {
        let mut wrong = Violations::new();
        let key = common::request_id(&mut wrong, &request.request_id);
        let order_id = wrong.id("order_id", &request.order_id);
        let kind = render::aftersale_kind_of(wrong.enumeration("kind", request.kind));
        let reason = render::aftersale_reason_of(wrong.enumeration("reason", request.reason));
        let lines = parse::asked_lines(&mut wrong, &self.config, &request.lines);
        let most = self.config.aftersale_evidence_max;
        let evidence = parse::evidence(&mut wrong, &request.evidence, 0..=most);
        wrong.finish()?;
        let (Some(order_id), Some(kind), Some(reason)) = (order_id, kind, reason) else {
            return Err(Refusal::not_found("order").into());
        };
        let operation = RequestAftersale {
            order_id,
            partner: common::readable(caller, None)?,
            who: who(caller),
            ask: AftersaleAsk {
                kind,
                reason,
                lines,
                evidence: i64::try_from(evidence.len()).unwrap_or(i64::MAX),
            },
            evidence,
            limits: self.config.aftersale_limits(),
        };
        let keyed = keyed(caller, REQUEST, &key, &request);
        let render =
            |matter: &Aftersale| pb::RequestAftersaleResponse::of(render::aftersale(matter));
        let operation = Idempotent::new(keyed, operation, render);
        self.db.execute(caller, operation).await
    }

    async fn decide_aftersale(
        &self,
        caller: &Caller,
        request: pb::DecideAftersaleRequest,
    ) -> Result<pb::DecideAftersaleResponse, Fault> {
        let mut wrong = Violations::new();
        let (key, id) = (&request.request_id, &request.aftersale_id);
        let change = Change::parse(&mut wrong, key, id, &request.etag);
        let act = match &request.decision {
            None => {
                wrong.add("grant", "must be set, or reject, or counter_offer.");
                None
            }
            Some(Decision::Grant(grant)) => parse::grant(&mut wrong, grant),
            Some(Decision::Reject(reject)) => {
                let mut wrong = wrong.nested("reject");
                let message = wrong.long_text("message", &reject.message, 1..=500);
                Some(Act::Reject(message))
            }
            Some(Decision::CounterOffer(offer)) => parse::offer(&mut wrong, &self.config, offer),
        };
        wrong.finish()?;
        self.act(caller, DECIDE, change, act, &request).await
    }

    async fn approve_aftersale_refund(
        &self,
        caller: &Caller,
        request: pb::ApproveAftersaleRefundRequest,
    ) -> Result<pb::ApproveAftersaleRefundResponse, Fault> {
        let mut wrong = Violations::new();
        let (key, id) = (&request.request_id, &request.aftersale_id);
        let change = Change::parse(&mut wrong, key, id, &request.etag);
        let length = if request.approve { 0..=0 } else { 1..=500 };
        let message = wrong.long_text("message", &request.message, length);
        wrong.finish()?;
        let act = Act::Approve(request.approve, message);
        self.act(caller, APPROVE, change, Some(act), &request).await
    }

    async fn answer_aftersale_offer(
        &self,
        caller: &Caller,
        request: pb::AnswerAftersaleOfferRequest,
    ) -> Result<pb::AnswerAftersaleOfferResponse, Fault> {
        let mut wrong = Violations::new();
        let (key, id) = (&request.request_id, &request.aftersale_id);
        let change = Change::parse(&mut wrong, key, id, &request.etag);
        let number = wrong.range(
            "offer_number",
            request.offer_number,
            1..=i64::from(i32::MAX),
        );
        wrong.finish()?;
        let act = Act::Answer(request.accept, number);
        self.act(caller, ANSWER, change, Some(act), &request).await
    }

    async fn record_aftersale_received(
        &self,
        caller: &Caller,
        request: pb::RecordAftersaleReceivedRequest,
    ) -> Result<pb::RecordAftersaleReceivedResponse, Fault> {
        let mut wrong = Violations::new();
        let (key, id) = (&request.request_id, &request.aftersale_id);
        let change = Change::parse(&mut wrong, key, id, &request.etag);
        wrong.finish()?;
        self.act(caller, RECEIVE, change, Some(Act::Received), &request)
            .await
    }

    async fn inspect_aftersale(
        &self,
        caller: &Caller,
        request: pb::InspectAftersaleRequest,
    ) -> Result<pb::InspectAftersaleResponse, Fault> {
        let mut wrong = Violations::new();
        let (key, id) = (&request.request_id, &request.aftersale_id);
        let change = Change::parse(&mut wrong, key, id, &request.etag);
        let units = parse::inspected(&mut wrong, &self.config, &request.units);
        let message = wrong.long_text("message", &request.message, 0..=500);
        wrong.finish()?;
        let act = Act::Inspect(units, message);
        self.act(caller, INSPECT, change, Some(act), &request).await
    }

    async fn record_aftersale_reshipped(
        &self,
        caller: &Caller,
        request: pb::RecordAftersaleReshippedRequest,
    ) -> Result<pb::RecordAftersaleReshippedResponse, Fault> {
        let mut wrong = Violations::new();
        let (key, id) = (&request.request_id, &request.aftersale_id);
        let change = Change::parse(&mut wrong, key, id, &request.etag);
        let sent = wrong.required("reshipment", &request.reshipment);
        let sent = sent.and_then(|sent| parse::reshipment(&mut wrong, &self.config, sent));
        wrong.finish()?;
        self.act(caller, RESHIP, change, sent.map(Act::Reship), &request)
            .await
    }

    async fn withdraw_aftersale(
        &self,
        caller: &Caller,
        request: pb::WithdrawAftersaleRequest,
    ) -> Result<pb::WithdrawAftersaleResponse, Fault> {
        let mut wrong = Violations::new();
        let (key, id) = (&request.request_id, &request.aftersale_id);
        let change = Change::parse(&mut wrong, key, id, &request.etag);
        wrong.finish()?;
        self.act(caller, WITHDRAW, change, Some(Act::Withdraw), &request)
            .await
    }

    async fn add_aftersale_evidence(
        &self,
        caller: &Caller,
        request: pb::AddAftersaleEvidenceRequest,
    ) -> Result<pb::AddAftersaleEvidenceResponse, Fault> {
        let mut wrong = Violations::new();
        let (key, id) = (&request.request_id, &request.aftersale_id);
        let change = Change::parse(&mut wrong, key, id, "");
        let most = self.config.aftersale_evidence_max;
        let evidence = parse::evidence(&mut wrong, &request.evidence, 1..=most);
        wrong.finish()?;
        let act = Act::Evidence(evidence);
        self.act(caller, EVIDENCE, change, Some(act), &request)
            .await
    }

    async fn get_aftersale(
        &self,
        caller: &Caller,
        request: pb::GetAftersaleRequest,
    ) -> Result<pb::GetAftersaleResponse, Fault> {
        let mut wrong = Violations::new();
        let id = wrong.id("aftersale_id", &request.aftersale_id);
        wrong.finish()?;
        let operation = GetAftersale {
            id: id.ok_or_else(|| Refusal::not_found("aftersale"))?,
            partner: common::readable(caller, None)?,
            steps_max: self.config.aftersale_steps_shown_max.into(),
            evidence_max: self.config.aftersale_limits().evidence_max,
        };
        let (matter, evidence, steps) = self.db.read(caller, operation).await?;
        Ok(pb::GetAftersaleResponse {
            aftersale: Some(render::aftersale(&matter)),
            evidence: evidence.iter().map(render::aftersale_evidence).collect(),
            steps: steps.iter().map(render::aftersale_step).collect(),
        })
    }

    async fn list_aftersales(
        &self,
        caller: &Caller,
        request: pb::ListAftersalesRequest,
    ) -> Result<pb::ListAftersalesResponse, Fault> {
        let mut wrong = Violations::new();
        let partner = wrong.opt_id("partner_id", &request.partner_id);
        let order = wrong.opt_id("order_id", &request.order_id);
        let state: Option<pb::AftersaleState> = wrong.opt_enumeration("state", request.state);
        wrong.finish()?;
        let partner = common::readable(caller, partner)?;
        let state = state.and_then(render::aftersale_state_of);
        let words = (
            partner_word(partner.as_ref()),
            state.map_or("", AftersaleState::word),
        );
        let query = format!("{SERVICE}|{}|{}|{}", words.0, request.order_id, words.1);
        let (default, max) = (
            self.config.list_page_size_default,
            self.config.aftersale_page_size_max,
        );
        let page = Page::parse(request.page_size, &request.page_token, default, max, &query)?;
        let query = AftersaleQuery {
            partner,
            order,
            state,
            after: after_id(&page)?,
            limit: page.limit(),
        };
        let rows = self.db.read(caller, ListAftersales(query)).await?;
        let (rows, next_page_token) = page.cut(rows, |row| vec![row.id.as_str().to_owned()]);
        Ok(pb::ListAftersalesResponse {
            aftersales: rows.iter().map(render::aftersale).collect(),
            next_page_token,
        })
    }
}
