use std::collections::BTreeMap;
use std::time::Duration;

use contracts::ErrorReason;
use contracts::id::{FulfillmentId, OrderId, OrderLineId, PartnerId, ShipmentId, VariantId};
use kit::clock::Micros;
use proptest::prelude::*;

use super::shipment::EventLimits;
use super::*;

const NOW: Micros = Micros(1_767_225_600_000_000);
const LIMITS: EventLimits = EventLimits {
    back: Duration::from_secs(86_400),
    inspection: Duration::from_secs(86_400),
    shown_max: 3,
    count_max: 6,
};

fn line(at: u128) -> OrderLineId {
    OrderLineId::from_uuid(at)
}

fn order(quantities: &[i64], blocks: Blocks, wait: Duration) -> PaidOrder {
    let lines = (1..).zip(quantities).map(|(at, ordered)| PaidLine {
        payable: None,
        order_line_id: line(at),
        variant_id: VariantId::from_uuid(at),
        sku: format!("SKU-{at}"),
        title: "A thing".into(),
        unit: Unit::Each,
        ordered: *ordered,
        cancelled: 0,
    });
    PaidOrder {
        order_id: OrderId::from_uuid(1),
        partner_id: PartnerId::from_uuid(1),
        lines: lines.collect(),
        ship_not_before: NOW.plus(wait),
        ship_by: NOW.plus(wait * 2),
        blocks,
        region_code: "FR".into(),
        subdivision_code: String::new(),
    }
}

fn arrived(quantities: &[i64]) -> Fulfillment {
    let order = order(quantities, Blocks::NONE, Duration::ZERO);
    Fulfillment::arrive(FulfillmentId::from_uuid(1), order, NOW)
}

fn units(at: u128, quantity: i64) -> LineQuantity {
    LineQuantity {
        order_line_id: line(at),
        quantity,
    }
}

fn parcel(fulfillment: &Fulfillment, lines: Vec<LineQuantity>) -> Shipment {
    let carrier = ("manual".to_owned(), "M1".to_owned());
    Shipment::leave(ShipmentId::from_uuid(1), fulfillment, lines, carrier, NOW)
}

fn event(id: &str, status: TrackingStatus, at: i64) -> TrackingEvent {
    TrackingEvent {
        carrier_event_id: id.into(),
        status,
        event_time: Micros(at),
        description: String::new(),
    }
}

#[test]
fn what_waits_for_time_is_ready_when_the_time_has_come() {
    let remorse = Blocks::NONE.with(Block::Remorse, true);
    let wait = Duration::from_secs(60);
    let mut waiting =
        Fulfillment::arrive(FulfillmentId::from_uuid(1), order(&[1], remorse, wait), NOW);
    assert_eq!(
        (waiting.state, waiting.blocks),
        (FulfillmentState::Waiting, remorse)
    );
    let refusal = waiting.ship(&[], "draft", NOW).expect_err("blocked");
    assert_eq!(
        (refusal.reason, refusal.metadata["blocks"].as_str()),
        (ErrorReason::ShipBlocked, "REMORSE")
    );
    assert!(!waiting.lift_lapsed(NOW.plus(wait - Duration::from_micros(1))));
    assert!(waiting.lift_lapsed(NOW.plus(wait)));
    assert_eq!(waiting.state, FulfillmentState::Ready);
    assert!(!waiting.lift_lapsed(NOW.plus(wait)));
    // Time is judged when it ships, whether or not somebody has lifted the block.
    let mut waiting =
        Fulfillment::arrive(FulfillmentId::from_uuid(1), order(&[1], remorse, wait), NOW);
    waiting
        .ship(&[], "draft", NOW.plus(wait))
        .expect("the time has come");
    assert_eq!(
        (waiting.state, waiting.blocks),
        (FulfillmentState::Shipped, Blocks::NONE)
    );
    // An order that is not to be shipped yet is blocked, whatever it calls it; one whose time is over is not.
    let unnamed = Fulfillment::arrive(
        FulfillmentId::from_uuid(1),
        order(&[1], Blocks::NONE, wait),
        NOW,
    );
    assert_eq!(unnamed.blocks.words(), "PRESALE");
    let late = Fulfillment::arrive(
        FulfillmentId::from_uuid(1),
        order(&[1], remorse, Duration::ZERO),
        NOW,
    );
    assert_eq!(late.state, FulfillmentState::Ready);
}

