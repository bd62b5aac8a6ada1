//! What stands behind a watch: made by the first, gone with the last, fed by whatever is committed.

use std::sync::Arc;

use contracts::room::v1::*;
use futures::FutureExt;
use kit::clock::{Clock, Micros};
use kit::errors::Fault;
use proptest::prelude::*;
use room::live::{Around, Rooms, Who};
use room::model::{Eyes, View};
use testkit::{Engine, TestDb, on_both_engines};
use tokio_util::sync::CancellationToken;

use crate::common::{Server, Watch, Went, ask, brisk, call, key, setup, until};

on_both_engines! {
    setup: setup();

    async fn a_room_costs_nothing_while_nobody_watches(t: TestDb) {
        let server = Server::start(&t).await;
        let room_id = server.live_room(&[11]).await.parse().expect("an id");
        let drain = CancellationToken::new();
        let around = Around { db: t.db.clone(), clock: t.clock.clone(), ids: t.ids.clone(), drain: drain.clone() };
        let rooms = Arc::new(Rooms::new(Arc::new(brisk()), around));
        let running = kit::spawn("hubs", rooms.clone().run());
        let who = || Who { room_id, view: View { eyes: Eyes::Retailer, place: None }, viewer: None };
        assert_eq!(rooms.watched(), 0);
        let first = rooms.watch(who(), "").await.expect("a watch");
        let second = rooms.watch(who(), "").await.expect("a watch");
        assert_eq!(rooms.watched(), 1, "one for both");
        let hub = Arc::downgrade(&rooms.hub(&room_id).expect("a hub"));
        drop(first);
        assert_eq!(rooms.watched(), 1);
        drop(second);
        assert_eq!(rooms.watched(), 0);
        until("nothing of it is left", || async { hub.strong_count() == 0 }).await;
        drain.cancel();
        running.await.expect("it ends");
        let refused = rooms.watch(who(), "").await.map(drop);
        assert!(matches!(refused, Err(Fault::Refused(_))), "{refused:?}");
        server.stop().await;
    }

    async fn what_a_caller_did_who_went_away_is_seen(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11]).await;
        let mut watch = Watch::begin(&server.ops(), &room, None, "").await.expect("a watch");
        let mut expected = Vec::new();
        for (n, product) in (1..=4).enumerate() {
            // Polled a few times and then dropped, as when a client goes away.
            let mut add = Box::pin(server.try_add(&room, product));
            for _ in 0..n {
                let _ = (&mut add).now_or_never();
                tokio::task::yield_now().await;
            }
            drop(add);
        }
        // Whatever was done of it, the log and the watchers agree.
        server.end(&room).await.expect("ended");
        assert!(matches!(watch.read_to_end().await, Went::Over));
        for item in server.items(&room, &server.ops(), None).await.expect("items") {
            expected.push(item.rank.to_string());
        }
        let mut seen = watch.story();
        assert_eq!(seen.pop().as_deref(), Some("ENDED"));
        seen.sort();
        assert_eq!(seen, expected);
        server.stop().await;
    }

    async fn what_another_process_commits_is_seen(t: TestDb) {
        if t.engine() == Engine::Sqlite {
            // A file has one process.
            return;
        }
        let server = Server::start(&t).await;
        let other = Server::start_on(&t, t.reopen().await, brisk(), server.catalog.clone()).await;
        let room = server.live_room(&[11]).await;
        let viewer = other.viewer(&room, 11, "s-1").await;
        let mut watch = Watch::begin(&viewer, &room, None, "").await.expect("a watch");
        let item = server.add(&room, 1).await;
        let asker = server.viewer(&room, 11, "s-2").await;
        ask(&asker, "Is it warm?").await.expect("asked");
        watch.until("the question", |watch| !watch.talk().is_empty()).await;
        server.pin(&item, true).await;
        watch.until("the pin", |watch| watch.ledger().len() == 2).await;
        assert_eq!(watch.story(), ["1", "1 pinned"]);
        // A cursor of one process is good in the other.
        server.end(&room).await.expect("ended");
        let mut again = Watch::begin(&asker, &room, None, &watch.cursor).await.expect("a watch");
        assert!(matches!(again.read_to_end().await, Went::Over));
        assert_eq!((again.outcome(), again.story()), (ResumeOutcome::Resumed, vec!["ENDED".to_owned()]));
        drop(watch);
        other.stop().await;
        server.stop().await;
    }

    async fn many_watch_and_all_see_the_same(t: TestDb) {
        let server = Server::start(&t).await;
        let room = server.live_room(&[11, 21]).await;
        let mut watches = Vec::new();
        for n in 0..60 {
            let viewer = server.viewer(&room, if n % 2 == 0 { 11 } else { 21 }, &format!("s-{n}")).await;
            watches.push(Watch::begin(&viewer, &room, None, "").await.expect("a watch"));
        }
        let item = server.add(&room, 1).await;
        for n in 0..10 {
            server.pin(&item, n % 2 == 0).await;
        }
        server.end(&room).await.expect("ended");
        let ends = futures::future::join_all(watches.iter_mut().map(Watch::read_to_end)).await;
        assert!(ends.iter().all(|end| matches!(end, Went::Over)), "{ends:?}");
        let stories: std::collections::BTreeSet<_> = watches.iter().map(Watch::story).collect();
        assert_eq!(stories.len(), 1);
        assert_eq!(stories.first().map(Vec::len), Some(12));
        let room = server.get_room(&room).await;
        assert_eq!(room.counters.map(|counters| (counters.views, counters.viewers)), Some((60, 0)));
        server.stop().await;
    }
}

