//! Orders as the order feed tells them, and what the service's own feed tells of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::common::v1::{Money, Unit};
use contracts::fulfillment::v1::fulfillment_feed_entry::Content;
use contracts::fulfillment::v1::{self as pb, FulfillmentFeedEntry};
use contracts::id::{
    FulfillmentId, OrderId, OrderLineId, PartnerId, RefundId, ShipmentId, VariantId,
};
use contracts::order::v1::order_feed_entry::Content as OrderContent;
use contracts::order::v1::{
    Destination, LineQuantities, Order, OrderChange, OrderChanged, OrderFeedEntry, OrderLine,
    Refund, RefundReason, RefundState, ShipBlock,
};
use fulfillment::Carriers;
use fulfillment::events::orders::Intake;
use fulfillment::model::shipment::EventLimits;
use fulfillment::model::{
    CancelAsk, CancelReason, Fulfillment, LineQuantity, Shipment, TrackingEvent, TrackingStatus,
};
use fulfillment::ops::cancel::Cancel;
use fulfillment::ops::read::GetFulfillment;
use fulfillment::ops::ship::{ParcelDraft, Ship};
use fulfillment::ops::track::{Report, Track};
use fulfillment::store::list::FulfillmentKey;
use kit::caller::Caller;
use kit::clock::{Clock, Micros};
use kit::errors::Fault;
use store::consumer::{Acting, Consume};
use store::feed::{FeedConfig, FeedReader};
use store::{Operation, Tx};
use testkit::{Setup, TestDb};

pub fn setup() -> Setup {
    Setup::new().migrations(fulfillment::migrations())
}

pub const LIMITS: EventLimits = EventLimits {
    shown_max: 50,
    count_max: 1_000,
    back: Duration::from_secs(14 * 86_400),
    inspection: Duration::from_secs(5 * 86_400),
};

pub fn partner(at: u128) -> PartnerId {
    PartnerId::from_uuid(at)
}

pub fn order_id(at: u128) -> OrderId {
    OrderId::from_uuid(at)
}

/// The `line`th line, from 1, of the order `order`.
pub fn line_id(order: u128, line: u128) -> OrderLineId {
    OrderLineId::from_uuid(order * 1_000 + line)
}

pub fn units(order: u128, line: u128, quantity: i64) -> LineQuantity {
    LineQuantity {
        order_line_id: line_id(order, line),
        quantity,
    }
}

/// A paid order of partner 1 that may be shipped at once.
pub fn order(at: u128, quantities: &[i64], now: Micros) -> Order {
    let lines = (1..).zip(quantities).map(|(line, ordered)| OrderLine {
        order_line_id: line_id(at, line).into(),
        variant_id: VariantId::from_uuid(line).into(),
        sku: format!("SKU-{line}"),
        title: format!("Thing {line}"),
        unit: Unit::Each.into(),
        quantities: Some(LineQuantities {
            ordered: *ordered,
            ..LineQuantities::default()
        }),
        ..OrderLine::default()
    });
    Order {
        order_id: order_id(at).into(),
        partner_id: partner(1).into(),
        lines: lines.collect(),
        destination: Some(Destination {
            region_code: "FR".into(),
            subdivision_code: "FR-75".into(),
        }),
        pay_time: Some(now.to_proto()),
        ship_not_before: Some(now.to_proto()),
        ship_by: Some(now.plus(Duration::from_secs(86_400)).to_proto()),
        has_contact: true,
        ..Order::default()
    }
}

pub fn changed(change: OrderChange, order: Order) -> OrderFeedEntry {
    let content = OrderChanged {
        change: change.into(),
        order: Some(order),
    };
    OrderFeedEntry {
        meta: None,
        content: Some(OrderContent::OrderChanged(content)),
    }
}

fn intake() -> Intake {
    Intake::new(fulfillment::Config::default().aftersale_limits())
}

/// An entry of the order feed as the consumer applies it.
pub struct Apply(pub OrderFeedEntry);

impl Operation for Apply {
    type Output = ();

    fn name(&self) -> &'static str {
        "apply"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        intake().apply(tx, &self.0).await
    }
}

/// A page of entries in one unit of work, as the consumer applies it.
pub struct ApplyPage(pub Vec<OrderFeedEntry>);

impl Operation for ApplyPage {
    type Output = ();

    fn name(&self) -> &'static str {
        "apply_page"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        let entries: Vec<_> = self.0.iter().collect();
        let acting = Acting::new(Arc::new(Caller::system("page")));
        intake().apply_all(tx, &entries, &acting).await
    }
}

pub async fn apply(t: &TestDb, change: OrderChange, order: Order) -> Result<(), Fault> {
    t.execute(Apply(changed(change, order))).await
}

