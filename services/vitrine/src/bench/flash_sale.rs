//! One hot listing. Holds, complete orders, a sale to the last unit, latency at half of the peak, and beside them what
//! PostgreSQL does on the same disk in the same minutes.

use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::baseline::Baseline;
use super::calls::Calls;
use super::feed::Follower;
use super::house::House;
use super::load::{Arrivals, Driven, Plan, drive, now};
use super::record::Step;
use super::report::Report;
use super::shop::{Article, ENDLESS, Goods, Shop};
use super::traffic::{Shoppers, Tally, back_off};
use super::usage::fdatasync_us;
use super::{Bench, Common};

mod books;
mod sale;

/// The articles and the partners, by number.
const HOT: usize = 0;
const ON_SALE: usize = 1;
const SALE_PARTNERS: usize = 3;
/// Its feed has nothing but the orders whose latency is measured.
const LATENCY_PARTNER: usize = 4;
/// Whose shoppers want the hot listing; those of the sale have no other orders to look through.
const HOT_PARTNER: usize = 3;
/// The longest hold that a partner may ask for: none ends while something else is measured.
const LONG_HOLD_S: i64 = 1_800;
/// The peak is the highest rate over this long.
const WINDOW: Duration = Duration::from_secs(3);

/// `vitrine bench flash-sale`.
#[derive(Clone, Debug, Args)]
pub struct FlashSaleArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Runs only these phases; what they would need of others is null in the report.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<PhaseName>,
    /// How long each phase measures, after its warm-up [default: 6, latency 10; 1 with --quick].
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// Warm-up of each phase, in no total.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    warm_up: f64,
    /// Calls under way at the same time where the peak is looked for; one run for each, the best counts.
    #[arg(long, value_delimiter = ',', default_values_t = [256, 1_024])]
    in_flight: Vec<usize>,
    /// Units of the sale; ten tries for each [default: 14000; 300 with --quick].
    #[arg(long)]
    units: Option<i64>,
    /// Calls under way at the same time in the sale.
    #[arg(long, default_value_t = 1_024)]
    crowd: usize,
    /// Complete orders a second of the latency run [default: half of the peak that was just measured].
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// Goes without PostgreSQL's own figures; the ratios are null then.
    #[arg(long)]
    no_baseline: bool,
    /// How long each of pgbench's runs takes.
    #[arg(long, value_name = "SECONDS", default_value_t = 4)]
    baseline_seconds: u32,
    /// Every flush of PostgreSQL takes so much longer, pgbench's too: how it would be on a slower disk.
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 0)]
    flush_delay_us: u32,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PhaseName {
    /// PlaceOrder alone, without end.
    Holds,
    /// PlaceOrder and ConfirmPayment with a signed statement, without end.
    Orders,
    /// Everybody wants one of a few thousand units.
    Sale,
    /// Complete orders at half of the peak.
    Latency,
    /// pgbench on a PostgreSQL of its own.
    Baseline,
}

impl FlashSaleArgs {
    fn runs(&self, phase: PhaseName) -> bool {
        match phase {
            PhaseName::Baseline if self.no_baseline => false,
            _ => self.only.is_empty() || self.only.contains(&phase),
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        let halved = self.runs(PhaseName::Orders) || self.rate.is_some();
        if self.runs(PhaseName::Latency) && !halved {
            bail!("half of which peak? run `orders` too, or say --rate N");
        }
        if self.units() < 1 || self.crowd == 0 || self.in_flight.contains(&0) {
            bail!("nothing is sold to nobody: --units, --crowd and --in-flight are at least 1");
        }
        Ok(())
    }

    /// PostgreSQL's own pause before a flush, taken whoever else is there.
    fn slow_flush(&self) -> Vec<String> {
        match self.flush_delay_us {
            0 => Vec::new(),
            us => vec![format!("commit_delay={us}"), "commit_siblings=0".into()],
        }
    }

    fn length(&self, usual: f64) -> Duration {
        let usual = if self.common.quick { 1.0 } else { usual };
        Duration::from_secs_f64(self.seconds.unwrap_or(usual).max(0.5))
    }

    fn warm_up(&self) -> Duration {
        let warm_up = if self.common.quick {
            0.25
        } else {
            self.warm_up
        };
        Duration::from_secs_f64(warm_up.max(0.0))
    }

    fn units(&self) -> i64 {
        self.units
            .unwrap_or(if self.common.quick { 300 } else { 14_000 })
    }
}

/// The benchmark under way.
struct Run<'a> {
    bench: &'a Bench,
    args: &'a FlashSaleArgs,
    house: House,
    shop: Shop,
    report: Report,
    /// Paid for certain, and perhaps, on the listing that never sells out.
    paid: u64,
    perhaps_paid: u64,
}

