//! Customer care in the words of the contract.

use contracts::fulfillment::v1 as pb;
use contracts::money::Money;
use kit::clock::Micros;

use crate::model::care::{
    Action, Arbiter, Attachment, Case, CaseState, Category, Change, Decision, Level, Message,
    NextAction, Outcome, OutcomeKind, Party, Priority, References, Required, Ruling, Target, ToDo,
    Topic, Visibility,
};

both_ways! {
    /// Where a case is.
    case_state, case_state_of: CaseState = pb::CaseState {
        Open, WaitingRetailer, WaitingPartner, WaitingShopper, WaitingArbiter, Resolved, Closed
    }
}
both_ways! {
    /// How high a case has risen.
    case_level, case_level_of: Level = pb::CaseLevel { Issue, Grievance, Dispute }
}
both_ways! {
    /// How urgent a case is.
    case_priority, case_priority_of: Priority = pb::CasePriority { Low, Normal, High, Urgent }
}
both_ways! {
    /// What a case is about.
    case_category, case_category_of: Category = pb::CaseCategory {
        Delivery, Return, Refund, Payment, Quality, Counterfeit, Safety, Room, Other
    }
}
both_ways! {
    /// A side of a case.
    case_party, case_party_of: Party = pb::CaseParty { Shopper, Partner, Retailer, Arbiter, System }
}
both_ways! {
    /// Who may see a message.
    visibility, visibility_of: Visibility = pb::MessageVisibility {
        ShopperAndAll, PartnerAndRetailer, RetailerOnly
    }
}
both_ways! {
    /// What somebody is to do.
    to_do, to_do_of: ToDo = pb::CaseActionKind {
        Respond, Resolve, Answer, NameArbiter, Decide, CarryOut, AcceptOrReopen
    }
}
both_ways! {
    /// What a target is about.
    target, target_of: Target = pb::CaseTargetKind { FirstResponse, Resolution, PartnerAnswer }
}
both_ways! {
    /// What came out of a case.
    outcome_kind, outcome_kind_of: OutcomeKind = pb::CaseOutcomeKind {
        Answered, Declined, Refund, Return, Aftersale, Shipment, Compensation, Unanswered
    }
}
both_ways! {
    /// What an arbiter decided.
    ruling, ruling_of: Ruling = pb::CaseRuling { ForShopper, InPart, ForRetailer }
}
both_ways! {
    /// What happened.
    case_change, case_change_of: Change = pb::CaseChange {
        Opened, Message, Assigned, Escalated, ArbiterNamed, Decided, Resolved, Reopened, Closed, Breached, Grouped,
        Unanswered
    }
}

/// A case; its agent and topic for the retailer alone.
pub fn care_case(case: &Case, for_retailer: bool) -> pb::CareCase {
    let own = |text: String| if for_retailer { text } else { String::new() };
    let decision = case.decision.as_ref();
    let required = decision.iter().flat_map(|decision| &decision.required);
    pb::CareCase {
        case_id: case.id.into(),
        partner_id: case.partner_id.into(),
        shopper_ref: case.shopper_ref.clone(),
        category: case_category(case.category).into(),
        priority: case_priority(case.priority).into(),
        level: case_level(case.level).into(),
        state: case_state(case.state).into(),
        opened_by: case_party(case.opened_by).into(),
        references: Some(references(&case.references)),
        topic_id: own(case.topic_id.map(String::from).unwrap_or_default()),
        is_assigned: !case.agent.is_empty(),
        agent: own(case.agent.clone()),
        next_action: case.next_action().as_ref().map(next_action),
        response_due_time: Some(case.response_due.to_proto()),
        response_time: case.response_time.map(Micros::to_proto),
        resolution_due_time: Some(case.resolution_due.to_proto()),
        outcomes: case.outcomes.iter().map(outcome).collect(),
        has_arbiter: case.arbiter.is_some(),
        ruling: decision
            .map_or(pb::CaseRuling::Unspecified, |d| ruling(d.ruling))
            .into(),
        required_outcomes: required.map(required_outcome).collect(),
        reopen_count: small(case.reopen_count),
        breach_count: small(case.breach_count),
        message_count: small(case.shown_count),
        create_time: Some(case.create_time.to_proto()),
        resolve_time: case.resolve_time.map(Micros::to_proto),
        reopen_until_time: case.reopen_until.map(Micros::to_proto),
        close_time: case.close_time.map(Micros::to_proto),
        etag: case.etag(),
    }
}

