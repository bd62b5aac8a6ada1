//! Reports of what was sold.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use ::store::{Operation, Tx};
use contracts::id::PartnerId;
use contracts::money::Currency;
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use crate::model::rate::{Day, Decimal, ExchangeRate, rate_for, rate_missing};
use crate::model::sales::{Row, Rows, TooLarge, Worth, convert};
use crate::store::rate;
use crate::store::sales::{self, SalesRange};

/// Sums up sales by day.
#[derive(Clone, Debug)]
pub struct SummarizeSales {
    /// Of one partner; none for all.
    pub partner_id: Option<PartnerId>,
    /// First day.
    pub first: Day,
    /// Last day, inclusive.
    pub last: Day,
    /// Convert to this.
    pub reporting: Option<Currency>,
    /// How old a rate may be, in days.
    pub age_max: i64,
    /// The most rows.
    pub rows_max: u32,
}

/// A report.
#[derive(Clone, Debug)]
pub struct Sales {
    /// By day, currency and collector, each with the rate it was converted with.
    pub rows: Vec<(Row, Option<ExchangeRate>)>,
    /// What they are worth in the reporting currency.
    pub worth: Option<(Currency, Worth)>,
    /// When it was summed up.
    pub time: Micros,
}

impl Operation for SummarizeSales {
    type Output = Sales;

    fn name(&self) -> &'static str {
        "report.sales"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Sales, Fault> {
        let range = SalesRange {
            partner_id: self.partner_id,
            start: self.first.start(),
            end: self.last.plus(1).start(),
            limit: i64::from(self.rows_max) + 1,
        };
        let mut rows = Rows::default();
        let mut most = 0;
        most = most.max(sales::orders_placed(tx, &range, &mut rows).await?);
        most = most.max(sales::orders_paid(tx, &range, &mut rows).await?);
        most = most.max(sales::refunds_due(tx, &range, &mut rows).await?);
        most = most.max(sales::refunds_executed(tx, &range, &mut rows).await?);
        most = most.max(sales::conversions(tx, &range, &mut rows).await?);
        most = most.max(sales::reversals(tx, &range, &mut rows).await?);
        let rows = rows.finish();
        if most.max(rows.len() as u64) > u64::from(self.rows_max) {
            let message = format!("makes more than {} rows; ask for fewer days", self.rows_max);
            return Err(Refusal::invalid("end_date", message).into());
        }
        let rows = match self.reporting {
            None => rows.into_iter().map(|row| (row, None)).collect(),
            Some(to) => self.with_rates(tx, rows, to).await?,
        };
        let worth = match self.reporting {
            None => None,
            Some(to) => Some((to, worth(&rows, to)?)),
        };
        Ok(Sales {
            rows,
            worth,
            time: tx.now(),
        })
    }
}

impl SummarizeSales {
    /// Each row with the rate of its day; none for rows in the reporting currency. A rate that is missing ends it.
    async fn with_rates(
        &self,
        tx: &mut Tx,
        rows: Vec<Row>,
        to: Currency,
    ) -> Result<Vec<(Row, Option<ExchangeRate>)>, Fault> {
        let mut rates: HashMap<Currency, Vec<ExchangeRate>> = HashMap::new();
        let since = self.first.plus(-self.age_max);
        let mut rated = Vec::with_capacity(rows.len());
        for row in rows {
            let (from, day) = (row.key.currency, row.key.day);
            if from == to {
                rated.push((row, None));
                continue;
            }
            let known = match rates.entry(from) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    let known = rate::rates_between(tx, from, to, since, self.last).await?;
                    unknown.insert(known)
                }
            };
            match rate_for(known, day, self.age_max) {
                Some(rate) => rated.push((row, Some(rate.clone()))),
                None => return Err(rate_missing(from, to, day, self.age_max).into()),
            }
        }
        Ok(rated)
    }
}

fn worth(rows: &[(Row, Option<ExchangeRate>)], to: Currency) -> Result<Worth, Refusal> {
    let rows: Vec<(Row, Option<Decimal>)> = rows
        .iter()
        .map(|(row, rate)| (row.clone(), rate.as_ref().map(|rate| rate.rate)))
        .collect();
    convert(&rows, to).map_err(|TooLarge| {
        let message = "makes amounts too large to compute with; ask for fewer days";
        Refusal::invalid("reporting_currency_code", message)
    })
}
