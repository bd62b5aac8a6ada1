//! What is planned on channels: that it does not overlap, that it becomes rooms in time, and what comes next.
//!
//! Who plans something locks the programme first, then the channel, then rooms: nobody plans something else meanwhile.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::time::Duration;

use ::store::Tx;
use contracts::id::{ChannelId, RoomId, SlotId};
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use crate::model::{
    Channel, Eyes, Occupied, Occurrence, Recurrence, Resource, Room, Slot, SlotState, Span, Taker,
    programme,
};
use crate::store::channel::channel_by_id;
use crate::store::occupancy::occupancy_of;
use crate::store::planned::{rooms_of_channel, rooms_scheduled, slot_starts};
use crate::store::slot::{slots_list, slots_taking};

/// The longest that anything is planned for, with the hour that a clock change may add.
pub const LONGEST: Duration = Duration::from_secs(26 * 60 * 60);

/// How far programmes are looked at.
#[derive(Clone, Copy, Debug)]
pub struct Horizons {
    /// How far slots are checked against each other.
    pub lookahead: Duration,
    /// How far ahead times become rooms.
    pub rooms: Duration,
    /// The most times of one slot within what is looked ahead.
    pub times_max: usize,
    /// The most active slots of a channel.
    pub slots_max: i64,
    /// How far ahead the next time is looked for.
    pub search_years: i16,
    /// How long after its planned end a room that never went on air is ended.
    pub missed_after: Duration,
}

/// Something that somebody wants to plan.
pub struct Plan {
    /// When; sorted, and apart from each other.
    pub spans: Vec<Span>,
    /// What it takes.
    pub resources: Vec<Resource>,
    /// The slot that it is for: its own times do not stand in the way.
    pub slot: Option<SlotId>,
    /// Rooms that do not stand in the way.
    pub rooms: BTreeSet<RoomId>,
}

/// The times of a slot on its channel.
pub fn recurrence(channel: &Channel, slot: &Slot) -> Result<Recurrence, Fault> {
    let zone = channel
        .zone()
        .ok_or_else(|| Fault::internal("there is no zone UTC"))?;
    slot.times.accepted(zone).map_err(|error| {
        Fault::internal(format!(
            "slot {}: {} {}",
            slot.id, error.field, error.description
        ))
    })
}

/// Refuses a plan that overlaps what is planned already, rooms and slots alike.
pub async fn require_free(tx: &mut Tx, plan: &Plan, horizons: &Horizons) -> Result<(), Fault> {
    let (Some(first), Some(last)) = (plan.spans.first(), plan.spans.last()) else {
        return Ok(());
    };
    let within = Span {
        start: first.start,
        end: last.end,
    };
    let mut taken = taken_by_rooms(tx, plan, within).await?;
    taken.extend(taken_by_slots(tx, plan, within, horizons).await?);
    match programme::clash(&plan.spans, &taken) {
        Some(taken) => Err(programme::refuse(taken).into()),
        None => Ok(()),
    }
}

/// What rooms take of what a plan takes.
pub async fn taken_by_rooms(
    tx: &mut Tx,
    plan: &Plan,
    within: Span,
) -> Result<Vec<Occupied>, Fault> {
    let mut taken = Vec::new();
    for resource in &plan.resources {
        taken.extend(occupancy_of(tx, resource, within).await?);
    }
    taken.retain(|taken| !matches!(taken.taker, Taker::Room(room) if plan.rooms.contains(&room)));
    Ok(taken)
}

/// What times of slots that are no rooms yet take of what a plan takes.
async fn taken_by_slots(
    tx: &mut Tx,
    plan: &Plan,
    within: Span,
    horizons: &Horizons,
) -> Result<Vec<Occupied>, Fault> {
    let mut slots: BTreeMap<SlotId, (Slot, Vec<Resource>)> = BTreeMap::new();
    for resource in &plan.resources {
        for slot in slots_taking(tx, resource, horizons.slots_max).await? {
            if Some(slot.id) != plan.slot {
                let entry = slots.entry(slot.id).or_insert_with(|| (slot, Vec::new()));
                entry.1.push(resource.clone());
            }
        }
    }
    let mut channels: BTreeMap<ChannelId, Channel> = BTreeMap::new();
    let mut taken = Vec::new();
    for (slot, resources) in slots.into_values() {
        if let Entry::Vacant(entry) = channels.entry(slot.channel_id) {
            entry.insert(channel(tx, &slot.channel_id).await?);
        }
        let times = recurrence(&channels[&slot.channel_id], &slot)?;
        let rooms = starts_with_rooms(tx, &slot, within.start).await?;
        let spans = times.spans(within.start, within.end, horizons.times_max);
        for span in spans
            .into_iter()
            .filter(|span| !rooms.contains(&span.start))
        {
            taken.extend(resources.iter().map(|resource| Occupied {
                resource: resource.clone(),
                span,
                taker: Taker::Slot(slot.id),
            }));
        }
    }
    Ok(taken)
}

