//! What one partner may learn of another: nothing.

use contracts::ErrorReason;
use contracts::room::v1::*;
use testkit::{TestDb, on_both_engines};
use tonic::Status;

use crate::catalog::outlet_id;
use crate::common::{Hand, Server, Watch, ask, call, fields, reason, setup, unknown_room};

/// The whole answer, but for the id of the request.
fn bytes(status: &Status) -> (tonic::Code, String, Vec<u8>) {
    (
        status.code(),
        status.message().to_owned(),
        status.details().to_vec(),
    )
}

async fn get(hand: &Hand, room_id: &str) -> Result<Room, Status> {
    let request = GetRoomRequest {
        room_id: room_id.into(),
    };
    call!(hand.rooms.get_room(request)).map(|answer| answer.room.expect("the room"))
}

async fn list(hand: &Hand, state: RoomState) -> Vec<String> {
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListRoomsRequest {
            state: state.into(),
            page_size: 2,
            page_token,
        };
        let page = call!(hand.rooms.list_rooms(request)).expect("a page");
        found.extend(page.rooms.into_iter().map(|room| room.room_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return found;
        }
    }
}

async fn token(hand: &Hand, room_id: &str, outlet: u128, shopper: &str) -> Result<String, Status> {
    let request = CreateViewerTokenRequest {
        room_id: room_id.into(),
        outlet_id: outlet_id(outlet).into(),
        shopper_ref: shopper.into(),
    };
    call!(hand.audience.create_viewer_token(request)).map(|answer| answer.token)
}

/// Everything that a partner can ask about a room.
async fn all_answers(hand: &Hand, room_id: &str, outlet: u128) -> Vec<Status> {
    let items = ListItemsRequest {
        room_id: room_id.into(),
        ..Default::default()
    };
    let questions = ListQuestionsRequest {
        room_id: room_id.into(),
        ..Default::default()
    };
    vec![
        get(hand, room_id).await.map(drop).expect_err("GetRoom"),
        call!(hand.showcase.list_items(items))
            .map(drop)
            .expect_err("ListItems"),
        call!(hand.audience.list_questions(questions))
            .map(drop)
            .expect_err("ListQuestions"),
        token(hand, room_id, outlet, "s-1")
            .await
            .map(drop)
            .expect_err("CreateViewerToken"),
        Watch::begin(hand, room_id, Some(outlet), "")
            .await
            .map(drop)
            .expect_err("WatchRoom"),
    ]
}

