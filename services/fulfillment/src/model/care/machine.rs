//! The steps of a case but those of a dispute and of time. Each checks everything before it changes anything.

use std::collections::BTreeMap;

use contracts::ErrorReason;
use contracts::id::{CaseId, CaseMessageId, PartnerId, TopicId};
use kit::clock::Micros;
use kit::errors::Refusal;

use super::{
    Action, Actor, Attachment, Case, CaseState, Category, Change, Level, Message, Outcome,
    OutcomeKind, Party, Priority, References, Rules, Timer, Visibility,
};

/// A message as it is posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Who says it.
    pub author: Party,
    /// Who may see it.
    pub visibility: Visibility,
    /// What it says.
    pub text: String,
    /// What shows it.
    pub attachments: Vec<Attachment>,
}

/// A case as it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Whose shopper it is about.
    pub partner_id: PartnerId,
    /// The shopper.
    pub shopper_ref: String,
    /// What it is about.
    pub category: Category,
    /// How urgent it is.
    pub priority: Priority,
    /// What it names.
    pub references: References,
    /// The first message.
    pub message: Draft,
}

impl Case {
    /// Opens a case `now` with its first message.
    pub fn open(
        ids: (CaseId, CaseMessageId),
        opening: Opening,
        actor: &Actor,
        rules: &Rules,
        now: Micros,
    ) -> Result<(Case, Message), Refusal> {
        check_draft(&opening.message, actor)?;
        if actor.party != Party::Retailer && opening.priority == Priority::Urgent {
            return Err(Refusal::invalid(
                "priority",
                "may be LOW, NORMAL or HIGH; what is urgent the retailer decides.",
            ));
        }
        let targets = rules.targets(opening.priority, Level::Issue);
        let mut case = Case {
            id: ids.0,
            partner_id: opening.partner_id,
            shopper_ref: opening.shopper_ref,
            category: opening.category,
            priority: opening.priority,
            level: Level::Issue,
            state: CaseState::Open,
            opened_by: opening.message.author,
            references: opening.references,
            topic_id: None,
            topic_answer: 0,
            agent: String::new(),
            response_due: now.plus(targets.response),
            response_time: None,
            resolution_due: now.plus(targets.resolution),
            wait_until: None,
            outcomes: Vec::new(),
            arbiter: None,
            decision: None,
            reopen_count: 0,
            breach_count: 0,
            message_count: 0,
            shown_count: 0,
            action_count: 0,
            create_time: now,
            resolve_time: None,
            reopen_until: None,
            close_time: None,
            timers: BTreeMap::new(),
            log: Vec::new(),
            version: 0,
        };
        case.set_targets(rules, now);
        let message = case.add(ids.1, opening.message, actor, now);
        case.turn_after(&message, None, rules, now);
        let seen = Some((message.id, message.author, message.visibility));
        case.act(None, Change::Opened, actor, now, |action| {
            action.message = seen;
            action.is_private = message.visibility == Visibility::RetailerOnly;
        });
        Ok((case, message))
    }

    /// Adds a message; `wait_for` says whose turn it is after one of the retailer.
    pub fn post(
        &mut self,
        id: CaseMessageId,
        draft: Draft,
        wait_for: Option<Party>,
        by: (&Actor, &Rules),
        now: Micros,
    ) -> Result<Message, Refusal> {
        let (actor, rules) = by;
        self.require_not_closed()?;
        check_draft(&draft, actor)?;
        if self.is_arbiter(&actor.subject) {
            return Err(Refusal::new(
                ErrorReason::SelfApproval,
                "The arbiter of a case does not speak for the retailer in it; the decision is what they say.",
            ));
        }
        check_wait_for(&draft, wait_for)?;
        if self.message_count >= rules.messages_max {
            let message = format!(
                "This case has {} messages, the most that are kept; resolve it, or open another.",
                rules.messages_max
            );
            return Err(Refusal::wrong_state(self.id, "MOST_MESSAGES", message));
        }
        let before = self.state;
        let message = self.add(id, draft, actor, now);
        self.turn_after(&message, wait_for, rules, now);
        self.told(before, &message, actor, now);
        Ok(message)
    }

