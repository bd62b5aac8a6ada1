//! What was sold, summed up by day. Every statement reads one bounded range of one index: ids begin with the time at
//! which they were made, so what happened on a day lies between two ids, with a day to spare on both sides for clocks
//! that are off; the times themselves then decide.

use std::time::Duration;

use ::store::{Tx, sql};
use contracts::id::{Id, Kind, PartnerId, kind};
use kit::clock::Micros;
use kit::errors::Fault;

use super::{currency, word};
use crate::model::CollectedBy;
use crate::model::rate::{DAY_US, Day};
use crate::model::sales::{Amount, Count, RowKey, Rows};

const SPARE: Duration = Duration::from_secs(24 * 3_600);

/// Which days, whose, and how much at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SalesRange {
    /// Of one partner; none for all.
    pub partner_id: Option<PartnerId>,
    /// First moment.
    pub start: Micros,
    /// First moment after.
    pub end: Micros,
    /// The most rows of one kind that are read.
    pub limit: i64,
}

impl SalesRange {
    fn first_id<K: Kind>(&self) -> Id<K> {
        first_id(self.start.minus(SPARE))
    }

    fn last_id<K: Kind>(&self) -> Id<K> {
        first_id(self.end.plus(SPARE))
    }
}

/// The first id that could have been made at a time: UUIDv7 begins with 48 bits of milliseconds.
pub(super) fn first_id<K: Kind>(time: Micros) -> Id<K> {
    let millis = u128::try_from(time.millis()).unwrap_or(0) & ((1 << 48) - 1);
    Id::from_uuid(millis << 80)
}

/// A statement over all partners and the same over one; each has an index of its own.
macro_rules! by_day {
    ($tx:ident, $range:ident, $row:ty, $all:expr, $own:expr, $select:expr, $where:expr, $group:expr,
     [$($bind:expr),+]) => {
        match $range.partner_id {
            None => sql!(
                $tx,
                all $row,
                concat!($select, $where, $all, $group),
                $($bind),+
            )?,
            Some(partner_id) => sql!(
                $tx,
                all $row,
                concat!($select, $where, $own, $group),
                $($bind),+,
                partner_id
            )?,
        }
    };
}

type PlacedRow = (i64, String, String, i64, i64);

/// Adds the orders placed.
pub async fn orders_placed(tx: &mut Tx, range: &SalesRange, rows: &mut Rows) -> Result<u64, Fault> {
    let (first, last) = (
        range.first_id::<kind::Order>(),
        range.last_id::<kind::Order>(),
    );
    let found: Vec<PlacedRow> = by_day!(
        tx,
        range,
        PlacedRow,
        "",
        "AND o.partner_id = $7 ",
        "SELECT o.place_time / $6 AS day, o.currency_code, l.collected_by, COUNT(DISTINCT o.order_id), \
         CAST(SUM(l.payable) AS BIGINT) FROM orders AS o JOIN order_line AS l ON l.order_id = o.order_id ",
        "WHERE o.order_id >= $1 AND o.order_id < $2 AND o.place_time >= $3 AND o.place_time < $4 ",
        "GROUP BY day, o.currency_code, l.collected_by LIMIT $5",
        [first, last, range.start, range.end, range.limit, DAY_US]
    );
    for (day, code, collected_by, orders, payable) in &found {
        let row = rows.row(key(*day, code, collected_by)?);
        row.counts[Count::OrdersPlaced as usize] = *orders;
        row.amounts[Amount::PlacedPayable as usize] = *payable;
    }
    Ok(found.len() as u64)
}

#[derive(sqlx::FromRow)]
struct PaidRow {
    day: i64,
    currency_code: String,
    collected_by: String,
    orders: i64,
    pieces: i64,
    grams: i64,
    gross: i64,
    retailer_discount: i64,
    partner_discount: i64,
    shipping: i64,
    tax: i64,
    tax_added: i64,
    payable: i64,
    commission: i64,
}

