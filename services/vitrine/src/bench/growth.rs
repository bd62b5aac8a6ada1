//! Complete orders a second with millions of orders stored, and on an empty database.
//!
//! Two sets of services run on databases of their own. What is for sale is the same in both; into one of them a
//! history is written first (`order::ops::history`), of the very partners, listings and shoppers that buy afterwards,
//! so that every index is as deep as it can be where the new orders go. Then they are measured by turns, empty, full,
//! full, empty, so that whatever changes on the machine meanwhile falls on both.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use kit::clock::SystemClock;
use kit::ids::SystemIds;
use order::ops::history;
use serde_json::json;
use store::db::Surroundings;
use store::{Db, DbConfig};

use super::calls::Calls;
use super::house::{Engine, House};
use super::load::{Arrivals, Plan, drive, now};
use super::numbers::mixed;
use super::record::Step;
use super::report::Report;
use super::shop::{Article, ENDLESS, Goods, Shop};
use super::traffic::{Shoppers, back_off};
use super::usage::fdatasync_us;
use super::{Bench, Common};

/// Who sells, and how many listings each has; the first listing of the first partner is the hot one.
const PARTNERS: usize = 3;
const ARTICLES: usize = 8;
/// A busy half a year; the feed keeps its last thirty days.
const SPAN_DAYS: u64 = 150;
const FEED_DAYS: u64 = 30;
/// Orders in one transaction of the history. PostgreSQL works on two at a time.
const CHAPTER_ORDERS: u64 = 10_000;
const CHAPTER_LIMIT_MS: u64 = 600_000;
/// Holds outlive the measurement.
const HOLD_S: i64 = 1_800;
/// PostgreSQL looks through what was loaded before anything is measured, as it would have done in life.
const VACUUM_SOON: &str = "autovacuum_naptime=10s";
const QUIET_FOR: Duration = Duration::from_secs(25);
const QUIET_CPU_S: f64 = 0.5;
const QUIET_LIMIT: Duration = Duration::from_secs(600);

/// `vitrine bench growth`.
#[derive(Clone, Debug, Args)]
pub struct GrowthArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Orders in the full database [default: 5000000; 1000 with --quick].
    #[arg(long)]
    orders: Option<u64>,
    /// Shoppers who placed them, and who buy again.
    #[arg(long, default_value_t = 2_000_000)]
    shoppers: u64,
    /// How long each of the four runs measures, after its warm-up [default: 15; 1 with --quick].
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// Warm-up of each run, in no total [default: 4; 0.25 with --quick].
    #[arg(long, value_name = "SECONDS")]
    warm_up: Option<f64>,
    /// Orders under way at the same time [default: 512; 16 with --quick].
    #[arg(long)]
    in_flight: Option<usize>,
}

impl GrowthArgs {
    fn orders(&self) -> u64 {
        self.orders
            .unwrap_or(if self.common.quick { 1_000 } else { 5_000_000 })
    }

    fn in_flight(&self) -> usize {
        self.in_flight
            .unwrap_or(if self.common.quick { 16 } else { 512 })
    }

    fn measured(&self) -> Duration {
        let usual = if self.common.quick { 1.0 } else { 15.0 };
        Duration::from_secs_f64(self.seconds.unwrap_or(usual).max(0.5))
    }

    fn warm_up(&self) -> Duration {
        let usual = if self.common.quick { 0.25 } else { 4.0 };
        Duration::from_secs_f64(self.warm_up.unwrap_or(usual).max(0.0))
    }
}

/// One set of services with what it sells.
struct Site {
    name: &'static str,
    house: House,
    shop: Shop,
    /// Complete orders a second, of each run.
    rates: Vec<f64>,
    /// Paid for certain, and perhaps.
    paid: u64,
    perhaps: u64,
    /// Units that the history sold.
    history: i64,
}

/// Runs it.
pub async fn run(bench: &Bench, args: &GrowthArgs) -> anyhow::Result<Report> {
    anyhow::ensure!(
        args.common.connect.is_empty(),
        "growth writes into the database of services that it started itself: leave out --connect"
    );
    let mut empty = site(bench, "empty").await?;
    let mut full = site(bench, "full").await?;
    let mut report = Report::new(bench, "growth", &full.house);
    report.rounded(
        "fdatasync_us",
        Some(fdatasync_us(full.house.disk())?),
        0,
        "median of one 8 KiB write and flush, µs",
    );
    fill(bench, args, &mut full, &mut report).await?;
    for turn in 0..4 {
        let site = if matches!(turn, 1 | 2) {
            &mut full
        } else {
            &mut empty
        };
        measure(bench, args, site, turn, &mut report).await?;
    }
    for site in [&empty, &full] {
        conserved(site, &mut report).await?;
    }
    tell(&empty, &full, &mut report);
    Ok(report)
}

