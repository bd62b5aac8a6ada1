//! A service's database, and how units of work get run on it.

mod config;
mod faults;
mod observe;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use kit::caller::{Caller, Tenant};
use kit::clock::{Micros, SharedClock};
use kit::errors::Fault;
use kit::ids::SharedIds;
use kit::scope::Scope;
use tokio::sync::watch;

pub use config::DbConfig;
pub(crate) use config::invalid;
pub use faults::{Faults, Point};
pub(crate) use observe::outcome;
pub use observe::{Meter, Observation, Observer};

use crate::error::StoreError;
use crate::keys::ShopperKeys;
use crate::migrate::{self, Migrations};
use crate::operation::Operation;
use crate::postgres::PgBackend;
use crate::sqlite::SqliteBackend;
use crate::tx::{Engine, UnitScope};

/// Whose clock [`crate::Tx::now`] reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeSource {
    /// PostgreSQL's own clock, so that replicas agree; SQLite, being in the process, has none of its
    /// own and uses the injected one.
    #[default]
    Database,
    /// The injected clock on either engine; for tests.
    Injected,
}

/// What a database is given beside its configuration.
#[derive(Clone)]
pub struct Surroundings {
    /// Time, for SQLite, for measuring and for tests.
    pub clock: SharedClock,
    /// Identifiers and randomness.
    pub ids: SharedIds,
    /// Whose clock transactions read.
    pub time: TimeSource,
    /// Who is told about units that ended.
    pub observer: Arc<dyn Observer>,
    /// Where the database fails; only in tests.
    pub faults: Option<Arc<dyn Faults>>,
    /// The keys that personal data is sealed with; none for a service that keeps none.
    pub keys: Option<ShopperKeys>,
}

impl Surroundings {
    /// What production has.
    pub fn new(clock: SharedClock, ids: SharedIds) -> Self {
        Surroundings {
            clock,
            ids,
            time: TimeSource::Database,
            observer: Arc::new(Meter::global()),
            faults: None,
            keys: None,
        }
    }
}

/// A handle on a service's database; cheap to clone.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    backend: Backend,
    // Those opened by [`Db::apart`]; they end with this one.
    apart: Mutex<Vec<Weak<Inner>>>,
}

impl Inner {
    fn new(shared: Arc<Shared>, backend: Backend) -> Arc<Self> {
        Arc::new(Inner {
            shared,
            backend,
            apart: Mutex::default(),
        })
    }
}

enum Backend {
    Postgres(PgBackend),
    Sqlite(SqliteBackend),
}

impl Backend {
    async fn close(&self) {
        match self {
            Backend::Postgres(backend) => backend.close().await,
            Backend::Sqlite(backend) => backend.close().await,
        }
    }
}

/// What both engines need to run units.
pub(crate) struct Shared {
    pub(crate) config: DbConfig,
    pub(crate) service: &'static str,
    pub(crate) engine: Engine,
    pub(crate) around: Surroundings,
    commits: watch::Sender<u64>,
    asked: AtomicU64,
}

impl Shared {
    /// A commit put something into the feed.
    pub(crate) fn published(&self) {
        self.commits.send_modify(|count| *count += 1);
    }

    /// The delay that a rehearsal asked for; all locks are held meanwhile, as they are while a disk is slow.
    pub(crate) async fn delay_commit(&self) {
        if let Some(delay) = self.config.commit_delay() {
            tokio::time::sleep(delay).await;
        }
    }

    pub(crate) fn scope(
        &self,
        operation: &'static str,
        (caller, tenant): (Arc<Caller>, Tenant),
        now: Micros,
        write: bool,
    ) -> UnitScope {
        UnitScope {
            operation,
            caller,
            tenant,
            now,
            ids: self.around.ids.clone(),
            keys: self.around.keys.clone(),
            write,
        }
    }

    pub(crate) fn strikes(&self, point: Point, operation: &'static str) -> bool {
        self.around
            .faults
            .as_ref()
            .is_some_and(|faults| faults.strike(point, operation))
    }

