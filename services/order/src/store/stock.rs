//! Units: allotments, which are the lock of everything that counts them, and the counters under that lock.

use ::store::{Tx, bulk, insert};
use contracts::id::{AllotmentId, DropId, ListingId};
use contracts::money::Price;
use kit::clock::Micros;
use kit::errors::Fault;

use super::drops::{announced, drop_price};
use super::{all_written, column, id, opt_id};
use crate::model::book::ShopperKey;
use crate::model::{DropSale, Movement, Stock};

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
    fn read(self) -> Result<Stock, Fault> {
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

/// Locks allotments and everything that counts their units. `ids` must be sorted; every unit of work locks
/// allotments first, in this order, and orders after them.
pub async fn allotments_lock(tx: &mut Tx, ids: &[AllotmentId]) -> Result<Vec<Stock>, Fault> {
    debug_assert!(
        ids.is_sorted(),
        "allotments are locked in the order of their ids"
    );
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all StockRow,
        postgres: "SELECT a.allotment_id, a.variant_id, a.display_name, a.supplied, a.available, a.held, a.sold, \
                   a.per_person_limit, a.version, a.create_time FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM allotment WHERE allotment_id = k.id LIMIT 1 FOR UPDATE) AS a",
        sqlite: "SELECT a.allotment_id, a.variant_id, a.display_name, a.supplied, a.available, a.held, a.sold, \
                   a.per_person_limit, a.version, a.create_time FROM json_each($1) AS k CROSS JOIN allotment AS a ON a.allotment_id = k.value->>0",
        columns: [ids]
    )?;
    rows.into_iter().map(StockRow::read).collect()
}

#[derive(sqlx::FromRow)]
struct DropRow {
    listing_id: String,
    listing_taken: i64,
    drop_id: String,
    allotment_id: String,
    display_name: String,
    announce_time: i64,
    start_time: i64,
    end_time: i64,
    total_limit: i64,
    per_person_limit: i64,
    discount_basis_points: i64,
    quota_total: i64,
    taken: i64,
    ended_time: Option<i64>,
    end_reason: String,
    version: i64,
    create_time: i64,
    currency_code: String,
    price: i64,
    per_quantity: i64,
}

/// A drop, with one of its listings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropLine {
    /// The drop.
    pub sale: DropSale,
    /// The listing.
    pub listing_id: ListingId,
    /// What it took.
    pub taken: i64,
    /// What it costs in the drop, where the drop says it.
    pub price: Option<Price>,
}

impl DropRow {
    fn read(self) -> Result<DropLine, Fault> {
        let sale = DropSale {
            drop_id: id(&self.drop_id)?,
            allotment_id: id(&self.allotment_id)?,
            display_name: self.display_name,
            announce_time: announced(self.announce_time),
            start_time: Micros(self.start_time),
            end_time: Micros(self.end_time),
            total_limit: self.total_limit,
            per_person_limit: self.per_person_limit,
            discount_basis_points: self.discount_basis_points,
            quota_total: self.quota_total,
            taken: self.taken,
            ended_time: self.ended_time.map(Micros),
            end_reason: self.end_reason,
            version: self.version,
            create_time: Micros(self.create_time),
        };
        Ok(DropLine {
            sale,
            listing_id: id(&self.listing_id)?,
            taken: self.listing_taken,
            price: drop_price(&self.currency_code, self.price, self.per_quantity)?,
        })
    }
}

/// Named one by one: a prepared `*` breaks when a migration adds a column.
macro_rules! drop_columns {
    () => {
        "l.listing_id, l.taken AS listing_taken, d.drop_id, d.allotment_id, d.display_name, \
         d.announce_time, d.start_time, d.end_time, d.total_limit, d.per_person_limit, d.discount_basis_points, \
         d.quota_total, d.taken, d.ended_time, d.end_reason, d.version, d.create_time, l.currency_code, l.price, \
         l.per_quantity "
    };
}

