//! What becomes of a unit of work: reruns, refusals, panics, limits, time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kit::caller::Caller;
use kit::clock::{Clock, Micros, SystemClock};
use kit::errors::{ErrorReason, Fault, Refusal};
use kit::scope::Scope;
use store::db::{Observation, Observer, Surroundings, TimeSource};
use store::{Db, Engine, NewEntry, Operation, Tx, sql};
use testkit::{TestDb, on_both_engines, op};

use crate::schema::{Gate, Put, audit_rows, effects, limited, setup};

/// Conflicts as often as it is told to, after a write that must not stay.
struct Contended {
    conflicts: u32,
    runs: Arc<AtomicU32>,
}

impl Operation for Contended {
    type Output = u32;

    fn name(&self) -> &'static str {
        "contended"
    }

    async fn run(&self, tx: &mut Tx) -> Result<u32, Fault> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        let id = format!("run {run}");
        sql!(
            tx,
            execute,
            "INSERT INTO effect (id, amount) VALUES ($1, 1)",
            id
        )?;
        if run <= self.conflicts {
            Err(Fault::Conflict("a conflict".into()))
        } else {
            Ok(run)
        }
    }
}

fn refusal() -> Refusal {
    Refusal::new(ErrorReason::WrongState, "no")
}

on_both_engines! {
    setup: limited(|config| {
        config.attempts_max = 4;
        config.backoff_ms = 1;
    });

    async fn a_conflict_runs_the_whole_unit_again(t: TestDb) {
        let runs = Arc::new(AtomicU32::new(0));
        let answer = t.execute(Contended { conflicts: 2, runs: runs.clone() }).await;
        assert_eq!(answer.expect("the third run"), 3);
        assert_eq!(effects(&t).await, ["run 3"]);
    }

    async fn conflicts_are_given_up_after_so_many_runs(t: TestDb) {
        let runs = Arc::new(AtomicU32::new(0));
        let answer = t.execute(Contended { conflicts: 99, runs: runs.clone() }).await;
        assert!(matches!(answer, Err(Fault::Conflict(_))), "{answer:?}");
        assert_eq!(runs.load(Ordering::SeqCst), 4);
        assert!(effects(&t).await.is_empty());
        assert_eq!(t.execute(Put::new("next")).await.expect("the next unit"), "next");
    }

    async fn a_refusal_leaves_nothing_behind(t: TestDb) {
        let refused = op("refused", |tx| {
            Box::pin(async move {
                sql!(tx, execute, "INSERT INTO effect (id, amount) VALUES ('a', 1)")?;
                tx.publish(NewEntry::default());
                tx.audit("refused", "a", "done");
                Err::<(), _>(refusal().into())
            })
        });
        let before = *t.commits().borrow();
        let fault = t.execute(refused).await.expect_err("refused");
        assert_eq!(fault.refusal(), Some(&refusal()));
        assert!(effects(&t).await.is_empty());
        assert_eq!((audit_rows(&t).await, *t.commits().borrow()), (0, before));
    }

    async fn a_panic_is_an_internal_fault_and_leaves_nothing_behind(t: TestDb) {
        for _ in 0..3 {
            let panicking = op("panicking", |tx| {
                Box::pin(async move {
                    sql!(tx, execute, "INSERT INTO effect (id, amount) VALUES ('a', 1)")?;
                    if tx.is_write() {
                        panic!("on purpose");
                    }
                    Ok(())
                })
            });
            let fault = t.execute(panicking).await.expect_err("a panic");
            assert!(matches!(fault, Fault::Internal(_)), "{fault:?}");
            assert!(fault.chain().contains("operation panicking panicked"), "{}", fault.chain());
        }
        assert_eq!(t.execute(Put::new("next")).await.expect("the next unit"), "next");
        assert_eq!(effects(&t).await, ["next"]);
    }

    async fn a_failed_statement_cannot_be_swallowed(t: TestDb) {
        t.execute(Put::new("taken")).await.expect("put");
        let careless = op("careless", |tx| {
            Box::pin(async move {
                sql!(tx, execute, "INSERT INTO effect (id, amount) VALUES ('before', 1)")?;
                let _ = sql!(tx, execute, "INSERT INTO effect (id, amount) VALUES ('taken', 1)");
                let after = sql!(tx, execute, "INSERT INTO effect (id, amount) VALUES ('after', 1)");
                assert!(after.expect_err("the transaction is lost").is_unique());
                Ok(())
            })
        });
        assert!(matches!(t.execute(careless).await, Err(Fault::Internal(_))));
        assert_eq!(effects(&t).await, ["taken"]);
    }

    async fn a_savepoint_contains_a_failure(t: TestDb) {
        t.execute(Put::new("taken")).await.expect("put");
        let careful = op("careful", |tx| {
            Box::pin(async move {
                tx.audit("careful", "kept", "done");
                let step = tx.savepoint().await?;
                tx.audit("careful", "undone", "done");
                sql!(tx, execute, "INSERT INTO effect (id, amount) VALUES ('undone', 1)")?;
                sql!(tx, execute, "INSERT INTO effect (id, amount) VALUES ('taken', 1)").expect_err("taken");
                tx.rollback_to(step).await?;
                let step = tx.savepoint().await?;
                sql!(tx, execute, "INSERT INTO effect (id, amount) VALUES ('kept', 1)")?;
                tx.release(step).await?;
                Ok(())
            })
        });
        let audits = audit_rows(&t).await;
        t.execute(careful).await.expect("done");
        assert_eq!(effects(&t).await, ["kept", "taken"]);
        assert_eq!(audit_rows(&t).await, audits + 1);
    }

    async fn a_mutation_without_an_audit_row_gets_one(t: TestDb) {
        t.execute(Put::new("a")).await.expect("put");
        let named = op("named", |tx| {
            Box::pin(async move {
                let (action, outcome) = sql!(tx, one (String, String), "SELECT action, outcome FROM audit")?;
                Ok((action, outcome))
            })
        });
        assert_eq!(t.read(named).await.expect("read"), ("put".to_owned(), "done".to_owned()));
    }

    async fn a_read_cannot_write(t: TestDb) {
        let writing = t.read(Put::new("a")).await;
        assert!(matches!(writing, Err(Fault::Internal(_))), "{writing:?}");
        for publish in [true, false] {
            let publishing = op("publishing", move |tx| {
                Box::pin(async move {
                    if publish { tx.publish(NewEntry::default()) } else { tx.audit("a", "b", "c") }
                    Ok(())
                })
            });
            let fault = t.read(publishing).await.expect_err("a read");
            assert!(fault.chain().contains("in a read-only transaction"), "{}", fault.chain());
        }
        assert!(effects(&t).await.is_empty());
    }

    async fn a_read_sees_one_snapshot(t: TestDb) {
        let gate = Gate::new();
        let inside = gate.clone();
        let count = op("count-twice", move |tx| {
            let gate = inside.clone();
            Box::pin(async move {
                let (first,) = sql!(tx, one (i64,), "SELECT COUNT(*) FROM effect")?;
                gate.pass().await;
                let (second,) = sql!(tx, one (i64,), "SELECT COUNT(*) FROM effect")?;
                Ok((first, second))
            })
        });
        let (db, caller) = (t.db.clone(), t.caller());
        let reading = kit::spawn("reading", async move { db.read(&caller, count).await });
        gate.reached().await;
        t.execute(Put::new("a")).await.expect("put");
        gate.open(1);
        assert_eq!(reading.await.expect("ended").expect("read"), (0, 0));
        assert_eq!(effects(&t).await, ["a"]);
    }
}

