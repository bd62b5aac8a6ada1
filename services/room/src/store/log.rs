//! The log of each room.

use std::collections::BTreeMap;

use ::store::{Tx, bulk, sql};
use contracts::id::{QuestionId, RoomId};
use kit::clock::Micros;
use kit::errors::Fault;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::id;
use super::question::questions_by_ids;
use crate::model::{ChatEvent, LedgerEvent, Logged, Question};

const LEDGER: &str = "LEDGER";
const CHAT: &str = "CHAT";

/// Where a room's log stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heads {
    /// The room's life.
    pub epoch: String,
    /// The last LEDGER event.
    pub ledger: i64,
    /// The last CHAT event.
    pub chat: i64,
    /// Questions asked.
    pub questions: i64,
}

#[derive(sqlx::FromRow)]
struct HeadsRow {
    epoch: String,
    ledger_position: i64,
    chat_position: i64,
    questions: i64,
}

/// Adds LEDGER events, in order. The room is locked by the caller.
pub async fn ledger_append(
    tx: &mut Tx,
    room: &RoomId,
    events: &[LedgerEvent],
) -> Result<(), Fault> {
    if events.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(events.len()).map_err(Fault::internal)?;
    let (last,) = sql!(
        tx,
        one(i64,),
        "UPDATE room_log SET ledger_position = ledger_position + $2 WHERE room_id = $1 RETURNING ledger_position",
        room,
        count
    )?;
    events_insert(tx, room, LEDGER, last - count, events).await
}

/// Takes the next CHAT position and keeps the log locked until the commit, so that what is read afterwards of the
/// room is true until then; none when there is no such room.
pub async fn chat_next(tx: &mut Tx, room: &RoomId, asked: bool) -> Result<Option<i64>, Fault> {
    let row = sql!(
        tx,
        optional(i64,),
        "UPDATE room_log SET chat_position = chat_position + 1, questions = questions + $2 WHERE room_id = $1 \
         RETURNING chat_position",
        room,
        i64::from(asked)
    )?;
    Ok(row.map(|(position,)| position))
}

/// Writes the CHAT event of a position that was taken.
pub async fn chat_insert(
    tx: &mut Tx,
    room: &RoomId,
    position: i64,
    event: ChatEvent,
) -> Result<(), Fault> {
    events_insert(tx, room, CHAT, position - 1, &[event]).await
}

async fn events_insert<E: Serialize>(
    tx: &mut Tx,
    room: &RoomId,
    class: &'static str,
    after: i64,
    events: &[E],
) -> Result<(), Fault> {
    let now = tx.now();
    let positions: Vec<i64> = (after + 1..).take(events.len()).collect();
    let payloads = events
        .iter()
        .map(serde_json::to_vec)
        .collect::<Result<Vec<_>, _>>()
        .map_err(Fault::internal)?;
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO room_event (room_id, class, position, payload, event_time) \
                   SELECT $3, $4, u.position, u.payload, $5::BIGINT \
                   FROM UNNEST($1::BIGINT[], $2::BYTEA[]) AS u(position, payload)",
        sqlite: "INSERT INTO room_event (room_id, class, position, payload, event_time) \
                 SELECT $2, $3, value->>0, unhex(value->>1), $4 FROM json_each($1)",
        columns: [positions, payloads],
        also: [room, class, now]
    )?;
    Ok(())
}

/// Where a room's log stands; none when there is no such room.
pub async fn log_heads(tx: &mut Tx, room: &RoomId) -> Result<Option<Heads>, Fault> {
    let row = sql!(
        tx,
        optional HeadsRow,
        "SELECT epoch, ledger_position, chat_position, questions FROM room_log WHERE room_id = $1",
        room
    )?;
    Ok(row.map(|row| Heads {
        epoch: row.epoch,
        ledger: row.ledger_position,
        chat: row.chat_position,
        questions: row.questions,
    }))
}

