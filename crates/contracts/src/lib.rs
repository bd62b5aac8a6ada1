//! The contracts of the suite: generated messages, clients and servers, the descriptor set with its
//! policies, typed ids and money.

pub mod id;
pub mod money;

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
}

pub use generated::vitrine::*;

pub use common::v1::ErrorReason;

/// Every file of the suite and what it imports, encoded, with all custom options.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/vitrine.binpb"));
