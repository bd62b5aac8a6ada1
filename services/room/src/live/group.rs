//! All watchers of a room who look from the same place: what is shown to them, and where each of them is.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use contracts::id::ShowcaseItemId;
use kit::clock::Micros;

use super::batch::{Batch, PerClass, ledger_bytes, offers};
use super::cursor::Marks;
use super::hub::Limits;
use super::window::{Latest, Rate, Window};
use crate::events::frames::{self, Moment};
use crate::model::{ChatEvent, Class, Counters, Image, LedgerEvent, Logged, Offer, View};
use crate::store::log::Said;

/// Names a watcher in its room.
pub type SeatId = u64;

/// What was said, as this group sees it.
struct Line {
    /// Its place in the room's log.
    position: i64,
    bytes: Bytes,
    /// Whether it is for everybody; what is sampled away is still for its asker.
    kept: bool,
    asker: Arc<str>,
}

/// A watcher's place in each window.
struct Seat {
    viewer: Option<Arc<str>>,
    ledger: i64,
    state: i64,
    counter: i64,
    chat: i64,
    ephemeral: i64,
    /// Lines of its own that fell out of the window before it had read them.
    own: VecDeque<Bytes>,
    /// How many of the lost lines are in `own`.
    rescued: i64,
    dropped: PerClass,
    /// The hub's change that it has seen everything of.
    seen: u64,
    /// Since when something waits for it.
    behind_since: Option<Instant>,
    cut: bool,
}

/// Totals that all groups share.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// How often they changed.
    pub version: i64,
    /// The encoded event.
    pub bytes: Bytes,
}

/// What is common to all groups when a watcher looks.
pub struct Now<'a> {
    /// The totals.
    pub totals: &'a Totals,
    /// Where the room's CHAT log stands.
    pub chat: i64,
    /// The hub's last change.
    pub change: u64,
    /// The limits of a frame.
    pub limits: &'a Limits,
}

/// What a watcher gets when it looks.
pub enum Look {
    /// There is nothing new.
    Nothing,
    /// It fell behind and has to start over from its cursor.
    Cut,
    /// These events.
    Events(Batch),
}

/// What was shown of an item last.
type Shown = (String, Vec<Offer>);

/// All watchers of a room who look from the same place.
pub struct Group {
    view: View,
    life: u64,
    ledger: Window<Bytes>,
    state: Latest<ShowcaseItemId, Bytes>,
    chat: Window<Line>,
    chat_rate: Rate,
    ephemeral: Window<Bytes>,
    shown: HashMap<ShowcaseItemId, Shown>,
    snapshot: Option<Bytes>,
    seats: HashMap<SeatId, Seat>,
    viewers: HashMap<Arc<str>, Vec<SeatId>>,
    own_chat_max: usize,
}

/// What a new group begins with.
pub struct Beginning<'a> {
    /// Names this life of the group.
    pub life: u64,
    /// Where the room's LEDGER stands.
    pub ledger: i64,
    /// The room.
    pub image: &'a Image,
    /// On the clock.
    pub time: Micros,
    /// For measuring.
    pub instant: Instant,
    /// Sizes.
    pub limits: &'a Limits,
}

impl Group {
    /// A group without watchers, who would see the room as it is.
    pub fn new(view: View, from: &Beginning<'_>) -> Self {
        let limits = from.limits;
        let shown = from.image.items.iter().map(|item| {
            let offers = offers(&view, from.image, item, from.time);
            (item.id, (item.title.clone(), offers))
        });
        Group {
            view,
            life: from.life,
            ledger: Window::new(from.ledger, limits.ledger_window),
            state: Latest::default(),
            chat: Window::new(0, limits.chat_window),
            chat_rate: Rate::new(limits.chat_rate_max_per_s, from.instant),
            ephemeral: Window::new(0, limits.ephemeral_window),
            shown: shown.collect(),
            snapshot: None,
            seats: HashMap::new(),
            viewers: HashMap::new(),
            own_chat_max: limits.own_chat_window,
        }
    }

    /// Names this life of the group.
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// How many shoppers watch from here.
    pub fn viewers(&self) -> usize {
        self.seats
            .values()
            .filter(|seat| seat.viewer.is_some() && !seat.cut)
            .count()
    }

    /// How many seats a shopper has.
    pub fn seats_of(&self, viewer: &str) -> usize {
        self.viewers.get(viewer).map_or(0, Vec::len)
    }

    /// Gives a watcher a seat from which everything that comes is seen.
    pub fn sit(&mut self, id: SeatId, viewer: Option<Arc<str>>, now: &Now<'_>) {
        if let Some(viewer) = &viewer {
            self.viewers.entry(viewer.clone()).or_default().push(id);
        }
        let seat = self.seat(viewer, now);
        self.seats.insert(id, seat);
    }

