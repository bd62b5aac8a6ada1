//! Goods come back.
//!
//! Everything about a return happens under the lock of its fulfilment, whose lines hold the counters of units
//! in returns: so of two returns that want the same unit exactly one gets it.

use std::time::Duration;

use contracts::id::{FulfillmentId, OrderId, PartnerId, ReturnId};
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use crate::events;
use crate::model::returns::{
    Approval, GoodsReturn, Instructions, Received, ReturnAsk, ReturnRefund,
};
use crate::model::{Fulfillment, LineQuantity};
use crate::store::fulfillment::{
    fulfillment_lines_save, fulfillment_lock, fulfillment_of_order, fulfillments_lock,
    fulfillments_save,
};
use crate::store::return_list::{deliveries_since, notes_forget, returns_count, returns_overdue};
use crate::store::returns::{
    return_insert, return_owner, return_read, return_save, returns_end, returns_read,
};

/// Limits on returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReturnLimits {
    /// How long after a delivery a return may be asked for.
    pub window: Duration,
    /// The most returns of one order.
    pub per_order_max: i64,
    /// The most deliveries of one order that are looked at, the latest.
    pub deliveries_max: i64,
    /// How long goods have for coming when the decision names no time.
    pub by_default: Duration,
    /// The longest that goods may have for coming.
    pub by_max: Duration,
}

/// Asks to send units back.
pub struct RequestReturn {
    /// Which order.
    pub order_id: OrderId,
    /// Whose it has to be.
    pub partner: Option<PartnerId>,
    /// What is to come back.
    pub ask: ReturnAsk,
    /// In the shopper's words; may be empty.
    pub note: String,
    /// Limits.
    pub limits: ReturnLimits,
}

impl Operation for RequestReturn {
    type Output = GoodsReturn;

    fn name(&self) -> &'static str {
        "return.request"
    }

    async fn run(&self, tx: &mut Tx) -> Result<GoodsReturn, Fault> {
        let mut goods = self.goods(tx).await?;
        let (limits, now) = (&self.limits, tx.now());
        if returns_count(tx, &self.order_id, limits.per_order_max).await? >= limits.per_order_max {
            let message = format!(
                "This order has had {} returns, the most that are kept; ask the retailer's care.",
                limits.per_order_max
            );
            return Err(Refusal::wrong_state("order", "MOST_RETURNS", message).into());
        }
        let since = now.minus(limits.window);
        let deliveries = deliveries_since(tx, &self.order_id, since, limits.deliveries_max).await?;
        let id = ReturnId::from_uuid(tx.ids().next());
        let mut goods_return =
            goods.request_return(id, &self.ask, &deliveries, limits.window, now)?;
        fulfillment_lines_save(tx, std::slice::from_ref(&goods)).await?;
        return_insert(tx, &mut goods_return, &self.note).await?;
        told(tx, self.name(), &goods_return);
        Ok(goods_return)
    }
}

impl RequestReturn {
    async fn goods(&self, tx: &mut Tx) -> Result<Fulfillment, Fault> {
        let found = match fulfillment_of_order(tx, &self.order_id).await? {
            Some(id) => fulfillment_lock(tx, &id).await?,
            None => None,
        };
        let own = found.filter(|goods| is_of(self.partner, goods.partner_id));
        Ok(own.ok_or_else(|| Refusal::not_found("order"))?)
    }
}

fn is_of(partner: Option<PartnerId>, owner: PartnerId) -> bool {
    partner.is_none_or(|partner| partner == owner)
}

/// Tells everybody of a return after a step.
fn told(tx: &mut Tx, step: &'static str, goods_return: &GoodsReturn) {
    tx.publish(events::return_changed(goods_return));
    tx.audit(step, goods_return.id, goods_return.state.word());
}

/// Which return is to change, and what of it the caller has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Which {
    /// The return.
    pub return_id: ReturnId,
    /// Whose it has to be.
    pub partner: Option<PartnerId>,
    /// The etag that the caller has read, if that matters to them.
    pub etag: Option<String>,
}

impl Which {
    /// Locks the goods and reads the return.
    async fn lock(&self, tx: &mut Tx) -> Result<(Fulfillment, GoodsReturn), Fault> {
        let owner = return_owner(tx, &self.return_id, self.partner.as_ref()).await?;
        let owner = owner.ok_or_else(|| Refusal::not_found("return"))?;
        let (goods, goods_return) = lock(tx, &owner, &self.return_id).await?;
        if let Some(matter) = goods_return.aftersale_id {
            let message = format!(
                "This return is a part of matter {matter}; decide, receive or withdraw that one."
            );
            return Err(Refusal::wrong_state("return", "OF_A_MATTER", message).into());
        }
        goods_return.require_etag(self.etag.as_deref())?;
        Ok((goods, goods_return))
    }
}

