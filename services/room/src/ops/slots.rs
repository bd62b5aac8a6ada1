//! Planning slots, changing and cancelling them.

use std::collections::BTreeSet;

use ::store::{Operation, Tx};
use contracts::id::{ChannelId, HostId, OutletId, SlotId};
use kit::errors::{Fault, Refusal};

use super::materialise::{plan_on, sync_slot};
use super::programme::{Horizons, LONGEST, Plan, active_slots, require_free};
use super::rooms::hosts_of;
use crate::events;
use crate::model::{
    Channel, RecurrenceError, RoomState, SessionType, Slot, SlotContent, SlotState, SlotTimes,
    Span, version,
};
use crate::store::channel::channel_touch;
use crate::store::planned::rooms_of_slot;
use crate::store::slot::{slot_by_id, slot_insert, slot_save};

/// Plans a slot.
pub struct CreateSlot {
    /// The channel.
    pub channel_id: ChannelId,
    /// What its rooms are about.
    pub content: SlotContent,
    /// When.
    pub times: SlotTimes,
    /// How far to look.
    pub horizons: Horizons,
}

impl Operation for CreateSlot {
    type Output = Slot;

    fn name(&self) -> &'static str {
        "slot.create"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Slot, Fault> {
        let channel = plan_on(tx, &self.channel_id).await?;
        channel.require_active("carry another slot")?;
        let active = active_slots(tx, &channel, &self.horizons).await?.len();
        if i64::try_from(active).is_ok_and(|active| active >= self.horizons.slots_max) {
            let message = format!(
                "The channel has {active} slots, which is the most it can; cancel one first."
            );
            return Err(Refusal::wrong_state("programme", "FULL", message).into());
        }
        let slot = Slot {
            id: SlotId::from_uuid(tx.ids().next()),
            channel_id: channel.id,
            content: self.content.clone(),
            times: self.times.clone(),
            state: SlotState::Active,
            create_time: tx.now(),
            version: 1,
        };
        require_plannable(tx, &channel, &slot, &self.horizons).await?;
        slot_insert(tx, &slot).await?;
        planned(tx, self.name(), &channel, &slot, "", &self.horizons).await?;
        Ok(slot)
    }
}

/// What a slot becomes: fields that are not named stay.
#[derive(Clone, Debug, Default)]
pub struct SlotChange {
    /// Title.
    pub title: Option<String>,
    /// Theme.
    pub theme: Option<String>,
    /// Kind of session.
    pub session: Option<SessionType>,
    /// Hosts.
    pub hosts: Option<Vec<HostId>>,
    /// Venue.
    pub venue: Option<String>,
    /// Brand rules.
    pub brands: Option<Vec<String>>,
    /// Outlets.
    pub outlets: Option<Vec<OutletId>>,
    /// First start.
    pub local_start: Option<String>,
    /// How long, in seconds.
    pub duration_s: Option<i64>,
    /// The rule.
    pub rule: Option<String>,
    /// Exceptions.
    pub exceptions: Option<Vec<String>>,
}

fn set<T: Clone>(to: &mut T, value: &Option<T>) {
    if let Some(value) = value {
        *to = value.clone();
    }
}

impl SlotChange {
    /// Changes what is named.
    pub fn apply(&self, content: &mut SlotContent, times: &mut SlotTimes) {
        set(&mut content.title, &self.title);
        set(&mut content.theme, &self.theme);
        set(&mut content.session, &self.session);
        set(&mut content.hosts, &self.hosts);
        set(&mut content.venue, &self.venue);
        set(&mut content.brands, &self.brands);
        set(&mut content.outlets, &self.outlets);
        set(&mut times.local_start, &self.local_start);
        set(&mut times.duration_s, &self.duration_s);
        set(&mut times.rule, &self.rule);
        set(&mut times.exceptions, &self.exceptions);
    }
}

/// Changes a slot and the rooms of it that are to come.
pub struct UpdateSlot {
    /// Which.
    pub slot_id: SlotId,
    /// How.
    pub change: SlotChange,
    /// The version that this was decided on.
    pub etag: Option<String>,
    /// How far to look.
    pub horizons: Horizons,
}

impl Operation for UpdateSlot {
    type Output = Slot;

    fn name(&self) -> &'static str {
        "slot.update"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Slot, Fault> {
        let (channel, mut slot) = locked(tx, &self.slot_id).await?;
        version::require_etag(slot.version, self.etag.as_deref(), "slot")?;
        slot.require_active("be changed")?;
        self.change.apply(&mut slot.content, &mut slot.times);
        slot.version += 1;
        require_plannable(tx, &channel, &slot, &self.horizons).await?;
        slot_save(tx, &slot).await?;
        planned(
            tx,
            self.name(),
            &channel,
            &slot,
            super::materialise::CHANGED,
            &self.horizons,
        )
        .await?;
        Ok(slot)
    }
}

