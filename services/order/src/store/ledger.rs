//! The ledger's rows. They are only ever added and read: the table refuses anything else.

use ::store::{Tx, bulk, insert, sql};
use contracts::id::{OrderId, OrderLineId, PartnerId};
use contracts::money::Currency;
use kit::clock::Micros;
use kit::errors::Fault;

use super::sales::first_id;
use super::{column, currency, id, opt_id, word};
use crate::model::ledger::{Amounts, Terms};
use crate::model::rate::DAY_US;
use crate::model::{CostBearer, LedgerEntry, LedgerStep, Parts};

/// Adds entries in one statement, however many steps of however many orders they are of.
pub async fn entries_insert(tx: &mut Tx, entries: &[LedgerEntry]) -> Result<(), Fault> {
    if entries.is_empty() {
        return Ok(());
    }
    insert!(tx, "ledger_entry", {
        entry_id: column(entries, |e| e.entry_id), order_id: column(entries, |e| e.order_id),
        partner_id: column(entries, |e| e.partner_id),
        line_number: column(entries, |e| e.line.map_or(-1, |at| i64::try_from(at).unwrap_or(i64::MAX))),
        step: column(entries, |e| e.step.as_str()), cost_bearer: column(entries, |e| e.cost_bearer.as_str()),
        source_id: column(entries, |e| e.source_id.as_str()),
        reversed_entry_id: column(entries, |e| e.reverses.as_ref().map_or("", |entry_id| entry_id.as_str())),
        currency_code: column(entries, |e| e.currency.code()), goods: column(entries, |e| e.amounts.parts.goods),
        retailer_discount: column(entries, |e| e.amounts.retailer_discount),
        partner_amount: column(entries, |e| e.amounts.parts.partner),
        shipping: column(entries, |e| e.amounts.parts.shipping), tax: column(entries, |e| e.amounts.parts.tax),
        tax_included: column(entries, |e| e.amounts.parts.tax_included),
        record_time: column(entries, |e| e.record_time),
    })?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct EntryRow {
    entry_id: String,
    order_id: String,
    partner_id: String,
    line_number: i64,
    step: String,
    cost_bearer: String,
    source_id: String,
    reversed_entry_id: String,
    currency_code: String,
    goods: i64,
    retailer_discount: i64,
    partner_amount: i64,
    shipping: i64,
    tax: i64,
    tax_included: bool,
    record_time: i64,
    order_line_id: String,
}

impl EntryRow {
    fn read(self) -> Result<(LedgerEntry, Option<OrderLineId>), Fault> {
        let entry = LedgerEntry {
            entry_id: id(&self.entry_id)?,
            order_id: id(&self.order_id)?,
            partner_id: id(&self.partner_id)?,
            // -1 stands for the order as a whole.
            line: usize::try_from(self.line_number).ok(),
            step: word(LedgerStep::parse(&self.step), "ledger_entry.step")?,
            cost_bearer: word(
                CostBearer::parse(&self.cost_bearer),
                "ledger_entry.cost_bearer",
            )?,
            source_id: self.source_id,
            reverses: opt_id(&self.reversed_entry_id)?,
            currency: currency(&self.currency_code)?,
            amounts: Amounts {
                parts: Parts {
                    goods: self.goods,
                    shipping: self.shipping,
                    tax: self.tax,
                    tax_included: self.tax_included,
                    partner: self.partner_amount,
                },
                retailer_discount: self.retailer_discount,
            },
            record_time: Micros(self.record_time),
        };
        Ok((entry, opt_id(&self.order_line_id)?))
    }
}

macro_rules! entry_columns {
    () => {
        "e.entry_id, e.order_id, e.partner_id, e.line_number, e.step, e.cost_bearer, e.source_id, e.reversed_entry_id, \
         e.currency_code, e.goods, e.retailer_discount, e.partner_amount, e.shipping, e.tax, e.tax_included, \
         e.record_time"
    };
}

/// All entries of these orders.
pub async fn entries_of_orders(tx: &mut Tx, orders: &[OrderId]) -> Result<Vec<LedgerEntry>, Fault> {
    if orders.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all EntryRow,
        postgres: concat!("SELECT ", entry_columns!(), ", '' AS order_line_id FROM UNNEST($1::TEXT[]) AS k(id) \
                   CROSS JOIN LATERAL (SELECT * FROM ledger_entry WHERE order_id = k.id ORDER BY entry_id) AS e"),
        sqlite: concat!("SELECT ", entry_columns!(), ", '' AS order_line_id FROM json_each($1) AS k \
                 CROSS JOIN ledger_entry AS e ON e.order_id = k.value->>0 ORDER BY e.order_id, e.entry_id"),
        columns: [column(orders, |order_id| *order_id)]
    )?;
    rows.into_iter()
        .map(|row| row.read().map(|(entry, _)| entry))
        .collect()
}