    /// Moves a seat to where everything was seen.
    pub fn sit_again(&mut self, id: SeatId, now: &Now<'_>) {
        let Some(before) = self.seats.remove(&id) else {
            return;
        };
        let seat = self.seat(before.viewer, now);
        self.seats.insert(id, seat);
    }

    fn seat(&self, viewer: Option<Arc<str>>, now: &Now<'_>) -> Seat {
        Seat {
            viewer,
            ledger: self.ledger.last(),
            state: self.state.version(),
            counter: now.totals.version,
            chat: self.chat.last(),
            ephemeral: self.ephemeral.last(),
            own: VecDeque::new(),
            rescued: 0,
            dropped: PerClass::default(),
            seen: now.change,
            behind_since: None,
            cut: false,
        }
    }

    /// Puts a seat back to where a cursor of this very life of the group was in STATE.
    pub fn back_to(&mut self, id: SeatId, state: i64) {
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.state = state.clamp(0, self.state.version());
        }
    }

    /// Takes a seat away.
    pub fn leave(&mut self, id: SeatId) {
        let Some(seat) = self.seats.remove(&id) else {
            return;
        };
        let Some(viewer) = seat.viewer else { return };
        if let Some(seats) = self.viewers.get_mut(&viewer) {
            seats.retain(|seat| *seat != id);
            if seats.is_empty() {
                self.viewers.remove(&viewer);
            }
        }
    }

    /// Where a seat is.
    pub fn marks(&self, id: SeatId, chat: i64) -> Marks {
        let Some(seat) = self.seats.get(&id) else {
            return Marks::default();
        };
        Marks {
            ledger: seat.ledger,
            chat,
            life: self.life,
            state: seat.state,
            counter: seat.counter,
            ephemeral: seat.ephemeral,
        }
    }

    /// The room as it is, made once for all who come while it stays so.
    pub fn snapshot(&mut self, image: &Image, totals: Counters, time: Micros) -> Bytes {
        let view = self.view;
        self.snapshot
            .get_or_insert_with(|| frames::snapshot(image, &view, totals, time))
            .clone()
    }

    /// The next snapshot is made anew.
    pub fn outdated(&mut self) {
        self.snapshot = None;
    }

    /// A LEDGER event happened; `image` is the room after it.
    pub fn ledger(&mut self, logged: &Logged<LedgerEvent>, image: &Image, time: Micros) {
        let bytes = ledger_bytes(&self.view, logged, image, time);
        self.ledger.push(bytes);
        if let LedgerEvent::Item(item) = &logged.event {
            // New ones are shown by this very event; for others a change is still told as STATE.
            let offers = offers(&self.view, image, item, time);
            self.shown
                .entry(item.id)
                .or_insert_with(|| (item.title.clone(), offers));
        }
    }

    /// Tells of items whose offers are no longer what was shown last; whether there were any.
    pub fn offers(&mut self, image: &Image, time: Micros) -> bool {
        let before = self.state.version();
        for item in &image.items {
            let now = (item.title.clone(), offers(&self.view, image, item, time));
            if self.shown.get(&item.id) != Some(&now) {
                let moment = Moment::of(&image.room, time);
                self.state
                    .put(item.id, frames::item_offers(moment, item, &now.1));
                self.shown.insert(item.id, now);
            }
        }
        if self.shown.len() > image.items.len() {
            let there = |id: &ShowcaseItemId| image.items.iter().any(|item| item.id == *id);
            self.shown.retain(|id, _| there(id));
            self.state.retain(there);
        }
        self.state.version() > before
    }

    /// Something was said. Questions may be sampled away; answers are for everybody.
    pub fn chat(&mut self, said: &Said, image: &Image, instant: Instant) {
        let (event, question) = &said.event;
        let kept = match event {
            ChatEvent::Asked(_) if !self.view.sees_asked(question) => return,
            ChatEvent::Asked(_) => self.chat_rate.pass(instant),
            ChatEvent::Answered(_) => {
                self.chat_rate.force(instant);
                true
            }
        };
        let moment = Moment::of(&image.room, said.time);
        let line = Line {
            position: said.position,
            bytes: frames::chat(moment, *event, question, &self.view),
            kept,
            asker: question.shopper_ref.as_str().into(),
        };
        // Nobody's own line is kept for those who look from another outlet, where the same name is somebody else.
        let own_outlet = self.view.sees_asked(question);
        if let Some((number, fallen)) = self.chat.push(line)
            && own_outlet
        {
            self.rescue(number, &fallen);
        }
    }

    /// Keeps a line that fell out of the window for its asker.
    fn rescue(&mut self, number: i64, line: &Line) {
        for id in self.viewers.get(&line.asker).into_iter().flatten() {
            let Some(seat) = self.seats.get_mut(id) else {
                continue;
            };
            if seat.chat < number && seat.own.len() < self.own_chat_max {
                seat.own.push_back(line.bytes.clone());
                seat.rescued += 1;
            }
        }
    }

    /// Likes came.
    pub fn burst(&mut self, bytes: &Bytes) {
        self.ephemeral.push(bytes.clone());
    }

    /// What a watcher has not seen yet, as much as fits into a frame.
    pub fn look(&mut self, id: SeatId, now: &Now<'_>) -> Look {
        let Some(seat) = self.seats.get_mut(&id) else {
            return Look::Cut;
        };
        if seat.cut || self.ledger.lost_after(seat.ledger) > 0 {
            seat.cut = true;
            return Look::Cut;
        }
        let mut batch = Batch::after(seat.dropped);
        for (position, bytes) in self.ledger.after(seat.ledger) {
            if !batch.take(bytes, now.limits) {
                break;
            }
            seat.ledger = position;
        }
        // What follows may refer to it, so the LEDGER goes first and whole.
        if !batch.full {
            Self::look_at_state(seat, &self.state, &mut batch, now);
        }
        if !batch.full
            && now.totals.version > seat.counter
            && batch.take(&now.totals.bytes, now.limits)
        {
            batch.dropped[Class::Counter.index()] += now.totals.version - seat.counter - 1;
            seat.counter = now.totals.version;
        }
        let chat = if batch.full {
            0
        } else {
            Self::look_at_chat(seat, &self.chat, &mut batch, now)
        };
        if !batch.full {
            Self::look_at_bursts(seat, &self.ephemeral, &mut batch, now);
        }
        seat.behind_since = None;
        if !batch.full {
            seat.seen = now.change;
        }
        seat.dropped = batch.dropped;
        if batch.events.is_empty() {
            return Look::Nothing;
        }
        batch.dropped = std::mem::take(&mut seat.dropped);
        batch.marks = Marks {
            ledger: seat.ledger,
            chat,
            life: self.life,
            state: seat.state,
            counter: seat.counter,
            ephemeral: seat.ephemeral,
        };
        Look::Events(batch)
    }

    fn look_at_state(
        seat: &mut Seat,
        state: &Latest<ShowcaseItemId, Bytes>,
        batch: &mut Batch,
        now: &Now<'_>,
    ) {
        for (version, bytes) in state.after(seat.state) {
            if !batch.take(bytes, now.limits) {
                return;
            }
            // Versions in between were replaced before this watcher looked.
            batch.dropped[Class::State.index()] += version - seat.state - 1;
            seat.state = version;
        }
        seat.state = state.version();
    }

    fn look_at_bursts(
        seat: &mut Seat,
        ephemeral: &Window<Bytes>,
        batch: &mut Batch,
        now: &Now<'_>,
    ) {
        let lost = ephemeral.lost_after(seat.ephemeral);
        batch.dropped[Class::Ephemeral.index()] += lost;
        seat.ephemeral += lost;
        for (number, bytes) in ephemeral.after(seat.ephemeral) {
            if !batch.take(bytes, now.limits) {
                return;
            }
            seat.ephemeral = number;
        }
    }

    /// Gives the place in the room's log up to which the watcher has seen what was said; 0 when it got no further.
    fn look_at_chat(seat: &mut Seat, chat: &Window<Line>, batch: &mut Batch, now: &Now<'_>) -> i64 {
        while let Some(own) = seat.own.front() {
            if !batch.take(own, now.limits) {
                return 0;
            }
            seat.own.pop_front();
        }
        let lost = chat.lost_after(seat.chat);
        batch.dropped[Class::Chat.index()] += lost - std::mem::take(&mut seat.rescued);
        seat.chat += lost;
        let mut seen = 0;
        for (number, line) in chat.after(seat.chat) {
            let own = seat.viewer.as_ref() == Some(&line.asker);
            if !line.kept && !own {
                batch.dropped[Class::Chat.index()] += 1;
            } else if !batch.take(&line.bytes, now.limits) {
                return seen;
            }
            (seat.chat, seen) = (number, line.position);
        }
        now.chat
    }

    /// Cuts off watchers that let something wait for too long; whether there were any.
    pub fn cut_slow(&mut self, change: u64, instant: Instant, patience: Duration) -> bool {
        let mut any = false;
        for seat in self
            .seats
            .values_mut()
            .filter(|seat| !seat.cut && seat.seen < change)
        {
            let since = *seat.behind_since.get_or_insert(instant);
            if instant.saturating_duration_since(since) > patience {
                seat.cut = true;
                any = true;
            }
        }
        any
    }
}
