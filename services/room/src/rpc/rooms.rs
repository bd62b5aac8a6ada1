//! RoomService.

use std::time::Duration;

use ::store::Operation;
use contracts::id::{ChannelId, RoomId};
use contracts::room::v1::room_service_server::RoomService;
use contracts::room::v1::*;
use kit::caller::Caller;
use kit::errors::Fault;
use kit::validate::{Violations, Window};
use prost::Message;
use tonic::Request;

use super::parse::{self, THEME_MAX, TITLE_MAX, VENUE_MAX};
use super::{Answer, Api, Keys, after, etag, eyes, given, open, render, request_id};
use crate::model::{self, Eyes, Schedule};
use crate::ops::read::{ReadRoom, ReadRooms};
use crate::ops::rooms::{CreateRoom, MoveRoom, Step};
use crate::store::room::RoomQuery;

/// What every move of a room is asked with.
struct Move<'a, Q> {
    method: &'static str,
    asked: &'a Q,
    request_id: &'a str,
    room_id: &'a str,
    etag: &'a str,
}

/// What `$asked` asks for `$method` with.
macro_rules! a_move {
    ($method:literal, $asked:ident) => {
        Move {
            method: concat!("vitrine.room.v1.RoomService/", $method),
            asked: &$asked,
            request_id: &$asked.request_id,
            room_id: &$asked.room_id,
            etag: &$asked.etag,
        }
    };
}

#[tonic::async_trait]
impl RoomService for Api {
    async fn create_room(&self, request: Request<CreateRoomRequest>) -> Answer<CreateRoomResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let room = v.required("room", &asked.room);
        let operation = room.map(|room| self.draft(&mut v.nested("room"), room));
        v.finish()?;
        let keys = Keys {
            method: "vitrine.room.v1.RoomService/CreateRoom",
            request_id,
            request: &asked,
        };
        let room = self.changed(&caller, keys, given(operation)?).await?;
        Ok(CreateRoomResponse { room: Some(room) }.into())
    }

    async fn schedule_room(
        &self,
        request: Request<ScheduleRoomRequest>,
    ) -> Answer<ScheduleRoomResponse> {
        let (caller, asked) = open(request)?;
        let step = |v: &mut Violations| {
            v.required("schedule", &asked.schedule)?;
            let window = v.window("schedule", &asked.schedule);
            self.schedule(v, window)
        };
        let room = self
            .move_room(&caller, a_move!("ScheduleRoom", asked), step)
            .await?;
        Ok(ScheduleRoomResponse { room: Some(room) }.into())
    }

    async fn go_live(&self, request: Request<GoLiveRequest>) -> Answer<GoLiveResponse> {
        let (caller, asked) = open(request)?;
        let room = self
            .move_room(&caller, a_move!("GoLive", asked), |_| Some(Step::GoLive))
            .await?;
        Ok(GoLiveResponse { room: Some(room) }.into())
    }

    async fn pause_room(&self, request: Request<PauseRoomRequest>) -> Answer<PauseRoomResponse> {
        let (caller, asked) = open(request)?;
        let step = |v: &mut Violations| {
            Some(Step::Pause {
                reason: parse::reason(v, &asked.reason),
            })
        };
        let room = self
            .move_room(&caller, a_move!("PauseRoom", asked), step)
            .await?;
        Ok(PauseRoomResponse { room: Some(room) }.into())
    }

    async fn resume_room(&self, request: Request<ResumeRoomRequest>) -> Answer<ResumeRoomResponse> {
        let (caller, asked) = open(request)?;
        let room = self
            .move_room(&caller, a_move!("ResumeRoom", asked), |_| {
                Some(Step::Resume)
            })
            .await?;
        Ok(ResumeRoomResponse { room: Some(room) }.into())
    }

    async fn end_room(&self, request: Request<EndRoomRequest>) -> Answer<EndRoomResponse> {
        let (caller, asked) = open(request)?;
        let step = |v: &mut Violations| {
            Some(Step::End {
                reason: parse::reason(v, &asked.reason),
            })
        };
        let room = self
            .move_room(&caller, a_move!("EndRoom", asked), step)
            .await?;
        Ok(EndRoomResponse { room: Some(room) }.into())
    }

    async fn get_room(&self, request: Request<GetRoomRequest>) -> Answer<GetRoomResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let room_id = v.id::<RoomId>("room_id", &asked.room_id);
        v.finish()?;
        let eyes = eyes(&caller)?;
        let read = ReadRoom {
            room_id: given(room_id)?,
            eyes,
        };
        let (room, mut counters) = self.read(&caller, read).await?;
        self.rooms.complete(&room, &mut counters);
        Ok(GetRoomResponse {
            room: Some(render::room(&room, &eyes, Some(counters))),
        }
        .into())
    }

    async fn list_rooms(&self, request: Request<ListRoomsRequest>) -> Answer<ListRoomsResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let state = v.opt_enumeration::<RoomState>("state", asked.state);
        v.finish()?;
        let eyes = eyes(&caller)?;
        let query = ["ListRooms", state.map_or("", |state| state.as_str_name())];
        let page = self.page(&caller, asked.page_size, &asked.page_token, &query)?;
        let query = RoomQuery {
            partner: match eyes {
                Eyes::Retailer => None,
                Eyes::Partner(partner) | Eyes::Viewer(partner) => Some(partner),
            },
            state: state.and_then(render::room_state_of),
            after: after(&page)?,
            limit: page.limit(),
        };
        let rooms = self.read(&caller, ReadRooms { query }).await?;
        let (rooms, next_page_token) = page.cut(rooms, |(room, _)| vec![room.id.to_string()]);
        let rooms = rooms.into_iter().map(|(room, mut counters)| {
            self.rooms.complete(&room, &mut counters);
            render::room(&room, &eyes, Some(counters))
        });
        Ok(ListRoomsResponse {
            rooms: rooms.collect(),
            next_page_token,
        }
        .into())
    }

    async fn list_live_now(
        &self,
        request: Request<ListLiveNowRequest>,
    ) -> Answer<ListLiveNowResponse> {
        let (caller, asked) = open(request)?;
        Ok(self.live_now(&caller, asked).await?.into())
    }

    async fn get_timeline(
        &self,
        request: Request<GetTimelineRequest>,
    ) -> Answer<GetTimelineResponse> {
        let (caller, asked) = open(request)?;
        Ok(self.timeline(&caller, asked).await?.into())
    }
}

