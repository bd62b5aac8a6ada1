//! RoomService.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use ::store::Operation;
use contracts::id::RoomId;
use contracts::room::v1::room_service_server::RoomService;
use contracts::room::v1::*;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::validate::{Violations, Window};
use prost::Message;
use tonic::Request;

use super::{Answer, Api, Keys, after, etag, eyes, given, not_offered, open, render, request_id};
use crate::model::{self, Eyes, Schedule};
use crate::ops::read::{ReadRoom, ReadRooms};
use crate::ops::rooms::{CreateRoom, MoveRoom, Step};
use crate::store::room::RoomQuery;

const TITLE_MAX: usize = 200;
const THEME_MAX: usize = 60;
const BRAND_MAX: usize = 120;
const REASON_MAX: usize = 200;

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
        if let Some(room) = room {
            offered(room)?;
        }
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
                reason: reason(v, &asked.reason),
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
                reason: reason(v, &asked.reason),
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
        _request: Request<ListLiveNowRequest>,
    ) -> Answer<ListLiveNowResponse> {
        Err(not_offered("ListLiveNow", "soon").into())
    }

    async fn get_timeline(
        &self,
        _request: Request<GetTimelineRequest>,
    ) -> Answer<GetTimelineResponse> {
        Err(not_offered("GetTimeline", "soon").into())
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
        if SessionType::try_from(room.session_type).is_err() {
            v.enumeration::<SessionType>("session_type", room.session_type);
        }
        let hosts = ids(
            v,
            "host_ids",
            &room.host_ids,
            self.config.hosts_per_room_max,
        );
        let outlets = ids(
            v,
            "outlet_ids",
            &room.outlet_ids,
            self.config.outlets_per_room_max,
        );
        let brands = brands(v, &room.brand_rules, self.config.brand_rules_max);
        let window = v.window("schedule", &room.schedule);
        if window.start.is_some() && window.end.is_some() {
            self.schedule(v, window);
        }
        let drop_id = v.opt_id("drop_id", &room.drop_id);
        let schedule = Schedule {
            start: window.start,
            end: window.end,
        };
        CreateRoom {
            title,
            theme,
            drop_id,
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

fn reason(v: &mut Violations, text: &str) -> String {
    v.text("reason", text, 0..=REASON_MAX)
}

/// Ids that are named once each.
fn ids<I>(v: &mut Violations, field: &str, texts: &[String], most: usize) -> Vec<I>
where
    I: FromStr + Ord + Copy,
    I::Err: Display,
{
    if !v.items(field, texts, 1..=most) {
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let mut found = Vec::with_capacity(texts.len());
    for (at, text) in texts.iter().enumerate() {
        let field = format!("{field}[{at}]");
        let Some(id) = v.id::<I>(&field, text) else {
            continue;
        };
        if seen.insert(id) {
            found.push(id);
        } else {
            v.add(&field, "is named twice.");
        }
    }
    found
}

fn brands(v: &mut Violations, texts: &[String], most: usize) -> Vec<String> {
    if !v.items("brand_rules", texts, 0..=most) {
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    for (at, text) in texts.iter().enumerate() {
        let field = format!("brand_rules[{at}]");
        v.text(&field, text, 1..=BRAND_MAX);
        if !seen.insert(text) {
            v.add(&field, "is named twice.");
        }
    }
    texts.to_vec()
}

/// What the contract has and this server does not offer yet.
fn offered(room: &Room) -> Result<(), Refusal> {
    if !room.channel_id.is_empty() {
        return Err(not_offered("room.channel_id", "leave it empty"));
    }
    match room.session_type() {
        SessionType::Unspecified | SessionType::Shopping => Ok(()),
        SessionType::Course | SessionType::Tutorial | SessionType::Original => Err(not_offered(
            "room.session_type",
            "use SESSION_TYPE_SHOPPING",
        )),
    }
}
