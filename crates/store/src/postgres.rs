//! Units of work on PostgreSQL.
//!
//! Every unit runs in a task that nobody cancels, on a connection that goes back to the pool only after
//! its COMMIT or ROLLBACK was answered. sqlx counts a transaction as open only once BEGIN was answered,
//! so a `begin` that is dropped halfway would leave an open transaction on a pooled connection, into
//! which later writes vanish; [`PgUnit`] closes such a connection instead.

mod connect;
mod role;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use kit::caller::{Caller, Tenant};
use kit::clock::Micros;
use kit::errors::Fault;
use kit::scope::Scope;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor, PgPool, Postgres, Row};
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::db::{Point, Shared, Started, TimeSource};
use crate::error::{Class, READ_ONLY, StoreError, TOO_LATE, busy, lost, unknown};
use crate::operation::{Operation, perform};
use crate::tx::{Conn, Tx};
pub(crate) use connect::{Purpose, options, quoted};
use role::{ROLE, RoleCheck};

const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
// One snapshot for all statements, as SQLite's readers have it.
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const NOW: &str = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";

/// A server, and the connections to it.
pub struct PgBackend {
    shared: Arc<Shared>,
    role: Arc<RoleCheck>,
    units: Connections,
    // Its own, so that whether the database answers is not asked behind everybody who waits for it.
    pings: Connections,
}

/// A pool, and how many may wait for it.
struct Connections {
    pool: PgPool,
    slots: Arc<Semaphore>,
}

/// A pooled connection while a unit of work has it.
pub struct PgUnit {
    connection: PoolConnection<Postgres>,
    // Whether it is known to have no open transaction.
    clean: bool,
}

impl PgUnit {
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for PgUnit {
    fn drop(&mut self) {
        if !self.clean {
            self.connection.close_on_drop();
        }
    }
}

/// How one run of a unit ended.
enum Run<T> {
    Done(T),
    /// Rolled back, or never begun.
    NotDone(Fault),
    /// COMMIT was sent and its answer lost.
    InDoubt(StoreError),
}

impl PgBackend {
    pub(crate) fn open(shared: Arc<Shared>) -> Result<Self, StoreError> {
        let max = shared.config.max_connections;
        PgBackend::open_with(shared, max)
    }

    /// For one that runs a unit at a time: always on the same connection, whose server process then has all that
    /// it needs at hand.
    pub(crate) fn open_apart(shared: Arc<Shared>) -> Result<Self, StoreError> {
        PgBackend::open_with(shared, 1)
    }

    fn open_with(shared: Arc<Shared>, max_connections: u32) -> Result<Self, StoreError> {
        let units = Connections::open(&shared, max_connections)?;
        let pings = Connections::open(&shared, 1)?;
        Ok(PgBackend {
            shared,
            role: Arc::default(),
            units,
            pings,
        })
    }

    pub(crate) async fn run<O: Operation>(
        &self,
        started: Started,
        caller: &Caller,
        operation: O,
    ) -> Result<O::Output, Fault> {
        self.run_on(&self.units, started, caller, operation).await
    }

    /// The same on the connection kept for that.
    pub(crate) async fn ping<O: Operation>(
        &self,
        started: Started,
        caller: &Caller,
        operation: O,
    ) -> Result<O::Output, Fault> {
        self.run_on(&self.pings, started, caller, operation).await
    }

