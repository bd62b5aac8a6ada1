//! One room that somebody watches.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use contracts::ErrorReason;
use contracts::id::RoomId;
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::cursor::Marks;
use super::group::{Beginning, Group, Look, Now, SeatId, Totals};
use super::{Tally, lock};
use crate::events::frames::{self, Moment};
use crate::model::{Counters, Image, Place, RoomState, View};
use crate::ops::tail::Tail;
use crate::store::log::Heads;
use crate::store::mirror::Change;

/// Sizes of windows and frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// LEDGER events that a watcher may be behind.
    pub ledger_window: usize,
    /// CHAT events that are kept for those who are behind.
    pub chat_window: usize,
    /// EPHEMERAL events that are kept.
    pub ephemeral_window: usize,
    /// CHAT events of one's own that are kept although they fell out of the window.
    pub own_chat_window: usize,
    /// CHAT events a second that everybody gets; what is above is only for its sender.
    pub chat_rate_max_per_s: u32,
    /// The most events in a frame.
    pub frame_events_max: usize,
    /// The most bytes of events in a frame; a larger event travels alone.
    pub frame_bytes_max: usize,
    /// Watchers of one room.
    pub watchers_per_room_max: usize,
    /// Watches of one shopper in one room.
    pub watches_per_viewer_max: usize,
}

/// Where a hub is in its life.
enum Phase {
    Loading,
    Open(Box<Open>),
    Failed,
}

/// A room as it is being shown.
struct Open {
    heads: Heads,
    image: Arc<Image>,
    groups: HashMap<View, Group>,
    totals: Totals,
    counters: Counters,
    next_edge: Option<Micros>,
    /// The last event that there will be was read.
    ended: bool,
    /// Something waits for the next tick to be told.
    untold: bool,
    seats: SeatId,
}

/// One room that somebody watches.
pub struct Hub {
    room_id: RoomId,
    limits: Arc<Limits>,
    phase: Mutex<Phase>,
    /// Counts what watchers should look for.
    changed: watch::Sender<u64>,
    dirty: Notify,
    stale: AtomicBool,
    gone: CancellationToken,
}

/// What somebody who comes finds.
pub struct Seated {
    /// Their seat.
    pub seat: SeatId,
    /// This life of the group they are in.
    pub life: u64,
    /// Where the room's log stands.
    pub heads: Heads,
    /// The room.
    pub image: Arc<Image>,
    /// The totals, encoded.
    pub totals: Bytes,
    /// Where the seat is.
    pub marks: Marks,
}

/// What a watcher finds when it looks.
pub enum Found {
    /// Nothing new yet.
    Nothing,
    /// Events, or that it was cut off.
    Look(Look),
    /// The room is over and everything was seen.
    Over,
    /// The hub is no more.
    Lost,
}

impl Hub {
    /// A hub that knows nothing yet.
    pub fn new(room_id: RoomId, limits: Arc<Limits>) -> Self {
        Hub {
            room_id,
            limits,
            phase: Mutex::new(Phase::Loading),
            changed: watch::Sender::new(0),
            dirty: Notify::new(),
            stale: AtomicBool::new(false),
            gone: CancellationToken::new(),
        }
    }

    /// The room.
    pub fn room_id(&self) -> RoomId {
        self.room_id
    }

    /// Cancelled when the last watcher has left.
    pub fn gone(&self) -> &CancellationToken {
        &self.gone
    }

    /// Told when there is something to look for.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Until there is something new in the database.
    pub async fn dirtied(&self) {
        self.dirty.notified().await;
    }

    /// There is something new in the database.
    pub fn mark_dirty(&self) {
        self.dirty.notify_one();
    }

    /// Whether the room itself has to be read again; asked once.
    pub fn take_stale(&self) -> bool {
        self.stale.swap(false, Ordering::AcqRel)
    }

    /// The room itself has to be read again.
    pub fn mark_stale(&self) {
        self.stale.store(true, Ordering::Release);
        self.mark_dirty();
    }

    /// How far the room's log was read; none before the first reading.
    pub fn known(&self) -> Option<(i64, i64)> {
        self.open(|open| (open.heads.ledger, open.heads.chat))
    }

    /// The room's state, when it is shown at a place; none before the first reading.
    pub fn state_at(&self, place: &Place) -> Option<RoomState> {
        let state = |open: &mut Open| {
            let room = &open.image.room;
            room.places.contains(place).then_some(room.state)
        };
        self.open(state)?
    }

    /// Shoppers watching now.
    pub fn viewers(&self) -> i64 {
        self.open(|open| open.viewers()).unwrap_or(0)
    }

