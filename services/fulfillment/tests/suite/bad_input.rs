//! What comes at the wrong time is one typed error with a sentence, and leaves nothing behind: not in the tables, the
//! feed, the keys or the audit.

use contracts::ErrorReason;
use contracts::common::v1::RetailerRole;
use contracts::fulfillment::v1 as pb;
use pb::{AftersaleKind as Kind, AftersaleReason as Reason, AftersaleState as State};
use store::sql;
use testkit::house::refusal;
use testkit::{TestDb, on_both_engines, op};
use tonic::{Code, Status};

use crate::aftersales::*;
use crate::care::*;
use crate::common::*;
use crate::server::Server;

/// Everything that a step writes beside its own rows: the last positions of feed and audit, keys, steps and messages.
async fn marks(t: &TestDb) -> [i64; 6] {
    let look = op("marks", |tx| {
        Box::pin(async move {
            let (feed,) = sql!(
                tx,
                one(i64,),
                "SELECT CAST(COALESCE(MAX(position), 0) AS BIGINT) FROM feed"
            )?;
            let (audit,) = sql!(
                tx,
                one(i64,),
                "SELECT CAST(COALESCE(MAX(position), 0) AS BIGINT) FROM audit"
            )?;
            let (keys,) = sql!(
                tx,
                one(i64,),
                "SELECT CAST(COUNT(*) AS BIGINT) FROM idempotency"
            )?;
            let (steps,) = sql!(
                tx,
                one(i64,),
                "SELECT CAST(COUNT(*) AS BIGINT) FROM aftersale_step"
            )?;
            let (said,) = sql!(
                tx,
                one(i64,),
                "SELECT CAST(COUNT(*) AS BIGINT) FROM care_message"
            )?;
            let (done,) = sql!(
                tx,
                one(i64,),
                "SELECT CAST(COUNT(*) AS BIGINT) FROM care_action"
            )?;
            Ok([feed, audit, keys, steps, said, done])
        })
    });
    t.read(look).await.expect("a look")
}

/// One typed error: its reason, its code, and a sentence that says more than the reason does.
fn one_error<T: std::fmt::Debug>(answer: Result<T, Status>, reason: ErrorReason) {
    let status = answer.expect_err("refused");
    assert_eq!(status.code(), Code::FailedPrecondition);
    let said = status.message();
    let is_sentence = said.ends_with('.') && said.split(' ').count() > 3;
    assert!(
        is_sentence && said.starts_with(char::is_uppercase),
        "{said}"
    );
    assert_eq!(refusal(&status).reason, reason);
}

on_both_engines! {
    setup: setup();

    async fn an_inspection_before_receipt_changes_nothing(t: TestDb) {
        let server = Server::start(&t).await;
        delivered_and_priced(&t, 1, &[2]).await;
        let id = server.open(wish("k1", 1, Kind::ReturnAndRefund, Reason::ChangedMind, 1, None)).await.aftersale_id;
        let mut inspector = server.matters_as(RetailerRole::Inspector);
        for (key, step) in [("early", None), ("granted", Some(granted(true)))] {
            if let Some(decision) = step {
                server.decide(decide("k2", &id, decision)).await;
            }
            let (before, stood) = (server.whole(&id).await, of_order(&t, order_id(1)).await);
            let at = marks(&t).await;
            for _ in 0..2 {
                let early = looked_at(key, &id, 1, 1, pb::InspectedCondition::Sellable);
                one_error(inspector.inspect_aftersale(early).await, ErrorReason::WrongState);
            }
            assert_eq!(marks(&t).await, at);
            assert_eq!((server.whole(&id).await, of_order(&t, order_id(1)).await), (before, stood));
        }
        // The same key may be used when the time has come: refusals are not remembered.
        server.matters_as(RetailerRole::Warehouse).record_aftersale_received(came("k3", &id)).await.expect("it came");
        let looked = looked_at("early", &id, 1, 1, pb::InspectedCondition::Sellable);
        let found = inspector.inspect_aftersale(looked).await.expect("inspected").into_inner().aftersale;
        assert_eq!(found.expect("a matter").state(), State::Refunding);
        check_feed(&t).await;
    }

    async fn a_counter_offer_after_acceptance_changes_nothing(t: TestDb) {
        let server = Server::start(&t).await;
        delivered_and_priced(&t, 1, &[1]).await;
        let id = server.open(wish("k1", 1, Kind::RefundOnly, Reason::Damaged, 1, None)).await.aftersale_id;
        server.decide(decide("k2", &id, offered(1, 100))).await;
        let accept = pb::AnswerAftersaleOfferRequest {
            request_id: "k3".into(), aftersale_id: id.clone(), accept: true, offer_number: 1, etag: String::new(),
        };
        server.matters_of(1).answer_aftersale_offer(accept).await.expect("taken");
        let mut care = server.matters_as(RetailerRole::Care);
        for over in [false, true] {
            if over {
                let matter = server.now(&id).await;
                let executed = paid_back(&matter, contracts::order::v1::RefundState::Executed, 1, 100);
                t.execute(Apply(executed)).await.expect("told");
                assert_eq!(server.now(&id).await.state(), State::Resolved);
            }
            let (before, told, at) = (server.whole(&id).await, settlements(&t).await, marks(&t).await);
            for decision in [offered(1, 50), granted(false)] {
                let late = care.decide_aftersale(decide("late", &id, decision)).await;
                one_error(late, ErrorReason::WrongState);
            }
            assert_eq!(marks(&t).await, at);
            assert_eq!((server.whole(&id).await, settlements(&t).await), (before, told));
        }
    }

    async fn a_message_on_a_closed_case_changes_nothing(t: TestDb) {
        let server = Server::start(&t).await;
        let id = opened(&server, open("k")).await.case_id;
        let mut ana = server.care_as("ana", RetailerRole::Care);
        let outcomes = vec![plain(pb::CaseOutcomeKind::Answered)];
        ana.resolve_case(resolve("r", &id, outcomes)).await.expect("resolves");
        let mut partner = server.care_of(1);
        partner.close_case(close("c", &id)).await.expect("closes");
        let (before, at) = (get(&server, &id).await, marks(&t).await);
        assert_eq!(before.state(), pb::CaseState::Closed);
        one_error(partner.post_message(post("late", &id, shopper("One more thing"))).await, ErrorReason::CaseClosed);
        one_error(ana.post_message(post("late", &id, retailer("Yes?"))).await, ErrorReason::CaseClosed);
        let note = says(pb::CaseParty::Retailer, pb::MessageVisibility::RetailerOnly, "A note");
        one_error(ana.post_message(post("late", &id, note)).await, ErrorReason::CaseClosed);
        assert_eq!(marks(&t).await, at);
        assert_eq!(get(&server, &id).await, before);
    }
}
