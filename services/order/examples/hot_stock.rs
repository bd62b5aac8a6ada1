//! How fast one hot allotment sells: every shopper places an order in a drop and pays it, through the desk.
//!
//! ```text
//! cargo run --release -p order --example hot_stock -- [ORDERS] [CALLERS] [LANES] [sqlite|postgres|both] [hold|pay|all]
//! ```
//!
//! On SQLite (a file in the temporary folder, every commit flushed) and on a PostgreSQL of its own when one is
//! installed (without fsync, as tests start it). Figures are of one process that is caller and server at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use contracts::money::{Currency, Money};
use futures::future::join_all;
use kit::caller::Caller;
use kit::clock::{Clock, SystemClock};
use kit::errors::Fault;
use order::Config;
use order::model::command::Command;
use order::ops::desk::Desk;
use store::{Operation, Tx, sql};
use testkit::{Engine, Setup, TestDb};

#[allow(
    dead_code,
    unused_imports,
    reason = "the tests of the desk use all of it"
)]
#[path = "../tests/desk/world.rs"]
mod world;

/// One allotment, one listing, one drop with a limit for each shopper.
struct Shop {
    units: i64,
}

impl Operation for Shop {
    type Output = ();

    fn name(&self) -> &'static str {
        "example.shop"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        let now = tx.now();
        sql!(
            tx,
            execute,
            "INSERT INTO partner (partner_id, display_name, state, etag, update_time) VALUES ($1, 'P', 'ACTIVE', 'v1', $2)",
            world::partner(0),
            now
        )?;
        world::supply(tx, world::allotment(0), self.units).await?;
        world::offer_insert(tx, world::listing(0), &world::PLAIN).await?;
        sql!(
            tx,
            execute,
            "INSERT INTO drop_sale (drop_id, allotment_id, display_name, start_time, end_time, total_limit, \
             per_person_limit, taken, end_reason, version, create_time) VALUES ($1, $2, 'D', $3, $4, $5, 2, 0, '', 1, $3)",
            world::drop_id(0),
            world::allotment(0),
            now,
            now.plus(Duration::from_secs(86_400)),
            self.units
        )?;
        sql!(
            tx,
            execute,
            "INSERT INTO drop_listing (drop_id, listing_id, taken) VALUES ($1, $2, 0)",
            world::drop_id(0),
            world::listing(0)
        )?;
        Ok(())
    }
}

/// Orders before the rush.
const WARM_UP: usize = 50;

fn argument(at: usize, default: usize) -> usize {
    std::env::args()
        .nth(at)
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// As in the program that is deployed.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn word(at: usize, default: &str) -> String {
    std::env::args().nth(at).unwrap_or_else(|| default.into())
}

#[tokio::main]
async fn main() {
    let (orders, callers, lanes) = (argument(1, 14_000), argument(2, 256), argument(3, 1));
    let (wanted, phase) = (word(4, "both"), word(5, "all"));
    for engine in [Engine::Sqlite, Engine::Postgres] {
        if wanted != "both" && wanted != engine.name() {
            continue;
        }
        let setup = Setup::new()
            .migrations(order::migrations())
            .config(|config| config.max_connections = 8);
        let Some(t) = TestDb::open(engine, setup).await else {
            continue;
        };
        t.execute(Shop {
            units: (orders + WARM_UP) as i64,
        })
        .await
        .expect("a shop");
        let mut config = Config::default();
        config.lane.lanes = lanes as u32;
        let desk = Desk::start(&t.db, &config);
        println!(
            "{}: {orders} orders, {callers} callers, {lanes} lanes",
            engine.name()
        );
        // Each caller places and pays in turn, so that both kinds meet in batches from the first moment on.
        let amount = Money::new(Currency::EUR, world::payable(0, 1));
        let both = |number| {
            let place = world::place(number, 0, number, number, &[(0, 1)]);
            vec![
                Command::Place(Box::new(place)),
                world::confirm(number + 1, 0, number, 0, amount),
            ]
        };
        let hold = |number| vec![both(number).swap_remove(0)];
        // First alone: the plans that a database makes while it is nearly empty stay with its connections.
        run("one by one", WARM_UP, 1, &desk, false, &both).await;
        if phase == "hold" {
            run("place", orders, callers, &desk, false, &|number| {
                hold(number + WARM_UP)
            })
            .await;
            continue;
        }
        run("place and pay", orders, callers, &desk, false, &|number| {
            both(number + WARM_UP)
        })
        .await;
        if phase == "pay" {
            continue;
        }
        let again = |number| {
            vec![Command::Place(Box::new(world::place(
                number,
                0,
                number,
                number,
                &[(0, 1)],
            )))]
        };
        run("place again", orders, callers, &desk, false, &again).await;
        let late = |number| {
            let number = number + orders + WARM_UP;
            vec![Command::Place(Box::new(world::place(
                number,
                0,
                number,
                number,
                &[(0, 1)],
            )))]
        };
        run("sold out", orders, callers, &desk, true, &late).await;
    }
}

/// Every caller carries out what the next number asks for, one command after the other.
async fn run(
    what: &str,
    orders: usize,
    callers: usize,
    desk: &Desk,
    refused: bool,
    commands: &impl Fn(usize) -> Vec<Command>,
) {
    let caller = Arc::new(Caller::system("example"));
    let (next, begun) = (AtomicUsize::new(0), SystemClock.instant());
    let one = || async {
        let mut times: Vec<Duration> = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= orders {
                return times;
            }
            for command in commands(number) {
                let asked = SystemClock.instant();
                let answer = desk.submit(&caller, command).await;
                assert_eq!(answer.is_err(), refused, "{answer:?}");
                times.push(since(asked));
            }
        }
    };
    let times = join_all((0..callers).map(|_| one())).await;
    let took = since(begun);
    let mut times: Vec<Duration> = times.into_iter().flatten().collect();
    times.sort_unstable();
    println!(
        "  {what:<14} {:>6.2} s  {:>7.0} orders/s  each call p50 {:>6.1} ms  p99 {:>6.1} ms",
        took.as_secs_f64(),
        orders as f64 / took.as_secs_f64(),
        times[times.len() / 2].as_secs_f64() * 1_000.0,
        times[times.len() * 99 / 100].as_secs_f64() * 1_000.0
    );
}

fn since(begun: Instant) -> Duration {
    SystemClock.instant().saturating_duration_since(begun)
}
