//! The service on both engines, from its operations to its calls.

mod blocks;
mod calls;
mod cancels;
mod common;
mod fields;
mod intake;
mod lists;
mod orders;
mod races;
mod random;
mod schema;
mod server;
mod shipping;
mod speed;
mod tracking;
mod whole;
