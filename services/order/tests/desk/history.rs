//! History that was made up keeps everything that real sales keep.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kit::caller::Caller;
use order::ops::history::{self, Plan};
use store::audit::{Verdict, verify};
use store::{Operation, Tx, sql};
use testkit::{Setup, TestDb, on_both_engines, op};

use crate::audit::Check;
use crate::world;

/// Two partners with two listings each, and more units than anybody buys.
struct Shops;

impl Operation for Shops {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.shops"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), kit::errors::Fault> {
        let now = tx.now();
        world::supply(tx, world::allotment(0), 10_000).await?;
        for number in 0..2 {
            sql!(
                tx,
                execute,
                "INSERT INTO partner (partner_id, display_name, state, etag, update_time) VALUES ($1, 'P', 'ACTIVE', 'v1', $2)",
                world::partner(number),
                now
            )?;
        }
        for number in 0..4 {
            let offer = world::Offer {
                partner: number % 2,
                ..world::PLAIN
            };
            world::offer_insert(tx, world::listing(number), &offer).await?;
        }
        Ok(())
    }
}

fn plan(orders: u64) -> Plan {
    Plan {
        listings: (0..4).map(world::listing).collect(),
        orders,
        feed_orders: orders / 5,
        span: Duration::from_secs(150 * 86_400),
        shoppers: 50,
        chapter_orders: 100,
        chapters_at_once: 3,
        seed: 7,
    }
}

on_both_engines! {
    setup: Setup::new().migrations(order::migrations());

    async fn made_up_orders_keep_every_invariant(t: TestDb) {
        t.execute(Shops).await.expect("shops");
        let told = AtomicU64::new(0);
        let written = history::write(&t.db, plan(1_050), |sum| told.store(sum.orders, Ordering::SeqCst)).await.expect("written");
        assert_eq!((written.orders, told.into_inner()), (1_050, 1_050));
        assert!((900..1_000).contains(&written.paid), "{written:?}");
        let wrong = t.read(Check).await.expect("checked");
        assert!(wrong.is_empty(), "{wrong:#?}");
        let sold = op("sold", |tx| Box::pin(async move {
            let (sold,) = sql!(tx, one (i64,), "SELECT CAST(SUM(sold) AS BIGINT) FROM allotment")?;
            let (orders,) = sql!(tx, one (i64,), "SELECT COUNT(*) FROM orders")?;
            let (fed,) = sql!(tx, one (i64,), "SELECT COUNT(DISTINCT aggregate_id) FROM feed WHERE kind = 'order'")?;
            Ok((sold, orders, fed))
        }));
        assert_eq!(t.read(sold).await.expect("read"), (written.units, 1_050, 210));
        let chain = verify(&t.db, &Caller::system("test"), 1, None).await.expect("verified");
        // Two rows for each order, and one for the shops.
        assert!(matches!(chain, Verdict::Intact { rows: 2_101, .. }), "{chain:?}");
    }

    async fn the_same_plan_is_the_same_history(t: TestDb) {
        t.execute(Shops).await.expect("shops");
        history::write(&t.db, plan(100), |_| ()).await.expect("written");
        // Its orders are there, so nothing of it can be written again.
        let again = history::write(&t.db, plan(100), |_| ()).await;
        assert!(again.is_err(), "{again:?}");
        let ids = op("ids", |tx| Box::pin(async move {
            Ok(sql!(tx, all (String,), "SELECT order_id FROM orders ORDER BY order_id")?)
        }));
        let ids = t.read(ids).await.expect("read");
        assert_eq!(ids.len(), 100);
    }
}
