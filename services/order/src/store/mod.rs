//! The SQL of this service: functions on a transaction, noun first.

pub mod adjustment;
pub mod chargeback;
pub mod contacts;
pub mod conversion;
pub mod drops;
pub mod key;
pub mod ledger;
pub mod link;
pub mod listing;
pub mod mirrors;
pub mod money;
pub mod order;
pub mod order_list;
pub mod order_progress;
pub mod order_row;
pub mod payment;
pub mod persons;
pub mod rate;
pub mod refund;
pub mod sales;
pub mod stock;
pub mod stop;
pub mod supply;

use std::time::Duration;

use contracts::id::{Id, Kind};
use contracts::money::Currency;
use kit::errors::Fault;

static POSTGRES: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/postgres");
static SQLITE: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/sqlite");

/// The tables of this service.
pub const MIGRATIONS: ::store::Migrations = ::store::Migrations {
    postgres: &POSTGRES,
    sqlite: &SQLITE,
};

/// A column of rows, for `bulk!`.
pub(crate) fn column<'a, T, C>(rows: &'a [T], cell: impl Fn(&'a T) -> C) -> Vec<C> {
    rows.iter().map(cell).collect()
}

/// An id from its column.
pub(crate) fn id<K: Kind>(text: &str) -> Result<Id<K>, Fault> {
    Id::parse(text)
        .map_err(|error| Fault::internal(format!("a column holds no {} id: {error}", K::PREFIX)))
}

/// An id from a column that is empty when there is none.
pub(crate) fn opt_id<K: Kind>(text: &str) -> Result<Option<Id<K>>, Fault> {
    if text.is_empty() {
        Ok(None)
    } else {
        id(text).map(Some)
    }
}

/// A word from its column.
pub(crate) fn word<T>(parsed: Option<T>, column: &str) -> Result<T, Fault> {
    parsed
        .ok_or_else(|| Fault::internal(format!("column {column} holds a word that means nothing")))
}

/// The number in an etag of this suite (`v12`), which grows with every change; 0 for an etag without one.
pub(crate) fn version_of(etag: &str) -> i64 {
    etag.strip_prefix('v')
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// A currency from its column.
pub(crate) fn currency(code: &str) -> Result<Currency, Fault> {
    Currency::parse(code).map_err(Fault::internal)
}

/// A span of time as its column has it.
pub(crate) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// A span of time from its column.
pub(crate) fn span(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// A statement touched fewer rows than it was sure to: somebody was faster, so the unit runs again.
pub(crate) fn all_written(what: &'static str, written: u64, expected: usize) -> Result<(), Fault> {
    if written == expected as u64 {
        return Ok(());
    }
    Err(Fault::Conflict(
        format!("{what}: {written} of {expected} rows were written").into(),
    ))
}
