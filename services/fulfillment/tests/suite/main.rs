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
mod return_fields;
mod return_races;
mod return_random;
mod return_time;
mod returns;
mod schema;
mod server;
mod shipping;
mod speed;
mod tracking;
mod whole;
