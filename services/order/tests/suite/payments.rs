//! Payments: every outcome, and every statement that is none.

use std::time::Duration;

use contracts::catalog::v1::catalog_feed_entry::Content;
use contracts::order::v1 as pb;
use contracts::order::v1::stop_target::Target;
use kit::auth::SigningKey;
use testkit::{TestDb, on_both_engines};
use tonic::Code;

use crate::world::{
    KID, PRICE, STATEMENT, World, confirm, key_of, money, money_in, partner_key, partner_of,
    refused, retrying, setup, sign,
};

async fn pay(world: &World, request: pb::ConfirmPaymentRequest) -> pb::ConfirmPaymentResponse {
    world.pay(&request).await
}

/// The money goes back, for this reason; a repetition is answered with the same.
async fn goes_back(
    world: &World,
    request: pb::ConfirmPaymentRequest,
    reason: pb::RefundReason,
    minor_units: i64,
) {
    let answer = pay(world, request.clone()).await;
    assert_eq!(answer.outcome(), pb::PaymentOutcome::RefundDue);
    let refund = answer.refund.clone().expect("an instruction");
    assert_eq!(
        (refund.reason(), refund.state()),
        (reason, pb::RefundState::Authorised)
    );
    assert_eq!(
        (refund.shopper_amount, refund.partner_amount),
        (money(minor_units), money(0))
    );
    assert_eq!(refund.payment_reference, request.payment_reference);
    assert_eq!(pay(world, request).await, answer);
}

async fn cancel(world: &World, order_id: &str) {
    let request = pb::CancelOrderRequest {
        request_id: format!("cancel-{}", &order_id[..20]),
        order_id: order_id.into(),
        lines: Vec::new(),
        reason: pb::CancelReason::PartnerRequest.into(),
    };
    let clients = world.partner(1);
    let answer = retrying(|| {
        let (request, mut clients) = (request.clone(), clients.clone());
        async move { clients.orders.cancel_order(request).await }
    });
    assert_eq!(
        answer.await.expect("cancelled").outcome(),
        pb::CancelOutcome::Cancelled
    );
}

/// Waits until partner 1's key is believed no longer: asked with money that would not pay the order.
async fn is_gone(world: &World, order_id: &str) -> bool {
    let reference = std::cell::Cell::new(0);
    testkit::eventually_async(Duration::from_secs(20), || {
        reference.set(reference.get() + 1);
        let request = world.payment(1, order_id, &format!("try-{}", reference.get()), 1);
        let mut partner = world.partner(1);
        async move { partner.orders.confirm_payment(request).await.is_err() }
    })
    .await
}

