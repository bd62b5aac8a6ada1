//! What the catalogue says: partners and their listings, as its feed brought them.

use contracts::id::{ListingId, PartnerId, ProductId, VariantId};
use contracts::money::Currency;
use kit::clock::Micros;
use std::time::Duration;

use super::amount::Pricing;
use super::words::words;

words! {
    /// Whether a partner may sell.
    PartnerState {
        /// May sell.
        Active = "ACTIVE",
        /// May not sell.
        Suspended = "SUSPENDED",
    }
}

words! {
    /// The life of a listing.
    ListingState {
        /// Waits for the other party.
        Proposed = "PROPOSED",
        /// Agreed, not yet on sale.
        Approved = "APPROVED",
        /// On sale inside its window.
        Live = "LIVE",
        /// Off sale for a while.
        Paused = "PAUSED",
        /// Over.
        Ended = "ENDED",
        /// Refused by the other party.
        Rejected = "REJECTED",
    }
}

words! {
    /// What a quantity counts.
    Unit {
        /// Pieces.
        Each = "EACH",
        /// Grams.
        Gram = "GRAM",
    }
}

words! {
    /// Who takes the shopper's money.
    PurchaseMode {
        /// The partner, in its own app.
        InApp = "IN_APP",
        /// The retailer, reached by a deep link.
        Redirect = "REDIRECT",
    }
}

words! {
    /// Who collected the money of a line.
    CollectedBy {
        /// The partner.
        Partner = "PARTNER",
        /// The retailer.
        Retailer = "RETAILER",
    }
}

/// A listing with its terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The listing.
    pub listing_id: ListingId,
    /// The partner it is for.
    pub partner_id: PartnerId,
    /// What is sold.
    pub variant_id: VariantId,
    /// Its product.
    pub product_id: ProductId,
    /// Its SKU.
    pub sku: String,
    /// Its title.
    pub title: String,
    /// What quantities count.
    pub unit: Unit,
    /// Quantities are multiples of this.
    pub quantity_step: i64,
    /// Its life.
    pub state: ListingState,
    /// Grows with each change of the terms.
    pub terms_version: i64,
    /// What it costs.
    pub pricing: Pricing,
    /// First moment of sale.
    pub window_start_time: Option<Micros>,
    /// First moment after the sale.
    pub window_end_time: Option<Micros>,
    /// Units one shopper may hold and have bought; 0 for no limit.
    pub per_shopper_limit: i64,
    /// Regions it may be sent to; empty for anywhere.
    pub territories: Vec<String>,
    /// Legal entity that sells.
    pub legal_entity: String,
    /// Who takes the money.
    pub purchase_mode: PurchaseMode,
    /// Follows from the purchase mode.
    pub collected_by: CollectedBy,
    /// Time after payment in which nothing ships.
    pub remorse: Duration,
    /// Time after payment by which it is to be shipped.
    pub ship_within: Duration,
    /// Nothing ships before this.
    pub ship_not_before: Option<Micros>,
    /// The catalogue's etag of it.
    pub etag: String,
    /// Whether its partner may sell.
    pub partner_state: PartnerState,
}

impl Listing {
    /// The currency of its terms.
    pub fn currency(&self) -> Currency {
        self.pricing.price.amount().currency
    }

    /// Whether `now` is inside its sale window.
    pub fn in_window(&self, now: Micros) -> bool {
        self.window_start_time.is_none_or(|start| start <= now)
            && self.window_end_time.is_none_or(|end| now < end)
    }

    /// Whether it may be sent to a region.
    pub fn sold_to(&self, region_code: &str) -> bool {
        self.territories.is_empty() || self.territories.iter().any(|code| code == region_code)
    }
}
