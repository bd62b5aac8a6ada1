//! Units of work, one file per family.

pub(crate) mod access;
mod around;
pub(crate) mod batch;
pub(crate) mod brand;
pub(crate) mod import;
pub(crate) mod legal_entity;
pub(crate) mod listing;
pub(crate) mod outlet;
pub(crate) mod partner;
pub(crate) mod payment_key;
pub(crate) mod product;
pub(crate) mod read;
pub(crate) mod refresh;
pub(crate) mod regulation;

use contracts::ErrorReason;
use contracts::common::v1::Audience;
use contracts::id::PartnerId;
use kit::caller::Caller;
use kit::errors::Refusal;

use crate::model::listing::{Actor, Party};

/// The words for things that are not there; the same for what is another's.
pub(crate) mod kind {
    pub(crate) const PARTNER: &str = "partner";
    pub(crate) const PARTNER_ACCESS: &str = "partner's access";
    pub(crate) const PAYMENT_KEY: &str = "payment key";
    pub(crate) const TOKEN_KEY: &str = "token key";
    pub(crate) const CLIENT_CERTIFICATE: &str = "client certificate";
    pub(crate) const PRODUCT: &str = "product";
    pub(crate) const VARIANT: &str = "variant";
    pub(crate) const LISTING: &str = "listing";
    pub(crate) const BRAND_AGREEMENT: &str = "brand agreement";
    pub(crate) const CATEGORY_RULE: &str = "category rule";
    pub(crate) const LICENCE: &str = "licence";
    pub(crate) const LEGAL_ENTITY: &str = "legal entity";
}

/// Whose rows a caller may see: one partner's, or everybody's.
pub(crate) fn scope(caller: &Caller) -> Result<Option<PartnerId>, Refusal> {
    match caller.audience {
        Audience::Retailer | Audience::Service => Ok(None),
        Audience::Partner => caller.partner().map(Some),
        Audience::Viewer | Audience::Unspecified => Err(no_party()),
    }
}

/// For which party a caller acts.
pub(crate) fn actor(caller: &Caller) -> Result<Actor, Refusal> {
    let party = match caller.audience {
        Audience::Retailer => Party::Retailer,
        Audience::Partner => Party::Partner,
        Audience::Viewer | Audience::Service | Audience::Unspecified => return Err(no_party()),
    };
    Ok(Actor {
        party,
        issuer: caller.issuer.clone(),
        subject: caller.subject.clone(),
    })
}

fn no_party() -> Refusal {
    Refusal::new(
        ErrorReason::PermissionDenied,
        "This token speaks for neither the retailer nor a partner; use one that does.",
    )
}

/// Something with a natural key that is taken. `field` is the field of the key.
pub(crate) fn taken(field: &str, message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorReason::AlreadyExists, message).with("field", field)
}
