//! Rooms with their hosts, outlets and brand rules.

use std::collections::BTreeMap;

use ::store::{StoreError, Tx, bulk, sql};
use contracts::id::{ChannelId, OutletId, PartnerId, RoomId};
use kit::clock::Micros;
use kit::errors::Fault;

use super::{expect_one, id, opt_id, time, word};
use crate::model::{NextRoom, Place, Room, RoomState, Schedule, SessionType, SlotTime};

macro_rules! columns {
    () => {
        "r.room_id, r.title, r.theme, r.drop_id, r.session_type, r.channel_id, r.venue, r.slot_id, r.slot_start, \
         r.overridden, r.next_room_id, r.state, r.announced, r.state_reason, r.schedule_start, \
         r.schedule_end, r.live_time, r.end_time, r.create_time, r.version"
    };
}

pub(super) use columns;

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    room_id: String,
    title: String,
    theme: String,
    drop_id: String,
    session_type: String,
    channel_id: String,
    venue: String,
    slot_id: String,
    slot_start: i64,
    overridden: bool,
    next_room_id: String,
    state: String,
    announced: bool,
    state_reason: String,
    schedule_start: Option<i64>,
    schedule_end: Option<i64>,
    live_time: Option<i64>,
    end_time: Option<i64>,
    create_time: i64,
    version: i64,
}

impl Row {
    /// The room without hosts, places and brands.
    fn into_model(self) -> Result<Room, Fault> {
        let start = Micros(self.slot_start);
        let slot = opt_id(&self.slot_id)?;
        let next = opt_id(&self.next_room_id)?;
        Ok(Room {
            id: id(&self.room_id)?,
            title: self.title,
            theme: self.theme,
            drop_id: opt_id(&self.drop_id)?,
            session: word("session_type", &self.session_type, SessionType::named)?,
            channel_id: opt_id(&self.channel_id)?,
            venue: self.venue,
            slot: slot.map(|slot_id| SlotTime { slot_id, start }),
            overridden: self.overridden,
            next: next.map(|room_id| NextRoom {
                room_id,
                outlets: Vec::new(),
            }),
            hosts: Vec::new(),
            places: Vec::new(),
            brands: Vec::new(),
            schedule: Schedule {
                start: time(self.schedule_start),
                end: time(self.schedule_end),
            },
            state: word("state", &self.state, RoomState::named)?,
            announced: self.announced,
            state_reason: self.state_reason,
            live_time: time(self.live_time),
            end_time: time(self.end_time),
            create_time: Micros(self.create_time),
            version: self.version,
        })
    }
}

/// Writes a new room, with its log and counters.
pub async fn room_insert(tx: &mut Tx, room: &Room, epoch: &str) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "INSERT INTO room (room_id, title, theme, drop_id, session_type, channel_id, venue, slot_id, slot_start, \
         overridden, next_room_id, state, announced, state_reason, schedule_start, schedule_end, create_time, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, '', $11, $12, $13, $14, $15, $16, $17)",
        room.id,
        &room.title,
        &room.theme,
        room.drop_id.as_ref().map_or("", |drop| drop.as_str()),
        room.session.word(),
        room.channel_id
            .as_ref()
            .map_or("", |channel| channel.as_str()),
        &room.venue,
        room.slot.as_ref().map_or("", |slot| slot.slot_id.as_str()),
        room.slot.map_or(0, |slot| slot.start.0),
        room.overridden,
        room.state.word(),
        room.announced,
        &room.state_reason,
        room.schedule.start,
        room.schedule.end,
        room.create_time,
        room.version
    )?;
    sql!(
        tx,
        execute,
        "INSERT INTO room_log (room_id, epoch) VALUES ($1, $2)",
        room.id,
        epoch
    )?;
    sql!(
        tx,
        execute,
        "INSERT INTO room_counter (room_id) VALUES ($1)",
        room.id
    )?;
    parts_insert(tx, room).await
}

fn numbered(count: usize) -> Vec<i64> {
    (0i64..).take(count).collect()
}

