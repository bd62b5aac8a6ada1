//! Checks the day from the outside: from feeds, lists and the platforms' own books, with nothing of the services
//! but their contracts.

mod after;
mod books;
mod money;
mod read;

use std::collections::{BTreeMap, HashMap, HashSet};

use contracts::order::v1 as pb;
pub use read::{Facts, Marks, facts, marks};

use super::goods::{PARTNERS, PRODUCTS};
use super::platform::{Charge, PaidBack};
use super::report::{LedgerRow, Report};
use super::second_act::Done;
use super::world::World;

/// Counts checks and keeps what failed.
#[derive(Default)]
pub struct Checks {
    pub made: u64,
    pub failed: u64,
    pub failures: Vec<String>,
}

impl Checks {
    pub fn that(&mut self, holds: bool, what: impl FnOnce() -> String) {
        self.made += 1;
        if !holds {
            self.failed += 1;
            if self.failures.len() < 50 {
                self.failures.push(what());
            }
        }
    }
}

fn units(money: Option<&contracts::common::v1::Money>) -> i64 {
    money.map_or(0, |m| m.minor_units)
}

fn line_amount(line: &pb::OrderLine) -> pb::LineAmount {
    line.amount.clone().unwrap_or_default()
}

fn counters(line: &pb::OrderLine) -> pb::LineQuantities {
    line.quantities.unwrap_or_default()
}

fn was_paid(order: &pb::Order) -> bool {
    order.pay_time.is_some()
}

/// Everything that is known when the day is over.
pub struct Day<'a> {
    pub world: &'a World,
    pub facts: &'a Facts,
    /// By partner.
    pub charges: &'a [Vec<Charge>],
    /// By partner.
    pub paid_back: &'a [Vec<PaidBack>],
    pub done: &'a Done,
    pub ours: &'a HashSet<String>,
    pub drop_units: i64,
    pub drop_per_person: i64,
}

