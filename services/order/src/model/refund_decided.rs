//! What goes back because somebody decided so: people of the retailer, a partner by itself, or a matter that was settled.
//!
//! Whoever decides, it is taken of what is left of the lines, so the same money never goes back twice. Who asks for more
//! is refused with what is left; a settlement, which was decided elsewhere, gets what is left.

use contracts::ErrorReason;
use contracts::id::OrderLineId;
use kit::errors::Refusal;

use super::order::{Order, OrderState};
use super::payment::RefundLine;
use super::progress::{Step, StepKind};
use super::refund::{Component, Parts, RefundShares, spread};
use super::told::SettledLine;

/// What is asked for of one line.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LineDraft {
    /// The line.
    pub order_line_id: OrderLineId,
    /// To the shopper.
    pub shopper: i64,
    /// To the partner.
    pub partner: i64,
    /// What the shopper's amount is of.
    pub component: Component,
}

impl Order {
    /// The place of a line.
    pub fn line_at(&self, order_line_id: &OrderLineId) -> Result<usize, Refusal> {
        let own = |line: &super::Line| line.order_line_id == *order_line_id;
        let at = self.placement.lines.iter().position(own);
        at.ok_or_else(|| Refusal::not_found("order line"))
    }

    /// What the drafts take of the lines, each line once.
    pub fn compose(&self, drafts: &[LineDraft]) -> Result<Vec<(usize, Parts)>, Refusal> {
        self.require_paid()?;
        let mut taken = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let at = self.line_at(&draft.order_line_id)?;
            let left = self.left_of(at);
            let parts = left
                .take(draft.shopper, draft.partner, draft.component)
                .ok_or_else(|| over(left.shares()))?;
            taken.push((at, parts));
        }
        Ok(taken)
    }

    /// What these amounts take of all lines together.
    pub fn compose_whole(
        &self,
        shopper: i64,
        partner: i64,
    ) -> Result<Vec<(usize, Parts)>, Refusal> {
        self.require_paid()?;
        let left = self.left();
        let sum = left
            .iter()
            .fold(RefundShares::default(), |sum, left| RefundShares {
                shopper: sum.shopper + left.shopper(),
                partner: sum.partner + left.partner,
            });
        if shopper > sum.shopper || partner > sum.partner {
            return Err(over(sum));
        }
        let taken = spread(&left, shopper, partner).ok_or_else(|| over(sum))?;
        Ok(taken
            .into_iter()
            .enumerate()
            .filter(|(_, parts)| !parts.is_zero())
            .collect())
    }

    /// What cancelling these units would be, or all that is left of it with none: the step, on a copy. Before payment an
    /// order is cancelled as a whole.
    pub fn preview_cancel(&self, units: &[(OrderLineId, i64)]) -> Result<Step, Refusal> {
        let free = |at: usize| {
            let line = &self.quantities[at];
            line.ordered - line.cancelled - line.shipped
        };
        let closed = matches!(self.state, OrderState::Cancelled | OrderState::Completed);
        let all: Vec<(usize, i64)> = (0..self.quantities.len())
            .map(|at| (at, free(at)))
            .filter(|(_, units)| *units > 0)
            .collect();
        if closed || all.is_empty() {
            return Err(Refusal::wrong_state(
                "order",
                self.state,
                "Nothing of the order can be cancelled any more; what was shipped can be sent back.",
            ));
        }
        let mut wanted = Vec::with_capacity(units.len());
        for (order_line_id, quantity) in units {
            let at = self.line_at(order_line_id)?;
            if *quantity > free(at) {
                return Err(Refusal::new(
                    ErrorReason::OverQuantity,
                    "More units would be cancelled than are left of a line.",
                )
                .with("order_line_id", order_line_id)
                .with("left", free(at)));
            }
            wanted.push((at, *quantity));
        }
        wanted.sort_unstable();
        if wanted.is_empty() {
            wanted.clone_from(&all);
        }
        if !self.was_paid() && wanted != all {
            return Err(Refusal::invalid(
                "lines",
                "must be empty or name every line in full: before payment only all can be cancelled",
            ));
        }
        let paid = self.was_paid();
        self.clone().step(StepKind::LinesCancelled, wanted, paid)
    }

    fn require_paid(&self) -> Result<(), Refusal> {
        if self.was_paid() {
            return Ok(());
        }
        Err(Refusal::wrong_state(
            "order",
            self.state,
            "Only what was paid can go back.",
        ))
    }

    /// Grants what was composed: it is due from now on. Gives what it is in all.
    pub fn grant(&mut self, taken: &[(usize, Parts)]) -> Result<RefundShares, Refusal> {
        let mut sum = RefundShares::default();
        for (at, parts) in taken {
            self.give(*at, *parts);
            sum = sum.checked_add(parts.shares()).ok_or_else(too_large)?;
        }
        if !self.owe(sum.shopper) {
            return Err(too_large());
        }
        Ok(sum)
    }

    /// The lines of a refund of money only.
    pub fn refund_lines(&self, taken: &[(usize, Parts)]) -> Vec<RefundLine> {
        let line = |(at, parts): &(usize, Parts)| {
            let line = self.placement.lines.get(*at)?;
            Some(RefundLine {
                order_line_id: line.order_line_id,
                quantity: 0,
                parts: Some(*parts),
            })
        };
        taken.iter().filter_map(line).collect()
    }

    /// Takes a settlement: what is left of the lines, at most, and the partner's part of its discount in proportion. Where
    /// goods came back the units are paid back for with it.
    pub fn settle(
        &mut self,
        lines: &[SettledLine],
        goods: bool,
    ) -> Result<Vec<RefundLine>, Refusal> {
        self.require_paid()?;
        let mut after = self.clone();
        let (mut settled, mut sum) = (Vec::with_capacity(lines.len()), RefundShares::default());
        for line in lines {
            let at = after.line_at(&line.order_line_id)?;
            if line.amount.currency != after.placement.amount.currency || line.quantity < 0 {
                return Err(Refusal::new(
                    ErrorReason::OverQuantity,
                    "The settlement is not in the order's currency, or of less than no units.",
                ));
            }
            let left = after.left_of(at);
            let shopper = line.amount.minor_units.clamp(0, left.shopper());
            let partner = match shopper {
                0 => 0,
                _ => contracts::money::allocate(left.partner, &[shopper, left.shopper() - shopper])
                    [0],
            };
            let parts = left.take_up_to(shopper, partner);
            after.give(at, parts);
            sum = sum.checked_add(parts.shares()).ok_or_else(too_large)?;
            settled.push(RefundLine {
                order_line_id: line.order_line_id,
                quantity: if goods { line.quantity } else { 0 },
                parts: Some(parts),
            });
        }
        if sum.is_zero() {
            // Nothing is to be paid back for them, so that is done.
            if !after.lines_paid_back(&settled, true) {
                return Err(too_large());
            }
            after.version += 1;
        } else if !after.owe(sum.shopper) {
            return Err(too_large());
        }
        *self = after;
        Ok(settled)
    }
}

/// The refusal of more than is left.
pub fn over(left: RefundShares) -> Refusal {
    Refusal::new(
        ErrorReason::OverQuantity,
        "More would go back than is left of what was paid; ask for at most shopper_left and partner_left.",
    )
    .with("shopper_left", left.shopper)
    .with("partner_left", left.partner)
}

fn too_large() -> Refusal {
    Refusal::new(
        ErrorReason::OverQuantity,
        "The refunds of the order are too large to compute with.",
    )
}