/// Runs it.
pub async fn run(bench: &Bench, args: &FlashSaleArgs) -> anyhow::Result<Report> {
    args.check()?;
    let mut baseline = match args.runs(PhaseName::Baseline) {
        true => Some(Baseline::start(
            args.baseline_seconds,
            args.common.quick,
            &args.slow_flush(),
        )?),
        false => None,
    };
    let house = bench.house(&[], &args.slow_flush())?;
    let mut report = Report::new(bench, "flash-sale", &house);
    report.rounded(
        "fdatasync_us",
        Some(fdatasync_us(house.disk())?),
        0,
        "median of one 8 KiB write and flush, µs",
    );
    if let Some(baseline) = &mut baseline {
        baseline.measure(bench).await?;
    }
    bench.say("making what is for sale");
    let shop = Shop::prepare(&house, &goods(args)).await?;
    let mut run = Run {
        bench,
        args,
        house,
        shop,
        report,
        paid: 0,
        perhaps_paid: 0,
    };
    run.phases().await?;
    if let Some(baseline) = &mut baseline {
        baseline.measure(bench).await?;
        baseline.tell(&mut run.report);
    }
    run.tell();
    Ok(run.report)
}

fn goods(args: &FlashSaleArgs) -> Goods {
    Goods {
        partners: LATENCY_PARTNER + 1,
        articles: vec![
            Article {
                units: ENDLESS,
                sold_by: vec![HOT_PARTNER, LATENCY_PARTNER],
            },
            Article {
                units: args.units(),
                sold_by: (0..SALE_PARTNERS).collect(),
            },
        ],
    }
}

