//! The calls: who may make them, what they answer, what they answer the second time.

use std::collections::BTreeMap;

use contracts::ErrorReason;
use contracts::common::v1::RetailerRole;
use contracts::fulfillment::v1 as pb;
use contracts::order::v1::{CancelReason, LineQuantity, ShipBlock};
use kit::auth::Claims;
use kit::clock::Clock;
use testkit::house::refusal;
use testkit::{TestDb, on_both_engines};
use tonic::{Code, Status};

use crate::common::*;
use crate::server::Server;

fn reason(status: Status) -> ErrorReason {
    refusal(&status).reason
}

fn create(
    key: &str,
    fulfillment: impl Into<String>,
    lines: &[(u128, u128, i64)],
) -> pb::CreateShipmentRequest {
    let lines = lines
        .iter()
        .map(|(order, line, quantity)| pb::ShipmentLine {
            order_line_id: line_id(*order, *line).into(),
            quantity: *quantity,
            unit_ids: Vec::new(),
        });
    let draft = pb::ShipmentDraft {
        fulfillment_id: fulfillment.into(),
        lines: lines.collect(),
        ..pb::ShipmentDraft::default()
    };
    pb::CreateShipmentRequest {
        request_id: key.into(),
        draft: Some(draft),
    }
}

fn delivered(t: &TestDb, id: &str) -> pb::TrackingEvent {
    pb::TrackingEvent {
        carrier_event_id: id.into(),
        status: pb::TrackingStatus::Delivered.into(),
        event_time: Some(t.clock.now().to_proto()),
        description: "Left at the door".into(),
    }
}

fn cancel(key: &str, order: u128, lines: &[(u128, i64)]) -> pb::CancelFulfillmentRequest {
    let lines = lines.iter().map(|(line, quantity)| LineQuantity {
        order_line_id: line_id(order, *line).into(),
        quantity: *quantity,
    });
    pb::CancelFulfillmentRequest {
        request_id: key.into(),
        order_id: order_id(order).into(),
        partner_id: partner(1).into(),
        lines: lines.collect(),
        reason: CancelReason::ShopperRequest.into(),
    }
}

