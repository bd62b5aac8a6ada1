//! Orders come in from the order feed.

use std::time::Duration;

use contracts::ErrorReason;
use contracts::order::v1::{OrderChange, ShipBlock};
use fulfillment::events::{OrderNews, order_news};
use fulfillment::model::{Block, FulfillmentState};
use fulfillment::ops::sweep::{AnyLapsed, LiftLapsed};
use kit::clock::Clock;
use testkit::{TestDb, on_both_engines};

use crate::common::*;

on_both_engines! {
    setup: setup();

    async fn a_paid_order_becomes_a_fulfilment_once(t: TestDb) {
        let order = order(1, &[2, 5], t.clock.now());
        for early in [OrderChange::Placed, OrderChange::HoldExtended, OrderChange::Expired, OrderChange::Cancelled] {
            apply(&t, early, order.clone()).await.expect("nothing to do");
        }
        assert_eq!(feed(&t).await.len(), 0);
        let first = arrive(&t, order.clone()).await;
        assert_eq!((first.state, first.version, first.lines.len()), (FulfillmentState::Ready, 1, 2));
        assert_eq!((first.lines[1].ordered, first.lines[1].sku.as_str()), (5, "SKU-2"));
        assert_eq!((first.region_code.as_str(), first.subdivision_code.as_str()), ("FR", "FR-75"));
        assert_eq!(arrive(&t, order).await, first, "the same order again changes nothing");
        assert_eq!(story(&t).await, ["fulfillment READY"]);
        check_feed(&t).await;
    }

    async fn an_address_that_comes_later_lifts_its_block(t: TestDb) {
        let mut first = order(1, &[1], t.clock.now());
        first.has_contact = false;
        // Contact data that comes before the payment is in the order when it is paid.
        apply(&t, OrderChange::ContactSet, first.clone()).await.expect("nothing to do");
        let waiting = arrive(&t, first.clone()).await;
        assert_eq!((waiting.state, waiting.blocks.words().as_str()), (FulfillmentState::Waiting, "ADDRESS_MISSING"));
        let refusal = ship(&t, &waiting.id, vec![]).await.expect_err("blocked");
        assert_eq!(refusal.refusal().map(|refusal| refusal.reason), Some(ErrorReason::ShipBlocked));
        first.has_contact = true;
        apply(&t, OrderChange::ContactSet, first.clone()).await.expect("the contact data is there");
        apply(&t, OrderChange::ContactSet, first).await.expect("and again");
        let ready = of_order(&t, order_id(1)).await;
        assert_eq!((ready.state, ready.version), (FulfillmentState::Ready, 2));
        assert_eq!(story(&t).await, ["fulfillment WAITING", "fulfillment READY"]);
    }

    async fn time_lifts_what_time_has_set(t: TestDb) {
        let wait = Duration::from_secs(60);
        let first = paid_early(&t, 1, &[1], wait).await;
        let second = paid_early(&t, 2, &[1], wait).await;
        paid_early(&t, 3, &[1], wait * 2).await;
        assert_eq!(first.blocks.words(), "REMORSE");
        assert!(!t.read(AnyLapsed).await.expect("an answer"));
        assert_eq!(t.execute(LiftLapsed { rows_max: 10 }).await.expect("nothing to lift"), 0);
        t.clock.advance(wait);
        assert!(t.read(AnyLapsed).await.expect("an answer"));
        // Whoever ships first does not wait for the sweeper.
        ship(&t, &second.id, vec![]).await.expect("its time has come");
        assert_eq!(t.execute(LiftLapsed { rows_max: 1 }).await.expect("a bounded step"), 1);
        assert_eq!(t.execute(LiftLapsed { rows_max: 1 }).await.expect("nothing more"), 0);
        assert_eq!(of_order(&t, order_id(1)).await.state, FulfillmentState::Ready);
        assert_eq!(of_order(&t, order_id(3)).await.state, FulfillmentState::Waiting);
        check_feed(&t).await;
    }
}

#[test]
fn a_paid_order_is_read_whole_or_refused_with_the_fields_named() {
    let now = kit::clock::ManualClock::default().now();
    let mut good = order(1, &[2], now);
    good.ship_blocks = vec![ShipBlock::Fraud.into(), ShipBlock::AddressMissing.into()];
    let Ok(OrderNews::Paid(paid)) = order_news(&changed(OrderChange::Paid, good.clone()), now)
    else {
        panic!("a paid order")
    };
    assert!(
        paid.blocks.has(Block::Fraud) && !paid.blocks.has(Block::AddressMissing),
        "the contact data is there"
    );
    let mut bad = good.clone();
    bad.partner_id = "nobody".into();
    bad.lines[0].unit = 0;
    bad.lines[0].quantities = None;
    let refusal = order_news(&changed(OrderChange::Paid, bad), now).expect_err("unreadable");
    let fields: Vec<&str> = refusal
        .violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    assert_eq!(
        fields,
        ["partner_id", "lines[0].unit", "lines[0].quantities.ordered"]
    );
    let mut shipped = good;
    shipped.lines[0]
        .quantities
        .as_mut()
        .expect("counters")
        .shipped = 1;
    let refusal = order_news(&changed(OrderChange::Paid, shipped), now)
        .expect_err("shipped before it arrived");
    assert_eq!(refusal.violations[0].field, "lines[0].quantities.shipped");
}
