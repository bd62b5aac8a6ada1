//! Drops, the listings that sell in them and their quotas. The allotment's row is their lock.

use ::store::{Tx, bulk, sql};
use contracts::id::{DropId, ListingId, PartnerId};
use contracts::money::{Money, Price};
use kit::clock::Micros;
use kit::errors::Fault;

use super::{all_written, column, currency, id, word};
use crate::model::{DropSale, DropShare, Quota, QuotaOwner};

#[derive(sqlx::FromRow)]
struct DropRow {
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
    available: i64,
}

/// A drop, and how many units of its allotment are free.
pub type FoundDrop = (DropSale, i64);

macro_rules! drop_columns {
    () => {
        "d.drop_id, d.allotment_id, d.display_name, d.announce_time, d.start_time, d.end_time, d.total_limit, \
         d.per_person_limit, d.discount_basis_points, d.quota_total, d.taken, d.ended_time, d.end_reason, d.version, \
         d.create_time, a.available FROM drop_sale AS d JOIN allotment AS a ON a.allotment_id = d.allotment_id "
    };
}

impl DropRow {
    fn model(self) -> Result<FoundDrop, Fault> {
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
        Ok((sale, self.available))
    }
}

/// The time of an announcement from its column, which is 0 for from the beginning.
pub(super) fn announced(time: i64) -> Option<Micros> {
    (time != 0).then_some(Micros(time))
}

/// A listing's price in a drop from its columns, which name no currency when there is none.
pub(super) fn drop_price(
    currency_code: &str,
    price: i64,
    per_quantity: i64,
) -> Result<Option<Price>, Fault> {
    if currency_code.is_empty() {
        return Ok(None);
    }
    let amount = Money::new(currency(currency_code)?, price);
    let price = Price::new(amount, per_quantity).map_err(Fault::internal)?;
    Ok(Some(price))
}

/// A new drop with its listings and quotas.
pub async fn drop_insert(
    tx: &mut Tx,
    drop: &DropSale,
    listings: &[(ListingId, Option<Price>)],
    quotas: &[Quota],
) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "INSERT INTO drop_sale (drop_id, allotment_id, display_name, start_time, end_time, total_limit, \
         per_person_limit, taken, ended_time, end_reason, version, create_time, announce_time, \
         discount_basis_points, quota_total) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL, '', $9, $10, $11, $12, $13)",
        drop.drop_id,
        drop.allotment_id,
        &drop.display_name,
        drop.start_time,
        drop.end_time,
        drop.total_limit,
        drop.per_person_limit,
        drop.taken,
        drop.version,
        drop.create_time,
        drop.announce_time.unwrap_or(Micros(0)),
        drop.discount_basis_points,
        drop.quota_total
    )?;
    let code = |price: &Option<Price>| price.map_or("", |price| price.amount().currency.code());
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO drop_listing (listing_id, currency_code, price, per_quantity, drop_id, taken) \
                   SELECT u.*, $5, 0 FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[], $4::BIGINT[]) AS u",
        sqlite: "INSERT INTO drop_listing (listing_id, currency_code, price, per_quantity, drop_id, taken) \
                 SELECT value->>0, value->>1, value->>2, value->>3, $2, 0 FROM json_each($1)",
        columns: [
            column(listings, |(listing_id, _)| *listing_id), column(listings, |(_, price)| code(price).to_owned()),
            column(listings, |(_, price)| price.map_or(0, |price| price.amount().minor_units)),
            column(listings, |(_, price)| price.map_or(1, |price| price.per_quantity()))
        ],
        also: [drop.drop_id]
    )?;
    if quotas.is_empty() {
        return Ok(());
    }
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO drop_quota (owner, unit_limit, release_time, drop_id, taken) \
                   SELECT u.*, $4, 0 FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::BIGINT[]) AS u",
        sqlite: "INSERT INTO drop_quota (owner, unit_limit, release_time, drop_id, taken) \
                 SELECT value->>0, value->>1, value->>2, $2, 0 FROM json_each($1)",
        columns: [
            column(quotas, |quota| quota.owner.as_str()), column(quotas, |quota| quota.unit_limit),
            column(quotas, |quota| quota.release_time)
        ],
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
pub async fn drop_by_id(tx: &mut Tx, drop_id: &DropId) -> Result<Option<FoundDrop>, Fault> {
    const TEXT: &str = concat!("SELECT ", drop_columns!(), "WHERE d.drop_id = $1");
    let row = sql!(tx, optional DropRow, TEXT, drop_id)?;
    row.map(DropRow::model).transpose()
}

/// Drops after an id, by creation.
pub async fn drop_page(tx: &mut Tx, after: &str, limit: i64) -> Result<Vec<FoundDrop>, Fault> {
    const TEXT: &str = concat!(
        "SELECT ",
        drop_columns!(),
        "WHERE d.drop_id > $1 ORDER BY d.drop_id LIMIT $2"
    );
    let rows = sql!(tx, all DropRow, TEXT, after, limit)?;
    rows.into_iter().map(DropRow::model).collect()
}

