//! Channels and their programme, in short.

use std::sync::Arc;

use contracts::id::{ChannelId, SlotId};
use contracts::room::v1::*;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use kit::clock::{Clock, ManualClock, Micros};
use prost_types::FieldMask;
use tonic::Status;

use crate::catalog::outlet_id;
use crate::common::{Hand, Server, call, key};

pub const MINUTE: i64 = 60_000_000;

/// What the clock shows so many minutes from a moment, in a zone.
pub fn local(now: Micros, minutes: i64, zone: &str) -> String {
    let moment = Timestamp::from_microsecond(now.0 + minutes * MINUTE).expect("a time");
    let zone = TimeZone::get(zone).expect("a zone");
    zone.to_datetime(moment)
        .strftime("%Y-%m-%dT%H:%M:%S")
        .to_string()
}

/// Puts the clock to the next full minute, so that what it shows is the moment itself.
pub fn whole_minute(clock: &Arc<ManualClock>) -> Micros {
    let now = Micros((clock.now().0 / MINUTE + 1) * MINUTE);
    clock.set(now);
    now
}

pub fn at(moment: Micros, minutes: i64) -> Option<prost_types::Timestamp> {
    Some(Micros(moment.0 + minutes * MINUTE).to_proto())
}

pub fn mask(paths: &[&str]) -> Option<FieldMask> {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    Some(FieldMask { paths })
}

pub fn unknown_channel() -> String {
    ChannelId::from_uuid(987_654_321).into()
}

pub fn unknown_slot() -> String {
    SlotId::from_uuid(987_654_321).into()
}

impl Server {
    pub fn channel_draft(&self, outlets: &[u128], auto: bool) -> Channel {
        Channel {
            display_name: "Maison".into(),
            time_zone: "UTC".into(),
            outlet_ids: outlets
                .iter()
                .map(|outlet| outlet_id(*outlet).into())
                .collect(),
            auto_handover: auto,
            ..Channel::default()
        }
    }

    pub async fn create_channel(&self, channel: Channel) -> Result<Channel, Status> {
        let ops = self.ops();
        let request = CreateChannelRequest {
            request_id: key(),
            channel: Some(channel),
        };
        call!(ops.channels.create_channel(request))
            .map(|answer| answer.channel.expect("the channel"))
    }

    pub async fn channel(&self, outlets: &[u128], auto: bool) -> String {
        let channel = self.create_channel(self.channel_draft(outlets, auto)).await;
        channel.expect("a channel").channel_id
    }

    /// A slot so many minutes from a moment, in UTC.
    pub fn slot_draft(
        &self,
        channel: &str,
        host: &str,
        now: Micros,
        from: i64,
        minutes: i64,
    ) -> ProgrammeSlot {
        ProgrammeSlot {
            channel_id: channel.into(),
            title: format!("At {from}"),
            host_ids: vec![host.into()],
            local_start_time: local(now, from, "UTC"),
            duration: Some(prost_types::Duration {
                seconds: minutes * 60,
                nanos: 0,
            }),
            ..ProgrammeSlot::default()
        }
    }

    pub async fn plan(&self, slot: ProgrammeSlot) -> Result<ProgrammeSlot, Status> {
        let ops = self.ops();
        let request = CreateSlotRequest {
            request_id: key(),
            slot: Some(slot),
        };
        call!(ops.programme.create_slot(request)).map(|answer| answer.slot.expect("the slot"))
    }

    pub async fn update_slot(
        &self,
        slot: ProgrammeSlot,
        paths: &[&str],
    ) -> Result<ProgrammeSlot, Status> {
        let ops = self.ops();
        let request = UpdateSlotRequest {
            request_id: key(),
            slot: Some(slot),
            update_mask: mask(paths),
        };
        call!(ops.programme.update_slot(request)).map(|answer| answer.slot.expect("the slot"))
    }

    pub async fn cancel_slot(&self, slot_id: &str) -> Result<ProgrammeSlot, Status> {
        let ops = self.ops();
        let request = CancelSlotRequest {
            request_id: key(),
            slot_id: slot_id.into(),
            reason: "Not today.".into(),
            etag: String::new(),
        };
        call!(ops.programme.cancel_slot(request)).map(|answer| answer.slot.expect("the slot"))
    }

    /// What takes place between some minutes from a moment.
    pub async fn programme(
        &self,
        hand: &Hand,
        channel: &str,
        now: Micros,
        from: i64,
        until: i64,
    ) -> Vec<Occurrence> {
        let request = ListProgrammeRequest {
            channel_id: channel.into(),
            window: Some(contracts::common::v1::Window {
                start_time: at(now, from),
                end_time: at(now, until),
            }),
            page_size: 200,
            page_token: String::new(),
        };
        call!(hand.programme.list_programme(request))
            .expect("the programme")
            .occurrences
    }

    pub async fn hand_over(&self, channel: &str) -> Result<HandOverResponse, Status> {
        let ops = self.ops();
        let request = HandOverRequest {
            request_id: key(),
            channel_id: channel.into(),
            ..HandOverRequest::default()
        };
        call!(ops.channels.hand_over(request))
    }

    pub async fn shown(&self, hand: &Hand, channel: &str) -> Result<GetChannelResponse, Status> {
        let request = GetChannelRequest {
            channel_id: channel.into(),
        };
        call!(hand.channels.get_channel(request))
    }
}
