//! Goods that come back.
//!
//! Units are set aside on the fulfilment's lines while a return is open, and count as returned once they are
//! received; so every step takes the fulfilment together with the return.

mod eligible;
mod machine;
mod matter;

#[cfg(test)]
mod tests;

pub use eligible::{Delivery, Eligibility, Ineligible, Returnable};
pub use machine::{Approval, Received, ReturnAsk};

use contracts::id::{
    AftersaleId, FulfillmentId, OrderId, OrderLineId, PartnerId, RefundId, ReturnId, VariantId,
};
use contracts::money::Money;
use kit::clock::Micros;

use super::fulfillment::Unit;
use super::words::words;

words! {
    /// Where a return is.
    ReturnState {
        /// Waits for the retailer's decision.
        Requested = "REQUESTED",
        /// Waits for the goods.
        Approved = "APPROVED",
        /// The retailer does not take it.
        Rejected = "REJECTED",
        /// Taken back before anything was received.
        Cancelled = "CANCELLED",
        /// Nothing came in time.
        Expired = "EXPIRED",
        /// The goods are there; waits for the refund.
        Received = "RECEIVED",
        /// The refund was executed.
        Completed = "COMPLETED",
    }
}

words! {
    /// What the shopper wants.
    ReturnKind {
        /// The goods come back, then the money goes back.
        ReturnAndRefund = "RETURN_AND_REFUND",
        /// The money goes back, the goods stay. Not offered yet.
        RefundOnly = "REFUND_ONLY",
        /// The goods come back, another variant goes out. Not offered yet.
        Exchange = "EXCHANGE",
        /// The same goods go out again. Not offered yet.
        Replacement = "REPLACEMENT",
    }
}

words! {
    /// Why a shopper sends something back.
    ReturnReason {
        /// Changed their mind.
        ChangedMind = "CHANGED_MIND",
        /// Does not fit.
        DoesNotFit = "DOES_NOT_FIT",
        /// Is not as it was shown or described.
        NotAsDescribed = "NOT_AS_DESCRIBED",
        /// Does not work.
        Defective = "DEFECTIVE",
        /// Was damaged on its way.
        DamagedInTransit = "DAMAGED_IN_TRANSIT",
        /// Something else came.
        WrongItem = "WRONG_ITEM",
        /// Came too late.
        ArrivedLate = "ARRIVED_LATE",
        /// None of these.
        Other = "OTHER",
    }
}

words! {
    /// How goods came back.
    GoodsCondition {
        /// As it left.
        AsNew = "AS_NEW",
        /// Unpacked, not used.
        Opened = "OPENED",
        /// Used.
        Used = "USED",
        /// Damaged.
        Damaged = "DAMAGED",
        /// Does not work.
        Defective = "DEFECTIVE",
    }
}

impl GoodsCondition {
    /// Whether such goods may go back into the allotment.
    pub fn may_restock(self) -> bool {
        !matches!(self, GoodsCondition::Damaged | GoodsCondition::Defective)
    }
}

words! {
    /// Who asked for a return.
    ReturnInitiator {
        /// The partner, for its shopper.
        Partner = "PARTNER",
        /// The retailer's care.
        Retailer = "RETAILER",
    }
}

words! {
    /// Where the money of a return is, as the order service tells it.
    RefundState {
        /// The retailer says: pay it back.
        Authorised = "AUTHORISED",
        /// The partner says: paid back.
        Executed = "EXECUTED",
        /// The partner could not; it is to be issued again.
        Failed = "FAILED",
        /// It failed, and the retailer gave it up.
        Withdrawn = "WITHDRAWN",
    }
}

/// Units of one order on their way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoodsReturn {
    /// The return.
    pub id: ReturnId,
    /// The order.
    pub order_id: OrderId,
    /// The fulfilment that delivered the units.
    pub fulfillment_id: FulfillmentId,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// What the shopper wants.
    pub kind: ReturnKind,
    /// State.
    pub state: ReturnState,
    /// Who asked for it.
    pub initiator: ReturnInitiator,
    /// The lines, each once.
    pub lines: Vec<ReturnLine>,
    /// Where the goods go and by when; there once it was approved.
    pub instructions: Option<Instructions>,
    /// What the retailer said with its decision.
    pub decision_message: String,
    /// When it was asked for.
    pub create_time: Micros,
    /// When it was approved or rejected.
    pub decide_time: Option<Micros>,
    /// When the goods were received.
    pub receive_time: Option<Micros>,
    /// When it came to its end.
    pub finish_time: Option<Micros>,
    /// The refund for what was received.
    pub refund: Option<ReturnRefund>,
    /// The matter that it is a part of; none for one that was asked for by itself.
    pub aftersale_id: Option<AftersaleId>,
    /// Grows by one with every write; 0 before the first.
    pub version: i64,
}

/// Units of one line of a return. `received ≤ approved ≤ requested`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnLine {
    /// The order's line.
    pub order_line_id: OrderLineId,
    /// The variant.
    pub variant_id: VariantId,
    /// Its SKU.
    pub sku: String,
    /// What quantities count.
    pub unit: Unit,
    /// Why.
    pub reason: ReturnReason,
    /// Asked for.
    pub requested: i64,
    /// Approved; 0 until decided.
    pub approved: i64,
    /// Received, each condition once; none until received.
    pub conditions: Vec<ConditionQuantity>,
}

/// Received units of one line in one condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConditionQuantity {
    /// How they came.
    pub condition: GoodsCondition,
    /// How many.
    pub quantity: i64,
    /// Of these, those that go back into the allotment.
    pub restock: i64,
}

/// Where the goods go, how, and by when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instructions {
    /// The retailer's name of the address.
    pub return_site_reference: String,
    /// Whose label it is; empty when the shopper chooses.
    pub carrier_code: String,
    /// The label's number.
    pub tracking_number: String,
    /// The goods are to be received before this.
    pub return_by_time: Micros,
}

/// A refund as the order service last told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnRefund {
    /// The refund.
    pub refund_id: RefundId,
    /// Where it is.
    pub state: RefundState,
    /// How often it was issued.
    pub attempt: i64,
    /// To the shopper.
    pub shopper_amount: Money,
}

impl ReturnLine {
    /// Received so far.
    pub fn received(&self) -> i64 {
        self.conditions.iter().map(|part| part.quantity).sum()
    }

    /// Of the received, those that go back into the allotment.
    pub fn restock(&self) -> i64 {
        self.conditions.iter().map(|part| part.restock).sum()
    }
}

impl GoodsReturn {
    /// Changes with every change.
    pub fn etag(&self) -> String {
        format!("v{}", self.version)
    }

    /// The units of a line that it keeps set aside now.
    pub fn set_aside(&self, line: &ReturnLine) -> i64 {
        match self.state {
            ReturnState::Requested => line.requested,
            ReturnState::Approved => line.approved,
            ReturnState::Rejected
            | ReturnState::Cancelled
            | ReturnState::Expired
            | ReturnState::Received
            | ReturnState::Completed => 0,
        }
    }
}
