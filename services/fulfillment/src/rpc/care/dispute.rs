//! Arbiters, decisions and resolutions.

use ::store::idempotency::Idempotent;
use contracts::fulfillment::v1 as pb;
use kit::caller::Caller;
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;

use super::super::{Api, keyed, parse as requests, render};
use super::parse::{attachment, no_case, which};
use crate::model::care::{Arbiter, Case, Decision, OutcomeKind, Required};
use crate::ops::care::dispute::{Ask, Decide, NameArbiter, Resolve, kind_of};
use crate::ops::care::read::GetCase;
use crate::ops::care::{Seen, Which};

const NAME: &str = "vitrine.fulfillment.v1.CareService/NameArbiter";
const DECIDE: &str = "vitrine.fulfillment.v1.CareService/DecideDispute";
const RESOLVE: &str = "vitrine.fulfillment.v1.CareService/ResolveCase";

impl Api {
    pub(super) async fn name_arbiter(
        &self,
        caller: &Caller,
        request: pb::NameArbiterRequest,
    ) -> Result<pb::NameArbiterResponse, Fault> {
        let mut wrong = Violations::new();
        let key = requests::request_id(&mut wrong, &request.request_id);
        let which = which(&mut wrong, &request.case_id, &request.etag);
        let arbiter = wrong.required("arbiter", &request.arbiter).cloned();
        let arbiter = arbiter.map(|said| {
            let mut wrong = wrong.nested("arbiter");
            Arbiter {
                display_name: wrong.text("display_name", &said.display_name, 1..=120),
                organisation: wrong.text("organisation", &said.organisation, 1..=120),
                subject: wrong
                    .opt_text("subject", &said.subject, 1..=120)
                    .unwrap_or_default(),
            }
        });
        wrong.finish()?;
        let which = which.ok_or_else(no_case)?.of(caller)?;
        let operation = NameArbiter {
            deciders: self.deciders(caller, &which).await?,
            which,
            arbiter: arbiter.ok_or_else(no_case)?,
            involved_max: self.config.care.involved_max.into(),
        };
        let keyed = keyed(caller, NAME, &key, &request);
        let work = Idempotent::new(keyed, operation, |case: &Case| pb::NameArbiterResponse {
            care_case: Some(render::care_case(case, true)),
        });
        self.db.execute(caller, work).await
    }

    /// Who decided on money of the case's order; money is the order service's, so that is asked.
    async fn deciders(&self, caller: &Caller, which: &Which) -> Result<Vec<String>, Fault> {
        let get = GetCase {
            id: which.case_id,
            partner: which.partner,
        };
        let case = self.db.read(caller, get).await?;
        let Some(order_id) = &case.references.order_id else {
            return Ok(Vec::new());
        };
        let told = self.see_deciders(order_id).await?;
        let told = told.into_iter();
        Ok(told
            .flat_map(|told| [told.proposer, told.decider])
            .collect())
    }

    pub(super) async fn decide_dispute(
        &self,
        caller: &Caller,
        request: pb::DecideDisputeRequest,
    ) -> Result<pb::DecideDisputeResponse, Fault> {
        let mut wrong = Violations::new();
        let key = requests::request_id(&mut wrong, &request.request_id);
        let which = which(&mut wrong, &request.case_id, &request.etag);
        let decision = self.decision(&mut wrong, &request.decision);
        wrong.finish()?;
        let operation = Decide {
            which: which.ok_or_else(no_case)?.of(caller)?,
            decision: decision.ok_or_else(no_case)?,
        };
        let keyed = keyed(caller, DECIDE, &key, &request);
        let work = Idempotent::new(keyed, operation, |case: &Case| pb::DecideDisputeResponse {
            care_case: Some(render::care_case(case, true)),
        });
        self.db.execute(caller, work).await
    }

    fn decision(
        &self,
        wrong: &mut Violations,
        said: &Option<pb::CaseDecision>,
    ) -> Option<Decision> {
        let said = wrong.required("decision", said)?;
        let mut wrong = wrong.nested("decision");
        let ruling = render::ruling_of(wrong.enumeration("ruling", said.ruling));
        let reason = wrong.long_text("reason", &said.reason, 1..=2_000);
        let document = said.document.as_ref().map(|document| {
            let mut wrong = wrong.nested("document");
            attachment(&mut wrong, document)
        });
        let mut required = Vec::new();
        let most = self.config.care.outcomes_max;
        if wrong.items("required_outcomes", &said.required_outcomes, 0..=most) {
            for (at, said) in said.required_outcomes.iter().enumerate() {
                let mut wrong = wrong.nested(format_args!("required_outcomes[{at}]"));
                required.extend(required_outcome(&mut wrong, said));
            }
        }
        Some(Decision {
            ruling: ruling?,
            required,
            reason,
            document,
            // That of the unit of work.
            time: Micros(0),
        })
    }

