//! Paid orders come in.

use contracts::id::{FulfillmentId, OrderId};
use kit::errors::Fault;
use store::{Operation, Tx};

use crate::events;
use crate::model::{Block, CancelVerdict, Fulfillment, PaidOrder};
use crate::store::arrival::{Arrival, Tombstone, arrival_let_in, tombstones_take};
use crate::store::fulfillment::{fulfillment_lock, fulfillment_of_order, fulfillments_save};
use crate::store::line_money::line_money_insert;

/// Lets one paid order in, outside the feed: for reading the lists again after the feed was lost.
pub struct LetIn {
    /// The order.
    pub order: PaidOrder,
}

impl Operation for LetIn {
    type Output = ();

    fn name(&self) -> &'static str {
        "fulfillment.let_in"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        arrive(tx, self.order.clone()).await
    }
}

/// A paid order arrives. One that has arrived before changes nothing, but for contact data that it has now.
pub async fn arrive(tx: &mut Tx, order: PaidOrder) -> Result<(), Fault> {
    let id = FulfillmentId::from_uuid(tx.ids().next());
    let arrival = arrival_let_in(tx, &order.order_id, &id).await?;
    if arrival == Arrival::Known {
        return if order.blocks.has(Block::AddressMissing) {
            Ok(())
        } else {
            contact_set(tx, &order.order_id).await
        };
    }
    let paid: Vec<_> = order
        .lines
        .iter()
        .filter_map(|line| Some((line.order_line_id, line.payable?)))
        .collect();
    let mut fulfillment = Fulfillment::arrive(id, order, tx.now());
    let decided = match arrival {
        Arrival::Expected => decide_all(tx, &mut fulfillment).await?,
        Arrival::New | Arrival::Known => Vec::new(),
    };
    let saved = std::slice::from_mut(&mut fulfillment);
    fulfillments_save(tx, saved).await?;
    line_money_insert(tx, &id, &paid).await?;
    for (tombstone, verdict) in decided {
        tx.publish(events::cancel_decided(
            &fulfillment,
            &verdict,
            tombstone.ask.reason,
        ));
    }
    tx.publish(events::fulfillment_changed(&fulfillment));
    tx.audit(
        "fulfillment.create",
        fulfillment.id,
        fulfillment.state.word(),
    );
    Ok(())
}

/// Decides the cancellations that came ahead of the order, in the order in which they came.
async fn decide_all(
    tx: &mut Tx,
    fulfillment: &mut Fulfillment,
) -> Result<Vec<(Tombstone, CancelVerdict)>, Fault> {
    let mut decided = Vec::new();
    for tombstone in tombstones_take(tx, &fulfillment.order_id).await? {
        if tombstone.partner_id != fulfillment.partner_id {
            tx.audit(
                "fulfillment.cancel",
                fulfillment.order_id,
                "dropped: the order is another partner's",
            );
            continue;
        }
        // Whoever asked was promised a decision: what cannot be cancelled is answered with the one "no".
        let verdict = fulfillment
            .cancel(&tombstone.ask.lines)
            .unwrap_or(CancelVerdict::TooLate);
        tx.audit(
            "fulfillment.cancel",
            fulfillment.order_id,
            verdict.decision().word(),
        );
        // When nothing was left to cancel, an earlier decision has told so already.
        if verdict != CancelVerdict::Cancelled(Vec::new()) {
            decided.push((tombstone, verdict));
        }
    }
    Ok(decided)
}

/// An order's contact data is there. Before the order is paid there is nothing to do: it will say so itself.
pub async fn contact_set(tx: &mut Tx, order: &OrderId) -> Result<(), Fault> {
    let Some(id) = fulfillment_of_order(tx, order).await? else {
        return Ok(());
    };
    let Some(mut fulfillment) = fulfillment_lock(tx, &id).await? else {
        return Ok(());
    };
    if !fulfillment.contact_arrived() {
        return Ok(());
    }
    fulfillments_save(tx, std::slice::from_mut(&mut fulfillment)).await?;
    tx.publish(events::fulfillment_changed(&fulfillment));
    tx.audit(
        "fulfillment.contact_set",
        fulfillment.id,
        fulfillment.state.word(),
    );
    Ok(())
}
