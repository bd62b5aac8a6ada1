//! Rooms.
pub mod config;
pub mod model;
pub mod store;
pub mod events;
pub mod rpc;
pub mod ops;
pub mod live;
pub use config::Config;
