//! A room and its life.

use contracts::id::{ChannelId, DropId, HostId, OutletId, PartnerId, RoomId, SlotId};
use kit::clock::Micros;
use kit::errors::{ErrorReason, Refusal};
use serde::{Deserialize, Serialize};

use super::recurrence::Span;
use super::version;
use super::view::Eyes;
use super::words::words;

words! {
    /// Where a room is in its life.
    RoomState {
        /// Being prepared; only the retailer knows of it.
        Draft = "DRAFT",
        /// Announced.
        Scheduled = "SCHEDULED",
        /// On air.
        Live = "LIVE",
        /// On air, with a break.
        Paused = "PAUSED",
        /// Over.
        Ended = "ENDED",
    }
}

impl RoomState {
    /// Whether viewers are being shown something, if only a break.
    pub fn is_on_air(self) -> bool {
        matches!(self, RoomState::Live | RoomState::Paused)
    }
}

words! {
    /// What kind of session a room is.
    SessionType {
        /// With a cart.
        Shopping = "SHOPPING",
        /// A course.
        Course = "COURSE",
        /// A tutorial.
        Tutorial = "TUTORIAL",
        /// Original content.
        Original = "ORIGINAL",
    }
}

impl SessionType {
    /// Whether something can be bought in it. Without a cart products are shown for information: nothing is offered.
    pub fn has_cart(self) -> bool {
        self == SessionType::Shopping
    }
}

/// A time of a slot, as its rule has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotTime {
    /// The slot.
    pub slot_id: SlotId,
    /// When it begins by the rule.
    pub start: Micros,
}

/// The room that a channel went on with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextRoom {
    /// Which.
    pub room_id: RoomId,
    /// Where it is shown.
    pub outlets: Vec<OutletId>,
}

impl NextRoom {
    /// The room, for those who look from a place where it is shown.
    pub fn seen_from(&self, eyes: &Eyes, places: &[OutletId]) -> Option<RoomId> {
        let shown = || self.outlets.iter().any(|outlet| places.contains(outlet));
        (matches!(eyes, Eyes::Retailer) || shown()).then_some(self.room_id)
    }
}

/// A place where a room is shown, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The outlet.
    pub outlet_id: OutletId,
    /// Its partner.
    pub partner_id: PartnerId,
}

/// When a room is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// First moment.
    pub start: Option<Micros>,
    /// First moment after.
    pub end: Option<Micros>,
}

/// A live session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Which.
    pub id: RoomId,
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
    /// The time of a slot that it is.
    pub slot: Option<SlotTime>,
    /// Whether it was given content or a time of its own.
    pub overridden: bool,
    /// The room that the channel went on with when it ended.
    pub next: Option<NextRoom>,
    /// Who presents it, in the order given.
    pub hosts: Vec<HostId>,
    /// Where it is shown, in the order given.
    pub places: Vec<Place>,
    /// Only products of these brands may be shown; empty means any.
    pub brands: Vec<String>,
    /// When it is planned.
    pub schedule: Schedule,
    /// Where it is in its life.
    pub state: RoomState,
    /// Whether it was scheduled once, so that partners know of it.
    pub announced: bool,
    /// Why it was paused or ended.
    pub state_reason: String,
    /// When it first went on air.
    pub live_time: Option<Micros>,
    /// When it ended.
    pub end_time: Option<Micros>,
    /// When it was created.
    pub create_time: Micros,
    /// How often it was changed.
    pub version: i64,
}

impl Room {
    /// The etag of this version.
    pub fn etag(&self) -> String {
        version::etag(self.version)
    }

    /// DRAFT → SCHEDULED, or another time for a SCHEDULED one.
    pub fn schedule(&mut self, start: Micros, end: Micros, now: Micros) -> Result<(), Refusal> {
        if !matches!(self.state, RoomState::Draft | RoomState::Scheduled) {
            return Err(self.refuse("be scheduled", "only a room that was not on air yet can be"));
        }
        if end <= now {
            return Err(Refusal::invalid(
                "schedule.end_time",
                "must be in the future.",
            ));
        }
        self.schedule = Schedule {
            start: Some(start),
            end: Some(end),
        };
        self.announced = true;
        self.enter(RoomState::Scheduled, String::new());
        Ok(())
    }

    /// SCHEDULED → LIVE. That the hosts are approved is the caller's to check.
    pub fn go_live(&mut self, now: Micros) -> Result<(), Refusal> {
        if self.state != RoomState::Scheduled {
            return Err(self.refuse("go live", "it has to be SCHEDULED"));
        }
        self.live_time = Some(now);
        self.enter(RoomState::Live, String::new());
        Ok(())
    }

