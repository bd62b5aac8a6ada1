//! One who watches a room.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use contracts::ErrorReason;
use contracts::id::RoomId;
use kit::errors::{Fault, Refusal};
use tokio::sync::watch;

use super::batch::{Batch, PerClass, all_offers, ledger_bytes};
use super::cursor::{Cursor, Marks};
use super::group::{Look, SeatId};
use super::hub::{Found, Hub, Limits, Seated, lost};
use super::rooms::{Membership, Rooms};
use crate::events::frames::{Frame, Moment, Outcome, chat};
use crate::model::{ChatEvent, Class, View};
use crate::ops::tail::{Missed, ReadMissed};
use crate::store::log::{Heads, Stretch};

/// Who wants to watch what.
pub struct Who {
    /// The room.
    pub room_id: RoomId,
    /// From where.
    pub view: View,
    /// The shopper, when it is one.
    pub viewer: Option<Arc<str>>,
}

/// A seat that is given back when its holder goes.
struct Place {
    member: Membership,
    view: View,
    seat: SeatId,
}

impl Place {
    fn hub(&self) -> &Arc<Hub> {
        self.member.hub()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub().leave(&self.view, self.seat);
    }
}

/// What was missed and is to be sent before anything new.
enum Old {
    Ledger(i64, Bytes),
    Chat(i64, Bytes),
    State(Bytes),
}

/// One who watches a room.
pub struct Watcher {
    place: Place,
    epoch: String,
    changes: watch::Receiver<u64>,
    limits: Arc<Limits>,
    /// Where it is; what its cursor says.
    marks: Marks,
    /// Where it will be when everything old was sent.
    target: Marks,
    old: VecDeque<Old>,
    first: Option<Frame>,
    over: bool,
}

impl Rooms {
    /// Begins to watch. BAD_CURSOR when the cursor is not one of the room.
    pub async fn watch(self: &Arc<Self>, who: Who, cursor: &str) -> Result<Watcher, Fault> {
        let cursor = Cursor::parse(&who.room_id, cursor)?;
        if self.around.drain.is_cancelled() {
            return Err(draining(None).into());
        }
        let member = self.enter(who.room_id)?;
        let mut changes = member.hub().changes();
        let seated = self.sit(&member, &mut changes, &who).await?;
        let place = Place {
            member,
            view: who.view,
            seat: seated.seat,
        };
        let mut watcher = Watcher {
            place,
            epoch: seated.heads.epoch.clone(),
            changes,
            limits: self.limits.clone(),
            marks: seated.marks,
            target: seated.marks,
            old: VecDeque::new(),
            first: None,
            over: false,
        };
        let outcome = watcher.begin(self, cursor, &seated).await?;
        self.meter.began(outcome);
        if who.viewer.is_some() && outcome != Outcome::Resumed {
            self.tally.view(&who.room_id);
        }
        Ok(watcher)
    }

    /// Waits for the hub to know the room, then takes a seat.
    async fn sit(
        &self,
        member: &Membership,
        changes: &mut watch::Receiver<u64>,
        who: &Who,
    ) -> Result<Seated, Fault> {
        loop {
            changes.borrow_and_update();
            let clock = &self.around.clock;
            // 0 stands for no life at all.
            let life = self.around.ids.random_u64().max(1);
            let (time, instant) = (clock.now(), clock.instant());
            if let Some(seated) =
                member
                    .hub()
                    .sit(who.view, who.viewer.clone(), life, time, instant)
            {
                return seated;
            }
            tokio::select! {
                biased;
                () = self.around.drain.cancelled() => return Err(draining(None).into()),
                changed = changes.changed() => changed.map_err(|_| lost())?,
            }
        }
    }
}

impl Watcher {
    /// Decides how the watch begins and makes its first frame.
    async fn begin(
        &mut self,
        rooms: &Rooms,
        cursor: Option<Cursor>,
        seated: &Seated,
    ) -> Result<Outcome, Fault> {
        let Some(cursor) = cursor else {
            return self.show(rooms, seated, Outcome::Snapshot, &[]);
        };
        let missed = match stretches(&cursor, &seated.heads) {
            None => return self.show(rooms, seated, Outcome::Reset, &[]),
            Some((ledger, chat)) => {
                let (ledger_max, chat_max) =
                    (rooms.config.ledger_replay_max, rooms.config.chat_replay_max);
                let bearable =
                    ledger.count() <= i64::from(ledger_max) && chat.count() <= i64::from(chat_max);
                let found = match bearable {
                    true => {
                        let read = ReadMissed {
                            room_id: self.place.hub().room_id(),
                            ledger,
                            chat,
                        };
                        rooms.around.db.read(rooms.caller(), read).await?
                    }
                    false => None,
                };
                let dropped = [(Class::Ledger, ledger.count()), (Class::Chat, chat.count())];
                match found {
                    Some(missed) => missed,
                    None => return self.show(rooms, seated, Outcome::Reset, &dropped),
                }
            }
        };
        self.resume(rooms, &cursor, seated, missed);
        Ok(Outcome::Resumed)
    }

    /// Begins with the room as it is.
    fn show(
        &mut self,
        rooms: &Rooms,
        seated: &Seated,
        outcome: Outcome,
        dropped: &[(Class, i64)],
    ) -> Result<Outcome, Fault> {
        let time = rooms.around.clock.now();
        let shown = self
            .place
            .hub()
            .snapshot(&self.place.view, self.place.seat, time);
        let (snapshot, marks) = shown.ok_or_else(lost)?;
        self.marks = marks;
        self.first = Some(Frame {
            cursor: self.cursor(),
            outcome: Some(outcome),
            snapshot: Some(snapshot),
            events: vec![seated.totals.clone()],
            dropped: dropped
                .iter()
                .copied()
                .filter(|(_, count)| *count > 0)
                .collect(),
        });
        Ok(outcome)
    }

