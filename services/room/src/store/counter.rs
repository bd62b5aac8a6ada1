//! Totals of rooms.

use std::collections::BTreeMap;

use ::store::{Tx, bulk, sql};
use contracts::id::RoomId;
use kit::clock::Micros;
use kit::errors::Fault;

use super::id;
use crate::model::Counters;

/// What is to be added to one room's totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The room.
    pub room_id: RoomId,
    /// Times somebody began to watch.
    pub views: i64,
    /// Likes.
    pub likes: i64,
}

/// Takes a process's next flush; false when it was taken before, so that its deltas are in already.
pub async fn counter_writer_next(tx: &mut Tx, writer: &str, sequence: i64) -> Result<bool, Fault> {
    let now = tx.now();
    let touched = sql!(
        tx,
        execute,
        "INSERT INTO counter_writer (writer, sequence, flush_time) VALUES ($1, $2, $3) \
         ON CONFLICT (writer) DO UPDATE SET sequence = excluded.sequence, flush_time = excluded.flush_time \
         WHERE counter_writer.sequence < excluded.sequence",
        writer,
        sequence,
        now
    )?;
    Ok(touched == 1)
}

/// Adds to totals.
pub async fn counters_add(tx: &mut Tx, deltas: &[Delta]) -> Result<(), Fault> {
    // Sorted, so that two transactions never wait for each other crosswise.
    let mut deltas = deltas.to_vec();
    deltas.sort_unstable_by_key(|delta| delta.room_id);
    let rooms: Vec<RoomId> = deltas.iter().map(|delta| delta.room_id).collect();
    let views: Vec<i64> = deltas.iter().map(|delta| delta.views).collect();
    let likes: Vec<i64> = deltas.iter().map(|delta| delta.likes).collect();
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO room_counter (room_id, views, likes) \
                   SELECT u.* FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::BIGINT[]) AS u \
                   ON CONFLICT (room_id) DO UPDATE SET views = room_counter.views + excluded.views, \
                   likes = room_counter.likes + excluded.likes",
        sqlite: "INSERT INTO room_counter (room_id, views, likes) \
                 SELECT value->>0, value->>1, value->>2 FROM json_each($1) WHERE true \
                 ON CONFLICT (room_id) DO UPDATE SET views = room_counter.views + excluded.views, \
                 likes = room_counter.likes + excluded.likes",
        columns: [rooms, views, likes]
    )?;
    Ok(())
}

/// The totals in the database, of rooms that exist.
pub async fn counters_by_rooms(
    tx: &mut Tx,
    rooms: &[RoomId],
) -> Result<BTreeMap<RoomId, Counters>, Fault> {
    if rooms.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = bulk!(
        tx,
        all (String, i64, i64, i64),
        postgres: "SELECT c.room_id, c.views, c.likes, l.questions FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM room_counter WHERE room_id = k.id LIMIT 1) AS c CROSS JOIN LATERAL \
                   (SELECT questions FROM room_log WHERE room_id = k.id LIMIT 1) AS l",
        sqlite: "SELECT c.room_id, c.views, c.likes, l.questions FROM json_each($1) AS k \
                 CROSS JOIN room_counter AS c ON c.room_id = k.value->>0 \
                 CROSS JOIN room_log AS l ON l.room_id = c.room_id",
        columns: [rooms]
    )?;
    let rows = rows.into_iter().map(|(room, views, likes, questions)| {
        Ok((
            id(&room)?,
            Counters {
                views,
                viewers: 0,
                likes,
                questions,
            },
        ))
    });
    rows.collect()
}

/// Forgets processes that have not flushed for long.
pub async fn counter_writers_forget(tx: &mut Tx, before: Micros) -> Result<u64, Fault> {
    Ok(sql!(
        tx,
        execute,
        "DELETE FROM counter_writer WHERE flush_time < $1",
        before
    )?)
}
