//! A database of one test's own.

use std::ops::Deref;
use std::sync::Arc;

use kit::caller::Caller;
use kit::clock::ManualClock;
use kit::errors::Fault;
use kit::ids::{SeededIds, SharedIds};
use kit::seal::FileKeys;
use store::db::{Faults, Surroundings, TimeSource};
use store::keys::{KEYS, KeysConfig};
use store::{Db, DbConfig, Engine, Migrations, Operation, ShopperKeys};
use tempfile::TempDir;

use crate::server::{Contents, Server, server};

/// What a test wants of its database. The default has the store's tables, the injected clock at
/// 2026-01-01 on both engines, and ids that follow from seed 1.
#[derive(Clone, Default)]
pub struct Setup {
    migrations: Option<Migrations>,
    time: Option<TimeSource>,
    seed: Option<u64>,
    faults: Option<Arc<dyn Faults>>,
    config: Option<fn(&mut DbConfig)>,
}

impl Setup {
    /// The default.
    pub fn new() -> Self {
        Setup::default()
    }

    /// With the tables of a service.
    pub fn migrations(mut self, migrations: Migrations) -> Self {
        self.migrations = Some(migrations);
        self
    }

    /// With another source of time; the default is [`TimeSource::Injected`].
    pub fn time(mut self, time: TimeSource) -> Self {
        self.time = Some(time);
        self
    }

    /// With other ids.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// With a database that fails on request; see [`crate::fault::FaultPoints`].
    pub fn faults(mut self, faults: Arc<dyn Faults>) -> Self {
        self.faults = Some(faults);
        self
    }

    /// With other limits.
    pub fn config(mut self, change: fn(&mut DbConfig)) -> Self {
        self.config = Some(change);
        self
    }
}

/// A database of one test's own, gone when this is dropped.
pub struct TestDb {
    /// The database.
    pub db: Db,
    /// The time in it; moves only when told to.
    pub clock: Arc<ManualClock>,
    /// Its ids: the same on every run.
    pub ids: SharedIds,
    /// The keys of its shoppers, in a store beside it; the same for [`TestDb::reopen`].
    pub keys: Option<ShopperKeys>,
    config: DbConfig,
    setup: Setup,
    // After `db`, so that the database is let go of before it is removed.
    _place: Place,
    _key_place: Option<KeyPlace>,
}

/// Where a test's key store is; gone when this is dropped.
struct KeyPlace {
    _folder: TempDir,
}

impl KeyPlace {
    async fn open(clock: &Arc<ManualClock>) -> (ShopperKeys, KeyPlace) {
        let folder = TempDir::new().expect("a temporary folder");
        // Its own ids, so that those of the test do not depend on what is sealed.
        let ids = SeededIds::shared(7_777, clock.clone());
        let config = DbConfig {
            wipe_deleted: true,
            ..DbConfig::at(format!(
                "sqlite:{}",
                folder.path().join("keys.db").display()
            ))
        };
        let around = Surroundings {
            time: TimeSource::Injected,
            ..Surroundings::new(clock.clone(), ids.clone())
        };
        let db = Db::open_with(&config, "test-keys", around)
            .await
            .expect("a key store that opens");
        db.migrate(&KEYS).await.expect("migrations that run");
        let file = folder.path().join("wrapping.keys");
        let wrap = FileKeys::load_or_create(&file, |into| ids.random_bytes(into));
        let wrap = Arc::new(wrap.expect("wrapping keys"));
        let keys = ShopperKeys::new(db, wrap, KeysConfig::default());
        (keys, KeyPlace { _folder: folder })
    }
}

/// Where a test database is; gone when this is dropped.
pub(crate) enum Place {
    File(#[allow(dead_code, reason = "removes the folder when it is dropped")] TempDir),
    Server {
        server: &'static Server,
        name: String,
    },
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Place::Server { server, name } = self {
            server.drop_database(std::mem::take(name));
        }
    }
}

impl Place {
    pub(crate) fn new(engine: Engine, contents: Contents) -> Option<Self> {
        match engine {
            Engine::Sqlite => Some(Place::File(TempDir::new().expect("a temporary folder"))),
            Engine::Postgres => {
                let server = server()?;
                let name = server.create(contents).expect("a test database");
                Some(Place::Server { server, name })
            }
        }
    }