/// One thing that may happen in a room, or to a watcher.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pin(usize),
    Explain(usize),
    Remove(usize),
    Turn,
    Ask,
    Read,
    BreakOff,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0usize..4).prop_map(Step::Pin),
        2 => (0usize..4).prop_map(Step::Explain),
        1 => (0usize..4).prop_map(Step::Remove),
        2 => Just(Step::Turn),
        2 => Just(Step::Ask),
        3 => Just(Step::Read),
        2 => Just(Step::BreakOff),
    ]
}

/// Whatever happens in a room, and however often a watcher is broken off and comes back, it is told the whole LEDGER
/// and all of the talk, in order and each once.
async fn is_told_everything_once(t: TestDb, steps: Vec<Step>) {
    let config = room::Config {
        frame_events_max: 2,
        ..brisk()
    };
    let server = Server::start_with(&t, config).await;
    let room = server.live_room(&[11]).await;
    let mut items = Vec::new();
    for product in 1..=4 {
        items.push(server.add(&room, product).await);
    }
    let mut steady = Watch::begin(&server.ops(), &room, None, "")
        .await
        .expect("a watch");
    let viewer = server.viewer(&room, 11, "s-1").await;
    let mut watch = Watch::begin(&viewer, &room, None, "")
        .await
        .expect("a watch");
    let (mut story, mut talk) = (Vec::new(), Vec::new());
    for (n, step) in steps.into_iter().enumerate() {
        match step {
            Step::Pin(item) => {
                let ops = server.ops();
                let request = PinItemRequest {
                    request_id: key(),
                    showcase_item_id: items[item].clone(),
                };
                let _ = call!(ops.showcase.pin_item(request));
            }
            Step::Explain(item) => drop(server.explain(&items[item]).await),
            Step::Remove(item) => drop(server.remove(&items[item]).await),
            Step::Turn => match server.get_room(&room).await.state() {
                RoomState::Live => drop(server.pause(&room).await.expect("paused")),
                _ => drop(server.resume(&room).await.expect("resumed")),
            },
            Step::Ask => drop(ask(&viewer, &format!("{n}?")).await),
            Step::Read => drop(watch.next().now_or_never()),
            Step::BreakOff => {
                story.extend(watch.story());
                talk.extend(watch.talk());
                watch = Watch::begin(&viewer, &room, None, &watch.cursor)
                    .await
                    .expect("a watch");
                assert_eq!(watch.outcome(), ResumeOutcome::Resumed);
            }
        }
    }
    server.end(&room).await.expect("ended");
    for watch in [&mut watch, &mut steady] {
        assert!(matches!(watch.read_to_end().await, Went::Over));
    }
    story.extend(watch.story());
    talk.extend(watch.talk());
    assert_eq!(story, steady.story());
    assert_eq!(talk, steady.talk());
    assert!(t.clock.now() > Micros(0));
    server.stop().await;
}

fn random_rooms(engine: Engine, cases: u32) {
    let config = ProptestConfig {
        cases,
        max_shrink_iters: 20,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let steps = proptest::collection::vec(step(), 1..40);
    let answer = runner.run(&steps, |steps| {
        testkit::run(engine, setup(), |t| is_told_everything_once(t, steps));
        Ok(())
    });
    answer.expect("every watcher is told everything once");
}

#[test]
fn is_told_everything_once_sqlite() {
    random_rooms(Engine::Sqlite, 16);
}

#[test]
fn is_told_everything_once_postgres() {
    random_rooms(Engine::Postgres, 8);
}
