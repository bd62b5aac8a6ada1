//! Money that was stated, and money that is to go back.

use contracts::id::{AftersaleId, OrderId, OrderLineId, PartnerId, PaymentId, RefundId, ReturnId};
use contracts::money::Money;
use kit::clock::Micros;

use super::ledger::CostBearer;
use super::refund::Parts;
use super::refund_report::RefundFailure;
use super::words::words;

words! {
    /// What happened when a payment statement was recorded.
    PaymentOutcome {
        /// The order is paid.
        Paid = "PAID",
        /// A part is paid.
        PartiallyPaid = "PARTIALLY_PAID",
        /// A person must look at it.
        NeedsReview = "NEEDS_REVIEW",
        /// The money was recorded and is to be paid back.
        RefundDue = "REFUND_DUE",
    }
}

words! {
    /// Why money is to be paid back.
    RefundReason {
        /// Paid after the hold ended, and no units were left.
        HoldExpired = "HOLD_EXPIRED",
        /// Paid after the order was cancelled.
        OrderCancelled = "ORDER_CANCELLED",
        /// The order was paid already.
        DuplicatePayment = "DUPLICATE_PAYMENT",
        /// The amount paid is not the amount payable.
        AmountMismatch = "AMOUNT_MISMATCH",
        /// The sale was stopped before the payment.
        SaleStopped = "SALE_STOPPED",
        /// Lines were cancelled after payment.
        LinesCancelled = "LINES_CANCELLED",
        /// A parcel was lost or came back.
        Undelivered = "UNDELIVERED",
        /// Goods were returned.
        Returned = "RETURNED",
        /// Given out of kindness.
        Goodwill = "GOODWILL",
        /// What an aftersale was settled on without goods coming back.
        Aftersale = "AFTERSALE",
        /// It never arrived, whatever tracking says.
        NeverArrived = "NEVER_ARRIVED",
        /// The goods are not what was described, and stay with the shopper.
        NotAsDescribed = "NOT_AS_DESCRIBED",
        /// The price was too high.
        PriceAdjustment = "PRICE_ADJUSTMENT",
    }
}

impl RefundReason {
    /// Whether it is for units of lines, out of the payment that paid the order; else it is a whole payment that did
    /// not pay it.
    pub fn is_of_lines(self) -> bool {
        !matches!(
            self,
            RefundReason::HoldExpired
                | RefundReason::OrderCancelled
                | RefundReason::DuplicatePayment
                | RefundReason::AmountMismatch
                | RefundReason::SaleStopped
        )
    }

    /// Whether people decide on it, not what happened to units or payments.
    pub fn is_decided(self) -> bool {
        matches!(
            self,
            RefundReason::Goodwill
                | RefundReason::NeverArrived
                | RefundReason::NotAsDescribed
                | RefundReason::PriceAdjustment
        )
    }
}

words! {
    /// Where a refund is.
    RefundState {
        /// The retailer says: pay it back.
        Authorised = "AUTHORISED",
        /// The partner says: paid back.
        Executed = "EXECUTED",
        /// The partner could not.
        Failed = "FAILED",
        /// It failed and was given up.
        Withdrawn = "WITHDRAWN",
    }
}

/// A signed text. Whoever has it could show it as their own, so it is never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Signed(pub String);

impl std::fmt::Debug for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signed(..)")
    }
}

/// A recorded payment, as it was recorded; it never changes but for what was paid back of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The payment.
    pub payment_id: PaymentId,
    /// The order.
    pub order_id: OrderId,
    /// The partner.
    pub partner_id: PartnerId,
    /// The partner's reference; once per order.
    pub payment_reference: String,
    /// The shopper's money.
    pub amount: Money,
    /// What the partner added at its own cost; 0 when the payment did not pay the order.
    pub partner_amount: i64,
    /// What is to go back to the shopper so far.
    pub refunded: i64,
    /// What is to go back to the partner so far.
    pub partner_refunded: i64,
    /// What became of it.
    pub outcome: PaymentOutcome,
    /// With REFUND_DUE: the refund that was authorised with it, and why.
    pub refund: Option<(RefundId, RefundReason)>,
    /// The key the statement was signed with.
    pub kid: String,
    /// The statement itself, the proof of it all.
    pub statement: Signed,
    /// When the partner says it was paid.
    pub pay_time: Micros,
    /// When it was recorded.
    pub record_time: Micros,
}

impl Payment {
    /// The refund as first authorised; none when the payment paid the order. Money that did not pay the
    /// order goes back as a whole to the shopper; the partner added nothing to it.
    pub fn first_refund(&self) -> Option<Refund> {
        let (refund_id, reason) = self.refund?;
        Some(Refund {
            refund_id,
            order_id: self.order_id,
            partner_id: self.partner_id,
            payment_id: self.payment_id,
            payment_reference: self.payment_reference.clone(),
            reason,
            shopper_amount: self.amount,
            partner_amount: Money::zero(self.amount.currency),
            state: RefundState::Authorised,
            lines: Vec::new(),
            return_id: None,
            aftersale_id: None,
            cost_bearer: CostBearer::Retailer,
            partner_first: false,
            create_time: self.record_time,
            attempt: 1,
            failure: None,
            refund_reference: String::new(),
            report_time: None,
            finish_time: None,
            version: 1,
        })
    }
}

/// A quantity of one line that is paid back for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RefundLine {
    /// The line.
    pub order_line_id: OrderLineId,
    /// How many of it; 0 when it is for money only.
    pub quantity: i64,
    /// What goes back of the line; not known of refunds from before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Parts>,
}

/// An instruction to the partner to pay money back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// The refund.
    pub refund_id: RefundId,
    /// The order.
    pub order_id: OrderId,
    /// The partner.
    pub partner_id: PartnerId,
    /// The payment it is paid back from.
    pub payment_id: PaymentId,
    /// Its reference at the partner.
    pub payment_reference: String,
    /// Why.
    pub reason: RefundReason,
    /// To the shopper.
    pub shopper_amount: Money,
    /// Back to the partner: its own discount.
    pub partner_amount: Money,
    /// State.
    pub state: RefundState,
    /// Lines it is for; empty for a whole payment.
    pub lines: Vec<RefundLine>,
    /// The return it is for.
    pub return_id: Option<ReturnId>,
    /// The aftersale that was settled with it.
    pub aftersale_id: Option<AftersaleId>,
    /// Who bears its cost.
    pub cost_bearer: CostBearer,
    /// Whether the partner paid it back first and told afterwards.
    pub partner_first: bool,
    /// When it was authorised.
    pub create_time: Micros,
    /// How often it was issued.
    pub attempt: i64,
    /// Why the partner could not execute it; set while it is FAILED.
    pub failure: Option<RefundFailure>,
    /// The partner's own reference of it, once it was reported.
    pub refund_reference: String,
    /// When the partner executed it or failed to, by its own clock.
    pub report_time: Option<Micros>,
    /// When that was recorded.
    pub finish_time: Option<Micros>,
    /// Grows with every change.
    pub version: i64,
}

impl Refund {
    /// The etag that callers see.
    pub fn etag(&self) -> String {
        format!("v{}", self.version)
    }
}
