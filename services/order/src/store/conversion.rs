//! Conversions of deep links with their lines and reversals.

use std::collections::HashMap;

use ::store::{Tx, bulk, sql};
use contracts::id::{ConversionId, DeepLinkId};
use kit::clock::Micros;
use kit::errors::Fault;

use super::{all_written, column, currency, id};
use crate::model::conversion::{Conversion, ConversionLine, Reversal, SkuAmount};

#[derive(sqlx::FromRow)]
struct ConversionRow {
    conversion_id: String,
    deep_link_id: String,
    partner_id: String,
    listing_id: String,
    shop_order_reference: String,
    legal_entity: String,
    currency_code: String,
    amount: i64,
    commission: i64,
    click_time: i64,
    convert_time: i64,
    record_time: i64,
    reversed_amount: i64,
    reversed_commission: i64,
    reversals: i64,
    version: i64,
}

/// Named one by one: a prepared `*` breaks when a migration adds a column.
macro_rules! conversion_columns {
    () => {
        "SELECT conversion_id, deep_link_id, partner_id, listing_id, shop_order_reference, legal_entity, currency_code, \
         amount, commission, click_time, convert_time, record_time, reversed_amount, reversed_commission, reversals, \
         version FROM conversion "
    };
}

impl ConversionRow {
    fn read(self, lines: Vec<ConversionLine>) -> Result<Conversion, Fault> {
        Ok(Conversion {
            conversion_id: id(&self.conversion_id)?,
            deep_link_id: id(&self.deep_link_id)?,
            partner_id: id(&self.partner_id)?,
            listing_id: id(&self.listing_id)?,
            shop_order_reference: self.shop_order_reference,
            legal_entity: self.legal_entity,
            currency: currency(&self.currency_code)?,
            lines,
            amount: self.amount,
            reversed_amount: self.reversed_amount,
            commission: self.commission,
            reversed_commission: self.reversed_commission,
            reversals: self.reversals,
            click_time: Micros(self.click_time),
            convert_time: Micros(self.convert_time),
            record_time: Micros(self.record_time),
            version: self.version,
        })
    }
}

/// A new conversion with its lines; false when the link has one of this reference.
pub async fn conversion_insert(tx: &mut Tx, conversion: &Conversion) -> Result<bool, Fault> {
    let written = sql!(
        tx,
        execute,
        "INSERT INTO conversion (conversion_id, deep_link_id, partner_id, listing_id, shop_order_reference, \
         legal_entity, currency_code, amount, goods_amount, commission, click_time, convert_time, record_time, \
         reversed_amount, reversed_goods_amount, reversed_commission, reversals, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, 0, 0, 0, $14) \
         ON CONFLICT (deep_link_id, shop_order_reference) DO NOTHING",
        conversion.conversion_id,
        conversion.deep_link_id,
        conversion.partner_id,
        conversion.listing_id,
        &conversion.shop_order_reference,
        &conversion.legal_entity,
        conversion.currency.code(),
        conversion.amount,
        conversion.goods_amount(),
        conversion.commission,
        conversion.click_time,
        conversion.convert_time,
        conversion.record_time,
        conversion.version
    )?;
    if written == 0 {
        return Ok(false);
    }
    let lines = &conversion.lines;
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO conversion_line (line_number, sku, quantity, amount, conversion_id, reversed_quantity, \
                   reversed_amount) SELECT u.*, $5, 0, 0 \
                   FROM UNNEST($1::BIGINT[], $2::TEXT[], $3::BIGINT[], $4::BIGINT[]) AS u",
        sqlite: "INSERT INTO conversion_line (line_number, sku, quantity, amount, conversion_id, reversed_quantity, \
                 reversed_amount) SELECT value->>0, value->>1, value->>2, value->>3, $2, 0, 0 FROM json_each($1)",
        columns: [
            (1..).take(lines.len()).collect::<Vec<i64>>(), column(lines, |line| line.bought.sku.as_str()),
            column(lines, |line| line.bought.quantity), column(lines, |line| line.bought.amount)
        ],
        also: [conversion.conversion_id]
    )?;
    Ok(true)
}

