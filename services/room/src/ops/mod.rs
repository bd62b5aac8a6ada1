//! What can be done and asked: one operation per step, each in one transaction.

pub mod counters;
pub mod hosts;
pub mod items;
pub mod questions;
pub mod read;
pub mod rooms;
pub mod sweep;
pub mod tail;