async fn site(bench: &Bench, name: &'static str) -> anyhow::Result<Site> {
    let house = bench.house(&[], &[VACUUM_SOON.to_owned()])?;
    bench.say(&format!("making what is for sale ({name})"));
    let articles = (0..ARTICLES).map(|_| Article {
        units: ENDLESS,
        sold_by: (0..PARTNERS).collect(),
    });
    let goods = Goods {
        partners: PARTNERS,
        articles: articles.collect(),
    };
    let shop = Shop::prepare(&house, &goods).await?;
    Ok(Site {
        name,
        house,
        shop,
        rates: Vec::new(),
        paid: 0,
        perhaps: 0,
        history: 0,
    })
}

/// Writes the history, while nobody else has the database.
async fn fill(
    bench: &Bench,
    args: &GrowthArgs,
    site: &mut Site,
    report: &mut Report,
) -> anyhow::Result<()> {
    let orders = args.orders();
    bench.say(&format!("writing {orders} orders"));
    let database = site
        .house
        .order_database()?
        .context("the order service is not ours")?;
    site.house.stop_orders();
    let listings = site
        .shop
        .articles
        .iter()
        .flat_map(|article| &article.listings);
    let listings: Result<Vec<_>, _> = listings.map(|(_, id)| id.parse()).collect();
    let plan = history::Plan {
        listings: listings.context("a listing's id is none")?,
        orders,
        feed_orders: orders * FEED_DAYS / SPAN_DAYS,
        span: Duration::from_secs(SPAN_DAYS * 86_400),
        shoppers: args.shoppers,
        chapter_orders: CHAPTER_ORDERS,
        chapters_at_once: if site.house.engine() == Engine::Postgres {
            2
        } else {
            1
        },
        seed: args.common.seed,
    };
    let began = now();
    let written = write_history(bench, &database, plan).await?;
    let took = now().saturating_duration_since(began);
    site.history = written.units;
    let settings = bench.settings.clone();
    site.house.start_orders(settings)?;
    let quiet = until_quiet(bench, &site.house).await;
    report.figure(
        "orders_stored",
        written.orders,
        "orders in the full database",
    );
    report.note("orders_stored_paid", written.paid);
    report.rounded(
        "load_s",
        Some(took.as_secs_f64()),
        0,
        "how long writing them took, s",
    );
    report.rounded(
        "settle_s",
        Some(quiet.as_secs_f64()),
        0,
        "how long the database then was busy with itself, s",
    );
    Ok(())
}

async fn write_history(
    bench: &Bench,
    database: &DbConfig,
    plan: history::Plan,
) -> anyhow::Result<history::Written> {
    let clock = std::sync::Arc::new(SystemClock);
    let config = DbConfig {
        max_connections: 4,
        unit_timeout_ms: CHAPTER_LIMIT_MS,
        statement_timeout_ms: CHAPTER_LIMIT_MS,
        lock_timeout_ms: CHAPTER_LIMIT_MS,
        idle_in_transaction_timeout_ms: CHAPTER_LIMIT_MS,
        ..database.clone()
    };
    let around = Surroundings::new(clock.clone(), SystemIds::shared(clock));
    let db = Db::open_with(&config, order::NAME, around).await?;
    let told = std::cell::Cell::new(0);
    let tenth = (plan.orders / 10).max(1);
    let written = history::write(&db, plan, |sum| {
        if sum.orders / tenth > told.get() {
            told.set(sum.orders / tenth);
            bench.say(&format!("{} orders are written", sum.orders));
        }
    })
    .await;
    db.close().await;
    written.map_err(|fault| anyhow::anyhow!("the history could not be written: {}", fault.chain()))
}

/// Waits until PostgreSQL has looked through what it was given; how long that took.
async fn until_quiet(bench: &Bench, house: &House) -> Duration {
    let began = now();
    let busy = || house.usage().postgres;
    if bench.common.quick || busy().is_none() {
        return Duration::ZERO;
    }
    bench.say("waiting for PostgreSQL's housekeeping");
    loop {
        let before = busy().unwrap_or_default();
        let look = now();
        tokio::time::sleep(QUIET_FOR).await;
        let used = busy().unwrap_or_default() - before;
        let waited = look.saturating_duration_since(began);
        if used < QUIET_CPU_S || waited > QUIET_LIMIT {
            return waited;
        }
    }
}

