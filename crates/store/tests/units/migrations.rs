//! Migrations: both engines alike, again without effect, at once from several processes.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, SqlSafeStr};
use store::{Engine, Migrations};
use testkit::{Setup, TestDb, on_both_engines};

use crate::schema::{MIGRATIONS, Put, effects, setup};

#[test]
fn the_stores_own_are_right() {
    testkit::check_store_migrations();
}

#[test]
fn those_of_these_tests_are_right() {
    testkit::check_migrations(MIGRATIONS);
}

/// Migrations that live as long as the test process.
fn migrations(
    postgres: &[(i64, &'static str, &'static str)],
    sqlite: &[(i64, &'static str, &'static str)],
) -> Migrations {
    let leak = |texts: &[(i64, &'static str, &'static str)]| -> &'static Migrator {
        let migrations = texts
            .iter()
            .map(|(version, name, text)| {
                Migration::new(
                    *version,
                    Cow::Borrowed(*name),
                    MigrationType::Simple,
                    text.into_sql_str(),
                    false,
                )
            })
            .collect();
        Box::leak(Box::new(Migrator::with_migrations(migrations)))
    };
    Migrations {
        postgres: leak(postgres),
        sqlite: leak(sqlite),
    }
}

fn complaint(migrations: Migrations) -> String {
    let panic = std::panic::catch_unwind(|| testkit::check_migrations(migrations))
        .expect_err("a complaint");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn what_is_wrong_is_named() {
    let only_sqlite = testkit::engines().len() == 1;
    let wrong = complaint(migrations(
        &[
            (
                1,
                "a",
                "CREATE TABLE a (id TEXT NOT NULL PRIMARY KEY, n BIGINT, w INTEGER, CONSTRAINT k UNIQUE (n))",
            ),
            (2, "b", "CREATE TABLE b (id TEXT NOT NULL PRIMARY KEY)"),
        ],
        &[
            (
                1,
                "a",
                "CREATE TABLE a (id TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL, w TEXT)",
            ),
            (
                2,
                "c",
                "CREATE TABLE c (id TEXT NOT NULL PRIMARY KEY, n INTEGER UNIQUE) STRICT",
            ),
        ],
    ));
    let expected = [
        "file 0002 b is there for PostgreSQL only",
        "file 0002 c is there for SQLite only",
        "sqlite: table a is not STRICT",
        "sqlite: c.n is in a key and may be NULL",
    ];
    let beside = [
        "postgres: a.w has type int4, which is not portable",
        "postgres: a.n is in a key and may be NULL",
        "table b is there on one engine only",
        "a.n: INTEGER or BOOLEAN NOT NULL on SQLite, INTEGER or BOOLEAN on PostgreSQL",
        "unique key a (n) is there on PostgreSQL only",
    ];
    for problem in expected
        .iter()
        .chain(beside.iter().filter(|_| !only_sqlite))
    {
        assert!(wrong.contains(problem), "missing: {problem}\nin: {wrong}");
    }
}

on_both_engines! {
    async fn several_at_once_migrate_once(t: TestDb) {
        // Handles of their own, as processes have them. The first migration takes long enough for all to
        // have seen that it is lacking.
        let slow = "CREATE TABLE a AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) \
                    SELECT i FROM n";
        let texts = [(1, "a", slow), (2, "b", "CREATE TABLE b (id TEXT)"), (3, "c", "CREATE TABLE c (id TEXT)")];
        let slow = migrations(&texts, &texts);
        let mut runs = Vec::new();
        for _ in 0..4 {
            let db = t.reopen().await;
            runs.push(kit::spawn("migrating", async move { db.migrate(&slow).await }));
        }
        for done in futures::future::join_all(runs).await {
            done.expect("ended").expect("migrated");
        }
        assert_eq!(t.pending(&slow).await.expect("pending"), Vec::<String>::new());
    }

    async fn pending_ones_are_named(t: TestDb) {
        let pending = t.pending(&MIGRATIONS).await.expect("pending");
        assert_eq!(pending, ["_migrations: 1 samples", "_migrations: 2 effects"]);
        t.migrate(&MIGRATIONS).await.expect("migrated");
        assert_eq!(t.pending(&MIGRATIONS).await.expect("pending"), Vec::<String>::new());
    }

    async fn a_changed_or_unknown_migration_is_refused(t: TestDb) {
        let text = "CREATE TABLE a (id TEXT NOT NULL PRIMARY KEY)";
        let first = [(1, "a", text)];
        t.migrate(&migrations(&first, &first)).await.expect("migrated");
        let changed = [(1, "a", "CREATE TABLE b (id TEXT NOT NULL PRIMARY KEY)")];
        let error = t.migrate(&migrations(&changed, &changed)).await.expect_err("changed").to_string();
        assert!(error.contains("migration 1 was changed after it had been applied"), "{error}");
        let error = t.migrate(&migrations(&[], &[])).await.expect_err("unknown").to_string();
        assert!(error.contains("the program is older than the database"), "{error}");
        let broken = [(1, "a", text), (2, "b", "CREATE TABLE a (id TEXT)")];
        let error = t.migrate(&migrations(&broken, &broken)).await.expect_err("broken").to_string();
        assert!(error.contains("migration 2 failed"), "{error}");
        // Nothing of it stays, so that a mended one can follow.
        let mended = [(1, "a", text), (2, "b", "CREATE TABLE b (id TEXT NOT NULL PRIMARY KEY)")];
        t.migrate(&migrations(&mended, &mended)).await.expect("mended");
    }
}

#[test]
fn who_migrates_is_waited_for_longer_than_for_any_lock() {
    let setup = setup().config(|config| config.lock_timeout_ms = 50);
    testkit::run(Engine::Postgres, setup, |t| async move {
        let options: PgConnectOptions = t.owner_url().parse().expect("a URL");
        let mut other = options.connect().await.expect("a connection");
        t.migrate(&MIGRATIONS).await.expect("nothing to do");
        let lock = "BEGIN; SELECT one FROM _migration_lock FOR UPDATE";
        other.execute(lock).await.expect("the lock");
        let db = t.db.clone();
        let waits = kit::spawn("migrating", async move { db.migrate(&MIGRATIONS).await });
        let mut looks = options.connect().await.expect("a connection");
        loop {
            let text = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() \
                        AND wait_event_type = 'Lock' AND query_start < clock_timestamp() - INTERVAL '200 ms'";
            if looks.fetch_optional(text).await.expect("seen").is_some() {
                break;
            }
            assert!(!waits.is_finished(), "it gave up");
        }
        other.execute("COMMIT").await.expect("let go");
        waits.await.expect("ended").expect("migrated");
        for connection in [other, looks] {
            connection.close().await.expect("closed");
        }
    });
}

on_both_engines! {
    setup: setup();

    async fn a_database_of_a_service_is_ready(t: TestDb) {
        t.execute(Put::new("a")).await.expect("put");
        t.migrate(&MIGRATIONS).await.expect("nothing to do");
        let _ = Setup::new();
        assert_eq!(effects(&t).await, ["a"]);
    }
}
