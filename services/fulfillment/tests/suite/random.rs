//! Everything that can happen, in any order, on the database: the units add up all the same.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::id::{OrderLineId, ShipmentId};
use contracts::order::v1::OrderChange;
use fulfillment::Carriers;
use fulfillment::model::{
    Block, CancelDecision, LineQuantity, Shipment, ShipmentState, TrackingStatus,
};
use fulfillment::ops::block::ChangeBlock;
use fulfillment::ops::read::{GetFulfillment, GetShipment};
use fulfillment::ops::ship::ShipMany;
use fulfillment::ops::sweep::LiftLapsed;
use fulfillment::ops::track::{Report, TrackMany};
use fulfillment::store::list::FulfillmentKey;
use kit::clock::Clock;
use kit::errors::Fault;
use proptest::prelude::*;
use testkit::{Engine, TestDb};

use crate::common::*;

const ORDERS: u128 = 3;

/// A choice of lines of any order; none means all.
type Pick = Vec<(u128, i64)>;

#[derive(Clone, Debug)]
enum Step {
    Paid(u128),
    Contact(u128),
    Ship(u128, Pick),
    Wave(Vec<(u128, Pick)>),
    Cancel(u128, Pick),
    /// Shipment, the carrier's id of the event, what it says.
    Track(Vec<(usize, u8, TrackingStatus)>),
    Block(u128, bool),
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    let order = || 1..=ORDERS;
    let pick = || {
        proptest::collection::btree_map(1u128..3, 1i64..3, 0..3)
            .prop_map(|lines| lines.into_iter().collect::<Pick>())
    };
    let wave = proptest::collection::btree_map(order(), pick(), 1..4)
        .prop_map(|wave| wave.into_iter().collect());
    let report = (
        0usize..4,
        0u8..6,
        proptest::sample::select(TrackingStatus::ALL),
    );
    prop_oneof![
        3 => order().prop_map(Step::Paid),
        2 => order().prop_map(Step::Contact),
        3 => (order(), pick()).prop_map(|(order, pick)| Step::Ship(order, pick)),
        2 => wave.prop_map(Step::Wave),
        3 => (order(), pick()).prop_map(|(order, pick)| Step::Cancel(order, pick)),
        4 => proptest::collection::vec(report, 1..5).prop_map(Step::Track),
        2 => (order(), any::<bool>()).prop_map(|(order, lift)| Step::Block(order, lift)),
        1 => Just(Step::Wait),
    ]
}

/// What callers were told.
#[derive(Default)]
struct Told {
    shipments: Vec<Shipment>,
    cancelled: BTreeMap<OrderLineId, i64>,
}

async fn take(t: &TestDb, told: &mut Told, step: Step) {
    match step {
        Step::Paid(at) => arrive_as_told(t, at).await,
        Step::Contact(at) => {
            let mut order = order(at, &[2, 3], t.clock.now());
            order.has_contact = true;
            apply(t, OrderChange::ContactSet, order)
                .await
                .expect("an entry of the feed");
        }
        Step::Ship(at, pick) => ship_wave(t, told, vec![(at, pick)]).await,
        Step::Wave(wave) => ship_wave(t, told, wave).await,
        Step::Cancel(at, pick) => cancel(t, told, at, pick).await,
        Step::Track(reports) => track_all(t, told, reports).await,
        Step::Block(at, lift) => {
            let get = GetFulfillment {
                key: FulfillmentKey::Order(order_id(at)),
                partner: None,
            };
            if let Ok(found) = t.read(get).await {
                let reason = "Looks odd".to_owned();
                let change = ChangeBlock {
                    fulfillment_id: found.id,
                    block: Block::Fraud,
                    lift,
                    reason,
                };
                or_refused(t.execute(change).await);
            }
        }
        Step::Wait => {
            t.clock.advance(Duration::from_secs(60));
            t.execute(LiftLapsed { rows_max: 100 })
                .await
                .expect("lifted");
        }
    }
}

/// The order as the feed tells it, each of a kind of its own: plain, without an address, too early.
async fn arrive_as_told(t: &TestDb, at: u128) {
    let mut order = order(at, &[2, 3], t.clock.now());
    order.has_contact = at != 2;
    if at == 3 {
        order.ship_not_before = Some(t.clock.now().plus(Duration::from_secs(90)).to_proto());
    }
    apply(t, OrderChange::Paid, order)
        .await
        .expect("an entry of the feed");
}

