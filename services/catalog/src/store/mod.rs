//! The catalogue's tables: statements as functions on a transaction, noun first.
//!
//! Locks are taken in the order rulebook, partner, partner_access, product, variant, listing, so that no two units wait
//! for each other crosswise.

pub(crate) mod access;
pub(crate) mod brand;
pub(crate) mod import;
pub(crate) mod legal_entity;
pub(crate) mod listing;
mod listing_row;
pub(crate) mod listing_write;
pub(crate) mod outlet;
pub(crate) mod partner;
pub(crate) mod payment_key;
pub(crate) mod product;
pub(crate) mod refresh;
pub(crate) mod regulation;
pub(crate) mod rulebook;

use ::store::Migrations;
use contracts::id::{Id, Kind};
use kit::errors::Fault;
use sqlx::migrate::Migrator;

static POSTGRES: Migrator = sqlx::migrate!("./migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("./migrations/sqlite");

/// The tables of the service.
pub(crate) const MIGRATIONS: Migrations = Migrations {
    postgres: &POSTGRES,
    sqlite: &SQLITE,
};

/// Which places of a list to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The id of the last item before; empty for the beginning. Ids rise with the time they were made.
    pub after: String,
    /// How many rows at most.
    pub limit: i64,
}

/// Reads rows and, in a unit that writes, keeps others from changing them until the commit. SQLite has
/// one writer and needs no lock; a unit that only reads wants none.
macro_rules! locked {
    ($tx:expr, $lock:literal, $verb:ident $row:ty, $text:expr $(, $bind:expr)* $(,)?) => {
        if $tx.is_write() && $tx.engine() == ::store::Engine::Postgres {
            ::store::sql!($tx, $verb $row, concat!($text, " ", $lock) $(, $bind)*)
        } else {
            ::store::sql!($tx, $verb $row, $text $(, $bind)*)
        }
    };
}

pub(crate) use locked;

/// The same for a statement that reads many rows by their keys.
macro_rules! locked_bulk {
    ($tx:expr, $lock:literal, all $row:ty, postgres: $pg:expr, sqlite: $lite:expr, columns: [$($column:expr),+ $(,)?]) => {
        if $tx.is_write() {
            ::store::bulk!(
                $tx, all $row, postgres: concat!($pg, " ", $lock), sqlite: $lite, columns: [$($column),+]
            )
        } else {
            ::store::bulk!($tx, all $row, postgres: $pg, sqlite: $lite, columns: [$($column),+])
        }
    };
}

pub(crate) use locked_bulk;

/// The codes or ids that a column holds with a space between.
pub(crate) fn codes(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// The id that a column holds.
pub(crate) fn id<K: Kind>(text: &str) -> Result<Id<K>, Fault> {
    Id::parse(text).map_err(Fault::internal)
}

/// The value that a column's word stands for.
pub(crate) fn word<T>(named: fn(&str) -> Option<T>, column: &str, word: &str) -> Result<T, Fault> {
    named(word).ok_or_else(|| {
        Fault::internal(format!(
            "column {column} holds {word:?}, which means nothing"
        ))
    })
}

/// A guarded update has to have met its row; when it has not, another unit was there first.
pub(crate) fn met(rows: u64, table: &str) -> Result<(), Fault> {
    if rows == 1 {
        Ok(())
    } else {
        Err(Fault::Conflict(
            format!("a row of {table} was changed meanwhile").into(),
        ))
    }
}
