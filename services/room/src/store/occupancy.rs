//! What rooms on channels take, and what is on air.

use ::store::{StoreError, Tx, bulk, sql};
use contracts::id::{ChannelId, OutletId, PartnerId, RoomId};
use kit::clock::Micros;
use kit::errors::Fault;

use super::id;
use crate::model::{Occupied, Resource, Room, RoomState, Span, Taker};

/// Writes what a room takes now: nothing before it is SCHEDULED, after its end and off channels. Who calls has locked the
/// programme, unless the room ends.
pub async fn occupancy_put(tx: &mut Tx, room: &Room) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "DELETE FROM occupancy WHERE room_id = $1",
        room.id
    )?;
    let taken = match room.state {
        RoomState::Draft | RoomState::Ended => Vec::new(),
        RoomState::Scheduled | RoomState::Live | RoomState::Paused => {
            Resource::of(room.channel_id, &room.hosts, &room.venue)
        }
    };
    let (Some(span), Some(_), false) = (room.span(), room.channel_id, taken.is_empty()) else {
        return Ok(());
    };
    let kinds: Vec<&str> = taken.iter().map(Resource::word).collect();
    let keys: Vec<&str> = taken.iter().map(Resource::key).collect();
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO occupancy (kind, resource_key, start_time, end_time, room_id) \
                   SELECT u.kind, u.resource_key, $3::BIGINT, $4::BIGINT, $5 \
                   FROM UNNEST($1::TEXT[], $2::TEXT[]) AS u(kind, resource_key)",
        sqlite: "INSERT INTO occupancy (kind, resource_key, start_time, end_time, room_id) \
                 SELECT value->>0, value->>1, $2, $3, $4 FROM json_each($1)",
        columns: [kinds, keys],
        also: [span.start, span.end, room.id]
    )?;
    Ok(())
}

/// What rooms take of something within a stretch of time.
pub async fn occupancy_of(
    tx: &mut Tx,
    resource: &Resource,
    within: Span,
) -> Result<Vec<Occupied>, Fault> {
    let rows = sql!(
        tx,
        all(i64, i64, String),
        "SELECT start_time, end_time, room_id FROM occupancy WHERE kind = $1 AND resource_key = $2 \
         AND end_time > $3 AND start_time < $4",
        resource.word(),
        resource.key(),
        within.start,
        within.end
    )?;
    let read = |(start, end, room): (i64, i64, String)| {
        Ok(Occupied {
            resource: resource.clone(),
            span: Span {
                start: Micros(start),
                end: Micros(end),
            },
            taker: Taker::Room(id(&room)?),
        })
    };
    rows.into_iter().map(read).collect()
}

/// A room goes on air.
pub async fn on_air_put(tx: &mut Tx, room: &Room, live: Micros) -> Result<(), Fault> {
    let outlets: Vec<OutletId> = room.places.iter().map(|place| place.outlet_id).collect();
    let partners: Vec<PartnerId> = room.places.iter().map(|place| place.partner_id).collect();
    let channel = room
        .channel_id
        .as_ref()
        .map_or("", |channel| channel.as_str());
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO on_air (room_id, outlet_id, partner_id, channel_id, theme, live_time) \
                   SELECT $3, u.outlet_id, u.partner_id, $4, $5, $6::BIGINT \
                   FROM UNNEST($1::TEXT[], $2::TEXT[]) AS u(outlet_id, partner_id)",
        sqlite: "INSERT INTO on_air (room_id, outlet_id, partner_id, channel_id, theme, live_time) \
                 SELECT $2, value->>0, value->>1, $3, $4, $5 FROM json_each($1)",
        columns: [outlets, partners],
        also: [room.id, channel, &room.theme, live]
    )?;
    sql!(
        tx,
        execute,
        "INSERT INTO on_air_creator (creator_id, room_id) SELECT DISTINCT h.creator_id, p.room_id FROM room_host AS p \
         JOIN host AS h ON h.host_id = p.host_id WHERE p.room_id = $1 AND h.creator_id <> ''",
        room.id
    )?;
    Ok(())
}

/// A room is off air.
pub async fn on_air_delete(tx: &mut Tx, room: &RoomId) -> Result<(), Fault> {
    sql!(tx, execute, "DELETE FROM on_air WHERE room_id = $1", room)?;
    sql!(
        tx,
        execute,
        "DELETE FROM on_air_creator WHERE room_id = $1",
        room
    )?;
    Ok(())
}

/// Which of the rooms that are on air, the latest first.
#[derive(Clone, Debug)]
pub struct OnAirQuery {
    /// Only on outlets of this partner.
    pub partner: Option<PartnerId>,
    /// Only on this outlet.
    pub outlet: Option<OutletId>,
    /// Only of this theme; empty for all.
    pub theme: String,
    /// Only of this channel.
    pub channel: Option<ChannelId>,
    /// Before this place in the list.
    pub before: (Micros, String),
    /// At most so many.
    pub limit: i64,
}

