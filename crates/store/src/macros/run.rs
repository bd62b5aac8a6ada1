//! Hands a statement to the engine that the transaction is on.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Executor, FromRow};

use super::args::{Args, Encoded};
use crate::error::StoreError;
use crate::tx::{Conn, Tx};

/// A row that both engines can give: derive [`sqlx::FromRow`], or use a tuple.
pub trait Row: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin {}

impl<R> Row for R where R: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin
{}

/// Runs `$ready` on whichever engine it is, and remembers a failure in the transaction.
macro_rules! on_engine {
    ($tx:ident, $text:ident, $args:ident, |$conn:ident, $encoded:ident| $ready:expr) => {{
        // PostgreSQL would refuse it; SQLite might have ended the transaction and would commit it alone.
        if let Some(failure) = $tx.failure() {
            return Err(failure.clone());
        }
        if let Some(message) = $args.refused {
            return Err(failed($tx, StoreError::refused($text, message)));
        }
        let answer = match (&mut $tx.conn, $args.encoded) {
            (Conn::Postgres(unit), Encoded::Postgres($encoded)) => {
                let $conn = unit.connection();
                $ready
            }
            (Conn::Sqlite(unit), Encoded::Sqlite($encoded)) => {
                let $conn = unit.connection();
                $ready
            }
            _ => return Err(failed($tx, StoreError::refused($text, "the values belong to another engine"))),
        };
        answer.map_err(|error| failed($tx, StoreError::from_sqlx($text, &error)))
    }};
}

fn failed(tx: &mut Tx, error: StoreError) -> StoreError {
    tx.note(error.clone());
    error
}

/// A statement that cannot be sent.
pub(super) fn refuse(tx: &mut Tx, text: &'static str, message: String) -> StoreError {
    failed(tx, StoreError::refused(text, message))
}

/// Runs the statement and counts the rows it touched.
pub async fn execute(tx: &mut Tx, text: &'static str, args: Args) -> Result<u64, StoreError> {
    on_engine!(tx, text, args, |conn, encoded| {
        sqlx::query_with(text, encoded)
            .execute(conn)
            .await
            .map(|done| done.rows_affected())
    })
}

/// Runs the statement and reads every row.
pub async fn all<R: Row>(
    tx: &mut Tx,
    text: &'static str,
    args: Args,
) -> Result<Vec<R>, StoreError> {
    on_engine!(tx, text, args, |conn, encoded| sqlx::query_as_with(
        text, encoded
    )
    .fetch_all(conn)
    .await)
}

/// Runs the statement and reads the first row, if there is one.
pub async fn optional<R: Row>(
    tx: &mut Tx,
    text: &'static str,
    args: Args,
) -> Result<Option<R>, StoreError> {
    on_engine!(tx, text, args, |conn, encoded| sqlx::query_as_with(
        text, encoded
    )
    .fetch_optional(conn)
    .await)
}

/// Runs the statement and reads the first row; that there is none is an error.
pub async fn one<R: Row>(tx: &mut Tx, text: &'static str, args: Args) -> Result<R, StoreError> {
    on_engine!(tx, text, args, |conn, encoded| sqlx::query_as_with(
        text, encoded
    )
    .fetch_one(conn)
    .await)
}

/// Runs a statement that controls the transaction itself, unprepared.
pub(crate) async fn control(tx: &mut Tx, text: &'static str) -> Result<(), StoreError> {
    let answer = match &mut tx.conn {
        Conn::Postgres(unit) => unit
            .connection()
            .execute(AssertSqlSafe(text))
            .await
            .map(drop),
        Conn::Sqlite(unit) => unit
            .connection()
            .execute(AssertSqlSafe(text))
            .await
            .map(drop),
    };
    answer.map_err(|error| failed(tx, StoreError::from_sqlx(text, &error)))
}