/// Which entries are looked at: of an order, or of a range of days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerRange {
    /// Of one partner; none for all.
    pub partner_id: Option<PartnerId>,
    /// Of one order; then no times.
    pub order_id: Option<OrderId>,
    /// First moment.
    pub start: Micros,
    /// First moment after.
    pub end: Micros,
}

/// A day to spare on both sides for clocks that are off; the times themselves then decide.
const SPARE: std::time::Duration = std::time::Duration::from_secs(24 * 3_600);

/// Entries after an id, with the ids of their lines.
pub async fn entry_page(
    tx: &mut Tx,
    range: &LedgerRange,
    after: &str,
    limit: i64,
) -> Result<Vec<(LedgerEntry, Option<OrderLineId>)>, Fault> {
    let partner = range.partner_id.as_ref().map_or("", |id| id.as_str());
    let rows = match &range.order_id {
        Some(order_id) => sql!(
            tx,
            all EntryRow,
            concat!(
                "SELECT ", entry_columns!(), ", COALESCE(l.order_line_id, '') AS order_line_id FROM ledger_entry AS e \
                 LEFT JOIN order_line AS l ON l.order_id = e.order_id AND l.line_number = e.line_number \
                 WHERE e.order_id = $1 AND e.entry_id > $2 AND ($3 = '' OR e.partner_id = $3) \
                 ORDER BY e.entry_id LIMIT $4"
            ),
            order_id,
            after,
            partner,
            limit
        )?,
        None => {
            let first = first_id::<contracts::id::kind::LedgerEntry>(range.start.minus(SPARE));
            let last = first_id::<contracts::id::kind::LedgerEntry>(range.end.plus(SPARE));
            sql!(
                tx,
                all EntryRow,
                concat!(
                    "SELECT ", entry_columns!(), ", COALESCE(l.order_line_id, '') AS order_line_id \
                     FROM ledger_entry AS e \
                     LEFT JOIN order_line AS l ON l.order_id = e.order_id AND l.line_number = e.line_number \
                     WHERE e.entry_id > $1 AND e.entry_id >= $2 AND e.entry_id < $3 AND ($4 = '' OR e.partner_id = $4) \
                     AND e.record_time >= $5 AND e.record_time < $6 ORDER BY e.entry_id LIMIT $7"
                ),
                after,
                first,
                last,
                partner,
                range.start,
                range.end,
                limit
            )?
        }
    };
    rows.into_iter().map(EntryRow::read).collect()
}

/// Entries of one day, currency and kind together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerSum {
    /// Days since 1970; 0 when an order was asked for.
    pub day: i64,
    /// Of the amounts.
    pub currency: Currency,
    /// What decides between which accounts the amounts are moved.
    pub terms: Terms,
    /// The sums.
    pub amounts: Amounts,
}

#[derive(sqlx::FromRow)]
struct SumRow {
    day: i64,
    currency_code: String,
    step: String,
    cost_bearer: String,
    of_line: i64,
    tax_included: bool,
    goods: i64,
    retailer_discount: i64,
    partner_amount: i64,
    shipping: i64,
    tax: i64,
}