    /// As whoever migrates.
    pub(crate) fn url(&self) -> String {
        match self {
            Place::File(folder) => format!("sqlite:{}", folder.path().join("test.db").display()),
            Place::Server { server, name } => server.url(name),
        }
    }

    /// As services do: on PostgreSQL an ordinary role, which the tables' policies hold for.
    pub(crate) fn config(&self) -> DbConfig {
        match self {
            Place::File(_) => DbConfig::at(self.url()),
            Place::Server { server, name } => DbConfig {
                migrate_url: Some(self.url()),
                ..DbConfig::at(server.service_url(name))
            },
        }
    }
}

impl TestDb {
    /// A new database; none when it would be on PostgreSQL and there is none, which was then said.
    pub async fn open(engine: Engine, setup: Setup) -> Option<TestDb> {
        let contents = setup.migrations.map_or(Contents::Store, Contents::Service);
        // Starting the server takes seconds, and no other test should wait for that.
        let place = tokio::task::spawn_blocking(move || Place::new(engine, contents));
        let place = place.await.expect("a place for the test database")?;
        let mut config = DbConfig {
            max_connections: 8,
            ..place.config()
        };
        if let Some(change) = setup.config {
            change(&mut config);
        }
        let clock = Arc::new(ManualClock::default());
        let ids = SeededIds::shared(setup.seed.unwrap_or(1), clock.clone());
        let keys = match setup.migrations {
            Some(_) => Some(KeyPlace::open(&clock).await),
            None => None,
        };
        let (keys, _key_place) = keys.map_or((None, None), |(keys, at)| (Some(keys), Some(at)));
        let db = connect(&config, (&setup, keys.clone()), &clock, &ids).await;
        if engine == Engine::Sqlite {
            let migrated = match setup.migrations {
                Some(migrations) => db.migrate(&migrations).await,
                None => db.migrate_store().await,
            };
            migrated.expect("migrations that run");
        }
        Some(TestDb {
            db,
            clock,
            ids,
            keys,
            config,
            setup,
            _place: place,
            _key_place,
        })
    }

    /// Another handle on the same database, as another replica or a restarted process has one. On SQLite
    /// close the first one before: there is one writer.
    pub async fn reopen(&self) -> Db {
        connect(
            &self.config,
            (&self.setup, self.keys.clone()),
            &self.clock,
            &self.ids,
        )
        .await
    }

    /// The same with other limits.
    pub async fn reopen_with(&self, change: impl FnOnce(&mut DbConfig)) -> Db {
        let mut config = self.config.clone();
        change(&mut config);
        connect(
            &config,
            (&self.setup, self.keys.clone()),
            &self.clock,
            &self.ids,
        )
        .await
    }

    /// How it is configured.
    pub fn config(&self) -> &DbConfig {
        &self.config
    }

    /// Where whoever owns the tables connects to, for what services may not do.
    pub fn owner_url(&self) -> &str {
        let owner = self.config.migrate_url.as_ref();
        owner.unwrap_or(&self.config.url)
    }

    /// The database as whoever owns it has it, above every policy and right: for tests that do to it what no service
    /// may.
    pub async fn as_owner(&self) -> Db {
        if self.config.migrate_url.is_none() {
            return self.db.clone();
        }
        self.reopen_with(|config| {
            config.url = self.owner_url().to_owned();
            config.allow_bypass_role = true;
        })
        .await
    }

    /// The caller that tests act as when it does not matter who calls.
    pub fn caller(&self) -> Caller {
        Caller::system("test")
    }

    /// [`Db::execute`] as [`Self::caller`].
    pub async fn execute<O: Operation>(&self, operation: O) -> Result<O::Output, Fault> {
        self.db.execute(&self.caller(), operation).await
    }

    /// [`Db::read`] as [`Self::caller`].
    pub async fn read<O: Operation>(&self, operation: O) -> Result<O::Output, Fault> {
        self.db.read(&self.caller(), operation).await
    }
}

impl Deref for TestDb {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}

async fn connect(
    config: &DbConfig,
    (setup, keys): (&Setup, Option<ShopperKeys>),
    clock: &Arc<ManualClock>,
    ids: &SharedIds,
) -> Db {
    let around = Surroundings {
        time: setup.time.unwrap_or(TimeSource::Injected),
        faults: setup.faults.clone(),
        keys,
        ..Surroundings::new(clock.clone(), ids.clone())
    };
    Db::open_with(config, "test", around)
        .await
        .expect("a test database that opens")
}
