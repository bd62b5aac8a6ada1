//! What a partner reports of a refund, signed, and issuing a refund again.
//!
//! ```text
//! AUTHORISED ──executed──▶ EXECUTED
//!    │    ▲
//!  failed │ reissued, one more attempt
//!    ▼    │
//!    FAILED ──given up──▶ WITHDRAWN
//! ```
//!
//! What a partner paid back first is EXECUTED from the beginning. Only what FAILED can be given up: of what is
//! AUTHORISED nobody here knows whether the partner has paid it already.
//!
//! Each attempt is reported once, under a reference of the partner that is used once per refund. So a report that
//! comes again, however late and after whatever happened since, is known by its reference and does nothing.

use contracts::ErrorReason;
use contracts::id::{OrderId, OrderLineId, RefundId};
use contracts::money::Currency;
use kit::clock::Micros;
use kit::errors::Refusal;

use super::payment::{Refund, RefundState, Signed};
use super::refund::{Parts, RefundShares};
use super::words::words;

words! {
    /// Why a partner could not execute a refund.
    RefundFailure {
        /// The account or card takes no money any more.
        AccountClosed = "ACCOUNT_CLOSED",
        /// The bank or payment provider said no.
        Declined = "DECLINED",
        /// The payment is too old to be paid back the way it was paid.
        PaymentTooOld = "PAYMENT_TOO_OLD",
        /// The partner's own account did not cover it.
        InsufficientFunds = "INSUFFICIENT_FUNDS",
        /// Anything else.
        Other = "OTHER",
    }
}

/// What a partner stated of a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundStatement {
    /// The order.
    pub order_id: OrderId,
    /// The refund.
    pub refund_id: RefundId,
    /// What it pays back.
    pub amounts: RefundShares,
    /// In which currency.
    pub currency: Currency,
    /// The partner's own reference of this attempt.
    pub refund_reference: String,
    /// Why it failed; none when it was executed.
    pub failure: Option<RefundFailure>,
    /// When it was executed or failed, by the partner's clock.
    pub report_time: Micros,
}

/// A statement as it was recorded. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundReport {
    /// Of which refund.
    pub refund_id: RefundId,
    /// Which attempt it ended.
    pub attempt: i64,
    /// The partner's reference of it.
    pub refund_reference: String,
    /// Why it failed; none when it was executed.
    pub failure: Option<RefundFailure>,
    /// When it was executed or failed, by the partner's clock.
    pub report_time: Micros,
    /// When it was recorded.
    pub record_time: Micros,
    /// The refund's version right after it.
    pub version: i64,
    /// The key it was signed with.
    pub kid: String,
    /// The statement itself.
    pub statement: Signed,
}

impl RefundReport {
    /// Whether this is what the statement says; the signature may be another.
    pub fn says(&self, stated: &RefundStatement) -> bool {
        self.refund_reference == stated.refund_reference
            && self.failure == stated.failure
            && self.report_time == stated.report_time
    }
}

impl RefundStatement {
    /// Whether it is about exactly this refund: the order, both amounts, the currency.
    pub fn is_about(&self, refund: &Refund) -> bool {
        self.refund_id == refund.refund_id
            && self.order_id == refund.order_id
            && self.currency == refund.shopper_amount.currency
            && self.amounts == refund.amounts()
    }
}

impl Refund {
    /// What it pays back, by who gets it.
    pub fn amounts(&self) -> RefundShares {
        RefundShares {
            shopper: self.shopper_amount.minor_units,
            partner: self.partner_amount.minor_units,
        }
    }

    /// Takes a report at `now`; the statement has been found to be about this refund and its reference to be new.
    pub fn report(&mut self, stated: &RefundStatement, now: Micros) -> Result<(), Refusal> {
        if self.state != RefundState::Authorised {
            return Err(self.contradicted());
        }
        self.state = match stated.failure {
            None => RefundState::Executed,
            Some(_) => RefundState::Failed,
        };
        self.failure = stated.failure;
        self.refund_reference.clone_from(&stated.refund_reference);
        self.report_time = Some(stated.report_time);
        self.finish_time = Some(now);
        self.version += 1;
        Ok(())
    }

    /// As it was right after a report that was recorded before.
    pub fn as_reported(&self, report: &RefundReport) -> Refund {
        Refund {
            state: match report.failure {
                None => RefundState::Executed,
                Some(_) => RefundState::Failed,
            },
            attempt: report.attempt,
            failure: report.failure,
            refund_reference: report.refund_reference.clone(),
            report_time: Some(report.report_time),
            finish_time: Some(report.record_time),
            version: report.version,
            ..self.clone()
        }
    }

    /// The refusal of a statement that says something else than what was reported.
    pub fn contradicted(&self) -> Refusal {
        let message = match self.state {
            RefundState::Failed => {
                "The refund was reported as failed; it can be reported again once the retailer has issued it again."
            }
            RefundState::Executed => {
                "The refund was reported as executed, which is final; this statement says something else."
            }
            RefundState::Withdrawn => {
                "The refund failed and the retailer has given it up; nothing is to be paid back by it."
            }
            RefundState::Authorised => {
                "This refund_reference was used for an earlier attempt with another statement; use a new one."
            }
        };
        Refusal::new(ErrorReason::RefundContradicted, message).with("state", self.state)
    }

    /// Issues it again.
    pub fn reissue(&mut self) -> Result<(), Refusal> {
        if self.state != RefundState::Failed {
            return Err(Refusal::wrong_state(
                "refund",
                self.state,
                "Only a refund that failed can be issued again.",
            ));
        }
        self.state = RefundState::Authorised;
        self.attempt += 1;
        self.failure = None;
        self.refund_reference = String::new();
        self.report_time = None;
        self.finish_time = None;
        self.version += 1;
        Ok(())
    }

    /// Gives it up: its money is free for another way.
    pub fn withdraw(&mut self, now: Micros) -> Result<(), Refusal> {
        if self.state != RefundState::Failed {
            return Err(Refusal::wrong_state(
                "refund",
                self.state,
                "Only a refund that failed can be given up.",
            ));
        }
        self.state = RefundState::Withdrawn;
        self.failure = None;
        self.finish_time = Some(now);
        self.version += 1;
        Ok(())
    }

    /// What goes back of its lines, where it is known.
    pub fn parts(&self) -> impl Iterator<Item = (&OrderLineId, Parts)> {
        self.lines
            .iter()
            .filter_map(|line| Some((&line.order_line_id, line.parts?)))
    }
}
