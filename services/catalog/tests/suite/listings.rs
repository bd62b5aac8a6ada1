//! Terms: what is kept, what is refused, and how they change.

use contracts::ErrorReason;
use contracts::catalog::v1::*;
use contracts::common::v1::{CollectedBy, Price, PurchaseMode, Unit, Window};
use contracts::id::VariantId;
use kit::clock::{Clock, Micros};
use prost_types::{Duration, Timestamp};
use testkit::{Setup, TestDb, on_both_engines};

use crate::common::*;

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

/// The field at fault, and how right terms become wrong.
type Case<'a> = (&'a str, &'a dyn Fn(&mut ListingTerms));

const DAY: i64 = 24 * 60 * 60;

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn terms_come_back_as_sent_with_defaults_said(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let partner_id = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let variant_id = &product.variants[0].variant_id;
        let now = t.clock.now().seconds();
        let sent = ListingTerms {
            retailer_discount_basis_points: 500,
            sale_window: Some(Window { start_time: at(now + DAY), end_time: at(now + 2 * DAY) }),
            per_shopper_limit: 3,
            exclusivity: Exclusivity::None.into(),
            purchase_mode: PurchaseMode::Redirect.into(),
            remorse_period: Some(Duration { seconds: 1_800, nanos: 5_000 }),
            ship_within: seconds(5 * DAY),
            ship_not_before: at(now + 9 * DAY),
            ..terms()
        };
        let request = ProposeListingRequest { terms: Some(sent.clone()), ..proposal(&partner_id, variant_id) };
        let listing = call!(ops.listings.propose_listing(request)).expect("proposed").listing.expect("it");
        let expected = ListingTerms { collected_by: CollectedBy::Retailer.into(), ..sent };
        assert_eq!(listing.terms.as_ref(), Some(&expected));
        let get = GetListingRequest { listing_id: listing.listing_id.clone() };
        assert_eq!(call!(ops.listings.get_listing(get)).expect("readable").listing, Some(listing));

        let bare = ListingTerms { price: Some(price(1)), ..ListingTerms::default() };
        let request = ProposeListingRequest { terms: Some(bare.clone()), ..proposal(&partner_id, variant_id) };
        let kept = call!(ops.listings.propose_listing(request)).expect("proposed").listing.expect("it").terms;
        let expected = ListingTerms {
            shipping: Some(money(0, "EUR")),
            exclusivity: Exclusivity::None.into(),
            purchase_mode: PurchaseMode::InApp.into(),
            collected_by: CollectedBy::Partner.into(),
            remorse_period: seconds(0),
            ship_within: seconds(3 * DAY),
            ..bare
        };
        assert_eq!(kept, Some(expected));
    }

    async fn every_wrong_term_is_named(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let partner_id = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let variant_id = product.variants[0].variant_id.clone();
        let nothing = ProposeListingRequest { terms: None, ..proposal("", "") };
        assert_eq!(fields(call!(ops.listings.propose_listing(nothing))), ["partner_id", "variant_id", "terms"]);
        let with = |change: &dyn Fn(&mut ListingTerms)| {
            let mut terms = terms();
            change(&mut terms);
            ProposeListingRequest { terms: Some(terms), ..proposal(&partner_id, &variant_id) }
        };
        let cases: [Case<'_>; 24] = [
            ("terms.price", &|t| t.price = None),
            ("terms.price.amount", &|t| t.price = Some(Price { amount: None, per_quantity: 1 })),
            ("terms.price.amount.minor_units", &|t| t.price = Some(price(0))),
            ("terms.price.amount.minor_units", &|t| t.price = Some(price(-1))),
            ("terms.price.amount.currency_code", &|t| t.price = Some(Price { amount: Some(money(1, "eur")), per_quantity: 1 })),
            ("terms.price.per_quantity", &|t| t.price = Some(Price { amount: Some(money(1, "EUR")), per_quantity: 0 })),
            ("terms.retailer_discount_basis_points", &|t| t.retailer_discount_basis_points = 10_001),
            ("terms.shipping.minor_units", &|t| t.shipping = Some(money(-1, "EUR"))),
            ("terms.shipping.currency_code", &|t| t.shipping = Some(money(1, "USD"))),
            ("terms.tax_basis_points", &|t| t.tax_basis_points = -1),
            ("terms.sale_window.end_time", &|t| t.sale_window = Some(Window { start_time: at(9), end_time: at(9) })),
            ("terms.sale_window.start_time", &|t| t.sale_window = Some(Window { start_time: at(i64::MAX), end_time: None })),
            ("terms.per_shopper_limit", &|t| t.per_shopper_limit = -1),
            ("terms.per_shopper_limit", &|t| t.per_shopper_limit = 1_000_000_001),
            ("terms.territories", &|t| t.territories = vec!["DE".into(); 251]),
            ("terms.territories[1]", &|t| t.territories = vec!["DE".into(), "UK".into()]),
            ("terms.territories[1]", &|t| t.territories = vec!["DE".into(), "DE".into()]),
            ("terms.exclusivity", &|t| t.exclusivity = 9),
            ("terms.commission_basis_points", &|t| t.commission_basis_points = 10_001),
            ("terms.legal_entity", &|t| t.legal_entity = "x".repeat(201)),
            ("terms.purchase_mode", &|t| t.purchase_mode = 9),
            ("terms.remorse_period", &|t| t.remorse_period = seconds(7 * DAY + 1)),
            ("terms.ship_within", &|t| t.ship_within = seconds(180 * DAY + 1)),
            ("terms.ship_within", &|t| t.ship_within = seconds(0)),
        ];
        for (field, change) in cases {
            assert_eq!(fields(call!(ops.listings.propose_listing(with(change)))), [field]);
        }
        let negative = with(&|t| t.remorse_period = Some(Duration { seconds: 1, nanos: -1 }));
        assert_eq!(fields(call!(ops.listings.propose_listing(negative))), ["terms.remorse_period"]);
        let beyond = with(&|t| t.ship_not_before = Some(Timestamp { seconds: 0, nanos: -1 }));
        assert_eq!(fields(call!(ops.listings.propose_listing(beyond))), ["terms.ship_not_before"]);
        assert!(s.feed_of(&s.partner(&partner_id)).await.len() == 1, "only the partner was published");
    }

    async fn a_proposal_fits_what_it_is_about(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let partner_id = s.register_partner("north").await;
        let grams = Product {
            variants: vec![Variant { unit: Unit::Gram.into(), quantity_step: 500, ..variant("CHEESE") }],
            ..product("CHEESE", 0)
        };
        let request = CreateProductRequest { request_id: key(), product: Some(grams), validate_only: false };
        let grams = call!(ops.products.create_product(request)).expect("created").product.expect("it");
        let with = |terms| ProposeListingRequest { terms: Some(terms), ..proposal(&partner_id, &grams.variants[0].variant_id) };
        let too_few = with(ListingTerms { per_shopper_limit: 499, ..terms() });
        assert_eq!(fields(call!(ops.listings.propose_listing(too_few))), ["terms.per_shopper_limit"]);
        let enough = with(ListingTerms { per_shopper_limit: 500, ..terms() });
        call!(ops.listings.propose_listing(enough)).expect("one step");
        let by_weight = |minor_units, per_quantity| {
            let price = Price { per_quantity, ..price(minor_units) };
            with(ListingTerms { price: Some(price), per_shopper_limit: 2_000, ..terms() })
        };
        let weighed = call!(ops.listings.propose_listing(by_weight(1_990, 500))).expect("19.90 for 500 g");
        let weighed = weighed.listing.expect("it");
        assert_eq!(weighed.terms.expect("terms").price.expect("a price").per_quantity, 500);
        assert_eq!(weighed.variant.expect("it").unit(), Unit::Gram);
        // A step has to cost something: 500 g of 0.09 for 10 kg round to nothing.
        assert_eq!(fields(call!(ops.listings.propose_listing(by_weight(9, 10_000)))), ["terms.price"]);
        call!(ops.listings.propose_listing(by_weight(10, 10_000))).expect("half a cent is rounded up");
        let now = t.clock.now();
        let over = Window { start_time: None, end_time: Some(now.to_proto()) };
        let over = with(ListingTerms { sale_window: Some(over), ..terms() });
        assert_eq!(reason(call!(ops.listings.propose_listing(over))), ErrorReason::OutsideWindow);
        let unknown = proposal(&partner_id, VariantId::from_uuid(1).as_str());
        assert_eq!(reason(call!(ops.listings.propose_listing(unknown))), ErrorReason::NotFound);
    }

    async fn a_check_proposes_nothing_and_says_what_proposing_would(t: TestDb) {
        let s = Server::start(&t).await;
        let partner_id = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let partner = s.partner(&partner_id);
        let check = ProposeListingRequest { validate_only: true, ..proposal("", &product.variants[0].variant_id) };
        let checked = call!(partner.listings.propose_listing(check.clone())).expect("right").listing.expect("it");
        assert_eq!((checked.listing_id.as_str(), checked.etag.as_str(), checked.state()), ("", "", ListingState::Proposed));
        let list = call!(partner.listings.list_listings(ListListingsRequest::default())).expect("a list");
        assert!(list.listings.is_empty());
        s.suspend(&partner_id).await.expect("suspended");
        assert_eq!(reason(call!(partner.listings.propose_listing(check))), ErrorReason::PartnerSuspended);
    }

    async fn changed_terms_grow_the_version_and_keep_the_currency(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let partner_id = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let live = s.live(&partner_id, &product.variants[0].variant_id).await;
        let change = || ChangeListingTermsRequest {
            request_id: key(),
            listing_id: live.listing_id.clone(),
            ..ChangeListingTermsRequest::default()
        };
        assert_eq!(fields(call!(ops.listings.change_listing_terms(change()))), ["price"]);
        let window = Window { start_time: None, end_time: Some(Micros(t.clock.now().0 + 1_000_000).to_proto()) };
        let request = ChangeListingTermsRequest {
            price: Some(price(1_490)),
            retailer_discount_basis_points: Some(1_000),
            shipping: Some(money(0, "EUR")),
            sale_window: Some(window),
            per_shopper_limit: Some(2),
            etag: live.etag.clone(),
            ..change()
        };
        let answer = call!(ops.listings.change_listing_terms(request.clone())).expect("changed");
        assert_eq!(call!(ops.listings.change_listing_terms(request.clone())).expect("replayed"), answer);
        let changed = answer.listing.expect("it");
        assert_eq!((changed.terms_version, changed.state()), (2, ListingState::Live));
        let expected = ListingTerms {
            price: Some(price(1_490)),
            retailer_discount_basis_points: 1_000,
            shipping: Some(money(0, "EUR")),
            sale_window: Some(window),
            per_shopper_limit: 2,
            ..live.terms.clone().expect("terms")
        };
        assert_eq!(changed.terms, Some(expected));

        let stale = ChangeListingTermsRequest { request_id: key(), ..request };
        assert_eq!(reason(call!(ops.listings.change_listing_terms(stale))), ErrorReason::EtagMismatch);
        let same = ChangeListingTermsRequest { per_shopper_limit: Some(2), ..change() };
        let same = call!(ops.listings.change_listing_terms(same)).expect("nothing to do").listing.expect("it");
        assert_eq!((same.terms_version, same.etag), (2, changed.etag));
        let yen = Price { amount: Some(money(900, "JPY")), per_quantity: 1 };
        let wrong = [
            ("price.amount.currency_code", ChangeListingTermsRequest { price: Some(yen), ..change() }),
            ("shipping.currency_code", ChangeListingTermsRequest { shipping: Some(money(1, "JPY")), ..change() }),
            ("price.amount.minor_units", ChangeListingTermsRequest { price: Some(price(0)), ..change() }),
            ("retailer_discount_basis_points", ChangeListingTermsRequest { retailer_discount_basis_points: Some(-1), ..change() }),
            ("per_shopper_limit", ChangeListingTermsRequest { per_shopper_limit: Some(-1), ..change() }),
            ("sale_window.end_time", ChangeListingTermsRequest {
                sale_window: Some(Window { start_time: at(2), end_time: at(1) }),
                ..change()
            }),
        ];
        for (field, request) in wrong {
            assert_eq!(fields(call!(ops.listings.change_listing_terms(request))), [field]);
        }
    }

    async fn nothing_goes_on_sale_after_its_window(t: TestDb) {
        let s = Server::start(&t).await;
        let partner_id = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let (ops, partner) = (s.ops(), s.partner(&partner_id));
        let end = t.clock.now().seconds() + 60;
        let window = Window { start_time: None, end_time: at(end) };
        let request = ProposeListingRequest {
            terms: Some(ListingTerms { sale_window: Some(window), ..terms() }),
            ..proposal(&partner_id, &product.variants[0].variant_id)
        };
        let listing = call!(ops.listings.propose_listing(request)).expect("proposed").listing.expect("it");
        call!(partner.listings.decide_listing(decision(&listing.listing_id, Decision::Approve))).expect("approved");
        t.clock.advance(std::time::Duration::from_secs(60));
        assert_eq!(reason(s.publish(&listing.listing_id).await), ErrorReason::OutsideWindow);
        let longer = ChangeListingTermsRequest {
            request_id: key(),
            listing_id: listing.listing_id.clone(),
            sale_window: Some(Window { start_time: None, end_time: at(end + 60) }),
            ..ChangeListingTermsRequest::default()
        };
        call!(ops.listings.change_listing_terms(longer)).expect("a longer window");
        s.publish(&listing.listing_id).await.expect("on sale");
    }
}
