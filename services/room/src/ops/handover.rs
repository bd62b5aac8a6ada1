//! One room ends and the next begins, in one step.

use std::time::Duration;

use ::store::{Operation, Tx};
use contracts::id::{ChannelId, RoomId};
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use super::air;
use crate::model::room::wrong_room_state;
use crate::model::{Channel, LedgerEvent, Room, RoomState};
use crate::store::channel::{channel_lock, channel_on_air, channels_due};
use crate::store::planned::rooms_scheduled;
use crate::store::room::{room_by_id, room_lock};

/// How many rooms to come are looked at to find the next one.
const LOOK: i64 = 50;

/// A channel goes on with its next room.
pub struct HandOver {
    /// The channel.
    pub channel_id: ChannelId,
    /// The room that has to be on air.
    pub current: Option<RoomId>,
    /// The room to go on with; the next one that is planned when none is named.
    pub next: Option<RoomId>,
    /// Why the current room ends, shown to viewers.
    pub reason: String,
}

/// What became of a hand-over.
#[derive(Clone, Debug)]
pub struct HandedOver {
    /// The room that ended.
    pub ended: Option<Room>,
    /// The room that is on air.
    pub live: Room,
}

impl Operation for HandOver {
    type Output = HandedOver;

    fn name(&self) -> &'static str {
        "channel.hand_over"
    }

    async fn run(&self, tx: &mut Tx) -> Result<HandedOver, Fault> {
        let channel = locked(tx, &self.channel_id).await?;
        channel.require_active("hand over")?;
        let current = channel_on_air(tx, &channel.id).await?;
        if self.current.is_some() && self.current != current {
            let now = current.map_or_else(|| "NONE".to_owned(), |room| room.to_string());
            let message = format!(
                "The channel is on air with another room ({now}) than was named; look at it, then hand over again."
            );
            return Err(Refusal::wrong_state("channel", "OTHER_ROOM", message).into());
        }
        let next = match self.next {
            Some(next) => next,
            None => {
                let now = tx.now();
                let next = rooms_scheduled(tx, &channel.id, now, 1).await?.pop();
                next.ok_or_else(nothing_next)?.id
            }
        };
        let done = hand_over(tx, &channel, current, next, &self.reason).await?;
        tx.audit(self.name(), channel.id, done.live.id.as_str());
        Ok(done)
    }
}

fn nothing_next() -> Refusal {
    let message =
        "The channel has no SCHEDULED room to go on with; plan a slot or schedule a room first.";
    Refusal::wrong_state("channel", "NOTHING_NEXT", message)
}

async fn locked(tx: &mut Tx, channel: &ChannelId) -> Result<Channel, Fault> {
    let found = channel_lock(tx, channel).await?;
    Ok(found.ok_or_else(|| Refusal::not_found("channel"))?)
}

/// The channel is locked by the caller.
async fn hand_over(
    tx: &mut Tx,
    channel: &Channel,
    current: Option<RoomId>,
    next: RoomId,
    reason: &str,
) -> Result<HandedOver, Fault> {
    let (ended, mut live) = lock_both(tx, current, next).await?;
    if live.channel_id != Some(channel.id) {
        return Err(Refusal::not_found("room").into());
    }
    if live.state != RoomState::Scheduled {
        let why = "it has to be SCHEDULED";
        return Err(wrong_room_state(live.state, "be gone on with", why).into());
    }
    // What the next one needs is looked at before anything ends.
    air::go_live(tx, &mut live).await?;
    let ended = match ended {
        Some(mut room) => {
            let happened = air::end(tx, &mut room, reason.to_owned(), Some(&live)).await?;
            // First it ends, then the other is on air: the table has one at a time.
            air::tell(tx, "room.end", &room, happened).await?;
            Some(room)
        }
        None => None,
    };
    air::tell(tx, "room.go_live", &live, Vec::new()).await?;
    Ok(HandedOver { ended, live })
}

/// Locks two rooms by id, as everybody does who locks several.
async fn lock_both(
    tx: &mut Tx,
    current: Option<RoomId>,
    next: RoomId,
) -> Result<(Option<Room>, Room), Fault> {
    let (mut ended, mut live) = (None, None);
    let mut ids: Vec<RoomId> = current.into_iter().chain([next]).collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        let room = room_lock(tx, &id).await?;
        if id == next {
            live = room;
        } else {
            ended = room;
        }
    }
    let live = live.ok_or_else(|| Refusal::not_found("room"))?;
    Ok((ended, live))
}

/// Channels that have something to do by themselves.
pub struct Due {
    /// How long a room goes on after its planned end when nothing follows.
    pub overtime: Duration,
    /// At most so many.
    pub limit: i64,
}

impl Operation for Due {
    type Output = Vec<ChannelId>;

    fn name(&self) -> &'static str {
        "channel.due"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<ChannelId>, Fault> {
        let now = tx.now();
        channels_due(tx, now, now.minus(self.overtime), self.limit).await
    }
}

/// When the room on air was planned to begin, which nobody changes any more.
async fn planned_start(tx: &mut Tx, current: Option<&RoomId>) -> Result<Option<Micros>, Fault> {
    let Some(current) = current else {
        return Ok(None);
    };
    let room = room_by_id(tx, current).await?;
    Ok(room.and_then(|room| room.schedule.start))
}

/// What a channel does by itself at this moment. Everything is decided from rows under the channel's lock, so whoever
/// comes second, or again after a restart, finds nothing left to do.
pub struct Direct {
    /// The channel.
    pub channel_id: ChannelId,
    /// How long a room goes on after its planned end when nothing follows.
    pub overtime: Duration,
}

/// What a channel did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directed {
    /// Nothing was due.
    Nothing,
    /// It went on with a room.
    HandedOver(RoomId),
    /// Its room ended, and nothing follows.
    Ended(RoomId),
}

impl Operation for Direct {
    type Output = Directed;

    fn name(&self) -> &'static str {
        "channel.direct"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Directed, Fault> {
        let channel = locked(tx, &self.channel_id).await?;
        if !channel.auto_handover || channel.require_active("hand over").is_err() {
            return Ok(Directed::Nothing);
        }
        let now = tx.now();
        air::end_missed(tx, &channel.id, now).await?;
        let current = channel_on_air(tx, &channel.id).await?;
        let due = rooms_scheduled(tx, &channel.id, now, LOOK).await?;
        // Of several whose time it is, the one that begins last. Who leapt ahead by hand is not brought back: what was
        // planned before the room on air was leapt over.
        let leapt = planned_start(tx, current.as_ref()).await?;
        let due = due.into_iter().rfind(|room| {
            let start = room.schedule.start;
            start.is_some_and(|start| start <= now && leapt.is_none_or(|leapt| start > leapt))
        });
        if let Some(next) = due {
            let done = hand_over(tx, &channel, current, next.id, "").await?;
            tx.audit(self.name(), channel.id, done.live.id.as_str());
            return Ok(Directed::HandedOver(done.live.id));
        }
        let Some(current) = current else {
            return Ok(Directed::Nothing);
        };
        let Some(mut room) = room_lock(tx, &current).await? else {
            return Ok(Directed::Nothing);
        };
        let over = room
            .schedule
            .end
            .is_some_and(|end| end.plus(self.overtime) <= now);
        if !over {
            return Ok(Directed::Nothing);
        }
        let happened: Vec<LedgerEvent> = air::end(tx, &mut room, String::new(), None).await?;
        air::tell(tx, "room.end", &room, happened).await?;
        Ok(Directed::Ended(current))
    }
}
