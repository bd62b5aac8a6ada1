//! The life of rooms.

use contracts::ErrorReason;
use contracts::common::v1::Window;
use contracts::id::{DropId, HostId};
use contracts::room::v1::room_feed_entry::Content;
use contracts::room::v1::*;
use testkit::{TestDb, on_both_engines};

use crate::catalog::{outlet_id, partner_id};
use crate::common::{Server, call, fields, key, reason, refusal, setup, unknown_room};

async fn create(server: &Server, room: Room) -> Result<Room, tonic::Status> {
    let ops = server.ops();
    let request = CreateRoomRequest {
        request_id: key(),
        room: Some(room),
    };
    call!(ops.rooms.create_room(request)).map(|answer| answer.room.expect("the room"))
}

on_both_engines! {
    setup: setup();

    async fn a_room_lives_from_draft_to_end(t: TestDb) {
        let server = Server::start(&t).await;
        let host = server.host(true).await;
        let drop_id = DropId::from_uuid(5).to_string();
        let draft = Room {
            theme: "vintage".into(),
            brand_rules: vec!["Acme".into(), "Globex".into()],
            drop_id: drop_id.clone(),
            ..server.draft(&host, &[21, 11])
        };
        let room = create(&server, draft).await.expect("a room");
        assert_eq!(room.state(), RoomState::Draft);
        assert_eq!(room.outlet_ids, [outlet_id(21).to_string(), outlet_id(11).to_string()]);
        assert_eq!((room.brand_rules.len(), room.drop_id), (2, drop_id));
        assert_eq!((room.session_type, room.schedule), (SessionType::Shopping as i32, None));
        let id = room.room_id;
        assert_eq!(reason(server.go_live(&id).await), ErrorReason::WrongState);
        let scheduled = server.schedule(&id).await.expect("scheduled").room.expect("the room");
        assert_eq!((scheduled.state(), scheduled.schedule), (RoomState::Scheduled, server.hours(1, 3)));
        let live = server.go_live(&id).await.expect("live").room.expect("the room");
        assert_eq!(live.state(), RoomState::Live);
        assert!(live.live_time.is_some());
        assert_eq!(reason(server.schedule(&id).await), ErrorReason::WrongState);
        let paused = server.pause(&id).await.expect("paused").room.expect("the room");
        assert_eq!((paused.state(), paused.state_reason.as_str()), (RoomState::Paused, "Tea."));
        let again = refusal(server.pause(&id).await);
        assert_eq!((again.reason, again.preconditions[0].description.as_str()), (ErrorReason::WrongState, "PAUSED"));
        let resumed = server.resume(&id).await.expect("live").room.expect("the room");
        assert_eq!((resumed.state(), resumed.state_reason.as_str(), resumed.live_time), (RoomState::Live, "", live.live_time));
        let ended = server.end(&id).await.expect("ended").room.expect("the room");
        assert_eq!((ended.state(), ended.state_reason.as_str()), (RoomState::Ended, "Good night."));
        for refused in [server.end(&id).await.map(drop), server.resume(&id).await.map(drop), server.schedule(&id).await.map(drop)] {
            assert_eq!(reason(refused), ErrorReason::WrongState);
        }
        assert_eq!(server.get_room(&id).await.state(), RoomState::Ended);
        server.stop().await;
    }

    async fn nobody_goes_on_air_unapproved(t: TestDb) {
        let server = Server::start(&t).await;
        let (approved, pending) = (server.host(true).await, server.host(false).await);
        let draft = Room { host_ids: vec![approved.clone(), pending.clone()], ..server.draft(&approved, &[11]) };
        let id = create(&server, draft).await.expect("a room").room_id;
        server.schedule(&id).await.expect("scheduled");
        let refused = refusal(server.go_live(&id).await);
        assert_eq!((refused.reason, &refused.metadata["host_id"]), (ErrorReason::HostNotApproved, &pending));
        assert_eq!(server.get_room(&id).await.state(), RoomState::Scheduled);
        server.decide(&pending, HostState::Approved).await;
        server.go_live(&id).await.expect("all are approved");
        server.decide(&approved, HostState::Rejected).await;
        server.pause(&id).await.expect("paused");
        server.resume(&id).await.expect("a host on air stays until the end");
        server.stop().await;
    }

    async fn etags_and_keys_protect_a_room(t: TestDb) {
        let server = Server::start(&t).await;
        let ops = server.ops();
        let id = server.room(&[11]).await;
        let old = server.get_room(&id).await.etag;
        server.schedule(&id).await.expect("scheduled");
        let mut request = GoLiveRequest { request_id: key(), room_id: id.clone(), etag: old };
        assert_eq!(reason(call!(ops.rooms.go_live(request.clone()))), ErrorReason::EtagMismatch);
        request.etag = server.get_room(&id).await.etag;
        let first = call!(ops.rooms.go_live(request.clone())).expect("live");
        let again = call!(ops.rooms.go_live(request.clone())).expect("the same");
        assert_eq!(first, again);
        request.etag = String::new();
        assert_eq!(reason(call!(ops.rooms.go_live(request))), ErrorReason::KeyReused);
        server.stop().await;
    }

    async fn what_is_wrong_is_named(t: TestDb) {
        let server = Server::start(&t).await;
        let host = server.host(true).await;
        let good = server.draft(&host, &[11]);
        let cases: Vec<(&str, Room)> = vec![
            ("room.title", Room { title: String::new(), ..good.clone() }),
            ("room.title", Room { title: "x".repeat(201), ..good.clone() }),
            ("room.theme", Room { theme: "x".repeat(61), ..good.clone() }),
            ("room.session_type", Room { session_type: 42, ..good.clone() }),
            ("room.host_ids", Room { host_ids: vec![], ..good.clone() }),
            ("room.host_ids", Room { host_ids: (0..21).map(|n| HostId::from_uuid(n).into()).collect(), ..good.clone() }),
            ("room.host_ids[1]", Room { host_ids: vec![host.clone(), host.clone()], ..good.clone() }),
            ("room.outlet_ids", Room { outlet_ids: vec![], ..good.clone() }),
            ("room.outlet_ids[0]", Room { outlet_ids: vec![partner_id(1).into()], ..good.clone() }),
            ("room.brand_rules", Room { brand_rules: (0..51).map(|n| format!("b{n}")).collect(), ..good.clone() }),
            ("room.brand_rules[0]", Room { brand_rules: vec![String::new()], ..good.clone() }),
            ("room.schedule.end_time", Room { schedule: server.hours(3, 1), ..good.clone() }),
            ("room.schedule.end_time", Room { schedule: server.hours(1, 26), ..good.clone() }),
            ("room.drop_id", Room { drop_id: "drop".into(), ..good.clone() }),
            ("room.drop_id", Room {
                drop_id: contracts::id::DropId::from_uuid(1).into(),
                session_type: SessionType::Course.into(),
                ..good.clone()
            }),
            ("room.channel_id", Room { channel_id: "channel_1".into(), ..good.clone() }),
            ("room.venue", Room { venue: "studio-1".into(), ..good.clone() }),
        ];
        for (field, room) in cases {
            assert_eq!(fields(create(&server, room).await), [field]);
        }
        let unknown_host = Room { host_ids: vec![HostId::from_uuid(9).into()], ..good.clone() };
        let unknown_outlet = Room { outlet_ids: vec![outlet_id(99).into()], ..good.clone() };
        let unknown_channel = Room { channel_id: contracts::id::ChannelId::from_uuid(9).into(), ..good.clone() };
        for room in [unknown_host, unknown_outlet, unknown_channel] {
            assert_eq!(reason(create(&server, room).await), ErrorReason::NotFound);
        }
        assert_eq!(reason(server.end(&unknown_room()).await), ErrorReason::NotFound);
        let ops = server.ops();
        let id = server.room(&[11]).await;
        let open_ended = Some(Window { end_time: None, ..server.hours(1, 2).unwrap_or_default() });
        for (schedule, field) in [
            (None, "schedule"),
            (open_ended, "schedule.end_time"),
            (server.hours(1, 26), "schedule.end_time"),
            (server.hours(-2, -1), "schedule.end_time"),
        ] {
            let request = ScheduleRoomRequest { request_id: key(), room_id: id.clone(), schedule, etag: String::new() };
            assert_eq!(fields(call!(ops.rooms.schedule_room(request))), [field]);
        }
        let long = PauseRoomRequest { request_id: key(), room_id: id.clone(), reason: "x".repeat(201), etag: String::new() };
        assert_eq!(fields(call!(ops.rooms.pause_room(long))), ["reason"]);
        server.stop().await;
    }

    async fn the_feed_tells_of_everything_in_order(t: TestDb) {
        let server = Server::start(&t).await;
        let ops = server.ops();
        let id = server.live_room(&[11]).await;
        let item = server.add(&id, 1).await;
        server.explain(&item).await.expect("explained");
        let viewer = server.viewer(&id, 11, "s-1").await;
        crate::common::ask(&viewer, "Is it warm?").await.expect("asked");
        server.end(&id).await.expect("ended");
        let page = call!(ops.feed.list_room_feed(ListRoomFeedRequest::default())).expect("the feed");
        let words = page.entries.iter().map(|entry| match entry.content.as_ref().expect("content") {
            Content::Room(room) => room.state().as_str_name().replace("ROOM_STATE_", ""),
            Content::Host(host) => host.state().as_str_name().replace("HOST_STATE_", "host "),
            Content::Item(item) => format!("item {}", item.explaining),
            Content::ItemRemoved(_) => "removed".into(),
            Content::Question(question) => question.state().as_str_name().replace("QUESTION_STATE_", "question "),
            other => format!("{other:?}"),
        });
        let told = ["host PENDING", "host APPROVED", "DRAFT", "SCHEDULED", "LIVE", "item false", "item true", "question OPEN", "item false", "ENDED"];
        assert_eq!(words.collect::<Vec<_>>(), told);
        for (position, entry) in (1..).zip(&page.entries) {
            let meta = entry.meta.as_ref().expect("meta");
            assert_eq!((meta.position, meta.partner_id.as_str()), (position, ""));
        }
        let request = WatchRoomFeedRequest { cursor: page.entries[7].meta.as_ref().expect("meta").cursor.clone() };
        let mut stream = call!(ops.feed.watch_room_feed(request)).expect("a stream");
        let rest = stream.message().await.expect("a page").expect("a page");
        assert_eq!(rest.entries.len(), 2);
        assert_eq!(rest.entries[..], page.entries[8..]);
        server.stop().await;
        let status = stream.message().await.expect_err("the server went away");
        assert_eq!(status.code(), tonic::Code::Unavailable);
    }
}