/// Adds the orders paid, by when the payment was recorded.
pub async fn orders_paid(tx: &mut Tx, range: &SalesRange, rows: &mut Rows) -> Result<u64, Fault> {
    let (first, last) = (
        range.first_id::<kind::Payment>(),
        range.last_id::<kind::Payment>(),
    );
    let found: Vec<PaidRow> = by_day!(
        tx,
        range,
        PaidRow,
        "",
        "AND p.partner_id = $7 ",
        "SELECT p.record_time / $6 AS day, p.currency_code, l.collected_by, COUNT(DISTINCT p.order_id) AS orders, \
         CAST(SUM(CASE WHEN l.unit = 'EACH' THEN l.ordered ELSE 0 END) AS BIGINT) AS pieces, \
         CAST(SUM(CASE WHEN l.unit = 'GRAM' THEN l.ordered ELSE 0 END) AS BIGINT) AS grams, \
         CAST(SUM(l.price) AS BIGINT) AS gross, CAST(SUM(l.retailer_discount) AS BIGINT) AS retailer_discount, \
         CAST(SUM(l.partner_discount) AS BIGINT) AS partner_discount, CAST(SUM(l.shipping) AS BIGINT) AS shipping, \
         CAST(SUM(l.tax) AS BIGINT) AS tax, \
         CAST(SUM(CASE WHEN l.tax_included THEN 0 ELSE l.tax END) AS BIGINT) AS tax_added, \
         CAST(SUM(l.payable) AS BIGINT) AS payable, CAST(SUM(l.commission) AS BIGINT) AS commission \
         FROM payment AS p JOIN order_line AS l ON l.order_id = p.order_id ",
        "WHERE p.payment_id >= $1 AND p.payment_id < $2 AND p.outcome = 'PAID' \
         AND p.record_time >= $3 AND p.record_time < $4 ",
        "GROUP BY day, p.currency_code, l.collected_by LIMIT $5",
        [first, last, range.start, range.end, range.limit, DAY_US]
    );
    for paid in &found {
        let row = rows.row(key(paid.day, &paid.currency_code, &paid.collected_by)?);
        for (count, number) in [
            (Count::OrdersPaid, paid.orders),
            (Count::PiecesPaid, paid.pieces),
            (Count::GramsPaid, paid.grams),
        ] {
            row.counts[count as usize] = number;
        }
        for (amount, number) in [
            (Amount::Gross, paid.gross),
            (Amount::RetailerDiscount, paid.retailer_discount),
            (Amount::PartnerDiscount, paid.partner_discount),
            (Amount::Shipping, paid.shipping),
            (Amount::Tax, paid.tax),
            (Amount::TaxAdded, paid.tax_added),
            (Amount::Payable, paid.payable),
            (Amount::Commission, paid.commission),
        ] {
            row.amounts[amount as usize] = number;
        }
    }
    Ok(found.len() as u64)
}

/// Day, currency, how many, and two amounts.
type PairRow = (i64, String, i64, i64, i64);

/// Adds the refunds authorised. Partners collected what is refunded.
pub async fn refunds_due(tx: &mut Tx, range: &SalesRange, rows: &mut Rows) -> Result<u64, Fault> {
    let (first, last) = (
        range.first_id::<kind::Refund>(),
        range.last_id::<kind::Refund>(),
    );
    let found: Vec<PairRow> = by_day!(
        tx,
        range,
        PairRow,
        "",
        "AND r.partner_id = $7 ",
        "SELECT r.create_time / $6 AS day, r.currency_code, COUNT(*), CAST(SUM(r.shopper_amount) AS BIGINT), \
         CAST(SUM(r.partner_amount) AS BIGINT) FROM refund AS r ",
        "WHERE r.refund_id >= $1 AND r.refund_id < $2 AND r.create_time >= $3 AND r.create_time < $4 ",
        "GROUP BY day, r.currency_code LIMIT $5",
        [first, last, range.start, range.end, range.limit, DAY_US]
    );
    let into = (
        Count::RefundsAuthorised,
        Amount::DueShopper,
        Amount::DuePartner,
    );
    enter(rows, &found, CollectedBy::Partner, into)
}

