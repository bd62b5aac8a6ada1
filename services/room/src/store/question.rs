//! What shoppers ask. This is the only table that holds their words.

use ::store::sealed::{open_text, seal_text};
use ::store::{Owner, ShopperKeys, StoreError, Tx, bulk, sql};
use contracts::id::{OutletId, PartnerId, QuestionId, RoomId};
use kit::clock::Micros;
use kit::errors::Fault;
use kit::seal::Place as SealedAt;

use super::{expect_one, id, opt_id, time, word};
use crate::model::{Place, Question, QuestionState};

macro_rules! columns {
    () => {
        "q.question_id, q.room_id, q.outlet_id, q.partner_id, q.shopper_ref, q.text, q.product_id, q.state, q.answer, \
         q.ask_time, q.answer_time"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    question_id: String,
    room_id: String,
    outlet_id: String,
    partner_id: String,
    shopper_ref: String,
    text: String,
    product_id: String,
    state: String,
    answer: String,
    ask_time: i64,
    answer_time: Option<i64>,
}

impl Row {
    async fn into_model(self, keys: &ShopperKeys) -> Result<Question, Fault> {
        // Whose key is destroyed asked something that nobody reads any more.
        let text = open_text(keys, place(&self.question_id, "text"), &self.text).await?;
        let answer = open_text(keys, place(&self.question_id, "answer"), &self.answer).await?;
        Ok(Question {
            id: id(&self.question_id)?,
            room_id: id(&self.room_id)?,
            place: Place {
                outlet_id: id(&self.outlet_id)?,
                partner_id: id(&self.partner_id)?,
            },
            shopper_ref: self.shopper_ref,
            text: text.unwrap_or_default(),
            product_id: opt_id(&self.product_id)?,
            state: word("state", &self.state, QuestionState::named)?,
            answer: answer.unwrap_or_default(),
            ask_time: Micros(self.ask_time),
            answer_time: time(self.answer_time),
        })
    }
}

async fn models(tx: &mut Tx, rows: Vec<Row>) -> Result<Vec<Question>, Fault> {
    let mut found = Vec::with_capacity(rows.len());
    if rows.is_empty() {
        return Ok(found);
    }
    let keys = tx.keys()?;
    for row in rows {
        found.push(row.into_model(&keys).await?);
    }
    Ok(found)
}

/// The kind of personal data, as erasures and keys call it.
pub const QUESTION: &str = "QUESTION";

/// Whose key seals a question and its answer.
pub fn question_owner(partner_id: PartnerId, shopper_ref: &str) -> Owner {
    Owner::new(QUESTION, partner_id, shopper_ref)
}

fn place<'a>(question_id: &'a str, field: &'a str) -> SealedAt<'a> {
    SealedAt::new("question", question_id, field)
}

/// Writes a new question.
pub async fn question_insert(tx: &mut Tx, question: &Question) -> Result<(), Fault> {
    let owner = question_owner(question.place.partner_id, &question.shopper_ref);
    let text = seal_text(
        tx,
        &owner,
        place(question.id.as_str(), "text"),
        &question.text,
    )
    .await?;
    sql!(
        tx,
        execute,
        "INSERT INTO question (question_id, room_id, outlet_id, partner_id, shopper_ref, text, product_id, state, \
         answer, ask_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        question.id,
        question.room_id,
        question.place.outlet_id,
        question.place.partner_id,
        &question.shopper_ref,
        text,
        question
            .product_id
            .as_ref()
            .map_or("", |product| product.as_str()),
        question.state.word(),
        &question.answer,
        question.ask_time
    )?;
    Ok(())
}

/// Writes an answer; false when there was one already.
pub async fn question_answer(tx: &mut Tx, question: &Question) -> Result<(), Fault> {
    let owner = question_owner(question.place.partner_id, &question.shopper_ref);
    let at = place(question.id.as_str(), "answer");
    let answer = seal_text(tx, &owner, at, &question.answer).await?;
    let touched = sql!(
        tx,
        execute,
        "UPDATE question SET state = $2, answer = $3, answer_time = $4 WHERE question_id = $1 AND state = 'OPEN'",
        question.id,
        question.state.word(),
        answer,
        question.answer_time
    )?;
    expect_one("question", touched)
}

/// One question.
pub async fn question_by_id(tx: &mut Tx, question: &QuestionId) -> Result<Option<Question>, Fault> {
    let rows = sql!(
        tx,
        all Row,
        concat!("SELECT ", columns!(), " FROM question AS q WHERE q.question_id = $1"),
        question
    )?;
    Ok(models(tx, rows).await?.pop())
}

/// Several questions; those that are gone are left out.
pub async fn questions_by_ids(tx: &mut Tx, ids: &[QuestionId]) -> Result<Vec<Question>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all Row,
        postgres: concat!(
            "SELECT ", columns!(), " FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
             (SELECT * FROM question WHERE question_id = k.id LIMIT 1) AS q"
        ),
        sqlite: concat!(
            "SELECT ", columns!(), " FROM json_each($1) AS k CROSS JOIN question AS q \
             ON q.question_id = k.value->>0"
        ),
        columns: [ids]
    )?;
    models(tx, rows).await
}

