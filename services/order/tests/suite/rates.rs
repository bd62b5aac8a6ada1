//! Dated exchange rates: exact, never edited, the last word of the last day counts.

use contracts::common::v1::RetailerRole;
use contracts::order::v1 as pb;
use kit::errors::Fault;
use order::model::rate::Day;
use store::sql;
use testkit::{TestDb, on_both_engines, op};
use tonic::Code;

use crate::world::{Clients, World, fields, refused, setup, told};

/// A day so many days from now, as the contract writes it.
pub fn date(world: &World, days: i64) -> String {
    Day::of(world.now()).plus(days).to_string()
}

pub fn rate(
    request_id: &str,
    pair: &str,
    units: i64,
    scale: i32,
    date: String,
) -> pb::RecordExchangeRateRequest {
    let (base, quote) = pair.split_once('/').expect("a pair");
    pb::RecordExchangeRateRequest {
        request_id: request_id.into(),
        base_currency_code: base.into(),
        quote_currency_code: quote.into(),
        rate: Some(pb::ExactDecimal { units, scale }),
        effective_date: date,
        source: "ECB".into(),
    }
}

pub async fn record(
    clients: &mut Clients,
    request: pb::RecordExchangeRateRequest,
) -> pb::ExchangeRate {
    let answer = clients.rates.record_exchange_rate(request).await;
    answer
        .expect("recorded")
        .into_inner()
        .exchange_rate
        .expect("a rate")
}

fn asked(pair: &str, date: String) -> pb::GetExchangeRateRequest {
    let (base, quote) = pair.split_once('/').expect("a pair");
    pb::GetExchangeRateRequest {
        base_currency_code: base.into(),
        quote_currency_code: quote.into(),
        date,
    }
}

