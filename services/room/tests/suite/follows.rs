//! Creators, shoppers who follow, and what is on air for them.

use contracts::ErrorReason;
use contracts::id::CreatorId;
use contracts::room::v1::*;
use testkit::{TestDb, on_both_engines};
use tonic::Status;

use crate::catalog::outlet_id;
use crate::common::{Hand, Server, brisk, call, fields, key, reason, setup};
use crate::stage::{unknown_channel, whole_minute};

async fn creator(server: &Server, name: &str) -> Creator {
    let ops = server.ops();
    let creator = Creator {
        display_name: name.into(),
        payee_reference: "ledger-7".into(),
        ..Creator::default()
    };
    let request = RegisterCreatorRequest {
        request_id: key(),
        creator: Some(creator),
    };
    let answer = call!(ops.creators.register_creator(request));
    answer.expect("a creator").creator.expect("the creator")
}

async fn follow(hand: &Hand, channel: &str, shopper: &str) -> Result<i64, Status> {
    let request = FollowChannelRequest {
        request_id: key(),
        channel_id: channel.into(),
        shopper_ref: shopper.into(),
    };
    call!(hand.follows.follow_channel(request)).map(|answer| answer.follower_count)
}

async fn unfollow(hand: &Hand, channel: &str, shopper: &str) -> Result<i64, Status> {
    let request = UnfollowChannelRequest {
        request_id: key(),
        channel_id: channel.into(),
        shopper_ref: shopper.into(),
    };
    call!(hand.follows.unfollow_channel(request)).map(|answer| answer.follower_count)
}

async fn follows(hand: &Hand, shopper: &str) -> Vec<Follow> {
    let request = ListFollowsRequest {
        shopper_ref: shopper.into(),
        ..ListFollowsRequest::default()
    };
    call!(hand.follows.list_follows(request))
        .expect("follows")
        .follows
}

async fn live_now(hand: &Hand, request: ListLiveNowRequest) -> Vec<String> {
    let rooms = call!(hand.rooms.list_live_now(request))
        .expect("rooms")
        .rooms;
    rooms.into_iter().map(|room| room.room_id).collect()
}

