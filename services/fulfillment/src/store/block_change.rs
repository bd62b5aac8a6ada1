//! Blocks that people set and lifted, and why.

use contracts::id::FulfillmentId;
use kit::errors::Fault;
use store::{Tx, sql};

use crate::model::Block;

/// Writes down who set or lifted a block and why.
pub async fn block_change_insert(
    tx: &mut Tx,
    fulfillment: &FulfillmentId,
    block: Block,
    lifted: bool,
    reason: &str,
) -> Result<(), Fault> {
    let (key, now, who) = (
        format!("{:032x}", tx.ids().next()),
        tx.now(),
        tx.caller().principal(),
    );
    sql!(
        tx,
        execute,
        "INSERT INTO block_change (change_id, fulfillment_id, ship_block, lifted, reason, who, change_time) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        key,
        fulfillment,
        block.word(),
        lifted,
        reason,
        who,
        now
    )?;
    Ok(())
}
