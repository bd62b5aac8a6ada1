//! Customer care, call by call.

use contracts::ErrorReason;
use contracts::common::v1::RetailerRole;
use contracts::fulfillment::v1 as pb;
use contracts::fulfillment::v1::fulfillment_feed_entry::Content;
use contracts::id::{CaseId, RefundId, ReturnId};
use contracts::order::v1::RefundState;
use fulfillment::Config;
use kit::clock::Clock;
use prost::Message;
use testkit::house::refused;
use testkit::{TestDb, on_both_engines};
use tonic::{Response, Status};

use crate::common::*;
use crate::orders::Orders;
use crate::returns::{reason, requested};
use crate::server::{Server, house};

pub const WORDS: &str = "Zoë's jacket has no label; call me at +33 1 23 45 67 89";

pub fn says(
    author: pb::CaseParty,
    visibility: pb::MessageVisibility,
    text: &str,
) -> Option<pb::CaseMessageDraft> {
    Some(pb::CaseMessageDraft {
        author: author.into(),
        visibility: visibility.into(),
        text: text.into(),
        attachments: Vec::new(),
    })
}

pub fn shopper(text: &str) -> Option<pb::CaseMessageDraft> {
    says(
        pb::CaseParty::Shopper,
        pb::MessageVisibility::ShopperAndAll,
        text,
    )
}

pub fn retailer(text: &str) -> Option<pb::CaseMessageDraft> {
    says(
        pb::CaseParty::Retailer,
        pb::MessageVisibility::ShopperAndAll,
        text,
    )
}

/// A case of partner 1 about nothing in particular.
pub fn open(key: &str) -> pb::OpenCaseRequest {
    pb::OpenCaseRequest {
        request_id: key.into(),
        partner_id: String::new(),
        shopper_ref: format!("shopper-{key}"),
        category: pb::CaseCategory::Counterfeit.into(),
        priority: 0,
        references: None,
        message: shopper(WORDS),
    }
}

/// The same about an order.
pub fn open_about(key: &str, order: u128) -> pb::OpenCaseRequest {
    pb::OpenCaseRequest {
        references: Some(pb::CaseReferences {
            order_id: order_id(order).into(),
            ..pb::CaseReferences::default()
        }),
        ..open(key)
    }
}

pub async fn opened(server: &Server, request: pb::OpenCaseRequest) -> pb::CareCase {
    let answer = server.care_of(1).open_case(request).await;
    answer
        .expect("opens")
        .into_inner()
        .care_case
        .expect("a case")
}

pub fn post(
    key: &str,
    case_id: &str,
    message: Option<pb::CaseMessageDraft>,
) -> pb::PostMessageRequest {
    pb::PostMessageRequest {
        request_id: key.into(),
        case_id: case_id.into(),
        etag: String::new(),
        message,
        wait_for: 0,
    }
}

pub fn resolve(key: &str, case_id: &str, outcomes: Vec<pb::CaseOutcome>) -> pb::ResolveCaseRequest {
    pb::ResolveCaseRequest {
        request_id: key.into(),
        case_id: case_id.into(),
        etag: String::new(),
        outcomes,
        reason: "It is done".into(),
    }
}

pub fn plain(kind: pb::CaseOutcomeKind) -> pb::CaseOutcome {
    pb::CaseOutcome {
        kind: kind.into(),
        ..pb::CaseOutcome::default()
    }
}

pub fn by_refund(refund: u128) -> pb::CaseOutcome {
    pb::CaseOutcome {
        refund_id: RefundId::from_uuid(refund).into(),
        ..plain(pb::CaseOutcomeKind::Refund)
    }
}

pub fn close(key: &str, case_id: &str) -> pb::CloseCaseRequest {
    pb::CloseCaseRequest {
        request_id: key.into(),
        case_id: case_id.into(),
        ..pb::CloseCaseRequest::default()
    }
}

pub async fn get(server: &Server, case_id: &str) -> pb::CareCase {
    let case_id = case_id.to_owned();
    let mut care = server.care_as("ana", RetailerRole::Care);
    let answer = care.get_case(pb::GetCaseRequest { case_id }).await;
    answer
        .expect("there")
        .into_inner()
        .care_case
        .expect("a case")
}

/// What the feed tells of cases: what happened, and whether partner 1 may know.
pub async fn told(t: &TestDb) -> Vec<(pb::CaseChange, bool)> {
    let entries = feed(t).await;
    let events = entries.into_iter().filter_map(|entry| match entry.content {
        Some(Content::CaseEvent(event)) => {
            let is_theirs = !entry.meta.expect("meta").partner_id.is_empty();
            Some((event.change(), is_theirs))
        }
        _ => None,
    });
    events.collect()
}

