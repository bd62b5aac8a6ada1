//! One evening of live commerce, played against the suite through gRPC: two platforms, three rooms in turn, a shared
//! allotment, a drop, and everything that goes wrong on such an evening. At the end the books are checked from outside.

mod audience;
mod checks;
pub(crate) mod client;
mod command;
mod plan;
mod platform;
mod report;
mod scenes;
mod screen;
mod shopper;
mod stage;
pub(crate) mod tokens;
mod warehouse;
pub(crate) mod world;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use contracts::order::v1 as pb;
use contracts::room::v1 as room_pb;
use futures::stream::{self, StreamExt, TryStreamExt};
use kit::clock::{Clock, Micros, SystemClock};
use tokio_util::sync::CancellationToken;

use audience::Audience;
use checks::{Checks, Evening};
pub use client::Addresses;
use client::Connections;
pub use command::command;
pub use plan::Scale;
use plan::{DROP_PER_PERSON, Plan, ShopperPlan, Story};
use platform::{Books, Follower};
use report::LedgerRow;
pub use report::Report;
use screen::Tallies;
use shopper::{Placed, Shop, Surprises};
use tokens::Tokens;
use warehouse::{Warehouse, lock};
use world::{World, ask};

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
    /// How large the evening is.
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
    ours: Arc<Mutex<HashSet<String>>>,
    lost: Arc<Mutex<HashSet<String>>>,
    over: CancellationToken,
}

