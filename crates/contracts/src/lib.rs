//! The contracts of the suite: generated messages, clients and servers, the descriptor set with its
//! policies, typed ids and money.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")
)]

pub mod codec;
pub mod feed;
pub mod id;
pub mod money;
pub mod policy;

/// Code generated from `proto/`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    rustdoc::all,
    reason = "generated code follows the generator's style"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/vitrine.rs"));
    include!(concat!(env!("OUT_DIR"), "/hidden_debug.rs"));
}

pub use generated::vitrine::{catalog, common, fulfillment, order, room};

pub use common::v1::ErrorReason;

/// Every file of the suite and what it imports, encoded, with all custom options.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vitrine.binpb"));

/// What reflection is to serve: the contracts, and the details that errors carry (`google.rpc`), so that tools can
/// decode those too.
#[must_use]
pub fn reflection_sets() -> [&'static [u8]; 2] {
    [FILE_DESCRIPTOR_SET, tonic_types::pb::FILE_DESCRIPTOR_SET]
}
