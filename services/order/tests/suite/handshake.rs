//! From the first price to the parcel at the door.

use std::time::Duration;

use contracts::order::v1 as pb;
use contracts::order::v1::order_feed_entry::Content;
use testkit::{TestDb, on_both_engines};
use tonic::Code;

use crate::progress::{Line, tell};
use crate::world::{PRICE, World, france, line, money, refused, setup};

/// What happened to orders, word by word, as a partner reads it.
fn story(entries: &[pb::OrderFeedEntry]) -> Vec<String> {
    let word = |entry: &pb::OrderFeedEntry| match entry.content.as_ref().expect("content") {
        Content::OrderChanged(changed) => {
            changed.change().as_str_name().replace("ORDER_CHANGE_", "")
        }
        Content::Refund(refund) => refund
            .reason()
            .as_str_name()
            .replace("REFUND_REASON_", "refund "),
        Content::Payment(payment) => payment
            .outcome()
            .as_str_name()
            .replace("PAYMENT_OUTCOME_", "payment "),
        Content::StockChanged(_) => "stock".into(),
        Content::ConversionChanged(_) => "conversion".into(),
        Content::Compensation(_) => "compensation".into(),
        Content::Chargeback(_) => "chargeback".into(),
        Content::ShopperErasureRequested(_) => "erasure".into(),
    };
    entries.iter().map(word).collect()
}

