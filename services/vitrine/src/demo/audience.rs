//! Viewers on all platforms, and the host who explains, pins and answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use contracts::room::v1 as pb;
use tokio_util::sync::CancellationToken;

use super::client::{Bearer, Caller, Connections, told};
use super::goods::PARTNERS;
use super::plan::RoomPlan;
use super::screen::{RoomTally, Tallies, count};
use super::world::{World, ask};

/// What one viewer saw.
#[derive(Default, Debug)]
pub struct Seen {
    pub explained: u64,
    pub ended: bool,
    pub answers: u64,
    pub likes: i64,
    /// Where the channel went on.
    pub next_room_id: String,
    /// Offers that were shown with the items.
    pub offers: u64,
}

/// The audience of one room.
pub struct Audience {
    pub world: Arc<World>,
    pub connections: Connections,
    pub room: usize,
    pub tallies: Arc<Tallies>,
    pub likes_sent: AtomicU64,
    /// Viewers who follow the channel since they came.
    pub followed: AtomicUsize,
}

impl Audience {
    fn tally(&self) -> &RoomTally {
        &self.tallies.rooms[self.room]
    }

    /// What a platform calls its nth viewer of this room.
    pub fn viewer_ref(&self, partner: usize, n: usize) -> String {
        format!(
            "{}-viewer-{}-{}-{n}",
            self.world.run, self.room, PARTNERS[partner].code
        )
    }

    /// Watches to the end, with likes and perhaps a question. Goes on from the cursor when the stream breaks.
    pub async fn watch(
        &self,
        partner: usize,
        n: usize,
        question: Option<&str>,
    ) -> anyhow::Result<Seen> {
        let room_id = self.world.rooms[self.room].room_id.clone();
        let shopper_ref = self.viewer_ref(partner, n);
        let platform = &self.world.partners[partner];
        let request = pb::CreateViewerTokenRequest {
            room_id: room_id.clone(),
            outlet_id: platform.outlet_id.clone(),
            shopper_ref: shopper_ref.clone(),
        };
        let token = ask!(
            "a viewer got no token",
            platform.caller,
            audience.create_viewer_token(request)
        )?
        .token;
        let viewer = self.connections.with(&Bearer::new(&token)?);
        self.tally().enter();
        let mut seen = Seen::default();
        let mut cursor = String::new();
        let mut acted = false;
        for _ in 0..20 {
            let request = pb::WatchRoomRequest {
                room_id: room_id.clone(),
                cursor: cursor.clone(),
                outlet_id: String::new(),
            };
            let mut stream = match viewer.audience().watch_room(request).await {
                Ok(stream) => stream.into_inner(),
                Err(status) if status.code() == tonic::Code::Unavailable => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
                Err(status) => return Err(told("a viewer could not watch", &status)),
            };
            while let Ok(Some(frame)) = stream.message().await {
                cursor = frame.cursor;
                if let Some(snapshot) = frame.snapshot {
                    let room = snapshot.room.unwrap_or_default();
                    seen.ended |= room.state() == pb::RoomState::Ended;
                    if !room.next_room_id.is_empty() {
                        seen.next_room_id = room.next_room_id;
                    }
                    seen.offers += snapshot
                        .items
                        .iter()
                        .map(|item| item.offers.len() as u64)
                        .sum::<u64>();
                    seen.explained += u64::from(snapshot.items.iter().any(|item| item.explaining));
                }
                for event in frame.events {
                    self.tally().events.fetch_add(1, Ordering::Relaxed);
                    seen.note(event);
                }
                if !acted {
                    acted = true;
                    self.act(&viewer, &shopper_ref, question).await?;
                    if n == 0 {
                        self.follow(&viewer, &shopper_ref).await?;
                    }
                }
                if seen.ended {
                    break;
                }
            }
            if seen.ended {
                break;
            }
        }
        self.tally().viewers.fetch_sub(1, Ordering::Relaxed);
        Ok(seen)
    }

    async fn act(&self, viewer: &Caller, who: &str, question: Option<&str>) -> anyhow::Result<()> {
        for nth in 0..3 {
            let request = pb::LikeRoomRequest {
                request_id: format!("{who}-like-{nth}"),
                count: 5,
            };
            ask!("a like failed", viewer, audience.like_room(request))?;
            self.likes_sent.fetch_add(5, Ordering::Relaxed);
            self.tally().likes.fetch_add(5, Ordering::Relaxed);
        }
        if let Some(text) = question {
            let request = pb::AskQuestionRequest {
                request_id: format!("{who}-question"),
                text: text.to_owned(),
                product_id: String::new(),
            };
            ask!("a question failed", viewer, audience.ask_question(request))?;
            count(&self.tally().questions);
        }
        Ok(())
    }

