//! Connections and answers that get lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kit::caller::Caller;
use kit::clock::SystemClock;
use kit::errors::Fault;
use kit::ids::SystemIds;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor, PgConnection};
use store::db::Point;
use store::{Db, DbConfig, Engine, sql};
use testkit::fault::FaultPoints;
use testkit::{
    Cut, PrivatePostgres, Proxy, Settings, Setup, TestDb, eventually_async, on_both_engines, op,
};

use crate::schema::{MIGRATIONS, Put, effects, setup};

const BOUND: Duration = Duration::from_secs(60);

/// A database that fails where it is told to.
async fn failing(t: &TestDb, attempts_max: u32) -> (Db, Arc<FaultPoints>) {
    let points = FaultPoints::new();
    let around = store::db::Surroundings {
        faults: Some(points.clone()),
        ..store::db::Surroundings::new(t.clock.clone(), t.ids.clone())
    };
    let config = DbConfig {
        attempts_max,
        backoff_ms: 1,
        ..t.config().clone()
    };
    t.close().await;
    (
        Db::open_with(&config, "test", around).await.expect("open"),
        points,
    )
}

on_both_engines! {
    setup: setup();

    async fn a_connection_lost_before_commit_runs_again(t: TestDb) {
        let (db, points) = failing(&t, 5).await;
        points.strike(Point::BeforeCommit, 1);
        assert_eq!(db.execute(&t.caller(), Put::new("a")).await.expect("done"), "a");
        assert_eq!((points.left(), effects(&db).await), (0, vec!["a".to_owned()]));
        db.close().await;
    }

    async fn a_lost_answer_to_commit_runs_the_keyed_unit_again(t: TestDb) {
        let (db, points) = failing(&t, 5).await;
        points.strike(Point::AfterCommit, 1);
        assert_eq!(db.execute(&t.caller(), Put::new("a")).await.expect("done"), "a");
        assert_eq!((points.left(), effects(&db).await), (0, vec!["a".to_owned()]));
        db.close().await;
    }

    async fn answers_lost_again_and_again_are_unknown(t: TestDb) {
        let (db, points) = failing(&t, 2).await;
        points.strike(Point::AfterCommit, 2);
        let answer = db.execute(&t.caller(), Put::new("a")).await;
        assert!(matches!(answer, Err(Fault::Unknown { .. })), "{answer:?}");
        // Asked again with the same key it is told.
        points.clear();
        assert_eq!(db.execute(&t.caller(), Put::new("a")).await.expect("done"), "a");
        assert_eq!(effects(&db).await, ["a"]);
        db.close().await;
    }

    async fn a_refusal_after_a_lost_answer_is_unknown(t: TestDb) {
        // Not keyed: it refuses its own effect. Saying so would deny what was done.
        let (db, points) = failing(&t, 3).await;
        let unkeyed = op("unkeyed", |tx| {
            Box::pin(async move {
                let (count,) = sql!(tx, one (i64,), "SELECT COUNT(*) FROM effect")?;
                if count > 0 {
                    return Err(kit::errors::Refusal::not_found("effect").into());
                }
                sql!(tx, execute, "INSERT INTO effect (id, amount) VALUES ('a', 1)")?;
                Ok(())
            })
        });
        points.strike(Point::AfterCommit, 1);
        let answer = db.execute(&t.caller(), unkeyed).await;
        assert!(matches!(answer, Err(Fault::Unknown { .. })), "{answer:?}");
        db.close().await;
    }
}

/// A server of the test's own, and a network before it.
struct Remote {
    server: PrivatePostgres,
    proxy: Proxy,
    db: Db,
}

impl Remote {
    /// None when there is no PostgreSQL, which the other tests say.
    async fn start(settings: Settings, change: fn(&mut DbConfig)) -> Option<Remote> {
        let server = PrivatePostgres::start_or_skip(settings)?;
        let proxy = Proxy::start(server.socket()).await.expect("a proxy");
        let mut config = DbConfig::at(proxy.url("vitrine_service", "postgres"));
        config.migrate_url = Some(proxy.url("vitrine", "postgres"));
        config.backoff_ms = 1;
        change(&mut config);
        let clock = SystemClock::shared();
        let db = Db::open(&config, "test", clock.clone(), SystemIds::shared(clock))
            .await
            .expect("open");
        db.migrate(&MIGRATIONS).await.expect("migrated");
        Some(Remote { server, proxy, db })
    }

    async fn put(&self, id: &str) -> Result<String, Fault> {
        self.db.execute(&Caller::system("test"), Put::new(id)).await
    }

    async fn admin(&self) -> PgConnection {
        let options: PgConnectOptions = self
            .server
            .url("postgres")
            .parse()
            .expect("the URL of a private server");
        options.connect().await.expect("a connection")
    }
}

fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(test);
}

#[test]
fn a_network_that_fails_at_commit_is_survived() {
    run(async {
        let Some(remote) = Remote::start(Settings::default(), |_| {}).await else {
            return;
        };
        for (at, cut) in [Cut::BeforeServer, Cut::BeforeClient, Cut::OnServer]
            .into_iter()
            .enumerate()
        {
            remote.proxy.cut_next(cut);
            let id = format!("{at}");
            assert_eq!(remote.put(&id).await.expect("done"), id, "{cut:?}");
            assert_eq!(remote.proxy.cuts_left(), 0);
        }
        assert_eq!(effects(&remote.db).await, ["0", "1", "2"]);
        remote.db.close().await;
    });
}

#[test]
fn a_network_that_keeps_failing_is_unknown() {
    run(async {
        let Some(remote) =
            Remote::start(Settings::default(), |config| config.attempts_max = 2).await
        else {
            return;
        };
        remote.proxy.cut_next(Cut::BeforeServer);
        remote.proxy.cut_next(Cut::BeforeClient);
        let answer = remote.put("a").await;
        assert!(matches!(answer, Err(Fault::Unknown { .. })), "{answer:?}");
        assert_eq!(effects(&remote.db).await, ["a"]);
        remote.db.close().await;
    });
}

/// The socket stays open, so that nothing but a limit of ours ends the waiting.
#[test]
fn a_server_that_falls_silent_is_not_waited_for() {
    run(async {
        let limits = |config: &mut DbConfig| {
            config.attempts_max = 2;
            config.unit_timeout_ms = 300;
            config.acquire_timeout_ms = 2_000;
        };
        let Some(remote) = Remote::start(Settings::default(), limits).await else {
            return;
        };
        let caller = Caller::system("test");
        let hush = || {
            op("hush", |tx| {
                Box::pin(async move {
                    sql!(
                        tx,
                        execute,
                        "INSERT INTO effect (id, amount) VALUES ('hush', 1)"
                    )?;
                    Ok(())
                })
            })
        };
        remote.proxy.cut_at(b"'hush'", Cut::Silent);
        let answer = within(remote.db.execute(&caller, hush())).await;
        assert!(matches!(answer, Err(Fault::Busy { .. })), "{answer:?}");
        remote.proxy.cut_at(b"BEGIN ISOLATION", Cut::Silent);
        let answer = within(remote.put("begin")).await;
        assert!(matches!(answer, Err(Fault::Busy { .. })), "{answer:?}");
        assert!(effects(&remote.db).await.is_empty());
        // COMMIT: in doubt, so the keyed unit runs again.
        remote.proxy.cut_next(Cut::Silent);
        assert_eq!(within(remote.put("a")).await.expect("done"), "a");
        remote.proxy.cut_next(Cut::Silent);
        remote.proxy.cut_next(Cut::Silent);
        let answer = within(remote.put("b")).await;
        assert!(matches!(answer, Err(Fault::Unknown { .. })), "{answer:?}");
        assert_eq!(remote.proxy.cuts_left(), 0);
        assert_eq!(effects(&remote.db).await, ["a"]);
        remote.db.close().await;
    });
}

async fn within<T>(answer: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, answer)
        .await
        .expect("an answer in time")
}

