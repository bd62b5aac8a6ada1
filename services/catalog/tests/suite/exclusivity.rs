//! One partner alone: who is agreed first has the variant, where and while the listings overlap.

use contracts::catalog::v1::*;
use contracts::common::v1::Window;
use futures::future::join_all;
use kit::clock::Clock;
use prost_types::Timestamp;
use testkit::{Setup, TestDb, on_both_engines};

use crate::common::*;

fn alone(territories: &[&str]) -> ListingTerms {
    ListingTerms {
        exclusivity: Exclusivity::ThisPartner.into(),
        ..shared(territories)
    }
}

fn shared(territories: &[&str]) -> ListingTerms {
    ListingTerms {
        territories: territories.iter().map(|code| (*code).into()).collect(),
        ..terms()
    }
}

fn window(start: i64, end: i64) -> Option<Window> {
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    Some(Window {
        start_time: at(start),
        end_time: at(end),
    })
}

on_both_engines! {
    setup: Setup::new().migrations(catalog::migrations());

    async fn whoever_is_agreed_first_has_it_both_ways(t: TestDb) {
        let s = Server::start(&t).await;
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        let product = s.create_product("TEA", 3).await;
        let variant = |number: usize| product.variants[number].variant_id.as_str();

        // An exclusive listing keeps every other partner's out, in its territories.
        let kept = s.live_on(&north, variant(0), alone(&["DE", "AT"])).await;
        assert_eq!(kept.terms.as_ref().expect("terms").exclusivity(), Exclusivity::ThisPartner);
        let proposed = s.propose_on(&south, variant(0), shared(&["DE"])).await.expect("may be proposed");
        let refused = refusal(s.approve(&proposed).await);
        assert_eq!(refused.metadata["rule"], "EXCLUSIVITY");
        let text = format!("{refused:?}");
        assert!(!text.contains(&north) && !text.contains("north"), "{text}");
        let anywhere = s.propose_on(&south, variant(0), shared(&[])).await.expect("proposed");
        assert_eq!(rule(s.approve(&anywhere).await), "EXCLUSIVITY");
        s.live_on(&south, variant(0), shared(&["FR"])).await;
        s.live_on(&north, variant(0), shared(&["DE"])).await;

        // One that others share already cannot become exclusive.
        s.live_on(&south, variant(1), shared(&["DE"])).await;
        let late = s.propose_on(&north, variant(1), alone(&["DE"])).await.expect("proposed");
        assert_eq!(rule(s.approve(&late).await), "EXCLUSIVITY");
        s.live_on(&north, variant(1), alone(&["CH"])).await;

        // The end of the one is the beginning of the other.
        let ops = s.ops();
        let end = EndListingRequest {
            request_id: key(), listing_id: kept.listing_id, reason: "over".into(), etag: String::new(),
        };
        call!(ops.listings.end_listing(end)).expect("ended");
        s.approve(&proposed).await.expect("free now");
    }

    async fn windows_that_do_not_overlap_are_no_rivals_until_one_is_moved(t: TestDb) {
        let s = Server::start(&t).await;
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        let product = s.create_product("TEA", 1).await;
        let variant = product.variants[0].variant_id.as_str();
        let now = t.clock.now().seconds();
        let first = ListingTerms { sale_window: window(now, now + 100), ..alone(&[]) };
        let then = ListingTerms { sale_window: window(now + 100, now + 200), ..alone(&[]) };
        let first = s.live_on(&north, variant, first).await;
        let then = s.propose_on(&south, variant, then).await.expect("proposed");
        let then = s.approve(&then).await.expect("another time");
        let longer = ChangeListingTermsRequest {
            listing_id: first.listing_id.clone(), sale_window: window(now, now + 101), ..Default::default()
        };
        assert_eq!(rule(s.change_terms(longer.clone()).await), "EXCLUSIVITY");
        let later = ChangeListingTermsRequest {
            listing_id: then.listing_id.clone(), sale_window: window(now + 150, now + 200), ..Default::default()
        };
        s.change_terms(later).await.expect("it makes room");
        s.change_terms(longer).await.expect("there is room");
        // What overlapped in the past only is no rival.
        t.clock.advance(std::time::Duration::from_secs(120));
        s.publish(&then.listing_id).await.expect("the first is over");
    }

    async fn a_paused_listing_keeps_its_place(t: TestDb) {
        let s = Server::start(&t).await;
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        let product = s.create_product("TEA", 1).await;
        let variant = product.variants[0].variant_id.as_str();
        let live = s.live_on(&north, variant, alone(&[])).await;
        let ops = s.ops();
        let pause = PauseListingRequest {
            request_id: key(), listing_id: live.listing_id.clone(), reason: "recount".into(), etag: String::new(),
        };
        call!(ops.listings.pause_listing(pause)).expect("paused");
        let other = s.propose_on(&south, variant, shared(&["DE"])).await.expect("proposed");
        assert_eq!(rule(s.approve(&other).await), "EXCLUSIVITY");
        s.resume(&live.listing_id).await.expect("on sale again");
    }

    async fn of_partners_who_race_for_it_one_gets_it(t: TestDb) {
        let s = Server::start(&t).await;
        let mut partners = Vec::new();
        for number in 0..4 {
            partners.push(s.register_partner(&format!("partner-{number}")).await);
        }
        let product = s.create_product("TEA", 4).await;
        for (round, variant) in product.variants.iter().enumerate() {
            let mut waiting = Vec::new();
            for (number, partner_id) in partners.iter().enumerate() {
                // In every other round one of them would share; it is in the way all the same.
                let terms = if round % 2 == 1 && number == 0 { shared(&["DE"]) } else { alone(&["DE"]) };
                waiting.push(s.propose_on(partner_id, &variant.variant_id, terms).await.expect("proposed"));
            }
            let answers = join_all(waiting.iter().map(|listing| s.approve(listing))).await;
            let (agreed, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
            assert_eq!((agreed.len(), refused.len()), (1, 3));
            for answer in refused {
                assert_eq!(rule(answer), "EXCLUSIVITY");
            }
        }
    }

    async fn of_moves_into_one_window_that_race_one_takes_place(t: TestDb) {
        let s = Server::start(&t).await;
        let (north, south) = (s.register_partner("north").await, s.register_partner("south").await);
        let product = s.create_product("TEA", 4).await;
        let now = t.clock.now().seconds();
        for variant in &product.variants {
            let early = ListingTerms { sale_window: window(now, now + 100), ..alone(&[]) };
            let late = ListingTerms { sale_window: window(now + 200, now + 300), ..shared(&[]) };
            let early = s.live_on(&north, &variant.variant_id, early).await;
            let late = s.live_on(&south, &variant.variant_id, late).await;
            let to = |listing: &Listing, start, end| ChangeListingTermsRequest {
                listing_id: listing.listing_id.clone(), sale_window: window(start, end), ..Default::default()
            };
            let (one, other) = futures::join!(
                s.change_terms(to(&early, now, now + 180)),
                s.change_terms(to(&late, now + 120, now + 300)),
            );
            assert_eq!(usize::from(one.is_ok()) + usize::from(other.is_ok()), 1, "{one:?} {other:?}");
            let refused = one.and(other);
            assert_eq!(rule(refused), "EXCLUSIVITY");
        }
    }
}
