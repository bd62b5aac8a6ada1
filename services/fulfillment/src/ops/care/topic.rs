//! One incident behind many cases.

use contracts::id::{CaseId, CaseMessageId, ProductId, RoomId, TopicId};
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use super::{actor, keep};
use crate::model::care::Topic;
use crate::store::care::case::cases_lock;
use crate::store::care::topic::{
    topic_counts, topic_lock, topic_pend, topic_pending, topic_save, topic_waiting,
};

/// A topic with how many cases it has and how many of them wait for its answer.
pub type Counted = (Topic, (i64, i64));

/// Makes a topic.
pub struct CreateTopic {
    /// What it is about.
    pub title: String,
    /// The product it is about.
    pub product_id: Option<ProductId>,
    /// The room it is about.
    pub room_id: Option<RoomId>,
}

impl Operation for CreateTopic {
    type Output = Counted;

    fn name(&self) -> &'static str {
        "topic.create"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Counted, Fault> {
        let mut topic = Topic {
            id: TopicId::from_uuid(tx.ids().next()),
            title: self.title.clone(),
            product_id: self.product_id,
            room_id: self.room_id,
            answer: String::new(),
            answered_by: String::new(),
            answer_count: 0,
            is_pending: false,
            create_time: tx.now(),
            version: 0,
        };
        topic_save(tx, &mut topic).await?;
        tx.audit(self.name(), topic.id, "made");
        Ok((topic, (0, 0)))
    }
}

/// Puts cases under a topic.
pub struct AddCases {
    /// Which topic.
    pub topic_id: TopicId,
    /// Which cases, sorted by id, each once.
    pub cases: Vec<CaseId>,
    /// The most cases that are counted.
    pub counted_max: i64,
}

impl Operation for AddCases {
    type Output = Counted;

    fn name(&self) -> &'static str {
        "topic.add_cases"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Counted, Fault> {
        let topic = topic_lock(tx, &self.topic_id).await?;
        let topic = topic.ok_or_else(|| Refusal::not_found("topic"))?;
        let (now, actor) = (tx.now(), actor(tx.caller()));
        let cases = cases_lock(tx, &self.cases).await?;
        if cases.len() != self.cases.len() {
            return Err(Refusal::not_found("case").into());
        }
        for mut case in cases.into_values() {
            case.group(topic.id, &actor, now)?;
            keep(tx, &mut case, None).await?;
        }
        topic_pend(tx, &topic.id, topic.answer_count > 0).await?;
        let counts = topic_counts(tx, &topic, self.counted_max).await?;
        Ok((topic, counts))
    }
}

/// Says something to all cases of a topic.
pub struct AnswerTopic {
    /// Which topic.
    pub topic_id: TopicId,
    /// The etag that the caller has read, if that matters to them.
    pub etag: Option<String>,
    /// What is said.
    pub answer: String,
    /// The most cases that are counted.
    pub counted_max: i64,
}

impl Operation for AnswerTopic {
    type Output = Counted;

    fn name(&self) -> &'static str {
        "topic.answer"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Counted, Fault> {
        let topic = topic_lock(tx, &self.topic_id).await?;
        let mut topic = topic.ok_or_else(|| Refusal::not_found("topic"))?;
        topic.require_etag(self.etag.as_deref())?;
        let actor = actor(tx.caller());
        topic.say(self.answer.clone(), &actor);
        topic_save(tx, &mut topic).await?;
        tx.audit(
            self.name(),
            topic.id,
            format!("answer {}", topic.answer_count),
        );
        let counts = topic_counts(tx, &topic, self.counted_max).await?;
        Ok((topic, counts))
    }
}

/// Asks whether a topic's answer is still to be given to its cases.
pub struct AnyUnheard;

impl Operation for AnyUnheard {
    type Output = bool;

    fn name(&self) -> &'static str {
        "topic.any_unheard"
    }

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        Ok(topic_pending(tx).await?.is_some())
    }
}

/// Gives a topic's latest answer to so many of its cases at most. The output is `rows_max` as long as there may be
/// more to do, and 0 when there is not. Any number of replicas may run it at once.
pub struct SpreadAnswers {
    /// The most cases in one unit of work.
    pub rows_max: i64,
}

impl Operation for SpreadAnswers {
    type Output = usize;

    fn name(&self) -> &'static str {
        "topic.spread"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<usize, Fault> {
        let more = usize::try_from(self.rows_max).unwrap_or(usize::MAX);
        let Some(id) = topic_pending(tx).await? else {
            return Ok(0);
        };
        // Somebody else may have done it before it was locked.
        let topic = topic_lock(tx, &id).await?;
        let Some(topic) = topic.filter(|topic| topic.is_pending) else {
            return Ok(more);
        };
        let now = tx.now();
        let waiting = topic_waiting(tx, &topic, self.rows_max).await?;
        for mut case in cases_lock(tx, &waiting).await?.into_values() {
            let id = CaseMessageId::from_uuid(tx.ids().next());
            if let Some(message) = case.hear(&topic, id, now) {
                keep(tx, &mut case, Some(&message)).await?;
            }
        }
        if waiting.len() < more {
            topic_pend(tx, &topic.id, false).await?;
        }
        Ok(more)
    }
}
