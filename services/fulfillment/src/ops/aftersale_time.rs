//! What time and the order service do to matters.

use std::collections::BTreeMap;

use contracts::id::{AftersaleId, FulfillmentId, OrderId};
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use super::aftersale::{Locked, desk};
use crate::model::aftersale::{AftersaleLimits, Party, Who};
use crate::model::returns::{RefundState, ReturnRefund};
use crate::store::aftersale::{aftersale_owner, aftersales_read};
use crate::store::aftersale_list::aftersales_due;
use crate::store::fulfillment::fulfillments_lock;
use crate::store::line_money::line_money_read;

/// Asks whether the deadline of a matter has passed.
pub struct AnyDeadline;

impl Operation for AnyDeadline {
    type Output = bool;

    fn name(&self) -> &'static str {
        "aftersale.any_deadline"
    }

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        let now = tx.now();
        Ok(!aftersales_due(tx, now, 1).await?.is_empty())
    }
}

/// Does what deadlines that have passed do, for so many matters at most; the output is for how many. Run it again until
/// that is less. Any number of replicas may run it at once: a timer is a row, it is judged again under the lock, and the
/// step that it takes gives the matter another deadline or none.
pub struct PassDeadlines {
    /// Times and limits.
    pub limits: AftersaleLimits,
    /// The most matters in one unit of work.
    pub rows_max: i64,
}

impl Operation for PassDeadlines {
    type Output = usize;

    fn name(&self) -> &'static str {
        "aftersale.pass_deadlines"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<usize, Fault> {
        let now = tx.now();
        let due = aftersales_due(tx, now, self.rows_max).await?;
        let mut owners: Vec<FulfillmentId> = due.iter().map(|(_, owner)| *owner).collect();
        owners.sort_unstable();
        owners.dedup();
        let locked = fulfillments_lock(tx, &owners).await?;
        let ids: Vec<AftersaleId> = due.iter().map(|(id, _)| *id).collect();
        // Two matters of one order are taken one after the other, each on what the one before has left.
        let mut goods: BTreeMap<_, _> = locked.into_iter().collect();
        for (_, matter) in aftersales_read(tx, &ids).await? {
            let owner = matter.fulfillment_id;
            let Some(own) = goods.remove(&owner) else {
                continue;
            };
            let purse = line_money_read(tx, &owner).await?;
            let mut one = Locked::new(own, purse, matter);
            let who = Who {
                party: Party::Time,
                principal: String::new(),
            };
            let mut desk = desk(tx, &mut one.goods, &mut one.purse, &self.limits, &who);
            // Somebody may have moved it on before it was locked.
            if one.matter.time_passed(&mut desk)? {
                one.save(tx, self.name()).await?;
                let again = fulfillments_lock(tx, &[owner]).await?;
                goods.extend(again);
            } else {
                goods.insert(owner, one.goods);
            }
        }
        Ok(due.len())
    }
}

/// What the order service tells of the refund of a matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatterRefund {
    /// The matter.
    pub aftersale_id: AftersaleId,
    /// Whose order it is refunded for.
    pub order_id: OrderId,
    /// The refund.
    pub refund: ReturnRefund,
}

/// The order service tells of the refund of a matter. What does not fit is nothing that waiting or trying again would
/// mend, and must not keep the order's other news from being read: it is only logged.
pub async fn refund_told(
    tx: &mut Tx,
    news: &MatterRefund,
    limits: &AftersaleLimits,
) -> Result<(), Fault> {
    let Some(owner) = aftersale_owner(tx, &news.aftersale_id, None).await? else {
        tracing::warn!(aftersale_id = %news.aftersale_id, refund_id = %news.refund.refund_id, "a refund names a matter that is not known");
        return Ok(());
    };
    let mut locked = Locked::lock(tx, &owner, &news.aftersale_id).await?;
    if locked.matter.order_id != news.order_id {
        let refusal = Refusal::not_found("aftersale");
        tracing::warn!(aftersale_id = %news.aftersale_id, refund_id = %news.refund.refund_id, %refusal, "a refund does not fit its matter");
        return Ok(());
    }
    let party = match news.refund.state {
        RefundState::Authorised | RefundState::Withdrawn => Party::Retailer,
        RefundState::Executed | RefundState::Failed => Party::Partner,
    };
    let who = Who {
        party,
        principal: String::new(),
    };
    let mut desk = desk(tx, &mut locked.goods, &mut locked.purse, limits, &who);
    if locked.matter.refund_told(&mut desk, &news.refund) {
        locked.save(tx, "aftersale.refund").await?;
    }
    Ok(())
}

/// Takes in what the order service's list says of a refund, outside the feed: after the feed was lost.
pub struct LearnMatterRefund {
    /// The news.
    pub news: MatterRefund,
    /// Times and limits.
    pub limits: AftersaleLimits,
}

impl Operation for LearnMatterRefund {
    type Output = ();

    fn name(&self) -> &'static str {
        "aftersale.learn_refund"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        refund_told(tx, &self.news, &self.limits).await
    }
}
