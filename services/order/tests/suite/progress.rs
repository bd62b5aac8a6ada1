//! What fulfilment tells, through its feed.

use std::sync::Arc;
use std::time::Duration;

use contracts::fulfillment::v1 as fulfillment;
use contracts::fulfillment::v1::fulfillment_feed_entry::Content;
use contracts::order::v1 as pb;
use contracts::order::v1::order_feed_entry::Content as OrderContent;
use kit::caller::Caller;
use order::events::fulfillment::FulfillmentProgress;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use store::consumer::Consume;
use store::{Operation, Tx};
use testkit::{TestDb, eventually_async, on_both_engines};

use crate::world::{PRICE, World, listing_with, money, setup};

const BOUND: Duration = Duration::from_secs(20);

/// How far a line has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    pub cancelled: i64,
    pub shipped: i64,
    pub delivered: i64,
    pub undelivered: i64,
}

/// A fulfilment of an order whose lines have come this far.
pub fn entry(placed: &pb::PlaceOrderResponse, lines: &[Line]) -> fulfillment::FulfillmentFeedEntry {
    let lines = placed
        .lines
        .iter()
        .zip(lines)
        .map(|(line, come)| fulfillment::FulfillmentLine {
            order_line_id: line.order_line_id.clone(),
            quantities: Some(pb::LineQuantities {
                ordered: line.quantities.expect("counters").ordered,
                cancelled: come.cancelled,
                shipped: come.shipped,
                delivered: come.delivered,
                undelivered: come.undelivered,
                ..Default::default()
            }),
            ..Default::default()
        });
    let content = fulfillment::Fulfillment {
        order_id: placed.order_id.clone(),
        lines: lines.collect(),
        ..Default::default()
    };
    fulfillment::FulfillmentFeedEntry {
        meta: None,
        content: Some(Content::Fulfillment(content)),
    }
}

/// The decision that comes before it.
pub fn decided(
    placed: &pb::PlaceOrderResponse,
    reason: pb::CancelReason,
    quantity: i64,
) -> fulfillment::FulfillmentFeedEntry {
    let content = fulfillment::CancelDecided {
        order_id: placed.order_id.clone(),
        decision: fulfillment::CancelDecision::Cancelled.into(),
        lines: vec![pb::LineQuantity {
            order_line_id: placed.lines[0].order_line_id.clone(),
            quantity,
        }],
        reason: reason.into(),
    };
    fulfillment::FulfillmentFeedEntry {
        meta: None,
        content: Some(Content::CancelDecided(content)),
    }
}

/// Tells how far an order has come, and waits until the service knows.
pub async fn tell(world: &World, placed: &pb::PlaceOrderResponse, lines: &[Line]) {
    world
        .fakes
        .fulfillment
        .publish(&placed.order_id, entry(placed, lines));
    let lines = lines.to_vec();
    until(world, &placed.order_id, |order| {
        order.lines.iter().zip(&lines).all(|(line, come)| {
            let known = line.quantities.expect("counters");
            known.cancelled == come.cancelled
                && known.shipped == come.shipped
                && known.delivered == come.delivered
                && known.undelivered == come.undelivered
        })
    })
    .await;
}

pub async fn until(world: &World, order_id: &str, passes: impl Fn(&pb::Order) -> bool) {
    let seen = eventually_async(BOUND, || async { passes(&world.get(order_id).await) }).await;
    assert!(seen, "{:?}", world.get(order_id).await);
}

/// The same without a feed: one entry in one unit of work.
pub struct Apply(pub fulfillment::FulfillmentFeedEntry);

impl Operation for Apply {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.apply"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), kit::errors::Fault> {
        FulfillmentProgress::new(Duration::from_secs(14 * 24 * 3_600))
            .apply(tx, &self.0)
            .await
    }
}

async fn refunds(world: &World) -> Vec<pb::Refund> {
    let request = pb::ListRefundsRequest {
        page_size: 200,
        ..Default::default()
    };
    world
        .ops()
        .orders
        .list_refunds(request)
        .await
        .expect("refunds")
        .into_inner()
        .refunds
}

