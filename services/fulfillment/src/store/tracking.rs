//! What carriers said.

use std::collections::BTreeMap;

use contracts::id::ShipmentId;
use kit::clock::Micros;
use kit::errors::Fault;
use store::{Tx, bulk};

use super::{id, word};
use crate::model::{TrackingEvent, TrackingStatus};

#[derive(sqlx::FromRow)]
struct Row {
    shipment_id: String,
    carrier_event_id: String,
    status: String,
    event_time: i64,
    description: String,
}

impl Row {
    fn into_model(self) -> Result<(ShipmentId, TrackingEvent), Fault> {
        let event = TrackingEvent {
            carrier_event_id: self.carrier_event_id,
            status: word("status", &self.status, TrackingStatus::named)?,
            event_time: Micros(self.event_time),
            description: self.description,
        };
        Ok((id(&self.shipment_id)?, event))
    }
}

/// The latest events of each shipment, at most so many of each, oldest first.
pub(super) async fn latest_events(
    tx: &mut Tx,
    shipments: &[ShipmentId],
    max: i64,
) -> Result<Vec<(ShipmentId, TrackingEvent)>, Fault> {
    if shipments.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all Row,
        postgres: "SELECT e.shipment_id, e.carrier_event_id, e.status, e.event_time, e.description \
                   FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM tracking_event WHERE shipment_id = k.id \
                   ORDER BY event_time DESC, carrier_event_id DESC LIMIT $2) AS e \
                   ORDER BY e.shipment_id, e.event_time, e.carrier_event_id",
        sqlite: "SELECT shipment_id, carrier_event_id, status, event_time, description FROM \
                 (SELECT e.*, ROW_NUMBER() OVER \
                 (PARTITION BY e.shipment_id ORDER BY e.event_time DESC, e.carrier_event_id DESC) AS age \
                 FROM json_each($1) AS k CROSS JOIN tracking_event AS e ON e.shipment_id = k.value->>0) \
                 WHERE age <= $2 ORDER BY shipment_id, event_time, carrier_event_id",
        columns: [shipments],
        also: [max]
    )?;
    rows.into_iter().map(Row::into_model).collect()
}

/// The key of an event: its shipment and the carrier's id of it.
pub type EventKey = (ShipmentId, String);

/// Those of the events named that are known.
pub async fn events_known(
    tx: &mut Tx,
    keys: &[EventKey],
) -> Result<BTreeMap<EventKey, TrackingEvent>, Fault> {
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let shipments: Vec<_> = keys.iter().map(|(shipment, _)| *shipment).collect();
    let events: Vec<_> = keys.iter().map(|(_, event)| event.as_str()).collect();
    let rows = bulk!(
        tx,
        all Row,
        postgres: "SELECT e.shipment_id, e.carrier_event_id, e.status, e.event_time, e.description \
                   FROM UNNEST($1::TEXT[], $2::TEXT[]) AS k(shipment, event) CROSS JOIN LATERAL \
                   (SELECT * FROM tracking_event WHERE shipment_id = k.shipment AND carrier_event_id = k.event \
                   LIMIT 1) AS e",
        sqlite: "SELECT e.shipment_id, e.carrier_event_id, e.status, e.event_time, e.description \
                 FROM json_each($1) AS k CROSS JOIN tracking_event AS e \
                 ON e.shipment_id = k.value->>0 AND e.carrier_event_id = k.value->>1",
        columns: [shipments, events]
    )?;
    let known = rows.into_iter().map(|row| {
        let (shipment, event) = row.into_model()?;
        Ok(((shipment, event.carrier_event_id.clone()), event))
    });
    known.collect()
}

/// Writes new events.
pub async fn events_insert(tx: &mut Tx, new: &[(ShipmentId, TrackingEvent)]) -> Result<(), Fault> {
    if new.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    let shipments: Vec<_> = new.iter().map(|(shipment, _)| *shipment).collect();
    let ids: Vec<_> = new
        .iter()
        .map(|(_, event)| event.carrier_event_id.as_str())
        .collect();
    let statuses: Vec<_> = new.iter().map(|(_, event)| event.status.word()).collect();
    let times: Vec<_> = new.iter().map(|(_, event)| event.event_time).collect();
    let descriptions: Vec<_> = new
        .iter()
        .map(|(_, event)| event.description.as_str())
        .collect();
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO tracking_event \
                   (shipment_id, carrier_event_id, status, event_time, description, record_time) \
                   SELECT u.*, $6::BIGINT \
                   FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::BIGINT[], $5::TEXT[]) AS u",
        sqlite: "INSERT INTO tracking_event \
                 (shipment_id, carrier_event_id, status, event_time, description, record_time) \
                 SELECT value->>0, value->>1, value->>2, value->>3, value->>4, $2 FROM json_each($1) WHERE true",
        columns: [shipments, ids, statuses, times, descriptions],
        also: [now]
    )?;
    Ok(())
}