    async fn run_on<O: Operation>(
        &self,
        connections: &Connections,
        started: Started,
        caller: &Caller,
        operation: O,
    ) -> Result<O::Output, Fault> {
        let Ok(slot) = connections.slots.clone().try_acquire_owned() else {
            let answer = Err(busy(
                "too many units of work wait for the database; try again",
            ));
            return self.shared.ended(&started, 0, answer);
        };
        let unit = Unit {
            pool: connections.pool.clone(),
            shared: self.shared.clone(),
            role: self.role.clone(),
            tenant: operation.tenant(caller),
            caller: Arc::new(caller.clone()),
            started,
        };
        let span = tracing::debug_span!("unit", operation = started.operation, engine = "postgres");
        let task = async move {
            let answer = unit.settle(operation).await;
            drop(slot);
            answer
        };
        match kit::spawn(started.operation, task.instrument(span)).await {
            Ok(answer) => answer,
            // Panics are caught inside; only the end of the runtime takes a task away, and then
            // nobody knows how far it was.
            Err(_) => Err(unknown(
                "the server stopped before the database had answered",
            )),
        }
    }

    /// Why units may not run as the role that the database knows us by; none when they may, and while it cannot be
    /// asked.
    pub(crate) async fn role_problem(&self) -> Option<&'static str> {
        self.role.ask(&self.shared).await;
        self.role.problem(&self.shared)
    }

    pub(crate) async fn close(&self) {
        for connections in [&self.units, &self.pings] {
            connections.close(&self.shared).await;
        }
    }
}

impl Connections {
    fn open(shared: &Shared, max: u32) -> Result<Self, StoreError> {
        let config = &shared.config;
        let pool = PgPoolOptions::new()
            .max_connections(max)
            .acquire_timeout(config.acquire_timeout())
            .max_lifetime(Duration::from_secs(config.connection_life_s))
            .idle_timeout(Duration::from_secs(config.connection_idle_s))
            // BEGIN finds out as well, and costs nothing extra.
            .test_before_acquire(false)
            .connect_lazy_with(options(shared, Purpose::Units)?);
        let slots = Arc::new(Semaphore::new(config.queue_max.min(Semaphore::MAX_PERMITS)));
        Ok(Connections { pool, slots })
    }

    async fn close(&self, shared: &Shared) {
        let all = u32::try_from(shared.config.queue_max).unwrap_or(u32::MAX);
        if let Ok(slots) = self.slots.acquire_many(all).await {
            self.slots.close();
            drop(slots);
        }
        self.pool.close().await;
    }
}

struct Unit {
    pool: PgPool,
    shared: Arc<Shared>,
    role: Arc<RoleCheck>,
    tenant: Tenant,
    caller: Arc<Caller>,
    started: Started,
}

impl Unit {
    /// Runs the unit until it has an answer.
    async fn settle<O: Operation>(&self, operation: O) -> Result<O::Output, Fault> {
        let config = &self.shared.config;
        let mut in_doubt = false;
        let mut runs = 0;
        let answer = loop {
            runs += 1;
            // What may have been done is settled even when nobody waits for it any more.
            let left = Scope::remaining(&*self.shared.around.clock).filter(|_| !in_doubt);
            let fault = match self.run_once(&operation, left).await {
                Run::Done(output) => break Ok(output),
                Run::NotDone(fault) => fault,
                Run::InDoubt(error) => {
                    tracing::warn!(operation = self.started.operation, %error, "lost the answer to COMMIT");
                    in_doubt = true;
                    // If it did take effect, readers of the feed should look.
                    self.shared.published();
                    // Whatever it was: only another run of the keyed unit can tell.
                    Fault::ConnectionLost(error.into())
                }
            };
            let again = matches!(fault, Fault::Conflict(_) | Fault::ConnectionLost(_));
            if again && runs < config.attempts_max {
                tracing::debug!(
                    operation = self.started.operation,
                    runs,
                    error = fault.chain(),
                    "runs again"
                );
                let pause = config.backoff(runs, self.shared.around.ids.random_u64());
                tokio::time::sleep(pause).await;
                continue;
            }
            // Once a COMMIT was sent, only success is an answer: a refusal may come from a run that
            // could not see the first one, because it is still committing, or that saw its effect.
            break Err(if in_doubt {
                unknown(
                    "whether this was done cannot be told just now; ask again with the same key",
                )
            } else {
                fault
            });
        };
        self.shared.ended(&self.started, runs, answer)
    }

