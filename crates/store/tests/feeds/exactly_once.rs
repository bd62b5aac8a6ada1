//! Every entry takes effect exactly once, in the order of its aggregate, whatever is taken away in the
//! middle: replicas that crash, commits whose answer is lost, handlers that fail now and then.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contracts::ErrorReason;
use contracts::catalog::v1::CatalogFeedEntry;
use contracts::common::v1::FeedMeta;
use kit::errors::{Fault, Refusal};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use store::consumer::ConsumerConfig;
use store::db::{Faults, Point};
use store::idempotency::{Fingerprint, Idempotent, Keyed};
use store::{Db, NewEntry};

use crate::support::*;
use testkit::{TestDb, on_both_engines};

/// How an entry misbehaves: how often, and with which fault.
type Trouble = (u32, u8);

#[derive(Clone, Debug)]
struct Plan {
    /// The aggregate of each entry and its trouble.
    entries: Vec<(usize, Trouble)>,
    /// How many entries are published at a time.
    stride: usize,
    replicas: usize,
    batch_max: u32,
    /// After how many microseconds which replica crashes.
    crashes: Vec<(u64, usize)>,
}

fn plans() -> impl Strategy<Value = Plan> {
    let trouble = prop_oneof![6 => Just((0, 0)), 1 => (1u32..4, 0u8..4)];
    (
        vec((0usize..6, trouble), 20..120),
        1usize..20,
        1usize..4,
        1u32..30,
        vec((0u64..15_000, 0usize..3), 0..12),
    )
        .prop_map(|(entries, stride, replicas, batch_max, crashes)| Plan {
            entries,
            stride,
            replicas,
            batch_max,
            crashes,
        })
}

/// Loses connections before a commit and answers after it, every now and then.
#[derive(Default)]
struct Unreliable {
    commits: AtomicU64,
}

impl Faults for Unreliable {
    fn strike(&self, point: Point, operation: &'static str) -> bool {
        let number = self.commits.fetch_add(1, Ordering::SeqCst);
        operation.starts_with("consumer.")
            && match point {
                Point::BeforeCommit => number % 11 == 4,
                Point::AfterCommit => number % 13 == 7,
            }
    }
}

on_both_engines! {
    setup: patient().faults(Arc::new(Unreliable::default()));

    async fn every_entry_takes_effect_exactly_once(t: TestDb) {
        t.db.execute(&system(), Ddl::Effects).await.expect("a table");
        let mut runner = TestRunner::deterministic();
        let mut expected = Vec::new();
        for case in 0..5 {
            let plan = plans().new_tree(&mut runner).expect("a plan").current();
            play(&t, case, plan.clone(), &mut expected).await;
            let found = effects(&t.db).await;
            assert_eq!(found, expected, "case {case}: {plan:?}");
        }
    }
}

async fn play(t: &TestDb, case: usize, plan: Plan, expected: &mut Vec<(String, i64)>) {
    let mut numbers = [0; 6];
    let mut troubles = HashMap::new();
    let mut entries = Vec::new();
    for (aggregate, trouble) in &plan.entries {
        numbers[*aggregate] += 1;
        let (id, number) = (format!("{case}-{aggregate}"), numbers[*aggregate]);
        entries.push(entry(None, &id, number));
        troubles.insert((id.clone(), number.to_string()), *trouble);
        expected.push((id, number));
    }
    let troubles = Arc::new(Mutex::new(troubles));
    let config = ConsumerConfig {
        batch_max: plan.batch_max,
        ..quick()
    };
    let start = |db: &Db| {
        Running::start(
            db,
            direct(db),
            Effects::new(trouble(troubles.clone())),
            config.clone(),
        )
    };
    let mut replicas: Vec<Running> = (0..plan.replicas).map(|_| start(&t.db)).collect();
    let mut chunks = entries.chunks(plan.stride).enumerate();
    for (after, replica) in plan.crashes {
        if let Some((number, chunk)) = chunks.next() {
            publish_once(t, format!("{case}-{number}"), chunk).await;
        }
        // A moment that nothing can be waited for in: wherever the replica is by then.
        let _ =
            tokio::time::timeout(Duration::from_micros(after), std::future::pending::<()>()).await;
        let replica = replica % replicas.len();
        std::mem::replace(&mut replicas[replica], start(&t.db)).crash();
        t.clock.advance(Duration::from_secs(1));
    }
    for (number, chunk) in chunks {
        publish_once(t, format!("{case}-{number}"), chunk).await;
    }
    let total = expected.len() as i64;
    until("everything is applied", || async {
        t.clock.advance(Duration::from_secs(1));
        count(&t.db, "effect").await >= total
    })
    .await;
    // Whoever is still in the middle of something gets the time to do it twice.
    for replica in &replicas {
        replica.caught_up(total).await;
    }
    for replica in replicas {
        replica.stop().await;
    }
}

/// Keyed, because on SQLite it shares commits with the consumers, and with them the lost answers.
async fn publish_once(t: &TestDb, key: String, entries: &[NewEntry]) {
    let keyed = Keyed::new("test", "publish", key, Fingerprint::default().finish());
    let publish = Idempotent::new(keyed, Publish::of(entries.to_vec()), |()| {
        CatalogFeedEntry::default()
    });
    t.db.execute(&system(), publish).await.expect("publishing");
}

fn trouble(
    troubles: Arc<Mutex<HashMap<(String, String), Trouble>>>,
) -> impl Fn(&FeedMeta) -> Option<Fault> + Send + Sync + 'static {
    move |meta| {
        let mut troubles = troubles.lock().expect("no panic holds it");
        let (times, kind) = troubles.get_mut(&(meta.aggregate_id.clone(), meta.etag.clone()))?;
        *times = times.checked_sub(1)?;
        Some(match kind {
            0 => Fault::busy("full", Duration::from_millis(1)),
            1 => Fault::Conflict("40001".into()),
            2 => Refusal::new(ErrorReason::WrongState, "not yet").into(),
            _ => Fault::internal("nobody knows why"),
        })
    }
}
