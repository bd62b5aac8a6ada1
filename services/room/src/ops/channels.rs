//! Creating channels and changing them, and what they show now.

use std::collections::BTreeMap;

use ::store::{Operation, Tx};
use contracts::id::{ChannelId, OutletId, PartnerId, RoomId};
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use super::air;
use super::materialise::{CHANGED, plan_on, sync_slot};
use super::programme::{Horizons, active_slots, next, occurrences};
use super::slots::cancel;
use crate::events;
use crate::model::{
    Channel, ChannelState, Counters, Eyes, Occurrence, Place, Room, Slot, SlotState, Span, Target,
    version,
};
use crate::store::channel::{
    channel_by_id, channel_heads, channel_insert, channel_on_air, channel_save, channel_touch,
    channels_list,
};
use crate::store::counter::counters_by_rooms;
use crate::store::follow::followers_of;
use crate::store::mirror::places_by_outlets;
use crate::store::planned::rooms_scheduled;
use crate::store::room::{room_by_id, room_lock};
use crate::store::slot::{slot_by_id, slots_list};

/// Outlets with their partners, as the catalogue's feed has told.
pub async fn places(tx: &mut Tx, outlets: &[OutletId]) -> Result<Vec<Place>, Fault> {
    let known = places_by_outlets(tx, outlets).await?;
    let known: BTreeMap<OutletId, Place> = known
        .into_iter()
        .map(|place| (place.outlet_id, place))
        .collect();
    let places: Option<Vec<Place>> = outlets
        .iter()
        .map(|outlet| known.get(outlet).copied())
        .collect();
    Ok(places.ok_or_else(|| Refusal::not_found("outlet"))?)
}

/// Creates a channel, ACTIVE.
pub struct CreateChannel {
    /// Name.
    pub display_name: String,
    /// IANA name of its zone.
    pub time_zone: String,
    /// Where it is shown; each once.
    pub outlets: Vec<OutletId>,
    /// Whether the next room takes over by itself.
    pub auto_handover: bool,
}

impl Operation for CreateChannel {
    type Output = Channel;

    fn name(&self) -> &'static str {
        "channel.create"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Channel, Fault> {
        let channel = Channel {
            id: ChannelId::from_uuid(tx.ids().next()),
            display_name: self.display_name.clone(),
            time_zone: self.time_zone.clone(),
            places: places(tx, &self.outlets).await?,
            auto_handover: self.auto_handover,
            state: ChannelState::Active,
            create_time: tx.now(),
            version: 1,
        };
        channel_insert(tx, &channel).await?;
        tx.publish(events::channel_changed(&channel));
        tx.audit(self.name(), channel.id, channel.state.word());
        Ok(channel)
    }
}

/// Changes a channel: fields that are not named stay.
pub struct UpdateChannel {
    /// Which.
    pub channel_id: ChannelId,
    /// Name.
    pub display_name: Option<String>,
    /// IANA name of its zone.
    pub time_zone: Option<String>,
    /// Where it is shown; each once.
    pub outlets: Option<Vec<OutletId>>,
    /// Whether the next room takes over by itself.
    pub auto_handover: Option<bool>,
    /// The version that this was decided on.
    pub etag: Option<String>,
    /// How far to look.
    pub horizons: Horizons,
}

impl Operation for UpdateChannel {
    type Output = Channel;

    fn name(&self) -> &'static str {
        "channel.update"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Channel, Fault> {
        let mut channel = plan_on(tx, &self.channel_id).await?;
        version::require_etag(channel.version, self.etag.as_deref(), "channel")?;
        channel.require_active("be changed")?;
        let slots = active_slots(tx, &channel, &self.horizons).await?;
        if let Some(zone) = &self.time_zone
            && *zone != channel.time_zone
        {
            if let Some(slot) = slots.first() {
                let message = format!(
                    "The channel has slots, such as {}, written in its time zone; cancel them first.",
                    slot.id
                );
                return Err(Refusal::wrong_state("channel", "HAS_SLOTS", message).into());
            }
            channel.time_zone.clone_from(zone);
        }
        if let Some(outlets) = &self.outlets {
            channel.places = places(tx, outlets).await?;
            if let Some(slot) = slots
                .iter()
                .find(|slot| channel.choose(&slot.content.outlets).is_err())
            {
                let message = format!(
                    "Slot {} names an outlet that would be left; change the slot first.",
                    slot.id
                );
                return Err(Refusal::wrong_state("channel", "OUTLET_IN_USE", message).into());
            }
        }
        if let Some(name) = &self.display_name {
            channel.display_name.clone_from(name);
        }
        channel.auto_handover = self.auto_handover.unwrap_or(channel.auto_handover);
        channel.version += 1;
        channel_save(tx, &channel).await?;
        if self.outlets.is_some() {
            for slot in &slots {
                sync_slot(tx, &channel, slot, CHANGED, &self.horizons).await?;
            }
        }
        changed(tx, self.name(), &channel).await?;
        Ok(channel)
    }
}

