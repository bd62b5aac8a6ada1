//! Agreements with brands: whom they bind, and what listings show of them.

use std::time::Duration;

use contracts::ErrorReason;
use contracts::catalog::v1::*;
use contracts::common::v1::Window;
use contracts::id::{LegalEntityId, PartnerId};
use kit::clock::Clock;
use prost_types::Timestamp;
use testkit::{Setup, TestDb, on_both_engines};

use crate::common::*;

fn lund() -> BrandAgreement {
    BrandAgreement {
        brand: "Lund".into(),
        ..BrandAgreement::default()
    }
}

fn window(t: &TestDb, start: i64, end: i64) -> Option<Window> {
    let now = t.clock.now().seconds();
    let at = |seconds| {
        Some(Timestamp {
            seconds: now + seconds,
            nanos: 0,
        })
    };
    Some(Window {
        start_time: at(start),
        end_time: at(end),
    })
}

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn an_agreement_is_set_read_and_replaced(t: TestDb) {
        let s = Server::start(&t).await;
        let (ops, north) = (s.ops(), s.register_partner("north").await);
        let wanted = BrandAgreement {
            retailer_exclusive: true,
            territories: vec!["DE".into(), "AT".into()],
            window: window(&t, 0, 600),
            allowed_partner_ids: vec![north.clone()],
            note: "contract 12".into(),
            ..lund()
        };
        let set = s.set_brand(wanted.clone()).await.expect("set");
        let expected = BrandAgreement {
            brand_agreement_id: set.brand_agreement_id.clone(),
            create_time: set.create_time,
            update_time: set.update_time,
            etag: set.etag.clone(),
            ..wanted.clone()
        };
        assert_eq!(set, expected);
        assert_eq!(s.set_brand(wanted).await.expect("the same again"), set, "it is as wanted already");
        // However it is written, it is one brand.
        let get = GetBrandAgreementRequest { brand: " LUND ".into() };
        let got = call!(ops.brands.get_brand_agreement(get)).expect("there").brand_agreement.expect("it");
        assert_eq!(got, set);
        let less = BrandAgreement { brand: "lund".into(), etag: set.etag.clone(), ..lund() };
        let less = s.set_brand(less.clone()).await.expect("replaced");
        assert_eq!((&less.brand_agreement_id, less.retailer_exclusive), (&set.brand_agreement_id, false));
        let late = BrandAgreement { etag: set.etag, ..lund() };
        assert_eq!(reason(s.set_brand(late).await), ErrorReason::EtagMismatch);
        let all = call!(ops.brands.list_brand_agreements(ListBrandAgreementsRequest::default())).expect("a list");
        assert_eq!(all.brand_agreements, [less]);
        let get = GetBrandAgreementRequest { brand: "Other".into() };
        assert_eq!(reason(call!(ops.brands.get_brand_agreement(get))), ErrorReason::NotFound);
    }

    async fn what_is_wrong_with_an_agreement_is_said(t: TestDb) {
        let s = Server::start(&t).await;
        let north = s.register_partner("north").await;
        let wrong = BrandAgreement {
            brand: String::new(), territories: vec!["XX".into()], legal_entity_id: "x".into(),
            allowed_partner_ids: vec![north.clone(), north, "y".into()], window: window(&t, 5, 5), ..lund()
        };
        let mut wrong = fields(s.set_brand(wrong).await);
        wrong.sort();
        let places = [
            "allowed_partner_ids[1]", "allowed_partner_ids[2]", "brand", "legal_entity_id", "territories[0]", "window",
        ];
        assert_eq!(wrong.len(), places.len(), "{wrong:?}");
        for (field, place) in wrong.iter().zip(places) {
            assert!(field.starts_with(&format!("brand_agreement.{place}")), "{field}");
        }
        let nobody = BrandAgreement { allowed_partner_ids: vec![PartnerId::from_uuid(1).to_string()], ..lund() };
        assert_eq!(reason(s.set_brand(nobody).await), ErrorReason::NotFound);
        let nobody = BrandAgreement { legal_entity_id: LegalEntityId::from_uuid(1).to_string(), ..lund() };
        assert_eq!(reason(s.set_brand(nobody).await), ErrorReason::NotFound);
        let partner = s.register_partner("south").await;
        let partner = s.partner(&partner);
        let get = GetBrandAgreementRequest { brand: "Lund".into() };
        assert_eq!(bytes_of(call!(partner.brands.get_brand_agreement(get))).0, tonic::Code::PermissionDenied);
    }

    async fn nothing_is_proposed_approved_or_published_against_it(t: TestDb) {
        let s = Server::start(&t).await;
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        let product = s.create_product("TEA", 1).await;
        let variant = product.variants[0].variant_id.as_str();
        let before = s.propose(&south, variant).await;
        let approved = s.approved(&south, variant).await;
        let agreement = BrandAgreement {
            territories: vec!["DE".into(), "AT".into()],
            window: window(&t, 0, 600),
            allowed_partner_ids: vec![north.clone()],
            ..lund()
        };
        s.set_brand(agreement.clone()).await.expect("set");
        let of_brand = "BRAND_AGREEMENT";
        let inside = ListingTerms { sale_window: window(&t, 10, 600), ..terms() };
        assert_eq!(rule(s.propose_on(&south, variant, inside.clone()).await), of_brand, "not this partner");
        assert_eq!(rule(s.propose_on(&north, variant, terms()).await), of_brand, "without a window");
        let far = ListingTerms { territories: vec!["FR".into()], ..inside.clone() };
        assert_eq!(rule(s.propose_on(&north, variant, far).await), of_brand);
        let everywhere = ListingTerms { territories: vec![], ..inside.clone() };
        assert_eq!(rule(s.propose_on(&north, variant, everywhere).await), of_brand);
        let refused = refusal(s.approve(&before).await);
        assert_eq!((refused.reason, refused.metadata["rule"].as_str()), (ErrorReason::NotAllowedHere, of_brand));
        assert!(!format!("{refused:?}").contains(&north), "it names no other partner");
        assert_eq!(rule(s.publish(&approved.listing_id).await), of_brand);

        let live = s.live_on(&north, variant, inside).await;
        let longer = ChangeListingTermsRequest {
            listing_id: live.listing_id, sale_window: window(&t, 10, 601), ..Default::default()
        };
        assert_eq!(rule(s.change_terms(longer).await), of_brand);
        // The other party may always say no.
        let partner = s.partner(&south);
        let no = decision(&before.listing_id, Decision::Reject);
        call!(partner.listings.decide_listing(no)).expect("rejected");
    }

    async fn listings_show_that_the_retailer_is_the_only_outlet_while_it_is(t: TestDb) {
        let s = Server::start_with(&t, quick(), true).await;
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        let product = s.create_product("TEA", 1).await;
        let variant = product.variants[0].variant_id.as_str();
        let live = s.live(&north, variant).await;
        let far = ListingTerms { territories: vec!["FR".into()], ..terms() };
        let far = s.live_on(&south, variant, far).await;
        assert!(!live.retailer_exclusive);
        // With a product's brand come and gone, too: many products, many listings.
        let mut agreement = BrandAgreement {
            retailer_exclusive: true, territories: vec!["DE".into(), "AT".into(), "FR".into()],
            ..lund()
        };
        s.set_brand(agreement.clone()).await.expect("set");
        for listing in [&live, &far] {
            let before = &listing.etag;
            s.until(&listing.listing_id, |listing| listing.retailer_exclusive && listing.etag != *before).await;
        }
        let told = s.told(&s.partner(&north), &live.listing_id).await;
        assert!(told.last().expect("told").retailer_exclusive);

        // Not any more in France, and what is live against the agreement is taken off sale.
        agreement.territories.pop();
        s.set_brand(agreement).await.expect("set");
        let paused = s.until(&far.listing_id, |listing| listing.state() == ListingState::Paused).await;
        assert!(paused.state_reason.starts_with("BRAND_AGREEMENT: "), "{}", paused.state_reason);
        assert!(!paused.retailer_exclusive);
        assert_eq!(s.listing(&live.listing_id).await.state(), ListingState::Live);
        s.stop().await;
    }

    async fn an_exclusivity_of_the_brand_ends_with_its_window_and_is_told(t: TestDb) {
        let s = Server::start(&t).await;
        let north = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let agreement = BrandAgreement { retailer_exclusive: true, window: window(&t, 30, 60), ..lund() };
        s.set_brand(agreement).await.expect("set");
        let inside = ListingTerms { sale_window: window(&t, 30, 60), ..terms() };
        let live = s.live_on(&north, &product.variants[0].variant_id, inside).await;
        assert!(!live.retailer_exclusive, "not yet");
        let worker = Server::start_with(&t, quick(), true).await;
        t.clock.advance(Duration::from_secs(30));
        s.until(&live.listing_id, |listing| listing.retailer_exclusive && listing.etag != live.etag).await;
        t.clock.advance(Duration::from_secs(30));
        let over = s.until(&live.listing_id, |listing| !listing.in_assortment && listing.etag == "v5").await;
        assert!(!over.retailer_exclusive);
        let told = s.told(&s.partner(&north), &live.listing_id).await;
        let shown: Vec<_> = told.iter().map(|listing| (listing.retailer_exclusive, listing.in_assortment)).collect();
        assert_eq!(shown, [(false, false), (false, true), (false, true), (true, true), (false, false)]);
        worker.stop().await;
    }

    async fn an_agreement_that_races_with_a_publication_wins_in_the_end(t: TestDb) {
        let s = Server::start_with(&t, quick(), true).await;
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        let product = s.create_product("TEA", 1).await;
        for _ in 0..8 {
            let approved = s.approved(&north, &product.variants[0].variant_id).await;
            let others_only = BrandAgreement { allowed_partner_ids: vec![south.clone()], ..lund() };
            let (published, set) = futures::join!(s.publish(&approved.listing_id), s.set_brand(others_only));
            set.expect("set");
            if published.is_ok() {
                s.until(&approved.listing_id, |listing| listing.state() == ListingState::Paused).await;
            } else {
                assert_eq!(rule(published), "BRAND_AGREEMENT");
            }
            s.set_brand(lund()).await.expect("free again");
        }
        s.stop().await;
    }
}
