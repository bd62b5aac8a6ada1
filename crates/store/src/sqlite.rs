//! Units of work on SQLite: one writer that commits many units together, and a pool of readers.

mod writer;

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use kit::caller::{Caller, Tenant};
use kit::errors::Fault;
use kit::scope::Scope;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Executor, Sqlite, SqlitePool};
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::db::{Shared, Started};
use crate::error::{StoreError, TOO_LATE, busy, unknown};
use crate::operation::{Operation, perform};
use crate::tx::{Conn, Tx};
use writer::Writer;

/// Older ones can corrupt the database when the write-ahead log is reset.
const OLDEST_VERSION: (u32, u32, u32) = (3, 51, 3);

/// One file: its writer and its readers.
pub struct SqliteBackend {
    shared: Arc<Shared>,
    writer: Writer,
    readers: Readers,
    // Its own, so that whether the database answers is not asked behind everybody who reads.
    pings: Readers,
}

/// A pool of connections that only read, and how many may wait for it.
struct Readers {
    pool: SqlitePool,
    slots: Arc<Semaphore>,
}

impl Readers {
    fn open(shared: &Shared, max: u32) -> Self {
        let config = &shared.config;
        let pool = SqlitePoolOptions::new()
            .max_connections(max)
            .acquire_timeout(config.acquire_timeout())
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(
                base_options(shared)
                    .read_only(true)
                    .pragma("query_only", "ON"),
            );
        let slots = Arc::new(Semaphore::new(config.queue_max.min(Semaphore::MAX_PERMITS)));
        Readers { pool, slots }
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

/// A connection while a unit of work has it.
pub struct SqliteUnit {
    connection: Held,
}

enum Held {
    // There is only ever one; it is moved in and out of the transaction.
    Writer(Box<SqliteConnection>),
    Reader(Reader),
}

struct Reader {
    connection: PoolConnection<Sqlite>,
    clean: bool,
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.clean {
            self.connection.close_on_drop();
        }
    }
}

impl SqliteUnit {
    fn writer(connection: SqliteConnection) -> Self {
        SqliteUnit {
            connection: Held::Writer(Box::new(connection)),
        }
    }

    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        match &mut self.connection {
            Held::Writer(connection) => connection,
            Held::Reader(reader) => &mut reader.connection,
        }
    }
}

impl SqliteBackend {
    pub(crate) async fn open(shared: Arc<Shared>) -> Result<Self, StoreError> {
        let connection = open_writer(&shared).await?;
        let readers = Readers::open(&shared, shared.config.reader_connections);
        let pings = Readers::open(&shared, 1);
        let writer = Writer::start(shared.clone(), connection);
        Ok(SqliteBackend {
            shared,
            writer,
            readers,
            pings,
        })
    }

    pub(crate) async fn write<O: Operation>(
        &self,
        started: Started,
        caller: &Caller,
        operation: O,
    ) -> Result<O::Output, Fault> {
        self.writer
            .run(started, Arc::new(caller.clone()), operation)
            .await
    }

    pub(crate) async fn read<O: Operation>(
        &self,
        started: Started,
        caller: &Caller,
        operation: O,
    ) -> Result<O::Output, Fault> {
        self.read_on(&self.readers, started, caller, operation)
            .await
    }

    /// The same on the connection kept for that.
    pub(crate) async fn ping<O: Operation>(
        &self,
        started: Started,
        caller: &Caller,
        operation: O,
    ) -> Result<O::Output, Fault> {
        self.read_on(&self.pings, started, caller, operation).await
    }

    async fn read_on<O: Operation>(
        &self,
        readers: &Readers,
        started: Started,
        caller: &Caller,
        operation: O,
    ) -> Result<O::Output, Fault> {
        let Ok(slot) = readers.slots.clone().try_acquire_owned() else {
            let answer = Err(busy(
                "too many units of work wait for the database; try again",
            ));
            return self.shared.ended(&started, 0, answer);
        };
        let (readers, shared, caller) = (
            readers.pool.clone(),
            self.shared.clone(),
            Arc::new(caller.clone()),
        );
        let span = tracing::debug_span!("unit", operation = started.operation, engine = "sqlite");
        let task = async move {
            let tenant = operation.tenant(&caller);
            let answer = read_once(&readers, &shared, started, (caller, tenant), &operation).await;
            drop(slot);
            shared.ended(&started, 1, answer)
        };
        match kit::spawn(started.operation, task.instrument(span)).await {
            Ok(answer) => answer,
            Err(_) => Err(unknown(
                "the server stopped before the database had answered",
            )),
        }
    }

