//! What a batch reads stays in proportion to it, also with plans that PostgreSQL made while the tables were
//! nearly empty and keeps.

use std::collections::BTreeMap;

use kit::errors::Fault;
use order::model::command::{Command, Verdict};
use store::{Engine, Operation, Tx, sql};
use testkit::{Setup, TestDb};

use contracts::fulfillment::v1::fulfillment_feed_entry::Content;
use contracts::fulfillment::v1::{
    Fulfillment, FulfillmentFeedEntry, FulfillmentLine, GoodsReturn, GoodsReturnLine, ReturnState,
};
use contracts::id::{OrderLineId, kind};
use contracts::money::{Currency, Money};
use contracts::order::v1::LineQuantities;

use crate::told::Page;
use crate::world::{self, Batch, Reset};

/// Rows read for one command, however many there are: what it touches in a dozen tables, and some to spare.
const ROWS_PER_COMMAND: i64 = 40;
/// PostgreSQL keeps a plan for good when it has made five for the values at hand.
const WARM_UP: usize = 12;
const BATCH: usize = 50;

/// A unit of work, and how many rows it read of which table.
struct Watched<O>(O);

impl<O: Operation> Operation for Watched<O> {
    type Output = (O::Output, Vec<(String, i64)>);

    fn name(&self) -> &'static str {
        "test.watched"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        // What this connection read before may not have been reported yet, and is counted with it.
        let before: BTreeMap<String, i64> = rows_read(tx).await?.into_iter().collect();
        let output = self.0.run(tx).await?;
        let read = rows_read(tx).await?;
        let more = |(table, rows): (String, i64)| {
            let rows = rows - before.get(&table).copied().unwrap_or(0);
            (table, rows)
        };
        let read = read.into_iter().map(more).collect();
        Ok((output, read))
    }
}

/// How many rows this connection has read of which table and not reported yet.
async fn rows_read(tx: &mut Tx) -> Result<Vec<(String, i64)>, Fault> {
    Ok(sql!(
        tx,
        all(String, i64),
        "SELECT CAST(relname AS TEXT), CAST(COALESCE(seq_tup_read, 0) + COALESCE(idx_tup_fetch, 0) AS BIGINT) \
         FROM pg_stat_xact_user_tables WHERE COALESCE(seq_tup_read, 0) + COALESCE(idx_tup_fetch, 0) > 0"
    )?)
}

/// What autovacuum does in its own time: it learns that the tables are small.
struct Analyze;

impl Operation for Analyze {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.analyze"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        sql!(tx, execute, "ANALYZE")?;
        Ok(())
    }
}

/// Places an order, pays it, asks for it again, cancels another one, lets a third expire.
fn commands(number: usize) -> Vec<Command> {
    let place = |number: usize| {
        Command::Place(Box::new(world::place(
            number,
            0,
            number,
            number,
            &[(0, 1), (1, 1)],
        )))
    };
    let payable = world::payable(0, 1) + world::payable(1, 1);
    let number = number * 4;
    vec![
        place(number),
        world::confirm(number + 1, 0, number, 0, Money::new(Currency::EUR, payable)),
        place(number),
        place(number + 1),
        world::cancel(number, Some(0), number + 1),
        place(number + 2),
        world::expire(number + 2),
    ]
}

#[test]
fn plans_made_on_small_tables_read_no_more_on_large_ones() {
    let setup = Setup::new()
        .migrations(order::migrations())
        .config(|config| config.max_connections = 1);
    testkit::run(Engine::Postgres, setup, |t: TestDb| async move {
        let owner = t.as_owner().await;
        let reset = owner.execute(&t.caller(), Reset).await;
        reset.expect("a catalogue");
        t.execute(Roomy).await.expect("a catalogue without limits");
        for number in 0..WARM_UP {
            t.execute(Watched(Batch::new(&commands(number))))
                .await
                .expect("a batch that runs");
            t.execute(Watched(Page(news(number).to_vec())))
                .await
                .expect("a page that can be applied");
            if number == WARM_UP / 2 {
                let analyzed = owner.execute(&t.caller(), Analyze).await;
                analyzed.expect("statistics");
            }
        }
        for batch in 0..30 {
            let all: Vec<Command> = (0..BATCH)
                .flat_map(|at| commands(WARM_UP + batch * BATCH + at))
                .collect();
            let (verdicts, read) = t
                .execute(Watched(Batch::new(&all)))
                .await
                .expect("a batch that runs");
            let verdicts: Vec<Verdict> = verdicts;
            if let Some(refused) = verdicts.into_iter().find_map(Result::err) {
                panic!("{refused}");
            }
            in_proportion(batch, all.len(), read);
            // What fulfilment tells of the orders that were paid.
            let all: Vec<_> = (0..BATCH)
                .flat_map(|at| news(WARM_UP + batch * BATCH + at))
                .collect();
            let count = all.len();
            let ((), read) = t
                .execute(Watched(Page(all)))
                .await
                .expect("a page that can be applied");
            in_proportion(batch, count, read);
        }
    });
}

fn in_proportion(batch: usize, count: usize, read: Vec<(String, i64)>) {
    for (table, rows) in read {
        assert!(
            rows <= ROWS_PER_COMMAND * count as i64,
            "batch {batch} of {count} read {rows} rows of {table}"
        );
    }
}

/// The paid order's first line is cancelled, the second arrives and comes back.
fn news(number: usize) -> [FulfillmentFeedEntry; 2] {
    let number = number * 4;
    let order_id = world::nth::<kind::Order>(number).to_string();
    let line_id = |at: usize| OrderLineId::from_uuid((number * 16 + at) as u128).to_string();
    let line = |at: usize, quantities: LineQuantities| FulfillmentLine {
        order_line_id: line_id(at),
        quantities: Some(quantities),
        ..Default::default()
    };
    let cancelled = LineQuantities {
        cancelled: 1,
        ..Default::default()
    };
    let arrived = LineQuantities {
        shipped: 1,
        delivered: 1,
        ..Default::default()
    };
    let come = Fulfillment {
        order_id: order_id.clone(),
        lines: vec![line(0, cancelled), line(1, arrived)],
        ..Default::default()
    };
    let back = GoodsReturn {
        return_id: world::nth::<kind::Return>(number).to_string(),
        order_id,
        state: ReturnState::Received.into(),
        lines: vec![GoodsReturnLine {
            order_line_id: line_id(1),
            received_quantity: 1,
            restock_quantity: 1,
            ..Default::default()
        }],
        ..Default::default()
    };
    let contents = [Content::Fulfillment(come), Content::GoodsReturn(back)];
    contents.map(|content| FulfillmentFeedEntry {
        meta: None,
        content: Some(content),
    })
}

/// Units for everybody, and no limits.
struct Roomy;

impl Operation for Roomy {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.roomy"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        sql!(
            tx,
            execute,
            "UPDATE allotment SET supplied = 1000000, available = 1000000"
        )?;
        sql!(tx, execute, "UPDATE listing SET per_shopper_limit = 0")?;
        sql!(tx, execute, "UPDATE allotment_listing SET unit_cap = 0")?;
        Ok(())
    }
}