#[test]
fn ships_in_part_and_never_more_than_is_left() {
    let mut fulfillment = arrived(&[3, 2]);
    assert_eq!(
        fulfillment.ship(&[units(1, 2)], "draft", NOW),
        Ok(vec![units(1, 2)])
    );
    assert_eq!(fulfillment.state, FulfillmentState::InProgress);
    let over = fulfillment
        .ship(&[units(2, 2), units(1, 2)], "draft", NOW)
        .expect_err("one is left");
    assert_eq!(
        (over.reason, over.metadata["left"].as_str()),
        (ErrorReason::OverQuantity, "1")
    );
    let unknown = fulfillment
        .ship(&[units(2, 1), units(9, 1)], "drafts[4]", NOW)
        .expect_err("no such line");
    assert_eq!(
        unknown.violations[0].field,
        "drafts[4].lines[1].order_line_id"
    );
    assert_eq!(
        fulfillment.ship(&[], "draft", NOW),
        Ok(vec![units(1, 1), units(2, 2)])
    );
    assert_eq!(fulfillment.state, FulfillmentState::Shipped);
    let nothing = fulfillment
        .ship(&[], "draft", NOW)
        .expect_err("nothing left");
    assert_eq!(nothing.reason, ErrorReason::OverQuantity);
}

#[test]
fn cancels_all_that_is_asked_or_nothing() {
    let mut fulfillment = arrived(&[3, 2]);
    assert_eq!(
        fulfillment.cancel(&[units(1, 1)]),
        Ok(CancelVerdict::Cancelled(vec![units(1, 1)]))
    );
    fulfillment
        .ship(&[units(1, 1)], "draft", NOW)
        .expect("there is one");
    // One of the two is shipped: nothing is cancelled, the other line's units neither.
    let before = fulfillment.clone();
    assert_eq!(
        fulfillment.cancel(&[units(2, 2), units(1, 2)]),
        Ok(CancelVerdict::TooLate)
    );
    assert_eq!(
        fulfillment
            .cancel(&[units(1, 3)])
            .expect_err("never so many")
            .reason,
        ErrorReason::OverQuantity
    );
    assert_eq!(
        fulfillment
            .cancel(&[units(7, 1)])
            .expect_err("no such line")
            .reason,
        ErrorReason::InvalidField
    );
    assert_eq!(fulfillment, before);
    let rest = CancelVerdict::Cancelled(vec![units(1, 1), units(2, 2)]);
    assert_eq!(fulfillment.cancel(&[]), Ok(rest));
    assert_eq!(fulfillment.state, FulfillmentState::Shipped);
    assert_eq!(fulfillment.cancel(&[]), Ok(CancelVerdict::TooLate));
}

#[test]
fn a_whole_cancellation_ends_it_and_may_be_asked_for_again() {
    let mut fulfillment = arrived(&[1]);
    fulfillment.block(Block::Fraud).expect("can be blocked");
    assert_eq!(
        fulfillment.cancel(&[]),
        Ok(CancelVerdict::Cancelled(vec![units(1, 1)]))
    );
    assert_eq!(
        (fulfillment.state, fulfillment.blocks),
        (FulfillmentState::Cancelled, Blocks::NONE)
    );
    assert_eq!(
        fulfillment.cancel(&[]),
        Ok(CancelVerdict::Cancelled(vec![]))
    );
    let reason = |refusal: Result<_, kit::errors::Refusal>| {
        refusal.map(|_: ()| ()).expect_err("refused").reason
    };
    assert_eq!(
        reason(fulfillment.ship(&[], "draft", NOW).map(drop)),
        ErrorReason::WrongState
    );
    assert_eq!(
        reason(fulfillment.block(Block::Fraud).map(drop)),
        ErrorReason::WrongState
    );
    assert_eq!(
        reason(fulfillment.lift(Block::Fraud)),
        ErrorReason::WrongState
    );
}

#[test]
fn people_block_and_lift_until_all_is_shipped() {
    let mut fulfillment = arrived(&[2]);
    assert_eq!(fulfillment.block(Block::Inspection), Ok(true));
    assert_eq!(fulfillment.block(Block::Inspection), Ok(false));
    assert_eq!(fulfillment.state, FulfillmentState::Waiting);
    assert_eq!(fulfillment.lift(Block::Inspection), Ok(()));
    fulfillment
        .ship(&[units(1, 1)], "draft", NOW)
        .expect("ready");
    assert_eq!(fulfillment.block(Block::Fraud), Ok(true));
    assert_eq!(fulfillment.state, FulfillmentState::InProgress);
    assert_eq!(
        fulfillment
            .ship(&[], "draft", NOW)
            .expect_err("blocked")
            .reason,
        ErrorReason::ShipBlocked
    );
    fulfillment.lift(Block::Fraud).expect("set");
    fulfillment.ship(&[], "draft", NOW).expect("ready");
    assert_eq!(
        fulfillment.block(Block::Fraud).expect_err("shipped").reason,
        ErrorReason::TooLate
    );
}