impl Day<'_> {
    /// Makes all checks and fills in the report's figures.
    pub async fn check(&self, checks: &mut Checks, report: &mut Report) -> anyhow::Result<()> {
        self.orders_are_complete(checks);
        self.amounts_add_up(checks);
        self.every_paid_order_ended_well(checks);
        self.units_are_conserved(checks, report).await?;
        self.the_drop_kept_its_limits(checks).await?;
        self.money_is_conserved(checks, report);
        self.books_agree(checks).await?;
        self.refunds_stay_within_payments(checks, report);
        self.the_ledger_agrees(checks, report).await?;
        self.open_matters_say_what_is_next(checks, report).await?;
        self.parcels_match_orders(checks);
        checks.that(self.facts.feed_gaps == 0, || {
            format!("feeds have {} gaps", self.facts.feed_gaps)
        });
        self.count(report);
        self.ledger(report);
        Ok(())
    }

    fn orders_are_complete(&self, checks: &mut Checks) {
        let listed: HashSet<&String> = self.facts.orders.keys().collect();
        for order_id in self.ours {
            checks.that(listed.contains(order_id), || {
                format!("{order_id} was acknowledged but is in no partner's list")
            });
        }
        for (order_id, order) in &self.facts.orders {
            let last = self.facts.last_in_feed.get(order_id);
            let same = last.is_some_and(|l| {
                l.etag == order.etag
                    && l.state == order.state
                    && l.payment_state == order.payment_state
                    && l.fulfillment_state == order.fulfillment_state
            });
            checks.that(same, || {
                format!("{order_id}: the feed's last word is not what the list says")
            });
        }
    }

    fn amounts_add_up(&self, checks: &mut Checks) {
        for order in self.facts.orders.values() {
            let total = order.amount.clone().unwrap_or_default();
            let mut sum = [0_i64; 7];
            for line in &order.lines {
                let a = line_amount(line);
                let parts = [
                    units(a.price.as_ref()),
                    units(a.retailer_discount.as_ref()),
                    units(a.partner_discount.as_ref()),
                    units(a.shipping.as_ref()),
                    units(a.tax.as_ref()),
                    units(a.payable.as_ref()),
                    units(a.commission.as_ref()),
                ];
                let added = if a.tax_included { 0 } else { parts[4] };
                checks.that(
                    parts[5] == parts[0] - parts[1] - parts[2] + parts[3] + added,
                    || {
                        format!(
                            "{}: a line's payable is not composed of its parts",
                            order.order_id
                        )
                    },
                );
                for (s, p) in sum.iter_mut().zip(parts) {
                    *s += p;
                }
            }
            let whole = [
                units(total.price.as_ref()),
                units(total.retailer_discount.as_ref()),
                units(total.partner_discount.as_ref()),
                units(total.shipping.as_ref()),
                units(total.tax.as_ref()),
                units(total.payable.as_ref()),
                units(total.commission.as_ref()),
            ];
            checks.that(sum == whole, || {
                format!(
                    "{}: the lines {sum:?} do not add up to the total {whole:?}",
                    order.order_id
                )
            });
            checks.that(
                units(total.partner_owes.as_ref()) == whole[5] + whole[2] - whole[6],
                || {
                    format!(
                        "{}: what the partner owes is not payable + discount - commission",
                        order.order_id
                    )
                },
            );
        }
    }

    fn every_paid_order_ended_well(&self, checks: &mut Checks) {
        for order in self.facts.orders.values().filter(|o| was_paid(o)) {
            for line in &order.lines {
                let q = counters(line);
                checks.that(
                    q.ordered == q.cancelled + q.delivered + q.undelivered,
                    || {
                        format!(
                            "{}: {} ordered, but {} cancelled, {} delivered, {} undelivered",
                            order.order_id, q.ordered, q.cancelled, q.delivered, q.undelivered
                        )
                    },
                );
            }
            let whole = order
                .lines
                .iter()
                .all(|l| counters(l).delivered == counters(l).ordered);
            checks.that(whole || units(order.refunded.as_ref()) > 0, || {
                format!("{}: neither delivered whole nor paid back", order.order_id)
            });
        }
        for order in self.facts.orders.values().filter(|o| !was_paid(o)) {
            checks.that(
                matches!(
                    order.state(),
                    pb::OrderState::Expired | pb::OrderState::Cancelled
                ),
                || format!("{}: unpaid, but {:?}", order.order_id, order.state()),
            );
        }
    }

    async fn units_are_conserved(
        &self,
        checks: &mut Checks,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let sold_here = |(n, _): &(usize, &String)| !PRODUCTS[*n].redirects;
        for (product, allotment_id) in self
            .world
            .allotment_ids
            .iter()
            .enumerate()
            .filter(sold_here)
        {
            let allotment = read::allotment(&self.world.ops, allotment_id).await?;
            let moved: i64 = read::movements(&self.world.ops, allotment_id)
                .await?
                .iter()
                .map(|m| m.quantity)
                .sum();
            let listing_ids: HashSet<&str> = self
                .world
                .partners
                .iter()
                .map(|p| p.listings[product].listing_id.as_str())
                .collect();
            let taken: i64 = self
                .facts
                .orders
                .values()
                .filter(|o| was_paid(o))
                .flat_map(|o| &o.lines)
                .filter(|l| listing_ids.contains(l.listing_id.as_str()))
                .map(|l| counters(l).ordered - counters(l).cancelled)
                .sum();
            checks.that(
                allotment.available + allotment.held + allotment.sold == allotment.supplied,
                || {
                    format!(
                        "{allotment_id}: {} + {} + {} is not {}",
                        allotment.available, allotment.held, allotment.sold, allotment.supplied
                    )
                },
            );
            checks.that(moved == allotment.supplied, || {
                format!(
                    "{allotment_id}: movements sum to {moved}, supplied is {}",
                    allotment.supplied
                )
            });
            checks.that(allotment.held == 0, || {
                format!("{allotment_id}: {} units are still held", allotment.held)
            });
            checks.that(taken == allotment.sold, || {
                format!(
                    "{allotment_id}: orders took {taken}, sold is {}",
                    allotment.sold
                )
            });
            report.units_supplied += allotment.supplied;
            report.units_available += allotment.available;
            report.units_held += allotment.held;
            report.units_sold += allotment.sold;
            report.units_oversold += (taken - moved).max(0);
        }
        checks.that(report.units_oversold == 0, || {
            format!("{} units oversold", report.units_oversold)
        });
        Ok(())
    }

    async fn the_drop_kept_its_limits(&self, checks: &mut Checks) -> anyhow::Result<()> {
        let drop = read::drop_by_id(&self.world.ops, &self.world.drop_id).await?;
        let mut by_shopper: HashMap<(&str, &str), i64> = HashMap::new();
        let mut kept = 0;
        for order in self.facts.orders.values().filter(|o| was_paid(o)) {
            for line in order
                .lines
                .iter()
                .filter(|l| l.drop_id == self.world.drop_id)
            {
                let units = counters(line).ordered - counters(line).cancelled;
                *by_shopper
                    .entry((&order.partner_id, &order.shopper_ref))
                    .or_default() += units;
                kept += units;
            }
        }
        checks.that(kept <= self.drop_units, || {
            format!("the drop sold {kept} of {}", self.drop_units)
        });
        checks.that(drop.taken == kept, || {
            format!("the drop says {} are taken, orders say {kept}", drop.taken)
        });
        checks.that(
            by_shopper.values().all(|n| *n <= self.drop_per_person),
            || "a shopper has more of the drop than one may".into(),
        );
        Ok(())
    }

    fn parcels_match_orders(&self, checks: &mut Checks) {
        use contracts::fulfillment::v1::ShipmentState;
        let mut in_parcels: HashMap<&str, [i64; 3]> = HashMap::new();
        for shipment in &self.facts.shipments {
            for line in &shipment.lines {
                let sums = in_parcels.entry(&line.order_line_id).or_default();
                sums[0] += line.quantity;
                match shipment.state() {
                    ShipmentState::Delivered => sums[1] += line.quantity,
                    ShipmentState::Failed => sums[2] += line.quantity,
                    _ => {}
                }
            }
        }
        for order in self.facts.orders.values() {
            for line in &order.lines {
                let q = counters(line);
                let parcels = in_parcels
                    .get(line.order_line_id.as_str())
                    .copied()
                    .unwrap_or_default();
                checks.that(parcels == [q.shipped, q.delivered, q.undelivered], || {
                    format!(
                        "{}: parcels hold {parcels:?}, the order counts {q:?}",
                        order.order_id
                    )
                });
            }
        }
    }

    fn count(&self, report: &mut Report) {
        let orders = || self.facts.orders.values();
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        report.orders_placed = number(orders().count());
        report.orders_paid = number(orders().filter(|o| was_paid(o)).count());
        report.orders_delivered = number(
            orders()
                .filter(|o| o.fulfillment_state() == pb::FulfillmentState::Delivered)
                .count(),
        );
        report.orders_refund_due = number(
            orders()
                .filter(|o| units(o.refund_due.as_ref()) + units(o.refunded.as_ref()) > 0)
                .count(),
        );
        report.orders_expired = number(
            orders()
                .filter(|o| o.state() == pb::OrderState::Expired)
                .count(),
        );
        report.orders_cancelled = number(
            orders()
                .filter(|o| o.state() == pb::OrderState::Cancelled)
                .count(),
        );
        report.drop_orders = number(
            orders()
                .filter(|o| was_paid(o) && o.lines.iter().any(|l| l.drop_id == self.world.drop_id))
                .count(),
        );
        report.feed_entries = self.facts.feed_entries;
        report.feed_gaps = self.facts.feed_gaps;
    }

    /// A row per room and partner; an order belongs to the room of its first line's first touchpoint.
    fn ledger(&self, report: &mut Report) {
        let mut rows: BTreeMap<(usize, usize), LedgerRow> = BTreeMap::new();
        for order in self.facts.orders.values() {
            let touched = order
                .lines
                .first()
                .and_then(|l| l.touchpoints.first())
                .map(|t| t.room_id.as_str());
            let Some(room) = self
                .world
                .rooms
                .iter()
                .position(|r| Some(r.room_id.as_str()) == touched)
            else {
                continue;
            };
            let Some(partner) = self
                .world
                .partners
                .iter()
                .position(|p| p.partner_id == order.partner_id)
            else {
                continue;
            };
            let row = rows.entry((room, partner)).or_insert_with(|| LedgerRow {
                partner: PARTNERS[partner].name.into(),
                currency: PARTNERS[partner].currency.into(),
                ..LedgerRow::default()
            });
            row.paid_back += units(order.refunded.as_ref());
            if !was_paid(order) {
                continue;
            }
            let amount = order.amount.clone().unwrap_or_default();
            row.orders_paid += 1;
            row.units += order
                .lines
                .iter()
                .map(|l| counters(l).ordered - counters(l).cancelled)
                .sum::<i64>();
            row.price += units(amount.price.as_ref());
            row.discounts +=
                units(amount.retailer_discount.as_ref()) + units(amount.partner_discount.as_ref());
            row.paid += units(amount.payable.as_ref());
            row.shipping_and_added_tax += units(amount.payable.as_ref())
                - units(amount.price.as_ref())
                + units(amount.retailer_discount.as_ref())
                + units(amount.partner_discount.as_ref());
            row.commission += units(amount.commission.as_ref());
            row.partner_owes += units(amount.partner_owes.as_ref());
        }
        for ((room, partner), mut row) in rows {
            if let Some(shared) = report
                .ledger
                .iter()
                .find(|r| r.partner.is_empty() && r.room == room.to_string())
            {
                // The audience is one for all partners; it stands in the room's first row.
                if partner == 0 {
                    (row.views, row.likes, row.questions) =
                        (shared.views, shared.likes, shared.questions);
                }
            }
            row.room = room.to_string();
            report.ledger.push(row);
        }
        // A room where nothing was sold keeps the row of its audience.
        let sold_in: HashSet<String> = report
            .ledger
            .iter()
            .filter(|r| !r.partner.is_empty())
            .map(|r| r.room.clone())
            .collect();
        report
            .ledger
            .retain(|r| !r.partner.is_empty() || !sold_in.contains(&r.room));
        report
            .ledger
            .sort_by_key(|r| r.room.parse::<usize>().unwrap_or(usize::MAX));
    }
}
