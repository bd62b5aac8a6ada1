//! Likes and views, counted in memory and written down about once a second.
//!
//! What a room's total is: `base + in flight + pending`. The base is what the database holds for certain; what is in
//! flight is being added there; what is pending came since. A flight that fails, or whose end nobody knows, flies again
//! under the same number, and the database takes each number once. So the totals are exact at any moment, whatever
//! happens to a flush, as long as the process lives.

use std::collections::HashMap;
use std::sync::Mutex;

use contracts::id::RoomId;

use super::lock;
use crate::model::Counters;
use crate::store::counter::Delta;

/// A room stays here for so many flushes after the last thing that happened in it, so that whoever read older totals
/// from the database in the meantime still finds the newer ones here.
const IDLE_FLUSHES: u32 = 3;

/// The counts of all rooms that anything happens in.
#[derive(Debug, Default)]
pub struct Tally {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    rooms: HashMap<RoomId, Entry>,
    flights: i64,
    flying: Option<Flight>,
    landings: u64,
    closed: bool,
}

#[derive(Debug, Default)]
struct Entry {
    base: Sum,
    in_flight: Sum,
    pending: Sum,
    /// Likes since the last burst was shown.
    burst: i64,
    /// How many hubs hold it; 0 or 1.
    held: usize,
    /// For how many flushes nothing has happened.
    idle: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    views: i64,
    likes: i64,
}

impl Sum {
    fn plus(self, other: Sum) -> Sum {
        Sum {
            views: self.views.saturating_add(other.views),
            likes: self.likes.saturating_add(other.likes),
        }
    }
}

impl Entry {
    fn total(&self) -> Sum {
        self.base.plus(self.in_flight).plus(self.pending)
    }

    fn is_idle(&self) -> bool {
        self.held == 0 && self.in_flight == Sum::default() && self.pending == Sum::default()
    }
}

/// What is being written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    /// Counted from 1 in this process.
    pub sequence: i64,
    /// What to add.
    pub deltas: Vec<Delta>,
}

/// A moment of the tally; see [`Tally::open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

impl Tally {
    /// To be taken before a base is read from the database.
    pub fn mark(&self) -> Mark {
        Mark(lock(&self.inner).landings)
    }

    /// Whether a room is counted here.
    pub fn knows(&self, room: &RoomId) -> bool {
        lock(&self.inner).rooms.contains_key(room)
    }

    /// Begins to count a room from what was read. False when something landed since the mark: the base may be old,
    /// read it again.
    pub fn open(&self, room: RoomId, base: Counters, mark: Mark) -> bool {
        let mut inner = lock(&self.inner);
        if inner.rooms.contains_key(&room) {
            return true;
        }
        if inner.landings != mark.0 {
            return false;
        }
        let base = Sum {
            views: base.views,
            likes: base.likes,
        };
        inner.rooms.insert(
            room,
            Entry {
                base,
                ..Entry::default()
            },
        );
        true
    }

