//! ProgrammeService.

use std::collections::BTreeSet;
use std::time::Duration;

use contracts::id::{ChannelId, SlotId};
use contracts::room::v1::programme_service_server::ProgrammeService;
use contracts::room::v1::*;
use kit::clock::Micros;
use kit::validate::Violations;
use tonic::Request;

use super::parse::{self, THEME_MAX, TITLE_MAX, VENUE_MAX};
use super::{Answer, Api, Keys, after, etag, eyes, given, open, render, request_id};
use crate::model::{self, Eyes, SlotContent, SlotTimes, Span};
use crate::ops::channels::{ReadNext, ReadProgramme, ReadSlot, ReadSlots};
use crate::ops::overrides::{OccurrenceChange, OverrideOccurrence};
use crate::ops::slots::{CancelSlot, CreateSlot, SlotChange, UpdateSlot};

const RULE_MAX: usize = 500;
const DATE_MAX: usize = 10;
const LOCAL_TIME_MAX: usize = 19;
const SLOT_FIELDS: [&str; 11] = [
    "title",
    "theme",
    "session_type",
    "host_ids",
    "venue",
    "brand_rules",
    "outlet_ids",
    "local_start_time",
    "duration",
    "recurrence_rule",
    "exception_dates",
];
const OCCURRENCE_FIELDS: [&str; 9] = [
    "title",
    "theme",
    "session_type",
    "host_ids",
    "venue",
    "brand_rules",
    "outlet_ids",
    "start_time",
    "end_time",
];

