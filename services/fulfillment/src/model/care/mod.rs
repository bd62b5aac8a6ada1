//! Customer care: a conversation about something that is not as it should be, until it is.
//!
//! ```text
//!            first answer           its turn            answered, or silent (partner)
//! OPEN ──────────────▶ WAITING_SHOPPER | WAITING_PARTNER ⇄ WAITING_RETAILER ◀── decided ── WAITING_ARBITER
//!   │                        │ silent                        │        └── arbiter named (DISPUTE) ──▲
//!   └── resolved ────────────┴───────────▶ RESOLVED ◀────────┘
//!                                           │    └── reopened in time ──▶ WAITING_RETAILER
//!                                           └── content, or its time is over ──▶ CLOSED
//!
//! ISSUE ──▶ GRIEVANCE ──▶ DISPUTE (a level may be left out, and none is ever gone back)
//! ```
//!
//! Invariants; the model's tests prove them, and most are CHECKs as well:
//!
//! 1. Nothing changes about a CLOSED case, whatever is asked: CASE_CLOSED, and no timer is left.
//! 2. A level never falls. Each level has targets of its own, which count from the moment it was reached.
//! 3. Every case that is not CLOSED has a next action with a deadline, and a timer that does something then: no
//!    case can be forgotten.
//! 4. A timer is armed by a step and taken away by the step or the sweep that ends it, under the lock of the
//!    case's row: it fires once or never. Timers that are due together fire in the order of their time, as they
//!    would have had somebody looked at each moment; so a leap of the clock loses none and fires none twice.
//! 5. A target is missed at most once for each time it was set: the timer of the target is gone with it.
//! 6. A case is resolved with an outcome. A dispute is resolved only by its arbiter's decision, and only with
//!    what that asks for. The arbiter has no other part in the case: neither agent, nor who named them, nor who
//!    approved what comes out of it, nor who resolves it.
//! 7. A case has one agent at most, and of agents who take the next case at the same moment no two get the same.
//! 8. Whatever happens stands in the action log, numbered without a gap; the log is only ever added to.
//! 9. What a note says, who the agent is, and what a case is grouped under, no partner learns.
//!
//! Failure cases: a lost answer is asked for again with the same key; an agent who disappears leaves a case whose
//! targets go on counting and which OPS gives to another; a silent shopper ends a case as UNANSWERED (which may
//! be reopened), never a dispute; a silent partner gives the turn back to the retailer; a silent arbiter or
//! retailer misses a target, which is told; the order service being away keeps nobody from talking: only what has
//! to be looked up there (an order that was never paid, a refund as an outcome) waits for it.
//!
//! Targets do not stop while it is another's turn: a partner whose shopper waits sees one clock.

mod dispute;
mod machine;
mod timers;
mod topic;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::id::{
    AftersaleId, CaseId, CaseMessageId, ListingId, OrderId, OrderLineId, PartnerId, ProductId,
    ReturnId, RoomId, ShipmentId, TopicId,
};
use contracts::money::Money;
use kit::clock::Micros;

use super::words::words;

pub use machine::{Draft, Opening};
pub use topic::Topic;

