//! Goods that come back, call by call.

use contracts::ErrorReason;
use contracts::common::v1::RetailerRole;
use contracts::fulfillment::v1 as pb;
use contracts::fulfillment::v1::decide_return_request::Decision;
use contracts::fulfillment::v1::fulfillment_feed_entry::Content;
use contracts::id::{RefundId, ReturnId};
use contracts::order::v1::{LineQuantity, RefundState};
use kit::auth::Claims;
use kit::clock::Clock;
use prost::Message;
use testkit::house::{refusal, refused};
use testkit::{TestDb, on_both_engines};
use tonic::{Code, Status};

use crate::common::*;
use crate::server::{ReturnClient, Server};

pub const NOTE: &str = "The zip of Zoë's jacket broke";

pub fn reason<T: std::fmt::Debug>(answer: Result<T, Status>) -> ErrorReason {
    refused(answer).reason
}

/// Wants lines of an order back.
pub fn ask(key: &str, order: u128, lines: &[(u128, i64)]) -> pb::RequestReturnRequest {
    let lines = lines.iter().map(|(line, quantity)| pb::ReturnLineDraft {
        order_line_id: line_id(order, *line).into(),
        quantity: *quantity,
        reason: pb::ReturnReason::Defective.into(),
        unit_ids: Vec::new(),
    });
    pb::RequestReturnRequest {
        request_id: key.into(),
        order_id: order_id(order).into(),
        kind: pb::ReturnKind::ReturnAndRefund.into(),
        lines: lines.collect(),
        shopper_note: NOTE.into(),
    }
}

/// A yes to all or to some lines.
pub fn approve(key: &str, return_id: &str, lines: Vec<LineQuantity>) -> pb::DecideReturnRequest {
    let approval = pb::ReturnApproval {
        lines,
        instructions: Some(pb::ReturnInstructions {
            return_site_reference: "lyon-2".into(),
            carrier_code: "colis".into(),
            tracking_number: "R123".into(),
            return_by_time: None,
        }),
        message: "Please keep the box".into(),
    };
    pb::DecideReturnRequest {
        request_id: key.into(),
        return_id: return_id.into(),
        decision: Some(Decision::Approve(approval)),
        etag: String::new(),
    }
}

pub fn reject(key: &str, return_id: &str) -> pb::DecideReturnRequest {
    let message = "It was worn".to_owned();
    pb::DecideReturnRequest {
        request_id: key.into(),
        return_id: return_id.into(),
        decision: Some(Decision::Reject(pb::ReturnRejection { message })),
        etag: String::new(),
    }
}

pub fn cancel(key: &str, return_id: &str) -> pb::CancelReturnRequest {
    pb::CancelReturnRequest {
        request_id: key.into(),
        return_id: return_id.into(),
        etag: String::new(),
    }
}

/// One condition of one line.
pub fn came(
    order: u128,
    line: u128,
    quantity: i64,
    condition: pb::GoodsCondition,
    restock: bool,
) -> pb::ReceivedUnits {
    pb::ReceivedUnits {
        order_line_id: line_id(order, line).into(),
        quantity,
        condition: condition.into(),
        restock,
        unit_ids: Vec::new(),
    }
}

pub fn receive(
    key: &str,
    return_id: &str,
    units: Vec<pb::ReceivedUnits>,
) -> pb::RecordReturnReceivedRequest {
    pb::RecordReturnReceivedRequest {
        request_id: key.into(),
        return_id: return_id.into(),
        units,
        etag: String::new(),
    }
}

/// Asked for by the partner; gives the return.
pub async fn requested(
    server: &Server,
    key: &str,
    order: u128,
    lines: &[(u128, i64)],
) -> pb::GoodsReturn {
    let answer = server
        .returns_of(1)
        .request_return(ask(key, order, lines))
        .await;
    answer
        .expect("set aside")
        .into_inner()
        .goods_return
        .expect("a return")
}