async fn lock(
    tx: &mut Tx,
    owner: &FulfillmentId,
    id: &ReturnId,
) -> Result<(Fulfillment, GoodsReturn), Fault> {
    let goods = fulfillment_lock(tx, owner).await?;
    let goods = goods.ok_or_else(|| Fault::internal("a return without its fulfillment"))?;
    let goods_return = return_read(tx, id).await?;
    let goods_return = goods_return.ok_or_else(|| Fault::internal("a return is gone"))?;
    Ok((goods, goods_return))
}

/// The retailer's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Approve {
        /// What is approved; none means all.
        lines: Vec<LineQuantity>,
        /// Where the goods go; its time is that of `by`.
        instructions: Instructions,
        /// By when they have to come; none leaves it to the limits.
        by: Option<Micros>,
        /// To the shopper.
        message: String,
    },
    /// No, and why.
    Reject(String),
}

/// Decides on a return.
pub struct DecideReturn {
    /// Which.
    pub which: Which,
    /// The answer.
    pub decision: Decision,
    /// Limits.
    pub limits: ReturnLimits,
}

impl Operation for DecideReturn {
    type Output = GoodsReturn;

    fn name(&self) -> &'static str {
        "return.decide"
    }

    async fn run(&self, tx: &mut Tx) -> Result<GoodsReturn, Fault> {
        let (mut goods, mut goods_return) = self.which.lock(tx).await?;
        let now = tx.now();
        match &self.decision {
            Decision::Approve {
                lines,
                instructions,
                by,
                message,
            } => {
                let approval = Approval {
                    lines: lines.clone(),
                    instructions: Instructions {
                        return_by_time: self.by(*by, now)?,
                        ..instructions.clone()
                    },
                    message: message.clone(),
                };
                goods_return.approve(&mut goods, approval, now)?;
            }
            Decision::Reject(message) => {
                goods_return.reject(&mut goods, message.clone(), now)?;
            }
        }
        fulfillment_lines_save(tx, std::slice::from_ref(&goods)).await?;
        return_save(tx, &mut goods_return).await?;
        told(tx, self.name(), &goods_return);
        Ok(goods_return)
    }
}

impl DecideReturn {
    fn by(&self, asked: Option<Micros>, now: Micros) -> Result<Micros, Refusal> {
        let Some(by) = asked else {
            return Ok(now.plus(self.limits.by_default));
        };
        if by > now && by <= now.plus(self.limits.by_max) {
            return Ok(by);
        }
        let days = self.limits.by_max.as_secs() / (24 * 60 * 60);
        let description = format!(
            "must be in the future and at most {days} days ahead; leave it out for the usual time."
        );
        Err(Refusal::invalid(
            "approve.instructions.return_by_time",
            description,
        ))
    }
}

/// Takes a return back.
pub struct CancelReturn {
    /// Which.
    pub which: Which,
}

impl Operation for CancelReturn {
    type Output = GoodsReturn;

    fn name(&self) -> &'static str {
        "return.cancel"
    }

    async fn run(&self, tx: &mut Tx) -> Result<GoodsReturn, Fault> {
        let (mut goods, mut goods_return) = self.which.lock(tx).await?;
        let now = tx.now();
        goods_return.cancel(&mut goods, now)?;
        fulfillment_lines_save(tx, std::slice::from_ref(&goods)).await?;
        return_save(tx, &mut goods_return).await?;
        told(tx, self.name(), &goods_return);
        Ok(goods_return)
    }
}

/// Records what came.
pub struct ReceiveReturn {
    /// Which.
    pub which: Which,
    /// What came; at least one unit.
    pub units: Vec<Received>,
}

impl Operation for ReceiveReturn {
    type Output = GoodsReturn;

    fn name(&self) -> &'static str {
        "return.receive"
    }

    async fn run(&self, tx: &mut Tx) -> Result<GoodsReturn, Fault> {
        let (mut goods, mut goods_return) = self.which.lock(tx).await?;
        let now = tx.now();
        goods_return.receive(&mut goods, &self.units, now)?;
        fulfillments_save(tx, std::slice::from_mut(&mut goods)).await?;
        return_save(tx, &mut goods_return).await?;
        told(tx, self.name(), &goods_return);
        tx.publish(events::fulfillment_changed(&goods));
        Ok(goods_return)
    }
}