#[tonic::async_trait]
impl ProgrammeService for Api {
    async fn create_slot(&self, request: Request<CreateSlotRequest>) -> Answer<CreateSlotResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let operation = v.required("slot", &asked.slot).and_then(|slot| {
            let v = &mut *v.nested("slot");
            let channel_id = v.id::<ChannelId>("channel_id", &slot.channel_id);
            let change = self.slot_change(v, slot, &SLOT_FIELDS.into());
            let (content, times) = whole(change)?;
            Some(CreateSlot {
                channel_id: channel_id?,
                content,
                times,
                horizons: self.config.horizons(),
            })
        });
        v.finish()?;
        let keys = Keys {
            method: "vitrine.room.v1.ProgrammeService/CreateSlot",
            request_id,
            request: &asked,
        };
        let render = |slot: &_| CreateSlotResponse {
            slot: Some(render::slot(slot)),
        };
        Ok(self
            .mutate(&caller, keys, given(operation)?, render)
            .await?
            .into())
    }

    async fn update_slot(&self, request: Request<UpdateSlotRequest>) -> Answer<UpdateSlotResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let paths = parse::mask(&mut v, &asked.update_mask, &SLOT_FIELDS);
        let operation = v.required("slot", &asked.slot).and_then(|slot| {
            let v = &mut *v.nested("slot");
            let slot_id = v.id::<SlotId>("slot_id", &slot.slot_id);
            let change = self.slot_change(v, slot, &paths);
            let etag = etag(v, &slot.etag);
            Some(UpdateSlot {
                slot_id: slot_id?,
                change,
                etag,
                horizons: self.config.horizons(),
            })
        });
        v.finish()?;
        let keys = Keys {
            method: "vitrine.room.v1.ProgrammeService/UpdateSlot",
            request_id,
            request: &asked,
        };
        let render = |slot: &_| UpdateSlotResponse {
            slot: Some(render::slot(slot)),
        };
        Ok(self
            .mutate(&caller, keys, given(operation)?, render)
            .await?
            .into())
    }

    async fn cancel_slot(&self, request: Request<CancelSlotRequest>) -> Answer<CancelSlotResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let slot_id = v.id::<SlotId>("slot_id", &asked.slot_id);
        let reason = parse::reason(&mut v, &asked.reason);
        let etag = etag(&mut v, &asked.etag);
        v.finish()?;
        let operation = CancelSlot {
            slot_id: given(slot_id)?,
            reason,
            etag,
            horizons: self.config.horizons(),
        };
        let keys = Keys {
            method: "vitrine.room.v1.ProgrammeService/CancelSlot",
            request_id,
            request: &asked,
        };
        let render = |slot: &_| CancelSlotResponse {
            slot: Some(render::slot(slot)),
        };
        Ok(self.mutate(&caller, keys, operation, render).await?.into())
    }

    async fn override_occurrence(
        &self,
        request: Request<OverrideOccurrenceRequest>,
    ) -> Answer<OverrideOccurrenceResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let slot_id = v.id::<SlotId>("slot_id", &asked.slot_id);
        let start = v.time("slot_start_time", &asked.slot_start_time);
        let paths = parse::mask(&mut v, &asked.update_mask, &OCCURRENCE_FIELDS);
        let change = v
            .required("occurrence", &asked.occurrence)
            .map(|occurrence| {
                self.occurrence_change(&mut v.nested("occurrence"), occurrence, &paths)
            });
        v.finish()?;
        let operation = OverrideOccurrence {
            slot_id: given(slot_id)?,
            start: given(start)?,
            change: given(change)?,
            longest_h: self.config.schedule_max_h,
            horizons: self.config.horizons(),
        };
        let keys = Keys {
            method: "vitrine.room.v1.ProgrammeService/OverrideOccurrence",
            request_id,
            request: &asked,
        };
        let render = |room: &model::Room| OverrideOccurrenceResponse {
            room: Some(render::room(room, &Eyes::Retailer, None)),
        };
        Ok(self.mutate(&caller, keys, operation, render).await?.into())
    }

    async fn get_slot(&self, request: Request<GetSlotRequest>) -> Answer<GetSlotResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let slot_id = v.id::<SlotId>("slot_id", &asked.slot_id);
        v.finish()?;
        let read = ReadSlot {
            slot_id: given(slot_id)?,
        };
        let slot = self.read(&caller, read).await?;
        Ok(GetSlotResponse {
            slot: Some(render::slot(&slot)),
        }
        .into())
    }

    async fn list_slots(&self, request: Request<ListSlotsRequest>) -> Answer<ListSlotsResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let channel_id = v.id::<ChannelId>("channel_id", &asked.channel_id);
        let state = v.opt_enumeration::<SlotState>("state", asked.state);
        v.finish()?;
        let query = [
            "ListSlots",
            &asked.channel_id,
            state.map_or("", |state| state.as_str_name()),
        ];
        let page = self.page(&caller, asked.page_size, &asked.page_token, &query)?;
        let read = ReadSlots {
            channel_id: given(channel_id)?,
            state: state.and_then(render::slot_state_of),
            after: after(&page)?,
            limit: page.limit(),
        };
        let slots = self.read(&caller, read).await?;
        let (slots, next_page_token) = page.cut(slots, |slot| vec![slot.id.to_string()]);
        Ok(ListSlotsResponse {
            slots: slots.iter().map(render::slot).collect(),
            next_page_token,
        }
        .into())
    }

    async fn list_programme(
        &self,
        request: Request<ListProgrammeRequest>,
    ) -> Answer<ListProgrammeResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let channel_id = v.id::<ChannelId>("channel_id", &asked.channel_id);
        let within = v
            .required("window", &asked.window)
            .and_then(|_| self.stretch(&mut v, &asked.window));
        v.finish()?;
        let (eyes, within) = (eyes(&caller)?, given(within)?);
        let (from, until) = (within.start.0.to_string(), within.end.0.to_string());
        let query = ["ListProgramme", &asked.channel_id, &from, &until];
        let page = self.page(&caller, asked.page_size, &asked.page_token, &query)?;
        let read = ReadProgramme {
            channel_id: given(channel_id)?,
            within,
            eyes,
            horizons: self.config.horizons(),
        };
        let mut all = self.read(&caller, read).await?;
        if let Some([time, key]) = page.after_key(2)? {
            let place = (Micros(time.parse().unwrap_or(i64::MAX)), key.clone());
            all.retain(|it| it.order() > place);
        }
        let (all, next_page_token) = page.cut(all, |it| {
            let (time, key) = it.order();
            vec![time.0.to_string(), key]
        });
        Ok(ListProgrammeResponse {
            occurrences: all.iter().map(|it| render::occurrence(it, &eyes)).collect(),
            next_page_token,
        }
        .into())
    }

    async fn get_next_slot(
        &self,
        request: Request<GetNextSlotRequest>,
    ) -> Answer<GetNextSlotResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let channel_id = v.id::<ChannelId>("channel_id", &asked.channel_id);
        let after = v.opt_time("after_time", &asked.after_time);
        v.finish()?;
        let eyes = eyes(&caller)?;
        let read = ReadNext {
            channel_id: given(channel_id)?,
            after,
            eyes,
            horizons: self.config.horizons(),
        };
        let next = self.read(&caller, read).await?;
        Ok(GetNextSlotResponse {
            occurrence: Some(render::occurrence(&next, &eyes)),
        }
        .into())
    }
}

/// What a new slot is made of, when every field was right.
fn whole(change: SlotChange) -> Option<(SlotContent, SlotTimes)> {
    let content = SlotContent {
        title: change.title?,
        theme: change.theme?,
        session: change.session?,
        hosts: change.hosts?,
        venue: change.venue?,
        brands: change.brands?,
        outlets: change.outlets?,
    };
    let times = SlotTimes {
        local_start: change.local_start?,
        duration_s: change.duration_s?,
        rule: change.rule?,
        exceptions: change.exceptions?,
    };
    Some((content, times))
}

