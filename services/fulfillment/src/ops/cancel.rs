//! Units of a paid order are cancelled, or it is too late.

use contracts::id::{FulfillmentId, OrderId, PartnerId};
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use crate::events;
use crate::model::{CancelAsk, CancelDecision, CancelVerdict};
use crate::store::arrival::{Tombstone, arrival_expect, tombstone_insert};
use crate::store::fulfillment::{fulfillment_lock, fulfillment_of_order, fulfillments_save};

/// Cancels units of an order.
pub struct Cancel {
    /// Which order.
    pub order_id: OrderId,
    /// Whose order the caller takes it for.
    pub partner_id: Option<PartnerId>,
    /// What is to be cancelled.
    pub ask: CancelAsk,
    /// The most cancellations that may wait for one order.
    pub tombstones_max: i64,
}

impl Operation for Cancel {
    type Output = CancelDecision;

    fn name(&self) -> &'static str {
        "fulfillment.cancel"
    }

    async fn run(&self, tx: &mut Tx) -> Result<CancelDecision, Fault> {
        if let Some(id) = fulfillment_of_order(tx, &self.order_id).await? {
            return self.decide(tx, &id).await;
        }
        let Some(partner_id) = self.partner_id else {
            let description = "must be set, because no order of this id has arrived yet.";
            return Err(Refusal::invalid("partner_id", description).into());
        };
        match arrival_expect(tx, &self.order_id).await? {
            Some(waiting) => self.wait(tx, partner_id, waiting).await,
            // It came in between the two looks.
            None => {
                let id = fulfillment_of_order(tx, &self.order_id).await?;
                let id = id.ok_or_else(|| {
                    Fault::Conflict("an order arrived and is not to be seen".into())
                })?;
                self.decide(tx, &id).await
            }
        }
    }
}

impl Cancel {
    async fn wait(
        &self,
        tx: &mut Tx,
        partner_id: PartnerId,
        waiting: i64,
    ) -> Result<CancelDecision, Fault> {
        if waiting > self.tombstones_max {
            let message = format!(
                "{} cancellations wait for this order already, which is the most; ask again when it has arrived.",
                self.tombstones_max
            );
            return Err(Refusal::wrong_state("order", "NOT_ARRIVED", message).into());
        }
        let tombstone = Tombstone {
            partner_id,
            ask: self.ask.clone(),
        };
        tombstone_insert(tx, &self.order_id, &tombstone).await?;
        tx.audit(
            "fulfillment.cancel",
            self.order_id,
            CancelDecision::Pending.word(),
        );
        Ok(CancelDecision::Pending)
    }

    async fn decide(&self, tx: &mut Tx, id: &FulfillmentId) -> Result<CancelDecision, Fault> {
        let fulfillment = fulfillment_lock(tx, id).await?;
        let mut fulfillment = fulfillment
            .filter(|found| {
                self.partner_id
                    .is_none_or(|partner| partner == found.partner_id)
            })
            .ok_or_else(|| Refusal::not_found("order"))?;
        let verdict = fulfillment.cancel(&self.ask.lines)?;
        let changed = !verdict.lines().is_empty();
        if changed {
            fulfillments_save(tx, std::slice::from_mut(&mut fulfillment)).await?;
        }
        if changed || verdict == CancelVerdict::TooLate {
            tx.publish(events::cancel_decided(
                &fulfillment,
                &verdict,
                self.ask.reason,
            ));
        }
        if changed {
            tx.publish(events::fulfillment_changed(&fulfillment));
        }
        tx.audit(
            "fulfillment.cancel",
            self.order_id,
            verdict.decision().word(),
        );
        Ok(verdict.decision())
    }
}
