//! ChannelService.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use contracts::id::{ChannelId, RoomId};
use contracts::room::v1::channel_service_server::ChannelService;
use contracts::room::v1::*;
use futures::StreamExt;
use futures::stream::BoxStream;
use kit::caller::Caller;
use kit::errors::{ErrorReason, Fault, Refusal};
use kit::validate::Violations;
use tonic::{Request, Status};

use super::{Answer, Api, Keys, after, etag, eyes, given, open, parse, render, request_id};
use crate::live::ChannelWatch;
use crate::model::{Eyes, Zone};
use crate::ops::channels::{
    ArchiveChannel, CreateChannel, ReadChannel, ReadChannels, Shown, UpdateChannel,
};
use crate::ops::handover::{HandOver, HandedOver};

const NAME_MAX: usize = 120;
const FIELDS: [&str; 4] = ["display_name", "time_zone", "outlet_ids", "auto_handover"];

#[tonic::async_trait]
impl ChannelService for Api {
    type WatchChannelStream = BoxStream<'static, Result<WatchChannelResponse, Status>>;

    async fn create_channel(
        &self,
        request: Request<CreateChannelRequest>,
    ) -> Answer<CreateChannelResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let operation = v.required("channel", &asked.channel).map(|channel| {
            let mut inside = v.nested("channel");
            CreateChannel {
                display_name: inside.text("display_name", &channel.display_name, 1..=NAME_MAX),
                time_zone: time_zone(&mut inside, &channel.time_zone),
                outlets: self.channel_outlets(&mut inside, channel),
                auto_handover: channel.auto_handover,
            }
        });
        v.finish()?;
        let keys = Keys {
            method: "vitrine.room.v1.ChannelService/CreateChannel",
            request_id,
            request: &asked,
        };
        let render = |channel: &_| CreateChannelResponse {
            channel: Some(render::channel(channel, &Eyes::Retailer, 0)),
        };
        Ok(self
            .mutate(&caller, keys, given(operation)?, render)
            .await?
            .into())
    }

    async fn update_channel(
        &self,
        request: Request<UpdateChannelRequest>,
    ) -> Answer<UpdateChannelResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let paths = parse::mask(&mut v, &asked.update_mask, &FIELDS);
        let operation = v
            .required("channel", &asked.channel)
            .and_then(|channel| self.change(&mut v.nested("channel"), channel, &paths));
        v.finish()?;
        let keys = Keys {
            method: "vitrine.room.v1.ChannelService/UpdateChannel",
            request_id,
            request: &asked,
        };
        let render = |channel: &_| UpdateChannelResponse {
            channel: Some(render::channel(channel, &Eyes::Retailer, 0)),
        };
        let mut answer = self
            .mutate(&caller, keys, given(operation)?, render)
            .await?;
        self.count_followers(&caller, &mut answer.channel).await?;
        Ok(answer.into())
    }

    async fn get_channel(&self, request: Request<GetChannelRequest>) -> Answer<GetChannelResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let channel_id = v.id::<ChannelId>("channel_id", &asked.channel_id);
        v.finish()?;
        let eyes = eyes(&caller)?;
        let shown = self.shown(&caller, given(channel_id)?, eyes).await?;
        let current = shown.current.map(|(room, mut counters)| {
            self.rooms.complete(&room, &mut counters);
            render::room(&room, &eyes, Some(counters))
        });
        Ok(GetChannelResponse {
            channel: Some(render::channel(&shown.channel, &eyes, shown.followers)),
            current_room: current,
            next: shown
                .next
                .as_ref()
                .map(|next| render::occurrence(next, &eyes)),
        }
        .into())
    }

    async fn list_channels(
        &self,
        request: Request<ListChannelsRequest>,
    ) -> Answer<ListChannelsResponse> {
        let (caller, asked) = open(request)?;
        let page = self.page(
            &caller,
            asked.page_size,
            &asked.page_token,
            &["ListChannels"],
        )?;
        let eyes = eyes(&caller)?;
        let read = ReadChannels {
            partner: match eyes {
                Eyes::Retailer => None,
                Eyes::Partner(partner) | Eyes::Viewer(partner) => Some(partner),
            },
            after: after(&page)?,
            limit: page.limit(),
        };
        let channels = self.read(&caller, read).await?;
        let (channels, next_page_token) =
            page.cut(channels, |(channel, _)| vec![channel.id.to_string()]);
        let channels = channels
            .iter()
            .map(|(channel, followers)| render::channel(channel, &eyes, *followers));
        Ok(ListChannelsResponse {
            channels: channels.collect(),
            next_page_token,
        }
        .into())
    }

    async fn archive_channel(
        &self,
        request: Request<ArchiveChannelRequest>,
    ) -> Answer<ArchiveChannelResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let channel_id = v.id::<ChannelId>("channel_id", &asked.channel_id);
        let etag = etag(&mut v, &asked.etag);
        v.finish()?;
        let operation = ArchiveChannel {
            channel_id: given(channel_id)?,
            etag,
            horizons: self.config.horizons(),
        };
        let keys = Keys {
            method: "vitrine.room.v1.ChannelService/ArchiveChannel",
            request_id,
            request: &asked,
        };
        let render = |channel: &_| ArchiveChannelResponse {
            channel: Some(render::channel(channel, &Eyes::Retailer, 0)),
        };
        let mut answer = self.mutate(&caller, keys, operation, render).await?;
        self.count_followers(&caller, &mut answer.channel).await?;
        Ok(answer.into())
    }

    async fn hand_over(&self, request: Request<HandOverRequest>) -> Answer<HandOverResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let request_id = request_id(&mut v, &asked.request_id);
        let channel_id = v.id::<ChannelId>("channel_id", &asked.channel_id);
        let current = v.opt_id::<RoomId>("current_room_id", &asked.current_room_id);
        let next = v.opt_id::<RoomId>("next_room_id", &asked.next_room_id);
        let reason = parse::reason(&mut v, &asked.reason);
        v.finish()?;
        let operation = HandOver {
            channel_id: given(channel_id)?,
            current,
            next,
            reason,
        };
        let keys = Keys {
            method: "vitrine.room.v1.ChannelService/HandOver",
            request_id,
            request: &asked,
        };
        let render = |done: &HandedOver| HandOverResponse {
            ended_room: done
                .ended
                .as_ref()
                .map(|room| render::room(room, &Eyes::Retailer, None)),
            live_room: Some(render::room(&done.live, &Eyes::Retailer, None)),
        };
        Ok(self.mutate(&caller, keys, operation, render).await?.into())
    }

    async fn watch_channel(
        &self,
        request: Request<WatchChannelRequest>,
    ) -> Answer<Self::WatchChannelStream> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let channel_id = v.id::<ChannelId>("channel_id", &asked.channel_id);
        v.finish()?;
        let channel_id = given(channel_id)?;
        let mut watch = Watch {
            api: self.clone(),
            eyes: eyes(&caller)?,
            channel_id,
            watch: self.channels.enter(channel_id)?,
            caller,
            told: None,
            wait: None,
        };
        // A channel that the caller may not know of is refused before the stream begins.
        let first = watch.read().await?;
        let frames = futures::stream::once(async { Ok(first) });
        let later = futures::stream::unfold(Some(watch), |watch| async {
            let mut watch = watch?;
            match watch.next().await {
                Ok(frame) => Some((Ok(frame), Some(watch))),
                Err(fault) => Some((Err(Status::from(fault)), None)),
            }
        });
        Ok(frames.chain(later).boxed().into())
    }
}