impl Api {
    async fn move_room<Q: Message>(
        &self,
        caller: &Caller,
        asked: Move<'_, Q>,
        step: impl FnOnce(&mut Violations) -> Option<Step>,
    ) -> Result<Room, Fault> {
        let mut v = Violations::new();
        let request_id = request_id(&mut v, asked.request_id);
        let room_id = v.id::<RoomId>("room_id", asked.room_id);
        let etag = etag(&mut v, asked.etag);
        let step = step(&mut v);
        v.finish()?;
        let operation = MoveRoom {
            room_id: given(room_id)?,
            step: given(step)?,
            etag,
            horizons: self.config.horizons(),
        };
        let keys = Keys {
            method: asked.method,
            request_id,
            request: asked.asked,
        };
        self.changed(caller, keys, operation).await
    }

    /// Changes a room once for a key. Totals come when it is answered, so that a retry does not tell old ones.
    async fn changed<Q: Message, O>(
        &self,
        caller: &Caller,
        keys: Keys<'_, Q>,
        operation: O,
    ) -> Result<Room, Fault>
    where
        O: Operation<Output = model::Room>,
    {
        let render = |room: &model::Room| render::room(room, &Eyes::Retailer, None);
        let mut answer: Room = self.mutate(caller, keys, operation, render).await?;
        let room_id = given(answer.room_id.parse().ok())?;
        let (room, mut counters) = self
            .read(
                caller,
                ReadRoom {
                    room_id,
                    eyes: Eyes::Retailer,
                },
            )
            .await?;
        self.rooms.complete(&room, &mut counters);
        answer.counters = Some(render::counters(counters));
        Ok(answer)
    }

    fn draft(&self, v: &mut Violations, room: &Room) -> CreateRoom {
        let title = v.text("title", &room.title, 1..=TITLE_MAX);
        let theme = v.text("theme", &room.theme, 0..=THEME_MAX);
        let session = parse::session_type(v, room.session_type);
        let channel_id = v.opt_id::<ChannelId>("channel_id", &room.channel_id);
        let venue = v.text("venue", &room.venue, 0..=VENUE_MAX);
        if room.channel_id.is_empty() && !venue.is_empty() {
            v.add("venue", "must be empty for a room that is on no channel.");
        }
        let config = &self.config;
        let hosts = parse::ids(v, "host_ids", &room.host_ids, 1, config.hosts_per_room_max);
        // On a channel none means all of the channel's.
        let least = usize::from(room.channel_id.is_empty());
        let outlets = parse::ids(
            v,
            "outlet_ids",
            &room.outlet_ids,
            least,
            config.outlets_per_room_max,
        );
        let brands = parse::brands(v, &room.brand_rules, self.config.brand_rules_max);
        let window = v.window("schedule", &room.schedule);
        if window.start.is_some() && window.end.is_some() {
            self.schedule(v, window);
        }
        let drop_id = v.opt_id("drop_id", &room.drop_id);
        if !session.has_cart() && !room.drop_id.is_empty() {
            v.add("drop_id", "must be empty in a room without a cart.");
        }
        let schedule = Schedule {
            start: window.start,
            end: window.end,
        };
        CreateRoom {
            title,
            theme,
            drop_id,
            session,
            channel_id,
            venue,
            hosts,
            outlets,
            brands,
            schedule,
        }
    }

    /// A schedule with both ends, that is not too long.
    fn schedule(&self, v: &mut Violations, window: Window) -> Option<Step> {
        if window.start.is_none() {
            v.add("schedule.start_time", "must be set.");
        }
        if window.end.is_none() {
            v.add("schedule.end_time", "must be set.");
        }
        let (start, end) = (window.start?, window.end?);
        let hours = self.config.schedule_max_h;
        if end.since(start) > Duration::from_secs(u64::from(hours) * 3_600) {
            v.add(
                "schedule.end_time",
                format!("must be at most {hours} hours after start_time."),
            );
        }
        Some(Step::Schedule { start, end })
    }
}
