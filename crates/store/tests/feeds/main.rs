//! What every service builds on: positions, feeds, consumers, keys, the audit chain and lanes.

mod audit;
mod consumer;
mod exactly_once;
mod feed;
mod idempotency;
mod lane;
mod positions;
mod sealing;
mod support;
mod tenancy;
