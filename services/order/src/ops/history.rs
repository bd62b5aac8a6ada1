//! History for rehearsals: orders as months of sales would have left them, written in bulk.
//!
//! How the service behaves with millions of orders behind it can only be told with millions of orders behind it. They
//! are written by the statements that write real ones, so every check of every table holds for them, units and
//! counters of shoppers add up, the feed has no gap and the audit chain is whole; but thousands in one transaction,
//! each at once in the state where it ended up, and with statements of payment that nobody signed.
//!
//! Ids and times are those of the months that are made up, so that indexes grow as they do in life: what is keyed by
//! an order's id at its end, what is keyed by shoppers and by half of the partners' order ids all over. Writing the
//! same plan into two databases writes the same orders.

mod made;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ::store::{Db, Operation, Tx};
use contracts::id::{AllotmentId, ListingId};
use futures::{StreamExt, TryStreamExt, stream};
use kit::caller::Caller;
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use crate::events::{self, OrderChange};
use crate::model::book::{KeptKey, ShopperKey};
use crate::model::{Assignment, Listing, Order, Payment};
use crate::store::stock::StockChange;
use crate::store::{key, listing, order, payment, stock};

use made::Made;

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The listings that sold, by turns. Their allotments must have the units; what is paid becomes sold in them.
    pub listings: Vec<ListingId>,
    /// How many orders.
    pub orders: u64,
    /// How many of the latest are in the feed too. Of those before, retention has taken the entries away.
    pub feed_orders: u64,
    /// How long all of it took.
    pub span: Duration,
    /// How many shoppers bought.
    pub shoppers: u64,
    /// Orders in one transaction.
    pub chapter_orders: u64,
    /// Transactions at a time.
    pub chapters_at_once: usize,
    /// Another seed writes other orders.
    pub seed: u64,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Orders, whatever became of them.
    pub orders: u64,
    /// Those that were paid.
    pub paid: u64,
    /// Units sold.
    pub units: i64,
}

impl Written {
    fn and(self, more: Written) -> Written {
        Written {
            orders: self.orders + more.orders,
            paid: self.paid + more.paid,
            units: self.units + more.units,
        }
    }
}

/// Writes it all and tells after each transaction how much there is. It stops at the first error; what was written
/// before stays.
pub async fn write(db: &Db, plan: Plan, told: impl Fn(&Written)) -> Result<Written, Fault> {
    let caller = Caller::system("history");
    let ids = plan.listings.clone();
    let offers = db.read(&caller, Offers { listings: ids }).await?;
    let script = Arc::new(Script {
        offers,
        // Nothing of it is held any more.
        end: db.clock().now().minus(Duration::from_secs(2 * 60 * 60)),
        plan,
    });
    let chapters = script
        .plan
        .orders
        .div_ceil(script.plan.chapter_orders.max(1));
    let size = script.plan.chapter_orders.max(1);
    let at_once = script.plan.chapters_at_once.max(1);
    let written = stream::iter(0..chapters).map(|chapter| {
        let chapter = Chapter {
            script: script.clone(),
            first: chapter * size,
            last: ((chapter + 1) * size).min(script.plan.orders),
        };
        db.execute(&caller, chapter)
    });
    written
        .buffer_unordered(at_once)
        .try_fold(Written::default(), |sum, more| {
            let sum = sum.and(more);
            told(&sum);
            futures::future::ready(Ok(sum))
        })
        .await
}

/// How the partners name the shopper of this number.
pub fn shopper_ref(number: u64) -> String {
    made::shopper_ref(number)
}

/// The plan with what is sold in it.
struct Script {
    plan: Plan,
    offers: Vec<Offer>,
    end: Micros,
}

/// A listing and what it draws from.
#[derive(Clone)]
struct Offer {
    listing: Listing,
    assignment: Assignment,
    /// Whether its partner counts its orders up. Others throw dice.
    counted: bool,
}

/// Reads the listings, in the order asked.
struct Offers {
    listings: Vec<ListingId>,
}

impl Operation for Offers {
    type Output = Vec<Offer>;

