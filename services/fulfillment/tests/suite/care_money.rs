//! Money that the order service decides on: compensations as outcomes, and who must not be the arbiter of it.

use contracts::ErrorReason;
use contracts::common::v1::{Money, RetailerRole};
use contracts::fulfillment::v1 as pb;
use contracts::id::{CompensationId, RefundId};
use contracts::order::v1 as order;
use futures::future::join_all;
use kit::wire::Wire;
use testkit::house::refused;
use testkit::{TestDb, on_both_engines};

use crate::care::*;
use crate::common::*;
use crate::orders::Orders;
use crate::returns::reason;
use crate::server::{Server, house};

fn eur(minor_units: i64) -> Option<Money> {
    Some(Money {
        currency_code: "EUR".into(),
        minor_units,
    })
}

/// Three times what was paid.
fn compensation(at: u128, order: u128, owner: u128) -> order::Compensation {
    order::Compensation {
        compensation_id: CompensationId::from_uuid(at).into(),
        order_id: order_id(order).into(),
        partner_id: partner(owner).into(),
        reason: order::CompensationReason::Counterfeit.into(),
        amount: eur(3_000),
        state: order::CompensationState::Executed.into(),
        ..Default::default()
    }
}

fn by_compensation(at: u128) -> pb::CaseOutcome {
    pb::CaseOutcome {
        compensation_id: CompensationId::from_uuid(at).into(),
        ..plain(pb::CaseOutcomeKind::Compensation)
    }
}

async fn raised(server: &Server, id: &str) {
    let raise = pb::EscalateCaseRequest {
        request_id: format!("e-{id}"),
        case_id: id.into(),
        level: pb::CaseLevel::Dispute.into(),
        reason: "It is not".into(),
        ..Default::default()
    };
    server.care_of(1).escalate_case(raise).await.expect("rises");
}

fn name(key: &str, id: &str, subject: &str) -> pb::NameArbiterRequest {
    pb::NameArbiterRequest {
        request_id: key.into(),
        case_id: id.into(),
        etag: String::new(),
        arbiter: Some(pb::CaseArbiter {
            display_name: "Dr. Wolf".into(),
            organisation: "Chamber of Trade".into(),
            subject: subject.into(),
        }),
    }
}

fn decision(id: &str, kind: pb::CaseOutcomeKind, least: i64) -> pb::DecideDisputeRequest {
    pb::DecideDisputeRequest {
        request_id: format!("d-{id}"),
        case_id: id.into(),
        etag: String::new(),
        decision: Some(pb::CaseDecision {
            ruling: pb::CaseRuling::ForShopper.into(),
            required_outcomes: vec![pb::CaseRequiredOutcome {
                kind: kind.into(),
                least_amount: eur(least),
            }],
            reason: "It is no original".into(),
            ..Default::default()
        }),
    }
}

/// A refund of order 1 that these two decided on.
fn refund_by(orders: &Orders, at: u128, proposer: &str, decider: &str) {
    orders.list_refund(order::OrderFeedEntry {
        meta: None,
        content: Some(order::order_feed_entry::Content::Refund(order::Refund {
            refund_id: RefundId::from_uuid(at).into(),
            order_id: order_id(1).into(),
            partner_id: partner(1).into(),
            reason: order::RefundReason::NotAsDescribed.into(),
            shopper_amount: eur(1_000),
            state: order::RefundState::Authorised.into(),
            ..Default::default()
        })),
    });
    orders.decide(order::RefundDecider {
        refund_id: RefundId::from_uuid(at).into(),
        proposer: format!("retailer:{proposer}"),
        decider: format!("retailer:{decider}"),
        ..Default::default()
    });
}

