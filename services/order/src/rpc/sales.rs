//! Reports of what was sold.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use contracts::common::v1 as common;
use contracts::money::Currency;
use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;

use super::render::money;
use super::{Api, listed_partner, rate};
use crate::model::CollectedBy;
use crate::model::rate::ExchangeRate;
use crate::model::sales::{AMOUNTS, Amount, Amounts, COUNTS, Count, Counts, Row, TooLarge, add};
use crate::ops::sales::{Sales, SummarizeSales};

impl Api {
    pub(super) async fn summarize_sales(
        &self,
        caller: &Arc<Caller>,
        request: pb::SummarizeSalesRequest,
    ) -> Result<pb::SummarizeSalesResponse, Fault> {
        let mut v = Violations::new();
        let asked = v.opt_id("partner_id", &request.partner_id);
        let first = rate::day(&mut v, "start_date", &request.start_date);
        let last = rate::day(&mut v, "end_date", &request.end_date);
        let reporting = match request.reporting_currency_code.as_str() {
            "" => None,
            code => rate::currency(&mut v, "reporting_currency_code", code),
        };
        if let (Some(first), Some(last)) = (first, last) {
            let most = i64::from(self.config.report_days_max);
            if last < first {
                v.add("end_date", "must not be before start_date.");
            } else if last.0 - first.0 >= most {
                v.add("end_date", format!("must make {most} days at the most."));
            }
        }
        v.finish()?;
        let partner_id = listed_partner(caller, asked)?;
        let (Some(first), Some(last)) = (first, last) else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let summarize = SummarizeSales {
            partner_id,
            first,
            last,
            reporting,
            age_max: self.config.rate_age_max_days.into(),
            rows_max: self.config.report_rows_max,
        };
        let sales = self.db.read(caller, summarize).await?;
        Ok(rendered(&sales)?)
    }
}

fn rendered(sales: &Sales) -> Result<pb::SummarizeSalesResponse, Refusal> {
    let row = |(at, (row, rate)): (usize, &(Row, Option<ExchangeRate>))| pb::SalesRow {
        date: row.key.day.to_string(),
        currency_code: row.key.currency.code().to_owned(),
        collected_by: collected_by(row.key.collected_by).into(),
        counts: Some(counts(&row.counts)),
        amounts: Some(amounts(row.key.currency, &row.amounts)),
        converted_amounts: sales
            .worth
            .as_ref()
            .and_then(|(to, worth)| Some(amounts(*to, worth.rows.get(at)?))),
        exchange_rate_id: rate
            .as_ref()
            .map(|rate| rate.exchange_rate_id.into())
            .unwrap_or_default(),
    };
    let mut seen = HashSet::new();
    let rates = sales.rows.iter().filter_map(|(_, rate)| rate.as_ref());
    let mut rates: Vec<&ExchangeRate> = rates
        .filter(|rate| seen.insert(rate.exchange_rate_id))
        .collect();
    rates.sort_by_key(|rate| (rate.base.code(), rate.effective));
    Ok(pb::SummarizeSalesResponse {
        rows: sales.rows.iter().enumerate().map(row).collect(),
        totals: totals(sales).map_err(|TooLarge| {
            Refusal::invalid(
                "end_date",
                "makes sums too large to compute with; ask for fewer days",
            )
        })?,
        reporting_total: sales
            .worth
            .as_ref()
            .map(|(to, worth)| amounts(*to, &worth.total)),
        exchange_rates: rates.into_iter().map(rate::exchange_rate).collect(),
        report_time: Some(sales.time.to_proto()),
    })
}

struct Total {
    currency: Currency,
    collected_by: CollectedBy,
    counts: Counts,
    amounts: Amounts,
    converted: Amounts,
}

/// The rows of all days, by currency and collector.
fn totals(sales: &Sales) -> Result<Vec<pb::SalesTotal>, TooLarge> {
    let mut totals: BTreeMap<(&str, CollectedBy), Total> = BTreeMap::new();
    for (at, (row, _)) in sales.rows.iter().enumerate() {
        let (currency, collected_by) = (row.key.currency, row.key.collected_by);
        let total = totals
            .entry((currency.code(), collected_by))
            .or_insert_with(|| Total {
                currency,
                collected_by,
                counts: [0; COUNTS],
                amounts: [0; AMOUNTS],
                converted: [0; AMOUNTS],
            });
        for (sum, count) in total.counts.iter_mut().zip(row.counts) {
            *sum = sum.checked_add(count).ok_or(TooLarge)?;
        }
        add(&mut total.amounts, &row.amounts)?;
        if let Some((_, worth)) = &sales.worth
            && let Some(converted) = worth.rows.get(at)
        {
            add(&mut total.converted, converted)?;
        }
    }
    let to = sales.worth.as_ref().map(|(to, _)| *to);
    let total = |total: Total| pb::SalesTotal {
        currency_code: total.currency.code().to_owned(),
        collected_by: collected_by(total.collected_by).into(),
        counts: Some(counts(&total.counts)),
        amounts: Some(amounts(total.currency, &total.amounts)),
        converted_amounts: to.map(|to| amounts(to, &total.converted)),
    };
    Ok(totals.into_values().map(total).collect())
}

fn collected_by(collected_by: CollectedBy) -> common::CollectedBy {
    match collected_by {
        CollectedBy::Partner => common::CollectedBy::Partner,
        CollectedBy::Retailer => common::CollectedBy::Retailer,
    }
}

fn counts(counts: &Counts) -> pb::SalesCounts {
    let count = |count: Count| counts[count as usize];
    pb::SalesCounts {
        orders_placed: count(Count::OrdersPlaced),
        orders_paid: count(Count::OrdersPaid),
        pieces_paid: count(Count::PiecesPaid),
        grams_paid: count(Count::GramsPaid),
        refunds_authorised: count(Count::RefundsAuthorised),
        refunds_executed: count(Count::RefundsExecuted),
        conversions: count(Count::Conversions),
        conversion_reversals: count(Count::Reversals),
    }
}

fn amounts(currency: Currency, amounts: &Amounts) -> pb::SalesAmounts {
    let of = |amount: Amount| money(currency, amounts[amount as usize]);
    pb::SalesAmounts {
        placed_payable: of(Amount::PlacedPayable),
        gross: of(Amount::Gross),
        retailer_discount: of(Amount::RetailerDiscount),
        partner_discount: of(Amount::PartnerDiscount),
        shipping: of(Amount::Shipping),
        tax: of(Amount::Tax),
        tax_added: of(Amount::TaxAdded),
        payable: of(Amount::Payable),
        commission: of(Amount::Commission),
        refund_due_shopper: of(Amount::DueShopper),
        refund_due_partner: of(Amount::DuePartner),
        refund_executed_shopper: of(Amount::ExecutedShopper),
        refund_executed_partner: of(Amount::ExecutedPartner),
        conversion_amount: of(Amount::Converted),
        conversion_commission: of(Amount::ConvertedCommission),
        reversed_amount: of(Amount::Reversed),
        reversed_commission: of(Amount::ReversedCommission),
    }
}
