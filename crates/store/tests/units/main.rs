//! Units of work, the SQL macros and migrations, on both engines.

mod cancel;
mod engines;
mod group;
mod inserts;
mod losses;
mod migrations;
mod running;
mod schema;
mod statements;
