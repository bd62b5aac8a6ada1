//! Brings a schema up to date: the store's own tables first, then the service's.

use std::sync::Arc;

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection, Executor};

use crate::db::Shared;
use crate::error::StoreError;
use crate::postgres::{Purpose, options, quoted};
use crate::sqlite::open_writer;
use crate::tx::Engine;

/// The migrations of one crate: the same numbers and names for both engines.
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    /// Those for PostgreSQL.
    pub postgres: &'static Migrator,
    /// Those for SQLite.
    pub sqlite: &'static Migrator,
}

impl Migrations {
    /// Those for one engine.
    pub fn of(&self, engine: Engine) -> &'static Migrator {
        match engine {
            Engine::Postgres => self.postgres,
            Engine::Sqlite => self.sqlite,
        }
    }
}

static POSTGRES: Migrator = sqlx::migrate!("./migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("./migrations/sqlite");

/// The store's own tables.
pub const STORE: Migrations = Migrations {
    postgres: &POSTGRES,
    sqlite: &SQLITE,
};

// Each crate counts its migrations from 1, so each has a table of its own.
/// Where it is written which of the store's migrations were applied.
pub const STORE_TABLE: &str = "_migrations_store";
/// Where it is written which of the service's migrations were applied.
pub const SERVICE_TABLE: &str = "_migrations";

// Held by the one process that migrates. A row rather than an advisory lock, which not every database
// that speaks the protocol has.
const LOCK_TABLE: &str = "CREATE TABLE IF NOT EXISTS _migration_lock (one BIGINT PRIMARY KEY);
    INSERT INTO _migration_lock (one) VALUES (1) ON CONFLICT DO NOTHING";
// However long the other takes: the lock ends with its connection.
const LOCK: &str =
    "BEGIN; SET LOCAL lock_timeout = 0; SELECT one FROM _migration_lock WHERE one = 1 FOR UPDATE";
// Two processes that create the same thing at once may both find it missing; one then fails.
const CREATE_TRIES: u32 = 5;

/// Runs what is missing. In a task of its own, like every unit: a caller that goes away does not stop it
/// halfway.
pub(crate) async fn run(
    shared: Arc<Shared>,
    service: Option<Migrations>,
) -> Result<(), StoreError> {
    let task = async move {
        match shared.engine {
            Engine::Postgres => migrate_postgres(&shared, service).await,
            Engine::Sqlite => {
                let mut connection = open_writer(&shared).await?;
                let done = migrate_sqlite(&mut connection, service).await;
                connection.close().await.map_err(failed)?;
                done
            }
        }
    };
    match kit::spawn("migrate", task).await {
        Ok(done) => done,
        Err(error) => Err(StoreError::refused("migrate", error.to_string())),
    }
}

/// What the database still lacks.
pub(crate) async fn pending(
    shared: Arc<Shared>,
    service: Migrations,
) -> Result<Vec<String>, StoreError> {
    let missing;
    match shared.engine {
        Engine::Postgres => {
            let mut connection = connect(&shared).await?;
            missing = all_lacking(&mut connection, Engine::Postgres, Some(service)).await;
            connection.close().await.map_err(failed)?;
        }
        Engine::Sqlite => {
            let mut connection = open_writer(&shared).await?;
            missing = all_lacking(&mut connection, Engine::Sqlite, Some(service)).await;
            connection.close().await.map_err(failed)?;
        }
    }
    Ok(missing)
}

fn plan(
    engine: Engine,
    service: Option<Migrations>,
) -> impl Iterator<Item = (&'static Migrator, &'static str)> {
    let service = service.map(|service| (service.of(engine), SERVICE_TABLE));
    std::iter::once((STORE.of(engine), STORE_TABLE)).chain(service)
}

async fn apply<C: Migrate>(
    connection: &mut C,
    engine: Engine,
    service: Option<Migrations>,
) -> Result<(), StoreError> {
    for (migrator, table) in plan(engine, service) {
        let migrator = Migrator {
            migrations: std::borrow::Cow::Borrowed(&migrator.migrations),
            table_name: table.into(),
            locking: false,
            ..Migrator::DEFAULT
        };
        migrator
            .run_direct(None, connection, false)
            .await
            .map_err(refused)?;
    }
    Ok(())
}

async fn lacking<C: Migrate>(connection: &mut C, migrator: &Migrator, table: &str) -> Vec<String> {
    // The table is missing before the first migration.
    let applied = connection
        .list_applied_migrations(table)
        .await
        .unwrap_or_default();
    let is_applied = |version| applied.iter().any(|migration| migration.version == version);
    let lacking = migrator
        .iter()
        .filter(|migration| !is_applied(migration.version));
    lacking
        .map(|migration| format!("{table}: {} {}", migration.version, migration.description))
        .collect()
}

async fn all_lacking<C: Migrate>(
    connection: &mut C,
    engine: Engine,
    service: Option<Migrations>,
) -> Vec<String> {
    let mut missing = Vec::new();
    for (migrator, table) in plan(engine, service) {
        missing.extend(lacking(connection, migrator, table).await);
    }
    missing
}

/// SQLite has no lock that outlives a transaction, so another process may apply a migration between our
/// look at what is lacking and our turn. Ours then fails, and goes on from what is there now; each round
/// lacks less than the one before.
async fn migrate_sqlite(
    connection: &mut SqliteConnection,
    service: Option<Migrations>,
) -> Result<(), StoreError> {
    let mut before = all_lacking(connection, Engine::Sqlite, service).await.len();
    loop {
        let done = apply(connection, Engine::Sqlite, service).await;
        let left = all_lacking(connection, Engine::Sqlite, service).await.len();
        if done.is_ok() || left >= before {
            return done;
        }
        before = left;
    }
}

async fn migrate_postgres(shared: &Shared, service: Option<Migrations>) -> Result<(), StoreError> {
    let mut keeper = connect(shared).await?;
    prepare(&mut keeper, shared.config.schema.as_deref()).await?;
    keeper.execute(LOCK).await.map_err(failed)?;
    let mut connection = connect(shared).await?;
    let mut done = apply(&mut connection, Engine::Postgres, service).await;
    if done.is_ok() {
        done = grant(&mut connection, shared).await;
    }
    connection.close().await.map_err(failed)?;
    // Closing lets go of the lock.
    keeper.close().await.map_err(failed)?;
    done
}

/// Gives the role that units run as what they need: rows to read and write, and no table to own, empty, alter or
/// refer to. Which migrations were applied it only reads.
async fn grant(connection: &mut PgConnection, shared: &Shared) -> Result<(), StoreError> {
    let owner = options(shared, Purpose::Migration)?;
    let service = options(shared, Purpose::Units)?;
    if owner.get_username() == service.get_username() {
        return Ok(());
    }
    let role = format!("\"{}\"", service.get_username().replace('"', "\"\""));
    let found: Vec<(String, String)> = sqlx::query_as(
        "SELECT quote_ident(schemaname), quote_ident(tablename) FROM pg_catalog.pg_tables \
         WHERE schemaname = current_schema() ORDER BY tablename",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(failed)?;
    let mut texts = Vec::with_capacity(found.len() + 1);
    if let Some((schema, _)) = found.first() {
        texts.push(format!("GRANT USAGE ON SCHEMA {schema} TO {role}"));
    }
    for (schema, table) in &found {
        let rights = match table.starts_with("_migration") {
            true => "SELECT",
            false => "SELECT, INSERT, UPDATE, DELETE",
        };
        texts.push(format!("GRANT {rights} ON {schema}.{table} TO {role}"));
    }
    // In one transaction, with names that the database itself has quoted.
    connection
        .execute(sqlx::AssertSqlSafe(texts.join("; ")))
        .await
        .map(drop)
        .map_err(|error| {
            let cause = failed(error);
            let message = format!(
                "the role {role} of url could not be given its rights: {cause}; create it first, as an ordinary role that may log in"
            );
            StoreError::refused("migrate", message)
        })
}

async fn connect(shared: &Shared) -> Result<PgConnection, StoreError> {
    options(shared, Purpose::Migration)?
        .connect()
        .await
        .map_err(failed)
}

async fn prepare(connection: &mut PgConnection, schema: Option<&str>) -> Result<(), StoreError> {
    let mut tries = CREATE_TRIES;
    loop {
        let done = create(connection, schema).await;
        match done {
            // unique_violation in the catalogue, duplicate_schema, duplicate_table, tuple updated meanwhile
            Err(error)
                if tries > 1 && matches!(error.code(), "23505" | "42P06" | "42P07" | "XX000") =>
            {
                tries -= 1
            }
            done => return done,
        }
    }
}

async fn create(connection: &mut PgConnection, schema: Option<&str>) -> Result<(), StoreError> {
    if let Some(schema) = schema {
        let text = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema));
        connection
            .execute(sqlx::AssertSqlSafe(text))
            .await
            .map_err(failed)?;
    }
    connection
        .execute(LOCK_TABLE)
        .await
        .map(drop)
        .map_err(failed)
}

fn failed(error: sqlx::Error) -> StoreError {
    StoreError::from_sqlx("migrate", &error)
}

fn refused(error: MigrateError) -> StoreError {
    let message = match &error {
        MigrateError::Execute(error) => return StoreError::from_sqlx("migrate", error),
        MigrateError::ExecuteMigration(error, version) => {
            let cause = StoreError::from_sqlx("", error);
            format!("migration {version} failed: {cause}")
        }
        MigrateError::VersionMissing(version) => format!(
            "the database has migration {version}, which this program does not know: the program is older than the database"
        ),
        MigrateError::VersionMismatch(version) => {
            format!(
                "migration {version} was changed after it had been applied; add a new migration instead"
            )
        }
        MigrateError::Dirty(version) => {
            format!(
                "migration {version} was applied in part; mend the schema by hand, then remove its row"
            )
        }
        other => other.to_string(),
    };
    StoreError::refused("migrate", message)
}
