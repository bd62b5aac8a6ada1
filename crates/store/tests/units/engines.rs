//! How the engines are set up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kit::caller::Caller;
use kit::clock::{Clock, SystemClock};
use kit::errors::Fault;
use kit::ids::SystemIds;
use kit::scope::Scope;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor};
use store::{Db, DbConfig, Engine, sql};
use testkit::{Setup, TestDb, op};

use crate::schema::{Gate, Put, limited, setup};

#[test]
fn sqlite_is_durable_and_strict_about_keys() {
    testkit::run(Engine::Sqlite, setup(), |t| async move {
        let settings = op("settings", |tx| {
            Box::pin(async move {
                let (synchronous,) =
                    sql!(tx, one(i64,), "SELECT synchronous FROM pragma_synchronous")?;
                let (keys,) = sql!(
                    tx,
                    one(i64,),
                    "SELECT foreign_keys FROM pragma_foreign_keys"
                )?;
                let (busy,) = sql!(tx, one(i64,), "SELECT timeout FROM pragma_busy_timeout")?;
                Ok([synchronous, keys, busy])
            })
        });
        assert_eq!(t.execute(settings).await.expect("settings"), [2, 1, 5_000]);
        let mode = op("mode", |tx| {
            Box::pin(async move {
                Ok(sql!(
                    tx,
                    one(String,),
                    "SELECT journal_mode FROM pragma_journal_mode"
                )?
                .0)
            })
        });
        assert_eq!(t.read(mode).await.expect("mode"), "wal");
    });
}

#[test]
fn sqlite_names_a_missing_folder() {
    testkit::run(Engine::Sqlite, Setup::new(), |t| async move {
        let config = DbConfig::at("sqlite:/no/such/folder/a.db");
        let error = Db::open(&config, "test", t.clock.clone(), t.ids.clone())
            .await
            .err()
            .expect("no folder");
        assert!(error.to_string().contains("/no/such/folder"), "{error}");
    });
}

#[test]
fn a_unit_cannot_hold_the_writer_for_ever() {
    let setup = limited(|config| config.unit_timeout_ms = 50);
    testkit::run(Engine::Sqlite, setup, |t| async move {
        let stuck = op("stuck", |tx| {
            Box::pin(async move {
                sql!(
                    tx,
                    execute,
                    "INSERT INTO effect (id, amount) VALUES ('stuck', 1)"
                )?;
                std::future::pending::<Result<(), Fault>>().await
            })
        });
        let fault = t.execute(stuck).await.expect_err("too long");
        assert!(
            fault.chain().contains("held the writer"),
            "{}",
            fault.chain()
        );
        t.execute(Put::new("next")).await.expect("the next unit");
        assert_eq!(crate::schema::effects(&t).await, ["next"]);
    });
}

#[test]
fn postgres_has_its_limits_its_name_and_its_schema() {
    testkit::run(Engine::Postgres, Setup::new(), |t| async move {
        let db = t
            .reopen_with(|config| {
                config.schema = Some("shop".into());
                config.statement_timeout_ms = 1_234;
                config.lock_timeout_ms = 2_345;
                config.idle_in_transaction_timeout_ms = 3_456;
            })
            .await;
        db.migrate(&crate::schema::MIGRATIONS)
            .await
            .expect("migrated");
        let settings = op("settings", |tx| {
            Box::pin(async move {
                Ok(sql!(
                    tx,
                    one(String, String, String, String, String),
                    "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),
                            current_setting('idle_in_transaction_session_timeout'),
                            current_setting('application_name'), CAST(current_schema() AS TEXT)"
                )?)
            })
        });
        let settings = db.execute(&t.caller(), settings).await.expect("settings");
        let expected = ("1234ms", "2345ms", "3456ms", "vitrine-test", "shop");
        let expected =
            [expected.0, expected.1, expected.2, expected.3, expected.4].map(str::to_owned);
        assert_eq!(
            [settings.0, settings.1, settings.2, settings.3, settings.4],
            expected
        );
        db.execute(&t.caller(), Put::new("in the shop"))
            .await
            .expect("put");
        let other = op("other", |tx| {
            Box::pin(async move { Ok(sql!(tx, one(i64,), "SELECT COUNT(*) FROM shop.effect")?.0) })
        });
        assert_eq!(t.read(other).await.expect("read"), 1);
        let collation = op("collation", |tx| {
            Box::pin(async move {
                Ok(sql!(
                    tx,
                    one (String,),
                    "SELECT CAST(datcollate AS TEXT) FROM pg_database WHERE datname = current_database()"
                )?.0)
            })
        });
        assert_eq!(t.read(collation).await.expect("read"), "C");
        db.close().await;
    });
}