/// Adds the refunds executed.
pub async fn refunds_executed(
    tx: &mut Tx,
    range: &SalesRange,
    rows: &mut Rows,
) -> Result<u64, Fault> {
    let found: Vec<PairRow> = by_day!(
        tx,
        range,
        PairRow,
        "",
        "AND r.partner_id = $5 ",
        "SELECT r.finish_time / $4 AS day, r.currency_code, COUNT(*), CAST(SUM(r.shopper_amount) AS BIGINT), \
         CAST(SUM(r.partner_amount) AS BIGINT) FROM refund AS r ",
        "WHERE r.state = 'EXECUTED' AND r.finish_time >= $1 AND r.finish_time < $2 ",
        "GROUP BY day, r.currency_code LIMIT $3",
        [range.start, range.end, range.limit, DAY_US]
    );
    let into = (
        Count::RefundsExecuted,
        Amount::ExecutedShopper,
        Amount::ExecutedPartner,
    );
    enter(rows, &found, CollectedBy::Partner, into)
}

/// Adds the conversions of deep links, by the time of the purchase.
pub async fn conversions(tx: &mut Tx, range: &SalesRange, rows: &mut Rows) -> Result<u64, Fault> {
    let found: Vec<PairRow> = by_day!(
        tx,
        range,
        PairRow,
        "",
        "AND c.partner_id = $5 ",
        "SELECT c.convert_time / $4 AS day, c.currency_code, COUNT(*), CAST(SUM(c.amount) AS BIGINT), \
         CAST(SUM(c.commission) AS BIGINT) FROM conversion AS c ",
        "WHERE c.convert_time >= $1 AND c.convert_time < $2 ",
        "GROUP BY day, c.currency_code LIMIT $3",
        [range.start, range.end, range.limit, DAY_US]
    );
    let into = (
        Count::Conversions,
        Amount::Converted,
        Amount::ConvertedCommission,
    );
    enter(rows, &found, CollectedBy::Retailer, into)
}

/// Adds what of conversions went back.
pub async fn reversals(tx: &mut Tx, range: &SalesRange, rows: &mut Rows) -> Result<u64, Fault> {
    let found: Vec<PairRow> = by_day!(
        tx,
        range,
        PairRow,
        "",
        "AND c.partner_id = $5 ",
        "SELECT c.reverse_time / $4 AS day, c.currency_code, COUNT(*), CAST(SUM(c.amount) AS BIGINT), \
         CAST(SUM(c.commission) AS BIGINT) FROM conversion_reversal AS c ",
        "WHERE c.reverse_time >= $1 AND c.reverse_time < $2 ",
        "GROUP BY day, c.currency_code LIMIT $3",
        [range.start, range.end, range.limit, DAY_US]
    );
    let into = (
        Count::Reversals,
        Amount::Reversed,
        Amount::ReversedCommission,
    );
    enter(rows, &found, CollectedBy::Retailer, into)
}

fn enter(
    rows: &mut Rows,
    found: &[PairRow],
    collected_by: CollectedBy,
    (count, one, other): (Count, Amount, Amount),
) -> Result<u64, Fault> {
    for (day, code, number, amount, second) in found {
        let row = rows.row(RowKey {
            day: Day(*day),
            currency: currency(code)?,
            collected_by,
        });
        row.counts[count as usize] = *number;
        row.amounts[one as usize] = *amount;
        row.amounts[other as usize] = *second;
    }
    Ok(found.len() as u64)
}

fn key(day: i64, code: &str, collected_by: &str) -> Result<RowKey, Fault> {
    Ok(RowKey {
        day: Day(day),
        currency: currency(code)?,
        collected_by: word(CollectedBy::parse(collected_by), "order_line.collected_by")?,
    })
}
