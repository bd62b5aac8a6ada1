//! Dates in terms: switches of the purchase mode, and a commission that waits.

use std::time::Duration;

use contracts::ErrorReason;
use contracts::catalog::v1::*;
use contracts::common::v1::{CollectedBy, PurchaseMode, Window};
use kit::clock::Clock;
use prost_types::Timestamp;
use testkit::{Setup, TestDb, on_both_engines};

use crate::common::*;

const DAY: u64 = 24 * 60 * 60;

fn at(t: &TestDb, seconds: i64) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: t.clock.now().seconds() + seconds,
        nanos: 0,
    })
}

fn switch(t: &TestDb, seconds: i64, mode: PurchaseMode) -> DatedPurchaseMode {
    DatedPurchaseMode {
        start_time: at(t, seconds),
        purchase_mode: mode.into(),
    }
}

fn commission(listing_id: &str, basis_points: i32) -> ChangeListingTermsRequest {
    ChangeListingTermsRequest {
        listing_id: listing_id.into(),
        commission_basis_points: Some(basis_points),
        ..Default::default()
    }
}

fn mode(listing: &Listing) -> (PurchaseMode, CollectedBy) {
    let terms = listing.terms.as_ref().expect("terms");
    (listing.effective_purchase_mode(), terms.collected_by())
}

