//! A dispute to its end, and one incident behind many cases.

use contracts::ErrorReason;
use contracts::common::v1::{Money, RetailerRole};
use contracts::fulfillment::v1 as pb;
use contracts::order::v1::RefundState;
use fulfillment::ops::care::topic::{AnyUnheard, SpreadAnswers};
use testkit::{TestDb, on_both_engines};

use crate::care::*;
use crate::common::*;
use crate::returns::{reason, requested};
use crate::server::Server;

fn name(key: &str, case_id: &str, subject: &str) -> pb::NameArbiterRequest {
    pb::NameArbiterRequest {
        request_id: key.into(),
        case_id: case_id.into(),
        etag: String::new(),
        arbiter: Some(pb::CaseArbiter {
            display_name: "Dr. Wolf".into(),
            organisation: "Chamber of Trade".into(),
            subject: subject.into(),
        }),
    }
}

fn decide(key: &str, case_id: &str, least: i64) -> pb::DecideDisputeRequest {
    let required = pb::CaseRequiredOutcome {
        kind: pb::CaseOutcomeKind::Refund.into(),
        least_amount: Some(Money {
            currency_code: "EUR".into(),
            minor_units: least,
        }),
    };
    pb::DecideDisputeRequest {
        request_id: key.into(),
        case_id: case_id.into(),
        etag: String::new(),
        decision: Some(pb::CaseDecision {
            ruling: pb::CaseRuling::ForShopper.into(),
            required_outcomes: vec![required],
            reason: "The label is missing".into(),
            ..pb::CaseDecision::default()
        }),
    }
}

