//! One time of a slot with content of its own.

use ::store::{Operation, Tx};
use contracts::id::{HostId, OutletId, SlotId};
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use super::materialise::{create, rewrite};
use super::programme::{Horizons, plan_of, recurrence, require_free};
use super::rooms::hosts_of;
use super::slots::locked;
use crate::model::{Room, RoomState, SessionType, room::wrong_room_state};
use crate::store::planned::rooms_of_slot;
use crate::store::room::room_lock;

/// What one time becomes: fields that are not named stay.
#[derive(Clone, Debug, Default)]
pub struct OccurrenceChange {
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
    /// Outlets; none for all of the channel's.
    pub outlets: Option<Vec<OutletId>>,
    /// Another start.
    pub start: Option<Micros>,
    /// Another end.
    pub end: Option<Micros>,
}

/// Gives one time of a slot content of its own.
pub struct OverrideOccurrence {
    /// The slot.
    pub slot_id: SlotId,
    /// When the rule has it begin.
    pub start: Micros,
    /// What it becomes.
    pub change: OccurrenceChange,
    /// The longest that it may be, in hours.
    pub longest_h: u32,
    /// How far to look.
    pub horizons: Horizons,
}

impl Operation for OverrideOccurrence {
    type Output = Room;

    fn name(&self) -> &'static str {
        "slot.override"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Room, Fault> {
        let (channel, slot) = locked(tx, &self.slot_id).await?;
        slot.require_active("be overridden")?;
        let there = rooms_of_slot(tx, &slot.id, self.start).await?;
        let there = there
            .into_iter()
            .find(|room| room.slot.is_some_and(|time| time.start == self.start));
        let mut room = match there {
            Some(room) => room_lock(tx, &room.id)
                .await?
                .ok_or_else(|| Refusal::not_found("room"))?,
            None => {
                let span = recurrence(&channel, &slot)?
                    .at(self.start)
                    .filter(|span| span.end > tx.now());
                let span = span.ok_or_else(|| Refusal::not_found("occurrence"))?;
                create(tx, &slot, &channel.choose(&slot.content.outlets)?, span).await?
            }
        };
        if room.state != RoomState::Scheduled {
            return Err(
                wrong_room_state(room.state, "be overridden", "it has to be SCHEDULED").into(),
            );
        }
        self.apply(tx, &mut room)?;
        if let Some(outlets) = &self.change.outlets {
            room.places = channel.choose(outlets)?;
        }
        hosts_of(tx, &room.hosts).await?;
        let mut plan = plan_of(&room);
        plan.slot = None;
        require_free(tx, &plan, &self.horizons).await?;
        rewrite(tx, &room).await?;
        tx.audit(self.name(), room.id, "overridden");
        Ok(room)
    }
}

impl OverrideOccurrence {
    fn apply(&self, tx: &Tx, room: &mut Room) -> Result<(), Refusal> {
        let change = self.change.clone();
        let set = |to: &mut String, value: Option<String>| {
            if let Some(value) = value {
                *to = value;
            }
        };
        set(&mut room.title, change.title);
        set(&mut room.theme, change.theme);
        set(&mut room.venue, change.venue);
        room.session = change.session.unwrap_or(room.session);
        room.hosts = change
            .hosts
            .unwrap_or_else(|| std::mem::take(&mut room.hosts));
        room.brands = change
            .brands
            .unwrap_or_else(|| std::mem::take(&mut room.brands));
        room.schedule.start = change.start.or(room.schedule.start);
        room.schedule.end = change.end.or(room.schedule.end);
        room.overridden = true;
        room.version += 1;
        let Some(span) = room.span() else {
            return Ok(());
        };
        let hours = u64::from(self.longest_h);
        let longest = std::time::Duration::from_secs(hours * 3_600);
        if span.start >= span.end || span.end <= tx.now() {
            let text = "must be after the start, and in the future.";
            return Err(Refusal::invalid("occurrence.end_time", text));
        }
        if span.end.since(span.start) > longest {
            let text = format!("must be at most {hours} hours after the start.");
            return Err(Refusal::invalid("occurrence.end_time", text));
        }
        Ok(())
    }
}