const IN_APP: (PurchaseMode, CollectedBy) = (PurchaseMode::InApp, CollectedBy::Partner);
const REDIRECT: (PurchaseMode, CollectedBy) = (PurchaseMode::Redirect, CollectedBy::Retailer);

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn switches_pass_and_each_is_told_once_even_after_a_restart(t: TestDb) {
        let s = Server::start(&t).await;
        let north = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let dated = vec![
            switch(&t, -60, PurchaseMode::InApp),
            switch(&t, 60, PurchaseMode::Redirect),
            switch(&t, 120, PurchaseMode::Redirect),
            switch(&t, 180, PurchaseMode::InApp),
        ];
        let sent = ListingTerms {
            purchase_mode: PurchaseMode::Redirect.into(), dated_purchase_modes: dated.clone(), ..terms()
        };
        let live = s.live_on(&north, &product.variants[0].variant_id, sent).await;
        let kept = live.terms.as_ref().expect("terms");
        assert_eq!((&kept.dated_purchase_modes, kept.purchase_mode()), (&dated, PurchaseMode::Redirect));
        assert_eq!(mode(&live), IN_APP, "a date that has passed already");

        // The mode follows the clock by itself, before anybody has worked.
        t.clock.advance(Duration::from_secs(60));
        let now = s.listing(&live.listing_id).await;
        assert_eq!((mode(&now), &now.etag), (REDIRECT, &live.etag));
        assert_eq!(s.told(&s.partner(&north), &live.listing_id).await.len(), 3);

        // Two replicas that come up later tell of it, once.
        let (one, two) = (Server::start_with(&t, quick(), true).await, Server::start_with(&t, quick(), true).await);
        let switched = s.until(&live.listing_id, |listing| listing.etag == "v4").await;
        assert_eq!((mode(&switched), switched.terms_version), (REDIRECT, 1));
        t.clock.advance(Duration::from_secs(60));
        t.clock.advance(Duration::from_secs(60));
        let back = s.until(&live.listing_id, |listing| listing.etag == "v5").await;
        assert_eq!(mode(&back), IN_APP);
        one.stop().await;
        two.stop().await;
        let told = s.told(&s.partner(&north), &live.listing_id).await;
        let modes: Vec<_> = told.iter().map(mode).collect();
        assert_eq!(modes, [IN_APP, IN_APP, IN_APP, REDIRECT, IN_APP], "a switch to the same mode is none");
    }

    async fn what_is_wrong_with_switches_is_said(t: TestDb) {
        let s = Server::start(&t).await;
        let north = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let variant = product.variants[0].variant_id.as_str();
        let with = |dated: Vec<DatedPurchaseMode>| {
            s.propose_on(&north, variant, ListingTerms { dated_purchase_modes: dated, ..terms() })
        };
        let later = switch(&t, 9, PurchaseMode::Redirect);
        let same = switch(&t, 9, PurchaseMode::InApp);
        assert_eq!(
            fields(with(vec![later, same]).await), ["terms.dated_purchase_modes[1].start_time"]
        );
        let dateless = DatedPurchaseMode { start_time: None, ..later };
        assert_eq!(fields(with(vec![dateless]).await), ["terms.dated_purchase_modes[0].start_time"]);
        let modeless = DatedPurchaseMode { purchase_mode: 0, ..later };
        assert_eq!(fields(with(vec![modeless]).await), ["terms.dated_purchase_modes[0].purchase_mode"]);
        let many = |count| (0..count).map(|second| switch(&t, second, PurchaseMode::InApp)).collect();
        assert_eq!(fields(with(many(21)).await), ["terms.dated_purchase_modes"]);
        with(many(20)).await.expect("proposed");
    }

    async fn a_schedule_can_be_changed_and_what_was_agreed_stays_readable(t: TestDb) {
        let s = Server::start(&t).await;
        let north = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let live = s.live(&north, &product.variants[0].variant_id).await;
        let wanted = PurchaseModeSchedule {
            purchase_mode: PurchaseMode::InApp.into(),
            dated_purchase_modes: vec![switch(&t, 60, PurchaseMode::Redirect)],
        };
        let change = ChangeListingTermsRequest {
            listing_id: live.listing_id.clone(), purchase_modes: Some(wanted.clone()), ..Default::default()
        };
        let changed = s.change_terms(change.clone()).await.expect("changed");
        assert_eq!((mode(&changed), changed.terms_version), (IN_APP, 2));
        assert_eq!(changed.terms.expect("terms").dated_purchase_modes, wanted.dated_purchase_modes);
        assert_eq!(s.change_terms(change.clone()).await.expect("the same").terms_version, 2);
        let mut wrong = change;
        wrong.purchase_modes.as_mut().expect("it").dated_purchase_modes[0].purchase_mode = 9;
        assert_eq!(fields(s.change_terms(wrong).await), ["purchase_modes.dated_purchase_modes[0].purchase_mode"]);
        let versions = versions(&s.partner(&north), &live.listing_id).await;
        let dated: Vec<_> = versions
            .iter()
            .map(|version| version.terms.as_ref().expect("terms").dated_purchase_modes.len())
            .collect();
        assert_eq!(dated, [0, 1]);
    }

    async fn a_lower_commission_waits_and_then_counts_as_a_version_of_its_own(t: TestDb) {
        let s = Server::start(&t).await;
        let north = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let live = s.live(&north, &product.variants[0].variant_id).await;
        let change = |points| ChangeListingTermsRequest {
            listing_id: live.listing_id.clone(), commission_basis_points: Some(points), ..Default::default()
        };
        assert_eq!(fields(s.change_terms(change(10_001)).await), ["commission_basis_points"]);
        let risen = s.change_terms(change(1_500)).await.expect("changed").terms.expect("terms");
        assert_eq!((risen.commission_basis_points, risen.next_commission_basis_points), (1_500, None));
        let cut = s.change_terms(change(900)).await.expect("changed").terms.expect("terms");
        assert_eq!((cut.commission_basis_points, cut.next_commission_basis_points), (1_500, Some(900)));
        assert_eq!(cut.commission_effective_time, at(&t, 30 * DAY as i64));

        t.clock.advance(Duration::from_secs(30 * DAY - 1));
        // Tokens of before are over.
        let s = Server::start(&t).await;
        let worker = Server::start_with(&t, quick(), true).await;
        let still = s.listing(&live.listing_id).await.terms.expect("terms");
        assert_eq!(still.commission_basis_points, 1_500);
        t.clock.advance(Duration::from_secs(1));
        let lower = s.until(&live.listing_id, |listing| listing.terms_version == 4).await;
        worker.stop().await;
        let terms = lower.terms.as_ref().expect("terms");
        assert_eq!((terms.commission_basis_points, terms.next_commission_basis_points), (900, None));
        assert_eq!(s.told(&s.partner(&north), &live.listing_id).await.last(), Some(&lower));

        let versions = versions(&s.partner(&north), &live.listing_id).await;
        let seen: Vec<_> = versions
            .iter()
            .map(|version| (version.terms_version, version.terms.as_ref().expect("terms").commission_basis_points))
            .collect();
        assert_eq!(seen, [(1, 1_200), (2, 1_500), (3, 1_500), (4, 900)]);
        assert_eq!(versions[3].terms, lower.terms);
        assert!(versions.iter().all(|version| version.set_by() == Party::Retailer));
        assert_eq!(versions[3].create_time, lower.update_time);
    }

    async fn a_commission_takes_effect_whatever_happens_to_the_listing_before_its_look(t: TestDb) {
        let s = Server::start(&t).await;
        let north = s.register_partner("north").await;
        let product = s.create_product("TEA", 2).await;
        let (mut paused, mut cut) = (None, None);
        for (place, variant) in [&mut paused, &mut cut].into_iter().zip(&product.variants) {
            let live = s.live(&north, &variant.variant_id).await;
            s.change_terms(commission(&live.listing_id, 900)).await.expect("changed");
            *place = Some(live.listing_id);
        }
        let (paused, cut) = (paused.expect("it"), cut.expect("it"));
        t.clock.advance(Duration::from_secs(30 * DAY));
        // Tokens of before are over.
        let s = Server::start(&t).await;
        let dearer = ChangeListingTermsRequest {
            listing_id: paused.clone(), price: Some(price(2_490)), ..Default::default()
        };
        s.change_terms(dearer).await.expect("changed");
        let hand = s.partner(&north);
        let pause = PauseListingRequest {
            request_id: key(), listing_id: paused.clone(), reason: "sold out".into(), etag: String::new(),
        };
        call!(hand.listings.pause_listing(pause)).expect("paused");
        // A further cut does not put off what is due.
        let further = s.change_terms(commission(&cut, 800)).await.expect("changed").terms.expect("terms");
        assert_eq!((further.commission_basis_points, further.next_commission_basis_points), (900, Some(800)));

        let worker = Server::start_with(&t, quick(), true).await;
        let lower = s.until(&paused, |listing| listing.terms_version == 4).await;
        worker.stop().await;
        let terms = lower.terms.as_ref().expect("terms");
        assert_eq!((terms.commission_basis_points, terms.next_commission_basis_points), (900, None));
        assert_eq!((terms.price.clone(), lower.state()), (Some(price(2_490)), ListingState::Paused));
        assert_eq!(s.told(&hand, &paused).await.last(), Some(&lower));
    }

    async fn a_window_that_ends_takes_the_listing_out_of_the_assortment_and_is_told(t: TestDb) {
        let s = Server::start(&t).await;
        let north = s.register_partner("north").await;
        let product = s.create_product("TEA", 1).await;
        let window = Window { start_time: None, end_time: at(&t, 60) };
        let sent = ListingTerms { sale_window: Some(window), ..terms() };
        let live = s.live_on(&north, &product.variants[0].variant_id, sent).await;
        assert!(live.in_assortment);
        let worker = Server::start_with(&t, quick(), true).await;
        t.clock.advance(Duration::from_secs(60));
        let over = s.until(&live.listing_id, |listing| listing.etag == "v4").await;
        assert_eq!((over.state(), over.in_assortment), (ListingState::Live, false));
        worker.stop().await;
        assert_eq!(s.told(&s.partner(&north), &live.listing_id).await.last(), Some(&over));
    }
}