on_both_engines! {
    setup: setup();

    async fn an_arbiter_decides_a_dispute_and_the_retailer_carries_it_out(t: TestDb) {
        let (server, orders) = with_orders(&t).await;
        delivered(&t, 1, &[2]).await;
        let goods_return = requested(&server, "r", 1, &[(1, 1)]).await;
        let made = opened(&server, open_about("k", 1)).await;
        let id = made.case_id.as_str();
        let (mut ana, mut olga) = (server.care_as("ana", RetailerRole::Care), server.care_as("olga", RetailerRole::Ops));
        ana.post_message(post("a", id, retailer("We think it is genuine"))).await.expect("answers");
        for level in [pb::CaseLevel::Grievance, pb::CaseLevel::Dispute] {
            let raise = pb::EscalateCaseRequest {
                request_id: level.as_str_name().into(), case_id: id.into(), level: level.into(),
                reason: "It is not".into(), ..Default::default()
            };
            let raised = server.care_of(1).escalate_case(raise).await.expect("rises").into_inner();
            let raised = raised.care_case.expect("a case");
            assert_eq!((raised.level(), raised.state()), (level, pb::CaseState::WaitingRetailer));
            assert!(raised.response_time.is_none(), "targets of its own");
        }
        for who in ["ana", "olga"] {
            assert_eq!(reason(olga.name_arbiter(name("n", id, who)).await), ErrorReason::SelfApproval);
        }
        let named = olga.name_arbiter(name("n", id, "wolf")).await.expect("named").into_inner().care_case.expect("a case");
        assert_eq!((named.state(), named.has_arbiter), (pb::CaseState::WaitingArbiter, true));
        let mut wolf = server.care_as("wolf", RetailerRole::Inspector);
        assert_eq!(reason(olga.decide_dispute(decide("d", id, 1_990)).await), ErrorReason::NotTheArbiter);
        let decided = wolf.decide_dispute(decide("d", id, 1_990)).await.expect("decides").into_inner();
        let decided = decided.care_case.expect("a case");
        assert_eq!((decided.ruling(), decided.state()), (pb::CaseRuling::ForShopper, pb::CaseState::WaitingRetailer));
        let next = decided.next_action.expect("somebody's turn");
        assert_eq!((next.party(), next.action()), (pb::CaseParty::Retailer, pb::CaseActionKind::CarryOut));
        let answered = vec![plain(pb::CaseOutcomeKind::Answered)];
        assert_eq!(reason(ana.resolve_case(resolve("r", id, answered)).await), ErrorReason::OutcomeMissing);
        orders.list_refund(refund(&goods_return, 7, RefundState::Executed, 1));
        let done = ana.resolve_case(resolve("r", id, vec![by_refund(7)])).await.expect("resolves").into_inner();
        assert_eq!(done.care_case.expect("a case").state(), pb::CaseState::Resolved);
        let reopen = pb::ReopenCaseRequest {
            request_id: "o".into(), case_id: id.into(), reason: "more".into(), ..Default::default()
        };
        assert_eq!(reason(server.care_of(1).reopen_case(reopen).await), ErrorReason::WrongState);
        // The partner reads who decided and why, and not by which token.
        let request = pb::GetCaseRequest { case_id: id.into() };
        let shown = server.care_of(1).get_case(request).await.expect("its own").into_inner();
        let arbiter = shown.arbiter.expect("named");
        assert_eq!((arbiter.display_name.as_str(), arbiter.subject.as_str()), ("Dr. Wolf", ""));
        assert_eq!(shown.decision.expect("decided").reason, "The label is missing");
        use pb::CaseChange::{ArbiterNamed, Decided, Escalated, Message, Opened, Resolved};
        let changes: Vec<_> = told(&t).await.into_iter().map(|(change, _)| change).collect();
        assert_eq!(changes, [Opened, Message, Escalated, Escalated, ArbiterNamed, Decided, Resolved]);
    }

    async fn a_topic_answers_all_its_cases_once_in_bounded_batches(t: TestDb) {
        let server = Server::start(&t).await;
        let mut ids = Vec::new();
        for key in ["a", "b", "c", "d", "e"] {
            ids.push(opened(&server, open(key)).await.case_id);
        }
        let mut olga = server.care_as("olga", RetailerRole::Ops);
        let made = olga.create_topic(pb::CreateTopicRequest {
            request_id: "t".into(), title: "Jackets without a label".into(), ..Default::default()
        }).await.expect("made").into_inner().topic.expect("a topic");
        let add = |key: &str, cases: &[String]| pb::AddCasesToTopicRequest {
            request_id: key.into(), topic_id: made.topic_id.clone(), case_ids: cases.to_vec(),
        };
        let unknown = contracts::id::CaseId::from_uuid(9).to_string();
        assert_eq!(reason(olga.add_cases_to_topic(add("x", &[ids[0].clone(), unknown])).await), ErrorReason::NotFound);
        let grown = olga.add_cases_to_topic(add("g", &ids[..4])).await.expect("grouped").into_inner().topic;
        assert_eq!(grown.expect("a topic").case_count, 4);
        assert!(!t.read(AnyUnheard).await.expect("a look"), "nothing was said");
        let answer = pb::AnswerTopicRequest {
            request_id: "s".into(), topic_id: made.topic_id.clone(), etag: made.etag.clone(),
            answer: "They are genuine; send back what you do not trust.".into(),
        };
        let said = olga.answer_topic(answer.clone()).await.expect("said").into_inner().topic.expect("a topic");
        assert_eq!((said.answer_count, said.unanswered_count), (1, 4));
        assert_eq!(reason(olga.answer_topic(pb::AnswerTopicRequest { request_id: "s2".into(), ..answer }).await),
            ErrorReason::EtagMismatch);
        let spread = || SpreadAnswers { rows_max: 3 };
        let mut rounds = 0;
        while t.execute(spread()).await.expect("spreads") > 0 {
            rounds += 1;
        }
        assert_eq!(rounds, 2, "three and one");
        for id in &ids[..4] {
            let case = get(&server, id).await;
            assert_eq!((case.message_count, case.state()), (2, pb::CaseState::WaitingRetailer));
            assert!(case.response_time.is_some(), "it was answered");
        }
        assert_eq!(get(&server, &ids[4]).await.message_count, 1);
        // Who joins later hears it too; who heard it does not again.
        olga.add_cases_to_topic(add("l", &ids)).await.expect("grouped");
        while t.execute(spread()).await.expect("spreads") > 0 {}
        for id in &ids {
            assert_eq!(get(&server, id).await.message_count, 2);
        }
        let listed = olga.list_topics(pb::ListTopicsRequest::default()).await.expect("a list").into_inner();
        assert_eq!((listed.topics[0].case_count, listed.topics[0].unanswered_count), (5, 0));
        let theirs = pb::ListCasesRequest { topic_id: made.topic_id.clone(), ..Default::default() };
        assert_eq!(olga.list_cases(theirs.clone()).await.expect("a list").into_inner().cases.len(), 5);
        assert_eq!(reason(server.care_of(1).list_cases(theirs).await), ErrorReason::InvalidField);
    }
}