#[test]
fn contact_data_lifts_its_own_block_only() {
    let blocks = [Block::AddressMissing, Block::Fraud].into_iter().collect();
    let mut fulfillment = Fulfillment::arrive(
        FulfillmentId::from_uuid(1),
        order(&[1], blocks, Duration::ZERO),
        NOW,
    );
    assert!(fulfillment.contact_arrived());
    assert!(!fulfillment.contact_arrived());
    assert_eq!(fulfillment.blocks.words(), "FRAUD");
}

#[test]
fn the_first_end_counts_and_late_events_are_only_noted() {
    use TrackingStatus::*;
    let fulfillment = arrived(&[1]);
    let mut shipment = parcel(&fulfillment, vec![units(1, 1)]);
    let mut record =
        |event, known: Option<&TrackingEvent>| shipment.record(event, known, LIMITS, NOW);
    assert_eq!(
        record(event("e2", OutForDelivery, 20), None),
        Ok(Recorded::Noted)
    );
    assert_eq!(
        record(event("e1", InTransit, 10), None),
        Ok(Recorded::Noted)
    );
    let known = event("e1", InTransit, 10);
    assert_eq!(
        record(event("e1", InTransit, 10), Some(&known)),
        Ok(Recorded::Known)
    );
    let changed = record(event("e1", Lost, 10), Some(&known)).expect_err("says something else");
    assert_eq!(changed.reason, ErrorReason::KeyReused);
    assert_eq!(
        record(event("e4", Delivered, 40), None),
        Ok(Recorded::Ended { delivered: true })
    );
    assert_eq!(record(event("e3", Lost, 30), None), Ok(Recorded::Noted));
    assert_eq!(
        record(event("e9", ReturnedToSender, 90), None),
        Ok(Recorded::Noted)
    );
    assert_eq!(
        (shipment.state, shipment.finish_time),
        (ShipmentState::Delivered, Some(NOW))
    );
    let shown: Vec<&str> = shipment
        .events
        .iter()
        .map(|event| event.carrier_event_id.as_str())
        .collect();
    assert_eq!((shown, shipment.event_count), (vec!["e3", "e4", "e9"], 5));
}

#[test]
fn a_flood_of_events_is_refused_but_never_the_end() {
    let fulfillment = arrived(&[1]);
    let mut shipment = parcel(&fulfillment, vec![units(1, 1)]);
    for at in 0..LIMITS.count_max {
        let event = event(&format!("e{at}"), TrackingStatus::InTransit, at);
        shipment
            .record(event, None, LIMITS, NOW)
            .expect("there is room");
    }
    let one_more = event("more", TrackingStatus::AttemptFailed, 1);
    assert_eq!(
        shipment
            .record(one_more, None, LIMITS, NOW)
            .expect_err("full")
            .reason,
        ErrorReason::WrongState
    );
    let end = event("end", TrackingStatus::Lost, 1);
    assert_eq!(
        shipment.record(end, None, LIMITS, NOW),
        Ok(Recorded::Ended { delivered: false })
    );
}

#[derive(Clone, Debug)]
enum Step {
    Ship(Vec<(u128, i64)>),
    Cancel(Vec<(u128, i64)>),
    Track(usize, TrackingStatus),
    Block(Block),
    Lift(Block),
    Contact,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let lines = || {
        proptest::collection::btree_map(1u128..4, 1i64..4, 0..3)
            .prop_map(|map| map.into_iter().collect())
    };
    let person = || prop_oneof![Just(Block::Fraud), Just(Block::Inspection)];
    prop_oneof![
        4 => lines().prop_map(Step::Ship),
        2 => lines().prop_map(Step::Cancel),
        4 => (0usize..4, proptest::sample::select(TrackingStatus::ALL)).prop_map(|(at, status)| Step::Track(at, status)),
        1 => person().prop_map(Step::Block),
        2 => person().prop_map(Step::Lift),
        1 => Just(Step::Contact),
        1 => (0u64..100).prop_map(Step::Wait),
    ]
}

/// What the steps must have added up to, counted from their outcomes alone.
#[derive(Default)]
struct Ledger {
    cancelled: BTreeMap<OrderLineId, i64>,
    shipped: BTreeMap<OrderLineId, i64>,
    delivered: BTreeMap<OrderLineId, i64>,
    undelivered: BTreeMap<OrderLineId, i64>,
}

fn add(counter: &mut BTreeMap<OrderLineId, i64>, lines: &[LineQuantity]) {
    for part in lines {
        *counter.entry(part.order_line_id).or_default() += part.quantity;
    }
}

