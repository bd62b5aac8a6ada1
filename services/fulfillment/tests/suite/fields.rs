//! Wrong fields: each is named, all at once, and nothing is done.

use contracts::ErrorReason;
use contracts::common::v1::RetailerRole;
use contracts::fulfillment::v1 as pb;
use contracts::order::v1::{CancelReason, LineQuantity};
use testkit::house::refused;
use testkit::{TestDb, on_both_engines};
use tonic::Status;

use crate::common::*;
use crate::server::Server;

fn fields<T: std::fmt::Debug>(answer: Result<T, Status>) -> Vec<String> {
    let refusal = refused(answer);
    assert_eq!(refusal.reason, ErrorReason::InvalidField);
    refusal
        .violations
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

fn line(at: u128, quantity: i64) -> pb::ShipmentLine {
    pb::ShipmentLine {
        order_line_id: line_id(1, at).into(),
        quantity,
        unit_ids: Vec::new(),
    }
}

on_both_engines! {
    setup: setup();

    async fn parcels(t: TestDb) {
        let server = Server::start(&t).await;
        let id: String = paid(&t, 1, &[1]).await.id.into();
        let mut warehouse = server.retailer(RetailerRole::Warehouse);
        let nothing = pb::CreateShipmentRequest::default();
        assert_eq!(fields(warehouse.create_shipment(nothing).await), ["request_id", "draft"]);
        let draft = pb::ShipmentDraft {
            fulfillment_id: "order_x".into(),
            lines: vec![line(1, 0), line(1, 1), pb::ShipmentLine::default(), line(2, 1_000_000_001)],
            carrier_code: "c".repeat(41),
            tracking_number: "a\u{7}b".into(),
        };
        let request = pb::CreateShipmentRequest { request_id: "r".repeat(65), draft: Some(draft) };
        assert_eq!(
            fields(warehouse.create_shipment(request).await),
            [
                "request_id",
                "draft.fulfillment_id",
                "draft.lines[0].quantity",
                "draft.lines[1].order_line_id",
                "draft.lines[2].order_line_id",
                "draft.lines[2].quantity",
                "draft.lines[3].quantity",
                "draft.carrier_code",
                "draft.tracking_number",
            ]
        );
        let whole = pb::ShipmentDraft { fulfillment_id: id.clone(), ..pb::ShipmentDraft::default() };
        let units = pb::ShipmentLine { unit_ids: vec!["unit_1".into()], ..line(1, 1) };
        let with_units = pb::ShipmentDraft { lines: vec![units], ..whole.clone() };
        let request = pb::CreateShipmentRequest { request_id: "r".into(), draft: Some(with_units.clone()) };
        let no = refused(warehouse.create_shipment(request).await);
        assert_eq!((no.reason, no.metadata["field"].as_str()), (ErrorReason::NotOffered, "draft.lines[0].unit_ids"));
        let many = pb::ShipmentDraft { lines: vec![line(1, 1); 101], ..whole.clone() };
        let request = pb::CreateShipmentRequest { request_id: "r".into(), draft: Some(many) };
        assert_eq!(fields(warehouse.create_shipment(request).await), ["draft.lines"]);
        let wave = |drafts| pb::BatchCreateShipmentsRequest { request_id: "r".into(), drafts };
        assert_eq!(fields(warehouse.batch_create_shipments(wave(vec![])).await), ["drafts"]);
        assert_eq!(fields(warehouse.batch_create_shipments(wave(vec![whole.clone(); 501])).await), ["drafts"]);
        let twice = wave(vec![whole.clone(), whole.clone()]);
        assert_eq!(fields(warehouse.batch_create_shipments(twice).await), ["drafts[1].fulfillment_id"]);
        let no = refused(warehouse.batch_create_shipments(wave(vec![with_units])).await);
        assert_eq!(no.metadata["field"], "drafts[0].lines[0].unit_ids");
        let elsewhere = pb::ShipmentDraft { lines: vec![line(7, 1)], ..whole };
        let request = pb::CreateShipmentRequest { request_id: "r".into(), draft: Some(elsewhere) };
        assert_eq!(fields(warehouse.create_shipment(request).await), ["draft.lines[0].order_line_id"]);
        assert_eq!(story(&t).await, ["fulfillment READY"], "nothing was done");
    }

    async fn reports(t: TestDb) {
        let server = Server::start(&t).await;
        let mut carrier = server.retailer(RetailerRole::Carrier);
        let nothing = pb::RecordTrackingRequest::default();
        assert_eq!(fields(carrier.record_tracking(nothing).await), ["request_id", "shipment_id", "event"]);
        let event = pb::TrackingEvent {
            carrier_event_id: "e".repeat(129),
            status: 99,
            event_time: None,
            description: "d".repeat(301),
        };
        let named = ["carrier_event_id", "status", "event_time", "description"].map(|field| format!("event.{field}"));
        let request = pb::RecordTrackingRequest {
            request_id: "r".into(),
            shipment_id: contracts::id::ShipmentId::from_uuid(1).into(),
            event: Some(event.clone()),
        };
        assert_eq!(fields(carrier.record_tracking(request).await), named);
        let batch = |records| pb::BatchRecordTrackingRequest { request_id: "r".into(), records };
        let record = pb::TrackingRecord { shipment_id: String::new(), event: Some(event) };
        let mut named = named.map(|field| format!("records[0].{field}")).to_vec();
        named.insert(0, "records[0].shipment_id".into());
        assert_eq!(fields(carrier.batch_record_tracking(batch(vec![record.clone()])).await), named);
        assert_eq!(fields(carrier.batch_record_tracking(batch(vec![])).await), ["records"]);
        assert_eq!(fields(carrier.batch_record_tracking(batch(vec![record; 501])).await), ["records"]);
    }

    async fn cancellations_and_blocks(t: TestDb) {
        let server = Server::start(&t).await;
        let mut ops = server.retailer(RetailerRole::Ops);
        let request = pb::CancelFulfillmentRequest {
            partner_id: "acme".into(),
            lines: vec![LineQuantity { order_line_id: String::new(), quantity: -1 }],
            ..pb::CancelFulfillmentRequest::default()
        };
        assert_eq!(
            fields(ops.cancel_fulfillment(request).await),
            ["request_id", "order_id", "partner_id", "lines[0].order_line_id", "lines[0].quantity", "reason"]
        );
        let many = pb::CancelFulfillmentRequest {
            request_id: "r".into(),
            order_id: order_id(1).into(),
            lines: vec![LineQuantity { order_line_id: line_id(1, 1).into(), quantity: 1 }; 101],
            reason: CancelReason::Shortage.into(),
            ..pb::CancelFulfillmentRequest::default()
        };
        assert_eq!(fields(ops.cancel_fulfillment(many).await), ["lines"]);
        let named = ["request_id", "fulfillment_id", "ship_block", "reason"];
        assert_eq!(fields(ops.add_ship_block(pb::AddShipBlockRequest::default()).await), named);
        assert_eq!(fields(ops.lift_ship_block(pb::LiftShipBlockRequest::default()).await), named);
    }

    async fn reads(t: TestDb) {
        let server = Server::start(&t).await;
        let mut ops = server.retailer(RetailerRole::Ops);
        assert_eq!(fields(ops.get_fulfillment(pb::GetFulfillmentRequest::default()).await), ["fulfillment_id"]);
        let both = pb::GetFulfillmentRequest {
            fulfillment_id: contracts::id::FulfillmentId::from_uuid(1).into(),
            order_id: order_id(1).into(),
        };
        assert_eq!(fields(ops.get_fulfillment(both).await), ["order_id"]);
        let bad = pb::GetFulfillmentRequest { fulfillment_id: "fulfil_!".into(), order_id: String::new() };
        assert_eq!(fields(ops.get_fulfillment(bad).await), ["fulfillment_id"]);
        assert_eq!(fields(ops.get_shipment(pb::GetShipmentRequest::default()).await), ["shipment_id"]);
        let list = pb::ListFulfillmentsRequest { partner_id: "x".into(), state: 77, ..Default::default() };
        assert_eq!(fields(ops.list_fulfillments(list).await), ["partner_id", "state"]);
        let list = pb::ListShipmentsRequest { order_id: "x".into(), state: -1, ..Default::default() };
        assert_eq!(fields(ops.list_shipments(list).await), ["order_id", "state"]);
        let token = pb::ListShipmentsRequest { page_token: "AAAA".into(), ..Default::default() };
        assert_eq!(refused(ops.list_shipments(token).await).reason, ErrorReason::BadPageToken);
    }
}
