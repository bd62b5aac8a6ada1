//! Callers hang up at any moment: over a real socket, on PostgreSQL with a pool of two.

use std::time::Duration;

use contracts::order::v1::OrderState;
use kit::clock::{Clock, SystemClock};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::{Connection, PgConnection};
use testkit::{Engine, Setup};

use crate::shop::Shop;
use crate::topology::Running;

const MOMENTS: usize = 1_000;
const AT_ONCE: usize = 8;

/// Drops calls at random moments, after `longest` at the latest; what was answered is kept.
async fn hang_up(
    shop: &Shop,
    seed: u64,
    share: std::ops::Range<usize>,
    longest: Duration,
) -> Vec<(String, bool)> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut acknowledged = Vec::new();
    for n in share {
        let patience = |random: &mut StdRng| longest.mul_f64(random.random_range(0.0..1.0));
        let placed =
            tokio::time::timeout(patience(&mut random), shop.place(&format!("order-{n}"))).await;
        let Ok(Ok(placed)) = placed else { continue };
        let paid = tokio::time::timeout(
            patience(&mut random),
            shop.pay(&placed.order_id, &format!("pay-{n}")),
        )
        .await;
        acknowledged.push((placed.order_id, matches!(paid, Ok(Ok(_)))));
    }
    acknowledged
}

async fn idle_in_transaction(url: &str) -> i64 {
    let mut connection = PgConnection::connect(url)
        .await
        .expect("the server answers");
    let query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    sqlx::query_scalar(query)
        .fetch_one(&mut connection)
        .await
        .expect("a count")
}

#[test]
fn callers_who_hang_up_lose_nothing_and_leave_nothing_open() {
    testkit::run(Engine::Postgres, Setup::new(), |database| async move {
        let place = database.config().clone();
        // Only the owner sees what everybody does there.
        let url = database.owner_url().to_owned();
        let running = Running::four_with(
            |_| place.clone(),
            |config| config.database.order.max_connections = 2,
        )
        .await;
        let shop = Shop::open(&running, MOMENTS as i64 + 2).await;
        shop.until_on_sale().await;
        // Some are to be answered in time and some are not, however busy the machine is.
        let begun = SystemClock.instant();
        shop.place("first").await.expect("an order");
        let longest = (SystemClock.instant().duration_since(begun) * AT_ONCE as u32)
            .max(Duration::from_millis(20));
        let shares = (0..AT_ONCE).map(|n| {
            let size = MOMENTS / AT_ONCE;
            hang_up(&shop, n as u64, n * size..(n + 1) * size, longest)
        });
        let acknowledged: Vec<(String, bool)> = futures::future::join_all(shares).await.concat();
        assert!(
            !acknowledged.is_empty() && acknowledged.len() < MOMENTS,
            "{} of {MOMENTS} calls were answered",
            acknowledged.len()
        );

        // What was still on its way ends by itself; then nothing is open and every unit is accounted for.
        let settled = testkit::eventually_async(Duration::from_secs(20), || async {
            idle_in_transaction(&url).await == 0
        })
        .await;
        assert!(settled, "a connection is idle in a transaction");
        for (order_id, paid) in &acknowledged {
            let order = shop
                .order(order_id)
                .await
                .expect("an acknowledged order is there");
            assert!(
                !paid || order.state() == OrderState::Confirmed,
                "{order_id} was acknowledged as paid and is {:?}",
                order.state()
            );
        }
        let orders = shop.orders().await;
        let allotment = shop.allotment().await;
        let count = |state: OrderState| orders.iter().filter(|o| o.state() == state).count() as i64;
        assert_eq!(
            (allotment.held, allotment.sold),
            (
                count(OrderState::PendingPayment),
                count(OrderState::Confirmed)
            )
        );
        assert_eq!(
            allotment.available + allotment.held + allotment.sold,
            allotment.supplied
        );

        // The pool of two still serves, and what it says is kept.
        let placed = shop.place("last").await.expect("an order after all that");
        shop.pay(&placed.order_id, "pay-last")
            .await
            .expect("a payment after all that");
        assert_eq!(
            shop.order(&placed.order_id)
                .await
                .expect("the last order")
                .state(),
            OrderState::Confirmed
        );
        running.stop().await;
    });
}