    async fn follow(&self, viewer: &Caller, who: &str) -> anyhow::Result<()> {
        let request = pb::FollowChannelRequest {
            request_id: format!("{who}-follow"),
            channel_id: self.world.channel_id.clone(),
            shopper_ref: String::new(),
        };
        ask!(
            "a channel could not be followed",
            viewer,
            follows.follow_channel(request)
        )?;
        self.followed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Explains the items in turn, pins the first, answers what is open, until the token is cancelled.
    pub async fn present(&self, plan: &RoomPlan, over: CancellationToken) -> anyhow::Result<u64> {
        let world = &self.world;
        let (host, room) = (&world.host, &world.rooms[self.room]);
        let key = |what: &str, n: u64| format!("{}-{what}-{}-{n}", world.run, self.room);
        let first = room.items.values().next().cloned().unwrap_or_default();
        let request = pb::PinItemRequest {
            request_id: key("pin", 0),
            showcase_item_id: first,
        };
        ask!("an item was not pinned", host, showcase.pin_item(request))?;
        let mut turn = 0_u64;
        let mut last = String::new();
        loop {
            let product = plan.products[turn as usize % plan.products.len()];
            if turn > 0 && plan.products.len() == 1 {
                self.stop_explaining(&last, turn).await?;
            }
            last = room.items.get(&product).cloned().unwrap_or_default();
            let request = pb::StartExplainingRequest {
                request_id: key("explain", turn),
                showcase_item_id: last.clone(),
            };
            ask!(
                "explaining did not begin",
                host,
                showcase.start_explaining(request)
            )?;
            self.answer_open(turn).await?;
            turn += 1;
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(800)) => {}
                () = over.cancelled() => break,
            }
        }
        self.answer_open(turn).await?;
        self.stop_explaining(&last, turn).await?;
        Ok(turn)
    }

    async fn stop_explaining(&self, item: &str, turn: u64) -> anyhow::Result<()> {
        let request = pb::StopExplainingRequest {
            request_id: format!("{}-stop-{}-{turn}", self.world.run, self.room),
            showcase_item_id: item.to_owned(),
        };
        ask!(
            "explaining did not end",
            self.world.host,
            showcase.stop_explaining(request)
        )?;
        Ok(())
    }

    async fn answer_open(&self, turn: u64) -> anyhow::Result<()> {
        let world = &self.world;
        let request = pb::ListQuestionsRequest {
            room_id: world.rooms[self.room].room_id.clone(),
            state: pb::QuestionState::Open.into(),
            ..Default::default()
        };
        let open = ask!(
            "open questions could not be read",
            world.host,
            audience.list_questions(request)
        )?;
        for (n, question) in open.questions.into_iter().enumerate() {
            let request = pb::AnswerQuestionRequest {
                request_id: format!("{}-answer-{}-{turn}-{n}", world.run, self.room),
                question_id: question.question_id,
                answer: "Yes, and I will show you in a moment.".into(),
            };
            ask!(
                "an answer failed",
                world.host,
                audience.answer_question(request)
            )?;
        }
        Ok(())
    }

    /// The room's totals when it is over; likes may take a second to be written.
    pub async fn totals(&self, wanted_likes: i64) -> anyhow::Result<pb::RoomCounters> {
        let mut counters = pb::RoomCounters::default();
        for _ in 0..50 {
            let request = pb::GetRoomRequest {
                room_id: self.world.rooms[self.room].room_id.clone(),
            };
            let room = ask!(
                "a room could not be read",
                self.world.ops,
                rooms.get_room(request)
            )?
            .room
            .unwrap_or_default();
            counters = room.counters.unwrap_or_default();
            if counters.likes >= wanted_likes {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(counters)
    }
}

impl Seen {
    fn note(&mut self, event: pb::RoomEvent) {
        use pb::room_event::Content;
        match event.content {
            Some(Content::StateChanged(changed)) => {
                self.ended |= changed.state() == pb::RoomState::Ended;
                if !changed.next_room_id.is_empty() {
                    self.next_room_id = changed.next_room_id;
                }
            }
            Some(Content::ItemChanged(item)) => {
                self.offers += item.offers.len() as u64;
                self.explained += u64::from(item.explaining);
            }
            Some(Content::QuestionAnswered(_)) => self.answers += 1,
            Some(Content::Counters(counters)) => self.likes = self.likes.max(counters.likes),
            _ => {}
        }
    }
}