/// Asked for and approved whole.
pub async fn approved(
    server: &Server,
    key: &str,
    order: u128,
    lines: &[(u128, i64)],
) -> pb::GoodsReturn {
    let made = requested(server, key, order, lines).await;
    let mut care = server.returns_as(RetailerRole::Care);
    let answer = care
        .decide_return(approve(&format!("{key}-yes"), &made.return_id, vec![]))
        .await;
    answer
        .expect("approved")
        .into_inner()
        .goods_return
        .expect("a return")
}

async fn get(client: &mut ReturnClient, id: &str) -> Result<pb::GetReturnResponse, Status> {
    let return_id = id.to_owned();
    let answer = client.get_return(pb::GetReturnRequest { return_id }).await;
    answer.map(tonic::Response::into_inner)
}

on_both_engines! {
    setup: setup();

    async fn from_wish_to_refund(t: TestDb) {
        let server = Server::start(&t).await;
        delivered(&t, 1, &[3, 1]).await;
        let (mut partner, mut care) = (server.returns_of(1), server.returns_as(RetailerRole::Care));
        let made = requested(&server, "k1", 1, &[(1, 3), (2, 1)]).await;
        assert_eq!((made.state(), made.initiator()), (pb::ReturnState::Requested, pb::ReturnInitiator::Partner));
        assert_eq!((made.lines[0].sku.as_str(), made.lines[0].requested_quantity), ("SKU-1", 3));
        assert_eq!((made.partner_id.as_str(), made.etag.as_str()), (partner_of(1).as_str(), "v1"));

        let two = LineQuantity { order_line_id: line_id(1, 1).into(), quantity: 2 };
        let answer = care.decide_return(approve("k2", &made.return_id, vec![two])).await.expect("approved");
        let approved = answer.into_inner().goods_return.expect("a return");
        let told = approved.instructions.clone().expect("where to");
        assert_eq!((told.return_site_reference.as_str(), told.tracking_number.as_str()), ("lyon-2", "R123"));
        let by = t.clock.now().plus(std::time::Duration::from_secs(14 * 86_400));
        assert_eq!(told.return_by_time, Some(by.to_proto()));
        assert_eq!((approved.lines[0].approved_quantity, approved.lines[1].approved_quantity), (2, 0));

        let mut warehouse = server.returns_as(RetailerRole::Warehouse);
        let units = vec![
            came(1, 1, 1, pb::GoodsCondition::Opened, true),
            came(1, 1, 1, pb::GoodsCondition::Damaged, false),
        ];
        let answer = warehouse.record_return_received(receive("k3", &made.return_id, units)).await.expect("received");
        let received = answer.into_inner().goods_return.expect("a return");
        let line = &received.lines[0];
        assert_eq!((line.received_quantity, line.restock_quantity, line.conditions.len()), (2, 1, 2));
        assert_eq!(received.lines[1].received_quantity, 0);
        assert!(received.receive_time.is_some() && received.finish_time.is_none());
        let goods = of_order(&t, order_id(1)).await;
        assert_eq!((goods.lines[0].returned, goods.lines[0].in_returns, goods.lines[1].in_returns), (2, 0, 0));

        t.execute(Apply(refund(&received, 7, RefundState::Authorised, 1))).await.expect("told");
        let waiting = get(&mut partner, &made.return_id).await.expect("its own").goods_return.expect("a return");
        let known = waiting.refund.expect("authorised");
        assert_eq!((known.refund_id, known.state), (RefundId::from_uuid(7).to_string(), RefundState::Authorised.into()));
        assert_eq!(waiting.state, i32::from(pb::ReturnState::Received));
        for (state, attempt) in [(RefundState::Failed, 1), (RefundState::Authorised, 2), (RefundState::Executed, 2)] {
            t.execute(Apply(refund(&received, 7, state, attempt))).await.expect("told");
            // Told twice is told once.
            t.execute(Apply(refund(&received, 7, state, attempt))).await.expect("told");
        }
        let seen = get(&mut partner, &made.return_id).await.expect("its own");
        let done = seen.goods_return.expect("a return");
        assert_eq!((done.state(), seen.shopper_note.as_str()), (pb::ReturnState::Completed, NOTE));
        assert_eq!(done.refund.map(|refund| refund.shopper_amount.expect("money").minor_units), Some(1_990));
        assert!(done.finish_time.is_some());
        assert_eq!(get(&mut warehouse, &made.return_id).await.expect("theirs to see").shopper_note, "");
        assert_eq!(get(&mut care, &made.return_id).await.expect("theirs to see").shopper_note, NOTE);
        assert_eq!(
            story(&t).await[5..],
            [
                "return REQUESTED", "return APPROVED", "return RECEIVED", "fulfillment FINISHED", "return RECEIVED",
                "return RECEIVED", "return RECEIVED", "return COMPLETED",
            ]
        );
        for entry in feed(&t).await {
            let bytes = entry.encode_to_vec();
            assert!(!bytes.windows(8).any(|part| part == &NOTE.as_bytes()[..8]), "a feed says nothing of a person");
        }
        check_feed(&t).await;
    }

    async fn the_same_key_has_the_same_answer_and_one_effect(t: TestDb) {
        let server = Server::start(&t).await;
        delivered(&t, 1, &[4]).await;
        let (mut partner, mut care) = (server.returns_of(1), server.returns_as(RetailerRole::Care));
        let mut warehouse = server.returns_as(RetailerRole::Warehouse);
        macro_rules! twice {
            ($client:ident.$method:ident, $request:expr, $other:expr) => {{
                let request = $request;
                let first = $client.$method(request.clone()).await.expect("done").into_inner();
                let again = $client.$method(request).await.expect("the same").into_inner();
                assert_eq!(first, again);
                assert_eq!(reason($client.$method($other).await), ErrorReason::KeyReused);
                first.goods_return.expect("a return").return_id
            }};
        }
        let id = twice!(partner.request_return, ask("k1", 1, &[(1, 2)]), ask("k1", 1, &[(1, 1)]));
        assert_eq!(of_order(&t, order_id(1)).await.lines[0].in_returns, 2);
        let mut other_words = ask("k1", 1, &[(1, 2)]);
        other_words.shopper_note = "It hums".into();
        assert_eq!(reason(partner.request_return(other_words).await), ErrorReason::KeyReused);
        twice!(care.decide_return, approve("k2", &id, vec![]), reject("k2", &id));
        let one = || vec![came(1, 1, 1, pb::GoodsCondition::AsNew, true)];
        let two = vec![came(1, 1, 2, pb::GoodsCondition::AsNew, true)];
        twice!(warehouse.record_return_received, receive("k3", &id, one()), receive("k3", &id, two));
        let goods = of_order(&t, order_id(1)).await;
        assert_eq!((goods.lines[0].in_returns, goods.lines[0].returned), (0, 1));
        let other = requested(&server, "k4", 1, &[(1, 3)]).await.return_id;
        twice!(partner.cancel_return, cancel("k5", &other), cancel("k5", &id));
        // A refusal is not remembered: when it can be done, the same key does it.
        assert_eq!(reason(partner.request_return(ask("k6", 1, &[(1, 4)])).await), ErrorReason::OverQuantity);
        partner.request_return(ask("k6", 1, &[(1, 3)])).await.expect("three are left");
        check_feed(&t).await;
    }

    async fn partners_see_their_own_and_foreign_is_like_unknown(t: TestDb) {
        let server = Server::start(&t).await;
        delivered(&t, 1, &[2]).await;
        let made = requested(&server, "k1", 1, &[(1, 1)]).await;
        let (mut own, mut other) = (server.returns_of(1), server.returns_of(2));
        let same = |foreign: Status, unknown: Status| {
            assert_eq!((foreign.code(), foreign.message()), (unknown.code(), unknown.message()));
            assert_eq!(foreign.details(), unknown.details());
            assert_eq!(refusal(&foreign).reason, ErrorReason::NotFound);
        };
        let unknown = ReturnId::from_uuid(99).to_string();
        same(
            get(&mut other, &made.return_id).await.expect_err("foreign"),
            get(&mut other, &unknown).await.expect_err("unknown"),
        );
        same(
            other.cancel_return(cancel("k", &made.return_id)).await.expect_err("foreign"),
            other.cancel_return(cancel("k", &unknown)).await.expect_err("unknown"),
        );
        same(
            other.request_return(ask("k", 1, &[(1, 1)])).await.expect_err("foreign"),
            other.request_return(ask("k", 99, &[(1, 1)])).await.expect_err("unknown"),
        );
        let check = |at: u128| pb::CheckReturnEligibilityRequest { order_id: order_id(at).into() };
        same(
            other.check_return_eligibility(check(1)).await.expect_err("foreign"),
            other.check_return_eligibility(check(99)).await.expect_err("unknown"),
        );
        let list = |at: u128| pb::ListReturnsRequest { partner_id: partner(at).into(), ..Default::default() };
        same(
            other.list_returns(list(1)).await.expect_err("foreign"),
            other.list_returns(list(99)).await.expect_err("unknown"),
        );
        let of_order = pb::ListReturnsRequest { order_id: order_id(1).into(), ..Default::default() };
        let nothing = other.list_returns(of_order.clone()).await.expect("a page").into_inner();
        assert_eq!(nothing, pb::ListReturnsResponse::default());
        assert_eq!(own.list_returns(of_order).await.expect("a page").into_inner().goods_returns, [made]);
    }

    async fn who_may_do_what(t: TestDb) {
        let server = Server::start(&t).await;
        delivered(&t, 1, &[2]).await;
        let made = requested(&server, "k1", 1, &[(1, 1)]).await;
        let mut partner = server.returns_of(1);
        let units = || vec![came(1, 1, 1, pb::GoodsCondition::AsNew, true)];
        let denied = |code: Code| assert_eq!(code, Code::PermissionDenied);
        denied(partner.decide_return(approve("k", &made.return_id, vec![])).await.expect_err("care's").code());
        let received = partner.record_return_received(receive("k", &made.return_id, units())).await;
        denied(received.expect_err("the warehouse's").code());
        let mut warehouse = server.returns_as(RetailerRole::Warehouse);
        denied(warehouse.decide_return(approve("k", &made.return_id, vec![])).await.expect_err("care's").code());
        denied(warehouse.request_return(ask("k", 1, &[(1, 1)])).await.expect_err("care's").code());
        let mut care = server.returns_as(RetailerRole::Care);
        denied(care.record_return_received(receive("k", &made.return_id, units())).await.expect_err("not there").code());
        // Care asks for a shopper who called, and takes back what a partner asked for.
        let answer = care.request_return(ask("k", 1, &[(1, 1)])).await.expect("set aside").into_inner();
        let by_care = answer.goods_return.expect("a return");
        assert_eq!(by_care.initiator(), pb::ReturnInitiator::Retailer);
        care.cancel_return(cancel("k2", &made.return_id)).await.expect("taken back");
        // The partner sees both, and may take back the other.
        let seen = partner.list_returns(pb::ListReturnsRequest::default()).await.expect("a page").into_inner();
        assert_eq!(seen.goods_returns.len(), 2);
        partner.cancel_return(cancel("k3", &by_care.return_id)).await.expect("taken back");
        let mut service = server.returns(Claims::service("order", None));
        let seen = service.list_returns(pb::ListReturnsRequest::default()).await.expect("a page").into_inner();
        assert_eq!(seen.goods_returns.len(), 2);
        assert_eq!(of_order(&t, order_id(1)).await.lines[0].in_returns, 0);
        check_feed(&t).await;
    }

    async fn a_stale_etag_changes_nothing(t: TestDb) {
        let server = Server::start(&t).await;
        delivered(&t, 1, &[2]).await;
        let (mut partner, mut care) = (server.returns_of(1), server.returns_as(RetailerRole::Care));
        let mut warehouse = server.returns_as(RetailerRole::Warehouse);
        let made = approved(&server, "k1", 1, &[(1, 1)]).await;
        assert_eq!(made.etag, "v2");
        let id = made.return_id.as_str();
        let stale = |reason: ErrorReason| assert_eq!(reason, ErrorReason::EtagMismatch);
        let decide = pb::DecideReturnRequest { etag: "v1".into(), ..reject("k2", id) };
        stale(reason(care.decide_return(decide).await));
        stale(reason(partner.cancel_return(pb::CancelReturnRequest { etag: "v1".into(), ..cancel("k2", id) }).await));
        let units = vec![came(1, 1, 1, pb::GoodsCondition::AsNew, true)];
        let wrong = pb::RecordReturnReceivedRequest { etag: "v1".into(), ..receive("k2", id, units.clone()) };
        stale(reason(warehouse.record_return_received(wrong).await));
        let right = pb::RecordReturnReceivedRequest { etag: "v2".into(), ..receive("k2", id, units) };
        warehouse.record_return_received(right).await.expect("as read");
        check_feed(&t).await;
    }

    async fn a_return_ends_once(t: TestDb) {
        let server = Server::start(&t).await;
        delivered(&t, 1, &[9]).await;
        let (mut partner, mut care) = (server.returns_of(1), server.returns_as(RetailerRole::Care));
        let mut warehouse = server.returns_as(RetailerRole::Warehouse);
        let wrong = |status: Status, state: &str| {
            let refused = refusal(&status);
            assert_eq!(refused.reason, ErrorReason::WrongState);
            assert_eq!(refused.preconditions[0].description, state);
        };
        let units = || vec![came(1, 1, 1, pb::GoodsCondition::AsNew, true)];
        let waiting = requested(&server, "k1", 1, &[(1, 1)]).await.return_id;
        let early = warehouse.record_return_received(receive("k2", &waiting, units())).await;
        wrong(early.expect_err("not approved"), "REQUESTED");
        let no = care.decide_return(reject("k3", &waiting)).await.expect("rejected").into_inner();
        let no = no.goods_return.expect("a return");
        assert_eq!((no.state(), no.decision_message.as_str()), (pb::ReturnState::Rejected, "It was worn"));
        wrong(care.decide_return(approve("k4", &waiting, vec![])).await.expect_err("decided"), "REJECTED");
        wrong(partner.cancel_return(cancel("k5", &waiting)).await.expect_err("over"), "REJECTED");
        let there = approved(&server, "k6", 1, &[(1, 1)]).await;
        warehouse.record_return_received(receive("k7", &there.return_id, units())).await.expect("received");
        wrong(partner.cancel_return(cancel("k8", &there.return_id)).await.expect_err("there"), "RECEIVED");
        let again = warehouse.record_return_received(receive("k9", &there.return_id, units())).await;
        wrong(again.expect_err("received"), "RECEIVED");
        // News of a refund that fits nothing is no news, and keeps nobody waiting.
        let nobodys = pb::GoodsReturn { return_id: ReturnId::from_uuid(5).into(), ..there.clone() };
        let elsewhere = pb::GoodsReturn { order_id: order_id(2).into(), ..there };
        for odd in [&no, &nobodys, &elsewhere] {
            t.execute(Apply(refund(odd, 1, RefundState::Executed, 1))).await.expect("read over");
        }
        let seen = partner.list_returns(pb::ListReturnsRequest::default()).await.expect("a page").into_inner();
        let states: Vec<_> = seen.goods_returns.iter().map(pb::GoodsReturn::state).collect();
        assert_eq!(states, [pb::ReturnState::Rejected, pb::ReturnState::Received]);
        check_feed(&t).await;
    }

    async fn lists_come_by_creation_partner_order_and_state(t: TestDb) {
        let server = Server::start(&t).await;
        let mut ids = Vec::new();
        for at in 1..=4u128 {
            let mut order = order(at, &[2], t.clock.now());
            order.partner_id = partner(1 + at % 2).into();
            let made = arrive(&t, order).await;
            deliver(&t, &made.id, vec![]).await;
            let mut partner = server.returns_of(1 + at % 2);
            for key in ["a", "b"] {
                let request = ask(&format!("{key}{at}"), at, &[(1, 1)]);
                let made = partner.request_return(request).await.expect("set aside").into_inner();
                ids.push(made.goods_return.expect("a return").return_id);
                t.clock.advance(std::time::Duration::from_millis(5));
            }
        }
        let mut care = server.returns_as(RetailerRole::Care);
        care.decide_return(reject("no", &ids[3])).await.expect("rejected");
        let all = pb::ListReturnsRequest::default();
        let list = |request: pb::ListReturnsRequest| {
            let mut care = care.clone();
            let ids = ids.clone();
            async move {
                let (mut seen, mut request) = (Vec::new(), request);
                loop {
                    let page = care.list_returns(request.clone()).await.expect("a page").into_inner();
                    seen.extend(page.goods_returns.iter().map(|r| ids.iter().position(|id| *id == r.return_id)));
                    request.page_token = page.next_page_token;
                    if request.page_token.is_empty() {
                        return seen.into_iter().flatten().collect::<Vec<_>>();
                    }
                }
            }
        };
        assert_eq!(list(pb::ListReturnsRequest { page_size: 3, ..all.clone() }).await, [0, 1, 2, 3, 4, 5, 6, 7]);
        let first = pb::ListReturnsRequest { partner_id: partner(1).into(), page_size: 1, ..all.clone() };
        assert_eq!(list(first.clone()).await, [2, 3, 6, 7]);
        let rejected = i32::from(pb::ReturnState::Rejected);
        assert_eq!(list(pb::ListReturnsRequest { state: rejected, ..first }).await, [3]);
        assert_eq!(list(pb::ListReturnsRequest { state: rejected, ..all.clone() }).await, [3]);
        let order = pb::ListReturnsRequest { order_id: order_id(2).into(), ..all.clone() };
        assert_eq!(list(order.clone()).await, [2, 3]);
        assert_eq!(list(pb::ListReturnsRequest { state: rejected, ..order.clone() }).await, [3]);
        assert_eq!(list(pb::ListReturnsRequest { partner_id: partner(2).into(), ..order }).await, [] as [usize; 0]);
        let page = care.list_returns(pb::ListReturnsRequest { page_size: 2, ..all }).await.expect("a page").into_inner();
        let elsewhere = pb::ListReturnsRequest { page_token: page.next_page_token, state: rejected, ..Default::default() };
        assert_eq!(reason(care.list_returns(elsewhere).await), ErrorReason::BadPageToken);
    }

    async fn partners_follow_their_returns_in_their_feed(t: TestDb) {
        let server = Server::start(&t).await;
        delivered(&t, 1, &[1]).await;
        requested(&server, "k1", 1, &[(1, 1)]).await;
        let list = pb::ListFulfillmentFeedRequest { cursor: String::new(), page_size: 10 };
        let mut own = server.feed(Claims::partner("gateway", &partner(1)));
        let entries = own.list_fulfillment_feed(list.clone()).await.expect("a page").into_inner().entries;
        let seen = entries.into_iter().filter_map(|entry| match entry.content {
            Some(Content::GoodsReturn(found)) => Some(found.state()),
            _ => None,
        });
        assert_eq!(seen.collect::<Vec<_>>(), [pb::ReturnState::Requested]);
        let mut other = server.feed(Claims::partner("gateway", &partner(2)));
        assert_eq!(other.list_fulfillment_feed(list).await.expect("a page").into_inner().entries, []);
    }
}

fn partner_of(at: u128) -> String {
    partner(at).to_string()
}