#[test]
fn postgres_timeouts_are_busy_and_leave_nothing() {
    let setup = limited(|config| {
        config.statement_timeout_ms = 50;
        config.lock_timeout_ms = 30;
    });
    testkit::run(Engine::Postgres, setup, |t| async move {
        let slow = op("slow", |tx| {
            Box::pin(async move {
                sql!(
                    tx,
                    execute,
                    "INSERT INTO effect (id, amount) VALUES ('a', 1)"
                )?;
                sql!(tx, execute, "SELECT pg_sleep(10)")?;
                Ok(())
            })
        });
        assert!(matches!(t.execute(slow).await, Err(Fault::Busy { .. })));
        assert!(crate::schema::effects(&t).await.is_empty());
    });
}

#[test]
fn postgres_schemas_may_be_named_as_words_of_sql() {
    testkit::run(Engine::Postgres, Setup::new(), |t| async move {
        let db = t
            .reopen_with(|config| config.schema = Some("order".into()))
            .await;
        db.migrate(&crate::schema::MIGRATIONS)
            .await
            .expect("migrated");
        db.execute(&t.caller(), Put::new("a")).await.expect("put");
        let there = op("there", |tx| {
            Box::pin(
                async move { Ok(sql!(tx, one(i64,), "SELECT COUNT(*) FROM \"order\".effect")?.0) },
            )
        });
        assert_eq!(t.read(there).await.expect("read"), 1);
        db.close().await;
    });
}

#[test]
fn postgres_connections_to_what_became_a_standby_are_replaced() {
    let setup = limited(|config| {
        config.max_connections = 1;
        config.attempts_max = 2;
    });
    testkit::run(Engine::Postgres, setup, |t| async move {
        let backend = || {
            op("backend", |tx| {
                Box::pin(async move {
                    Ok(sql!(tx, one(i64,), "SELECT CAST(pg_backend_pid() AS BIGINT)")?.0)
                })
            })
        };
        let demoted = op("demoted", |tx| {
            Box::pin(async move {
                sql!(tx, execute, "SET default_transaction_read_only = on")?;
                Ok(())
            })
        });
        t.execute(demoted).await.expect("demoted");
        t.execute(Put::new("a"))
            .await
            .expect("on another connection");
        // To write where only reading was asked for is a mistake, and no reason to leave the connection.
        let before = t.read(backend()).await.expect("read");
        let answer = t.read(Put::new("b")).await;
        assert!(matches!(answer, Err(Fault::Internal(_))), "{answer:?}");
        assert_eq!(t.read(backend()).await.expect("read"), before);
    });
}

/// Makes the database answer COMMIT with this error, once if it is for `once`.
async fn refuse_commits(t: &TestDb, code: &str, once: bool) {
    let options: PgConnectOptions = t.owner_url().parse().expect("a URL");
    let mut connection = options.connect().await.expect("a connection");
    // A sequence remembers what a transaction that is rolled back forgets.
    let text = format!(
        "CREATE SEQUENCE IF NOT EXISTS refused;
         CREATE OR REPLACE FUNCTION refuse() RETURNS TRIGGER LANGUAGE plpgsql SECURITY DEFINER AS $$
         BEGIN
             IF nextval('refused') = 1 OR NOT {once} THEN
                 RAISE EXCEPTION 'no' USING ERRCODE = '{code}';
             END IF;
             RETURN NULL;
         END $$;
         DROP TRIGGER IF EXISTS refuse ON effect;
         CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON effect
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
    );
    let made = connection.execute(sqlx::AssertSqlSafe(text)).await;
    made.expect("a trigger");
    connection.close().await.expect("closed");
}

#[test]
fn postgres_commits_that_fail_are_in_doubt_unless_that_says_no() {
    let setup = limited(|config| config.attempts_max = 2);
    testkit::run(Engine::Postgres, setup, |t| async move {
        // disk_full: Busy if a statement says it.
        refuse_commits(&t, "53100", true).await;
        t.execute(Put::new("a")).await.expect("the second run");
        refuse_commits(&t, "53100", false).await;
        let answer = t.execute(Put::new("b")).await;
        assert!(matches!(answer, Err(Fault::Unknown { .. })), "{answer:?}");
        refuse_commits(&t, "23514", false).await;
        let answer = t.execute(Put::new("b")).await;
        assert!(matches!(answer, Err(Fault::Internal(_))), "{answer:?}");
        refuse_commits(&t, "40001", false).await;
        let answer = t.execute(Put::new("b")).await;
        assert!(matches!(answer, Err(Fault::Conflict(_))), "{answer:?}");
        assert_eq!(crate::schema::effects(&t).await, ["a"]);
    });
}

#[test]
fn postgres_is_called_once_for_each_run() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let config = DbConfig {
            max_connections: 8,
            attempts_max: 2,
            backoff_ms: 1,
            ..DbConfig::at(format!(
                "postgres://me@127.0.0.1:{port}/none?sslmode=disable"
            ))
        };
        let clock = SystemClock::shared();
        let db = Db::open(&config, "test", clock.clone(), SystemIds::shared(clock))
            .await
            .expect("open");
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let hang_up = kit::spawn("hang-up", async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        let answer = db.execute(&Caller::system("test"), Put::new("a")).await;
        assert!(
            matches!(answer, Err(Fault::ConnectionLost(_))),
            "{answer:?}"
        );
        assert_eq!(calls.load(Ordering::SeqCst), 2);
        hang_up.abort();
    });
}

