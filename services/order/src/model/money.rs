//! Money beside refunds: compensations and chargebacks.
//!
//! ```text
//! compensation   AUTHORISED ──paid, by the partner or by the retailer──▶ EXECUTED
//!                    └──the partner could not──▶ FAILED ──paid by the retailer──▶ EXECUTED
//! chargeback     OPENED ──▶ WON | LOST
//! ```
//!
//! A compensation takes nothing of what was paid for the order, so it is bound by nothing but who may decide on it. A
//! chargeback takes the shopper's money of one payment, as long as none of it is refunded or to be: the same money is
//! never both. While it is OPENED or LOST its amount is gone from what is left of the lines; WON gives it back.

use contracts::ErrorReason;
use contracts::id::{ChargebackId, CompensationId, OrderId, OrderLineId, PartnerId, PaymentId};
use contracts::money::Money;
use kit::clock::Micros;
use kit::errors::Refusal;

use super::ledger::CostBearer;
use super::payment::Signed;
use super::refund_report::RefundFailure;
use super::words::words;

words! {
    /// Why a shopper is compensated.
    CompensationReason {
        /// The goods were counterfeit.
        Counterfeit = "COUNTERFEIT",
        /// Too late.
        Late = "LATE",
        /// The goods did damage.
        Damage = "DAMAGE",
        /// A promise of the sale was broken in another way.
        BrokenPromise = "BROKEN_PROMISE",
        /// Anything else.
        Other = "OTHER",
    }
}

words! {
    /// Where a compensation is.
    CompensationState {
        /// To be paid.
        Authorised = "AUTHORISED",
        /// Paid.
        Executed = "EXECUTED",
        /// The partner could not pay it.
        Failed = "FAILED",
    }
}

words! {
    /// Who pays a compensation out.
    Payer {
        /// The partner, out of the money that it holds.
        Partner = "PARTNER",
        /// The retailer, directly.
        Retailer = "RETAILER",
    }
}

words! {
    /// Where a chargeback is.
    ChargebackState {
        /// The bank has the money and has not decided.
        Opened = "OPENED",
        /// Decided for the retailer.
        Won = "WON",
        /// Decided for the shopper.
        Lost = "LOST",
    }
}

/// Money for a shopper that is no refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compensation {
    /// The compensation.
    pub compensation_id: CompensationId,
    /// The order.
    pub order_id: OrderId,
    /// The partner.
    pub partner_id: PartnerId,
    /// The line, by its place and its id; none for the order as a whole.
    pub line: Option<(usize, OrderLineId)>,
    /// Why.
    pub reason: CompensationReason,
    /// How much; positive.
    pub amount: Money,
    /// Who bears its cost.
    pub cost_bearer: CostBearer,
    /// Who pays it out.
    pub payer: Payer,
    /// State.
    pub state: CompensationState,
    /// Why the partner could not pay it; set while it is FAILED.
    pub failure: Option<RefundFailure>,
    /// The payer's own reference; empty while it is AUTHORISED.
    pub compensation_reference: String,
    /// The aftersale or case that it belongs to; may be empty.
    pub matter_reference: String,
    /// The key that the partner's report was signed with.
    pub kid: String,
    /// The partner's report.
    pub statement: Signed,
    /// When it was authorised.
    pub create_time: Micros,
    /// When it was recorded as paid or failed.
    pub finish_time: Option<Micros>,
    /// Grows with every change.
    pub version: i64,
}

/// What a partner stated of a compensation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompensationStatement {
    /// The order.
    pub order_id: OrderId,
    /// The compensation.
    pub compensation_id: CompensationId,
    /// How much.
    pub amount: Money,
    /// The partner's own reference.
    pub compensation_reference: String,
    /// Why it failed; none when it was paid.
    pub failure: Option<RefundFailure>,
}

