//! One effect for one key.

use std::sync::Arc;
use std::time::Duration;

use contracts::ErrorReason;
use contracts::catalog::v1::Partner;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use store::feed::{SweepConfig, Sweeper};
use store::idempotency::{Fingerprint, Idempotent, Keyed, SweepKeys};
use store::{Db, Operation, Tx, sql};
use tokio::sync::Barrier;
use tokio_util::sync::CancellationToken;

use crate::support::*;
use testkit::{TestDb, on_both_engines, op};

on_both_engines! {
    setup: patient();

    async fn twins_have_one_effect_and_one_answer(t: TestDb) {
        t.db.execute(&system(), Ddl::Things).await.expect("a table");
        for round in 0..5 {
            let key = format!("key-{round}");
            let barrier = Arc::new(Barrier::new(24));
            let twins: Vec<_> = (0..24).map(|caller| {
                let (db, key, barrier) = (t.db.clone(), key.clone(), barrier.clone());
                kit::spawn("test", async move {
                    barrier.wait().await;
                    create(&db, &format!("caller-{caller}"), &key, &key, 1).await
                })
            }).collect();
            let mut answers = Vec::new();
            for twin in twins {
                answers.push(twin.await.expect("a twin").expect("an answer"));
            }
            answers.dedup();
            // The answer names who created it, so all of them heard of the same one creation.
            assert_eq!(answers.len(), 1, "{answers:?}");
        }
        assert_eq!(count(&t.db, "thing").await, 5);
        assert_eq!(count(&t.db, "feed").await, 5);
    }

    async fn the_first_answer_is_given_again(t: TestDb) {
        t.db.execute(&system(), Ddl::Things).await.expect("a table");
        let first = create(&t.db, "ann", "k", "thing_1", 1).await.expect("created");
        let again = create(&t.db, "bob", "k", "thing_1", 1).await.expect("replayed");
        assert_eq!((first.display_name.as_str(), again.display_name.as_str()), ("ann", "ann"));
        let other_key = create(&t.db, "bob", "k2", "thing_2", 1).await.expect("created");
        assert_eq!(other_key.display_name, "bob");
    }

    async fn the_same_key_for_something_else_is_refused(t: TestDb) {
        t.db.execute(&system(), Ddl::Things).await.expect("a table");
        create(&t.db, "ann", "k", "thing_1", 1).await.expect("created");
        let refusal = create(&t.db, "ann", "k", "thing_1", 2).await.expect_err("another size");
        assert_eq!(refusal.refusal().map(|refusal| refusal.reason), Some(ErrorReason::KeyReused));
        assert_eq!(count(&t.db, "thing").await, 1);
        // Scope and method are part of the key.
        for (scope, method) in [("other", "create"), ("scope", "other")] {
            let keyed = Keyed { scope: scope.into(), method, ..keyed("k", "thing_9", 1) };
            let id = format!("thing_{scope}_{method}");
            run(&t.db, "ann", keyed, &id, 1).await.expect("another key");
        }
    }

    async fn refusals_are_not_remembered(t: TestDb) {
        t.db.execute(&system(), Ddl::Things).await.expect("a table");
        let refused = run(&t.db, "ann", keyed("k", "thing_1", 1), "refuse", 1).await;
        assert!(matches!(refused, Err(Fault::Refused(_))));
        let failed = run(&t.db, "ann", keyed("k", "thing_1", -1), "thing_1", -1).await;
        assert!(matches!(failed, Err(Fault::Internal(_))), "{failed:?}");
        assert_eq!(count(&t.db, "idempotency").await, 0);
        create(&t.db, "ann", "k", "thing_1", 1).await.expect("now it is done");
        assert_eq!(count(&t.db, "thing").await, 1);
    }

    async fn twins_of_which_the_first_is_refused_still_have_one_effect(t: TestDb) {
        t.db.execute(&system(), Ddl::Things).await.expect("a table");
        // Half of them are refused in the middle of their work, at random places in the queue.
        let twins: Vec<_> = (0..20).map(|caller| {
            let db = t.db.clone();
            let id = if caller % 2 == 0 { "refuse" } else { "thing_1" };
            kit::spawn("test", async move { run(&db, "ann", keyed("k", "thing_1", 1), id, 1).await })
        }).collect();
        let mut done = 0;
        for twin in twins {
            match twin.await.expect("a twin") {
                Ok(answer) => { done += 1; assert_eq!(answer.display_name, "ann") }
                Err(fault) => assert!(matches!(fault, Fault::Refused(_)), "{fault:?}"),
            }
        }
        assert!(done >= 10);
        assert_eq!(count(&t.db, "thing").await, 1);
    }

    async fn keys_are_forgotten_after_their_time_and_not_before(t: TestDb) {
        t.db.execute(&system(), Ddl::Things).await.expect("a table");
        for number in 0..7 {
            create(&t.db, "ann", &format!("old-{number}"), &format!("old-{number}"), 1).await.expect("created");
        }
        t.clock.advance(Duration::from_secs(8 * 24 * 3_600));
        create(&t.db, "ann", "young", "young", 1).await.expect("created");
        let sweep = SweepKeys { keep: Duration::from_secs(7 * 24 * 3_600), rows_max: 3 };
        assert_eq!(t.db.execute(&system(), sweep).await.expect("a sweep"), 3, "bounded");
        let sweeper = Sweeper::new(t.db.clone(), SweepConfig { sweep_rows_max: 2, ..SweepConfig::default() });
        sweeper.sweep(&system(), &CancellationToken::new()).await.expect("a sweep");
        assert_eq!(count(&t.db, "idempotency").await, 1);
        let again = create(&t.db, "bob", "young", "young", 1).await.expect("replayed");
        assert_eq!(again.display_name, "ann");
    }

    async fn a_feed_that_cannot_be_swept_does_not_keep_the_keys(t: TestDb) {
        t.db.execute(&system(), Ddl::Things).await.expect("a table");
        create(&t.db, "ann", "old", "old", 1).await.expect("created");
        t.clock.advance(Duration::from_secs(8 * 24 * 3_600));
        t.db.execute(&system(), op("broken", |tx| Box::pin(async move {
            sql!(tx, execute, "DELETE FROM feed_head WHERE scope <> 'audit'")?;
            Ok(())
        }))).await.expect("broken");
        let sweeper = Sweeper::new(t.db.clone(), SweepConfig::default());
        sweeper.sweep(&system(), &CancellationToken::new()).await.expect_err("no head");
        assert_eq!(count(&t.db, "idempotency").await, 0);
    }

    async fn a_replay_is_audited_as_one(t: TestDb) {
        t.db.execute(&system(), Ddl::Things).await.expect("a table");
        create(&t.db, "ann", "k", "thing_1", 1).await.expect("created");
        create(&t.db, "ann", "k", "thing_1", 1).await.expect("replayed");
        let outcomes = t.db.read(&system(), Outcomes).await.expect("rows");
        assert_eq!(outcomes, ["done", "replayed"]);
    }
}

