//! The ledger: every movement of money as an entry, balanced by construction, that never changes.
//!
//! An entry is one step of one order line, or of the order as a whole. Its amounts are moved between two accounts each,
//! which follow from the step, the bearer of the cost and the line's kind of tax ([`LedgerEntry::lines`]). One row per
//! step and line is all that a payment costs; nothing can be out of balance, because nothing is ever written that has
//! only one side.
//!
//! ```text
//! SALE ───▶ REFUND_AUTHORISED ───▶ REFUND_EXECUTED
//!   │              └─────────────▶ REFUND_WITHDRAWN, which undoes it
//!   └─────▶ CHARGEBACK_OPENED ───▶ CHARGEBACK_LOST
//!                  └─────────────▶ CHARGEBACK_WON, which undoes it
//! UNAPPLIED ─▶ REFUND_AUTHORISED …           COMPENSATION_AUTHORISED ─▶ …_PARTNER_PAID | …_RETAILER_PAID
//! ```
//!
//! Invariants:
//!
//! 1. Every line moves a positive amount of one currency from one account to another: entries sum to zero.
//! 2. An entry is written in the transaction of its step, once for each step, source and order line, and never changed.
//! 3. What undoes an entry names it, has the same amounts, and moves them the other way. An entry is undone once.
//! 4. Of each line and part, authorised less withdrawn refunds plus opened less won chargebacks never exceed the sale
//!    ([`given`] is what bounds them).
//! 5. REFUNDS_DUE is what orders say is due, and what left it for PARTNER_HELD is what they say went back.
//!
//! Accounts are the retailer's books. Fees and commissions will be further steps between PARTNER_HELD and accounts of
//! their own; a statement is what stands on the partner's accounts.
//!
//! | what can go wrong | what happens |
//! |---|---|
//! | a step is told twice | its source is known (payment, refund, chargeback, settlement), so it is not taken again; the table's unique keys back it |
//! | two steps race for the same money | both hold the order's row, so the second sees what is left; the payment's CHECK backs it |
//! | the process dies in between | entry and step are one transaction |
//! | an order is older than the ledger | its entries are made from what was recorded, before anything else is decided on it, or by a task in its own time |

mod booking;

use std::collections::BTreeMap;

use contracts::id::{LedgerEntryId, OrderId, PartnerId};
use contracts::money::Currency;
use kit::clock::Micros;

use super::refund::Parts;
use super::words::words;

pub use booking::{Booking, NextId, of_payment, reversed};

words! {
    /// Who bears the cost of what a shopper gets.
    CostBearer {
        /// The retailer.
        Retailer = "RETAILER",
        /// The partner.
        Partner = "PARTNER",
        /// The creator who is paid for the sale.
        Creator = "CREATOR",
        /// The carrier.
        Carrier = "CARRIER",
    }
}

words! {
    /// What happened to the money.
    LedgerStep {
        /// The order was paid.
        Sale = "SALE",
        /// A payment came that paid nothing.
        Unapplied = "UNAPPLIED",
        /// A refund was authorised.
        RefundAuthorised = "REFUND_AUTHORISED",
        /// A refund was executed.
        RefundExecuted = "REFUND_EXECUTED",
        /// A refund was withdrawn.
        RefundWithdrawn = "REFUND_WITHDRAWN",
        /// A chargeback was opened.
        ChargebackOpened = "CHARGEBACK_OPENED",
        /// A chargeback was won.
        ChargebackWon = "CHARGEBACK_WON",
        /// A chargeback was lost.
        ChargebackLost = "CHARGEBACK_LOST",
        /// A compensation was authorised.
        CompensationAuthorised = "COMPENSATION_AUTHORISED",
        /// The partner paid a compensation.
        CompensationPartnerPaid = "COMPENSATION_PARTNER_PAID",
        /// The retailer paid a compensation.
        CompensationRetailerPaid = "COMPENSATION_RETAILER_PAID",
    }
}

words! {
    /// What a line is of.
    LineType {
        /// The price, before discounts.
        Gross = "GROSS",
        /// What the retailer took off.
        RetailerDiscount = "RETAILER_DISCOUNT",
        /// What the partner took off.
        PartnerDiscount = "PARTNER_DISCOUNT",
        /// Shipping.
        Shipping = "SHIPPING",
        /// Tax.
        Tax = "TAX",
        /// A refund.
        Refund = "REFUND",
        /// A compensation.
        Compensation = "COMPENSATION",
        /// A chargeback.
        Chargeback = "CHARGEBACK",
        /// A correction by hand.
        Adjustment = "ADJUSTMENT",
        /// Money that paid no order.
        Unapplied = "UNAPPLIED",
    }
}

