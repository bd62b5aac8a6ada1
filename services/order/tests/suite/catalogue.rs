//! What the catalogue's feed brings.

use std::time::Duration;

use contracts::catalog::v1 as catalog;
use contracts::catalog::v1::catalog_feed_entry::Content;
use contracts::fulfillment::v1 as fulfillment_pb;
use contracts::order::v1 as pb;
use kit::errors::{ErrorReason, Fault};
use testkit::{TestDb, eventually_async, on_both_engines};

use crate::world::{
    PRICE, World, france, key_of, line, listing, listing_with, money, partner_of, product, setup,
};

const BOUND: Duration = Duration::from_secs(20);

fn entry(content: Content) -> catalog::CatalogFeedEntry {
    catalog::CatalogFeedEntry {
        meta: None,
        content: Some(content),
    }
}

async fn price(world: &World) -> Option<i64> {
    let request = pb::QuoteOrderRequest {
        lines: vec![line(1, 1)],
        destination: france(),
        shopper_ref: String::new(),
    };
    let quote = world
        .partner(1)
        .orders
        .quote_order(request)
        .await
        .ok()?
        .into_inner();
    Some(quote.amount?.payable?.minor_units)
}

on_both_engines! {
    setup: setup();

    async fn is_followed_from_its_beginning_and_on(t: TestDb) {
        let world = World::start_with(t, order::Config::default(), true).await;
        let feed = world.fakes.catalog.clone();
        for at in 1..=2 {
            feed.publish("partner", entry(Content::Partner(partner_of(at, true))));
            feed.publish("key", entry(Content::PaymentKey(key_of(at, true))));
        }
        feed.publish("outlet", entry(Content::Outlet(catalog::Outlet::default())));
        feed.publish("product", entry(Content::Product(product())));
        feed.publish("listing", entry(Content::Listing(listing(1))));
        let known = eventually_async(BOUND, || async {
            let request = pb::GetAvailabilityRequest { listing_id: listing(1).listing_id };
            let answer = world.partner(1).allotments.get_availability(request).await;
            answer.is_err_and(|status| crate::world::reason(&status) == "NO_ALLOTMENT")
        });
        assert!(known.await);
        let allotment = world.allotment(1, 5).await;
        world.assign(&allotment, 1, 0).await;
        assert_eq!(price(&world).await, Some(PRICE));
        world.paid("o-1", &[(1, 1)]).await;
        feed.publish("listing", entry(Content::Listing(listing_with(1, |terms| {
            terms.retailer_discount_basis_points = 1_000;
        }))));
        assert!(eventually_async(BOUND, || async { price(&world).await == Some(PRICE - PRICE / 10) }).await);
        feed.publish("partner", entry(Content::Partner(partner_of(1, false))));
        assert!(eventually_async(BOUND, || async { price(&world).await.is_none() }).await);
        world.stop().await;
    }

    async fn what_cannot_be_read_is_put_aside(t: TestDb) {
        let world = World::start(t).await;
        world.furnish().await;
        for wrong in [
            catalog::Listing { terms: None, ..listing(1) },
            catalog::Listing { variant: None, ..listing(1) },
            catalog::Listing { state: 77, ..listing(1) },
            catalog::Listing { listing_id: "x".into(), ..listing(1) },
            listing_with(1, |terms| terms.shipping = crate::world::money_in("JPY", 5)),
            listing_with(1, |terms| terms.price = None),
        ] {
            let fault = world.enter(Content::Listing(wrong)).await.expect_err("wrong");
            assert!(matches!(fault, Fault::Refused(refusal) if refusal.reason == ErrorReason::InvalidField));
        }
        assert!(world.enter(Content::Partner(catalog::Partner::default())).await.is_err());
        assert!(world.enter(Content::PaymentKey(catalog::PaymentKey::default())).await.is_err());
    }

    async fn an_older_word_that_comes_late_changes_nothing(t: TestDb) {
        let world = World::start(t).await;
        world.stock(9).await;
        let listed = |etag: &str, discount: i32| catalog::Listing {
            etag: etag.into(),
            ..listing_with(1, |terms| terms.retailer_discount_basis_points = discount)
        };
        // Versions are numbers, not texts: v10 comes after v9.
        world.enter_listing(listed("v10", 1_000)).await;
        world.enter_listing(listed("v9", 5_000)).await;
        assert_eq!(price(&world).await, Some(PRICE - PRICE / 10));
        let titled = |etag: &str, title: &str| {
            Content::Product(catalog::Product { etag: etag.into(), title: title.into(), ..product() })
        };
        world.enter(titled("v3", "Kettle")).await.expect("renamed");
        world.enter(titled("v2", "Teapot")).await.expect("late");
        let request = pb::PlaceOrderRequest { expected_payable: money(PRICE - PRICE / 10), ..world.order("o-1", &[(1, 1)]) };
        let placed = world.partner(1).orders.place_order(request).await.expect("placed").into_inner();
        assert_eq!(placed.lines[0].title, "Kettle");
        let state = |etag: &str, active| {
            Content::Partner(catalog::Partner { etag: etag.into(), ..partner_of(1, active) })
        };
        world.enter(state("v3", false)).await.expect("suspended");
        world.enter(state("v2", true)).await.expect("late");
        assert_eq!(price(&world).await, None);
        world.enter(state("v4", true)).await.expect("resumed");
        assert!(price(&world).await.is_some());
    }

    async fn terms_are_taken_whole(t: TestDb) {
        let world = World::start(t).await;
        world.stock(9).await;
        world.enter_listing(listing_with(1, |terms| {
            terms.shipping = money(490);
            terms.tax_included = false;
            terms.remorse_period = Some(prost_types::Duration { seconds: 3_600, nanos: 0 });
            terms.ship_within = Some(prost_types::Duration { seconds: 86_400, nanos: 0 });
        })).await;
        let mut partner = world.partner(1);
        // (19.90 + 4.90) × 1.2
        let request = pb::PlaceOrderRequest { expected_payable: money(2_976), ..world.order("o-1", &[(1, 1)]) };
        let placed = partner.orders.place_order(request).await.expect("placed").into_inner();
        let amount = placed.lines[0].amount.clone().expect("an amount");
        assert_eq!((amount.shipping, amount.tax, amount.tax_included), (money(490), money(496), false));
        assert_eq!(amount.commission, money(199));
        let paid = world.payment(1, &placed.order_id, "p", 2_976);
        partner.orders.confirm_payment(paid).await.expect("recorded");
        let order = world.get(&placed.order_id).await;
        let at = |time: Option<prost_types::Timestamp>| time.expect("a time").seconds - world.now().seconds();
        assert_eq!((at(order.ship_not_before), at(order.ship_by)), (3_600, 86_400));
        assert_eq!(
            order.ship_blocks().collect::<Vec<_>>(),
            [pb::ShipBlock::Remorse, pb::ShipBlock::AddressMissing]
        );
        world.advance(Duration::from_secs(3_600));
        assert_eq!(world.get(&placed.order_id).await.ship_blocks().collect::<Vec<_>>(), [pb::ShipBlock::AddressMissing]);
        // A product's new title is a line's title from then on.
        world.enter(Content::Product(catalog::Product { title: "Kettle".into(), ..product() })).await.expect("renamed");
        let request = pb::PlaceOrderRequest { expected_payable: money(2_976), ..world.order("o-2", &[(1, 1)]) };
        let later = partner.orders.place_order(request).await.expect("placed").into_inner();
        assert_eq!((placed.lines[0].title.as_str(), later.lines[0].title.as_str()), ("Teapot", "Kettle"));
        assert_eq!(world.get(&placed.order_id).await.lines[0].title, "Teapot");
    }

    async fn is_read_from_the_lists_when_the_feed_has_forgotten(t: TestDb) {
        let world = World::start(t).await;
        let world = world.again(order::Config::default(), |fakes| {
            fakes.catalog.publish("partner", entry(Content::Partner(partner_of(1, false))));
            fakes.catalog.forget();
            let mut lists = fakes.lists.lock().expect("the lists");
            lists.partners = vec![partner_of(1, true), partner_of(2, true)];
            lists.keys = vec![key_of(1, true), key_of(2, true)];
            lists.products = vec![product()];
            lists.listings = (1..=4).map(listing).collect();
        })
        .await;
        let known = eventually_async(BOUND, || async {
            let request = pb::GetAvailabilityRequest { listing_id: listing(4).listing_id };
            let answer = world.partner(2).allotments.get_availability(request).await;
            answer.is_err_and(|status| crate::world::reason(&status) == "NO_ALLOTMENT")
        });
        assert!(known.await);
        let allotment = world.allotment(1, 5).await;
        world.assign(&allotment, 1, 0).await;
        let placed = world.paid("o-1", &[(1, 2)]).await;
        // What is published from now on is followed again.
        world.fakes.catalog.publish("partner", entry(Content::Partner(partner_of(1, false))));
        assert!(eventually_async(BOUND, || async { price(&world).await.is_none() }).await);

        // The same for fulfilment: what it says of orders is read from its list.
        let come = crate::progress::entry(&placed, &[crate::progress::Line { shipped: 2, ..Default::default() }]);
        let Some(fulfillment_pb::fulfillment_feed_entry::Content::Fulfillment(found)) = come.content else {
            panic!("no fulfilment")
        };
        let world = world.again(order::Config::default(), |fakes| {
            fakes.fulfillment.publish(&placed.order_id, fulfillment_pb::FulfillmentFeedEntry::default());
            fakes.fulfillment.forget();
            fakes.lists.lock().expect("the lists").fulfillments = vec![found];
        })
        .await;
        crate::progress::until(&world, &placed.order_id, |order| {
            order.fulfillment_state() == pb::FulfillmentState::Shipped
        })
        .await;
        world.stop().await;
    }
}