impl Compensation {
    /// Takes the partner's report; false when it was taken before.
    pub fn report(&mut self, stated: &CompensationStatement, now: Micros) -> Result<bool, Refusal> {
        let state = match stated.failure {
            None => CompensationState::Executed,
            Some(_) => CompensationState::Failed,
        };
        let known = self.state == state
            && self.payer == Payer::Partner
            && self.compensation_reference == stated.compensation_reference
            && self.failure == stated.failure;
        if known {
            return Ok(false);
        }
        if self.payer == Payer::Retailer {
            return Err(Refusal::wrong_state(
                "compensation",
                self.state,
                "The retailer pays this compensation itself.",
            ));
        }
        if self.state != CompensationState::Authorised {
            let message =
                "The compensation was reported before; this statement says something else.";
            return Err(
                Refusal::new(ErrorReason::RefundContradicted, message).with("state", self.state)
            );
        }
        self.state = state;
        self.failure = stated.failure;
        self.compensation_reference
            .clone_from(&stated.compensation_reference);
        self.finish_time = Some(now);
        self.version += 1;
        Ok(true)
    }

    /// The retailer has paid it.
    pub fn complete(&mut self, reference: &str, now: Micros) -> Result<(), Refusal> {
        let own = self.payer == Payer::Retailer && self.state == CompensationState::Authorised;
        if !own && self.state != CompensationState::Failed {
            return Err(Refusal::wrong_state(
                "compensation",
                self.state,
                "The retailer pays only what is its own to pay, or what the partner could not.",
            ));
        }
        self.payer = Payer::Retailer;
        self.state = CompensationState::Executed;
        self.failure = None;
        self.compensation_reference = reference.to_owned();
        self.finish_time = Some(now);
        self.version += 1;
        Ok(())
    }
}

/// Money that a shopper's bank took back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chargeback {
    /// The chargeback.
    pub chargeback_id: ChargebackId,
    /// The order.
    pub order_id: OrderId,
    /// The partner.
    pub partner_id: PartnerId,
    /// The payment it is of.
    pub payment_id: PaymentId,
    /// Its reference at the partner.
    pub payment_reference: String,
    /// The partner's reference of the chargeback; once per order.
    pub chargeback_reference: String,
    /// How much; positive.
    pub amount: Money,
    /// State.
    pub state: ChargebackState,
    /// When it was opened, by the partner's clock.
    pub open_time: Micros,
    /// When it was decided, by the partner's clock.
    pub decide_time: Option<Micros>,
    /// When it was recorded.
    pub create_time: Micros,
    /// Grows with every change.
    pub version: i64,
}

/// What a partner stated of a chargeback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargebackStatement {
    /// What happened to it.
    pub state: ChargebackState,
    /// The order.
    pub order_id: OrderId,
    /// The payment's reference.
    pub payment_reference: String,
    /// The partner's reference of the chargeback.
    pub chargeback_reference: String,
    /// How much; positive.
    pub amount: Money,
    /// When, by the partner's clock.
    pub report_time: Micros,
}

impl Chargeback {
    /// Takes a statement about one that is known; gives it as it was right after it, and whether it changed by it.
    pub fn report(&mut self, stated: &ChargebackStatement) -> Result<(Chargeback, bool), Refusal> {
        let about =
            self.payment_reference == stated.payment_reference && self.amount == stated.amount;
        let contradicted = || {
            let message = "The chargeback was reported before; this statement says something else.";
            Refusal::new(ErrorReason::RefundContradicted, message).with("state", self.state)
        };
        if !about {
            return Err(contradicted());
        }
        if stated.state == ChargebackState::Opened {
            if self.open_time != stated.report_time {
                return Err(contradicted());
            }
            let opened = Chargeback {
                state: ChargebackState::Opened,
                decide_time: None,
                version: 1,
                ..self.clone()
            };
            return Ok((opened, false));
        }
        if self.state != ChargebackState::Opened {
            let same = self.state == stated.state && self.decide_time == Some(stated.report_time);
            return match same {
                true => Ok((self.clone(), false)),
                false => Err(contradicted()),
            };
        }
        self.state = stated.state;
        self.decide_time = Some(stated.report_time);
        self.version += 1;
        Ok((self.clone(), true))
    }
}
