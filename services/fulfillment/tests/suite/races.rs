//! Who comes at the same moment: of two that want the same unit exactly one gets it, and nobody is missed.

use contracts::order::v1::OrderChange;
use fulfillment::Carriers;
use fulfillment::model::{CancelDecision, FulfillmentState, ShipmentState, TrackingStatus};
use fulfillment::ops::read::GetShipment;
use fulfillment::ops::ship::ShipMany;
use fulfillment::ops::track::{Report, Track, TrackMany};
use futures::future::join_all;
use kit::caller::Caller;
use kit::clock::Clock;
use kit::errors::Fault;
use store::{Db, Engine, Operation, sql};
use testkit::{TestDb, on_both_engines, op};
use tokio::task::JoinHandle;

use crate::common::*;

/// Starts an operation of its own task; all are started before any is waited for.
fn start<O: Operation>(db: &Db, operation: O) -> JoinHandle<Result<O::Output, Fault>> {
    let db = db.clone();
    kit::spawn("racer", async move {
        db.execute(&Caller::system("racer"), operation).await
    })
}

async fn all<T>(running: Vec<JoinHandle<Result<T, Fault>>>) -> Vec<Result<T, Fault>> {
    join_all(running)
        .await
        .into_iter()
        .map(|done| done.expect("no panic"))
        .collect()
}

/// Everybody who did not win was refused; nothing else went wrong.
fn refused<T: std::fmt::Debug>(results: &[Result<T, Fault>]) {
    for result in results {
        assert!(
            !matches!(result, Err(fault) if fault.refusal().is_none()),
            "{result:?}"
        );
    }
}

/// How often the database had to end a wait that could not end by itself.
async fn deadlocks(t: &TestDb) -> i64 {
    if t.db.engine() == Engine::Sqlite {
        return 0;
    }
    let count = op("deadlocks", |tx| {
        Box::pin(async move {
            let (count,) = sql!(
                tx,
                one(i64,),
                "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
            )?;
            Ok(count)
        })
    });
    t.read(count).await.expect("a count")
}

