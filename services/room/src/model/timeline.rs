//! What was explained when, and at which price.

use contracts::id::{ListingId, PartnerId, ProductId, ShowcaseItemId, VariantId};
use contracts::money::Price;
use kit::clock::Micros;

use super::offer::Offer;

/// A stretch of time in which one product was explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// From 1, in the order of time.
    pub number: i64,
    /// The item.
    pub item_id: ShowcaseItemId,
    /// Its product.
    pub product_id: ProductId,
    /// The product's title then.
    pub title: String,
    /// When it began.
    pub start: Micros,
    /// When it ended.
    pub end: Option<Micros>,
}

/// A price as it was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownPrice {
    /// During which segment.
    pub segment: i64,
    /// The listing.
    pub listing_id: ListingId,
    /// Whose listing it is.
    pub partner_id: PartnerId,
    /// The variant.
    pub variant_id: VariantId,
    /// Since when.
    pub time: Micros,
    /// The price.
    pub price: Price,
    /// The retailer's discount.
    pub retailer_discount_basis_points: i32,
    /// Whether it could be bought.
    pub on_sale: bool,
}

impl ShownPrice {
    /// What an offer shows.
    pub fn of(segment: i64, partner_id: PartnerId, offer: &Offer, time: Micros) -> Self {
        ShownPrice {
            segment,
            listing_id: offer.listing_id,
            partner_id,
            variant_id: offer.variant_id,
            time,
            price: offer.price,
            retailer_discount_basis_points: offer.retailer_discount_basis_points,
            on_sale: offer.on_sale,
        }
    }

    /// Whether shoppers see something else now.
    pub fn differs_from(&self, offer: &Offer) -> bool {
        self.price != offer.price
            || self.retailer_discount_basis_points != offer.retailer_discount_basis_points
            || self.on_sale != offer.on_sale
    }
}

/// A price that was shown, and what the listing says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThenAndNow {
    /// As it was shown.
    pub then: ShownPrice,
    /// The offer now; none when the listing is over.
    pub now: Option<Offer>,
}
