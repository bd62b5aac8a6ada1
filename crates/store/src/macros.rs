//! [`sql!`](crate::sql), [`bulk!`](crate::bulk) and [`insert!`](crate::insert): one statement, two engines.

mod args;
mod columns;
mod insert;
mod run;
mod text;

pub use args::{Args, Bind};
pub use columns::{Column, Columns, Same, same};
pub use insert::{Named, Texts, insert};
pub(crate) use run::control;
pub use run::{Row, all, execute, one, optional};
pub use text::{checked, checked_bulk};

/// Runs one statement in a transaction; the same text serves both engines.
///
/// The text is a constant with parameters `$1`, `$2`, ..; how many there are is checked when it is
/// compiled. Binds: `i64` (and smaller integers, [`kit::clock::Micros`]), `String`, `&str`, typed ids,
/// `bool`, `Vec<u8>`, `&[u8]`, and an `Option` of each. The macro waits for the answer itself.
///
/// ```no_run
/// # use kit::errors::Fault;
/// # use store::{StoreError, Tx, sql};
/// #[derive(sqlx::FromRow)]
/// struct Thing {
///     id: String,
///     size: i64,
/// }
///
/// async fn grow(tx: &mut Tx, id: &str) -> Result<Option<Thing>, StoreError> {
///     let changed: u64 = sql!(tx, execute, "UPDATE thing SET size = size + $1 WHERE id = $2", 5, id)?;
///     let (count,) = sql!(tx, one (i64,), "SELECT COUNT(*) FROM thing")?;
///     let _larger: Vec<Thing> = sql!(tx, all Thing, "SELECT id, size FROM thing WHERE size > $1 LIMIT 100", count)?;
///     assert!(changed <= 1);
///     sql!(tx, optional Thing, "SELECT id, size FROM thing WHERE id = $1", id)
/// }
/// ```
///
/// | form | answer |
/// |---|---|
/// | `execute` | `u64`, the rows it touched |
/// | `all Row` | `Vec<Row>` |
/// | `optional Row` | `Option<Row>`, the first row |
/// | `one Row` | `Row`; no row is an error |
///
/// A bind too few does not compile:
///
/// ```compile_fail
/// # async fn f(tx: &mut store::Tx) {
/// store::sql!(tx, execute, "UPDATE thing SET size = $1 WHERE id = $2", 5);
/// # }
/// ```
#[macro_export]
macro_rules! sql {
    ($tx:expr, execute, $text:expr $(, $bind:expr)* $(,)?) => {
        $crate::__sql!($tx, execute, $text, [$($bind),*])
    };
    ($tx:expr, all $row:ty, $text:expr $(, $bind:expr)* $(,)?) => {
        $crate::__sql!($tx, all::<$row>, $text, [$($bind),*])
    };
    ($tx:expr, optional $row:ty, $text:expr $(, $bind:expr)* $(,)?) => {
        $crate::__sql!($tx, optional::<$row>, $text, [$($bind),*])
    };
    ($tx:expr, one $row:ty, $text:expr $(, $bind:expr)* $(,)?) => {
        $crate::__sql!($tx, one::<$row>, $text, [$($bind),*])
    };
    ($($other:tt)*) => {
        ::core::compile_error!(
            "write sql!(tx, execute, \"TEXT\", binds..), or `all Row`, `optional Row`, `one Row` in place of `execute`"
        )
    };
}

