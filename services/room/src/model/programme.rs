//! What is planned never overlaps: on one channel, for one host, at one venue.

use contracts::id::{ChannelId, HostId, RoomId, SlotId};
use jiff::Timestamp;
use kit::clock::Micros;
use kit::errors::{ErrorReason, Refusal};

use super::recurrence::Span;

/// Something that can be at one thing at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// A channel carries one room.
    Channel(ChannelId),
    /// A host is in one place.
    Host(HostId),
    /// A venue is used once.
    Venue(String),
}

impl Resource {
    /// What a room or a slot takes.
    pub fn of(channel: Option<ChannelId>, hosts: &[HostId], venue: &str) -> Vec<Resource> {
        let channel = channel.into_iter().map(Resource::Channel);
        let hosts = hosts.iter().copied().map(Resource::Host);
        let venue = (!venue.is_empty()).then(|| Resource::Venue(venue.to_owned()));
        channel.chain(hosts).chain(venue).collect()
    }

    /// The word for its kind in tables.
    pub fn word(&self) -> &'static str {
        match self {
            Resource::Channel(_) => "CHANNEL",
            Resource::Host(_) => "HOST",
            Resource::Venue(_) => "VENUE",
        }
    }

    /// Which one of its kind.
    pub fn key(&self) -> &str {
        match self {
            Resource::Channel(id) => id.as_str(),
            Resource::Host(id) => id.as_str(),
            Resource::Venue(key) => key,
        }
    }
}

/// Who takes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Taker {
    /// A time of a slot.
    Slot(SlotId),
    /// A room.
    Room(RoomId),
}

/// Something that is taken for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupied {
    /// What.
    pub resource: Resource,
    /// When.
    pub span: Span,
    /// By whom.
    pub taker: Taker,
}

/// The first of what is taken that overlaps a plan. `plan` is sorted and does not overlap itself.
pub fn clash<'a>(
    plan: &[Span],
    taken: impl IntoIterator<Item = &'a Occupied>,
) -> Option<&'a Occupied> {
    let overlaps = |taken: &&Occupied| {
        // The first of the plan that is not over when the other begins is the only one that can tell.
        let at = plan.partition_point(|span| span.end <= taken.span.start);
        plan.get(at).is_some_and(|span| span.overlaps(&taken.span))
    };
    taken
        .into_iter()
        .filter(overlaps)
        .min_by_key(|taken| (taken.span, taken.resource.clone(), taken.taker))
}

fn shown(moment: Micros) -> String {
    Timestamp::from_microsecond(moment.0).map_or_else(|_| moment.0.to_string(), |it| it.to_string())
}

/// The refusal for a plan that overlaps something.
pub fn refuse(taken: &Occupied) -> Refusal {
    let kind = taken.resource.word().to_lowercase();
    let (start, end) = (shown(taken.span.start), shown(taken.span.end));
    let (by, taker, id) = match taken.taker {
        Taker::Slot(id) => ("slot", "clash_slot_id", id.to_string()),
        Taker::Room(id) => ("room", "clash_room_id", id.to_string()),
    };
    let key = taken.resource.key();
    let message = format!(
        "The {kind} {key} is taken by {by} {id} from {start} to {end}; choose another time or another {kind}."
    );
    Refusal::new(ErrorReason::ProgrammeClash, message)
        .because("PROGRAMME_CLASH", key, format!("{start}/{end}"))
        .with("resource", kind)
        .with("resource_id", key)
        .with("clash_start_time", start)
        .with("clash_end_time", end)
        .with(taker, id)
}

#[cfg(test)]
#[path = "programme_tests.rs"]
mod tests;