on_both_engines! {
    setup: setup();

    async fn creators_are_public_but_for_the_payee(t: TestDb) {
        let server = Server::start(&t).await;
        let ops = server.ops();
        let made = creator(&server, "Ana").await;
        let get = |hand: Hand| {
            let request = GetCreatorRequest { creator_id: made.creator_id.clone() };
            async move { call!(hand.creators.get_creator(request)).expect("it").creator.expect("it") }
        };
        assert_eq!(get(server.ops()).await.payee_reference, "ledger-7");
        let room = server.live_room(&[11]).await;
        for hand in [server.partner(1), server.partner(2), server.viewer(&room, 11, "s").await] {
            let seen = get(hand).await;
            assert_eq!((seen.display_name.as_str(), seen.payee_reference.as_str()), ("Ana", ""));
        }
        let unknown = GetCreatorRequest { creator_id: CreatorId::from_uuid(9).into() };
        assert_eq!(reason(call!(ops.creators.get_creator(unknown))), ErrorReason::NotFound);
        let all = call!(ops.creators.list_creators(ListCreatorsRequest::default())).expect("all").creators;
        assert_eq!(all, [made]);
        assert_eq!(fields(call!(ops.creators.register_creator(RegisterCreatorRequest::default()))), ["request_id", "creator"]);
        let nobody = RegisterCreatorRequest { request_id: key(), creator: Some(Creator::default()) };
        assert_eq!(fields(call!(ops.creators.register_creator(nobody))), ["creator.display_name"]);
        server.stop().await;
    }

    async fn shoppers_follow_and_everybody_is_counted_once(t: TestDb) {
        let server = Server::start(&t).await;
        let channel = server.channel(&[11, 21], false).await;
        let (one, two) = (server.partner(1), server.partner(2));
        assert_eq!(follow(&one, &channel, "s").await.expect("followed"), 1);
        assert_eq!(follow(&one, &channel, "s").await.expect("again"), 1, "again changes nothing");
        assert_eq!(follow(&two, &channel, "s").await.expect("followed"), 2, "another's shopper of the same name");
        let request = FollowChannelRequest { request_id: key(), channel_id: channel.clone(), shopper_ref: "t".into() };
        let first = call!(one.follows.follow_channel(request.clone())).expect("followed");
        assert_eq!(unfollow(&one, &channel, "t").await.expect("no more"), 2);
        assert_eq!(call!(one.follows.follow_channel(request.clone())).expect("the old answer"), first);
        assert!(follows(&one, "t").await.is_empty(), "a late retry follows nothing");
        let reused = FollowChannelRequest { shopper_ref: "u".into(), ..request };
        assert_eq!(reason(call!(one.follows.follow_channel(reused))), ErrorReason::KeyReused);
        // A viewer is one shopper of its partner.
        let room = server.live_room(&[11]).await;
        let viewer = server.viewer(&room, 11, "v").await;
        assert_eq!(follow(&viewer, &channel, "").await.expect("followed"), 3);
        assert_eq!(fields(follow(&viewer, &channel, "s").await), ["shopper_ref"]);
        assert_eq!(follows(&viewer, "").await.len(), 1);
        assert_eq!(follows(&one, "v").await.len(), 1, "the partner sees its shopper's");
        assert!(follows(&two, "v").await.is_empty(), "and nobody else's");
        for hand in [&one, &two, &viewer, &server.ops()] {
            let seen = server.shown(hand, &channel).await.expect("it").channel.expect("it");
            assert_eq!(seen.follower_count, 3, "the total is public");
        }
        let ana = creator(&server, "Ana").await.creator_id;
        let request = FollowCreatorRequest { request_id: key(), creator_id: ana.clone(), shopper_ref: "s".into() };
        assert_eq!(call!(one.follows.follow_creator(request)).expect("followed").follower_count, 1);
        let all = follows(&one, "s").await;
        let all: Vec<&str> = all.iter().map(|it| if it.channel_id.is_empty() { it.creator_id.as_str() } else { it.channel_id.as_str() }).collect();
        assert_eq!(all.len(), 2);
        assert!(all.contains(&ana.as_str()) && all.contains(&channel.as_str()));
        let request = UnfollowCreatorRequest { request_id: key(), creator_id: ana, shopper_ref: "s".into() };
        assert_eq!(call!(one.follows.unfollow_creator(request)).expect("no more").follower_count, 0);
        assert_eq!(fields(follow(&one, &channel, "").await), ["shopper_ref"]);
        let hidden = server.channel(&[21], false).await;
        for id in [hidden, unknown_channel()] {
            assert_eq!(reason(follow(&one, &id, "s").await), ErrorReason::NotFound);
        }
        let ops = server.ops();
        let feed = call!(ops.feed.list_room_feed(ListRoomFeedRequest { page_size: 1_000, ..Default::default() })).expect("the feed");
        let told = feed.entries.iter().filter(|entry| matches!(entry.content, Some(room_feed_entry::Content::Follow(_)))).count();
        assert_eq!(told, 7, "what changed nothing is not told");
        server.stop().await;
    }

    async fn many_follow_at_once_and_a_shopper_follows_so_much(t: TestDb) {
        let config = room::Config { follows_per_shopper_max: 2, ..brisk() };
        let server = Server::start_with(&t, config).await;
        let channel = server.channel(&[11], false).await;
        let one = server.partner(1);
        let names: Vec<String> = (0..20).map(|n| format!("s-{n}")).collect();
        let all = names.iter().map(|name| follow(&one, &channel, name));
        let mut counts: Vec<i64> = futures::future::join_all(all).await.into_iter().map(|count| count.expect("followed")).collect();
        counts.sort_unstable();
        assert_eq!(counts, (1..=20).collect::<Vec<_>>());
        let (second, third) = (server.channel(&[11], false).await, server.channel(&[11], false).await);
        follow(&one, &second, "s-1").await.expect("two");
        assert_eq!(reason(follow(&one, &third, "s-1").await), ErrorReason::LimitExceeded);
        assert_eq!(server.shown(&one, &third).await.expect("it").channel.expect("it").follower_count, 0);
        unfollow(&one, &second, "s-1").await.expect("one");
        follow(&one, &third, "s-1").await.expect("two again");
        server.stop().await;
    }

    async fn live_now_is_what_one_may_see_the_latest_first(t: TestDb) {
        let server = Server::start(&t).await;
        let now = whole_minute(&t.clock);
        let ops = server.ops();
        let ana = creator(&server, "Ana").await.creator_id;
        let host = Host { display_name: "Ana".into(), creator_id: ana.clone(), ..Host::default() };
        let host = call!(ops.hosts.register_host(RegisterHostRequest { request_id: key(), host: Some(host) })).expect("a host").host.expect("it");
        assert_eq!(host.creator_id, ana);
        server.decide(&host.host_id, HostState::Approved).await;
        let channel = server.channel(&[11, 21], false).await;
        let slot = ProgrammeSlot { theme: "vintage".into(), ..server.slot_draft(&channel, &host.host_id, now, 5, 60) };
        server.plan(slot).await.expect("a slot");
        let mut rooms = Vec::new();
        for outlets in [&[11, 12][..], &[21], &[12]] {
            t.clock.advance(std::time::Duration::from_secs(1));
            rooms.push(server.live_room(outlets).await);
        }
        t.clock.advance(std::time::Duration::from_secs(1));
        let on_channel = server.hand_over(&channel).await.expect("on air").live_room.expect("it").room_id;
        server.room(&[11]).await;
        let all = ListLiveNowRequest::default();
        let [both, other, twelve] = [&rooms[0], &rooms[1], &rooms[2]].map(String::clone);
        assert_eq!(live_now(&ops, all.clone()).await, [&on_channel, &twelve, &other, &both].map(String::clone));
        let (one, two) = (server.partner(1), server.partner(2));
        assert_eq!(live_now(&one, all.clone()).await, [&on_channel, &twelve, &both].map(String::clone));
        assert_eq!(live_now(&two, all.clone()).await, [&on_channel, &other].map(String::clone));
        let at = |outlet: u128| ListLiveNowRequest { outlet_id: outlet_id(outlet).into(), ..Default::default() };
        assert_eq!(live_now(&one, at(12)).await, [&twelve, &both].map(String::clone));
        for outlet in [21, 99] {
            assert_eq!(reason(call!(one.rooms.list_live_now(at(outlet)))), ErrorReason::NotFound);
        }
        let theme = ListLiveNowRequest { theme: "vintage".into(), ..Default::default() };
        let just_it = vec![on_channel.clone()];
        assert_eq!(live_now(&one, theme.clone()).await, just_it);
        assert_eq!(live_now(&one, ListLiveNowRequest { outlet_id: outlet_id(12).into(), ..theme.clone() }).await, [""; 0]);
        let of = ListLiveNowRequest { channel_id: channel.clone(), ..Default::default() };
        assert_eq!(live_now(&one, of.clone()).await, just_it);
        assert_eq!(live_now(&one, ListLiveNowRequest { theme: "shoes".into(), ..of }).await, [""; 0]);
        // What a shopper follows: a channel, or the creator behind a host.
        let followed = |shopper: &str| ListLiveNowRequest { shopper_ref: shopper.into(), ..Default::default() };
        assert_eq!(live_now(&one, followed("s")).await, [""; 0]);
        follow(&one, &channel, "s").await.expect("followed");
        let request = FollowCreatorRequest { request_id: key(), creator_id: ana, shopper_ref: "c".into() };
        call!(one.follows.follow_creator(request)).expect("followed");
        for shopper in ["s", "c"] {
            assert_eq!(live_now(&one, followed(shopper)).await, just_it, "{shopper}");
            assert_eq!(live_now(&two, followed(shopper)).await, [""; 0], "another's shopper");
        }
        assert_eq!(fields(call!(ops.rooms.list_live_now(followed("s")))), ["shopper_ref"]);
        // Pages neither skip nor repeat; a break is on air; what ends is gone.
        server.pause(&both).await.expect("a break");
        let (mut token, mut seen) = (String::new(), Vec::new());
        loop {
            let request = ListLiveNowRequest { page_size: 1, page_token: token, ..Default::default() };
            let page = call!(one.rooms.list_live_now(request)).expect("a page");
            seen.extend(page.rooms.into_iter().map(|room| room.room_id));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, [&on_channel, &twelve, &both].map(String::clone));
        server.end(&twelve).await.expect("over");
        server.end(&on_channel).await.expect("over");
        assert_eq!(live_now(&one, all).await, [both]);
        assert_eq!(live_now(&one, followed("c")).await, [""; 0]);
        server.stop().await;
    }
}