    /// Tells the observer how a unit ended, and hands on its answer.
    pub(crate) fn ended<T>(
        &self,
        unit: &Started,
        runs: u32,
        answer: Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.around.observer.ended(&Observation {
            service: self.service,
            engine: self.engine,
            operation: unit.operation,
            write: unit.write,
            outcome: outcome(&answer),
            runs,
            duration: self
                .around
                .clock
                .instant()
                .saturating_duration_since(unit.at),
        });
        answer
    }
}

/// A unit that was asked for.
#[derive(Clone, Copy)]
pub(crate) struct Started {
    pub(crate) operation: &'static str,
    pub(crate) write: bool,
    at: Instant,
}

impl Db {
    /// Opens the database of `service`. A SQLite file is created when it is missing; PostgreSQL is
    /// connected to when the first unit needs it, so that a server may come up before its database.
    pub async fn open(
        config: &DbConfig,
        service: &'static str,
        clock: SharedClock,
        ids: SharedIds,
    ) -> Result<Db, StoreError> {
        Db::open_with(config, service, Surroundings::new(clock, ids)).await
    }

    /// The same, with everything that can be given.
    pub async fn open_with(
        config: &DbConfig,
        service: &'static str,
        around: Surroundings,
    ) -> Result<Db, StoreError> {
        let engine = config.check()?;
        if let Some(delay) = config.commit_delay() {
            tracing::warn!(
                service,
                ?delay,
                "every commit is put off on purpose; commit_delay_ms is for rehearsals"
            );
        }
        let shared = Arc::new(Shared {
            config: config.clone(),
            service,
            engine,
            around,
            commits: watch::Sender::new(0),
            asked: AtomicU64::new(0),
        });
        let backend = match engine {
            Engine::Postgres => Backend::Postgres(PgBackend::open(shared.clone())?),
            Engine::Sqlite => Backend::Sqlite(SqliteBackend::open(shared.clone()).await?),
        };
        Ok(Db {
            inner: Inner::new(shared, backend),
        })
    }

    /// The same database with connections of its own, whose answers come to the runtime that this is called in.
    /// None on SQLite, whose one writer has a thread anyway.
    pub(crate) fn apart(&self) -> Result<Option<Db>, StoreError> {
        let Backend::Postgres(_) = &self.inner.backend else {
            return Ok(None);
        };
        let shared = self.inner.shared.clone();
        let backend = Backend::Postgres(PgBackend::open_apart(shared.clone())?);
        let inner = Inner::new(shared, backend);
        let mut apart = self
            .inner
            .apart
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        apart.retain(|other| other.strong_count() > 0);
        apart.push(Arc::downgrade(&inner));
        Ok(Some(Db { inner }))
    }

    /// Which engine it is.
    pub fn engine(&self) -> Engine {
        self.inner.shared.engine
    }

