//! The service's feed: partners see their own, without a gap; units are the retailer's.

use contracts::order::v1 as pb;
use contracts::order::v1::order_feed_entry::Content;
use testkit::{TestDb, on_both_engines};
use tonic::Code;

use crate::world::{World, partner, refused, setup};

on_both_engines! {
    setup: setup();

    async fn everybody_sees_their_own(t: TestDb) {
        let world = World::start(t).await;
        let allotments = world.stock(5).await;
        world.paid("o-1", &[(1, 1)]).await;
        world.partner(2).orders.place_order(world.order("o-1", &[(3, 1)])).await.expect("placed");
        let top_up = pb::RecordMovementRequest {
            request_id: "m".into(), allotment_id: allotments[0].clone(), kind: pb::MovementKind::TopUp.into(),
            quantity: 2, reason: "more".into(),
        };
        world.ops().allotments.record_movement(top_up).await.expect("moved");

        let all = world.feed(world.ops()).await;
        for (position, entry) in (1..).zip(&all) {
            assert_eq!(entry.meta.as_ref().expect("meta").position, position);
        }
        let stock: Vec<&pb::StockChanged> = all.iter().filter_map(|entry| match &entry.content {
            Some(Content::StockChanged(stock)) => Some(stock),
            _ => None,
        }).collect();
        // Two allotments with two listings each, and the movement.
        assert_eq!(stock.len(), 7);
        let last = stock.last().expect("the movement");
        assert_eq!((last.supplied, last.available, last.held, last.sold), (7, 5, 1, 1));

        for at in [1, 2] {
            let own = world.feed(world.partner(at)).await;
            assert_eq!(own.len(), if at == 1 { 3 } else { 1 });
            for (position, entry) in (1..).zip(&own) {
                let meta = entry.meta.as_ref().expect("meta");
                assert_eq!((meta.position, meta.partner_position), (0, position));
                assert_eq!(meta.partner_id, partner(at).as_str());
                assert!(!matches!(entry.content, Some(Content::StockChanged(_))));
            }
        }
    }

    async fn a_watcher_hears_of_what_comes(t: TestDb) {
        let world = World::start(t).await;
        world.stock(5).await;
        let mut clients = world.partner(1);
        let request = pb::WatchOrderFeedRequest { cursor: String::new() };
        let mut pages = clients.feed.watch_order_feed(request).await.expect("watched").into_inner();
        let placed = world.place("o-1", &[(1, 1)]).await;
        let page = pages.message().await.expect("no error").expect("a page");
        let Some(Content::OrderChanged(changed)) = &page.entries[0].content else { panic!("{page:?}") };
        assert_eq!(changed.change(), pb::OrderChange::Placed);
        assert_eq!(changed.order.as_ref().expect("an order").order_id, placed.order_id);
        let foreign = pb::ListOrderFeedRequest {
            cursor: page.entries[0].meta.as_ref().expect("meta").cursor.clone(), page_size: 0,
        };
        refused(world.partner(2).feed.list_order_feed(foreign).await, "BAD_CURSOR", Code::InvalidArgument);
        drop(pages);
        world.stop().await;
    }
}
