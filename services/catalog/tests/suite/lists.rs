//! Lists and their pages.

use std::collections::BTreeSet;

use catalog::Config;
use contracts::ErrorReason;
use contracts::catalog::v1::*;
use contracts::id::PartnerId;
use testkit::{Setup, TestDb, on_both_engines};

use crate::common::*;

/// Reads all pages of listings; answers their ids and how many pages there were.
async fn listings(hand: &Hand, request: ListListingsRequest) -> (Vec<String>, usize) {
    let (mut ids, mut pages, mut page_token) = (Vec::new(), 0, String::new());
    loop {
        let request = ListListingsRequest {
            page_token,
            ..request.clone()
        };
        let page = call!(hand.listings.list_listings(request)).expect("a page");
        ids.extend(page.listings.into_iter().map(|listing| listing.listing_id));
        pages += 1;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return (ids, pages);
        }
    }
}

/// Some of the created, in the order of lists.
fn sorted<'a>(ids: impl IntoIterator<Item = &'a Listing>) -> Vec<String> {
    let ids: BTreeSet<_> = ids
        .into_iter()
        .map(|listing| listing.listing_id.clone())
        .collect();
    ids.into_iter().collect()
}

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn listings_are_listed_by_partner_state_and_product(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        let (tea, cup) = (s.create_product("TEA", 1).await, s.create_product("CUP", 1).await);
        let (tea_id, cup_id) = (&tea.variants[0].variant_id, &cup.variants[0].variant_id);
        let mut made = Vec::new();
        for partner in [&north, &south] {
            for variant in [tea_id, cup_id] {
                t.clock.advance(std::time::Duration::from_millis(1));
                made.push(s.propose(partner, variant).await);
                made.push(s.approved(partner, variant).await);
            }
        }
        let by = |partner: Option<&str>, state: Option<ListingState>, product: Option<&Product>| {
            sorted(made.iter().filter(|listing| {
                partner.is_none_or(|id| listing.partner_id == id)
                    && state.is_none_or(|state| listing.state() == state)
                    && product.is_none_or(|product| listing.product_id == product.product_id)
            }))
        };
        let states = [None, Some(ListingState::Proposed), Some(ListingState::Approved), Some(ListingState::Live)];
        for partner in [None, Some(north.as_str()), Some(south.as_str())] {
            for state in states {
                for product in [None, Some(&tea), Some(&cup)] {
                    let request = ListListingsRequest {
                        partner_id: partner.unwrap_or_default().into(),
                        state: state.unwrap_or_default().into(),
                        product_id: product.map(|product| product.product_id.clone()).unwrap_or_default(),
                        page_size: 1,
                        page_token: String::new(),
                    };
                    let expected = by(partner, state, product);
                    let (found, pages) = listings(&ops, request.clone()).await;
                    assert_eq!(found, expected, "{request:?}");
                    assert_eq!(pages, expected.len().max(1));
                    // A partner gets its own without asking for itself.
                    let own = s.partner(&north);
                    if partner.is_none() {
                        assert_eq!(listings(&own, request).await.0, by(Some(&north), state, product));
                    }
                }
            }
        }
        let nobody = ListListingsRequest { partner_id: PartnerId::from_uuid(1).to_string(), ..ListListingsRequest::default() };
        assert_eq!(reason(call!(ops.listings.list_listings(nobody))), ErrorReason::NotFound);
        let wrong = ListListingsRequest { partner_id: "x".into(), state: 99, product_id: "x".into(), ..ListListingsRequest::default() };
        assert_eq!(fields(call!(ops.listings.list_listings(wrong))), ["partner_id", "state", "product_id"]);
    }

    async fn a_page_token_belongs_to_its_query_and_its_caller(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let partner_id = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        for _ in 0..2 {
            s.propose(&partner_id, &product.variants[0].variant_id).await;
        }
        let first = ListListingsRequest { page_size: 1, ..ListListingsRequest::default() };
        let page = call!(ops.listings.list_listings(first.clone())).expect("a page");
        assert!(!page.next_page_token.is_empty());
        let next = ListListingsRequest { page_token: page.next_page_token, ..first };
        assert_eq!(call!(ops.listings.list_listings(next.clone())).expect("a page").listings.len(), 1);
        let other = ListListingsRequest { state: ListingState::Proposed.into(), ..next.clone() };
        assert_eq!(reason(call!(ops.listings.list_listings(other))), ErrorReason::BadPageToken);
        let partner = s.partner(&partner_id);
        assert_eq!(reason(call!(partner.listings.list_listings(next.clone()))), ErrorReason::BadPageToken);
        let products = ListProductsRequest { page_token: next.page_token, ..ListProductsRequest::default() };
        assert_eq!(reason(call!(ops.products.list_products(products))), ErrorReason::BadPageToken);
        let negative = ListPartnersRequest { page_size: -1, page_token: String::new() };
        assert_eq!(fields(call!(ops.partners.list_partners(negative))), ["page_size"]);
    }

    async fn partners_keys_outlets_and_products_are_listed_in_pages(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        for partner in [&north, &south] {
            for number in 0..3 {
                let kid = format!("k{number}");
                s.add_key(partner, &kid, &jwk(number, &kid)).await;
                let outlet = Outlet {
                    partner_id: partner.clone(),
                    surface: Surface::Web.into(),
                    display_name: kid,
                    ..Outlet::default()
                };
                let request = RegisterOutletRequest { request_id: key(), outlet: Some(outlet) };
                call!(ops.partners.register_outlet(request)).expect("registered");
            }
        }
        let mut tokens = vec![String::new()];
        let mut seen = BTreeSet::new();
        while let Some(page_token) = tokens.pop() {
            let request = ListPaymentKeysRequest { partner_id: north.clone(), page_size: 2, page_token };
            let page = call!(ops.partners.list_payment_keys(request)).expect("a page");
            assert!(page.payment_keys.iter().all(|key| key.partner_id == north));
            seen.extend(page.payment_keys.into_iter().map(|key| key.kid));
            tokens.extend(Some(page.next_page_token).filter(|token| !token.is_empty()));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["k0", "k1", "k2"]);

        for (partner_id, count) in [(String::new(), 6), (north.clone(), 3)] {
            let request = ListOutletsRequest { partner_id, page_size: 6, page_token: String::new() };
            let page = call!(ops.partners.list_outlets(request)).expect("a page");
            assert_eq!((page.outlets.len(), page.next_page_token.as_str()), (count, ""));
        }
        let request = ListPartnersRequest { page_size: 1, page_token: String::new() };
        let first = call!(ops.partners.list_partners(request)).expect("a page");
        let request = ListPartnersRequest { page_size: 1, page_token: first.next_page_token };
        let second = call!(ops.partners.list_partners(request)).expect("a page");
        let ids: BTreeSet<_> = first.partners.iter().chain(&second.partners).map(|partner| &partner.partner_id).collect();
        assert_eq!((ids, second.next_page_token.as_str()), (BTreeSet::from([&north, &south]), ""));
    }

    async fn products_are_listed_by_brand_and_no_page_is_too_large(t: TestDb) {
        let config = Config { page_bytes_max: 2_000, ..Config::default() };
        let s = Server::start_with(&t, config, false).await;
        let ops = s.ops();
        for number in 0..6 {
            let product = Product {
                brand: if number % 2 == 0 { "Even" } else { "Odd" }.into(),
                description: "x".repeat(900),
                ..product(&format!("P{number}"), 2)
            };
            let request = CreateProductRequest { request_id: key(), product: Some(product), validate_only: false };
            call!(ops.products.create_product(request)).expect("created");
        }
        let large = Product { description: "x".repeat(5_000), brand: "Large".into(), ..product("L", 1) };
        let request = CreateProductRequest { request_id: key(), product: Some(large), validate_only: false };
        call!(ops.products.create_product(request)).expect("created");
        for (brand, count) in [("", 7), ("Even", 3), ("Odd", 3), ("Large", 1), ("None", 0)] {
            let (mut titles, mut page_token) = (BTreeSet::new(), String::new());
            loop {
                let request = ListProductsRequest { page_size: 0, page_token, brand: brand.into() };
                let page = call!(ops.products.list_products(request)).expect("a page");
                let bytes: usize = page.products.iter().map(prost::Message::encoded_len).sum();
                assert!(bytes <= 2_000 || page.products.len() == 1, "{bytes}");
                assert!(page.products.iter().all(|product| brand.is_empty() || product.brand == brand));
                assert!(page.products.iter().all(|product| !product.variants.is_empty()));
                titles.extend(page.products.into_iter().map(|product| product.title));
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            assert_eq!(titles.len(), count, "{brand}");
        }
    }
}