on_both_engines! {
    setup: setup();

    async fn cancelled_units_are_paid_back_and_sold_again(t: TestDb) {
        let world = World::start_with(t, order::Config::default(), true).await;
        let allotments = world.stock(10).await;
        let placed = world.paid("o-1", &[(1, 3), (2, 1)]).await;
        world.fakes.fulfillment.publish(&placed.order_id, decided(&placed, pb::CancelReason::Shortage, 1));
        tell(&world, &placed, &[Line { cancelled: 1, ..Line::default() }, Line::default()]).await;

        let order = world.get(&placed.order_id).await;
        assert_eq!((order.state(), order.payment_state()), (pb::OrderState::Confirmed, pb::PaymentState::RefundDue));
        assert_eq!((order.cancel_reason(), order.refund_due.clone()), (pb::CancelReason::Shortage, money(PRICE)));
        let found = refunds(&world).await;
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].reason(), found[0].state()), (pb::RefundReason::LinesCancelled, pb::RefundState::Authorised));
        assert_eq!((found[0].shopper_amount.clone(), found[0].partner_amount.clone()), (money(PRICE), money(0)));
        assert_eq!(found[0].payment_reference, "pay-o-1");
        assert_eq!(found[0].lines[0].quantity, 1);
        let stock = world.get_allotment(&allotments[0]).await;
        assert_eq!((stock.available, stock.sold, stock.listings[0].taken), (8, 2, 2));

        tell(&world, &placed, &[Line { cancelled: 3, ..Line::default() }, Line { cancelled: 1, ..Line::default() }]).await;
        let order = world.get(&placed.order_id).await;
        assert_eq!((order.state(), order.refund_due.clone()), (pb::OrderState::Cancelled, money(4 * PRICE)));
        assert_eq!(world.get_allotment(&allotments[0]).await.available, 10);
        assert_eq!(world.get_allotment(&allotments[1]).await.available, 10);
        // The partner heard of all of it.
        let entries = world.feed(world.partner(1)).await;
        let changes = entries.iter().filter(|entry| {
            matches!(&entry.content, Some(OrderContent::OrderChanged(changed)) if changed.change() == pb::OrderChange::LinesCancelled)
        });
        assert_eq!(changes.count(), 2);
        world.stop().await;
    }

    async fn a_limit_per_shopper_counts_what_was_not_cancelled(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        world.enter_listing(listing_with(1, |terms| terms.per_shopper_limit = 2)).await;
        let placed = world.paid("o-1", &[(1, 2)]).await;
        let again = world.order("o-2", &[(1, 1)]);
        let mut partner = world.partner(1);
        crate::world::refused(
            partner.orders.place_order(again.clone()).await, "LIMIT_EXCEEDED", tonic::Code::FailedPrecondition,
        );
        world.t.execute(Apply(entry(&placed, &[Line { cancelled: 1, ..Line::default() }]))).await.expect("applied");
        partner.orders.place_order(again).await.expect("one is free again");
    }

    async fn a_lost_parcel_is_paid_back_and_stays_sold(t: TestDb) {
        let world = World::start_with(t, order::Config::default(), true).await;
        let allotments = world.stock(10).await;
        let placed = world.paid("o-1", &[(1, 2)]).await;
        tell(&world, &placed, &[Line { shipped: 2, delivered: 1, undelivered: 1, ..Line::default() }]).await;
        let order = world.get(&placed.order_id).await;
        assert_eq!(order.fulfillment_state(), pb::FulfillmentState::Undelivered);
        assert_eq!((order.payment_state(), order.refund_due.clone()), (pb::PaymentState::RefundDue, money(PRICE)));
        assert_eq!(refunds(&world).await[0].reason(), pb::RefundReason::Undelivered);
        assert_eq!(world.get_allotment(&allotments[0]).await.sold, 2);
        // One unit arrived and may come back, so the window counts; where nothing arrived, nothing waits.
        let lost = world.paid("o-2", &[(1, 1)]).await;
        tell(&world, &lost, &[Line { shipped: 1, undelivered: 1, ..Line::default() }]).await;
        until(&world, &lost.order_id, |order| order.state() == pb::OrderState::Completed).await;
        assert_eq!(world.get(&placed.order_id).await.state(), pb::OrderState::Confirmed);
        world.advance(Duration::from_secs(14 * 24 * 3_600 + 1));
        until(&world, &placed.order_id, |order| order.state() == pb::OrderState::Completed).await;
        world.stop().await;
    }

    async fn blocks_that_people_set_show_on_the_order(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        let placed = world.paid("o-1", &[(1, 1)]).await;
        let mut blocked = entry(&placed, &[Line::default()]);
        let Some(Content::Fulfillment(fulfillment)) = &mut blocked.content else { panic!("{blocked:?}") };
        fulfillment.ship_blocks =
            vec![pb::ShipBlock::Fraud.into(), pb::ShipBlock::Remorse.into(), pb::ShipBlock::Inspection.into()];
        let before = world.get(&placed.order_id).await;
        world.t.execute(Apply(blocked)).await.expect("applied");
        let after = world.get(&placed.order_id).await;
        assert_ne!(after.etag, before.etag);
        assert_eq!(
            after.ship_blocks().collect::<Vec<_>>(),
            [pb::ShipBlock::Fraud, pb::ShipBlock::AddressMissing, pb::ShipBlock::Inspection]
        );
        world.t.execute(Apply(entry(&placed, &[Line::default()]))).await.expect("lifted");
        assert_eq!(world.get(&placed.order_id).await.ship_blocks().collect::<Vec<_>>(), [pb::ShipBlock::AddressMissing]);
        // What has shipped is blocked by nothing.
        world.t.execute(Apply(entry(&placed, &[Line { shipped: 1, ..Line::default() }]))).await.expect("shipped");
        assert!(world.get(&placed.order_id).await.ship_blocks.is_empty());
    }

    async fn telling_the_same_twice_changes_nothing(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        let placed = world.paid("o-1", &[(1, 2)]).await;
        let come = entry(&placed, &[Line { shipped: 1, cancelled: 1, ..Line::default() }]);
        world.t.execute(Apply(come.clone())).await.expect("applied");
        let (order, entries) = (world.get(&placed.order_id).await, world.feed(world.ops()).await.len());
        world.t.execute(Apply(come)).await.expect("nothing new");
        // What was told before is no step back.
        world.t.execute(Apply(entry(&placed, &[Line::default()]))).await.expect("nothing new");
        assert_eq!((world.get(&placed.order_id).await, world.feed(world.ops()).await.len()), (order, entries));
        assert_eq!(refunds(&world).await.len(), 1);
    }

    async fn what_cannot_be_is_put_aside_and_the_rest_goes_on(t: TestDb) {
        let world = World::start_with(t, order::Config::default(), true).await;
        world.stock(10).await;
        let (wrong, right) = (world.paid("o-1", &[(1, 1)]).await, world.paid("o-2", &[(1, 1)]).await);
        let impossible = entry(&wrong, &[Line { shipped: 2, ..Line::default() }]);
        world.fakes.fulfillment.publish(&wrong.order_id, impossible);
        tell(&world, &right, &[Line { shipped: 1, ..Line::default() }]).await;
        assert_eq!(world.get(&wrong.order_id).await.fulfillment_state(), pb::FulfillmentState::Unfulfilled);
        let caller = Caller::system("test");
        let parked = store::consumer::parked(&world.t.db, &caller, "fulfillment-feed", 10).await.expect("parked entries");
        assert_eq!(parked.len(), 1);
        world.stop().await;
    }

    async fn refunds_add_up_to_what_was_paid(t: TestDb) {
        let world = World::start(t).await;
        world.stock(1_000).await;
        // 9.99 for three, and the partner takes something off: nothing divides evenly.
        world.enter_listing(listing_with(1, |terms| {
            let price = contracts::common::v1::Price { amount: money(999), per_quantity: 3 };
            terms.price = Some(price);
        })).await;
        let mut runner = TestRunner::deterministic();
        for round in 0..12 {
            let (quantity, discount) = (1i64..8, 0i64..200).new_tree(&mut runner).expect("numbers").current();
            let mut request = world.order(&format!("o-{round}"), &[(1, quantity), (2, 2)]);
            request.lines[0].partner_discount = money(discount.min(quantity * 333 - 1));
            request.lines[1].partner_discount = money(7);
            request.expected_payable = None;
            let quote = pb::QuoteOrderRequest {
                lines: request.lines.clone(), destination: request.destination.clone(), shopper_ref: String::new(),
            };
            let mut partner = world.partner(1);
            request.quote_token = partner.orders.quote_order(quote).await.expect("a quote").into_inner().quote_token;
            let placed = partner.orders.place_order(request).await.expect("placed").into_inner();
            let amount = placed.amount.clone().expect("an amount");
            let payable = amount.payable.expect("payable").minor_units;
            let paid = world.payment(1, &placed.order_id, "p", payable);
            partner.orders.confirm_payment(paid).await.expect("recorded");

            let (mut come, mut back) = ([Line::default(); 2], (0, 0));
            for _ in 0..(quantity + 2) {
                let pick: (bool, bool) = any::<(bool, bool)>().new_tree(&mut runner).expect("a pick").current();
                let wanted = usize::from(pick.0);
                let left = |line: &Line, of: i64| of - line.cancelled - line.undelivered;
                let at = if left(&come[wanted], [quantity, 2][wanted]) > 0 { wanted } else { 1 - wanted };
                if pick.1 {
                    come[at].cancelled += 1;
                } else {
                    come[at].shipped += 1;
                    come[at].undelivered += 1;
                }
                world.t.execute(Apply(entry(&placed, &come))).await.expect("applied");
                let request = pb::ListRefundsRequest {
                    order_id: placed.order_id.clone(), page_size: 200, ..Default::default()
                };
                let refunds = partner.orders.list_refunds(request).await.expect("refunds").into_inner().refunds;
                let sum = |of: fn(&pb::Refund) -> &Option<contracts::common::v1::Money>| {
                    refunds.iter().map(|refund| of(refund).as_ref().expect("an amount").minor_units).sum::<i64>()
                };
                back = (sum(|refund| &refund.shopper_amount), sum(|refund| &refund.partner_amount));
                let discounts = amount.partner_discount.as_ref().expect("discounts").minor_units;
                assert!(back.0 <= payable && back.1 <= discounts);
                let due = world.get(&placed.order_id).await.refund_due.expect("a sum").minor_units;
                assert_eq!(due, back.0);
            }
            assert_eq!(back, (payable, amount.partner_discount.expect("discounts").minor_units));
        }
    }

    async fn cancels_beside_sales_lose_no_unit(t: TestDb) {
        let world = Arc::new(World::start(t).await);
        let allotments = world.stock(400).await;
        let mut shops = Vec::new();
        for shop in 0..6 {
            let world = world.clone();
            shops.push(kit::spawn("shop", async move {
                let mut placed = Vec::new();
                for number in 0..10 {
                    // Lines in either order, so that only sorted locks keep everybody from waiting crosswise.
                    let lines = if (shop + number) % 2 == 0 { [(1, 2), (2, 1)] } else { [(2, 1), (1, 2)] };
                    placed.push(world.paid(&format!("o-{shop}-{number}"), &lines).await);
                    if let Some(earlier) = placed.get(number / 2) {
                        let cancelled = Line { cancelled: 1, ..Line::default() };
                        let apply = Apply(entry(earlier, &[cancelled, cancelled]));
                        world.t.execute(apply).await.expect("applied in the end");
                    }
                }
                placed
            }));
        }
        let (mut sold, mut orders) = ([0, 0], Vec::new());
        for shop in shops {
            orders.extend(shop.await.expect("no panic"));
        }
        for placed in orders {
            for line in &world.get(&placed.order_id).await.lines {
                let counted = line.quantities.expect("counters");
                let variant = usize::from(line.listing_id != crate::world::listing_id(1).to_string());
                sold[variant] += counted.ordered - counted.cancelled;
            }
        }
        for (allotment_id, sold) in allotments.iter().zip(sold) {
            let stock = world.get_allotment(allotment_id).await;
            assert_eq!((stock.sold, stock.held, stock.available), (sold, 0, 400 - sold));
            assert_eq!(stock.listings.iter().map(|listing| listing.taken).sum::<i64>(), sold);
        }
    }
}
