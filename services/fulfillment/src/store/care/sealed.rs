//! Whose key seals what is said in cases, and where it is kept.

use contracts::id::PartnerId;
use kit::seal::Place;
use store::Owner;

/// The kind of personal data, as erasures and keys call it.
pub const CARE_MESSAGE: &str = "CARE_MESSAGE";

/// The shopper of a case. Whatever is personal in it is sealed with their key, what an arbiter said too.
pub fn care_owner(partner_id: PartnerId, shopper_ref: &str) -> Owner {
    Owner::new(CARE_MESSAGE, partner_id, shopper_ref)
}

/// A field of the arbiter's row of a case.
pub fn arbiter_place<'a>(case_id: &'a str, field: &'a str) -> Place<'a> {
    Place::new("care_arbiter", case_id, field)
}

/// A message's text.
pub fn body_place(message_id: &str) -> Place<'_> {
    Place::new("care_message", message_id, "body")
}
