//! More than the service can do. First how much it can do at best, then so many times as much for a minute, as it is
//! and with commits that a slow disk would take long for; what still got done, whether a payment was refused, and how
//! soon it was over.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use futures::future::join3;

mod crowd;
mod verdict;

pub use crowd::{Books, Crowd};
use verdict::{Found, Times, judge};

use super::calls::Calls;
use super::house::House;
use super::load::{Arrivals, Driven, Plan, Shared, drive};
use super::report::Report;
use super::shop::{Article, ENDLESS, Goods, Shop};
use super::usage::fdatasync_us;
use super::wire::Lines;
use super::{Bench, Common};

/// Orders are spread evenly over these; all sell one hot article.
const PARTNERS: usize = 3;
/// Whoever has taken money waits longer for an answer.
const PAYING_DEADLINE_MS: u32 = 10_000;
/// Holds outlive the benchmark.
const HOLD_S: i64 = 1_800;
/// The peak is looked for by saturation, and then by open loads, each so much above the one before, until one is not
/// kept up with.
const FIRST_RUNG: f64 = 0.85;
const NEXT_RUNG: f64 = 1.15;
const RUNGS_MAX: usize = 8;
const KEPT_UP: f64 = 0.95;
/// What is offered before and after, of the peak.
const BEFORE: f64 = 0.7;

/// `vitrine bench overload`.
#[derive(Clone, Debug, Args)]
pub struct OverloadArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Runs only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// How long the overload lasts [default: 60; 2 with --quick].
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// How much is offered as it is, in capacities.
    #[arg(long, default_value_t = 3.0)]
    times: f64,
    /// How much is offered with slow commits, in capacities.
    #[arg(long, default_value_t = 10.0)]
    times_slow: f64,
    /// By how much each commit is put off with slow commits.
    #[arg(long, default_value_t = 100)]
    commit_delay_ms: u64,
    /// What the shoppers' patience is; an order that took longer is no good [default: 1000; 5000 with --quick].
    #[arg(long)]
    deadline_ms: Option<u32>,
    /// Orders under way at the same time where the peak is looked for by saturation [default: 1024; 32 with --quick].
    #[arg(long)]
    in_flight: Option<usize>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// With the service as it is.
    AsItIs,
    /// With commits that are put off.
    SlowCommits,
}

impl Part {
    const ALL: [Part; 2] = [Part::AsItIs, Part::SlowCommits];

    fn name(self) -> &'static str {
        match self {
            Part::AsItIs => "as_it_is",
            Part::SlowCommits => "slow_commits",
        }
    }
}

impl OverloadArgs {
    fn usual(&self, usual: f64, quick: f64) -> Duration {
        Duration::from_secs_f64(if self.common.quick { quick } else { usual })
    }

    fn deadline_ms(&self) -> u32 {
        self.deadline_ms
            .unwrap_or(if self.common.quick { 5_000 } else { 1_000 })
    }

    fn in_flight(&self) -> usize {
        self.in_flight
            .unwrap_or(if self.common.quick { 32 } else { 1_024 })
    }

    fn overload(&self) -> Duration {
        match self.seconds {
            Some(seconds) => Duration::from_secs_f64(seconds.max(1.0)),
            None => self.usual(60.0, 2.0),
        }
    }
}

/// The benchmark under way.
struct Run<'a> {
    bench: &'a Bench,
    args: &'a OverloadArgs,
    house: House,
    shop: Shop,
    report: Report,
    /// Paid for certain, and perhaps.
    paid: u64,
    perhaps: u64,
}

/// Runs it.
pub async fn run(bench: &Bench, args: &OverloadArgs) -> anyhow::Result<Report> {
    anyhow::ensure!(
        args.common.connect.is_empty(),
        "overload sets the order service up itself: leave out --connect"
    );
    let house = bench.house(&[], &[])?;
    let mut report = Report::new(bench, "overload", &house);
    report.rounded(
        "fdatasync_us",
        Some(fdatasync_us(house.disk())?),
        0,
        "median of one 8 KiB write and flush, µs",
    );
    bench.say("making what is for sale");
    let shop = Shop::prepare(&house, &goods()).await?;
    let mut run = Run {
        bench,
        args,
        house,
        shop,
        report,
        paid: 0,
        perhaps: 0,
    };
    let mut found = Vec::new();
    for part in Part::ALL {
        if args.only.is_empty() || args.only.contains(&part) {
            found.push(run.part(part).await?);
        }
    }
    run.conserved().await?;
    run.tell(&found);
    Ok(run.report)
}

fn goods() -> Goods {
    Goods {
        partners: PARTNERS,
        articles: vec![Article {
            units: ENDLESS,
            sold_by: (0..PARTNERS).collect(),
        }],
    }
}

