//! Rooms, their hosts, their showcase and their audience.

pub mod model;
pub mod store;