/// How many of a shopper's questions wait for an answer, counted up to a bound.
pub async fn questions_open(
    tx: &mut Tx,
    room: &RoomId,
    outlet: &OutletId,
    shopper_ref: &str,
    bound: i64,
) -> Result<i64, Fault> {
    let (count,) = sql!(
        tx,
        one(i64,),
        "SELECT COUNT(*) FROM (SELECT 1 AS one FROM question WHERE room_id = $1 AND outlet_id = $2 \
         AND shopper_ref = $3 AND state = 'OPEN' LIMIT $4) AS open",
        room,
        outlet,
        shopper_ref,
        bound
    )?;
    Ok(count)
}

/// The questions of a room that were answered last, the latest last.
pub async fn questions_answered(
    tx: &mut Tx,
    room: &RoomId,
    limit: i64,
) -> Result<Vec<Question>, Fault> {
    let rows = sql!(
        tx,
        all Row,
        concat!(
            "SELECT ", columns!(), " FROM question AS q WHERE q.room_id = $1 AND q.state = 'ANSWERED' \
             ORDER BY q.answer_time DESC, q.question_id DESC LIMIT $2"
        ),
        room,
        limit
    )?;
    let mut found = models(tx, rows).await?;
    found.reverse();
    Ok(found)
}

/// Which questions of a room, oldest first.
#[derive(Clone, Debug)]
pub struct QuestionQuery {
    /// The room.
    pub room_id: RoomId,
    /// Only those asked on this partner's outlets.
    pub partner: Option<PartnerId>,
    /// Only of this state.
    pub state: Option<QuestionState>,
    /// After this one; empty for the beginning.
    pub after: String,
    /// At most so many.
    pub limit: i64,
}

macro_rules! questions {
    ($where:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM question AS q WHERE q.room_id = $1 AND q.question_id > $2",
            $where,
            " ORDER BY q.question_id LIMIT $3"
        )
    };
}

/// A page of questions. Each filter has a text of its own, so that each finds its index.
pub async fn questions_list(tx: &mut Tx, query: &QuestionQuery) -> Result<Vec<Question>, Fault> {
    let (room, after, limit) = (&query.room_id, query.after.as_str(), query.limit);
    let state = query.state.map(QuestionState::word);
    let rows: Result<Vec<Row>, StoreError> = match (&query.partner, state) {
        (None, None) => sql!(tx, all Row, questions!(""), room, after, limit),
        (None, Some(state)) => {
            sql!(tx, all Row, questions!(" AND q.state = $4"), room, after, limit, state)
        }
        (Some(partner), None) => {
            sql!(tx, all Row, questions!(" AND q.partner_id = $4"), room, after, limit, partner)
        }
        (Some(partner), Some(state)) => {
            sql!(tx, all Row, questions!(" AND q.partner_id = $4 AND q.state = $5"), room, after, limit, partner, state)
        }
    };
    models(tx, rows?).await
}

/// Seals what was asked before there were seals, at most so many questions; how many they were.
pub async fn questions_seal(tx: &mut Tx, limit: i64) -> Result<usize, Fault> {
    let rows = sql!(
        tx,
        all(String, String, String, String, String),
        "SELECT question_id, partner_id, shopper_ref, text, answer FROM question \
         WHERE substr(text, 1, 9) <> 'sealed-1:' ORDER BY question_id LIMIT $1",
        limit
    )?;
    for (question_id, partner_id, shopper_ref, text, answer) in &rows {
        let owner = question_owner(id(partner_id)?, shopper_ref);
        let sealed = seal_text(tx, &owner, place(question_id, "text"), text).await?;
        let sealed_answer = seal_text(tx, &owner, place(question_id, "answer"), answer).await?;
        sql!(
            tx,
            execute,
            "UPDATE question SET text = $2, answer = $3 WHERE question_id = $1 AND text = $4 AND answer = $5",
            question_id,
            sealed,
            sealed_answer,
            text,
            answer
        )?;
    }
    Ok(rows.len())
}
