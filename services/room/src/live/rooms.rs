//! All rooms that somebody watches, and what is counted in them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::store::Db;
use contracts::ErrorReason;
use contracts::id::RoomId;
use kit::caller::Caller;
use kit::clock::SharedClock;
use kit::errors::{Fault, Refusal};
use kit::ids::SharedIds;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::hub::{Hub, Limits};
use super::lock;
use super::meter::Meter;
use super::recent::Recent;
use super::tally::Tally;
use crate::config::Config;
use crate::model::room::wrong_room_state;
use crate::model::{Counters, Place, Room, RoomState};
use crate::ops::counters::{FlushCounters, ReadAudience, ReadTotals};
use crate::ops::tail::{ReadTail, TailLimits};

/// How often a base that kept changing while it was read is read again.
const BASE_TRIES: usize = 20;
/// How often what was counted is tried to be written down when the process ends.
const LAST_FLUSHES: usize = 20;

/// What live rooms need around them.
#[derive(Clone)]
pub struct Around {
    /// The service's database.
    pub db: Db,
    /// The clock.
    pub clock: SharedClock,
    /// Identifiers and randomness.
    pub ids: SharedIds,
    /// Cancelled when streams are to end.
    pub drain: CancellationToken,
}

/// All rooms that somebody watches.
pub struct Rooms {
    pub(super) around: Around,
    pub(super) config: Arc<Config>,
    pub(super) limits: Arc<Limits>,
    hubs: Mutex<Hubs>,
    /// Told when there is a hub that nobody runs yet.
    born: Notify,
    pub(super) tally: Tally,
    pub(super) meter: Meter,
    recent: Mutex<Recent>,
    /// Names this process in what it writes down.
    writer: String,
    caller: Caller,
}

#[derive(Default)]
struct Hubs {
    by_room: HashMap<RoomId, Member>,
    newborn: Vec<Arc<Hub>>,
    watchers: usize,
}

struct Member {
    hub: Arc<Hub>,
    watchers: usize,
}

/// Holds a hub for one watcher until it is dropped.
pub struct Membership {
    rooms: Arc<Rooms>,
    hub: Arc<Hub>,
}

impl Membership {
    /// The hub.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// All rooms.
    pub fn rooms(&self) -> &Arc<Rooms> {
        &self.rooms
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.rooms.leave(&self.hub);
    }
}

impl Rooms {
    /// No room is watched yet.
    pub fn new(config: Arc<Config>, around: Around) -> Self {
        let keep = Duration::from_secs(config.like_key_life_s);
        Rooms {
            limits: Arc::new(config.limits()),
            hubs: Mutex::default(),
            born: Notify::new(),
            tally: Tally::default(),
            meter: Meter::new(),
            recent: Mutex::new(Recent::new(keep, config.like_keys_max)),
            writer: format!("{:032x}", around.ids.next()),
            caller: Caller::system("room"),
            around,
            config,
        }
    }

    /// The caller that background work acts as.
    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Joins those who watch a room; the first makes its hub.
    pub fn enter(self: &Arc<Self>, room: RoomId) -> Result<Membership, Fault> {
        let mut hubs = lock(&self.hubs);
        let here = hubs.by_room.get(&room).map_or(0, |member| member.watchers);
        if hubs.watchers >= self.config.watchers_max || here >= self.limits.watchers_per_room_max {
            let message =
                "As many watch as this server can serve; nothing was done, try again later.";
            return Err(Fault::busy(message, Duration::from_secs(5)));
        }
        let new = || Member {
            hub: Arc::new(Hub::new(room, self.limits.clone())),
            watchers: 0,
        };
        let (member, is_new) = match hubs.by_room.entry(room) {
            Entry::Occupied(entry) => (entry.into_mut(), false),
            Entry::Vacant(entry) => (entry.insert(new()), true),
        };
        member.watchers += 1;
        let hub = member.hub.clone();
        hubs.watchers += 1;
        if is_new {
            hubs.newborn.push(hub.clone());
            self.born.notify_one();
        }
        self.meter.present(hubs.watchers, hubs.by_room.len());
        Ok(Membership {
            rooms: self.clone(),
            hub,
        })
    }