words! {
    /// Where a case is.
    CaseState {
        /// New.
        Open = "OPEN",
        /// It is the retailer's turn.
        WaitingRetailer = "WAITING_RETAILER",
        /// It is the partner's turn.
        WaitingPartner = "WAITING_PARTNER",
        /// It is the shopper's turn.
        WaitingShopper = "WAITING_SHOPPER",
        /// It is the arbiter's turn.
        WaitingArbiter = "WAITING_ARBITER",
        /// Resolved; may be reopened.
        Resolved = "RESOLVED",
        /// Over for good.
        Closed = "CLOSED",
    }
}
words! {
    /// How high a case has risen.
    Level {
        /// As it begins.
        Issue = "ISSUE",
        /// The shopper is not content.
        Grievance = "GRIEVANCE",
        /// An arbiter decides.
        Dispute = "DISPUTE",
    }
}
words! {
    /// How urgent a case is.
    Priority {
        /// May wait.
        Low = "LOW",
        /// As most.
        Normal = "NORMAL",
        /// Before most.
        High = "HIGH",
        /// Safety, or many people at once.
        Urgent = "URGENT",
    }
}
words! {
    /// What a case is about.
    Category {
        /// Where an order is.
        Delivery = "DELIVERY",
        /// Sending something back.
        Return = "RETURN",
        /// Money that should go back.
        Refund = "REFUND",
        /// Money that was charged.
        Payment = "PAYMENT",
        /// Not as it should be.
        Quality = "QUALITY",
        /// Said not to be genuine.
        Counterfeit = "COUNTERFEIT",
        /// Said to be dangerous.
        Safety = "SAFETY",
        /// What was said or shown in a room.
        Room = "ROOM",
        /// None of these.
        Other = "OTHER",
    }
}
words! {
    /// A side of a case.
    Party {
        /// Speaks through the partner.
        Shopper = "SHOPPER",
        /// The partner.
        Partner = "PARTNER",
        /// The retailer.
        Retailer = "RETAILER",
        /// Decides a dispute.
        Arbiter = "ARBITER",
        /// Time.
        System = "SYSTEM",
    }
}
words! {
    /// Who may see a message.
    Visibility {
        /// All.
        ShopperAndAll = "SHOPPER_AND_ALL",
        /// Not the shopper.
        PartnerAndRetailer = "PARTNER_AND_RETAILER",
        /// A note.
        RetailerOnly = "RETAILER_ONLY",
    }
}
words! {
    /// What somebody is to do next.
    ToDo {
        /// Give a first answer.
        Respond = "RESPOND",
        /// Resolve it.
        Resolve = "RESOLVE",
        /// Answer what was asked.
        Answer = "ANSWER",
        /// Name an arbiter.
        NameArbiter = "NAME_ARBITER",
        /// Decide.
        Decide = "DECIDE",
        /// Do what was decided.
        CarryOut = "CARRY_OUT",
        /// Be content, or reopen.
        AcceptOrReopen = "ACCEPT_OR_REOPEN",
    }
}
words! {
    /// What a target is about.
    Target {
        /// The retailer's first answer.
        FirstResponse = "FIRST_RESPONSE",
        /// Resolution.
        Resolution = "RESOLUTION",
        /// The partner's answer.
        PartnerAnswer = "PARTNER_ANSWER",
    }
}
words! {
    /// What came out of a case.
    OutcomeKind {
        /// A question was answered.
        Answered = "ANSWERED",
        /// The claim does not hold.
        Declined = "DECLINED",
        /// Money went back.
        Refund = "REFUND",
        /// Goods come back.
        Return = "RETURN",
        /// A matter after the sale.
        Aftersale = "AFTERSALE",
        /// Goods went out.
        Shipment = "SHIPMENT",
        /// Damages were paid.
        Compensation = "COMPENSATION",
        /// The shopper did not answer.
        Unanswered = "UNANSWERED",
    }
}
words! {
    /// What an arbiter decided.
    Ruling {
        /// The shopper is right.
        ForShopper = "FOR_SHOPPER",
        /// In part.
        InPart = "IN_PART",
        /// The retailer is right.
        ForRetailer = "FOR_RETAILER",
    }
}
words! {
    /// What happened.
    Change {
        /// Opened.
        Opened = "OPENED",
        /// There is a message.
        Message = "MESSAGE",
        /// Given to an agent, or to none.
        Assigned = "ASSIGNED",
        /// Its level rose.
        Escalated = "ESCALATED",
        /// An arbiter was named.
        ArbiterNamed = "ARBITER_NAMED",
        /// The arbiter decided.
        Decided = "DECIDED",
        /// Resolved.
        Resolved = "RESOLVED",
        /// Reopened.
        Reopened = "REOPENED",
        /// Closed.
        Closed = "CLOSED",
        /// A target was missed.
        Breached = "BREACHED",
        /// Put under a topic.
        Grouped = "GROUPED",
        /// The shopper of a dispute was silent.
        Unanswered = "UNANSWERED",
    }
}
words! {
    /// What is to happen at a time.
    Timer {
        /// The first answer is late.
        Response = "RESPONSE",
        /// The resolution is late.
        Resolution = "RESOLUTION",
        /// The partner or the shopper is silent.
        Wait = "WAIT",
        /// It can no longer be reopened.
        Close = "CLOSE",
    }
}

/// How long a level may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets {
    /// To a first answer.
    pub response: Duration,
    /// To the resolution.
    pub resolution: Duration,
}

