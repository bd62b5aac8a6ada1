//! What an order's partner is to pay back and has paid back, and what that makes of its payment state.
//!
//! ```text
//! UNPAID ──▶ PAID ──▶ REFUND_DUE ⇄ … the last open refund is executed …
//!    │                    │            ├── nothing of what paid it has gone back ──▶ PAID (a duplicate was paid back)
//!    └── money that does ─┘            ├── some of it                            ──▶ PARTIALLY_REFUNDED
//!        not pay it                    └── all of it, or it was never paid       ──▶ REFUNDED
//! ```
//!
//! The sums count refunds in the order's own currency. Money that came in another one goes back in that one, and
//! is counted among the open refunds only.

use super::order::{Order, PaymentState};
use super::payment::{Refund, RefundLine};
use super::refund::{Parts, RefundShares};

/// The refunds of an order, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// What the shopper is still to get back.
    pub refund_due: i64,
    /// What the shopper got back.
    pub refunded: i64,
    /// Refunds that are not executed, in any currency.
    pub refunds_open: i64,
    /// What has gone back of the payment that paid the order.
    pub paid_back: RefundShares,
    /// What of the lines' money has gone back, is to, or was taken by a bank, line by line: what the ledger says. It is
    /// read by those who decide on such money; empty where nobody does, and for lines of which nothing has.
    pub given: Vec<Parts>,
}

impl Order {
    /// A refund is authorised that gives the shopper this much in the order's currency; false when the sums do
    /// not fit 64 bits.
    #[must_use]
    pub fn owe(&mut self, amount: i64) -> bool {
        let Balance {
            refund_due,
            refunded,
            refunds_open,
            ..
        } = self.balance;
        let Some(refund_due) = refund_due.checked_add(amount) else {
            return false;
        };
        // Whatever is due will be refunded one day, so the sum of both must fit as well.
        if refund_due.checked_add(refunded).is_none() {
            return false;
        }
        self.balance.refund_due = refund_due;
        self.balance.refunds_open = refunds_open + 1;
        self.payment_state = self.payment_state_now();
        self.version += 1;
        true
    }

    /// The partner has executed a refund. False when it is not one of this order's open ones.
    #[must_use]
    pub fn pay_back(&mut self, refund: &Refund) -> bool {
        let mut balance = self.balance.clone();
        if balance.refunds_open < 1 {
            return false;
        }
        balance.refunds_open -= 1;
        let (shopper, partner) = (
            refund.shopper_amount.minor_units,
            refund.partner_amount.minor_units,
        );
        if refund.shopper_amount.currency == self.placement.amount.currency {
            if shopper > balance.refund_due {
                return false;
            }
            balance.refund_due -= shopper;
            balance.refunded += shopper;
        }
        if refund.reason.is_of_lines() {
            let Some(paid_back) = balance
                .paid_back
                .checked_add(RefundShares { shopper, partner })
            else {
                return false;
            };
            balance.paid_back = paid_back;
        }
        if !self.lines_paid_back(&refund.lines, refund.aftersale_id.is_some()) {
            return false;
        }
        self.balance = balance;
        self.payment_state = self.payment_state_now();
        self.version += 1;
        true
    }

    /// Units of a settled matter are those that fulfilment named, so they count at most as far as they came.
    pub(super) fn lines_paid_back(&mut self, lines: &[RefundLine], settled: bool) -> bool {
        let mut after = self.quantities.clone();
        for line in lines {
            let own = |placed: &super::Line| placed.order_line_id == line.order_line_id;
            let Some(index) = self.placement.lines.iter().position(own) else {
                return false;
            };
            after[index].refunded += line.quantity;
            if settled {
                after[index].refunded = after[index].refunded.min(after[index].gone_back());
            }
            if after[index].refunded > after[index].gone_back() {
                return false;
            }
        }
        self.quantities = after;
        true
    }

    /// A refund that failed is given up. False when it is not one of this order's open ones.
    #[must_use]
    pub fn forgo(&mut self, refund: &Refund) -> bool {
        let own = refund.shopper_amount.currency == self.placement.amount.currency;
        let amount = if own {
            refund.shopper_amount.minor_units
        } else {
            0
        };
        if self.balance.refunds_open < 1 || amount > self.balance.refund_due {
            return false;
        }
        self.balance.refunds_open -= 1;
        self.balance.refund_due -= amount;
        self.payment_state = self.payment_state_now();
        self.version += 1;
        true
    }

    /// What is left of the lines' money, line by line; nothing while it is not paid.
    pub fn left(&self) -> Vec<Parts> {
        let lines = self.placement.lines.iter().enumerate();
        lines.map(|(at, _)| self.left_of(at)).collect()
    }

    pub(super) fn left_of(&self, at: usize) -> Parts {
        let Some(line) = self.placement.lines.get(at) else {
            return Parts::default();
        };
        let whole = Parts::of(&line.amount);
        match self.balance.given.get(at) {
            Some(given) => whole.minus(*given),
            None => whole,
        }
    }

    /// Counts what is given of a line.
    pub fn give(&mut self, at: usize, parts: Parts) {
        if self.balance.given.len() <= at {
            self.balance.given.resize(at + 1, Parts::default());
        }
        self.balance.given[at] = self.balance.given[at].plus(parts);
    }

    /// Everything that was paid for it: the shopper's money and the partner's.
    pub fn paid_in(&self) -> RefundShares {
        RefundShares {
            shopper: self.placement.amount.payable,
            partner: self.placement.amount.partner_discount,
        }
    }

    /// Where its money is: something to be paid back outweighs everything that was paid.
    pub(super) fn payment_state_now(&self) -> PaymentState {
        if self.balance.refunds_open > 0 {
            return PaymentState::RefundDue;
        }
        if self.pay_time.is_none() {
            return match self.payment_state {
                PaymentState::Unpaid => PaymentState::Unpaid,
                // Money came, did not pay it, and went back.
                _ => PaymentState::Refunded,
            };
        }
        let paid_back = self.balance.paid_back;
        if paid_back.is_zero() {
            PaymentState::Paid
        } else if paid_back == self.paid_in() {
            PaymentState::Refunded
        } else {
            PaymentState::PartiallyRefunded
        }
    }
}
