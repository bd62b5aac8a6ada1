//! What every process of the suite needs, with no SQL and no domain in it.
//!
//! The one hardened server, the layers every call goes through, the wire that
//! services talk over, errors and their one mapping to gRPC, and the injected
//! clock, ids and randomness.

pub mod admin;
pub mod auth;
pub mod caller;
pub mod clock;
pub mod config;
pub mod errors;
pub mod ids;
pub mod layers;
pub mod lifecycle;
pub mod load;
pub mod page;
pub mod partners;
pub mod parts;
pub mod scope;
pub mod seal;
pub mod server;
mod spawn;
pub mod telemetry;
pub mod validate;
pub mod wire;

pub use spawn::{Threaded, spawn, spawn_thread};