    fn leave(&self, hub: &Arc<Hub>) {
        let mut hubs = lock(&self.hubs);
        hubs.watchers = hubs.watchers.saturating_sub(1);
        if let Entry::Occupied(mut entry) = hubs.by_room.entry(hub.room_id())
            && Arc::ptr_eq(&entry.get().hub, hub)
        {
            entry.get_mut().watchers -= 1;
            if entry.get().watchers == 0 {
                entry.remove();
                hub.gone().cancel();
            }
        }
        self.meter.present(hubs.watchers, hubs.by_room.len());
    }

    /// Forgets a hub that cannot go on: who comes next makes a new one.
    fn abandon(&self, hub: &Arc<Hub>) {
        let mut hubs = lock(&self.hubs);
        if let Entry::Occupied(entry) = hubs.by_room.entry(hub.room_id())
            && Arc::ptr_eq(&entry.get().hub, hub)
        {
            entry.remove();
        }
    }

    /// The hub of a room, if somebody watches it.
    pub fn hub(&self, room: &RoomId) -> Option<Arc<Hub>> {
        lock(&self.hubs)
            .by_room
            .get(room)
            .map(|member| member.hub.clone())
    }

    /// All hubs.
    pub(super) fn all(&self) -> Vec<Arc<Hub>> {
        lock(&self.hubs)
            .by_room
            .values()
            .map(|member| member.hub.clone())
            .collect()
    }

    /// How many rooms are watched.
    pub fn watched(&self) -> usize {
        lock(&self.hubs).by_room.len()
    }

    /// Runs hubs as they come, until `drain`. They do not run in the task of whoever came first: they outlive it.
    pub async fn run(self: Arc<Self>) {
        let drain = self.around.drain.clone();
        loop {
            let newborn = std::mem::take(&mut lock(&self.hubs).newborn);
            for hub in newborn {
                drop(kit::spawn("room-hub", self.clone().run_hub(hub)));
            }
            tokio::select! {
                biased;
                () = self.born.notified() => {}
                () = drain.cancelled() => return,
            }
        }
    }

    async fn run_hub(self: Arc<Self>, hub: Arc<Hub>) {
        // However this ends, nobody may be left waiting.
        let _end = End {
            rooms: &self,
            hub: &hub,
        };
        let gone = hub.gone().clone();
        if let Some(Err(fault)) = gone.run_until_cancelled(self.show(&hub)).await {
            tracing::warn!(room_id = %hub.room_id(), error = %fault.chain(), "a room cannot be shown");
        }
    }

    async fn show(&self, hub: &Hub) -> Result<(), Fault> {
        self.count(&hub.room_id(), true).await?;
        let _held = Held {
            tally: &self.tally,
            room: hub.room_id(),
        };
        let tail = self
            .around
            .db
            .read(&self.caller, self.tail_of(hub, true))
            .await?;
        if !hub.load(tail, &self.tally, self.around.clock.now()) {
            return Err(Fault::internal("a room was read without itself"));
        }
        self.follow(hub).await;
        Ok(())
    }

    fn tail_of(&self, hub: &Hub, image: bool) -> ReadTail {
        ReadTail {
            room_id: hub.room_id(),
            known: hub.known(),
            image,
            limits: self.tail_limits(),
        }
    }

    pub(super) fn tail_limits(&self) -> TailLimits {
        TailLimits {
            events_max: i64::from(self.config.tail_events_max),
            listings_max: i64::from(self.config.listings_per_room_max),
            answered_max: i64::from(self.config.snapshot_questions_max),
        }
    }