/// A paid order arrives; this is what follows.
pub async fn arrive(t: &TestDb, order: Order) -> Fulfillment {
    let id = order.order_id.parse().expect("an order's id");
    apply(t, OrderChange::Paid, order)
        .await
        .expect("a paid order arrives");
    of_order(t, id).await
}

/// A plain paid order arrives.
pub async fn paid(t: &TestDb, at: u128, quantities: &[i64]) -> Fulfillment {
    arrive(t, order(at, quantities, t.clock.now())).await
}

/// A paid order with a block arrives that time ends in `wait`.
pub async fn paid_early(t: &TestDb, at: u128, quantities: &[i64], wait: Duration) -> Fulfillment {
    let mut order = order(at, quantities, t.clock.now());
    order.ship_not_before = Some(t.clock.now().plus(wait).to_proto());
    order.ship_blocks = vec![ShipBlock::Remorse.into()];
    arrive(t, order).await
}

pub async fn of_order(t: &TestDb, order: OrderId) -> Fulfillment {
    let get = GetFulfillment {
        key: FulfillmentKey::Order(order),
        partner: None,
    };
    t.read(get).await.expect("a fulfilment")
}

pub fn draft(fulfillment: &FulfillmentId, lines: Vec<LineQuantity>) -> ParcelDraft {
    ParcelDraft {
        field: "draft".into(),
        fulfillment_id: *fulfillment,
        lines,
        carrier_code: String::new(),
        tracking_number: String::new(),
    }
}

pub fn ship_op(fulfillment: &FulfillmentId, lines: Vec<LineQuantity>) -> Ship {
    Ship {
        draft: draft(fulfillment, lines),
        carriers: Carriers::built_in(),
    }
}

pub async fn ship(
    t: &TestDb,
    fulfillment: &FulfillmentId,
    lines: Vec<LineQuantity>,
) -> Result<Shipment, Fault> {
    t.execute(ship_op(fulfillment, lines)).await
}

pub fn event(id: &str, status: TrackingStatus, at: Micros) -> TrackingEvent {
    TrackingEvent {
        carrier_event_id: id.into(),
        status,
        event_time: at,
        description: "Somewhere".into(),
    }
}

pub async fn track(
    t: &TestDb,
    shipment: &ShipmentId,
    event: TrackingEvent,
) -> Result<Shipment, Fault> {
    let report = Report {
        shipment_id: *shipment,
        event,
    };
    t.execute(Track {
        report,
        limits: LIMITS,
    })
    .await
}

/// A plain order is paid, shipped in one parcel and delivered.
pub async fn delivered(t: &TestDb, at: u128, quantities: &[i64]) -> Fulfillment {
    let fulfillment = paid(t, at, quantities).await;
    deliver(t, &fulfillment.id, vec![]).await;
    of_order(t, order_id(at)).await
}

/// A parcel is shipped and delivered.
pub async fn deliver(t: &TestDb, fulfillment: &FulfillmentId, lines: Vec<LineQuantity>) {
    let shipment = ship(t, fulfillment, lines).await.expect("ships");
    let event = event("end", TrackingStatus::Delivered, t.clock.now());
    track(t, &shipment.id, event).await.expect("delivered");
}

/// The order service tells of the refund of a return.
pub fn refund(
    goods_return: &pb::GoodsReturn,
    refund: u128,
    state: RefundState,
    attempt: i64,
) -> OrderFeedEntry {
    let refund = Refund {
        refund_id: RefundId::from_uuid(refund).into(),
        order_id: goods_return.order_id.clone(),
        partner_id: goods_return.partner_id.clone(),
        reason: RefundReason::Returned.into(),
        shopper_amount: Some(Money {
            currency_code: "EUR".into(),
            minor_units: 1_990,
        }),
        state: state.into(),
        attempt,
        return_id: goods_return.return_id.clone(),
        ..Refund::default()
    };
    OrderFeedEntry {
        meta: None,
        content: Some(OrderContent::Refund(refund)),
    }
}

pub fn cancel_op(order: u128, lines: Vec<LineQuantity>) -> Cancel {
    Cancel {
        order_id: order_id(order),
        partner_id: Some(partner(1)),
        ask: CancelAsk {
            lines,
            reason: CancelReason::ShopperRequest,
        },
        tombstones_max: 3,
    }
}

/// The whole feed as its consumers read it.
pub async fn feed(t: &TestDb) -> Vec<FulfillmentFeedEntry> {
    let reader = FeedReader::new(t.db.clone(), "fulfillment", FeedConfig::default());
    let (mut entries, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = reader
            .serve_list::<FulfillmentFeedEntry>(&t.caller(), &cursor, 1_000)
            .await
            .expect("the feed");
        if page.entries.is_empty() {
            return entries;
        }
        entries.extend(page.entries);
        cursor = page.next_cursor;
    }
}

