//! Cancelling: before payment at once and as a whole, after it as fulfilment decides.

use contracts::common::v1::RetailerRole;
use contracts::fulfillment::v1::CancelDecision;
use contracts::id::kind;
use contracts::order::v1 as pb;
use kit::errors::{ErrorReason, Refusal};
use testkit::{TestDb, on_both_engines};
use tonic::Code;

use crate::progress::{Line, decided, tell};
use crate::world::{World, fields, nth, refused, setup};

fn cancel(
    key: &str,
    order_id: &str,
    lines: &[(&str, i64)],
    reason: pb::CancelReason,
) -> pb::CancelOrderRequest {
    let line = |(id, quantity): &(&str, i64)| pb::LineQuantity {
        order_line_id: (*id).into(),
        quantity: *quantity,
    };
    pb::CancelOrderRequest {
        request_id: key.into(),
        order_id: order_id.into(),
        lines: lines.iter().map(line).collect(),
        reason: reason.into(),
    }
}

on_both_engines! {
    setup: setup();

    async fn before_payment_it_is_done_at_once(t: TestDb) {
        let world = World::start(t).await;
        let allotments = world.stock(5).await;
        let placed = world.place("o-1", &[(1, 2), (2, 1)]).await;
        let mut partner = world.partner(1);
        let some = cancel("c-0", &placed.order_id, &[(&placed.lines[0].order_line_id, 2)], pb::CancelReason::ShopperRequest);
        let status = refused(partner.orders.cancel_order(some).await, "INVALID_FIELD", Code::InvalidArgument);
        assert_eq!(fields(&status), ["lines"]);
        let all = cancel("c-1", &placed.order_id, &[], pb::CancelReason::ShopperRequest);
        for _ in 0..2 {
            let answer = partner.orders.cancel_order(all.clone()).await.expect("cancelled").into_inner();
            assert_eq!(answer.outcome(), pb::CancelOutcome::Cancelled);
        }
        let order = world.get(&placed.order_id).await;
        assert_eq!((order.state(), order.cancel_reason()), (pb::OrderState::Cancelled, pb::CancelReason::ShopperRequest));
        assert_eq!(order.lines[0].quantities.expect("counters").cancelled, 2);
        assert_eq!(world.get_allotment(&allotments[0]).await.available, 5);
        let other = cancel("c-1", &placed.order_id, &[], pb::CancelReason::PartnerRequest);
        refused(partner.orders.cancel_order(other).await, "KEY_REUSED", Code::AlreadyExists);
        let again = cancel("c-2", &placed.order_id, &[], pb::CancelReason::ShopperRequest);
        refused(partner.orders.cancel_order(again).await, "WRONG_STATE", Code::FailedPrecondition);
        assert!(world.fakes.asked.lock().expect("asked").is_empty());
    }

    async fn after_payment_fulfilment_decides(t: TestDb) {
        let world = World::start_with(t, order::Config::default(), true).await;
        let allotments = world.stock(5).await;
        let placed = world.paid("o-1", &[(1, 3)]).await;
        let line = placed.lines[0].order_line_id.as_str();
        let mut partner = world.partner(1);

        let request = cancel("c-1", &placed.order_id, &[(line, 1)], pb::CancelReason::ShopperRequest);
        for _ in 0..2 {
            let answer = partner.orders.cancel_order(request.clone()).await.expect("asked").into_inner();
            assert_eq!(answer.outcome(), pb::CancelOutcome::Cancelled);
        }
        {
            let asked = world.fakes.asked.lock().expect("asked");
            // The answer is kept: fulfilment was asked once.
            assert_eq!(asked.len(), 1);
            assert_eq!((asked[0].order_id.as_str(), asked[0].lines[0].quantity), (placed.order_id.as_str(), 1));
            assert_eq!((asked[0].partner_id.as_str(), asked[0].reason()), (crate::world::partner(1).as_str(), pb::CancelReason::ShopperRequest));
            assert_eq!(asked[0].request_id.len(), 64);
            assert_eq!(*world.fakes.principals.lock().expect("asked"), ["partner:gateway"]);
        }
        // Units and money follow with fulfilment's feed.
        assert_eq!(world.get_allotment(&allotments[0]).await.sold, 3);
        world.fakes.fulfillment.publish(&placed.order_id, decided(&placed, pb::CancelReason::ShopperRequest, 1));
        tell(&world, &placed, &[Line { cancelled: 1, ..Line::default() }]).await;
        assert_eq!(world.get_allotment(&allotments[0]).await.sold, 2);
        assert_eq!(world.get(&placed.order_id).await.payment_state(), pb::PaymentState::RefundDue);

        for (key, decision, outcome) in [
            ("c-2", CancelDecision::CancelPending, pb::CancelOutcome::CancelPending),
            ("c-3", CancelDecision::TooLate, pb::CancelOutcome::TooLate),
        ] {
            world.fakes.decide(Ok(decision));
            let request = cancel(key, &placed.order_id, &[], pb::CancelReason::PartnerRequest);
            let answer = partner.orders.cancel_order(request.clone()).await.expect("asked").into_inner();
            assert_eq!(answer.outcome(), outcome);
            world.fakes.decide(Ok(CancelDecision::Cancelled));
            assert_eq!(partner.orders.cancel_order(request).await.expect("again").into_inner().outcome(), outcome);
        }
        world.stop().await;
    }

    async fn what_fulfilment_refuses_is_refused_and_not_kept(t: TestDb) {
        let world = World::start(t).await;
        world.stock(5).await;
        let placed = world.paid("o-1", &[(1, 1)]).await;
        let mut partner = world.partner(1);
        let request = cancel("c-1", &placed.order_id, &[], pb::CancelReason::ShopperRequest);
        world.fakes.decide(Err(Refusal::new(ErrorReason::OverQuantity, "More than is left.")));
        refused(partner.orders.cancel_order(request.clone()).await, "OVER_QUANTITY", Code::FailedPrecondition);
        world.fakes.decide(Err(Refusal::new(ErrorReason::Overloaded, "Busy.")));
        refused(partner.orders.cancel_order(request.clone()).await, "OVERLOADED", Code::Unavailable);
        world.fakes.decide(Ok(CancelDecision::Cancelled));
        partner.orders.cancel_order(request).await.expect("asked again");
        let asked = world.fakes.asked.lock().expect("asked");
        assert!(asked.len() == 3 && asked.iter().all(|request| request.request_id == asked[0].request_id));
    }

    async fn reasons_and_lines_are_checked(t: TestDb) {
        let world = World::start(t).await;
        world.stock(5).await;
        let placed = world.paid("o-1", &[(1, 1)]).await;
        let (mut partner, mut care) = (world.partner(1), world.retailer(RetailerRole::Care));
        let request = cancel("c-1", &placed.order_id, &[], pb::CancelReason::Shortage);
        let status = refused(partner.orders.cancel_order(request.clone()).await, "INVALID_FIELD", Code::InvalidArgument);
        assert_eq!(fields(&status), ["reason"]);
        let line = placed.lines[0].order_line_id.as_str();
        let wrong = cancel("", "x", &[(line, 0), (line, 1), ("y", 1)], pb::CancelReason::Unspecified);
        let status = refused(partner.orders.cancel_order(wrong).await, "INVALID_FIELD", Code::InvalidArgument);
        assert_eq!(
            fields(&status),
            ["request_id", "order_id", "lines[0].quantity", "lines[1].order_line_id", "lines[2].order_line_id", "reason"]
        );
        let strange = nth::<kind::OrderLine>(9).to_string();
        let strange = cancel("c-1", &placed.order_id, &[(&strange, 1)], pb::CancelReason::ShopperRequest);
        refused(partner.orders.cancel_order(strange).await, "NOT_FOUND", Code::NotFound);
        let answer = care.orders.cancel_order(request).await.expect("the retailer may").into_inner();
        assert_eq!(answer.outcome(), pb::CancelOutcome::Cancelled);
    }
}
