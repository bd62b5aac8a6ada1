//! What one person may not decide alone: it waits for somebody else of finance.
//!
//! A proposal sets nothing aside: what is left is looked at when it is approved.

use contracts::ErrorReason;
use contracts::id::{OrderId, OrderLineId, RefundProposalId};
use contracts::money::Currency;
use kit::clock::Micros;
use kit::errors::Refusal;

use super::ledger::CostBearer;
use super::money::{CompensationReason, Payer};
use super::payment::RefundReason;
use super::refund_decided::LineDraft;
use super::words::words;

words! {
    /// Where a proposal is.
    ProposalState {
        /// Waits for somebody else.
        Proposed = "PROPOSED",
        /// Approved.
        Approved = "APPROVED",
        /// Rejected.
        Rejected = "REJECTED",
    }
}

/// A refund that somebody of the retailer wants.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RefundDraft {
    /// Why.
    pub reason: RefundReason,
    /// Who bears the cost.
    pub cost_bearer: CostBearer,
    /// Line by line; or empty.
    pub lines: Vec<LineDraft>,
    /// With no lines: to the shopper in all.
    pub shopper: i64,
}

/// A compensation that somebody of the retailer wants.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CompensationDraft {
    /// The line; none for the order as a whole.
    pub line: Option<OrderLineId>,
    /// Why.
    pub reason: CompensationReason,
    /// How much.
    pub amount: i64,
    /// Who bears the cost.
    pub cost_bearer: CostBearer,
    /// Who pays it out.
    pub payer: Payer,
    /// The aftersale or case that it belongs to.
    pub matter_reference: String,
}

/// One of the two.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Draft {
    /// A refund.
    Refund(RefundDraft),
    /// A compensation.
    Compensation(CompensationDraft),
}

impl Draft {
    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Draft::Refund(_) => "REFUND",
            Draft::Compensation(_) => "COMPENSATION",
        }
    }

    /// To the shopper and to the partner; sums were checked when it was made.
    pub fn amounts(&self) -> (i64, i64) {
        match self {
            Draft::Compensation(draft) => (draft.amount, 0),
            Draft::Refund(draft) if draft.lines.is_empty() => (draft.shopper, 0),
            Draft::Refund(draft) => draft.lines.iter().fold((0, 0), |(shopper, partner), line| {
                (
                    line.shopper.saturating_add(shopper),
                    line.partner.saturating_add(partner),
                )
            }),
        }
    }
}

/// A draft as it was kept, with its currency.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Priced {
    /// What is wanted.
    pub draft: Draft,
    /// The order's currency.
    pub currency_code: String,
}

/// What waits, or waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The proposal.
    pub refund_proposal_id: RefundProposalId,
    /// The order.
    pub order_id: OrderId,
    /// What is wanted.
    pub draft: Draft,
    /// Of its amounts.
    pub currency: Currency,
    /// The proposer's note.
    pub note: String,
    /// State.
    pub state: ProposalState,
    /// Who proposed it.
    pub proposer: String,
    /// Who decided.
    pub decider: String,
    /// The decider's note.
    pub decision_note: String,
    /// The refund or the compensation, once approved.
    pub made_id: String,
    /// When it was proposed.
    pub create_time: Micros,
    /// When it was decided.
    pub decide_time: Option<Micros>,
}

impl Proposal {
    /// Whether somebody may decide on it.
    pub fn check(&self, decider: &str) -> Result<(), Refusal> {
        if self.state != ProposalState::Proposed {
            return Err(Refusal::wrong_state(
                "refund_proposal",
                self.state,
                "The proposal is decided already.",
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
}

/// Whether one person may decide on this much alone: at most so many major units of the currency.
pub fn is_alone(amount: i64, currency: Currency, alone_max_units: u64) -> bool {
    let minor = 10i128.pow(u32::from(currency.exponent()));
    i128::from(amount) <= i128::from(alone_max_units) * minor
}