/// Where the logs of several rooms stand: LEDGER and CHAT.
pub async fn logs_heads(tx: &mut Tx, rooms: &[RoomId]) -> Result<Vec<(RoomId, i64, i64)>, Fault> {
    if rooms.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all (String, i64, i64),
        postgres: "SELECT l.room_id, l.ledger_position, l.chat_position FROM UNNEST($1::TEXT[]) AS k(id) \
                   CROSS JOIN LATERAL (SELECT * FROM room_log WHERE room_id = k.id LIMIT 1) AS l",
        sqlite: "SELECT l.room_id, l.ledger_position, l.chat_position FROM json_each($1) AS k \
                 CROSS JOIN room_log AS l ON l.room_id = k.value->>0",
        columns: [rooms]
    )?;
    rows.into_iter()
        .map(|(room, ledger, chat)| Ok((id(&room)?, ledger, chat)))
        .collect()
}

/// A stretch of one class of a room's log: after one position, up to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// After this position.
    pub after: i64,
    /// Up to and with this one.
    pub until: i64,
}

impl Stretch {
    /// How many events it has.
    pub fn count(&self) -> i64 {
        (self.until - self.after).max(0)
    }
}

async fn events<E: DeserializeOwned>(
    tx: &mut Tx,
    room: &RoomId,
    class: &'static str,
    stretch: Stretch,
) -> Result<Vec<Logged<E>>, Fault> {
    if stretch.count() == 0 {
        return Ok(Vec::new());
    }
    let rows = sql!(
        tx,
        all(i64, Vec<u8>, i64),
        "SELECT position, payload, event_time FROM room_event WHERE room_id = $1 AND class = $2 AND position > $3 \
         AND position <= $4 ORDER BY position",
        room,
        class,
        stretch.after,
        stretch.until
    )?;
    let read = |(position, payload, time): (i64, Vec<u8>, i64)| {
        let event = serde_json::from_slice(&payload).map_err(Fault::internal)?;
        Ok(Logged {
            position,
            time: Micros(time),
            event,
        })
    };
    rows.into_iter().map(read).collect()
}

/// LEDGER events; what is no longer kept is missing.
pub async fn ledger_events(
    tx: &mut Tx,
    room: &RoomId,
    stretch: Stretch,
) -> Result<Vec<Logged<LedgerEvent>>, Fault> {
    events(tx, room, LEDGER, stretch).await
}

/// What was said about a question.
pub type Said = Logged<(ChatEvent, Question)>;

/// CHAT events with their questions. What is no longer kept is missing; how many there were is told beside.
pub async fn chat_events(
    tx: &mut Tx,
    room: &RoomId,
    stretch: Stretch,
) -> Result<(Vec<Said>, i64), Fault> {
    let logged: Vec<Logged<ChatEvent>> = events(tx, room, CHAT, stretch).await?;
    let found = i64::try_from(logged.len()).map_err(Fault::internal)?;
    let mut ids: Vec<QuestionId> = logged
        .iter()
        .map(|logged| logged.event.question_id())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let questions: BTreeMap<QuestionId, Question> = questions_by_ids(tx, &ids)
        .await?
        .into_iter()
        .map(|question| (question.id, question))
        .collect();
    let said = logged.into_iter().filter_map(
        |Logged {
             position,
             time,
             event,
         }| {
            let question = questions.get(&event.question_id())?.clone();
            Some(Logged {
                position,
                time,
                event: (event, question),
            })
        },
    );
    Ok((said.collect(), found))
}

/// Forgets the logs of rooms that ended before a moment, at most so many events; says how many went.
pub async fn events_forget(tx: &mut Tx, before: Micros, limit: i64) -> Result<u64, Fault> {
    let gone = sql!(
        tx,
        execute,
        "DELETE FROM room_event WHERE (room_id, class, position) IN \
         (SELECT e.room_id, e.class, e.position FROM room AS r JOIN room_event AS e ON e.room_id = r.room_id \
         WHERE r.state = 'ENDED' AND r.end_time < $1 LIMIT $2)",
        before,
        limit
    )?;
    Ok(gone)
}
