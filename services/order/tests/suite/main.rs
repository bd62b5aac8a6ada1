//! The service behind its layers, on both engines, with real tokens.

mod cancels;
mod catalogue;
mod contacts;
mod fakes;
mod feeds;
mod handshake;
mod lists;
mod payments;
mod progress;
mod quotes;
mod refusals;
mod schema;
mod supply;
mod tenants;
mod world;
