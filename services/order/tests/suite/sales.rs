//! The report of sales: what happened on which day, whose it is, and what it is worth in another currency.

use std::collections::HashMap;
use std::time::Duration;

use contracts::common::v1::{CollectedBy, Money, RetailerRole};
use contracts::order::v1 as pb;
use kit::errors::Fault;
use order::model::rate::Day;
use order::ops::sales::SummarizeSales;
use store::{Engine, Operation, Tx, sql};
use testkit::{TestDb, on_both_engines, op};
use tonic::Code;

use crate::conversions::{bought, gone, purchase, reversal};
use crate::links::{config, redirecting, start, token_of, wanted};
use crate::rates::{date, rate, record};
use crate::world::{Clients, PRICE, World, fields, money_in, partner, refused, setup, told};

const DAY: Duration = Duration::from_secs(86_400);

fn request(world: &World, from: i64, to: i64) -> pb::SummarizeSalesRequest {
    pb::SummarizeSalesRequest {
        partner_id: String::new(),
        start_date: date(world, from),
        end_date: date(world, to),
        reporting_currency_code: String::new(),
    }
}

async fn report(
    clients: &mut Clients,
    request: pb::SummarizeSalesRequest,
) -> pb::SummarizeSalesResponse {
    clients
        .reports
        .summarize_sales(request)
        .await
        .expect("a report")
        .into_inner()
}

fn minor(money: &Option<Money>) -> i64 {
    money.as_ref().expect("an amount").minor_units
}

/// Everything of an amount's message, by number.
fn figures(amounts: &pb::SalesAmounts) -> Vec<i64> {
    [
        &amounts.placed_payable,
        &amounts.gross,
        &amounts.retailer_discount,
        &amounts.partner_discount,
        &amounts.shipping,
        &amounts.tax,
        &amounts.tax_added,
        &amounts.payable,
        &amounts.commission,
        &amounts.refund_due_shopper,
        &amounts.refund_due_partner,
        &amounts.refund_executed_shopper,
        &amounts.refund_executed_partner,
        &amounts.conversion_amount,
        &amounts.conversion_commission,
        &amounts.reversed_amount,
        &amounts.reversed_commission,
    ]
    .map(minor)
    .to_vec()
}

/// Two days. On the first, partner 1 places two orders, one of them paid, and partner 2 has one paid; a link of
/// partner 1 sells for 1,009.89 euros and for 5,000 yen. On the second the paid order is paid again and a scarf goes back.
async fn two_days(world: &World) {
    world.stock(20).await;
    let midnight = Day::of(world.now()).plus(1).start();
    world.advance(midnight - world.now());
    let paid = world.paid("o-1", &[(1, 2)]).await;
    world.place("o-2", &[(1, 1)]).await;
    let theirs = world
        .partner(2)
        .orders
        .place_order(world.order("o-1", &[(3, 3)]))
        .await
        .expect("placed")
        .into_inner();
    let payment = world.payment(2, &theirs.order_id, "p", 3 * PRICE);
    world
        .partner(2)
        .orders
        .confirm_payment(payment)
        .await
        .expect("paid");
    world.enter_listing(redirecting(2)).await;
    let linked = world
        .partner(1)
        .orders
        .create_deep_link(wanted("l", 2))
        .await
        .expect("a link")
        .into_inner();
    let token = token_of(&linked.uri);
    let mut ops = world.ops();
    let sold = ops
        .orders
        .report_conversion(purchase(world, "c-1", &token, "shop-1"))
        .await
        .expect("reported");
    let yen = pb::ReportConversionRequest {
        lines: vec![pb::ConversionLineDraft {
            amount: money_in("JPY", 5_000),
            ..bought("FAN", 1, 0)
        }],
        amount: money_in("JPY", 5_000),
        ..purchase(world, "c-2", &token, "shop-2")
    };
    ops.orders.report_conversion(yen).await.expect("reported");

    world.advance(DAY);
    let twice = world
        .pay(&world.payment(1, &paid.order_id, "twice", 2 * PRICE))
        .await;
    assert_eq!(twice.outcome(), pb::PaymentOutcome::RefundDue);
    let id = sold.into_inner().conversion.expect("it").conversion_id;
    let back = reversal(world, "r", &id, vec![gone("SCARF", 1, 33_333)], 33_333);
    ops.orders.reverse_conversion(back).await.expect("reversed");
}

