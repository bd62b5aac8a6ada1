//! The service as it runs: fed over a wire, served over a wire.

use std::time::Duration;

use contracts::common::v1::RetailerRole;
use contracts::fulfillment::v1 as pb;
use contracts::order::v1::OrderChange;
use fulfillment::Config;
use fulfillment::events::orders::CONSUMER;
use fulfillment::model::FulfillmentState;
use futures::StreamExt;
use kit::auth::Claims;
use kit::clock::Clock;
use store::feed::NewEpoch;
use testkit::{TestDb, eventually_async, on_both_engines};

use crate::common::*;
use crate::orders::Orders;
use crate::server::{Server, house};

const BOUND: Duration = Duration::from_secs(30);

async fn becomes(t: &TestDb, at: u128, state: FulfillmentState) -> bool {
    use fulfillment::ops::read::GetFulfillment;
    use fulfillment::store::list::FulfillmentKey;
    eventually_async(BOUND, || async {
        let get = GetFulfillment {
            key: FulfillmentKey::Order(order_id(at)),
            partner: None,
        };
        t.read(get).await.is_ok_and(|found| found.state == state)
    })
    .await
}

on_both_engines! {
    setup: setup();

    async fn from_paid_to_delivered(t: TestDb) {
        let theirs = t_of_orders(&t).await;
        let orders = Orders::new(&theirs);
        let house = house(&t);
        let wire = orders.wire(&house);
        let config = Config { lift_interval_ms: 5, ..Config::default() };
        let server = Server::start_with(&t, house, wire, config, true).await;

        let mut early = order(1, &[2], t.clock.now());
        early.ship_not_before = Some(t.clock.now().plus(Duration::from_secs(60)).to_proto());
        orders.tell(OrderChange::Placed, early.clone()).await;
        orders.tell(OrderChange::Paid, early).await;
        assert!(becomes(&t, 1, FulfillmentState::Waiting).await);
        t.clock.advance(Duration::from_secs(60));
        assert!(becomes(&t, 1, FulfillmentState::Ready).await);

        let mut warehouse = server.retailer(RetailerRole::Warehouse);
        let work = warehouse.list_work(pb::ListWorkRequest::default()).await.expect("the queue").into_inner();
        let [job] = &work.fulfillments[..] else { panic!("one thing to do, not {work:?}") };
        let mut watched = server
            .feed(Claims::partner("gateway", &partner(1)))
            .watch_fulfillment_feed(pb::WatchFulfillmentFeedRequest::default())
            .await
            .expect("a partner watches")
            .into_inner();
        let draft = pb::ShipmentDraft { fulfillment_id: job.fulfillment_id.clone(), ..pb::ShipmentDraft::default() };
        let request = pb::CreateShipmentRequest { request_id: "r1".into(), draft: Some(draft) };
        let shipment = warehouse.create_shipment(request).await.expect("ships").into_inner().shipment;
        let event = pb::TrackingEvent {
            carrier_event_id: "e1".into(),
            status: pb::TrackingStatus::Delivered.into(),
            event_time: Some(t.clock.now().to_proto()),
            description: String::new(),
        };
        let request = pb::RecordTrackingRequest {
            request_id: "r2".into(),
            shipment_id: shipment.expect("a shipment").shipment_id,
            event: Some(event),
        };
        server.retailer(RetailerRole::Carrier).record_tracking(request).await.expect("delivered");
        assert!(becomes(&t, 1, FulfillmentState::Finished).await);

        let mut seen = Vec::new();
        while seen.len() < 6 {
            let page = watched.next().await.expect("more to come").expect("entries");
            seen.extend(page.entries);
        }
        assert_eq!(seen.iter().map(|entry| entry.meta.clone().expect("meta").partner_position).max(), Some(6));
        check_feed(&t).await;
        orders.end();
        server.stop().await;
        let end = watched.next().await.expect("a last word").expect_err("the server goes away");
        assert_eq!(end.code(), tonic::Code::Unavailable);
    }

    async fn an_order_that_cannot_be_read_is_parked_and_the_rest_goes_on(t: TestDb) {
        let theirs = t_of_orders(&t).await;
        let orders = Orders::new(&theirs);
        let house = house(&t);
        let wire = orders.wire(&house);
        let mut broken = order(1, &[1], t.clock.now());
        broken.lines.clear();
        orders.tell(OrderChange::Paid, broken.clone()).await;
        orders.tell(OrderChange::Paid, order(2, &[1], t.clock.now())).await;
        orders.tell(OrderChange::ContactSet, broken).await;
        orders.tell(OrderChange::Paid, order(3, &[1], t.clock.now())).await;
        let server = Server::start_with(&t, house, wire, Config::default(), true).await;
        assert!(becomes(&t, 2, FulfillmentState::Ready).await);
        assert!(becomes(&t, 3, FulfillmentState::Ready).await);
        let parked = store::consumer::parked(&t.db, &t.caller(), CONSUMER, 10).await.expect("what is parked");
        let orders_parked: Vec<&str> = parked.iter().map(|entry| entry.aggregate_id.as_str()).collect();
        assert_eq!(orders_parked, [order_id(1).as_str(); 2], "the broken one and what came behind it");
        orders.end();
        server.stop().await;
    }

    async fn a_feed_that_has_forgotten_is_made_up_for_by_the_list(t: TestDb) {
        let theirs = t_of_orders(&t).await;
        let orders = Orders::new(&theirs);
        let house = house(&t);
        let wire = orders.wire(&house);
        let server = Server::start_with(&t, house, wire, Config::default(), true).await;
        let mut waiting = order(1, &[1], t.clock.now());
        waiting.has_contact = false;
        orders.tell(OrderChange::Paid, waiting.clone()).await;
        assert!(becomes(&t, 1, FulfillmentState::Waiting).await);

        // While the feed begins anew, one order is paid, one gets its address, and one is half shipped.
        theirs.execute(NewEpoch).await.expect("a new life of the feed");
        waiting.has_contact = true;
        orders.list(waiting);
        let mut shipped = order(2, &[2], t.clock.now());
        shipped.lines[0].quantities.as_mut().expect("counters").shipped = 1;
        orders.list(shipped);
        orders.list(order(3, &[1], t.clock.now()));
        orders.tell(OrderChange::Placed, order(9, &[1], t.clock.now())).await;
        assert!(becomes(&t, 1, FulfillmentState::Ready).await);
        assert!(becomes(&t, 3, FulfillmentState::Ready).await);
        // And the feed goes on behind it.
        orders.tell(OrderChange::Paid, order(4, &[1], t.clock.now())).await;
        assert!(becomes(&t, 4, FulfillmentState::Ready).await);
        assert_eq!(story(&t).await.len(), 4, "the half shipped one was not let in");
        orders.end();
        server.stop().await;
    }
}

/// The database of the order service.
async fn t_of_orders(t: &TestDb) -> TestDb {
    TestDb::open(t.db.engine(), testkit::Setup::new())
        .await
        .expect("the engine was there a moment ago")
}