/// A saturating load of complete orders on the hot listing.
async fn measure(
    bench: &Bench,
    args: &GrowthArgs,
    site: &mut Site,
    turn: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let lines = bench.lines(&site.house).await?;
    let (warm_up, measured) = (args.warm_up(), args.measured());
    let listing = site.shop.articles[0]
        .listings
        .first()
        .map_or("", |(_, id)| id);
    let calls = Calls::new(&lines, &site.shop.partners[0], listing, Some(HOLD_S));
    let name = format!("{}_{turn}", site.name);
    let shoppers = Shoppers::new(calls, &bench.recorder(warm_up), &name);
    let seed = args.common.seed ^ ((turn as u64 + 1) << 32);
    let in_flight = args.in_flight();
    let plan = Plan::new(
        Arrivals::Saturating { in_flight },
        warm_up,
        warm_up + measured,
    );
    let before = site.house.usage();
    let driven = drive(&plan, |n, due| {
        let shoppers = shoppers.clone();
        // Neither keys nor shoppers come in the order of an index.
        let (key, shopper) = (
            mixed(seed, 2 * n),
            mixed(seed, 2 * n + 1) % args.shoppers.max(1),
        );
        let reference = format!("{key:016x}-{}", shoppers.mark);
        let shopper = history::shopper_ref(shopper);
        async move {
            let bought = match shoppers.hold_as(&reference, &shopper, due).await {
                Ok(order_id) => shoppers.pay(n, &order_id).await.map(drop),
                Err(failed) => Err(failed),
            };
            back_off(&bought).await;
        }
    })
    .await;
    let used = site.house.usage().since(&before);
    let rate = shoppers
        .record
        .borrow()
        .peak_per_s(Step::Confirm, measured, plan.length);
    bench.say(&format!("{name}: {rate:.0} complete orders/s"));
    let tally = &shoppers.tally;
    let (paid, not_paid) = (tally.paid.get(), tally.not_paid.get());
    site.rates.push(rate);
    site.paid += paid;
    site.perhaps += tally.unknown.get() + driven.left;
    report.must(not_paid == 0, || {
        format!(
            "{name}: {not_paid} payments in time were not taken, although units were held for them"
        )
    });
    report.phase(bench, &name, shoppers.record.clone(), &used, paid);
    Ok(())
}

/// Whether the service's books agree with what it answered, and with the history.
async fn conserved(site: &Site, report: &mut Report) -> anyhow::Result<()> {
    let (mut sold, mut supplied, mut whole) = (0, 0, true);
    for article in 0..site.shop.articles.len() {
        let units = site.shop.allotment(article).await?;
        sold += units.sold;
        supplied += units.supplied;
        whole &= units.available + units.held + units.sold == units.supplied;
    }
    let least = site.history + i64::try_from(site.paid).unwrap_or(i64::MAX);
    let most = least + i64::try_from(site.perhaps).unwrap_or(i64::MAX);
    report.must((least..=most).contains(&sold), || {
        format!(
            "{}: {sold} units are sold, but it should be {least} to {most}",
            site.name
        )
    });
    report.must(
        whole && supplied == ENDLESS * site.shop.articles.len() as i64,
        || format!("{}: units are lost or made up", site.name),
    );
    Ok(())
}

fn tell(empty: &Site, full: &Site, report: &mut Report) {
    let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len().max(1) as f64;
    let (of_empty, of_full) = (mean(&empty.rates), mean(&full.rates));
    report.rounded(
        "orders_per_s_empty",
        Some(of_empty),
        0,
        "complete orders a second, empty database",
    );
    report.rounded(
        "orders_per_s_full",
        Some(of_full),
        0,
        "the same with the history",
    );
    report.rounded(
        "ratio_full_to_empty",
        Some(of_full / of_empty),
        3,
        "the one ÷ the other",
    );
    report.note(
        "runs",
        json!({ "order": "empty, full, full, empty", "empty": empty.rates, "full": full.rates }),
    );
    for (name, site) in [("empty", empty), ("full", full)] {
        let mib = data_mib(&site.house);
        report.rounded(
            &format!("disk_mib_{name}"),
            mib,
            0,
            "the order service's data on disk, MiB",
        );
        report.rounded(
            &format!("rss_mib_{name}"),
            site.house.rss_mib(),
            1,
            "most memory of the order service, MiB",
        );
    }
    report.note("paid", empty.paid + full.paid);
    report.note("perhaps_paid", empty.perhaps + full.perhaps);
}

/// What lies on disk, without PostgreSQL's log of changes.
fn data_mib(house: &House) -> Option<f64> {
    let bytes = match &house.postgres {
        Some(postgres) => bytes_below(&postgres.socket_folder().join("data/base")),
        None => {
            let database = house.order_database().ok()??;
            let file = database.url.strip_prefix("sqlite:")?.to_owned();
            let of =
                |suffix: &str| std::fs::metadata(format!("{file}{suffix}")).map_or(0, |m| m.len());
            of("") + of("-wal")
        }
    };
    Some(bytes as f64 / 1_048_576.0)
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(about) if about.is_dir() => bytes_below(&entry.path()),
            Ok(about) => about.len(),
            Err(_) => 0,
        })
        .sum()
}