/// Announced drops that a listing of one partner takes part in, after an id, by creation.
pub async fn drop_page_of(
    tx: &mut Tx,
    partner_id: &PartnerId,
    after: &str,
    limit: i64,
) -> Result<Vec<FoundDrop>, Fault> {
    const TEXT: &str = concat!(
        "SELECT ",
        drop_columns!(),
        "WHERE d.drop_id > $1 AND (d.announce_time <= $4 OR d.start_time <= $4) \
         AND EXISTS (SELECT 1 FROM drop_listing AS l JOIN allotment_listing AS o ON o.listing_id = l.listing_id \
         WHERE l.drop_id = d.drop_id AND o.partner_id = $3) ORDER BY d.drop_id LIMIT $2"
    );
    let now = tx.now();
    let rows = sql!(tx, all DropRow, TEXT, after, limit, partner_id, now)?;
    rows.into_iter().map(DropRow::model).collect()
}

type ShareRow = (String, String, String, i64, String, i64, i64);

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
        all ShareRow,
        postgres: "SELECT d.drop_id, d.listing_id, l.partner_id, d.taken, d.currency_code, d.price, d.per_quantity \
                   FROM UNNEST($1::TEXT[]) AS wanted (id) \
                   JOIN drop_listing d ON d.drop_id = wanted.id JOIN allotment_listing l ON l.listing_id = d.listing_id \
                   ORDER BY d.drop_id, d.listing_id",
        sqlite: "SELECT d.drop_id, d.listing_id, l.partner_id, d.taken, d.currency_code, d.price, d.per_quantity \
                 FROM json_each($1) AS wanted \
                 JOIN drop_listing d ON d.drop_id = wanted.value->>0 \
                 JOIN allotment_listing l ON l.listing_id = d.listing_id ORDER BY d.drop_id, d.listing_id",
        columns: [drop_ids]
    )?;
    let share = |(drop_id, listing_id, partner_id, taken, code, price, per): ShareRow| {
        let partner_id: PartnerId = id(&partner_id)?;
        Ok((
            id(&drop_id)?,
            DropShare {
                listing_id: id(&listing_id)?,
                partner_id,
                taken,
                price: drop_price(&code, price, per)?,
            },
        ))
    };
    rows.into_iter().map(share).collect()
}

type QuotaRow = (String, String, i64, i64, Option<i64>);

/// The quotas of drops, sorted by drop and owner.
pub async fn quotas_by_drop(
    tx: &mut Tx,
    drop_ids: &[DropId],
) -> Result<Vec<(DropId, Quota)>, Fault> {
    if drop_ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all QuotaRow,
        postgres: "SELECT q.* FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT drop_id, owner, unit_limit, taken, release_time FROM drop_quota WHERE drop_id = k.id) AS q \
                   ORDER BY q.drop_id, q.owner",
        sqlite: "SELECT q.drop_id, q.owner, q.unit_limit, q.taken, q.release_time FROM json_each($1) AS k \
                 CROSS JOIN drop_quota AS q ON q.drop_id = k.value->>0 ORDER BY q.drop_id, q.owner",
        columns: [drop_ids]
    )?;
    let quota = |(drop_id, owner, unit_limit, taken, release_time): QuotaRow| {
        Ok((
            id(&drop_id)?,
            Quota {
                owner: word(QuotaOwner::parse(&owner), "drop_quota.owner")?,
                unit_limit,
                release_time: release_time.map(Micros),
                taken,
            },
        ))
    };
    rows.into_iter().map(quota).collect()
}

/// Changes the counters of quotas by differences; the caller holds the allotments' locks.
pub async fn quota_counts_change(
    tx: &mut Tx,
    changes: &[((DropId, QuotaOwner), i64)],
) -> Result<(), Fault> {
    if changes.is_empty() {
        return Ok(());
    }
    let written = bulk!(
        tx,
        execute,
        postgres: "UPDATE drop_quota AS q SET taken = q.taken + u.taken \
                   FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[]) AS u(drop_id, owner, taken) \
                   WHERE q.drop_id = u.drop_id AND q.owner = u.owner",
        sqlite: "UPDATE drop_quota SET taken = taken + (u.value->>2) FROM json_each($1) AS u \
                 WHERE drop_quota.drop_id = u.value->>0 AND drop_quota.owner = u.value->>1",
        columns: [
            column(changes, |((drop_id, _), _)| *drop_id), column(changes, |((_, owner), _)| owner.as_str()),
            column(changes, |(_, difference)| *difference)
        ]
    )?;
    all_written("quotas", written, changes.len())
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