words! {
    /// Where money stands.
    Account {
        /// Shoppers' money that the partner holds.
        PartnerHeld = "PARTNER_HELD",
        /// What the partner owes of its own: its discounts.
        PartnerSubsidy = "PARTNER_SUBSIDY",
        /// What the partner owes because it bears a cost.
        PartnerClaim = "PARTNER_CLAIM",
        /// What creators owe because they bear a cost.
        CreatorClaim = "CREATOR_CLAIM",
        /// What carriers owe because they bear a cost.
        CarrierClaim = "CARRIER_CLAIM",
        /// What was sold, at its price.
        Sales = "SALES",
        /// What the retailer took off.
        Discounts = "DISCOUNTS",
        /// Shipping that shoppers pay.
        Shipping = "SHIPPING",
        /// Tax.
        Tax = "TAX",
        /// Money that paid no order.
        Unapplied = "UNAPPLIED",
        /// What shoppers are to get back.
        RefundsDue = "REFUNDS_DUE",
        /// What the partner is to get back of its discounts.
        SubsidyDue = "SUBSIDY_DUE",
        /// Money that a bank took and has not decided on.
        ChargebacksOpen = "CHARGEBACKS_OPEN",
        /// Money that is gone by chargebacks.
        ChargebacksLost = "CHARGEBACKS_LOST",
        /// What compensations cost.
        Compensations = "COMPENSATIONS",
        /// Compensations that are to be paid.
        CompensationsDue = "COMPENSATIONS_DUE",
        /// What the retailer paid out itself.
        RetailerPaid = "RETAILER_PAID",
        /// What partners see in the place of the retailer's own accounts.
        RetailerBooks = "RETAILER_BOOKS",
    }
}

impl Account {
    /// What a partner sees of it: the accounts between it and the retailer.
    pub fn for_partner(self) -> Account {
        match self {
            Account::PartnerHeld
            | Account::PartnerSubsidy
            | Account::PartnerClaim
            | Account::RefundsDue
            | Account::SubsidyDue
            | Account::ChargebacksOpen
            | Account::CompensationsDue => self,
            _ => Account::RetailerBooks,
        }
    }

    fn claim_on(bearer: CostBearer, own: Account) -> Account {
        match bearer {
            CostBearer::Retailer => own,
            CostBearer::Partner => Account::PartnerClaim,
            CostBearer::Creator => Account::CreatorClaim,
            CostBearer::Carrier => Account::CarrierClaim,
        }
    }
}

/// An amount that is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerLine {
    /// What it is of.
    pub line_type: LineType,
    /// Where it is taken from.
    pub credit: Account,
    /// Where it goes.
    pub debit: Account,
    /// Positive.
    pub amount: i64,
}

/// What decides between which accounts an entry moves its amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Terms {
    /// What happened.
    pub step: LedgerStep,
    /// Who bears the cost.
    pub cost_bearer: CostBearer,
    /// Whether it is of an order line; else of the order as a whole.
    pub of_line: bool,
}

/// The amounts of an entry. For a sale the goods are at their price, before discounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// By part.
    pub parts: Parts,
    /// What the retailer took off; of sales only.
    pub retailer_discount: i64,
}

/// One step of one order line, or of the order as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The entry.
    pub entry_id: LedgerEntryId,
    /// The order.
    pub order_id: OrderId,
    /// Its partner.
    pub partner_id: PartnerId,
    /// The place of the line in the order; none for the order as a whole.
    pub line: Option<usize>,
    /// What happened.
    pub step: LedgerStep,
    /// Who bears the cost.
    pub cost_bearer: CostBearer,
    /// The payment, refund, chargeback or compensation.
    pub source_id: String,
    /// What it undoes.
    pub reverses: Option<LedgerEntryId>,
    /// Of every amount.
    pub currency: Currency,
    /// How much.
    pub amounts: Amounts,
    /// When.
    pub record_time: Micros,
}

impl LedgerEntry {
    /// What decides between which accounts it moves its amounts.
    pub fn terms(&self) -> Terms {
        Terms {
            step: self.step,
            cost_bearer: self.cost_bearer,
            of_line: self.line.is_some(),
        }
    }

    /// What it moves: nothing of zero.
    pub fn lines(&self) -> Vec<LedgerLine> {
        self.terms().lines(&self.amounts)
    }
}

impl Terms {
    /// What amounts of such entries move, of one or of many together.
    pub fn lines(self, amounts: &Amounts) -> Vec<LedgerLine> {
        let mut lines = match self.step {
            LedgerStep::Sale => sale(amounts),
            LedgerStep::Unapplied => vec![(
                LineType::Unapplied,
                Account::Unapplied,
                Account::PartnerHeld,
                amounts.parts.goods,
            )],
            LedgerStep::RefundAuthorised => self.refund(&amounts.parts),
            LedgerStep::RefundWithdrawn => turned(self.refund(&amounts.parts)),
            LedgerStep::RefundExecuted => vec![
                (
                    LineType::Refund,
                    Account::PartnerHeld,
                    Account::RefundsDue,
                    amounts.parts.shopper(),
                ),
                (
                    LineType::Refund,
                    Account::PartnerSubsidy,
                    Account::SubsidyDue,
                    amounts.parts.partner,
                ),
            ],
            LedgerStep::ChargebackOpened => chargeback(&amounts.parts),
            LedgerStep::ChargebackWon => turned(chargeback(&amounts.parts)),
            LedgerStep::ChargebackLost => {
                let gone = match self.of_line {
                    true => Account::ChargebacksLost,
                    // It was to go back in any case.
                    false => Account::Unapplied,
                };
                let amount = amounts.parts.shopper();
                vec![(LineType::Chargeback, Account::ChargebacksOpen, gone, amount)]
            }
            LedgerStep::CompensationAuthorised => {
                let cost = Account::claim_on(self.cost_bearer, Account::Compensations);
                compensation(Account::CompensationsDue, cost, amounts)
            }
            LedgerStep::CompensationPartnerPaid => {
                compensation(Account::PartnerHeld, Account::CompensationsDue, amounts)
            }
            LedgerStep::CompensationRetailerPaid => {
                compensation(Account::RetailerPaid, Account::CompensationsDue, amounts)
            }
        };
        lines.retain(|(_, _, _, amount)| *amount != 0);
        lines
            .into_iter()
            .map(|(line_type, credit, debit, amount)| LedgerLine {
                line_type,
                credit,
                debit,
                amount,
            })
            .collect()
    }

