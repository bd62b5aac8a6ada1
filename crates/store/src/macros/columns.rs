//! The columns of [`bulk!`](crate::bulk): arrays for PostgreSQL, JSON rows for SQLite.

use contracts::id::{Id, Kind};
use kit::clock::Micros;
use sqlx::Arguments;
use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;

use super::args::{Args, Encoded, NUL_IN_TEXT, has_nul};
use crate::tx::{Engine, Tx};

/// One column of many rows.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a column of bulk!",
    note = "a column is a Vec or slice of i64, Micros, String, &str, typed ids, bool, Vec<u8>, or of an Option of one of them"
)]
pub trait Column {
    /// How many rows it has.
    fn rows(&self) -> usize;
    /// Adds it as an array; an error says why it cannot be.
    fn add_array(&self, args: &mut PgArguments) -> Result<(), String>;
    /// Writes one cell as JSON.
    fn write_cell(&self, row: usize, json: &mut Vec<u8>) -> Result<(), String>;
    /// Binds one cell.
    fn bind_cell(&self, row: usize, args: &mut SqliteArguments) -> Result<(), String>;
    /// PostgreSQL's name for the type of a cell.
    fn sql_type(&self) -> &'static str;
    /// For a column that has the same value in every row: adds that value, and says so.
    fn add_same(&self, _args: &mut PgArguments) -> Option<Result<(), String>> {
        None
    }
}

/// The same value in every row.
pub struct Same<T> {
    pub(super) value: T,
    pub(super) rows: usize,
}

/// A column that has the same value in all of its `rows`.
pub fn same<T: Cell + Clone>(value: T, rows: usize) -> Same<T> {
    Same { value, rows }
}

impl<T: Cell + Clone> Column for Same<T> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn add_array(&self, args: &mut PgArguments) -> Result<(), String> {
        T::add_array(&vec![self.value.clone(); self.rows], args)
    }

    fn write_cell(&self, _: usize, json: &mut Vec<u8>) -> Result<(), String> {
        self.value.write(json)
    }

    fn bind_cell(&self, _: usize, args: &mut SqliteArguments) -> Result<(), String> {
        self.value.bind(args)
    }

    fn sql_type(&self) -> &'static str {
        T::SQL_TYPE
    }

    fn add_same(&self, args: &mut PgArguments) -> Option<Result<(), String>> {
        Some(self.value.add(args))
    }
}

/// The columns of one statement, while they are gathered.
pub struct Columns<'a> {
    engine: Engine,
    rows: Option<usize>,
    args: Args,
    // Only for SQLite, which needs them row by row.
    kept: Vec<Box<dyn Column + Send + 'a>>,
}

impl<'a> Columns<'a> {
    /// No columns yet, for the engine of `tx`.
    pub fn of(tx: &Tx) -> Self {
        Self::for_engine(tx.engine())
    }

    pub(super) fn for_engine(engine: Engine) -> Self {
        Columns {
            engine,
            rows: None,
            args: Args::for_engine(engine),
            kept: Vec::new(),
        }
    }

    /// Adds the next column.
    pub fn push<C: Column + Send + 'a>(&mut self, column: C) {
        let rows = *self.rows.get_or_insert(column.rows());
        if rows != column.rows() {
            self.args.refuse(format!(
                "the columns differ in length: {rows} and {}",
                column.rows()
            ));
        }
        match &mut self.args.encoded {
            Encoded::Postgres(args) => {
                if let Err(message) = column.add_array(args) {
                    self.args.refuse(message);
                }
            }
            Encoded::Sqlite(_) => self.kept.push(Box::new(column)),
        }
    }

    /// The text for the engine at hand, and its values so far.
    pub fn finish(
        mut self,
        (postgres, sqlite): (&'static str, &'static str),
    ) -> (&'static str, Args) {
        if self.engine == Engine::Postgres {
            return (postgres, self.args);
        }
        // Columns of different length were refused above; they have no rows to write.
        if self.args.refused.is_none() {
            match self.json() {
                Ok(json) => self.args.push(json),
                Err(message) => self.args.refuse(message),
            }
        }
        (sqlite, self.args)
    }

    fn json(&self) -> Result<String, String> {
        let rows = self.rows.unwrap_or(0);
        let mut json = Vec::with_capacity(2 + rows * self.kept.len() * 16);
        json.push(b'[');
        for row in 0..rows {
            json.extend_from_slice(if row == 0 { b"[" } else { b",[" });
            for (at, column) in self.kept.iter().enumerate() {
                if at > 0 {
                    json.push(b',');
                }
                column.write_cell(row, &mut json)?;
            }
            json.push(b']');
        }
        json.push(b']');
        String::from_utf8(json).map_err(|error| format!("the rows are no text: {error}"))
    }
}

/// A cell of a column.
pub trait Cell: Sized {
    /// PostgreSQL's name for its type.
    const SQL_TYPE: &'static str;
    /// Adds cells as an array.
    fn add_array(cells: &[Self], args: &mut PgArguments) -> Result<(), String>;
    /// Adds the cell alone.
    fn add(&self, args: &mut PgArguments) -> Result<(), String>;
    /// Writes the cell as JSON.
    fn write(&self, json: &mut Vec<u8>) -> Result<(), String>;
    /// Binds the cell.
    fn bind(&self, args: &mut SqliteArguments) -> Result<(), String>;
}