/// Runs one set-based statement, in the form that each engine is fast at.
///
/// `columns` are vectors or slices of one length. PostgreSQL gets each as an array, `$1` to `$n`, for
/// `UNNEST`; SQLite gets all as one JSON array of rows, `$1`, for `json_each`, where column `k` of a row
/// is `value->>k` (a boolean is 0 or 1) and bytes are hexadecimal: `unhex(value->>k)`. `also` are
/// scalars that follow: from `$n+1` on PostgreSQL, from `$2` on SQLite. After `FROM json_each($1)` an
/// upsert needs `WHERE true`; in a join its own columns (`id`, `key`, `type`, ..) make those of the table
/// ambiguous, so name the table. The forms `execute`, `all Row`, `optional Row` and `one Row` are those of
/// [`sql!`](crate::sql).
///
/// ```no_run
/// # use store::{StoreError, Tx, bulk};
/// async fn insert(tx: &mut Tx, ids: Vec<String>, sizes: Vec<i64>) -> Result<u64, StoreError> {
///     let now = tx.now();
///     bulk!(
///         tx,
///         execute,
///         postgres: "INSERT INTO thing (id, size, create_time)
///                    SELECT u.*, $3 FROM UNNEST($1::TEXT[], $2::BIGINT[]) AS u",
///         sqlite: "INSERT INTO thing (id, size, create_time)
///                  SELECT value->>0, value->>1, $2 FROM json_each($1)",
///         columns: [ids, sizes],
///         also: [now],
///     )
/// }
/// ```
///
/// ```compile_fail
/// # async fn f(tx: &mut store::Tx, ids: Vec<String>) {
/// store::bulk!(tx, execute, sqlite: "DELETE FROM thing", columns: [ids]);
/// # }
/// ```
#[macro_export]
macro_rules! bulk {
    ($tx:expr, execute, postgres: $pg:expr, sqlite: $lite:expr, columns: [$($column:expr),+ $(,)?]
        $(, also: [$($also:expr),* $(,)?])? $(,)?) => {
        $crate::__bulk!($tx, execute, $pg, $lite, [$($column),+], [$($($also),*)?])
    };
    ($tx:expr, all $row:ty, postgres: $pg:expr, sqlite: $lite:expr, columns: [$($column:expr),+ $(,)?]
        $(, also: [$($also:expr),* $(,)?])? $(,)?) => {
        $crate::__bulk!($tx, all::<$row>, $pg, $lite, [$($column),+], [$($($also),*)?])
    };
    ($tx:expr, optional $row:ty, postgres: $pg:expr, sqlite: $lite:expr, columns: [$($column:expr),+ $(,)?]
        $(, also: [$($also:expr),* $(,)?])? $(,)?) => {
        $crate::__bulk!($tx, optional::<$row>, $pg, $lite, [$($column),+], [$($($also),*)?])
    };
    ($tx:expr, one $row:ty, postgres: $pg:expr, sqlite: $lite:expr, columns: [$($column:expr),+ $(,)?]
        $(, also: [$($also:expr),* $(,)?])? $(,)?) => {
        $crate::__bulk!($tx, one::<$row>, $pg, $lite, [$($column),+], [$($($also),*)?])
    };
    ($($other:tt)*) => {
        ::core::compile_error!(
            "write bulk!(tx, execute, postgres: \"TEXT\", sqlite: \"TEXT\", columns: [a, b], also: [c]), or `all Row`, `optional Row`, `one Row` in place of `execute`; `also` may be left out"
        )
    };
}

/// Writes many new rows: a table, its columns by name, each a vector or slice of one length, or
/// [`same`](crate::macros::same) for a value that all rows share. There may be no rows at all.
///
/// Every row has to be new. A key that somebody else has taken meanwhile makes the unit run again, and then it
/// sees what was there first: that costs PostgreSQL much less than to ask for each row before it is written, as
/// `ON CONFLICT` does.
///
/// ```no_run
/// # use store::{StoreError, Tx, insert, macros::same};
/// async fn things(tx: &mut Tx, ids: Vec<String>, sizes: Vec<i64>) -> Result<(), StoreError> {
///     let (now, rows) = (tx.now(), ids.len());
///     insert!(tx, "thing", { id: ids, size: sizes, create_time: same(now, rows) })
/// }
/// ```
#[macro_export]
macro_rules! insert {
    ($tx:expr, $table:literal, { $($name:ident: $column:expr),+ $(,)? }) => {{
        static TEXTS: $crate::macros::Texts = $crate::macros::Texts::new($table);
        let columns = vec![$($crate::macros::Named {
            name: stringify!($name),
            cells: Box::new($column),
        }),+];
        $crate::macros::insert(&mut *$tx, &TEXTS, columns).await
    }};
}

// The binds are encoded before the statement borrows the transaction, so that they may ask it things
// themselves: `tx.now()`, `tx.ids().next()`.
#[doc(hidden)]
#[macro_export]
macro_rules! __sql {
    ($tx:expr, $verb:ident $(::<$row:ty>)?, $text:expr, [$($bind:expr),*]) => {{
        // An item, so that the compiler looks at it even where it only checks.
        const __SQL_TEXT: &str = $crate::macros::checked($text, $crate::__count!($($bind),*));
        #[allow(unused_mut)]
        let mut args = $crate::macros::Args::of(&*$tx);
        $( args.push($bind); )*
        $crate::macros::$verb $(::<$row>)? (&mut *$tx, __SQL_TEXT, args).await
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __bulk {
    ($tx:expr, $verb:ident $(::<$row:ty>)?, $pg:expr, $lite:expr, [$($column:expr),+], [$($also:expr),*]) => {{
        const __SQL_TEXTS: (&str, &str) = $crate::macros::checked_bulk(
            $pg,
            $lite,
            $crate::__count!($($column),+),
            $crate::__count!($($also),*),
        );
        let mut columns = $crate::macros::Columns::of(&*$tx);
        $( columns.push($column); )+
        #[allow(unused_mut)]
        let (text, mut args) = columns.finish(__SQL_TEXTS);
        $( args.push($also); )*
        $crate::macros::$verb $(::<$row>)? (&mut *$tx, text, args).await
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __count {
    ($($item:expr),*) => { <[()]>::len(&[$($crate::__unit!($item)),*]) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __unit {
    ($item:expr) => {
        ()
    };
}
