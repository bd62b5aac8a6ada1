//! Refunds: what the partner reports, what contradicts it, issuing again, and where the money is meanwhile.

use std::time::Duration;

use contracts::catalog::v1::catalog_feed_entry::Content;
use contracts::common::v1::RetailerRole;
use contracts::id::kind;
use contracts::order::v1 as pb;
use contracts::order::v1::order_feed_entry::Content as OrderContent;
use store::{Operation, Tx, sql};
use testkit::{TestDb, on_both_engines};
use tonic::Code;

use crate::progress::{Apply, Line, entry};
use crate::world::{
    KID, PRICE, STATEMENT, World, key_of, money, nth, partner_key, refused, setup, sign, told,
};

pub const REFUND_STATEMENT: &str = "vitrine-refund+jwt";

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// What partner 1 would sign of a refund: executed.
pub fn claims(world: &World, refund: &pb::Refund, reference: &str) -> serde_json::Value {
    let units = |amount: &Option<contracts::common::v1::Money>| {
        amount.as_ref().expect("an amount").minor_units
    };
    serde_json::json!({
        "aud": "vitrine",
        "kind": "REFUND_EXECUTED",
        "order_id": refund.order_id,
        "refund_id": refund.refund_id,
        "shopper_minor_units": units(&refund.shopper_amount),
        "partner_minor_units": units(&refund.partner_amount),
        "currency_code": refund.shopper_amount.as_ref().expect("an amount").currency_code,
        "refund_reference": reference,
        "reported_at": world.now().seconds(),
    })
}

/// The same, failed.
pub fn failed(world: &World, refund: &pb::Refund, reference: &str) -> serde_json::Value {
    let mut claims = claims(world, refund, reference);
    claims["kind"] = "REFUND_FAILED".into();
    claims["failure"] = "ACCOUNT_CLOSED".into();
    claims
}

pub fn report(
    request_id: &str,
    refund: &pb::Refund,
    claims: &serde_json::Value,
) -> pb::ReportRefundRequest {
    pb::ReportRefundRequest {
        request_id: request_id.into(),
        refund_id: refund.refund_id.clone(),
        statement: sign(&partner_key(1), KID, REFUND_STATEMENT, claims),
    }
}

pub async fn reported(world: &World, request: pb::ReportRefundRequest) -> pb::Refund {
    let answer = world.partner(1).orders.report_refund(request).await;
    let answer = answer.expect("recorded").into_inner();
    answer.refund.expect("the refund")
}

/// Carries out a statement of SQL that a constraint must refuse.
macro_rules! refuses {
    ($world:ident, $constraint:literal, $statement:literal) => {{
        struct Raw;
        impl Operation for Raw {
            type Output = u64;

            fn name(&self) -> &'static str {
                "test.raw"
            }

            async fn run(&self, tx: &mut Tx) -> Result<u64, kit::errors::Fault> {
                Ok(sql!(tx, execute, $statement)?)
            }
        }
        let fault = $world.t.execute(Raw).await.expect_err($statement);
        assert!(
            fault.chain().contains($constraint),
            "{}: {}",
            $statement,
            fault.chain()
        );
    }};
}

/// An order of partner 1 of which this many units are cancelled, and the refund for them.
async fn cancelled(
    world: &World,
    key: &str,
    ordered: i64,
    units: i64,
) -> (pb::PlaceOrderResponse, pb::Refund) {
    let placed = world.paid(key, &[(1, ordered)]).await;
    let come = Line {
        cancelled: units,
        ..Line::default()
    };
    let apply = Apply(entry(&placed, &[come]));
    world.t.execute(apply).await.expect("applied");
    let mut found = refunds(world, &placed.order_id).await;
    assert_eq!(found.len(), 1);
    (placed, found.remove(0))
}

pub async fn refunds(world: &World, order_id: &str) -> Vec<pb::Refund> {
    let request = pb::ListRefundsRequest {
        order_id: order_id.into(),
        page_size: 200,
        ..Default::default()
    };
    let found = world.ops().orders.list_refunds(request).await;
    found.expect("refunds").into_inner().refunds
}