async fn parts_insert(tx: &mut Tx, room: &Room) -> Result<(), Fault> {
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO room_host (room_id, host_id, place) \
                   SELECT $3, u.host_id, u.place FROM UNNEST($1::TEXT[], $2::BIGINT[]) AS u(host_id, place)",
        sqlite: "INSERT INTO room_host (room_id, host_id, place) \
                 SELECT $2, value->>0, value->>1 FROM json_each($1)",
        columns: [&room.hosts, numbered(room.hosts.len())],
        also: [room.id]
    )?;
    let outlets: Vec<OutletId> = room.places.iter().map(|place| place.outlet_id).collect();
    let partners: Vec<PartnerId> = room.places.iter().map(|place| place.partner_id).collect();
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO room_outlet (room_id, outlet_id, partner_id, place) \
                   SELECT $4, u.outlet_id, u.partner_id, u.place \
                   FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[]) AS u(outlet_id, partner_id, place)",
        sqlite: "INSERT INTO room_outlet (room_id, outlet_id, partner_id, place) \
                 SELECT $2, value->>0, value->>1, value->>2 FROM json_each($1)",
        columns: [outlets, partners, numbered(room.places.len())],
        also: [room.id]
    )?;
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO room_brand (room_id, brand, place) \
                   SELECT $3, u.brand, u.place FROM UNNEST($1::TEXT[], $2::BIGINT[]) AS u(brand, place)",
        sqlite: "INSERT INTO room_brand (room_id, brand, place) \
                 SELECT $2, value->>0, value->>1 FROM json_each($1)",
        columns: [&room.brands, numbered(room.brands.len())],
        also: [room.id]
    )?;
    Ok(())
}

/// Locks a room until the end of the transaction and reads it.
pub async fn room_lock(tx: &mut Tx, room: &RoomId) -> Result<Option<Room>, Fault> {
    let ids = [*room];
    // SQLite has one writer, which needs no lock.
    let rows = bulk!(
        tx,
        all Row,
        postgres: concat!("SELECT ", columns!(), " FROM room AS r WHERE r.room_id = ANY($1::TEXT[]) FOR UPDATE"),
        sqlite: concat!("SELECT ", columns!(), " FROM json_each($1) AS k CROSS JOIN room AS r ON r.room_id = k.value->>0"),
        columns: [&ids[..]]
    )?;
    Ok(with_parts(tx, rows).await?.pop())
}

/// One room.
pub async fn room_by_id(tx: &mut Tx, room: &RoomId) -> Result<Option<Room>, Fault> {
    let rows = sql!(tx, all Row, concat!("SELECT ", columns!(), " FROM room AS r WHERE r.room_id = $1"), room)?;
    Ok(with_parts(tx, rows).await?.pop())
}

/// Where one room is in its life, and since when it is on air.
pub async fn room_state(tx: &mut Tx, room: &RoomId) -> Result<Option<RoomState>, Fault> {
    let row = sql!(
        tx,
        optional(String,),
        "SELECT state FROM room WHERE room_id = $1",
        room
    )?;
    row.map(|(state,)| word("state", &state, RoomState::named))
        .transpose()
}

/// Which rooms, in the order of creation.
#[derive(Clone, Debug)]
pub struct RoomQuery {
    /// Only those that this partner may know of.
    pub partner: Option<PartnerId>,
    /// Only of this state.
    pub state: Option<RoomState>,
    /// After this one; empty for the beginning.
    pub after: String,
    /// At most so many.
    pub limit: i64,
}

macro_rules! partners_rooms {
    ($state:literal) => {
        concat!(
            "SELECT ", columns!(), " FROM (SELECT DISTINCT o.room_id FROM room_outlet AS o \
             WHERE o.partner_id = $3 AND o.room_id > $1) AS k JOIN room AS r ON r.room_id = k.room_id \
             WHERE r.announced", $state, " ORDER BY r.room_id LIMIT $2"
        )
    };
}