    pub(crate) async fn close(&self) {
        // Readers first: the last connection to close folds the write-ahead log into the file.
        for readers in [&self.readers, &self.pings] {
            readers.close(&self.shared).await;
        }
        self.writer.close().await;
    }
}

async fn read_once<O: Operation>(
    readers: &SqlitePool,
    shared: &Shared,
    started: Started,
    caller: (Arc<Caller>, Tenant),
    operation: &O,
) -> Result<O::Output, Fault> {
    let failed = |error: sqlx::Error| StoreError::from_sqlx("BEGIN", &error);
    let clock = &*shared.around.clock;
    let asked = clock.instant();
    let connection = readers.acquire().await.map_err(failed)?;
    Scope::queued(clock.instant().saturating_duration_since(asked));
    if Scope::remaining(clock) == Some(Duration::ZERO) {
        return Err(busy(TOO_LATE));
    }
    let mut reader = Reader {
        connection,
        clean: false,
    };
    reader
        .connection
        .execute("BEGIN DEFERRED")
        .await
        .map_err(failed)?;
    let now = shared.around.clock.now();
    let unit = SqliteUnit {
        connection: Held::Reader(reader),
    };
    let mut tx = Tx::new(
        Conn::Sqlite(unit),
        shared.scope(started.operation, caller, now, false),
    );
    let performed = AssertUnwindSafe(perform(operation, &mut tx))
        .catch_unwind()
        .await;
    if let Conn::Sqlite(SqliteUnit {
        connection: Held::Reader(reader),
    }) = &mut tx.conn
    {
        reader.clean = reader.connection.execute("ROLLBACK").await.is_ok();
    }
    match performed {
        Ok(answer) => answer.map(|(output, _)| output),
        Err(_) => Err(panicked(started.operation)),
    }
}

fn panicked(operation: &str) -> Fault {
    Fault::internal(format!("operation {operation} panicked"))
}

fn base_options(shared: &Shared) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(shared.config.file())
        .foreign_keys(true)
        .busy_timeout(Duration::from_millis(shared.config.busy_timeout_ms))
        .statement_cache_capacity(shared.config.statement_cache_size)
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging()
}

/// A connection that may write. Only the writer and migrations open one.
pub(crate) async fn open_writer(shared: &Shared) -> Result<SqliteConnection, StoreError> {
    let file = Path::new(shared.config.file());
    if let Some(folder) = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())
    {
        let folder = folder.display();
        return Err(StoreError::refused(
            "",
            format!("the folder {folder} of the database does not exist"),
        ));
    }
    let mut options = base_options(shared);
    if shared.config.wipe_deleted {
        options = options
            .pragma("secure_delete", "ON")
            .pragma("wal_autocheckpoint", "1")
            .pragma("journal_size_limit", "0");
    }
    let options = options
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let failed = |error: sqlx::Error| StoreError::from_sqlx("open", &error);
    let mut connection = options.connect().await.map_err(failed)?;
    let (version, journal): (String, String) =
        sqlx::query_as("SELECT sqlite_version(), (SELECT journal_mode FROM pragma_journal_mode)")
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?;
    let problem = if parse_version(&version).is_none_or(|version| version < OLDEST_VERSION) {
        let (major, minor, patch) = OLDEST_VERSION;
        Some(format!(
            "SQLite is {version}, but must be {major}.{minor}.{patch} or newer"
        ))
    } else if !journal.eq_ignore_ascii_case("wal") {
        Some(format!(
            "SQLite cannot keep a write-ahead log beside {}",
            file.display()
        ))
    } else {
        None
    };
    match problem {
        Some(problem) => {
            connection.close().await.map_err(failed)?;
            Err(StoreError::refused("", problem))
        }
        None => Ok(connection),
    }
}

fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = text.split('.').map(|number| number.parse().ok());
    Some((
        numbers.next()??,
        numbers.next()??,
        numbers.next().flatten().unwrap_or(0),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(parse_version("3.51.3"), Some(OLDEST_VERSION));
        assert!(parse_version("3.51.10") > parse_version("3.51.3"));
        assert!(parse_version("3.9.0") < parse_version("3.51.3"));
        assert_eq!(parse_version("4.0"), Some((4, 0, 0)));
        assert_eq!(parse_version("new"), None);
    }
}
