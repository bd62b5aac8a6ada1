//! The service's tables: noun first, always in somebody's transaction.

pub mod channel;
pub mod counter;
pub mod follow;
pub mod host;
pub mod item;
pub mod log;
pub mod mirror;
pub mod occupancy;
pub mod planned;
pub mod question;
pub mod room;
pub mod slot;
pub mod timeline;

use contracts::id::{Id, IdError, Kind};
use kit::clock::Micros;
use kit::errors::Fault;
use sqlx::migrate::Migrator;
use store::Migrations;

static POSTGRES: Migrator = sqlx::migrate!("./migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("./migrations/sqlite");

/// The service's tables.
pub const MIGRATIONS: Migrations = Migrations {
    postgres: &POSTGRES,
    sqlite: &SQLITE,
};

/// An id as a table has it.
fn id<K: Kind>(text: &str) -> Result<Id<K>, Fault> {
    Id::parse(text).map_err(|error: IdError| {
        Fault::internal(format!("a table holds `{text}` as an id: {error}"))
    })
}

/// An id, or none where a table holds an empty text.
fn opt_id<K: Kind>(text: &str) -> Result<Option<Id<K>>, Fault> {
    if text.is_empty() {
        Ok(None)
    } else {
        id(text).map(Some)
    }
}

/// A word as a table has it.
fn word<T>(column: &str, text: &str, named: impl FnOnce(&str) -> Option<T>) -> Result<T, Fault> {
    named(text).ok_or_else(|| Fault::internal(format!("a table holds `{text}` as {column}")))
}

/// A moment that may be missing.
fn time(micros: Option<i64>) -> Option<Micros> {
    micros.map(Micros)
}

/// A statement that had to touch one row touched none: somebody else was there.
fn expect_one(what: &str, touched: u64) -> Result<(), Fault> {
    if touched == 1 {
        return Ok(());
    }
    Err(Fault::Conflict(
        format!("{what}: wrote {touched} rows and not one").into(),
    ))
}
