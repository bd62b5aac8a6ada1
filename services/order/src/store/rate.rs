//! Dated exchange rates. A record is never edited.

use ::store::{Tx, sql};
use contracts::money::Currency;
use kit::clock::Micros;
use kit::errors::Fault;

use super::{all_written, currency, id};
use crate::model::rate::{Day, Decimal, ExchangeRate};

#[derive(sqlx::FromRow)]
struct RateRow {
    exchange_rate_id: String,
    base_currency_code: String,
    quote_currency_code: String,
    effective_day: i64,
    revision: i64,
    rate_units: i64,
    rate_scale: i64,
    source: String,
    record_time: i64,
}

/// Named one by one: a prepared `*` breaks when a migration adds a column.
macro_rules! rate_columns {
    () => {
        "SELECT r.exchange_rate_id, r.base_currency_code, r.quote_currency_code, r.effective_day, r.revision, \
         r.rate_units, r.rate_scale, r.source, r.record_time FROM exchange_rate AS r "
    };
}

impl RateRow {
    fn read(self) -> Result<ExchangeRate, Fault> {
        Ok(ExchangeRate {
            exchange_rate_id: id(&self.exchange_rate_id)?,
            base: currency(&self.base_currency_code)?,
            quote: currency(&self.quote_currency_code)?,
            rate: Decimal {
                units: self.rate_units,
                scale: u32::try_from(self.rate_scale).map_err(Fault::internal)?,
            },
            effective: Day(self.effective_day),
            source: self.source,
            revision: self.revision,
            record_time: Micros(self.record_time),
        })
    }
}

/// The last revision of a pair and day; 0 when there is none.
pub async fn rate_revision(
    tx: &mut Tx,
    base: Currency,
    quote: Currency,
    day: Day,
) -> Result<i64, Fault> {
    let (revision,) = sql!(
        tx,
        one(i64,),
        "SELECT CAST(COALESCE(MAX(revision), 0) AS BIGINT) FROM exchange_rate \
         WHERE base_currency_code = $1 AND quote_currency_code = $2 AND effective_day = $3",
        base.code(),
        quote.code(),
        day.0
    )?;
    Ok(revision)
}

/// A new record; somebody who was faster makes the unit run again.
pub async fn rate_insert(tx: &mut Tx, rate: &ExchangeRate) -> Result<(), Fault> {
    let actor = tx.caller().principal();
    let written = sql!(
        tx,
        execute,
        "INSERT INTO exchange_rate (exchange_rate_id, base_currency_code, quote_currency_code, effective_day, revision, \
         rate_units, rate_scale, source, actor, record_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (base_currency_code, quote_currency_code, effective_day, revision) DO NOTHING",
        rate.exchange_rate_id,
        rate.base.code(),
        rate.quote.code(),
        rate.effective.0,
        rate.revision,
        rate.rate.units,
        i64::from(rate.rate.scale),
        &rate.source,
        actor,
        rate.record_time
    )?;
    all_written("exchange rate", written, 1)
}

/// The last revisions of a pair for these days, both inclusive, by day.
pub async fn rates_between(
    tx: &mut Tx,
    base: Currency,
    quote: Currency,
    first: Day,
    last: Day,
) -> Result<Vec<ExchangeRate>, Fault> {
    let rows = sql!(
        tx,
        all RateRow,
        concat!(
            rate_columns!(),
            "WHERE r.base_currency_code = $1 AND r.quote_currency_code = $2 AND r.effective_day BETWEEN $3 AND $4 \
             AND NOT EXISTS (SELECT 1 FROM exchange_rate AS later WHERE later.base_currency_code = r.base_currency_code \
             AND later.quote_currency_code = r.quote_currency_code AND later.effective_day = r.effective_day \
             AND later.revision > r.revision) ORDER BY r.effective_day"
        ),
        base.code(),
        quote.code(),
        first.0,
        last.0
    )?;
    rows.into_iter().map(RateRow::read).collect()
}

/// Where a list of rates goes on: after this pair, day and revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateKey {
    /// Converted from.
    pub base: String,
    /// Converted to.
    pub quote: String,
    /// The day.
    pub day: i64,
    /// The revision.
    pub revision: i64,
}

/// Records after a key, by pair, day and revision; empty texts want any.
pub async fn rate_page(
    tx: &mut Tx,
    base: &str,
    quote: &str,
    after: &RateKey,
    limit: i64,
) -> Result<Vec<ExchangeRate>, Fault> {
    // Each form has a range of the same index.
    let rows = if base.is_empty() {
        sql!(
            tx,
            all RateRow,
            concat!(
                rate_columns!(),
                "WHERE (r.base_currency_code, r.quote_currency_code, r.effective_day, r.revision) > ($1, $2, $3, $4) \
                 ORDER BY r.base_currency_code, r.quote_currency_code, r.effective_day, r.revision LIMIT $5"
            ),
            &after.base,
            &after.quote,
            after.day,
            after.revision,
            limit
        )?
    } else if quote.is_empty() {
        sql!(
            tx,
            all RateRow,
            concat!(
                rate_columns!(),
                "WHERE r.base_currency_code = $1 AND (r.quote_currency_code, r.effective_day, r.revision) > ($2, $3, $4) \
                 ORDER BY r.quote_currency_code, r.effective_day, r.revision LIMIT $5"
            ),
            base,
            &after.quote,
            after.day,
            after.revision,
            limit
        )?
    } else {
        sql!(
            tx,
            all RateRow,
            concat!(
                rate_columns!(),
                "WHERE r.base_currency_code = $1 AND r.quote_currency_code = $2 \
                 AND (r.effective_day, r.revision) > ($3, $4) ORDER BY r.effective_day, r.revision LIMIT $5"
            ),
            base,
            quote,
            after.day,
            after.revision,
            limit
        )?
    };
    rows.into_iter().map(RateRow::read).collect()
}