async fn changed(tx: &mut Tx, what: &'static str, channel: &Channel) -> Result<(), Fault> {
    channel_touch(tx, &channel.id).await?;
    tx.publish(events::channel_changed(channel));
    tx.audit(what, channel.id, channel.state.word());
    Ok(())
}

/// Archives a channel, with everything that was planned on it.
pub struct ArchiveChannel {
    /// Which.
    pub channel_id: ChannelId,
    /// The version that this was decided on.
    pub etag: Option<String>,
    /// How far to look.
    pub horizons: Horizons,
}

impl Operation for ArchiveChannel {
    type Output = Channel;

    fn name(&self) -> &'static str {
        "channel.archive"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Channel, Fault> {
        const REASON: &str = "The channel is over.";
        let mut channel = plan_on(tx, &self.channel_id).await?;
        version::require_etag(channel.version, self.etag.as_deref(), "channel")?;
        channel.require_active("be archived")?;
        if let Some(room) = channel_on_air(tx, &channel.id).await? {
            let message = format!("The channel is on air with room {room}; end it first.");
            return Err(Refusal::wrong_state("channel", "ON_AIR", message).into());
        }
        for mut slot in active_slots(tx, &channel, &self.horizons).await? {
            cancel(
                tx,
                "slot.cancel",
                &channel,
                &mut slot,
                REASON,
                &self.horizons,
            )
            .await?;
        }
        // What is left stands on the channel by itself.
        let rooms = rooms_scheduled(tx, &channel.id, Micros(i64::MIN), i64::MAX).await?;
        let mut ids: Vec<RoomId> = rooms.iter().map(|room| room.id).collect();
        ids.sort_unstable();
        for id in ids {
            if let Some(mut room) = room_lock(tx, &id).await? {
                let happened = air::end(tx, &mut room, REASON.to_owned(), None).await?;
                air::tell(tx, "room.end", &room, happened).await?;
            }
        }
        channel.state = ChannelState::Archived;
        channel.version += 1;
        channel_save(tx, &channel).await?;
        changed(tx, self.name(), &channel).await?;
        Ok(channel)
    }
}

/// A channel and what it shows.
pub struct Shown {
    /// The channel.
    pub channel: Channel,
    /// How many follow it.
    pub followers: i64,
    /// The room on air, with what the database knows of its totals.
    pub current: Option<(Room, Counters)>,
    /// What comes next.
    pub next: Option<Occurrence>,
}

/// One channel and what it shows.
pub struct ReadChannel {
    /// Which.
    pub channel_id: ChannelId,
    /// Who looks.
    pub eyes: Eyes,
    /// How far to look.
    pub horizons: Horizons,
}

/// A channel that the onlooker may know of.
pub async fn visible_channel(
    tx: &mut Tx,
    channel: &ChannelId,
    eyes: &Eyes,
) -> Result<Channel, Fault> {
    let found = channel_by_id(tx, channel)
        .await?
        .filter(|channel| channel.is_visible_to(eyes));
    Ok(found.ok_or_else(|| Refusal::not_found("channel"))?)
}

impl Operation for ReadChannel {
    type Output = Shown;

