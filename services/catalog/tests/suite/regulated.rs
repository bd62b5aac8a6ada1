//! Regulated categories and licences: who may list what where, and what an expiry does.

use std::time::Duration;

use contracts::ErrorReason;
use contracts::catalog::v1::*;
use contracts::id::{LicenceId, PartnerId};
use kit::clock::Clock;
use prost_types::Timestamp;
use store::sql;
use testkit::{Setup, TestDb, eventually_async, on_both_engines, op};

use crate::common::*;

fn wine_rule() -> CategoryRule {
    CategoryRule {
        regulated_category: "alcohol".into(),
        permitted_territories: vec!["DE".into(), "AT".into()],
        minimum_age_years: 18,
        licence_required: true,
        note: "proof of age at the door".into(),
        ..CategoryRule::default()
    }
}

async fn set(s: &Server, rule: CategoryRule) -> Result<CategoryRule, tonic::Status> {
    let ops = s.ops();
    let request = SetCategoryRuleRequest {
        request_id: key(),
        category_rule: Some(rule),
    };
    call!(ops.regulation.set_category_rule(request)).map(|answer| answer.category_rule.expect("it"))
}

fn at(t: &TestDb, seconds: i64) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: t.clock.now().seconds() + seconds,
        nanos: 0,
    })
}

async fn record(s: &Server, licence: Licence) -> Result<Licence, tonic::Status> {
    let ops = s.ops();
    let request = RecordLicenceRequest {
        request_id: key(),
        licence: Some(licence),
    };
    call!(ops.regulation.record_licence(request)).map(|answer| answer.licence.expect("it"))
}

fn licence(t: &TestDb, partner_id: &str, number: &str, seconds: i64) -> Licence {
    Licence {
        partner_id: partner_id.into(),
        regulated_category: "alcohol".into(),
        licence_number: number.into(),
        expire_time: at(t, seconds),
        ..Licence::default()
    }
}

/// Lets background work carry every change to its listings, so that from then on only dates make it look.
async fn settle(t: &TestDb) {
    let worker = Server::start_with(t, quick(), true).await;
    let done = eventually_async(Duration::from_secs(60), async || {
        let count = op("test.notes", |tx| {
            Box::pin(async move { Ok(sql!(tx, all(String,), "SELECT key FROM refresh")?) })
        });
        t.read(count).await.expect("read").is_empty()
    });
    assert!(done.await, "notes stay");
    worker.stop().await;
}