impl Api {
    /// The fields of a slot that are named. What its times mean is looked at on its channel.
    fn slot_change(
        &self,
        v: &mut Violations,
        slot: &ProgrammeSlot,
        paths: &BTreeSet<&str>,
    ) -> SlotChange {
        let has = |path| paths.contains(path);
        let config = &self.config;
        SlotChange {
            title: has("title").then(|| v.text("title", &slot.title, 1..=TITLE_MAX)),
            theme: has("theme").then(|| v.text("theme", &slot.theme, 0..=THEME_MAX)),
            session: has("session_type").then(|| parse::session_type(v, slot.session_type)),
            hosts: has("host_ids")
                .then(|| parse::ids(v, "host_ids", &slot.host_ids, 1, config.hosts_per_room_max)),
            venue: has("venue").then(|| v.text("venue", &slot.venue, 0..=VENUE_MAX)),
            brands: has("brand_rules")
                .then(|| parse::brands(v, &slot.brand_rules, config.brand_rules_max)),
            outlets: has("outlet_ids").then(|| {
                parse::ids(
                    v,
                    "outlet_ids",
                    &slot.outlet_ids,
                    0,
                    config.outlets_per_room_max,
                )
            }),
            local_start: has("local_start_time").then(|| {
                v.text(
                    "local_start_time",
                    &slot.local_start_time,
                    1..=LOCAL_TIME_MAX,
                )
            }),
            duration_s: has("duration").then(|| self.duration(v, slot.duration.as_ref())),
            rule: has("recurrence_rule")
                .then(|| v.text("recurrence_rule", &slot.recurrence_rule, 0..=RULE_MAX)),
            exceptions: has("exception_dates").then(|| self.exceptions(v, &slot.exception_dates)),
        }
    }

    fn duration(&self, v: &mut Violations, duration: Option<&prost_types::Duration>) -> i64 {
        let hours = i64::from(self.config.schedule_max_h);
        match duration {
            Some(it) if it.nanos == 0 && (60..=hours * 3_600).contains(&it.seconds) => it.seconds,
            _ => {
                v.add(
                    "duration",
                    format!("must be whole seconds, from one minute to {hours} hours."),
                );
                60
            }
        }
    }

    fn exceptions(&self, v: &mut Violations, dates: &[String]) -> Vec<String> {
        if !v.items(
            "exception_dates",
            dates,
            0..=self.config.exception_dates_max,
        ) {
            return Vec::new();
        }
        for (at, date) in dates.iter().enumerate() {
            v.text(&format!("exception_dates[{at}]"), date, 1..=DATE_MAX);
        }
        dates.to_vec()
    }

    fn occurrence_change(
        &self,
        v: &mut Violations,
        it: &Occurrence,
        paths: &BTreeSet<&str>,
    ) -> OccurrenceChange {
        let has = |path| paths.contains(path);
        let config = &self.config;
        OccurrenceChange {
            title: has("title").then(|| v.text("title", &it.title, 1..=TITLE_MAX)),
            theme: has("theme").then(|| v.text("theme", &it.theme, 0..=THEME_MAX)),
            session: has("session_type").then(|| parse::session_type(v, it.session_type)),
            hosts: has("host_ids")
                .then(|| parse::ids(v, "host_ids", &it.host_ids, 1, config.hosts_per_room_max)),
            venue: has("venue").then(|| v.text("venue", &it.venue, 0..=VENUE_MAX)),
            brands: has("brand_rules")
                .then(|| parse::brands(v, &it.brand_rules, config.brand_rules_max)),
            outlets: has("outlet_ids").then(|| {
                parse::ids(
                    v,
                    "outlet_ids",
                    &it.outlet_ids,
                    0,
                    config.outlets_per_room_max,
                )
            }),
            start: has("start_time")
                .then(|| v.time("start_time", &it.start_time))
                .flatten(),
            end: has("end_time")
                .then(|| v.time("end_time", &it.end_time))
                .flatten(),
        }
    }

    /// A stretch of a programme, with both ends and not too long.
    fn stretch(
        &self,
        v: &mut Violations,
        window: &Option<contracts::common::v1::Window>,
    ) -> Option<Span> {
        let window = v.window("window", window);
        if window.start.is_none() {
            v.add("window.start_time", "must be set.");
        }
        if window.end.is_none() {
            v.add("window.end_time", "must be set.");
        }
        let (start, end) = (window.start?, window.end?);
        let days = self.config.programme_window_max_days;
        if end.since(start) > Duration::from_secs(u64::from(days) * 86_400) {
            let text = format!("must be at most {days} days after start_time.");
            v.add("window.end_time", text);
        }
        Some(Span { start, end })
    }
}