on_both_engines! {
    setup: setup();

    async fn a_whole_handshake(t: TestDb) {
        let world = World::start_with(t, order::Config::default(), true).await;
        let allotments = world.stock(10).await;
        let mut partner = world.partner(1);

        let request = pb::QuoteOrderRequest {
            lines: vec![line(1, 2), line(2, 1)],
            destination: france(),
            shopper_ref: "ann".into(),
        };
        let quote = partner.orders.quote_order(request).await.expect("a quote").into_inner();
        assert!(quote.lines.iter().all(|line| line.available));
        assert_eq!(quote.amount.as_ref().and_then(|amount| amount.payable.clone()), money(3 * PRICE));

        let request = pb::PlaceOrderRequest {
            quote_token: quote.quote_token,
            expected_payable: None,
            ..world.order("o-1", &[(1, 2), (2, 1)])
        };
        let placed = partner.orders.place_order(request.clone()).await.expect("placed").into_inner();
        assert_eq!(placed.lines.len(), 2);
        assert_eq!((world.get_allotment(&allotments[0]).await.held, world.get_allotment(&allotments[1]).await.held), (2, 1));

        let extend = pb::ExtendHoldRequest {
            request_id: "e-1".into(),
            order_id: placed.order_id.clone(),
            extension: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        };
        let extended = partner.orders.extend_hold(extend.clone()).await.expect("extended").into_inner();
        let before = placed.hold_expire_time.expect("a hold");
        assert_eq!(extended.hold_expire_time.expect("a hold").seconds, before.seconds + 60);
        assert_eq!(partner.orders.extend_hold(extend).await.expect("again").into_inner(), extended);

        let request_paid = world.payment(1, &placed.order_id, "p-1", 3 * PRICE);
        let paid = partner.orders.confirm_payment(request_paid.clone()).await.expect("recorded").into_inner();
        assert_eq!((paid.outcome(), &paid.refund), (pb::PaymentOutcome::Paid, &None));
        // Hours later the same calls give the same answers, although hold, quote and price are long over.
        world.advance(Duration::from_secs(7_200));
        assert_eq!(partner.orders.place_order(request).await.expect("again").into_inner(), placed);
        assert_eq!(partner.orders.confirm_payment(request_paid).await.expect("again").into_inner(), paid);

        let order = world.get(&placed.order_id).await;
        assert_eq!((order.state(), order.payment_state()), (pb::OrderState::Confirmed, pb::PaymentState::Paid));
        assert_eq!(order.ship_blocks().collect::<Vec<_>>(), [pb::ShipBlock::AddressMissing]);
        assert_eq!(world.get_allotment(&allotments[0]).await.sold, 2);

        tell(&world, &placed, &[Line { shipped: 2, ..Line::default() }, Line { shipped: 1, ..Line::default() }]).await;
        tell(&world, &placed, &[
            Line { shipped: 2, delivered: 2, ..Line::default() },
            Line { shipped: 1, delivered: 1, ..Line::default() },
        ]).await;
        let order = world.get(&placed.order_id).await;
        assert_eq!((order.state(), order.fulfillment_state()), (pb::OrderState::Confirmed, pb::FulfillmentState::Delivered));

        world.advance(Duration::from_secs(14 * 24 * 3_600 + 1));
        crate::progress::until(&world, &placed.order_id, |order| order.state() == pb::OrderState::Completed).await;
        let entries = world.feed(world.partner(1)).await;
        assert_eq!(
            story(&entries),
            ["PLACED", "HOLD_EXTENDED", "payment PAID", "PAID", "SHIPPED", "DELIVERED", "COMPLETED"]
        );
        world.stop().await;
    }

    async fn a_key_has_one_effect(t: TestDb) {
        let world = World::start(t).await;
        let allotments = world.stock(10).await;
        let mut partner = world.partner(1);
        let first = world.place("o-1", &[(1, 2)]).await;
        // The same key and content, twice at a time.
        let mut twin = partner.clone();
        let (request, other) = (world.order("o-1", &[(1, 2)]), world.order("o-1", &[(1, 2)]));
        let (one, two) = tokio::join!(partner.orders.place_order(request), twin.orders.place_order(other));
        assert_eq!(one.expect("again").into_inner(), first);
        assert_eq!(two.expect("again").into_inner(), first);
        assert_eq!(world.get_allotment(&allotments[0]).await.held, 2);
        // The same key, other content.
        for request in [
            world.order("o-1", &[(1, 3)]),
            world.order("o-1", &[(2, 2)]),
            pb::PlaceOrderRequest { shopper_ref: "bob".into(), ..world.order("o-1", &[(1, 2)]) },
            pb::PlaceOrderRequest { expected_payable: money(1), ..world.order("o-1", &[(1, 2)]) },
        ] {
            refused(partner.orders.place_order(request).await, "KEY_REUSED", Code::AlreadyExists);
        }
        // Another partner's key is another key.
        let request = world.order("o-1", &[(3, 1)]);
        let other = world.partner(2).orders.place_order(request).await.expect("placed").into_inner();
        assert_ne!(other.order_id, first.order_id);
        assert_eq!(world.get_allotment(&allotments[0]).await.held, 3);
    }

    async fn holds_are_extended_up_to_a_cap(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        let mut partner = world.partner(1);
        let placed = world.place("o-1", &[(1, 1)]).await;
        let extend = |key: &str, seconds| pb::ExtendHoldRequest {
            request_id: key.into(),
            order_id: placed.order_id.clone(),
            extension: Some(prost_types::Duration { seconds, nanos: 0 }),
        };
        refused(partner.orders.extend_hold(extend("e-0", 901)).await, "INVALID_FIELD", Code::InvalidArgument);
        for at in 1..=3 {
            partner.orders.extend_hold(extend(&format!("e-{at}"), 900)).await.expect("within the cap");
        }
        refused(partner.orders.extend_hold(extend("e-4", 900)).await, "HOLD_CAP", Code::FailedPrecondition);
        world.advance(Duration::from_secs(3_600));
        refused(partner.orders.extend_hold(extend("e-5", 1)).await, "HOLD_EXPIRED", Code::FailedPrecondition);
        let paid = world.payment(1, &placed.order_id, "p-1", PRICE);
        partner.orders.confirm_payment(paid).await.expect("the units are still there");
        refused(partner.orders.extend_hold(extend("e-6", 1)).await, "WRONG_STATE", Code::FailedPrecondition);
    }
}
