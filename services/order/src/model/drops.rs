//! Drops: timed, quantity-limited sales of one allotment through several listings.
//!
//! ```text
//!            announce_time        start_time                    end_time or EndDrop
//!  unknown ──────┴── SCHEDULED ───────┴── OPEN ⇄ SOLD_OUT ──────────┴── ENDED
//!  listings sell     priced, visible,      sold within limits,          listings sell
//!  on their own      not sold              quotas and stock             on their own
//! ```
//!
//! Nothing moves a drop along: where it is follows from the transaction's clock, its counters and EndDrop. SOLD_OUT
//! is only a view; a hold that ends makes it OPEN again, and whoever asks next gets the units.
//!
//! # Whose price
//!
//! In this order: the drop's price of the listing, the drop's discount on the listing's price, the listing's own
//! terms. Nothing stacks: what the drop says stands in the place of the listing's price and its retailer's discount,
//! also where those would be lower. A price in another currency than the listing's terms is none. A quote with a
//! price of the drop lives no longer than the drop; ended early, the drop's price is over at once. A quote from before
//! the announcement, at the listing's price, is honoured for its life, and its units count in the drop.
//!
//! # Who gets units
//!
//! A quota sets units aside for a creator or an outlet: they are all that its lines get, and nobody else's until
//! `release_time`. A line's last touchpoint says which quota it draws from, decided once, at placement; what is given
//! back goes back to where it came from. With `left = unit_limit − taken` of each quota that is not released:
//!
//! 1. `taken ≤ unit_limit` of each quota, `taken + Σ left ≤ total_limit` of each drop, and what a drop takes is taken
//!    from its allotment: quota ≤ drop ≤ allotment.
//! 2. A drop's `taken` is the sum of its quotas' and of the open units taken.
//! 3. All counters change together, under the lock of the allotment's row.
//!
//! | case | what happens |
//! |---|---|
//! | a hold from a quota ends after the quota's release | its units go to the open ones |
//! | a late payment of such a hold | takes from the quota's limit and the open units, if both have them |
//! | two touchpoints of the same time | the last in the list counts |
//! | a quota is empty, open units are left | SOLD_OUT for its lines, in the words used for everybody |

use contracts::id::{AllotmentId, CreatorId, DropId, ListingId, OutletId, PartnerId};
use contracts::money::Price;
use kit::clock::Micros;

use super::amount::Pricing;
use super::order::Touchpoint;
use super::words::words;

words! {
    /// Where a drop is; follows from the clock, EndDrop, and for SOLD_OUT from what is left.
    DropState {
        /// Not begun.
        Scheduled = "SCHEDULED",
        /// Selling.
        Open = "OPEN",
        /// Over: by time, or ended early.
        Ended = "ENDED",
        /// Begun, with nothing left just now.
        SoldOut = "SOLD_OUT",
    }
}

words! {
    /// Whose terms made a price.
    PriceSource {
        /// The listing's.
        Listing = "LISTING",
        /// A drop's.
        Drop = "DROP",
    }
}

/// A timed, quantity-limited sale of one allotment through several listings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropSale {
    /// The drop.
    pub drop_id: DropId,
    /// What it sells.
    pub allotment_id: AllotmentId,
    /// Name for people.
    pub display_name: String,
    /// From when on partners know of it; none for from the beginning.
    pub announce_time: Option<Micros>,
    /// First moment of sale.
    pub start_time: Micros,
    /// First moment after.
    pub end_time: Micros,
    /// The most units it sells.
    pub total_limit: i64,
    /// The most units one person may hold and have bought in it; 0 for no limit.
    pub per_person_limit: i64,
    /// Taken off the listings' prices, in basis points; 0 for nothing.
    pub discount_basis_points: i64,
    /// The sum of its quotas; 0 when it has none.
    pub quota_total: i64,
    /// Units held and sold in it.
    pub taken: i64,
    /// When it was ended early.
    pub ended_time: Option<Micros>,
    /// Why it was ended early.
    pub end_reason: String,
    /// Grows with every change but sales.
    pub version: i64,
    /// When it was created.
    pub create_time: Micros,
}

impl DropSale {
    /// The etag that callers see.
    pub fn etag(&self) -> String {
        format!("v{}", self.version)
    }