/// The conversion of a link with this reference.
pub async fn conversion_by_reference(
    tx: &mut Tx,
    link_id: &DeepLinkId,
    shop_order_reference: &str,
) -> Result<Option<ConversionId>, Fault> {
    let row = sql!(
        tx,
        optional(String,),
        "SELECT conversion_id FROM conversion WHERE deep_link_id = $1 AND shop_order_reference = $2",
        link_id,
        shop_order_reference
    )?;
    row.map(|(conversion_id,)| id(&conversion_id)).transpose()
}

/// A conversion.
pub async fn conversion_by_id(
    tx: &mut Tx,
    conversion_id: &ConversionId,
) -> Result<Option<Conversion>, Fault> {
    let row = sql!(
        tx,
        optional ConversionRow,
        concat!(conversion_columns!(), "WHERE conversion_id = $1"),
        conversion_id
    )?;
    let rows = row.into_iter().collect();
    Ok(with_lines(tx, rows).await?.pop())
}

/// Which conversions a list wants; empty texts want any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConversionFilter {
    /// Of this partner.
    pub partner_id: String,
    /// Of this link.
    pub deep_link_id: String,
}

/// Conversions after an id, by record: an id begins with its time.
pub async fn conversion_page(
    tx: &mut Tx,
    filter: &ConversionFilter,
    after: &str,
    limit: i64,
) -> Result<Vec<Conversion>, Fault> {
    // Each form has an index of its own.
    let rows = if !filter.deep_link_id.is_empty() {
        sql!(
            tx,
            all ConversionRow,
            concat!(
                conversion_columns!(),
                "WHERE deep_link_id = $1 AND conversion_id > $2 AND ($3 = '' OR partner_id = $3) \
                 ORDER BY conversion_id LIMIT $4"
            ),
            &filter.deep_link_id,
            after,
            &filter.partner_id,
            limit
        )?
    } else if !filter.partner_id.is_empty() {
        sql!(
            tx,
            all ConversionRow,
            concat!(
                conversion_columns!(),
                "WHERE partner_id = $1 AND conversion_id > $2 ORDER BY conversion_id LIMIT $3"
            ),
            &filter.partner_id,
            after,
            limit
        )?
    } else {
        sql!(
            tx,
            all ConversionRow,
            concat!(conversion_columns!(), "WHERE conversion_id > $1 ORDER BY conversion_id LIMIT $2"),
            after,
            limit
        )?
    };
    with_lines(tx, rows).await
}

type LineRow = (String, String, i64, i64, i64, i64);

async fn with_lines(tx: &mut Tx, rows: Vec<ConversionRow>) -> Result<Vec<Conversion>, Fault> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids = column(&rows, |row| row.conversion_id.as_str());
    let read: Vec<LineRow> = bulk!(
        tx,
        all LineRow,
        postgres: "SELECT l.conversion_id, l.sku, l.quantity, l.amount, l.reversed_quantity, l.reversed_amount \
                   FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM conversion_line WHERE conversion_id = k.id ORDER BY line_number) AS l \
                   ORDER BY l.conversion_id, l.line_number",
        sqlite: "SELECT l.conversion_id, l.sku, l.quantity, l.amount, l.reversed_quantity, l.reversed_amount \
                 FROM json_each($1) AS k CROSS JOIN conversion_line AS l ON l.conversion_id = k.value->>0 \
                 ORDER BY l.conversion_id, l.line_number",
        columns: [ids]
    )?;
    let mut lines: HashMap<String, Vec<ConversionLine>> = HashMap::new();
    for (conversion_id, sku, quantity, amount, reversed_quantity, reversed_amount) in read {
        lines
            .entry(conversion_id)
            .or_default()
            .push(ConversionLine {
                bought: SkuAmount {
                    sku,
                    quantity,
                    amount,
                },
                reversed_quantity,
                reversed_amount,
            });
    }
    rows.into_iter()
        .map(|row| {
            let own = lines.remove(&row.conversion_id).unwrap_or_default();
            row.read(own)
        })
        .collect()
}

