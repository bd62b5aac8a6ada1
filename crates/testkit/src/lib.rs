//! What tests of the suite share: a database of their own on either engine, a clock that stands still,
//! seeded ids, a database that fails on request.
//!
//! ```
//! testkit::on_both_engines! {
//!     async fn the_database_answers(t: testkit::TestDb) {
//!         t.db.ping().await.expect("an answer");
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! PostgreSQL is the server that `VITRINE_TEST_POSTGRES` names, or one started privately by the test
//! process from the programs on PATH or under `/usr/lib/postgresql`; it ends with the process. Where there
//! is none that half of the tests is skipped, with one line that says so; with `CI=true` it fails.

mod database;
mod engines;
mod environment;
pub mod fault;
pub mod house;
mod migrations;
mod operation;
mod private;
mod proxy;
mod server;
mod wait;

pub use database::{Setup, TestDb};
pub use engines::{engines, run};
pub use migrations::{check_migrations, check_store_migrations};
pub use operation::{Op, op};
pub use private::{PrivatePostgres, Settings};
pub use proxy::{Cut, Proxy};
pub use store::Engine;
pub use wait::{eventually, eventually_async};
