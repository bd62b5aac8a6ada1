//! One day of a channel that is on air around the clock, in about a minute, played against the suite through gRPC: three
//! platforms, eight slots in turn, a brand's hour, a course, a guest, a shared allotment, a drop, sales in the retailer's
//! own shop, returns, and everything that goes wrong on such a day. At the end the books are checked from outside.

mod after_sale;
mod agreed;
mod audience;
mod channel;
mod checks;
pub(crate) mod client;
mod command;
mod goods;
mod on_air;
mod own_shop;
mod plan;
mod platform;
mod report;
mod scenes;
mod screen;
mod second_act;
mod shopper;
mod stage;
mod stories;
pub(crate) mod tokens;
mod warehouse;
pub(crate) mod world;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use contracts::order::v1 as pb;
use futures::stream::{self, StreamExt, TryStreamExt};
use kit::clock::{Clock, Micros, SystemClock};
use tokio_util::sync::CancellationToken;

use after_sale::AfterSale;
use channel::Heard;
use checks::{Checks, Day};
pub use client::Addresses;
use client::Connections;
pub use command::command;
pub use plan::Scale;
use plan::{DROP_PER_PERSON, Kind, Plan, ShopperPlan, Story};
use platform::{Books, Follower};
pub use report::Report;
use screen::Tallies;
use second_act::{Cast, Done, SecondAct};
use shopper::{Placed, Shop, Surprises};
use tokens::Tokens;
use warehouse::{Warehouse, lock};
use world::World;

use crate::token::Role;

/// Shoppers who are served at the same time.
const CROWD: usize = 256;
/// Connections to the suite.
const CONNECTIONS: usize = 8;
/// How long to wait for what must come by a feed.
const PATIENCE: Duration = Duration::from_secs(90);

/// Options of the demo.
pub struct Options {
    pub seed: u64,
    pub report: Option<PathBuf>,
    /// Where the suite answers.
    pub addresses: Addresses,
    /// How large the day is.
    pub scale: Scale,
    /// Keeps references apart when one suite is played against several times.
    pub run: String,
    pub signer: kit::auth::TokenSigner,
}

/// The time now, for what the players say.
pub(crate) fn now_proto() -> prost_types::Timestamp {
    Micros::to_proto(SystemClock.now())
}

struct Players {
    plan: Plan,
    world: Arc<World>,
    connections: Connections,
    tallies: Arc<Tallies>,
    surprises: Arc<Surprises>,
    books: Arc<Vec<Books>>,
    followers: Vec<Follower>,
    /// What each platform's app heard of the channel.
    heard: Vec<Arc<Mutex<Heard>>>,
    ours: Arc<Mutex<HashSet<String>>>,
    lost: Arc<Mutex<HashSet<String>>>,
    over: CancellationToken,
}

/// Plays the day; the report says how it went.
pub async fn run_at(options: Options) -> anyhow::Result<Report> {
    let clock = SystemClock;
    let started = clock.instant();
    let connections = Connections::open(&options.addresses, CONNECTIONS).await?;
    let tokens = Tokens {
        signer: options.signer.clone(),
        connections: connections.clone(),
    };
    let plan = Plan::new(options.seed, options.scale, &options.run);
    let tallies = Arc::new(Tallies::new(&plan.rooms, plan.shoppers() as u64));
    let over = CancellationToken::new();
    let shown = kit::spawn(
        "demo screen",
        screen::show(tallies.clone(), started, over.clone()),
    );
    let result = day(
        options.seed,
        plan,
        connections,
        &tokens,
        tallies,
        over.clone(),
        &options.run,
    )
    .await;
    over.cancel();
    let _ = shown.await;
    let mut report = result?;
    report.duration_ms =
        u64::try_from(clock.instant().duration_since(started).as_millis()).unwrap_or(u64::MAX);
    if let Some(path) = &options.report {
        report.write(path)?;
    }
    Ok(report)
}

async fn day(
    seed: u64,
    plan: Plan,
    connections: Connections,
    tokens: &Tokens,
    tallies: Arc<Tallies>,
    over: CancellationToken,
    run: &str,
) -> anyhow::Result<Report> {
    tallies.phase("preparing: partners, products, listings, the programme");
    let reader = tokens.retailer("demo-auditor", &[Role::Ops])?;
    let marks = checks::marks(&reader).await?;
    let world = Arc::new(World::prepare(&plan, tokens, run).await?);
    let followers = world
        .partners
        .iter()
        .map(|p| Follower::start(p.caller.clone(), String::new(), over.clone()))
        .collect();
    let heard = world
        .partners
        .iter()
        .map(|p| channel::tune_in(p.caller.clone(), world.channel_id.clone(), over.clone()))
        .collect();
    let players = Players {
        books: Arc::new(world.partners.iter().map(|_| Books::default()).collect()),
        plan,
        world,
        connections,
        tallies,
        surprises: Arc::default(),
        followers,
        heard,
        ours: Arc::default(),
        lost: Arc::default(),
        over,
    };
    let warehouse = Warehouse {
        caller: players.world.warehouse.clone(),
        tallies: players.tallies.clone(),
        run: run.to_owned(),
        lost: players.lost.clone(),
        ours: players.ours.clone(),
    };
    let working = kit::spawn("demo warehouse", warehouse.work(players.over.clone()));
    let mut report = Report {
        seed,
        shoppers: players.plan.shoppers() as u64,
        ..Report::default()
    };
    let placed = players.play_rooms(&mut report).await?;
    players.settle(&placed).await?;
    players.after_sale(&placed, &mut report).await?;
    let done = players
        .second_act(&placed, Cast::new(tokens)?, seed, &mut report)
        .await?;
    players.over.cancel();
    working.await.context("the warehouse stopped")??;
    players.check(&reader, &marks, done, &mut report).await?;
    Ok(report)
}

