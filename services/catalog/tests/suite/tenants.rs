//! What belongs to another partner looks like what does not exist, byte for byte.

use contracts::catalog::v1::*;
use contracts::id::{ListingId, PartnerId, ProductId};
use testkit::{Setup, TestDb, on_both_engines};
use tonic::Code;

use crate::common::*;

/// Makes the same call with a foreign and with an unknown id, and compares all that travels.
macro_rules! same {
    ($hand:ident.$service:ident.$method:ident, $foreign:expr, $unknown:expr) => {{
        let foreign = bytes_of(call!($hand.$service.$method($foreign)));
        let unknown = bytes_of(call!($hand.$service.$method($unknown)));
        assert_eq!(foreign, unknown, stringify!($method));
        assert_eq!(foreign.0, Code::NotFound, stringify!($method));
    }};
}

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn a_foreign_id_is_an_unknown_one(t: TestDb) {
        let s = Server::start(&t).await;
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        let product = s.create_product("TEA", 1).await;
        let variant_id = &product.variants[0].variant_id;
        let theirs = s.live(&south, variant_id).await.listing_id;
        let waiting = s.propose(&south, variant_id).await.listing_id;
        let nobody = PartnerId::from_uuid(1).to_string();
        let nothing = ListingId::from_uuid(1).to_string();
        let hand = s.partner(&north);

        let get = |id: &str| GetPartnerRequest { partner_id: id.into() };
        same!(hand.partners.get_partner, get(&south), get(&nobody));
        let keys = |id: &str| ListPaymentKeysRequest { partner_id: id.into(), ..ListPaymentKeysRequest::default() };
        same!(hand.partners.list_payment_keys, keys(&south), keys(&nobody));
        let outlets = |id: &str| ListOutletsRequest { partner_id: id.into(), ..ListOutletsRequest::default() };
        same!(hand.partners.list_outlets, outlets(&south), outlets(&nobody));
        let list = |id: &str| ListListingsRequest { partner_id: id.into(), ..ListListingsRequest::default() };
        same!(hand.listings.list_listings, list(&south), list(&nobody));
        let propose = |id: &str| proposal(id, variant_id);
        same!(hand.listings.propose_listing, propose(&south), propose(&nobody));
        let check = |id: &str| ProposeListingRequest { validate_only: true, ..proposal(id, variant_id) };
        same!(hand.listings.propose_listing, check(&south), check(&nobody));

        let read = |id: &str| GetListingRequest { listing_id: id.into() };
        same!(hand.listings.get_listing, read(&theirs), read(&nothing));
        let decide = |id: &str| decision(id, Decision::Approve);
        same!(hand.listings.decide_listing, decide(&waiting), decide(&nothing));
        // Also when the etag would not fit and the state would not do.
        let decide = |id: &str| DecideListingRequest { etag: "v9".into(), ..decision(id, Decision::Approve) };
        same!(hand.listings.decide_listing, decide(&theirs), decide(&nothing));
        let pause = |id: &str| PauseListingRequest {
            request_id: key(), listing_id: id.into(), reason: "x".into(), etag: String::new(),
        };
        same!(hand.listings.pause_listing, pause(&theirs), pause(&nothing));
        let end = |id: &str| EndListingRequest {
            request_id: key(), listing_id: id.into(), reason: "x".into(), etag: String::new(),
        };
        same!(hand.listings.end_listing, end(&theirs), end(&nothing));

        let product = |id: &str| GetProductRequest { product_id: id.into() };
        let unlisted = s.create_product("CUP", 1).await.product_id;
        same!(hand.products.get_product, product(&unlisted), product(ProductId::from_uuid(1).as_str()));
        let untouched = s.ops();
        let listing = call!(untouched.listings.get_listing(read(&theirs))).expect("there").listing.expect("it");
        assert_eq!(listing.state(), ListingState::Live);
    }

    async fn a_partner_reads_the_products_of_its_listings(t: TestDb) {
        let s = Server::start(&t).await;
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        let product = s.create_product("TEA", 2).await;
        s.propose(&north, &product.variants[0].variant_id).await;
        let get = GetProductRequest { product_id: product.product_id.clone() };
        let (hand, other) = (s.partner(&north), s.partner(&south));
        assert_eq!(call!(hand.products.get_product(get.clone())).expect("listed").product, Some(product));
        assert_eq!(bytes_of(call!(other.products.get_product(get))).0, Code::NotFound);
    }
}
