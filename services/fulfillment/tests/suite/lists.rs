//! Pages, and who sees what on them.

use std::time::Duration;

use fulfillment::model::{Block, FulfillmentState, ShipmentState, TrackingStatus};
use fulfillment::ops::block::ChangeBlock;
use fulfillment::ops::read::{
    GetFulfillment, GetShipment, ListFulfillments, ListShipments, ListWork,
};
use fulfillment::store::list::{FulfillmentKey, FulfillmentQuery, ShipmentQuery, WorkQuery};
use kit::clock::Clock;
use kit::errors::Refusal;
use testkit::{TestDb, on_both_engines};

use crate::common::*;

/// Orders 1 to 6, the even ones of partner 2, due in reverse; order 6 waits.
async fn six(t: &TestDb) {
    for at in 1..=6u64 {
        let mut order = order(at.into(), &[1], t.clock.now());
        order.partner_id = partner(if at % 2 == 0 { 2 } else { 1 }).into();
        order.ship_by = Some(t.clock.now().plus(Duration::from_secs(100 - at)).to_proto());
        order.has_contact = at != 6;
        arrive(t, order).await;
        t.clock.advance(Duration::from_millis(5));
    }
}

on_both_engines! {
    setup: setup();

    async fn fulfilments_come_by_creation_partner_and_state(t: TestDb) {
        six(&t).await;
        let all = FulfillmentQuery { partner: None, state: None, after: None, limit: 100 };
        let list = |query| t.read(ListFulfillments(query));
        let orders = |found: Vec<fulfillment::model::Fulfillment>| -> Vec<u128> {
            found.iter().map(|f| f.order_id.uuid()).collect()
        };
        assert_eq!(orders(list(all.clone()).await.expect("a page")), [1, 2, 3, 4, 5, 6]);
        let first = list(FulfillmentQuery { limit: 2, ..all.clone() }).await.expect("a page");
        let after = first.last().map(|f| f.id);
        let rest = FulfillmentQuery { after, ..all.clone() };
        assert_eq!(orders(list(rest).await.expect("a page")), [3, 4, 5, 6]);
        let second = FulfillmentQuery { partner: Some(partner(2)), ..all.clone() };
        assert_eq!(orders(list(second.clone()).await.expect("a page")), [2, 4, 6]);
        let waiting = Some(FulfillmentState::Waiting);
        let both = FulfillmentQuery { state: waiting, ..second };
        assert_eq!(orders(list(both).await.expect("a page")), [6]);
        let state = FulfillmentQuery { state: waiting, ..all };
        assert_eq!(orders(list(state).await.expect("a page")), [6]);
    }

    async fn the_work_queue_has_what_can_be_shipped_the_most_urgent_first(t: TestDb) {
        six(&t).await;
        let page = |after, limit| t.read(ListWork(WorkQuery { after, limit }));
        let orders = |found: &[fulfillment::model::Fulfillment]| -> Vec<u128> {
            found.iter().map(|f| f.order_id.uuid()).collect()
        };
        let first = page(None, 2).await.expect("a page");
        assert_eq!(orders(&first), [5, 4]);
        let after = first.last().map(|f| (f.ship_by.0, f.id));
        assert_eq!(orders(&page(after, 100).await.expect("a page")), [3, 2, 1]);
        ship(&t, &first[0].id, vec![]).await.expect("ships");
        assert_eq!(orders(&page(None, 100).await.expect("a page")), [4, 3, 2, 1]);
        // What is shipped in part stays, unless something blocks the rest.
        let half = paid(&t, 7, &[2]).await;
        ship(&t, &half.id, vec![units(7, 1, 1)]).await.expect("ships");
        assert_eq!(orders(&page(None, 100).await.expect("a page")), [4, 3, 2, 1, 7]);
        let reason = "Looks odd".to_owned();
        let block = ChangeBlock { fulfillment_id: half.id, block: Block::Inspection, lift: false, reason };
        t.execute(block).await.expect("blocked");
        assert_eq!(orders(&page(None, 100).await.expect("a page")), [4, 3, 2, 1]);
    }

    async fn shipments_come_by_creation_partner_order_and_state(t: TestDb) {
        six(&t).await;
        let mut ids = Vec::new();
        for at in 1..=5 {
            let fulfillment = of_order(&t, order_id(at)).await;
            ids.push(ship(&t, &fulfillment.id, vec![]).await.expect("ships").id);
            t.clock.advance(Duration::from_millis(5));
        }
        track(&t, &ids[3], event("e", TrackingStatus::Delivered, t.clock.now())).await.expect("delivered");
        let all = ShipmentQuery { partner: None, order: None, state: None, after: None, limit: 100 };
        let list = |query| t.read(ListShipments { query, events_max: 50 });
        let places = |found: Vec<fulfillment::model::Shipment>| -> Vec<usize> {
            found.iter().map(|s| ids.iter().position(|id| *id == s.id).expect("one of them")).collect()
        };
        let page = list(all.clone()).await.expect("a page");
        assert_eq!((page[3].events.len(), page[0].events.len()), (1, 0));
        assert_eq!(places(page), [0, 1, 2, 3, 4]);
        let rest = ShipmentQuery { after: Some(ids[2]), ..all.clone() };
        assert_eq!(places(list(rest).await.expect("a page")), [3, 4]);
        let second = ShipmentQuery { partner: Some(partner(2)), ..all.clone() };
        assert_eq!(places(list(second.clone()).await.expect("a page")), [1, 3]);
        let delivered = Some(ShipmentState::Delivered);
        assert_eq!(places(list(ShipmentQuery { state: delivered, ..all.clone() }).await.expect("a page")), [3]);
        assert_eq!(places(list(ShipmentQuery { state: delivered, ..second.clone() }).await.expect("a page")), [3]);
        let order = ShipmentQuery { order: Some(order_id(1)), ..all };
        assert_eq!(places(list(order.clone()).await.expect("a page")), [0]);
        let foreign = ShipmentQuery { partner: Some(partner(2)), ..order };
        assert_eq!(places(list(foreign).await.expect("a page")), Vec::<usize>::new());
    }

    async fn another_partners_things_are_not_there(t: TestDb) {
        let fulfillment = paid(&t, 1, &[1]).await;
        let shipment = ship(&t, &fulfillment.id, vec![]).await.expect("ships");
        for (asks, sees) in [(None, true), (Some(partner(1)), true), (Some(partner(2)), false)] {
            for key in [FulfillmentKey::Id(fulfillment.id), FulfillmentKey::Order(order_id(1))] {
                let found = t.read(GetFulfillment { key, partner: asks }).await;
                assert_eq!(found.is_ok(), sees);
                assert!(sees || found.expect_err("hidden").refusal() == Some(&Refusal::not_found("fulfillment")));
            }
            let found = t.read(GetShipment { id: shipment.id, partner: asks, events_max: 1 }).await;
            assert_eq!(found.is_ok(), sees);
            assert!(sees || found.expect_err("hidden").refusal() == Some(&Refusal::not_found("shipment")));
        }
    }
}
