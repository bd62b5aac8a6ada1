//! Days and dated exchange rates. Rates are exact decimals; nothing here is ever rounded.

use std::fmt;

use contracts::ErrorReason;
use contracts::id::ExchangeRateId;
use contracts::money::Currency;
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use kit::clock::Micros;
use kit::errors::Refusal;

/// Microseconds of a day.
pub const DAY_US: i64 = 86_400_000_000;

/// The largest digits of a rate.
pub const UNITS_MAX: i64 = 1_000_000_000_000;

/// The most digits after the point.
pub const SCALE_MAX: u32 = 12;

/// A day in UTC, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i64);

impl Day {
    /// The day of a moment.
    pub const fn of(time: Micros) -> Self {
        Day(time.0.div_euclid(DAY_US))
    }

    /// Its first moment.
    pub const fn start(self) -> Micros {
        Micros(self.0.saturating_mul(DAY_US))
    }

    /// So many days later.
    pub const fn plus(self, days: i64) -> Self {
        Day(self.0.saturating_add(days))
    }

    /// A day from `YYYY-MM-DD`, 1970 to 9999; none for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let date = Date::strptime("%Y-%m-%d", text).ok()?;
        let midnight = date
            .to_datetime(Time::midnight())
            .to_zoned(TimeZone::UTC)
            .ok()?;
        let day = Day(midnight.timestamp().as_second().div_euclid(86_400));
        // What reads as a date in some other way is none of ours.
        (day.0 >= 0 && day.to_string() == text).then_some(day)
    }
}

/// `YYYY-MM-DD`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.saturating_mul(86_400);
        match Timestamp::from_second(seconds) {
            Ok(start) => f.pad(&start.to_zoned(TimeZone::UTC).date().to_string()),
            Err(_) => f.pad("day out of range"),
        }
    }
}

/// An exact decimal, `units ÷ 10^scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    /// The digits.
    pub units: i64,
    /// How many of them stand after the point.
    pub scale: u32,
}

/// The rate of one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeRate {
    /// The record.
    pub exchange_rate_id: ExchangeRateId,
    /// Converted from.
    pub base: Currency,
    /// Converted to.
    pub quote: Currency,
    /// What one of the base is worth in the quote currency.
    pub rate: Decimal,
    /// The day it is for.
    pub effective: Day,
    /// Where it is from.
    pub source: String,
    /// 1 for the first of the pair and day.
    pub revision: i64,
    /// When it was recorded.
    pub record_time: Micros,
}

/// The rate that counts for a day among those of one pair, of which each day has one at most: the latest up to the
/// day, when it is not older than `age_max` days.
pub fn rate_for(rates: &[ExchangeRate], day: Day, age_max: i64) -> Option<&ExchangeRate> {
    rates
        .iter()
        .filter(|rate| rate.effective <= day && rate.effective >= day.plus(-age_max))
        .max_by_key(|rate| rate.effective)
}

/// The refusal for want of a rate.
pub fn rate_missing(base: Currency, quote: Currency, day: Day, age_max: i64) -> Refusal {
    let message = format!(
        "There is no rate from {base} to {quote} for {day} or the {age_max} days before; record one with RecordExchangeRate."
    );
    Refusal::new(ErrorReason::RateMissing, message)
        .with("base_currency_code", base)
        .with("quote_currency_code", quote)
        .with("date", day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(day: i64) -> ExchangeRate {
        ExchangeRate {
            exchange_rate_id: ExchangeRateId::from_uuid(day as u128),
            base: Currency::EUR,
            quote: Currency::parse("USD").expect("a currency"),
            rate: Decimal {
                units: 10_837,
                scale: 4,
            },
            effective: Day(day),
            source: "ECB".into(),
            revision: 1,
            record_time: Micros(0),
        }
    }

    #[test]
    fn days_are_read_strictly() {
        assert_eq!(Day::parse("1970-01-01"), Some(Day(0)));
        assert_eq!(
            Day::parse("2026-11-22")
                .map(|day| day.to_string())
                .as_deref(),
            Some("2026-11-22")
        );
        assert_eq!(Day::of(Micros(DAY_US - 1)), Day(0));
        assert_eq!(Day::of(Day(20_000).start()), Day(20_000));
        for wrong in [
            "",
            "2026-02-30",
            "2026-1-2",
            "20261122",
            "2026-11-22T00:00",
            " 2026-11-22",
            "1969-12-31",
            "0000-00-00",
            "2026-11-22 ",
        ] {
            assert_eq!(Day::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_last_rate_up_to_the_day_counts_for_a_while() {
        let rates = [rate(10), rate(17), rate(12)];
        let found = |day| rate_for(&rates, Day(day), 3).map(|rate| rate.effective.0);
        assert_eq!(
            [9, 10, 11, 12, 15, 16, 17, 20, 21].map(found),
            [
                None,
                Some(10),
                Some(10),
                Some(12),
                Some(12),
                None,
                Some(17),
                Some(17),
                None,
            ]
        );
    }

    proptest! {
        #[test]
        fn every_day_is_read_as_it_is_written(day in 0..2_900_000i64) {
            prop_assert_eq!(Day::parse(&Day(day).to_string()), Some(Day(day)));
        }

        #[test]
        fn no_text_is_a_day_by_accident(text in "[0-9-]{0,12}") {
            if let Some(day) = Day::parse(&text) {
                prop_assert_eq!(day.to_string(), text);
            }
        }
    }
}
