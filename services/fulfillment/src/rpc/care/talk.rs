//! Opening cases, talking in them, and whose they are.

use ::store::idempotency::Idempotent;
use contracts::fulfillment::v1 as pb;
use contracts::id::CaseMessageId;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;

use super::super::{Api, keyed, parse as requests, render};
use super::parse::{no_case, references, which};
use super::{is_retailer, parse};
use crate::model::care::{Case, Opening, Priority};
use crate::ops::care::open::OpenCase;
use crate::ops::care::queue::{Assign, TakeNext};
use crate::ops::care::talk::{Close, Escalate, PostMessage, Reopen};
use crate::ops::care::{Seen, Which};
use crate::store::care::sealed::care_owner;

const OPEN: &str = "vitrine.fulfillment.v1.CareService/OpenCase";
const POST: &str = "vitrine.fulfillment.v1.CareService/PostMessage";
const ASSIGN: &str = "vitrine.fulfillment.v1.CareService/AssignCase";
const TAKE: &str = "vitrine.fulfillment.v1.CareService/TakeNextCase";
const ESCALATE: &str = "vitrine.fulfillment.v1.CareService/EscalateCase";
const REOPEN: &str = "vitrine.fulfillment.v1.CareService/ReopenCase";
const CLOSE: &str = "vitrine.fulfillment.v1.CareService/CloseCase";

impl Api {
    pub(super) async fn open_case(
        &self,
        caller: &Caller,
        request: pb::OpenCaseRequest,
    ) -> Result<pb::OpenCaseResponse, Fault> {
        let mut wrong = Violations::new();
        let key = requests::request_id(&mut wrong, &request.request_id);
        let opening = self.opening(&mut wrong, caller, &request)?;
        wrong.finish()?;
        let opening = opening.ok_or_else(|| Refusal::not_found("partner"))?;
        let answer = self.open_with(caller, &key, &request, &opening, Seen::default());
        let answer = answer.await;
        // An order that was never paid is not known here: the order service is asked.
        let unknown = Refusal::not_found("order");
        let is_unknown = matches!(&answer, Err(Fault::Refused(refusal)) if *refusal == unknown);
        let Some(order) = opening.references.order_id.filter(|_| is_unknown) else {
            return answer;
        };
        let seen = self.see_order(&order).await?;
        self.open_with(caller, &key, &request, &opening, seen).await
    }

    async fn open_with(
        &self,
        caller: &Caller,
        key: &str,
        request: &pb::OpenCaseRequest,
        opening: &Opening,
        seen: Seen,
    ) -> Result<pb::OpenCaseResponse, Fault> {
        // The key store is asked now, and not in the transaction.
        let owner = care_owner(opening.partner_id, &opening.shopper_ref);
        self.db.keys()?.of(&owner).await?;
        let operation = OpenCase {
            opening: opening.clone(),
            seen,
            open_max: self.config.care.open_per_shopper_max.into(),
            rules: self.config.care.rules(),
        };
        let for_retailer = is_retailer(caller);
        let render = move |(case, message): &(Case, CaseMessageId)| pb::OpenCaseResponse {
            care_case: Some(render::care_case(case, for_retailer)),
            message_id: (*message).into(),
        };
        let keyed = keyed(caller, OPEN, key, request);
        let work = Idempotent::new(keyed, operation, render);
        self.db.execute(caller, work).await
    }

    fn opening(
        &self,
        wrong: &mut Violations,
        caller: &Caller,
        request: &pb::OpenCaseRequest,
    ) -> Result<Option<Opening>, Refusal> {
        let asked = wrong.opt_id("partner_id", &request.partner_id);
        let partner = requests::readable(caller, asked)?;
        if partner.is_none() && request.partner_id.is_empty() {
            wrong.add("partner_id", "must be set: say whose shopper it is about.");
        }
        let shopper_ref = wrong.text("shopper_ref", &request.shopper_ref, 1..=128);
        let category = render::case_category_of(wrong.enumeration("category", request.category));
        let priority: Option<pb::CasePriority> =
            wrong.opt_enumeration("priority", request.priority);
        let priority = priority.and_then(render::case_priority_of);
        let references = references(wrong, request.references.as_ref());
        let message = self.message_draft(wrong, caller, &request.message);
        let known = (partner, category, message);
        let (Some(partner_id), Some(category), Some(message)) = known else {
            return Ok(None);
        };
        Ok(Some(Opening {
            partner_id,
            shopper_ref,
            category,
            priority: priority.unwrap_or(Priority::Normal),
            references,
            message,
        }))
    }

    pub(super) async fn post_message(
        &self,
        caller: &Caller,
        request: pb::PostMessageRequest,
    ) -> Result<pb::PostMessageResponse, Fault> {
        let mut wrong = Violations::new();
        let key = requests::request_id(&mut wrong, &request.request_id);
        let which = which(&mut wrong, &request.case_id, &request.etag);
        let draft = self.message_draft(&mut wrong, caller, &request.message);
        let wait_for: Option<pb::CaseParty> = wrong.opt_enumeration("wait_for", request.wait_for);
        wrong.finish()?;
        let operation = PostMessage {
            which: which.ok_or_else(no_case)?.of(caller)?,
            draft: draft.ok_or_else(no_case)?,
            wait_for: wait_for.and_then(render::case_party_of),
            rules: self.config.care.rules(),
        };
        let for_retailer = is_retailer(caller);
        let render = move |(case, message): &(Case, CaseMessageId)| pb::PostMessageResponse {
            care_case: Some(render::care_case(case, for_retailer)),
            message_id: (*message).into(),
        };
        let keyed = keyed(caller, POST, &key, &request);
        let work = Idempotent::new(keyed, operation, render);
        self.db.execute(caller, work).await
    }

