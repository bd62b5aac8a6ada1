//! Orders: who gets which units, at what price, and what was paid for them.

pub mod config;
pub mod events;
pub mod model;
pub mod ops;
pub mod quote;
pub mod rpc;
pub mod statement;
pub mod store;

pub use config::Config;

static POSTGRES: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/postgres");
static SQLITE: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/sqlite");

/// The tables of this service.
pub const fn migrations() -> ::store::Migrations {
    ::store::Migrations { postgres: &POSTGRES, sqlite: &SQLITE }
}