on_both_engines! {
    setup: setup().time(TimeSource::Database);

    async fn time_stands_still_in_a_transaction(t: TestDb) {
        let before = SystemClock.now();
        let times = op("times", |tx| {
            Box::pin(async move {
                let first = tx.now();
                sql!(tx, execute, "INSERT INTO effect (id, amount) VALUES ($1, $2)", "a", first)?;
                Ok((first, tx.now()))
            })
        });
        let (first, second) = t.execute(times).await.expect("times");
        assert_eq!(first, second);
        match t.engine() {
            // Its own clock, which on this machine is ours.
            Engine::Postgres => assert!(before <= first && first <= SystemClock.now(), "{before:?} {first:?}"),
            Engine::Sqlite => assert_eq!(first, t.clock.now()),
        }
    }
}

on_both_engines! {
    setup: setup();

    async fn injected_time_and_ids_are_what_the_unit_sees(t: TestDb) {
        t.clock.set(Micros(42));
        let seen = op("seen", |tx| Box::pin(async move { Ok((tx.now(), tx.ids().random_u64(), tx.caller().subject.clone())) }));
        let (now, random, subject) = t.execute(seen).await.expect("seen");
        assert_eq!((now, subject.as_str()), (Micros(42), "system/test"));
        assert_ne!(random, 0);
    }

    async fn a_unit_whose_caller_no_longer_waits_is_not_begun(t: TestDb) {
        let scope = Scope { deadline: Some(t.clock.instant()), ..Scope::default() };
        let answer = scope.run(t.execute(Put::new("late"))).await;
        assert!(matches!(answer, Err(Fault::Busy { .. })), "{answer:?}");
        let deadline = t.clock.instant() + Duration::from_secs(5);
        let scope = Scope { deadline: Some(deadline), ..Scope::default() };
        scope.run(t.execute(Put::new("in time"))).await.expect("done");
        assert_eq!(effects(&t).await, ["in time"]);
    }

    async fn commits_are_counted_when_they_publish(t: TestDb) {
        let mut commits = t.commits();
        t.execute(Put::new("a")).await.expect("put");
        assert!(!commits.has_changed().expect("open"));
        let publishing = op("publishing", |tx| {
            Box::pin(async move {
                tx.publish(NewEntry { aggregate_id: "a".into(), kind: "k", ..NewEntry::default() });
                Ok(())
            })
        });
        t.execute(publishing).await.expect("published");
        commits.changed().await.expect("open");
        assert_eq!(*commits.borrow_and_update(), 1);
    }

    async fn the_caller_may_leave(t: TestDb) {
        let gate = Gate::new();
        {
            let caller = t.caller();
            let mut waiting = Box::pin(t.db.execute(&caller, gate.put("slow")));
            // Only as far as the operation, then the caller is gone.
            tokio::select! {
                _ = &mut waiting => unreachable!("it waits for us"),
                () = gate.reached() => {}
            }
        }
        gate.open(1);
        t.close().await;
        let again = t.reopen().await;
        assert_eq!(effects(&again).await, ["slow"]);
    }

    async fn closing_lets_units_end_and_refuses_new_ones(t: TestDb) {
        let (db, caller) = (t.db.clone(), t.caller());
        let puts: Vec<_> = (0..20)
            .map(|at| {
                let (db, caller) = (db.clone(), caller.clone());
                kit::spawn("put", async move { db.execute(&caller, Put::new(format!("{at:02}"))).await })
            })
            .collect();
        t.close().await;
        let mut done = Vec::new();
        for put in puts {
            match put.await.expect("ended") {
                Ok(id) => done.push(id),
                Err(fault) => assert!(matches!(fault, Fault::Busy { .. }), "{fault:?}"),
            }
        }
        done.sort();
        assert!(matches!(t.execute(Put::new("late")).await, Err(Fault::Busy { .. })));
        assert!(matches!(t.read(Put::new("late")).await, Err(Fault::Busy { .. })));
        t.close().await;
        assert_eq!(effects(&t.reopen().await).await, done);
    }

    async fn units_are_observed(t: TestDb) {
        t.close().await;
        let seen: Arc<Seen> = Arc::default();
        let around = Surroundings { observer: seen.clone(), ..Surroundings::new(t.clock.clone(), t.ids.clone()) };
        let db = Db::open_with(t.config(), "observed", around).await.expect("open");
        let caller = Caller::system("test");
        let runs = Arc::new(AtomicU32::new(0));
        db.execute(&caller, Contended { conflicts: 1, runs }).await.expect("done");
        let refused = op("refused", |_| Box::pin(async { Err::<(), _>(refusal().into()) }));
        db.read(&caller, refused).await.expect_err("refused");
        let seen: Vec<_> = seen.0.lock().expect("unpoisoned").iter().map(|o| (o.operation, o.write, o.outcome, o.runs)).collect();
        assert_eq!(seen, [("contended", true, "done", 2), ("refused", false, "refused", 1)]);
        db.close().await;
    }
}