/// Plays the evening; the report says how it went.
pub async fn run_at(options: Options) -> anyhow::Result<Report> {
    let clock = SystemClock;
    let started = clock.instant();
    let connections = Connections::open(&options.addresses, CONNECTIONS).await?;
    let tokens = Tokens {
        signer: options.signer.clone(),
        connections: connections.clone(),
    };
    let plan = Plan::new(options.seed, options.scale, &options.run);
    let tallies = Arc::new(Tallies::new(
        plan.rooms.iter().map(|r| r.title),
        plan.shoppers() as u64,
    ));
    let over = CancellationToken::new();
    let shown = kit::spawn(
        "demo screen",
        screen::show(tallies.clone(), started, over.clone()),
    );
    let result = evening(
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

async fn evening(
    seed: u64,
    plan: Plan,
    connections: Connections,
    tokens: &Tokens,
    tallies: Arc<Tallies>,
    over: CancellationToken,
    run: &str,
) -> anyhow::Result<Report> {
    tallies.phase("preparing: partners, products, listings, rooms");
    let reader = tokens.retailer("demo-auditor", &[Role::Ops])?;
    let marks = checks::marks(&reader).await?;
    let world = Arc::new(World::prepare(&plan, tokens, run).await?);
    let followers = world
        .partners
        .iter()
        .map(|p| Follower::start(p.caller.clone(), String::new(), over.clone()))
        .collect();
    let players = Players {
        books: Arc::new(world.partners.iter().map(|_| Books::default()).collect()),
        plan,
        world,
        connections,
        tallies,
        surprises: Arc::default(),
        followers,
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
    let mut placed = Vec::new();
    for n in 0..players.plan.rooms.len() {
        placed.extend(players.play_room(n, &mut report).await?);
    }
    players.settle(&placed).await?;
    players.over.cancel();
    working.await.context("the warehouse stopped")??;
    players.check(&reader, &marks, &mut report).await?;
    Ok(report)
}

impl Players {
    fn shop(&self, room: usize) -> Shop {
        Shop {
            world: self.world.clone(),
            room,
            is_drop: self.plan.rooms[room].is_drop,
            tallies: self.tallies.clone(),
            books: self.books.clone(),
            ours: self.ours.clone(),
            lost: self.lost.clone(),
            surprises: self.surprises.clone(),
            prices: Mutex::new(BTreeMap::new()),
        }
    }

    async fn play_room(&self, n: usize, report: &mut Report) -> anyhow::Result<Vec<Placed>> {
        let (plan, room) = (&self.plan.rooms[n], &self.world.rooms[n]);
        self.tallies.phase(format!("on air: {}", plan.title));
        let request = room_pb::GoLiveRequest {
            request_id: format!("{}-live-{n}", self.world.run),
            room_id: room.room_id.clone(),
            etag: String::new(),
        };
        ask!(
            "a room did not go on air",
            self.world.host,
            rooms.go_live(request)
        )?;
        let audience = Arc::new(Audience {
            world: self.world.clone(),
            connections: self.connections.clone(),
            room: n,
            tallies: self.tallies.clone(),
            likes_sent: 0.into(),
        });
        let viewers = self.admit(&audience, n);
        let curtain = CancellationToken::new();
        let (presenting, shopping) = tokio::join!(audience.present(plan, curtain.clone()), async {
            let placed = self.shop_in(n, report).await;
            curtain.cancel();
            placed
        });
        let (explained, placed) = (presenting?, shopping?);
        let request = room_pb::EndRoomRequest {
            request_id: format!("{}-end-{n}", self.world.run),
            room_id: room.room_id.clone(),
            reason: "good night".into(),
            etag: String::new(),
        };
        ask!(
            "a room did not end",
            self.world.host,
            rooms.end_room(request)
        )?;
        self.curtain_call(&audience, viewers, explained, n, report)
            .await?;
        Ok(placed)
    }

    fn admit(
        &self,
        audience: &Arc<Audience>,
        n: usize,
    ) -> Vec<tokio::task::JoinHandle<anyhow::Result<audience::Seen>>> {
        let plan = &self.plan.rooms[n];
        let mut viewers = Vec::new();
        for partner in 0..self.world.partners.len() {
            for v in 0..self.plan.scale.viewers_per_outlet {
                let question = plan.questions.get(v).copied().filter(|_| partner == v % 2);
                let audience = audience.clone();
                viewers.push(kit::spawn("demo viewer", async move {
                    audience.watch(partner, v, question).await
                }));
            }
        }
        viewers
    }

    /// What the audience saw, against what was done.
    async fn curtain_call(
        &self,
        audience: &Audience,
        viewers: Vec<tokio::task::JoinHandle<anyhow::Result<audience::Seen>>>,
        explained: u64,
        n: usize,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let watching = viewers.len();
        for viewer in viewers {
            let seen = tokio::time::timeout(Duration::from_secs(20), viewer)
                .await
                .context("a viewer did not hear that the room had ended")?
                .context("a viewer stopped")??;
            if !seen.ended || (explained > 1 && seen.explained == 0) {
                self.surprises
                    .note(format!("a viewer of room {n} missed something: {seen:?}"));
            }
        }
        let sent = i64::try_from(
            audience
                .likes_sent
                .load(std::sync::atomic::Ordering::Relaxed),
        )
        .unwrap_or(i64::MAX);
        let totals = audience.totals(sent).await?;
        if totals.likes != sent || totals.views < watching as i64 {
            self.surprises.note(format!(
                "room {n}: {sent} likes and {watching} views, but the totals are {totals:?}"
            ));
        }
        report.ledger.push(LedgerRow {
            room: n.to_string(),
            views: totals.views,
            likes: totals.likes,
            questions: totals.questions,
            ..LedgerRow::default()
        });
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
        let begin = SystemClock.instant();
        let mut placed = self.crowd(&shop, &plan.first_wave).await?;
        self.tallies.phase(format!(
            "{}: waiting for abandoned holds to run out",
            plan.title
        ));
        self.until_expired(&placed).await?;
        if !plan.second_wave.is_empty() {
            self.tallies.phase(format!("{}: second wave", plan.title));
            placed.extend(self.crowd(&shop, &plan.second_wave).await?);
        }
        if plan.is_drop {
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
        if n == 0 {
            self.tallies
                .phase("a price changes, then a sale is stopped");
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
        report: &mut Report,
    ) -> anyhow::Result<()> {
        self.tallies
            .phase("checking units, money and feeds from outside");
        let ours = lock(&self.ours).clone();
        let partners: Vec<&client::Caller> =
            self.world.partners.iter().map(|p| &p.caller).collect();
        let facts = checks::facts(reader, &partners, marks, &ours).await?;
        let charges: Vec<_> = self.books.iter().map(Books::charges).collect();
        let mut checks = Checks::default();
        let evening = Evening {
            world: &self.world,
            facts: &facts,
            charges: &charges,
            ours: &ours,
            drop_units: self.plan.scale.drop_units,
            drop_per_person: DROP_PER_PERSON,
        };
        evening.check(&mut checks, report).await?;
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
