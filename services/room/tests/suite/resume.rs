//! Going on where one was.

use contracts::ErrorReason;
use contracts::room::v1::*;
use futures::FutureExt;
use kit::errors::Fault;
use room::Config;
use store::{Operation, Tx, sql};
use testkit::{TestDb, on_both_engines};

use crate::common::{Server, Watch, Went, ask, brisk, like, reason, setup};

/// The room begins a new life, as after a restore from a backup.
struct NewEpoch;

impl Operation for NewEpoch {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.epoch"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        sql!(tx, execute, "UPDATE room_log SET epoch = 'another'")?;
        Ok(())
    }
}

/// The log forgets its beginning.
struct Forget;

impl Operation for Forget {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.forget"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        sql!(
            tx,
            execute,
            "DELETE FROM room_event WHERE class = 'LEDGER' AND position <= 3"
        )?;
        Ok(())
    }
}

/// What a watch is told that begins now and reads to where `last` is the last of the story.
async fn resumed(server: &Server, room: &str, cursor: &str, count: usize) -> Watch {
    let mut watch = Watch::begin(&server.ops(), room, None, cursor)
        .await
        .expect("a watch");
    watch
        .until("what was missed", |watch| watch.ledger().len() >= count)
        .await;
    watch
}

on_both_engines! {
    setup: setup();

    async fn sees_exactly_what_was_missed(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11]).await;
        let item = server.add(&room, 1).await;
        let viewer = server.viewer(&room, 11, "s-1").await;
        let mut watch = Watch::begin(&viewer, &room, None, "").await.expect("a watch");
        server.pin(&item, true).await;
        watch.until("the pin", |watch| watch.ledger().len() == 1).await;
        let cursor = watch.cursor.clone();
        // Nobody watches for a while: the hub is gone, and what it knew with it.
        drop(watch);
        server.explain(&item).await.expect("explained");
        let question = ask(&viewer, "Is it warm?").await.expect("asked");
        server.answer(&question.question_id, "Very.").await.expect("answered");
        server.pin(&item, false).await;
        let mut watch = Watch::begin(&viewer, &room, None, &cursor).await.expect("a watch");
        assert_eq!((watch.outcome(), &watch.first.snapshot), (ResumeOutcome::Resumed, &None));
        watch.until("what was missed", |watch| watch.talk().len() == 2).await;
        assert_eq!(watch.story(), ["1 pinned explained", "1 explained"]);
        assert_eq!(watch.talk(), ["? Is it warm?", "! Very."]);
        assert_eq!(watch.totals().questions, 1);
        server.pause(&room).await.expect("paused");
        watch.until("the break", |watch| watch.ledger().len() == 3).await;
        assert_eq!(watch.story(), ["1 pinned explained", "1 explained", "PAUSED"]);
        server.stop().await;
    }

    async fn any_cursor_on_the_way_leads_to_the_same_story(t: TestDb) {
        let server = Server::start_with(&t, Config { frame_events_max: 2, ..brisk() }).await;
        let room = server.live_room(&[11]).await;
        let item = server.add(&room, 1).await;
        let mut steady = Watch::begin(&server.ops(), &room, None, "").await.expect("a watch");
        // One watch is broken off after every frame, another after every third, while things go on.
        let mut cursors = [steady.cursor.clone(), steady.cursor.clone()];
        let mut stories: [Vec<String>; 2] = Default::default();
        for turn in 0..30u64 {
            server.pin(&item, turn % 2 == 0).await;
            for (nth, every) in [1, 3].into_iter().enumerate() {
                if turn % every == 0 {
                    let mut watch = Watch::begin(&server.ops(), &room, None, &cursors[nth]).await.expect("a watch");
                    assert_eq!(watch.outcome(), ResumeOutcome::Resumed);
                    // Where it happens to be when it is broken off: somewhere in the middle.
                    for _ in 0..t.ids.random_u64() % 3 {
                        if let Some(went) = watch.next().now_or_never() {
                            assert!(matches!(went, Went::On), "{went:?}");
                        }
                    }
                    stories[nth].extend(watch.story());
                    cursors[nth] = watch.cursor.clone();
                }
            }
        }
        server.end(&room).await.expect("ended");
        assert!(matches!(steady.read_to_end().await, Went::Over));
        assert_eq!(steady.story().len(), 31);
        for (mut story, cursor) in stories.into_iter().zip(cursors) {
            let mut watch = Watch::begin(&server.ops(), &room, None, &cursor).await.expect("a watch");
            assert!(matches!(watch.read_to_end().await, Went::Over));
            story.extend(watch.story());
            assert_eq!(story, steady.story());
        }
        server.stop().await;
    }

    async fn a_cursor_of_another_life_starts_over(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11]).await;
        let watch = Watch::begin(&server.ops(), &room, None, "").await.expect("a watch");
        let cursor = watch.cursor.clone();
        drop(watch);
        t.execute(NewEpoch).await.expect("a new life");
        server.pause(&room).await.expect("paused");
        let mut watch = Watch::begin(&server.ops(), &room, None, &cursor).await.expect("a watch");
        assert_eq!(watch.outcome(), ResumeOutcome::Reset);
        assert_eq!(watch.snapshot().room.as_ref().expect("the room").state(), RoomState::Paused);
        assert_eq!(watch.story(), [""; 0], "what was between is not sent");
        server.resume(&room).await.expect("resumed");
        watch.until("the resumption", |watch| watch.ledger().len() == 1).await;
        server.stop().await;
    }

    async fn a_cursor_that_is_too_old_starts_over_and_says_what_is_left_out(t: TestDb) {
        let config = Config { ledger_replay_max: 4, chat_replay_max: 2, ..brisk() };
        let server = Server::start_with(&t, config).await;
        let room = server.live_room(&[11]).await;
        let viewer = server.viewer(&room, 11, "s-1").await;
        let item = server.add(&room, 1).await;
        let cursor = Watch::begin(&server.ops(), &room, None, "").await.expect("a watch").cursor;
        for pin in [true, false, true, false] {
            server.pin(&item, pin).await;
        }
        for text in ["One?", "Two?"] {
            ask(&viewer, text).await.expect("asked");
        }
        let watch = resumed(&server, &room, &cursor, 4).await;
        assert_eq!((watch.outcome(), watch.talk().len()), (ResumeOutcome::Resumed, 2), "as much as is bearable");
        drop(watch);
        ask(&viewer, "Three?").await.expect("asked");
        let watch = Watch::begin(&server.ops(), &room, None, &cursor).await.expect("a watch");
        assert_eq!(watch.outcome(), ResumeOutcome::Reset);
        let dropped = [(DeliveryClass::Ledger, 4), (DeliveryClass::Chat, 3)];
        assert_eq!(watch.dropped, dropped.into_iter().collect());
        let later = watch.cursor.clone();
        server.pin(&item, true).await;
        let watch = resumed(&server, &room, &later, 1).await;
        assert_eq!((watch.outcome(), watch.story()), (ResumeOutcome::Resumed, vec!["1 pinned".to_owned()]));
        server.stop().await;
    }

    async fn a_log_that_has_forgotten_starts_over(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.room(&[11]).await;
        let cursor = Watch::begin(&server.ops(), &room, None, "").await.expect("a watch").cursor;
        server.schedule(&room).await.expect("scheduled");
        server.go_live(&room).await.expect("live");
        for product in [1, 2] {
            server.add(&room, product).await;
        }
        t.execute(Forget).await.expect("forgotten");
        let watch = Watch::begin(&server.ops(), &room, None, &cursor).await.expect("a watch");
        assert_eq!((watch.outcome(), watch.snapshot().items.len()), (ResumeOutcome::Reset, 2));
        server.stop().await;
    }

    async fn what_is_no_cursor_of_the_room_is_refused(t: TestDb) {
        let server = Server::start(&t).await;
        let (room, other) = (server.live_room(&[11]).await, server.live_room(&[11]).await);
        let foreign = Watch::begin(&server.ops(), &other, None, "").await.expect("a watch").cursor;
        for cursor in [foreign.as_str(), "x", "not a cursor", &foreign[1..]] {
            let refused = Watch::begin(&server.ops(), &room, None, cursor).await.map(drop);
            assert_eq!(reason(refused), ErrorReason::BadCursor, "{cursor}");
        }
        server.stop().await;
    }

    async fn totals_are_those_of_now(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11]).await;
        let viewer = server.viewer(&room, 11, "s-1").await;
        let cursor = Watch::begin(&viewer, &room, None, "").await.expect("a watch").cursor;
        like(&viewer, 9).await.expect("liked");
        let watch = Watch::begin(&viewer, &room, None, &cursor).await.expect("a watch");
        assert_eq!((watch.totals().likes, watch.totals().views), (9, 1), "in the first frame already");
        server.stop().await;
    }
}
