//! One partner sends ten times its quota. What the others, who keep to theirs, still get, beside what they get without
//! that one.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use futures::future::join;
use serde_json::json;

use super::calls::Calls;
use super::house::House;
use super::load::{Arrivals, Plan, Shared, drive};
use super::overload::{Books, Crowd};
use super::record::Step;
use super::report::Report;
use super::shop::{Article, ENDLESS, Goods, Shop};
use super::usage::fdatasync_us;
use super::wire::Lines;
use super::{Bench, Common};

/// Those who keep to their quota, and the one who does not.
const OTHERS: usize = 3;
const NOISY: usize = OTHERS;
/// What each of the others sends, of the peak, and its quota, of what it sends.
const SHARE: f64 = 0.15;
const QUOTA: f64 = 1.25;
/// Whoever has taken money waits longer for an answer.
const PAYING_DEADLINE_MS: u32 = 10_000;
const HOLD_S: i64 = 1_800;

/// `vitrine bench fairness`.
#[derive(Clone, Debug, Args)]
pub struct FairnessArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// How long each of the two runs measures, after its warm-up [default: 20; 1 with --quick].
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// What the noisy one sends, in quotas.
    #[arg(long, default_value_t = 10.0)]
    times: f64,
    /// What the shoppers' patience is.
    #[arg(long, default_value_t = 1_000)]
    deadline_ms: u32,
    /// Complete orders a second that the service can do [default: measured before].
    #[arg(long, value_name = "PER_SECOND")]
    peak: Option<f64>,
}

impl FairnessArgs {
    fn usual(&self, usual: f64, quick: f64) -> Duration {
        Duration::from_secs_f64(if self.common.quick { quick } else { usual })
    }

    fn measured(&self) -> Duration {
        match self.seconds {
            Some(seconds) => Duration::from_secs_f64(seconds.max(0.5)),
            None => self.usual(20.0, 1.0),
        }
    }

    fn warm_up(&self) -> Duration {
        self.usual(2.0, 0.25)
    }
}

/// The benchmark under way.
struct Run<'a> {
    bench: &'a Bench,
    args: &'a FairnessArgs,
    house: House,
    shop: Shop,
    report: Report,
    /// Paid for certain, and perhaps.
    paid: u64,
    perhaps: u64,
}

/// What became of the others in one run.
struct Others {
    /// Calls that were sent after the warm-up, and those of them that were done.
    sent: u64,
    accepted: u64,
    place_p99_ms: Option<f64>,
    confirm_p99_ms: Option<f64>,
}

impl Others {
    fn ratio(&self) -> f64 {
        self.accepted as f64 / self.sent.max(1) as f64
    }
}

/// Runs it.
pub async fn run(bench: &Bench, args: &FairnessArgs) -> anyhow::Result<Report> {
    anyhow::ensure!(
        args.common.connect.is_empty(),
        "fairness sets the quotas of the order service itself: leave out --connect"
    );
    let house = bench.house(&[], &[])?;
    let mut report = Report::new(bench, "fairness", &house);
    report.rounded(
        "fdatasync_us",
        Some(fdatasync_us(house.disk())?),
        0,
        "median of one 8 KiB write and flush, µs",
    );
    bench.say("making what is for sale");
    let goods = Goods {
        partners: OTHERS + 1,
        articles: vec![Article {
            units: ENDLESS,
            sold_by: (0..=NOISY).collect(),
        }],
    };
    let shop = Shop::prepare(&house, &goods).await?;
    let mut run = Run {
        bench,
        args,
        house,
        shop,
        report,
        paid: 0,
        perhaps: 0,
    };
    run.phases().await?;
    run.conserved().await?;
    Ok(run.report)
}

