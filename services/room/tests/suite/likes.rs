//! Totals that are exact.

use contracts::ErrorReason;
use contracts::id::RoomId;
use contracts::room::v1::*;
use futures::future::join_all;
use kit::errors::Fault;
use room::Config;
use room::store::counter::{Delta, counters_by_rooms};
use store::{Operation, Tx};
use testkit::{TestDb, on_both_engines};

use crate::common::{Server, Watch, brisk, call, fields, key, like, reason, setup, until};

/// The likes and views that are in the database.
struct Stored(RoomId);

impl Operation for Stored {
    type Output = (i64, i64);

    fn name(&self) -> &'static str {
        "test.stored"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(i64, i64), Fault> {
        let counters = counters_by_rooms(tx, &[self.0]).await?[&self.0];
        Ok((counters.likes, counters.views))
    }
}

async fn stored(t: &TestDb, room: &str) -> (i64, i64) {
    t.read(Stored(room.parse().expect("an id")))
        .await
        .expect("counters")
}

on_both_engines! {
    setup: setup();

    async fn every_like_counts_once(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11, 21]).await;
        let mut viewers = Vec::new();
        for n in 0..8 {
            viewers.push(server.viewer(&room, if n % 2 == 0 { 11 } else { 21 }, &format!("s-{}", n / 2)).await);
        }
        let _watch = Watch::begin(&viewers[0], &room, None, "").await.expect("a watch");
        // Each of 320 likes is sent twice, at the same time; somebody reads the total all the while.
        let requests: Vec<LikeRoomRequest> = (0..40).map(|n| LikeRoomRequest { request_id: key(), count: n + 1 }).collect();
        let calls = viewers.iter().flat_map(|viewer| requests.iter().map(move |request| (viewer, request)));
        let sent = join_all(calls.flat_map(|(viewer, request)| {
            [0, 1].map(|_| async { call!(viewer.audience.like_room(request.clone())).expect("liked").likes })
        }));
        let read = async {
            let mut before = 0;
            for _ in 0..50 {
                let now = server.counters(&room).await.likes;
                assert!(now >= before, "a total never goes back: {now} after {before}");
                before = now;
            }
        };
        let (answers, ()) = tokio::join!(sent, read);
        let expected = 8 * (1..=40).sum::<i64>();
        assert_eq!(answers.iter().max(), Some(&expected));
        assert_eq!(server.counters(&room).await.likes, expected);
        until("it is written down", || async { stored(&t, &room).await.0 == expected }).await;
        assert_eq!(server.counters(&room).await.likes, expected);
        like(&viewers[0], 5).await.expect("liked");
        assert_eq!(server.counters(&room).await.likes, expected + 5);
        server.stop().await;
        assert_eq!(stored(&t, &room).await.0, expected + 5);
    }

    async fn a_key_counts_once_and_for_one_number(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11, 12]).await;
        let viewer = server.viewer(&room, 11, "s-1").await;
        let request = LikeRoomRequest { request_id: key(), count: 3 };
        for _ in 0..3 {
            assert_eq!(call!(viewer.audience.like_room(request.clone())).expect("liked").likes, 3);
        }
        let other = LikeRoomRequest { count: 4, ..request.clone() };
        assert_eq!(reason(call!(viewer.audience.like_room(other))), ErrorReason::KeyReused);
        let stranger = server.viewer(&room, 12, "s-1").await;
        assert_eq!(call!(stranger.audience.like_room(request.clone())).expect("liked").likes, 6, "another shopper's key");
        t.clock.advance(std::time::Duration::from_secs(60));
        let viewer = server.viewer(&room, 11, "s-1").await;
        assert_eq!(call!(viewer.audience.like_room(request)).expect("liked").likes, 9, "it was forgotten");
        for count in [0, -1, 101] {
            let request = LikeRoomRequest { request_id: key(), count };
            assert_eq!(fields(call!(viewer.audience.like_room(request))), ["count"]);
        }
        server.stop().await;
    }

    async fn only_a_room_on_air_is_liked(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.room(&[11]).await;
        server.schedule(&room).await.expect("scheduled");
        let viewer = server.viewer(&room, 11, "s-1").await;
        assert_eq!(reason(like(&viewer, 1).await), ErrorReason::WrongState);
        server.go_live(&room).await.expect("live");
        like(&viewer, 1).await.expect("liked");
        server.pause(&room).await.expect("paused");
        like(&viewer, 1).await.expect("liked");
        server.end(&room).await.expect("ended");
        assert_eq!(reason(like(&viewer, 1).await), ErrorReason::WrongState);
        assert_eq!(server.counters(&room).await.likes, 2);
        server.stop().await;
    }

    async fn the_last_moments_are_written_down_when_the_process_ends(t: TestDb) {
        // Nothing would be written down for an hour.
        let config = Config { flush_interval_ms: 3_600_000, ..brisk() };
        let server = Server::start_with(&t, config.clone()).await;
        let room = server.live_room(&[11]).await;
        let viewer = server.viewer(&room, 11, "s-1").await;
        let watch = Watch::begin(&viewer, &room, None, "").await.expect("a watch");
        like(&viewer, 41).await.expect("liked");
        like(&viewer, 1).await.expect("liked");
        assert_eq!((stored(&t, &room).await, server.counters(&room).await.likes), ((0, 0), 42));
        let catalog = server.catalog.clone();
        drop(watch);
        server.stop().await;
        assert_eq!(stored(&t, &room).await, (42, 1));
        assert!(like(&viewer, 1).await.is_err_and(|status| status.code() == tonic::Code::Unavailable), "too late");
        let next = Server::start_on(&t, t.db.clone(), config, catalog).await;
        let viewer = next.viewer(&room, 11, "s-1").await;
        assert_eq!(like(&viewer, 8).await.expect("liked"), 50);
        next.stop().await;
        assert_eq!(stored(&t, &room).await, (50, 1));
    }

    async fn a_flush_that_is_tried_again_adds_nothing_twice(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11]).await;
        let room_id: RoomId = room.parse().expect("an id");
        let flush = |sequence, likes| room::ops::counters::FlushCounters {
            writer: "w".into(),
            sequence,
            deltas: vec![Delta { room_id, views: 1, likes }],
        };
        for (sequence, likes, expected) in [(1, 5, 5), (1, 5, 5), (2, 3, 8), (1, 5, 8), (2, 3, 8)] {
            t.execute(flush(sequence, likes)).await.expect("written down");
            assert_eq!(stored(&t, &room).await.0, expected);
        }
        server.stop().await;
    }
}