impl Run<'_> {
    async fn phases(&mut self) -> anyhow::Result<()> {
        if self.args.runs(PhaseName::Holds) {
            let peak = self.peak("holds", Step::Place).await?;
            self.report.rounded(
                "holds_per_s",
                Some(peak),
                0,
                "PlaceOrder on one hot listing, a second",
            );
        }
        if self.args.runs(PhaseName::Orders) {
            let peak = self.peak("orders", Step::Confirm).await?;
            self.report.rounded(
                "orders_per_s",
                Some(peak),
                0,
                "placed, charged and confirmed, a second",
            );
        }
        if self.args.runs(PhaseName::Sale) {
            sale::run(self).await?;
        }
        if self.args.runs(PhaseName::Latency) {
            self.latency().await?;
        }
        self.conserved().await
    }

    fn shoppers(
        &self,
        lines: &super::wire::Lines,
        partner: usize,
        warm_up: Duration,
        mark: &str,
    ) -> Shoppers {
        let listings = &self.shop.articles[HOT].listings;
        let listing = listings.iter().find(|(of, _)| *of == partner);
        let listing = listing.map_or("", |(_, id)| id);
        let calls = Calls::new(
            lines,
            &self.shop.partners[partner],
            listing,
            Some(LONG_HOLD_S),
        );
        Shoppers::new(calls, &self.bench.recorder(warm_up), mark)
    }

    /// The highest rate at which a step is done, by saturating loads of several sizes.
    async fn peak(&mut self, name: &str, step: Step) -> anyhow::Result<f64> {
        let lines = self.bench.lines(&self.house).await?;
        let warm_up = self.args.warm_up();
        let mut best = 0.0_f64;
        for &in_flight in &self.args.in_flight {
            let shoppers =
                self.shoppers(&lines, HOT_PARTNER, warm_up, &format!("{name}{in_flight}"));
            let length = warm_up + self.args.length(6.0);
            let plan = Plan::new(Arrivals::Saturating { in_flight }, warm_up, length);
            let before = self.house.usage();
            let driven = drive(&plan, |n, due| {
                let shoppers = shoppers.clone();
                async move {
                    match step {
                        Step::Place => back_off(&shoppers.hold(n, due).await).await,
                        _ => back_off(&shoppers.buy(n, due).await).await,
                    }
                }
            })
            .await;
            let used = self.house.usage().since(&before);
            let peak = shoppers.record.borrow().peak_per_s(step, WINDOW, length);
            self.bench
                .say(&format!("{name}: {peak:.0}/s with {in_flight} under way"));
            best = best.max(peak);
            self.settle(
                &format!("{name}_{in_flight}"),
                shoppers,
                &driven,
                step,
                &used,
            );
        }
        Ok(best)
    }

    /// Keeps the books of a phase and puts it into the report.
    fn settle(
        &mut self,
        name: &str,
        shoppers: Shoppers,
        driven: &Driven,
        step: Step,
        used: &super::usage::Usage,
    ) {
        let Tally {
            held,
            paid,
            not_paid,
            unknown,
            mixed_up,
        } = &*shoppers.tally;
        self.paid += paid.get();
        self.perhaps_paid += unknown.get() + driven.left;
        let (refused, left) = (not_paid.get(), driven.left);
        self.report.must(refused == 0, || {
            format!("{name}: {refused} payments in time were not taken, although units were held for them")
        });
        let others = mixed_up.get();
        self.report.must(others == 0, || {
            format!("{name}: {others} callers were given another caller's answer")
        });
        self.report.must(left == 0, || {
            format!("{name}: {left} shoppers had no answer within 30 s")
        });
        let count = if step == Step::Place {
            held.get()
        } else {
            paid.get()
        };
        self.report
            .phase(self.bench, name, shoppers.record, used, count);
    }

    /// An open load of complete orders at half of the peak, with a partner that follows its feed.
    async fn latency(&mut self) -> anyhow::Result<()> {
        let peak = self.report.number("orders_per_s");
        let Some(rate) = self
            .args
            .rate
            .or(peak.map(|peak| peak / 2.0))
            .filter(|rate| *rate > 0.0)
        else {
            anyhow::bail!("half of which peak? run `orders` too, or say --rate N");
        };
        let lines = self.bench.lines(&self.house).await?;
        let warm_up = self.args.warm_up();
        let shoppers = self.shoppers(&lines, LATENCY_PARTNER, warm_up, "latency");
        let own = super::wire::Lines::open(&self.house.addresses.order, 1).await?;
        let partner = &self.shop.partners[LATENCY_PARTNER];
        let follower = Follower::new(own, partner, Some(&shoppers.record));
        let length = warm_up + self.args.length(10.0);
        let plan = Plan::new(Arrivals::Open { per_s: rate }, warm_up, length);
        let before = self.house.usage();
        let load = drive(&plan, |n, due| {
            let shoppers = shoppers.clone();
            async move { drop(shoppers.buy(n, due).await) }
        });
        let driven = tokio::select! {
            driven = load => driven,
            () = follower.follow() => Driven::default(),
        };
        let used = self.house.usage().since(&before);
        let paid = usize::try_from(shoppers.tally.paid.get()).unwrap_or(usize::MAX);
        let heard_all = tokio::select! {
            heard = follower.until_paid(paid, Duration::from_secs(10)) => heard,
            () = follower.follow() => false,
        };
        let (gaps, heard) = (
            follower.heard.borrow().gaps,
            follower.heard.borrow().paid.len(),
        );
        self.report.must(heard_all && gaps == 0, || {
            format!("latency: the feed told of {heard} of {paid} paid orders, with {gaps} gaps")
        });
        self.tell_latency(&shoppers, rate, &driven);
        self.settle("latency", shoppers, &driven, Step::Confirm, &used);
        Ok(())
    }

    fn tell_latency(&mut self, shoppers: &Shoppers, rate: f64, driven: &Driven) {
        let report = &mut self.report;
        report.rounded(
            "latency_orders_per_s",
            Some(rate),
            0,
            "complete orders a second while latency is measured",
        );
        let record = shoppers.record.borrow();
        let ms = |step, quantile| record.quantile_ms(step, quantile);
        report.rounded(
            "place_p50_ms",
            ms(Step::Place, 0.5),
            2,
            "PlaceOrder from when it was due, median, ms",
        );
        report.rounded("place_p99_ms", ms(Step::Place, 0.99), 2, "the same, 99 %");
        report.rounded(
            "confirm_p50_ms",
            ms(Step::Confirm, 0.5),
            2,
            "ConfirmPayment, median, ms",
        );
        report.rounded(
            "confirm_p99_ms",
            ms(Step::Confirm, 0.99),
            2,
            "the same, 99 %",
        );
        report.rounded(
            "feed_lag_p50_ms",
            ms(Step::Feed, 0.5),
            2,
            "from the commit to the partner's feed, median, ms",
        );
        report.rounded("feed_lag_p99_ms", ms(Step::Feed, 0.99), 2, "the same, 99 %");
        report.note("latency_turned_away", driven.turned_away);
    }

    /// Whether the service's books agree with what it answered.
    async fn conserved(&mut self) -> anyhow::Result<()> {
        let hot = self.shop.allotment(HOT).await?;
        let sold = u64::try_from(hot.sold).unwrap_or(0);
        let (least, most) = (self.paid, self.paid + self.perhaps_paid);
        self.report.must((least..=most).contains(&sold), || {
            format!("{sold} units of the hot listing are sold, but {least} payments were confirmed (and {} unanswered)", most - least)
        });
        self.report
            .must(hot.available + hot.held + hot.sold == hot.supplied, || {
                format!("units of the hot listing are lost or made up: {hot:?}")
            });
        Ok(())
    }

    fn tell(&mut self) {
        let of = |name: &str| self.report.number(name);
        let ratio = |what: Option<f64>, to: Option<f64>| Some(what? / to.filter(|to| *to > 0.0)?);
        let (holds, orders) = (of("holds_per_s"), of("orders_per_s"));
        let (hot, batch) = (of("baseline_hot_row_per_s"), of("baseline_batch_per_s"));
        let report = &mut self.report;
        report.rounded(
            "ratio_holds",
            ratio(holds, hot),
            2,
            "holds_per_s ÷ baseline_hot_row_per_s",
        );
        report.rounded(
            "ratio_orders",
            ratio(orders, hot),
            2,
            "orders_per_s ÷ baseline_hot_row_per_s",
        );
        report.rounded(
            "ratio_holds_to_batch",
            ratio(holds, batch),
            3,
            "holds_per_s ÷ baseline_batch_per_s",
        );
        report.rounded(
            "rss_mib",
            self.house.rss_mib(),
            1,
            "most memory of the order service, MiB",
        );
        // Every field is there, whatever was run.
        for name in [
            "holds_per_s",
            "orders_per_s",
            "baseline_hot_row_per_s",
            "baseline_batch_per_s",
            "place_p50_ms",
            "place_p99_ms",
            "confirm_p99_ms",
            "feed_lag_p99_ms",
            "units_supplied",
            "units_sold",
            "units_oversold",
            "sold_out_after_s",
        ] {
            if !report.has(name) {
                report.note(name, serde_json::Value::Null);
            }
        }
        report.note("cpu_s", json!(self.house.usage()));
        report.note(
            "duration_s",
            now()
                .saturating_duration_since(self.bench.began)
                .as_secs_f64(),
        );
    }
}