/// The drops that these listings take part in and that are not over, with what each listing took in them.
pub async fn drops_ahead(tx: &mut Tx, ids: &[ListingId]) -> Result<Vec<DropLine>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let now = tx.now();
    let rows = bulk!(
        tx,
        all DropRow,
        postgres: concat!("SELECT ", drop_columns!(), "FROM UNNEST($1::TEXT[]) AS k(id) \
                   CROSS JOIN LATERAL (SELECT * FROM drop_listing WHERE listing_id = k.id ORDER BY drop_id) AS l \
                   CROSS JOIN LATERAL (SELECT * FROM drop_sale WHERE drop_id = l.drop_id AND ended_time IS NULL \
                   AND end_time > $2 LIMIT 1) AS d"),
        sqlite: concat!("SELECT ", drop_columns!(), "FROM json_each($1) AS k \
                 CROSS JOIN drop_listing AS l ON l.listing_id = k.value->>0 \
                 CROSS JOIN drop_sale AS d ON d.drop_id = l.drop_id AND d.ended_time IS NULL AND d.end_time > $2"),
        columns: [ids],
        also: [now]
    )?;
    rows.into_iter().map(DropRow::read).collect()
}

/// Drops with what one of their listings took, over or not.
pub async fn drops_of_lines(
    tx: &mut Tx,
    keys: &[(DropId, ListingId)],
) -> Result<Vec<DropLine>, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all DropRow,
        postgres: concat!("SELECT ", drop_columns!(), "FROM UNNEST($1::TEXT[], $2::TEXT[]) AS k(drop_id, listing_id) \
                   CROSS JOIN LATERAL (SELECT * FROM drop_listing WHERE drop_id = k.drop_id \
                   AND listing_id = k.listing_id LIMIT 1) AS l \
                   CROSS JOIN LATERAL (SELECT * FROM drop_sale WHERE drop_id = k.drop_id LIMIT 1) AS d"),
        sqlite: concat!("SELECT ", drop_columns!(), "FROM json_each($1) AS k \
                 CROSS JOIN drop_listing AS l ON l.drop_id = k.value->>0 AND l.listing_id = k.value->>1 \
                 CROSS JOIN drop_sale AS d ON d.drop_id = l.drop_id"),
        columns: [column(keys, |key| key.0), column(keys, |key| key.1)]
    )?;
    rows.into_iter().map(DropRow::read).collect()
}

/// What shoppers hold and have bought.
pub async fn shopper_counts(
    tx: &mut Tx,
    keys: &[ShopperKey],
) -> Result<Vec<(ShopperKey, i64)>, Fault> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all (String, String, String, i64),
        postgres: "SELECT s.* FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[]) AS k(scope, partner_id, shopper_ref) \
                   CROSS JOIN LATERAL (SELECT scope, partner_id, shopper_ref, taken FROM shopper_count \
                   WHERE scope = k.scope AND partner_id = k.partner_id AND shopper_ref = k.shopper_ref LIMIT 1) AS s",
        sqlite: "SELECT s.scope, s.partner_id, s.shopper_ref, s.taken FROM json_each($1) AS k \
                 CROSS JOIN shopper_count AS s ON s.scope = k.value->>0 AND s.partner_id = k.value->>1 \
                 AND s.shopper_ref = k.value->>2",
        columns: [
            column(keys, |key| key.scope.as_str()), column(keys, |key| key.partner()),
            column(keys, |key| key.shopper_ref.as_str())
        ]
    )?;
    let read = |(scope, partner_id, shopper_ref, taken): (String, String, String, i64)| {
        Ok((
            ShopperKey {
                scope,
                partner_id: opt_id(&partner_id)?,
                shopper_ref,
            },
            taken,
        ))
    };
    rows.into_iter().map(read).collect()
}