/// A server whose order service knows orders and refunds by its lists.
pub async fn with_orders(t: &TestDb) -> (Server, Orders) {
    let house = house(t);
    let orders = Orders::new(t);
    let wire = orders.wire(&house);
    let server = Server::start_with(t, house, wire, Config::default(), false).await;
    (server, orders)
}

async fn messages(mut care: crate::server::CareClient, case_id: &str) -> Vec<pb::CaseMessage> {
    let request = pb::ListMessagesRequest {
        case_id: case_id.into(),
        ..pb::ListMessagesRequest::default()
    };
    let answer = care.list_messages(request).await;
    answer.expect("messages").into_inner().messages
}

async fn actions(mut care: crate::server::CareClient, case_id: &str) -> Vec<pb::CaseAction> {
    let request = pb::ListCaseActionsRequest {
        case_id: case_id.into(),
        ..pb::ListCaseActionsRequest::default()
    };
    let answer = care.list_case_actions(request).await;
    answer.expect("a log").into_inner().actions
}

fn same<T: std::fmt::Debug>(
    foreign: Result<Response<T>, Status>,
    unknown: Result<Response<T>, Status>,
) {
    let (foreign, unknown) = (foreign.expect_err("foreign"), unknown.expect_err("unknown"));
    assert_eq!(
        (foreign.code(), foreign.message(), foreign.details()),
        (unknown.code(), unknown.message(), unknown.details())
    );
}