/// Cancels a slot and the rooms of it that are to come.
pub struct CancelSlot {
    /// Which.
    pub slot_id: SlotId,
    /// Shown to viewers.
    pub reason: String,
    /// The version that this was decided on.
    pub etag: Option<String>,
    /// How far to look.
    pub horizons: Horizons,
}

impl Operation for CancelSlot {
    type Output = Slot;

    fn name(&self) -> &'static str {
        "slot.cancel"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Slot, Fault> {
        let (channel, mut slot) = locked(tx, &self.slot_id).await?;
        version::require_etag(slot.version, self.etag.as_deref(), "slot")?;
        slot.require_active("be cancelled")?;
        cancel(
            tx,
            self.name(),
            &channel,
            &mut slot,
            &self.reason,
            &self.horizons,
        )
        .await?;
        Ok(slot)
    }
}

/// Cancels a slot whose channel and programme are locked.
pub async fn cancel(
    tx: &mut Tx,
    what: &'static str,
    channel: &Channel,
    slot: &mut Slot,
    reason: &str,
    horizons: &Horizons,
) -> Result<(), Fault> {
    slot.state = SlotState::Cancelled;
    slot.version += 1;
    slot_save(tx, slot).await?;
    planned(tx, what, channel, slot, reason, horizons).await
}

/// Locks the programme, a slot's channel and with them the slot.
pub async fn locked(tx: &mut Tx, id: &SlotId) -> Result<(Channel, Slot), Fault> {
    let not_found = || Refusal::not_found("slot");
    let channel = slot_by_id(tx, id).await?.ok_or_else(not_found)?.channel_id;
    let channel = plan_on(tx, &channel).await?;
    // Again, now that nobody else changes it.
    let slot = slot_by_id(tx, id).await?.ok_or_else(not_found)?;
    Ok((channel, slot))
}

/// The rooms follow, and whoever has to know is told.
async fn planned(
    tx: &mut Tx,
    what: &'static str,
    channel: &Channel,
    slot: &Slot,
    reason: &str,
    horizons: &Horizons,
) -> Result<(), Fault> {
    sync_slot(tx, channel, slot, reason, horizons).await?;
    channel_touch(tx, &channel.id).await?;
    tx.publish(events::slot_changed(slot));
    tx.audit(what, slot.id, slot.state.word());
    Ok(())
}

/// The refusal of times that are none.
pub fn refuse_times(error: RecurrenceError) -> Refusal {
    Refusal::invalid(format!("slot.{}", error.field), error.description)
}

/// Refuses a slot that names what is not there, or whose times are none, too many, or taken.
async fn require_plannable(
    tx: &mut Tx,
    channel: &Channel,
    slot: &Slot,
    horizons: &Horizons,
) -> Result<(), Fault> {
    hosts_of(tx, &slot.content.hosts).await?;
    channel.choose(&slot.content.outlets)?;
    let zone = channel
        .zone()
        .ok_or_else(|| Fault::internal("there is no zone UTC"))?;
    let times = slot.times.recurrence(zone).map_err(refuse_times)?;
    let now = tx.now();
    let within = Span {
        start: now,
        end: now.plus(horizons.lookahead),
    };
    let mut spans = times.spans(within.start, within.end, horizons.times_max);
    if spans.len() >= horizons.times_max {
        let text = "gives too many times; name fewer.";
        return Err(Refusal::invalid("slot.recurrence_rule", text).into());
    }
    if spans.is_empty() && times.next_after(now, horizons.search_years).is_none() {
        let text = "has all of its times in the past; choose a start to come.";
        return Err(Refusal::invalid("slot.local_start_time", text).into());
    }
    // Rooms to come follow the slot; those with content of their own and those on air stay as they are.
    let rooms = rooms_of_slot(tx, &slot.id, now.minus(LONGEST)).await?;
    let (follow, stay): (Vec<_>, Vec<_>) = rooms
        .iter()
        .partition(|room| room.state == RoomState::Scheduled && !room.overridden);
    let stay: BTreeSet<_> = stay
        .iter()
        .filter_map(|room| room.slot)
        .map(|time| time.start)
        .collect();
    spans.retain(|span| !stay.contains(&span.start));
    let plan = Plan {
        spans,
        resources: slot.resources(),
        slot: Some(slot.id),
        rooms: follow.iter().map(|room| room.id).collect(),
    };
    require_free(tx, &plan, horizons).await
}