    /// Whether a change of the catalogue may be seen here. What is not read yet, may.
    pub fn is_touched_by(&self, changes: &[Change]) -> bool {
        let touched = |open: &mut Open| {
            changes
                .iter()
                .any(|c| open.image.is_touched_by(c.product, c.partner))
        };
        self.open(touched).unwrap_or(true)
    }

    fn open<T>(&self, look: impl FnOnce(&mut Open) -> T) -> Option<T> {
        match &mut *lock(&self.phase) {
            Phase::Open(open) => Some(look(open)),
            Phase::Loading | Phase::Failed => None,
        }
    }

    /// Tells all watchers to look.
    fn tell(&self) {
        self.changed.send_modify(|change| *change += 1);
    }

    /// The hub cannot go on; its watchers are sent away.
    pub fn fail(&self) {
        let mut phase = lock(&self.phase);
        if let Phase::Loading | Phase::Open(_) = *phase {
            *phase = Phase::Failed;
        }
        drop(phase);
        self.tell();
    }

    /// The first reading. What happened before is not told. False when there is no room in it.
    pub fn load(&self, tail: Tail, tally: &Tally, time: Micros) -> bool {
        let Some(image) = tail.image else {
            return false;
        };
        let heads = Heads {
            ledger: tail.ledger_read,
            chat: tail.chat_read,
            ..tail.heads
        };
        let mut open = Open {
            ended: image.room.state == RoomState::Ended,
            next_edge: image.assortment.next_edge(time),
            heads,
            image: Arc::new(image),
            groups: HashMap::new(),
            totals: Totals::default(),
            counters: Counters::default(),
            untold: false,
            seats: 0,
        };
        open.count(tally, time);
        *lock(&self.phase) = Phase::Open(Box::new(open));
        self.tell();
        true
    }

    /// A later reading: tells what is new. Answers whether there is more to read.
    pub fn absorb(&self, tail: Tail, tally: &Tally, time: Micros, instant: Instant) -> bool {
        let more = tail.ledger_read < tail.heads.ledger || tail.chat_read < tail.heads.chat;
        let told = self.open(|open| open.absorb(tail, tally, time, instant));
        if told == Some(true) {
            self.tell();
        }
        more
    }

    /// What is done a few times a second: totals, bursts, sale windows that open or close, and slow readers.
    pub fn tick(&self, tally: &Tally, time: Micros, instant: Instant, patience: Duration) {
        let change = *self.changed.borrow();
        let told = self.open(|open| {
            let mut told = std::mem::take(&mut open.untold);
            // A room that is over has had its last word.
            if !open.ended {
                told |= open.burst(tally, time);
                told |= open.count(tally, time);
                told |= open.edges(time);
            }
            for group in open.groups.values_mut() {
                told |= group.cut_slow(change, instant, patience);
            }
            told
        });
        if told == Some(true) {
            self.tell();
        }
    }

    /// Gives somebody a seat. None while the hub is loading.
    pub fn sit(
        &self,
        view: View,
        viewer: Option<Arc<str>>,
        life: u64,
        time: Micros,
        instant: Instant,
    ) -> Option<Result<Seated, Fault>> {
        let change = *self.changed.borrow();
        match &mut *lock(&self.phase) {
            Phase::Loading => None,
            Phase::Failed => Some(Err(lost())),
            Phase::Open(open) => {
                Some(open.sit(view, viewer, &self.limits, change, life, time, instant))
            }
        }
    }

    /// Puts a seat back to where a cursor of its group's own life was in STATE.
    pub fn back_to(&self, view: &View, seat: SeatId, state: i64) {
        self.open(|open| {
            if let Some(group) = open.groups.get_mut(view) {
                group.back_to(seat, state);
            }
        });
    }

    /// The room as it is; the seat is moved to what comes after it.
    pub fn snapshot(&self, view: &View, seat: SeatId, time: Micros) -> Option<(Bytes, Marks)> {
        let change = *self.changed.borrow();
        let limits = &*self.limits;
        self.open(|open| {
            let now = Now {
                totals: &open.totals,
                chat: open.heads.chat,
                change,
                limits,
            };
            let group = open.groups.get_mut(view)?;
            group.sit_again(seat, &now);
            let bytes = group.snapshot(&open.image, open.counters, time);
            Some((bytes, group.marks(seat, open.heads.chat)))
        })?
    }

    /// Takes a seat away.
    pub fn leave(&self, view: &View, seat: SeatId) {
        self.open(|open| {
            if let Entry::Occupied(mut group) = open.groups.entry(*view) {
                group.get_mut().leave(seat);
                if group.get().is_empty() {
                    group.remove();
                }
            }
        });
    }

