//! What was paid for the lines of one order, and what of it matters have promised.

use std::collections::BTreeMap;

use contracts::id::OrderLineId;
use contracts::money::Currency;

/// The money of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineMoney {
    /// The order's currency.
    pub currency: Currency,
    /// What the shopper paid for the line, in minor units.
    pub payable: i64,
    /// What open and settled matters have promised to pay back.
    pub promised: i64,
}

impl LineMoney {
    /// Neither promised nor paid back through a matter.
    pub fn left(&self) -> i64 {
        self.payable - self.promised
    }

    /// The share of `quantity` units out of all that were ordered, rounded in the shopper's favour.
    pub fn share(&self, quantity: i64, ordered: i64) -> i64 {
        let whole = i128::from(self.payable) * i128::from(quantity);
        let ordered = i128::from(ordered.max(1));
        let share = (whole + ordered - 1) / ordered;
        i64::try_from(share)
            .unwrap_or(self.payable)
            .min(self.payable)
    }
}

/// The money of the lines of one order. Lines of orders that are older than this knowledge are missing.
pub type Purse = BTreeMap<OrderLineId, LineMoney>;