/// Somebody who watches a channel.
struct Watch {
    api: Api,
    caller: Arc<Caller>,
    eyes: Eyes,
    channel_id: ChannelId,
    watch: ChannelWatch,
    told: Option<WatchChannelResponse>,
    wait: Option<Duration>,
}

impl Watch {
    async fn read(&mut self) -> Result<WatchChannelResponse, Fault> {
        // What changes while it is read is told of afterwards.
        self.watch.mark_seen();
        let shown = self
            .api
            .shown(&self.caller, self.channel_id, self.eyes)
            .await?;
        // What comes next is another when it is over without having begun.
        let now = self.api.channels.around().clock.now();
        self.wait = shown
            .next
            .as_ref()
            .map(|next| next.span.end.since(now).max(Duration::from_secs(1)));
        let current = shown
            .current
            .as_ref()
            .map(|(room, _)| render::room(room, &self.eyes, None));
        let frame = WatchChannelResponse {
            channel: Some(render::channel(&shown.channel, &self.eyes, shown.followers)),
            current_room: current,
            next: shown
                .next
                .as_ref()
                .map(|next| render::occurrence(next, &self.eyes)),
        };
        self.told = Some(frame.clone());
        Ok(frame)
    }

    async fn next(&mut self) -> Result<WatchChannelResponse, Fault> {
        loop {
            if !self.watch.changed(self.wait).await {
                let message = "The server is going away; watch the channel again.";
                let refusal = Refusal::new(ErrorReason::Draining, message);
                return Err(refusal.retry_after(Duration::from_millis(100)).into());
            }
            let before = self.told.take();
            let frame = self.read().await?;
            if before.as_ref() != Some(&frame) {
                return Ok(frame);
            }
        }
    }
}