/// The limits that steps obey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// By priority, by level, both in the order of their words.
    pub targets: [[Targets; 3]; 4],
    /// How long a shopper may be silent.
    pub shopper_wait: Duration,
    /// How long a partner may be silent.
    pub partner_wait: Duration,
    /// How long a resolved case may be reopened.
    pub reopen_window: Duration,
    /// How often a case may be reopened.
    pub reopens_max: i64,
    /// The most messages of a case, topics' answers apart.
    pub messages_max: i64,
}

impl Rules {
    fn targets(&self, priority: Priority, level: Level) -> Targets {
        self.targets[priority as usize][level as usize]
    }
}

/// Who does something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// For which side.
    pub party: Party,
    /// The token's subject.
    pub subject: String,
    /// Whether they run the shop: OPS.
    pub is_ops: bool,
}

impl Actor {
    /// Time.
    pub fn system() -> Self {
        Actor {
            party: Party::System,
            subject: String::new(),
            is_ops: false,
        }
    }
}

/// What a case names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// The order.
    pub order_id: Option<OrderId>,
    /// A line of it.
    pub order_line_id: Option<OrderLineId>,
    /// A return of it.
    pub return_id: Option<ReturnId>,
    /// An aftersale of it.
    pub aftersale_id: Option<AftersaleId>,
    /// A shipment of it.
    pub shipment_id: Option<ShipmentId>,
    /// A listing, as it was said.
    pub listing_id: Option<ListingId>,
    /// A product, as it was said.
    pub product_id: Option<ProductId>,
    /// A room, as it was said.
    pub room_id: Option<RoomId>,
}

/// What came out of a case, and where it was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What.
    pub kind: OutcomeKind,
    /// What it names; empty where it names nothing.
    pub what: String,
    /// To the shopper, of REFUND and COMPENSATION.
    pub amount: Option<Money>,
    /// When it was linked.
    pub link_time: Micros,
}

/// What a decision asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Required {
    /// Of which kind.
    pub kind: OutcomeKind,
    /// What all of that kind come to at least.
    pub least: Option<Money>,
}

/// Something that shows what a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Where its sender keeps it.
    pub reference: String,
    /// SHA-256, in hexadecimal.
    pub digest: String,
    /// Its type.
    pub media_type: String,
    /// Its size.
    pub size_bytes: i64,
}

/// Who decides a dispute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arbiter {
    /// The person or the chamber.
    pub display_name: String,
    /// For whom they act.
    pub organisation: String,
    /// The subject of their own token; empty when they have none.
    pub subject: String,
}

/// What an arbiter decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Who is right.
    pub ruling: Ruling,
    /// What is to be done.
    pub required: Vec<Required>,
    /// Why.
    pub reason: String,
    /// The decision as a document.
    pub document: Option<Attachment>,
    /// When it was recorded.
    pub time: Micros,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The message.
    pub id: CaseMessageId,
    /// Its place, from 1.
    pub number: i64,
    /// Who says it.
    pub author: Party,
    /// The subject of the token.
    pub agent: String,
    /// Who may see it.
    pub visibility: Visibility,
    /// What it says.
    pub text: String,
    /// What shows it.
    pub attachments: Vec<Attachment>,
    /// When.
    pub time: Micros,
    /// Whether the text was forgotten.
    pub is_forgotten: bool,
}

/// An entry of the action log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Its place, from 1.
    pub number: i64,
    /// Who.
    pub party: Party,
    /// The token's subject.
    pub subject: String,
    /// What.
    pub change: Change,
    /// State before; none for the first.
    pub from_state: Option<CaseState>,
    /// State after.
    pub to_state: CaseState,
    /// Level before; none for the first.
    pub from_level: Option<Level>,
    /// Level after.
    pub to_level: Level,
    /// Why.
    pub reason: String,
    /// The message, with who says it and who may see it.
    pub message: Option<(CaseMessageId, Party, Visibility)>,
    /// The target that was missed, and when it had been due.
    pub missed: Option<(Target, Micros)>,
    /// When.
    pub time: Micros,
    /// Whether no partner learns of it.
    pub is_private: bool,
}

