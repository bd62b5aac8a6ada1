//! Watching a room.

use contracts::ErrorReason;
use contracts::room::v1::room_event::Content;
use contracts::room::v1::*;
use room::Config;
use testkit::{TestDb, on_both_engines};
use tonic_types::StatusExt;

use crate::catalog::Listed;
use crate::common::{Server, Watch, Went, ask, brisk, fields, like, reason, refusal, setup, until};

on_both_engines! {
    setup: setup();

    async fn begins_with_the_room_as_it_is_and_goes_on_with_what_happens(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.room(&[11, 21]).await;
        let item = server.add(&room, 1).await;
        server.catalog.listing(Listed::live(101, 1, 1, 1_990));
        server.caught_up().await;
        server.schedule(&room).await.expect("scheduled");
        let viewer = server.viewer(&room, 11, "s-1").await;
        let mut watch = Watch::begin(&viewer, &room, None, "").await.expect("a watch");
        assert_eq!(watch.outcome(), ResumeOutcome::Snapshot);
        let snapshot = watch.snapshot();
        assert_eq!(snapshot.room.as_ref().expect("the room").state(), RoomState::Scheduled);
        assert_eq!((snapshot.items.len(), snapshot.items[0].offers.len()), (1, 1));
        assert_eq!(watch.events.len(), 1, "the totals");
        server.go_live(&room).await.expect("live");
        server.pin(&item, true).await;
        server.explain(&item).await.expect("explained");
        server.remove(&item).await.expect("taken out");
        server.pause(&room).await.expect("paused");
        server.resume(&room).await.expect("resumed");
        watch.until("the resumption", |watch| watch.ledger().len() == 6).await;
        assert_eq!(watch.story(), ["LIVE", "1 pinned", "1 pinned explained", "removed", "PAUSED", "LIVE"]);
        let Content::ItemChanged(pinned) = &watch.ledger()[1] else { panic!("an item") };
        assert_eq!(pinned.offers.len(), 1, "resolved for the outlet");
        let reasons: Vec<_> = watch.ledger().iter().filter_map(|content| match content {
            Content::StateChanged(changed) => Some(changed.reason.clone()),
            _ => None,
        }).collect();
        assert_eq!(reasons, ["", "Tea.", ""]);
        server.stop().await;
    }

    async fn ends_well_after_the_room_did(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11]).await;
        let viewer = server.viewer(&room, 11, "s-1").await;
        let mut watch = Watch::begin(&viewer, &room, None, "").await.expect("a watch");
        like(&viewer, 7).await.expect("liked");
        server.end(&room).await.expect("ended");
        assert!(matches!(watch.read_to_end().await, Went::Over));
        assert_eq!(watch.story(), ["ENDED"]);
        assert_eq!(watch.totals().likes, 7, "the last word has the last totals");
        let mut late = Watch::begin(&viewer, &room, None, "").await.expect("a watch");
        assert_eq!(late.snapshot().room.as_ref().expect("the room").state(), RoomState::Ended);
        assert!(matches!(late.read_to_end().await, Went::Over));
        assert_eq!(late.story(), [""; 0]);
        let mut resumed = Watch::begin(&viewer, &room, None, &watch.cursor).await.expect("a watch");
        assert_eq!(resumed.outcome(), ResumeOutcome::Resumed);
        assert!(matches!(resumed.read_to_end().await, Went::Over));
        assert_eq!(resumed.story(), [""; 0], "nothing was missed");
        server.stop().await;
    }

    async fn media_time_counts_from_the_first_time_on_air(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.room(&[11]).await;
        let item = server.add(&room, 1).await;
        server.schedule(&room).await.expect("scheduled");
        let mut watch = Watch::begin(&server.ops(), &room, None, "").await.expect("a watch");
        server.pin(&item, true).await;
        watch.until("the pin", |watch| watch.ledger().len() == 1).await;
        server.go_live(&room).await.expect("live");
        t.clock.advance(std::time::Duration::from_millis(1_500));
        server.pin(&item, false).await;
        watch.until("the unpin", |watch| watch.ledger().len() == 3).await;
        let times: Vec<_> = watch.events.iter().filter(|event| event.delivery_class() == DeliveryClass::Ledger)
            .map(|event| event.media_time_ms).collect();
        assert_eq!(times, [0, 0, 1_500]);
        server.stop().await;
    }

    async fn counts_those_who_watch(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11, 21]).await;
        let mut watch = Watch::begin(&server.ops(), &room, None, "").await.expect("a watch");
        assert_eq!((watch.totals().viewers, watch.totals().views), (0, 0), "the retailer is no audience");
        let (one, two) = (server.viewer(&room, 11, "s-1").await, server.viewer(&room, 21, "s-1").await);
        let first = Watch::begin(&one, &room, None, "").await.expect("a watch");
        let second = Watch::begin(&two, &room, None, "").await.expect("a watch");
        watch.until("both", |watch| watch.totals().viewers == 2).await;
        let counters = server.counters(&room).await;
        assert_eq!((counters.viewers, counters.views), (2, 2));
        let cursor = first.cursor.clone();
        drop(first);
        watch.until("one left", |watch| watch.totals().viewers == 1).await;
        let again = Watch::begin(&one, &room, None, &cursor).await.expect("a watch");
        watch.until("it is back", |watch| watch.totals().viewers == 2).await;
        assert_eq!(watch.totals().views, 2, "it is still the same watch");
        drop((again, second));
        until("nobody watches", || async { server.counters(&room).await.viewers == 0 }).await;
        assert_eq!(server.counters(&room).await.views, 2);
        server.stop().await;
    }

    async fn likes_come_as_totals_and_bursts(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11]).await;
        let viewer = server.viewer(&room, 11, "s-1").await;
        let mut watch = Watch::begin(&viewer, &room, None, "").await.expect("a watch");
        for count in [1, 20, 3] {
            like(&viewer, count).await.expect("liked");
        }
        watch.until("all likes", |watch| watch.totals().likes == 24).await;
        watch.until("all bursts", |watch| {
            let bursts = watch.of(DeliveryClass::Ephemeral).into_iter().map(|content| match content {
                Content::LikeBurst(burst) => burst.count,
                other => panic!("no burst: {other:?}"),
            });
            bursts.sum::<i64>() == 24
        }).await;
        server.stop().await;
    }

    async fn a_drain_ends_streams_with_the_cursor(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11]).await;
        let item = server.add(&room, 1).await;
        let viewer = server.viewer(&room, 11, "s-1").await;
        let mut watch = Watch::begin(&viewer, &room, None, "").await.expect("a watch");
        server.pin(&item, true).await;
        watch.until("the pin", |watch| watch.ledger().len() == 1).await;
        let catalog = server.catalog.clone();
        let ((), went) = tokio::join!(server.stop(), watch.read_to_end());
        let Went::Broke(status) = went else { panic!("the server went away") };
        assert_eq!(status.code(), tonic::Code::Unavailable);
        assert_eq!(draining(&status).as_deref(), Some(watch.cursor.as_str()));
        let refused = Watch::begin(&viewer, &room, None, "").await.map(drop).expect_err("it goes away");
        assert_eq!(draining(&refused), None);
        // The next process goes on from the cursor.
        let next = Server::start_on(&t, t.db.clone(), brisk(), catalog).await;
        next.pin(&item, false).await;
        let viewer = next.viewer(&room, 11, "s-1").await;
        let mut watch = Watch::begin(&viewer, &room, None, &watch.cursor).await.expect("a watch");
        assert_eq!(watch.outcome(), ResumeOutcome::Resumed);
        watch.until("the unpin", |watch| watch.ledger().len() == 1).await;
        assert_eq!(watch.story(), ["1"]);
        next.stop().await;
    }

    async fn there_are_limits_on_watching(t: TestDb) {
        let config = Config { watches_per_viewer_max: 2, watchers_per_room_max: 4, ..brisk() };
        let server = Server::start_with(&t, config).await;
        let room = server.live_room(&[11]).await;
        let (one, two) = (server.viewer(&room, 11, "s-1").await, server.viewer(&room, 11, "s-2").await);
        let mut held = Vec::new();
        for viewer in [&one, &one, &two] {
            held.push(Watch::begin(viewer, &room, None, "").await.expect("a watch"));
        }
        assert_eq!(reason(Watch::begin(&one, &room, None, "").await.map(drop)), ErrorReason::RateLimited);
        held.push(Watch::begin(&two, &room, None, "").await.expect("a watch"));
        let full = refusal(Watch::begin(&server.ops(), &room, None, "").await.map(drop));
        assert_eq!(full.reason, ErrorReason::Overloaded);
        assert!(full.retry_after.is_some());
        held.clear();
        until("there is room again", || async { Watch::begin(&one, &room, None, "").await.is_ok() }).await;
        server.stop().await;
    }

    async fn a_partner_names_the_outlet(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11]).await;
        let partner = server.partner(1);
        assert_eq!(fields(Watch::begin(&partner, &room, None, "").await.map(drop)), ["outlet_id"]);
        let viewer = server.viewer(&room, 11, "s-1").await;
        let mut watch = Watch::begin(&partner, &room, Some(11), "").await.expect("a watch");
        ask(&viewer, "Is it warm?").await.expect("asked");
        watch.until("the question", |watch| !watch.talk().is_empty()).await;
        server.stop().await;
    }
}

/// The cursor in a status that says DRAINING.
pub fn draining(status: &tonic::Status) -> Option<String> {
    let info = status.get_details_error_info().expect("a reason");
    assert_eq!(
        (status.code(), info.reason.as_str()),
        (tonic::Code::Unavailable, "DRAINING")
    );
    info.metadata.get("cursor").cloned()
}