/// A page of rooms. Each filter has a text of its own, so that each finds its index.
pub async fn rooms_list(tx: &mut Tx, query: &RoomQuery) -> Result<Vec<Room>, Fault> {
    let (after, limit) = (query.after.as_str(), query.limit);
    let state = query.state.map(RoomState::word);
    let rows: Result<Vec<Row>, StoreError> = match (&query.partner, state) {
        (None, None) => sql!(
            tx,
            all Row,
            concat!("SELECT ", columns!(), " FROM room AS r WHERE r.room_id > $1 ORDER BY r.room_id LIMIT $2"),
            after,
            limit
        ),
        (None, Some(state)) => sql!(
            tx,
            all Row,
            concat!(
                "SELECT ", columns!(), " FROM room AS r WHERE r.state = $3 AND r.room_id > $1 \
                 ORDER BY r.room_id LIMIT $2"
            ),
            after,
            limit,
            state
        ),
        (Some(partner), None) => sql!(tx, all Row, partners_rooms!(""), after, limit, partner),
        (Some(partner), Some(state)) => {
            sql!(tx, all Row, partners_rooms!(" AND r.state = $4"), after, limit, partner, state)
        }
    };
    with_parts(tx, rows?).await
}

/// Puts hosts, places and brands to rooms that were read, and keeps their order.
pub(super) async fn with_parts(tx: &mut Tx, rows: Vec<Row>) -> Result<Vec<Room>, Fault> {
    let ids: Vec<String> = rows.iter().map(|row| row.room_id.clone()).collect();
    let mut rooms = rows
        .into_iter()
        .map(Row::into_model)
        .collect::<Result<Vec<_>, _>>()?;
    if rooms.is_empty() {
        return Ok(rooms);
    }
    let at: BTreeMap<String, usize> = ids.iter().cloned().zip(0..).collect();
    let hosts = bulk!(
        tx,
        all (String, String),
        postgres: "SELECT p.room_id, p.host_id FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM room_host WHERE room_id = k.id OFFSET 0) AS p ORDER BY p.room_id, p.place",
        sqlite: "SELECT p.room_id, p.host_id FROM json_each($1) AS k CROSS JOIN room_host AS p \
                 ON p.room_id = k.value->>0 ORDER BY p.room_id, p.place",
        columns: [&ids]
    )?;
    for (room, host) in hosts {
        if let Some(at) = at.get(&room) {
            rooms[*at].hosts.push(id(&host)?);
        }
    }
    let places = bulk!(
        tx,
        all (String, String, String),
        postgres: "SELECT p.room_id, p.outlet_id, p.partner_id FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM room_outlet WHERE room_id = k.id OFFSET 0) AS p ORDER BY p.room_id, p.place",
        sqlite: "SELECT p.room_id, p.outlet_id, p.partner_id FROM json_each($1) AS k CROSS JOIN room_outlet AS p \
                 ON p.room_id = k.value->>0 ORDER BY p.room_id, p.place",
        columns: [&ids]
    )?;
    for (room, outlet, partner) in places {
        if let Some(at) = at.get(&room) {
            rooms[*at].places.push(Place {
                outlet_id: id(&outlet)?,
                partner_id: id(&partner)?,
            });
        }
    }
    let brands = bulk!(
        tx,
        all (String, String),
        postgres: "SELECT p.room_id, p.brand FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM room_brand WHERE room_id = k.id OFFSET 0) AS p ORDER BY p.room_id, p.place",
        sqlite: "SELECT p.room_id, p.brand FROM json_each($1) AS k CROSS JOIN room_brand AS p \
                 ON p.room_id = k.value->>0 ORDER BY p.room_id, p.place",
        columns: [&ids]
    )?;
    for (room, brand) in brands {
        if let Some(at) = at.get(&room) {
            rooms[*at].brands.push(brand);
        }
    }
    with_next(tx, &mut rooms).await?;
    Ok(rooms)
}

