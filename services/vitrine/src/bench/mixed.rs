//! Many listings of many partners: an ordinary day, without one row that everybody wants. Shoppers look, ask for a price,
//! hold, hold longer, pay, change their minds; some listings are far more popular than others.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::calls::Calls;
use super::feed::Follower;
use super::house::House;
use super::load::{Arrivals, Driven, Plan, Shared, drive, now};
use super::record::Step;
use super::report::Report;
use super::shop::{Article, ENDLESS, Goods, Shop};
use super::traffic::{Shoppers, Tally, back_off};
use super::usage::{Usage, fdatasync_us};
use super::wire::{Failed, Lines};
use super::{Bench, Common, numbers};

/// In a hundred visits: who only looks, who asks for the price and goes, who holds and gives back; the others pay.
const LOOKS: u64 = 50;
const QUOTES: u64 = 20;
const CANCELS: u64 = 5;
/// In a hundred who hold: who needs more time first.
const EXTENDS: u64 = 10;
const LONG_HOLD_S: i64 = 1_800;
const EXTENSION_S: i64 = 60;
const WINDOW: Duration = Duration::from_secs(3);

/// `vitrine bench mixed`.
#[derive(Clone, Debug, Args)]
pub struct MixedArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Listings, each with an allotment of its own [default: 1000; 40 with --quick].
    #[arg(long, value_name = "N")]
    listings: Option<usize>,
    /// Partners that share them [default: 20; 4 with --quick].
    #[arg(long, value_name = "N")]
    partners: Option<usize>,
    /// How unequal listings are: the n-th is asked for 1/n^ZIPF as often as the first. 0 makes all equal.
    #[arg(long, default_value_t = 1.0)]
    zipf: f64,
    /// How long each phase measures, after its warm-up [default: 8; 1 with --quick].
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// Warm-up of each phase, in no total.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    warm_up: f64,
    /// Visits under way at the same time where the peak is looked for; one run for each, the best counts.
    #[arg(long, value_delimiter = ',', default_values_t = [256, 1_024])]
    in_flight: Vec<usize>,
    /// Visits a second of the latency run [default: half of the peak that was just measured].
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
}

/// Everybody who comes, and what they come for.
struct Town {
    /// By popularity.
    stalls: Vec<Shoppers>,
    partners: Vec<usize>,
    /// The shares of the listings, added up.
    shares: Vec<f64>,
    seed: u64,
    tally: Rc<Tally>,
    visits: Cell<u64>,
}

impl Town {
    fn new(shop: &Shop, lines: &Lines, record: &Shared, zipf: f64, seed: u64, mark: &str) -> Town {
        let mut town = Town {
            stalls: Vec::new(),
            partners: Vec::new(),
            shares: Vec::new(),
            seed,
            tally: Rc::default(),
            visits: Cell::new(0),
        };
        let mut sum = 0.0;
        for (n, article) in shop.articles.iter().enumerate() {
            for (partner, listing_id) in &article.listings {
                let calls = Calls::new(
                    lines,
                    &shop.partners[*partner],
                    listing_id,
                    Some(LONG_HOLD_S),
                );
                let mut shoppers = Shoppers::new(calls, record, mark);
                shoppers.tally = town.tally.clone();
                town.stalls.push(shoppers);
                town.partners.push(*partner);
                sum += 1.0 / ((n + 1) as f64).powf(zipf);
                town.shares.push(sum);
            }
        }
        town
    }

    fn stall(&self, n: u64) -> usize {
        let all = self.shares.last().copied().unwrap_or(1.0);
        // 53 bits are what a float can tell apart.
        let drawn = (numbers::mixed(self.seed, n) >> 11) as f64 / (1_u64 << 53) as f64 * all;
        self.shares
            .partition_point(|share| *share <= drawn)
            .min(self.stalls.len() - 1)
    }

    /// One visit, to its end.
    async fn visit(&self, shop: &Shop, n: u64, due: Instant) -> Result<(), Failed> {
        self.visits.set(self.visits.get() + 1);
        let stall = self.stall(n);
        let shoppers = &self.stalls[stall];
        let drawn = numbers::mixed(self.seed ^ 0x00c0_ffee, n);
        let (habit, patience) = (drawn % 100, (drawn >> 32) % 100);
        if habit < LOOKS {
            return shoppers
                .timed(Step::Browse, due, shoppers.calls.browse())
                .await;
        }
        if habit < LOOKS + QUOTES {
            let partner = &shop.partners[self.partners[stall]];
            let shopper = format!("s-{n}");
            return shoppers
                .timed(Step::Quote, due, shoppers.calls.quote(partner, &shopper))
                .await;
        }
        let order_id = shoppers.hold(n, due).await?;
        if patience < EXTENDS {
            let extended = shoppers.calls.extend(&order_id, EXTENSION_S);
            shoppers.timed(Step::Extend, now(), extended).await?;
        }
        if habit < LOOKS + QUOTES + CANCELS {
            return shoppers.cancel(&order_id).await;
        }
        shoppers.pay(n, &order_id).await.map(drop)
    }
}

