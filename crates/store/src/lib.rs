//! Everything SQL that is not domain: units of work on two engines, feeds, idempotency, audit.
//!
//! A unit of work is a value that implements [`Operation`]. [`Db::execute`] runs it in a task of its
//! own inside one transaction, so that a caller who goes away can never leave a transaction open or
//! half done, and runs it again when the database asks for that. The same SQL text serves PostgreSQL
//! and SQLite through [`sql!`]; where speed needs an engine's own form, [`bulk!`] puts the two texts
//! side by side.
//!
//! ```no_run
//! use kit::errors::Fault;
//! use store::{Operation, Tx, sql};
//!
//! struct Rename {
//!     id: String,
//!     name: String,
//! }
//!
//! impl Operation for Rename {
//!     type Output = u64;
//!
//!     fn name(&self) -> &'static str {
//!         "rename"
//!     }
//!
//!     async fn run(&self, tx: &mut Tx) -> Result<u64, Fault> {
//!         let now = tx.now();
//!         Ok(sql!(tx, execute, "UPDATE thing SET name = $1, update_time = $2 WHERE id = $3", &self.name, now, &self.id)?)
//!     }
//! }
//! ```

pub mod audit;
pub mod batch;
pub mod consumer;
pub mod cursor;
pub mod db;
pub mod directory;
pub mod erasure;
pub mod error;
pub mod feed;
pub mod head;
pub mod idempotency;
pub mod keys;
pub mod macros;
pub mod migrate;
pub mod operation;
pub mod postgres;
pub mod private;
pub mod sealed;
pub mod sqlite;
pub mod tx;

pub use audit::NewAudit;
pub use db::{Db, DbConfig};
pub use error::StoreError;
pub use feed::NewEntry;
pub use keys::{Owner, ShopperKeys};
pub use migrate::Migrations;
pub use operation::Operation;
pub use tx::{Conn, Engine, Tx};
