//! What can be sent back, and until when.
//!
//! Units of a line are alike, so nobody can say of which delivery the ones are that came back. They count as
//! those delivered first, which leaves the shopper the longest windows.

use std::time::Duration;

use contracts::id::OrderLineId;
use kit::clock::Micros;

use super::super::fulfillment::Line;
use super::super::words::words;

/// Units of one line that reached the shopper at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The order's line.
    pub order_line_id: OrderLineId,
    /// When.
    pub time: Micros,
    /// How many.
    pub quantity: i64,
}

words! {
    /// Why nothing of a line can be sent back.
    Ineligible {
        /// Nothing was delivered.
        NotDelivered = "NOT_DELIVERED",
        /// All that was delivered is returned or in an open return.
        AllInReturns = "ALL_IN_RETURNS",
        /// The return window is over.
        WindowOver = "WINDOW_OVER",
    }
}

/// Units that can be sent back until a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returnable {
    /// How many.
    pub quantity: i64,
    /// A return must be asked for before this.
    pub until: Micros,
}

/// What of one line can be sent back now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eligibility {
    /// The order's line.
    pub order_line_id: OrderLineId,
    /// Delivered so far.
    pub delivered: i64,
    /// In open returns.
    pub in_returns: i64,
    /// Received back.
    pub returned: i64,
    /// The returnable units by the end of their window, the soonest first.
    pub windows: Vec<Returnable>,
}

impl Eligibility {
    /// What of `line` can be sent back `now`. Deliveries that are not known have their window behind them.
    pub fn of(line: &Line, deliveries: &[Delivery], window: Duration, now: Micros) -> Self {
        let mut open: Vec<Returnable> = deliveries
            .iter()
            .filter(|delivery| delivery.order_line_id == line.order_line_id)
            .map(|delivery| Returnable {
                quantity: delivery.quantity,
                until: delivery.time.plus(window),
            })
            .filter(|units| now < units.until)
            .collect();
        open.sort_by_key(|units| units.until);
        let in_window: i64 = open.iter().map(|units| units.quantity).sum();
        let over = line.delivered - in_window;
        let mut taken = (line.in_returns + line.returned - over).max(0);
        for units in &mut open {
            let from_here = taken.min(units.quantity);
            units.quantity -= from_here;
            taken -= from_here;
        }
        open.retain(|units| units.quantity > 0);
        Eligibility {
            order_line_id: line.order_line_id,
            delivered: line.delivered,
            in_returns: line.in_returns,
            returned: line.returned,
            windows: open,
        }
    }

    /// Can be asked for now.
    pub fn returnable(&self) -> i64 {
        self.windows.iter().map(|units| units.quantity).sum()
    }

    /// Delivered and in no return, whether or not their window is over.
    pub fn free(&self) -> i64 {
        self.delivered - self.in_returns - self.returned
    }

    /// Why nothing can be sent back; none when something can.
    pub fn ineligible(&self) -> Option<Ineligible> {
        if self.returnable() > 0 {
            None
        } else if self.delivered == 0 {
            Some(Ineligible::NotDelivered)
        } else if self.free() == 0 {
            Some(Ineligible::AllInReturns)
        } else {
            Some(Ineligible::WindowOver)
        }
    }
}