    /// The service whose database it is.
    pub fn service(&self) -> &'static str {
        self.inner.shared.service
    }

    /// The injected clock; decisions use [`crate::Tx::now`] instead.
    pub fn clock(&self) -> SharedClock {
        self.inner.shared.around.clock.clone()
    }

    /// The injected identifiers and randomness.
    pub fn ids(&self) -> SharedIds {
        self.inner.shared.around.ids.clone()
    }

    /// The keys that personal data is sealed with.
    pub fn keys(&self) -> Result<ShopperKeys, Fault> {
        let keys = self.inner.shared.around.keys.clone();
        keys.ok_or_else(|| Fault::internal("this database was opened without a key store"))
    }

    /// Runs a unit of work and commits it.
    ///
    /// It runs in a task of its own; dropping this future only stops the waiting, never the unit. It is
    /// run again after a conflict or a lost connection, see [`Operation`]. The faults keep their meaning:
    /// `Refused`, `Busy`, `Conflict`, `ConnectionLost` and `Internal` say that nothing was done,
    /// `Unknown` that it may have been.
    pub async fn execute<O: Operation>(
        &self,
        caller: &Caller,
        operation: O,
    ) -> Result<O::Output, Fault> {
        let started = self.start(operation.name(), true);
        match &self.inner.backend {
            Backend::Postgres(backend) => backend.run(started, caller, operation).await,
            Backend::Sqlite(backend) => backend.write(started, caller, operation).await,
        }
    }

    /// Runs a unit that only reads, on one snapshot. Publishing or auditing in it is a fault.
    pub async fn read<O: Operation>(
        &self,
        caller: &Caller,
        operation: O,
    ) -> Result<O::Output, Fault> {
        let started = self.start(operation.name(), false);
        match &self.inner.backend {
            Backend::Postgres(backend) => backend.run(started, caller, operation).await,
            Backend::Sqlite(backend) => backend.read(started, caller, operation).await,
        }
    }

    /// How many units of work were asked for by calls, on whoever's behalf; background work is not counted. That a
    /// refused call never came so far is told from this.
    pub fn asked_by_calls(&self) -> u64 {
        self.inner.shared.asked.load(Ordering::Relaxed)
    }

    fn start(&self, operation: &'static str, write: bool) -> Started {
        if Scope::is_set() {
            self.inner.shared.asked.fetch_add(1, Ordering::Relaxed);
        }
        Started {
            operation,
            write,
            at: self.inner.shared.around.clock.instant(),
        }
    }

    /// Counts the commits of this process that put something into the feed.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.inner.shared.commits.subscribe()
    }

    /// Brings the schema up to date: the store's own tables first, then the service's. Safe to call
    /// from several processes at once, and again.
    pub async fn migrate(&self, migrations: &Migrations) -> Result<(), StoreError> {
        migrate::run(self.inner.shared.clone(), Some(*migrations)).await
    }

    /// The store's own tables alone.
    pub async fn migrate_store(&self) -> Result<(), StoreError> {
        migrate::run(self.inner.shared.clone(), None).await
    }

    /// The migrations that the database still lacks, by number and name; empty when it is up to date.
    pub async fn pending(&self, migrations: &Migrations) -> Result<Vec<String>, StoreError> {
        migrate::pending(self.inner.shared.clone(), *migrations).await
    }

    /// Whether the database answers; for readiness. It has a connection of its own beside those that are
    /// configured, so that load alone does not make a server look unready.
    pub async fn ping(&self) -> Result<(), Fault> {
        let caller = Caller::system("ping");
        let started = self.start(Ping.name(), false);
        match &self.inner.backend {
            Backend::Postgres(backend) => backend.ping(started, &caller, Ping).await,
            Backend::Sqlite(backend) => backend.ping(started, &caller, Ping).await,
        }
    }

    /// Why no unit will run, for a process that starts: the role that PostgreSQL knows us by is above the tables'
    /// policies. None when all is well, and when the database cannot be asked just now; units find out then.
    pub async fn role_problem(&self) -> Option<&'static str> {
        match &self.inner.backend {
            Backend::Postgres(backend) => backend.role_problem().await,
            Backend::Sqlite(_) => None,
        }
    }

    /// Refuses new units as busy, lets those under way end, and closes every connection. May be called
    /// again.
    pub async fn close(&self) {
        let apart = std::mem::take(
            &mut *self
                .inner
                .apart
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for other in apart.iter().filter_map(Weak::upgrade) {
            other.backend.close().await;
        }
        self.inner.backend.close().await;
    }
}

struct Ping;

impl Operation for Ping {
    type Output = ();

    fn name(&self) -> &'static str {
        "ping"
    }

    async fn run(&self, tx: &mut crate::Tx) -> Result<(), Fault> {
        let _: (i64,) = crate::sql!(tx, one(i64,), "SELECT CAST(1 AS BIGINT)")?;
        Ok(())
    }
}