    /// Adds likes and gives the total; none when the room is not counted here, or nothing is any more.
    pub fn like(&self, room: &RoomId, count: i64) -> Option<i64> {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return None;
        }
        let entry = inner.rooms.get_mut(room)?;
        entry.pending.likes = entry.pending.likes.saturating_add(count);
        entry.burst = entry.burst.saturating_add(count);
        Some(entry.total().likes)
    }

    /// Somebody began to watch.
    pub fn view(&self, room: &RoomId) {
        if let Some(entry) = lock(&self.inner).rooms.get_mut(room) {
            entry.pending.views += 1;
        }
    }

    /// Puts views and likes of a room that is counted here into its totals.
    pub fn add_to(&self, room: &RoomId, counters: &mut Counters) -> bool {
        let inner = lock(&self.inner);
        let Some(entry) = inner.rooms.get(room) else {
            return false;
        };
        let total = entry.total();
        (counters.views, counters.likes) = (total.views, total.likes);
        true
    }

    /// The likes since this was asked last.
    pub fn take_burst(&self, room: &RoomId) -> i64 {
        lock(&self.inner)
            .rooms
            .get_mut(room)
            .map_or(0, |entry| std::mem::take(&mut entry.burst))
    }

    /// A hub counts on the room staying here; false when it is not here.
    pub fn hold(&self, room: &RoomId) -> bool {
        let mut inner = lock(&self.inner);
        let entry = inner.rooms.get_mut(room);
        entry.map(|entry| entry.held += 1).is_some()
    }

    /// The hub is gone.
    pub fn release(&self, room: &RoomId) {
        if let Some(entry) = lock(&self.inner).rooms.get_mut(room) {
            entry.held = entry.held.saturating_sub(1);
        }
    }

    /// What is to be written down now: the flight that did not land, or everything that is pending.
    pub fn take_off(&self) -> Option<Flight> {
        let mut inner = lock(&self.inner);
        if inner.flying.is_none() {
            let mut deltas = Vec::new();
            for (room, entry) in &mut inner.rooms {
                entry.idle = if entry.is_idle() { entry.idle + 1 } else { 0 };
                if entry.pending != Sum::default() {
                    entry.in_flight = std::mem::take(&mut entry.pending);
                    let Sum { views, likes } = entry.in_flight;
                    deltas.push(Delta {
                        room_id: *room,
                        views,
                        likes,
                    });
                }
            }
            inner.rooms.retain(|_, entry| entry.idle < IDLE_FLUSHES);
            if deltas.is_empty() {
                return None;
            }
            inner.flights += 1;
            inner.flying = Some(Flight {
                sequence: inner.flights,
                deltas,
            });
        }
        inner.flying.clone()
    }

    /// A flight is in the database.
    pub fn landed(&self, flight: &Flight) {
        let mut inner = lock(&self.inner);
        if inner.flying.as_ref() != Some(flight) {
            return;
        }
        inner.flying = None;
        inner.landings += 1;
        for delta in &flight.deltas {
            if let Some(entry) = inner.rooms.get_mut(&delta.room_id) {
                entry.base = entry.base.plus(std::mem::take(&mut entry.in_flight));
            }
        }
    }

    /// Counts nothing more: what comes now would never be written down.
    pub fn close(&self) {
        lock(&self.inner).closed = true;
    }

    /// Whether nothing is counted any more.
    pub fn is_closed(&self) -> bool {
        lock(&self.inner).closed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn room() -> RoomId {
        RoomId::from_uuid(1)
    }

    fn likes(tally: &Tally) -> Option<i64> {
        let mut counters = Counters::default();
        tally
            .add_to(&room(), &mut counters)
            .then_some(counters.likes)
    }

    fn opened(base: i64) -> Tally {
        let tally = Tally::default();
        assert!(tally.open(
            room(),
            Counters {
                likes: base,
                ..Counters::default()
            },
            tally.mark()
        ));
        tally
    }

    #[derive(Clone, Debug)]
    enum Step {
        Like(i64),
        TakeOff,
        Land,
        /// The database has it, but nobody heard of it.
        LandUnheard,
    }

    proptest! {
        /// However flushes fail or are repeated, the total here is what was liked, and in the end the database has
        /// the same.
        #[test]
        fn totals_are_exact_whatever_happens_to_flushes(steps in proptest::collection::vec(
            prop_oneof![(1i64..10).prop_map(Step::Like), Just(Step::TakeOff), Just(Step::Land), Just(Step::LandUnheard)],
            0..60,
        )) {
            let tally = opened(100);
            let (mut liked, mut stored, mut taken) = (100, 100, 0);
            let mut flight: Option<Flight> = None;
            let mut store = |flight: &Flight| {
                if flight.sequence > taken {
                    taken = flight.sequence;
                    stored += flight.deltas.iter().map(|delta| delta.likes).sum::<i64>();
                }
                stored
            };
            for step in steps {
                match step {
                    Step::Like(count) => {
                        // A room that is idle may have been let go of, as after a flush.
                        if !tally.knows(&room()) {
                            let base = Counters { likes: liked, ..Counters::default() };
                            prop_assert!(tally.open(room(), base, tally.mark()));
                        }
                        liked += count;
                        prop_assert_eq!(tally.like(&room(), count), Some(liked));
                    }
                    Step::TakeOff => flight = tally.take_off(),
                    Step::Land => if let Some(flight) = flight.take() {
                        store(&flight);
                        tally.landed(&flight);
                    },
                    Step::LandUnheard => if let Some(flight) = &flight {
                        store(flight);
                    },
                }
                prop_assert!(likes(&tally).is_none_or(|shown| shown == liked));
            }
            let mut end = stored;
            while let Some(flight) = tally.take_off() {
                end = if flight.sequence > taken {
                    taken = flight.sequence;
                    end + flight.deltas.iter().map(|delta| delta.likes).sum::<i64>()
                } else {
                    end
                };
                tally.landed(&flight);
            }
            prop_assert_eq!(end, liked);
        }
    }

    #[test]
    fn a_base_that_may_be_old_is_not_taken() {
        let tally = opened(0);
        let mark = tally.mark();
        tally.like(&room(), 5);
        let flight = tally.take_off().expect("something to write");
        tally.landed(&flight);
        for _ in 0..IDLE_FLUSHES {
            assert!(tally.knows(&room()));
            assert_eq!(tally.take_off(), None);
        }
        assert!(!tally.knows(&room()), "nothing more happened there");
        assert!(!tally.open(room(), Counters::default(), mark));
        assert!(tally.open(
            room(),
            Counters {
                likes: 5,
                ..Counters::default()
            },
            tally.mark()
        ));
        assert_eq!(likes(&tally), Some(5));
    }

    #[test]
    fn what_comes_after_the_end_is_not_counted() {
        let tally = opened(0);
        tally.like(&room(), 1);
        tally.close();
        assert_eq!(tally.like(&room(), 1), None);
        assert_eq!(
            tally.take_off().expect("the last flight").deltas[0].likes,
            1
        );
    }
}
