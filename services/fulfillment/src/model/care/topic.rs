//! One incident behind many cases.

use contracts::ErrorReason;
use contracts::id::{CaseMessageId, ProductId, RoomId, TopicId};
use kit::clock::Micros;
use kit::errors::Refusal;

use super::machine::Draft;
use super::{Actor, Case, CaseState, Message, Party, Visibility};

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// The topic.
    pub id: TopicId,
    /// What it is about.
    pub title: String,
    /// The product it is about.
    pub product_id: Option<ProductId>,
    /// The room it is about.
    pub room_id: Option<RoomId>,
    /// The latest answer.
    pub answer: String,
    /// Who gave it.
    pub answered_by: String,
    /// How many there were.
    pub answer_count: i64,
    /// Whether cases may wait for the latest answer.
    pub is_pending: bool,
    /// When it was made.
    pub create_time: Micros,
    /// Grows by one with every write; 0 before the first.
    pub version: i64,
}

impl Topic {
    /// Changes with every change.
    pub fn etag(&self) -> String {
        format!("v{}", self.version)
    }

    /// Refuses what is based on another version.
    pub fn require_etag(&self, etag: Option<&str>) -> Result<(), Refusal> {
        if etag.is_none_or(|etag| etag == self.etag()) {
            return Ok(());
        }
        Err(Refusal::new(
            ErrorReason::EtagMismatch,
            "The topic was changed since it was read; read it again and decide anew.",
        ))
    }

    /// Says something to everybody under it.
    pub fn say(&mut self, answer: String, actor: &Actor) {
        self.answer = answer;
        self.answered_by.clone_from(&actor.subject);
        self.answer_count += 1;
        self.is_pending = true;
    }
}

impl Case {
    /// Gets the latest answer of its topic, once; none when it has got it or is closed. It counts as an answer of
    /// the retailer, and whose turn it is stays: a statement to everybody is no reason to end anybody's case.
    pub fn hear(&mut self, topic: &Topic, id: CaseMessageId, now: Micros) -> Option<Message> {
        let is_new = self.topic_id == Some(topic.id) && self.topic_answer < topic.answer_count;
        if !is_new || self.state == CaseState::Closed {
            return None;
        }
        self.topic_answer = topic.answer_count;
        let actor = Actor {
            party: Party::Retailer,
            subject: topic.answered_by.clone(),
            is_ops: true,
        };
        let draft = Draft {
            author: Party::Retailer,
            visibility: Visibility::ShopperAndAll,
            text: topic.answer.clone(),
            attachments: Vec::new(),
        };
        let before = self.state;
        let message = self.add(id, draft, &actor, now);
        if self.is_open() {
            self.answered(now);
            if self.state == CaseState::Open {
                self.retailers_turn();
            }
        }
        self.told(before, &message, &actor, now);
        Some(message)
    }
}