#[derive(Default)]
struct Seen(std::sync::Mutex<Vec<Observation>>);

impl Observer for Seen {
    fn ended(&self, observation: &Observation) {
        assert_eq!(observation.service, "observed");
        assert!(observation.duration < Duration::from_secs(60));
        self.0.lock().expect("unpoisoned").push(*observation);
    }
}

on_both_engines! {
    setup: limited(|config| {
        config.queue_max = 3;
        config.max_connections = 1;
        config.reader_connections = 1;
        config.group_max = 1;
    });

    async fn a_full_queue_is_busy_at_once(t: TestDb) {
        let gate = Gate::new();
        let mut waiting = Vec::new();
        // On SQLite one runs and three wait; on PostgreSQL there are three in all.
        let ids = ["a", "b", "c", "d"];
        let room = if t.engine() == Engine::Sqlite { 4 } else { 3 };
        for (at, id) in ids.into_iter().take(room).enumerate() {
            let (db, caller, unit) = (t.db.clone(), t.caller(), gate.put(id));
            let mut unit = Box::pin(async move { db.execute(&caller, unit).await });
            assert!(futures::poll!(&mut unit).is_pending());
            waiting.push(unit);
            if at == 0 {
                gate.reached().await;
            }
        }
        let answer = t.execute(Put::new("one too many")).await;
        assert!(matches!(answer, Err(Fault::Busy { .. })), "{answer:?}");
        gate.open(room);
        for unit in waiting {
            unit.await.expect("done");
        }
        t.execute(Put::new("now")).await.expect("room again");
    }
}

on_both_engines! {
    setup: limited(|config| config.commit_delay_ms = 40);

    async fn a_rehearsed_delay_comes_before_every_commit(t: TestDb) {
        let begun = SystemClock.instant();
        t.execute(Put::new("a")).await.expect("put");
        assert!(SystemClock.instant().duration_since(begun) >= Duration::from_millis(40));
        assert_eq!(effects(&t).await, ["a"]);
    }
}
