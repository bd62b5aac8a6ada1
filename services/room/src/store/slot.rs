//! Programme slots, and what they take.

use ::store::{Tx, bulk, sql};
use contracts::id::{ChannelId, SlotId};
use kit::clock::Micros;
use kit::errors::Fault;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{expect_one, id, word};
use crate::model::{Resource, SessionType, Slot, SlotContent, SlotState, SlotTimes};

macro_rules! columns {
    () => {
        "s.slot_id, s.channel_id, s.title, s.theme, s.session_type, s.venue, s.hosts, s.outlets, s.brands, \
         s.local_start, s.duration_s, s.recurrence_rule, s.exceptions, s.state, s.create_time, s.version"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    slot_id: String,
    channel_id: String,
    title: String,
    theme: String,
    session_type: String,
    venue: String,
    hosts: String,
    outlets: String,
    brands: String,
    local_start: String,
    duration_s: i64,
    recurrence_rule: String,
    exceptions: String,
    state: String,
    create_time: i64,
    version: i64,
}

impl Row {
    fn into_model(self) -> Result<Slot, Fault> {
        Ok(Slot {
            id: id(&self.slot_id)?,
            channel_id: id(&self.channel_id)?,
            content: SlotContent {
                title: self.title,
                theme: self.theme,
                session: word("session_type", &self.session_type, SessionType::named)?,
                hosts: list(&self.hosts)?,
                venue: self.venue,
                brands: list(&self.brands)?,
                outlets: list(&self.outlets)?,
            },
            times: SlotTimes {
                local_start: self.local_start,
                duration_s: self.duration_s,
                rule: self.recurrence_rule,
                exceptions: list(&self.exceptions)?,
            },
            state: word("state", &self.state, SlotState::named)?,
            create_time: Micros(self.create_time),
            version: self.version,
        })
    }
}

fn list<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, Fault> {
    serde_json::from_str(text).map_err(Fault::internal)
}

fn text<T: Serialize>(list: &[T]) -> Result<String, Fault> {
    serde_json::to_string(list).map_err(Fault::internal)
}

/// Keeps everybody else from planning until the end of the transaction.
pub async fn programme_lock(tx: &mut Tx) -> Result<(), Fault> {
    let touched = sql!(
        tx,
        execute,
        "UPDATE programme_head SET position = position + 1 WHERE singleton = 1"
    )?;
    expect_one("programme", touched)
}

/// Writes a new slot.
pub async fn slot_insert(tx: &mut Tx, slot: &Slot) -> Result<(), Fault> {
    let (content, times) = (&slot.content, &slot.times);
    sql!(
        tx,
        execute,
        "INSERT INTO slot (slot_id, channel_id, title, theme, session_type, venue, hosts, outlets, brands, \
         local_start, duration_s, recurrence_rule, exceptions, state, create_time, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        slot.id,
        slot.channel_id,
        &content.title,
        &content.theme,
        content.session.word(),
        &content.venue,
        text(&content.hosts)?,
        text(&content.outlets)?,
        text(&content.brands)?,
        &times.local_start,
        times.duration_s,
        &times.rule,
        text(&times.exceptions)?,
        slot.state.word(),
        slot.create_time,
        slot.version
    )?;
    resources_put(tx, slot).await
}

/// Writes what became of a slot, from the version before.
pub async fn slot_save(tx: &mut Tx, slot: &Slot) -> Result<(), Fault> {
    let (content, times) = (&slot.content, &slot.times);
    let touched = sql!(
        tx,
        execute,
        "UPDATE slot SET title = $2, theme = $3, session_type = $4, venue = $5, hosts = $6, outlets = $7, brands = $8, \
         local_start = $9, duration_s = $10, recurrence_rule = $11, exceptions = $12, state = $13, version = $14 \
         WHERE slot_id = $1 AND version = $14 - 1",
        slot.id,
        &content.title,
        &content.theme,
        content.session.word(),
        &content.venue,
        text(&content.hosts)?,
        text(&content.outlets)?,
        text(&content.brands)?,
        &times.local_start,
        times.duration_s,
        &times.rule,
        text(&times.exceptions)?,
        slot.state.word(),
        slot.version
    )?;
    expect_one("slot", touched)?;
    sql!(
        tx,
        execute,
        "DELETE FROM slot_resource WHERE slot_id = $1",
        slot.id
    )?;
    resources_put(tx, slot).await
}

async fn resources_put(tx: &mut Tx, slot: &Slot) -> Result<(), Fault> {
    if slot.state != SlotState::Active {
        return Ok(());
    }
    let resources = slot.resources();
    let kinds: Vec<&str> = resources.iter().map(Resource::word).collect();
    let keys: Vec<&str> = resources.iter().map(Resource::key).collect();
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO slot_resource (kind, resource_key, slot_id) \
                   SELECT u.kind, u.resource_key, $3 FROM UNNEST($1::TEXT[], $2::TEXT[]) AS u(kind, resource_key)",
        sqlite: "INSERT INTO slot_resource (kind, resource_key, slot_id) \
                 SELECT value->>0, value->>1, $2 FROM json_each($1)",
        columns: [kinds, keys],
        also: [slot.id]
    )?;
    Ok(())
}

/// One slot. Who changes it has locked the programme.
pub async fn slot_by_id(tx: &mut Tx, slot: &SlotId) -> Result<Option<Slot>, Fault> {
    let row = sql!(tx, optional Row, concat!("SELECT ", columns!(), " FROM slot AS s WHERE s.slot_id = $1"), slot)?;
    row.map(Row::into_model).transpose()
}

/// A page of a channel's slots, by creation.
pub async fn slots_list(
    tx: &mut Tx,
    channel: &ChannelId,
    state: Option<SlotState>,
    after: &str,
    limit: i64,
) -> Result<Vec<Slot>, Fault> {
    let state = state.map_or("", SlotState::word);
    let rows = sql!(
        tx,
        all Row,
        concat!(
            "SELECT ", columns!(), " FROM slot AS s WHERE s.channel_id = $1 AND s.slot_id > $2 \
             AND ($3 = '' OR s.state = $3) ORDER BY s.slot_id LIMIT $4"
        ),
        channel,
        after,
        state,
        limit
    )?;
    rows.into_iter().map(Row::into_model).collect()
}

/// The active slots that take something, at most `limit`.
pub async fn slots_taking(
    tx: &mut Tx,
    resource: &Resource,
    limit: i64,
) -> Result<Vec<Slot>, Fault> {
    let rows = sql!(
        tx,
        all Row,
        concat!(
            "SELECT ", columns!(), " FROM slot_resource AS t JOIN slot AS s ON s.slot_id = t.slot_id \
             WHERE t.kind = $1 AND t.resource_key = $2 AND s.state = 'ACTIVE' ORDER BY s.slot_id LIMIT $3"
        ),
        resource.word(),
        resource.key(),
        limit
    )?;
    rows.into_iter().map(Row::into_model).collect()
}