    fn name(&self) -> &'static str {
        "history.offers"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Offer>, Fault> {
        let found = listing::listings_by_id(tx, &self.listings).await?;
        let mut partners = BTreeSet::new();
        let mut offers = Vec::with_capacity(found.len());
        for (listing, assignment) in found {
            // Every other partner, beginning with one that throws dice.
            partners.insert(listing.partner_id);
            let counted = partners.iter().position(|id| *id == listing.partner_id);
            offers.extend(assignment.map(|assignment| Offer {
                counted: counted.is_some_and(|at| at % 2 == 1),
                listing,
                assignment,
            }));
        }
        if offers.is_empty() || offers.len() != self.listings.len() {
            return Err(Refusal::invalid(
                "listings",
                "must be listings that this service knows and that draw from an allotment",
            )
            .into());
        }
        Ok(offers)
    }
}

/// One stretch of the history.
struct Chapter {
    script: Arc<Script>,
    first: u64,
    last: u64,
}

impl Operation for Chapter {
    type Output = Written;

    fn name(&self) -> &'static str {
        "history.chapter"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Written, Fault> {
        let plan = &self.script.plan;
        let made: Vec<Made> = (self.first..self.last)
            .map(|number| made::order(&self.script, number))
            .collect::<Result<_, _>>()?;
        let mut orders: Vec<&Order> = made.iter().map(|made| &made.order).collect();
        order::orders_insert(tx, &mut orders).await?;
        let payments: Vec<&Payment> = made
            .iter()
            .filter_map(|made| made.payment.as_ref())
            .collect();
        payment::payments_insert(tx, &payments).await?;
        let fed_from = plan.orders - plan.feed_orders.min(plan.orders);
        let mut keys: Vec<KeptKey> = (self.first..self.last)
            .zip(&made)
            .filter(|(number, _)| *number >= fed_from)
            .filter_map(|(_, made)| made.key())
            .collect();
        key::request_keys_insert(tx, &mut keys).await?;
        for (number, made) in (self.first..self.last).zip(&made) {
            announce(tx, made, number >= fed_from);
        }
        // Last, because from here on the rows that everybody counts on are locked.
        let units = count(tx, &made).await?;
        Ok(Written {
            orders: self.last - self.first,
            paid: payments.len() as u64,
            units,
        })
    }
}

/// What the feed and the audit trail say of one order.
fn announce(tx: &mut Tx, made: &Made, fed: bool) {
    let order_id = *made.order.order_id();
    tx.act_for(made.caller.clone());
    tx.audit("order.place", order_id, "done");
    let (name, outcome) = made.ending();
    tx.audit(name, order_id, outcome);
    if !fed {
        return;
    }
    let placed = Order::placed(made.order.placement.clone());
    let at = placed.placement.place_time;
    tx.publish(events::order_changed(OrderChange::Placed, &placed, at));
    if let Some(payment) = &made.payment {
        tx.publish(events::payment(payment));
    }
    tx.publish(events::order_changed(
        made.change(),
        &made.order,
        made.end_time,
    ));
}

/// Counts what was sold, by allotment, listing and shopper.
async fn count(tx: &mut Tx, made: &[Made]) -> Result<i64, Fault> {
    let mut allotments: BTreeMap<AllotmentId, i64> = BTreeMap::new();
    let mut listings: BTreeMap<ListingId, i64> = BTreeMap::new();
    let mut shoppers: BTreeMap<ShopperKey, i64> = BTreeMap::new();
    let mut units = 0;
    for order in made
        .iter()
        .filter(|made| made.payment.is_some())
        .map(|made| &made.order)
    {
        let placement = &order.placement;
        for line in &placement.lines {
            units += line.quantity;
            *allotments.entry(line.allotment_id).or_default() += line.quantity;
            *listings.entry(line.listing_id).or_default() += line.quantity;
            let shopper = ShopperKey::new(
                line.listing_id.as_str(),
                placement.partner_id,
                &placement.shopper_ref,
            );
            *shoppers.entry(shopper).or_default() += line.quantity;
        }
    }
    let shoppers: Vec<(&ShopperKey, i64)> =
        shoppers.iter().map(|(key, taken)| (key, *taken)).collect();
    stock::shopper_counts_change(tx, &shoppers).await?;
    let sold = allotments
        .into_iter()
        .map(|(allotment_id, sold)| StockChange {
            allotment_id,
            supplied: 0,
            available: -sold,
            held: 0,
            sold,
            version: 0,
        });
    stock::allotments_change(tx, &sold.collect::<Vec<_>>()).await?;
    stock::listing_counts_change(tx, &listings.into_iter().collect::<Vec<_>>()).await?;
    Ok(units)
}
