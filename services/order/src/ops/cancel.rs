//! Cancelling after payment: fulfilment decides, and its answer is kept under the caller's key.

use ::store::{Operation, Tx};
use contracts::id::OrderId;
use kit::errors::Fault;

/// What fulfilment decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelDecision {
    /// The units will not ship; what becomes of the order follows with its feed.
    Cancelled,
    /// The order has not arrived there yet.
    Pending,
    /// Some of the units have shipped.
    TooLate,
}

impl CancelDecision {
    fn word(self) -> &'static str {
        match self {
            CancelDecision::Cancelled => "CANCELLED",
            CancelDecision::Pending => "CANCEL_PENDING",
            CancelDecision::TooLate => "TOO_LATE",
        }
    }
}

/// Keeps a decision, so that asking again gives the same answer.
#[derive(Clone, Copy, Debug)]
pub struct NoteDecision {
    /// About which order.
    pub order_id: OrderId,
    /// What was decided.
    pub decision: CancelDecision,
}

impl Operation for NoteDecision {
    type Output = CancelDecision;

    fn name(&self) -> &'static str {
        "order.cancel_after_payment"
    }

    async fn run(&self, tx: &mut Tx) -> Result<CancelDecision, Fault> {
        tx.audit(self.name(), self.order_id, self.decision.word());
        Ok(self.decision)
    }
}
