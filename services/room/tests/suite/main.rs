//! The service behind its layers on both engines, fed by a catalogue over a wire.

mod catalog;
mod common;
mod explain;
mod hosts;
mod likes;
mod privacy;
mod prices;
mod resume;
mod rooms;
mod schema;
mod showcase;
mod slow;
mod tenants;
mod watch;