/// What happened, word by word: `shipment SHIPPED`, `cancel TOO_LATE`, `fulfillment READY`.
pub async fn story(t: &TestDb) -> Vec<String> {
    let words = |entry: FulfillmentFeedEntry| {
        Some(match entry.content.expect("content") {
            Content::Fulfillment(f) => f
                .state()
                .as_str_name()
                .replace("FULFILLMENT_STATE_", "fulfillment "),
            Content::Shipment(s) => s
                .state()
                .as_str_name()
                .replace("SHIPMENT_STATE_", "shipment "),
            Content::CancelDecided(c) => c
                .decision()
                .as_str_name()
                .replace("CANCEL_DECISION_", "cancel "),
            Content::GoodsReturn(r) => r.state().as_str_name().replace("RETURN_STATE_", "return "),
            // Matters and cases have stories of their own.
            Content::Aftersale(_) | Content::AftersaleSettlement(_) | Content::CaseEvent(_) => {
                return None;
            }
        })
    };
    feed(t).await.into_iter().filter_map(words).collect()
}

/// Line counters by line, as a consumer of the feed adds them up from what happened.
type Sums = BTreeMap<String, [i64; 5]>;

/// Counts what a return brought back, in the entry that first says so.
fn add_return(sums: &mut Sums, before: Option<pb::GoodsReturn>, now: pb::GoodsReturn) {
    let is_back = |r: &pb::GoodsReturn| r.receive_time.is_some();
    if !is_back(&now) || before.as_ref().is_some_and(is_back) {
        return;
    }
    for line in now.lines {
        sums.entry(line.order_line_id).or_default()[4] += line.received_quantity;
    }
}

/// Checks, from the feed alone, that what happened adds up to the last word on every fulfilment, that
/// positions have no gap, and that the tables say the same.
pub async fn check_feed(t: &TestDb) {
    let entries = feed(t).await;
    let mut sums = Sums::new();
    let mut shipments: BTreeMap<String, pb::Shipment> = BTreeMap::new();
    let mut last: BTreeMap<String, pb::Fulfillment> = BTreeMap::new();
    let mut returns: BTreeMap<String, pb::GoodsReturn> = BTreeMap::new();
    for (position, entry) in (1..).zip(entries) {
        let meta = entry.meta.expect("a published entry has its meta");
        assert_eq!(meta.position, position, "positions have no gap");
        match entry.content.expect("content") {
            Content::Fulfillment(fulfillment) => {
                assert_eq!(
                    (&meta.aggregate_id, &meta.etag),
                    (&fulfillment.order_id, &fulfillment.etag)
                );
                last.insert(fulfillment.order_id.clone(), fulfillment);
            }
            Content::Shipment(shipment) => add_shipment(&mut sums, &mut shipments, shipment),
            Content::CancelDecided(decided) => {
                for part in decided.lines {
                    sums.entry(part.order_line_id).or_default()[0] += part.quantity;
                }
            }
            Content::GoodsReturn(goods_return) => {
                assert_eq!(
                    (&meta.aggregate_id, &meta.etag),
                    (&goods_return.order_id, &goods_return.etag)
                );
                let before = returns.insert(goods_return.return_id.clone(), goods_return.clone());
                add_return(&mut sums, before, goods_return);
            }
            Content::Aftersale(_) | Content::AftersaleSettlement(_) | Content::CaseEvent(_) => {}
        }
    }
    for fulfillment in last.into_values() {
        for line in &fulfillment.lines {
            let q = line.quantities.expect("counters");
            let counted = sums.get(&line.order_line_id).copied().unwrap_or_default();
            assert_eq!(
                counted,
                [
                    q.cancelled,
                    q.shipped,
                    q.delivered,
                    q.undelivered,
                    q.returned
                ],
                "{}",
                line.order_line_id
            );
        }
        let order = fulfillment.order_id.parse().expect("an order's id");
        let stored = of_order(t, order).await;
        assert_eq!(fulfillment::rpc::render::fulfillment(&stored), fulfillment);
    }
}

fn add_shipment(
    sums: &mut Sums,
    known: &mut BTreeMap<String, pb::Shipment>,
    shipment: pb::Shipment,
) {
    let before = known.get(&shipment.shipment_id).map(pb::Shipment::state);
    let counters: &[usize] = match (before, shipment.state()) {
        (None, pb::ShipmentState::Shipped) => &[1],
        (Some(pb::ShipmentState::Shipped), pb::ShipmentState::Delivered) => &[2],
        (Some(pb::ShipmentState::Shipped), pb::ShipmentState::Failed) => &[3],
        (Some(before), after) => {
            assert_eq!(before, after, "a shipment never goes back");
            &[]
        }
        (None, after) => panic!("a shipment begins SHIPPED, not {after:?}"),
    };
    for part in &shipment.lines {
        for counter in counters {
            sums.entry(part.order_line_id.clone()).or_default()[*counter] += part.quantity;
        }
    }
    known.insert(shipment.shipment_id.clone(), shipment);
}
