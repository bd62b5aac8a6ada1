//! Units are cancelled, in time or too late, or before their order has arrived.

use std::time::Duration;

use contracts::ErrorReason;
use contracts::fulfillment::v1::fulfillment_feed_entry::Content;
use fulfillment::model::{CancelDecision, FulfillmentState};
use fulfillment::ops::cancel::Cancel;
use fulfillment::ops::sweep::ForgetTombstones;
use testkit::{TestDb, on_both_engines};

use crate::common::*;

async fn cancel(
    t: &TestDb,
    order: u128,
    lines: Vec<fulfillment::model::LineQuantity>,
) -> CancelDecision {
    t.execute(cancel_op(order, lines))
        .await
        .expect("a decision")
}

on_both_engines! {
    setup: setup();

    async fn what_is_not_shipped_can_be_cancelled(t: TestDb) {
        let fulfillment = paid(&t, 1, &[3, 1]).await;
        assert_eq!(cancel(&t, 1, vec![units(1, 1, 1)]).await, CancelDecision::Cancelled);
        ship(&t, &fulfillment.id, vec![units(1, 1, 1)]).await.expect("one of two");
        let before = of_order(&t, order_id(1)).await;
        assert_eq!(cancel(&t, 1, vec![units(1, 2, 1), units(1, 1, 2)]).await, CancelDecision::TooLate);
        assert_eq!(of_order(&t, order_id(1)).await, before, "nothing was cancelled");
        let over = t.execute(cancel_op(1, vec![units(1, 1, 3)])).await.expect_err("never so many");
        assert_eq!(over.refusal().map(|refusal| refusal.reason), Some(ErrorReason::OverQuantity));
        let unknown = t.execute(cancel_op(1, vec![units(9, 9, 1)])).await.expect_err("no such line");
        assert_eq!(unknown.refusal().map(|refusal| refusal.reason), Some(ErrorReason::InvalidField));
        assert_eq!(cancel(&t, 1, vec![]).await, CancelDecision::Cancelled);
        assert_eq!(of_order(&t, order_id(1)).await.state, FulfillmentState::Shipped);
        assert_eq!(cancel(&t, 1, vec![]).await, CancelDecision::TooLate);
        assert_eq!(
            story(&t).await,
            [
                "fulfillment READY", "cancel CANCELLED", "fulfillment READY", "shipment SHIPPED",
                "fulfillment IN_PROGRESS", "cancel TOO_LATE", "cancel CANCELLED", "fulfillment SHIPPED", "cancel TOO_LATE",
            ]
        );
        check_feed(&t).await;
    }

    async fn a_wholly_cancelled_order_is_over(t: TestDb) {
        let fulfillment = paid(&t, 1, &[3]).await;
        assert_eq!(cancel(&t, 1, vec![]).await, CancelDecision::Cancelled);
        assert_eq!(of_order(&t, order_id(1)).await.state, FulfillmentState::Cancelled);
        assert_eq!(cancel(&t, 1, vec![]).await, CancelDecision::Cancelled, "it will not ship, as was asked");
        let fault = ship(&t, &fulfillment.id, vec![]).await.expect_err("cancelled");
        assert_eq!(fault.refusal().map(|refusal| refusal.reason), Some(ErrorReason::WrongState));
        assert_eq!(story(&t).await, ["fulfillment READY", "cancel CANCELLED", "fulfillment CANCELLED"]);
    }

    async fn another_partners_order_is_no_order(t: TestDb) {
        paid(&t, 1, &[1]).await;
        let foreign = Cancel { partner_id: Some(partner(2)), ..cancel_op(1, vec![]) };
        let fault = t.execute(foreign).await.expect_err("foreign");
        assert_eq!(fault.refusal(), Some(&kit::errors::Refusal::not_found("order")));
        let anyone = Cancel { partner_id: None, ..cancel_op(1, vec![]) };
        assert_eq!(t.execute(anyone).await.expect("a decision"), CancelDecision::Cancelled);
    }

    async fn a_cancellation_ahead_of_its_order_is_decided_when_it_arrives(t: TestDb) {
        assert_eq!(cancel(&t, 1, vec![units(1, 1, 2)]).await, CancelDecision::Pending);
        assert_eq!(cancel(&t, 1, vec![units(1, 1, 9)]).await, CancelDecision::Pending);
        let foreign = Cancel { partner_id: Some(partner(2)), ..cancel_op(1, vec![]) };
        assert_eq!(t.execute(foreign).await.expect("nobody knows yet"), CancelDecision::Pending);
        let one_more = t.execute(cancel_op(1, vec![])).await.expect_err("three wait");
        assert_eq!(one_more.refusal().map(|refusal| refusal.reason), Some(ErrorReason::WrongState));
        assert_eq!(feed(&t).await.len(), 0);
        let arrived = paid(&t, 1, &[3]).await;
        assert_eq!((arrived.lines[0].cancelled, arrived.state), (2, FulfillmentState::Ready));
        // What could never be done is answered with a no; what was another partner's wish with nothing.
        assert_eq!(story(&t).await, ["cancel CANCELLED", "cancel TOO_LATE", "fulfillment READY"]);
        assert_eq!(cancel(&t, 1, vec![]).await, CancelDecision::Cancelled);
        check_feed(&t).await;
    }

    async fn a_whole_cancellation_ahead_of_its_order_leaves_nothing_to_ship(t: TestDb) {
        assert_eq!(cancel(&t, 1, vec![]).await, CancelDecision::Pending);
        assert_eq!(cancel(&t, 1, vec![]).await, CancelDecision::Pending);
        let arrived = paid(&t, 1, &[3, 1]).await;
        assert_eq!(arrived.state, FulfillmentState::Cancelled);
        let entries = feed(&t).await;
        let Some(Content::CancelDecided(decided)) = &entries[0].content else { panic!("a decision first") };
        assert_eq!(decided.lines.iter().map(|part| part.quantity).collect::<Vec<_>>(), [3, 1]);
        assert_eq!(story(&t).await, ["cancel CANCELLED", "fulfillment CANCELLED"], "told once");
    }

    async fn an_unknown_order_needs_its_partner_and_is_forgotten_one_day(t: TestDb) {
        let nobody = Cancel { partner_id: None, ..cancel_op(1, vec![]) };
        let fault = t.execute(nobody).await.expect_err("whose is it?");
        assert_eq!(fault.refusal().map(|refusal| refusal.violations[0].field.as_str()), Some("partner_id"));
        assert_eq!(cancel(&t, 1, vec![]).await, CancelDecision::Pending);
        let keep = Duration::from_secs(60);
        let forget = || ForgetTombstones { keep, rows_max: 10 };
        assert_eq!(t.execute(forget()).await.expect("swept"), 0);
        t.clock.advance(keep + Duration::from_secs(1));
        assert_eq!(t.execute(forget()).await.expect("swept"), 1);
        assert_eq!(paid(&t, 1, &[1]).await.state, FulfillmentState::Ready);
        t.clock.advance(keep * 2);
        assert_eq!(t.execute(forget()).await.expect("swept"), 0, "an order that arrived is never forgotten");
    }
}
