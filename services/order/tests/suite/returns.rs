//! Goods that come back, as fulfilment's feed tells.

use std::time::Duration;

use contracts::common::v1 as common;
use contracts::fulfillment::v1 as fulfillment;
use contracts::fulfillment::v1::fulfillment_feed_entry::Content;
use contracts::id::kind;
use contracts::order::v1 as pb;
use contracts::order::v1::order_feed_entry::Content as OrderContent;
use testkit::{TestDb, on_both_engines};

use crate::progress::{Apply, Line, entry, tell, until};
use crate::refunds::{claims, refunds, report, reported};
use crate::world::{PRICE, World, listing_with, money, nth, refused, setup};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// The news of a return of the first line: so many units received, so many of them to be sold again.
pub fn news(
    placed: &pb::PlaceOrderResponse,
    number: u128,
    state: fulfillment::ReturnState,
    units: &[(usize, i64, i64)],
) -> fulfillment::FulfillmentFeedEntry {
    let line = |(at, received, restock): &(usize, i64, i64)| fulfillment::GoodsReturnLine {
        order_line_id: placed.lines[*at].order_line_id.clone(),
        received_quantity: *received,
        restock_quantity: *restock,
        ..Default::default()
    };
    let content = fulfillment::GoodsReturn {
        return_id: nth::<kind::Return>(number).into(),
        order_id: placed.order_id.clone(),
        state: state.into(),
        lines: units.iter().map(line).collect(),
        ..Default::default()
    };
    fulfillment::FulfillmentFeedEntry {
        meta: None,
        content: Some(Content::GoodsReturn(content)),
    }
}

async fn apply(world: &World, entry: fulfillment::FulfillmentFeedEntry) {
    world.t.execute(Apply(entry)).await.expect("applied");
}

fn delivered(units: i64) -> Line {
    Line {
        shipped: units,
        delivered: units,
        ..Line::default()
    }
}

async fn aftersale(world: &World, order_id: &str) -> pb::AftersaleState {
    world.get(order_id).await.aftersale_state()
}