on_both_engines! {
    setup: setup().config(|config| config.max_connections = 16);

    async fn of_a_cancellation_and_a_parcel_exactly_one_wins(t: TestDb) {
        const ORDERS: u128 = 40;
        let mut ids = Vec::new();
        for at in 1..=ORDERS {
            ids.push(paid(&t, at, &[2, 1]).await.id);
        }
        let (mut ships, mut cancels) = (Vec::new(), Vec::new());
        for (at, id) in (1..).zip(&ids) {
            // Sometimes the one is asked first and sometimes the other.
            if at % 2 == 0 {
                cancels.push(start(&t, cancel_op(at, vec![])));
            }
            ships.push(start(&t, ship_op(id, vec![])));
            if at % 2 == 1 {
                cancels.push(start(&t, cancel_op(at, vec![])));
            }
        }
        let shipped = all(ships).await;
        refused(&shipped);
        let mut cancelled: Vec<Option<CancelDecision>> = vec![None; ids.len()];
        let order_of_asking = (1..=ids.len()).collect::<Vec<_>>();
        for (at, decision) in order_of_asking.into_iter().zip(all(cancels).await) {
            cancelled[at - 1] = Some(decision.expect("a cancellation is always decided"));
        }
        for (at, shipment) in (1..).zip(&shipped) {
            let f = of_order(&t, order_id(at)).await;
            let decision = cancelled[usize::try_from(at - 1).expect("small")];
            match shipment {
                Ok(_) => assert_eq!((f.state, decision), (FulfillmentState::Shipped, Some(CancelDecision::TooLate))),
                Err(_) => assert_eq!((f.state, decision), (FulfillmentState::Cancelled, Some(CancelDecision::Cancelled))),
            }
        }
        check_feed(&t).await;
    }

    async fn a_unit_is_shipped_once_however_many_want_it(t: TestDb) {
        let one = paid(&t, 1, &[5]).await.id;
        let many: Vec<_> = (0..12).map(|_| start(&t, ship_op(&one, vec![units(1, 1, 1)]))).collect();
        let results = all(many).await;
        refused(&results);
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
        let f = of_order(&t, order_id(1)).await;
        assert_eq!((f.state, f.lines[0].shipped, f.version), (FulfillmentState::Shipped, 5, 6));
        check_feed(&t).await;
    }

    async fn waves_in_any_order_do_not_wait_for_each_other_crosswise(t: TestDb) {
        let mut ids = Vec::new();
        for at in 1..=30 {
            ids.push(paid(&t, at, &[4]).await.id);
        }
        let wave = |ids: Vec<_>| {
            let drafts = ids.iter().map(|id| draft(id, vec![])).map(|mut draft| {
                let at = of(&draft.fulfillment_id, &ids);
                draft.lines = vec![units(at, 1, 1)];
                draft
            });
            ShipMany { drafts: drafts.collect(), carriers: Carriers::built_in() }
        };
        let all_ids = ids.clone();
        fn of(id: &contracts::id::FulfillmentId, ids: &[contracts::id::FulfillmentId]) -> u128 {
            (1..).zip(ids).find(|(_, other)| *other == id).map(|(at, _)| at).expect("one of them")
        }
        let mut waves = Vec::new();
        for turn in 0..4 {
            let mut wave = wave(ids.clone());
            if turn % 2 == 1 {
                wave.drafts.reverse();
            }
            waves.push(start(&t, wave));
        }
        for verdicts in all(waves).await {
            let verdicts = verdicts.expect("each wave is done");
            assert!(verdicts.iter().all(Result::is_ok));
        }
        for at in 1..=all_ids.len() {
            let f = of_order(&t, order_id(at as u128)).await;
            assert_eq!((f.state, f.lines[0].shipped), (FulfillmentState::Shipped, 4));
        }
        check_feed(&t).await;
    }

    async fn pages_of_the_feed_and_waves_do_not_wait_for_each_other_crosswise(t: TestDb) {
        const ORDERS: u128 = 30;
        let mut ids = Vec::new();
        for at in 1..=ORDERS {
            ids.push(paid(&t, at, &[40]).await.id);
        }
        let before = deadlocks(&t).await;
        for _ in 0..8 {
            // The feed's order is nobody's order of ids.
            let told = (1..=ORDERS).rev().map(|at| changed(OrderChange::ContactSet, order(at, &[40], t.clock.now())));
            let page = start(&t, ApplyPage(told.collect()));
            let drafts = ids.iter().zip(1..).map(|(id, at)| draft(id, vec![units(at, 1, 1)]));
            let wave = ShipMany { drafts: drafts.collect(), carriers: Carriers::built_in() };
            let waves = [start(&t, wave)];
            page.await.expect("no panic").expect("a page is done");
            for verdicts in all(waves.into()).await {
                assert!(verdicts.expect("a wave is done").iter().all(Result::is_ok));
            }
        }
        assert_eq!(deadlocks(&t).await - before, 0, "deadlocks");
        check_feed(&t).await;
    }

    async fn an_order_and_its_cancellation_never_miss_each_other(t: TestDb) {
        const ORDERS: u128 = 40;
        let (mut arrivals, mut cancels) = (Vec::new(), Vec::new());
        for at in 1..=ORDERS {
            let paid = Apply(changed(OrderChange::Paid, order(at, &[1], t.clock.now())));
            if at % 2 == 0 {
                cancels.push(start(&t, cancel_op(at, vec![])));
                arrivals.push(start(&t, paid));
            } else {
                arrivals.push(start(&t, paid));
                cancels.push(start(&t, cancel_op(at, vec![])));
            }
        }
        for arrival in all(arrivals).await {
            arrival.expect("an order always arrives");
        }
        for decision in all(cancels).await {
            let decision = decision.expect("a decision");
            assert_ne!(decision, CancelDecision::TooLate);
        }
        for at in 1..=ORDERS {
            assert_eq!(of_order(&t, order_id(at)).await.state, FulfillmentState::Cancelled);
        }
        let told = story(&t).await;
        let count = |word: &str| told.iter().filter(|said| *said == word).count();
        assert_eq!(count("cancel CANCELLED") as u128, ORDERS, "each was told once");
        check_feed(&t).await;
    }

    async fn an_order_that_comes_twice_at_once_arrives_once(t: TestDb) {
        let paid = || Apply(changed(OrderChange::Paid, order(1, &[1], t.clock.now())));
        for arrival in all((0..8).map(|_| start(&t, paid())).collect()).await {
            arrival.expect("an order always arrives");
        }
        assert_eq!(story(&t).await, ["fulfillment READY"]);
    }

    async fn a_parcel_ends_once_whatever_carriers_say_at_once(t: TestDb) {
        let now = t.clock.now();
        let fulfillment = paid(&t, 1, &[6]).await.id;
        let mut shipments = Vec::new();
        for _ in 0..3 {
            shipments.push(ship(&t, &fulfillment, vec![units(1, 1, 2)]).await.expect("ships").id);
        }
        let (mut single, mut batches) = (Vec::new(), Vec::new());
        for shipment in &shipments {
            for status in [TrackingStatus::Delivered, TrackingStatus::Lost] {
                let report = Report { shipment_id: *shipment, event: event(status.word(), status, now) };
                single.push(start(&t, Track { report: report.clone(), limits: LIMITS }));
                let same_again = Report { shipment_id: *shipment, event: event("x", TrackingStatus::InTransit, now) };
                batches.push(start(&t, TrackMany { reports: vec![same_again, report], limits: LIMITS }));
            }
        }
        for result in all(single).await {
            result.expect("every report is taken");
        }
        for verdicts in all(batches).await {
            assert!(verdicts.expect("every batch is done").iter().all(Result::is_ok));
        }
        let mut delivered = 0;
        for shipment in &shipments {
            let get = GetShipment { id: *shipment, partner: None, events_max: 50 };
            let shipment = t.read(get).await.expect("there");
            assert_eq!(shipment.event_count, 3);
            assert_ne!(shipment.state, ShipmentState::Shipped);
            delivered += i64::from(shipment.state == ShipmentState::Delivered) * 2;
        }
        let f = of_order(&t, order_id(1)).await;
        assert_eq!(f.state, FulfillmentState::Finished);
        assert_eq!((f.lines[0].delivered, f.lines[0].undelivered), (delivered, 6 - delivered));
        check_feed(&t).await;
    }
}
