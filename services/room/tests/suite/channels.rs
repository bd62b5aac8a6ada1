//! Channels: their life, who sees them, and one room after the other.

use std::time::Duration;

use contracts::ErrorReason;
use contracts::room::v1::room_event::Content;
use contracts::room::v1::*;
use testkit::{TestDb, on_both_engines};

use crate::catalog::outlet_id;
use crate::common::{Server, Watch, Went, brisk, call, fields, key, reason, refusal, setup, until};
use crate::stage::{MINUTE, at, mask, unknown_channel, whole_minute};

/// Where a watcher was sent when its room ended.
fn sent_to(watch: &Watch) -> String {
    let last = watch.ledger().pop();
    match last {
        Some(Content::StateChanged(changed)) if changed.state() == RoomState::Ended => {
            changed.next_room_id
        }
        other => panic!("not the end: {other:?}"),
    }
}

on_both_engines! {
    setup: setup();

    async fn a_channel_lives_and_is_seen_where_it_is_shown(t: TestDb) {
        let server = Server::start(&t).await;
        let ops = server.ops();
        let draft = server.channel_draft(&[11, 21], false);
        let request = CreateChannelRequest { request_id: key(), channel: Some(draft.clone()) };
        let made = call!(ops.channels.create_channel(request.clone())).expect("a channel");
        assert_eq!(call!(ops.channels.create_channel(request.clone())).expect("the same"), made);
        let other = Channel { display_name: "Other".into(), ..draft.clone() };
        let reused = CreateChannelRequest { channel: Some(other), ..request };
        assert_eq!(reason(call!(ops.channels.create_channel(reused))), ErrorReason::KeyReused);
        let channel = made.channel.expect("the channel");
        assert_eq!((channel.state(), channel.outlet_ids.len()), (ChannelState::Active, 2));
        for (partner, outlet) in [(1, 11), (2, 21)] {
            let seen = server.shown(&server.partner(partner), &channel.channel_id).await.expect("it").channel.expect("it");
            assert_eq!(seen.outlet_ids, [outlet_id(outlet).to_string()], "its own only");
        }
        let hidden = server.channel(&[21], false).await;
        for id in [&hidden, &unknown_channel()] {
            let answer = server.shown(&server.partner(1), id).await;
            assert_eq!(reason(answer), ErrorReason::NotFound);
        }
        let list = |hand: crate::common::Hand| async move {
            call!(hand.channels.list_channels(ListChannelsRequest::default())).expect("a list").channels.len()
        };
        assert_eq!((list(server.ops()).await, list(server.partner(1)).await, list(server.partner(2)).await), (2, 1, 2));
        let change = UpdateChannelRequest {
            request_id: key(),
            channel: Some(Channel { display_name: "Maison 24".into(), outlet_ids: vec![outlet_id(12).into()], ..channel.clone() }),
            update_mask: mask(&["display_name", "outlet_ids"]),
        };
        let changed = call!(ops.channels.update_channel(change)).expect("changed").channel.expect("it");
        assert_eq!((changed.display_name.as_str(), &changed.outlet_ids), ("Maison 24", &vec![outlet_id(12).to_string()]));
        assert_eq!(reason(server.shown(&server.partner(2), &channel.channel_id).await), ErrorReason::NotFound);
        let late = UpdateChannelRequest { request_id: key(), channel: Some(channel.clone()), update_mask: mask(&["auto_handover"]) };
        assert_eq!(reason(call!(ops.channels.update_channel(late))), ErrorReason::EtagMismatch);
        let archive = ArchiveChannelRequest { request_id: key(), channel_id: channel.channel_id.clone(), etag: String::new() };
        let over = call!(ops.channels.archive_channel(archive)).expect("archived").channel.expect("it");
        assert_eq!(over.state(), ChannelState::Archived);
        let again = ArchiveChannelRequest { request_id: key(), channel_id: channel.channel_id.clone(), etag: String::new() };
        assert_eq!(reason(call!(ops.channels.archive_channel(again))), ErrorReason::WrongState);
        assert_eq!(reason(server.hand_over(&channel.channel_id).await), ErrorReason::WrongState);
        server.stop().await;
    }

    async fn what_is_wrong_with_a_channel_is_named(t: TestDb) {
        let server = Server::start(&t).await;
        let good = server.channel_draft(&[11], false);
        let cases = [
            ("channel.display_name", Channel { display_name: String::new(), ..good.clone() }),
            ("channel.time_zone", Channel { time_zone: "Paris".into(), ..good.clone() }),
            ("channel.time_zone", Channel { time_zone: String::new(), ..good.clone() }),
            ("channel.outlet_ids", Channel { outlet_ids: vec![], ..good.clone() }),
            ("channel.outlet_ids[1]", Channel { outlet_ids: vec![outlet_id(11).into(); 2], ..good.clone() }),
        ];
        for (field, channel) in cases {
            assert_eq!(fields(server.create_channel(channel).await), [field]);
        }
        let unknown = Channel { outlet_ids: vec![outlet_id(99).into()], ..good };
        assert_eq!(reason(server.create_channel(unknown).await), ErrorReason::NotFound);
        let ops = server.ops();
        let nothing = UpdateChannelRequest { request_id: key(), channel: Some(Channel { channel_id: unknown_channel(), ..Channel::default() }), update_mask: None };
        assert_eq!(fields(call!(ops.channels.update_channel(nothing))), ["update_mask"]);
        let odd = UpdateChannelRequest { request_id: key(), channel: Some(Channel { channel_id: unknown_channel(), ..Channel::default() }), update_mask: mask(&["state"]) };
        assert_eq!(fields(call!(ops.channels.update_channel(odd))), ["update_mask"]);
        assert_eq!(fields(call!(ops.channels.hand_over(HandOverRequest::default()))), ["request_id", "channel_id"]);
        assert_eq!(reason(server.hand_over(&unknown_channel()).await), ErrorReason::NotFound);
        server.stop().await;
    }

    async fn every_watcher_is_told_where_the_channel_goes_on(t: TestDb) {
        let server = Server::start(&t).await;
        let now = whole_minute(&t.clock);
        let channel = server.channel(&[11, 12, 21], false).await;
        let host = server.host(true).await;
        // The next room is not shown on outlet 12.
        let first = server.slot_draft(&channel, &host, now, 10, 60);
        server.plan(first).await.expect("a slot");
        let second = ProgrammeSlot {
            outlet_ids: vec![outlet_id(11).into(), outlet_id(21).into()],
            ..server.slot_draft(&channel, &host, now, 70, 60)
        };
        server.plan(second).await.expect("a slot");
        assert_eq!(reason(server.end(&crate::common::unknown_room()).await), ErrorReason::NotFound);
        let live = server.hand_over(&channel).await.expect("on air");
        assert_eq!(live.ended_room, None);
        let room = live.live_room.expect("a room").room_id;
        let mut watches = Vec::new();
        for (outlet, shopper) in [(11, "a"), (11, "b"), (12, "c"), (21, "d")] {
            let viewer = server.viewer(&room, outlet, shopper).await;
            watches.push(Watch::begin(&viewer, &room, None, "").await.expect("a watch"));
        }
        let partner = server.partner(1);
        watches.push(Watch::begin(&partner, &room, Some(11), "").await.expect("a watch"));
        watches.push(Watch::begin(&server.ops(), &room, None, "").await.expect("a watch"));
        let done = server.hand_over(&channel).await.expect("handed over");
        let (ended, live) = (done.ended_room.expect("it"), done.live_room.expect("it"));
        assert_eq!((ended.room_id.as_str(), ended.state(), live.state()), (room.as_str(), RoomState::Ended, RoomState::Live));
        assert_eq!(ended.next_room_id, live.room_id);
        let mut told = Vec::new();
        for watch in &mut watches {
            assert!(matches!(watch.read_to_end().await, Went::Over));
            told.push(sent_to(watch));
        }
        let next = live.room_id.clone();
        assert_eq!(told, [next.clone(), next.clone(), String::new(), next.clone(), next.clone(), next.clone()], "where it is shown");
        // Who comes late finds it in the room.
        let late = Watch::begin(&partner, &room, Some(11), "").await.expect("a first frame");
        assert_eq!(late.snapshot().room.as_ref().expect("the room").next_room_id, next);
        // The shopper goes on with a token for the next room.
        let viewer = server.viewer(&next, 11, "a").await;
        let watch = Watch::begin(&viewer, &next, None, "").await.expect("a watch");
        assert_eq!(watch.snapshot().room.as_ref().expect("the room").state(), RoomState::Live);
        server.stop().await;
    }

    async fn a_channel_is_on_air_with_one_room(t: TestDb) {
        let server = Server::start(&t).await;
        let now = whole_minute(&t.clock);
        let channel = server.channel(&[11], false).await;
        let host = server.host(true).await;
        assert_eq!(refusal(server.hand_over(&channel).await).reason, ErrorReason::WrongState);
        for from in [10, 70, 130] {
            server.plan(server.slot_draft(&channel, &host, now, from, 60)).await.expect("a slot");
        }
        let rooms: Vec<String> = server.programme(&server.ops(), &channel, now, 0, 300).await.into_iter().map(|it| it.room_id).collect();
        server.go_live(&rooms[0]).await.expect("on air");
        let refused = refusal(server.go_live(&rooms[1]).await);
        assert_eq!((refused.reason, refused.metadata["room_id"].as_str()), (ErrorReason::WrongState, rooms[0].as_str()));
        // Two press at once, naming what they saw: one of them hands over.
        let ops = server.ops();
        let press = || HandOverRequest { request_id: key(), channel_id: channel.clone(), current_room_id: rooms[0].clone(), ..HandOverRequest::default() };
        let (one, two) = tokio::join!(async { call!(ops.channels.hand_over(press())) }, async { call!(ops.channels.hand_over(press())) });
        let (won, lost) = if one.is_ok() { (one, two) } else { (two, one) };
        assert_eq!(won.expect("one").live_room.expect("it").room_id, rooms[1]);
        assert_eq!(reason(lost), ErrorReason::WrongState);
        server.pause(&rooms[1]).await.expect("a break");
        assert_eq!(reason(server.go_live(&rooms[2]).await), ErrorReason::WrongState, "a break is on air too");
        let request = HandOverRequest { request_id: key(), channel_id: channel.clone(), next_room_id: rooms[0].clone(), ..HandOverRequest::default() };
        assert_eq!(reason(call!(ops.channels.hand_over(request))), ErrorReason::WrongState, "it is over");
        let foreign = server.live_room(&[11]).await;
        let request = HandOverRequest { request_id: key(), channel_id: channel.clone(), next_room_id: foreign, ..HandOverRequest::default() };
        assert_eq!(reason(call!(ops.channels.hand_over(request))), ErrorReason::NotFound, "of no channel");
        server.decide(&host, HostState::Rejected).await;
        assert_eq!(reason(server.hand_over(&channel).await), ErrorReason::HostNotApproved);
        let shown = server.shown(&ops, &channel).await.expect("it");
        assert_eq!(shown.current_room.expect("still").room_id, rooms[1], "nothing ended");
        let archive = ArchiveChannelRequest { request_id: key(), channel_id: channel.clone(), etag: String::new() };
        assert_eq!(reason(call!(ops.channels.archive_channel(archive))), ErrorReason::WrongState);
        server.stop().await;
    }

    async fn the_director_hands_over_in_time_and_nobody_sees_a_gap(t: TestDb) {
        let server = Server::start(&t).await;
        let now = whole_minute(&t.clock);
        let channel = server.channel(&[11], true).await;
        let host = server.host(true).await;
        let slot = ProgrammeSlot { recurrence_rule: "FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23".into(), ..server.slot_draft(&channel, &host, now, 1, 60) };
        server.plan(slot).await.expect("a slot");
        assert_eq!(server.shown(&server.ops(), &channel).await.expect("it").current_room, None, "not yet");
        let partner = server.partner(1);
        let request = WatchChannelRequest { channel_id: channel.clone() };
        let mut frames = call!(partner.channels.watch_channel(request)).expect("a watch");
        let first = frames.message().await.expect("a frame").expect("a frame");
        assert_eq!((first.current_room, first.next.expect("next").title.as_str()), (None, "At 1"));
        t.clock.advance(Duration::from_micros(u64::try_from(MINUTE).expect("positive")));
        let mut seen: Vec<String> = Vec::new();
        while seen.len() < 4 {
            let frame = tokio::time::timeout(crate::common::BOUND, frames.message()).await.expect("in time").expect("a frame").expect("a frame");
            let Some(room) = frame.current_room else {
                assert!(seen.is_empty(), "the channel is never without a room again");
                continue;
            };
            if seen.last() != Some(&room.room_id) {
                seen.push(room.room_id);
                t.clock.advance(Duration::from_secs(3_600));
            }
        }
        for pair in seen.windows(2) {
            assert_eq!(server.get_room(&pair[0]).await.next_room_id, pair[1]);
        }
        server.stop().await;
    }

    async fn a_restarted_director_loses_nothing_and_does_nothing_twice(t: TestDb) {
        let server = Server::start(&t).await;
        let now = whole_minute(&t.clock);
        let channel = server.channel(&[11], true).await;
        let host = server.host(true).await;
        for from in [1, 61, 121] {
            server.plan(server.slot_draft(&channel, &host, now, from, 60)).await.expect("a slot");
        }
        let rooms: Vec<String> = server.programme(&server.ops(), &channel, now, 0, 300).await.into_iter().map(|it| it.room_id).collect();
        let (db, catalog) = (server.db.clone(), server.catalog.clone());
        server.stop().await;
        // The first is missed and the second is due while nobody is there; then two processes come at once.
        t.clock.advance(Duration::from_secs(70 * 60));
        let one = Server::start_on(&t, db.clone(), brisk(), catalog.clone()).await;
        let two = Server::start_on(&t, db, brisk(), catalog).await;
        until("the second is on air", || async { one.get_room(&rooms[1]).await.state() == RoomState::Live }).await;
        let missed = one.get_room(&rooms[0]).await;
        assert_eq!((missed.state(), missed.live_time), (RoomState::Ended, None));
        t.clock.advance(Duration::from_secs(60 * 60));
        until("the third is on air", || async { two.get_room(&rooms[2]).await.state() == RoomState::Live }).await;
        // Nothing follows: it goes on for a while, and then it is over.
        t.clock.advance(Duration::from_secs(60 * 60));
        assert_eq!(two.shown(&two.ops(), &channel).await.expect("it").current_room.expect("overtime").room_id, rooms[2]);
        t.clock.advance(Duration::from_secs(16 * 60));
        until("overtime is over", || async { one.get_room(&rooms[2]).await.state() == RoomState::Ended }).await;
        let ops = one.ops();
        let feed = call!(ops.feed.list_room_feed(ListRoomFeedRequest { page_size: 1_000, ..Default::default() })).expect("the feed");
        let times = |room: &str, state: RoomState| {
            let is = |entry: &&RoomFeedEntry| matches!(&entry.content, Some(room_feed_entry::Content::Room(it)) if it.room_id == room && it.state() == state);
            feed.entries.iter().filter(is).count()
        };
        for room in &rooms[1..] {
            assert_eq!((times(room, RoomState::Live), times(room, RoomState::Ended)), (1, 1));
        }
        one.stop().await;
        two.stop().await;
    }

    async fn nobody_ever_reads_a_channel_between_two_rooms(t: TestDb) {
        const TIMES: i64 = 12;
        let server = Server::start(&t).await;
        let now = whole_minute(&t.clock);
        let channel = server.channel(&[11], false).await;
        let host = server.host(true).await;
        for n in 0..TIMES {
            server.plan(server.slot_draft(&channel, &host, now, 10 + n, 1)).await.expect("a slot");
        }
        server.hand_over(&channel).await.expect("on air");
        let over = std::sync::atomic::AtomicBool::new(false);
        let hand = server.partner(1);
        let read = || async {
            let mut rooms = std::collections::BTreeSet::new();
            while !over.load(std::sync::atomic::Ordering::SeqCst) {
                let shown = server.shown(&hand, &channel).await.expect("the channel");
                let room = shown.current_room.expect("always on air");
                assert_eq!(room.state(), RoomState::Live);
                let live = call!(hand.rooms.list_live_now(ListLiveNowRequest::default())).expect("rooms").rooms;
                assert_eq!(live.len(), 1, "one room, always");
                rooms.insert(room.room_id);
            }
            rooms.len()
        };
        let hand_over = async {
            for _ in 1..TIMES {
                server.hand_over(&channel).await.expect("handed over");
            }
            over.store(true, std::sync::atomic::Ordering::SeqCst);
        };
        let (one, two, ()) = tokio::join!(read(), read(), hand_over);
        assert!(one > 1 || two > 1, "somebody saw it go on");
        server.stop().await;
    }

    async fn an_archived_channel_carries_no_room_that_was_drafted_before(t: TestDb) {
        let server = Server::start(&t).await;
        let now = whole_minute(&t.clock);
        let ops = server.ops();
        let channel = server.channel(&[11], false).await;
        let host = server.host(true).await;
        let draft = Room { channel_id: channel.clone(), outlet_ids: vec![], ..server.draft(&host, &[]) };
        let room = call!(ops.rooms.create_room(CreateRoomRequest { request_id: key(), room: Some(draft) })).expect("a room").room.expect("it").room_id;
        let archive = ArchiveChannelRequest { request_id: key(), channel_id: channel.clone(), etag: String::new() };
        call!(ops.channels.archive_channel(archive)).expect("archived");
        let window = contracts::common::v1::Window { start_time: at(now, 10), end_time: at(now, 70) };
        let schedule = ScheduleRoomRequest { request_id: key(), room_id: room.clone(), schedule: Some(window), etag: String::new() };
        let refused = call!(ops.rooms.schedule_room(schedule)).expect_err("the channel is over");
        assert!(refused.message().contains("channel is ARCHIVED"), "{refused:?}");
        assert_eq!(reason::<()>(Err(refused)), ErrorReason::WrongState);
        let refused = server.go_live(&room).await.expect_err("the channel is over");
        assert!(refused.message().contains("channel is ARCHIVED"), "{refused:?}");
        assert_eq!(server.get_room(&room).await.state(), RoomState::Draft);
        server.end(&room).await.expect("what is left can be ended");
        server.stop().await;
    }

    async fn who_leaps_ahead_by_hand_is_not_brought_back(t: TestDb) {
        let server = Server::start(&t).await;
        let now = whole_minute(&t.clock);
        let channel = server.channel(&[11], true).await;
        let host = server.host(true).await;
        for from in [10, 70, 130, 190] {
            server.plan(server.slot_draft(&channel, &host, now, from, 60)).await.expect("a slot");
        }
        let rooms: Vec<String> = server.programme(&server.ops(), &channel, now, 0, 300).await.into_iter().map(|it| it.room_id).collect();
        // Another channel shows when the director has been round.
        let (witness, guest) = (server.channel(&[11], true).await, server.host(true).await);
        for (from, minutes) in [(75, 1), (76, 60)] {
            server.plan(server.slot_draft(&witness, &guest, now, from, minutes)).await.expect("a slot");
        }
        let turns: Vec<String> = server.programme(&server.ops(), &witness, now, 0, 300).await.into_iter().map(|it| it.room_id).collect();
        let minutes = |minutes: i64| t.clock.set(kit::clock::Micros(now.0 + minutes * MINUTE));
        let is = |room: String, state: RoomState| {
            let server = &server;
            async move { server.get_room(&room).await.state() == state }
        };
        minutes(10);
        until("the first is on air", || is(rooms[0].clone(), RoomState::Live)).await;
        let ops = server.ops();
        let request = HandOverRequest { request_id: key(), channel_id: channel.clone(), next_room_id: rooms[2].clone(), ..HandOverRequest::default() };
        call!(ops.channels.hand_over(request)).expect("leapt ahead");
        minutes(75);
        until("the director came", || is(turns[0].clone(), RoomState::Live)).await;
        minutes(76);
        until("the director came again", || is(turns[1].clone(), RoomState::Live)).await;
        assert_eq!(server.get_room(&rooms[2]).await.state(), RoomState::Live, "it goes on");
        assert_eq!(server.get_room(&rooms[1]).await.state(), RoomState::Scheduled);
        // What was leapt over is missed, and the programme goes on after what is on air.
        minutes(131);
        until("its time is over", || is(rooms[1].clone(), RoomState::Ended)).await;
        assert_eq!(server.get_room(&rooms[1]).await.live_time, None);
        minutes(190);
        until("the last is on air", || is(rooms[3].clone(), RoomState::Live)).await;
        assert_eq!(server.get_room(&rooms[2]).await.next_room_id, rooms[3]);
        server.stop().await;
    }
}