impl Run<'_> {
    async fn part(&mut self, part: Part) -> anyhow::Result<Found> {
        if part == Part::SlowCommits {
            let mut settings = self.bench.settings.clone();
            settings.push(format!(
                "database.order.commit_delay_ms={}",
                self.args.commit_delay_ms
            ));
            self.house.restart_orders(settings)?;
        }
        let lines = self.bench.lines(&self.house).await?;
        let peak = self.peak(part, &lines).await?;
        let times = match part {
            Part::AsItIs => self.args.times,
            Part::SlowCommits => self.args.times_slow,
        };
        self.overload(part, &lines, peak, times).await
    }

    /// The most that it does in time, offered in any way.
    async fn peak(&mut self, part: Part, lines: &Lines) -> anyhow::Result<f64> {
        let (warm_up, length) = (self.args.usual(2.0, 0.25), self.args.usual(6.0, 1.0));
        let name = |how: &str| format!("{}_peak_{how}", part.name());
        let saturating = Arrivals::Saturating {
            in_flight: self.args.in_flight(),
        };
        let mut best = self
            .good_of(&name("saturated"), lines, saturating, warm_up, length)
            .await?;
        let mut per_s = best * FIRST_RUNG;
        let rungs = if self.args.common.quick { 0 } else { RUNGS_MAX };
        for rung in 1..=rungs {
            let open = Arrivals::Open { per_s };
            let good = self
                .good_of(&name(&format!("open_{rung}")), lines, open, warm_up, length)
                .await?;
            best = best.max(good);
            if good < per_s * KEPT_UP {
                break;
            }
            per_s *= NEXT_RUNG;
        }
        anyhow::ensure!(
            best > 0.0,
            "no order was completed in time: {}",
            self.house.log()
        );
        Ok(best)
    }

    /// What is done in time of one load.
    async fn good_of(
        &mut self,
        name: &str,
        lines: &Lines,
        arrivals: Arrivals,
        warm_up: Duration,
        length: Duration,
    ) -> anyhow::Result<f64> {
        let crowds = self.crowds(lines, name, warm_up)?;
        let plan = Plan::new(arrivals, warm_up, warm_up + length);
        let before = self.house.usage();
        let saturating = matches!(arrivals, Arrivals::Saturating { .. });
        let driven = drive(&plan, |n, due| send(&crowds, n, due, saturating)).await;
        let used = self.house.usage().since(&before);
        let (good, count) = {
            let books = crowds[0].books.borrow();
            (books.good_per_s(warm_up, plan.length), books.paid)
        };
        self.bench
            .say(&format!("{name}: {good:.0} orders/s in time"));
        self.settle(&crowds, &[driven]);
        self.report
            .phase(self.bench, name, crowds[0].record.clone(), &used, count);
        Ok(good)
    }

    /// The same load before and after, and far too much in between.
    async fn overload(
        &mut self,
        part: Part,
        lines: &Lines,
        peak: f64,
        times: f64,
    ) -> anyhow::Result<Found> {
        let (before, over, after) = (
            self.args.usual(6.0, 1.0),
            self.args.overload(),
            self.args.usual(12.0, 2.0),
        );
        self.bench.say(&format!(
            "{}: {times} times {peak:.0}/s for {} s",
            part.name(),
            over.as_secs()
        ));
        let crowds = self.crowds(lines, part.name(), Duration::ZERO)?;
        let began = crowds[0].record.borrow().began;
        let stage = |from: Duration, length: Duration, per_s: f64, first: u64| {
            let crowds = &crowds;
            let plan = Plan::new(Arrivals::Open { per_s }, Duration::ZERO, length);
            async move {
                tokio::time::sleep_until((began + from).into()).await;
                drive(&plan, |n, due| send(crowds, first + n, due, false)).await
            }
        };
        let used_before = self.house.usage();
        // Each with numbers of its own; they overlap where what was begun in one ends in the next.
        let driven = join3(
            stage(Duration::ZERO, before, peak * BEFORE, 0),
            stage(before, over, peak * times, 1 << 32),
            stage(before + over, after, peak * BEFORE, 2 << 32),
        )
        .await;
        let used = self.house.usage().since(&used_before);
        self.settle(&crowds, &[driven.0, driven.1, driven.2]);
        let (found, told, count) = {
            let books = crowds[0].books.borrow();
            let times = Times {
                before,
                over,
                after,
            };
            let (found, told) = judge(part, peak, &books, &times, &driven.1);
            (found, told, books.paid)
        };
        let name = part.name();
        self.report.note(&format!("{name}_told"), told);
        let share = used.generator / (before + over + after).as_secs_f64();
        self.report.rounded(
            &format!("{name}_generator_cores"),
            Some(share),
            2,
            "what the generator took of the cores",
        );
        self.report
            .phase(self.bench, name, crowds[0].record.clone(), &used, count);
        Ok(found)
    }

    /// One crowd for each partner, all in the same books.
    fn crowds(&self, lines: &Lines, mark: &str, warm_up: Duration) -> anyhow::Result<Vec<Crowd>> {
        let record: Shared = self.bench.recorder(warm_up);
        let books = Rc::new(RefCell::new(Books::new(record.borrow().began)));
        let listings = &self.shop.articles[0].listings;
        let crowd = |(partner, listing): &(usize, String)| -> anyhow::Result<Crowd> {
            let calls = Calls::new(lines, &self.shop.partners[*partner], listing, Some(HOLD_S));
            Ok(Crowd {
                wanting: Rc::new(calls.within(self.args.deadline_ms())?),
                paying: Rc::new(calls.within(PAYING_DEADLINE_MS)?),
                deadline: Duration::from_millis(self.args.deadline_ms().into()),
                looks: true,
                mark: mark.into(),
                record: record.clone(),
                books: books.clone(),
            })
        };
        listings.iter().map(crowd).collect()
    }

    fn settle(&mut self, crowds: &[Crowd], driven: &[Driven]) {
        let books = crowds[0].books.borrow();
        self.paid += books.paid;
        let left: u64 = driven.iter().map(|driven| driven.left).sum();
        self.perhaps += books.unconfirmed.values().sum::<u64>() + left;
    }

    /// Whether the service's books agree with what it answered.
    async fn conserved(&mut self) -> anyhow::Result<()> {
        let hot = self.shop.allotment(0).await?;
        let sold = u64::try_from(hot.sold).unwrap_or(0);
        let (least, most) = (self.paid, self.paid + self.perhaps);
        self.report.must((least..=most).contains(&sold), || {
            format!(
                "{sold} units are sold, but {least} payments were taken (and {} unanswered)",
                most - least
            )
        });
        let whole = hot.available + hot.held + hot.sold == hot.supplied;
        self.report
            .must(whole, || format!("units are lost or made up: {hot:?}"));
        self.report.note("units_sold", sold);
        self.report.note("paid", least);
        self.report.note("perhaps_paid", most - least);
        Ok(())
    }

    fn tell(&mut self, found: &[Found]) {
        let report = &mut self.report;
        let ratio = |found: &Found| found.good / found.peak;
        let worst = found.iter().min_by(|a, b| ratio(a).total_cmp(&ratio(b)));
        let refused: u64 = found.iter().map(|found| found.refused).sum();
        let over = found
            .iter()
            .map(|found| found.recovery)
            .collect::<Option<Vec<_>>>();
        let slowest = over.and_then(|all| all.into_iter().max());
        report.rounded(
            "peak_goodput_per_s",
            worst.map(|f| f.peak),
            0,
            "orders placed and paid in time at best, a second",
        );
        report.rounded(
            "overload_goodput_per_s",
            worst.map(|f| f.good),
            0,
            "the same in the overload (of the worse part)",
        );
        report.rounded("goodput_ratio", worst.map(ratio), 3, "the one ÷ the other");
        report.figure(
            "confirmations_refused",
            refused,
            "payments for units held that were not taken",
        );
        let recovery = slowest.map(|time| time.as_secs_f64());
        report.rounded(
            "recovery_s",
            recovery,
            2,
            "until 95 % of what comes is served again, s",
        );
        for part in found {
            let name = part.part.name();
            report.rounded(
                &format!("{name}_peak_goodput_per_s"),
                Some(part.peak),
                0,
                "of this part",
            );
            report.rounded(
                &format!("{name}_overload_goodput_per_s"),
                Some(part.good),
                0,
                "",
            );
            report.rounded(
                &format!("{name}_goodput_ratio"),
                Some(ratio(part)),
                3,
                "of this part",
            );
            report.note(&format!("{name}_confirmations_refused"), part.refused);
            let recovery = part.recovery.map(|time| time.as_secs_f64());
            report.rounded(&format!("{name}_recovery_s"), recovery, 2, "of this part");
        }
        report.note("clients", "each tries once; nobody heeds RetryInfo");
        report.note("deadline_ms", self.args.deadline_ms());
        report.note("commit_delay_ms", self.args.commit_delay_ms);
        report.rounded(
            "rss_mib",
            self.house.rss_mib(),
            1,
            "most memory of the order service, MiB",
        );
    }
}

async fn send(crowds: &[Crowd], n: u64, due: Instant, saturating: bool) {
    let crowd = &crowds[usize::try_from(n % crowds.len() as u64).unwrap_or(0)];
    if saturating {
        crowd.come_in_turn(n, due).await;
    } else {
        crowd.come(n, due).await;
    }
}
