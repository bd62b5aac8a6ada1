//! Dated exchange rates, for reports only.

use ::store::{Operation, Tx};
use contracts::id::ExchangeRateId;
use contracts::money::Currency;
use kit::errors::{Fault, Refusal};

use crate::model::rate::{Day, Decimal, ExchangeRate, rate_for, rate_missing};
use crate::store::rate::{self, RateKey};

/// Records the rate of a day, or corrects it. Nothing is published: no order ever sees a rate.
#[derive(Clone, Debug)]
pub struct RecordExchangeRate {
    /// Converted from.
    pub base: Currency,
    /// Converted to.
    pub quote: Currency,
    /// The rate.
    pub rate: Decimal,
    /// The day it is for.
    pub effective: Day,
    /// Where it is from.
    pub source: String,
    /// How many days ahead it may be.
    pub ahead_max: i64,
}

impl Operation for RecordExchangeRate {
    type Output = ExchangeRate;

    fn name(&self) -> &'static str {
        "rate.record"
    }

    async fn run(&self, tx: &mut Tx) -> Result<ExchangeRate, Fault> {
        let now = tx.now();
        let latest = Day::of(now).plus(self.ahead_max);
        if self.effective > latest {
            let message = format!("must not be after {latest}");
            return Err(Refusal::invalid("effective_date", message).into());
        }
        let last = rate::rate_revision(tx, self.base, self.quote, self.effective).await?;
        let recorded = ExchangeRate {
            exchange_rate_id: ExchangeRateId::from_uuid(tx.ids().next()),
            base: self.base,
            quote: self.quote,
            rate: self.rate,
            effective: self.effective,
            source: self.source.clone(),
            revision: last + 1,
            record_time: now,
        };
        rate::rate_insert(tx, &recorded).await?;
        let outcome = format!("{} {} {}", self.base, self.quote, self.effective);
        tx.audit(self.name(), recorded.exchange_rate_id, outcome);
        Ok(recorded)
    }
}

/// The rate that counts for a day.
#[derive(Clone, Debug)]
pub struct GetExchangeRate {
    /// Converted from.
    pub base: Currency,
    /// Converted to.
    pub quote: Currency,
    /// For which day.
    pub day: Day,
    /// How old it may be, in days.
    pub age_max: i64,
}

impl Operation for GetExchangeRate {
    type Output = ExchangeRate;

    fn name(&self) -> &'static str {
        "rate.get"
    }

    async fn run(&self, tx: &mut Tx) -> Result<ExchangeRate, Fault> {
        let first = self.day.plus(-self.age_max);
        let rates = rate::rates_between(tx, self.base, self.quote, first, self.day).await?;
        rate_for(&rates, self.day, self.age_max)
            .cloned()
            .ok_or_else(|| rate_missing(self.base, self.quote, self.day, self.age_max).into())
    }
}

/// Records after a key.
#[derive(Clone, Debug)]
pub struct ListExchangeRates {
    /// Only from this currency; empty for any.
    pub base: String,
    /// Only to this currency; empty for any.
    pub quote: String,
    /// After which.
    pub after: RateKey,
    /// The most of them.
    pub limit: i64,
}

impl Operation for ListExchangeRates {
    type Output = Vec<ExchangeRate>;

    fn name(&self) -> &'static str {
        "rate.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<ExchangeRate>, Fault> {
        rate::rate_page(tx, &self.base, &self.quote, &self.after, self.limit).await
    }
}
