//! A partner's assortment as a list, and the copy that the feed keeps of it.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::ErrorReason;
use contracts::catalog::v1::catalog_feed_entry::Content;
use contracts::catalog::v1::*;
use contracts::common::v1::{PurchaseMode, Unit, Window};
use contracts::id::PartnerId;
use kit::clock::Clock;
use prost_types::{FieldMask, Timestamp};
use testkit::{Setup, TestDb, on_both_engines};

use crate::common::*;

fn at(t: &TestDb, seconds: i64) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: t.clock.now().seconds() + seconds,
        nanos: 0,
    })
}

async fn all(hand: &Hand, request: ListAssortmentRequest) -> (Vec<AssortmentItem>, String) {
    let mut items = Vec::new();
    let mut request = ListAssortmentRequest {
        page_size: 2,
        ..request
    };
    let mut cursors = Vec::new();
    loop {
        let page = call!(hand.assortment.list_assortment(request.clone())).expect("a page");
        items.extend(page.items);
        cursors.push(page.feed_cursor);
        if page.next_page_token.is_empty() {
            assert!(cursors.iter().all(|cursor| *cursor == cursors[0]));
            return (items, cursors.remove(0));
        }
        request.page_token = page.next_page_token;
    }
}

fn ids(items: &[AssortmentItem]) -> Vec<&str> {
    let listings = items.iter().map(|item| item.listing.as_ref());
    listings
        .map(|listing| listing.expect("it").listing_id.as_str())
        .collect()
}

/// What a partner keeps: listings under their ids.
type Kept = BTreeMap<String, Listing>;

/// Follows the feed from a cursor, as the contract tells; answers where to go on.
async fn follow(hand: &Hand, kept: &mut Kept, mut cursor: String) -> String {
    loop {
        let request = ListCatalogFeedRequest {
            cursor,
            page_size: 3,
        };
        let page = call!(hand.feed.list_catalog_feed(request)).expect("a page");
        cursor = page.next_cursor;
        if page.entries.is_empty() {
            return cursor;
        }
        for entry in page.entries {
            let Some(Content::Listing(listing)) = entry.content else {
                continue;
            };
            if listing.in_assortment {
                kept.insert(listing.listing_id.clone(), listing);
            } else {
                kept.remove(&listing.listing_id);
            }
        }
    }
}

