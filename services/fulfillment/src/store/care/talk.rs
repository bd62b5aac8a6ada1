//! What was said, and the action log.

use std::collections::{BTreeMap, BTreeSet};

use contracts::id::CaseId;
use kit::clock::Micros;
use kit::errors::Fault;
use store::sealed::{open_text, seal_text};
use store::{Tx, bulk, sql};

use super::super::{id, number, word};
use super::sealed::{body_place, care_owner};
use crate::model::care::{
    Action, Attachment, Case, CaseState, Change, Level, Message, Party, Target, Visibility,
};

/// Writes a message with what shows it.
pub async fn message_insert(tx: &mut Tx, of: &Case, message: &Message) -> Result<(), Fault> {
    let case = &of.id;
    let owner = care_owner(of.partner_id, &of.shopper_ref);
    let body = seal_text(tx, &owner, body_place(message.id.as_str()), &message.text).await?;
    sql!(
        tx,
        execute,
        "INSERT INTO care_message (case_id, message_number, message_id, author, agent, visibility, body, \
         is_forgotten, create_time) VALUES ($1, $2, $3, $4, $5, $6, $7, false, $8)",
        case,
        message.number,
        &message.id,
        message.author.word(),
        message.agent.as_str(),
        message.visibility.word(),
        body,
        message.time
    )?;
    for (at, attachment) in (0..).zip(&message.attachments) {
        sql!(
            tx,
            execute,
            "INSERT INTO care_attachment (case_id, message_number, attachment_no, attachment_reference, digest, \
             media_type, size_bytes) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            case,
            message.number,
            number(at),
            attachment.reference.as_str(),
            attachment.digest.as_str(),
            attachment.media_type.as_str(),
            attachment.size_bytes
        )?;
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct MessageRow {
    message_number: i64,
    message_id: String,
    author: String,
    agent: String,
    visibility: String,
    body: String,
    is_forgotten: bool,
    create_time: i64,
}

/// The messages of a case after a place, notes only for those who may read them.
pub async fn messages_list(
    tx: &mut Tx,
    case: &CaseId,
    with_notes: bool,
    after: i64,
    limit: i64,
) -> Result<Vec<Message>, Fault> {
    let rows = sql!(
        tx,
        all MessageRow,
        "SELECT message_number, message_id, author, agent, visibility, body, is_forgotten, create_time \
         FROM care_message WHERE case_id = $1 AND message_number > $2 AND ($3 OR visibility <> 'RETAILER_ONLY') \
         ORDER BY message_number LIMIT $4",
        case,
        after,
        with_notes,
        limit
    )?;
    let numbers: Vec<i64> = rows.iter().map(|row| row.message_number).collect();
    let mut attachments = attachments_of(tx, case, &numbers).await?;
    let keys = tx.keys()?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let text = open_text(&keys, body_place(&row.message_id), &row.body).await?;
        found.push(Message {
            id: id(&row.message_id)?,
            number: row.message_number,
            author: word("author", &row.author, Party::named)?,
            agent: row.agent,
            visibility: word("visibility", &row.visibility, Visibility::named)?,
            attachments: attachments.remove(&row.message_number).unwrap_or_default(),
            time: Micros(row.create_time),
            // Whose key is destroyed is forgotten.
            is_forgotten: row.is_forgotten || text.is_none(),
            text: text.unwrap_or_default(),
        });
    }
    Ok(found)
}

async fn attachments_of(
    tx: &mut Tx,
    case: &CaseId,
    numbers: &[i64],
) -> Result<BTreeMap<i64, Vec<Attachment>>, Fault> {
    let mut found: BTreeMap<i64, Vec<Attachment>> = BTreeMap::new();
    let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else {
        return Ok(found);
    };
    let rows = sql!(
        tx,
        all(i64, String, String, String, i64),
        "SELECT message_number, attachment_reference, digest, media_type, size_bytes FROM care_attachment \
         WHERE case_id = $1 AND message_number >= $2 AND message_number <= $3 \
         ORDER BY message_number, attachment_no",
        case,
        *first,
        *last
    )?;
    for (message, reference, digest, media_type, size_bytes) in rows {
        found.entry(message).or_default().push(Attachment {
            reference,
            digest,
            media_type,
            size_bytes,
        });
    }
    Ok(found)
}

/// Adds to the action log.
pub async fn actions_insert(tx: &mut Tx, case: &CaseId, actions: &[Action]) -> Result<(), Fault> {
    for action in actions {
        let message = action.message.as_ref();
        sql!(
            tx,
            execute,
            "INSERT INTO care_action (case_id, action_number, party, subject, change, from_state, to_state, \
             from_level, to_level, reason, message_id, target, is_private, create_time) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
            case,
            action.number,
            action.party.word(),
            action.subject.as_str(),
            action.change.word(),
            action.from_state.map_or("", CaseState::word),
            action.to_state.word(),
            action.from_level.map_or("", Level::word),
            action.to_level.word(),
            action.reason.as_str(),
            message.map_or("", |(id, _, _)| id.as_str()),
            action.missed.map_or("", |(target, _)| target.word()),
            action.is_private,
            action.time
        )?;
    }
    Ok(())
}

#[derive(sqlx::FromRow)]
struct ActionRow {
    action_number: i64,
    party: String,
    subject: String,
    change: String,
    from_state: String,
    to_state: String,
    from_level: String,
    to_level: String,
    reason: String,
    message_id: String,
    target: String,
    is_private: bool,
    create_time: i64,
}

/// An action as it is read: who may see its message and when a target had been due are not told again.
impl ActionRow {
    fn into_model(self) -> Result<Action, Fault> {
        let time = Micros(self.create_time);
        let message = match self.message_id.as_str() {
            "" => None,
            text => Some((id(text)?, Party::System, Visibility::ShopperAndAll)),
        };
        let missed = match self.target.as_str() {
            "" => None,
            text => Some((word("target", text, Target::named)?, time)),
        };
        Ok(Action {
            number: self.action_number,
            party: word("party", &self.party, Party::named)?,
            subject: self.subject,
            change: word("change", &self.change, Change::named)?,
            from_state: CaseState::named(&self.from_state),
            to_state: word("to_state", &self.to_state, CaseState::named)?,
            from_level: Level::named(&self.from_level),
            to_level: word("to_level", &self.to_level, Level::named)?,
            reason: self.reason,
            message,
            missed,
            time,
            is_private: self.is_private,
        })
    }
}

/// The action log of a case after a place, without what is the retailer's alone when `shown_only`.
pub async fn actions_list(
    tx: &mut Tx,
    case: &CaseId,
    shown_only: bool,
    after: i64,
    limit: i64,
) -> Result<Vec<Action>, Fault> {
    let rows = sql!(
        tx,
        all ActionRow,
        "SELECT action_number, party, subject, change, from_state, to_state, from_level, to_level, reason, \
         message_id, target, is_private, create_time FROM care_action \
         WHERE case_id = $1 AND action_number > $2 AND (NOT $3 OR NOT is_private) ORDER BY action_number LIMIT $4",
        case,
        after,
        shown_only,
        limit
    )?;
    rows.into_iter().map(ActionRow::into_model).collect()
}

/// The subjects that acted in a case for the retailer, or were given it, at most so many.
pub async fn involved(tx: &mut Tx, case: &CaseId, limit: i64) -> Result<BTreeSet<String>, Fault> {
    let rows = sql!(
        tx,
        all(String,),
        "SELECT DISTINCT subject FROM care_action WHERE case_id = $1 AND party = 'RETAILER' ORDER BY subject LIMIT $2",
        case,
        limit
    )?;
    Ok(rows.into_iter().map(|(subject,)| subject).collect())
}

/// Forgets what was said in cases that closed before `before`, of so many cases at most. Gives their ids.
pub async fn words_forget(tx: &mut Tx, before: Micros, limit: i64) -> Result<Vec<String>, Fault> {
    let rows = sql!(
        tx,
        all(String,),
        "UPDATE care_case SET has_words = false WHERE case_id IN (SELECT case_id FROM care_case \
         WHERE has_words AND close_time < $1 ORDER BY close_time, case_id LIMIT $2) RETURNING case_id",
        before,
        limit
    )?;
    let cases: Vec<String> = rows.into_iter().map(|(case,)| case).collect();
    if cases.is_empty() {
        return Ok(cases);
    }
    bulk!(
        tx,
        execute,
        postgres: "UPDATE care_message SET body = '', is_forgotten = true FROM UNNEST($1::TEXT[]) AS k(id) \
                   WHERE care_message.case_id = k.id",
        sqlite: "UPDATE care_message SET body = '', is_forgotten = true FROM json_each($1) AS k \
                 WHERE care_message.case_id = k.value->>0",
        columns: [&cases]
    )?;
    bulk!(
        tx,
        execute,
        postgres: "UPDATE care_arbiter SET reason = '' FROM UNNEST($1::TEXT[]) AS k(id) WHERE care_arbiter.case_id = k.id",
        sqlite: "UPDATE care_arbiter SET reason = '' FROM json_each($1) AS k WHERE care_arbiter.case_id = k.value->>0",
        columns: [&cases]
    )?;
    Ok(cases)
}
