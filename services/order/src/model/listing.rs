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

impl PurchaseMode {
    /// Who collects the money of what is bought in this mode.
    pub const fn collected_by(self) -> CollectedBy {
        match self {
            PurchaseMode::InApp => CollectedBy::Partner,
            PurchaseMode::Redirect => CollectedBy::Retailer,
        }
    }
}

fn mode_in_force(before: PurchaseMode, switches: &[DatedMode], time: Micros) -> PurchaseMode {
    switches
        .iter()
        .rev()
        .find(|switch| switch.start_time <= time)
        .map_or(before, |switch| switch.mode)
}

/// A switch of the purchase mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DatedMode {
    /// From when on.
    pub start_time: Micros,
    /// Which mode.
    pub mode: PurchaseMode,
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
    /// Who takes the money until the first switch.
    pub purchase_mode: PurchaseMode,
    /// The switches, by time.
    pub dated_purchase_modes: Vec<DatedMode>,
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

    /// The purchase mode in force at a time: that of the last switch which is not after it.
    pub fn mode_at(&self, time: Micros) -> PurchaseMode {
        mode_in_force(self.purchase_mode, &self.dated_purchase_modes, time)
    }

    /// Whether it may be sent to a region.
    pub fn sold_to(&self, region_code: &str) -> bool {
        self.territories.is_empty() || self.territories.iter().any(|code| code == region_code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_switch_that_has_come_decides_who_takes_the_money() {
        let switch = |at, mode| DatedMode {
            start_time: Micros(at),
            mode,
        };
        assert_eq!(
            mode_in_force(PurchaseMode::Redirect, &[], Micros(99)),
            PurchaseMode::Redirect
        );
        let switches = [
            switch(10, PurchaseMode::Redirect),
            switch(20, PurchaseMode::InApp),
            switch(30, PurchaseMode::Redirect),
        ];
        let modes = [9, 10, 19, 20, 29, 30, 99]
            .map(|at| mode_in_force(PurchaseMode::InApp, &switches, Micros(at)).as_str());
        assert_eq!(
            modes,
            [
                "IN_APP", "REDIRECT", "REDIRECT", "IN_APP", "IN_APP", "REDIRECT", "REDIRECT"
            ]
        );
        assert_eq!(PurchaseMode::Redirect.collected_by(), CollectedBy::Retailer);
    }
}
