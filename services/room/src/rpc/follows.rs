//! FollowService.

use contracts::common::v1::Audience;
use contracts::id::{ChannelId, CreatorId};
use contracts::room::v1::follow_service_server::FollowService;
use contracts::room::v1::*;
use kit::caller::Caller;
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;
use prost::Message;
use tonic::Request;

use super::{Answer, Api, Keys, eyes, given, no_viewer, open, parse, render, request_id};
use crate::model::{Shopper, Target};
use crate::ops::follows::{ChangeFollow, ReadFollows};

/// What beginning and ceasing to follow are asked with.
struct Ask<'a, Q> {
    method: &'static str,
    asked: &'a Q,
    request_id: &'a str,
    shopper_ref: &'a str,
    follow: bool,
}

/// One of the four ways to change what a shopper follows.
macro_rules! change {
    ($self:ident, $request:ident, $method:literal, $response:ident, $kind:ident, $id:ty, $field:ident, $follow:literal) => {{
        let (caller, asked) = open($request)?;
        let ask = Ask {
            method: concat!("vitrine.room.v1.FollowService/", $method),
            asked: &asked,
            request_id: &asked.request_id,
            shopper_ref: &asked.shopper_ref,
            follow: $follow,
        };
        let target = |v: &mut Violations| {
            v.id::<$id>(stringify!($field), &asked.$field)
                .map(Target::$kind)
        };
        let render = |followers: &i64| $response {
            follower_count: *followers,
        };
        Ok($self
            .change_follow(&caller, ask, target, render)
            .await?
            .into())
    }};
}

#[tonic::async_trait]
impl FollowService for Api {
    async fn follow_channel(
        &self,
        request: Request<FollowChannelRequest>,
    ) -> Answer<FollowChannelResponse> {
        change!(
            self,
            request,
            "FollowChannel",
            FollowChannelResponse,
            Channel,
            ChannelId,
            channel_id,
            true
        )
    }

    async fn unfollow_channel(
        &self,
        request: Request<UnfollowChannelRequest>,
    ) -> Answer<UnfollowChannelResponse> {
        change!(
            self,
            request,
            "UnfollowChannel",
            UnfollowChannelResponse,
            Channel,
            ChannelId,
            channel_id,
            false
        )
    }

    async fn follow_creator(
        &self,
        request: Request<FollowCreatorRequest>,
    ) -> Answer<FollowCreatorResponse> {
        change!(
            self,
            request,
            "FollowCreator",
            FollowCreatorResponse,
            Creator,
            CreatorId,
            creator_id,
            true
        )
    }

    async fn unfollow_creator(
        &self,
        request: Request<UnfollowCreatorRequest>,
    ) -> Answer<UnfollowCreatorResponse> {
        change!(
            self,
            request,
            "UnfollowCreator",
            UnfollowCreatorResponse,
            Creator,
            CreatorId,
            creator_id,
            false
        )
    }

    async fn list_follows(
        &self,
        request: Request<ListFollowsRequest>,
    ) -> Answer<ListFollowsResponse> {
        let (caller, asked) = open(request)?;
        let mut v = Violations::new();
        let shopper = shopper(&mut v, &caller, &asked.shopper_ref)?;
        v.finish()?;
        let query = ["ListFollows", &shopper.shopper_ref];
        let page = self.page(&caller, asked.page_size, &asked.page_token, &query)?;
        let before = match page.after_key(2)? {
            Some([time, key]) => (Micros(time.parse().unwrap_or(i64::MIN)), key.clone()),
            _ => (Micros(i64::MAX), String::new()),
        };
        let read = ReadFollows {
            shopper,
            before,
            limit: page.limit(),
        };
        let follows = self.read(&caller, read).await?;
        let (follows, next_page_token) = page.cut(follows, |follow| {
            vec![follow.time.0.to_string(), follow.target.key().to_owned()]
        });
        Ok(ListFollowsResponse {
            follows: follows.iter().map(render::follow).collect(),
            next_page_token,
        }
        .into())
    }
}

/// The shopper that a call is for: a partner names one of its own, a viewer is one.
pub(super) fn shopper(
    v: &mut Violations,
    caller: &Caller,
    named: &str,
) -> Result<Shopper, Refusal> {
    let partner_id = caller.partner()?;
    let shopper_ref = match caller.audience {
        Audience::Viewer => {
            let own = caller.shopper_ref.clone().ok_or_else(no_viewer)?;
            if !named.is_empty() && named != own {
                v.add("shopper_ref", "must be left empty by viewers.");
            }
            own
        }
        _ => parse::shopper_ref(v, named),
    };
    Ok(Shopper {
        partner_id,
        shopper_ref,
    })
}

impl Api {
    async fn change_follow<Q, R>(
        &self,
        caller: &Caller,
        ask: Ask<'_, Q>,
        target: impl FnOnce(&mut Violations) -> Option<Target>,
        render: impl Fn(&i64) -> R + Send + Sync + 'static,
    ) -> Result<R, Fault>
    where
        Q: Message,
        R: Message + Default + 'static,
    {
        let mut v = Violations::new();
        let request_id = request_id(&mut v, ask.request_id);
        let target = target(&mut v);
        let shopper = shopper(&mut v, caller, ask.shopper_ref)?;
        v.finish()?;
        let operation = ChangeFollow {
            shopper,
            target: given(target)?,
            follow: ask.follow,
            eyes: eyes(caller)?,
            follows_max: i64::from(self.config.follows_per_shopper_max),
        };
        let keys = Keys {
            method: ask.method,
            request_id,
            request: ask.asked,
        };
        self.mutate(caller, keys, operation, render).await
    }
}
