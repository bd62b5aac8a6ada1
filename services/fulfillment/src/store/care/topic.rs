//! Topics and what is under them.

use contracts::id::{CaseId, ProductId, TopicId};
use kit::clock::Micros;
use kit::errors::Fault;
use store::{Tx, bulk, sql};

use super::super::{expect_rows, id};
use crate::model::care::Topic;

#[derive(sqlx::FromRow)]
struct Row {
    topic_id: String,
    title: String,
    product_id: String,
    room_id: String,
    answer: String,
    answered_by: String,
    answer_count: i64,
    is_pending: bool,
    create_time: i64,
    version: i64,
}

macro_rules! columns {
    () => {
        "t.topic_id, t.title, t.product_id, t.room_id, t.answer, t.answered_by, t.answer_count, t.is_pending, \
         t.create_time, t.version"
    };
}

impl Row {
    fn into_model(self) -> Result<Topic, Fault> {
        let product = (!self.product_id.is_empty()).then(|| id(&self.product_id));
        let room = (!self.room_id.is_empty()).then(|| id(&self.room_id));
        Ok(Topic {
            id: id(&self.topic_id)?,
            title: self.title,
            product_id: product.transpose()?,
            room_id: room.transpose()?,
            answer: self.answer,
            answered_by: self.answered_by,
            answer_count: self.answer_count,
            is_pending: self.is_pending,
            create_time: Micros(self.create_time),
            version: self.version,
        })
    }
}

/// Locks a topic. Whoever locks cases as well locks the topic first.
pub async fn topic_lock(tx: &mut Tx, topic: &TopicId) -> Result<Option<Topic>, Fault> {
    let rows = bulk!(
        tx,
        all Row,
        postgres: concat!(
            "SELECT ", columns!(), " FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
             (SELECT * FROM care_topic WHERE topic_id = k.id LIMIT 1 FOR UPDATE) AS t"
        ),
        sqlite: concat!(
            "SELECT ", columns!(), " FROM json_each($1) AS k CROSS JOIN care_topic AS t ON t.topic_id = k.value->>0"
        ),
        columns: [vec![*topic]]
    )?;
    rows.into_iter().next().map(Row::into_model).transpose()
}

/// Writes a new topic, or a changed one whose version grows by one from what was read.
pub async fn topic_save(tx: &mut Tx, topic: &mut Topic) -> Result<(), Fault> {
    topic.version += 1;
    let written = sql!(
        tx,
        execute,
        "INSERT INTO care_topic (topic_id, title, product_id, room_id, answer, answered_by, answer_count, is_pending, \
         create_time, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (topic_id) DO UPDATE SET \
         answer = excluded.answer, answered_by = excluded.answered_by, answer_count = excluded.answer_count, \
         is_pending = excluded.is_pending, version = excluded.version WHERE care_topic.version = excluded.version - 1",
        &topic.id,
        topic.title.as_str(),
        topic.product_id.as_ref().map_or("", |id| id.as_str()),
        topic.room_id.as_ref().map_or("", |id| id.as_str()),
        topic.answer.as_str(),
        topic.answered_by.as_str(),
        topic.answer_count,
        topic.is_pending,
        topic.create_time,
        topic.version
    )?;
    expect_rows("care_topic", written, 1)
}

/// How many cases a topic has, and how many of them wait for its latest answer; counted no further than `most`.
pub async fn topic_counts(tx: &mut Tx, topic: &Topic, most: i64) -> Result<(i64, i64), Fault> {
    let counts = sql!(
        tx,
        one(i64, i64),
        "SELECT CAST(COUNT(*) AS BIGINT), \
         CAST(COALESCE(SUM(CASE WHEN c.topic_answer < $2 AND c.state <> 'CLOSED' THEN 1 ELSE 0 END), 0) AS BIGINT) \
         FROM (SELECT topic_answer, state FROM care_case WHERE topic_id = $1 AND topic_id <> '' \
         ORDER BY case_id LIMIT $3) AS c",
        &topic.id,
        topic.answer_count,
        most
    )?;
    Ok(counts)
}

/// A page of topics, by creation.
pub async fn topics_list(
    tx: &mut Tx,
    product: Option<&ProductId>,
    after: Option<&TopicId>,
    limit: i64,
) -> Result<Vec<Topic>, Fault> {
    let product = product.map_or("", |id| id.as_str());
    let after = after.map_or("", |id| id.as_str());
    let rows = sql!(
        tx,
        all Row,
        concat!(
            "SELECT ", columns!(), " FROM care_topic AS t WHERE ($1 = '' OR t.product_id = $1) AND t.topic_id > $2 \
             ORDER BY t.topic_id LIMIT $3"
        ),
        product,
        after,
        limit
    )?;
    rows.into_iter().map(Row::into_model).collect()
}

/// A topic whose cases may wait for its latest answer.
pub async fn topic_pending(tx: &mut Tx) -> Result<Option<TopicId>, Fault> {
    let row = sql!(
        tx,
        optional(String,),
        "SELECT topic_id FROM care_topic WHERE is_pending ORDER BY topic_id LIMIT 1"
    )?;
    row.map(|(found,)| id(&found)).transpose()
}

/// Says whether cases of a topic, which is locked, may wait for its latest answer. That is no change of the topic.
pub async fn topic_pend(tx: &mut Tx, topic: &TopicId, is_pending: bool) -> Result<(), Fault> {
    let written = sql!(
        tx,
        execute,
        "UPDATE care_topic SET is_pending = $2 WHERE topic_id = $1",
        topic,
        is_pending
    )?;
    expect_rows("care_topic", written, 1)
}

/// The cases of a topic that wait for its latest answer, by id, at most so many.
pub async fn topic_waiting(tx: &mut Tx, topic: &Topic, limit: i64) -> Result<Vec<CaseId>, Fault> {
    let rows = sql!(
        tx,
        all(String,),
        "SELECT case_id FROM care_case WHERE topic_id = $1 AND topic_id <> '' AND topic_answer < $2 \
         AND state <> 'CLOSED' ORDER BY case_id LIMIT $3",
        &topic.id,
        topic.answer_count,
        limit
    )?;
    rows.iter().map(|(found,)| id(found)).collect()
}