/// Puts to rooms that ended where the one that followed is shown.
async fn with_next(tx: &mut Tx, rooms: &mut [Room]) -> Result<(), Fault> {
    for next in rooms.iter_mut().filter_map(|room| room.next.as_mut()) {
        let rows = sql!(
            tx,
            all(String,),
            "SELECT outlet_id FROM room_outlet WHERE room_id = $1 ORDER BY place",
            next.room_id
        )?;
        for (outlet,) in rows {
            next.outlets.push(id(&outlet)?);
        }
    }
    Ok(())
}

/// Writes what became of a room, from the version before.
pub async fn room_save(tx: &mut Tx, room: &Room) -> Result<(), Fault> {
    let touched = sql!(
        tx,
        execute,
        "UPDATE room SET state = $2, announced = $3, state_reason = $4, schedule_start = $5, schedule_end = $6, \
         live_time = $7, end_time = $8, version = $9, next_room_id = $10 WHERE room_id = $1 AND version = $9 - 1",
        room.id,
        room.state.word(),
        room.announced,
        &room.state_reason,
        room.schedule.start,
        room.schedule.end,
        room.live_time,
        room.end_time,
        room.version,
        room.next.as_ref().map_or("", |next| next.room_id.as_str())
    )?;
    expect_one("room", touched)
}

/// Writes what a room is about anew; its state and version are written by [`room_save`].
pub async fn room_rewrite(tx: &mut Tx, room: &Room) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "UPDATE room SET title = $2, theme = $3, session_type = $4, venue = $5, overridden = $6 WHERE room_id = $1",
        room.id,
        &room.title,
        &room.theme,
        room.session.word(),
        &room.venue,
        room.overridden
    )?;
    sql!(
        tx,
        execute,
        "DELETE FROM room_host WHERE room_id = $1",
        room.id
    )?;
    sql!(
        tx,
        execute,
        "DELETE FROM room_outlet WHERE room_id = $1",
        room.id
    )?;
    sql!(
        tx,
        execute,
        "DELETE FROM room_brand WHERE room_id = $1",
        room.id
    )?;
    parts_insert(tx, room).await
}

/// A room is no time of its slot any more, so that the time may get another room.
pub async fn room_leave_slot(tx: &mut Tx, room: &RoomId) -> Result<(), Fault> {
    let touched = sql!(
        tx,
        execute,
        "UPDATE room SET slot_id = '', slot_start = 0, overridden = FALSE WHERE room_id = $1",
        room
    )?;
    expect_one("room", touched)
}

/// The channel that carries a room, which it never leaves; its lock comes before the room's.
pub async fn room_channel(tx: &mut Tx, room: &RoomId) -> Result<Option<ChannelId>, Fault> {
    let row = sql!(
        tx,
        optional(String,),
        "SELECT channel_id FROM room WHERE room_id = $1",
        room
    )?;
    Ok(row
        .map(|(channel,)| opt_id(&channel))
        .transpose()?
        .flatten())
}

/// Several rooms, in the order asked for; those that do not exist are left out.
pub async fn rooms_by_ids(tx: &mut Tx, rooms: &[RoomId]) -> Result<Vec<Room>, Fault> {
    if rooms.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all Row,
        postgres: concat!(
            "SELECT ", columns!(), " FROM UNNEST($1::TEXT[]) WITH ORDINALITY AS k(id, n) CROSS JOIN LATERAL \
             (SELECT * FROM room WHERE room_id = k.id LIMIT 1) AS r ORDER BY k.n"
        ),
        sqlite: concat!(
            "SELECT ", columns!(), " FROM json_each($1) AS k CROSS JOIN room AS r ON r.room_id = k.value->>0 \
             ORDER BY k.key"
        ),
        columns: [rooms]
    )?;
    with_parts(tx, rows).await
}

/// Whether a room is shown at a place.
pub async fn room_is_shown_at(tx: &mut Tx, room: &RoomId, place: &Place) -> Result<bool, Fault> {
    let row = sql!(
        tx,
        optional(i64,),
        "SELECT CAST(1 AS BIGINT) FROM room_outlet WHERE room_id = $1 AND outlet_id = $2 AND partner_id = $3",
        room,
        place.outlet_id,
        place.partner_id
    )?;
    Ok(row.is_some())
}
