//! Cancelling units of a paid order.

use super::LineQuantity;
use super::fulfillment::{Fulfillment, over_quantity};
use super::words::words;
use kit::errors::Refusal;

words! {
    /// Why something is cancelled.
    CancelReason {
        /// The shopper changed their mind.
        ShopperRequest = "SHOPPER_REQUEST",
        /// The partner took it back.
        PartnerRequest = "PARTNER_REQUEST",
        /// The retailer has no goods.
        Shortage = "SHORTAGE",
        /// Suspected fraud.
        Fraud = "FRAUD",
        /// The goods are in doubt.
        ProductSafety = "PRODUCT_SAFETY",
    }
}

words! {
    /// What was decided about a wish to cancel.
    CancelDecision {
        /// The units will not ship.
        Cancelled = "CANCELLED",
        /// The order has not arrived yet; decided when it does.
        Pending = "CANCEL_PENDING",
        /// Some of the units are shipped already; nothing was cancelled.
        TooLate = "TOO_LATE",
    }
}

/// A wish to cancel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelAsk {
    /// Lines and quantities, each line once; none means all that is left.
    pub lines: Vec<LineQuantity>,
    /// Why.
    pub reason: CancelReason,
}

/// What became of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CancelVerdict {
    /// These units will not ship. None: all was cancelled before, and nothing was left to do.
    Cancelled(Vec<LineQuantity>),
    /// Some of the units are shipped already; nothing was cancelled.
    TooLate,
}

impl CancelVerdict {
    /// The word for it.
    pub fn decision(&self) -> CancelDecision {
        match self {
            CancelVerdict::Cancelled(_) => CancelDecision::Cancelled,
            CancelVerdict::TooLate => CancelDecision::TooLate,
        }
    }

    /// What was cancelled.
    pub fn lines(&self) -> &[LineQuantity] {
        match self {
            CancelVerdict::Cancelled(lines) => lines,
            CancelVerdict::TooLate => &[],
        }
    }
}

impl Fulfillment {
    /// Cancels all that is asked for or nothing. A block does not stand in the way. Refuses what no order
    /// of events could have made possible: a line that is not there, more units than were ordered.
    pub fn cancel(&mut self, asked: &[LineQuantity]) -> Result<CancelVerdict, Refusal> {
        let units = if asked.is_empty() {
            let left = self.left();
            if left.is_empty() && self.lines.iter().any(|line| line.shipped > 0) {
                return Ok(CancelVerdict::TooLate);
            }
            left
        } else {
            if self.is_too_late(asked)? {
                return Ok(CancelVerdict::TooLate);
            }
            asked.to_vec()
        };
        for part in &units {
            self.line_mut(&part.order_line_id)?.cancelled += part.quantity;
        }
        self.settle();
        Ok(CancelVerdict::Cancelled(units))
    }

    fn is_too_late(&self, asked: &[LineQuantity]) -> Result<bool, Refusal> {
        let mut too_late = false;
        for (at, ask) in asked.iter().enumerate() {
            let line = self.line_asked(ask, "", at)?;
            if ask.quantity > line.ordered - line.cancelled {
                return Err(over_quantity(line, line.left(), "cancel"));
            }
            too_late |= ask.quantity > line.left();
        }
        Ok(too_late)
    }
}
