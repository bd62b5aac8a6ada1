//! SQLite's one writer: units that share a commit, and that never notice each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kit::errors::{ErrorReason, Fault, Refusal};
use store::{Engine, Operation, Tx, sql};
use testkit::TestDb;

use crate::schema::{Gate, effects, setup};

/// What one member of a group does.
#[derive(Clone, Copy)]
enum Deed {
    Put,
    Orphan,
    Refuse,
    Panic,
    TooLarge,
}

struct Member {
    id: String,
    deed: Deed,
    runs: Arc<AtomicU32>,
}

impl Operation for Member {
    type Output = i64;

    fn name(&self) -> &'static str {
        "member"
    }

    async fn run(&self, tx: &mut Tx) -> Result<i64, Fault> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        sql!(
            tx,
            execute,
            "INSERT INTO effect (id, amount) VALUES ($1, 1)",
            &self.id
        )?;
        match self.deed {
            Deed::Put => {}
            // The parent is looked for at the commit, which is everybody's.
            Deed::Orphan => {
                sql!(
                    tx,
                    execute,
                    "UPDATE effect SET parent_id = 'nobody' WHERE id = $1",
                    &self.id
                )?;
            }
            Deed::Refuse => return Err(Refusal::new(ErrorReason::WrongState, "no").into()),
            Deed::Panic => panic!("on purpose"),
            Deed::TooLarge => {
                // A disk of less than a megabyte.
                sql!(tx, one(i64,), "PRAGMA max_page_count = 200")?;
                let bytes = vec![1u8; 4 * 1024 * 1024];
                sql!(
                    tx,
                    execute,
                    "INSERT INTO sample (id, bytes) VALUES ($1, $2)",
                    &self.id,
                    bytes
                )?;
            }
        }
        // Those before it in the group are there for it.
        let (count,) = sql!(tx, one(i64,), "SELECT COUNT(*) FROM effect")?;
        Ok(count)
    }
}

struct Outcome {
    answer: Result<i64, Fault>,
    runs: u32,
}

/// Runs the deeds as one group: they queue while the writer is held.
async fn group(t: &TestDb, deeds: &[Deed]) -> Vec<Outcome> {
    let gate = Gate::new();
    let (db, caller, first) = (t.db.clone(), t.caller(), gate.put("0"));
    let first = kit::spawn("first", async move { db.execute(&caller, first).await });
    gate.reached().await;
    let mut waiting = Vec::new();
    for (at, deed) in deeds.iter().enumerate() {
        let runs = Arc::new(AtomicU32::new(0));
        let member = Member {
            id: format!("{}", at + 1),
            deed: *deed,
            runs: runs.clone(),
        };
        let (db, caller) = (t.db.clone(), t.caller());
        let mut unit = Box::pin(async move { db.execute(&caller, member).await });
        assert!(futures::poll!(&mut unit).is_pending());
        waiting.push((unit, runs));
    }
    gate.open(deeds.len() + 1);
    let mut outcomes = Vec::new();
    for (unit, runs) in waiting {
        outcomes.push(Outcome {
            answer: unit.await,
            runs: runs.load(Ordering::SeqCst),
        });
    }
    first.await.expect("ended").expect("the first");
    outcomes
}

#[test]
fn members_of_a_group_see_those_before_them() {
    testkit::run(Engine::Sqlite, setup(), |t| async move {
        let outcomes = group(&t, &[Deed::Put; 5]).await;
        let counts: Vec<_> = outcomes
            .into_iter()
            .map(|o| (o.answer.expect("done"), o.runs))
            .collect();
        assert_eq!(counts, [(2, 1), (3, 1), (4, 1), (5, 1), (6, 1)]);
    });
}

#[test]
fn a_member_that_fails_is_undone_alone() {
    testkit::run(Engine::Sqlite, setup(), |t| async move {
        let outcomes = group(
            &t,
            &[Deed::Put, Deed::Refuse, Deed::Put, Deed::Panic, Deed::Put],
        )
        .await;
        assert!(outcomes.iter().all(|outcome| outcome.runs == 1));
        assert!(matches!(outcomes[1].answer, Err(Fault::Refused(_))));
        assert!(matches!(outcomes[3].answer, Err(Fault::Internal(_))));
        let counts: Vec<_> = outcomes
            .into_iter()
            .filter_map(|outcome| outcome.answer.ok())
            .collect();
        assert_eq!(counts, [2, 3, 4]);
        assert_eq!(effects(&t).await, ["0", "1", "3", "5"]);
    });
}

#[test]
fn a_member_that_spoils_the_commit_fails_alone() {
    testkit::run(Engine::Sqlite, setup(), |t| async move {
        let outcomes = group(&t, &[Deed::Put, Deed::Orphan, Deed::Refuse, Deed::Put]).await;
        // Once together and once each alone: proof that they did share a commit.
        assert!(outcomes.iter().all(|outcome| outcome.runs == 2));
        assert!(
            matches!(outcomes[1].answer, Err(Fault::Internal(_))),
            "{:?}",
            outcomes[1].answer
        );
        assert!(matches!(outcomes[2].answer, Err(Fault::Refused(_))));
        assert!(outcomes[0].answer.is_ok() && outcomes[3].answer.is_ok());
        assert_eq!(effects(&t).await, ["0", "1", "4"]);
    });
}

#[test]
fn a_full_disk_costs_only_whoever_fills_it() {
    testkit::run(Engine::Sqlite, setup(), |t| async move {
        let outcomes = group(&t, &[Deed::Put, Deed::TooLarge, Deed::Put]).await;
        assert!(
            matches!(outcomes[1].answer, Err(Fault::Busy { .. })),
            "{:?}",
            outcomes[1].answer
        );
        assert!(outcomes[0].answer.is_ok() && outcomes[2].answer.is_ok());
        // SQLite had ended the whole transaction; those that were in it ran again.
        let runs: Vec<_> = outcomes.iter().map(|outcome| outcome.runs).collect();
        assert_eq!(runs, [2, 2, 1]);
        assert_eq!(effects(&t).await, ["0", "1", "3"]);
    });
}

#[test]
fn a_group_has_a_size() {
    let setup = crate::schema::limited(|config| config.group_max = 2);
    testkit::run(Engine::Sqlite, setup, |t| async move {
        // The first and one more share a commit; the orphan spoils only the group it is in.
        let outcomes = group(&t, &[Deed::Put, Deed::Put, Deed::Orphan, Deed::Put]).await;
        assert_eq!(
            outcomes
                .iter()
                .map(|outcome| outcome.runs)
                .collect::<Vec<_>>(),
            [1, 2, 2, 1]
        );
        assert_eq!(effects(&t).await, ["0", "1", "2", "4"]);
    });
}

#[test]
fn many_callers_lose_nothing() {
    testkit::run(Engine::Sqlite, setup(), |t| async move {
        let callers = (0..16).map(|caller| {
            let (db, who) = (t.db.clone(), t.caller());
            kit::spawn("caller", async move {
                for at in 0..50 {
                    let put = crate::schema::Put::new(format!("{caller:02}-{at:02}"));
                    db.execute(&who, put).await.expect("done");
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.expect("ended");
        }
        assert_eq!(effects(&t).await.len(), 800);
    });
}