    /// Tells what is new, until the last watcher has left.
    async fn follow(&self, hub: &Hub) {
        let mut ticks =
            tokio::time::interval(Duration::from_millis(self.config.counter_tick_ms.max(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let patience = Duration::from_millis(self.config.slow_reader_cut_ms);
        loop {
            let clock = &self.around.clock;
            tokio::select! {
                _ = ticks.tick() => hub.tick(&self.tally, clock.now(), clock.instant(), patience),
                () = hub.dirtied() => {
                    let stale = hub.take_stale();
                    if let Err(fault) = self.refresh(hub, stale).await {
                        tracing::warn!(room_id = %hub.room_id(), error = %fault.chain(), "a room could not be read again");
                        // Not at once: the database has enough to do.
                        ticks.tick().await;
                        if stale { hub.mark_stale() } else { hub.mark_dirty() }
                    }
                }
            }
        }
    }

    async fn refresh(&self, hub: &Hub, image: bool) -> Result<(), Fault> {
        let tail = self
            .around
            .db
            .read(&self.caller, self.tail_of(hub, image))
            .await?;
        let clock = &self.around.clock;
        if hub.absorb(tail, &self.tally, clock.now(), clock.instant()) {
            hub.mark_dirty();
        }
        Ok(())
    }

    /// Makes sure that a room is counted here, and perhaps held.
    async fn count(&self, room: &RoomId, hold: bool) -> Result<(), Fault> {
        for _ in 0..BASE_TRIES {
            if self.tally.knows(room) && (!hold || self.tally.hold(room)) {
                return Ok(());
            }
            let mark = self.tally.mark();
            let base = self
                .around
                .db
                .read(&self.caller, ReadTotals { room_id: *room })
                .await?;
            self.tally.open(*room, base, mark);
        }
        Err(super::hub::lost())
    }

    /// A shopper likes a room; gives the room's total.
    pub async fn like(
        &self,
        room: RoomId,
        place: Place,
        key: &str,
        count: i64,
    ) -> Result<i64, Fault> {
        self.require_on_air(room, place).await?;
        for _ in 0..BASE_TRIES {
            self.count(&room, false).await?;
            // None when the room was let go of in between.
            if let Some(likes) = self.like_now(&room, key, count)? {
                return Ok(likes);
            }
        }
        Err(super::hub::lost())
    }

    fn like_now(&self, room: &RoomId, key: &str, count: i64) -> Result<Option<i64>, Refusal> {
        if self.tally.is_closed() {
            let message = "The server is going away and nothing was done; try again.";
            return Err(Refusal::new(ErrorReason::Draining, message)
                .retry_after(Duration::from_millis(100)));
        }
        let now = self.around.clock.instant();
        let mut recent = lock(&self.recent);
        if !recent.is_new(key, count, now)? {
            let mut totals = Counters::default();
            return Ok(self.tally.add_to(room, &mut totals).then_some(totals.likes));
        }
        let likes = self.tally.like(room, count);
        if likes.is_some() {
            recent.remember(key, count, now);
        }
        Ok(likes)
    }

    async fn require_on_air(&self, room: RoomId, place: Place) -> Result<(), Fault> {
        let known = self.hub(&room).and_then(|hub| hub.state_at(&place));
        let state = match known {
            Some(state) => state,
            None => {
                self.around
                    .db
                    .read(
                        &self.caller,
                        ReadAudience {
                            room_id: room,
                            place,
                        },
                    )
                    .await?
            }
        };
        if state.is_on_air() {
            return Ok(());
        }
        Err(wrong_room_state(state, "be liked", "it has to be LIVE or PAUSED").into())
    }

    /// Puts what is only known here into totals that were read from the database.
    pub fn complete(&self, room: &Room, counters: &mut Counters) {
        self.tally.add_to(&room.id, counters);
        if room.state != RoomState::Ended {
            counters.viewers = self.hub(&room.id).map_or(0, |hub| hub.viewers());
        }
    }

    /// Writes down what was counted, about once a second and once more at the end, until `drain`.
    pub async fn run_flushes(self: Arc<Self>) {
        let pause = Duration::from_millis(self.config.flush_interval_ms.max(1));
        let drain = self.around.drain.clone();
        while drain
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_some()
        {
            self.flush().await;
        }
        self.tally.close();
        for _ in 0..LAST_FLUSHES {
            if self.flush().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tracing::error!("likes and views of the last moments could not be written down");
    }

    /// Writes down what was counted; whether nothing is left.
    pub async fn flush(&self) -> bool {
        // What is in flight comes first; what gathered meanwhile goes with the next one.
        while let Some(flight) = self.tally.take_off() {
            let flush = FlushCounters {
                writer: self.writer.clone(),
                sequence: flight.sequence,
                deltas: flight.deltas.clone(),
            };
            if let Err(fault) = self.around.db.execute(&self.caller, flush).await {
                tracing::warn!(error = %fault.chain(), "likes and views could not be written down, trying again");
                return false;
            }
            self.tally.landed(&flight);
        }
        true
    }
}

struct Held<'a> {
    tally: &'a Tally,
    room: RoomId,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.tally.release(&self.room);
    }
}

struct End<'a> {
    rooms: &'a Rooms,
    hub: &'a Arc<Hub>,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.rooms.abandon(self.hub);
        self.hub.fail();
    }
}