    /// LIVE → PAUSED.
    pub fn pause(&mut self, reason: String) -> Result<(), Refusal> {
        if self.state != RoomState::Live {
            return Err(self.refuse("be paused", "it has to be LIVE"));
        }
        self.enter(RoomState::Paused, reason);
        Ok(())
    }

    /// PAUSED → LIVE.
    pub fn resume(&mut self) -> Result<(), Refusal> {
        if self.state != RoomState::Paused {
            return Err(self.refuse("go on", "it has to be PAUSED"));
        }
        self.enter(RoomState::Live, String::new());
        Ok(())
    }

    /// Any state → ENDED.
    pub fn end(&mut self, reason: String, now: Micros) -> Result<(), Refusal> {
        self.require_open("be ended")?;
        self.end_time = Some(now);
        self.enter(RoomState::Ended, reason);
        Ok(())
    }

    fn enter(&mut self, state: RoomState, reason: String) {
        self.state = state;
        self.state_reason = reason;
        self.version += 1;
    }

    /// Refuses what cannot be done to a room that is over.
    pub fn require_open(&self, what: &str) -> Result<(), Refusal> {
        if self.state == RoomState::Ended {
            return Err(self.refuse(what, "it is over for good"));
        }
        Ok(())
    }

    /// Refuses what needs viewers and a host at the same time.
    pub fn require_live(&self, what: &str) -> Result<(), Refusal> {
        if self.state != RoomState::Live {
            return Err(self.refuse(what, "it has to be LIVE"));
        }
        Ok(())
    }

    fn refuse(&self, what: &str, why: &str) -> Refusal {
        wrong_room_state(self.state, what, why)
    }

    /// Refuses a product of a brand that the room's rules do not name.
    pub fn require_brand(&self, brand: &str) -> Result<(), Refusal> {
        if self.brands.is_empty() || self.brands.iter().any(|allowed| allowed == brand) {
            return Ok(());
        }
        let message = "The room's brand rules do not allow this product's brand; choose a product of one of its brands.";
        Err(Refusal::new(ErrorReason::NotAllowedHere, message)
            .because("BRAND_RULE", "room", self.brands.join(", "))
            .with("brand", brand))
    }

    /// When it is planned, once it is.
    pub fn span(&self) -> Option<Span> {
        Some(Span {
            start: self.schedule.start?,
            end: self.schedule.end?,
        })
    }

    /// Refuses when the channel that carries it has another room on air.
    pub fn require_free_channel(&self, on_air: Option<RoomId>) -> Result<(), Refusal> {
        match on_air {
            Some(other) if other != self.id => Err(Refusal::wrong_state(
                "channel",
                "ON_AIR",
                format!(
                    "The channel is on air with room {other}; use HandOver to go on with this one."
                ),
            )
            .with("room_id", other)),
            _ => Ok(()),
        }
    }

    /// Whether somebody may know of the room.
    pub fn is_visible_to(&self, eyes: &Eyes) -> bool {
        match eyes {
            Eyes::Retailer => true,
            Eyes::Partner(partner) | Eyes::Viewer(partner) => {
                self.announced && self.places.iter().any(|place| place.partner_id == *partner)
            }
        }
    }

    /// The places that somebody may know of, in order.
    pub fn places_for(&self, eyes: &Eyes) -> impl Iterator<Item = Place> {
        self.places.iter().copied().filter(|place| match eyes {
            Eyes::Retailer => true,
            Eyes::Partner(partner) | Eyes::Viewer(partner) => place.partner_id == *partner,
        })
    }

    /// The place of an outlet, when the room is shown there and the onlooker may know of it.
    pub fn place_of(&self, outlet: &OutletId, eyes: &Eyes) -> Result<Place, Refusal> {
        self.places_for(eyes)
            .find(|place| place.outlet_id == *outlet)
            .ok_or_else(|| Refusal::not_found("outlet"))
    }

    /// Milliseconds of media time at a moment; 0 before it first went on air.
    pub fn media_time_ms(&self, at: Micros) -> i64 {
        let since = self.live_time.map_or(0, |live| at.since(live).as_millis());
        i64::try_from(since).unwrap_or(i64::MAX)
    }
}

/// The refusal for a room whose state stands in the way.
pub fn wrong_room_state(state: RoomState, what: &str, why: &str) -> Refusal {
    Refusal::wrong_state(
        "room",
        state,
        format!("The room is {state} and cannot {what}: {why}."),
    )
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