testkit::on_both_engines! {
    setup: limited(|config| {
        config.max_connections = 1;
        config.reader_connections = 1;
        config.queue_max = 1;
    });

    async fn load_does_not_keep_a_ping_waiting(t: TestDb) {
        let gate = Gate::new();
        let slow = {
            let (db, caller, gate) = (t.db.clone(), t.caller(), gate.clone());
            kit::spawn("slow", async move {
                let slow = op("slow", move |_| {
                    let gate = gate.clone();
                    Box::pin(async move {
                        gate.pass().await;
                        Ok(())
                    })
                });
                db.read(&caller, slow).await
            })
        };
        gate.reached().await;
        assert!(matches!(t.read(op("more", |_| Box::pin(async { Ok(()) }))).await, Err(Fault::Busy { .. })));
        t.ping().await.expect("an answer");
        gate.open(1);
        slow.await.expect("ended").expect("done");
        t.close().await;
        assert!(matches!(t.ping().await, Err(Fault::Busy { .. })));
    }
}

async fn deadlocking(t: &TestDb, first: &'static str, second: &'static str) -> Result<(), Fault> {
    let gate = op("crossing", move |tx| {
        Box::pin(async move {
            sql!(
                tx,
                execute,
                "UPDATE effect SET amount = amount + 1 WHERE id = $1",
                first
            )?;
            // Long enough for both to hold their first row on the first run.
            sql!(tx, execute, "SELECT pg_sleep(0.05)")?;
            sql!(
                tx,
                execute,
                "UPDATE effect SET amount = amount + 1 WHERE id = $1",
                second
            )?;
            Ok(())
        })
    });
    t.execute(gate).await
}

#[test]
fn postgres_deadlocks_run_again() {
    testkit::run(Engine::Postgres, setup(), |t| async move {
        t.execute(Put::new("a")).await.expect("put");
        t.execute(Put::new("b")).await.expect("put");
        let (one, other) = futures::join!(deadlocking(&t, "a", "b"), deadlocking(&t, "b", "a"));
        one.expect("one");
        other.expect("other");
        let sum = op("sum", |tx| {
            Box::pin(async move {
                Ok(sql!(
                    tx,
                    one(i64,),
                    "SELECT CAST(SUM(amount) AS BIGINT) FROM effect"
                )?
                .0)
            })
        });
        assert_eq!(t.read(sum).await.expect("sum"), 6);
    });
}

#[test]
fn postgres_statements_get_what_is_left_of_the_callers_time() {
    testkit::run(Engine::Postgres, setup(), |t| async move {
        let limit = || {
            op("limit", |tx| {
                Box::pin(async move {
                    Ok(sql!(
                        tx,
                        one(String,),
                        "SELECT current_setting('statement_timeout')"
                    )?
                    .0)
                })
            })
        };
        for (left_ms, shown) in [(1_500, "1500ms"), (3_600_000, "10s")] {
            let deadline = t.clock.instant() + Duration::from_millis(left_ms);
            let scope = Scope {
                deadline: Some(deadline),
                ..Scope::default()
            };
            assert_eq!(scope.run(t.execute(limit())).await.expect("limit"), shown);
        }
        // The next unit on the same connection has its own.
        assert_eq!(t.execute(limit()).await.expect("limit"), "10s");
    });
}

#[test]
fn postgres_plans_that_a_migration_made_stale_are_replaced() {
    let setup = limited(|config| {
        config.attempts_max = 3;
        config.max_connections = 8;
    });
    testkit::run(Engine::Postgres, setup, |t| async move {
        let everything = || {
            op("everything", |tx| {
                Box::pin(async move {
                    // Long enough for each to have a connection of its own.
                    sql!(tx, execute, "SELECT pg_sleep(0.05)")?;
                    Ok(sql!(tx, all(String, i64), "SELECT * FROM effect")?.len())
                })
            })
        };
        t.execute(Put::new("a")).await.expect("put");
        for _ in 0..2 {
            let all = (0..8).map(|_| t.execute(everything()));
            assert_eq!(
                futures::future::try_join_all(all).await.expect("read"),
                [1; 8]
            );
            let wider = op("wider", |tx| {
                Box::pin(async move {
                    sql!(
                        tx,
                        execute,
                        "ALTER TABLE effect ADD COLUMN IF NOT EXISTS more TEXT"
                    )?;
                    Ok(())
                })
            });
            let owner = t.as_owner().await;
            let made = owner.execute(&t.caller(), wider).await;
            made.expect("a wider table");
            owner.close().await;
        }
    });
}
