//! Channels with their outlets, and how often what they show changed.

use std::collections::BTreeMap;

use ::store::{StoreError, Tx, bulk, sql};
use contracts::id::{ChannelId, OutletId, PartnerId, RoomId};
use kit::clock::Micros;
use kit::errors::Fault;

use super::{expect_one, id, word};
use crate::model::{Channel, ChannelState, Place};

macro_rules! columns {
    () => {
        "c.channel_id, c.display_name, c.time_zone, c.auto_handover, c.state, c.create_time, c.version"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    channel_id: String,
    display_name: String,
    time_zone: String,
    auto_handover: bool,
    state: String,
    create_time: i64,
    version: i64,
}

impl Row {
    /// The channel without its places.
    fn into_model(self) -> Result<Channel, Fault> {
        Ok(Channel {
            id: id(&self.channel_id)?,
            display_name: self.display_name,
            time_zone: self.time_zone,
            places: Vec::new(),
            auto_handover: self.auto_handover,
            state: word("state", &self.state, ChannelState::named)?,
            create_time: Micros(self.create_time),
            version: self.version,
        })
    }
}

/// Writes a new channel.
pub async fn channel_insert(tx: &mut Tx, channel: &Channel) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "INSERT INTO channel (channel_id, display_name, time_zone, auto_handover, state, create_time, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        channel.id,
        &channel.display_name,
        &channel.time_zone,
        channel.auto_handover,
        channel.state.word(),
        channel.create_time,
        channel.version
    )?;
    sql!(
        tx,
        execute,
        "INSERT INTO channel_head (channel_id) VALUES ($1)",
        channel.id
    )?;
    places_insert(tx, channel).await
}

async fn places_insert(tx: &mut Tx, channel: &Channel) -> Result<(), Fault> {
    let outlets: Vec<OutletId> = channel.places.iter().map(|place| place.outlet_id).collect();
    let partners: Vec<PartnerId> = channel
        .places
        .iter()
        .map(|place| place.partner_id)
        .collect();
    let numbers: Vec<i64> = (0i64..).take(channel.places.len()).collect();
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO channel_outlet (channel_id, outlet_id, partner_id, place) \
                   SELECT $4, u.outlet_id, u.partner_id, u.place \
                   FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[]) AS u(outlet_id, partner_id, place)",
        sqlite: "INSERT INTO channel_outlet (channel_id, outlet_id, partner_id, place) \
                 SELECT $2, value->>0, value->>1, value->>2 FROM json_each($1)",
        columns: [outlets, partners, numbers],
        also: [channel.id]
    )?;
    Ok(())
}

/// Locks a channel until the end of the transaction and reads it. Its lock comes before those of its rooms.
pub async fn channel_lock(tx: &mut Tx, channel: &ChannelId) -> Result<Option<Channel>, Fault> {
    let ids = [*channel];
    // SQLite has one writer, which needs no lock.
    let rows = bulk!(
        tx,
        all Row,
        postgres: concat!("SELECT ", columns!(), " FROM channel AS c WHERE c.channel_id = ANY($1::TEXT[]) FOR UPDATE"),
        sqlite: concat!("SELECT ", columns!(), " FROM json_each($1) AS k CROSS JOIN channel AS c ON c.channel_id = k.value->>0"),
        columns: [&ids[..]]
    )?;
    Ok(with_places(tx, rows).await?.pop())
}

/// One channel.
pub async fn channel_by_id(tx: &mut Tx, channel: &ChannelId) -> Result<Option<Channel>, Fault> {
    let rows = sql!(tx, all Row, concat!("SELECT ", columns!(), " FROM channel AS c WHERE c.channel_id = $1"), channel)?;
    Ok(with_places(tx, rows).await?.pop())
}

/// A page of channels, by creation; only those shown on an outlet of a partner, when one is named.
pub async fn channels_list(
    tx: &mut Tx,
    partner: Option<&PartnerId>,
    after: &str,
    limit: i64,
) -> Result<Vec<Channel>, Fault> {
    let rows: Result<Vec<Row>, StoreError> = match partner {
        None => sql!(
            tx,
            all Row,
            concat!("SELECT ", columns!(), " FROM channel AS c WHERE c.channel_id > $1 ORDER BY c.channel_id LIMIT $2"),
            after,
            limit
        ),
        Some(partner) => sql!(
            tx,
            all Row,
            concat!(
                "SELECT ", columns!(), " FROM (SELECT DISTINCT o.channel_id FROM channel_outlet AS o \
                 WHERE o.partner_id = $3 AND o.channel_id > $1 ORDER BY o.channel_id LIMIT $2) AS k \
                 JOIN channel AS c ON c.channel_id = k.channel_id ORDER BY c.channel_id"
            ),
            after,
            limit,
            partner
        ),
    };
    with_places(tx, rows?).await
}

