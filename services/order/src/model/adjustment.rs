//! Corrections of the ledger by hand: finance moves on what an entry put on the wrong account, and somebody else of
//! finance approves it.
//!
//! Entries never change, so a correction is one more movement that names what it corrects. It moves no money of shoppers
//! or partners: accounts that follow from signed statements (what partners hold, what is due, what a bank took) are out
//! of its reach. The commonest is a cost that somebody else bears after all, such as a lost chargeback that the carrier's
//! insurance pays, or a claim that was refused.
//!
//! Of what an entry put on an account, adjustments never move on more than that; whoever approves looks again, with the
//! order's row locked.

use contracts::ErrorReason;
use contracts::id::{LedgerAdjustmentId, LedgerEntryId, OrderId, OrderLineId, PartnerId};
use contracts::money::Money;
use kit::clock::Micros;
use kit::errors::Refusal;

use super::ledger::{Account, LedgerLine, LineType};
use super::words::words;

words! {
    /// Why the ledger is corrected.
    AdjustmentReason {
        /// Somebody else bears the cost.
        OtherBearer = "OTHER_BEARER",
        /// A claim was refused.
        ClaimRefused = "CLAIM_REFUSED",
        /// It was on the wrong account of the retailer.
        WrongAccount = "WRONG_ACCOUNT",
        /// An adjustment was wrong itself.
        TakenBack = "TAKEN_BACK",
        /// None of these.
        Other = "OTHER",
    }
}

words! {
    /// Where an adjustment is.
    AdjustmentState {
        /// Waits for somebody else.
        Proposed = "PROPOSED",
        /// Approved.
        Approved = "APPROVED",
        /// Rejected.
        Rejected = "REJECTED",
    }
}

/// Whether no signed statement decides on what stands on an account, so that people may.
pub fn may_be_corrected(account: Account) -> bool {
    matches!(
        account,
        Account::Sales
            | Account::Discounts
            | Account::Shipping
            | Account::Tax
            | Account::Compensations
            | Account::ChargebacksLost
            | Account::PartnerClaim
            | Account::CreatorClaim
            | Account::CarrierClaim
    )
}

/// A correction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    /// The adjustment.
    pub adjustment_id: LedgerAdjustmentId,
    /// The order.
    pub order_id: OrderId,
    /// Its partner.
    pub partner_id: PartnerId,
    /// The line's place and id, as of what is adjusted; none for the order as a whole.
    pub line: Option<(usize, OrderLineId)>,
    /// The entry of which it moves an amount on.
    pub adjusted_entry_id: LedgerEntryId,
    /// Why.
    pub reason: AdjustmentReason,
    /// Where the entry put it.
    pub credit: Account,
    /// Where it goes.
    pub debit: Account,
    /// How much.
    pub amount: Money,
    /// The proposer's note.
    pub note: String,
    /// State.
    pub state: AdjustmentState,
    /// Who proposed it.
    pub proposer: String,
    /// Who decided.
    pub decider: String,
    /// The decider's note.
    pub decision_note: String,
    /// Its own entry, once approved.
    pub entry_id: Option<LedgerEntryId>,
    /// When it was proposed.
    pub create_time: Micros,
    /// When it was decided.
    pub decide_time: Option<Micros>,
}

impl Adjustment {
    /// What it moves.
    pub fn moved(&self) -> LedgerLine {
        LedgerLine {
            line_type: LineType::Adjustment,
            credit: self.credit,
            debit: self.debit,
            amount: self.amount.minor_units,
        }
    }

    /// What it undoes: all of another adjustment.
    pub fn reverses(&self) -> Option<LedgerEntryId> {
        (self.reason == AdjustmentReason::TakenBack).then_some(self.adjusted_entry_id)
    }

    /// Whether somebody may decide on it.
    pub fn check_decider(&self, decider: &str) -> Result<(), Refusal> {
        if self.state != AdjustmentState::Proposed {
            return Err(Refusal::wrong_state(
                "ledger_adjustment",
                self.state,
                "The adjustment is decided already.",
            ));
        }
        if decider == self.proposer {
            return Err(Refusal::new(
                ErrorReason::SelfApproval,
                "Who proposed it does not decide; somebody else of finance does.",
            ));
        }
        Ok(())
    }

    /// Whether so much of what `target` moved is left on the account. `known` are the order's adjustments.
    pub fn check_target(&self, target: &Target, known: &[Adjustment]) -> Result<(), Refusal> {
        if self.reason == AdjustmentReason::TakenBack {
            let whole = target.is_adjustment
                && target.lines.iter().any(|line| {
                    (line.credit, line.debit, line.amount)
                        == (self.debit, self.credit, self.amount.minor_units)
                });
            if !whole {
                return Err(Refusal::invalid(
                    "reason",
                    "takes back all of another adjustment: name its own entry, its accounts the other way, and its \
                     amount.",
                ));
            }
        }
        let left = target.left_on(self.credit, known);
        if self.amount.minor_units <= left {
            return Ok(());
        }
        Err(Refusal::new(
            ErrorReason::OverQuantity,
            format!(
                "The entry put {left} minor units on {} that no adjustment has moved on; ask for at most that.",
                self.credit
            ),
        )
        .with("most_minor_units", left))
    }
}

