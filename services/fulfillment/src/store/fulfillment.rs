//! Fulfilments and their lines.

use std::collections::BTreeMap;

use contracts::id::{FulfillmentId, OrderId};
use kit::clock::Micros;
use kit::errors::Fault;
use store::{Engine, Tx, bulk, sql};

use super::{expect_rows, id, number, word};
use crate::model::{Block, Blocks, Fulfillment, FulfillmentState, Line, Unit};

/// Fulfilments by id.
pub type Fulfillments = BTreeMap<FulfillmentId, Fulfillment>;

/// The columns of a [`Row`], of a table or subquery named `f`.
macro_rules! columns {
    () => {
        "f.fulfillment_id, f.order_id, f.partner_id, f.state, f.remorse, f.fraud, f.address_missing, f.presale, \
         f.inspection, f.ship_not_before, f.ship_by, f.region_code, f.subdivision_code, f.create_time, f.version"
    };
}
pub(super) use columns;

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    pub(super) fulfillment_id: String,
    order_id: String,
    partner_id: String,
    state: String,
    remorse: bool,
    fraud: bool,
    address_missing: bool,
    presale: bool,
    inspection: bool,
    ship_not_before: i64,
    ship_by: i64,
    region_code: String,
    subdivision_code: String,
    create_time: i64,
    version: i64,
}

impl Row {
    /// The fulfilment without its lines.
    fn into_model(self) -> Result<Fulfillment, Fault> {
        let blocks = Blocks::NONE
            .with(Block::Remorse, self.remorse)
            .with(Block::Fraud, self.fraud)
            .with(Block::AddressMissing, self.address_missing)
            .with(Block::Presale, self.presale)
            .with(Block::Inspection, self.inspection);
        Ok(Fulfillment {
            id: id(&self.fulfillment_id)?,
            order_id: id(&self.order_id)?,
            partner_id: id(&self.partner_id)?,
            state: word("state", &self.state, FulfillmentState::named)?,
            blocks,
            lines: Vec::new(),
            ship_not_before: Micros(self.ship_not_before),
            ship_by: Micros(self.ship_by),
            region_code: self.region_code,
            subdivision_code: self.subdivision_code,
            create_time: Micros(self.create_time),
            version: self.version,
        })
    }
}

#[derive(sqlx::FromRow)]
struct LineRow {
    fulfillment_id: String,
    order_line_id: String,
    variant_id: String,
    sku: String,
    title: String,
    unit: String,
    ordered: i64,
    cancelled: i64,
    shipped: i64,
    delivered: i64,
    undelivered: i64,
    in_returns: i64,
    returned: i64,
}

impl LineRow {
    fn into_model(self) -> Result<(FulfillmentId, Line), Fault> {
        let line = Line {
            order_line_id: id(&self.order_line_id)?,
            variant_id: id(&self.variant_id)?,
            sku: self.sku,
            title: self.title,
            unit: word("unit", &self.unit, Unit::named)?,
            ordered: self.ordered,
            cancelled: self.cancelled,
            shipped: self.shipped,
            delivered: self.delivered,
            undelivered: self.undelivered,
            in_returns: self.in_returns,
            returned: self.returned,
        };
        Ok((id(&self.fulfillment_id)?, line))
    }
}

/// Locks fulfilments until the end of the transaction and reads them. The ids come sorted, so that two
/// transactions never wait for each other crosswise; those that do not exist are left out.
pub async fn fulfillments_lock(tx: &mut Tx, ids: &[FulfillmentId]) -> Result<Fulfillments, Fault> {
    debug_assert!(ids.is_sorted(), "locks are taken in the order of ids");
    if ids.is_empty() {
        return Ok(Fulfillments::new());
    }
    // SQLite has one writer, which needs no lock.
    let rows = bulk!(
        tx,
        all Row,
        postgres: concat!(
            "SELECT ", columns!(), " FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
             (SELECT * FROM fulfillment WHERE fulfillment_id = k.id LIMIT 1 FOR UPDATE) AS f"
        ),
        sqlite: concat!(
            "SELECT ", columns!(), " FROM json_each($1) AS k CROSS JOIN fulfillment AS f \
             ON f.fulfillment_id = k.value->>0"
        ),
        columns: [ids]
    )?;
    with_lines(tx, rows).await
}

/// Locks one fulfilment.
pub async fn fulfillment_lock(
    tx: &mut Tx,
    id: &FulfillmentId,
) -> Result<Option<Fulfillment>, Fault> {
    Ok(fulfillments_lock(tx, &[*id]).await?.remove(id))
}

