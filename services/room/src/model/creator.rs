//! Creators, and what shoppers follow.

use contracts::id::{ChannelId, CreatorId, PartnerId};
use kit::clock::Micros;

/// Who is paid commission for a room or a click.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creator {
    /// Which.
    pub id: CreatorId,
    /// Name that viewers see.
    pub display_name: String,
    /// What the retailer's own books call the payee; may be empty.
    pub payee_reference: String,
    /// When it was registered.
    pub create_time: Micros,
}

/// What can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A channel.
    Channel(ChannelId),
    /// A creator.
    Creator(CreatorId),
}

impl Target {
    /// The id of what is followed.
    pub fn key(&self) -> &str {
        match self {
            Target::Channel(id) => id.as_str(),
            Target::Creator(id) => id.as_str(),
        }
    }
}

/// A partner's shopper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shopper {
    /// Whose.
    pub partner_id: PartnerId,
    /// The partner's name for them.
    pub shopper_ref: String,
}

/// That something is followed, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follow {
    /// What.
    pub target: Target,
    /// Since when.
    pub time: Micros,
}