async fn end(s: &Server, listing_id: &str) {
    let ops = s.ops();
    let end = EndListingRequest {
        request_id: key(),
        listing_id: listing_id.into(),
        reason: "over".into(),
        etag: String::new(),
    };
    call!(ops.listings.end_listing(end)).expect("ended");
}

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn it_holds_what_may_be_sold_now_or_soon_with_all_that_is_shown(t: TestDb) {
        let s = Server::start(&t).await;
        let (ops, north, south) = (s.ops(), s.register_partner("north").await, s.register_partner("south").await);
        let tea = Product {
            category: "kitchen/tea".into(), description: "x".repeat(1_500),
            image_uris: vec!["https://example.com/a.jpg".into()],
            variants: vec![Variant { unit: Unit::Gram.into(), quantity_step: 50, ..variant("TEA") }],
            ..product("TEA", 0)
        };
        let request = CreateProductRequest { request_id: key(), product: Some(tea), validate_only: false };
        let tea = call!(ops.products.create_product(request)).expect("created").product.expect("it");
        let cup = s.create_product("CUP", 4).await;
        let mut weighed = price(1_990);
        weighed.per_quantity = 500;
        let sold = ListingTerms {
            price: Some(weighed), retailer_discount_basis_points: 1_500, per_shopper_limit: 2_000, ..terms()
        };
        let live = s.live_on(&north, &tea.variants[0].variant_id, sold).await;
        t.clock.advance(Duration::from_millis(1));
        let approved = s.approved(&north, &cup.variants[0].variant_id).await;
        t.clock.advance(Duration::from_millis(1));
        let soon = Window { start_time: at(&t, 60), end_time: at(&t, 120) };
        let soon = ListingTerms {
            sale_window: Some(soon), territories: vec!["FR".into()], purchase_mode: PurchaseMode::Redirect.into(),
            ..terms()
        };
        let soon = s.live_on(&north, &cup.variants[1].variant_id, soon).await;
        s.propose(&north, &cup.variants[2].variant_id).await;
        let ended = s.live(&north, &cup.variants[3].variant_id).await;
        end(&s, &ended.listing_id).await;
        s.live(&south, &cup.variants[0].variant_id).await;

        let hand = s.partner(&north);
        let (items, _) = all(&hand, ListAssortmentRequest::default()).await;
        assert_eq!(ids(&items), [&live, &approved, &soon].map(|listing| listing.listing_id.as_str()));
        let first = &items[0];
        assert_eq!(first.listing.as_ref(), Some(&s.listing(&live.listing_id).await));
        let shown = first.listing.as_ref().and_then(|listing| listing.product.clone()).expect("shown");
        let expected = ListedProduct {
            title: "Teapot TEA".into(), brand: "Lund".into(), category: "kitchen/tea".into(),
            image_uris: vec!["https://example.com/a.jpg".into()], regulated_category: String::new(),
            summary: "x".repeat(1_000),
        };
        assert_eq!(shown, expected);
        let price = first.effective_price.clone().expect("a price");
        assert_eq!((price.amount.expect("it").minor_units, price.per_quantity), (1_691, 500));
        assert_eq!(items.iter().map(|item| item.on_sale).collect::<Vec<_>>(), [true, false, false]);

        let found = async |request: ListAssortmentRequest| {
            let (items, _) = all(&hand, request).await;
            ids(&items).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let base = ListAssortmentRequest::default;
        assert_eq!(found(ListAssortmentRequest { on_sale_only: true, ..base() }).await, [live.listing_id.as_str()]);
        assert_eq!(
            found(ListAssortmentRequest { product_id: tea.product_id, ..base() }).await, [live.listing_id.as_str()]
        );
        assert_eq!(found(ListAssortmentRequest { territory: "FR".into(), ..base() }).await, [soon.listing_id.as_str()]);
        assert_eq!(found(ListAssortmentRequest { brand: "Lund".into(), ..base() }).await.len(), 3);
        assert!(found(ListAssortmentRequest { brand: "Other".into(), ..base() }).await.is_empty());
        let redirect = ListAssortmentRequest { purchase_mode: PurchaseMode::Redirect.into(), ..base() };
        assert_eq!(found(redirect).await, [soon.listing_id.as_str()]);
        t.clock.advance(Duration::from_secs(60));
        let on_sale = found(ListAssortmentRequest { on_sale_only: true, ..base() }).await;
        assert_eq!(on_sale, [live.listing_id.clone(), soon.listing_id]);
        t.clock.advance(Duration::from_secs(60));
        assert_eq!(found(base()).await, [live.listing_id, approved.listing_id], "its window is over");

        assert_eq!(
            fields(call!(hand.assortment.list_assortment(ListAssortmentRequest { territory: "X".into(), ..base() }))),
            ["territory"]
        );
        assert_eq!(fields(call!(ops.assortment.list_assortment(base()))), ["partner_id"]);
        let of = |id: &str| ListAssortmentRequest { partner_id: id.into(), ..base() };
        assert_eq!(all(&ops, of(&south)).await.0.len(), 1);
        let nobody = PartnerId::from_uuid(1).to_string();
        let foreign = bytes_of(call!(hand.assortment.list_assortment(of(&south))));
        assert_eq!(foreign, bytes_of(call!(hand.assortment.list_assortment(of(&nobody)))));
        s.suspend(&north).await.expect("suspended");
        assert_eq!(reason(call!(hand.assortment.list_assortment(base()))), ErrorReason::PartnerSuspended);
        let page = call!(ops.assortment.list_assortment(of(&north))).expect("a page");
        assert_eq!(page.partner_state(), PartnerState::Suspended);
        assert!(page.items.iter().all(|item| !item.on_sale));
    }

    async fn list_and_feed_keep_a_copy_that_misses_nothing(t: TestDb) {
        let s = Server::start_with(&t, quick(), true).await;
        let (ops, north) = (s.ops(), s.register_partner("north").await);
        let hand = s.partner(&north);
        let product = s.create_product("TEA", 6).await;
        let mut listings = Vec::new();
        for variant in &product.variants[..4] {
            listings.push(s.live(&north, &variant.variant_id).await);
        }
        // Things happen while the list is being read, before and behind the reader.
        let first = ListAssortmentRequest { page_size: 2, ..ListAssortmentRequest::default() };
        let page = call!(hand.assortment.list_assortment(first.clone())).expect("a page");
        end(&s, &listings[0].listing_id).await;
        end(&s, &listings[3].listing_id).await;
        s.live(&north, &product.variants[4].variant_id).await;
        let mut kept = Kept::new();
        let rest = ListAssortmentRequest { page_token: page.next_page_token.clone(), ..first };
        let rest = call!(hand.assortment.list_assortment(rest)).expect("the rest");
        assert_eq!(rest.feed_cursor, page.feed_cursor);
        for item in page.items.into_iter().chain(rest.items) {
            let listing = item.listing.expect("it");
            kept.insert(listing.listing_id.clone(), listing);
        }
        let cursor = follow(&hand, &mut kept, page.feed_cursor).await;
        let now = async || {
            let (items, _) = all(&hand, ListAssortmentRequest::default()).await;
            let listings = items.into_iter().map(|item| item.listing.expect("it"));
            listings.map(|listing| (listing.listing_id.clone(), listing)).collect::<Kept>()
        };
        assert_eq!(kept, now().await);
        assert_eq!(kept.len(), 3);

        // Whatever happens from here on reaches the copy: products, pauses, windows, terms.
        let update = UpdateProductRequest {
            request_id: key(),
            product: Some(Product {
                product_id: product.product_id.clone(), category: "new".into(),
                image_uris: vec!["https://example.com/b.jpg".into()], ..Product::default()
            }),
            update_mask: Some(FieldMask { paths: vec!["category".into(), "image_uris".into()] }),
        };
        call!(ops.products.update_product(update)).expect("updated");
        let pause = PauseListingRequest {
            request_id: key(), listing_id: listings[1].listing_id.clone(), reason: "recount".into(), etag: String::new(),
        };
        call!(ops.listings.pause_listing(pause)).expect("paused");
        let short = ChangeListingTermsRequest {
            listing_id: listings[2].listing_id.clone(),
            sale_window: Some(Window { start_time: None, end_time: at(&t, 60) }),
            ..Default::default()
        };
        s.change_terms(short).await.expect("changed");
        let cursor = follow(&hand, &mut kept, cursor).await;
        assert_eq!(kept, now().await);
        assert!(kept.values().all(|listing| listing.product.as_ref().expect("it").category == "new"));
        t.clock.advance(Duration::from_secs(60));
        let ended = s.listing(&listings[2].listing_id).await.etag;
        s.until(&listings[2].listing_id, |listing| listing.etag != ended).await;
        s.resume(&listings[1].listing_id).await.expect("resumed");
        follow(&hand, &mut kept, cursor).await;
        assert_eq!(kept, now().await);
        assert_eq!(kept.len(), 2);
        s.stop().await;
    }
}