#[test]
fn parts_of_a_fingerprint_cannot_run_into_each_other() {
    let of = |parts: &[&str]| {
        parts
            .iter()
            .fold(Fingerprint::default(), |print, part| print.text(part))
            .finish()
    };
    assert_eq!(of(&["ab", "c"]), of(&["ab", "c"]));
    assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
    assert_ne!(of(&["ab"]), of(&["ab", ""]));
    assert_ne!(
        Fingerprint::default().number(1).finish(),
        Fingerprint::default().number(2).finish()
    );
    let message = Partner {
        display_name: "x".into(),
        ..Partner::default()
    };
    assert_eq!(
        Fingerprint::of(&message),
        Fingerprint::default().message(&message).finish()
    );
}

fn keyed(key: &str, id: &str, size: i64) -> Keyed {
    Keyed::new(
        "scope",
        "create",
        key,
        Fingerprint::default().text(id).number(size).finish(),
    )
}

async fn create(db: &Db, who: &str, key: &str, id: &str, size: i64) -> Result<Partner, Fault> {
    run(db, who, keyed(key, id, size), id, size).await
}

async fn run(db: &Db, who: &str, keyed: Keyed, id: &str, size: i64) -> Result<Partner, Fault> {
    let create = Create {
        id: id.to_owned(),
        size,
    };
    let render = |creator: &String| Partner {
        display_name: creator.clone(),
        ..Partner::default()
    };
    let caller = Caller {
        subject: who.to_owned(),
        ..system()
    };
    db.execute(&caller, Idempotent::new(keyed, create, render))
        .await
}

struct Create {
    id: String,
    size: i64,
}

impl Operation for Create {
    type Output = String;

    fn name(&self) -> &'static str {
        "test.create"
    }

    async fn run(&self, tx: &mut Tx) -> Result<String, Fault> {
        if self.id == "refuse" {
            return Err(Refusal::wrong_state("thing", "REFUSED", "told to refuse").into());
        }
        let creator = tx.caller().subject.clone();
        sql!(
            tx,
            execute,
            "INSERT INTO thing (id, creator, size) VALUES ($1, $2, $3)",
            &self.id,
            &creator,
            self.size
        )?;
        tx.publish(entry(None, &self.id, 1));
        tx.audit("test.create", self.id.as_str(), "done");
        Ok(creator)
    }
}

struct Outcomes;

impl Operation for Outcomes {
    type Output = Vec<String>;

    fn name(&self) -> &'static str {
        "test.outcomes"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<String>, Fault> {
        let rows = sql!(
            tx,
            all(String,),
            "SELECT outcome FROM audit WHERE action = 'test.create' ORDER BY position"
        )?;
        Ok(rows.into_iter().map(|(outcome,)| outcome).collect())
    }
}