    /// What a watcher has not seen yet.
    pub fn look(&self, view: &View, seat: SeatId) -> Found {
        let change = *self.changed.borrow();
        let limits = &*self.limits;
        let found = self.open(|open| {
            let now = Now {
                totals: &open.totals,
                chat: open.heads.chat,
                change,
                limits,
            };
            let Some(group) = open.groups.get_mut(view) else {
                return Found::Lost;
            };
            match group.look(seat, &now) {
                Look::Nothing if open.ended => Found::Over,
                Look::Nothing => Found::Nothing,
                look => Found::Look(look),
            }
        });
        found.unwrap_or(Found::Lost)
    }
}

impl Open {
    fn viewers(&self) -> i64 {
        let count: usize = self.groups.values().map(Group::viewers).sum();
        i64::try_from(count).unwrap_or(i64::MAX)
    }

    fn absorb(&mut self, tail: Tail, tally: &Tally, time: Micros, instant: Instant) -> bool {
        let mut told = !tail.ledger.is_empty();
        let is_new = tail.image.is_some();
        if let Some(image) = tail.image {
            self.next_edge = image.assortment.next_edge(time);
            self.image = Arc::new(image);
            self.groups.values_mut().for_each(Group::outdated);
        }
        let image = self.image.clone();
        for group in self.groups.values_mut() {
            for logged in &tail.ledger {
                group.ledger(logged, &image, time);
            }
            told |= is_new && group.offers(&image, time);
            for said in &tail.chat {
                group.chat(said, &image, instant);
            }
        }
        self.untold |= !tail.chat.is_empty();
        let everything = tail.ledger_read >= tail.heads.ledger && tail.chat_read >= tail.heads.chat;
        self.heads = Heads {
            ledger: tail.ledger_read,
            chat: tail.chat_read,
            ..tail.heads
        };
        if everything && image.room.state == RoomState::Ended {
            self.ended = true;
            // The last frame has the last totals.
            self.count(tally, time);
            told = true;
        }
        told
    }

    /// Brings the totals up to date; whether they changed.
    fn count(&mut self, tally: &Tally, time: Micros) -> bool {
        let mut counters = Counters {
            viewers: self.viewers(),
            questions: self.heads.questions,
            ..self.counters
        };
        tally.add_to(&self.image.room.id, &mut counters);
        if counters == self.counters && self.totals.version > 0 {
            return false;
        }
        self.counters = counters;
        self.totals.version += 1;
        self.totals.bytes = frames::counters(Moment::of(&self.image.room, time), counters);
        self.groups.values_mut().for_each(Group::outdated);
        true
    }

    fn burst(&mut self, tally: &Tally, time: Micros) -> bool {
        let count = tally.take_burst(&self.image.room.id);
        if count == 0 {
            return false;
        }
        let bytes = frames::like_burst(Moment::of(&self.image.room, time), count);
        self.groups
            .values_mut()
            .for_each(|group| group.burst(&bytes));
        true
    }

    /// Sale windows open and close without anybody doing anything.
    fn edges(&mut self, time: Micros) -> bool {
        if self.next_edge.is_none_or(|edge| time < edge) {
            return false;
        }
        self.next_edge = self.image.assortment.next_edge(time);
        let image = self.image.clone();
        let mut told = false;
        for group in self.groups.values_mut() {
            group.outdated();
            told |= group.offers(&image, time);
        }
        told
    }

    #[allow(clippy::too_many_arguments, reason = "all of it is what makes a seat")]
    fn sit(
        &mut self,
        view: View,
        viewer: Option<Arc<str>>,
        limits: &Limits,
        change: u64,
        life: u64,
        time: Micros,
        instant: Instant,
    ) -> Result<Seated, Fault> {
        let from = Beginning {
            life,
            ledger: self.heads.ledger,
            image: &self.image,
            time,
            instant,
            limits,
        };
        let group = self
            .groups
            .entry(view)
            .or_insert_with(|| Group::new(view, &from));
        let seats = viewer.as_ref().map_or(0, |viewer| group.seats_of(viewer));
        if seats >= limits.watches_per_viewer_max {
            let message =
                format!("You watch this room {seats} times already; end one of them first.");
            return Err(Refusal::new(ErrorReason::RateLimited, message)
                .retry_after(Duration::from_secs(1))
                .into());
        }
        self.seats += 1;
        let now = Now {
            totals: &self.totals,
            chat: self.heads.chat,
            change,
            limits,
        };
        group.sit(self.seats, viewer, &now);
        Ok(Seated {
            seat: self.seats,
            life: group.life(),
            heads: self.heads.clone(),
            image: self.image.clone(),
            totals: self.totals.bytes.clone(),
            marks: group.marks(self.seats, self.heads.chat),
        })
    }
}

/// The answer when a room cannot be shown for a reason that may pass.
pub fn lost() -> Fault {
    Fault::busy(
        "The room cannot be shown just now; watch again, from the last cursor.",
        Duration::from_secs(1),
    )
}
