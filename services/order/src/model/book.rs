//! What a batch of commands works on: everything it may touch, as loaded under its locks, and what came of it.
//!
//! Counters remember what was loaded, so that what is written is the difference: a difference is right
//! whoever else counts, and the tables' own checks have the last word.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use contracts::ErrorReason;
use contracts::id::{AllotmentId, DropId, ListingId, OrderId, PartnerId, StopId};
use kit::clock::Micros;
use kit::errors::Refusal;

use super::command::StopTarget;
use super::listing::Listing;
use super::order::{Line, Order, Placement};
use super::payment::Payment;
use super::stock::{Assignment, DropSale, DropState, Movement, Stock};

/// How long units may be held.
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
}

impl Count {
    /// As loaded.
    pub fn new(loaded: i64) -> Self {
        Count {
            loaded,
            now: loaded,
        }
    }

    /// What changed.
    pub fn delta(&self) -> i64 {
        self.now - self.loaded
    }
}

/// Whose units are counted within what: the id of a listing or a drop, a partner, its shopper.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShopperKey {
    /// The listing's or the drop's id.
    pub scope: String,
    /// The partner.
    pub partner_id: PartnerId,
    /// Its shopper.
    pub shopper_ref: String,
}

impl ShopperKey {
    /// The counter of a shopper in a listing or a drop.
    pub fn new(scope: &str, partner_id: PartnerId, shopper_ref: &str) -> Self {
        ShopperKey {
            scope: scope.to_owned(),
            partner_id,
            shopper_ref: shopper_ref.to_owned(),
        }
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
    /// Units by shopper.
    pub shopper_counts: BTreeMap<ShopperKey, Count>,
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
            shopper_counts: BTreeMap::new(),
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

    /// The drop that a listing sells in just now. Until a drop has ended its listings sell only inside it.
    pub fn drop_of(&self, listing_id: &ListingId) -> Result<Option<&DropSale>, Refusal> {
        let Some(ids) = self.listing_drops.get(listing_id) else {
            return Ok(None);
        };
        let drops = ids.iter().filter_map(|id| self.drops.get(id));
        let ahead: Vec<&DropSale> = drops
            .filter(|sale| sale.state(self.now) != DropState::Ended)
            .collect();
        let open = ahead
            .iter()
            .filter(|sale| sale.state(self.now) == DropState::Open);
        match open.min_by_key(|sale| (sale.start_time, sale.drop_id)) {
            Some(sale) => Ok(Some(sale)),
            None if ahead.is_empty() => Ok(None),
            None => Err(Refusal::new(
                ErrorReason::DropClosed,
                "This listing sells only in a drop that has not begun; order when it is open.",
            )
            .with("listing_id", listing_id)),
        }
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

    /// Sets the units of all lines aside, or of none.
    pub fn hold(
        &mut self,
        lines: &[Line],
        partner_id: PartnerId,
        shopper_ref: &str,
    ) -> Result<(), Refusal> {
        for (index, line) in lines.iter().enumerate() {
            if let Err(refusal) = self.hold_line(line, partner_id, shopper_ref) {
                self.release(&lines[..index], partner_id, shopper_ref);
                return Err(refusal);
            }
        }
        Ok(())
    }

    /// Gives the units of lines back that were set aside.
    pub fn release(&mut self, lines: &[Line], partner_id: PartnerId, shopper_ref: &str) {
        for line in lines {
            if let Some(stock) = self.stocks.get_mut(&line.allotment_id) {
                stock.now.release(line.quantity);
            }
            self.count(line, partner_id, shopper_ref, -line.quantity);
        }
    }

    /// Sells units that were set aside.
    pub fn sell(&mut self, lines: &[Line]) {
        for line in lines {
            if let Some(stock) = self.stocks.get_mut(&line.allotment_id) {
                stock.now.sell_held(line.quantity);
            }
        }
    }

    /// Takes back units of a line that were sold and never left: cancelled after payment.
    pub fn unsell(&mut self, line: &Line, partner_id: PartnerId, shopper_ref: &str, quantity: i64) {
        if let Some(stock) = self.stocks.get_mut(&line.allotment_id) {
            stock.now.unsell(quantity);
        }
        self.count(line, partner_id, shopper_ref, -quantity);
    }

    /// Moves units and keeps the movement to be written; gives the units after it.
    pub fn record(&mut self, movement: &Movement) -> Result<Stock, Refusal> {
        let stock = self
            .stocks
            .get_mut(&movement.allotment_id)
            .ok_or_else(|| Refusal::not_found("allotment"))?;
        stock.now.move_units(movement.quantity)?;
        let stock = stock.now.clone();
        self.new_movements.push(movement.clone());
        Ok(stock)
    }

    fn hold_line(
        &mut self,
        line: &Line,
        partner_id: PartnerId,
        shopper_ref: &str,
    ) -> Result<(), Refusal> {
        self.check_limits(line, partner_id, shopper_ref)?;
        self.check_caps(line)?;
        let stock = self.stocks.get_mut(&line.allotment_id);
        if !stock.is_some_and(|stock| stock.now.hold(line.quantity)) {
            // How much of a shared pool is left is not for one partner to know.
            return Err(sold_out(&line.listing_id));
        }
        self.count(line, partner_id, shopper_ref, line.quantity);
        Ok(())
    }

    fn check_limits(
        &self,
        line: &Line,
        partner_id: PartnerId,
        shopper_ref: &str,
    ) -> Result<(), Refusal> {
        let listing = self
            .listings
            .get(&line.listing_id)
            .map(|listing| listing.per_shopper_limit);
        let of_listing = (line.listing_id.as_str(), listing.unwrap_or(0));
        let sale = line.drop_id.as_ref().and_then(|id| self.drops.get(id));
        let of_drop = sale.map(|sale| (sale.drop_id.as_str(), sale.per_person_limit));
        for (scope, limit) in std::iter::once(of_listing).chain(of_drop) {
            if limit == 0 {
                continue;
            }
            let taken = self
                .shopper_counts
                .get(&ShopperKey::new(scope, partner_id, shopper_ref));
            let remaining = (limit - taken.map_or(0, |count| count.now)).max(0);
            if line.quantity > remaining {
                let message = format!(
                    "One shopper may have {limit} of this listing in all, and {remaining} are left."
                );
                return Err(Refusal::new(ErrorReason::LimitExceeded, message)
                    .with("listing_id", line.listing_id)
                    .with("remaining", remaining));
            }
        }
        Ok(())
    }

    fn check_caps(&self, line: &Line) -> Result<(), Refusal> {
        let cap = self
            .assignments
            .get(&line.listing_id)
            .map_or(0, |assignment| assignment.unit_cap);
        if cap > 0 {
            let taken = self
                .listing_counts
                .get(&line.listing_id)
                .map_or(0, |count| count.now);
            let remaining = (cap - taken).max(0);
            if line.quantity > remaining {
                return Err(sold_out(&line.listing_id).with("available", remaining));
            }
        }
        if let Some(sale) = line.drop_id.as_ref().and_then(|id| self.drops.get(id)) {
            let taken = self
                .drop_counts
                .get(&sale.drop_id)
                .map_or(0, |count| count.now);
            if line.quantity > sale.total_limit - taken {
                return Err(sold_out(&line.listing_id));
            }
        }
        Ok(())
    }

    /// Counts units of a line in everything that counts them but the allotment.
    fn count(&mut self, line: &Line, partner_id: PartnerId, shopper_ref: &str, quantity: i64) {
        self.listing_counts.entry(line.listing_id).or_default().now += quantity;
        let key = ShopperKey::new(line.listing_id.as_str(), partner_id, shopper_ref);
        self.shopper_counts.entry(key).or_default().now += quantity;
        let Some(drop_id) = line.drop_id else { return };
        self.drop_counts.entry(drop_id).or_default().now += quantity;
        self.drop_listing_counts
            .entry((drop_id, line.listing_id))
            .or_default()
            .now += quantity;
        if line.drop_person_limited {
            let key = ShopperKey::new(drop_id.as_str(), partner_id, shopper_ref);
            self.shopper_counts.entry(key).or_default().now += quantity;
        }
    }
}

fn sold_out(listing_id: &ListingId) -> Refusal {
    Refusal::new(
        ErrorReason::SoldOut,
        "There are not enough units of this listing; order less, or nothing of it.",
    )
    .with("listing_id", listing_id)
}
