//! What the catalogue publishes: a snapshot of whatever changed, after the change.
//!
//! Entries of partners, keys, outlets and listings belong to the partner; those of products to nobody,
//! because partners see products inside their listings only. The catalogue consumes nobody's feed.

use contracts::catalog::v1::CatalogFeedEntry;
use contracts::catalog::v1::catalog_feed_entry::Content;
use prost::Message;
use store::NewEntry;

use crate::model::access::PartnerAccess;
use crate::model::listing::Listing;
use crate::model::outlet::Outlet;
use crate::model::partner::Partner;
use crate::model::payment_key::PaymentKey;
use crate::model::product::Product;
use crate::rpc::{render, render_access};

/// The name of the feed; cursors belong to it.
pub(crate) const FEED: &str = "catalog";

fn entry(kind: &'static str, aggregate_id: &str, content: Content) -> NewEntry {
    let entry = CatalogFeedEntry {
        meta: None,
        content: Some(content),
    };
    NewEntry::new(kind, aggregate_id, &entry)
}

/// A partner was registered, suspended or resumed.
pub(crate) fn partner(partner: &Partner) -> NewEntry {
    let content = Content::Partner(render::partner(partner));
    entry("partner", partner.partner_id.as_str(), content)
        .partner(partner.partner_id)
        .etag(partner.version.etag())
}

/// How a partner is let in changed.
pub(crate) fn partner_access(access: &PartnerAccess) -> NewEntry {
    let content = Content::PartnerAccess(render_access::access(access));
    entry("partner_access", access.partner_id.as_str(), content)
        .partner(access.partner_id)
        .etag(access.version.etag())
}

/// A key was added or revoked.
pub(crate) fn payment_key(key: &PaymentKey) -> NewEntry {
    let content = Content::PaymentKey(render::payment_key(key));
    entry("payment_key", key.payment_key_id.as_str(), content)
        .partner(key.partner_id)
        .etag(key.version().etag())
}

/// An outlet was registered.
pub(crate) fn outlet(outlet: &Outlet) -> NewEntry {
    let content = Content::Outlet(render::outlet(outlet));
    entry("outlet", outlet.outlet_id.as_str(), content)
        .partner(outlet.partner_id)
        .etag(Outlet::VERSION.etag())
}

/// A product was created or changed.
pub(crate) fn product(product: &Product) -> NewEntry {
    let content = Content::Product(render::product(product));
    entry("product", product.product_id.as_str(), content).etag(product.version.etag())
}

/// A listing was proposed, decided or changed.
pub(crate) fn listing(listing: &Listing) -> NewEntry {
    let content = Content::Listing(render::listing(listing));
    entry("listing", listing.listing_id.as_str(), content)
        .partner(listing.partner_id)
        .etag(listing.version.etag())
}

/// What is kept of a version of a listing's terms: the message that callers see, as it was then.
pub(crate) fn terms(listing: &Listing) -> Vec<u8> {
    render::terms(listing).encode_to_vec()
}