    /// Where it is now: SCHEDULED, OPEN or ENDED.
    pub fn state(&self, now: Micros) -> DropState {
        if self.ended_time.is_some() || self.end_time <= now {
            DropState::Ended
        } else if self.start_time <= now {
            DropState::Open
        } else {
            DropState::Scheduled
        }
    }

    /// The same with SOLD_OUT, when `available` units of its allotment are free.
    pub fn state_with(&self, now: Micros, available: i64) -> DropState {
        match self.state(now) {
            DropState::Open if self.taken >= self.total_limit || available <= 0 => {
                DropState::SoldOut
            }
            state => state,
        }
    }

    /// Whether partners know of it.
    pub fn is_announced(&self, now: Micros) -> bool {
        self.announce_time.is_none_or(|time| time <= now) || self.start_time <= now
    }

    /// Whether its listings sell only inside it now.
    pub fn binds(&self, now: Micros) -> bool {
        self.is_announced(now) && self.state(now) != DropState::Ended
    }

    /// How many units it may still sell.
    pub fn remaining(&self) -> i64 {
        (self.total_limit - self.taken).max(0)
    }

    /// On what terms a listing sells in it, and whose they are. `price` is the drop's price of the listing.
    pub fn terms(&self, price: Option<Price>, listing: &Pricing) -> (Pricing, PriceSource) {
        let currency = listing.price.amount().currency;
        let own = price.filter(|price| price.amount().currency == currency);
        let terms = match own {
            Some(price) => Pricing {
                price,
                retailer_discount_basis_points: 0,
                ..*listing
            },
            None if self.discount_basis_points > 0 => Pricing {
                retailer_discount_basis_points: self.discount_basis_points,
                ..*listing
            },
            None => return (*listing, PriceSource::Listing),
        };
        (terms, PriceSource::Drop)
    }
}

/// One listing of a drop and what it sold in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropShare {
    /// The listing.
    pub listing_id: ListingId,
    /// Its partner.
    pub partner_id: PartnerId,
    /// Units held and sold through it in the drop.
    pub taken: i64,
    /// Its price in the drop.
    pub price: Option<Price>,
}

/// For whom a quota is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuotaOwner {
    /// A creator.
    Creator(CreatorId),
    /// An outlet.
    Outlet(OutletId),
}

impl QuotaOwner {
    /// The id, as tables have it: its prefix tells which it is.
    pub fn as_str(&self) -> &str {
        match self {
            QuotaOwner::Creator(id) => id.as_str(),
            QuotaOwner::Outlet(id) => id.as_str(),
        }
    }

    /// The owner of an id; none for an id of something else.
    pub fn parse(text: &str) -> Option<Self> {
        let creator = CreatorId::parse(text).map(QuotaOwner::Creator);
        creator
            .or_else(|_| OutletId::parse(text).map(QuotaOwner::Outlet))
            .ok()
    }
}

/// Units of a drop that are set aside for one creator or outlet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// For whom.
    pub owner: QuotaOwner,
    /// How many.
    pub unit_limit: i64,
    /// From when on what is left of it is open to everybody; none for never.
    pub release_time: Option<Micros>,
    /// Units held and sold out of it.
    pub taken: i64,
}

impl Quota {
    /// Whether its units are open to everybody.
    pub fn is_released(&self, now: Micros) -> bool {
        self.release_time.is_some_and(|time| time <= now)
    }
}

/// The quota that a line with these touchpoints draws from now: that of the last touchpoint's creator, else of its
/// outlet, else none. A released one is no quota any more.
pub fn quota_of<'a>(
    quotas: impl Iterator<Item = &'a Quota> + Clone,
    touchpoints: &[Touchpoint],
    now: Micros,
) -> Option<QuotaOwner> {
    let last = touchpoints.iter().max_by_key(|touch| touch.touch_time)?;
    let creator = last.creator_id.map(QuotaOwner::Creator);
    let outlet = last.outlet_id.map(QuotaOwner::Outlet);
    creator.into_iter().chain(outlet).find(|owner| {
        quotas
            .clone()
            .any(|quota| quota.owner == *owner && !quota.is_released(now))
    })
}

/// What a line is counted in beside its listing, its allotment and its drop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draws {
    /// The quota of its drop that it draws from.
    pub quota: Option<QuotaOwner>,
    /// Whether its allotment counts by person.
    pub allotment_person_limited: bool,
    /// Who its shopper is, where something counts by person and the retailer has said it.
    pub person: Option<String>,
}

#[cfg(test)]
#[path = "drops_tests.rs"]
mod tests;