on_both_engines! {
    setup: setup();

    async fn foreign_and_unknown_rooms_look_the_same(t: TestDb) {
        let server = Server::start(&t).await;
        let foreign = server.live_room(&[21]).await;
        let draft = server.room(&[11]).await;
        let first = server.partner(1);
        let unknown: Vec<_> = all_answers(&first, &unknown_room(), 11).await.iter().map(bytes).collect();
        for hidden in [foreign, draft] {
            let answers: Vec<_> = all_answers(&first, &hidden, 11).await.iter().map(bytes).collect();
            assert_eq!(answers, unknown);
        }
        assert!(unknown.iter().all(|(code, ..)| *code == tonic::Code::NotFound));
        server.stop().await;
    }

    async fn foreign_and_unknown_outlets_look_the_same(t: TestDb) {
        let server = Server::start(&t).await;
        let shared = server.live_room(&[11, 21]).await;
        let first = server.partner(1);
        let mut seen = Vec::new();
        // Another partner's in this room, one's own that is not in it, and one that nobody has.
        for outlet in [21, 12, 99] {
            let watch = Watch::begin(&first, &shared, Some(outlet), "").await.map(drop).expect_err("WatchRoom");
            let items = server.items(&shared, &first, Some(outlet)).await.expect_err("ListItems");
            let token = token(&first, &shared, outlet, "s-1").await.expect_err("CreateViewerToken");
            seen.push([bytes(&watch), bytes(&items), bytes(&token)]);
        }
        assert!(seen.iter().all(|answers| *answers == seen[0]));
        assert_eq!(seen[0][0].0, tonic::Code::NotFound);
        server.stop().await;
    }

    async fn partners_see_announced_rooms_of_their_own_with_their_own_outlets(t: TestDb) {
        let server = Server::start(&t).await;
        let shared = server.live_room(&[11, 21, 12]).await;
        let own = server.room(&[12]).await;
        let foreign = server.room(&[21]).await;
        let (first, second, ops) = (server.partner(1), server.partner(2), server.ops());
        assert_eq!(list(&first, RoomState::Unspecified).await, std::slice::from_ref(&shared), "drafts are not told of");
        for id in [&own, &foreign] {
            server.schedule(id).await.expect("scheduled");
        }
        assert_eq!(list(&first, RoomState::Unspecified).await, [shared.clone(), own.clone()]);
        assert_eq!(list(&first, RoomState::Live).await, std::slice::from_ref(&shared));
        assert_eq!(list(&second, RoomState::Scheduled).await, std::slice::from_ref(&foreign));
        assert_eq!(list(&ops, RoomState::Unspecified).await.len(), 3);
        let outlets = |ids: &[u128]| ids.iter().map(|id| outlet_id(*id).to_string()).collect::<Vec<_>>();
        assert_eq!(get(&first, &shared).await.expect("its own").outlet_ids, outlets(&[11, 12]));
        assert_eq!(get(&second, &shared).await.expect("its own").outlet_ids, outlets(&[21]));
        assert_eq!(get(&ops, &shared).await.expect("all").outlet_ids, outlets(&[11, 21, 12]));
        let watch = Watch::begin(&second, &shared, Some(21), "").await.expect("a watch");
        assert_eq!(watch.snapshot().room.as_ref().expect("the room").outlet_ids, outlets(&[21]));
        let unscheduled = server.room(&[11]).await;
        server.end(&unscheduled).await.expect("cancelled");
        assert_eq!(reason(get(&first, &unscheduled).await), ErrorReason::NotFound, "it was never announced");
        server.stop().await;
    }

    async fn a_page_token_belongs_to_its_list_and_its_caller(t: TestDb) {
        let server = Server::start(&t).await;
        for _ in 0..2 {
            server.live_room(&[11, 21]).await;
        }
        let (first, second) = (server.partner(1), server.partner(2));
        let request = ListRoomsRequest { page_size: 1, ..Default::default() };
        let token = call!(first.rooms.list_rooms(request)).expect("a page").next_page_token;
        let with = |state: RoomState| ListRoomsRequest { page_token: token.clone(), state: state.into(), page_size: 1 };
        assert!(call!(first.rooms.list_rooms(with(RoomState::Unspecified))).is_ok());
        assert_eq!(reason(call!(second.rooms.list_rooms(with(RoomState::Unspecified)))), ErrorReason::BadPageToken);
        assert_eq!(reason(call!(first.rooms.list_rooms(with(RoomState::Live)))), ErrorReason::BadPageToken);
        server.stop().await;
    }

    async fn a_viewer_stays_in_the_tokens_room_and_outlet(t: TestDb) {
        let server = Server::start(&t).await;
        let (room, other) = (server.live_room(&[11, 12]).await, server.live_room(&[11]).await);
        let viewer = server.viewer(&room, 11, "s-1").await;
        let unknown = Watch::begin(&viewer, &unknown_room(), None, "").await.map(drop).expect_err("unknown");
        let foreign = Watch::begin(&viewer, &other, None, "").await.map(drop).expect_err("another room");
        assert_eq!(bytes(&unknown), bytes(&foreign));
        let unknown = server.items(&unknown_room(), &viewer, None).await.expect_err("unknown");
        let foreign = server.items(&other, &viewer, None).await.expect_err("another room");
        assert_eq!(bytes(&unknown), bytes(&foreign));
        assert_eq!(reason(Watch::begin(&viewer, &room, Some(12), "").await.map(drop)), ErrorReason::NotFound);
        assert_eq!(reason(server.items(&room, &viewer, Some(12)).await), ErrorReason::NotFound);
        let watch = Watch::begin(&viewer, &room, Some(11), "").await.expect("the token's own outlet");
        assert_eq!(watch.snapshot().room.as_ref().expect("the room").room_id, room);
        ask(&viewer, "Here?").await.expect("asked in the token's room");
        assert_eq!(server.counters(&other).await.questions, 0);
        server.stop().await;
    }

    async fn a_viewers_token_needs_a_shopper_and_is_for_partners_to_give(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11]).await;
        let first = server.partner(1);
        for shopper in ["", "a\tb", &"x".repeat(129), &"é".repeat(65)] {
            assert_eq!(fields(token(&first, &room, 11, shopper).await), ["shopper_ref"], "{shopper:?}");
        }
        assert!(token(&server.ops(), &room, 11, "s-1").await.is_err_and(|status| status.code() == tonic::Code::PermissionDenied));
        let longest = token(&first, &room, 11, &"x".repeat(128)).await.expect("a token");
        let viewer = server.bearer(&longest);
        Watch::begin(&viewer, &room, None, "").await.expect("a good token");
        server.stop().await;
    }
}
