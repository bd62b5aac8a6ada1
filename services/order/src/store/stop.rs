//! Stops of sale.

use ::store::{Tx, bulk, sql};
use contracts::id::{AllotmentId, StopId};
use kit::errors::Fault;

use super::{all_written, column, id, word};
use crate::model::StopKind;
use crate::model::book::{NewStop, SaleStop};
use crate::model::command::StopTarget;

type StopRow = (String, String, String, bool);

fn read((stop_id, kind, target_id, ended): StopRow) -> Result<(StopId, SaleStop), Fault> {
    let target = match word(StopKind::parse(&kind), "sale_stop.target_kind")? {
        StopKind::Listing => StopTarget::Listing(id(&target_id)?),
        StopKind::Allotment => StopTarget::Allotment(id(&target_id)?),
        StopKind::Product => StopTarget::Product(id(&target_id)?),
    };
    Ok((id(&stop_id)?, SaleStop { target, ended }))
}

/// The active stops of these targets: ids of listings, allotments and products. To be read under the locks
/// of the allotments, because that is what makes a stop take effect at once.
pub async fn stops_of_targets(
    tx: &mut Tx,
    targets: &[&str],
) -> Result<Vec<(StopId, SaleStop)>, Fault> {
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all StopRow,
        postgres: "SELECT s.stop_id, s.target_kind, s.target_id, FALSE FROM UNNEST($1::TEXT[]) AS k(id) \
                   CROSS JOIN LATERAL (SELECT * FROM sale_stop WHERE target_id = k.id AND ended_time IS NULL \
                   ORDER BY target_id LIMIT 1000) AS s",
        sqlite: "SELECT s.stop_id, s.target_kind, s.target_id, FALSE FROM json_each($1) AS k \
                 CROSS JOIN sale_stop AS s ON s.target_id = k.value->>0 AND s.ended_time IS NULL",
        columns: [targets]
    )?;
    rows.into_iter().map(read).collect()
}

/// Locks stops. `ids` must be sorted; allotments are locked before.
pub async fn stops_lock(tx: &mut Tx, ids: &[StopId]) -> Result<Vec<(StopId, SaleStop)>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all StopRow,
        postgres: "SELECT s.stop_id, s.target_kind, s.target_id, s.ended_time IS NOT NULL \
                   FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM sale_stop WHERE stop_id = k.id LIMIT 1 FOR UPDATE) AS s",
        sqlite: "SELECT s.stop_id, s.target_kind, s.target_id, s.ended_time IS NOT NULL FROM json_each($1) AS k \
                 CROSS JOIN sale_stop AS s ON s.stop_id = k.value->>0",
        columns: [ids]
    )?;
    rows.into_iter().map(read).collect()
}

/// Whether the target of a stop exists, and the allotments whose units it keeps from being sold.
pub async fn stop_target(
    tx: &mut Tx,
    target: &StopTarget,
) -> Result<Option<Vec<AllotmentId>>, Fault> {
    let (exists, allotments) = match target {
        StopTarget::Listing(listing_id) => (
            sql!(
                tx,
                one(i64,),
                "SELECT COUNT(*) FROM listing WHERE listing_id = $1",
                listing_id
            )?,
            sql!(
                tx,
                all(String,),
                "SELECT allotment_id FROM allotment_listing WHERE listing_id = $1",
                listing_id
            )?,
        ),
        StopTarget::Allotment(allotment_id) => (
            sql!(
                tx,
                one(i64,),
                "SELECT COUNT(*) FROM allotment WHERE allotment_id = $1",
                allotment_id
            )?,
            vec![(allotment_id.to_string(),)],
        ),
        StopTarget::Product(product_id) => (
            sql!(
                tx,
                one(i64,),
                "SELECT (SELECT COUNT(*) FROM variant WHERE product_id = $1) \
                 + (SELECT COUNT(*) FROM listing WHERE product_id = $1)",
                product_id
            )?,
            sql!(
                tx,
                all(String,),
                "SELECT DISTINCT a.allotment_id FROM listing AS l \
                 JOIN allotment_listing AS a ON a.listing_id = l.listing_id WHERE l.product_id = $1",
                product_id
            )?,
        ),
    };
    if exists.0 == 0 {
        return Ok(None);
    }
    allotments
        .iter()
        .map(|(allotment_id,)| id(allotment_id))
        .collect::<Result<_, _>>()
        .map(Some)
}

/// Writes new stops.
pub async fn stops_insert(tx: &mut Tx, stops: &[NewStop]) -> Result<(), Fault> {
    if stops.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO sale_stop (stop_id, target_kind, target_id, reason, actor, create_time, ended_by) \
                   SELECT u.*, $6::BIGINT, '' FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[]) AS u",
        sqlite: "INSERT INTO sale_stop (stop_id, target_kind, target_id, reason, actor, create_time, ended_by) \
                 SELECT value->>0, value->>1, value->>2, value->>3, value->>4, $2, '' FROM json_each($1)",
        columns: [
            column(stops, |stop| stop.stop_id), column(stops, |stop| stop.target.kind().as_str()),
            column(stops, |stop| stop.target.id()), column(stops, |stop| stop.reason.as_str()),
            column(stops, |stop| stop.actor.as_str())
        ],
        also: [now]
    )?;
    Ok(())
}

/// Ends stops, each by somebody.
pub async fn stops_end(tx: &mut Tx, stops: &[(StopId, String)]) -> Result<(), Fault> {
    if stops.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    let written = bulk!(
        tx,
        execute,
        postgres: "UPDATE sale_stop AS s SET ended_time = $3, ended_by = u.actor \
                   FROM UNNEST($1::TEXT[], $2::TEXT[]) AS u(id, actor) WHERE s.stop_id = u.id AND s.ended_time IS NULL",
        sqlite: "UPDATE sale_stop SET ended_time = $2, ended_by = u.value->>1 FROM json_each($1) AS u \
                 WHERE sale_stop.stop_id = u.value->>0 AND sale_stop.ended_time IS NULL",
        columns: [column(stops, |stop| stop.0), column(stops, |stop| stop.1.as_str())],
        also: [now]
    )?;
    all_written("stops", written, stops.len())
}