/// Locks the fulfilments of many orders, as far as these have arrived, in the order of [`fulfillments_lock`],
/// for a unit of work that goes on to lock them one by one in an order of its own.
pub async fn fulfillments_lock_ahead(tx: &mut Tx, orders: &[OrderId]) -> Result<(), Fault> {
    // One is in order whatever comes, and SQLite has one writer.
    if orders.len() < 2 || tx.engine() == Engine::Sqlite {
        return Ok(());
    }
    let rows = bulk!(
        tx,
        all(String,),
        postgres: "SELECT f.fulfillment_id FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT fulfillment_id FROM fulfillment WHERE order_id = k.id LIMIT 1) AS f",
        sqlite: "SELECT f.fulfillment_id FROM json_each($1) AS k CROSS JOIN fulfillment AS f \
                 ON f.order_id = k.value->>0",
        columns: [orders]
    )?;
    let mut ids: Vec<String> = rows.into_iter().map(|(found,)| found).collect();
    ids.sort_unstable();
    if ids.len() < 2 {
        return Ok(());
    }
    bulk!(
        tx,
        execute,
        postgres: "SELECT f.fulfillment_id FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT fulfillment_id FROM fulfillment WHERE fulfillment_id = k.id LIMIT 1 FOR UPDATE) AS f",
        sqlite: "SELECT f.fulfillment_id FROM json_each($1) AS k CROSS JOIN fulfillment AS f \
                 ON f.fulfillment_id = k.value->>0",
        columns: [ids]
    )?;
    Ok(())
}

/// The fulfilment of an order, when the order has arrived.
pub async fn fulfillment_of_order(
    tx: &mut Tx,
    order: &OrderId,
) -> Result<Option<FulfillmentId>, Fault> {
    let found = sql!(
        tx,
        optional(String,),
        "SELECT fulfillment_id FROM fulfillment WHERE order_id = $1",
        order
    )?;
    found.map(|(found,)| id(&found)).transpose()
}

/// Fulfilments blocked by time whose time is over, the longest over first, and at most so many.
pub async fn fulfillments_lapsed(
    tx: &mut Tx,
    now: Micros,
    limit: i64,
) -> Result<Vec<FulfillmentId>, Fault> {
    let rows = sql!(
        tx,
        all(String,),
        "SELECT fulfillment_id FROM fulfillment WHERE (remorse OR presale) AND ship_not_before <= $1 \
         ORDER BY ship_not_before, fulfillment_id LIMIT $2",
        now,
        limit
    )?;
    rows.iter().map(|(found,)| id(found)).collect()
}

/// Puts the lines to rows that were read.
pub(super) async fn with_lines(tx: &mut Tx, rows: Vec<Row>) -> Result<Fulfillments, Fault> {
    let ids: Vec<String> = rows.iter().map(|row| row.fulfillment_id.clone()).collect();
    let mut found = Fulfillments::new();
    for row in rows {
        let fulfillment = row.into_model()?;
        found.insert(fulfillment.id, fulfillment);
    }
    if ids.is_empty() {
        return Ok(found);
    }
    let lines = bulk!(
        tx,
        all LineRow,
        postgres: "SELECT l.fulfillment_id, l.order_line_id, l.variant_id, l.sku, l.title, l.unit, l.ordered, \
                   l.cancelled, l.shipped, l.delivered, l.undelivered, l.in_returns, l.returned \
                   FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM fulfillment_line WHERE fulfillment_id = k.id ORDER BY line_no OFFSET 0) AS l \
                   ORDER BY l.fulfillment_id, l.line_no",
        sqlite: "SELECT l.fulfillment_id, l.order_line_id, l.variant_id, l.sku, l.title, l.unit, l.ordered, \
                 l.cancelled, l.shipped, l.delivered, l.undelivered, l.in_returns, l.returned \
                 FROM json_each($1) AS k CROSS JOIN fulfillment_line AS l ON l.fulfillment_id = k.value->>0 \
                 ORDER BY l.fulfillment_id, l.line_no",
        columns: [ids]
    )?;
    for row in lines {
        let (id, line) = row.into_model()?;
        if let Some(fulfillment) = found.get_mut(&id) {
            fulfillment.lines.push(line);
        }
    }
    Ok(found)
}

/// Writes new and changed fulfilments with their lines; each version grows by one, from what was read.
pub async fn fulfillments_save(tx: &mut Tx, changed: &mut [Fulfillment]) -> Result<(), Fault> {
    if changed.is_empty() {
        return Ok(());
    }
    for fulfillment in &mut *changed {
        fulfillment.version += 1;
    }
    let written = heads_save(tx, changed).await?;
    expect_rows("fulfillment", written, changed.len())?;
    lines_save(tx, changed).await
}