impl Players {
    fn shop(&self, room: usize) -> Shop {
        Shop {
            world: self.world.clone(),
            room,
            is_drop: self.plan.rooms[room].is_drop(),
            tallies: self.tallies.clone(),
            books: self.books.clone(),
            ours: self.ours.clone(),
            lost: self.lost.clone(),
            surprises: self.surprises.clone(),
            prices: Mutex::new(BTreeMap::new()),
        }
    }

    /// The platforms' refund desks, and those of the retailer who work with them.
    fn desk(&self) -> AfterSale<'_> {
        AfterSale {
            world: &self.world,
            tallies: &self.tallies,
            followers: &self.followers,
            books: &self.books,
            surprises: &self.surprises,
            patience: PATIENCE,
        }
    }

    /// What becomes of some of the day's orders when shoppers are not content.
    async fn second_act(
        &self,
        placed: &[Placed],
        cast: Cast,
        seed: u64,
        report: &mut Report,
    ) -> anyhow::Result<Done> {
        self.tallies.phase(
            "the second act: a dispute, an offer, goodwill, an exchange, a chargeback, damages",
        );
        let begin = SystemClock.instant();
        let act = SecondAct {
            desk: self.desk(),
            cast,
            done: Mutex::default(),
        };
        let mut done = act.play(placed, seed).await?;
        report.second_act_ms =
            u64::try_from(SystemClock.instant().duration_since(begin).as_millis())
                .unwrap_or(u64::MAX);
        report.second_act = std::mem::take(&mut done.scenes);
        done.count(report);
        Ok(done)
    }

    /// Goods come back, and everything that is due is paid back.
    async fn after_sale(&self, placed: &[Placed], report: &mut Report) -> anyhow::Result<()> {
        self.tallies
            .phase("after the sale: returns, and paying back what is due");
        let done = self.desk().work(placed).await?;
        report.returns_completed = done.returns;
        report.refunds_executed = done.refunds;
        report.refunds_failed_first = done.failed_first;
        let wanted: Vec<&str> = self
            .world
            .rooms
            .iter()
            .map(|r| r.room_id.as_str())
            .collect();
        for heard in &self.heard {
            let heard = lock(heard);
            if heard.rooms != wanted || heard.silence {
                self.surprises
                    .note(format!("an app heard the channel otherwise: {heard:?}"));
            }
        }
        Ok(())
    }

    async fn crowd(&self, shop: &Shop, shoppers: &[ShopperPlan]) -> anyhow::Result<Vec<Placed>> {
        stream::iter(shoppers)
            .map(|plan| async move {
                let placed = shop.first_act(plan).await;
                screen::count(&self.tallies.shoppers_done);
                placed
            })
            .buffer_unordered(CROWD)
            .try_filter_map(|placed| async move { Ok(placed) })
            .try_collect()
            .await
    }

    async fn each<'a, F>(
        &self,
        placed: impl Iterator<Item = &'a Placed>,
        act: impl Fn(&'a Placed) -> F,
    ) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<()>>,
    {
        stream::iter(placed)
            .map(act)
            .buffer_unordered(CROWD)
            .try_collect::<Vec<()>>()
            .await
            .map(|_| ())
    }

    /// The shopping in one room, wave by wave.
    async fn shop_in(&self, n: usize, report: &mut Report) -> anyhow::Result<Vec<Placed>> {
        let (plan, shop) = (&self.plan.rooms[n], self.shop(n));
        if plan.kind == Kind::Course {
            // Nothing is sold; the audience listens for a while.
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            return Ok(Vec::new());
        }
        let begin = SystemClock.instant();
        let mut placed = self.crowd(&shop, &plan.first_wave).await?;
        self.until_expired(&placed).await?;
        if !plan.second_wave.is_empty() {
            self.tallies
                .phase("the drop: what was given back sells to those who waited");
            placed.extend(self.crowd(&shop, &plan.second_wave).await?);
        }
        if plan.is_drop() {
            report.drop_duration_ms =
                u64::try_from(SystemClock.instant().duration_since(begin).as_millis())
                    .unwrap_or(u64::MAX);
        }
        let told = |story: Story| placed.iter().filter(move |p| p.plan.story == story);
        self.each(told(Story::PayLate), |p| shop.pay_late(p))
            .await?;
        self.crowd(&shop, &plan.latecomers).await?;
        let cancelled = || told(Story::CancelAfterPaying).chain(told(Story::CancelOneOfTwo));
        self.each(cancelled(), |p| shop.cancel_after_paying(p))
            .await?;
        if plan.products.contains(&goods::REDIRECT_PRODUCT) {
            self.tallies
                .phase("the trunk is sold in the retailer's own shop, by deep link");
            let sold = own_shop::sales(&shop).await?;
            report.conversions += sold.conversions;
            report.conversions_reversed += sold.reversed;
        }
        if n == 0 {
            self.tallies
                .phase("a price changes, then a doubted product's sale is stopped and resumed");
            placed.extend(scenes::price_change(&shop).await?);
            placed.extend(scenes::stopped_sale(&shop).await?);
        }
        Ok(placed)
    }

    async fn until_expired(&self, placed: &[Placed]) -> anyhow::Result<()> {
        for (partner, follower) in self.followers.iter().enumerate() {
            let waiting: Vec<&str> = placed
                .iter()
                .filter(|p| {
                    p.plan.partner == partner
                        && matches!(p.plan.story, Story::Abandon | Story::PayLate)
                })
                .map(|p| p.order_id.as_str())
                .collect();
            follower
                .until("abandoned orders expire", PATIENCE, |known| {
                    waiting.iter().all(|id| {
                        known
                            .states
                            .get(*id)
                            .is_some_and(|o| o.state() == pb::OrderState::Expired)
                    })
                })
                .await?;
        }
        Ok(())
    }

    /// Waits until every order has come to its end, then lets some shoppers cancel too late.
    async fn settle(&self, placed: &[Placed]) -> anyhow::Result<()> {
        self.tallies.phase("delivering what was sold");
        let ended = |order: &pb::Order| {
            matches!(
                order.state(),
                pb::OrderState::Expired | pb::OrderState::Cancelled | pb::OrderState::Completed
            ) || matches!(
                order.fulfillment_state(),
                pb::FulfillmentState::Delivered | pb::FulfillmentState::Undelivered
            )
        };
        // What was paid after its hold had ended and could not be served stays expired.
        for (partner, follower) in self.followers.iter().enumerate() {
            let waiting: Vec<&str> = placed
                .iter()
                .filter(|p| p.plan.partner == partner)
                .map(|p| p.order_id.as_str())
                .collect();
            follower
                .until("every order has come to its end", PATIENCE, |known| {
                    waiting.iter().all(|id| {
                        known
                            .states
                            .get(*id)
                            .is_some_and(|o| ended(o) && refunds_arrived(o))
                    })
                })
                .await?;
        }
        let shop = self.shop(0);
        self.each(
            placed
                .iter()
                .filter(|p| p.plan.story == Story::CancelTooLate),
            |p| shop.cancel_too_late(p),
        )
        .await
    }

    async fn check(
        &self,
        reader: &client::Caller,
        marks: &checks::Marks,
        done: Done,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        self.tallies
            .phase("checking units, money and feeds from outside");
        let ours = lock(&self.ours).clone();
        let partners: Vec<&client::Caller> =
            self.world.partners.iter().map(|p| &p.caller).collect();
        let facts = checks::facts(reader, &partners, marks, &ours).await?;
        let charges: Vec<_> = self.books.iter().map(Books::charges).collect();
        let paid_back: Vec<_> = self.books.iter().map(Books::paid_back).collect();
        let mut checks = Checks::default();
        let day = Day {
            world: &self.world,
            facts: &facts,
            charges: &charges,
            paid_back: &paid_back,
            done: &done,
            ours: &ours,
            drop_units: self.plan.scale.drop_units,
            drop_per_person: DROP_PER_PERSON,
        };
        day.check(&mut checks, report).await?;
        let surprises = self.surprises.take();
        checks.that(surprises.is_empty(), || {
            format!("{} stories went otherwise than told", surprises.len())
        });
        for row in &mut report.ledger {
            if let Some(plan) = row
                .room
                .parse::<usize>()
                .ok()
                .and_then(|n| self.plan.rooms.get(n))
            {
                row.room = plan.title.into();
            }
        }
        report.checks_made = checks.made;
        report.checks_failed = checks.failed;
        report.failures = checks.failures;
        report.failures.extend(surprises);
        Ok(())
    }
}

/// Whether the refunds that an order's ended lines call for have reached it.
fn refunds_arrived(order: &pb::Order) -> bool {
    let gone = |l: &pb::OrderLine| {
        l.quantities
            .is_some_and(|q| q.cancelled + q.undelivered > 0)
    };
    let due = order.pay_time.is_some() && order.lines.iter().any(gone);
    !due || order.refund_due.as_ref().is_some_and(|m| m.minor_units > 0)
}
