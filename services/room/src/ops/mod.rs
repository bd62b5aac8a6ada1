//! What can be done and asked: one operation per step, each in one transaction.

pub mod air;
pub mod channels;
pub mod counters;
pub mod follows;
pub mod handover;
pub mod hosts;
pub mod items;
pub mod live_now;
pub mod materialise;
pub mod overrides;
pub mod privacy;
pub mod programme;
pub mod questions;
pub mod read;
pub mod rooms;
pub mod slots;
pub mod sweep;
pub mod tail;
pub mod timeline;