/// The benchmark under way.
struct Run<'a> {
    bench: &'a Bench,
    args: &'a MixedArgs,
    house: House,
    shop: Shop,
    report: Report,
    paid: u64,
    perhaps_paid: u64,
}

/// Runs it.
pub async fn run(bench: &Bench, args: &MixedArgs) -> anyhow::Result<Report> {
    let house = bench.house(&[], &[])?;
    let mut report = Report::new(bench, "mixed", &house);
    let fdatasync = fdatasync_us(house.disk())?;
    report.rounded(
        "fdatasync_us",
        Some(fdatasync),
        0,
        "median of one 8 KiB write and flush, µs",
    );
    let quick = args.common.quick;
    let listings = args
        .listings
        .unwrap_or(if quick { 40 } else { 1_000 })
        .max(1);
    let partners = args.partners.unwrap_or(if quick { 4 } else { 20 }).max(1);
    report.note("listings", listings);
    report.note("partners", partners);
    report.note("zipf", args.zipf);
    bench.say(&format!(
        "making {listings} listings of {partners} partners"
    ));
    let goods = Goods {
        partners,
        articles: (0..listings)
            .map(|n| Article {
                units: ENDLESS,
                sold_by: vec![n % partners],
            })
            .collect(),
    };
    let shop = Shop::prepare(&house, &goods).await?;
    let mut run = Run {
        bench,
        args,
        house,
        shop,
        report,
        paid: 0,
        perhaps_paid: 0,
    };
    run.peak().await?;
    run.latency().await?;
    run.conserved().await?;
    run.report.rounded(
        "rss_mib",
        run.house.rss_mib(),
        1,
        "most memory of the order service, MiB",
    );
    run.report.note("cpu_s", json!(run.house.usage()));
    run.report.note(
        "duration_s",
        now().saturating_duration_since(bench.began).as_secs_f64(),
    );
    Ok(run.report)
}