impl Run<'_> {
    async fn phases(&mut self) -> anyhow::Result<()> {
        let peak = match self.args.peak {
            Some(peak) => peak,
            None => self.peak().await?,
        };
        let rate = peak * SHARE;
        // Both kinds of call have the same quota, each in a bucket of its own.
        let quota = (rate * QUOTA).ceil().max(1.0);
        let mut settings = self.bench.settings.clone();
        for bucket in ["partner", "partner_critical"] {
            let key = format!("server.layers.rate_limit.{bucket}");
            settings.push(format!("{key}.per_second={quota}"));
            settings.push(format!("{key}.burst={quota}"));
        }
        self.house.restart_orders(settings)?;
        let alone = self.with(None, rate, "others_alone").await?;
        let crowded = self
            .with(Some(quota * self.args.times), rate, "beside_the_noisy")
            .await?;
        let report = &mut self.report;
        report.rounded(
            "peak_orders_per_s",
            Some(peak),
            0,
            "complete orders a second at best",
        );
        report.rounded(
            "others_orders_per_s",
            Some(rate),
            0,
            "what each of the three others sends, orders a second",
        );
        report.rounded(
            "quota_per_s",
            Some(quota),
            0,
            "what each partner may send, placements a second",
        );
        report.rounded(
            "noisy_per_s",
            Some(quota * self.args.times),
            0,
            "what the noisy one sends, placements a second",
        );
        report.rounded(
            "others_accepted_ratio",
            Some(crowded.ratio()),
            4,
            "calls of the others that were done ÷ sent",
        );
        report.rounded(
            "others_accepted_ratio_alone",
            Some(alone.ratio()),
            4,
            "the same without the noisy one",
        );
        let p99s = [
            ("others_place_p99_ms", crowded.place_p99_ms),
            ("others_place_p99_ms_alone", alone.place_p99_ms),
        ];
        for (name, p99) in p99s {
            report.rounded(
                name,
                p99,
                2,
                "PlaceOrder of the others from when it was due, 99 %, ms",
            );
        }
        report.rounded(
            "others_confirm_p99_ms",
            crowded.confirm_p99_ms,
            2,
            "ConfirmPayment of the others, 99 %, ms",
        );
        report.rounded(
            "others_confirm_p99_ms_alone",
            alone.confirm_p99_ms,
            2,
            "the same without the noisy one",
        );
        report.rounded(
            "rss_mib",
            self.house.rss_mib(),
            1,
            "most memory of the order service, MiB",
        );
        Ok(())
    }

    /// How much the service can do.
    async fn peak(&mut self) -> anyhow::Result<f64> {
        let lines = self.bench.lines(&self.house).await?;
        let (warm_up, length) = (self.args.warm_up(), self.args.usual(5.0, 1.0));
        let crowd = self.crowd(&lines, 0, "peak", warm_up)?;
        let saturating = Arrivals::Saturating { in_flight: 512 };
        let plan = Plan::new(saturating, warm_up, warm_up + length);
        let before = self.house.usage();
        let driven = drive(&plan, |n, due| crowd.come_in_turn(n, due)).await;
        let used = self.house.usage().since(&before);
        let peak = crowd.books.borrow().good_per_s(warm_up, plan.length);
        anyhow::ensure!(
            peak > 0.0,
            "no order was completed in time: {}",
            self.house.log()
        );
        self.bench
            .say(&format!("{peak:.0} complete orders/s at best"));
        self.settle(&crowd, driven.left);
        let paid = crowd.books.borrow().paid;
        self.report
            .phase(self.bench, "peak", crowd.record.clone(), &used, paid);
        Ok(peak)
    }

    /// The others at their rate, with or without the noisy one.
    async fn with(&mut self, noisy: Option<f64>, rate: f64, name: &str) -> anyhow::Result<Others> {
        let lines = self.bench.lines(&self.house).await?;
        let (warm_up, length) = (
            self.args.warm_up(),
            self.args.warm_up() + self.args.measured(),
        );
        let mut others = Vec::new();
        let first = self.crowd(&lines, 0, name, warm_up)?;
        for partner in 0..OTHERS {
            let mut crowd = self.crowd(&lines, partner, name, warm_up)?;
            // Their figures are told together.
            (crowd.record, crowd.books) = (first.record.clone(), first.books.clone());
            others.push(crowd);
        }
        let loud = self.crowd(&lines, NOISY, &format!("{name}-noisy"), warm_up)?;
        let open = |per_s| Plan::new(Arrivals::Open { per_s }, warm_up, length);
        let before = self.house.usage();
        let theirs = open(rate * OTHERS as f64);
        let theirs = drive(&theirs, |n, due| {
            let crowd = &others[usize::try_from(n % OTHERS as u64).unwrap_or(0)];
            async move {
                crowd.come(n, due).await;
            }
        });
        let its = async {
            match noisy {
                Some(per_s) => {
                    let loud = &loud;
                    let come = |n, due| async move {
                        loud.come(n, due).await;
                    };
                    drive(&open(per_s), come).await.left
                }
                None => 0,
            }
        };
        let (driven, left) = join(theirs, its).await;
        let used = self.house.usage().since(&before);
        self.settle(&first, driven.left);
        self.settle(&loud, left);
        let others = told(&first);
        if noisy.is_some() {
            let books = loud.books.borrow();
            self.report.note(
                "noisy",
                json!({
                    "sent": books.due, "placed": books.placed, "paid": books.paid,
                    "refused": books.refused, "unconfirmed": books.unconfirmed,
                    "generator_behind_p99_ms": first.books.borrow().behind.value_at_quantile(0.99) as f64 / 1_000.0,
                }),
            );
        }
        self.bench.say(&format!(
            "{name}: {:.2} % of the others' calls were done",
            others.ratio() * 100.0
        ));
        let paid = first.books.borrow().paid;
        self.report
            .phase(self.bench, name, first.record.clone(), &used, paid);
        Ok(others)
    }

    fn crowd(
        &self,
        lines: &Lines,
        partner: usize,
        mark: &str,
        warm_up: Duration,
    ) -> anyhow::Result<Crowd> {
        let record: Shared = self.bench.recorder(warm_up);
        let books = Rc::new(RefCell::new(Books::new(record.borrow().began)));
        let listing = &self.shop.articles[0].listings[partner].1;
        let calls = Calls::new(lines, &self.shop.partners[partner], listing, Some(HOLD_S));
        Ok(Crowd {
            wanting: Rc::new(calls.within(self.args.deadline_ms)?),
            paying: Rc::new(calls.within(PAYING_DEADLINE_MS)?),
            deadline: Duration::from_millis(self.args.deadline_ms.into()),
            looks: false,
            mark: mark.into(),
            record,
            books,
        })
    }

    fn settle(&mut self, crowd: &Crowd, left: u64) {
        let books = crowd.books.borrow();
        self.paid += books.paid;
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
}

fn told(crowd: &Crowd) -> Others {
    let record = crowd.record.borrow();
    let steps = [Step::Place, Step::Confirm];
    let accepted = steps.iter().map(|step| record.count(*step)).sum::<u64>();
    let failed = steps.iter().map(|step| record.failures(*step)).sum::<u64>();
    Others {
        sent: accepted + failed,
        accepted,
        place_p99_ms: record.quantile_ms(Step::Place, 0.99),
        confirm_p99_ms: record.quantile_ms(Step::Confirm, 0.99),
    }
}