/// What the order service tells of the refund of a return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundNews {
    /// The return.
    pub return_id: ReturnId,
    /// Whose order it is refunded for.
    pub order_id: OrderId,
    /// The refund.
    pub refund: ReturnRefund,
}

/// The order service tells of the refund of a return. What does not fit is nothing that waiting or trying again
/// would mend, and must not keep the order's other news from being read: it is only logged.
pub async fn refund_told(tx: &mut Tx, news: &RefundNews) -> Result<(), Fault> {
    let Some(owner) = return_owner(tx, &news.return_id, None).await? else {
        tracing::warn!(return_id = %news.return_id, refund_id = %news.refund.refund_id, "a refund names a return that is not known");
        return Ok(());
    };
    let (_goods, mut goods_return) = lock(tx, &owner, &news.return_id).await?;
    let now = tx.now();
    let new = if goods_return.order_id == news.order_id {
        goods_return.refund_told(news.refund.clone(), now)
    } else {
        Err(Refusal::not_found("return"))
    };
    match new {
        Ok(true) => {
            return_save(tx, &mut goods_return).await?;
            told(tx, "return.refund", &goods_return);
        }
        Ok(false) => {}
        Err(refusal) => {
            tracing::warn!(return_id = %news.return_id, refund_id = %news.refund.refund_id, %refusal, "a refund does not fit its return");
        }
    }
    Ok(())
}

/// Takes in what the order service's list says of a refund, outside the feed: after the feed was lost.
pub struct LearnRefund {
    /// The news.
    pub news: RefundNews,
}

impl Operation for LearnRefund {
    type Output = ();

    fn name(&self) -> &'static str {
        "return.learn_refund"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        refund_told(tx, &self.news).await
    }
}

/// Asks whether the time of a return is over.
pub struct AnyOverdue;

impl Operation for AnyOverdue {
    type Output = bool;

    fn name(&self) -> &'static str {
        "return.any_overdue"
    }

    async fn run(&self, tx: &mut Tx) -> Result<bool, Fault> {
        let now = tx.now();
        Ok(!returns_overdue(tx, now, 1).await?.is_empty())
    }
}

/// Ends the returns whose time is over, so many at most; the output is how many. Run it again until that is
/// less. Any number of replicas may run it at once.
pub struct ExpireReturns {
    /// The most returns in one unit of work.
    pub rows_max: i64,
}

impl Operation for ExpireReturns {
    type Output = usize;

    fn name(&self) -> &'static str {
        "return.expire"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<usize, Fault> {
        let now = tx.now();
        let overdue = returns_overdue(tx, now, self.rows_max).await?;
        let mut owners: Vec<FulfillmentId> = overdue.iter().map(|(_, owner)| *owner).collect();
        owners.sort_unstable();
        owners.dedup();
        let mut goods = fulfillments_lock(tx, &owners).await?;
        let ids: Vec<ReturnId> = overdue.iter().map(|(id, _)| *id).collect();
        let mut ended = Vec::new();
        for (_, mut goods_return) in returns_read(tx, &ids).await? {
            let Some(goods) = goods.get_mut(&goods_return.fulfillment_id) else {
                continue;
            };
            // Somebody may have received it or taken it back before it was locked.
            if goods_return.expire(goods, now)? {
                ended.push(goods_return);
            }
        }
        let goods: Vec<Fulfillment> = goods.into_values().collect();
        fulfillment_lines_save(tx, &goods).await?;
        returns_end(tx, &mut ended).await?;
        for goods_return in &ended {
            told(tx, self.name(), goods_return);
        }
        Ok(overdue.len())
    }
}

/// Forgets shoppers' words about returns that ended long ago, of so many at most; the output is of how many.
pub struct ForgetNotes {
    /// How long they are kept after the end.
    pub keep: Duration,
    /// The most returns in one unit of work.
    pub rows_max: i64,
}

impl Operation for ForgetNotes {
    type Output = usize;

    fn name(&self) -> &'static str {
        "return.forget_notes"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<usize, Fault> {
        let before = tx.now().minus(self.keep);
        let forgotten = notes_forget(tx, before, self.rows_max).await?;
        for id in &forgotten {
            tx.audit(self.name(), id.as_str(), "forgotten: it ended long ago");
        }
        Ok(forgotten.len())
    }
}
