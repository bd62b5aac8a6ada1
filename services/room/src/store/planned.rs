//! Rooms as a programme looks at them: by channel, by slot and by time.

use std::time::Duration;

use ::store::{Tx, sql};
use contracts::id::{ChannelId, RoomId, SlotId};
use kit::clock::Micros;
use kit::errors::Fault;

use super::id;
use super::room::{Row, columns, with_parts};
use crate::model::{Room, Span};

/// Rooms of a channel that are planned to go on or begin within a stretch of time and were announced.
pub async fn rooms_of_channel(
    tx: &mut Tx,
    channel: &ChannelId,
    within: Span,
    longest: Duration,
) -> Result<Vec<Room>, Fault> {
    let rows = sql!(
        tx,
        all Row,
        concat!(
            "SELECT ", columns!(), " FROM room AS r WHERE r.channel_id = $1 AND r.channel_id <> '' AND r.announced \
             AND r.schedule_start > $2 AND r.schedule_start < $3 AND r.schedule_end > $4 ORDER BY r.schedule_start"
        ),
        channel,
        within.start.minus(longest),
        within.end,
        within.start
    )?;
    with_parts(tx, rows).await
}

/// SCHEDULED rooms of a channel that are not planned to be over at a moment, by their time, at most `limit`.
pub async fn rooms_scheduled(
    tx: &mut Tx,
    channel: &ChannelId,
    at: Micros,
    limit: i64,
) -> Result<Vec<Room>, Fault> {
    let rows = sql!(
        tx,
        all Row,
        concat!(
            "SELECT ", columns!(), " FROM room AS r WHERE r.channel_id = $1 AND r.channel_id <> '' \
             AND r.state = 'SCHEDULED' AND r.schedule_end > $2 ORDER BY r.schedule_start, r.room_id LIMIT $3"
        ),
        channel,
        at,
        limit
    )?;
    with_parts(tx, rows).await
}

/// Rooms of a channel that are SCHEDULED although they were planned to be over at a moment; by id, as everybody who locks
/// several locks them.
pub async fn rooms_missed(
    tx: &mut Tx,
    channel: &ChannelId,
    at: Micros,
    limit: i64,
) -> Result<Vec<RoomId>, Fault> {
    let rows = sql!(
        tx,
        all(String,),
        "SELECT room_id FROM room WHERE channel_id = $1 AND channel_id <> '' AND state = 'SCHEDULED' \
         AND schedule_end <= $2 ORDER BY room_id LIMIT $3",
        channel,
        at,
        limit
    )?;
    rows.iter().map(|(room,)| id(room)).collect()
}

/// Rooms of a slot whose time by the rule is not before a moment, whatever became of them, and those that are to come: one
/// of an earlier time may have been given a later one.
pub async fn rooms_of_slot(tx: &mut Tx, slot: &SlotId, from: Micros) -> Result<Vec<Room>, Fault> {
    let rows = sql!(
        tx,
        all Row,
        concat!(
            "SELECT ", columns!(), " FROM room AS r WHERE r.slot_id = $1 AND r.slot_id <> '' \
             AND (r.slot_start >= $2 OR r.state = 'SCHEDULED') ORDER BY r.slot_start"
        ),
        slot,
        from
    )?;
    with_parts(tx, rows).await
}

/// The times of a slot that have a room already, not before a moment.
pub async fn slot_starts(tx: &mut Tx, slot: &SlotId, from: Micros) -> Result<Vec<Micros>, Fault> {
    let rows = sql!(
        tx,
        all(i64,),
        "SELECT slot_start FROM room WHERE slot_id = $1 AND slot_id <> '' AND slot_start >= $2 ORDER BY slot_start",
        slot,
        from
    )?;
    Ok(rows.into_iter().map(|(start,)| Micros(start)).collect())
}
