//! The channel as its partners' apps hear it: what is on air, what was shown at which price, who follows.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contracts::room::v1 as pb;
use tokio_util::sync::CancellationToken;

use super::audience::Audience;
use super::client::Caller;
use super::plan::{Kind, RoomPlan};
use super::shopper::Surprises;
use super::warehouse::lock;
use super::world::{World, ask};

/// What one app heard of the channel.
#[derive(Default, Debug)]
pub struct Heard {
    /// Rooms that were on air, in order.
    pub rooms: Vec<String>,
    /// Whether nothing was on air between two of them.
    pub silence: bool,
    quiet: bool,
}

impl Heard {
    fn note(&mut self, current: Option<pb::Room>) {
        let Some(room) = current else {
            self.quiet = !self.rooms.is_empty();
            return;
        };
        self.silence |= self.quiet;
        if self.rooms.last() != Some(&room.room_id) {
            self.rooms.push(room.room_id);
        }
    }
}

/// Listens to the channel until the token is cancelled; a broken stream is begun anew.
pub fn tune_in(caller: Caller, channel_id: String, over: CancellationToken) -> Arc<Mutex<Heard>> {
    let heard = Arc::new(Mutex::new(Heard::default()));
    let book = heard.clone();
    kit::spawn("demo channel", async move {
        while !over.is_cancelled() {
            let request = pb::WatchChannelRequest {
                channel_id: channel_id.clone(),
            };
            if let Ok(stream) = caller.channels().watch_channel(request).await {
                let mut stream = stream.into_inner();
                loop {
                    let frame = tokio::select! {
                        frame = stream.message() => frame,
                        () = over.cancelled() => return,
                    };
                    let Ok(Some(frame)) = frame else { break };
                    lock(&book).note(frame.current_room);
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    heard
}

/// Ends what is on air and begins the next; gives the room that is on air now.
pub async fn hand_over(world: &World, n: usize) -> anyhow::Result<String> {
    let current_room_id = match n {
        0 => String::new(),
        _ => world.rooms[n - 1].room_id.clone(),
    };
    let request = pb::HandOverRequest {
        request_id: format!("{}-hand-over-{n}", world.run),
        channel_id: world.channel_id.clone(),
        current_room_id,
        next_room_id: String::new(),
        reason: "the next programme begins".into(),
    };
    let answer = ask!(
        "the channel was not handed over",
        world.host,
        channels.hand_over(request)
    )?;
    Ok(answer.live_room.unwrap_or_default().room_id)
}

/// Every platform finds the room among those that are live, by theme and by what its viewer follows.
pub async fn found_live(
    world: &World,
    audience: &Audience,
    plan: &RoomPlan,
    n: usize,
    surprises: &Surprises,
) -> anyhow::Result<()> {
    let wanted = &world.rooms[n].room_id;
    for (partner, platform) in world.partners.iter().enumerate() {
        let by_theme = pb::ListLiveNowRequest {
            theme: plan.theme.into(),
            channel_id: world.channel_id.clone(),
            ..Default::default()
        };
        let by_follow = pb::ListLiveNowRequest {
            outlet_id: platform.outlet_id.clone(),
            shopper_ref: audience.viewer_ref(partner, 0),
            ..Default::default()
        };
        for request in [by_theme, by_follow] {
            let rooms = ask!(
                "what is live could not be read",
                platform.caller,
                rooms.list_live_now(request)
            )?
            .rooms;
            let found: Vec<&str> = rooms.iter().map(|r| r.room_id.as_str()).collect();
            if found != [wanted] {
                surprises.note(format!(
                    "{} should find {} live, but found {found:?}",
                    platform.partner_id, plan.title
                ));
            }
        }
    }
    Ok(())
}

/// After the end every platform reads what was shown, at its own prices and at nobody else's.
pub async fn timeline(
    world: &World,
    plan: &RoomPlan,
    n: usize,
    explained: u64,
    surprises: &Surprises,
) -> anyhow::Result<u64> {
    let mut read = 0;
    for platform in &world.partners {
        let own: BTreeSet<&str> = platform
            .listings
            .iter()
            .map(|l| l.listing_id.as_str())
            .collect();
        let segments = segments(&platform.caller, &world.rooms[n].room_id).await?;
        let products: BTreeSet<&str> = segments.iter().map(|s| s.product_id.as_str()).collect();
        let wanted = plan
            .products
            .len()
            .min(usize::try_from(explained).unwrap_or(usize::MAX));
        let ordered = segments
            .iter()
            .all(|s| s.end_time.is_some() && s.media_start_ms <= s.media_end_ms);
        let sells = plan.kind != Kind::Course;
        let priced = segments.iter().all(|s| {
            s.shown_prices.is_empty() != sells
                && s.shown_prices
                    .iter()
                    .all(|p| own.contains(p.listing_id.as_str()))
        });
        if products.len() != wanted || !ordered || !priced {
            surprises.note(format!(
                "{}: the timeline of {} has {} of {wanted} products, ordered {ordered}, priced {priced}",
                platform.partner_id,
                plan.title,
                products.len()
            ));
        }
        read += segments.len() as u64;
    }
    Ok(read)
}

/// All segments of a room's timeline, as one caller may see them.
pub async fn segments(caller: &Caller, room_id: &str) -> anyhow::Result<Vec<pb::TimelineSegment>> {
    let mut segments = Vec::new();
    let mut page_token = String::new();
    for _ in 0..100 {
        let request = pb::GetTimelineRequest {
            room_id: room_id.to_owned(),
            page_size: 200,
            page_token,
        };
        let page = ask!(
            "a timeline could not be read",
            caller,
            rooms.get_timeline(request)
        )?;
        segments.extend(page.segments);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(segments)
}