    /// Writes the message into the log.
    pub(super) fn told(
        &mut self,
        before: CaseState,
        message: &Message,
        actor: &Actor,
        now: Micros,
    ) {
        let seen = Some((message.id, message.author, message.visibility));
        self.act(Some(before), Change::Message, actor, now, |action| {
            action.message = seen;
            action.is_private = message.visibility == Visibility::RetailerOnly;
        });
    }

    /// Takes the message in; whose turn it is stays.
    pub(super) fn add(
        &mut self,
        id: CaseMessageId,
        draft: Draft,
        actor: &Actor,
        now: Micros,
    ) -> Message {
        self.message_count += 1;
        if draft.visibility != Visibility::RetailerOnly {
            self.shown_count += 1;
        }
        Message {
            id,
            number: self.message_count,
            author: draft.author,
            agent: actor.subject.clone(),
            visibility: draft.visibility,
            text: draft.text,
            attachments: draft.attachments,
            time: now,
            is_forgotten: false,
        }
    }

    fn turn_after(
        &mut self,
        message: &Message,
        wait_for: Option<Party>,
        rules: &Rules,
        now: Micros,
    ) {
        if !self.is_open() || message.visibility == Visibility::RetailerOnly {
            return;
        }
        if message.author != Party::Retailer {
            // A new case stays new until somebody of the retailer has answered.
            if self.state != CaseState::Open {
                self.retailers_turn();
            }
            return;
        }
        self.answered(now);
        if self.state == CaseState::WaitingArbiter {
            return;
        }
        let to = wait_for.unwrap_or(match message.visibility {
            Visibility::ShopperAndAll => Party::Shopper,
            Visibility::PartnerAndRetailer | Visibility::RetailerOnly => Party::Partner,
        });
        let (state, wait) = match to {
            Party::Shopper => (CaseState::WaitingShopper, rules.shopper_wait),
            Party::Partner => (CaseState::WaitingPartner, rules.partner_wait),
            Party::Retailer | Party::Arbiter | Party::System => return self.retailers_turn(),
        };
        let until = now.plus(wait);
        self.state = state;
        self.wait_until = Some(until);
        self.timers.insert(Timer::Wait, until);
    }

    /// The retailer has answered at this level.
    pub(super) fn answered(&mut self, now: Micros) {
        if self.response_time.is_none() {
            self.response_time = Some(now);
            self.timers.remove(&Timer::Response);
        }
    }

    /// It is the retailer's turn, or that of an arbiter who has not decided yet.
    pub(super) fn retailers_turn(&mut self) {
        self.state = if self.arbiter.is_some() && self.decision.is_none() {
            CaseState::WaitingArbiter
        } else {
            CaseState::WaitingRetailer
        };
        self.wait_until = None;
        self.timers.remove(&Timer::Wait);
    }

    /// Targets of the level count from now.
    pub(super) fn set_targets(&mut self, rules: &Rules, now: Micros) {
        let targets = rules.targets(self.priority, self.level);
        self.response_time = None;
        self.response_due = now.plus(targets.response);
        self.resolution_due = now.plus(targets.resolution);
        self.timers.insert(Timer::Response, self.response_due);
        self.timers.insert(Timer::Resolution, self.resolution_due);
    }

    /// Gives it to an agent, or to none.
    pub fn assign(
        &mut self,
        agent: &str,
        actor: &Actor,
        reason: &str,
        now: Micros,
    ) -> Result<(), Refusal> {
        self.require_open("A resolved case has no agent to give it to; reopen it first")?;
        if !agent.is_empty() && self.is_arbiter(agent) {
            return Err(Refusal::new(
                ErrorReason::SelfApproval,
                "This agent is the arbiter of the case; give it to somebody else.",
            ));
        }
        if self.agent == agent {
            return Ok(());
        }
        self.agent = agent.to_owned();
        self.act(Some(self.state), Change::Assigned, actor, now, |action| {
            action.reason = reason.to_owned();
            action.is_private = true;
        });
        Ok(())
    }