on_both_engines! {
    setup: setup();

    async fn goods_that_come_back_are_paid_back_and_sold_again(t: TestDb) {
        let world = World::start_with(t, order::Config::default(), true).await;
        let allotments = world.stock(10).await;
        let placed = world.paid("o-1", &[(1, 3), (2, 1)]).await;
        tell(&world, &placed, &[delivered(3), delivered(1)]).await;
        let publish = |state, units: &[(usize, i64, i64)]| {
            world.fakes.fulfillment.publish(&placed.order_id, news(&placed, 1, state, units));
        };
        publish(fulfillment::ReturnState::Requested, &[(0, 0, 0), (1, 0, 0)]);
        until(&world, &placed.order_id, |order| order.aftersale_state() == pb::AftersaleState::ReturnOpen).await;
        publish(fulfillment::ReturnState::Approved, &[(0, 0, 0), (1, 0, 0)]);
        // Two of three come, one of them fit to be sold; the second line's unit is broken.
        publish(fulfillment::ReturnState::Received, &[(0, 2, 1), (1, 1, 0)]);
        until(&world, &placed.order_id, |order| order.aftersale_state() == pb::AftersaleState::Returned).await;
        let order = world.get(&placed.order_id).await;
        let counted = |at: usize| order.lines[at].quantities.expect("counters");
        assert_eq!((counted(0).returned, counted(1).returned, counted(0).refunded), (2, 1, 0));
        assert_eq!((order.state(), order.payment_state()), (pb::OrderState::Confirmed, pb::PaymentState::RefundDue));
        assert_eq!(order.refund_due, money(3 * PRICE));
        let found = refunds(&world, &placed.order_id).await;
        assert_eq!(found.len(), 1);
        let refund = found[0].clone();
        assert_eq!((refund.reason(), refund.state()), (pb::RefundReason::Returned, pb::RefundState::Authorised));
        assert_eq!(refund.return_id, nth::<kind::Return>(1).to_string());
        assert_eq!((refund.shopper_amount.clone(), refund.partner_amount.clone()), (money(3 * PRICE), money(0)));
        let quantities: Vec<i64> = refund.lines.iter().map(|line| line.quantity).collect();
        assert_eq!(quantities, [2, 1]);

        // What is sold again is a new supply; what was sold stays sold.
        let stock = world.get_allotment(&allotments[0]).await;
        assert_eq!((stock.supplied, stock.available, stock.sold), (11, 8, 3));
        let request = pb::ListMovementsRequest { allotment_id: allotments[0].clone(), ..Default::default() };
        let movements = world.ops().allotments.list_movements(request).await.expect("movements").into_inner().movements;
        // Movements of one millisecond are listed in any order.
        let restocks: Vec<_> = movements.iter().filter(|found| found.kind() == pb::MovementKind::Restock).collect();
        assert_eq!(restocks.iter().map(|found| found.quantity).collect::<Vec<_>>(), [1]);
        assert!(restocks[0].reason.contains(&refund.return_id), "{restocks:?}");
        assert_eq!(world.get_allotment(&allotments[1]).await.supplied, 10);

        // Told again, and told that it is paid back: nothing new.
        let before = world.feed(world.ops()).await.len();
        publish(fulfillment::ReturnState::Received, &[(0, 2, 1), (1, 1, 0)]);
        publish(fulfillment::ReturnState::Completed, &[(0, 2, 1), (1, 1, 0)]);
        // The last unit comes in a return of its own.
        world.fakes.fulfillment.publish(
            &placed.order_id, news(&placed, 2, fulfillment::ReturnState::Received, &[(0, 1, 1)]),
        );
        until(&world, &placed.order_id, |order| order.lines[0].quantities.expect("counters").returned == 3).await;
        assert_eq!(world.get_allotment(&allotments[0]).await.supplied, 12);
        let entries = world.feed(world.ops()).await;
        let new: Vec<_> = entries[before..].iter().map(|entry| entry.content.clone().expect("content")).collect();
        assert_eq!(new.len(), 3, "the order, the refund, the units: {new:?}");
        assert!(matches!(&new[0], OrderContent::OrderChanged(changed) if changed.change() == pb::OrderChange::Returned));

        for refund in refunds(&world, &placed.order_id).await {
            let said = claims(&world, &refund, "ref");
            reported(&world, report(&format!("r-{}", refund.return_id), &refund, &said)).await;
        }
        let order = world.get(&placed.order_id).await;
        assert_eq!((order.payment_state(), order.refunded.clone()), (pb::PaymentState::Refunded, money(4 * PRICE)));
        assert!(order.lines.iter().all(|line| {
            let counted = line.quantities.expect("counters");
            counted.refunded == counted.ordered
        }));
        world.stop().await;
    }

    async fn a_return_that_ends_without_goods_leaves_nothing(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        let placed = world.paid("o-1", &[(1, 3)]).await;
        apply(&world, entry(&placed, &[delivered(3)])).await;
        for (number, end) in [
            (1, fulfillment::ReturnState::Rejected),
            (2, fulfillment::ReturnState::Cancelled),
            (3, fulfillment::ReturnState::Expired),
        ] {
            apply(&world, news(&placed, number, fulfillment::ReturnState::Requested, &[(0, 0, 0)])).await;
            assert_eq!(aftersale(&world, &placed.order_id).await, pb::AftersaleState::ReturnOpen);
            apply(&world, news(&placed, number, end, &[(0, 0, 0)])).await;
            assert_eq!(aftersale(&world, &placed.order_id).await, pb::AftersaleState::None);
            // An older word that comes late does not open it again.
            apply(&world, news(&placed, number, fulfillment::ReturnState::Approved, &[(0, 0, 0)])).await;
            assert_eq!(aftersale(&world, &placed.order_id).await, pb::AftersaleState::None);
        }
        assert!(refunds(&world, &placed.order_id).await.is_empty());
        // What expired may come after all, and while another is under way.
        apply(&world, news(&placed, 4, fulfillment::ReturnState::Requested, &[(0, 0, 0)])).await;
        apply(&world, news(&placed, 3, fulfillment::ReturnState::Received, &[(0, 1, 0)])).await;
        assert_eq!(aftersale(&world, &placed.order_id).await, pb::AftersaleState::ReturnOpen);
        apply(&world, news(&placed, 4, fulfillment::ReturnState::Cancelled, &[(0, 0, 0)])).await;
        assert_eq!(aftersale(&world, &placed.order_id).await, pb::AftersaleState::Returned);
        assert_eq!(refunds(&world, &placed.order_id).await.len(), 1);
    }

    async fn goods_for_which_nothing_was_paid_come_back_too(t: TestDb) {
        let world = World::start(t).await;
        let allotments = world.stock(10).await;
        // Three for a cent: the share of the first unit is nothing, that of all three is the cent.
        world.enter_listing(listing_with(1, |terms| {
            terms.price = Some(common::Price { amount: money(1), per_quantity: 3 });
        })).await;
        let request = pb::PlaceOrderRequest { expected_payable: money(1), ..world.order("o-1", &[(1, 3)]) };
        let placed = world.partner(1).orders.place_order(request).await.expect("placed").into_inner();
        world.pay(&world.payment(1, &placed.order_id, "p", 1)).await;
        apply(&world, entry(&placed, &[delivered(3)])).await;
        apply(&world, news(&placed, 1, fulfillment::ReturnState::Received, &[(0, 1, 1)])).await;
        let found = refunds(&world, &placed.order_id).await;
        assert_eq!((found.len(), found[0].state()), (1, pb::RefundState::Executed));
        assert_eq!((found[0].shopper_amount.clone(), found[0].partner_amount.clone()), (money(0), money(0)));
        assert!(found[0].finish_time.is_some() && found[0].refund_reference.is_empty());
        let order = world.get(&placed.order_id).await;
        let counted = order.lines[0].quantities.expect("counters");
        assert_eq!((order.payment_state(), counted.returned, counted.refunded), (pb::PaymentState::Paid, 1, 1));
        assert_eq!(world.get_allotment(&allotments[0]).await.supplied, 11);
        // There is nothing to report of it.
        let said = claims(&world, &found[0], "ref");
        let answer = world.partner(1).orders.report_refund(report("r", &found[0], &said)).await;
        refused(answer, "REFUND_CONTRADICTED", tonic::Code::FailedPrecondition);

        apply(&world, news(&placed, 2, fulfillment::ReturnState::Received, &[(0, 2, 0)])).await;
        let found = refunds(&world, &placed.order_id).await;
        let cent = found.iter().find(|refund| refund.state() == pb::RefundState::Authorised).expect("the cent");
        reported(&world, report("r-2", cent, &claims(&world, cent, "ref"))).await;
        let order = world.get(&placed.order_id).await;
        assert_eq!((order.payment_state(), order.refunded.clone()), (pb::PaymentState::Refunded, money(1)));
        assert_eq!(order.lines[0].quantities.expect("counters").refunded, 3);
    }

    async fn two_replicas_that_bring_the_same_do_it_once(t: TestDb) {
        let world = World::start(t).await;
        let allotments = world.stock(10).await;
        let placed = world.paid("o-1", &[(1, 3)]).await;
        // SQLite has one writer, so there the replicas are two in name only.
        let other = match world.t.engine() {
            store::Engine::Sqlite => world.t.db.clone(),
            store::Engine::Postgres => world.t.reopen().await,
        };
        apply(&world, entry(&placed, &[delivered(3)])).await;
        let words = [
            news(&placed, 1, fulfillment::ReturnState::Requested, &[(0, 0, 0)]),
            entry(&placed, &[delivered(2)]),
            news(&placed, 1, fulfillment::ReturnState::Received, &[(0, 2, 2)]),
            news(&placed, 1, fulfillment::ReturnState::Completed, &[(0, 2, 2)]),
            entry(&placed, &[delivered(3)]),
        ];
        let caller = kit::caller::Caller::system("test");
        // Each reads the list from another place, both at once, more than once.
        let calls = (0..20).map(|at| {
            let (db, caller) = (if at % 2 == 0 { &world.t.db } else { &other }, &caller);
            let word = words[(at / 2 + at % 2 * 3) % words.len()].clone();
            async move { db.execute(caller, Apply(word)).await }
        });
        for answer in futures::future::join_all(calls).await {
            answer.expect("applied, or known");
        }
        let order = world.get(&placed.order_id).await;
        let counted = order.lines[0].quantities.expect("counters");
        assert_eq!((order.aftersale_state(), counted.returned), (pb::AftersaleState::Returned, 2));
        assert_eq!(order.refund_due, money(2 * PRICE));
        assert_eq!(refunds(&world, &placed.order_id).await.len(), 1);
        assert_eq!(world.get_allotment(&allotments[0]).await.supplied, 12);
    }

    async fn what_cannot_come_back_is_refused_and_changes_nothing(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        let (placed, other) = (world.paid("o-1", &[(1, 3)]).await, world.paid("o-2", &[(1, 1)]).await);
        apply(&world, entry(&placed, &[delivered(2)])).await;
        let before = world.get(&placed.order_id).await;
        let received = fulfillment::ReturnState::Received;
        let mut foreign = news(&placed, 5, received, &[(0, 1, 0)]);
        if let Some(Content::GoodsReturn(found)) = &mut foreign.content {
            found.lines[0].order_line_id = other.lines[0].order_line_id.clone();
        }
        let mut unknown = news(&placed, 6, received, &[(0, 1, 0)]);
        if let Some(Content::GoodsReturn(found)) = &mut unknown.content {
            found.order_id = nth::<kind::Order>(4_242).into();
        }
        for wrong in [
            news(&placed, 1, received, &[(0, 3, 0)]),
            news(&placed, 2, received, &[(0, 1, 2)]),
            news(&placed, 3, received, &[(0, -1, 0)]),
            news(&placed, 4, received, &[(0, i64::MAX, 0), (0, i64::MAX, 0)]),
            foreign,
            unknown,
        ] {
            world.t.execute(Apply(wrong)).await.expect_err("cannot be");
        }
        assert_eq!(world.get(&placed.order_id).await, before);
        assert!(refunds(&world, &placed.order_id).await.is_empty());
    }

    async fn an_order_is_not_complete_while_a_return_is_under_way(t: TestDb) {
        let world = World::start_with(t, order::Config::default(), true).await;
        world.stock(10).await;
        let (waits, goes) = (world.paid("o-1", &[(1, 1)]).await, world.paid("o-2", &[(1, 1)]).await);
        tell(&world, &waits, &[delivered(1)]).await;
        tell(&world, &goes, &[delivered(1)]).await;
        let publish = |number, state, units: &[(usize, i64, i64)]| {
            world.fakes.fulfillment.publish(&waits.order_id, news(&waits, number, state, units));
        };
        publish(1, fulfillment::ReturnState::Approved, &[(0, 0, 0)]);
        until(&world, &waits.order_id, |order| order.aftersale_state() == pb::AftersaleState::ReturnOpen).await;
        world.advance(14 * DAY + Duration::from_secs(1));
        until(&world, &goes.order_id, |order| order.state() == pb::OrderState::Completed).await;
        assert_eq!(world.get(&waits.order_id).await.state(), pb::OrderState::Confirmed);
        publish(1, fulfillment::ReturnState::Expired, &[(0, 0, 0)]);
        until(&world, &waits.order_id, |order| order.state() == pb::OrderState::Completed).await;
        // It came after all: care takes it, and a completed order stays complete.
        publish(1, fulfillment::ReturnState::Received, &[(0, 1, 1)]);
        until(&world, &waits.order_id, |order| order.aftersale_state() == pb::AftersaleState::Returned).await;
        assert_eq!(world.get(&waits.order_id).await.state(), pb::OrderState::Completed);
        assert_eq!(refunds(&world, &waits.order_id).await.len(), 1);
        world.stop().await;
    }

    async fn is_read_from_the_lists_when_the_feed_has_forgotten(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        let placed = world.paid("o-1", &[(1, 3)]).await;
        let received = news(&placed, 1, fulfillment::ReturnState::Completed, &[(0, 2, 2)]);
        let open = news(&placed, 2, fulfillment::ReturnState::Requested, &[(0, 0, 0)]);
        let (Some(Content::GoodsReturn(received)), Some(Content::GoodsReturn(open))) =
            (received.content, open.content) else { panic!("no returns") };
        let Some(Content::Fulfillment(come)) = entry(&placed, &[delivered(3)]).content else { panic!("no fulfilment") };
        let world = world.again(order::Config::default(), |fakes| {
            fakes.fulfillment.publish(&placed.order_id, fulfillment::FulfillmentFeedEntry::default());
            fakes.fulfillment.forget();
            let mut lists = fakes.lists.lock().expect("the lists");
            lists.fulfillments = vec![come];
            lists.returns = vec![received, open];
        })
        .await;
        until(&world, &placed.order_id, |order| {
            order.aftersale_state() == pb::AftersaleState::ReturnOpen
                && order.lines[0].quantities.expect("counters").returned == 2
        })
        .await;
        assert_eq!(refunds(&world, &placed.order_id).await.len(), 1);
        // And the feed goes on from there.
        world.fakes.fulfillment.publish(
            &placed.order_id, news(&placed, 2, fulfillment::ReturnState::Received, &[(0, 1, 0)]),
        );
        until(&world, &placed.order_id, |order| order.aftersale_state() == pb::AftersaleState::Returned).await;
        world.stop().await;
    }

    async fn parts_of_a_line_sum_to_the_line(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        // 10.00 for three with 4.90 of shipping in it, and 50 cents from the partner: nothing divides evenly.
        world.enter_listing(listing_with(1, |terms| {
            terms.price = Some(common::Price { amount: money(1_000), per_quantity: 3 });
            terms.shipping = money(490);
        })).await;
        let mut request = world.order("o-1", &[(1, 3)]);
        request.lines[0].partner_discount = money(50);
        request.expected_payable = money(1_440);
        let placed = world.partner(1).orders.place_order(request).await.expect("placed").into_inner();
        world.pay(&world.payment(1, &placed.order_id, "p", 1_440)).await;
        apply(&world, entry(&placed, &[delivered(3)])).await;
        for number in 1..=3 {
            apply(&world, news(&placed, number, fulfillment::ReturnState::Received, &[(0, 1, 0)])).await;
        }
        let found = refunds(&world, &placed.order_id).await;
        let units = |amount: &Option<common::Money>| amount.as_ref().expect("an amount").minor_units;
        let mut shares: Vec<(i64, i64)> =
            found.iter().map(|refund| (units(&refund.shopper_amount), units(&refund.partner_amount))).collect();
        shares.sort_unstable();
        assert_eq!(shares, [(480, 16), (480, 17), (480, 17)]);
    }
}