impl Api {
    async fn shown(
        &self,
        caller: &Caller,
        channel_id: ChannelId,
        eyes: Eyes,
    ) -> Result<Shown, Fault> {
        let read = ReadChannel {
            channel_id,
            eyes,
            horizons: self.config.horizons(),
        };
        self.read(caller, read).await
    }

    /// Totals come when it is answered, so that a retry does not tell old ones.
    async fn count_followers(
        &self,
        caller: &Caller,
        channel: &mut Option<Channel>,
    ) -> Result<(), Fault> {
        if let Some(channel) = channel {
            let channel_id = given(channel.channel_id.parse().ok())?;
            channel.follower_count = self
                .shown(caller, channel_id, Eyes::Retailer)
                .await?
                .followers;
        }
        Ok(())
    }

    fn channel_outlets(
        &self,
        v: &mut Violations,
        channel: &Channel,
    ) -> Vec<contracts::id::OutletId> {
        parse::ids(
            v,
            "outlet_ids",
            &channel.outlet_ids,
            1,
            self.config.outlets_per_channel_max,
        )
    }

    fn change(
        &self,
        v: &mut Violations,
        channel: &Channel,
        paths: &BTreeSet<&str>,
    ) -> Option<UpdateChannel> {
        let has = |path| paths.contains(path);
        let channel_id = v.id::<ChannelId>("channel_id", &channel.channel_id);
        let display_name = has("display_name")
            .then(|| v.text("display_name", &channel.display_name, 1..=NAME_MAX));
        let time_zone = has("time_zone").then(|| time_zone(v, &channel.time_zone));
        let outlets = has("outlet_ids").then(|| self.channel_outlets(v, channel));
        let etag = etag(v, &channel.etag);
        Some(UpdateChannel {
            channel_id: channel_id?,
            display_name,
            time_zone,
            outlets,
            auto_handover: has("auto_handover").then_some(channel.auto_handover),
            etag,
            horizons: self.config.horizons(),
        })
    }
}

fn time_zone(v: &mut Violations, text: &str) -> String {
    let name = v.text("time_zone", text, 1..=64);
    if !name.is_empty() && Zone::named(&name).is_none() {
        v.add(
            "time_zone",
            "must be an IANA name such as Europe/Paris or UTC.",
        );
    }
    name
}
