//! What a batch of commands works on: everything it may touch, as loaded under its locks, and what came of it.
//!
//! Counters remember what was loaded, so that what is written is the difference: a difference is right
//! whoever else counts, and the tables' own checks have the last word.

mod units;

pub use units::Selling;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use contracts::id::{AllotmentId, DropId, ListingId, OrderId, PartnerId, StopId};
use contracts::money::Price;
use kit::clock::Micros;

use super::command::StopTarget;
use super::drops::{DropSale, Quota, QuotaOwner};
use super::listing::Listing;
use super::order::{Line, Order, Placement};
use super::payment::Payment;
use super::stock::{Assignment, Movement, Stock};

/// How long units may be held, and who counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HoldRules {
    /// When the partner names no time.
    pub ttl: Duration,
    /// The longest a partner may ask for at placement.
    pub ttl_max: Duration,
    /// The longest that one ExtendHold may add.
    pub extension_max: Duration,
    /// The longest between placement and the end of the hold.
    pub total_max: Duration,
    /// Whether a person is counted across partners.
    pub person_limits: bool,
}

/// A value as loaded and as it is now.
#[derive(Clone, Debug)]
pub struct Tracked<T> {
    /// As loaded.
    pub loaded: T,
    /// As it is now.
    pub now: T,
}

impl<T: Clone> Tracked<T> {
    /// As loaded.
    pub fn new(value: T) -> Self {
        Tracked {
            loaded: value.clone(),
            now: value,
        }
    }
}

/// A counter; one that was not loaded counts from 0, which leaves its difference right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// As loaded.
    pub loaded: i64,
    /// As it is now.
    pub now: i64,
    /// Whether it was looked for and there was none yet.
    pub absent: bool,
}

impl Count {
    /// Of something that nobody has counted yet.
    pub const ABSENT: Count = Count {
        loaded: 0,
        now: 0,
        absent: true,
    };

    /// As loaded.
    pub fn new(loaded: i64) -> Self {
        Count {
            loaded,
            now: loaded,
            absent: false,
        }
    }

    /// What changed.
    pub fn delta(&self) -> i64 {
        self.now - self.loaded
    }
}

/// Whose units are counted within what: the id of a listing, a drop or an allotment; a partner and its shopper, or
/// no partner and a person.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShopperKey {
    /// The id of the listing, the drop or the allotment.
    pub scope: String,
    /// The partner; none for a person.
    pub partner_id: Option<PartnerId>,
    /// Its shopper, or the person's hash.
    pub shopper_ref: String,
}

impl ShopperKey {
    /// The counter of a shopper.
    pub fn new(scope: &str, partner_id: PartnerId, shopper_ref: &str) -> Self {
        ShopperKey {
            scope: scope.to_owned(),
            partner_id: Some(partner_id),
            shopper_ref: shopper_ref.to_owned(),
        }
    }

    /// The counter of a person.
    pub fn of_person(scope: &str, person: &str) -> Self {
        ShopperKey {
            scope: scope.to_owned(),
            partner_id: None,
            shopper_ref: person.to_owned(),
        }
    }

    /// The partner as tables have it.
    pub fn partner(&self) -> &str {
        self.partner_id.as_ref().map_or("", |id| id.as_str())
    }
}

/// A partner's name for an order.
pub type PlaceKey = (PartnerId, String);

/// A request key: scope, method, key.
pub type KeyName = (String, &'static str, String);

/// An order and what the batch did to it.
#[derive(Clone, Debug)]
pub struct OrderSlot {
    /// The version loaded; none for an order of this batch.
    pub loaded_version: Option<i64>,
    /// As it is now.
    pub order: Order,
}

/// A stop of sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaleStop {
    /// What is stopped.
    pub target: StopTarget,
    /// Whether it is over.
    pub ended: bool,
}

/// A request key that a command of the batch took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptKey {
    /// The key.
    pub name: KeyName,
    /// What was asked for.
    pub fingerprint: [u8; 32],
    /// The answer.
    pub response: Vec<u8>,
}

/// Something that happened, for the feed and the audit trail.
#[derive(Clone, Debug)]
pub struct Event {
    /// The command that made it happen.
    pub command: usize,
    /// What it was.
    pub happening: Happening,
}

/// What happened, with the thing as it was right after.
#[derive(Clone, Debug)]
pub enum Happening {
    /// An order was placed.
    Placed(Order),
    /// A hold was extended.
    HoldExtended(Order),
    /// A payment paid its order.
    Paid(Arc<Payment>, Order),
    /// A payment was recorded and is to be paid back.
    RefundDue(Arc<Payment>, Order),
    /// An order was cancelled before it was paid.
    Cancelled(Order),
    /// A hold ran out.
    Expired(Order),
    /// Units came or went.
    Moved(Movement, Stock),
    /// A sale was stopped.
    Stopped(StopId),
    /// A stop ended.
    Resumed(StopId),
    /// An earlier answer was given again; the resource that it is about.
    Replayed(String),
}

/// A new stop of sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStop {
    /// The stop.
    pub stop_id: StopId,
    /// What is stopped.
    pub target: StopTarget,
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
}

