//! Positions have no gap and appear in order, whatever is undone beside them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use store::feed::Entry;
use store::{Db, NewEntry};

use crate::support::*;
use testkit::{TestDb, on_both_engines};

/// What one writer does: units of work, each with the owners of its entries and whether it is undone.
type Plan = Vec<(Vec<Option<u128>>, bool)>;

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let owners = vec(prop_oneof![Just(None), (1u128..4).prop_map(Some)], 0..6);
    vec(vec((owners, prop::bool::weighted(0.3)), 1..25), 2..7)
}

on_both_engines! {
    setup: patient();

    async fn positions_have_no_gap_under_concurrent_writers_of_which_some_are_undone(t: TestDb) {
        let mut runner = TestRunner::deterministic();
        let mut before = 0;
        for case in 0..4 {
            let plans = plans().new_tree(&mut runner).expect("a plan").current();
            let expected: usize = plans.iter().flatten().filter(|(_, undo)| !undo).map(|(owners, _)| owners.len()).sum();
            let ended = Arc::new(AtomicBool::new(false));
            let tail = kit::spawn("test", follow(t.db.clone(), before, ended.clone()));
            let writers: Vec<_> = plans.into_iter().enumerate().map(|(writer, plan)| {
                kit::spawn("test", write(t.db.clone(), format!("{case}-{writer}"), plan))
            }).collect();
            for writer in writers {
                writer.await.expect("a writer");
            }
            ended.store(true, Ordering::SeqCst);
            let seen = tail.await.expect("the reader");
            let kept = everything(&t.db).await;
            // What a reader saw while it grew is what is there in the end: nothing came in behind it.
            assert_eq!(seen, kept[before as usize..]);
            assert_eq!(seen.len(), expected);
            check(&kept);
            before = kept.len() as i64;
        }
    }

    async fn what_says_nothing_writes_nothing(t: TestDb) {
        t.db.execute(&system(), Publish::of([])).await.expect("a unit");
        assert_eq!((count(&t.db, "feed").await, count(&t.db, "audit").await), (0, 1), "one audit row, no entry");
        let refused = Publish { entries: vec![entry(None, "a", 1)], refuse: true };
        t.db.execute(&system(), refused).await.expect_err("a refusal");
        t.db.read(&system(), Count("feed")).await.expect("a read");
        assert_eq!((count(&t.db, "feed").await, count(&t.db, "audit").await), (0, 1));
    }
}

async fn write(db: Db, name: String, plan: Plan) {
    for (unit, (owners, refuse)) in plan.into_iter().enumerate() {
        let entries = owners.into_iter().enumerate();
        let entries: Vec<NewEntry> = entries
            .map(|(place, owner)| entry(owner, &format!("{name}-{unit}"), place as i64 + 1))
            .collect();
        let answer = db.execute(&system(), Publish { entries, refuse }).await;
        assert_eq!(answer.is_err(), refuse, "{answer:?}");
    }
}

/// Reads along; every page has to begin right after the one before.
async fn follow(db: Db, after: i64, ended: Arc<AtomicBool>) -> Vec<Entry> {
    let reader = reader(&db);
    let mut seen: Vec<Entry> = Vec::new();
    loop {
        // Asked before reading, so that the last turn sees everything.
        let last_turn = ended.load(Ordering::SeqCst);
        let after = seen.last().map_or(after, |entry| entry.position);
        let page = reader
            .list(&system(), after, 7, None)
            .await
            .expect("a page without a gap");
        if page.is_empty() && last_turn {
            return seen;
        }
        for entry in page {
            assert_eq!(
                entry.position,
                seen.last().map_or(after, |entry| entry.position) + 1
            );
            seen.push(entry);
        }
        tokio::task::yield_now().await;
    }
}

fn check(entries: &[Entry]) {
    let mut partners: BTreeMap<&str, i64> = BTreeMap::new();
    let mut units = HashSet::new();
    let mut last: Option<&Entry> = None;
    for (index, entry) in entries.iter().enumerate() {
        assert_eq!(entry.position, index as i64 + 1);
        if entry.partner_id.is_empty() {
            assert_eq!(entry.partner_position, 0);
        } else {
            let position = partners.entry(&entry.partner_id).or_default();
            *position += 1;
            assert_eq!(entry.partner_position, *position);
        }
        // The entries of one unit stand together and in the order they were published in.
        match last {
            Some(last) if last.aggregate_id == entry.aggregate_id => {
                assert_eq!(number(entry), number(last) + 1);
            }
            _ => {
                assert!(units.insert(&entry.aggregate_id), "a unit was torn apart");
                assert_eq!(number(entry), 1);
            }
        }
        last = Some(entry);
    }
}

fn number(entry: &Entry) -> i64 {
    entry.etag.parse().expect("a number")
}