on_both_engines! {
    setup: setup();

    async fn every_outcome(t: TestDb) {
        let world = World::start_with(t, order::Config::default(), true).await;
        let allotments = world.stock(3).await;

        let placed = world.paid("paid", &[(1, 1)]).await;
        let twice = world.payment(1, &placed.order_id, "twice", PRICE);
        goes_back(&world, twice, pb::RefundReason::DuplicatePayment, PRICE).await;
        let order = world.get(&placed.order_id).await;
        assert_eq!((order.state(), order.payment_state()), (pb::OrderState::Confirmed, pb::PaymentState::RefundDue));

        let placed = world.place("less", &[(1, 1)]).await;
        let less = world.payment(1, &placed.order_id, "less", PRICE - 1);
        goes_back(&world, less, pb::RefundReason::AmountMismatch, PRICE - 1).await;
        let mut yen = world.claims(&placed.order_id, "yen", PRICE);
        yen["currency_code"] = "JPY".into();
        let yen = pay(&world, confirm(&placed.order_id, "yen", sign(&partner_key(1), KID, STATEMENT, &yen))).await;
        let refund = yen.refund.expect("an instruction");
        assert_eq!((refund.reason(), refund.shopper_amount), (pb::RefundReason::AmountMismatch, money_in("JPY", PRICE)));
        // The right amount still pays it.
        let right = pay(&world, world.payment(1, &placed.order_id, "right", PRICE)).await;
        assert_eq!(right.outcome(), pb::PaymentOutcome::Paid);

        let placed = world.place("cancelled", &[(1, 1)]).await;
        cancel(&world, &placed.order_id).await;
        let late = world.payment(1, &placed.order_id, "late", PRICE);
        goes_back(&world, late, pb::RefundReason::OrderCancelled, PRICE).await;

        let placed = world.place("stopped", &[(1, 1)]).await;
        let stop = pb::StopSaleRequest {
            request_id: "stop".into(),
            target: Some(pb::StopTarget { target: Some(Target::ProductId(crate::world::product().product_id)) }),
            reason: "Recalled".into(),
        };
        let stop = world.ops().orders.stop_sale(stop).await.expect("stopped").into_inner();
        let stopped = world.payment(1, &placed.order_id, "stopped", PRICE);
        goes_back(&world, stopped, pb::RefundReason::SaleStopped, PRICE).await;
        let resume = pb::ResumeSaleRequest { request_id: "resume".into(), stop_id: stop.stop_id };
        world.ops().orders.resume_sale(resume).await.expect("resumed");

        // Two units are sold, one is held; its hold runs out and somebody else takes it.
        world.advance(Duration::from_secs(601));
        crate::progress::until(&world, &placed.order_id, |order| order.state() == pb::OrderState::Expired).await;
        let other = world.place("other", &[(1, 1)]).await;
        let late = world.payment(1, &placed.order_id, "late", PRICE);
        goes_back(&world, late, pb::RefundReason::HoldExpired, PRICE).await;
        // It is given back, so the next late payment takes it again.
        cancel(&world, &other.order_id).await;
        let again = pay(&world, world.payment(1, &placed.order_id, "again", PRICE)).await;
        assert_eq!(again.outcome(), pb::PaymentOutcome::Paid);
        let stock = world.get_allotment(&allotments[0]).await;
        assert_eq!((stock.available, stock.held, stock.sold), (0, 0, 3));
        world.stop().await;
    }

    async fn a_statement_that_is_none_records_nothing(t: TestDb) {
        let world = World::start(t).await;
        world.stock(3).await;
        let placed = world.place("o-1", &[(1, 1)]).await;
        let id = placed.order_id.as_str();
        let claims = world.claims(id, "p", PRICE);
        let good = sign(&partner_key(1), KID, STATEMENT, &claims);
        let with = |field: &str, value: serde_json::Value| {
            let mut claims = claims.clone();
            claims[field] = value;
            sign(&partner_key(1), KID, STATEMENT, &claims)
        };
        let (signed, signature) = good.rsplit_once('.').expect("three parts");
        let other_order = world.place("o-2", &[(1, 1)]).await;
        let none = {
            use base64::Engine;
            let part = |json: serde_json::Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json.to_string());
            let header = serde_json::json!({ "alg": "none", "kid": KID, "typ": STATEMENT });
            format!("{}.{}.", part(header), part(claims.clone()))
        };
        let statements = [
            ("no statement", "nonsense".to_owned()),
            ("another's signature", sign(&SigningKey::from_seed(&[99; 32]), KID, STATEMENT, &claims)),
            ("another partner's key", sign(&partner_key(2), KID, STATEMENT, &claims)),
            ("an unknown kid", sign(&partner_key(1), "k2", STATEMENT, &claims)),
            ("another type", sign(&partner_key(1), KID, "JWT", &claims)),
            ("no algorithm", none),
            ("no signature", format!("{signed}.")),
            ("half a signature", format!("{signed}.{}", &signature[..signature.len() / 2])),
            ("another order", with("order_id", other_order.order_id.clone().into())),
            ("another payment", with("payment_reference", "q".into())),
            ("a gift", with("kind", "GIFT".into())),
            ("less than nothing", with("minor_units", (-1).into())),
            ("no currency", with("currency_code", "eur".into())),
            ("no time", with("paid_at", "now".into())),
        ];
        let mut partner = world.partner(1);
        for (what, statement) in statements {
            let answer = partner.orders.confirm_payment(confirm(id, "p", statement)).await;
            let status = answer.expect_err(what);
            assert_eq!((crate::world::reason(&status).as_str(), status.code()), ("BAD_STATEMENT", Code::Unauthenticated), "{what}");
        }
        let deposit = confirm(id, "p", with("kind", "DEPOSIT".into()));
        refused(partner.orders.confirm_payment(deposit).await, "NOT_OFFERED", Code::Unimplemented);
        assert_eq!(world.get(id).await.payment_state(), pb::PaymentState::Unpaid);
        let paid = partner.orders.confirm_payment(confirm(id, "p", good.clone())).await.expect("recorded").into_inner();
        assert_eq!(paid.outcome(), pb::PaymentOutcome::Paid);
        // The same reference for something else.
        let other = confirm(id, "p", with("minor_units", 1.into()));
        refused(partner.orders.confirm_payment(other).await, "KEY_REUSED", Code::AlreadyExists);
        // A key that another partner has under the same name opens nothing of this one's.
        let foreign = world.partner(2).orders.confirm_payment(confirm(id, "p", good)).await;
        refused(foreign, "BAD_STATEMENT", Code::Unauthenticated);
    }

    async fn a_revoked_key_signs_nothing_new(t: TestDb) {
        let world = World::start_with(t, order::Config::default(), true).await;
        world.stock(3).await;
        let (paid, open) = (world.paid("o-1", &[(1, 1)]).await, world.place("o-2", &[(1, 1)]).await);
        let before = world.payment(1, &paid.order_id, "pay-o-1", PRICE);
        let first = pay(&world, before.clone()).await;
        // The catalogue's own feed brings it, and the process that reads it believes the key no longer.
        world.fakes.catalog.publish("key", contracts::catalog::v1::CatalogFeedEntry {
            meta: None,
            content: Some(Content::PaymentKey(key_of(1, false))),
        });
        let mut partner = world.partner(1);
        assert!(is_gone(&world, &open.order_id).await);
        let new = world.payment(1, &open.order_id, "p", PRICE);
        refused(partner.orders.confirm_payment(new).await, "BAD_STATEMENT", Code::Unauthenticated);
        assert_eq!(world.get(&open.order_id).await.state(), pb::OrderState::PendingPayment);
        // What was recorded under it stays answered.
        assert_eq!(pay(&world, before).await, first);
        world.stop().await;
    }

    async fn a_revoked_key_stays_revoked(t: TestDb) {
        let world = World::start(t).await;
        world.stock(1).await;
        let placed = world.place("o-1", &[(1, 1)]).await;
        // The word from before comes once more, from a list that was read before the revocation.
        for active in [false, true] {
            world.enter(Content::PaymentKey(key_of(1, active))).await.expect("mirrored");
        }
        let payment = world.payment(1, &placed.order_id, "p", PRICE);
        let answer = world.partner(1).orders.confirm_payment(payment).await;
        refused(answer, "BAD_STATEMENT", Code::Unauthenticated);
    }

    async fn a_suspended_partners_money_is_recorded(t: TestDb) {
        let world = World::start(t).await;
        world.stock(3).await;
        let placed = world.place("o-1", &[(1, 1)]).await;
        world.enter(Content::Partner(partner_of(1, false))).await.expect("suspended");
        let mut partner = world.partner(1);
        let refusal = partner.orders.place_order(world.order("o-2", &[(1, 1)])).await;
        refused(refusal, "PARTNER_SUSPENDED", Code::FailedPrecondition);
        let answer = pay(&world, world.payment(1, &placed.order_id, "p", PRICE)).await;
        assert_eq!(answer.outcome(), pb::PaymentOutcome::Paid);
    }

    async fn requests_name_what_is_wrong(t: TestDb) {
        let world = World::start(t).await;
        let mut partner = world.partner(1);
        let wrong = confirm("order", &"x".repeat(129), "x".repeat(8_193));
        let status = refused(partner.orders.confirm_payment(wrong).await, "INVALID_FIELD", Code::InvalidArgument);
        assert_eq!(crate::world::fields(&status), ["order_id", "payment_reference", "statement"]);
    }
}
