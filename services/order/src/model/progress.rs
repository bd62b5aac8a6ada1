//! What becomes of a paid order on its way: units cancelled, shipped, delivered, or lost.
//!
//! Fulfilment tells how far each line has come, in counters that only grow. What is new since the last time is
//! the difference, so telling the same twice changes nothing. Units that are cancelled or never arrive are paid
//! back for, the shopper's money and the partner's apart.

use std::collections::BTreeMap;

use contracts::ErrorReason;
use contracts::id::OrderLineId;
use kit::errors::Refusal;

use super::order::{FulfillmentState, LineQuantities, Order, OrderState};
use super::payment::RefundLine;
use super::refund::{PaidLine, Parts, RefundShares};

/// How far one line has come, as fulfilment counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineProgress {
    /// The line.
    pub order_line_id: OrderLineId,
    /// Cancelled before shipment.
    pub cancelled: i64,
    /// Handed to a carrier.
    pub shipped: i64,
    /// Delivered.
    pub delivered: i64,
    /// Lost or brought back.
    pub undelivered: i64,
}

impl LineProgress {
    /// Whether nothing has happened to it.
    pub fn is_nothing(&self) -> bool {
        self.cancelled <= 0 && self.shipped <= 0 && self.delivered <= 0 && self.undelivered <= 0
    }
}

/// What happened to units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// They will not ship.
    LinesCancelled,
    /// They were handed to a carrier.
    Shipped,
    /// They arrived.
    Delivered,
    /// They never will.
    Undelivered,
    /// They came back.
    Returned,
}

/// One thing that happened to an order.
#[derive(Clone, Debug)]
pub struct Step {
    /// What.
    pub kind: StepKind,
    /// To how many units of which line, by the line's place.
    pub units: Vec<(usize, i64)>,
    /// What goes back for them.
    pub refund: RefundShares,
    /// The same, for each of `units`; empty when nothing is decided on yet.
    pub parts: Vec<Parts>,
    /// The order right after it.
    pub order: Order,
}

impl Step {
    /// The lines of the refund.
    pub fn refund_lines(&self) -> Vec<RefundLine> {
        let line = |(at, (index, quantity)): (usize, &(usize, i64))| {
            let line = self.order.placement.lines.get(*index)?;
            Some(RefundLine {
                order_line_id: line.order_line_id,
                quantity: *quantity,
                parts: self.parts.get(at).copied(),
            })
        };
        self.units.iter().enumerate().filter_map(line).collect()
    }
}

const KINDS: [StepKind; 4] = [
    StepKind::LinesCancelled,
    StepKind::Shipped,
    StepKind::Delivered,
    StepKind::Undelivered,
];

impl StepKind {
    fn told(self, progress: &LineProgress) -> i64 {
        match self {
            StepKind::LinesCancelled => progress.cancelled,
            StepKind::Shipped => progress.shipped,
            StepKind::Delivered => progress.delivered,
            StepKind::Undelivered => progress.undelivered,
            // Returns tell of themselves.
            StepKind::Returned => 0,
        }
    }

    fn counter(self, quantities: &mut LineQuantities) -> &mut i64 {
        match self {
            StepKind::LinesCancelled => &mut quantities.cancelled,
            StepKind::Shipped => &mut quantities.shipped,
            StepKind::Delivered => &mut quantities.delivered,
            StepKind::Undelivered => &mut quantities.undelivered,
            StepKind::Returned => &mut quantities.returned,
        }
    }

    /// Whether such units are paid back for.
    fn is_refunded(self) -> bool {
        matches!(
            self,
            StepKind::LinesCancelled | StepKind::Undelivered | StepKind::Returned
        )
    }
}

impl LineQuantities {
    /// Units that were paid back for, or are to be.
    pub fn gone_back(&self) -> i64 {
        self.cancelled + self.undelivered + self.returned
    }

    /// Whether nothing more can happen to it on its way.
    fn has_ended(&self) -> bool {
        self.cancelled + self.delivered + self.undelivered == self.ordered
    }
}

impl Order {
    /// Moves the order on to where fulfilment says it is; gives what happened since, in the order in which it
    /// must have. Refuses what cannot be, with the order as it was.
    pub fn advance(&mut self, progress: &[LineProgress]) -> Result<Vec<Step>, Refusal> {
        let mut after = self.clone();
        let mut steps = Vec::new();
        for kind in KINDS {
            let units = after.new_units(kind, progress)?;
            if !units.is_empty() {
                steps.push(after.step(kind, units, kind.is_refunded())?);
            }
        }
        if !steps.is_empty() && !matches!(self.state, OrderState::Confirmed | OrderState::Completed)
        {
            return Err(Refusal::wrong_state(
                "order",
                self.state,
                "Only the units of a paid order can move.",
            ));
        }
        *self = after;
        Ok(steps)
    }