async fn versions(hand: &Hand, listing_id: &str) -> Vec<TermsVersion> {
    let mut all: Vec<TermsVersion> = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListTermsVersionsRequest {
            listing_id: listing_id.into(),
            page_size: 2,
            page_token,
        };
        let page = call!(hand.listings.list_terms_versions(request)).expect("a page");
        all.extend(page.terms_versions);
        if page.next_page_token.is_empty() {
            return all;
        }
        page_token = page.next_page_token;
    }
}

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn versions_of_terms_tell_who_set_them_and_are_the_two_parties_own(t: TestDb) {
        let s = Server::start(&t).await;
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        let product = s.create_product("TEA", 1).await;
        let hand = s.partner(&north);
        let request = proposal("", &product.variants[0].variant_id);
        let listing = call!(hand.listings.propose_listing(request)).expect("proposed").listing.expect("it");
        let dearer = ChangeListingTermsRequest {
            listing_id: listing.listing_id.clone(), price: Some(price(2_490)), ..Default::default()
        };
        s.change_terms(dearer).await.expect("changed");
        let versions = versions(&hand, &listing.listing_id).await;
        let set_by: Vec<_> = versions.iter().map(|version| version.set_by()).collect();
        assert_eq!(set_by, [Party::Partner, Party::Retailer]);
        assert_eq!(versions[0].terms, listing.terms);
        assert_eq!(versions[1].terms.as_ref().expect("terms").price, Some(price(2_490)));
        let other = s.partner(&south);
        let foreign = ListTermsVersionsRequest { listing_id: listing.listing_id, ..Default::default() };
        assert_eq!(reason(call!(other.listings.list_terms_versions(foreign))), ErrorReason::NotFound);
    }
}
