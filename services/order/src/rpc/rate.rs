//! Dated exchange rates.

use std::sync::Arc;

use ::store::idempotency::Idempotent;
use contracts::money::Currency;
use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::errors::{ErrorReason, Fault, Refusal};
use kit::page::Page;
use kit::validate::Violations;

use super::{Api, keyed, parse};
use crate::model::rate::{Day, Decimal, ExchangeRate, SCALE_MAX, UNITS_MAX};
use crate::ops::rate::{GetExchangeRate, ListExchangeRates, RecordExchangeRate};
use crate::store::rate::RateKey;

const RECORD_EXCHANGE_RATE: &str = "vitrine.order.v1.ExchangeRateService/RecordExchangeRate";

impl Api {
    pub(super) async fn record_exchange_rate(
        &self,
        caller: &Arc<Caller>,
        request: pb::RecordExchangeRateRequest,
    ) -> Result<pb::RecordExchangeRateResponse, Fault> {
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let pair = pair(
            &mut v,
            &request.base_currency_code,
            &request.quote_currency_code,
        );
        let rate = decimal(&mut v, &request.rate);
        let effective = day(&mut v, "effective_date", &request.effective_date);
        let source = v.text("source", &request.source, 1..=100);
        v.finish()?;
        let (Some((base, quote)), Some(rate), Some(effective)) = (pair, rate, effective) else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let keyed = keyed(caller, RECORD_EXCHANGE_RATE, &request_id, &request);
        let record = RecordExchangeRate {
            base,
            quote,
            rate,
            effective,
            source,
            ahead_max: self.config.rate_ahead_max_days.into(),
        };
        let render = |recorded: &ExchangeRate| pb::RecordExchangeRateResponse {
            exchange_rate: Some(exchange_rate(recorded)),
        };
        self.db
            .execute(caller, Idempotent::new(keyed, record, render))
            .await
    }

    pub(super) async fn get_exchange_rate(
        &self,
        caller: &Arc<Caller>,
        request: pb::GetExchangeRateRequest,
    ) -> Result<pb::GetExchangeRateResponse, Fault> {
        let mut v = Violations::new();
        let pair = pair(
            &mut v,
            &request.base_currency_code,
            &request.quote_currency_code,
        );
        let day = day(&mut v, "date", &request.date);
        v.finish()?;
        let (Some((base, quote)), Some(day)) = (pair, day) else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let get = GetExchangeRate {
            base,
            quote,
            day,
            age_max: self.config.rate_age_max_days.into(),
        };
        let found = self.db.read(caller, get).await?;
        Ok(pb::GetExchangeRateResponse {
            exchange_rate: Some(exchange_rate(&found)),
        })
    }

    pub(super) async fn list_exchange_rates(
        &self,
        caller: &Arc<Caller>,
        request: pb::ListExchangeRatesRequest,
    ) -> Result<pb::ListExchangeRatesResponse, Fault> {
        let mut v = Violations::new();
        let code = |v: &mut Violations, field: &str, code: &str| match code {
            "" => String::new(),
            code => currency(v, field, code)
                .map(|currency| currency.code().to_owned())
                .unwrap_or_default(),
        };
        let base = code(&mut v, "base_currency_code", &request.base_currency_code);
        let quote = code(&mut v, "quote_currency_code", &request.quote_currency_code);
        if request.base_currency_code.is_empty() && !request.quote_currency_code.is_empty() {
            v.add(
                "base_currency_code",
                "must be set when quote_currency_code is.",
            );
        }
        v.finish()?;
        let query = format!("exchange_rates|{base}|{quote}");
        let page = self.page(request.page_size, &request.page_token, &query)?;
        let list = ListExchangeRates {
            base,
            quote,
            after: after(&page)?,
            limit: page.limit(),
        };
        let rates = self.db.read(caller, list).await?;
        let (rates, next_page_token) = page.cut(rates, |rate| {
            vec![
                rate.base.code().to_owned(),
                rate.quote.code().to_owned(),
                rate.effective.0.to_string(),
                rate.revision.to_string(),
            ]
        });
        Ok(pb::ListExchangeRatesResponse {
            exchange_rates: rates.iter().map(exchange_rate).collect(),
            next_page_token,
        })
    }
}

/// Where the page begins.
fn after(page: &Page) -> Result<RateKey, Refusal> {
    let number = |text: &str| {
        text.parse::<i64>().map_err(|_| {
            Refusal::new(
                ErrorReason::BadPageToken,
                "The page_token is not one of this query; send the same request again without it.",
            )
        })
    };
    match page.after_key(4)? {
        Some([base, quote, day, revision]) => Ok(RateKey {
            base: base.clone(),
            quote: quote.clone(),
            day: number(day)?,
            revision: number(revision)?,
        }),
        // Days and revisions begin above this.
        _ => Ok(RateKey {
            day: -1,
            ..RateKey::default()
        }),
    }
}

/// A day of the calendar.
pub fn day(v: &mut Violations, field: &str, text: &str) -> Option<Day> {
    let day = Day::parse(text);
    if day.is_none() {
        v.add(field, "must be a day as YYYY-MM-DD, such as 2026-11-22.");
    }
    day
}

/// A currency by its code.
pub fn currency(v: &mut Violations, field: &str, code: &str) -> Option<Currency> {
    Currency::parse(code)
        .map_err(|error| v.add(field, format!("{error}.")))
        .ok()
}

fn pair(v: &mut Violations, base: &str, quote: &str) -> Option<(Currency, Currency)> {
    let base = currency(v, "base_currency_code", base);
    let quote = currency(v, "quote_currency_code", quote);
    if base.is_some() && base == quote {
        v.add(
            "quote_currency_code",
            "must be another currency than base_currency_code.",
        );
    }
    base.zip(quote)
}

fn decimal(v: &mut Violations, value: &Option<pb::ExactDecimal>) -> Option<Decimal> {
    let value = v.required("rate", value)?;
    let mut v = v.nested("rate");
    let units = v.range("units", value.units, 1..=UNITS_MAX);
    let scale = v.range("scale", value.scale, 0..=i64::from(SCALE_MAX));
    Some(Decimal {
        units,
        scale: u32::try_from(scale).unwrap_or_default(),
    })
}

/// A rate as it is read.
pub fn exchange_rate(rate: &ExchangeRate) -> pb::ExchangeRate {
    pb::ExchangeRate {
        exchange_rate_id: rate.exchange_rate_id.into(),
        base_currency_code: rate.base.code().to_owned(),
        quote_currency_code: rate.quote.code().to_owned(),
        rate: Some(pb::ExactDecimal {
            units: rate.rate.units,
            // At most 12.
            scale: i32::try_from(rate.rate.scale).unwrap_or_default(),
        }),
        effective_date: rate.effective.to_string(),
        source: rate.source.clone(),
        revision: rate.revision,
        record_time: Some(rate.record_time.to_proto()),
    }
}