async fn wine(s: &Server) -> Product {
    let ops = s.ops();
    let request = CreateProductRequest {
        request_id: key(),
        product: Some(Product {
            regulated_category: "alcohol".into(),
            ..product("WINE", 2)
        }),
        validate_only: false,
    };
    let answer = call!(ops.products.create_product(request)).expect("a product");
    answer.product.expect("the product")
}

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn regulated_goods_are_listed_as_the_rule_and_a_licence_allow(t: TestDb) {
        let s = Server::start(&t).await;
        let (ops, north) = (s.ops(), s.register_partner("north").await);
        let wine = wine(&s).await;
        assert_eq!(wine.regulated_category, "alcohol");
        let variant = wine.variants[0].variant_id.as_str();
        let propose = |codes: &[&str]| {
            let territories = codes.iter().map(|code| (*code).to_owned()).collect();
            s.propose_on(&north, variant, ListingTerms { territories, ..terms() })
        };
        assert_eq!(rule(propose(&["DE"]).await), "CATEGORY_RULE", "no rule yet");
        let wanted = set(&s, wine_rule()).await.expect("set");
        for codes in [&[][..], &["FR"], &["DE", "FR"]] {
            assert_eq!(rule(propose(codes).await), "CATEGORY_RULE");
        }
        assert_eq!(rule(propose(&["DE"]).await), "LICENCE");
        let german = Licence { territories: vec!["DE".into()], ..licence(&t, &north, "1", 60) };
        let german = record(&s, german).await.expect("recorded");
        assert_eq!(rule(propose(&["DE", "AT"]).await), "LICENCE");
        let listing = propose(&["DE"]).await.expect("allowed");
        assert_eq!(listing.minimum_age_years, 18);
        assert_eq!(listing.product.as_ref().expect("shown").regulated_category, "alcohol");

        // Each later step asks again.
        t.clock.advance(Duration::from_secs(60));
        assert_eq!(rule(s.approve(&listing).await), "LICENCE");
        let again = record(&s, licence(&t, &north, "2", 60)).await.expect("recorded");
        s.approve(&listing).await.expect("approved");
        let revoke = RevokeLicenceRequest {
            request_id: key(), licence_id: again.licence_id.clone(), reason: "fraud".into(),
        };
        let revoked = call!(ops.regulation.revoke_licence(revoke.clone())).expect("revoked").licence.expect("it");
        assert_eq!((revoked.state(), revoked.revoke_reason.as_str()), (LicenceState::Revoked, "fraud"));
        assert_eq!(
            call!(ops.regulation.revoke_licence(revoke)).expect("the same answer").licence, Some(revoked.clone())
        );
        let twice = RevokeLicenceRequest {
            request_id: key(), licence_id: again.licence_id, reason: "fraud".into(),
        };
        assert_eq!(reason(call!(ops.regulation.revoke_licence(twice))), ErrorReason::WrongState);
        assert_eq!(rule(s.publish(&listing.listing_id).await), "LICENCE");
        let free = CategoryRule { licence_required: false, etag: wanted.etag.clone(), ..wine_rule() };
        set(&s, free.clone()).await.expect("changed");
        assert_eq!(reason(set(&s, free).await), ErrorReason::EtagMismatch);
        s.publish(&listing.listing_id).await.expect("on sale");

        let partner = s.partner(&north);
        let list = ListLicencesRequest::default();
        let own = call!(partner.regulation.list_licences(list)).expect("a list").licences;
        assert_eq!(own, [german, revoked]);
        let get = GetCategoryRuleRequest { regulated_category: "alcohol".into() };
        let shown = call!(partner.regulation.get_category_rule(get)).expect("readable").category_rule.expect("it");
        assert!(!shown.licence_required);
        let all = call!(partner.regulation.list_category_rules(ListCategoryRulesRequest::default())).expect("a list");
        assert_eq!(all.category_rules, [shown]);
    }

    async fn a_licence_that_expires_takes_its_listings_off_sale_once_even_after_a_restart(t: TestDb) {
        let s = Server::start(&t).await;
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        set(&s, wine_rule()).await.expect("set");
        let wine = wine(&s).await;
        record(&s, licence(&t, &north, "1", 60)).await.expect("recorded");
        record(&s, licence(&t, &south, "1", 600)).await.expect("recorded");
        let live = s.live(&north, &wine.variants[0].variant_id).await;
        let other = s.live(&south, &wine.variants[0].variant_id).await;
        t.clock.advance(Duration::from_secs(60));
        assert_eq!(s.listing(&live.listing_id).await.state(), ListingState::Live, "nobody has looked yet");

        // Two replicas that come up after the date meet over the same listing.
        let (one, two) = (Server::start_with(&t, quick(), true).await, Server::start_with(&t, quick(), true).await);
        let paused = s.until(&live.listing_id, |listing| listing.state() == ListingState::Paused).await;
        assert!(paused.state_reason.starts_with("LICENCE: "), "{}", paused.state_reason);
        assert!(!paused.in_assortment);
        let told = s.told(&s.partner(&north), &live.listing_id).await;
        assert_eq!(told.last(), Some(&paused));
        assert_eq!(told.iter().filter(|listing| listing.state() == ListingState::Paused).count(), 1);
        assert_eq!(s.listing(&other.listing_id).await.etag, other.etag, "another partner's licence goes on");

        assert_eq!(rule(s.resume(&live.listing_id).await), "LICENCE");
        record(&s, licence(&t, &north, "2", 600)).await.expect("renewed");
        s.resume(&live.listing_id).await.expect("on sale again");
        // A rule that permits less acts on what is live, too.
        let less = CategoryRule { permitted_territories: vec!["AT".into()], ..wine_rule() };
        set(&s, less).await.expect("set");
        for listing in [&live, &other] {
            let paused = s.until(&listing.listing_id, |listing| listing.state() == ListingState::Paused).await;
            assert!(paused.state_reason.starts_with("CATEGORY_RULE: "), "{}", paused.state_reason);
        }
        one.stop().await;
        two.stop().await;
    }

    async fn an_expiry_is_served_whatever_happens_to_the_listing_before_its_look(t: TestDb) {
        let s = Server::start(&t).await;
        let (ops, north) = (s.ops(), s.register_partner("north").await);
        set(&s, wine_rule()).await.expect("set");
        let wine = wine(&s).await;
        record(&s, licence(&t, &north, "1", 60)).await.expect("recorded");
        let live = s.live(&north, &wine.variants[0].variant_id).await;
        let off = s.live(&north, &wine.variants[1].variant_id).await;
        let waiting = s.propose(&north, &wine.variants[1].variant_id).await;
        s.approve(&waiting).await.expect("approved");
        settle(&t).await;
        t.clock.advance(Duration::from_secs(60));

        // More than one change before anybody has looked.
        for amount in [2_490, 2_590] {
            let change = ChangeListingTermsRequest {
                listing_id: live.listing_id.clone(), price: Some(price(amount)), ..Default::default()
            };
            assert_eq!(s.change_terms(change).await.expect("changed").state(), ListingState::Live);
        }
        let pause = PauseListingRequest {
            request_id: key(), listing_id: off.listing_id.clone(), reason: "sold out".into(), etag: String::new(),
        };
        call!(ops.listings.pause_listing(pause)).expect("paused");
        // What puts on sale asks by itself.
        assert_eq!(rule(s.resume(&off.listing_id).await), "LICENCE");
        assert_eq!(rule(s.publish(&waiting.listing_id).await), "LICENCE");

        let worker = Server::start_with(&t, quick(), true).await;
        let paused = s.until(&live.listing_id, |listing| listing.state() == ListingState::Paused).await;
        assert!(paused.state_reason.starts_with("LICENCE: "), "{}", paused.state_reason);
        assert_eq!(paused.terms.as_ref().expect("terms").price, Some(price(2_590)));
        assert_eq!(s.told(&s.partner(&north), &live.listing_id).await.last(), Some(&paused));
        worker.stop().await;
        assert_eq!(s.listing(&off.listing_id).await.state_reason, "sold out");
    }

    async fn a_product_that_becomes_regulated_is_looked_at_again(t: TestDb) {
        let s = Server::start(&t).await;
        let (ops, north) = (s.ops(), s.register_partner("north").await);
        let product = s.create_product("TEA", 1).await;
        let live = s.live(&north, &product.variants[0].variant_id).await;
        let update = UpdateProductRequest {
            request_id: key(),
            product: Some(Product {
                product_id: product.product_id, regulated_category: "herbs".into(), ..Product::default()
            }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["regulated_category".into()] }),
        };
        call!(ops.products.update_product(update)).expect("updated");
        let paused = s.listing(&live.listing_id).await;
        assert_eq!(paused.state(), ListingState::Paused, "together with the product");
        assert_eq!(s.told(&s.partner(&north), &live.listing_id).await.last(), Some(&paused));
    }

    async fn what_is_wrong_with_rules_and_licences_is_said(t: TestDb) {
        let s = Server::start(&t).await;
        let (ops, north) = (s.ops(), s.register_partner("north").await);
        let wrong = CategoryRule {
            regulated_category: "Wine!".into(), minimum_age_years: 100, note: "x".repeat(501), ..CategoryRule::default()
        };
        assert_eq!(
            fields(set(&s, wrong).await),
            [
                "category_rule.regulated_category", "category_rule.permitted_territories",
                "category_rule.minimum_age_years", "category_rule.note",
            ]
        );
        assert_eq!(reason(set(&s, CategoryRule { etag: "v1".into(), ..wine_rule() }).await), ErrorReason::NotFound);
        let wrong = Licence {
            partner_id: "x".into(), territories: vec!["de".into()], start_time: at(&t, 60), expire_time: at(&t, 60),
            ..Licence::default()
        };
        assert_eq!(
            fields(record(&s, wrong).await),
            [
                "licence.partner_id", "licence.regulated_category", "licence.licence_number",
                "licence.territories[0]", "licence.expire_time",
            ]
        );
        let nobody = PartnerId::from_uuid(1).to_string();
        assert_eq!(reason(record(&s, licence(&t, &nobody, "1", 9)).await), ErrorReason::NotFound);
        let first = licence(&t, &north, "1", 9);
        record(&s, first.clone()).await.expect("recorded");
        assert_eq!(reason(record(&s, first).await), ErrorReason::AlreadyExists);
        let revoke = RevokeLicenceRequest {
            request_id: key(), licence_id: LicenceId::from_uuid(1).to_string(), reason: "x".into(),
        };
        assert_eq!(reason(call!(ops.regulation.revoke_licence(revoke))), ErrorReason::NotFound);
        // Partners see their own.
        let south = s.register_partner("south").await;
        let hand = s.partner(&south);
        let none = call!(hand.regulation.list_licences(ListLicencesRequest::default())).expect("a list");
        assert!(none.licences.is_empty());
        let ask = |id: &str| ListLicencesRequest { partner_id: id.into(), ..ListLicencesRequest::default() };
        let foreign = bytes_of(call!(hand.regulation.list_licences(ask(&north))));
        assert_eq!(foreign, bytes_of(call!(hand.regulation.list_licences(ask(&nobody)))));
        let all = call!(ops.regulation.list_licences(ListLicencesRequest::default())).expect("a list");
        assert_eq!(all.licences.len(), 1);
    }
}