    async fn run_once<O: Operation>(
        &self,
        operation: &O,
        left: Option<Duration>,
    ) -> Run<O::Output> {
        let (unit, now) = match self.begin(left).await {
            Ok(begun) => begun,
            Err(error) => return Run::NotDone(error.into()),
        };
        let Started {
            operation: name,
            write,
            ..
        } = self.started;
        let mut tx = Tx::new(
            Conn::Postgres(unit),
            self.shared
                .scope(name, (self.caller.clone(), self.tenant.clone()), now, write),
        );
        // A panic drops out of the operation only; the connection below it is closed with `tx`.
        let work = AssertUnwindSafe(perform(operation, &mut tx)).catch_unwind();
        // The connection is closed with `tx`: nobody knows what state it is in.
        let Ok(performed) = tokio::time::timeout(self.limit(), work).await else {
            return Run::NotDone(busy("the database did not answer in time; try again"));
        };
        let performed = performed.map(|done| done.map_err(|fault| misplaced(fault, write)));
        let Conn::Postgres(mut unit) = tx.conn else {
            return Run::NotDone(Fault::internal(
                "a PostgreSQL unit came back from another engine",
            ));
        };
        match performed {
            Ok(Ok((output, published))) => self.commit(unit, output, published).await,
            // The connection is gone, or wants replacing; if it is stale, then so are those that idle in
            // the pool.
            Ok(Err(Fault::ConnectionLost(error))) => {
                let error_of_store = error.downcast_ref::<StoreError>();
                if error_of_store.is_some_and(|error| error.class() == Class::Stale) {
                    while let Some(mut idle) = self.pool.try_acquire() {
                        idle.close_on_drop();
                    }
                }
                Run::NotDone(Fault::ConnectionLost(error))
            }
            Ok(Err(fault)) => {
                let answer = unit.connection().execute("ROLLBACK");
                let answer = tokio::time::timeout(self.limit(), answer).await;
                unit.clean = matches!(answer, Ok(Ok(_)));
                Run::NotDone(fault)
            }
            Err(_) => Run::NotDone(Fault::internal(format!("operation {name} panicked"))),
        }
    }

    async fn commit<T>(&self, mut unit: PgUnit, output: T, published: bool) -> Run<T> {
        let Started {
            operation, write, ..
        } = self.started;
        if self.shared.strikes(Point::BeforeCommit, operation) {
            return Run::NotDone(lost("before COMMIT").into());
        }
        if write {
            self.shared.delay_commit().await;
        }
        let answer = unit.connection().execute("COMMIT");
        let answer = match tokio::time::timeout(self.limit(), answer).await {
            Ok(answer) => answer,
            Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
        };
        if write && self.shared.strikes(Point::AfterCommit, operation) {
            return Run::InDoubt(lost("COMMIT"));
        }
        match answer {
            Ok(_) => {
                unit.clean = true;
                if published {
                    self.shared.published();
                }
                Run::Done(output)
            }
            Err(error) => {
                let error = StoreError::from_sqlx("COMMIT", &error);
                if write && !refuses_commit(error.code()) {
                    Run::InDoubt(error)
                } else {
                    Run::NotDone(error.into())
                }
            }
        }
    }

    /// The server's own limits do not help when the server, or the way to it, went without a word.
    fn limit(&self) -> Duration {
        Duration::from_millis(self.shared.config.unit_timeout_ms)
    }

