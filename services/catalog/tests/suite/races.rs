//! Units of work that get in each other's way.

use std::collections::BTreeMap;

use contracts::ErrorReason;
use contracts::catalog::v1::catalog_feed_entry::Content;
use contracts::catalog::v1::*;
use futures::future::join_all;
use testkit::{Setup, TestDb, on_both_engines};

use crate::common::*;

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn of_many_with_one_key_one_takes_effect(t: TestDb) {
        let s = Server::start(&t).await;
        let request = RegisterPartnerRequest { request_id: "r".into(), partner: Some(profile("north")) };
        let answers = join_all((0..8).map(|_| {
            let (ops, request) = (s.ops(), request.clone());
            async move { call!(ops.partners.register_partner(request)).expect("the one answer") }
        })).await;
        assert!(answers.iter().all(|answer| *answer == answers[0]));
        assert_eq!(s.feed_of(&s.ops()).await.len(), 1);
    }

    async fn of_many_with_one_sku_one_gets_it(t: TestDb) {
        let s = Server::start(&t).await;
        let answers = join_all((0..8).map(|number| {
            let ops = s.ops();
            // The same SKUs in another order each time.
            let mut variants: Vec<_> = (0..6).map(|sku| variant(&format!("S{}", (sku + number) % 6))).collect();
            variants.push(variant(&format!("own-{number}")));
            let product = Product { variants, ..product("S", 0) };
            let request = CreateProductRequest { request_id: key(), product: Some(product), validate_only: false };
            async move { call!(ops.products.create_product(request)) }
        })).await;
        let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(made.len(), 1);
        for answer in refused {
            assert_eq!(reason(answer), ErrorReason::AlreadyExists);
        }
        assert_eq!(s.feed_of(&s.ops()).await.len(), 1);
    }

    async fn nothing_goes_on_sale_behind_a_suspension_and_no_version_is_lost(t: TestDb) {
        let s = Server::start(&t).await;
        for round in 0..6 {
            let partner = s.register_partner(&format!("p-{round}")).await;
            let product = s.create_product(&format!("R{round}"), 1).await;
            let variant_id = &product.variants[0].variant_id;
            let mut approved = Vec::new();
            for _ in 0..4 {
                approved.push(s.approved(&partner, variant_id).await.listing_id);
            }
            let publish = join_all(approved.iter().map(|listing_id| s.publish(listing_id)));
            let dearer = join_all(approved.iter().map(|listing_id| {
                let ops = s.ops();
                let request = ChangeListingTermsRequest {
                    request_id: key(),
                    listing_id: listing_id.clone(),
                    price: Some(price(77)),
                    ..ChangeListingTermsRequest::default()
                };
                async move { call!(ops.listings.change_listing_terms(request)).expect("changed") }
            }));
            let title = retitle(&s, &product.product_id, "New");
            let (published, suspended, ..) = futures::join!(publish, s.suspend(&partner), dearer, title);
            suspended.expect("suspended");
            for answer in published {
                if answer.is_err() {
                    assert_eq!(reason(answer), ErrorReason::PartnerSuspended);
                }
            }
            // What happened is checked with the partner's own eyes, which see again.
            s.resume_partner(&partner).await;
            check(&s, &partner).await;
        }
    }

    async fn a_listing_proposed_while_the_title_changes_gets_the_new_one(t: TestDb) {
        let s = Server::start(&t).await;
        let ops = s.ops();
        let partner = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        for round in 0..6 {
            let title = format!("Title {round}");
            let proposals = join_all((0..4).map(|_| s.propose(&partner, &product.variants[0].variant_id)));
            futures::join!(proposals, retitle(&s, &product.product_id, &title));
            let list = call!(ops.listings.list_listings(ListListingsRequest::default())).expect("a list").listings;
            assert!(list.len() == 4 * (round + 1) && list.iter().all(|listing| listing.title == title));
        }
    }

    async fn of_a_yes_and_a_counter_proposal_no_party_agrees_with_itself(t: TestDb) {
        let s = Server::start(&t).await;
        let partner_id = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        for _ in 0..8 {
            let (ops, partner) = (s.ops(), s.partner(&partner_id));
            let request = proposal(&partner_id, &product.variants[0].variant_id);
            let listing = call!(partner.listings.propose_listing(request)).expect("proposed").listing.expect("it");
            let change = ChangeListingTermsRequest {
                request_id: key(),
                listing_id: listing.listing_id.clone(),
                price: Some(price(77)),
                ..ChangeListingTermsRequest::default()
            };
            let approve = decision(&listing.listing_id, Decision::Approve);
            let yes = async { call!(ops.listings.decide_listing(approve)) };
            let counter = async { call!(ops.listings.change_listing_terms(change)).expect("changed") };
            let (yes, _) = futures::join!(yes, counter);
            let get = GetListingRequest { listing_id: listing.listing_id };
            let now = call!(ops.listings.get_listing(get)).expect("there").listing.expect("it");
            assert_eq!(now.terms_version, 2);
            match yes {
                // Agreed first; the new terms came to an agreed listing.
                Ok(_) => assert_eq!((now.state(), now.proposed_by()), (ListingState::Approved, Party::Partner)),
                Err(status) => {
                    assert_eq!(reason::<()>(Err(status)), ErrorReason::SelfApproval);
                    assert_eq!((now.state(), now.proposed_by()), (ListingState::Proposed, Party::Retailer));
                }
            }
        }
    }
}

async fn retitle(s: &Server, product_id: &str, title: &str) {
    let ops = s.ops();
    let request = UpdateProductRequest {
        request_id: key(),
        product: Some(Product {
            product_id: product_id.into(),
            title: title.into(),
            ..Product::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["title".into()],
        }),
    };
    call!(ops.products.update_product(request)).expect("updated");
}

/// Replays the partner's feed: every version of a listing is there once and in order, and nothing enters
/// sale after the suspension.
async fn check(s: &Server, partner_id: &str) {
    let mut versions: BTreeMap<String, (i64, ListingState)> = BTreeMap::new();
    let mut is_suspended = false;
    for entry in s.feed_of(&s.partner(partner_id)).await {
        match entry.content.expect("content") {
            Content::Partner(partner) => is_suspended = partner.state() == PartnerState::Suspended,
            Content::Listing(listing) => {
                let version: i64 = listing.etag[1..].parse().expect("a version");
                let before =
                    versions.insert(listing.listing_id.clone(), (version, listing.state()));
                let (last, state) = before.unwrap_or((0, ListingState::Unspecified));
                assert_eq!(version, last + 1);
                let enters_sale =
                    listing.state() == ListingState::Live && state != ListingState::Live;
                assert!(
                    !(enters_sale && is_suspended),
                    "on sale behind a suspension"
                );
            }
            _ => {}
        }
    }
    assert_eq!(versions.len(), 4);
}
