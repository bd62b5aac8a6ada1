//! Looking at money: refunds, proposals, compensations, chargebacks, and what a cancellation would be.

use ::store::{Operation, Tx};
use contracts::id::{OrderId, OrderLineId, PartnerId, RefundId};
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use crate::model::money::{Chargeback, Compensation};
use crate::model::progress::Step;
use crate::model::proposal::Proposal;
use crate::model::{Order, Refund, ledger};
use crate::store::chargeback::chargeback_page;
use crate::store::ledger::entries_of_orders;
use crate::store::money::{compensation_page, proposal_page};
use crate::store::opt_id;
use crate::store::order_list;
use crate::store::refund::{RefundFilter, refund_by_id};

/// One refund.
#[derive(Clone, Debug)]
pub struct GetRefund {
    /// Who asks; none for the retailer and the suite.
    pub partner_id: Option<PartnerId>,
    /// Which.
    pub refund_id: RefundId,
}

impl Operation for GetRefund {
    type Output = Refund;

    fn name(&self) -> &'static str {
        "refund.get"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Refund, Fault> {
        let found = refund_by_id(tx, &self.refund_id).await?;
        let own = |refund: &Refund| self.partner_id.is_none_or(|own| own == refund.partner_id);
        Ok(found
            .filter(own)
            .ok_or_else(|| Refusal::not_found("refund"))?)
    }
}

/// Proposals after an id.
#[derive(Clone, Debug)]
pub struct ListProposals {
    /// Only in this state; empty for any.
    pub state: &'static str,
    /// After which; empty for the first.
    pub after: String,
    /// The most of them.
    pub limit: i64,
}

impl Operation for ListProposals {
    type Output = Vec<Proposal>;

    fn name(&self) -> &'static str {
        "refund_proposal.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Proposal>, Fault> {
        proposal_page(tx, self.state, &self.after, self.limit).await
    }
}

/// An order that is asked for has to be there and, for a partner, its own.
async fn of_known_order(tx: &mut Tx, filter: &RefundFilter) -> Result<(), Fault> {
    let Some(order_id) = opt_id(&filter.order_id)? else {
        return Ok(());
    };
    let partner_id = opt_id(&filter.partner_id)?;
    super::ledger::visible(tx, &order_id, partner_id.as_ref()).await
}

/// Compensations after an id.
#[derive(Clone, Debug)]
pub struct ListCompensations {
    /// Which.
    pub filter: RefundFilter,
    /// After which; empty for the first.
    pub after: String,
    /// The most of them.
    pub limit: i64,
}

impl Operation for ListCompensations {
    type Output = Vec<Compensation>;

    fn name(&self) -> &'static str {
        "compensation.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Compensation>, Fault> {
        of_known_order(tx, &self.filter).await?;
        compensation_page(tx, &self.filter, &self.after, self.limit).await
    }
}

/// Chargebacks after an id.
#[derive(Clone, Debug)]
pub struct ListChargebacks {
    /// Which.
    pub filter: RefundFilter,
    /// After which; empty for the first.
    pub after: String,
    /// The most of them.
    pub limit: i64,
}

impl Operation for ListChargebacks {
    type Output = Vec<Chargeback>;

    fn name(&self) -> &'static str {
        "chargeback.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Chargeback>, Fault> {
        of_known_order(tx, &self.filter).await?;
        chargeback_page(tx, &self.filter, &self.after, self.limit).await
    }
}

/// What a cancellation would be now. Nothing is locked, and nothing may be decided by it.
#[derive(Clone, Debug)]
pub struct PreviewCancel {
    /// Who asks; none for the retailer.
    pub partner_id: Option<PartnerId>,
    /// Which order.
    pub order_id: OrderId,
    /// Lines and quantities; none for all that is left.
    pub lines: Vec<(OrderLineId, i64)>,
}

impl Operation for PreviewCancel {
    type Output = (Order, Step, Micros);

    fn name(&self) -> &'static str {
        "order.preview_cancel"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        let found = order_list::order_by_id(tx, &self.order_id).await?;
        let own = |order: &Order| {
            self.partner_id
                .is_none_or(|own| own == order.placement.partner_id)
        };
        let mut order = found
            .filter(own)
            .ok_or_else(|| Refusal::not_found("order"))?;
        // Of an order from before the ledger nothing was given but shares of units, which are counted by units.
        let entries = entries_of_orders(tx, &[self.order_id]).await?;
        order.balance.given = ledger::given(&entries, order.placement.lines.len());
        let step = order.preview_cancel(&self.lines)?;
        Ok((order, step, tx.now()))
    }
}