macro_rules! columns {
    ($($column:ty),*) => {$(
        impl<T: Cell> Column for $column {
            fn rows(&self) -> usize {
                self.len()
            }

            fn add_array(&self, args: &mut PgArguments) -> Result<(), String> {
                T::add_array(self, args)
            }

            fn write_cell(&self, row: usize, json: &mut Vec<u8>) -> Result<(), String> {
                self[row].write(json)
            }

            fn bind_cell(&self, row: usize, args: &mut SqliteArguments) -> Result<(), String> {
                self[row].bind(args)
            }

            fn sql_type(&self) -> &'static str {
                T::SQL_TYPE
            }
        }
    )*};
}

columns!(Vec<T>, &Vec<T>, &[T]);

fn add<'q, T>(kept: Result<Vec<T>, String>, args: &mut PgArguments) -> Result<(), String>
where
    Vec<T>: sqlx::Encode<'q, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    args.add(kept?).map_err(|error| error.to_string())
}

fn add_one<'q, T>(kept: Result<T, String>, args: &mut PgArguments) -> Result<(), String>
where
    T: sqlx::Encode<'q, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    args.add(kept?).map_err(|error| error.to_string())
}

fn bind<'q, T>(value: Result<T, String>, args: &mut SqliteArguments) -> Result<(), String>
where
    T: sqlx::Encode<'q, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    args.add(value?).map_err(|error| error.to_string())
}

/// A type and its Option are cells: `$keep` gives what goes into an array, `$own` what SQLite keeps until the
/// statement ran, `$write` writes JSON.
macro_rules! cells {
    ($([$($generic:tt)*] $type:ty, $sql:literal, $keep:expr, $own:ty, $bind:expr, $write:expr;)*) => {$(
        impl<$($generic)*> Cell for $type {
            const SQL_TYPE: &'static str = $sql;

            fn add_array(cells: &[Self], args: &mut PgArguments) -> Result<(), String> {
                add(cells.iter().map($keep).collect(), args)
            }

            fn add(&self, args: &mut PgArguments) -> Result<(), String> {
                // By way of an Option, so that the closure's types are known.
                Some(self).map($keep).map_or(Ok(()), |kept| add_one(kept, args))
            }

            fn write(&self, json: &mut Vec<u8>) -> Result<(), String> {
                $write(self, json)
            }

            fn bind(&self, args: &mut SqliteArguments) -> Result<(), String> {
                bind($bind(self), args)
            }
        }

        impl<$($generic)*> Cell for Option<$type> {
            const SQL_TYPE: &'static str = $sql;

            fn add_array(cells: &[Self], args: &mut PgArguments) -> Result<(), String> {
                add(cells.iter().map(|cell| cell.as_ref().map($keep).transpose()).collect(), args)
            }

            fn add(&self, args: &mut PgArguments) -> Result<(), String> {
                add_one(self.as_ref().map($keep).transpose(), args)
            }

            fn write(&self, json: &mut Vec<u8>) -> Result<(), String> {
                match self {
                    Some(cell) => cell.write(json),
                    None => write_word("null", json),
                }
            }

            fn bind(&self, args: &mut SqliteArguments) -> Result<(), String> {
                match self {
                    Some(cell) => cell.bind(args),
                    None => bind(Ok(None::<$own>), args),
                }
            }
        }
    )*};
}

cells! {
    [] i64, "BIGINT", |cell| Ok(*cell), i64, |cell: &i64| Ok(*cell), |cell: &i64, json| write_word(&cell.to_string(), json);
    [] Micros, "BIGINT", |cell| Ok(cell.0), i64, |cell: &Micros| Ok(cell.0), |cell: &Micros, json| write_word(&cell.0.to_string(), json);
    [] bool, "BOOLEAN", |cell| Ok(*cell), bool, |cell: &bool| Ok(*cell), |cell: &bool, json| write_word(if *cell { "true" } else { "false" }, json);
    [] String, "TEXT", |cell| text(cell), String, |cell: &String| text(cell).map(str::to_owned), |cell: &String, json| write_text(cell, json);
    ['t] &'t str, "TEXT", |cell| text(cell), String, |cell: &&str| text(cell).map(str::to_owned), |cell: &&str, json| write_text(cell, json);
    [K: Kind] Id<K>, "TEXT", |cell| text(cell.as_str()), String, |cell: &Id<K>| Ok(cell.as_str().to_owned()), |cell: &Id<K>, json| write_text(cell.as_str(), json);
    [] Vec<u8>, "BYTEA", |cell| Ok(cell.as_slice()), Vec<u8>, |cell: &Vec<u8>| Ok(cell.clone()), |cell: &Vec<u8>, json| write_bytes(cell, json);
    [] [u8; 32], "BYTEA", |cell| Ok(cell.as_slice()), Vec<u8>, |cell: &[u8; 32]| Ok(cell.to_vec()), |cell: &[u8; 32], json| write_bytes(cell, json);
}

fn text(text: &str) -> Result<&str, String> {
    if has_nul(text) {
        Err(NUL_IN_TEXT.to_owned())
    } else {
        Ok(text)
    }
}

fn write_word(word: &str, json: &mut Vec<u8>) -> Result<(), String> {
    json.extend_from_slice(word.as_bytes());
    Ok(())
}

fn write_text(cell: &str, json: &mut Vec<u8>) -> Result<(), String> {
    serde_json::to_writer(json, text(cell)?).map_err(|error| error.to_string())
}

fn write_bytes(cell: &[u8], json: &mut Vec<u8>) -> Result<(), String> {
    json.push(b'"');
    json.extend_from_slice(hex::encode(cell).as_bytes());
    json.push(b'"');
    Ok(())
}
