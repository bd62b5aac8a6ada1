//! People block shipping and lift their blocks.

use contracts::id::FulfillmentId;
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use crate::events;
use crate::model::{Block, Fulfillment};
use crate::store::block_change::block_change_insert;
use crate::store::fulfillment::{fulfillment_lock, fulfillments_save};

/// Sets or lifts a block.
pub struct ChangeBlock {
    /// Which fulfilment.
    pub fulfillment_id: FulfillmentId,
    /// Which block; one that people set.
    pub block: Block,
    /// Whether it is lifted.
    pub lift: bool,
    /// Why.
    pub reason: String,
}

impl Operation for ChangeBlock {
    type Output = Fulfillment;

    fn name(&self) -> &'static str {
        if self.lift {
            "fulfillment.lift_block"
        } else {
            "fulfillment.add_block"
        }
    }

    async fn run(&self, tx: &mut Tx) -> Result<Fulfillment, Fault> {
        let found = fulfillment_lock(tx, &self.fulfillment_id).await?;
        let mut fulfillment = found.ok_or_else(|| Refusal::not_found("fulfillment"))?;
        let changed = if self.lift {
            fulfillment.lift(self.block)?;
            true
        } else {
            fulfillment.block(self.block)?
        };
        block_change_insert(tx, &fulfillment.id, self.block, self.lift, &self.reason).await?;
        if changed {
            fulfillments_save(tx, std::slice::from_mut(&mut fulfillment)).await?;
            tx.publish(events::fulfillment_changed(&fulfillment));
        }
        tx.audit(self.name(), fulfillment.id, self.block.word());
        Ok(fulfillment)
    }
}
