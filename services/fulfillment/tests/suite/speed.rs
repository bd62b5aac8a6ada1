//! Waves of 500, as large as a call may be.

use contracts::order::v1::OrderChange;
use fulfillment::Carriers;
use fulfillment::model::{FulfillmentState, TrackingStatus};
use fulfillment::ops::ship::ShipMany;
use fulfillment::ops::sweep::AnyLapsed;
use fulfillment::ops::track::{Report, TrackMany};
use kit::clock::{Clock, SystemClock};
use testkit::{TestDb, on_both_engines};

use crate::common::*;

const ORDERS: u128 = 1_000;
const WAVE: usize = 500;
/// Entries that the consumer applies in one unit of work.
const PAGE: usize = 200;

on_both_engines! {
    setup: setup();

    async fn whole_waves_are_shipped_and_delivered(t: TestDb) {
        let start = SystemClock.instant();
        let mut ids = Vec::new();
        for page in (1..=ORDERS).collect::<Vec<_>>().chunks(PAGE) {
            let entries = page.iter().map(|at| changed(OrderChange::Paid, order(*at, &[1, 2], t.clock.now())));
            t.execute(ApplyPage(entries.collect())).await.expect("arrive");
        }
        let arrived = start.elapsed();
        for at in 1..=ORDERS {
            ids.push(of_order(&t, order_id(at)).await.id);
        }
        let start = SystemClock.instant();
        let mut shipments = Vec::new();
        for wave in ids.chunks(WAVE) {
            let drafts = wave.iter().map(|id| draft(id, vec![])).collect();
            let verdicts = t.execute(ShipMany { drafts, carriers: Carriers::built_in() }).await.expect("done");
            shipments.extend(verdicts.into_iter().map(|verdict| verdict.expect("shipped").id));
        }
        let shipped = start.elapsed();
        let start = SystemClock.instant();
        for wave in shipments.chunks(WAVE) {
            let reports = wave.iter().map(|shipment| Report {
                shipment_id: *shipment,
                event: event("end", TrackingStatus::Delivered, t.clock.now()),
            });
            let operation = TrackMany { reports: reports.collect(), limits: LIMITS };
            assert!(t.execute(operation).await.expect("done").iter().all(Result::is_ok));
        }
        let delivered = start.elapsed();
        println!("{ORDERS} orders on {}: arrived {arrived:?}, shipped {shipped:?}, delivered {delivered:?}", t.db.engine().name());
        assert_eq!(of_order(&t, order_id(ORDERS)).await.state, FulfillmentState::Finished);
        assert!(!t.read(AnyLapsed).await.expect("an answer"));
        check_feed(&t).await;
    }
}