async fn with_places(tx: &mut Tx, rows: Vec<Row>) -> Result<Vec<Channel>, Fault> {
    let ids: Vec<String> = rows.iter().map(|row| row.channel_id.clone()).collect();
    let mut channels = rows
        .into_iter()
        .map(Row::into_model)
        .collect::<Result<Vec<_>, _>>()?;
    if channels.is_empty() {
        return Ok(channels);
    }
    let at: BTreeMap<String, usize> = ids.iter().cloned().zip(0..).collect();
    let places = bulk!(
        tx,
        all (String, String, String),
        postgres: "SELECT p.channel_id, p.outlet_id, p.partner_id FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM channel_outlet WHERE channel_id = k.id OFFSET 0) AS p ORDER BY p.channel_id, p.place",
        sqlite: "SELECT p.channel_id, p.outlet_id, p.partner_id FROM json_each($1) AS k CROSS JOIN channel_outlet AS p \
                 ON p.channel_id = k.value->>0 ORDER BY p.channel_id, p.place",
        columns: [&ids]
    )?;
    for (channel, outlet, partner) in places {
        if let Some(at) = at.get(&channel) {
            channels[*at].places.push(Place {
                outlet_id: id(&outlet)?,
                partner_id: id(&partner)?,
            });
        }
    }
    Ok(channels)
}

/// Writes what became of a channel, from the version before.
pub async fn channel_save(tx: &mut Tx, channel: &Channel) -> Result<(), Fault> {
    let touched = sql!(
        tx,
        execute,
        "UPDATE channel SET display_name = $2, time_zone = $3, auto_handover = $4, state = $5, version = $6 \
         WHERE channel_id = $1 AND version = $6 - 1",
        channel.id,
        &channel.display_name,
        &channel.time_zone,
        channel.auto_handover,
        channel.state.word(),
        channel.version
    )?;
    expect_one("channel", touched)?;
    sql!(
        tx,
        execute,
        "DELETE FROM channel_outlet WHERE channel_id = $1",
        channel.id
    )?;
    places_insert(tx, channel).await
}

/// What a channel shows changed.
pub async fn channel_touch(tx: &mut Tx, channel: &ChannelId) -> Result<(), Fault> {
    let touched = sql!(
        tx,
        execute,
        "UPDATE channel_head SET position = position + 1 WHERE channel_id = $1",
        channel
    )?;
    expect_one("channel", touched)
}

/// How often what these channels show changed.
pub async fn channel_heads(
    tx: &mut Tx,
    channels: &[ChannelId],
) -> Result<Vec<(ChannelId, i64)>, Fault> {
    if channels.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all (String, i64),
        postgres: "SELECT h.channel_id, h.position FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM channel_head WHERE channel_id = k.id LIMIT 1) AS h",
        sqlite: "SELECT h.channel_id, h.position FROM json_each($1) AS k CROSS JOIN channel_head AS h \
                 ON h.channel_id = k.value->>0",
        columns: [channels]
    )?;
    rows.iter()
        .map(|(channel, at)| Ok((id(channel)?, *at)))
        .collect()
}

/// Channels that have something to do by themselves at a moment: a room that is due or was missed, or one that went on for
/// too long after its time. A room planned before the one on air was leapt over: nothing is to do until it is missed.
pub async fn channels_due(
    tx: &mut Tx,
    now: Micros,
    over_since: Micros,
    limit: i64,
) -> Result<Vec<ChannelId>, Fault> {
    let rows = sql!(
        tx,
        all(String,),
        "SELECT r.channel_id FROM room AS r JOIN channel AS c ON c.channel_id = r.channel_id \
         WHERE r.channel_id <> '' AND r.state = 'SCHEDULED' AND r.schedule_start <= $1 \
         AND c.auto_handover AND c.state = 'ACTIVE' \
         AND (r.schedule_end <= $1 OR NOT EXISTS (SELECT 1 FROM room AS o WHERE o.channel_id = r.channel_id \
         AND o.channel_id <> '' AND o.state IN ('LIVE', 'PAUSED') AND o.schedule_start >= r.schedule_start)) \
         UNION SELECT r.channel_id FROM channel AS c JOIN room AS r ON r.channel_id = c.channel_id \
         WHERE c.auto_handover AND c.state = 'ACTIVE' AND r.channel_id <> '' AND r.state IN ('LIVE', 'PAUSED') \
         AND r.schedule_end <= $2 \
         ORDER BY 1 LIMIT $3",
        now,
        over_since,
        limit
    )?;
    rows.iter().map(|(channel,)| id(channel)).collect()
}

/// Channels that carry a programme, after one, by id.
pub async fn channels_active(
    tx: &mut Tx,
    after: &str,
    limit: i64,
) -> Result<Vec<ChannelId>, Fault> {
    let rows = sql!(
        tx,
        all(String,),
        "SELECT channel_id FROM channel WHERE channel_id > $1 AND state = 'ACTIVE' ORDER BY channel_id LIMIT $2",
        after,
        limit
    )?;
    rows.iter().map(|(channel,)| id(channel)).collect()
}

/// The room that a channel is on air with.
pub async fn channel_on_air(tx: &mut Tx, channel: &ChannelId) -> Result<Option<RoomId>, Fault> {
    let row = sql!(
        tx,
        optional(String,),
        "SELECT room_id FROM room WHERE channel_id = $1 AND channel_id <> '' AND state IN ('LIVE', 'PAUSED')",
        channel
    )?;
    row.map(|(room,)| id(&room)).transpose()
}