/// What is adjusted: an entry of the ledger, or what another adjustment made.
#[derive(Clone, Debug)]
pub struct Target {
    /// The entry.
    pub entry_id: LedgerEntryId,
    /// The line's place; none for the order as a whole.
    pub line: Option<usize>,
    /// What it moved.
    pub lines: Vec<LedgerLine>,
    /// Whether it is an adjustment itself.
    pub is_adjustment: bool,
}

impl Target {
    /// What it put on an account, less what approved adjustments moved on.
    fn left_on(&self, account: Account, known: &[Adjustment]) -> i64 {
        let put = |line: &&LedgerLine| line.debit == account;
        let put: i64 = self.lines.iter().filter(put).map(|line| line.amount).sum();
        let moved_on = |other: &&Adjustment| {
            other.state == AdjustmentState::Approved
                && other.adjusted_entry_id == self.entry_id
                && other.credit == account
        };
        let moved_on = known.iter().filter(moved_on);
        let moved_on: i64 = moved_on.map(|other| other.amount.minor_units).sum();
        put - moved_on
    }
}

#[cfg(test)]
mod tests {
    use contracts::money::Currency;
    use proptest::prelude::*;

    use super::*;

    fn adjustment(amount: i64, state: AdjustmentState) -> Adjustment {
        Adjustment {
            adjustment_id: LedgerAdjustmentId::from_uuid(1),
            order_id: OrderId::from_uuid(1),
            partner_id: PartnerId::from_uuid(1),
            line: None,
            adjusted_entry_id: LedgerEntryId::from_uuid(9),
            reason: AdjustmentReason::OtherBearer,
            credit: Account::ChargebacksLost,
            debit: Account::CarrierClaim,
            amount: Money::new(Currency::parse("EUR").expect("a currency"), amount),
            note: "n".into(),
            state,
            proposer: "ada".into(),
            decider: String::new(),
            decision_note: String::new(),
            entry_id: None,
            create_time: Micros(1),
            decide_time: None,
        }
    }

    fn target(amount: i64, is_adjustment: bool) -> Target {
        Target {
            entry_id: LedgerEntryId::from_uuid(9),
            line: None,
            lines: vec![LedgerLine {
                line_type: LineType::Chargeback,
                credit: Account::ChargebacksOpen,
                debit: Account::ChargebacksLost,
                amount,
            }],
            is_adjustment,
        }
    }

    proptest! {
        /// Whatever is asked for in which order, what is approved of an entry is never more than it put there.
        #[test]
        fn no_more_is_moved_on_than_was_put_there(put in 1_i64..1_000, asked in prop::collection::vec(1_i64..600, 1..12)) {
            let (target, mut known) = (target(put, false), Vec::new());
            for amount in asked {
                let mut wanted = adjustment(amount, AdjustmentState::Proposed);
                if wanted.check_target(&target, &known).is_ok() {
                    wanted.state = AdjustmentState::Approved;
                    known.push(wanted);
                }
            }
            let moved: i64 = known.iter().map(|known| known.amount.minor_units).sum();
            prop_assert!(moved <= put);
            prop_assert_eq!(target.left_on(Account::ChargebacksLost, &known), put - moved);
        }
    }

    #[test]
    fn proposed_and_rejected_ones_set_nothing_aside() {
        let known = [
            adjustment(70, AdjustmentState::Proposed),
            adjustment(70, AdjustmentState::Rejected),
        ];
        let wanted = adjustment(100, AdjustmentState::Proposed);
        assert!(wanted.check_target(&target(100, false), &known).is_ok());
        let refusal = adjustment(101, AdjustmentState::Proposed)
            .check_target(&target(100, false), &known)
            .expect_err("too much");
        assert_eq!(refusal.reason, ErrorReason::OverQuantity);
    }

    #[test]
    fn only_a_whole_adjustment_is_taken_back() {
        let mut wanted = adjustment(100, AdjustmentState::Proposed);
        wanted.reason = AdjustmentReason::TakenBack;
        (wanted.credit, wanted.debit) = (Account::ChargebacksLost, Account::ChargebacksOpen);
        assert!(wanted.check_target(&target(100, true), &[]).is_ok());
        assert_eq!(wanted.reverses(), Some(wanted.adjusted_entry_id));
        for target in [target(100, false), target(101, true)] {
            let refusal = wanted.check_target(&target, &[]).expect_err("no");
            assert_eq!(refusal.reason, ErrorReason::InvalidField);
        }
    }

    #[test]
    fn who_proposes_never_decides() {
        let wanted = adjustment(1, AdjustmentState::Proposed);
        assert!(wanted.check_decider("ben").is_ok());
        let refusal = wanted.check_decider("ada").expect_err("no");
        assert_eq!(refusal.reason, ErrorReason::SelfApproval);
        let refusal = adjustment(1, AdjustmentState::Rejected)
            .check_decider("ben")
            .expect_err("no");
        assert_eq!(refusal.reason, ErrorReason::WrongState);
    }
}
