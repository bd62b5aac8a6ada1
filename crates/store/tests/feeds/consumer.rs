//! One consumer: what stops it, what it puts aside, and what it does when the feed has forgotten.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contracts::ErrorReason;
use contracts::catalog::v1::CatalogFeedEntry;
use contracts::common::v1::FeedMeta;
use contracts::feed::FeedMessage;
use kit::caller::Caller;
use kit::clock::{Clock, Micros};
use kit::errors::{Fault, Refusal};
use store::consumer::{
    Consume, Consumer, ConsumerConfig, FeedSource, Remote, consumers, parked, retry_now, skip,
};
use store::feed::SweepFeed;
use store::{Db, Tx, sql};
use tokio_util::sync::CancellationToken;

use crate::support::*;
use testkit::{TestDb, on_both_engines};

type Entry = CatalogFeedEntry;

on_both_engines! {
    setup: patient();

    async fn applies_what_is_there_and_what_comes_and_goes_on_after_a_restart(t: TestDb) {
        t.db.execute(&system(), Ddl::Effects).await.expect("a table");
        publish(&t.db, None, "a", 1, 30).await;
        let running = Running::start(&t.db, direct(&t.db), Effects::new(|_| None), ConsumerConfig { batch_max: 7, ..quick() });
        running.caught_up(30).await;
        publish(&t.db, None, "a", 31, 5).await;
        running.caught_up(35).await;
        running.stop().await;
        publish(&t.db, None, "a", 36, 5).await;
        let running = Running::start(&t.db, direct(&t.db), Effects::new(|_| None), quick());
        running.caught_up(40).await;
        assert_eq!(running.status.lag(), Duration::ZERO);
        running.stop().await;
        let expected: Vec<(String, i64)> = (1..=40).map(|number| ("a".to_owned(), number)).collect();
        assert_eq!(effects(&t.db).await, expected);
    }

    async fn an_entry_that_cannot_be_applied_is_put_aside_with_those_behind_it(t: TestDb) {
        t.db.execute(&system(), Ddl::Effects).await.expect("a table");
        for number in 1..=4 {
            for aggregate in ["a", "b"] {
                publish(&t.db, None, aggregate, number, 1).await;
            }
        }
        let mended = Arc::new(AtomicBool::new(false));
        let broken = mended.clone();
        let running = Running::start(&t.db, direct(&t.db), Effects::new(move |meta| {
            let bad = meta.aggregate_id == "a" && meta.etag == "2" && !broken.load(Ordering::SeqCst);
            bad.then(|| Refusal::new(ErrorReason::WrongState, "not yet").into())
        }), quick());
        running.caught_up(8).await;
        // What comes later queues behind it as well.
        publish(&t.db, None, "a", 5, 1).await;
        publish(&t.db, None, "b", 5, 1).await;
        running.caught_up(10).await;
        assert_eq!(running.status.parked(), 4);
        let aside = parked(&t.db, &system(), "test", 100).await.expect("parked");
        let positions: Vec<(i64, i64)> = aside.iter().map(|entry| (entry.position, entry.attempts.min(1))).collect();
        assert_eq!(positions, [(3, 1), (5, 0), (7, 0), (9, 0)]);
        assert!(aside[0].error.contains("not yet"), "{}", aside[0].error);
        let numbers = |aggregate: &'static str| {
            let db = t.db.clone();
            async move { effects(&db).await.into_iter().filter(|(id, _)| id == aggregate).map(|(_, n)| n).collect::<Vec<_>>() }
        };
        assert_eq!((numbers("a").await, numbers("b").await), (vec![1], vec![1, 2, 3, 4, 5]));
        mended.store(true, Ordering::SeqCst);
        until("what was put aside is applied", || async {
            t.clock.advance(Duration::from_secs(1));
            running.status.parked() == 0
        }).await;
        assert_eq!(numbers("a").await, vec![1, 2, 3, 4, 5]);
        running.stop().await;
    }

    async fn a_parked_entry_is_tried_less_and_less_often_and_at_once_when_asked(t: TestDb) {
        t.db.execute(&system(), Ddl::Effects).await.expect("a table");
        publish(&t.db, None, "a", 1, 1).await;
        let tries = Arc::new(AtomicU32::new(0));
        let count_tries = tries.clone();
        let mended = Arc::new(AtomicBool::new(false));
        let broken = mended.clone();
        let running = Running::start(&t.db, direct(&t.db), Effects::new(move |_| {
            count_tries.fetch_add(1, Ordering::SeqCst);
            (!broken.load(Ordering::SeqCst)).then(|| Refusal::new(ErrorReason::WrongState, "no").into())
        }), quick());
        running.caught_up(1).await;
        assert_eq!(tries.load(Ordering::SeqCst), 1);
        let mut pauses = Vec::new();
        for attempt in 1..=6 {
            let aside = &parked(&t.db, &system(), "test", 1).await.expect("parked")[0];
            assert_eq!(aside.attempts, attempt);
            let pause = Micros(aside.next_time).since(t.clock.now());
            pauses.push(pause.as_secs());
            t.clock.advance(pause);
            until("it is tried again", || async { attempts(&t.db).await > attempt }).await;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 8, 8]);
        assert_eq!(tries.load(Ordering::SeqCst), 7);
        mended.store(true, Ordering::SeqCst);
        assert_eq!(retry_now(&t.db, &system(), "test").await.expect("asked"), 1);
        until("it is applied without waiting", || async { running.status.parked() == 0 }).await;
        running.stop().await;
        assert_eq!(effects(&t.db).await.len(), 1);
    }

    async fn what_is_given_up_frees_those_behind_it(t: TestDb) {
        t.db.execute(&system(), Ddl::Effects).await.expect("a table");
        publish(&t.db, None, "a", 1, 4).await;
        let running = Running::start(&t.db, direct(&t.db), Effects::new(move |meta| {
            (meta.etag == "2").then(|| Refusal::new(ErrorReason::WrongState, "never").into())
        }), quick());
        running.caught_up(4).await;
        let standing = consumers(&t.db, &system()).await.expect("a list");
        assert_eq!(standing.iter().map(|one| (one.consumer.as_str(), one.position, one.parked)).collect::<Vec<_>>(), [("test", 4, 3)]);
        assert!(!skip(&t.db, &system(), "test", 1, "mistaken").await.expect("asked"));
        assert!(!skip(&t.db, &system(), "other", 2, "mistaken").await.expect("asked"));
        assert!(skip(&t.db, &system(), "test", 2, "the product is gone").await.expect("asked"));
        until("the others are applied", || async { running.status.parked() == 0 }).await;
        running.stop().await;
        // Applied in their order; the handler of these tests notices that one is missing.
        let expected = [("a", 1), ("out of order", 3), ("out of order", 4)];
        assert_eq!(effects(&t.db).await, expected.map(|(what, number)| (what.to_owned(), number)));
        assert!(!skip(&t.db, &system(), "test", 2, "again").await.expect("asked"));
    }

    async fn what_may_pass_stops_the_cursor_and_parks_nothing(t: TestDb) {
        t.db.execute(&system(), Ddl::Effects).await.expect("a table");
        publish(&t.db, None, "a", 1, 6).await;
        let left = Arc::new(AtomicU32::new(12));
        let faults = left.clone();
        let running = Running::start(&t.db, direct(&t.db), Effects::new(move |meta| {
            let strikes = meta.etag == "4" && faults.try_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
            strikes.then(|| match faults.load(Ordering::SeqCst) % 3 {
                0 => Fault::busy("full", Duration::from_millis(1)),
                1 => Fault::Conflict("40001".into()),
                _ => Refusal::new(ErrorReason::Overloaded, "later").retry_after(Duration::from_millis(1)).into(),
            })
        }), quick());
        running.caught_up(6).await;
        assert_eq!(left.load(Ordering::SeqCst), 0);
        assert!(parked(&t.db, &system(), "test", 1).await.expect("parked").is_empty());
        assert_eq!(effects(&t.db).await, (1..=6).map(|n| ("a".to_owned(), n)).collect::<Vec<_>>());
        running.stop().await;
    }

    async fn constraints_and_lasting_doubts_park_an_entry(t: TestDb) {
        t.db.execute(&system(), Ddl::Effects).await.expect("a table");
        publish(&t.db, None, "check", 1_000_000, 1).await;
        publish(&t.db, None, "doubt", 1, 1).await;
        publish(&t.db, None, "panic", 1, 1).await;
        publish(&t.db, None, "passes", 1, 1).await;
        publish(&t.db, None, "fine", 1, 1).await;
        let doubts = Arc::new(Mutex::new(std::collections::HashMap::<String, u32>::new()));
        let seen = doubts.clone();
        let running = Running::start(&t.db, direct(&t.db), Effects::new(move |meta| {
            let mut seen = seen.lock().expect("no panic holds it");
            let times = seen.entry(meta.aggregate_id.clone()).or_default();
            *times += 1;
            match (meta.aggregate_id.as_str(), *times) {
                ("doubt", _) | ("passes", ..=3) => Some(Fault::internal("nobody knows why")),
                ("panic", _) => { drop(seen); panic!("told to") }
                _ => None,
            }
        }), ConsumerConfig { parked_poll_ms: 60_000, ..quick() });
        running.caught_up(5).await;
        let aside = parked(&t.db, &system(), "test", 10).await.expect("parked");
        let aside: Vec<&str> = aside.iter().map(|entry| entry.aggregate_id.as_str()).collect();
        assert_eq!(aside, ["check", "doubt", "panic"]);
        // In the batch and alone: a constraint is believed at once, a fault of no known kind is not.
        let tries = doubts.lock().expect("no panic holds it").clone();
        assert_eq!(tries["check"], 2);
        assert!(tries["doubt"] >= 5);
        let done: Vec<String> = effects(&t.db).await.into_iter().map(|(aggregate, _)| aggregate).collect();
        assert_eq!(done, ["passes", "fine"]);
        running.stop().await;
    }

    async fn too_much_put_aside_stops_the_cursor(t: TestDb) {
        t.db.execute(&system(), Ddl::Effects).await.expect("a table");
        for number in 1..=6 {
            publish(&t.db, None, &format!("a{number}"), 1, 1).await;
        }
        let mended = Arc::new(AtomicBool::new(false));
        let broken = mended.clone();
        let running = Running::start(&t.db, direct(&t.db), Effects::new(move |_| {
            (!broken.load(Ordering::SeqCst)).then(|| Refusal::new(ErrorReason::WrongState, "no").into())
        }), ConsumerConfig { parked_max: 3, ..quick() });
        until("the room is used up", || async { running.status.parked() == 3 && running.status.stops() > 0 }).await;
        assert_eq!(running.status.position(), 3);
        mended.store(true, Ordering::SeqCst);
        until("everything is applied", || async {
            t.clock.advance(Duration::from_secs(1));
            effects(&t.db).await.len() == 6
        }).await;
        running.stop().await;
    }

    async fn a_feed_that_has_forgotten_is_bootstrapped_from_the_lists(t: TestDb) {
        t.db.execute(&system(), Ddl::Effects).await.expect("a table");
        publish(&t.db, None, "a", 1, 5).await;
        let never = |meta: &FeedMeta| (meta.etag == "5").then(|| Refusal::new(ErrorReason::WrongState, "no").into());
        let running = Running::start(&t.db, direct(&t.db), Effects::new(never), quick());
        running.caught_up(5).await;
        running.stop().await;
        publish(&t.db, None, "a", 6, 5).await;
        t.clock.advance(Duration::from_secs(100));
        t.db.execute(&system(), SweepFeed { keep: Duration::from_secs(1), rows_max: 1_000 }).await.expect("a sweep");
        // Without a bootstrap it stands still rather than skip.
        let running = Running::start(&t.db, direct(&t.db), Effects::new(never), quick());
        until("it has tried", || async { running.status.stops() > 3 }).await;
        assert_eq!(running.status.position(), 0);
        running.stop().await;
        let cursors = Arc::new(Mutex::new(Vec::new()));
        let (db, kept) = (t.db.clone(), cursors.clone());
        let consumer = Consumer::new(t.db.clone(), "test", direct(&t.db), Effects::new(never), quick())
            .on_expired(move |cursor| {
                let (db, kept) = (db.clone(), kept.clone());
                async move {
                    let first = { let mut kept = kept.lock().expect("no panic holds it"); kept.push(cursor); kept.len() == 1 };
                    if first { return Err(Fault::busy("the lists are busy", Duration::from_millis(1))) }
                    db.execute(&system(), Bootstrapped).await
                }
            });
        let running = Running::of(consumer);
        until("it has read the lists", || async {
            cursors.lock().expect("no panic holds it").len() == 2 && running.status.is_caught_up()
        }).await;
        publish(&t.db, None, "a", 11, 2).await;
        until("it goes on", || async { running.status.position() == 12 }).await;
        running.stop().await;
        let cursors = cursors.lock().expect("no panic holds it").clone();
        assert_eq!(cursors.len(), 2, "tried again after it failed, and never after that");
        assert!(parked(&t.db, &system(), "test", 10).await.expect("parked").is_empty(), "part of what was read anew");
        let expected: Vec<(String, i64)> = (10..=12).map(|number| ("a".to_owned(), number)).collect();
        assert_eq!(effects(&t.db).await, expected);
    }

    async fn a_gap_is_never_skipped_and_repetitions_are_harmless(t: TestDb) {
        t.db.execute(&system(), Ddl::Effects).await.expect("a table");
        publish(&t.db, None, "a", 1, 10).await;
        let lossy = Arc::new(AtomicBool::new(true));
        let (mends, db) = (lossy.clone(), t.db.clone());
        let list = move |cursor: String, limit: u32| {
            let (db, lossy) = (db.clone(), mends.clone());
            async move {
                // Some entries again, and while it is broken the fifth is missing.
                let mut entries: Vec<Entry> = reader(&db).serve_list(&system(), "", 1_000).await?.entries;
                let after = entries.iter().position(|entry| entry.meta().cursor == cursor).map_or(0, |index| index + 1);
                entries.drain(..after.saturating_sub(2));
                if entries.len() <= 2 && after > 0 { entries.clear() }
                if lossy.load(Ordering::SeqCst) { entries.retain(|entry| entry.meta().position != 5) }
                entries.truncate(limit as usize + 2);
                Ok(entries)
            }
        };
        let db = t.db.clone();
        let watch = move |cursor: String| {
            let db = db.clone();
            async move { FeedSource::<Entry>::watch(&direct(&db), &cursor).await }
        };
        let running = Running::start(&t.db, Remote::new(list, watch), Effects::new(|_| None), ConsumerConfig { batch_max: 2, ..quick() });
        until("it has met the gap more than once", || async { running.status.stops() > 3 }).await;
        assert!(effects(&t.db).await.len() <= 4);
        lossy.store(false, Ordering::SeqCst);
        running.caught_up(10).await;
        running.stop().await;
        assert_eq!(effects(&t.db).await.len(), 10);
    }

    async fn what_it_does_carries_the_trace_of_the_call_behind_the_entry(t: TestDb) {
        let trace = |number: u8| format!("00-0af7651916cd43dd8448eb211c80319{number}-b7ad6b7169203331-01");
        for number in 1..=2 {
            let caller = Caller { traceparent: trace(number), ..system() };
            t.db.execute(&caller, Publish::of([entry(Some(7), "a", i64::from(number))])).await.expect("publishing");
        }
        // It consumes only what is partner 7's, or it would consume what it publishes for ever.
        let source = store::consumer::Direct::new(reader(&t.db), partner_caller(7), CancellationToken::new());
        let running = Running::start(&t.db, source, Echo, quick());
        running.caught_up(2).await;
        running.stop().await;
        let echoes: Vec<String> = everything(&t.db).await.into_iter()
            .filter(|entry| entry.aggregate_id == "echo").map(|entry| entry.traceparent).collect();
        assert_eq!(echoes, [trace(1), trace(2)]);
    }
}

async fn attempts(db: &Db) -> i64 {
    parked(db, &system(), "test", 1)
        .await
        .expect("parked")
        .first()
        .map_or(0, |entry| entry.attempts)
}

struct Echo;

impl Consume<Entry> for Echo {
    async fn apply(&self, tx: &mut Tx, _: &Entry) -> Result<(), Fault> {
        tx.publish(entry(None, "echo", 1));
        Ok(())
    }
}

/// What a bootstrap from lists would leave behind.
struct Bootstrapped;

impl store::Operation for Bootstrapped {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.bootstrap"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        sql!(tx, execute, "DELETE FROM effect")?;
        sql!(
            tx,
            execute,
            "INSERT INTO effect (position, aggregate, number) VALUES (10, 'a', 10)"
        )?;
        Ok(())
    }
}
