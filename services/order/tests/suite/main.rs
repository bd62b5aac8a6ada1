//! The service behind its layers, on both engines, with real tokens.

mod aftersales;
mod cancels;
mod catalogue;
mod contacts;
mod conversions;
mod drops;
mod fakes;
mod feeds;
mod handshake;
mod ledger;
mod links;
mod lists;
mod money;
mod payments;
mod progress;
mod quotes;
mod rates;
mod refunds;
mod refusals;
mod returns;
mod sales;
mod schema;
mod security;
mod supply;
mod tenants;
mod world;
