//! Allotments as the retailer sees them: units, movements, the listings that draw from them.
//!
//! The row of an allotment is the lock of everything that counts its units; what changes any of it takes that
//! row first.

use ::store::{Tx, sql};
use contracts::id::{AllotmentId, ListingId, PartnerId, VariantId};
use kit::clock::Micros;
use kit::errors::Fault;

use super::listing::{AssignmentRow, assignment, assignments_by_allotment};
use super::{id, word};
use crate::model::{Allotment, Assignment, Movement, MovementKind, Stock};

#[derive(sqlx::FromRow)]
struct StockRow {
    allotment_id: String,
    variant_id: String,
    display_name: String,
    supplied: i64,
    available: i64,
    held: i64,
    sold: i64,
    per_person_limit: i64,
    version: i64,
    create_time: i64,
}

impl StockRow {
    fn model(self) -> Result<Stock, Fault> {
        Ok(Stock {
            allotment_id: id(&self.allotment_id)?,
            variant_id: id(&self.variant_id)?,
            display_name: self.display_name,
            supplied: self.supplied,
            available: self.available,
            held: self.held,
            sold: self.sold,
            per_person_limit: self.per_person_limit,
            version: self.version,
            create_time: Micros(self.create_time),
        })
    }
}

#[derive(sqlx::FromRow)]
struct MovementRow {
    movement_id: String,
    allotment_id: String,
    kind: String,
    quantity: i64,
    reason: String,
    actor: String,
    create_time: i64,
}

impl MovementRow {
    fn model(self) -> Result<Movement, Fault> {
        Ok(Movement {
            movement_id: id(&self.movement_id)?,
            allotment_id: id(&self.allotment_id)?,
            kind: word(MovementKind::parse(&self.kind), "allotment_movement.kind")?,
            quantity: self.quantity,
            reason: self.reason,
            actor: self.actor,
            create_time: Micros(self.create_time),
        })
    }
}

/// A new allotment.
pub async fn supply_insert(tx: &mut Tx, stock: &Stock) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "INSERT INTO allotment (allotment_id, variant_id, display_name, supplied, available, held, sold, version, \
         create_time, per_person_limit) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        stock.allotment_id,
        stock.variant_id,
        &stock.display_name,
        stock.supplied,
        stock.available,
        stock.held,
        stock.sold,
        stock.version,
        stock.create_time,
        stock.per_person_limit
    )?;
    Ok(())
}

/// Takes an allotment's row until the end of the transaction and reads it. An UPDATE that changes nothing is a
/// lock on either engine.
pub async fn supply_lock(tx: &mut Tx, allotment_id: &AllotmentId) -> Result<Option<Stock>, Fault> {
    let row = sql!(
        tx,
        optional StockRow,
        "UPDATE allotment SET version = version WHERE allotment_id = $1 RETURNING allotment_id, variant_id, \
         display_name, supplied, available, held, sold, per_person_limit, version, create_time",
        allotment_id
    )?;
    row.map(StockRow::model).transpose()
}

/// Writes what a movement changed; the row is locked.
pub async fn supply_update(tx: &mut Tx, stock: &Stock) -> Result<(), Fault> {
    let rows = sql!(
        tx,
        execute,
        "UPDATE allotment SET supplied = $1, available = $2, version = $3, per_person_limit = $7 \
         WHERE allotment_id = $4 AND held = $5 AND sold = $6",
        stock.supplied,
        stock.available,
        stock.version,
        stock.allotment_id,
        stock.held,
        stock.sold,
        stock.per_person_limit
    )?;
    if rows == 1 {
        Ok(())
    } else {
        Err(Fault::Conflict(
            "an allotment changed under its lock".into(),
        ))
    }
}

/// An allotment.
pub async fn supply_by_id(tx: &mut Tx, allotment_id: &AllotmentId) -> Result<Option<Stock>, Fault> {
    let row = sql!(
        tx,
        optional StockRow,
        "SELECT allotment_id, variant_id, display_name, supplied, available, held, sold, per_person_limit, version, create_time \
         FROM allotment WHERE allotment_id = $1",
        allotment_id
    )?;
    row.map(StockRow::model).transpose()
}

