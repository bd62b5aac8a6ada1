//! What a product can be bought as where it is looked at.

use contracts::id::{ListingId, PartnerId, ProductId, VariantId};
use contracts::money::Price;
use kit::clock::Micros;
use kit::validate::Window;

use super::words::words;

words! {
    /// The life of a listing, as the catalogue tells it.
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
    /// Who takes the shopper's money.
    PurchaseMode {
        /// The partner, inside its own app.
        InApp = "IN_APP",
        /// The retailer, in its own shop.
        Redirect = "REDIRECT",
    }
}

/// One variant offered to one partner, as the catalogue has it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Which.
    pub id: ListingId,
    /// To whom.
    pub partner_id: PartnerId,
    /// Of which product.
    pub product_id: ProductId,
    /// The variant.
    pub variant_id: VariantId,
    /// The variant's options.
    pub variant_label: String,
    /// The price.
    pub price: Price,
    /// The retailer's discount.
    pub retailer_discount_basis_points: i32,
    /// Who takes the money.
    pub purchase_mode: PurchaseMode,
    /// Where it is in its life.
    pub state: ListingState,
    /// When it may be sold.
    pub window: Window,
}

/// A listing as shoppers see it at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The listing.
    pub listing_id: ListingId,
    /// The variant.
    pub variant_id: VariantId,
    /// The variant's options.
    pub variant_label: String,
    /// The price.
    pub price: Price,
    /// The retailer's discount.
    pub retailer_discount_basis_points: i32,
    /// Who takes the money.
    pub purchase_mode: PurchaseMode,
    /// Whether it can be bought at that moment.
    pub on_sale: bool,
}

impl Listing {
    /// The offer that it makes: none before it was published and after it ended, so that no shopper sees a price that
    /// is still being talked about.
    pub fn offer(&self, suspended: bool, now: Micros) -> Option<Offer> {
        if !matches!(self.state, ListingState::Live | ListingState::Paused) {
            return None;
        }
        Some(Offer {
            listing_id: self.id,
            variant_id: self.variant_id,
            variant_label: self.variant_label.clone(),
            price: self.price,
            retailer_discount_basis_points: self.retailer_discount_basis_points,
            purchase_mode: self.purchase_mode,
            on_sale: self.state == ListingState::Live && !suspended && self.window.contains(now),
        })
    }

    /// The next moment after `now` at which its offer changes by itself.
    pub fn next_edge(&self, now: Micros) -> Option<Micros> {
        if self.state != ListingState::Live {
            return None;
        }
        [self.window.start, self.window.end]
            .into_iter()
            .flatten()
            .filter(|edge| *edge > now)
            .min()
    }
}

#[cfg(test)]
mod tests {
    use contracts::money::{Currency, Money};
    use proptest::prelude::*;

    use super::*;

    fn listing(state: ListingState, window: Window) -> Listing {
        let amount = Money {
            currency: Currency::parse("EUR").expect("a currency"),
            minor_units: 1_990,
        };
        Listing {
            id: ListingId::from_uuid(1),
            partner_id: PartnerId::from_uuid(1),
            product_id: ProductId::from_uuid(1),
            variant_id: VariantId::from_uuid(1),
            variant_label: "Large / Blue".into(),
            price: Price::new(amount, 1).expect("a price"),
            retailer_discount_basis_points: 500,
            purchase_mode: PurchaseMode::InApp,
            state,
            window,
        }
    }

    #[test]
    fn on_sale_needs_state_window_and_partner() {
        let window = Window {
            start: Some(Micros(10)),
            end: Some(Micros(20)),
        };
        let on_sale = |state, suspended, now| {
            listing(state, window)
                .offer(suspended, Micros(now))
                .map(|o| o.on_sale)
        };
        assert_eq!(on_sale(ListingState::Live, false, 10), Some(true));
        assert_eq!(on_sale(ListingState::Live, false, 9), Some(false));
        assert_eq!(on_sale(ListingState::Live, false, 20), Some(false));
        assert_eq!(on_sale(ListingState::Live, true, 10), Some(false));
        assert_eq!(on_sale(ListingState::Paused, false, 10), Some(false));
        for hidden in [
            ListingState::Proposed,
            ListingState::Approved,
            ListingState::Ended,
            ListingState::Rejected,
        ] {
            assert_eq!(on_sale(hidden, false, 10), None, "{hidden}");
        }
    }

    proptest! {
        /// Between two edges nothing changes, so whoever looks again at each edge misses nothing.
        #[test]
        fn offers_change_by_themselves_only_at_edges(
            start in proptest::option::of(0i64..50),
            length in proptest::option::of(1i64..50),
            now in 0i64..100,
        ) {
            let end = length.map(|length| Micros(start.unwrap_or(0) + length));
            let listing = listing(ListingState::Live, Window { start: start.map(Micros), end });
            let edge = listing.next_edge(Micros(now)).map_or(200, |edge| edge.0);
            let offer = listing.offer(false, Micros(now));
            for later in now..edge {
                prop_assert_eq!(&listing.offer(false, Micros(later)), &offer);
            }
            if edge < 200 {
                prop_assert_ne!(&listing.offer(false, Micros(edge)), &offer);
            }
        }
    }
}
