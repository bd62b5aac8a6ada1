//! [`insert!`](crate::insert): many new rows in the form that each engine is fast at.
//!
//! PostgreSQL gets every column as one array. SQLite gets rows of parameters: reading them out of JSON
//! costs it more than writing the row. Its statements come in a few lengths only, so that all of them stay
//! prepared.

use std::sync::OnceLock;

use sqlx::Arguments;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;

use super::args::{Args, Encoded};
use super::columns::Column;
use super::run;
use crate::error::{Class, StoreError};
use crate::tx::{Engine, Tx};

/// How many rows one statement on SQLite has: as many of the longest as fit, then of the next.
const LENGTHS: [usize; 4] = [128, 32, 8, 1];

/// The texts of one `insert!`, made when it is first used.
pub struct Texts {
    table: &'static str,
    postgres: OnceLock<String>,
    sqlite: [OnceLock<String>; LENGTHS.len()],
}

impl Texts {
    /// Texts for one table.
    pub const fn new(table: &'static str) -> Self {
        Texts {
            table,
            postgres: OnceLock::new(),
            sqlite: [const { OnceLock::new() }; LENGTHS.len()],
        }
    }

    fn head(&self, columns: &[Named<'_>]) -> String {
        let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
        format!("INSERT INTO {} ({})", self.table, names.join(", "))
    }

    /// What all rows share is a parameter of its own. Which columns those are is a matter of their types, so
    /// it is the same at every use.
    fn postgres(&'static self, columns: &[Named<'_>], shared: &[bool]) -> &'static str {
        self.postgres.get_or_init(|| {
            let (mut wanted, mut arrays, mut names) = (Vec::new(), Vec::new(), Vec::new());
            for (at, (column, shared)) in (1..).zip(columns.iter().zip(shared)) {
                let kind = column.cells.sql_type();
                if *shared {
                    wanted.push(format!("${at}::{kind}"));
                } else {
                    arrays.push(format!("${at}::{kind}[]"));
                    names.push(column.name);
                    wanted.push(format!("u.{}", column.name));
                }
            }
            format!(
                "{} SELECT {} FROM UNNEST({}) AS u({})",
                self.head(columns),
                wanted.join(", "),
                arrays.join(", "),
                names.join(", ")
            )
        })
    }

    fn sqlite(&'static self, columns: &[Named<'_>], length: usize) -> &'static str {
        self.sqlite[length].get_or_init(|| {
            let mut row = "(".to_owned() + &"?,".repeat(columns.len());
            row.pop();
            row.push_str("),");
            let mut rows = row.repeat(LENGTHS[length]);
            rows.pop();
            format!("{} VALUES {rows}", self.head(columns))
        })
    }
}

/// A column and its name.
pub struct Named<'a> {
    /// As in the table.
    pub name: &'static str,
    /// One cell for each row.
    pub cells: Box<dyn Column + Send + Sync + 'a>,
}

/// Writes the rows.
pub async fn insert(
    tx: &mut Tx,
    texts: &'static Texts,
    columns: Vec<Named<'_>>,
) -> Result<(), StoreError> {
    let rows = columns.first().map_or(0, |column| column.cells.rows());
    if let Some(other) = columns.iter().find(|column| column.cells.rows() != rows) {
        let message = format!(
            "column {} has {} rows where the first has {rows}",
            other.name,
            other.cells.rows()
        );
        return Err(run::refuse(tx, texts.table, message));
    }
    if rows == 0 {
        return Ok(());
    }
    match tx.engine() {
        Engine::Postgres => {
            let mut args = PgArguments::default();
            let mut shared = Vec::with_capacity(columns.len());
            for column in &columns {
                let same = column.cells.add_same(&mut args);
                shared.push(same.is_some());
                let added = same.unwrap_or_else(|| column.cells.add_array(&mut args));
                if let Err(message) = added {
                    return Err(run::refuse(tx, texts.table, message));
                }
            }
            let text = texts.postgres(&columns, &shared);
            write(tx, text, Args::ready(Encoded::Postgres(args))).await
        }
        Engine::Sqlite => {
            let mut from = 0;
            for (length, &step) in LENGTHS.iter().enumerate() {
                while rows - from >= step {
                    let text = texts.sqlite(&columns, length);
                    let args = match bind(&columns, from..from + step) {
                        Ok(args) => args,
                        Err(message) => return Err(run::refuse(tx, text, message)),
                    };
                    write(tx, text, Args::ready(Encoded::Sqlite(args))).await?;
                    from += step;
                }
            }
            Ok(())
        }
    }
}

/// A key that is taken was free when the unit looked, or it never looked: either way another run sees it.
async fn write(tx: &mut Tx, text: &'static str, args: Args) -> Result<(), StoreError> {
    match run::execute(tx, text, args).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_unique() => Err(error.with_class(Class::Conflict)),
        Err(error) => Err(error),
    }
}

fn bind(columns: &[Named<'_>], rows: std::ops::Range<usize>) -> Result<SqliteArguments, String> {
    let mut args = SqliteArguments::default();
    args.reserve(rows.len() * columns.len(), 0);
    for row in rows {
        for column in columns {
            column.cells.bind_cell(row, &mut args)?;
        }
    }
    Ok(args)
}