    /// Resolves it with outcomes that were looked up.
    pub fn resolve(
        &mut self,
        outcomes: Vec<Outcome>,
        actor: &Actor,
        reason: &str,
        rules: &Rules,
        now: Micros,
    ) -> Result<(), Refusal> {
        self.require_open("A case is resolved once; reopen it first")?;
        if outcomes.is_empty() {
            return Err(Refusal::new(
                ErrorReason::OutcomeMissing,
                "A case is resolved with an outcome; name what was done, or ANSWERED or DECLINED.",
            )
            .with("required", "any"));
        }
        if self.is_arbiter(&actor.subject) {
            return Err(Refusal::new(
                ErrorReason::SelfApproval,
                "The arbiter of a case does not resolve it; somebody else carries the decision out.",
            ));
        }
        self.check_decision(&outcomes)?;
        let before = self.state;
        for outcome in outcomes {
            let is_there = |own: &Outcome| own.kind == outcome.kind && own.what == outcome.what;
            if outcome.what.is_empty() || !self.outcomes.iter().any(is_there) {
                self.outcomes.push(outcome);
            }
        }
        self.resolved(rules, now);
        self.act(Some(before), Change::Resolved, actor, now, |action| {
            action.reason = reason.to_owned();
        });
        Ok(())
    }

    pub(super) fn resolved(&mut self, rules: &Rules, now: Micros) {
        let until = now.plus(rules.reopen_window);
        self.state = CaseState::Resolved;
        self.resolve_time = Some(now);
        self.reopen_until = Some(until);
        self.wait_until = None;
        self.timers = BTreeMap::from([(Timer::Close, until)]);
    }

    /// Opens it again.
    pub fn reopen(
        &mut self,
        actor: &Actor,
        reason: &str,
        rules: &Rules,
        now: Micros,
    ) -> Result<(), Refusal> {
        self.require_resolved("Only a resolved case is reopened; this one is open")?;
        if self.decision.is_some() {
            return Err(Refusal::wrong_state(
                self.id,
                "DECIDED",
                "An arbiter has decided this dispute, and the decision binds; open another case.",
            ));
        }
        if self.reopen_until.is_some_and(|until| until <= now) {
            return Err(Refusal::new(
                ErrorReason::OutsideWindow,
                "The time in which this case could be reopened is over; open another case.",
            ));
        }
        if self.reopen_count >= rules.reopens_max {
            let message = format!(
                "This case was reopened {} times, as often as may be; open another case.",
                self.reopen_count
            );
            return Err(Refusal::wrong_state(self.id, "MOST_REOPENS", message));
        }
        let before = self.state;
        self.reopen_count += 1;
        self.resolve_time = None;
        self.reopen_until = None;
        self.timers.clear();
        self.set_targets(rules, now);
        self.retailers_turn();
        self.act(Some(before), Change::Reopened, actor, now, |action| {
            action.reason = reason.to_owned();
        });
        Ok(())
    }

    /// Closes it for good.
    pub fn close(&mut self, actor: &Actor, reason: &str, now: Micros) -> Result<(), Refusal> {
        self.require_resolved("Only a resolved case is closed; resolve it first")?;
        let before = self.state;
        self.state = CaseState::Closed;
        self.close_time = Some(now);
        self.timers.clear();
        self.act(Some(before), Change::Closed, actor, now, |action| {
            action.reason = reason.to_owned();
        });
        Ok(())
    }

    /// Puts it under a topic.
    pub fn group(&mut self, topic: TopicId, actor: &Actor, now: Micros) -> Result<(), Refusal> {
        self.require_not_closed()?;
        if self.topic_id == Some(topic) {
            return Ok(());
        }
        self.topic_id = Some(topic);
        self.topic_answer = 0;
        self.act(Some(self.state), Change::Grouped, actor, now, |action| {
            action.is_private = true;
        });
        Ok(())
    }

