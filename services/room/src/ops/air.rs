//! Going on air and off air, and telling whoever has to know.

use ::store::Tx;
use contracts::id::ChannelId;
use kit::clock::Micros;
use kit::errors::Fault;

use super::rooms::hosts_of;
use crate::events;
use crate::model::{Host, LedgerEvent, NextRoom, Room, RoomState};
use crate::store::channel::channel_touch;
use crate::store::item::{item_save, items_of_room};
use crate::store::log::ledger_append;
use crate::store::occupancy::{occupancy_put, on_air_delete, on_air_put};
use crate::store::planned::rooms_missed;
use crate::store::room::{room_lock, room_save};
use crate::store::timeline::segment_end;

/// A room goes on air; refuses when one of its hosts is not approved at this moment.
pub async fn go_live(tx: &mut Tx, room: &mut Room) -> Result<(), Fault> {
    let now = tx.now();
    room.go_live(now)?;
    hosts_of(tx, &room.hosts)
        .await?
        .iter()
        .try_for_each(Host::require_approved)?;
    on_air_put(tx, room, now).await
}

/// A room ends, perhaps with another that the channel goes on with. Gives what happened in it.
pub async fn end(
    tx: &mut Tx,
    room: &mut Room,
    reason: String,
    next: Option<&Room>,
) -> Result<Vec<LedgerEvent>, Fault> {
    let was_on_air = room.state.is_on_air();
    room.end(reason, tx.now())?;
    room.next = next.map(|next| NextRoom {
        room_id: next.id,
        outlets: next.places.iter().map(|place| place.outlet_id).collect(),
    });
    if room.channel_id.is_some() {
        occupancy_put(tx, room).await?;
    }
    if !was_on_air {
        return Ok(Vec::new());
    }
    on_air_delete(tx, &room.id).await?;
    segment_end(tx, &room.id).await?;
    stop_explaining(tx, room).await
}

/// Nothing is explained in a room that is over.
async fn stop_explaining(tx: &mut Tx, room: &Room) -> Result<Vec<LedgerEvent>, Fault> {
    let mut happened = Vec::new();
    for mut item in items_of_room(tx, &room.id)
        .await?
        .into_iter()
        .filter(|item| item.explaining)
    {
        item.explaining = false;
        item_save(tx, &item).await?;
        tx.publish(events::item_changed(&item, room));
        happened.push(LedgerEvent::Item(item));
    }
    Ok(happened)
}

/// Writes a room's new state, after what else happened in it, and tells its watchers, its channel's and the feed.
pub async fn tell(
    tx: &mut Tx,
    what: &'static str,
    room: &Room,
    mut happened: Vec<LedgerEvent>,
) -> Result<(), Fault> {
    room_save(tx, room).await?;
    happened.push(LedgerEvent::State {
        state: room.state,
        reason: room.state_reason.clone(),
        next: room.next.clone(),
    });
    ledger_append(tx, &room.id, &happened).await?;
    if let Some(channel) = &room.channel_id {
        channel_touch(tx, channel).await?;
    }
    tx.publish(events::room_changed(room));
    tx.audit(what, room.id, room.state.word());
    Ok(())
}

/// How many rooms that were missed are ended at once.
const MISSED_MAX: i64 = 100;

/// Rooms of a channel that were planned to be over at a moment and never began are over. The channel is locked by the
/// caller.
pub async fn end_missed(tx: &mut Tx, channel: &ChannelId, at: Micros) -> Result<(), Fault> {
    for id in rooms_missed(tx, channel, at, MISSED_MAX).await? {
        let Some(mut room) = room_lock(tx, &id).await? else {
            continue;
        };
        if room.state == RoomState::Scheduled && room.schedule.end.is_some_and(|end| end <= at) {
            let reason = "Its time was over before it went on air.".to_owned();
            let happened = end(tx, &mut room, reason, None).await?;
            tell(tx, "room.end", &room, happened).await?;
        }
    }
    Ok(())
}
