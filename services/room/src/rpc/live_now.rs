//! What is on air now, and what was explained in a room: the parts of RoomService with files of their own.

use contracts::common::v1::Audience;
use contracts::id::{ChannelId, OutletId, RoomId};
use contracts::room::v1::*;
use kit::caller::Caller;
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;

use super::parse::{SHOPPER_REF_MAX, THEME_MAX};
use super::{Api, eyes, follows, given, render};
use crate::model::{Eyes, Segment, ThenAndNow};
use crate::ops::live_now::ReadLiveNow;
use crate::ops::timeline::ReadTimeline;
use crate::store::occupancy::OnAirQuery;

impl Api {
    pub(super) async fn live_now(
        &self,
        caller: &Caller,
        asked: ListLiveNowRequest,
    ) -> Result<ListLiveNowResponse, Fault> {
        let mut v = Violations::new();
        let outlet = v.opt_id::<OutletId>("outlet_id", &asked.outlet_id);
        let theme = v.text("theme", &asked.theme, 0..=THEME_MAX);
        let channel = v.opt_id::<ChannelId>("channel_id", &asked.channel_id);
        v.text("shopper_ref", &asked.shopper_ref, 0..=SHOPPER_REF_MAX);
        let followed_by = match (asked.shopper_ref.is_empty(), caller.audience) {
            (true, _) => None,
            (false, Audience::Partner) => {
                Some(follows::shopper(&mut v, caller, &asked.shopper_ref)?)
            }
            (false, _) => {
                v.add("shopper_ref", "may be named by partners only.");
                None
            }
        };
        v.finish()?;
        let eyes = eyes(caller)?;
        let query = [
            "ListLiveNow",
            &asked.outlet_id,
            &theme,
            &asked.channel_id,
            &asked.shopper_ref,
        ];
        let page = self.page(caller, asked.page_size, &asked.page_token, &query)?;
        let before = match page.after_key(2)? {
            Some([time, room]) => (Micros(time.parse().unwrap_or(i64::MIN)), room.clone()),
            _ => (Micros(i64::MAX), String::new()),
        };
        let query = OnAirQuery {
            partner: match eyes {
                Eyes::Retailer => None,
                Eyes::Partner(partner) | Eyes::Viewer(partner) => Some(partner),
            },
            outlet,
            theme,
            channel,
            before,
            limit: page.limit(),
        };
        let rooms = self
            .read(caller, ReadLiveNow { query, followed_by })
            .await?;
        let (rooms, next_page_token) = page.cut(rooms, |live| {
            vec![live.live.0.to_string(), live.room.id.to_string()]
        });
        let rooms = rooms.into_iter().map(|mut live| {
            self.rooms.complete(&live.room, &mut live.counters);
            render::room(&live.room, &eyes, Some(live.counters))
        });
        Ok(ListLiveNowResponse {
            rooms: rooms.collect(),
            next_page_token,
        })
    }

    pub(super) async fn timeline(
        &self,
        caller: &Caller,
        asked: GetTimelineRequest,
    ) -> Result<GetTimelineResponse, Fault> {
        let mut v = Violations::new();
        let room_id = v.id::<RoomId>("room_id", &asked.room_id);
        v.finish()?;
        let page = self.page(
            caller,
            asked.page_size,
            &asked.page_token,
            &["GetTimeline", &asked.room_id],
        )?;
        let after = match page.after_key(1)? {
            Some([segment]) => segment.parse().map_err(|_| Refusal::not_found("page"))?,
            _ => 0,
        };
        let read = ReadTimeline {
            room_id: given(room_id)?,
            eyes: eyes(caller)?,
            after,
            limit: page.limit(),
            prices_max: self.config.timeline_prices_max,
        };
        let timeline = self.read(caller, read).await?;
        let key = |(segment, _): &(Segment, Vec<ThenAndNow>)| vec![segment.number.to_string()];
        let (segments, mut next_page_token) = page.cut(timeline.segments, key);
        if timeline.cut
            && next_page_token.is_empty()
            && let Some(last) = segments.last()
        {
            next_page_token = page.next_token(&key(last));
        }
        let room = &timeline.room;
        Ok(GetTimelineResponse {
            segments: segments
                .iter()
                .map(|(segment, prices)| render::segment(segment, prices, room))
                .collect(),
            next_page_token,
        })
    }
}