/// The latest rooms of an index: `$lead` are the columns that it begins with.
macro_rules! latest {
    ($lead:literal) => {
        concat!(
            "SELECT DISTINCT a.live_time, a.room_id FROM on_air AS a WHERE ",
            $lead,
            "(a.live_time, a.room_id) < ($1, $2) ORDER BY a.live_time DESC, a.room_id DESC LIMIT $3"
        )
    };
    (all) => {
        latest!("")
    };
    (theme) => {
        latest!("a.theme = $4 AND ")
    };
    (partner) => {
        latest!("a.partner_id = $4 AND ")
    };
    (partner theme) => {
        latest!("a.partner_id = $4 AND a.theme = $5 AND ")
    };
    (outlet) => {
        latest!("a.outlet_id = $4 AND ")
    };
    (outlet theme) => {
        latest!("a.outlet_id = $4 AND a.theme = $5 AND ")
    };
    (channel) => {
        latest!(
            "a.channel_id = $4 AND ($5 = '' OR a.outlet_id = $5) AND ($6 = '' OR a.partner_id = $6) \
             AND ($7 = '' OR a.theme = $7) AND "
        )
    };
}

/// Where rooms that are on air stand in the list, and which they are.
pub type OnAir = (i64, String);

/// A page of the rooms that are on air. Each filter has a text of its own, so that each finds its index.
pub async fn on_air_list(tx: &mut Tx, query: &OnAirQuery) -> Result<Vec<OnAir>, Fault> {
    let ((time, room), limit, theme) = (&query.before, query.limit, query.theme.as_str());
    let (time, room) = (*time, room.as_str());
    let rows: Result<Vec<OnAir>, StoreError> =
        match (&query.outlet, &query.partner, &query.channel, theme) {
            // A channel has one room on air: what else is asked for is looked at afterwards.
            (outlet, partner, Some(channel), theme) => {
                let outlet = outlet.as_ref().map_or("", |outlet| outlet.as_str());
                let partner = partner.as_ref().map_or("", |partner| partner.as_str());
                sql!(
                    tx, all OnAir,
                    latest!(channel),
                    time, room, limit, channel, outlet, partner, theme
                )
            }
            // An outlet belongs to one partner, which was checked.
            (Some(outlet), _, None, "") => {
                sql!(tx, all OnAir, latest!(outlet), time, room, limit, outlet)
            }
            (Some(outlet), _, None, theme) => {
                sql!(tx, all OnAir, latest!(outlet theme), time, room, limit, outlet, theme)
            }
            (None, Some(partner), None, "") => {
                sql!(tx, all OnAir, latest!(partner), time, room, limit, partner)
            }
            (None, Some(partner), None, theme) => {
                sql!(tx, all OnAir, latest!(partner theme), time, room, limit, partner, theme)
            }
            (None, None, None, "") => sql!(tx, all OnAir, latest!(all), time, room, limit),
            (None, None, None, theme) => {
                sql!(tx, all OnAir, latest!(theme), time, room, limit, theme)
            }
        };
    Ok(rows?)
}

/// The rooms on air of channels and creators that a partner's shopper follows: as many as there are, which is not many
/// because what one shopper follows is limited.
pub async fn on_air_followed(
    tx: &mut Tx,
    partner: &PartnerId,
    shopper: &str,
    query: &OnAirQuery,
) -> Result<Vec<OnAir>, Fault> {
    let ((time, room), limit, theme) = (&query.before, query.limit, query.theme.as_str());
    let outlet = query.outlet.as_ref().map_or("", |outlet| outlet.as_str());
    let channel = query
        .channel
        .as_ref()
        .map_or("", |channel| channel.as_str());
    let rows = sql!(
        tx,
        all OnAir,
        "SELECT DISTINCT a.live_time, a.room_id FROM \
         (SELECT r.room_id FROM follow AS f JOIN room AS r ON r.channel_id = f.target_id AND r.channel_id <> '' \
          AND r.state IN ('LIVE', 'PAUSED') WHERE f.partner_id = $4 AND f.shopper_ref = $5 \
          UNION SELECT c.room_id FROM follow AS f JOIN on_air_creator AS c ON c.creator_id = f.target_id \
          WHERE f.partner_id = $4 AND f.shopper_ref = $5) AS k \
         JOIN on_air AS a ON a.room_id = k.room_id \
         WHERE a.partner_id = $4 AND (a.live_time, a.room_id) < ($1, $2) AND ($6 = '' OR a.theme = $6) \
         AND ($7 = '' OR a.outlet_id = $7) AND ($8 = '' OR a.channel_id = $8) \
         ORDER BY a.live_time DESC, a.room_id DESC LIMIT $3",
        *time,
        room,
        limit,
        partner,
        shopper,
        theme,
        outlet,
        channel
    )?;
    Ok(rows)
}

#[cfg(test)]
#[path = "on_air_tests.rs"]
mod tests;
