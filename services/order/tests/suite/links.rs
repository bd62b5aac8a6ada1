//! Who takes the money changes by date; where the retailer does, partners show signed links.

use std::time::Duration;

use contracts::catalog::v1 as catalog;
use contracts::catalog::v1::catalog_feed_entry::Content;
use contracts::common::v1::{self as common, CollectedBy, PurchaseMode};
use contracts::id::{Kind, kind};
use contracts::order::v1 as pb;
use order::Config;
use testkit::{TestDb, on_both_engines};
use tonic::Code;

use crate::conversions::purchase;
use crate::world::{
    World, fields, france, line, listing, listing_id, listing_with, nth, partner_of, refused,
    setup, told,
};

/// What links need, in a configuration that is like any other else.
pub fn config() -> Config {
    Config {
        link_base_url: "https://shop.example/live".into(),
        link_secret: "a secret of more than 32 characters".into(),
        ..Config::default()
    }
}

pub async fn start(t: TestDb) -> World {
    World::start_with(t, config(), false).await
}

/// A listing whose mode switches so many seconds from now.
pub fn dated(world: &World, at: u128, switches: &[(i64, PurchaseMode)]) -> catalog::Listing {
    let now = world.now().seconds();
    listing_with(at, |terms| {
        let switch = |(after, mode): &(i64, PurchaseMode)| catalog::DatedPurchaseMode {
            start_time: Some(prost_types::Timestamp {
                seconds: now + after,
                nanos: 0,
            }),
            purchase_mode: (*mode).into(),
        };
        terms.dated_purchase_modes = switches.iter().map(switch).collect();
    })
}

pub fn redirecting(at: u128) -> catalog::Listing {
    listing_with(at, |terms| {
        terms.purchase_mode = PurchaseMode::Redirect.into()
    })
}

pub fn wanted(request_id: &str, listing: u128) -> pb::CreateDeepLinkRequest {
    pb::CreateDeepLinkRequest {
        request_id: request_id.into(),
        listing_id: listing_id(listing).into(),
        shopper_ref: "ann".into(),
        touchpoints: vec![common::Touchpoint {
            outlet_id: nth::<kind::Outlet>(7).into(),
            surface: "live_card".into(),
            media_time_ms: 12_000,
            ..Default::default()
        }],
    }
}

/// The token in an address.
pub fn token_of(uri: &str) -> String {
    let (base, token) = uri.split_once("?vitrine_link=").expect("the parameter");
    assert_eq!(base, "https://shop.example/live");
    token.into()
}

