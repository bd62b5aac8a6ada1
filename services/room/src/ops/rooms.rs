//! Creating rooms and moving them through their life.

use std::collections::BTreeMap;

use ::store::{Operation, Tx};
use contracts::id::{DropId, HostId, OutletId, RoomId};
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use crate::events;
use crate::model::{Host, LedgerEvent, Place, Room, RoomState, Schedule, version};
use crate::store::host::hosts_lock;
use crate::store::item::{item_save, items_of_room};
use crate::store::log::ledger_append;
use crate::store::mirror::places_by_outlets;
use crate::store::room::{room_insert, room_lock, room_save};

/// Creates a room, DRAFT.
pub struct CreateRoom {
    /// Title.
    pub title: String,
    /// Theme; may be empty.
    pub theme: String,
    /// A drop that it refers to.
    pub drop_id: Option<DropId>,
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
    /// The outlets with their partners, as the catalogue's feed has told.
    async fn places(&self, tx: &mut Tx) -> Result<Vec<Place>, Fault> {
        let known = places_by_outlets(tx, &self.outlets).await?;
        let known: BTreeMap<OutletId, Place> = known
            .into_iter()
            .map(|place| (place.outlet_id, place))
            .collect();
        let places = self.outlets.iter().map(|outlet| known.get(outlet).copied());
        let places: Option<Vec<Place>> = places.collect();
        Ok(places.ok_or_else(|| Refusal::not_found("outlet"))?)
    }
}

/// Locks hosts and gives them in the order asked for.
async fn hosts_of(tx: &mut Tx, ids: &[HostId]) -> Result<Vec<Host>, Fault> {
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
        let mut room = room_lock(tx, &self.room_id)
            .await?
            .ok_or_else(|| Refusal::not_found("room"))?;
        version::require_etag(room.version, self.etag.as_deref(), "room")?;
        let mut happened = Vec::new();
        match &self.step {
            Step::Schedule { start, end } => room.schedule(*start, *end, tx.now())?,
            Step::GoLive => {
                room.go_live(tx.now())?;
                hosts_of(tx, &room.hosts)
                    .await?
                    .iter()
                    .try_for_each(Host::require_approved)?;
            }
            Step::Pause { reason } => room.pause(reason.clone())?,
            Step::Resume => room.resume()?,
            Step::End { reason } => {
                room.end(reason.clone(), tx.now())?;
                happened = stop_explaining(tx, &room).await?;
            }
        }
        room_save(tx, &room).await?;
        happened.push(LedgerEvent::State {
            state: room.state,
            reason: room.state_reason.clone(),
        });
        ledger_append(tx, &room.id, &happened).await?;
        tx.publish(events::room_changed(&room));
        tx.audit(self.name(), room.id, room.state.word());
        Ok(room)
    }
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