    pub(super) async fn resolve_case(
        &self,
        caller: &Caller,
        request: pb::ResolveCaseRequest,
    ) -> Result<pb::ResolveCaseResponse, Fault> {
        let mut wrong = Violations::new();
        let key = requests::request_id(&mut wrong, &request.request_id);
        let which = which(&mut wrong, &request.case_id, &request.etag);
        let asks = self.asks(&mut wrong, &request.outcomes);
        let reason = wrong.long_text("reason", &request.reason, 1..=500);
        wrong.finish()?;
        let which = which.ok_or_else(no_case)?.of(caller)?;
        let resolve = |seen: Seen| Resolve {
            which: which.clone(),
            asks: asks.clone(),
            reason: reason.clone(),
            seen,
            rules: self.config.care.rules(),
        };
        let done = self.resolve_with(caller, &key, &request, resolve(Seen::default()));
        let done = done.await;
        // Money is the order service's: it is asked for what is named, and only once that is missed.
        let is_missed = asks.iter().any(|ask| {
            let missed = Refusal::not_found(kind_of(ask.kind));
            let is_money = matches!(ask.kind, OutcomeKind::Refund | OutcomeKind::Compensation);
            is_money && matches!(&done, Err(Fault::Refused(refusal)) if *refusal == missed)
        });
        if !is_missed {
            return done;
        }
        let seen = self.seen_money(caller, &which, &asks).await?;
        self.resolve_with(caller, &key, &request, resolve(seen))
            .await
    }

    async fn resolve_with(
        &self,
        caller: &Caller,
        key: &str,
        request: &pb::ResolveCaseRequest,
        operation: Resolve,
    ) -> Result<pb::ResolveCaseResponse, Fault> {
        let keyed = keyed(caller, RESOLVE, key, request);
        let work = Idempotent::new(keyed, operation, |case: &Case| pb::ResolveCaseResponse {
            care_case: Some(render::care_case(case, true)),
        });
        self.db.execute(caller, work).await
    }

    async fn seen_money(
        &self,
        caller: &Caller,
        which: &Which,
        asks: &[Ask],
    ) -> Result<Seen, Fault> {
        let get = GetCase {
            id: which.case_id,
            partner: which.partner,
        };
        let case = self.db.read(caller, get).await?;
        let mut seen = Seen::default();
        for ask in asks {
            let found = match ask.kind {
                OutcomeKind::Refund => self.see_refund(&case, &ask.what).await?,
                OutcomeKind::Compensation => self.see_compensation(&case, &ask.what).await?,
                _ => None,
            };
            seen.money.extend(found);
        }
        if case.arbiter.is_some() {
            self.see_who_decided(&mut seen).await?;
        }
        Ok(seen)
    }

    fn asks(&self, wrong: &mut Violations, outcomes: &[pb::CaseOutcome]) -> Vec<Ask> {
        // That there is none is a refusal of its own.
        let most = self.config.care.outcomes_max;
        let mut asks: Vec<Ask> = Vec::new();
        if !wrong.items("outcomes", outcomes, 0..=most) {
            return asks;
        }
        for (at, said) in outcomes.iter().enumerate() {
            let mut wrong = wrong.nested(format_args!("outcomes[{at}]"));
            let Some(ask) = ask(&mut wrong, said) else {
                continue;
            };
            if asks.contains(&ask) {
                wrong.add("kind", "names what an earlier item names; name each once.");
            }
            asks.push(ask);
        }
        asks
    }
}

fn ask(wrong: &mut Violations, said: &pb::CaseOutcome) -> Option<Ask> {
    let kind = render::outcome_kind_of(wrong.enumeration("kind", said.kind))?;
    let fields = [
        ("refund_id", &said.refund_id, OutcomeKind::Refund),
        ("return_id", &said.return_id, OutcomeKind::Return),
        ("aftersale_id", &said.aftersale_id, OutcomeKind::Aftersale),
        ("shipment_id", &said.shipment_id, OutcomeKind::Shipment),
        (
            "compensation_id",
            &said.compensation_id,
            OutcomeKind::Compensation,
        ),
    ];
    if kind == OutcomeKind::Unanswered {
        wrong.add("kind", "is what only time says; name another.");
    }
    for (field, value, of) in &fields {
        if *of != kind && !value.is_empty() {
            wrong.add(field, format!("must be empty: it belongs to {of}."));
        }
    }
    let what = match kind {
        OutcomeKind::Refund => {
            id(wrong.id::<contracts::id::RefundId>("refund_id", &said.refund_id))
        }
        OutcomeKind::Return => {
            id(wrong.id::<contracts::id::ReturnId>("return_id", &said.return_id))
        }
        OutcomeKind::Aftersale => {
            id(wrong.id::<contracts::id::AftersaleId>("aftersale_id", &said.aftersale_id))
        }
        OutcomeKind::Shipment => {
            id(wrong.id::<contracts::id::ShipmentId>("shipment_id", &said.shipment_id))
        }
        OutcomeKind::Compensation => {
            let field = &said.compensation_id;
            id(wrong.id::<contracts::id::CompensationId>("compensation_id", field))
        }
        OutcomeKind::Answered | OutcomeKind::Declined | OutcomeKind::Unanswered => {
            Some(String::new())
        }
    };
    Some(Ask { kind, what: what? })
}

fn id<I: Into<String>>(found: Option<I>) -> Option<String> {
    found.map(Into::into)
}

fn required_outcome(wrong: &mut Violations, said: &pb::CaseRequiredOutcome) -> Option<Required> {
    let kind = render::outcome_kind_of(wrong.enumeration("kind", said.kind))?;
    if kind == OutcomeKind::Unanswered {
        wrong.add("kind", "is what only time says; name another.");
    }
    let least = match &said.least_amount {
        None => None,
        amount => wrong.money("least_amount", amount),
    };
    if least.is_some() && !matches!(kind, OutcomeKind::Refund | OutcomeKind::Compensation) {
        wrong.add("least_amount", "is for REFUND and COMPENSATION only.");
    }
    Some(Required { kind, least })
}
