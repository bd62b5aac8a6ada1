//! Who gets units: drops, limits, caps and quotas, then the stock; and where units go back to.

use contracts::ErrorReason;
use contracts::id::{DropId, ListingId, PartnerId};
use kit::errors::Refusal;

use super::{Book, Count, ShopperKey};
use crate::model::drops::{DropSale, DropState, QuotaOwner};
use crate::model::order::Line;
use crate::model::stock::{Movement, Stock};

/// How a listing sells just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selling<'a> {
    /// On its own.
    Alone,
    /// In an open drop.
    In(&'a DropSale),
    /// In a drop that is announced and has not begun: not yet.
    Ahead(&'a DropSale),
}

impl<'a> Selling<'a> {
    /// The drop, open or announced.
    pub fn sale(self) -> Option<&'a DropSale> {
        match self {
            Selling::Alone => None,
            Selling::In(sale) | Selling::Ahead(sale) => Some(sale),
        }
    }
}

impl Book {
    /// How a listing sells just now. From its announcement to its end the listings of a drop sell only inside it.
    pub fn selling(&self, listing_id: &ListingId) -> Selling<'_> {
        let ids = self.listing_drops.get(listing_id);
        let binding = ids
            .into_iter()
            .flatten()
            .filter_map(|id| self.drops.get(id))
            .filter(|sale| sale.binds(self.now));
        match binding.min_by_key(|sale| (sale.start_time, sale.drop_id)) {
            None => Selling::Alone,
            Some(sale) if sale.state(self.now) == DropState::Open => Selling::In(sale),
            Some(sale) => Selling::Ahead(sale),
        }
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

    /// Whether a limit keeps the shopper from a line; how many there are is another matter.
    pub fn check_limits(
        &self,
        line: &Line,
        partner_id: PartnerId,
        shopper_ref: &str,
    ) -> Result<(), Refusal> {
        let listing = self.listings.get(&line.listing_id);
        let sale = line.drop_id.as_ref().and_then(|id| self.drops.get(id));
        let stock = self.stocks.get(&line.allotment_id);
        let limits = [
            (
                line.listing_id.as_str(),
                "shopper",
                listing.map_or(0, |listing| listing.per_shopper_limit),
            ),
            (
                line.drop_id.as_ref().map_or("", |id| id.as_str()),
                "person",
                sale.map_or(0, |sale| sale.per_person_limit),
            ),
            (
                line.allotment_id.as_str(),
                "person",
                stock.map_or(0, |stock| stock.now.per_person_limit),
            ),
        ];
        for (scope, who, limit) in limits {
            if limit == 0 {
                continue;
            }
            let mut taken = self.taken_by(&ShopperKey::new(scope, partner_id, shopper_ref));
            if let (Some(person), "person") = (&line.draws.person, who) {
                // What was bought before the shopper was known counts still.
                taken += self.taken_by(&ShopperKey::of_person(scope, person));
            }
            let remaining = (limit - taken).max(0);
            if line.quantity > remaining {
                let message = format!(
                    "One {who} may have {limit} of this listing in all, and {remaining} are left."
                );
                return Err(Refusal::new(ErrorReason::LimitExceeded, message)
                    .with("listing_id", line.listing_id)
                    .with("remaining", remaining));
            }
        }
        Ok(())
    }

    fn taken_by(&self, key: &ShopperKey) -> i64 {
        self.shopper_counts.get(key).map_or(0, |count| count.now)
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
        let sale = line.drop_id.as_ref().and_then(|id| self.drops.get(id));
        if sale.is_some_and(|sale| line.quantity > self.open_to(sale, line.draws.quota)) {
            return Err(sold_out(&line.listing_id));
        }
        Ok(())
    }

    /// How many units of a drop are left for a line that draws from this quota, or from none: never those that are
    /// set aside for somebody else.
    fn open_to(&self, sale: &DropSale, own: Option<QuotaOwner>) -> i64 {
        let taken = self.drop_counts.get(&sale.drop_id);
        let mut open = sale.total_limit - taken.map_or(0, |count| count.now);
        let mut own_left = i64::MAX;
        for quota in self.quotas.get(&sale.drop_id).into_iter().flatten() {
            let taken = self.quota_counts.get(&(sale.drop_id, quota.owner));
            let left = quota.unit_limit - taken.map_or(0, |count| count.now);
            if own == Some(quota.owner) {
                own_left = left;
            } else if !quota.is_released(self.now) {
                open -= left;
            }
        }
        open.min(own_left)
    }

    /// Counts units of a line in everything that counts them but the allotment.
    fn count(&mut self, line: &Line, partner_id: PartnerId, shopper_ref: &str, quantity: i64) {
        self.listing_counts.entry(line.listing_id).or_default().now += quantity;
        let shopper = |scope: &str| ShopperKey::new(scope, partner_id, shopper_ref);
        self.count_shopper(shopper(line.listing_id.as_str()), quantity);
        let person = |scope: &str| match &line.draws.person {
            Some(person) => ShopperKey::of_person(scope, person),
            None => shopper(scope),
        };
        if line.draws.allotment_person_limited {
            self.count_shopper(person(line.allotment_id.as_str()), quantity);
        }
        let Some(drop_id) = line.drop_id else { return };
        self.count_drop(drop_id, line, quantity);
        if line.drop_person_limited {
            self.count_shopper(person(drop_id.as_str()), quantity);
        }
    }

    fn count_drop(&mut self, drop_id: DropId, line: &Line, quantity: i64) {
        let add = |count: &mut Count| count.now += quantity;
        add(self.drop_counts.entry(drop_id).or_default());
        let of_listing = self.drop_listing_counts.entry((drop_id, line.listing_id));
        add(of_listing.or_default());
        if let Some(owner) = line.draws.quota {
            add(self.quota_counts.entry((drop_id, owner)).or_default());
        }
    }

    fn count_shopper(&mut self, key: ShopperKey, quantity: i64) {
        self.shopper_counts.entry(key).or_default().now += quantity;
    }
}

fn sold_out(listing_id: &ListingId) -> Refusal {
    Refusal::new(
        ErrorReason::SoldOut,
        "There are not enough units of this listing; order less, or nothing of it.",
    )
    .with("listing_id", listing_id)
}