/// The times of a slot that have a room, whatever became of it, as far as they may go on at a moment.
pub async fn starts_with_rooms(
    tx: &mut Tx,
    slot: &Slot,
    at: Micros,
) -> Result<BTreeSet<Micros>, Fault> {
    Ok(slot_starts(tx, &slot.id, at.minus(LONGEST))
        .await?
        .into_iter()
        .collect())
}

async fn channel(tx: &mut Tx, channel: &ChannelId) -> Result<Channel, Fault> {
    let found = channel_by_id(tx, channel).await?;
    Ok(found.ok_or_else(|| Refusal::not_found("channel"))?)
}

/// The active slots of a channel.
pub async fn active_slots(
    tx: &mut Tx,
    channel: &Channel,
    horizons: &Horizons,
) -> Result<Vec<Slot>, Fault> {
    slots_list(
        tx,
        &channel.id,
        Some(SlotState::Active),
        "",
        horizons.slots_max,
    )
    .await
}

fn is_seen(occurrence: &Occurrence, eyes: &Eyes) -> bool {
    occurrence
        .places
        .iter()
        .any(|place| eyes.sees(&place.partner_id))
}

/// What takes place on a channel within a stretch of time, in order: rooms, and times of slots that have none yet and are
/// not over. Rooms that were cancelled are left out.
pub async fn occurrences(
    tx: &mut Tx,
    channel: &Channel,
    within: Span,
    eyes: &Eyes,
    horizons: &Horizons,
) -> Result<Vec<Occurrence>, Fault> {
    let rooms = rooms_of_channel(tx, &channel.id, within, LONGEST).await?;
    let mut found: Vec<Occurrence> = rooms
        .iter()
        .filter(|room| room.end_time.is_none() || room.live_time.is_some())
        .filter_map(Occurrence::of_room)
        .collect();
    let from = within.start.max(tx.now());
    if from < within.end {
        for slot in active_slots(tx, channel, horizons).await? {
            let rooms = starts_with_rooms(tx, &slot, from).await?;
            let spans = recurrence(channel, &slot)?.spans(from, within.end, horizons.times_max);
            let without = spans
                .into_iter()
                .filter(|span| !rooms.contains(&span.start));
            found.extend(without.map(|span| slot.occurrence(channel, span)));
        }
    }
    found.retain(|occurrence| is_seen(occurrence, eyes));
    found.sort_by_cached_key(Occurrence::order);
    Ok(found)
}

/// What comes next on a channel after a moment, however far ahead. With `late`, something that should have begun and is
/// not over comes next too.
pub async fn next(
    tx: &mut Tx,
    channel: &Channel,
    after: Micros,
    late: bool,
    eyes: &Eyes,
    horizons: &Horizons,
) -> Result<Option<Occurrence>, Fault> {
    let rooms = rooms_scheduled(tx, &channel.id, after, horizons.slots_max).await?;
    let comes = |span: Span| span.start > after || (late && span.end > after);
    let mut best = rooms
        .iter()
        .filter_map(Occurrence::of_room)
        .filter(|occurrence| comes(occurrence.span) && is_seen(occurrence, eyes))
        .min_by_key(Occurrence::order);
    // Near times have their rooms, so nothing that has none comes before a near room. Half of what is made ahead leaves
    // a day for whoever makes them.
    let near = tx.now().plus(horizons.rooms / 2);
    if best.as_ref().is_some_and(|best| best.span.start <= near) {
        return Ok(best);
    }
    for slot in active_slots(tx, channel, horizons).await? {
        let rooms = starts_with_rooms(tx, &slot, after).await?;
        let times = recurrence(channel, &slot)?;
        let mut from = after;
        while let Some(span) = times.next_after(from, horizons.search_years) {
            from = span.start;
            if rooms.contains(&span.start) {
                continue;
            }
            let occurrence = slot.occurrence(channel, span);
            if is_seen(&occurrence, eyes)
                && best
                    .as_ref()
                    .is_none_or(|best| occurrence.order() < best.order())
            {
                best = Some(occurrence);
            }
            break;
        }
    }
    Ok(best)
}

/// What a room takes and when, as a plan in which it does not stand in its own way.
pub fn plan_of(room: &Room) -> Plan {
    Plan {
        spans: room.span().into_iter().collect(),
        resources: Resource::of(room.channel_id, &room.hosts, &room.venue),
        slot: None,
        rooms: BTreeSet::from([room.id]),
    }
}
