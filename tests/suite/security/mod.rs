//! Who gets in, what they may cost, and what they may learn of others. Everything here is generated from the
//! descriptors where it can be, so that a new method or field cannot be forgotten.

mod access;
mod attacks;
mod bodies;
mod canaries;
mod certificates;
mod credentials;
mod matrix;
mod paths;
mod personal_data;
mod statements;
pub mod strangers;
mod tenancy;
mod things;
#[allow(dead_code, reason = "`tests/attacks` uses the rest of it")]
#[path = "../../attacks/wire.rs"]
mod wire;