impl Run<'_> {
    fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(if self.args.common.quick {
            0.25
        } else {
            self.args.warm_up.max(0.0)
        })
    }

    fn length(&self) -> Duration {
        let usual = if self.args.common.quick { 1.0 } else { 8.0 };
        self.warm_up() + Duration::from_secs_f64(self.args.seconds.unwrap_or(usual).max(0.5))
    }

    async fn town(&self, mark: &str) -> anyhow::Result<(Town, Shared)> {
        let lines = self.bench.lines(&self.house).await?;
        let record = self.bench.recorder(self.warm_up());
        let town = Town::new(
            &self.shop,
            &lines,
            &record,
            self.args.zipf,
            self.args.common.seed,
            mark,
        );
        Ok((town, record))
    }

    async fn peak(&mut self) -> anyhow::Result<()> {
        let (mut visits_per_s, mut orders_per_s) = (0.0_f64, 0.0_f64);
        for in_flight in self.args.in_flight.clone() {
            let (town, record) = self.town(&format!("m{in_flight}")).await?;
            let plan = Plan::new(
                Arrivals::Saturating { in_flight },
                self.warm_up(),
                self.length(),
            );
            let before = self.house.usage();
            let shop = &self.shop;
            let town_ref = &town;
            let driven = drive(&plan, |n, due| async move {
                back_off(&town_ref.visit(shop, n, due).await).await;
            })
            .await;
            let used = self.house.usage().since(&before);
            let (orders, visits) = {
                let record = record.borrow();
                let kinds = [Step::Browse, Step::Quote, Step::Place];
                let visits = record.peak_of_per_s(&kinds, WINDOW, plan.length);
                (
                    record.peak_per_s(Step::Confirm, WINDOW, plan.length),
                    visits,
                )
            };
            self.bench.say(&format!(
                "{visits:.0} visits/s, {orders:.0} orders/s with {in_flight} under way"
            ));
            visits_per_s = visits_per_s.max(visits);
            orders_per_s = orders_per_s.max(orders);
            self.settle(&format!("mixed_{in_flight}"), &town, record, &driven, &used);
        }
        let report = &mut self.report;
        report.rounded(
            "visits_per_s",
            Some(visits_per_s),
            0,
            "visits of all kinds, a second",
        );
        report.rounded(
            "orders_per_s",
            Some(orders_per_s),
            0,
            "of them complete orders, a second",
        );
        Ok(())
    }

    async fn latency(&mut self) -> anyhow::Result<()> {
        let peak = self.report.number("visits_per_s").unwrap_or_default();
        let rate = self.args.rate.unwrap_or(peak / 2.0).max(1.0);
        let (town, record) = self.town("latency").await?;
        // The most popular listing's partner follows its feed; it has to catch up with the peak first.
        let own = Lines::open(&self.house.addresses.order, 1).await?;
        let follower = Follower::new(own, &self.shop.partners[0], Some(&record));
        self.bench.say("the feed's reader catches up");
        tokio::select! {
            () = follower.until_quiet(0, Duration::from_secs(30)) => {}
            () = follower.follow() => {}
        }
        drop(record.replace(super::record::Recorder::new(now(), self.warm_up())));
        self.bench.say(&format!("latency at {rate:.0} visits/s"));
        let plan = Plan::new(
            Arrivals::Open { per_s: rate },
            self.warm_up(),
            self.length(),
        );
        let before = self.house.usage();
        let shop = &self.shop;
        let town_ref = &town;
        let load = drive(&plan, |n, due| async move {
            drop(town_ref.visit(shop, n, due).await);
        });
        let driven = tokio::select! {
            driven = load => driven,
            () = follower.follow() => Driven::default(),
        };
        let used = self.house.usage().since(&before);
        self.tell_latency(rate, &record.borrow());
        self.settle("latency", &town, record, &driven, &used);
        Ok(())
    }

    fn tell_latency(&mut self, rate: f64, record: &super::record::Recorder) {
        let report = &mut self.report;
        report.rounded(
            "latency_visits_per_s",
            Some(rate),
            0,
            "visits a second while latency is measured",
        );
        let told = [
            (
                Step::Browse,
                ["browse_p50_ms", "browse_p99_ms"],
                "GetAvailability from when it was due, ms",
            ),
            (
                Step::Quote,
                ["quote_p50_ms", "quote_p99_ms"],
                "QuoteOrder, ms",
            ),
            (
                Step::Place,
                ["place_p50_ms", "place_p99_ms"],
                "PlaceOrder, ms",
            ),
            (
                Step::Extend,
                ["extend_p50_ms", "extend_p99_ms"],
                "ExtendHold, ms",
            ),
            (
                Step::Confirm,
                ["confirm_p50_ms", "confirm_p99_ms"],
                "ConfirmPayment, ms",
            ),
            (
                Step::Cancel,
                ["cancel_p50_ms", "cancel_p99_ms"],
                "CancelOrder, ms",
            ),
            (
                Step::Feed,
                ["feed_lag_p50_ms", "feed_lag_p99_ms"],
                "from the commit to the partner's feed, ms",
            ),
        ];
        for (step, [median, worst], meaning) in told {
            report.rounded(median, record.quantile_ms(step, 0.5), 2, meaning);
            report.rounded(worst, record.quantile_ms(step, 0.99), 2, meaning);
        }
    }

    fn settle(&mut self, name: &str, town: &Town, record: Shared, driven: &Driven, used: &Usage) {
        let Tally {
            paid,
            not_paid,
            unknown,
            mixed_up,
            ..
        } = &*town.tally;
        self.paid += paid.get();
        self.perhaps_paid += unknown.get() + driven.left;
        let (refused, others, left) = (not_paid.get(), mixed_up.get(), driven.left);
        self.report.must(refused == 0, || {
            format!("{name}: {refused} payments in time were not taken, although units were held for them")
        });
        self.report.must(others == 0, || {
            format!("{name}: {others} callers were given another caller's answer")
        });
        self.report.must(left == 0, || {
            format!("{name}: {left} visitors had no answer within 30 s")
        });
        self.report
            .phase(self.bench, name, record, used, town.visits.get());
    }

    /// Whether the counters of all listings agree with what was answered.
    async fn conserved(&mut self) -> anyhow::Result<()> {
        self.bench.say("checking the books");
        let (mut sold, mut wrong) = (0, 0);
        for n in 0..self.shop.articles.len() {
            let allotment = self.shop.allotment(n).await?;
            sold += allotment.sold;
            let whole = allotment.available + allotment.held + allotment.sold == allotment.supplied;
            wrong += u64::from(!whole || allotment.supplied != ENDLESS);
        }
        let (least, most) = (self.paid, self.paid + self.perhaps_paid);
        let sold = u64::try_from(sold).unwrap_or(0);
        self.report
            .figure("units_sold", sold, "by the counters of all listings");
        self.report.note("units_paid_for", least);
        self.report.must(wrong == 0, || {
            format!("units of {wrong} listings are lost or made up")
        });
        self.report.must((least..=most).contains(&sold), || {
            format!(
                "{sold} units are sold, but {least} payments were confirmed (and {} unanswered)",
                most - least
            )
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_listing_is_asked_for_as_often_as_zipf_says() {
        let shares: Vec<f64> = (1..=100)
            .scan(0.0, |sum, n| {
                *sum += 1.0 / f64::from(n);
                Some(*sum)
            })
            .collect();
        let all = shares[99];
        let draws = 20_000;
        let first = (0..draws)
            .filter(|n| {
                (numbers::mixed(3, *n) >> 11) as f64 / (1_u64 << 53) as f64 * all < shares[0]
            })
            .count() as f64;
        let share = first / draws as f64;
        assert!((share - 1.0 / all).abs() < 0.01, "{share}");
    }
}