    /// Opens a transaction and reads the time. A connection that died in the pool is replaced here,
    /// where nothing has been done yet; that there is no connecting to the server is another matter.
    async fn begin(&self, left: Option<Duration>) -> Result<(PgUnit, Micros), StoreError> {
        if left == Some(Duration::ZERO) {
            return Err(StoreError::refused("BEGIN", TOO_LATE).with_class(Class::Busy));
        }
        let mut tries = self.shared.config.max_connections;
        let asked = self.shared.around.clock.instant();
        loop {
            let connection = self.pool.acquire().await.map_err(begin_failed)?;
            Scope::queued(
                self.shared
                    .around
                    .clock
                    .instant()
                    .saturating_duration_since(asked),
            );
            match self.begin_on(connection, left).await {
                Err(error) if error.class() == Class::ConnectionLost && tries > 0 => tries -= 1,
                begun => return begun,
            }
        }
    }

    /// BEGIN; a shorter limit for statements when the caller waits no longer than that; whose rows the tables' policies
    /// let through, the time, and once what the role is. All in one, so that none costs a round trip of its own.
    fn begin_text(&self, left: Option<Duration>, asks_role: bool) -> String {
        let begin = if self.started.write {
            BEGIN_WRITE
        } else {
            BEGIN_READ
        };
        let mut text = begin.to_owned();
        let limit_ms = u128::from(self.shared.config.statement_timeout_ms);
        let left_ms = left.map(|left| left.as_millis().max(1));
        if let Some(left_ms) = left_ms.filter(|left_ms| limit_ms == 0 || *left_ms < limit_ms) {
            text.push_str(&format!("; SET LOCAL statement_timeout = {left_ms}"));
        }
        text.push_str(&format!(
            "; SELECT set_config('vitrine.partners', '{}', true)",
            self.tenant
        ));
        if self.shared.around.time == TimeSource::Database {
            text.push_str(", ");
            text.push_str(NOW);
        }
        if asks_role {
            text.push_str(", ");
            text.push_str(ROLE);
        }
        text
    }

    async fn begin_on(
        &self,
        connection: PoolConnection<Postgres>,
        left: Option<Duration>,
    ) -> Result<(PgUnit, Micros), StoreError> {
        // Asked again, because waiting for the connection took some of it.
        let left = left.and_then(|_| Scope::remaining(&*self.shared.around.clock));
        if left == Some(Duration::ZERO) {
            return Err(StoreError::refused("BEGIN", TOO_LATE).with_class(Class::Busy));
        }
        let asks_role = !self.role.is_known();
        let text = self.begin_text(left, asks_role);
        let mut unit = PgUnit {
            connection,
            clean: false,
        };
        // Made of constants, a number, and ids of partners.
        let rows = sqlx::raw_sql(AssertSqlSafe(text.as_str())).fetch_all(unit.connection());
        let rows = tokio::time::timeout(self.shared.config.acquire_timeout(), rows)
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
            .map_err(begin_failed)?;
        let row = rows
            .first()
            .ok_or_else(|| begin_failed(sqlx::Error::RowNotFound))?;
        let now = match self.shared.around.time {
            TimeSource::Injected => self.shared.around.clock.now(),
            TimeSource::Database => Micros(row.try_get(1).map_err(begin_failed)?),
        };
        let above = asks_role.then(|| row.try_get(row.len() - 1));
        let above = above.transpose().map_err(begin_failed)?;
        self.role.check(&self.shared, above)?;
        Ok((unit, now))
    }
}

fn begin_failed(error: sqlx::Error) -> StoreError {
    StoreError::from_sqlx("BEGIN", &error)
}

/// Whether this answer to COMMIT proves that nothing was done: a conflict, or a deferred constraint. Any
/// other may have come after the effect.
fn refuses_commit(code: &str) -> bool {
    matches!(code, "40001" | "40P01") || code.starts_with("23")
}

/// A unit that may only read and wrote is our mistake, which no other connection mends.
fn misplaced(fault: Fault, write: bool) -> Fault {
    match fault {
        Fault::ConnectionLost(error)
            if !write
                && error
                    .downcast_ref::<StoreError>()
                    .is_some_and(|error| error.code() == READ_ONLY) =>
        {
            Fault::Internal(error)
        }
        fault => fault,
    }
}