/// What changed of an allotment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockChange {
    /// The allotment.
    pub allotment_id: AllotmentId,
    /// Difference of `supplied`.
    pub supplied: i64,
    /// Difference of `available`.
    pub available: i64,
    /// Difference of `held`.
    pub held: i64,
    /// Difference of `sold`.
    pub sold: i64,
    /// Difference of `version`.
    pub version: i64,
}

/// Changes allotments by differences; the caller holds their locks.
pub async fn allotments_change(tx: &mut Tx, changes: &[StockChange]) -> Result<(), Fault> {
    if changes.is_empty() {
        return Ok(());
    }
    let written = bulk!(
        tx,
        execute,
        postgres: "UPDATE allotment AS a SET supplied = a.supplied + u.supplied, available = a.available + u.available, \
                   held = a.held + u.held, sold = a.sold + u.sold, version = a.version + u.version \
                   FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::BIGINT[]) \
                   AS u(id, supplied, available, held, sold, version) WHERE a.allotment_id = u.id",
        sqlite: "UPDATE allotment SET supplied = supplied + (u.value->>1), available = available + (u.value->>2), \
                 held = held + (u.value->>3), sold = sold + (u.value->>4), version = version + (u.value->>5) \
                 FROM json_each($1) AS u WHERE allotment.allotment_id = u.value->>0",
        columns: [
            column(changes, |change| change.allotment_id), column(changes, |change| change.supplied),
            column(changes, |change| change.available), column(changes, |change| change.held),
            column(changes, |change| change.sold), column(changes, |change| change.version)
        ]
    )?;
    all_written("allotments", written, changes.len())
}

/// Changes the counters of listings by differences.
pub async fn listing_counts_change(tx: &mut Tx, changes: &[(ListingId, i64)]) -> Result<(), Fault> {
    if changes.is_empty() {
        return Ok(());
    }
    let written = bulk!(
        tx,
        execute,
        postgres: "UPDATE allotment_listing AS a SET taken = a.taken + u.taken \
                   FROM UNNEST($1::TEXT[], $2::BIGINT[]) AS u(id, taken) WHERE a.listing_id = u.id",
        sqlite: "UPDATE allotment_listing SET taken = taken + (u.value->>1) FROM json_each($1) AS u \
                 WHERE allotment_listing.listing_id = u.value->>0",
        columns: [column(changes, |change| change.0), column(changes, |change| change.1)]
    )?;
    all_written("listing counters", written, changes.len())
}

/// Changes the counters of drops by differences.
pub async fn drop_counts_change(tx: &mut Tx, changes: &[(DropId, i64)]) -> Result<(), Fault> {
    if changes.is_empty() {
        return Ok(());
    }
    let written = bulk!(
        tx,
        execute,
        postgres: "UPDATE drop_sale AS d SET taken = d.taken + u.taken \
                   FROM UNNEST($1::TEXT[], $2::BIGINT[]) AS u(id, taken) WHERE d.drop_id = u.id",
        sqlite: "UPDATE drop_sale SET taken = taken + (u.value->>1) FROM json_each($1) AS u \
                 WHERE drop_sale.drop_id = u.value->>0",
        columns: [column(changes, |change| change.0), column(changes, |change| change.1)]
    )?;
    all_written("drop counters", written, changes.len())
}

/// Changes what listings took in drops by differences.
pub async fn drop_listing_counts_change(
    tx: &mut Tx,
    changes: &[((DropId, ListingId), i64)],
) -> Result<(), Fault> {
    if changes.is_empty() {
        return Ok(());
    }
    let written = bulk!(
        tx,
        execute,
        postgres: "UPDATE drop_listing AS d SET taken = d.taken + u.taken \
                   FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[]) AS u(drop_id, listing_id, taken) \
                   WHERE d.drop_id = u.drop_id AND d.listing_id = u.listing_id",
        sqlite: "UPDATE drop_listing SET taken = taken + (u.value->>2) FROM json_each($1) AS u \
                 WHERE drop_listing.drop_id = u.value->>0 AND drop_listing.listing_id = u.value->>1",
        columns: [
            column(changes, |change| change.0.0), column(changes, |change| change.0.1), column(changes, |change| change.1)
        ]
    )?;
    all_written("drop counters of listings", written, changes.len())
}

