//! Callers that go away at any moment, on PostgreSQL with a pool of two.
//!
//! The same ordeal is run with the store's runner, which must come through, and with the runner that one
//! would write first, which must not: an ordeal that cannot tell them apart proves nothing.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use kit::caller::Caller;
use kit::clock::SystemClock;
use kit::ids::{IdSource, SeededIds};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgConnection, PgPool};
use store::{Db, Engine};
use testkit::{TestDb, eventually_async};

use crate::schema::{Put, limited};

const MOMENTS: usize = 1_000;
const CLIENTS: usize = 4;
const POOL: u32 = 2;
/// The server must not tidy up behind us while we look.
const NEVER_MS: u64 = 3_600_000;

const LEFT_OPEN: &str = "connections are left with an open transaction that nobody will end";
const GONE: &str = "acknowledged and gone";

/// How units of work get run.
trait Runner: Send + Sync {
    /// Adds a row in a transaction.
    fn put(&self, id: String) -> BoxFuture<'_, Result<(), String>>;
    /// Adds a row in whatever way this runner has for single writes.
    fn put_later(&self, id: String) -> BoxFuture<'_, Result<(), String>>;
}

struct Guarded(Db);

impl Runner for Guarded {
    fn put(&self, id: String) -> BoxFuture<'_, Result<(), String>> {
        async move {
            let done = self.0.execute(&Caller::system("test"), Put::new(id)).await;
            done.map(drop).map_err(|fault| fault.chain())
        }
        .boxed()
    }

    fn put_later(&self, id: String) -> BoxFuture<'_, Result<(), String>> {
        self.put(id)
    }
}

/// The transaction lives in the caller's future, and connections go back to the pool as they are.
struct Unguarded(PgPool);

const INSERT: &str = "INSERT INTO effect (id, amount) VALUES ($1, 1)";

impl Runner for Unguarded {
    #[allow(
        clippy::disallowed_methods,
        reason = "what it is not allowed for is shown here"
    )]
    fn put(&self, id: String) -> BoxFuture<'_, Result<(), String>> {
        async move {
            let mut tx = self.0.begin().await?;
            sqlx::query(INSERT).bind(id).execute(&mut *tx).await?;
            tx.commit().await
        }
        .map(|done: Result<(), sqlx::Error>| done.map_err(|error| error.to_string()))
        .boxed()
    }

    fn put_later(&self, id: String) -> BoxFuture<'_, Result<(), String>> {
        async move {
            let done = sqlx::query(INSERT).bind(id).execute(&self.0).await;
            done.map(drop).map_err(|error| error.to_string())
        }
        .boxed()
    }
}

/// What the ordeal looks at, over a connection of its own.
struct Watcher {
    connection: PgConnection,
}

impl Watcher {
    async fn new(t: &TestDb) -> Self {
        let options: PgConnectOptions = t.owner_url().parse().expect("the URL of a test database");
        Watcher {
            connection: options
                .application_name("watcher")
                .connect()
                .await
                .expect("a connection"),
        }
    }

    /// Connections with an open transaction, whatever they do.
    async fn open_transactions(&mut self) -> i64 {
        let (count,) = sqlx::query_as(
            "SELECT COUNT(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name <> 'watcher' AND xact_start IS NOT NULL
               AND backend_type = 'client backend'",
        )
        .fetch_one(&mut self.connection)
        .await
        .expect("pg_stat_activity");
        count
    }

    async fn missing(&mut self, ids: &[String]) -> Vec<String> {
        let missing: Vec<(String,)> = sqlx::query_as(
            "SELECT id FROM UNNEST($1::TEXT[]) AS wanted (id) WHERE id NOT IN (SELECT id FROM effect) ORDER BY id",
        )
        .bind(ids)
        .fetch_all(&mut self.connection)
        .await
        .expect("what is missing");
        missing.into_iter().map(|(id,)| id).collect()
    }
}

