//! Creating rooms and moving them through their life.

use std::collections::BTreeMap;

use ::store::{Operation, Tx};
use contracts::id::{ChannelId, DropId, HostId, OutletId, RoomId};
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use super::air;
use super::channels::places;
use super::programme::{Horizons, plan_of, require_free};
use crate::events;
use crate::model::{Host, Place, Room, RoomState, Schedule, SessionType, version};
use crate::store::channel::{channel_by_id, channel_lock, channel_on_air};
use crate::store::host::hosts_lock;
use crate::store::occupancy::occupancy_put;
use crate::store::room::{room_channel, room_insert, room_lock, room_rewrite};
use crate::store::slot::programme_lock;

/// Creates a room, DRAFT.
pub struct CreateRoom {
    /// Title.
    pub title: String,
    /// Theme; may be empty.
    pub theme: String,
    /// A drop that it refers to.
    pub drop_id: Option<DropId>,
    /// What kind of session it is.
    pub session: SessionType,
    /// The channel that carries it.
    pub channel_id: Option<ChannelId>,
    /// Where it is made; empty for nowhere that could be taken.
    pub venue: String,
    /// Who presents it; each once.
    pub hosts: Vec<HostId>,
    /// Where it is shown; each once.
    pub outlets: Vec<OutletId>,
    /// Brands that may be shown; each once.
    pub brands: Vec<String>,
    /// When it is planned.
    pub schedule: Schedule,
}

impl Operation for CreateRoom {
    type Output = Room;

    fn name(&self) -> &'static str {
        "room.create"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Room, Fault> {
        hosts_of(tx, &self.hosts).await?;
        let room = Room {
            id: RoomId::from_uuid(tx.ids().next()),
            title: self.title.clone(),
            theme: self.theme.clone(),
            drop_id: self.drop_id,
            session: self.session,
            channel_id: self.channel_id,
            venue: self.venue.clone(),
            slot: None,
            overridden: false,
            next: None,
            hosts: self.hosts.clone(),
            places: self.places(tx).await?,
            brands: self.brands.clone(),
            schedule: self.schedule,
            state: RoomState::Draft,
            announced: false,
            state_reason: String::new(),
            live_time: None,
            end_time: None,
            create_time: tx.now(),
            version: 1,
        };
        let epoch = format!("{:016x}", tx.ids().random_u64());
        room_insert(tx, &room, &epoch).await?;
        tx.publish(events::room_changed(&room));
        tx.audit(self.name(), room.id, room.state.word());
        Ok(room)
    }
}

impl CreateRoom {
    /// The outlets with their partners; a room on a channel chooses among the channel's.
    async fn places(&self, tx: &mut Tx) -> Result<Vec<Place>, Fault> {
        let Some(channel) = &self.channel_id else {
            return places(tx, &self.outlets).await;
        };
        let channel = channel_by_id(tx, channel).await?;
        let channel = channel.ok_or_else(|| Refusal::not_found("channel"))?;
        channel.require_active("carry another room")?;
        Ok(channel.choose(&self.outlets)?)
    }
}

/// Locks hosts and gives them in the order asked for.
pub async fn hosts_of(tx: &mut Tx, ids: &[HostId]) -> Result<Vec<Host>, Fault> {
    let known: BTreeMap<HostId, Host> = hosts_lock(tx, ids)
        .await?
        .into_iter()
        .map(|host| (host.id, host))
        .collect();
    let hosts: Option<Vec<Host>> = ids.iter().map(|id| known.get(id).cloned()).collect();
    Ok(hosts.ok_or_else(|| Refusal::not_found("host"))?)
}

/// A step of a room's life.
#[derive(Clone, Debug)]
pub enum Step {
    /// DRAFT → SCHEDULED, or another time.
    Schedule {
        /// First moment.
        start: Micros,
        /// First moment after.
        end: Micros,
    },
    /// SCHEDULED → LIVE.
    GoLive,
    /// LIVE → PAUSED.
    Pause {
        /// Shown to viewers.
        reason: String,
    },
    /// PAUSED → LIVE.
    Resume,
    /// Any state → ENDED.
    End {
        /// Shown to viewers.
        reason: String,
    },
}

/// Moves a room one step through its life.
pub struct MoveRoom {
    /// Which.
    pub room_id: RoomId,
    /// How.
    pub step: Step,
    /// The version that this was decided on.
    pub etag: Option<String>,
    /// How far programmes are looked at.
    pub horizons: Horizons,
}

impl Operation for MoveRoom {
    type Output = Room;

    fn name(&self) -> &'static str {
        match self.step {
            Step::Schedule { .. } => "room.schedule",
            Step::GoLive => "room.go_live",
            Step::Pause { .. } => "room.pause",
            Step::Resume => "room.resume",
            Step::End { .. } => "room.end",
        }
    }

    async fn run(&self, tx: &mut Tx) -> Result<Room, Fault> {
        // The programme comes first, then the channel, then the room.
        let mut channel = None;
        if let Some(id) = room_channel(tx, &self.room_id).await? {
            if matches!(self.step, Step::Schedule { .. }) {
                programme_lock(tx).await?;
            }
            channel = channel_lock(tx, &id).await?;
        }
        let mut room = room_lock(tx, &self.room_id)
            .await?
            .ok_or_else(|| Refusal::not_found("room"))?;
        version::require_etag(room.version, self.etag.as_deref(), "room")?;
        if let (Some(channel), Step::Schedule { .. } | Step::GoLive) = (&channel, &self.step) {
            // A draft may be left from before the channel was archived.
            channel.require_active("carry another room")?;
        }
        let mut happened = Vec::new();
        match &self.step {
            Step::Schedule { start, end } => self.schedule(tx, &mut room, *start, *end).await?,
            Step::GoLive => {
                if let Some(channel) = &room.channel_id {
                    let on_air = channel_on_air(tx, channel).await?;
                    room.require_free_channel(on_air)?;
                }
                air::go_live(tx, &mut room).await?;
            }
            Step::Pause { reason } => room.pause(reason.clone())?,
            Step::Resume => room.resume()?,
            Step::End { reason } => {
                happened = air::end(tx, &mut room, reason.clone(), None).await?;
            }
        }
        air::tell(tx, self.name(), &room, happened).await?;
        Ok(room)
    }
}

impl MoveRoom {
    async fn schedule(
        &self,
        tx: &mut Tx,
        room: &mut Room,
        start: Micros,
        end: Micros,
    ) -> Result<(), Fault> {
        room.schedule(start, end, tx.now())?;
        if room.channel_id.is_none() {
            return Ok(());
        }
        require_free(tx, &plan_of(room), &self.horizons).await?;
        if room.slot.is_some() {
            // It has a time of its own now, and its slot leaves it alone.
            room.overridden = true;
            room_rewrite(tx, room).await?;
        }
        occupancy_put(tx, room).await
    }
}