    /// Adds to the log what has just happened; `from` is the state before.
    pub(super) fn act(
        &mut self,
        from: Option<CaseState>,
        change: Change,
        actor: &Actor,
        now: Micros,
        more: impl FnOnce(&mut Action),
    ) {
        self.action_count += 1;
        let mut action = Action {
            number: self.action_count,
            party: actor.party,
            subject: actor.subject.clone(),
            change,
            from_state: from,
            to_state: self.state,
            from_level: from.map(|_| self.level),
            to_level: self.level,
            reason: String::new(),
            message: None,
            missed: None,
            time: now,
            is_private: false,
        };
        more(&mut action);
        self.log.push(action);
    }

    /// Refuses what is based on another version.
    pub fn require_etag(&self, etag: Option<&str>) -> Result<(), Refusal> {
        if etag.is_none_or(|etag| etag == self.etag()) {
            return Ok(());
        }
        Err(Refusal::new(
            ErrorReason::EtagMismatch,
            "The case was changed since it was read; read it again and decide anew.",
        ))
    }

    /// Refuses whatever is asked of a closed case.
    pub fn require_not_closed(&self) -> Result<(), Refusal> {
        if self.state != CaseState::Closed {
            return Ok(());
        }
        Err(Refusal::new(
            ErrorReason::CaseClosed,
            "This case is closed for good and nothing was changed; open another case.",
        )
        .because("STATE", self.id, self.state.to_string())
        .with("case_id", self.id))
    }

    pub(super) fn require_open(&self, why: &str) -> Result<(), Refusal> {
        self.require_not_closed()?;
        if self.is_open() {
            return Ok(());
        }
        let message = format!("{why}: this one is {}.", self.state);
        Err(Refusal::wrong_state(self.id, self.state, message))
    }

    fn require_resolved(&self, why: &str) -> Result<(), Refusal> {
        self.require_not_closed()?;
        if self.state == CaseState::Resolved {
            return Ok(());
        }
        let message = format!("{why}: it is {}.", self.state);
        Err(Refusal::wrong_state(self.id, self.state, message))
    }
}

/// Outcomes that only time gives.
pub(super) fn unanswered(now: Micros) -> Outcome {
    Outcome {
        kind: OutcomeKind::Unanswered,
        what: String::new(),
        amount: None,
        link_time: now,
    }
}

fn check_draft(draft: &Draft, actor: &Actor) -> Result<(), Refusal> {
    let speaks = match actor.party {
        Party::Retailer => draft.author == Party::Retailer,
        Party::Partner => matches!(draft.author, Party::Partner | Party::Shopper),
        Party::Shopper | Party::Arbiter | Party::System => false,
    };
    if !speaks {
        return Err(Refusal::invalid(
            "message.author",
            "must be SHOPPER or PARTNER for a partner, and RETAILER for the retailer.",
        ));
    }
    let shows = match draft.author {
        Party::Shopper => draft.visibility == Visibility::ShopperAndAll,
        Party::Partner => draft.visibility != Visibility::RetailerOnly,
        Party::Retailer | Party::Arbiter | Party::System => true,
    };
    if !shows {
        return Err(Refusal::invalid(
            "message.visibility",
            "must be SHOPPER_AND_ALL for a shopper's words, and for a partner's that or PARTNER_AND_RETAILER.",
        ));
    }
    Ok(())
}

fn check_wait_for(draft: &Draft, wait_for: Option<Party>) -> Result<(), Refusal> {
    let Some(party) = wait_for else {
        return Ok(());
    };
    let fits = draft.author == Party::Retailer
        && match (party, draft.visibility) {
            (_, Visibility::RetailerOnly) => false,
            (Party::Shopper, visibility) => visibility == Visibility::ShopperAndAll,
            (Party::Partner | Party::Retailer, _) => true,
            (Party::Arbiter | Party::System, _) => false,
        };
    if fits {
        return Ok(());
    }
    Err(Refusal::invalid(
        "wait_for",
        "must be SHOPPER, PARTNER or RETAILER, for a message of the retailer that this party may see; leave it out otherwise.",
    ))
}