/// Everything a batch may touch, and what it has to write.
#[derive(Debug)]
pub struct Book {
    /// The one time of the batch.
    pub now: Micros,
    /// How long units may be held.
    pub rules: HoldRules,
    /// Listings by id.
    pub listings: HashMap<ListingId, Arc<Listing>>,
    /// What listings draw from; their counters are in `listing_counts`.
    pub assignments: BTreeMap<ListingId, Assignment>,
    /// Units held and sold by listing.
    pub listing_counts: BTreeMap<ListingId, Count>,
    /// Allotments, locked.
    pub stocks: BTreeMap<AllotmentId, Tracked<Stock>>,
    /// Drops; their counters are in `drop_counts`.
    pub drops: BTreeMap<DropId, DropSale>,
    /// Units held and sold by drop.
    pub drop_counts: BTreeMap<DropId, Count>,
    /// Drops that a listing takes part in and that are not over.
    pub listing_drops: HashMap<ListingId, Vec<DropId>>,
    /// Units held and sold by drop and listing.
    pub drop_listing_counts: BTreeMap<(DropId, ListingId), Count>,
    /// What listings cost in drops, where a drop says it.
    pub drop_prices: HashMap<(DropId, ListingId), Price>,
    /// The quotas of drops that have some; their counters are in `quota_counts`.
    pub quotas: HashMap<DropId, Vec<Quota>>,
    /// Units held and sold by quota.
    pub quota_counts: BTreeMap<(DropId, QuotaOwner), Count>,
    /// Units by shopper and by person.
    pub shopper_counts: BTreeMap<ShopperKey, Count>,
    /// Who a partner's shopper is, where something counts by person and the retailer has said it.
    pub persons: HashMap<(PartnerId, String), String>,
    /// Orders, locked.
    pub orders: BTreeMap<OrderId, OrderSlot>,
    /// What was placed under a partner's key.
    pub placed: HashMap<PlaceKey, Arc<Placement>>,
    /// What was paid under a payment reference.
    pub payments: HashMap<(OrderId, String), Arc<Payment>>,
    /// Stops by id.
    pub stops: BTreeMap<StopId, SaleStop>,
    /// What is stopped just now, and by which stops.
    pub stopped: HashMap<StopTarget, BTreeSet<StopId>>,
    /// Things that a stop may be for and that exist.
    pub stop_targets: BTreeSet<StopTarget>,
    /// Answers kept by request key.
    pub keys: HashMap<KeyName, ([u8; 32], Vec<u8>)>,

    /// Payments to be written.
    pub new_payments: Vec<Arc<Payment>>,
    /// Movements to be written.
    pub new_movements: Vec<Movement>,
    /// Stops to be written.
    pub new_stops: Vec<NewStop>,
    /// Stops to be ended, and by whom.
    pub ended_stops: Vec<(StopId, String)>,
    /// Request keys to be written.
    pub new_keys: Vec<KeptKey>,
    /// What happened, in order.
    pub events: Vec<Event>,
}

impl Book {
    /// An empty book.
    pub fn new(now: Micros, rules: HoldRules) -> Self {
        Book {
            now,
            rules,
            listings: HashMap::new(),
            assignments: BTreeMap::new(),
            listing_counts: BTreeMap::new(),
            stocks: BTreeMap::new(),
            drops: BTreeMap::new(),
            drop_counts: BTreeMap::new(),
            listing_drops: HashMap::new(),
            drop_listing_counts: BTreeMap::new(),
            drop_prices: HashMap::new(),
            quotas: HashMap::new(),
            quota_counts: BTreeMap::new(),
            shopper_counts: BTreeMap::new(),
            persons: HashMap::new(),
            orders: BTreeMap::new(),
            placed: HashMap::new(),
            payments: HashMap::new(),
            stops: BTreeMap::new(),
            stopped: HashMap::new(),
            stop_targets: BTreeSet::new(),
            keys: HashMap::new(),
            new_payments: Vec::new(),
            new_movements: Vec::new(),
            new_stops: Vec::new(),
            ended_stops: Vec::new(),
            new_keys: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Enters a drop.
    pub fn add_drop(&mut self, sale: DropSale) {
        self.drop_counts
            .entry(sale.drop_id)
            .or_insert_with(|| Count::new(sale.taken));
        self.drops.entry(sale.drop_id).or_insert(sale);
    }

    /// Enters a quota of a drop.
    pub fn add_quota(&mut self, drop_id: DropId, quota: Quota) {
        self.quota_counts
            .insert((drop_id, quota.owner), Count::new(quota.taken));
        self.quotas.entry(drop_id).or_default().push(quota);
    }

    /// Enters what a listing draws from.
    pub fn add_assignment(&mut self, assignment: Assignment) {
        self.listing_counts
            .insert(assignment.listing_id, Count::new(assignment.taken));
        self.assignments.insert(assignment.listing_id, assignment);
    }

    /// Enters a stop that is active.
    pub fn add_stop(&mut self, stop_id: StopId, target: StopTarget) {
        self.stopped
            .entry(target.clone())
            .or_default()
            .insert(stop_id);
        self.stops.insert(
            stop_id,
            SaleStop {
                target,
                ended: false,
            },
        );
    }

    /// Whether the sale of a line's goods is stopped.
    pub fn is_stopped(&self, line: &Line) -> bool {
        if self.stopped.is_empty() {
            return false;
        }
        let targets = [
            StopTarget::Listing(line.listing_id),
            StopTarget::Allotment(line.allotment_id),
            StopTarget::Product(line.product_id),
        ];
        targets.iter().any(|target| {
            self.stopped
                .get(target)
                .is_some_and(|stops| !stops.is_empty())
        })
    }
}