    fn new_units(
        &self,
        kind: StepKind,
        progress: &[LineProgress],
    ) -> Result<Vec<(usize, i64)>, Refusal> {
        let mut units = BTreeMap::new();
        for line in progress {
            let index = self
                .placement
                .lines
                .iter()
                .position(|own| own.order_line_id == line.order_line_id);
            let Some(index) = index else {
                return Err(Refusal::not_found("order line"));
            };
            let mut known = self.quantities[index];
            // A counter below zero is no progress, and one that was told twice counts once.
            let more = kind.told(line).max(0) - *kind.counter(&mut known);
            let highest = units.entry(index).or_insert(0);
            *highest = more.max(*highest);
        }
        Ok(units.into_iter().filter(|(_, more)| *more > 0).collect())
    }

    /// Counts units, and if they are `paid` back for now, what is to be paid back for them: their share, but at most
    /// what is left of the line.
    pub(super) fn step(
        &mut self,
        kind: StepKind,
        units: Vec<(usize, i64)>,
        paid: bool,
    ) -> Result<Step, Refusal> {
        let mut refund = RefundShares::default();
        let mut parts = Vec::new();
        for &(index, more) in &units {
            let before = self.quantities[index].gone_back();
            let counter = kind.counter(&mut self.quantities[index]);
            *counter = counter.checked_add(more).ok_or_else(too_large)?;
            check(&self.quantities[index])?;
            if paid {
                let amount = &self.placement.lines[index].amount;
                let share = PaidLine {
                    ordered: self.quantities[index].ordered,
                    shopper: amount.payable,
                    partner: amount.partner_discount,
                }
                .refund(before, more);
                let given = self.left_of(index).take_up_to(share.shopper, share.partner);
                self.give(index, given);
                refund = refund.checked_add(given.shares()).ok_or_else(too_large)?;
                parts.push(given);
            }
        }
        self.fulfillment_state = self.fulfillment_state_now();
        if self
            .quantities
            .iter()
            .all(|line| line.cancelled == line.ordered)
        {
            self.state = OrderState::Cancelled;
        }
        if refund.is_zero() {
            // Nothing is to be paid back for them, so that is done.
            for &(index, more) in units.iter().filter(|_| paid) {
                self.quantities[index].refunded += more;
            }
            self.version += 1;
        } else if !self.owe(refund.shopper) {
            return Err(too_large());
        }
        Ok(Step {
            kind,
            units,
            refund,
            parts,
            order: self.clone(),
        })
    }

    fn fulfillment_state_now(&self) -> FulfillmentState {
        let lines = &self.quantities;
        if lines.iter().all(|line| line.shipped == 0) {
            FulfillmentState::Unfulfilled
        } else if lines
            .iter()
            .any(|line| line.shipped + line.cancelled < line.ordered)
        {
            FulfillmentState::PartiallyShipped
        } else if !lines.iter().all(LineQuantities::has_ended) {
            FulfillmentState::Shipped
        } else if lines.iter().any(|line| line.undelivered > 0) {
            FulfillmentState::Undelivered
        } else {
            FulfillmentState::Delivered
        }
    }

    /// Whether every unit has come to its end on its way, and if so whether any of them arrived.
    pub fn arrival(&self) -> Option<Arrival> {
        if self.state != OrderState::Confirmed
            || !self.quantities.iter().all(LineQuantities::has_ended)
        {
            return None;
        }
        let arrived = self.quantities.iter().any(|line| line.delivered > 0);
        Some(if arrived {
            Arrival::Delivered
        } else {
            Arrival::NothingArrived
        })
    }

    /// Its return window has ended.
    pub fn complete(&mut self) {
        self.complete_after = None;
        self.state = OrderState::Completed;
        self.version += 1;
    }

    /// Contact data was set.
    pub fn contact_set(&mut self) {
        self.has_contact = true;
        self.version += 1;
    }
}

/// How an order came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Something arrived, and may be sent back.
    Delivered,
    /// Nothing did, so there is nothing to wait for.
    NothingArrived,
}

fn check(line: &LineQuantities) -> Result<(), Refusal> {
    let fits = line
        .cancelled
        .checked_add(line.shipped)
        .is_some_and(|gone| gone <= line.ordered)
        && line
            .delivered
            .checked_add(line.undelivered)
            .is_some_and(|ended| ended <= line.shipped)
        && line.returned <= line.delivered;
    if fits {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorReason::OverQuantity,
        "More units of a line moved than it has.",
    ))
}

fn too_large() -> Refusal {
    Refusal::new(
        ErrorReason::OverQuantity,
        "The refunds of the order are too large to compute with.",
    )
}

#[cfg(test)]
#[path = "progress_tests.rs"]
pub(super) mod tests;