on_both_engines! {
    setup: setup();

    async fn a_case_goes_from_its_first_words_to_its_end(t: TestDb) {
        let (server, orders) = with_orders(&t).await;
        delivered(&t, 1, &[2]).await;
        let goods_return = requested(&server, "r", 1, &[(1, 1)]).await;
        orders.list_refund(refund(&goods_return, 7, RefundState::Authorised, 1));
        let made = opened(&server, open_about("k", 1)).await;
        assert_eq!((made.state(), made.level(), made.opened_by()),
            (pb::CaseState::Open, pb::CaseLevel::Issue, pb::CaseParty::Shopper));
        let next = made.next_action.as_ref().expect("somebody's turn");
        assert_eq!((next.party(), next.action()), (pb::CaseParty::Retailer, pb::CaseActionKind::Respond));
        assert_eq!(next.deadline, made.response_due_time);
        let id = made.case_id;
        let mut ana = server.care_as("ana", RetailerRole::Care);
        let take = pb::TakeNextCaseRequest { request_id: "t".into(), level: 0 };
        let taken = ana.take_next_case(take.clone()).await.expect("takes").into_inner().care_case.expect("one");
        assert_eq!((taken.case_id.as_str(), taken.agent.as_str()), (id.as_str(), "ana"));
        let again = ana.take_next_case(take).await.expect("the same").into_inner().care_case;
        assert_eq!(again.expect("one").case_id, id);
        let note = says(pb::CaseParty::Retailer, pb::MessageVisibility::RetailerOnly, "He called before");
        ana.post_message(post("n", &id, note)).await.expect("a note");
        let answered = ana.post_message(post("a", &id, retailer("Please send a picture"))).await.expect("answers");
        let answered = answered.into_inner().care_case.expect("a case");
        assert_eq!(answered.state(), pb::CaseState::WaitingShopper);
        assert_eq!(answered.response_time, Some(t.clock.now().to_proto()));
        let mut picture = shopper("Here it is");
        if let Some(draft) = &mut picture {
            draft.attachments.push(pb::CaseAttachment {
                attachment_reference: "pictures/1".into(),
                sha256_digest: "ab".repeat(32),
                media_type: "image/jpeg".into(),
                size_bytes: 12_345,
            });
        }
        let theirs = server.care_of(1).post_message(post("p", &id, picture)).await.expect("speaks").into_inner();
        let theirs = theirs.care_case.expect("a case");
        assert_eq!((theirs.state(), theirs.agent.as_str(), theirs.is_assigned), (pb::CaseState::WaitingRetailer, "", true));
        let outcomes = vec![by_refund(7), pb::CaseOutcome {
            return_id: goods_return.return_id.clone(),
            ..plain(pb::CaseOutcomeKind::Return)
        }];
        let request = resolve("r", &id, outcomes);
        let done = ana.resolve_case(request.clone()).await.expect("resolves").into_inner().care_case.expect("a case");
        assert_eq!(done.state(), pb::CaseState::Resolved);
        assert_eq!(done.outcomes[0].amount.as_ref().map(|money| money.minor_units), Some(1_990));
        let replayed = ana.resolve_case(request).await.expect("the same").into_inner().care_case.expect("a case");
        assert_eq!(replayed, done);
        server.care_of(1).close_case(close("c", &id)).await.expect("closes");
        let before = get(&server, &id).await;
        let late = server.care_of(1).post_message(post("late", &id, shopper("Hello?"))).await;
        let late = refused(late);
        assert_eq!((late.reason, late.metadata["case_id"].as_str()), (ErrorReason::CaseClosed, id.as_str()));
        assert_eq!(get(&server, &id).await, before, "nothing changed");
        // Who sees what.
        let shown: Vec<_> = messages(server.care_of(1), &id).await;
        let numbers: Vec<_> = shown.iter().map(|m| (m.message_number, m.agent.as_str())).collect();
        assert_eq!(numbers, [(1, ""), (3, ""), (4, "")]);
        assert_eq!((shown[0].text.as_str(), shown[2].attachments.len()), (WORDS, 1));
        let all = messages(server.care_as("bo", RetailerRole::Inspector), &id).await;
        assert_eq!((all.len(), all[1].agent.as_str()), (4, "ana"));
        let log = actions(server.care_as("bo", RetailerRole::Ops), &id).await;
        let changes: Vec<_> = log.iter().map(pb::CaseAction::change).collect();
        use pb::CaseChange::{Assigned, Closed, Message, Opened, Resolved};
        assert_eq!(changes, [Opened, Assigned, Message, Message, Message, Resolved, Closed]);
        assert!(log.iter().zip(1..).all(|(action, number)| action.action_number == number));
        assert_eq!((log[5].actor.as_str(), log[5].reason.as_str()), ("ana", "It is done"));
        let log = actions(server.care_of(1), &id).await;
        assert_eq!(log.iter().map(|a| a.action_number).collect::<Vec<_>>(), [1, 4, 5, 6, 7]);
        assert!(log.iter().all(|action| action.actor != "ana"));
        let told = told(&t).await;
        assert_eq!(told, [(Opened, true), (Assigned, false), (Message, false), (Message, true), (Message, true),
            (Resolved, true), (Closed, true)]);
        for entry in feed(&t).await {
            let bytes = entry.encode_to_vec();
            for word in ["label", "picture", "called", "ana"] {
                assert!(!bytes.windows(word.len()).any(|part| part == word.as_bytes()), "{word}");
            }
        }
    }

    async fn anothers_case_is_to_a_partner_what_an_unknown_one_is(t: TestDb) {
        let (server, _orders) = with_orders(&t).await;
        delivered(&t, 1, &[2]).await;
        let made = opened(&server, open_about("k", 1)).await;
        let nobody = CaseId::from_uuid(999).to_string();
        let (id, mut other) = (made.case_id.clone(), server.care_of(2));
        let ask = |case_id: &str| pb::GetCaseRequest { case_id: case_id.into() };
        same(other.get_case(ask(&id)).await, other.get_case(ask(&nobody)).await);
        let ask = |case_id: &str| pb::ListMessagesRequest { case_id: case_id.into(), ..Default::default() };
        same(other.list_messages(ask(&id)).await, other.list_messages(ask(&nobody)).await);
        let ask = |case_id: &str| pb::ListCaseActionsRequest { case_id: case_id.into(), ..Default::default() };
        same(other.list_case_actions(ask(&id)).await, other.list_case_actions(ask(&nobody)).await);
        let ask = |case_id: &str| post("x", case_id, shopper("Hi"));
        same(other.post_message(ask(&id)).await, other.post_message(ask(&nobody)).await);
        same(other.close_case(close("x", &id)).await, other.close_case(close("x", &nobody)).await);
        let ask = |case_id: &str| pb::EscalateCaseRequest {
            request_id: "x".into(), case_id: case_id.into(), level: pb::CaseLevel::Dispute.into(),
            reason: "no".into(), ..Default::default()
        };
        same(other.escalate_case(ask(&id)).await, other.escalate_case(ask(&nobody)).await);
        let ask = |case_id: &str| pb::ReopenCaseRequest {
            request_id: "x".into(), case_id: case_id.into(), reason: "no".into(), ..Default::default()
        };
        same(other.reopen_case(ask(&id)).await, other.reopen_case(ask(&nobody)).await);
        // So is another's order behind a case of one's own.
        same(other.open_case(open_about("x", 1)).await, other.open_case(open_about("x", 77)).await);
        let listed = other.list_cases(pb::ListCasesRequest::default()).await.expect("an empty list").into_inner();
        assert!(listed.cases.is_empty());
        assert_eq!(get(&server, &id).await.etag, made.etag, "nothing changed");
    }

    async fn what_a_case_names_has_to_be_the_partners(t: TestDb) {
        let (server, orders) = with_orders(&t).await;
        delivered(&t, 1, &[2]).await;
        delivered(&t, 2, &[2]).await;
        let first = requested(&server, "r1", 1, &[(1, 1)]).await;
        let mut care = server.care_of(1);
        let names = |references| pb::OpenCaseRequest { references: Some(references), ..open("k") };
        let both = pb::CaseReferences {
            order_id: order_id(2).into(), return_id: first.return_id.clone(), ..Default::default()
        };
        assert_eq!(reason(care.open_case(names(both)).await), ErrorReason::NotFound);
        let line = pb::CaseReferences { order_line_id: line_id(1, 1).into(), ..Default::default() };
        assert_eq!(reason(care.open_case(names(line)).await), ErrorReason::InvalidField);
        let line = pb::CaseReferences {
            order_id: order_id(1).into(), order_line_id: line_id(2, 1).into(), ..Default::default()
        };
        assert_eq!(reason(care.open_case(names(line)).await), ErrorReason::NotFound);
        let line = pb::CaseReferences { return_id: first.return_id.clone(), ..Default::default() };
        let made = opened(&server, names(line)).await;
        let found = made.references.expect("references");
        assert_eq!(found.order_id, String::from(order_id(1)), "the order follows from the return");
        // An order that was never paid is looked up at the order service.
        assert_eq!(reason(care.open_case(open_about("u", 5)).await), ErrorReason::NotFound);
        orders.list(order(5, &[1], t.clock.now()));
        let unpaid = opened(&server, open_about("u", 5)).await;
        let mut ana = server.care_as("ana", RetailerRole::Care);
        // Nor does an outcome of another order come out of it.
        orders.list_refund(refund(&first, 7, RefundState::Authorised, 1));
        for outcome in [by_refund(7), by_refund(8), pb::CaseOutcome {
            return_id: first.return_id.clone(), ..plain(pb::CaseOutcomeKind::Return)
        }, pb::CaseOutcome {
            return_id: ReturnId::from_uuid(9).into(), ..plain(pb::CaseOutcomeKind::Return)
        }] {
            let refused = ana.resolve_case(resolve("r", &unpaid.case_id, vec![outcome])).await;
            assert_eq!(reason(refused), ErrorReason::NotFound);
        }
        assert_eq!(get(&server, &unpaid.case_id).await.etag, unpaid.etag);
    }

    async fn a_step_that_does_not_fit_is_refused_for_a_reason_of_its_own(t: TestDb) {
        let server = Server::start(&t).await;
        let made = opened(&server, open("k")).await;
        let (id, mut ana) = (made.case_id.as_str(), server.care_as("ana", RetailerRole::Care));
        let mut ops = server.care_as("olga", RetailerRole::Ops);
        assert_eq!(reason(ana.resolve_case(resolve("r", id, vec![])).await), ErrorReason::OutcomeMissing);
        let raise = |key: &str, level: pb::CaseLevel| pb::EscalateCaseRequest {
            request_id: key.into(), case_id: id.into(), level: level.into(), reason: "no answer".into(),
            ..Default::default()
        };
        assert_eq!(reason(ana.escalate_case(raise("e", pb::CaseLevel::Issue)).await), ErrorReason::LevelNotHigher);
        let stale = pb::CloseCaseRequest { etag: "v9".into(), ..close("c", id) };
        assert_eq!(reason(ops.close_case(stale).await), ErrorReason::EtagMismatch);
        assert_eq!(reason(ops.close_case(close("c", id)).await), ErrorReason::WrongState);
        let decision = pb::CaseDecision {
            ruling: pb::CaseRuling::ForRetailer.into(), reason: "so".into(), ..Default::default()
        };
        let decide = pb::DecideDisputeRequest {
            request_id: "d".into(), case_id: id.into(), decision: Some(decision), ..Default::default()
        };
        assert_eq!(reason(ops.decide_dispute(decide.clone()).await), ErrorReason::WrongState);
        assert_eq!(get(&server, id).await.etag, made.etag, "nothing changed");
        ana.escalate_case(raise("e", pb::CaseLevel::Dispute)).await.expect("rises");
        assert_eq!(reason(ops.decide_dispute(decide).await), ErrorReason::ArbiterMissing);
        let answered = vec![plain(pb::CaseOutcomeKind::Answered)];
        assert_eq!(reason(ana.resolve_case(resolve("r", id, answered)).await), ErrorReason::DecisionPending);
        let unanswered = vec![plain(pb::CaseOutcomeKind::Unanswered)];
        assert_eq!(reason(ana.resolve_case(resolve("r", id, unanswered)).await), ErrorReason::InvalidField);
        // The same key with the same content is the same case; with other content it is refused.
        assert_eq!(opened(&server, open("k")).await.case_id, made.case_id);
        let other = pb::OpenCaseRequest { shopper_ref: "other".into(), ..open("k") };
        assert_eq!(reason(server.care_of(1).open_case(other).await), ErrorReason::KeyReused);
        let urgent = pb::OpenCaseRequest { priority: pb::CasePriority::Urgent.into(), ..open("u") };
        assert_eq!(reason(server.care_of(1).open_case(urgent).await), ErrorReason::InvalidField);
        let nobodys = pb::OpenCaseRequest { message: retailer("Hello"), ..open("o") };
        assert_eq!(reason(ana.open_case(nobodys.clone()).await), ErrorReason::InvalidField);
        let ours = pb::OpenCaseRequest { partner_id: partner(1).into(), ..nobodys };
        let ours = ana.open_case(ours).await.expect("opens").into_inner().care_case.expect("a case");
        assert_eq!((ours.opened_by(), ours.state()), (pb::CaseParty::Retailer, pb::CaseState::WaitingShopper));
    }

    async fn agents_find_their_work_in_the_views(t: TestDb) {
        let server = Server::start(&t).await;
        let mut ids = Vec::new();
        for (key, priority) in [("a", 2), ("b", 3), ("c", 1), ("d", 3)] {
            let request = pb::OpenCaseRequest { priority, ..open(key) };
            ids.push(opened(&server, request).await.case_id);
            t.clock.advance(std::time::Duration::from_secs(60));
        }
        let mut ana = server.care_as("ana", RetailerRole::Care);
        let unassigned = pb::ListCasesRequest {
            view: pb::CaseView::Unassigned.into(), page_size: 3, ..Default::default()
        };
        let page = ana.list_cases(unassigned.clone()).await.expect("a page").into_inner();
        let found: Vec<_> = page.cases.iter().map(|case| &case.case_id).collect();
        assert_eq!(found, [&ids[1], &ids[3], &ids[0]], "what is due first comes first");
        let rest = pb::ListCasesRequest { page_token: page.next_page_token, ..unassigned };
        let page = ana.list_cases(rest).await.expect("a page").into_inner();
        assert_eq!((page.cases[0].case_id.as_str(), page.next_page_token.as_str()), (ids[2].as_str(), ""));
        let take = |key: &str| pb::TakeNextCaseRequest { request_id: key.into(), level: 0 };
        let taken = ana.take_next_case(take("t1")).await.expect("takes").into_inner().care_case.expect("one");
        assert_eq!(taken.case_id, ids[1]);
        let mine = pb::ListCasesRequest { view: pb::CaseView::Mine.into(), ..Default::default() };
        assert_eq!(ana.list_cases(mine.clone()).await.expect("a page").into_inner().cases.len(), 1);
        let mut bo = server.care_as("bo", RetailerRole::Care);
        assert!(bo.list_cases(mine.clone()).await.expect("a page").into_inner().cases.is_empty());
        let breaching = pb::ListCasesRequest {
            view: pb::CaseView::Breaching.into(),
            breach_before_time: Some(t.clock.now().plus(std::time::Duration::from_secs(5 * 3_600)).to_proto()),
            ..Default::default()
        };
        let page = ana.list_cases(breaching).await.expect("a page").into_inner();
        assert_eq!(page.cases.len(), 2, "both of priority HIGH");
        assert_eq!(reason(server.care_of(1).list_cases(mine).await), ErrorReason::InvalidField);
        let shopper = pb::ListCasesRequest { shopper_ref: "shopper-c".into(), ..Default::default() };
        let page = server.care_of(1).list_cases(shopper).await.expect("a page").into_inner();
        assert_eq!((page.cases.len(), page.cases[0].case_id.as_str()), (1, ids[2].as_str()));
        let back = pb::AssignCaseRequest {
            request_id: "back".into(), case_id: ids[1].clone(), ..Default::default()
        };
        ana.assign_case(back).await.expect("gives it back");
        let taken = bo.take_next_case(take("t2")).await.expect("takes").into_inner().care_case.expect("one");
        assert_eq!(taken.case_id, ids[1]);
        let level = pb::TakeNextCaseRequest { level: pb::CaseLevel::Grievance.into(), ..take("t3") };
        assert_eq!(bo.take_next_case(level).await.expect("an answer").into_inner().care_case, None);
    }
}
