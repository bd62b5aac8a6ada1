//! The retailer's finance reads the day's report; it must say what the orders say, in every currency.

use std::collections::BTreeMap;

use contracts::order::v1 as pb;

use super::{Checks, Day, line_amount, units, was_paid};
use crate::demo::client::Caller;
use crate::demo::goods::PARTNERS;
use crate::demo::now_proto;
use crate::demo::world::{ask, text};

/// What finance reports in.
const REPORTING: &str = "EUR";
/// What one of a partner's currency is worth in it: units and scale.
const RATES: [(&str, i64, i32); 2] = [("JPY", 6_134, 6), ("KWD", 29_875, 4)];
const CONVERSIONS_EACH: i64 = 3;

/// A date as `YYYY-MM-DD`.
pub(super) fn date(seconds: i64) -> String {
    prost_types::Timestamp { seconds, nanos: 0 }
        .to_string()
        .chars()
        .take(10)
        .collect()
}

/// Enters the rates of yesterday, so that a day that began before midnight has them too.
async fn enter_rates(finance: &Caller, run: &str, day: &str) -> anyhow::Result<()> {
    for (currency, rate, scale) in RATES {
        let request = pb::RecordExchangeRateRequest {
            request_id: text(&[run, "rate", currency]),
            base_currency_code: currency.into(),
            quote_currency_code: REPORTING.into(),
            rate: Some(pb::ExactDecimal { units: rate, scale }),
            effective_date: day.into(),
            source: "demo".into(),
        };
        ask!(
            "a rate could not be entered",
            finance,
            rates.record_exchange_rate(request)
        )?;
    }
    Ok(())
}

impl Day<'_> {
    /// The report of sales, partner by partner, against the orders.
    pub(super) async fn books_agree(&self, checks: &mut Checks) -> anyhow::Result<()> {
        let today = now_proto().seconds;
        let (start, end) = (date(today - 86_400), date(today));
        enter_rates(&self.world.finance, &self.world.run, &start).await?;
        for (partner, plan) in self.world.partners.iter().zip(&PARTNERS) {
            let request = pb::SummarizeSalesRequest {
                partner_id: partner.partner_id.clone(),
                start_date: start.clone(),
                end_date: end.clone(),
                reporting_currency_code: REPORTING.into(),
            };
            let summary = ask!(
                "sales could not be summarised",
                self.world.finance,
                reports.summarize_sales(request)
            )?;
            self.one_partners_books(checks, &partner.partner_id, plan.currency, &summary);
        }
        Ok(())
    }

    fn one_partners_books(
        &self,
        checks: &mut Checks,
        partner_id: &str,
        currency: &str,
        summary: &pb::SummarizeSalesResponse,
    ) {
        use contracts::common::v1::CollectedBy;
        let of = |collector: CollectedBy| {
            summary
                .totals
                .iter()
                .find(|t| t.collected_by() == collector && t.currency_code == currency)
                .cloned()
                .unwrap_or_default()
        };
        let (app, shop) = (of(CollectedBy::Partner), of(CollectedBy::Retailer));
        let orders = || {
            self.facts
                .orders
                .values()
                .filter(|o| o.partner_id == partner_id)
        };
        let counts = app.counts.unwrap_or_default();
        let paid = || orders().filter(|o| was_paid(o));
        let said = (counts.orders_placed, counts.orders_paid);
        let told = (orders().count() as i64, paid().count() as i64);
        checks.that(said == told, || {
            format!("{partner_id}: the report says {said:?} placed and paid, the orders {told:?}")
        });
        let amounts = app.amounts.unwrap_or_default();
        let mut sums: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        for line in paid().flat_map(|o| &o.lines) {
            let a = line_amount(line);
            let parts = [
                ("gross", a.price, &amounts.gross),
                (
                    "retailer discount",
                    a.retailer_discount,
                    &amounts.retailer_discount,
                ),
                (
                    "partner discount",
                    a.partner_discount,
                    &amounts.partner_discount,
                ),
                ("shipping", a.shipping, &amounts.shipping),
                ("payable", a.payable, &amounts.payable),
                ("commission", a.commission, &amounts.commission),
            ];
            for (name, part, total) in parts {
                let sum = sums.entry(name).or_insert((0, units(total.as_ref())));
                sum.0 += units(part.as_ref());
            }
        }
        for (name, (ours, reported)) in sums {
            checks.that(ours == reported, || {
                format!("{partner_id}: {name} is {ours} by the orders, {reported} by the report")
            });
        }
        let back: i64 = orders().map(|o| units(o.refunded.as_ref())).sum();
        let executed = units(amounts.refund_executed_shopper.as_ref());
        checks.that(back == executed, || {
            format!("{partner_id}: {back} is back by the orders, {executed} by the report")
        });
        let sold = shop.counts.unwrap_or_default();
        checks.that(
            (sold.conversions, sold.conversion_reversals) == (CONVERSIONS_EACH, 1),
            || format!("{partner_id}: the report counts {sold:?} in the own shop"),
        );
        let whole = summary.reporting_total.clone().unwrap_or_default();
        let converted: i64 = summary
            .totals
            .iter()
            .map(|t| {
                units(
                    t.converted_amounts
                        .clone()
                        .unwrap_or_default()
                        .payable
                        .as_ref(),
                )
            })
            .sum();
        checks.that(
            converted == units(whole.payable.as_ref()) && converted > 0,
            || format!("{partner_id}: converted parts make {converted}, not {whole:?}"),
        );
    }
}