on_both_engines! {
    setup: setup();

    async fn each_thing_counts_on_its_day(t: TestDb) {
        let world = start(t).await;
        two_days(&world).await;
        let mut finance = world.retailer(RetailerRole::Finance);
        let all = report(&mut finance, request(&world, -1, 0)).await;
        let told: Vec<(String, &str, CollectedBy)> = all.rows.iter()
            .map(|row| (row.date.clone(), row.currency_code.as_str(), row.collected_by())).collect();
        let (first, second) = (date(&world, -1), date(&world, 0));
        assert_eq!(told, [
            (first.clone(), "EUR", CollectedBy::Partner), (first.clone(), "EUR", CollectedBy::Retailer),
            (first, "JPY", CollectedBy::Retailer),
            (second.clone(), "EUR", CollectedBy::Partner), (second, "EUR", CollectedBy::Retailer),
        ]);
        let [orders, shop, _, refunds, back] = &all.rows[..] else { panic!("five rows") };
        assert_eq!(orders.counts, Some(pb::SalesCounts { orders_placed: 3, orders_paid: 2, pieces_paid: 5, ..Default::default() }));
        let amounts = orders.amounts.as_ref().expect("amounts");
        // A sixth of the price is tax that is in it, and a tenth of the rest commission.
        assert_eq!(figures(amounts)[..9], [6 * PRICE, 5 * PRICE, 0, 0, 0, 663 + 995, 0, 5 * PRICE, 332 + 498]);
        assert_eq!(shop.counts, Some(pb::SalesCounts { conversions: 1, ..Default::default() }));
        assert_eq!(figures(shop.amounts.as_ref().expect("amounts"))[13..], [100_989, 10_000, 0, 0]);
        assert_eq!(refunds.counts, Some(pb::SalesCounts { refunds_authorised: 1, ..Default::default() }));
        assert_eq!(figures(refunds.amounts.as_ref().expect("amounts"))[9..13], [2 * PRICE, 0, 0, 0]);
        assert_eq!(back.counts, Some(pb::SalesCounts { conversion_reversals: 1, ..Default::default() }));
        assert_eq!(figures(back.amounts.as_ref().expect("amounts"))[13..], [0, 0, 33_333, 3_333]);
        let totals: Vec<(&str, CollectedBy)> = all.totals.iter().map(|total| (total.currency_code.as_str(), total.collected_by())).collect();
        assert_eq!(totals, [("EUR", CollectedBy::Partner), ("EUR", CollectedBy::Retailer), ("JPY", CollectedBy::Retailer)]);
        assert_eq!(minor(&all.totals[1].amounts.as_ref().expect("amounts").reversed_amount), 33_333);
        assert!(all.reporting_total.is_none() && all.exchange_rates.is_empty() && all.rows.iter().all(|row| row.converted_amounts.is_none()));

        // A refund that was executed counts on the day when it was.
        let now = world.now().0;
        world.t.execute(op("execute", move |tx| Box::pin(async move {
            sql!(tx, execute, "UPDATE refund SET state = 'EXECUTED', finish_time = $1, report_time = $1, refund_reference = 'x'", now)?;
            Ok(())
        }))).await.expect("executed");
        let later = report(&mut finance, request(&world, 0, 0)).await;
        assert_eq!(later.rows[0].counts.as_ref().expect("counts").refunds_executed, 1);
        assert_eq!(minor(&later.rows[0].amounts.as_ref().expect("amounts").refund_executed_shopper), 2 * PRICE);
        let empty = report(&mut finance, request(&world, -9, -2)).await;
        assert!(empty.rows.is_empty() && empty.totals.is_empty());
    }

    async fn a_partner_sees_its_own(t: TestDb) {
        let world = start(t).await;
        two_days(&world).await;
        let (mut own, mut finance) = (world.partner(2), world.retailer(RetailerRole::Finance));
        let theirs = report(&mut own, request(&world, -1, 0)).await;
        assert_eq!(theirs.rows.len(), 1);
        assert_eq!(theirs.rows[0].counts, Some(pb::SalesCounts { orders_placed: 1, orders_paid: 1, pieces_paid: 3, ..Default::default() }));
        let named = |at: u128| pb::SummarizeSalesRequest { partner_id: partner(at).into(), ..request(&world, -1, 0) };
        assert_eq!(report(&mut own, named(2)).await.rows, theirs.rows);
        assert_eq!(report(&mut finance, named(2)).await.rows, theirs.rows);
        assert_eq!(report(&mut finance, named(1)).await.rows.len(), 5);
        for at in [1, 99] {
            refused(own.reports.summarize_sales(named(at)).await, "NOT_FOUND", Code::NotFound);
        }
        refused(world.ops().reports.summarize_sales(named(1)).await, "PERMISSION_DENIED", Code::PermissionDenied);
    }

    async fn a_reporting_currency_needs_every_rate_and_names_them(t: TestDb) {
        let world = start(t).await;
        two_days(&world).await;
        let mut finance = world.retailer(RetailerRole::Finance);
        let in_dollars = || pb::SummarizeSalesRequest { reporting_currency_code: "USD".into(), ..request(&world, -1, 0) };
        for (pair, units, scale) in [("EUR/USD", 10_837, 4), ("JPY/USD", 6_637, 6)] {
            let status = refused(finance.reports.summarize_sales(in_dollars()).await, "RATE_MISSING", Code::FailedPrecondition);
            let (base, quote) = pair.split_once('/').expect("a pair");
            assert_eq!((told(&status, "base_currency_code"), told(&status, "quote_currency_code"), told(&status, "date")),
                (base.into(), quote.into(), date(&world, -1)));
            record(&mut finance, rate(pair, pair, units, scale, date(&world, -3))).await;
        }
        let before = report(&mut finance, in_dollars()).await;
        // A correction and a rate of the second day.
        let corrected = record(&mut finance, rate("fix", "EUR/USD", 10_840, 4, date(&world, -3))).await;
        let second = record(&mut finance, rate("second", "EUR/USD", 10_900, 4, date(&world, 0))).await;
        let after = report(&mut finance, in_dollars()).await;
        assert_eq!(before.rows.len(), after.rows.len());
        assert_ne!(before.reporting_total, after.reporting_total);
        let used: Vec<&str> = after.exchange_rates.iter().map(|rate| rate.exchange_rate_id.as_str()).collect();
        assert_eq!((used.len(), used[0], used[1]), (3, corrected.exchange_rate_id.as_str(), second.exchange_rate_id.as_str()));
        assert_eq!([&after.rows[0].exchange_rate_id, &after.rows[3].exchange_rate_id], [&corrected.exchange_rate_id, &second.exchange_rate_id]);

        // Parts make the whole, row by row and total by total; 99.50 at 1.0840 and 39.80 at 1.0900 by hand.
        let whole = figures(after.reporting_total.as_ref().expect("a total"));
        for (at, sum) in whole.iter().enumerate() {
            let rows: i64 = after.rows.iter().map(|row| figures(row.converted_amounts.as_ref().expect("amounts"))[at]).sum();
            let totals: i64 = after.totals.iter().map(|total| figures(total.converted_amounts.as_ref().expect("amounts"))[at]).sum();
            assert_eq!((rows, totals), (*sum, *sum));
        }
        assert_eq!((whole[1], whole[9]), (10_786, 4_338));
        assert!(after.rows.iter().all(|row| row.converted_amounts.as_ref().expect("amounts").gross.as_ref().expect("money").currency_code == "USD"));

        // What is in the reporting currency stays what it is; no order's money ever changed.
        record(&mut finance, rate("yen", "JPY/EUR", 61, 4, date(&world, -1))).await;
        let in_euros = pb::SummarizeSalesRequest { reporting_currency_code: "EUR".into(), ..request(&world, -1, 0) };
        let euros = report(&mut world.retailer(RetailerRole::Finance), in_euros).await;
        for row in euros.rows.iter().filter(|row| row.currency_code == "EUR") {
            assert_eq!((&row.amounts, row.exchange_rate_id.as_str()), (&row.converted_amounts, ""));
        }
        assert_eq!(minor(&euros.rows[2].converted_amounts.as_ref().expect("amounts").conversion_amount), 3_050);
    }

    async fn what_is_asked_for_is_bounded(t: TestDb) {
        let world = World::start_with(t, order::Config { report_rows_max: 4, ..config() }, false).await;
        two_days(&world).await;
        let mut finance = world.retailer(RetailerRole::Finance);
        for (wrong, field) in [
            (request(&world, 0, -1), "end_date"),
            (request(&world, -92, 0), "end_date"),
            (pb::SummarizeSalesRequest { start_date: "today".into(), ..request(&world, 0, 0) }, "start_date"),
            (pb::SummarizeSalesRequest { reporting_currency_code: "XXX".into(), ..request(&world, 0, 0) }, "reporting_currency_code"),
            (request(&world, -1, 0), "end_date"),
        ] {
            let status = refused(finance.reports.summarize_sales(wrong).await, "INVALID_FIELD", Code::InvalidArgument);
            assert_eq!(fields(&status), [field]);
        }
        assert_eq!(report(&mut finance, request(&world, -1, -1)).await.rows.len(), 3);
        // 92 days are the most, whatever is in them.
        report(&mut finance, request(&world, -93, -2)).await;
    }

    async fn a_day_is_read_without_the_others(t: TestDb) {
        let world = start(t).await;
        world.stock(1_000).await;
        world.enter_listing(redirecting(2)).await;
        let linked = world.partner(1).orders.create_deep_link(wanted("l", 2)).await.expect("a link").into_inner();
        let token = token_of(&linked.uri);
        for day in 0..20 {
            for at in 0..3 {
                world.paid(&format!("o-{day}-{at}"), &[(1, 1)]).await;
                let sold = purchase(&world, &format!("c-{day}-{at}"), &token, &format!("s-{day}-{at}"));
                world.ops().orders.report_conversion(sold).await.expect("reported");
            }
            world.advance(DAY);
        }
        if world.t.db.engine() != Engine::Postgres {
            return;
        }
        let last = Day::of(world.now()).plus(-1);
        for partner_id in [None, Some(partner(1))] {
            let summarize = SummarizeSales { partner_id, first: last, last, reporting: None, age_max: 7, rows_max: 100 };
            let read = world.t.execute(Watched(summarize)).await.expect("a report");
            assert!(!read.is_empty());
            for (table, rows) in read {
                // The day and one on either side, each order with its line, some of it twice.
                assert!(rows <= 24, "{rows} rows of {table} were read");
            }
        }
    }
}

/// A report, and how many rows it read of which table.
struct Watched(SummarizeSales);

impl Operation for Watched {
    type Output = Vec<(String, i64)>;

    fn name(&self) -> &'static str {
        "test.watched"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        // The connection may still count what it read before.
        let before: HashMap<String, i64> = rows_read(tx).await?.into_iter().collect();
        let sales = self.0.run(tx).await?;
        assert_eq!(sales.rows.len(), 2);
        let read = rows_read(tx).await?.into_iter().map(|(table, rows)| {
            let earlier = before.get(&table).copied().unwrap_or_default();
            (table, rows - earlier)
        });
        Ok(read.filter(|(_, rows)| *rows > 0).collect())
    }
}

async fn rows_read(tx: &mut Tx) -> Result<Vec<(String, i64)>, Fault> {
    Ok(sql!(
        tx,
        all(String, i64),
        "SELECT CAST(relname AS TEXT), CAST(COALESCE(seq_tup_read, 0) + COALESCE(idx_tup_fetch, 0) AS BIGINT) \
         FROM pg_stat_xact_user_tables WHERE COALESCE(seq_tup_read, 0) + COALESCE(idx_tup_fetch, 0) > 0"
    )?)
}