struct World {
    now: Micros,
    fulfillment: Fulfillment,
    parcels: Vec<Shipment>,
    ledger: Ledger,
    events: u64,
}

impl World {
    fn take(&mut self, step: Step) {
        let before = self.fulfillment.clone();
        let asked = |lines: Vec<(u128, i64)>| -> Vec<_> {
            lines.into_iter().map(|(at, n)| units(at, n)).collect()
        };
        let refused = match step {
            Step::Ship(lines) => match self.fulfillment.ship(&asked(lines), "draft", self.now) {
                Ok(lines) => {
                    add(&mut self.ledger.shipped, &lines);
                    self.parcels.push(parcel(&self.fulfillment, lines));
                    false
                }
                Err(_) => true,
            },
            Step::Cancel(lines) => match self.fulfillment.cancel(&asked(lines)) {
                Ok(verdict) => {
                    add(&mut self.ledger.cancelled, verdict.lines());
                    verdict == CancelVerdict::TooLate
                }
                Err(_) => true,
            },
            Step::Track(at, status) => {
                self.track(at, status);
                false
            }
            Step::Block(block) => self.fulfillment.block(block).is_err(),
            Step::Lift(block) => self.fulfillment.lift(block).is_err(),
            Step::Contact => {
                self.fulfillment.contact_arrived();
                false
            }
            Step::Wait(seconds) => {
                self.now = self.now.plus(Duration::from_secs(seconds));
                self.fulfillment.lift_lapsed(self.now);
                false
            }
        };
        if refused {
            assert_eq!(self.fulfillment, before, "a refusal has no effect");
        }
    }

    fn track(&mut self, at: usize, status: TrackingStatus) {
        let Some(shipment) = self.parcels.get_mut(at) else {
            return;
        };
        self.events += 1;
        let event = event(&format!("e{}", self.events), status, 0);
        let limits = EventLimits {
            shown_max: 50,
            count_max: 1_000,
            ..LIMITS
        };
        let over = shipment.is_over();
        let recorded = shipment
            .record(event, None, limits, self.now)
            .expect("room enough");
        assert!(
            !(over && matches!(recorded, Recorded::Ended { .. })),
            "an end is for ever"
        );
        if let Recorded::Ended { delivered } = recorded {
            let lines = shipment.lines.clone();
            let counter = if delivered {
                &mut self.ledger.delivered
            } else {
                &mut self.ledger.undelivered
            };
            add(counter, &lines);
            self.fulfillment
                .end(&lines, delivered)
                .expect("its units are under way");
        }
    }

    fn check(&self) {
        let of = |counter: &BTreeMap<OrderLineId, i64>, line: &Line| {
            counter.get(&line.order_line_id).copied().unwrap_or(0)
        };
        for line in &self.fulfillment.lines {
            assert!(line.left() >= 0 && line.under_way() >= 0);
            assert_eq!(line.cancelled, of(&self.ledger.cancelled, line));
            assert_eq!(line.shipped, of(&self.ledger.shipped, line));
            assert_eq!(line.delivered, of(&self.ledger.delivered, line));
            assert_eq!(line.undelivered, of(&self.ledger.undelivered, line));
        }
        let open = self.parcels.iter().any(|shipment| !shipment.is_over());
        let left = self.fulfillment.has_left();
        assert_eq!(
            self.fulfillment.state == FulfillmentState::Finished,
            !left && !open && !self.parcels.is_empty()
        );
        assert_eq!(
            self.fulfillment.state == FulfillmentState::Cancelled,
            !left && self.parcels.is_empty()
        );
        let ready = left && self.parcels.is_empty() && self.fulfillment.blocks.is_empty();
        assert_eq!(self.fulfillment.state == FulfillmentState::Ready, ready);
        assert!(left || self.fulfillment.blocks.is_empty());
    }
}

proptest! {
    #[test]
    fn whatever_happens_in_whatever_order_the_units_add_up(
        quantities in proptest::collection::vec(1i64..6, 1..4),
        wait in 0u64..150,
        address_missing: bool,
        steps in proptest::collection::vec(step(), 0..40),
    ) {
        let blocks = Blocks::NONE.with(Block::AddressMissing, address_missing);
        let order = order(&quantities, blocks, Duration::from_secs(wait));
        let mut world = World {
            now: NOW,
            fulfillment: Fulfillment::arrive(FulfillmentId::from_uuid(1), order, NOW),
            parcels: Vec::new(),
            ledger: Ledger::default(),
            events: 0,
        };
        world.check();
        for step in steps {
            world.take(step);
            world.check();
        }
    }
}