/// Starts a unit, goes on with it for a random while, and drops it.
async fn leave_at_some_moment(runner: &dyn Runner, id: String, random: u64) -> Option<String> {
    // Spread over magnitudes: a unit is over within some thousand polls, and its first few matter most.
    let polls = (random >> 32) % (1 << (random % 14));
    let mut unit = runner.put(id.clone());
    for _ in 0..=polls {
        match futures::poll!(&mut unit) {
            std::task::Poll::Ready(done) => return done.ok().map(|()| id),
            std::task::Poll::Pending => tokio::task::yield_now().await,
        }
    }
    None
}

/// Lets callers leave at random moments; answers with everything that is wrong afterwards.
async fn ordeal(
    runner: Arc<dyn Runner>,
    watcher: &mut Watcher,
    seed: u64,
    moments: usize,
    bound: Duration,
) -> Vec<String> {
    let clients = (0..CLIENTS).map(|client| {
        let runner = runner.clone();
        kit::spawn("client", async move {
            let random = SeededIds::new(seed ^ (client as u64) << 32, SystemClock::shared());
            let mut acknowledged = Vec::new();
            for at in 0..moments / CLIENTS {
                let id = format!("{seed}-{client}-{at:04}");
                acknowledged.extend(leave_at_some_moment(&*runner, id, random.random_u64()).await);
            }
            acknowledged
        })
    });
    let mut acknowledged = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        acknowledged.extend(client.await.expect("a client that ends"));
    }
    let mut problems = Vec::new();
    let mut left_open = !settles(watcher, bound).await;
    for at in 0..8 {
        let id = format!("{seed}-later-{at}");
        match runner.put_later(id.clone()).await {
            Ok(()) => acknowledged.push(id),
            Err(error) => problems.push(format!("a later write fails: {error}")),
        }
    }
    // Again, for what had been sent when we looked but not yet begun.
    left_open |= !settles(watcher, bound).await;
    if left_open {
        problems.push(LEFT_OPEN.to_owned());
    }
    let missing = watcher.missing(&acknowledged).await;
    if !missing.is_empty() {
        problems.push(format!("{GONE}: {}", missing.join(", ")));
    }
    problems
}

/// Waits until what was begun has ended.
async fn settles(watcher: &mut Watcher, bound: Duration) -> bool {
    let watcher = tokio::sync::Mutex::new(watcher);
    eventually_async(bound, || async {
        watcher.lock().await.open_transactions().await == 0
    })
    .await
}

fn setup() -> testkit::Setup {
    limited(|config| {
        config.max_connections = POOL;
        config.idle_in_transaction_timeout_ms = NEVER_MS;
        config.acquire_timeout_ms = 60_000;
    })
}

#[test]
fn callers_may_leave_at_any_moment() {
    testkit::run(Engine::Postgres, setup(), |t| async move {
        let mut watcher = Watcher::new(&t).await;
        let runner = Arc::new(Guarded(t.db.clone()));
        let problems = ordeal(runner, &mut watcher, 1, MOMENTS, Duration::from_secs(60)).await;
        assert_eq!(problems, Vec::<String>::new());
    });
}

#[test]
fn without_the_guard_the_ordeal_finds_out() {
    testkit::run(Engine::Postgres, setup(), |t| async move {
        let mut watcher = Watcher::new(&t).await;
        let mut problems = Vec::new();
        // The next `begin` on the same connection hides what the last one left, so look often: about one
        // short round in twenty is caught.
        for round in 0..1_000 {
            let options: PgConnectOptions =
                t.owner_url().parse().expect("the URL of a test database");
            let pool = PgPoolOptions::new().max_connections(POOL);
            let pool = pool.connect_with(options).await.expect("a pool");
            let runner = Arc::new(Unguarded(pool.clone()));
            let bound = Duration::from_millis(500);
            problems = ordeal(runner, &mut watcher, 100 + round, 2 * CLIENTS, bound).await;
            if found_out(&problems) {
                break;
            }
            pool.close().await;
        }
        assert!(found_out(&problems), "not found out: {problems:?}");
    });
}

fn found_out(problems: &[String]) -> bool {
    problems
        .iter()
        .any(|problem| problem == LEFT_OPEN || problem.starts_with(GONE))
}