async fn heads_save(tx: &mut Tx, changed: &[Fulfillment]) -> Result<u64, Fault> {
    let all = || changed.iter();
    let ids: Vec<_> = all().map(|f| f.id).collect();
    let order_ids: Vec<_> = all().map(|f| f.order_id).collect();
    let partner_ids: Vec<_> = all().map(|f| f.partner_id).collect();
    let states: Vec<_> = all().map(|f| f.state.word()).collect();
    let blocked = |block| all().map(|f| f.blocks.has(block)).collect::<Vec<_>>();
    let befores: Vec<_> = all().map(|f| f.ship_not_before).collect();
    let bys: Vec<_> = all().map(|f| f.ship_by).collect();
    let works: Vec<_> = all().map(|f| f.work_time()).collect();
    let regions: Vec<_> = all().map(|f| f.region_code.as_str()).collect();
    let subdivisions: Vec<_> = all().map(|f| f.subdivision_code.as_str()).collect();
    let creates: Vec<_> = all().map(|f| f.create_time).collect();
    let versions: Vec<_> = all().map(|f| f.version).collect();
    macro_rules! upsert {
        ($from:literal) => {
            concat!(
                "INSERT INTO fulfillment (fulfillment_id, order_id, partner_id, state, remorse, fraud, \
                 address_missing, presale, inspection, ship_not_before, ship_by, work_time, region_code, \
                 subdivision_code, create_time, version) ",
                $from,
                " ON CONFLICT (fulfillment_id) DO UPDATE SET state = excluded.state, remorse = excluded.remorse, \
                 fraud = excluded.fraud, address_missing = excluded.address_missing, presale = excluded.presale, \
                 inspection = excluded.inspection, work_time = excluded.work_time, version = excluded.version \
                 WHERE fulfillment.version = excluded.version - 1"
            )
        };
    }
    Ok(bulk!(
        tx,
        execute,
        postgres: upsert!(
            "SELECT u.* FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::BOOLEAN[], $6::BOOLEAN[], \
             $7::BOOLEAN[], $8::BOOLEAN[], $9::BOOLEAN[], $10::BIGINT[], $11::BIGINT[], $12::BIGINT[], $13::TEXT[], \
             $14::TEXT[], $15::BIGINT[], $16::BIGINT[]) AS u"
        ),
        sqlite: upsert!(
            "SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, \
             value->>8, value->>9, value->>10, value->>11, value->>12, value->>13, value->>14, value->>15 \
             FROM json_each($1) WHERE true"
        ),
        columns: [
            ids, order_ids, partner_ids, states, blocked(Block::Remorse), blocked(Block::Fraud),
            blocked(Block::AddressMissing), blocked(Block::Presale), blocked(Block::Inspection), befores, bys,
            works, regions, subdivisions, creates, versions
        ]
    )?)
}

/// Writes the counters of fulfilments that have not changed otherwise: units that are set aside for returns
/// are not part of what a fulfilment says, so its version stays.
pub async fn fulfillment_lines_save(tx: &mut Tx, changed: &[Fulfillment]) -> Result<(), Fault> {
    if changed.is_empty() {
        return Ok(());
    }
    lines_save(tx, changed).await
}

async fn lines_save(tx: &mut Tx, changed: &[Fulfillment]) -> Result<(), Fault> {
    let all = || {
        changed
            .iter()
            .flat_map(|f| (0..).zip(&f.lines).map(move |(at, line)| (f, at, line)))
    };
    let ids: Vec<_> = all().map(|(f, ..)| f.id).collect();
    let line_ids: Vec<_> = all().map(|(.., line)| line.order_line_id).collect();
    let numbers: Vec<_> = all().map(|(_, at, _)| number(at)).collect();
    let variants: Vec<_> = all().map(|(.., line)| line.variant_id).collect();
    let skus: Vec<_> = all().map(|(.., line)| line.sku.as_str()).collect();
    let titles: Vec<_> = all().map(|(.., line)| line.title.as_str()).collect();
    let unit_words: Vec<_> = all().map(|(.., line)| line.unit.word()).collect();
    let count = |of: fn(&Line) -> i64| all().map(|(.., line)| of(line)).collect::<Vec<_>>();
    let expected = ids.len();
    macro_rules! upsert {
        ($from:literal) => {
            concat!(
                "INSERT INTO fulfillment_line (fulfillment_id, order_line_id, line_no, variant_id, sku, title, \
                 unit, ordered, cancelled, shipped, delivered, undelivered, in_returns, returned) ",
                $from,
                " ON CONFLICT (fulfillment_id, order_line_id) DO UPDATE SET cancelled = excluded.cancelled, \
                 shipped = excluded.shipped, delivered = excluded.delivered, undelivered = excluded.undelivered, \
                 in_returns = excluded.in_returns, returned = excluded.returned"
            )
        };
    }
    let written = bulk!(
        tx,
        execute,
        postgres: upsert!(
            "SELECT u.* FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], \
             $7::TEXT[], $8::BIGINT[], $9::BIGINT[], $10::BIGINT[], $11::BIGINT[], $12::BIGINT[], $13::BIGINT[], \
             $14::BIGINT[]) AS u"
        ),
        sqlite: upsert!(
            "SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, \
             value->>8, value->>9, value->>10, value->>11, value->>12, value->>13 FROM json_each($1) WHERE true"
        ),
        columns: [
            ids, line_ids, numbers, variants, skus, titles, unit_words, count(|line| line.ordered),
            count(|line| line.cancelled), count(|line| line.shipped), count(|line| line.delivered),
            count(|line| line.undelivered), count(|line| line.in_returns), count(|line| line.returned)
        ]
    )?;
    expect_rows("fulfillment_line", written, expected)
}
