//! A channel: an account that is on air around the clock.

use contracts::id::{ChannelId, OutletId};
use kit::clock::Micros;
use kit::errors::Refusal;

use super::recurrence::Zone;
use super::room::Place;
use super::version;
use super::view::Eyes;
use super::words::words;

words! {
    /// Where a channel is in its life.
    ChannelState {
        /// Carries a programme.
        Active = "ACTIVE",
        /// Over for good.
        Archived = "ARCHIVED",
    }
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Which.
    pub id: ChannelId,
    /// Name that viewers see.
    pub display_name: String,
    /// IANA name of the zone that its programme is written in.
    pub time_zone: String,
    /// Where it is shown, in the order given.
    pub places: Vec<Place>,
    /// Whether the next room takes over by itself.
    pub auto_handover: bool,
    /// Where it is in its life.
    pub state: ChannelState,
    /// When it was created.
    pub create_time: Micros,
    /// How often it was changed.
    pub version: i64,
}

impl Channel {
    /// The etag of this version.
    pub fn etag(&self) -> String {
        version::etag(self.version)
    }

    /// The zone; UTC for one that a later release of the world's zones no longer has.
    pub fn zone(&self) -> Option<Zone> {
        Zone::named(&self.time_zone).or_else(|| Zone::named("UTC"))
    }

    /// Refuses what needs a programme.
    pub fn require_active(&self, what: &str) -> Result<(), Refusal> {
        if self.state == ChannelState::Active {
            return Ok(());
        }
        let message = format!(
            "The channel is {} and cannot {what}: it is over for good.",
            self.state
        );
        Err(Refusal::wrong_state("channel", self.state, message))
    }

    /// The channel's places that a slot or a room chooses; all of them when it names none.
    pub fn choose(&self, outlets: &[OutletId]) -> Result<Vec<Place>, Refusal> {
        if outlets.is_empty() {
            return Ok(self.places.clone());
        }
        let chosen = outlets.iter().map(|outlet| {
            let place = self.places.iter().find(|place| place.outlet_id == *outlet);
            place.copied().ok_or_else(|| Refusal::not_found("outlet"))
        });
        chosen.collect()
    }

    /// Whether somebody may know of it.
    pub fn is_visible_to(&self, eyes: &Eyes) -> bool {
        match eyes {
            Eyes::Retailer => true,
            Eyes::Partner(_) | Eyes::Viewer(_) => self.places_for(eyes).next().is_some(),
        }
    }

    /// The places that somebody may know of.
    pub fn places_for(&self, eyes: &Eyes) -> impl Iterator<Item = Place> {
        self.places
            .iter()
            .copied()
            .filter(|place| eyes.sees(&place.partner_id))
    }
}
