//! What carriers report.

use ::store::idempotency::Idempotent;
use contracts::fulfillment::v1 as pb;
use contracts::id::ShipmentId;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;

use super::{Api, keyed, parse, render, verdict};
use crate::model::TrackingEvent;
use crate::ops::track::{Report, Track, TrackMany};

const RECORD: &str = "vitrine.fulfillment.v1.FulfillmentService/RecordTracking";
const RECORD_MANY: &str = "vitrine.fulfillment.v1.FulfillmentService/BatchRecordTracking";

impl Api {
    pub(super) async fn record_tracking(
        &self,
        caller: &Caller,
        request: pb::RecordTrackingRequest,
    ) -> Result<pb::RecordTrackingResponse, Fault> {
        let mut wrong = Violations::new();
        let key = parse::request_id(&mut wrong, &request.request_id);
        let report = report(&mut wrong, &request.shipment_id, &request.event);
        wrong.finish()?;
        let report = report.ok_or_else(|| Refusal::not_found("shipment"))?;
        let operation = Track {
            report,
            limits: self.config.event_limits(),
        };
        let keyed = keyed(caller, RECORD, &key, &request);
        let operation = Idempotent::new(keyed, operation, |shipment| pb::RecordTrackingResponse {
            shipment: Some(render::shipment(shipment)),
        });
        self.db.execute(caller, operation).await
    }

    pub(super) async fn batch_record_tracking(
        &self,
        caller: &Caller,
        request: pb::BatchRecordTrackingRequest,
    ) -> Result<pb::BatchRecordTrackingResponse, Fault> {
        let mut wrong = Violations::new();
        let key = parse::request_id(&mut wrong, &request.request_id);
        let mut reports = Vec::new();
        if wrong.items("records", &request.records, 1..=self.config.batch_items_max) {
            for (at, record) in request.records.iter().enumerate() {
                let mut wrong = wrong.nested(format_args!("records[{at}]"));
                reports.extend(report(&mut wrong, &record.shipment_id, &record.event));
            }
        }
        wrong.finish()?;
        let operation = TrackMany {
            reports,
            limits: self.config.event_limits(),
        };
        let keyed = keyed(caller, RECORD_MANY, &key, &request);
        let operation = Idempotent::new(keyed, operation, |verdicts| {
            let verdicts =
                verdicts
                    .iter()
                    .map(|outcome: &Result<ShipmentId, Refusal>| match outcome {
                        Ok(shipment) => verdict(Ok(shipment.into())),
                        Err(refusal) => verdict(Err(refusal)),
                    });
            pb::BatchRecordTrackingResponse {
                verdicts: verdicts.collect(),
            }
        });
        self.db.execute(caller, operation).await
    }
}

fn report(
    wrong: &mut Violations,
    shipment_id: &str,
    event: &Option<pb::TrackingEvent>,
) -> Option<Report> {
    let shipment_id = wrong.id("shipment_id", shipment_id);
    let event = wrong.required("event", event)?;
    let mut wrong = wrong.nested("event");
    let carrier_event_id = wrong.text("carrier_event_id", &event.carrier_event_id, 1..=128);
    let status = wrong.enumeration("status", event.status);
    let event_time = wrong.time("event_time", &event.event_time);
    let description = wrong.long_text("description", &event.description, 0..=300);
    let event = TrackingEvent {
        carrier_event_id,
        status: render::tracking_status_of(status)?,
        event_time: event_time?,
        description,
    };
    Some(Report {
        shipment_id: shipment_id?,
        event,
    })
}