/// The worst moment: the connection is gone and COMMIT still runs, so that nobody else can see yet what
/// it will turn out to have done. A rerun that only looked would find nothing; one that claims its key
/// waits.
#[test]
fn a_commit_that_still_runs_is_waited_for() {
    run(async {
        let settings = Settings {
            more: ["wal_level=replica", "max_wal_senders=1"]
                .map(str::to_owned)
                .into(),
            ..Settings::default()
        };
        let limits = |config: &mut DbConfig| config.lock_timeout_ms = 200;
        let Some(remote) = Remote::start(settings, limits).await else {
            return;
        };
        let mut admin = remote.admin().await;
        // COMMIT waits for a standby that does not exist; the administrator's own do not.
        for text in [
            "SET synchronous_commit = local",
            "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
            "SELECT pg_reload_conf()",
        ] {
            admin.execute(text).await.expect("set");
        }
        let shown = "SELECT 1 WHERE current_setting('synchronous_standby_names') = 'nobody'";
        wait_for(&remote, shown).await;
        remote.proxy.cut_next(Cut::OnServer);
        let answer = remote.put("a").await;
        assert!(matches!(answer, Err(Fault::Unknown { .. })), "{answer:?}");
        let (seen,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM effect")
            .fetch_one(&mut admin)
            .await
            .expect("seen");
        assert_eq!(seen, 0, "nobody can see it yet");
        for text in [
            "ALTER SYSTEM RESET synchronous_standby_names",
            "SELECT pg_reload_conf()",
        ] {
            admin.execute(text).await.expect("reset");
        }
        wait_for(&remote, "SELECT 1 FROM effect WHERE id = 'a'").await;
        assert_eq!(remote.put("a").await.expect("the same key"), "a");
        assert_eq!(effects(&remote.db).await, ["a"]);
        remote.db.close().await;
    });
}

/// Waits, on new connections, until the query has a row.
async fn wait_for(remote: &Remote, text: &'static str) {
    let found = eventually_async(BOUND, || async {
        let mut connection = remote.admin().await;
        let row: Option<(i32,)> = sqlx::query_as(text)
            .fetch_optional(&mut connection)
            .await
            .expect("an answer");
        row.is_some()
    });
    assert!(found.await, "{text}");
}

#[test]
fn connections_that_died_in_the_pool_are_replaced_unnoticed() {
    run(async {
        let Some(remote) =
            Remote::start(Settings::default(), |config| config.attempts_max = 1).await
        else {
            return;
        };
        let puts = (0..8).map(|at| remote.put(["a", "b", "c", "d", "e", "f", "g", "h"][at]));
        futures::future::try_join_all(puts).await.expect("done");
        let mut admin = remote.admin().await;
        let killed = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'vitrine-test'";
        admin.execute(killed).await.expect("terminated");
        assert_eq!(remote.put("next").await.expect("at the first run"), "next");
        remote.db.close().await;
    });
}

#[test]
fn a_server_that_is_not_there_is_busy_and_nothing_is_done() {
    run(async {
        let Some(mut remote) = Remote::start(Settings::default(), |config| {
            config.acquire_timeout_ms = 300
        })
        .await
        else {
            return;
        };
        remote.server.stop();
        let answer = remote.put("a").await;
        assert!(
            matches!(answer, Err(Fault::Busy { .. } | Fault::ConnectionLost(_))),
            "{answer:?}"
        );
        remote.server.start_again().expect("again");
        assert_eq!(remote.put("b").await.expect("done"), "b");
        assert_eq!(effects(&remote.db).await, ["b"]);
        remote.db.close().await;
    });
}

#[test]
fn kill_nine_loses_nothing_that_was_acknowledged() {
    run(async {
        let Some(mut remote) = Remote::start(Settings::default(), |_| {}).await else {
            return;
        };
        let stop = Arc::new(AtomicBool::new(false));
        let callers: Vec<_> = (0..8)
            .map(|caller| {
                let (db, stop) = (remote.db.clone(), stop.clone());
                kit::spawn("caller", async move {
                    let mut acknowledged = Vec::new();
                    let mut at = 0;
                    while !stop.load(Ordering::SeqCst) {
                        let id = format!("{caller}-{at:05}");
                        if db
                            .execute(&Caller::system("test"), Put::new(&id))
                            .await
                            .is_ok()
                        {
                            acknowledged.push(id);
                        }
                        at += 1;
                    }
                    acknowledged
                })
            })
            .collect();
        for round in 1..=3i64 {
            wait_until_written(&remote.db, round * 40).await;
            remote = tokio::task::spawn_blocking(move || {
                remote.server.kill();
                remote.server.start_again().expect("again");
                remote
            })
            .await
            .expect("killed and started");
        }
        wait_until_written(&remote.db, 200).await;
        stop.store(true, Ordering::SeqCst);
        let there = {
            let mut acknowledged = Vec::new();
            for caller in callers {
                acknowledged.extend(caller.await.expect("ended"));
            }
            let there = effects(&remote.db).await;
            acknowledged.retain(|id| there.binary_search(id).is_err());
            assert_eq!(acknowledged, Vec::<String>::new(), "acknowledged and gone");
            there
        };
        assert!(there.len() >= 200);
        remote.db.close().await;
    });
}

async fn wait_until_written(db: &Db, rows: i64) {
    let written = eventually_async(BOUND, || async {
        let count = op("count", |tx| {
            Box::pin(async move { Ok(sql!(tx, one(i64,), "SELECT COUNT(*) FROM effect")?.0) })
        });
        db.read(&Caller::system("test"), count)
            .await
            .is_ok_and(|count| count >= rows)
    });
    assert!(written.await, "{rows} rows");
}

#[test]
fn a_setup_can_bring_its_faults() {
    let points = FaultPoints::new();
    let faults = setup().faults(points.clone());
    testkit::run(Engine::Sqlite, faults, |t| async move {
        points.strike_operation(Point::BeforeCommit, "put", 1);
        t.execute(Put::new("a")).await.expect("done");
        assert_eq!(points.left(), 0);
        let _ = Setup::new();
    });
}
