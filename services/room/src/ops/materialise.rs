//! Times of slots become rooms, and rooms follow what becomes of their slot.

use std::collections::BTreeSet;

use ::store::{Operation, Tx};
use contracts::id::{ChannelId, RoomId, SlotId};
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use super::air;
use super::items::remove_forbidden;
use super::programme::{
    Horizons, LONGEST, Plan, active_slots, recurrence, starts_with_rooms, taken_by_rooms,
};
use crate::events;
use crate::model::{
    Channel, LedgerEvent, Place, Recurrence, Room, RoomState, Schedule, Slot, SlotState, SlotTime,
    Span, programme,
};
use crate::store::channel::{channel_by_id, channel_lock, channel_touch, channels_active};
use crate::store::log::ledger_append;
use crate::store::occupancy::occupancy_put;
use crate::store::planned::{rooms_missed, rooms_of_slot};
use crate::store::room::{room_insert, room_leave_slot, room_lock, room_rewrite};
use crate::store::slot::programme_lock;

/// What is said of rooms whose slot changed under them.
pub const CHANGED: &str = "The programme was changed.";

/// Makes the rooms of a slot what the slot says: rooms to come follow it, rooms of times that are no more end, and near
/// times that have none get one. Who calls has locked the programme and the channel. Gives the rooms made.
pub async fn sync_slot(
    tx: &mut Tx,
    channel: &Channel,
    slot: &Slot,
    reason: &str,
    horizons: &Horizons,
) -> Result<Vec<Room>, Fault> {
    let now = tx.now();
    let times = match slot.state {
        SlotState::Active => Some(recurrence(channel, slot)?),
        SlotState::Cancelled => None,
    };
    let places = channel.choose(&slot.content.outlets).unwrap_or_default();
    // By id, as every other that locks several rooms.
    let mut ids: Vec<RoomId> = rooms_of_slot(tx, &slot.id, now.minus(LONGEST))
        .await?
        .into_iter()
        .filter(|room| room.state == RoomState::Scheduled)
        .map(|room| room.id)
        .collect();
    ids.sort_unstable();
    for id in ids {
        let Some(mut room) = room_lock(tx, &id).await? else {
            continue;
        };
        if room.state == RoomState::Scheduled {
            follow(tx, &mut room, slot, &places, times.as_ref(), reason).await?;
        }
    }
    match times {
        Some(times) if !places.is_empty() => {
            create_near(tx, slot, &places, &times, now, horizons).await
        }
        _ => Ok(Vec::new()),
    }
}

/// A room to come follows its slot.
async fn follow(
    tx: &mut Tx,
    room: &mut Room,
    slot: &Slot,
    places: &[Place],
    times: Option<&Recurrence>,
    reason: &str,
) -> Result<(), Fault> {
    let by_rule = room
        .slot
        .and_then(|time| times.and_then(|times| times.at(time.start)));
    match by_rule {
        // It was given content or a time of its own.
        _ if room.overridden && times.is_some() => return Ok(()),
        Some(span) => return adopt(tx, room, slot, places, span).await,
        None => {}
    }
    if times.is_some() {
        // The programme took the time away and may bring it back, which then gets a room anew. The time of a room that
        // somebody ended stays without one.
        room.slot = None;
        room.overridden = false;
        room_leave_slot(tx, &room.id).await?;
    }
    let happened = air::end(tx, room, reason.to_owned(), None).await?;
    air::tell(tx, "room.end", room, happened).await
}

/// A room becomes what its slot says now, when that is something else.
async fn adopt(
    tx: &mut Tx,
    room: &mut Room,
    slot: &Slot,
    places: &[Place],
    span: Span,
) -> Result<(), Fault> {
    let mut wanted = room.clone();
    write(&mut wanted, slot, places, span);
    if wanted == *room {
        return Ok(());
    }
    *room = wanted;
    room.version += 1;
    rewrite(tx, room).await
}

/// Writes what a room to come is about now. Items that its brand rules forbid are taken out.
pub async fn rewrite(tx: &mut Tx, room: &Room) -> Result<(), Fault> {
    room_rewrite(tx, room).await?;
    occupancy_put(tx, room).await?;
    let happened = remove_forbidden(tx, room).await?;
    air::tell(tx, "room.follow", room, happened).await
}

/// Puts a slot's content into a room.
fn write(room: &mut Room, slot: &Slot, places: &[Place], span: Span) {
    let content = slot.content.clone();
    room.title = content.title;
    room.theme = content.theme;
    room.session = content.session;
    room.hosts = content.hosts;
    room.venue = content.venue;
    room.brands = content.brands;
    room.places = places.to_vec();
    room.schedule = Schedule {
        start: Some(span.start),
        end: Some(span.end),
    };
}