on_both_engines! {
    setup: setup();

    async fn a_correction_is_another_record(t: TestDb) {
        let world = World::start(t).await;
        let mut finance = world.retailer(RetailerRole::Finance);
        let first = record(&mut finance, rate("a", "EUR/USD", 10_837, 4, date(&world, -1))).await;
        assert_eq!((first.revision, first.effective_date.clone()), (1, date(&world, -1)));
        let again = record(&mut finance, rate("a", "EUR/USD", 10_837, 4, date(&world, -1))).await;
        assert_eq!(again, first);
        let other = finance.rates.record_exchange_rate(rate("a", "EUR/USD", 10_838, 4, date(&world, -1))).await;
        refused(other, "KEY_REUSED", Code::AlreadyExists);
        let second = record(&mut finance, rate("b", "EUR/USD", 10_840, 4, date(&world, -1))).await;
        assert_eq!(second.revision, 2);
        let got = finance.rates.get_exchange_rate(asked("EUR/USD", date(&world, 0))).await.expect("a rate").into_inner();
        assert_eq!(got.exchange_rate, Some(second.clone()));
        // Neither the day before, nor the other direction, nor a week and a day later.
        for (pair, days) in [("EUR/USD", -2), ("USD/EUR", 0), ("EUR/USD", 7)] {
            let status = finance.rates.get_exchange_rate(asked(pair, date(&world, days))).await;
            let status = refused(status, "RATE_MISSING", Code::FailedPrecondition);
            assert_eq!((told(&status, "base_currency_code"), told(&status, "date")), (pair[..3].into(), date(&world, days)));
        }
        let got = finance.rates.get_exchange_rate(asked("EUR/USD", date(&world, 6))).await.expect("still").into_inner();
        assert_eq!(got.exchange_rate, Some(second));
        // Corrections at the same moment both count, one after the other.
        let all = (0..6).map(|at| {
            let (mut finance, request) = (world.retailer(RetailerRole::Finance), rate(&format!("r-{at}"), "EUR/JPY", 163 + at, 0, date(&world, 0)));
            async move { record(&mut finance, request).await.revision }
        });
        let mut revisions = futures::future::join_all(all).await;
        revisions.sort_unstable();
        assert_eq!(revisions, [1, 2, 3, 4, 5, 6]);
    }

    async fn rates_are_listed_with_their_corrections(t: TestDb) {
        let world = World::start(t).await;
        let mut finance = world.retailer(RetailerRole::Finance);
        let mut all = Vec::new();
        for (at, (pair, day)) in [("EUR/JPY", -1), ("EUR/USD", -2), ("EUR/USD", -1), ("EUR/USD", -1), ("GBP/EUR", 0)].iter().enumerate() {
            let request = rate(&format!("r-{at}"), pair, 1_000 + at as i64, 3, date(&world, *day));
            all.push(record(&mut finance, request).await.exchange_rate_id);
        }
        for (base, quote, wanted) in [("", "", &all[..]), ("EUR", "", &all[..4]), ("EUR", "USD", &all[1..4]), ("GBP", "EUR", &all[4..]), ("CHF", "", &[])] {
            let (mut page_token, mut found) = (String::new(), Vec::new());
            loop {
                let request = pb::ListExchangeRatesRequest {
                    base_currency_code: base.into(), quote_currency_code: quote.into(), page_size: 2, page_token,
                };
                let page = finance.rates.list_exchange_rates(request).await.expect("a page").into_inner();
                found.extend(page.exchange_rates.into_iter().map(|rate| rate.exchange_rate_id));
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    break;
                }
            }
            assert_eq!(found, wanted, "{base} {quote}");
        }
        let request = pb::ListExchangeRatesRequest { quote_currency_code: "USD".into(), ..Default::default() };
        let status = refused(finance.rates.list_exchange_rates(request).await, "INVALID_FIELD", Code::InvalidArgument);
        assert_eq!(fields(&status), ["base_currency_code"]);
        let request = pb::ListExchangeRatesRequest { page_token: "x".into(), ..Default::default() };
        refused(finance.rates.list_exchange_rates(request).await, "BAD_PAGE_TOKEN", Code::InvalidArgument);
    }

    async fn what_is_no_rate_is_refused(t: TestDb) {
        let world = World::start(t).await;
        let mut finance = world.retailer(RetailerRole::Finance);
        let good = || rate("r", "EUR/USD", 1, 0, date(&world, 0));
        for (wrong, field) in [
            (pb::RecordExchangeRateRequest { base_currency_code: "eur".into(), ..good() }, "base_currency_code"),
            (pb::RecordExchangeRateRequest { quote_currency_code: "EUR".into(), ..good() }, "quote_currency_code"),
            (pb::RecordExchangeRateRequest { rate: None, ..good() }, "rate"),
            (rate("r", "EUR/USD", 0, 0, date(&world, 0)), "rate.units"),
            (rate("r", "EUR/USD", 1_000_000_000_001, 0, date(&world, 0)), "rate.units"),
            (rate("r", "EUR/USD", 1, 13, date(&world, 0)), "rate.scale"),
            (rate("r", "EUR/USD", 1, 0, "22.11.2026".into()), "effective_date"),
            (rate("r", "EUR/USD", 1, 0, date(&world, 8)), "effective_date"),
            (pb::RecordExchangeRateRequest { source: String::new(), ..good() }, "source"),
        ] {
            let status = finance.rates.record_exchange_rate(wrong).await;
            let status = refused(status, "INVALID_FIELD", Code::InvalidArgument);
            assert_eq!(fields(&status), [field]);
        }
        for mut clients in [world.ops(), world.partner(1)] {
            let answer = clients.rates.record_exchange_rate(good()).await;
            refused(answer, "PERMISSION_DENIED", Code::PermissionDenied);
        }
        record(&mut finance, rate("ahead", "EUR/USD", 1, 0, date(&world, 7))).await;
        macro_rules! refused_by_the_database {
            ($text:literal) => {{
                let broken = op("break", |tx| {
                    Box::pin(async move {
                        sql!(tx, execute, $text)?;
                        Ok(())
                    })
                });
                let fault = world.t.execute(broken).await.expect_err($text);
                assert!(matches!(fault, Fault::Internal(_)), "{fault:?}");
            }};
        }
        refused_by_the_database!("UPDATE exchange_rate SET rate_units = 0");
        refused_by_the_database!("UPDATE exchange_rate SET quote_currency_code = base_currency_code");
    }
}