    fn name(&self) -> &'static str {
        "channel.read"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Shown, Fault> {
        let channel = visible_channel(tx, &self.channel_id, &self.eyes).await?;
        let current = match channel_on_air(tx, &channel.id).await? {
            Some(room) => room_by_id(tx, &room)
                .await?
                .filter(|room| room.is_visible_to(&self.eyes)),
            None => None,
        };
        let current = match current {
            Some(room) => {
                let counters = counters_by_rooms(tx, &[room.id]).await?.remove(&room.id);
                Some((room, counters.unwrap_or_default()))
            }
            None => None,
        };
        let now = tx.now();
        Ok(Shown {
            followers: followers_of(tx, &[Target::Channel(channel.id)])
                .await?
                .into_iter()
                .sum(),
            next: match channel.state {
                ChannelState::Active => {
                    next(tx, &channel, now, true, &self.eyes, &self.horizons).await?
                }
                ChannelState::Archived => None,
            },
            channel,
            current,
        })
    }
}

/// A page of channels, with how many follow each.
pub struct ReadChannels {
    /// Only those that this partner may know of.
    pub partner: Option<PartnerId>,
    /// After this one; empty for the beginning.
    pub after: String,
    /// At most so many.
    pub limit: i64,
}

impl Operation for ReadChannels {
    type Output = Vec<(Channel, i64)>;

    fn name(&self) -> &'static str {
        "channel.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<(Channel, i64)>, Fault> {
        let channels = channels_list(tx, self.partner.as_ref(), &self.after, self.limit).await?;
        let targets: Vec<Target> = channels
            .iter()
            .map(|channel| Target::Channel(channel.id))
            .collect();
        let followers = followers_of(tx, &targets).await?;
        Ok(channels.into_iter().zip(followers).collect())
    }
}

/// What takes place on a channel within a stretch of time.
pub struct ReadProgramme {
    /// The channel.
    pub channel_id: ChannelId,
    /// When.
    pub within: Span,
    /// Who looks.
    pub eyes: Eyes,
    /// How far to look.
    pub horizons: Horizons,
}

impl Operation for ReadProgramme {
    type Output = Vec<Occurrence>;

    fn name(&self) -> &'static str {
        "programme.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Occurrence>, Fault> {
        let channel = visible_channel(tx, &self.channel_id, &self.eyes).await?;
        occurrences(tx, &channel, self.within, &self.eyes, &self.horizons).await
    }
}

/// What comes next on a channel.
pub struct ReadNext {
    /// The channel.
    pub channel_id: ChannelId,
    /// After which moment; now when there is none.
    pub after: Option<Micros>,
    /// Who looks.
    pub eyes: Eyes,
    /// How far to look.
    pub horizons: Horizons,
}

impl Operation for ReadNext {
    type Output = Occurrence;

    fn name(&self) -> &'static str {
        "programme.next"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Occurrence, Fault> {
        let channel = visible_channel(tx, &self.channel_id, &self.eyes).await?;
        // What is over cannot come next.
        let after = self.after.unwrap_or(tx.now()).max(tx.now());
        let next = next(tx, &channel, after, false, &self.eyes, &self.horizons).await?;
        Ok(next.ok_or_else(|| Refusal::not_found("occurrence"))?)
    }
}

/// One slot.
pub struct ReadSlot {
    /// Which.
    pub slot_id: contracts::id::SlotId,
}

impl Operation for ReadSlot {
    type Output = Slot;

    fn name(&self) -> &'static str {
        "slot.read"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Slot, Fault> {
        let found = slot_by_id(tx, &self.slot_id).await?;
        Ok(found.ok_or_else(|| Refusal::not_found("slot"))?)
    }
}

/// A page of a channel's slots, by creation.
pub struct ReadSlots {
    /// The channel.
    pub channel_id: ChannelId,
    /// Only of this state.
    pub state: Option<SlotState>,
    /// After this one; empty for the beginning.
    pub after: String,
    /// At most so many.
    pub limit: i64,
}

impl Operation for ReadSlots {
    type Output = Vec<Slot>;

    fn name(&self) -> &'static str {
        "slot.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Slot>, Fault> {
        visible_channel(tx, &self.channel_id, &Eyes::Retailer).await?;
        slots_list(tx, &self.channel_id, self.state, &self.after, self.limit).await
    }
}

/// How often what these channels show changed.
pub struct ReadChannelHeads {
    /// The channels.
    pub channels: Vec<ChannelId>,
}

impl Operation for ReadChannelHeads {
    type Output = Vec<(ChannelId, i64)>;

    fn name(&self) -> &'static str {
        "channel.heads"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<(ChannelId, i64)>, Fault> {
        channel_heads(tx, &self.channels).await
    }
}