/// Allotments after an id, by creation.
pub async fn supply_page(tx: &mut Tx, after: &str, limit: i64) -> Result<Vec<Allotment>, Fault> {
    let rows = sql!(
        tx,
        all StockRow,
        "SELECT allotment_id, variant_id, display_name, supplied, available, held, sold, per_person_limit, version, create_time \
         FROM allotment WHERE allotment_id > $1 ORDER BY allotment_id LIMIT $2",
        after,
        limit
    )?;
    let mut allotments = Vec::with_capacity(rows.len());
    for row in rows {
        allotments.push(Allotment {
            stock: row.model()?,
            listings: Vec::new(),
        });
    }
    let ids: Vec<AllotmentId> = allotments
        .iter()
        .map(|allotment| allotment.stock.allotment_id)
        .collect();
    for assignment in assignments_by_allotment(tx, &ids).await? {
        let at = ids.binary_search(&assignment.allotment_id);
        if let Some(allotment) = at.ok().and_then(|at| allotments.get_mut(at)) {
            allotment.listings.push(assignment);
        }
    }
    Ok(allotments)
}

/// An allotment with its listings.
pub async fn supply_with_listings(tx: &mut Tx, stock: Stock) -> Result<Allotment, Fault> {
    let listings = assignments_by_allotment(tx, &[stock.allotment_id]).await?;
    Ok(Allotment { stock, listings })
}

/// What a listing draws from.
pub async fn assignment_by_listing(
    tx: &mut Tx,
    listing_id: &ListingId,
) -> Result<Option<Assignment>, Fault> {
    let row = sql!(
        tx,
        optional AssignmentRow,
        "SELECT listing_id, allotment_id, partner_id, unit_cap, taken FROM allotment_listing WHERE listing_id = $1",
        listing_id
    )?;
    row.map(assignment).transpose()
}

/// Lets a listing draw from an allotment, or changes its cap; false when it draws from another. The
/// allotment's row is locked.
pub async fn assignment_put(
    tx: &mut Tx,
    listing_id: &ListingId,
    allotment_id: &AllotmentId,
    partner_id: &PartnerId,
    unit_cap: i64,
) -> Result<bool, Fault> {
    let rows = sql!(
        tx,
        execute,
        "INSERT INTO allotment_listing (listing_id, allotment_id, partner_id, unit_cap, taken) \
         VALUES ($1, $2, $3, $4, 0) \
         ON CONFLICT (listing_id) DO UPDATE SET unit_cap = excluded.unit_cap \
         WHERE allotment_listing.allotment_id = excluded.allotment_id",
        listing_id,
        allotment_id,
        partner_id,
        unit_cap
    )?;
    Ok(rows == 1)
}

/// A new movement.
pub async fn movement_insert(tx: &mut Tx, movement: &Movement) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "INSERT INTO allotment_movement (movement_id, allotment_id, kind, quantity, reason, actor, create_time) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        movement.movement_id,
        movement.allotment_id,
        movement.kind.as_str(),
        movement.quantity,
        &movement.reason,
        &movement.actor,
        movement.create_time
    )?;
    Ok(())
}

/// Movements of an allotment after an id, oldest first.
pub async fn movement_page(
    tx: &mut Tx,
    allotment_id: &AllotmentId,
    after: &str,
    limit: i64,
) -> Result<Vec<Movement>, Fault> {
    let rows = sql!(
        tx,
        all MovementRow,
        "SELECT movement_id, allotment_id, kind, quantity, reason, actor, create_time FROM allotment_movement \
         WHERE allotment_id = $1 AND movement_id > $2 ORDER BY movement_id LIMIT $3",
        allotment_id,
        after,
        limit
    )?;
    rows.into_iter().map(MovementRow::model).collect()
}

/// Whether the catalogue's feed has brought this variant.
pub async fn variant_is_known(tx: &mut Tx, variant_id: &VariantId) -> Result<bool, Fault> {
    let row = sql!(
        tx,
        optional(String,),
        "SELECT variant_id FROM variant WHERE variant_id = $1",
        variant_id
    )?;
    Ok(row.is_some())
}
