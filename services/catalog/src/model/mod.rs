//! What the catalogue knows and how it may change: plain values and pure transitions.
//!
//! A transition either changes the value and says so, or refuses and leaves it as it was.

pub mod access;
pub mod brand;
pub mod country;
pub mod gtin;
pub mod import;
pub mod legal_entity;
pub mod listing;
pub mod look;
pub mod outlet;
pub mod partner;
pub mod payment_key;
pub mod product;
pub mod reach;
pub mod regulation;
pub mod rules;
pub mod terms;
pub mod version;
mod words;

use kit::errors::{ErrorReason, Refusal};

/// The refusal of something that the contract has and this server does not do yet.
pub fn not_offered(field: &str, what: &str) -> Refusal {
    Refusal::new(
        ErrorReason::NotOffered,
        format!("Field {field}: {what} is not offered yet; leave it out."),
    )
    .with("field", field)
}
