//! A place in a channel's programme, and the times it takes place.

use contracts::id::{ChannelId, HostId, OutletId, RoomId, SlotId};
use kit::clock::Micros;
use kit::errors::Refusal;

use super::channel::Channel;
use super::programme::Resource;
use super::recurrence::{Recurrence, RecurrenceError, Span, Zone};
use super::room::{Place, Room, RoomState, SessionType, SlotTime};
use super::version;
use super::words::words;

words! {
    /// Where a slot is in its life.
    SlotState {
        /// Takes place.
        Active = "ACTIVE",
        /// Over for good.
        Cancelled = "CANCELLED",
    }
}

/// What a slot's rooms are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotContent {
    /// Title.
    pub title: String,
    /// Theme; may be empty.
    pub theme: String,
    /// What kind of session.
    pub session: SessionType,
    /// Who presents, in the order given.
    pub hosts: Vec<HostId>,
    /// Where it is made; empty for nowhere that could be taken.
    pub venue: String,
    /// Only products of these brands; empty means any.
    pub brands: Vec<String>,
    /// Some of the channel's outlets; empty means all.
    pub outlets: Vec<OutletId>,
}

/// When a slot takes place, as it was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotTimes {
    /// First start, on the clock of the channel's zone.
    pub local_start: String,
    /// How long it lasts on that clock, in seconds.
    pub duration_s: i64,
    /// RFC 5545; empty means once.
    pub rule: String,
    /// Dates on which it does not begin.
    pub exceptions: Vec<String>,
}

impl SlotTimes {
    /// The times in a zone, when they are times that a slot can have.
    pub fn recurrence(&self, zone: Zone) -> Result<Recurrence, RecurrenceError> {
        let (start, rule) = (&self.local_start, &self.rule);
        Recurrence::new(zone, start, self.duration_s, rule, &self.exceptions)
    }

    /// The times in a zone, of a slot that was accepted before.
    pub fn accepted(&self, zone: Zone) -> Result<Recurrence, RecurrenceError> {
        let (start, rule) = (&self.local_start, &self.rule);
        Recurrence::read(zone, start, self.duration_s, rule, &self.exceptions)
    }
}

/// A place in a channel's programme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Which.
    pub id: SlotId,
    /// The channel.
    pub channel_id: ChannelId,
    /// What its rooms are about.
    pub content: SlotContent,
    /// When it takes place.
    pub times: SlotTimes,
    /// Where it is in its life.
    pub state: SlotState,
    /// When it was created.
    pub create_time: Micros,
    /// How often it was changed.
    pub version: i64,
}

impl Slot {
    /// The etag of this version.
    pub fn etag(&self) -> String {
        version::etag(self.version)
    }

    /// What it takes while it takes place.
    pub fn resources(&self) -> Vec<Resource> {
        Resource::of(
            Some(self.channel_id),
            &self.content.hosts,
            &self.content.venue,
        )
    }

    /// Refuses what needs times to come.
    pub fn require_active(&self, what: &str) -> Result<(), Refusal> {
        if self.state == SlotState::Active {
            return Ok(());
        }
        let message = format!(
            "The slot is {} and cannot {what}: it is over for good.",
            self.state
        );
        Err(Refusal::wrong_state("slot", self.state, message))
    }

    /// One of its times.
    pub fn occurrence(&self, channel: &Channel, span: Span) -> Occurrence {
        let places = channel.choose(&self.content.outlets);
        Occurrence {
            channel_id: self.channel_id,
            slot: Some(SlotTime {
                slot_id: self.id,
                start: span.start,
            }),
            span,
            content: self.content.clone(),
            // An outlet that the channel left is not shown on any more.
            places: places.unwrap_or_default(),
            room: None,
            overridden: false,
        }
    }
}

/// One time that something takes place on a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// The channel.
    pub channel_id: ChannelId,
    /// The time of a slot that it is; none for a room by itself.
    pub slot: Option<SlotTime>,
    /// When.
    pub span: Span,
    /// What it is about; its `outlets` say nothing here.
    pub content: SlotContent,
    /// Where it is shown.
    pub places: Vec<Place>,
    /// Its room.
    pub room: Option<(RoomId, RoomState)>,
    /// Whether it was given content or a time of its own.
    pub overridden: bool,
}

impl Occurrence {
    /// What a room on a channel is in the programme; none for one that is not planned or not on a channel.
    pub fn of_room(room: &Room) -> Option<Self> {
        Some(Occurrence {
            channel_id: room.channel_id?,
            slot: room.slot,
            span: room.span()?,
            content: SlotContent {
                title: room.title.clone(),
                theme: room.theme.clone(),
                session: room.session,
                hosts: room.hosts.clone(),
                venue: room.venue.clone(),
                brands: room.brands.clone(),
                outlets: Vec::new(),
            },
            places: room.places.clone(),
            room: Some((room.id, room.state)),
            overridden: room.overridden,
        })
    }

    /// Where it stands in a list by time.
    pub fn order(&self) -> (Micros, String) {
        let key = match (&self.slot, &self.room) {
            (Some(slot), _) => slot.slot_id.to_string(),
            (None, Some((room, _))) => room.to_string(),
            (None, None) => String::new(),
        };
        (self.span.start, key)
    }

    /// Whether it is still to begin.
    pub fn is_to_come(&self) -> bool {
        self.room
            .is_none_or(|(_, state)| state == RoomState::Scheduled)
    }
}