    pub(super) async fn assign_case(
        &self,
        caller: &Caller,
        request: pb::AssignCaseRequest,
    ) -> Result<pb::AssignCaseResponse, Fault> {
        let mut wrong = Violations::new();
        let key = requests::request_id(&mut wrong, &request.request_id);
        let which = which(&mut wrong, &request.case_id, &request.etag);
        let agent = wrong.opt_text("agent", &request.agent, 1..=120);
        let reason = wrong.long_text("reason", &request.reason, 0..=500);
        wrong.finish()?;
        let operation = Assign {
            which: which.ok_or_else(no_case)?.of(caller)?,
            agent: agent.unwrap_or_default(),
            reason,
        };
        let keyed = keyed(caller, ASSIGN, &key, &request);
        let work = Idempotent::new(keyed, operation, |case: &Case| pb::AssignCaseResponse {
            care_case: Some(render::care_case(case, true)),
        });
        self.db.execute(caller, work).await
    }

    pub(super) async fn take_next_case(
        &self,
        caller: &Caller,
        request: pb::TakeNextCaseRequest,
    ) -> Result<pb::TakeNextCaseResponse, Fault> {
        let mut wrong = Violations::new();
        let key = requests::request_id(&mut wrong, &request.request_id);
        let level: Option<pb::CaseLevel> = wrong.opt_enumeration("level", request.level);
        wrong.finish()?;
        let operation = TakeNext {
            level: level.and_then(render::case_level_of),
            open_max: self.config.care.open_per_agent_max.into(),
            looks_max: self.config.care.queue_looks_max,
        };
        let keyed = keyed(caller, TAKE, &key, &request);
        let render = |case: &Option<Case>| pb::TakeNextCaseResponse {
            care_case: case.as_ref().map(|case| render::care_case(case, true)),
        };
        let work = Idempotent::new(keyed, operation, render);
        self.db.execute(caller, work).await
    }

    pub(super) async fn escalate_case(
        &self,
        caller: &Caller,
        request: pb::EscalateCaseRequest,
    ) -> Result<pb::EscalateCaseResponse, Fault> {
        let mut wrong = Violations::new();
        let key = requests::request_id(&mut wrong, &request.request_id);
        let which = which(&mut wrong, &request.case_id, &request.etag);
        let level = render::case_level_of(wrong.enumeration("level", request.level));
        let reason = wrong.long_text("reason", &request.reason, 1..=500);
        wrong.finish()?;
        let operation = Escalate {
            which: which.ok_or_else(no_case)?.of(caller)?,
            level: level.ok_or_else(no_case)?,
            reason,
            rules: self.config.care.rules(),
        };
        let for_retailer = is_retailer(caller);
        let keyed = keyed(caller, ESCALATE, &key, &request);
        let render = move |case: &Case| pb::EscalateCaseResponse {
            care_case: Some(render::care_case(case, for_retailer)),
        };
        let work = Idempotent::new(keyed, operation, render);
        self.db.execute(caller, work).await
    }

    pub(super) async fn reopen_case(
        &self,
        caller: &Caller,
        request: pb::ReopenCaseRequest,
    ) -> Result<pb::ReopenCaseResponse, Fault> {
        let said = [&request.request_id, &request.case_id, &request.etag];
        let (key, which, reason) = words(caller, said, &request.reason, 1)?;
        let operation = Reopen {
            which,
            reason,
            rules: self.config.care.rules(),
        };
        let for_retailer = is_retailer(caller);
        let keyed = keyed(caller, REOPEN, &key, &request);
        let render = move |case: &Case| pb::ReopenCaseResponse {
            care_case: Some(render::care_case(case, for_retailer)),
        };
        let work = Idempotent::new(keyed, operation, render);
        self.db.execute(caller, work).await
    }

    pub(super) async fn close_case(
        &self,
        caller: &Caller,
        request: pb::CloseCaseRequest,
    ) -> Result<pb::CloseCaseResponse, Fault> {
        let said = [&request.request_id, &request.case_id, &request.etag];
        let (key, which, reason) = words(caller, said, &request.reason, 0)?;
        let operation = Close { which, reason };
        let for_retailer = is_retailer(caller);
        let keyed = keyed(caller, CLOSE, &key, &request);
        let render = move |case: &Case| pb::CloseCaseResponse {
            care_case: Some(render::care_case(case, for_retailer)),
        };
        let work = Idempotent::new(keyed, operation, render);
        self.db.execute(caller, work).await
    }
}

/// The key, the case and the reason of a step that is nothing but these.
fn words(
    caller: &Caller,
    [request_id, case_id, etag]: [&String; 3],
    reason: &str,
    at_least: usize,
) -> Result<(String, Which, String), Refusal> {
    let mut wrong = Violations::new();
    let key = requests::request_id(&mut wrong, request_id);
    let which = parse::which(&mut wrong, case_id, etag);
    let reason = wrong.long_text("reason", reason, at_least..=500);
    wrong.finish()?;
    Ok((key, which.ok_or_else(no_case)?.of(caller)?, reason))
}
