//! The catalogue on both engines, through its calls: real clients, real layers, real tokens.

mod access;
mod assortment;
mod batches;
mod brands;
mod common;
mod dates;
mod exclusivity;
mod feed;
mod imports;
mod keys;
mod life;
mod listings;
mod lists;
mod partners;
mod products;
mod races;
mod refresh;
mod regulated;
mod schema;
mod sellers;
mod tenants;