/// Who is to do what until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextAction {
    /// Who.
    pub party: Party,
    /// What.
    pub to_do: ToDo,
    /// Until when.
    pub deadline: Micros,
}

/// A case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The case.
    pub id: CaseId,
    /// Whose shopper it is about.
    pub partner_id: PartnerId,
    /// The shopper.
    pub shopper_ref: String,
    /// What it is about.
    pub category: Category,
    /// How urgent it is.
    pub priority: Priority,
    /// How high it has risen.
    pub level: Level,
    /// Where it is.
    pub state: CaseState,
    /// Who opened it.
    pub opened_by: Party,
    /// What it names.
    pub references: References,
    /// The topic it is under.
    pub topic_id: Option<TopicId>,
    /// Which answer of that topic it has got; 0 before the first.
    pub topic_answer: i64,
    /// Whose it is; empty when nobody's.
    pub agent: String,
    /// The first answer at this level is due before this.
    pub response_due: Micros,
    /// When it was given.
    pub response_time: Option<Micros>,
    /// Resolution at this level is due before this.
    pub resolution_due: Micros,
    /// Until when the partner or the shopper may be silent.
    pub wait_until: Option<Micros>,
    /// What came out of it.
    pub outcomes: Vec<Outcome>,
    /// Who decides.
    pub arbiter: Option<Arbiter>,
    /// What was decided.
    pub decision: Option<Decision>,
    /// How often it was reopened.
    pub reopen_count: i64,
    /// Targets missed.
    pub breach_count: i64,
    /// Messages.
    pub message_count: i64,
    /// Messages that are no notes.
    pub shown_count: i64,
    /// Actions.
    pub action_count: i64,
    /// When it was opened.
    pub create_time: Micros,
    /// When it was resolved.
    pub resolve_time: Option<Micros>,
    /// Until when it may be reopened.
    pub reopen_until: Option<Micros>,
    /// When it was closed.
    pub close_time: Option<Micros>,
    /// What is to happen, and when.
    pub timers: BTreeMap<Timer, Micros>,
    /// What happened since it was read.
    pub log: Vec<Action>,
    /// Grows by one with every write; 0 before the first.
    pub version: i64,
}

impl Case {
    /// Changes with every change.
    pub fn etag(&self) -> String {
        format!("v{}", self.version)
    }

    /// Whether something is still to be done before it is resolved.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, CaseState::Resolved | CaseState::Closed)
    }

    /// Who is to do what next; none once it is closed.
    pub fn next_action(&self) -> Option<NextAction> {
        let next = |party, to_do, deadline| NextAction {
            party,
            to_do,
            deadline,
        };
        let waits = self.wait_until.unwrap_or(self.resolution_due);
        Some(match self.state {
            CaseState::Open | CaseState::WaitingRetailer => {
                next(Party::Retailer, self.retailer_to_do(), self.due())
            }
            CaseState::WaitingPartner => next(Party::Partner, ToDo::Answer, waits),
            CaseState::WaitingShopper => next(Party::Shopper, ToDo::Answer, waits),
            CaseState::WaitingArbiter => next(Party::Arbiter, ToDo::Decide, self.resolution_due),
            CaseState::Resolved => {
                let until = self.reopen_until.unwrap_or(self.resolution_due);
                next(Party::Shopper, ToDo::AcceptOrReopen, until)
            }
            CaseState::Closed => return None,
        })
    }

    fn retailer_to_do(&self) -> ToDo {
        if self.response_time.is_none() {
            ToDo::Respond
        } else if self.decision.is_some() {
            ToDo::CarryOut
        } else if self.level == Level::Dispute {
            ToDo::NameArbiter
        } else {
            ToDo::Resolve
        }
    }

    /// When the next target of the retailer is due, missed or not.
    fn due(&self) -> Micros {
        match self.response_time {
            None => self.response_due.min(self.resolution_due),
            Some(_) => self.resolution_due,
        }
    }

    /// Its place in the queue; none when it is not open.
    pub fn queue_time(&self) -> Option<Micros> {
        self.is_open().then(|| self.due())
    }

    /// When the next target is missed if nothing happens.
    pub fn breach_time(&self) -> Option<Micros> {
        let targets = [Timer::Response, Timer::Resolution];
        let times = targets.iter().filter_map(|timer| self.timers.get(timer));
        times.min().copied()
    }
}