    /// Begins with what was missed.
    fn resume(&mut self, rooms: &Rooms, cursor: &Cursor, seated: &Seated, missed: Missed) {
        let (view, image) = (self.place.view, &*seated.image);
        let time = rooms.around.clock.now();
        for logged in &missed.ledger {
            let bytes = ledger_bytes(&view, logged, image, time);
            self.old.push_back(Old::Ledger(logged.position, bytes));
        }
        let same_life = cursor.marks.life == seated.life;
        if same_life {
            self.place
                .hub()
                .back_to(&view, self.place.seat, cursor.marks.state);
            self.target.state = cursor.marks.state.min(self.target.state);
        } else {
            self.old
                .extend(all_offers(&view, image, time).map(Old::State));
        }
        for said in &missed.chat {
            let (event, question) = &said.event;
            if matches!(event, ChatEvent::Answered(_)) || view.sees_asked(question) {
                let bytes = chat(Moment::of(&image.room, said.time), *event, question, &view);
                self.old.push_back(Old::Chat(said.position, bytes));
            }
        }
        self.marks = Marks {
            ledger: cursor.marks.ledger,
            chat: cursor.marks.chat,
            ..if same_life {
                self.target
            } else {
                Marks::default()
            }
        };
        let mut first = self.take_old();
        first.outcome = Some(Outcome::Resumed);
        first.events.push(seated.totals.clone());
        self.first = Some(first);
    }

    /// A frame of what is old, as much as fits.
    fn take_old(&mut self) -> Frame {
        let mut batch = Batch::default();
        while let Some(old) = self.old.front() {
            let (Old::Ledger(_, bytes) | Old::Chat(_, bytes) | Old::State(bytes)) = old;
            if !batch.take(bytes, &self.limits) {
                break;
            }
            match old {
                Old::Ledger(position, _) => self.marks.ledger = *position,
                Old::Chat(position, _) => self.marks.chat = *position,
                Old::State(_) => {}
            }
            self.old.pop_front();
        }
        if self.old.is_empty() {
            self.marks = self.target;
        }
        Frame {
            cursor: self.cursor(),
            events: batch.events,
            ..Frame::default()
        }
    }

    fn cursor(&self) -> String {
        Cursor::text(&self.place.hub().room_id(), &self.epoch, &self.marks)
    }

    /// The next frame; none when the room is over. After an error there is nothing more.
    pub async fn next(&mut self) -> Option<Result<Frame, Fault>> {
        if self.over {
            return None;
        }
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        if !self.old.is_empty() {
            return Some(Ok(self.take_old()));
        }
        let drain = self.place.member.rooms().around.drain.clone();
        loop {
            self.changes.borrow_and_update();
            if drain.is_cancelled() {
                return self.end(draining(Some(self.cursor())).into());
            }
            match self.place.hub().look(&self.place.view, self.place.seat) {
                Found::Nothing => {}
                Found::Over => {
                    self.over = true;
                    return None;
                }
                Found::Lost => return self.end(lost()),
                Found::Look(Look::Nothing) => {}
                Found::Look(Look::Cut) => {
                    self.place.member.rooms().meter.cut();
                    return self.end(too_slow(self.cursor()).into());
                }

                Found::Look(Look::Events(batch)) => {
                    // CHAT never goes back: lines of one's own may be older than the rest.
                    self.marks = Marks {
                        chat: self.marks.chat.max(batch.marks.chat),
                        ..batch.marks
                    };
                    self.place.member.rooms().meter.dropped(&batch.dropped);
                    let (cursor, dropped) = (self.cursor(), listed(&batch.dropped));
                    return Some(Ok(Frame {
                        cursor,
                        events: batch.events,
                        dropped,
                        ..Frame::default()
                    }));
                }
            }
            tokio::select! {
                biased;
                () = drain.cancelled() => {}
                changed = self.changes.changed() => if changed.is_err() {
                    return self.end(lost());
                },
            }
        }
    }

    fn end(&mut self, fault: Fault) -> Option<Result<Frame, Fault>> {
        self.over = true;
        Some(Err(fault))
    }
}

/// What lies between a cursor and now; none when the cursor is of another life of the room, or from its future.
fn stretches(cursor: &Cursor, heads: &Heads) -> Option<(Stretch, Stretch)> {
    let Marks { ledger, chat, .. } = cursor.marks;
    let here = cursor.is_of(&heads.epoch) && ledger <= heads.ledger && chat <= heads.chat;
    let to = |after, until| Stretch { after, until };
    here.then(|| (to(ledger, heads.ledger), to(chat, heads.chat)))
}

fn listed(dropped: &PerClass) -> Vec<(Class, i64)> {
    Class::ALL
        .into_iter()
        .zip(dropped.iter().copied())
        .filter(|(_, count)| *count > 0)
        .collect()
}

fn draining(cursor: Option<String>) -> Refusal {
    let message = "The server is going away; watch again from the last cursor.";
    let refusal =
        Refusal::new(ErrorReason::Draining, message).retry_after(Duration::from_millis(100));
    match cursor {
        Some(cursor) => refusal.with("cursor", cursor),
        None => refusal,
    }
}

fn too_slow(cursor: String) -> Refusal {
    let message =
        "This watcher does not read as fast as the room goes on; watch again from the last cursor.";
    Refusal::new(ErrorReason::Draining, message)
        .retry_after(Duration::from_millis(500))
        .with("cursor", cursor)
}