on_both_engines! {
    setup: setup().config(|config| config.max_connections = 16);

    async fn a_compensation_resolves_a_case_and_meets_a_decision(t: TestDb) {
        let (server, orders) = with_orders(&t).await;
        delivered(&t, 1, &[2]).await;
        delivered(&t, 2, &[1]).await;
        orders.compensate(compensation(1, 1, 1));
        orders.compensate(compensation(2, 2, 1));
        orders.compensate(compensation(3, 1, 2));
        let id = opened(&server, open_about("k", 1)).await.case_id;
        let mut ana = server.care_as("ana", RetailerRole::Care);
        // Unknown, of another order, of another partner: all the same.
        for at in [9, 2, 3] {
            let answer = ana.resolve_case(resolve("r", &id, vec![by_compensation(at)])).await;
            assert_eq!(reason(answer), ErrorReason::NotFound);
        }
        assert!(get(&server, &id).await.outcomes.is_empty());
        raised(&server, &id).await;
        server.care_as("olga", RetailerRole::Ops).name_arbiter(name("n", &id, "wolf")).await.expect("named");
        let mut wolf = server.care_as("wolf", RetailerRole::Inspector);
        wolf.decide_dispute(decision(&id, pb::CaseOutcomeKind::Compensation, 3_000)).await.expect("decides");
        let answered = ana.resolve_case(resolve("r", &id, vec![plain(pb::CaseOutcomeKind::Answered)])).await;
        assert_eq!(reason(answered), ErrorReason::OutcomeMissing);
        let request = resolve("r", &id, vec![by_compensation(1)]);
        let done = ana.resolve_case(request.clone()).await.expect("resolves").into_inner().care_case.expect("a case");
        let outcome = &done.outcomes[0];
        assert_eq!((outcome.kind(), outcome.amount.clone()), (pb::CaseOutcomeKind::Compensation, eur(3_000)));
        assert_eq!(outcome.compensation_id, CompensationId::from_uuid(1).to_string());
        // The same again, when the order service knows nothing any more, is the same answer.
        orders.forget();
        let again = ana.resolve_case(request).await.expect("again").into_inner().care_case;
        assert_eq!(again, Some(done));
    }

    async fn too_little_is_not_what_was_decided(t: TestDb) {
        let (server, orders) = with_orders(&t).await;
        delivered(&t, 1, &[2]).await;
        orders.compensate(compensation(1, 1, 1));
        let id = opened(&server, open_about("k", 1)).await.case_id;
        raised(&server, &id).await;
        server.care_as("olga", RetailerRole::Ops).name_arbiter(name("n", &id, "wolf")).await.expect("named");
        let mut wolf = server.care_as("wolf", RetailerRole::Inspector);
        wolf.decide_dispute(decision(&id, pb::CaseOutcomeKind::Compensation, 3_001)).await.expect("decides");
        let mut ana = server.care_as("ana", RetailerRole::Care);
        let missing = refused(ana.resolve_case(resolve("r", &id, vec![by_compensation(1)])).await);
        assert_eq!((missing.reason, missing.metadata["required"].as_str()), (ErrorReason::OutcomeMissing, "COMPENSATION"));
        let mut second = compensation(4, 1, 1);
        second.amount = eur(1);
        orders.compensate(second);
        let both = vec![by_compensation(1), by_compensation(4)];
        ana.resolve_case(resolve("r", &id, both)).await.expect("together they are enough");
    }

    async fn who_decided_on_the_money_is_not_the_arbiter_of_it(t: TestDb) {
        let (server, orders) = with_orders(&t).await;
        delivered(&t, 1, &[2]).await;
        let id = opened(&server, open_about("k", 1)).await.case_id;
        raised(&server, &id).await;
        let mut olga = server.care_as("olga", RetailerRole::Ops);
        // Before: whoever wanted or approved a refund of the order has a part in it.
        refund_by(&orders, 7, "cara", "finn");
        for who in ["cara", "finn"] {
            assert_eq!(reason(olga.name_arbiter(name("n", &id, who)).await), ErrorReason::SelfApproval);
        }
        assert!(!get(&server, &id).await.has_arbiter);
        olga.name_arbiter(name("n", &id, "wolf")).await.expect("named");
        let mut wolf = server.care_as("wolf", RetailerRole::Inspector);
        wolf.decide_dispute(decision(&id, pb::CaseOutcomeKind::Refund, 1_000)).await.expect("decides");
        // After: what the arbiter approved does not resolve the dispute, what others did does.
        refund_by(&orders, 8, "cara", "wolf");
        let mut ana = server.care_as("ana", RetailerRole::Care);
        let own = ana.resolve_case(resolve("r", &id, vec![by_refund(8)])).await;
        assert_eq!(reason(own), ErrorReason::SelfApproval);
        assert_eq!(get(&server, &id).await.state(), pb::CaseState::WaitingRetailer);
        let done = ana.resolve_case(resolve("r", &id, vec![by_refund(7)])).await.expect("resolves").into_inner();
        assert_eq!(done.care_case.expect("a case").state(), pb::CaseState::Resolved);
    }

    async fn however_many_open_at_once_a_shopper_has_no_more_than_the_most(t: TestDb) {
        const MOST: usize = 3;
        let mut config = fulfillment::Config::default();
        config.care.open_per_shopper_max = 3;
        let (_never_tied, order) = Wire::late();
        let server = Server::start_with(&t, house(&t), order, config, false).await;
        let opens = (0..12).map(|at| {
            let mut partner = server.care_of(1);
            let request = pb::OpenCaseRequest { shopper_ref: "one".into(), ..open(&format!("k{at}")) };
            async move { partner.open_case(request).await }
        });
        let answers = join_all(opens).await;
        let done = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(done, MOST);
        for answer in answers.into_iter().filter(Result::is_err) {
            assert_eq!(reason(answer), ErrorReason::LimitExceeded);
        }
        // Another shopper is not held up by them.
        opened(&server, open("other")).await;
    }
}