async fn ship_wave(t: &TestDb, told: &mut Told, wave: Vec<(u128, Pick)>) {
    let mut drafts = Vec::new();
    for (at, pick) in wave {
        let get = GetFulfillment {
            key: FulfillmentKey::Order(order_id(at)),
            partner: None,
        };
        if let Ok(found) = t.read(get).await {
            drafts.push(draft(&found.id, lines(at, pick)));
        }
    }
    let verdicts = t
        .execute(ShipMany {
            drafts,
            carriers: Carriers::built_in(),
        })
        .await
        .expect("a wave is done");
    told.shipments.extend(verdicts.into_iter().flatten());
}

async fn cancel(t: &TestDb, told: &mut Told, at: u128, pick: Pick) {
    let before = left(t, at).await;
    let mut operation = cancel_op(at, lines(at, pick));
    operation.tombstones_max = 100;
    let asked = operation.ask.lines.clone();
    if let Some(CancelDecision::Cancelled) = or_refused(t.execute(operation).await) {
        let cancelled = if asked.is_empty() { before } else { asked };
        for part in cancelled {
            *told.cancelled.entry(part.order_line_id).or_default() += part.quantity;
        }
    }
}

async fn track_all(t: &TestDb, told: &Told, reports: Vec<(usize, u8, TrackingStatus)>) {
    let reports = reports.into_iter().map(|(at, id, status)| Report {
        shipment_id: told
            .shipments
            .get(at)
            .map_or(ShipmentId::from_uuid(9), |shipment| shipment.id),
        event: event(&format!("e{id}"), status, t.clock.now()),
    });
    t.execute(TrackMany {
        reports: reports.collect(),
        limits: LIMITS,
    })
    .await
    .expect("a batch is done");
}

fn lines(order: u128, pick: Pick) -> Vec<LineQuantity> {
    pick.into_iter()
        .map(|(line, quantity)| units(order, line, quantity))
        .collect()
}

async fn left(t: &TestDb, at: u128) -> Vec<LineQuantity> {
    let get = GetFulfillment {
        key: FulfillmentKey::Order(order_id(at)),
        partner: None,
    };
    t.read(get)
        .await
        .map(|found| found.left())
        .unwrap_or_default()
}

fn or_refused<T: std::fmt::Debug>(result: Result<T, Fault>) -> Option<T> {
    assert!(
        !matches!(&result, Err(fault) if fault.refusal().is_none()),
        "{result:?}"
    );
    result.ok()
}

/// What callers were told is what the tables and the feed say.
async fn check(t: &TestDb, told: &Told) {
    let mut shipped: BTreeMap<OrderLineId, [i64; 3]> = BTreeMap::new();
    for shipment in &told.shipments {
        let now = t
            .read(GetShipment {
                id: shipment.id,
                partner: None,
                events_max: 50,
            })
            .await
            .expect("it is there");
        assert_eq!(
            now.lines, shipment.lines,
            "what is in a parcel never changes"
        );
        for part in &now.lines {
            let sums = shipped.entry(part.order_line_id).or_default();
            sums[0] += part.quantity;
            sums[1] += i64::from(now.state == ShipmentState::Delivered) * part.quantity;
            sums[2] += i64::from(now.state == ShipmentState::Failed) * part.quantity;
        }
    }
    for at in 1..=ORDERS {
        let get = GetFulfillment {
            key: FulfillmentKey::Order(order_id(at)),
            partner: None,
        };
        let Ok(found) = t.read(get).await else {
            continue;
        };
        for line in &found.lines {
            let sums = shipped
                .get(&line.order_line_id)
                .copied()
                .unwrap_or_default();
            assert_eq!([line.shipped, line.delivered, line.undelivered], sums);
            // Some may have been cancelled ahead of the order, which was told by the feed alone.
            assert!(
                line.cancelled
                    >= told
                        .cancelled
                        .get(&line.order_line_id)
                        .copied()
                        .unwrap_or_default()
            );
        }
    }
    check_feed(t).await;
}

fn run(engine: Engine, steps: Vec<Step>) {
    testkit::run(engine, setup(), |t| async move {
        let mut told = Told::default();
        for step in steps {
            take(&t, &mut told, step).await;
        }
        check(&t, &told).await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn units_add_up_on_sqlite(steps in proptest::collection::vec(step(), 1..40)) {
        run(Engine::Sqlite, steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn units_add_up_on_postgres(steps in proptest::collection::vec(step(), 1..40)) {
        run(Engine::Postgres, steps);
    }
}