on_both_engines! {
    setup: setup();

    async fn the_same_key_has_the_same_answer_and_one_effect(t: TestDb) {
        let server = Server::start(&t).await;
        let fulfillment = paid(&t, 1, &[3]).await;
        let mut warehouse = server.retailer(RetailerRole::Warehouse);
        let request = create("k1", fulfillment.id, &[(1, 1, 1)]);
        let first = warehouse.create_shipment(request.clone()).await.expect("ships").into_inner();
        let again = warehouse.create_shipment(request.clone()).await.expect("the same").into_inner();
        assert_eq!(first, again);
        assert_eq!(of_order(&t, order_id(1)).await.lines[0].shipped, 1);
        let other = warehouse.create_shipment(create("k1", fulfillment.id, &[(1, 1, 2)])).await;
        assert_eq!(reason(other.expect_err("other content")), ErrorReason::KeyReused);
        // A refusal is not remembered: when it can be done, the same key does it.
        let too_many = create("k2", fulfillment.id, &[(1, 1, 3)]);
        let refused = warehouse.create_shipment(too_many).await.expect_err("two are left");
        assert_eq!(reason(refused), ErrorReason::OverQuantity);
        warehouse.create_shipment(create("k2", fulfillment.id, &[(1, 1, 2)])).await.expect("two are left");
        // Keys belong to their caller.
        let mut ops = server.client(Claims::retailer("bob", &[RetailerRole::Ops]));
        let refused = ops.create_shipment(request).await.expect_err("another caller's key is another key");
        assert_eq!(reason(refused), ErrorReason::OverQuantity);
        check_feed(&t).await;
    }

    async fn twins_at_the_same_moment_have_one_effect(t: TestDb) {
        let server = Server::start(&t).await;
        let fulfillment = paid(&t, 1, &[5]).await;
        let calls = (0..8).map(|_| {
            let mut warehouse = server.retailer(RetailerRole::Warehouse);
            async move { warehouse.create_shipment(create("k", fulfillment.id, &[(1, 1, 1)])).await }
        });
        let answers: Vec<_> = futures::future::join_all(calls).await;
        let ids: BTreeMap<String, ()> = answers
            .into_iter()
            .map(|answer| (answer.expect("ships").into_inner().shipment.expect("a shipment").shipment_id, ()))
            .collect();
        assert_eq!((ids.len(), of_order(&t, order_id(1)).await.lines[0].shipped), (1, 1));
    }

    async fn a_wave_and_its_reports_answer_item_by_item(t: TestDb) {
        let server = Server::start(&t).await;
        let one = paid(&t, 1, &[1]).await;
        let two = paid(&t, 2, &[1]).await;
        let draft = |id: String, carrier: &str| pb::ShipmentDraft {
            fulfillment_id: id,
            carrier_code: carrier.into(),
            ..pb::ShipmentDraft::default()
        };
        let request = pb::BatchCreateShipmentsRequest {
            request_id: "wave".into(),
            drafts: vec![
                draft(one.id.into(), ""),
                draft(two.id.into(), "pigeon"),
                draft(contracts::id::FulfillmentId::from_uuid(99).into(), ""),
            ],
        };
        let mut warehouse = server.retailer(RetailerRole::Warehouse);
        let wave = warehouse.batch_create_shipments(request.clone()).await.expect("done").into_inner();
        let reasons: Vec<&str> = wave.verdicts.iter().map(|verdict| verdict.refusal_reason.as_str()).collect();
        assert_eq!(reasons, ["", "INVALID_FIELD", "NOT_FOUND"]);
        assert!(wave.verdicts[1].refusal_message.contains("manual"), "{:?}", wave.verdicts[1]);
        assert!(wave.verdicts[1].shipment_id.is_empty());
        let again = warehouse.batch_create_shipments(request).await.expect("the same").into_inner();
        assert_eq!(wave, again);
        let record = |id: &str| pb::TrackingRecord { shipment_id: id.into(), event: Some(delivered(&t, "e1")) };
        let unknown: String = contracts::id::ShipmentId::from_uuid(99).into();
        let request = pb::BatchRecordTrackingRequest {
            request_id: "reports".into(),
            records: vec![record(&wave.verdicts[0].shipment_id), record(&unknown)],
        };
        let mut carrier = server.retailer(RetailerRole::Carrier);
        let reports = carrier.batch_record_tracking(request.clone()).await.expect("done").into_inner();
        let reasons: Vec<&str> = reports.verdicts.iter().map(|verdict| verdict.refusal_reason.as_str()).collect();
        assert_eq!(reasons, ["", "NOT_FOUND"]);
        assert_eq!(reports.verdicts[0].shipment_id, wave.verdicts[0].shipment_id);
        let again = carrier.batch_record_tracking(request).await.expect("the same").into_inner();
        assert_eq!(reports, again);
        let get = pb::GetShipmentRequest { shipment_id: reports.verdicts[0].shipment_id.clone() };
        let shipment = carrier.get_shipment(get).await.expect("there").into_inner().shipment.expect("a shipment");
        assert_eq!(shipment.state(), pb::ShipmentState::Delivered);
        assert_eq!((shipment.events.len(), shipment.etag.as_str()), (1, "v2"));
    }

    async fn cancellations_answer_and_keep_their_answer(t: TestDb) {
        let server = Server::start(&t).await;
        let mut order_service = server.service();
        let early = cancel("k1", 1, &[]);
        let decision = |answer: tonic::Response<pb::CancelFulfillmentResponse>| answer.into_inner().decision();
        let answer = order_service.cancel_fulfillment(early.clone()).await.expect("pending");
        assert_eq!(decision(answer), pb::CancelDecision::CancelPending);
        assert_eq!(paid(&t, 1, &[2]).await.lines[0].cancelled, 2);
        let answer = order_service.cancel_fulfillment(early).await.expect("the same key, the same answer");
        assert_eq!(decision(answer), pb::CancelDecision::CancelPending);
        let fulfillment = paid(&t, 2, &[2]).await;
        let answer = order_service.cancel_fulfillment(cancel("k2", 2, &[(1, 1)])).await.expect("decided");
        assert_eq!(decision(answer), pb::CancelDecision::Cancelled);
        let answer = order_service.cancel_fulfillment(cancel("k2", 2, &[(1, 1)])).await.expect("once");
        assert_eq!(decision(answer), pb::CancelDecision::Cancelled);
        assert_eq!(of_order(&t, order_id(2)).await.lines[0].cancelled, 1);
        ship(&t, &fulfillment.id, vec![]).await.expect("the other");
        let mut care = server.retailer(RetailerRole::Care);
        let answer = care.cancel_fulfillment(cancel("k3", 2, &[])).await.expect("decided");
        assert_eq!(decision(answer), pb::CancelDecision::TooLate);
        let mut foreign = cancel("k4", 2, &[]);
        foreign.partner_id = partner(2).into();
        let mut unknown = cancel("k4", 9, &[]);
        unknown.partner_id = String::new();
        assert_eq!(reason(care.cancel_fulfillment(foreign).await.expect_err("foreign")), ErrorReason::NotFound);
        let unknown = refusal(&care.cancel_fulfillment(unknown).await.expect_err("unknown"));
        assert_eq!(unknown.violations[0].field, "partner_id");
        check_feed(&t).await;
    }

    async fn people_set_and_lift_their_blocks_and_no_others(t: TestDb) {
        let server = Server::start(&t).await;
        let fulfillment = paid(&t, 1, &[1]).await;
        let mut care = server.retailer(RetailerRole::Care);
        let add = |key: &str, block: ShipBlock| pb::AddShipBlockRequest {
            request_id: key.into(),
            fulfillment_id: fulfillment.id.into(),
            ship_block: block.into(),
            reason: "Looks odd".into(),
        };
        let answer = care.add_ship_block(add("k1", ShipBlock::Fraud)).await.expect("blocked").into_inner();
        let blocked = answer.fulfillment.expect("a fulfilment");
        assert_eq!((blocked.state(), blocked.ship_blocks), (pb::FulfillmentState::Waiting, vec![ShipBlock::Fraud.into()]));
        for block in [ShipBlock::Remorse, ShipBlock::AddressMissing, ShipBlock::Presale, ShipBlock::Unspecified] {
            let refused = refusal(&care.add_ship_block(add("k2", block)).await.expect_err("not for people"));
            assert_eq!(refused.violations[0].field, "ship_block");
        }
        let mut warehouse = server.retailer(RetailerRole::Warehouse);
        let refused = warehouse.create_shipment(create("k3", fulfillment.id, &[])).await.expect_err("blocked");
        assert_eq!((refused.code(), reason(refused)), (Code::FailedPrecondition, ErrorReason::ShipBlocked));
        let lift = pb::LiftShipBlockRequest {
            request_id: "k4".into(),
            fulfillment_id: fulfillment.id.into(),
            ship_block: ShipBlock::Fraud.into(),
            reason: "It was a birthday".into(),
        };
        let lifted = care.lift_ship_block(lift.clone()).await.expect("lifted").into_inner();
        assert_eq!(care.lift_ship_block(lift).await.expect("the same").into_inner(), lifted);
        assert_eq!(lifted.fulfillment.expect("a fulfilment").state(), pb::FulfillmentState::Ready);
        warehouse.create_shipment(create("k3", fulfillment.id, &[])).await.expect("the same key, now possible");
        let late = care.add_ship_block(add("k5", ShipBlock::Inspection)).await.expect_err("shipped");
        assert_eq!(reason(late), ErrorReason::TooLate);
    }

    async fn partners_see_their_own_and_foreign_is_like_unknown(t: TestDb) {
        let server = Server::start(&t).await;
        let fulfillment = paid(&t, 1, &[1]).await;
        let shipment = ship(&t, &fulfillment.id, vec![]).await.expect("ships");
        let (mut own, mut other) = (server.partner(1), server.partner(2));
        let by = |fulfillment: &str, order: &str| pb::GetFulfillmentRequest {
            fulfillment_id: fulfillment.into(),
            order_id: order.into(),
        };
        let answer = own.get_fulfillment(by(fulfillment.id.as_str(), "")).await.expect("its own").into_inner();
        assert_eq!(answer.fulfillment, Some(fulfillment::rpc::render::fulfillment(&of_order(&t, order_id(1)).await)));
        own.get_fulfillment(by("", order_id(1).as_str())).await.expect("by the order");
        let same = |foreign: Status, unknown: Status| {
            assert_eq!((foreign.code(), foreign.message()), (unknown.code(), unknown.message()));
            assert_eq!(foreign.details(), unknown.details());
            assert_eq!(reason(foreign), ErrorReason::NotFound);
        };
        let unknown_id = contracts::id::FulfillmentId::from_uuid(99);
        same(
            other.get_fulfillment(by(fulfillment.id.as_str(), "")).await.expect_err("foreign"),
            other.get_fulfillment(by(unknown_id.as_str(), "")).await.expect_err("unknown"),
        );
        same(
            other.get_fulfillment(by("", order_id(1).as_str())).await.expect_err("foreign"),
            other.get_fulfillment(by("", order_id(99).as_str())).await.expect_err("unknown"),
        );
        let get = |id: String| pb::GetShipmentRequest { shipment_id: id };
        own.get_shipment(get(shipment.id.into())).await.expect("its own");
        same(
            other.get_shipment(get(shipment.id.into())).await.expect_err("foreign"),
            other.get_shipment(get(contracts::id::ShipmentId::from_uuid(99).into())).await.expect_err("unknown"),
        );
        let list = |at: u128| pb::ListFulfillmentsRequest {
            partner_id: partner(at).into(),
            ..pb::ListFulfillmentsRequest::default()
        };
        same(
            other.list_fulfillments(list(1)).await.expect_err("foreign"),
            other.list_fulfillments(list(99)).await.expect_err("unknown"),
        );
        let list = |at: u128| pb::ListShipmentsRequest {
            partner_id: partner(at).into(),
            ..pb::ListShipmentsRequest::default()
        };
        same(
            other.list_shipments(list(1)).await.expect_err("foreign"),
            other.list_shipments(list(99)).await.expect_err("unknown"),
        );
        let of_foreign_order = pb::ListShipmentsRequest {
            order_id: order_id(1).into(),
            ..pb::ListShipmentsRequest::default()
        };
        let nothing = other.list_shipments(of_foreign_order.clone()).await.expect("a page").into_inner();
        assert_eq!(nothing, pb::ListShipmentsResponse::default());
        assert_eq!(own.list_shipments(of_foreign_order).await.expect("a page").into_inner().shipments.len(), 1);
        let nothing = other.list_fulfillments(pb::ListFulfillmentsRequest::default()).await.expect("a page");
        assert_eq!(nothing.into_inner(), pb::ListFulfillmentsResponse::default());
    }

    async fn partners_read_their_own_feed_and_do_no_work(t: TestDb) {
        let server = Server::start(&t).await;
        paid(&t, 1, &[1]).await;
        let mut foreign = order(2, &[1], t.clock.now());
        foreign.partner_id = partner(2).into();
        arrive(&t, foreign).await;
        let list = pb::ListFulfillmentFeedRequest { cursor: String::new(), page_size: 10 };
        let mut feed = server.feed(Claims::partner("gateway", &partner(2)));
        let page = feed.list_fulfillment_feed(list.clone()).await.expect("a page").into_inner();
        let metas: Vec<_> = page.entries.iter().filter_map(|entry| entry.meta.clone()).collect();
        assert_eq!((metas.len(), metas[0].position, metas[0].partner_position), (1, 0, 1));
        let mut warehouse = server.feed(Claims::retailer("ana", &[RetailerRole::Warehouse]));
        assert_eq!(warehouse.list_fulfillment_feed(list).await.expect("a page").into_inner().entries.len(), 2);
        let mut partner = server.partner(1);
        let denied = |status: Status| assert_eq!(reason_of_denial(&status), Code::PermissionDenied);
        denied(partner.create_shipment(create("k", "fulfil_x", &[])).await.expect_err("not theirs to do"));
        denied(partner.cancel_fulfillment(cancel("k", 1, &[])).await.expect_err("they cancel at the order service"));
        denied(partner.list_work(pb::ListWorkRequest::default()).await.expect_err("not theirs to do"));
    }

    async fn pages_follow_each_other_and_tokens_belong_to_their_query(t: TestDb) {
        let server = Server::start(&t).await;
        for at in 1..=5 {
            paid(&t, at, &[1]).await;
        }
        let mut care = server.retailer(RetailerRole::Ops);
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let request = pb::ListWorkRequest { page_size: 2, page_token: token };
            let page = care.list_work(request).await.expect("a page").into_inner();
            seen.extend(page.fulfillments.into_iter().map(|f| f.fulfillment_id));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        let mut unique = seen.clone();
        unique.sort();
        unique.dedup();
        assert_eq!((seen.len(), unique.len()), (5, 5));
        let request = pb::ListFulfillmentsRequest { page_size: 2, ..pb::ListFulfillmentsRequest::default() };
        let page = care.list_fulfillments(request.clone()).await.expect("a page").into_inner();
        assert_eq!(page.fulfillments.len(), 2);
        let elsewhere = pb::ListFulfillmentsRequest {
            page_token: page.next_page_token.clone(),
            state: pb::FulfillmentState::Ready.into(),
            ..request.clone()
        };
        let refused = care.list_fulfillments(elsewhere).await.expect_err("another query");
        assert_eq!(reason(refused), ErrorReason::BadPageToken);
        let next = pb::ListFulfillmentsRequest { page_token: page.next_page_token, ..request };
        assert_eq!(care.list_fulfillments(next).await.expect("a page").into_inner().fulfillments.len(), 2);
        let work = pb::ListWorkRequest { page_size: -1, page_token: String::new() };
        assert_eq!(reason(care.list_work(work).await.expect_err("negative")), ErrorReason::InvalidField);
    }
}

fn reason_of_denial(status: &Status) -> Code {
    status.code()
}