/// Makes rooms for near times that have none. A time that somebody else's room has taken meanwhile is left out: rules
/// without an end are checked against each other only as far as was looked ahead.
async fn create_near(
    tx: &mut Tx,
    slot: &Slot,
    places: &[Place],
    times: &Recurrence,
    now: Micros,
    horizons: &Horizons,
) -> Result<Vec<Room>, Fault> {
    let rooms = starts_with_rooms(tx, slot, now).await?;
    let mut made = Vec::new();
    for span in times.spans(now, now.plus(horizons.rooms), horizons.times_max) {
        if rooms.contains(&span.start) {
            continue;
        }
        let plan = Plan {
            spans: vec![span],
            resources: slot.resources(),
            slot: Some(slot.id),
            rooms: BTreeSet::new(),
        };
        let taken = taken_by_rooms(tx, &plan, span).await?;
        if let Some(taken) = programme::clash(&plan.spans, &taken) {
            tracing::warn!(slot_id = %slot.id, start = span.start.0, by = ?taken.taker, "a time of a slot is taken and gets no room");
            continue;
        }
        made.push(create(tx, slot, places, span).await?);
    }
    Ok(made)
}

/// Makes the room of a time, SCHEDULED.
pub async fn create(tx: &mut Tx, slot: &Slot, places: &[Place], span: Span) -> Result<Room, Fault> {
    let mut room = Room {
        id: RoomId::from_uuid(tx.ids().next()),
        title: String::new(),
        theme: String::new(),
        drop_id: None,
        session: slot.content.session,
        channel_id: Some(slot.channel_id),
        venue: String::new(),
        slot: Some(SlotTime {
            slot_id: slot.id,
            start: span.start,
        }),
        overridden: false,
        next: None,
        hosts: Vec::new(),
        places: Vec::new(),
        brands: Vec::new(),
        schedule: Schedule {
            start: None,
            end: None,
        },
        state: RoomState::Scheduled,
        announced: true,
        state_reason: String::new(),
        live_time: None,
        end_time: None,
        create_time: tx.now(),
        version: 1,
    };
    write(&mut room, slot, places, span);
    let epoch = format!("{:016x}", tx.ids().random_u64());
    room_insert(tx, &room, &epoch).await?;
    occupancy_put(tx, &room).await?;
    let scheduled = LedgerEvent::State {
        state: room.state,
        reason: String::new(),
        next: None,
    };
    ledger_append(tx, &room.id, &[scheduled]).await?;
    channel_touch(tx, &slot.channel_id).await?;
    tx.publish(events::room_changed(&room));
    tx.audit("room.materialise", room.id, room.state.word());
    Ok(room)
}

/// Locks the programme and a channel.
pub async fn plan_on(tx: &mut Tx, channel: &ChannelId) -> Result<Channel, Fault> {
    programme_lock(tx).await?;
    let found = channel_lock(tx, channel).await?;
    Ok(found.ok_or_else(|| Refusal::not_found("channel"))?)
}

/// Channels that carry a programme, by id.
pub struct ReadActive {
    /// After this one; empty for the beginning.
    pub after: String,
    /// At most so many.
    pub limit: i64,
}

impl Operation for ReadActive {
    type Output = Vec<ChannelId>;

    fn name(&self) -> &'static str {
        "channel.active"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<ChannelId>, Fault> {
        channels_active(tx, &self.after, self.limit).await
    }
}

/// Whether a channel has times that are to become rooms, or rooms that were missed.
pub struct IsBehind {
    /// The channel.
    pub channel_id: ChannelId,
    /// How far to look.
    pub horizons: Horizons,
}

impl Operation for IsBehind {
    /// The slots that are behind; none when there is nothing to do.
    type Output = Option<Vec<SlotId>>;

    fn name(&self) -> &'static str {
        "programme.look"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Option<Vec<SlotId>>, Fault> {
        let Some(channel) = channel_by_id(tx, &self.channel_id).await? else {
            return Ok(None);
        };
        let now = tx.now();
        let mut behind = Vec::new();
        for slot in active_slots(tx, &channel, &self.horizons).await? {
            let rooms = starts_with_rooms(tx, &slot, now).await?;
            let spans = recurrence(&channel, &slot)?.spans(
                now,
                now.plus(self.horizons.rooms),
                self.horizons.times_max,
            );
            if spans.iter().any(|span| !rooms.contains(&span.start)) {
                behind.push(slot.id);
            }
        }
        let at = now.minus(self.horizons.missed_after);
        let missed = !rooms_missed(tx, &channel.id, at, 1).await?.is_empty();
        Ok((!behind.is_empty() || missed).then_some(behind))
    }
}

/// Makes the rooms of some slots of a channel that are due to be made, and ends those that were missed.
pub struct CatchUp {
    /// The channel.
    pub channel_id: ChannelId,
    /// The slots.
    pub slots: Vec<SlotId>,
    /// How far to look.
    pub horizons: Horizons,
}

impl Operation for CatchUp {
    /// How many rooms were made.
    type Output = usize;

    fn name(&self) -> &'static str {
        "programme.catch_up"
    }

    async fn run(&self, tx: &mut Tx) -> Result<usize, Fault> {
        let channel = plan_on(tx, &self.channel_id).await?;
        let at = tx.now().minus(self.horizons.missed_after);
        air::end_missed(tx, &channel.id, at).await?;
        let mut made = 0;
        for slot in active_slots(tx, &channel, &self.horizons).await? {
            if self.slots.contains(&slot.id) {
                made += sync_slot(tx, &channel, &slot, CHANGED, &self.horizons)
                    .await?
                    .len();
            }
        }
        Ok(made)
    }
}
