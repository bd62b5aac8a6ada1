//! A whole room as it is: what a snapshot shows and what events are resolved against.

use std::collections::{BTreeMap, BTreeSet};

use contracts::id::{PartnerId, ProductId};
use kit::clock::Micros;

use super::offer::{Listing, Offer};
use super::question::Question;
use super::room::Room;
use super::showcase::Item;

/// The listings of some products to some partners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assortment {
    /// By product and partner, by id within.
    pub listings: BTreeMap<(ProductId, PartnerId), Vec<Listing>>,
    /// Partners that may not sell.
    pub suspended: BTreeSet<PartnerId>,
}

impl Assortment {
    /// What a product can be bought as through a partner at a moment.
    pub fn offers(&self, product: ProductId, partner: PartnerId, now: Micros) -> Vec<Offer> {
        let suspended = self.suspended.contains(&partner);
        let listings = self.listings.get(&(product, partner)).into_iter().flatten();
        listings
            .filter_map(|listing| listing.offer(suspended, now))
            .collect()
    }

    /// The next moment at which any offer changes by itself.
    pub fn next_edge(&self, now: Micros) -> Option<Micros> {
        self.listings
            .values()
            .flatten()
            .filter_map(|listing| listing.next_edge(now))
            .min()
    }
}

/// A room, its showcase, what can be bought, and what was answered last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The room.
    pub room: Room,
    /// Its showcase, in order.
    pub items: Vec<Item>,
    /// What can be bought through the room's partners.
    pub assortment: Assortment,
    /// The latest answered questions, the latest last.
    pub answered: Vec<Question>,
}

impl Image {
    /// Whether a change of the catalogue can be seen in this room. Either part may be left open.
    pub fn is_touched_by(&self, product: Option<ProductId>, partner: Option<PartnerId>) -> bool {
        let shown = |product| self.items.iter().any(|item| item.product_id == product);
        let sold = |partner| {
            self.room
                .places
                .iter()
                .any(|place| place.partner_id == partner)
        };
        product.is_none_or(shown) && partner.is_none_or(sold)
    }
}