fn reissue(request_id: &str, refund: &pb::Refund) -> pb::ReissueRefundRequest {
    pb::ReissueRefundRequest {
        request_id: request_id.into(),
        refund_id: refund.refund_id.clone(),
        etag: String::new(),
    }
}

/// Payment state, what is due, what went back.
async fn money_of(world: &World, order_id: &str) -> (pb::PaymentState, i64, i64) {
    let order = world.get(order_id).await;
    let units = |amount: Option<contracts::common::v1::Money>| amount.expect("a sum").minor_units;
    (
        order.payment_state(),
        units(order.refund_due.clone()),
        units(order.refunded.clone()),
    )
}

on_both_engines! {
    setup: setup();

    async fn an_executed_refund_is_final(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        let (placed, refund) = cancelled(&world, "o-1", 3, 1).await;
        assert_eq!(money_of(&world, &placed.order_id).await, (pb::PaymentState::RefundDue, PRICE, 0));
        assert_eq!((refund.attempt, refund.refund_reference.as_str()), (1, ""));
        // Weeks later is not too late.
        world.advance(30 * DAY);
        let request = report("r-1", &refund, &claims(&world, &refund, "ref-1"));
        let executed = reported(&world, request.clone()).await;
        assert_eq!((executed.state(), executed.refund_reference.as_str()), (pb::RefundState::Executed, "ref-1"));
        assert_eq!(executed.report_time.expect("a time").seconds, world.now().seconds());
        assert!(executed.finish_time.is_some() && executed.etag != refund.etag);
        assert_eq!(money_of(&world, &placed.order_id).await, (pb::PaymentState::PartiallyRefunded, 0, PRICE));
        let counted = world.get(&placed.order_id).await.lines[0].quantities.expect("counters");
        assert_eq!((counted.cancelled, counted.refunded), (1, 1));

        // Once more under the same key, and under another: the same answer, and nothing happens.
        let before = world.feed(world.ops()).await.len();
        assert_eq!(reported(&world, request.clone()).await, executed);
        assert_eq!(reported(&world, pb::ReportRefundRequest { request_id: "r-2".into(), ..request.clone() }).await, executed);
        // Whatever says something else is refused.
        let mut other_time = claims(&world, &refund, "ref-1");
        other_time["reported_at"] = (world.now().seconds() - 5).into();
        for (at, said) in
            [other_time, claims(&world, &refund, "ref-2"), failed(&world, &refund, "ref-3")].iter().enumerate()
        {
            let answer = world.partner(1).orders.report_refund(report(&format!("x-{at}"), &refund, said)).await;
            let status = refused(answer, "REFUND_CONTRADICTED", Code::FailedPrecondition);
            assert_eq!(told(&status, "state"), "EXECUTED");
        }
        let care = world.retailer(RetailerRole::Care).orders.reissue_refund(reissue("i-1", &refund)).await;
        refused(care, "WRONG_STATE", Code::FailedPrecondition);
        assert_eq!(refunds(&world, &placed.order_id).await, std::slice::from_ref(&executed));
        assert_eq!(world.feed(world.ops()).await.len(), before);
        // The key belongs to what was asked for with it.
        let other = report("r-1", &refund, &claims(&world, &refund, "ref-9"));
        refused(world.partner(1).orders.report_refund(other).await, "KEY_REUSED", Code::AlreadyExists);

        // The partner's feed tells of the refund and of the order after it.
        let entries = world.feed(world.partner(1)).await;
        let last: Vec<_> = entries.iter().rev().take(2).map(|entry| entry.content.clone().expect("content")).collect();
        assert_eq!(last[1], OrderContent::Refund(executed));
        let OrderContent::OrderChanged(changed) = &last[0] else { panic!("{last:?}") };
        assert_eq!(changed.change(), pb::OrderChange::Refunded);
        assert_eq!(changed.order.as_ref().expect("it").refunded, money(PRICE));
    }

    async fn a_failed_refund_is_issued_again(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        let (placed, refund) = cancelled(&world, "o-1", 2, 2).await;
        let first = report("r-1", &refund, &failed(&world, &refund, "ref-1"));
        let failed_once = reported(&world, first.clone()).await;
        assert_eq!((failed_once.state(), failed_once.failure()), (pb::RefundState::Failed, pb::RefundFailure::AccountClosed));
        assert_eq!(money_of(&world, &placed.order_id).await, (pb::PaymentState::RefundDue, 2 * PRICE, 0));
        // It could not be executed, until it is issued again.
        let executed = report("r-2", &refund, &claims(&world, &refund, "ref-2"));
        let status = refused(
            world.partner(1).orders.report_refund(executed.clone()).await, "REFUND_CONTRADICTED", Code::FailedPrecondition,
        );
        assert_eq!(told(&status, "state"), "FAILED");

        let mut finance = world.retailer(RetailerRole::Finance);
        let stale = pb::ReissueRefundRequest { etag: refund.etag.clone(), ..reissue("i-0", &refund) };
        refused(finance.orders.reissue_refund(stale).await, "ETAG_MISMATCH", Code::Aborted);
        let again = pb::ReissueRefundRequest { etag: failed_once.etag.clone(), ..reissue("i-1", &refund) };
        let issued = finance.orders.reissue_refund(again.clone()).await.expect("issued").into_inner();
        let now = issued.refund.clone().expect("it");
        assert_eq!((now.state(), now.attempt, now.failure()), (pb::RefundState::Authorised, 2, pb::RefundFailure::Unspecified));
        assert!(now.finish_time.is_none() && now.refund_reference.is_empty());
        assert_eq!(finance.orders.reissue_refund(again).await.expect("the same").into_inner(), issued);
        let other = pb::ReissueRefundRequest { etag: String::new(), ..reissue("i-1", &refund) };
        refused(finance.orders.reissue_refund(other).await, "KEY_REUSED", Code::AlreadyExists);
        refused(finance.orders.reissue_refund(reissue("i-2", &refund)).await, "WRONG_STATE", Code::FailedPrecondition);
        // The partner hears of it.
        let entries = world.feed(world.partner(1)).await;
        assert_eq!(entries.last().and_then(|entry| entry.content.clone()), Some(OrderContent::Refund(now.clone())));

        // A report of the first attempt that comes again does nothing and answers as it did.
        assert_eq!(reported(&world, first.clone()).await, failed_once);
        let late = pb::ReportRefundRequest { request_id: "r-3".into(), ..first };
        assert_eq!(reported(&world, late).await, failed_once);
        // Its reference is used up.
        let reused = report("r-4", &refund, &claims(&world, &refund, "ref-1"));
        let status = refused(
            world.partner(1).orders.report_refund(reused).await, "REFUND_CONTRADICTED", Code::FailedPrecondition,
        );
        assert_eq!(told(&status, "state"), "AUTHORISED");
        assert_eq!(refunds(&world, &placed.order_id).await, [now]);

        let done = reported(&world, executed).await;
        assert_eq!((done.state(), done.attempt), (pb::RefundState::Executed, 2));
        assert_eq!(money_of(&world, &placed.order_id).await, (pb::PaymentState::Refunded, 0, 2 * PRICE));
        let order = world.get(&placed.order_id).await;
        assert_eq!((order.state(), order.lines[0].quantities.expect("counters").refunded), (pb::OrderState::Cancelled, 2));
    }

    async fn a_statement_must_be_about_exactly_the_refund(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        let (placed, refund) = cancelled(&world, "o-1", 2, 1).await;
        let (_, another) = cancelled(&world, "o-2", 2, 1).await;
        let good = claims(&world, &refund, "ref-1");
        let mut wrong = Vec::new();
        for (name, value) in [
            ("aud", "somebody".into()),
            ("kind", "CHARGE".into()),
            ("kind", "REFUND_FAILED".into()),
            ("order_id", another.order_id.clone().into()),
            ("refund_id", another.refund_id.clone().into()),
            ("shopper_minor_units", (PRICE - 1).into()),
            ("partner_minor_units", 1.into()),
            ("currency_code", "USD".into()),
            ("refund_reference", "".into()),
            ("reported_at", "today".into()),
        ] {
            let mut claims = good.clone();
            claims[name] = value;
            wrong.push(sign(&partner_key(1), KID, REFUND_STATEMENT, &claims));
        }
        wrong.push(sign(&partner_key(2), KID, REFUND_STATEMENT, &good));
        wrong.push(sign(&partner_key(1), "k9", REFUND_STATEMENT, &good));
        // A payment statement is no refund statement, whatever is in it.
        wrong.push(sign(&partner_key(1), KID, STATEMENT, &good));
        wrong.push("not.a.statement".into());
        for (at, statement) in wrong.into_iter().enumerate() {
            let request = pb::ReportRefundRequest {
                request_id: format!("r-{at}"), refund_id: refund.refund_id.clone(), statement,
            };
            refused(world.partner(1).orders.report_refund(request).await, "BAD_STATEMENT", Code::Unauthenticated);
        }
        assert_eq!(refunds(&world, &placed.order_id).await, std::slice::from_ref(&refund));
        // Nor the other way round.
        let confirm = crate::world::confirm(&placed.order_id, "p", sign(&partner_key(1), KID, REFUND_STATEMENT, &good));
        refused(world.partner(1).orders.confirm_payment(confirm).await, "BAD_STATEMENT", Code::Unauthenticated);

        // Nobody else's refund, and no refund at all, look the same.
        let mut seen = Vec::new();
        for refund_id in [refund.refund_id.clone(), nth::<kind::Refund>(4_242).to_string()] {
            let mut stated = good.clone();
            stated["refund_id"] = refund_id.clone().into();
            let request = pb::ReportRefundRequest {
                request_id: "r".into(),
                refund_id,
                statement: sign(&partner_key(2), KID, REFUND_STATEMENT, &stated),
            };
            let status = refused(world.partner(2).orders.report_refund(request).await, "NOT_FOUND", Code::NotFound);
            seen.push((status.message().to_owned(), status.details().to_vec()));
        }
        assert_eq!(seen[0], seen[1]);
        let nobody = pb::ReissueRefundRequest {
            refund_id: nth::<kind::Refund>(4_242).to_string(), ..reissue("i", &refund)
        };
        refused(world.retailer(RetailerRole::Finance).orders.reissue_refund(nobody).await, "NOT_FOUND", Code::NotFound);
        for role in [RetailerRole::Ops, RetailerRole::Warehouse] {
            let answer = world.retailer(role).orders.reissue_refund(reissue("i", &refund)).await;
            refused(answer, "PERMISSION_DENIED", Code::PermissionDenied);
        }
    }

    async fn a_revoked_key_reports_nothing_new(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        let (_, refund) = cancelled(&world, "o-1", 2, 1).await;
        let (_, later) = cancelled(&world, "o-2", 2, 1).await;
        let request = report("r-1", &refund, &claims(&world, &refund, "ref-1"));
        let answer = reported(&world, request.clone()).await;
        world.enter(Content::PaymentKey(key_of(1, false))).await.expect("revoked");
        world.advance(Duration::from_secs(600));
        // What was recorded can still be asked for.
        assert_eq!(reported(&world, request.clone()).await, answer);
        assert_eq!(reported(&world, pb::ReportRefundRequest { request_id: "r-2".into(), ..request }).await, answer);
        let new = report("r-3", &later, &claims(&world, &later, "ref-2"));
        refused(world.partner(1).orders.report_refund(new).await, "BAD_STATEMENT", Code::Unauthenticated);
    }

    async fn money_that_paid_nothing_goes_back_on_its_own(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        // Paid twice: when the second payment has gone back, the order is simply paid.
        let placed = world.paid("o-1", &[(1, 1)]).await;
        let twice = world.pay(&world.payment(1, &placed.order_id, "twice", 5)).await.refund.expect("an instruction");
        assert_eq!(money_of(&world, &placed.order_id).await, (pb::PaymentState::RefundDue, 5, 0));
        // In another currency too; that is in neither sum, and yet due.
        let mut yen = world.claims(&placed.order_id, "yen", 700);
        yen["currency_code"] = "JPY".into();
        let yen = crate::world::confirm(&placed.order_id, "yen", sign(&partner_key(1), KID, STATEMENT, &yen));
        let yen = world.pay(&yen).await.refund.expect("an instruction");
        reported(&world, report("r-1", &twice, &claims(&world, &twice, "ref"))).await;
        assert_eq!(money_of(&world, &placed.order_id).await, (pb::PaymentState::RefundDue, 0, 5));
        reported(&world, report("r-2", &yen, &claims(&world, &yen, "ref"))).await;
        assert_eq!(money_of(&world, &placed.order_id).await, (pb::PaymentState::Paid, 0, 5));

        // Never paid with the right amount: what came has gone back, and it can still be paid.
        let placed = world.place("o-2", &[(1, 1)]).await;
        let less = world.pay(&world.payment(1, &placed.order_id, "less", PRICE - 1)).await.refund.expect("an instruction");
        reported(&world, report("r-3", &less, &claims(&world, &less, "ref"))).await;
        assert_eq!(money_of(&world, &placed.order_id).await, (pb::PaymentState::Refunded, 0, PRICE - 1));
        let right = world.pay(&world.payment(1, &placed.order_id, "right", PRICE)).await;
        assert_eq!(right.outcome(), pb::PaymentOutcome::Paid);
        assert_eq!(money_of(&world, &placed.order_id).await, (pb::PaymentState::Paid, 0, PRICE - 1));
        // What ConfirmPayment answers to a repetition is still the instruction as first authorised.
        let repeated = world.pay(&world.payment(1, &placed.order_id, "less", PRICE - 1)).await;
        assert_eq!(repeated.refund, Some(less));
    }

    async fn the_tables_refuse_more_than_was_paid(t: TestDb) {
        let world = World::start(t).await;
        world.stock(10).await;
        let (_, refund) = cancelled(&world, "o-1", 2, 1).await;
        refuses!(world, "payment_refunded", "UPDATE payment SET refunded = amount + 1");
        refuses!(world, "payment_partner_refunded", "UPDATE payment SET partner_refunded = partner_amount + 1");
        refuses!(world, "payment_paid_back", "UPDATE payment SET paid_back = refunded + 1");
        refuses!(world, "payment_partner_paid_back", "UPDATE payment SET partner_paid_back = partner_refunded + 1");
        refuses!(world, "orders_paid_back", "UPDATE orders SET paid_back = payable + 1");
        refuses!(world, "orders_partner_paid_back", "UPDATE orders SET partner_paid_back = partner_discount + 1");
        refuses!(world, "orders_refund_state", "UPDATE orders SET payment_state = 'PAID'");
        refuses!(world, "order_line_refunded_for", "UPDATE order_line SET refunded = cancelled + 1");
        refuses!(world, "refund_finished", "UPDATE refund SET state = 'EXECUTED'");
        assert_eq!(refunds(&world, &refund.order_id).await, [refund]);
    }

    async fn twins_of_a_report_do_it_once(t: TestDb) {
        let world = std::sync::Arc::new(World::start(t).await);
        world.stock(10).await;
        let (placed, refund) = cancelled(&world, "o-1", 3, 2).await;
        // One says it was executed, half of the others that it failed; whoever comes first is right.
        let calls = (0..12).map(|at| {
            let said = match at % 2 {
                0 => claims(&world, &refund, "ref-yes"),
                _ => failed(&world, &refund, "ref-no"),
            };
            let request = report(&format!("r-{at}"), &refund, &said);
            let world = world.clone();
            async move { (at % 2, world.partner(1).orders.report_refund(request).await) }
        });
        let answers = futures::future::join_all(calls).await;
        let state = refunds(&world, &placed.order_id).await[0].state();
        for (said, answer) in answers {
            let right = (said == 0) == (state == pb::RefundState::Executed);
            assert_eq!(answer.is_ok(), right, "{answer:?}");
        }
        let due = if state == pb::RefundState::Executed { (0, 2 * PRICE) } else { (2 * PRICE, 0) };
        let (_, refund_due, refunded) = money_of(&world, &placed.order_id).await;
        assert_eq!((refund_due, refunded), due);
    }
}