/// Begins to count what shoppers hold. The caller has looked and found none of them under the locks that
/// everybody takes who counts there.
pub async fn shopper_counts_insert(
    tx: &mut Tx,
    counts: &[(&ShopperKey, i64)],
) -> Result<(), Fault> {
    insert!(tx, "shopper_count", {
        scope: column(counts, |(key, _)| key.scope.as_str()), partner_id: column(counts, |(key, _)| key.partner()),
        shopper_ref: column(counts, |(key, _)| key.shopper_ref.as_str()), taken: column(counts, |(_, count)| *count),
    })?;
    Ok(())
}

/// Changes what shoppers hold and have bought by differences. `changes` must be sorted.
pub async fn shopper_counts_change(
    tx: &mut Tx,
    changes: &[(&ShopperKey, i64)],
) -> Result<(), Fault> {
    let (more, less): (Vec<_>, Vec<_>) = changes
        .iter()
        .copied()
        .partition(|(_, difference)| *difference > 0);
    if !more.is_empty() {
        bulk!(
            tx,
            execute,
            postgres: "INSERT INTO shopper_count (scope, partner_id, shopper_ref, taken) \
                       SELECT * FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::BIGINT[]) \
                       ON CONFLICT (scope, partner_id, shopper_ref) \
                       DO UPDATE SET taken = shopper_count.taken + excluded.taken",
            sqlite: "INSERT INTO shopper_count (scope, partner_id, shopper_ref, taken) \
                     SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each($1) WHERE true \
                     ON CONFLICT (scope, partner_id, shopper_ref) \
                     DO UPDATE SET taken = shopper_count.taken + excluded.taken",
            columns: [
                column(&more, |(key, _)| key.scope.as_str()), column(&more, |(key, _)| key.partner()),
                column(&more, |(key, _)| key.shopper_ref.as_str()), column(&more, |(_, difference)| *difference)
            ]
        )?;
    }
    if less.is_empty() {
        return Ok(());
    }
    let written = bulk!(
        tx,
        execute,
        postgres: "UPDATE shopper_count AS s SET taken = s.taken + u.taken \
                   FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::BIGINT[]) \
                   AS u(scope, partner_id, shopper_ref, taken) WHERE s.scope = u.scope \
                   AND s.partner_id = u.partner_id AND s.shopper_ref = u.shopper_ref",
        sqlite: "UPDATE shopper_count SET taken = taken + (u.value->>3) FROM json_each($1) AS u \
                 WHERE shopper_count.scope = u.value->>0 AND shopper_count.partner_id = u.value->>1 \
                 AND shopper_count.shopper_ref = u.value->>2",
        columns: [
            column(&less, |(key, _)| key.scope.as_str()), column(&less, |(key, _)| key.partner()),
            column(&less, |(key, _)| key.shopper_ref.as_str()), column(&less, |(_, difference)| *difference)
        ]
    )?;
    all_written("shopper counters", written, less.len())
}

/// Writes movements.
pub async fn movements_insert(tx: &mut Tx, movements: &[Movement]) -> Result<(), Fault> {
    if movements.is_empty() {
        return Ok(());
    }
    insert!(tx, "allotment_movement", {
        movement_id: column(movements, |movement| movement.movement_id),
        allotment_id: column(movements, |movement| movement.allotment_id),
        kind: column(movements, |movement| movement.kind.as_str()),
        quantity: column(movements, |movement| movement.quantity),
        reason: column(movements, |movement| movement.reason.as_str()),
        actor: column(movements, |movement| movement.actor.as_str()),
        create_time: column(movements, |movement| movement.create_time),
    })?;
    Ok(())
}
