//! The service behind its layers on both engines, fed by a catalogue over a wire.

mod catalog;
mod common;
mod explain;
mod hosts;
mod hubs;
mod likes;
mod prices;
mod privacy;
mod resume;
mod rooms;
mod schema;
mod showcase;
mod slow;
mod tenants;
mod watch;
