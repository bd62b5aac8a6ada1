//! Hands a statement to the engine that the transaction is on.

use kit::caller::Tenant;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Executor, FromRow, Row as _};

use super::args::{Args, Encoded};
use crate::error::StoreError;
use crate::tx::{Conn, Engine, Tx};

/// A row that both engines can give: derive [`sqlx::FromRow`], or use a tuple.
pub trait Row: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin {}

impl<R> Row for R where R: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin
{}

/// Runs the statement on whichever engine it is, and remembers a failure in the transaction.
macro_rules! on_engine {
    ($tx:ident, $text:ident, $args:ident, |$conn:ident, $encoded:ident| postgres: $postgres:expr, sqlite: $sqlite:expr) => {{
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
                $postgres
            }
            (Conn::Sqlite(unit), Encoded::Sqlite($encoded)) => {
                let $conn = unit.connection();
                $sqlite
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
    on_engine!(tx, text, args, |conn, encoded|
        postgres: sqlx::query_with(text, encoded)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()),
        sqlite: sqlx::query_with(text, encoded)
            .execute(conn)
            .await
            .map(|done| done.rows_affected())
    )
}

/// Runs the statement and reads every row.
pub async fn all<R: Row>(
    tx: &mut Tx,
    text: &'static str,
    args: Args,
) -> Result<Vec<R>, StoreError> {
    let reach = Reach::of(tx);
    on_engine!(tx, text, args, |conn, encoded|
        postgres: sqlx::query_as_with(text, encoded).fetch_all(conn).await,
        sqlite: match sqlx::query_with(text, encoded).fetch_all(conn).await {
            Ok(rows) => reach.read(text, rows),
            Err(error) => Err(error),
        }
    )
}

/// Runs the statement and reads the first row, if there is one.
pub async fn optional<R: Row>(
    tx: &mut Tx,
    text: &'static str,
    args: Args,
) -> Result<Option<R>, StoreError> {
    let reach = Reach::of(tx);
    on_engine!(tx, text, args, |conn, encoded|
        postgres: sqlx::query_as_with(text, encoded)
            .fetch_optional(conn)
            .await,
        sqlite: match sqlx::query_with(text, encoded).fetch_optional(conn).await {
            Ok(row) => reach.read(text, row).map(|rows| rows.into_iter().next()),
            Err(error) => Err(error),
        }
    )
}

/// Runs the statement and reads the first row; that there is none is an error.
pub async fn one<R: Row>(tx: &mut Tx, text: &'static str, args: Args) -> Result<R, StoreError> {
    let reach = Reach::of(tx);
    on_engine!(tx, text, args, |conn, encoded|
        postgres: sqlx::query_as_with(text, encoded).fetch_one(conn).await,
        sqlite: match sqlx::query_with(text, encoded).fetch_one(conn).await {
            Ok(row) => reach
                .read(text, [row])
                .and_then(|rows| rows.into_iter().next().ok_or(sqlx::Error::RowNotFound)),
            Err(error) => Err(error),
        }
    )
}

/// Whose rows a unit may read on SQLite, which has no policies of its own: a row that says `partner_id` and names
/// another partner is as if it were not there, as on PostgreSQL. It only sees what is selected, so it is a net under the
/// statements' own conditions and takes the place of none.
struct Reach(Option<Tenant>);

impl Reach {
    fn of(tx: &Tx) -> Self {
        let narrow = tx.engine() == Engine::Sqlite && !tx.tenant().is_all();
        Reach(narrow.then(|| tx.tenant().clone()))
    }

    fn read<R: Row>(
        &self,
        text: &str,
        rows: impl IntoIterator<Item = SqliteRow>,
    ) -> Result<Vec<R>, sqlx::Error> {
        let mut read = Vec::new();
        for row in rows {
            if self.sees(&row) {
                read.push(R::from_row(&row)?);
            } else if !text.trim_start().starts_with("SELECT") {
                let message = "a statement wrote a row of a partner beyond its tenant";
                return Err(sqlx::Error::Protocol(message.into()));
            }
        }
        Ok(read)
    }

    fn sees(&self, row: &SqliteRow) -> bool {
        let Some(tenant) = &self.0 else { return true };
        match row.try_get::<Option<&str>, _>("partner_id") {
            // Nobody's: the statement's own conditions decide.
            Ok(Some("") | None) | Err(_) => true,
            Ok(Some(partner)) => tenant.sees(partner),
        }
    }
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
