//! How a case rises, and how a dispute is decided.

use std::collections::BTreeSet;

use contracts::ErrorReason;
use kit::clock::Micros;
use kit::errors::Refusal;

use super::{
    Actor, Arbiter, Case, CaseState, Change, Decision, Level, Outcome, Required, Rules, Ruling,
};

impl Case {
    /// Raises it. Targets of the new level count from now, and it is the retailer's turn.
    pub fn escalate(
        &mut self,
        level: Level,
        actor: &Actor,
        reason: &str,
        rules: &Rules,
        now: Micros,
    ) -> Result<(), Refusal> {
        self.require_open("An open case is escalated; reopen it first")?;
        if level <= self.level {
            let message = format!(
                "This case is a {} already and levels only rise; ask for a higher one.",
                self.level
            );
            return Err(
                Refusal::new(ErrorReason::LevelNotHigher, message).with("level", self.level)
            );
        }
        let (before, from) = (self.state, self.level);
        self.level = level;
        self.set_targets(rules, now);
        if self.state != CaseState::Open {
            self.retailers_turn();
        }
        self.act(Some(before), Change::Escalated, actor, now, |action| {
            action.from_level = Some(from);
            action.reason = reason.to_owned();
        });
        Ok(())
    }

    /// Names who decides. `involved` are those who acted in it for the retailer or approved what came out of it.
    pub fn name_arbiter(
        &mut self,
        arbiter: Arbiter,
        actor: &Actor,
        involved: &BTreeSet<String>,
        now: Micros,
    ) -> Result<(), Refusal> {
        self.require_undecided_dispute()?;
        let who = arbiter.subject.as_str();
        let has_part = who == actor.subject || who == self.agent || involved.contains(who);
        if !who.is_empty() && has_part {
            return Err(Refusal::new(
                ErrorReason::SelfApproval,
                "The arbiter has a part in this case already, or names themselves; name somebody who has none.",
            ));
        }
        let before = self.state;
        let why = arbiter.organisation.clone();
        self.arbiter = Some(arbiter);
        self.retailers_turn();
        self.act(Some(before), Change::ArbiterNamed, actor, now, |action| {
            action.reason = why;
        });
        Ok(())
    }

    /// Records what the arbiter decided. It binds.
    pub fn decide(
        &mut self,
        decision: Decision,
        actor: &Actor,
        now: Micros,
    ) -> Result<(), Refusal> {
        self.require_undecided_dispute()?;
        let Some(arbiter) = &self.arbiter else {
            return Err(Refusal::new(
                ErrorReason::ArbiterMissing,
                "This dispute has no arbiter yet; name one first.",
            ));
        };
        let may = if arbiter.subject.is_empty() {
            actor.is_ops && actor.subject != self.agent
        } else {
            actor.subject == arbiter.subject
        };
        if !may {
            return Err(Refusal::new(
                ErrorReason::NotTheArbiter,
                "The arbiter decides with a token of their own; for one who has none OPS records it, and not the case's agent.",
            ));
        }
        if arbiter.subject.is_empty() && decision.document.is_none() {
            return Err(Refusal::invalid(
                "decision.document",
                "must be set: the decision of an arbiter without a token is recorded with its document.",
            ));
        }
        if decision.ruling != Ruling::ForRetailer && decision.required.is_empty() {
            return Err(Refusal::invalid(
                "decision.required_outcomes",
                "must name what is to be done, because the shopper is right at least in part.",
            ));
        }
        let before = self.state;
        let ruling = decision.ruling;
        self.decision = Some(decision);
        self.retailers_turn();
        // The decision is the answer of this level.
        self.answered(now);
        self.act(Some(before), Change::Decided, actor, now, |action| {
            action.party = super::Party::Arbiter;
            action.reason = ruling.word().to_owned();
        });
        Ok(())
    }

    fn require_undecided_dispute(&self) -> Result<(), Refusal> {
        self.require_open("An open dispute has an arbiter")?;
        if self.level != Level::Dispute {
            return Err(Refusal::wrong_state(
                self.id,
                self.level,
                "Only a DISPUTE has an arbiter; escalate the case first.",
            ));
        }
        if self.decision.is_some() {
            return Err(Refusal::wrong_state(
                self.id,
                "DECIDED",
                "This dispute is decided, and the decision binds.",
            ));
        }
        Ok(())
    }

    /// Whether somebody with this subject decides it.
    pub fn is_arbiter(&self, subject: &str) -> bool {
        let arbiter = self.arbiter.as_ref();
        !subject.is_empty() && arbiter.is_some_and(|arbiter| arbiter.subject == subject)
    }

    /// Refuses to resolve a dispute without what its decision asks for.
    pub(super) fn check_decision(&self, new: &[Outcome]) -> Result<(), Refusal> {
        if self.level != Level::Dispute {
            return Ok(());
        }
        let Some(decision) = &self.decision else {
            return Err(Refusal::new(
                ErrorReason::DecisionPending,
                "This dispute is resolved once its arbiter has decided; name one, or wait for the decision.",
            ));
        };
        for required in &decision.required {
            self.check_required(required, new)?;
        }
        Ok(())
    }

    fn check_required(&self, required: &Required, new: &[Outcome]) -> Result<(), Refusal> {
        // What was linked before the decision counts as well, and each thing once.
        let mut found: Vec<&Outcome> = Vec::new();
        for outcome in self.outcomes.iter().chain(new) {
            let is_known = found.iter().any(|own| own.what == outcome.what);
            if outcome.kind == required.kind && !is_known {
                found.push(outcome);
            }
        }
        let is_met = match required.least {
            None => !found.is_empty(),
            Some(least) => {
                let amounts = found.iter().filter_map(|outcome| outcome.amount);
                let same = amounts.filter(|amount| amount.currency == least.currency);
                let sum: i128 = same.map(|amount| i128::from(amount.minor_units)).sum();
                !found.is_empty() && sum >= i128::from(least.minor_units)
            }
        };
        if is_met {
            return Ok(());
        }
        let message = format!(
            "The arbiter's decision asks for {} here; link what was done, or do it first.",
            required.kind
        );
        Err(Refusal::new(ErrorReason::OutcomeMissing, message).with("required", required.kind))
    }
}