/// Writes a reversal and what it leaves; somebody who was faster makes the unit run again.
pub async fn reversal_insert(
    tx: &mut Tx,
    after: &Conversion,
    reversal: &Reversal,
) -> Result<(), Fault> {
    let written = sql!(
        tx,
        execute,
        "UPDATE conversion SET reversed_amount = $1, reversed_goods_amount = $2, reversed_commission = $3, \
         reversals = $4, version = $5 WHERE conversion_id = $6 AND version = $5 - 1",
        after.reversed_amount,
        after.reversed_goods_amount(),
        after.reversed_commission,
        after.reversals,
        after.version,
        after.conversion_id
    )?;
    all_written("conversion", written, 1)?;
    let lines = &reversal.lines;
    if !lines.is_empty() {
        let written = bulk!(
            tx,
            execute,
            postgres: "UPDATE conversion_line AS l SET reversed_quantity = l.reversed_quantity + u.quantity, \
                       reversed_amount = l.reversed_amount + u.amount \
                       FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::BIGINT[]) AS u(sku, quantity, amount) \
                       WHERE l.conversion_id = $4 AND l.sku = u.sku",
            sqlite: "UPDATE conversion_line SET reversed_quantity = reversed_quantity + (u.value->>1), \
                     reversed_amount = conversion_line.reversed_amount + (u.value->>2) FROM json_each($1) AS u \
                     WHERE conversion_line.conversion_id = $2 AND conversion_line.sku = u.value->>0",
            columns: [
                column(lines, |line| line.sku.as_str()), column(lines, |line| line.quantity),
                column(lines, |line| line.amount)
            ],
            also: [after.conversion_id]
        )?;
        all_written("conversion lines", written, lines.len())?;
    }
    let lines = serde_json::to_string(lines).map_err(Fault::internal)?;
    sql!(
        tx,
        execute,
        "INSERT INTO conversion_reversal (conversion_reversal_id, conversion_id, number, partner_id, currency_code, \
         lines, amount, commission, reverse_time, record_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        reversal.conversion_reversal_id,
        reversal.conversion_id,
        reversal.number,
        after.partner_id,
        reversal.currency.code(),
        lines,
        reversal.amount,
        reversal.commission,
        reversal.reverse_time,
        reversal.record_time
    )?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct ReversalRow {
    conversion_reversal_id: String,
    conversion_id: String,
    number: i64,
    currency_code: String,
    lines: String,
    amount: i64,
    commission: i64,
    reverse_time: i64,
    record_time: i64,
}

/// The reversals of a conversion, in their order; their number is bounded.
pub async fn reversals_of(
    tx: &mut Tx,
    conversion_id: &ConversionId,
) -> Result<Vec<Reversal>, Fault> {
    let rows = sql!(
        tx,
        all ReversalRow,
        "SELECT conversion_reversal_id, conversion_id, number, currency_code, lines, amount, commission, reverse_time, \
         record_time FROM conversion_reversal WHERE conversion_id = $1 ORDER BY number",
        conversion_id
    )?;
    let read = |row: ReversalRow| {
        Ok(Reversal {
            conversion_reversal_id: id(&row.conversion_reversal_id)?,
            conversion_id: id(&row.conversion_id)?,
            currency: currency(&row.currency_code)?,
            lines: serde_json::from_str(&row.lines).map_err(Fault::internal)?,
            amount: row.amount,
            commission: row.commission,
            number: row.number,
            reverse_time: Micros(row.reverse_time),
            record_time: Micros(row.record_time),
        })
    };
    rows.into_iter().map(read).collect()
}
