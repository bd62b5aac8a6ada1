//! Every reason for which a placement is refused, and what is wrong with requests.

use std::time::Duration;

use contracts::catalog::v1 as catalog;
use contracts::catalog::v1::catalog_feed_entry::Content;
use contracts::common::v1 as common;
use contracts::order::v1 as pb;
use contracts::order::v1::stop_target::Target;
use testkit::{TestDb, on_both_engines};
use tonic::Code;

use crate::world::{
    PRICE, World, fields, line, listing, listing_id, listing_with, money, money_in, partner_of,
    refused, setup, told,
};

fn window(start: i64, end: i64) -> Option<common::Window> {
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    Some(common::Window {
        start_time: at(start),
        end_time: at(end),
    })
}

on_both_engines! {
    setup: setup();

    async fn every_reason_not_to_sell(t: TestDb) {
        let world = World::start(t).await;
        let allotments = world.stock(3).await;
        let mut partner = world.partner(1);
        let mut number = 0;
        macro_rules! refuse {
            ($request:expr, $reason:literal) => {{
                number += 1;
                let request = pb::PlaceOrderRequest { partner_order_id: format!("o-{number}"), ..$request };
                refused(partner.orders.place_order(request).await, $reason, Code::FailedPrecondition)
            }};
        }
        let one = world.order("", &[(1, 1)]);

        let status = refuse!(world.order("", &[(1, 4)]), "SOLD_OUT");
        assert_eq!(told(&status, "listing_id"), listing_id(1).as_str());
        // How much of a shared pool is left is not for one partner to know.
        assert_eq!(told(&status, "available"), "");

        let status = refuse!(pb::PlaceOrderRequest { expected_payable: money(1_000), ..one.clone() }, "PRICE_CHANGED");
        assert_eq!((told(&status, "payable_minor_units"), told(&status, "currency_code")), (PRICE.to_string(), "EUR".into()));

        for state in [catalog::ListingState::Paused, catalog::ListingState::Ended, catalog::ListingState::Approved] {
            world.enter_listing(catalog::Listing { state: state.into(), ..listing(1) }).await;
            let status = refuse!(one.clone(), "LISTING_NOT_LIVE");
            assert_eq!(told(&status, "state"), state.as_str_name().replace("LISTING_STATE_", ""));
        }

        world.enter_listing(listing_with(1, |terms| terms.per_shopper_limit = 1)).await;
        let status = refuse!(world.order("", &[(1, 2)]), "LIMIT_EXCEEDED");
        assert_eq!((told(&status, "listing_id"), told(&status, "remaining")), (listing_id(1).to_string(), "1".into()));

        world.enter_listing(listing_with(1, |terms| terms.purchase_mode = common::PurchaseMode::Redirect.into())).await;
        refuse!(one.clone(), "LISTING_REDIRECTS");

        world.enter_listing(listing_with(1, |terms| terms.territories = vec!["DE".into(), "AT".into()])).await;
        refuse!(one.clone(), "TERRITORY");

        let now = world.now().seconds();
        for sale_window in [window(now + 60, now + 120), window(now - 60, now)] {
            world.enter_listing(listing_with(1, |terms| terms.sale_window = sale_window)).await;
            refuse!(one.clone(), "OUTSIDE_WINDOW");
        }

        world.enter_listing(listing(1)).await;
        world.enter(Content::Partner(partner_of(1, false))).await.expect("suspended");
        refuse!(one.clone(), "PARTNER_SUSPENDED");
        world.enter(Content::Partner(partner_of(1, true))).await.expect("resumed");

        let mut ops = world.ops();
        let stop = pb::StopSaleRequest {
            request_id: "stop".into(),
            target: Some(pb::StopTarget { target: Some(Target::AllotmentId(allotments[0].clone())) }),
            reason: "Lead in the glaze".into(),
        };
        let stop = ops.orders.stop_sale(stop).await.expect("stopped").into_inner();
        refuse!(one.clone(), "SALE_STOPPED");
        let resume = pb::ResumeSaleRequest { request_id: "resume".into(), stop_id: stop.stop_id };
        ops.orders.resume_sale(resume).await.expect("resumed");

        world.enter_listing(catalog::Listing { listing_id: listing_id(9).into(), ..listing(1) }).await;
        let status = refuse!(world.order("", &[(9, 1)]), "NO_ALLOTMENT");
        assert_eq!(told(&status, "listing_id"), listing_id(9).as_str());

        let drop = pb::Drop {
            allotment_id: allotments[0].clone(),
            listing_ids: vec![listing_id(1).into()],
            display_name: "Late".into(),
            window: window(now + 600, now + 1_200),
            total_limit: 2,
            per_person_limit: 1,
            ..Default::default()
        };
        let create = pb::CreateDropRequest { request_id: "drop".into(), drop: Some(drop) };
        ops.drops.create_drop(create).await.expect("a drop");
        refuse!(one.clone(), "DROP_CLOSED");
        // The other partner's listing of the same goods is in no drop.
        world.partner(2).orders.place_order(world.order("other", &[(3, 1)])).await.expect("placed");
        world.advance(Duration::from_secs(600));
        refuse!(world.order("", &[(1, 2)]), "LIMIT_EXCEEDED");
        partner.orders.place_order(world.order("in-drop", &[(1, 1)])).await.expect("placed inside the drop");
        // Nothing of all that was refused holds a unit.
        assert_eq!(world.get_allotment(&allotments[0]).await.held, 2);
    }

    async fn an_order_is_all_or_nothing(t: TestDb) {
        let world = World::start(t).await;
        let allotments = world.stock(3).await;
        let mut partner = world.partner(1);
        let request = world.order("o-1", &[(1, 2), (2, 4)]);
        refused(partner.orders.place_order(request).await, "SOLD_OUT", Code::FailedPrecondition);
        assert_eq!(world.get_allotment(&allotments[0]).await.available, 3);
        world.enter_listing(listing_with(2, |terms| {
            terms.price = Some(common::Price { amount: money_in("JPY", 3_000), per_quantity: 1 });
        })).await;
        let request = world.order("o-2", &[(1, 1), (2, 1)]);
        refused(partner.orders.place_order(request).await, "MIXED_CURRENCY", Code::InvalidArgument);
    }

    async fn a_cap_is_the_listings_own(t: TestDb) {
        let world = World::start(t).await;
        let allotments = world.stock(10).await;
        world.assign(&allotments[0], 1, 2).await;
        let mut partner = world.partner(1);
        let status = partner.orders.place_order(world.order("o-1", &[(1, 3)])).await;
        let status = refused(status, "SOLD_OUT", Code::FailedPrecondition);
        assert_eq!(told(&status, "available"), "2");
        world.place("o-2", &[(1, 2)]).await;
        world.partner(2).orders.place_order(world.order("o-1", &[(3, 5)])).await.expect("its cap is its own");
    }

    async fn wrong_requests_name_their_fields(t: TestDb) {
        let world = World::start(t).await;
        world.stock(3).await;
        let mut partner = world.partner(1);
        let long = "x".repeat(129);
        let wrong = pb::PlaceOrderRequest {
            partner_order_id: String::new(),
            shopper_ref: long.clone(),
            partner_checkout_id: "x".repeat(65),
            lines: vec![line(1, 0), line(1, 1), pb::LineRequest { listing_id: "nonsense".into(), quantity: 1, ..line(1, 1) }],
            destination: Some(pb::Destination { region_code: "France".into(), subdivision_code: String::new() }),
            quote_token: "x".repeat(16_385),
            expected_payable: money_in("euro", 1),
            hold_duration: Some(prost_types::Duration { seconds: 0, nanos: 0 }),
            ..Default::default()
        };
        let status = refused(partner.orders.place_order(wrong).await, "INVALID_FIELD", Code::InvalidArgument);
        assert_eq!(
            fields(&status),
            [
                "partner_order_id", "shopper_ref", "partner_checkout_id", "lines[0].quantity", "lines[1].listing_id",
                "lines[2].listing_id", "destination.region_code", "quote_token", "expected_payable.currency_code",
                "hold_duration",
            ]
        );
        for (request, field) in [
            (pb::PlaceOrderRequest { lines: Vec::new(), ..world.order("o", &[]) }, "lines"),
            (pb::PlaceOrderRequest { lines: vec![line(1, 1); 51], ..world.order("o", &[]) }, "lines"),
            (pb::PlaceOrderRequest { expected_payable: None, ..world.order("o", &[(1, 1)]) }, "expected_payable"),
            (pb::PlaceOrderRequest {
                hold_duration: Some(prost_types::Duration { seconds: 1_801, nanos: 0 }), ..world.order("o", &[(1, 1)])
            }, "hold_duration"),
        ] {
            let status = refused(partner.orders.place_order(request).await, "INVALID_FIELD", Code::InvalidArgument);
            assert_eq!(fields(&status), [field]);
        }
        let mut discounted = world.order("o", &[(1, 1)]);
        discounted.lines[0].partner_discount = money(PRICE + 1);
        let status = refused(partner.orders.place_order(discounted).await, "INVALID_FIELD", Code::InvalidArgument);
        assert_eq!(fields(&status), ["lines[0].partner_discount"]);
        world.enter_listing(catalog::Listing {
            variant: Some(catalog::Variant { quantity_step: 5, ..crate::world::variant(1) }), ..listing(1)
        }).await;
        let status = partner.orders.place_order(world.order("o", &[(1, 3)])).await;
        assert_eq!(fields(&refused(status, "INVALID_FIELD", Code::InvalidArgument)), ["lines[0].quantity"]);
    }

    async fn what_is_not_offered_is_said(t: TestDb) {
        let world = World::start(t).await;
        world.stock(3).await;
        let mut partner = world.partner(1);
        let request = pb::PlaceOrderRequest { person_key: "p".into(), ..world.order("o", &[(1, 1)]) };
        let status = refused(partner.orders.place_order(request).await, "NOT_OFFERED", Code::Unimplemented);
        assert_eq!(told(&status, "field"), "person_key");
        let mut request = world.order("o", &[(1, 1)]);
        request.lines[0].touchpoints = vec![common::Touchpoint { click_token: "t".into(), ..Default::default() }];
        let status = refused(partner.orders.place_order(request).await, "NOT_OFFERED", Code::Unimplemented);
        assert_eq!(told(&status, "field"), "lines[0].touchpoints[0].click_token");
    }
}