    fn refund(self, parts: &Parts) -> Vec<Move> {
        let of = |own: Account| {
            let own = match self.of_line {
                true => own,
                false => Account::Unapplied,
            };
            Account::claim_on(self.cost_bearer, own)
        };
        let (due, subsidy) = (Account::RefundsDue, Account::SubsidyDue);
        let mut moves = vec![
            (LineType::Refund, due, of(Account::Sales), parts.goods),
            (LineType::Refund, due, of(Account::Shipping), parts.shipping),
            (LineType::Refund, due, of(Account::Tax), parts.tax_added()),
            (LineType::Refund, subsidy, of(Account::Sales), parts.partner),
        ];
        // The sale is taken back by so much only where the retailer bears it; else the tax on it stays due.
        if parts.tax_included && self.cost_bearer == CostBearer::Retailer {
            moves.push((LineType::Tax, Account::Sales, Account::Tax, parts.tax));
        }
        moves
    }
}

/// What, from where, where to, how much.
type Move = (LineType, Account, Account, i64);

fn sale(amounts: &Amounts) -> Vec<Move> {
    let (parts, held) = (&amounts.parts, Account::PartnerHeld);
    let taxed = if parts.tax_included {
        Account::Sales
    } else {
        held
    };
    vec![
        (LineType::Gross, Account::Sales, held, parts.goods),
        (
            LineType::RetailerDiscount,
            held,
            Account::Discounts,
            amounts.retailer_discount,
        ),
        (
            LineType::PartnerDiscount,
            held,
            Account::PartnerSubsidy,
            parts.partner,
        ),
        (LineType::Shipping, Account::Shipping, held, parts.shipping),
        (LineType::Tax, Account::Tax, taxed, parts.tax),
    ]
}

fn chargeback(parts: &Parts) -> Vec<Move> {
    let (held, open) = (Account::PartnerHeld, Account::ChargebacksOpen);
    vec![(LineType::Chargeback, held, open, parts.shopper())]
}

fn compensation(credit: Account, debit: Account, amounts: &Amounts) -> Vec<Move> {
    vec![(LineType::Compensation, credit, debit, amounts.parts.goods)]
}

fn turned(moves: Vec<Move>) -> Vec<Move> {
    moves
        .into_iter()
        .map(|(line_type, credit, debit, amount)| (line_type, debit, credit, amount))
        .collect()
}

/// What was moved on an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// What went to it.
    pub debit: i64,
    /// What was taken from it.
    pub credit: i64,
}

impl Moved {
    /// Debit less credit.
    pub fn balance(&self) -> i64 {
        self.debit - self.credit
    }
}

/// Adds lines to what was moved on their accounts; none when it does not fit 64 bits.
pub fn post(into: &mut BTreeMap<Account, Moved>, lines: &[LedgerLine]) -> Option<()> {
    for line in lines {
        let from = into.entry(line.credit).or_default();
        from.credit = from.credit.checked_add(line.amount)?;
        let to = into.entry(line.debit).or_default();
        to.debit = to.debit.checked_add(line.amount)?;
    }
    Some(())
}

/// The lines as a partner sees them: those that touch an account of its own.
pub fn for_partner(lines: Vec<LedgerLine>) -> Vec<LedgerLine> {
    lines
        .into_iter()
        .map(|line| LedgerLine {
            credit: line.credit.for_partner(),
            debit: line.debit.for_partner(),
            ..line
        })
        .filter(|line| line.credit != line.debit)
        .collect()
}

/// What of the lines' money has gone back, is to, or was taken by a bank, line by line.
pub fn given<'a>(entries: impl IntoIterator<Item = &'a LedgerEntry>, lines: usize) -> Vec<Parts> {
    let mut given = vec![Parts::default(); lines];
    for entry in entries {
        let Some(line) = entry.line.and_then(|at| given.get_mut(at)) else {
            continue;
        };
        match entry.step {
            LedgerStep::RefundAuthorised | LedgerStep::ChargebackOpened => {
                *line = line.plus(entry.amounts.parts);
            }
            LedgerStep::RefundWithdrawn | LedgerStep::ChargebackWon => {
                *line = line.minus(entry.amounts.parts);
            }
            _ => {}
        }
    }
    given
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
