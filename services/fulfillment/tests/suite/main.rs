//! The service on both engines, from its operations to its calls.

mod blocks;
mod cancels;
mod common;
mod intake;
mod lists;
mod races;
mod random;
mod schema;
mod shipping;
mod speed;
mod tracking;