on_both_engines! {
    setup: setup();

    async fn a_switch_counts_from_its_moment_on(t: TestDb) {
        let world = start(t).await;
        world.stock(9).await;
        world.enter_listing(dated(&world, 1, &[(60, PurchaseMode::Redirect), (3_600, PurchaseMode::InApp)])).await;
        let mut partner = world.partner(1);
        let before = world.place("before", &[(1, 1)]).await;
        assert_eq!(before.lines[0].collected_by(), CollectedBy::Partner);
        refused(partner.orders.create_deep_link(wanted("l-1", 1)).await, "LISTING_IN_APP", Code::FailedPrecondition);
        let quote = pb::QuoteOrderRequest { lines: vec![line(1, 1)], destination: france(), shopper_ref: String::new() };
        let quoted = partner.orders.quote_order(quote.clone()).await.expect("a quote").into_inner();

        world.advance(Duration::from_secs(60));
        let status = refused(
            partner.orders.place_order(world.order("after", &[(1, 1)])).await, "LISTING_REDIRECTS", Code::FailedPrecondition,
        );
        assert!(status.message().contains("CreateDeepLink"), "{status:?}");
        assert_eq!(told(&status, "listing_id"), listing_id(1).to_string());
        refused(partner.orders.quote_order(quote.clone()).await, "LISTING_REDIRECTS", Code::FailedPrecondition);
        // What was quoted or placed before the switch is kept: placed, paid, in the partner's hands.
        let with_quote = |key: &str| pb::PlaceOrderRequest {
            quote_token: quoted.quote_token.clone(), expected_payable: None, ..world.order(key, &[(1, 1)])
        };
        let placed = partner.orders.place_order(with_quote("quoted")).await.expect("placed").into_inner();
        assert_eq!(placed.lines[0].collected_by(), CollectedBy::Partner);
        for order_id in [&before.order_id, &placed.order_id] {
            let paid = world.pay(&world.payment(1, order_id, "p", crate::world::PRICE)).await;
            assert_eq!(paid.outcome(), pb::PaymentOutcome::Paid);
            assert_eq!(world.get(order_id).await.lines[0].collected_by(), CollectedBy::Partner);
        }
        // A listing beside it in the same order does not help.
        refused(partner.orders.place_order(world.order("two", &[(2, 1), (1, 1)])).await, "LISTING_REDIRECTS", Code::FailedPrecondition);
        let linked = partner.orders.create_deep_link(wanted("l-1", 1)).await.expect("a link").into_inner();

        world.advance(Duration::from_secs(60));
        refused(partner.orders.place_order(with_quote("late")).await, "QUOTE_EXPIRED", Code::FailedPrecondition);

        world.advance(Duration::from_secs(3_480));
        world.place("again", &[(1, 1)]).await;
        refused(partner.orders.create_deep_link(wanted("l-2", 1)).await, "LISTING_IN_APP", Code::FailedPrecondition);
        let again = partner.orders.create_deep_link(wanted("l-1", 1)).await.expect("the same link").into_inner();
        assert_eq!(again, linked);
        assert_eq!(linked.expire_time.expect("an end").seconds, world.now().seconds() - 3_540 + 30 * 86_400);
        // What is bought by the old link counts, although the partner collects again.
        let sold = purchase(&world, "c-1", &token_of(&linked.uri), "shop-1");
        let sold = world.ops().orders.report_conversion(sold).await.expect("reported").into_inner();
        assert_eq!(sold.conversion.expect("it").collected_by(), CollectedBy::Retailer);
    }

    async fn switches_out_of_order_are_put_aside(t: TestDb) {
        let world = start(t).await;
        world.furnish().await;
        for wrong in [[60, 60], [60, 30]] {
            let modes = wrong.map(|after| (after, PurchaseMode::Redirect));
            world.enter(Content::Listing(dated(&world, 1, &modes))).await.expect_err("out of order");
        }
    }

    async fn a_link_is_made_once_and_read_back(t: TestDb) {
        let world = start(t).await;
        world.stock(9).await;
        world.enter_listing(redirecting(1)).await;
        let mut partner = world.partner(1);
        let linked = partner.orders.create_deep_link(wanted("l-1", 1)).await.expect("a link").into_inner();
        assert_eq!(token_of(&linked.uri).len(), 162);
        assert!(!linked.uri.contains("ann"));
        assert_eq!(partner.orders.create_deep_link(wanted("l-1", 1)).await.expect("again").into_inner(), linked);
        let other = pb::CreateDeepLinkRequest { shopper_ref: "bob".into(), ..wanted("l-1", 1) };
        refused(partner.orders.create_deep_link(other).await, "KEY_REUSED", Code::AlreadyExists);

        let get = pb::GetDeepLinkRequest { deep_link_id: linked.deep_link_id.clone() };
        let own = partner.orders.get_deep_link(get.clone()).await.expect("found").into_inner();
        let retailers = world.ops().orders.get_deep_link(get.clone()).await.expect("found").into_inner();
        assert_eq!(own, retailers);
        let link = own.deep_link.expect("a link");
        assert_eq!(link.touchpoints, wanted("", 1).touchpoints);
        assert_eq!((link.shopper_ref.as_str(), link.terms_version, link.commission_basis_points), ("ann", 2, 1_000));
        assert_eq!((link.collected_by(), link.expire_time), (CollectedBy::Retailer, linked.expire_time));

        // To another partner it is like one that there is not.
        let mut stranger = world.partner(2);
        let foreign = refused(stranger.orders.get_deep_link(get).await, "NOT_FOUND", Code::NotFound);
        let unknown = pb::GetDeepLinkRequest { deep_link_id: nth::<kind::DeepLink>(99).into() };
        let unknown = refused(stranger.orders.get_deep_link(unknown).await, "NOT_FOUND", Code::NotFound);
        assert_eq!((foreign.message(), foreign.details()), (unknown.message(), unknown.details()));
    }

    async fn no_link_leads_to_what_is_not_sold(t: TestDb) {
        let world = start(t).await;
        world.stock(9).await;
        let mut partner = world.partner(1);
        for listing in [99, 3] {
            refused(partner.orders.create_deep_link(wanted("l", listing)).await, "NOT_FOUND", Code::NotFound);
        }
        let paused = catalog::Listing { state: catalog::ListingState::Paused.into(), ..redirecting(1) };
        world.enter_listing(paused).await;
        refused(partner.orders.create_deep_link(wanted("l", 1)).await, "LISTING_NOT_LIVE", Code::FailedPrecondition);
        let over = world.now().to_proto();
        let mut ended = redirecting(1);
        ended.terms.as_mut().expect("terms").sale_window = Some(common::Window { start_time: None, end_time: Some(over) });
        world.enter_listing(ended).await;
        refused(partner.orders.create_deep_link(wanted("l", 1)).await, "OUTSIDE_WINDOW", Code::FailedPrecondition);
        world.enter_listing(redirecting(1)).await;
        let stop = pb::StopSaleRequest {
            request_id: "s".into(), reason: "recall".into(),
            target: Some(pb::StopTarget { target: Some(pb::stop_target::Target::ProductId(listing(1).product_id)) }),
        };
        let stop_id = world.ops().orders.stop_sale(stop).await.expect("stopped").into_inner().stop_id;
        refused(partner.orders.create_deep_link(wanted("l", 1)).await, "SALE_STOPPED", Code::FailedPrecondition);
        world.ops().orders.resume_sale(pb::ResumeSaleRequest { request_id: "r".into(), stop_id }).await.expect("resumed");
        world.enter(Content::Partner(partner_of(1, false))).await.expect("suspended");
        refused(partner.orders.create_deep_link(wanted("l", 1)).await, "PARTNER_SUSPENDED", Code::FailedPrecondition);
        world.enter(Content::Partner(partner_of(1, true))).await.expect("resumed");
        // A refusal takes no key.
        partner.orders.create_deep_link(wanted("l", 1)).await.expect("a link");
    }

    async fn what_a_link_needs_is_asked_for(t: TestDb) {
        let world = World::start(t).await;
        world.stock(9).await;
        world.enter_listing(redirecting(1)).await;
        let mut partner = world.partner(1);
        let status = refused(partner.orders.create_deep_link(wanted("l", 1)).await, "NO_LINK_ADDRESS", Code::FailedPrecondition);
        assert!(status.message().contains("order.link_base_url"), "{status:?}");
        let wrong = pb::CreateDeepLinkRequest {
            request_id: String::new(), listing_id: "listing".into(), shopper_ref: String::new(),
            touchpoints: vec![common::Touchpoint { outlet_id: "x".into(), ..Default::default() }],
        };
        let status = refused(partner.orders.create_deep_link(wrong).await, "INVALID_FIELD", Code::InvalidArgument);
        assert_eq!(fields(&status), ["request_id", "listing_id", "shopper_ref", "touchpoints[0].outlet_id"]);
        let token = pb::CreateDeepLinkRequest {
            touchpoints: vec![common::Touchpoint { click_token: "t".into(), ..Default::default() }], ..wanted("l", 1)
        };
        let status = refused(partner.orders.create_deep_link(token).await, "NOT_OFFERED", Code::Unimplemented);
        assert_eq!(told(&status, "field"), "touchpoints[0].click_token");
        assert_eq!(kind::DeepLink::PREFIX, "link");
    }
}
