//! What fulfilment tells, applied beside the desk: both lock allotments first and orders after them, so neither
//! ever waits for the other crosswise.

use std::sync::Arc;
use std::time::Duration;

use contracts::fulfillment::v1 as fulfillment;
use contracts::fulfillment::v1::fulfillment_feed_entry::Content;
use contracts::money::{Currency, Money};
use contracts::order::v1 as pb;
use futures::future::join_all;
use kit::errors::Fault;
use order::events::fulfillment::FulfillmentProgress;
use order::model::Placement;
use order::model::command::{Answer, Command};
use order::ops::desk::Desk;
use store::consumer::{Acting, Consume};
use store::{Db, Engine, Operation, Tx, sql};
use testkit::{Setup, TestDb, on_both_engines};

use crate::audit::Check;
use crate::hammer::{at_once, caller, desks};
use crate::world::{self, PLAIN};

/// Allotments, each with one listing.
const POOLS: usize = 6;
const FIRST: usize = 40;
const ORDERS: usize = 120;
/// Orders that one unit of the consumer tells of.
const PAGE: usize = 12;

struct Pools;

impl Operation for Pools {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.pools"
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
        for pool in FIRST..FIRST + POOLS {
            world::supply(tx, world::allotment(pool), 10_000).await?;
            let offer = world::Offer {
                draws: Some((pool, 0)),
                ..PLAIN
            };
            world::offer_insert(tx, world::listing(pool), &offer).await?;
        }
        Ok(())
    }
}

/// Three units of each of two pools.
fn wanted(number: usize) -> Command {
    let mut place = world::place(number, 0, number, number, &[(0, 3), (0, 3)]);
    place.lines[0].listing_id = world::listing(FIRST + number % POOLS);
    place.lines[1].listing_id =
        world::listing(FIRST + (number * 5 + 1 + number % (POOLS - 1)) % POOLS);
    if place.lines[0].listing_id == place.lines[1].listing_id {
        place.lines[1].listing_id = world::listing(FIRST + (number + 1) % POOLS);
    }
    Command::Place(Box::new(place))
}

fn pay(placement: &Placement, time: usize) -> Command {
    let order = placement.order_id.uuid() as usize - 1;
    let amount = Money::new(Currency::EUR, placement.amount.payable);
    world::confirm(1 + order + time * 10_000, 0, order, time, amount)
}

/// A fulfilment of which this many units of each line are cancelled.
fn cancelled(placement: &Placement, units: i64) -> fulfillment::FulfillmentFeedEntry {
    let line = |line: &order::model::Line| fulfillment::FulfillmentLine {
        order_line_id: line.order_line_id.into(),
        quantities: Some(pb::LineQuantities {
            cancelled: units,
            ..Default::default()
        }),
        ..Default::default()
    };
    fulfillment::FulfillmentFeedEntry {
        meta: None,
        content: Some(Content::Fulfillment(fulfillment::Fulfillment {
            order_id: placement.order_id.into(),
            lines: placement.lines.iter().map(line).collect(),
            ..Default::default()
        })),
    }
}

/// A page of entries in one unit, as the consumer applies it.
pub struct Page(pub Vec<fulfillment::FulfillmentFeedEntry>);

impl Operation for Page {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.page"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        let entries: Vec<_> = self.0.iter().collect();
        FulfillmentProgress::new(Duration::from_secs(60))
            .apply_all(tx, &entries, &Acting::new(caller()))
            .await
    }
}

async fn consume(db: Db, placements: Vec<Arc<Placement>>, units: i64) {
    for page in placements.chunks(PAGE) {
        let entries = page.iter().map(|placement| cancelled(placement, units));
        db.execute(&caller(), Page(entries.collect()))
            .await
            .expect("applied in the end");
    }
}

async fn deadlocks(t: &TestDb) -> i64 {
    struct Deadlocks;
    impl Operation for Deadlocks {
        type Output = i64;

        fn name(&self) -> &'static str {
            "test.deadlocks"
        }

        async fn run(&self, tx: &mut Tx) -> Result<i64, Fault> {
            let (count,) = sql!(
                tx,
                one(i64,),
                "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
            )?;
            Ok(count)
        }
    }
    if t.engine() == Engine::Sqlite {
        return 0;
    }
    t.read(Deadlocks).await.expect("a count")
}

async fn placed(desks: &[Desk]) -> Vec<Arc<Placement>> {
    let mut placed = Vec::new();
    for answer in at_once(desks, (0..ORDERS).map(wanted).collect()).await {
        let Ok(Answer::Placed { placement, .. }) = answer else {
            panic!("not placed: {answer:?}")
        };
        placed.push(placement);
    }
    at_once(
        desks,
        placed.iter().map(|placement| pay(placement, 0)).collect(),
    )
    .await;
    placed
}

on_both_engines! {
    setup: Setup::new().migrations(order::migrations());

    async fn the_desk_and_the_feed_never_wait_crosswise(t: TestDb) {
        t.execute(Pools).await.expect("a catalogue");
        let desks = desks(&t).await;
        let placed = placed(&desks).await;
        let before = deadlocks(&t).await;
        for round in 1..=3usize {
            // In an order of its own each time: the feed's, which is nobody's order of ids.
            let mut told = placed.clone();
            told.reverse();
            told.rotate_left(round * 17);
            let consumer = consume(t.db.clone(), told, round as i64);
            // Meanwhile every order is paid once more, and others are placed.
            let twice = placed.iter().map(|placement| pay(placement, round));
            let others = (0..ORDERS).map(|number| wanted(number + round * 1_000));
            let commands: Vec<Command> = twice.zip(others).flat_map(|(a, b)| [a, b]).collect();
            let calls = commands.chunks(40).map(|chunk| at_once(&desks, chunk.to_vec()));
            let (answers, ()) = futures::join!(join_all(calls), consumer);
            for answer in answers.into_iter().flatten() {
                answer.expect("nothing is refused");
            }
        }
        assert_eq!(deadlocks(&t).await - before, 0, "deadlocks");
        let wrong = t.read(Check).await.expect("an answer");
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
