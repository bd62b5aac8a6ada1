//! The service behind its layers on both engines, fed by a catalogue over a wire.

mod catalog;
mod channels;
mod common;
mod explain;
mod follows;
mod hosts;
mod hubs;
mod likes;
mod prices;
mod privacy;
mod programme;
mod resume;
mod rooms;
mod schema;
mod showcase;
mod slow;
mod stage;
mod tenants;
mod timeline;
mod watch;