macro_rules! sums {
    ($day:literal) => {
        concat!(
            "SELECT ", $day, " AS day, e.currency_code, e.step, e.cost_bearer, \
             CAST(CASE WHEN e.line_number < 0 THEN 0 ELSE 1 END AS BIGINT) AS of_line, e.tax_included, \
             CAST(SUM(e.goods) AS BIGINT) AS goods, CAST(SUM(e.retailer_discount) AS BIGINT) AS retailer_discount, \
             CAST(SUM(e.partner_amount) AS BIGINT) AS partner_amount, CAST(SUM(e.shipping) AS BIGINT) AS shipping, \
             CAST(SUM(e.tax) AS BIGINT) AS tax FROM ledger_entry AS e "
        )
    };
}

macro_rules! grouped {
    () => {
        "GROUP BY day, e.currency_code, e.step, e.cost_bearer, of_line, e.tax_included \
         ORDER BY day, e.currency_code, e.step, e.cost_bearer, of_line, e.tax_included "
    };
}

/// What was moved, summed up by day and kind.
pub async fn entry_sums(
    tx: &mut Tx,
    range: &LedgerRange,
    limit: i64,
) -> Result<Vec<LedgerSum>, Fault> {
    let partner = range.partner_id.as_ref().map_or("", |id| id.as_str());
    let rows = match &range.order_id {
        Some(order_id) => sql!(
            tx,
            all SumRow,
            concat!(
                sums!("CAST(0 AS BIGINT)"),
                "WHERE e.order_id = $1 AND ($2 = '' OR e.partner_id = $2) ",
                grouped!(),
                "LIMIT $3"
            ),
            order_id,
            partner,
            limit
        )?,
        None => {
            let first = first_id::<contracts::id::kind::LedgerEntry>(range.start.minus(SPARE));
            let last = first_id::<contracts::id::kind::LedgerEntry>(range.end.plus(SPARE));
            sql!(
                tx,
                all SumRow,
                concat!(
                    sums!("e.record_time / $6"),
                    "WHERE e.entry_id >= $1 AND e.entry_id < $2 AND e.record_time >= $3 AND e.record_time < $4 \
                     AND ($5 = '' OR e.partner_id = $5) ",
                    grouped!(),
                    "LIMIT $7"
                ),
                first,
                last,
                range.start,
                range.end,
                partner,
                DAY_US,
                limit
            )?
        }
    };
    rows.into_iter()
        .map(|row| {
            Ok(LedgerSum {
                day: row.day,
                currency: currency(&row.currency_code)?,
                terms: Terms {
                    step: word(LedgerStep::parse(&row.step), "ledger_entry.step")?,
                    cost_bearer: word(
                        CostBearer::parse(&row.cost_bearer),
                        "ledger_entry.cost_bearer",
                    )?,
                    of_line: row.of_line != 0,
                },
                amounts: Amounts {
                    parts: Parts {
                        goods: row.goods,
                        shipping: row.shipping,
                        tax: row.tax,
                        tax_included: row.tax_included,
                        partner: row.partner_amount,
                    },
                    retailer_discount: row.retailer_discount,
                },
            })
        })
        .collect()
}

/// Orders from before there was a ledger, some of them.
pub async fn backlog_page(tx: &mut Tx, limit: i64) -> Result<Vec<OrderId>, Fault> {
    let rows = sql!(
        tx,
        all(String,),
        "SELECT order_id FROM ledger_backlog ORDER BY order_id LIMIT $1",
        limit
    )?;
    rows.iter().map(|(order_id,)| id(order_id)).collect()
}

/// Their entries are written.
pub async fn backlog_done(tx: &mut Tx, orders: &[OrderId]) -> Result<(), Fault> {
    if orders.is_empty() {
        return Ok(());
    }
    bulk!(
        tx,
        execute,
        postgres: "DELETE FROM ledger_backlog AS b USING UNNEST($1::TEXT[]) AS k(id) WHERE b.order_id = k.id",
        sqlite: "DELETE FROM ledger_backlog WHERE order_id IN (SELECT value->>0 FROM json_each($1))",
        columns: [column(orders, |order_id| *order_id)]
    )?;
    Ok(())
}
