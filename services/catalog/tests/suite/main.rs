//! The catalogue on both engines, through its calls: real clients, real layers, real tokens.

mod common;
mod feed;
mod keys;
mod life;
mod listings;
mod lists;
mod partners;
mod products;
mod races;
mod retitle;
mod schema;
mod tenants;
