//! Looking at orders and refunds. A partner finds only its own.

use ::store::{Operation, Tx};
use contracts::id::{OrderId, PartnerId};
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use crate::model::{Order, Refund};
use crate::store::order_list::{self, OrderFilter};
use crate::store::refund::{self, RefundFilter};

/// How an order is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderName {
    /// By its id.
    Id(OrderId),
    /// By its partner and the partner's own id.
    Partners(PartnerId, String),
}

/// One order and when it was looked at.
#[derive(Clone, Debug)]
pub struct GetOrder {
    /// Who asks; none for the retailer and the suite.
    pub partner_id: Option<PartnerId>,
    /// Which.
    pub name: OrderName,
}

impl Operation for GetOrder {
    type Output = (Order, Micros);

    fn name(&self) -> &'static str {
        "order.get"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(Order, Micros), Fault> {
        let order = match &self.name {
            OrderName::Id(order_id) => order_list::order_by_id(tx, order_id).await?,
            OrderName::Partners(partner_id, partner_order_id) => {
                order_list::order_by_partner_order_id(tx, partner_id, partner_order_id).await?
            }
        };
        let own = |order: &Order| {
            self.partner_id
                .is_none_or(|partner_id| partner_id == order.placement.partner_id)
        };
        match order.filter(own) {
            Some(order) => Ok((order, tx.now())),
            None => Err(Refusal::not_found("order").into()),
        }
    }
}

/// Orders after an id.
#[derive(Clone, Debug)]
pub struct ListOrders {
    /// Which.
    pub filter: OrderFilter,
    /// After which; empty for the first.
    pub after: String,
    /// The most of them.
    pub limit: i64,
}

impl Operation for ListOrders {
    type Output = (Vec<Order>, Micros);

    fn name(&self) -> &'static str {
        "order.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(Vec<Order>, Micros), Fault> {
        let orders = order_list::order_page(tx, &self.filter, &self.after, self.limit).await?;
        Ok((orders, tx.now()))
    }
}

/// Refunds after an id.
#[derive(Clone, Debug)]
pub struct ListRefunds {
    /// Which.
    pub filter: RefundFilter,
    /// After which; empty for the first.
    pub after: String,
    /// The most of them.
    pub limit: i64,
}

impl Operation for ListRefunds {
    type Output = Vec<Refund>;

    fn name(&self) -> &'static str {
        "refund.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Refund>, Fault> {
        refund::refund_page(tx, &self.filter, &self.after, self.limit).await
    }
}