fn small(count: i64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn references(found: &References) -> pb::CaseReferences {
    pb::CaseReferences {
        order_id: found.order_id.map(String::from).unwrap_or_default(),
        order_line_id: found.order_line_id.map(String::from).unwrap_or_default(),
        return_id: found.return_id.map(String::from).unwrap_or_default(),
        aftersale_id: found.aftersale_id.map(String::from).unwrap_or_default(),
        shipment_id: found.shipment_id.map(String::from).unwrap_or_default(),
        listing_id: found.listing_id.map(String::from).unwrap_or_default(),
        product_id: found.product_id.map(String::from).unwrap_or_default(),
        room_id: found.room_id.map(String::from).unwrap_or_default(),
    }
}

fn next_action(next: &NextAction) -> pb::CaseNextAction {
    pb::CaseNextAction {
        party: case_party(next.party).into(),
        action: to_do(next.to_do).into(),
        deadline: Some(next.deadline.to_proto()),
    }
}

fn outcome(found: &Outcome) -> pb::CaseOutcome {
    let mut rendered = pb::CaseOutcome {
        kind: outcome_kind(found.kind).into(),
        amount: found.amount.map(Money::to_proto),
        link_time: Some(found.link_time.to_proto()),
        ..pb::CaseOutcome::default()
    };
    let what = found.what.clone();
    match found.kind {
        OutcomeKind::Refund => rendered.refund_id = what,
        OutcomeKind::Return => rendered.return_id = what,
        OutcomeKind::Aftersale => rendered.aftersale_id = what,
        OutcomeKind::Shipment => rendered.shipment_id = what,
        OutcomeKind::Compensation => rendered.compensation_id = what,
        OutcomeKind::Answered | OutcomeKind::Declined | OutcomeKind::Unanswered => {}
    }
    rendered
}

fn required_outcome(required: &Required) -> pb::CaseRequiredOutcome {
    pb::CaseRequiredOutcome {
        kind: outcome_kind(required.kind).into(),
        least_amount: required.least.map(Money::to_proto),
    }
}

fn attachment(attachment: &Attachment) -> pb::CaseAttachment {
    pb::CaseAttachment {
        attachment_reference: attachment.reference.clone(),
        sha256_digest: attachment.digest.clone(),
        media_type: attachment.media_type.clone(),
        size_bytes: attachment.size_bytes,
    }
}

/// Who decides; the subject for the retailer alone.
pub fn arbiter(arbiter: &Arbiter, for_retailer: bool) -> pb::CaseArbiter {
    pb::CaseArbiter {
        display_name: arbiter.display_name.clone(),
        organisation: arbiter.organisation.clone(),
        subject: if for_retailer {
            arbiter.subject.clone()
        } else {
            String::new()
        },
    }
}

/// What was decided.
pub fn decision(decision: &Decision) -> pb::CaseDecision {
    pb::CaseDecision {
        ruling: ruling(decision.ruling).into(),
        required_outcomes: decision.required.iter().map(required_outcome).collect(),
        reason: decision.reason.clone(),
        document: decision.document.as_ref().map(attachment),
        decide_time: Some(decision.time.to_proto()),
    }
}

/// A message; who of the retailer wrote it for the retailer alone.
pub fn case_message(message: &Message, for_retailer: bool) -> pb::CaseMessage {
    let is_theirs = message.author == Party::Retailer && for_retailer;
    pb::CaseMessage {
        message_id: message.id.into(),
        message_number: message.number,
        author: case_party(message.author).into(),
        agent: if is_theirs {
            message.agent.clone()
        } else {
            String::new()
        },
        visibility: visibility(message.visibility).into(),
        text: message.text.clone(),
        attachments: message.attachments.iter().map(attachment).collect(),
        create_time: Some(message.time.to_proto()),
        is_forgotten: message.is_forgotten,
    }
}

/// An entry of the action log; who of the retailer it was for the retailer alone.
pub fn case_action(action: &Action, for_retailer: bool) -> pb::CaseAction {
    let is_shown = for_retailer || !matches!(action.party, Party::Retailer | Party::Arbiter);
    let message = action.message.as_ref();
    pb::CaseAction {
        action_number: action.number,
        party: case_party(action.party).into(),
        actor: if is_shown {
            action.subject.clone()
        } else {
            String::new()
        },
        change: case_change(action.change).into(),
        from_state: action
            .from_state
            .map_or(pb::CaseState::Unspecified, case_state)
            .into(),
        to_state: case_state(action.to_state).into(),
        from_level: action
            .from_level
            .map_or(pb::CaseLevel::Unspecified, case_level)
            .into(),
        to_level: case_level(action.to_level).into(),
        reason: action.reason.clone(),
        message_id: message.map_or_else(String::new, |(id, _, _)| (*id).into()),
        target: action
            .missed
            .map_or(pb::CaseTargetKind::Unspecified, |(missed, _)| {
                target(missed)
            })
            .into(),
        create_time: Some(action.time.to_proto()),
    }
}

/// What the feed tells of an action.
pub fn case_event(case: &Case, action: &Action) -> pb::CaseEvent {
    let message = action.message.as_ref();
    pb::CaseEvent {
        care_case: Some(care_case(case, false)),
        change: case_change(action.change).into(),
        message_id: message.map_or_else(String::new, |(id, _, _)| (*id).into()),
        author: message
            .map_or(pb::CaseParty::Unspecified, |(_, author, _)| {
                case_party(*author)
            })
            .into(),
        visibility: message
            .map_or(pb::MessageVisibility::Unspecified, |(_, _, seen)| {
                visibility(*seen)
            })
            .into(),
        target: action
            .missed
            .map_or(pb::CaseTargetKind::Unspecified, |(missed, _)| {
                target(missed)
            })
            .into(),
        due_time: action.missed.map(|(_, due)| due.to_proto()),
    }
}

/// A topic with how many cases it has and how many of them wait for its answer.
pub fn topic(topic: &Topic, counts: (i64, i64)) -> pb::CaseTopic {
    pb::CaseTopic {
        topic_id: topic.id.into(),
        title: topic.title.clone(),
        product_id: topic.product_id.map(String::from).unwrap_or_default(),
        room_id: topic.room_id.map(String::from).unwrap_or_default(),
        answer: topic.answer.clone(),
        answer_count: small(topic.answer_count),
        case_count: small(counts.0),
        unanswered_count: small(counts.1),
        create_time: Some(topic.create_time.to_proto()),
        etag: topic.etag(),
    }
}
