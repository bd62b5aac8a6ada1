//! Shipments and what is in them.

use std::collections::BTreeMap;

use contracts::id::{FulfillmentId, ShipmentId};
use kit::clock::Micros;
use kit::errors::Fault;
use store::{Tx, bulk};

use super::tracking::latest_events;
use super::{expect_rows, id, number, word};
use crate::model::{LineQuantity, Shipment, ShipmentState};

/// Shipments by id.
pub type Shipments = BTreeMap<ShipmentId, Shipment>;

#[derive(sqlx::FromRow)]
struct Row {
    shipment_id: String,
    fulfillment_id: String,
    order_id: String,
    partner_id: String,
    state: String,
    carrier_code: String,
    tracking_number: String,
    event_count: i64,
    ship_time: i64,
    finish_time: Option<i64>,
    version: i64,
}

impl Row {
    /// The shipment without lines and events.
    fn into_model(self) -> Result<Shipment, Fault> {
        Ok(Shipment {
            id: id(&self.shipment_id)?,
            fulfillment_id: id(&self.fulfillment_id)?,
            order_id: id(&self.order_id)?,
            partner_id: id(&self.partner_id)?,
            state: word("state", &self.state, ShipmentState::named)?,
            lines: Vec::new(),
            carrier_code: self.carrier_code,
            tracking_number: self.tracking_number,
            events: Vec::new(),
            event_count: self.event_count,
            ship_time: Micros(self.ship_time),
            finish_time: self.finish_time.map(Micros),
            version: self.version,
        })
    }
}

/// The fulfilments that shipments belong to, which never changes; unknown shipments are left out.
pub async fn shipment_owners(
    tx: &mut Tx,
    ids: &[ShipmentId],
) -> Result<BTreeMap<ShipmentId, FulfillmentId>, Fault> {
    let rows = bulk!(
        tx,
        all(String, String),
        postgres: "SELECT s.shipment_id, s.fulfillment_id FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM shipment WHERE shipment_id = k.id LIMIT 1) AS s",
        sqlite: "SELECT s.shipment_id, s.fulfillment_id FROM json_each($1) AS k CROSS JOIN shipment AS s \
                 ON s.shipment_id = k.value->>0",
        columns: [ids]
    )?;
    rows.iter()
        .map(|(shipment, fulfillment)| Ok((id(shipment)?, id(fulfillment)?)))
        .collect()
}

/// Reads shipments with their lines and latest events. Whoever is to change them holds the lock of their
/// fulfilments.
pub async fn shipments_read(
    tx: &mut Tx,
    ids: &[ShipmentId],
    events_max: i64,
) -> Result<Shipments, Fault> {
    let mut found = Shipments::new();
    if ids.is_empty() {
        return Ok(found);
    }
    let rows = bulk!(
        tx,
        all Row,
        postgres: "SELECT s.* FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM shipment WHERE shipment_id = k.id LIMIT 1) AS s",
        sqlite: "SELECT s.* FROM json_each($1) AS k CROSS JOIN shipment AS s ON s.shipment_id = k.value->>0",
        columns: [ids]
    )?;
    for row in rows {
        let shipment = row.into_model()?;
        found.insert(shipment.id, shipment);
    }
    read_lines(tx, &mut found).await?;
    // Most shipments have said nothing yet.
    let told: Vec<ShipmentId> = found
        .values()
        .filter(|s| s.event_count > 0)
        .map(|s| s.id)
        .collect();
    for (shipment, event) in latest_events(tx, &told, events_max).await? {
        if let Some(shipment) = found.get_mut(&shipment) {
            shipment.events.push(event);
        }
    }
    Ok(found)
}

