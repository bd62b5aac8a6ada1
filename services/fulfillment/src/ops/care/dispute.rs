//! How a dispute is decided, and how a case is resolved.

use std::collections::BTreeSet;

use contracts::ErrorReason;
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use super::{Seen, Which, actor, keep};
use crate::model::care::{Arbiter, Case, Decision, Outcome, OutcomeKind, Rules};
use crate::store::care::look::{Belongs, aftersale_look, return_look, shipment_look};
use crate::store::care::talk::involved;

/// Names who decides a dispute.
pub struct NameArbiter {
    /// Which case.
    pub which: Which,
    /// Who decides.
    pub arbiter: Arbiter,
    /// The most people that are looked at.
    pub involved_max: i64,
    /// Who decided on refunds and compensations of the case's order, as the order service says it.
    pub deciders: Vec<String>,
}

impl Operation for NameArbiter {
    type Output = Case;

    fn name(&self) -> &'static str {
        "case.name_arbiter"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Case, Fault> {
        let mut case = self.which.lock(tx).await?;
        let (now, actor) = (tx.now(), actor(tx.caller()));
        let mut involved = involved(tx, &case.id, self.involved_max).await?;
        approvers(tx, &case, &mut involved).await?;
        involved.extend(self.deciders.iter().map(|found| subject(found).to_owned()));
        case.name_arbiter(self.arbiter.clone(), &actor, &involved, now)?;
        keep(tx, &mut case, None).await?;
        Ok(case)
    }
}

/// Adds who approved the aftersale that the case is about.
async fn approvers(tx: &mut Tx, case: &Case, into: &mut BTreeSet<String>) -> Result<(), Fault> {
    if let Some(id) = &case.references.aftersale_id {
        let found = aftersale_look(tx, id).await?;
        let found = found.map(|found| found.decided_by).unwrap_or_default();
        into.extend(found.iter().map(|found| subject(found).to_owned()));
    }
    Ok(())
}

/// The subject of who approved something: the audit names people with their side before it.
fn subject(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, subject)| subject)
}

/// Records what the arbiter decided.
pub struct Decide {
    /// Which case.
    pub which: Which,
    /// What was decided; its time is that of the unit of work.
    pub decision: Decision,
}

impl Operation for Decide {
    type Output = Case;

    fn name(&self) -> &'static str {
        "case.decide"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Case, Fault> {
        let mut case = self.which.lock(tx).await?;
        let (now, actor) = (tx.now(), actor(tx.caller()));
        let mut decision = self.decision.clone();
        decision.time = now;
        case.decide(decision, &actor, now)?;
        keep(tx, &mut case, None).await?;
        Ok(case)
    }
}

/// An outcome as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What.
    pub kind: OutcomeKind,
    /// What it names; empty where it names nothing.
    pub what: String,
}

/// Resolves a case.
pub struct Resolve {
    /// Which case.
    pub which: Which,
    /// What came out of it.
    pub asks: Vec<Ask>,
    /// Why.
    pub reason: String,
    /// What the order service was asked for.
    pub seen: Seen,
    /// What steps obey.
    pub rules: Rules,
}

impl Operation for Resolve {
    type Output = Case;

    fn name(&self) -> &'static str {
        "case.resolve"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Case, Fault> {
        let mut case = self.which.lock(tx).await?;
        let (now, actor) = (tx.now(), actor(tx.caller()));
        let mut outcomes = Vec::with_capacity(self.asks.len());
        for ask in &self.asks {
            let mut outcome = self.look(tx, &case, ask).await?;
            outcome.link_time = now;
            outcomes.push(outcome);
        }
        case.resolve(outcomes, &actor, &self.reason, &self.rules, now)?;
        keep(tx, &mut case, None).await?;
        Ok(case)
    }
}

impl Resolve {
    /// Looks up what an outcome names, which has to belong to the case.
    async fn look(&self, tx: &mut Tx, case: &Case, ask: &Ask) -> Result<Outcome, Fault> {
        let mut outcome = Outcome {
            kind: ask.kind,
            what: ask.what.clone(),
            amount: None,
            link_time: case.create_time,
        };
        let (found, kind) = match ask.kind {
            OutcomeKind::Answered | OutcomeKind::Declined | OutcomeKind::Unanswered => {
                return Ok(outcome);
            }
            OutcomeKind::Return => (return_look(tx, &parsed(ask, "return")?).await?, "return"),
            OutcomeKind::Aftersale => (
                aftersale_look(tx, &parsed(ask, "aftersale")?).await?,
                "aftersale",
            ),
            OutcomeKind::Shipment => (
                shipment_look(tx, &parsed(ask, "shipment")?).await?,
                "shipment",
            ),
            OutcomeKind::Refund | OutcomeKind::Compensation => {
                let kind = kind_of(ask.kind);
                let told = self.seen.money.iter().find(|told| told.what == ask.what);
                let told = told.ok_or_else(|| Refusal::not_found(kind))?;
                outcome.amount = Some(told.amount);
                let found = Belongs {
                    order_id: Some(told.order_id),
                    partner_id: told.partner_id,
                    decided_by: told.deciders.clone(),
                };
                belongs(case, &found, kind)?;
                if told.is_withdrawn {
                    let message =
                        format!("Nothing is paid by this {kind}: it was taken back; link another.");
                    return Err(Refusal::wrong_state(kind, "WITHDRAWN", message).into());
                }
                (Some(found), kind)
            }
        };
        let found = found.ok_or_else(|| Refusal::not_found(kind))?;
        belongs(case, &found, kind)?;
        if found
            .decided_by
            .iter()
            .any(|who| case.is_arbiter(subject(who)))
        {
            let message =
                "The arbiter of the case decided on this outcome; link what others decided on.";
            return Err(Refusal::new(ErrorReason::SelfApproval, message).into());
        }
        Ok(outcome)
    }
}

fn parsed<I: std::str::FromStr>(ask: &Ask, kind: &str) -> Result<I, Refusal> {
    ask.what.parse().map_err(|_| Refusal::not_found(kind))
}

/// The word for what the order service has.
pub fn kind_of(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Compensation => "compensation",
        _ => "refund",
    }
}

fn belongs(case: &Case, found: &Belongs, kind: &str) -> Result<(), Refusal> {
    let of_order = case.references.order_id.is_none() || case.references.order_id == found.order_id;
    if found.partner_id == case.partner_id && of_order {
        return Ok(());
    }
    Err(Refusal::not_found(kind))
}
