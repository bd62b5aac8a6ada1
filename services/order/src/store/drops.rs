//! Drops and the listings that sell in them. The allotment's row is their lock.

use ::store::{Tx, bulk, sql};
use contracts::id::{DropId, ListingId, PartnerId};
use kit::clock::Micros;
use kit::errors::Fault;

use super::id;
use crate::model::{DropSale, DropShare};

#[derive(sqlx::FromRow)]
struct DropRow {
    drop_id: String,
    allotment_id: String,
    display_name: String,
    start_time: i64,
    end_time: i64,
    total_limit: i64,
    per_person_limit: i64,
    taken: i64,
    ended_time: Option<i64>,
    end_reason: String,
    version: i64,
    create_time: i64,
}

impl DropRow {
    fn model(self) -> Result<DropSale, Fault> {
        Ok(DropSale {
            drop_id: id(&self.drop_id)?,
            allotment_id: id(&self.allotment_id)?,
            display_name: self.display_name,
            start_time: Micros(self.start_time),
            end_time: Micros(self.end_time),
            total_limit: self.total_limit,
            per_person_limit: self.per_person_limit,
            taken: self.taken,
            ended_time: self.ended_time.map(Micros),
            end_reason: self.end_reason,
            version: self.version,
            create_time: Micros(self.create_time),
        })
    }
}

/// A new drop with its listings.
pub async fn drop_insert(
    tx: &mut Tx,
    drop: &DropSale,
    listing_ids: &[ListingId],
) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "INSERT INTO drop_sale (drop_id, allotment_id, display_name, start_time, end_time, total_limit, \
         per_person_limit, taken, ended_time, end_reason, version, create_time) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL, '', $9, $10)",
        drop.drop_id,
        drop.allotment_id,
        &drop.display_name,
        drop.start_time,
        drop.end_time,
        drop.total_limit,
        drop.per_person_limit,
        drop.taken,
        drop.version,
        drop.create_time
    )?;
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO drop_listing (listing_id, drop_id, taken) \
                   SELECT u.*, $2, 0 FROM UNNEST($1::TEXT[]) AS u",
        sqlite: "INSERT INTO drop_listing (listing_id, drop_id, taken) SELECT value->>0, $2, 0 FROM json_each($1)",
        columns: [listing_ids],
        also: [drop.drop_id]
    )?;
    Ok(())
}

/// A listing of these that takes part in another drop which is not over and meets this window, if there is one.
pub async fn drop_overlap(
    tx: &mut Tx,
    listing_ids: &[ListingId],
    start_time: Micros,
    end_time: Micros,
) -> Result<Option<ListingId>, Fault> {
    let row = bulk!(
        tx,
        optional (String,),
        postgres: "SELECT l.listing_id FROM UNNEST($1::TEXT[]) AS wanted (id) \
                   JOIN drop_listing l ON l.listing_id = wanted.id JOIN drop_sale d ON d.drop_id = l.drop_id \
                   WHERE d.ended_time IS NULL AND d.start_time < $3 AND d.end_time > $2 LIMIT 1",
        sqlite: "SELECT l.listing_id FROM json_each($1) AS wanted \
                 JOIN drop_listing l ON l.listing_id = wanted.value->>0 JOIN drop_sale d ON d.drop_id = l.drop_id \
                 WHERE d.ended_time IS NULL AND d.start_time < $3 AND d.end_time > $2 LIMIT 1",
        columns: [listing_ids],
        also: [start_time, end_time]
    )?;
    row.map(|(listing_id,)| id(&listing_id)).transpose()
}

/// A drop.
pub async fn drop_by_id(tx: &mut Tx, drop_id: &DropId) -> Result<Option<DropSale>, Fault> {
    let row = sql!(
        tx,
        optional DropRow,
        "SELECT drop_id, allotment_id, display_name, start_time, end_time, total_limit, per_person_limit, taken, \
         ended_time, end_reason, version, create_time FROM drop_sale WHERE drop_id = $1",
        drop_id
    )?;
    row.map(DropRow::model).transpose()
}

/// Drops after an id, by creation.
pub async fn drop_page(tx: &mut Tx, after: &str, limit: i64) -> Result<Vec<DropSale>, Fault> {
    let rows = sql!(
        tx,
        all DropRow,
        "SELECT drop_id, allotment_id, display_name, start_time, end_time, total_limit, per_person_limit, taken, \
         ended_time, end_reason, version, create_time FROM drop_sale WHERE drop_id > $1 ORDER BY drop_id LIMIT $2",
        after,
        limit
    )?;
    rows.into_iter().map(DropRow::model).collect()
}

/// The listings of drops with what each sold, sorted by drop and listing.
pub async fn drop_shares(
    tx: &mut Tx,
    drop_ids: &[DropId],
) -> Result<Vec<(DropId, DropShare)>, Fault> {
    if drop_ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all (String, String, String, i64),
        postgres: "SELECT d.drop_id, d.listing_id, l.partner_id, d.taken FROM UNNEST($1::TEXT[]) AS wanted (id) \
                   JOIN drop_listing d ON d.drop_id = wanted.id JOIN allotment_listing l ON l.listing_id = d.listing_id \
                   ORDER BY d.drop_id, d.listing_id",
        sqlite: "SELECT d.drop_id, d.listing_id, l.partner_id, d.taken FROM json_each($1) AS wanted \
                 JOIN drop_listing d ON d.drop_id = wanted.value->>0 \
                 JOIN allotment_listing l ON l.listing_id = d.listing_id ORDER BY d.drop_id, d.listing_id",
        columns: [drop_ids]
    )?;
    let share = |(drop_id, listing_id, partner_id, taken): (String, String, String, i64)| {
        let partner_id: PartnerId = id(&partner_id)?;
        Ok((
            id(&drop_id)?,
            DropShare {
                listing_id: id(&listing_id)?,
                partner_id,
                taken,
            },
        ))
    };
    rows.into_iter().map(share).collect()
}

/// Ends a drop that is not over; false when it is. The allotment's row is locked.
pub async fn drop_end(tx: &mut Tx, drop: &DropSale, reason: &str) -> Result<bool, Fault> {
    let now = tx.now();
    let rows = sql!(
        tx,
        execute,
        "UPDATE drop_sale SET ended_time = $1, end_reason = $2, version = version + 1 \
         WHERE drop_id = $3 AND ended_time IS NULL AND end_time > $1",
        now,
        reason,
        drop.drop_id
    )?;
    Ok(rows == 1)
}