async fn read_lines(tx: &mut Tx, shipments: &mut Shipments) -> Result<(), Fault> {
    let ids: Vec<ShipmentId> = shipments.keys().copied().collect();
    if ids.is_empty() {
        return Ok(());
    }
    let rows = bulk!(
        tx,
        all(String, String, i64),
        postgres: "SELECT l.shipment_id, l.order_line_id, l.quantity FROM UNNEST($1::TEXT[]) AS k(id) \
                   CROSS JOIN LATERAL \
                   (SELECT * FROM shipment_line WHERE shipment_id = k.id ORDER BY line_no OFFSET 0) AS l \
                   ORDER BY l.shipment_id, l.line_no",
        sqlite: "SELECT l.shipment_id, l.order_line_id, l.quantity FROM json_each($1) AS k \
                 CROSS JOIN shipment_line AS l ON l.shipment_id = k.value->>0 ORDER BY l.shipment_id, l.line_no",
        columns: [ids]
    )?;
    for (shipment, line, quantity) in rows {
        if let Some(shipment) = shipments.get_mut(&id(&shipment)?) {
            shipment.lines.push(LineQuantity {
                order_line_id: id(&line)?,
                quantity,
            });
        }
    }
    Ok(())
}

/// Writes new shipments with what is in them.
pub async fn shipments_insert(tx: &mut Tx, new: &mut [Shipment]) -> Result<(), Fault> {
    shipments_save(tx, new).await?;
    let all = || {
        new.iter()
            .flat_map(|s| (0..).zip(&s.lines).map(move |(at, line)| (s.id, at, line)))
    };
    let ids: Vec<_> = all().map(|(id, ..)| id).collect();
    let numbers: Vec<_> = all().map(|(_, at, _)| number(at)).collect();
    let lines: Vec<_> = all().map(|(.., line)| line.order_line_id).collect();
    let quantities: Vec<_> = all().map(|(.., line)| line.quantity).collect();
    if ids.is_empty() {
        return Ok(());
    }
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO shipment_line (shipment_id, line_no, order_line_id, quantity) \
                   SELECT u.* FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::TEXT[], $4::BIGINT[]) AS u",
        sqlite: "INSERT INTO shipment_line (shipment_id, line_no, order_line_id, quantity) \
                 SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each($1) WHERE true",
        columns: [ids, numbers, lines, quantities]
    )?;
    Ok(())
}

/// Writes changed shipments without their lines, which never change, and events; each version grows by one.
pub async fn shipments_save(tx: &mut Tx, changed: &mut [Shipment]) -> Result<(), Fault> {
    if changed.is_empty() {
        return Ok(());
    }
    for shipment in &mut *changed {
        shipment.version += 1;
    }
    let all = || changed.iter();
    let ids: Vec<_> = all().map(|s| s.id).collect();
    let fulfillments: Vec<_> = all().map(|s| s.fulfillment_id).collect();
    let orders: Vec<_> = all().map(|s| s.order_id).collect();
    let partners: Vec<_> = all().map(|s| s.partner_id).collect();
    let states: Vec<_> = all().map(|s| s.state.word()).collect();
    let carriers: Vec<_> = all().map(|s| s.carrier_code.as_str()).collect();
    let tracking: Vec<_> = all().map(|s| s.tracking_number.as_str()).collect();
    let counts: Vec<_> = all().map(|s| s.event_count).collect();
    let ships: Vec<_> = all().map(|s| s.ship_time).collect();
    let ends: Vec<_> = all().map(|s| s.finish_time).collect();
    let versions: Vec<_> = all().map(|s| s.version).collect();
    macro_rules! upsert {
        ($from:literal) => {
            concat!(
                "INSERT INTO shipment (shipment_id, fulfillment_id, order_id, partner_id, state, carrier_code, \
                 tracking_number, event_count, ship_time, finish_time, version) ",
                $from,
                " ON CONFLICT (shipment_id) DO UPDATE SET state = excluded.state, \
                 event_count = excluded.event_count, finish_time = excluded.finish_time, \
                 version = excluded.version WHERE shipment.version = excluded.version - 1"
            )
        };
    }
    let written = bulk!(
        tx,
        execute,
        postgres: upsert!(
            "SELECT u.* FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], \
             $7::TEXT[], $8::BIGINT[], $9::BIGINT[], $10::BIGINT[], $11::BIGINT[]) AS u"
        ),
        sqlite: upsert!(
            "SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, \
             value->>8, value->>9, value->>10 FROM json_each($1) WHERE true"
        ),
        columns: [
            ids, fulfillments, orders, partners, states, carriers, tracking, counts, ships, ends, versions
        ]
    )?;
    expect_rows("shipment", written, changed.len())
}
