//! The service's tables: noun first, always in somebody's transaction.
//!
//! Rows are looked up key by key even when there are many (`LATERAL .. LIMIT`, `CROSS JOIN` from the keys)
//! and written with `INSERT .. ON CONFLICT DO UPDATE`: a plan made while a table was empty must stay good
//! when it holds millions of rows.

pub mod aftersale;
pub mod aftersale_list;
pub mod aftersale_parts;
pub mod arrival;
pub mod block_change;
pub mod care;
pub mod fulfillment;
pub mod line_money;
pub mod list;
pub mod privacy;
pub mod return_list;
pub mod returns;
pub mod shipment;
pub mod tracking;

use contracts::id::{Id, IdError, Kind};
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

/// An id as a table has it, where '' is none.
fn opt_id<K: Kind>(text: &str) -> Result<Option<Id<K>>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    id(text).map(Some)
}

/// A word as a table has it.
fn word<T>(column: &str, text: &str, named: impl FnOnce(&str) -> Option<T>) -> Result<T, Fault> {
    named(text).ok_or_else(|| Fault::internal(format!("a table holds `{text}` as {column}")))
}

/// A statement that had to touch so many rows touched another number: somebody else was there.
fn expect_rows(what: &str, touched: u64, expected: usize) -> Result<(), Fault> {
    if usize::try_from(touched) == Ok(expected) {
        return Ok(());
    }
    Err(Fault::Conflict(
        format!("{what}: wrote {touched} rows of {expected}").into(),
    ))
}

/// As an index or count of a list that is bounded long before 2^63.
fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
