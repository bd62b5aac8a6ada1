//! What can be read.

use contracts::id::{OrderId, PartnerId, ReturnId, ShipmentId};
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use crate::model::returns::{Eligibility, GoodsReturn};
use crate::model::{Fulfillment, Shipment};
use crate::ops::returns::ReturnLimits;
use crate::store::list::{
    FulfillmentKey, FulfillmentQuery, ShipmentQuery, WorkQuery, fulfillment_get, fulfillments_list,
    shipment_get, shipments_list, work_list,
};
use crate::store::return_list::{ReturnQuery, deliveries_since, return_note, returns_list};
use crate::store::returns::{return_owner, return_read};

/// Reads one fulfilment, of one partner only when one is named.
pub struct GetFulfillment {
    /// Which.
    pub key: FulfillmentKey,
    /// Whose it has to be.
    pub partner: Option<PartnerId>,
}

impl Operation for GetFulfillment {
    type Output = Fulfillment;

    fn name(&self) -> &'static str {
        "fulfillment.get"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Fulfillment, Fault> {
        let found = fulfillment_get(tx, &self.key, self.partner).await?;
        Ok(found.ok_or_else(|| Refusal::not_found("fulfillment"))?)
    }
}

/// Reads one shipment, of one partner only when one is named.
pub struct GetShipment {
    /// Which.
    pub id: ShipmentId,
    /// Whose it has to be.
    pub partner: Option<PartnerId>,
    /// How many of its events are read, the latest.
    pub events_max: i64,
}

impl Operation for GetShipment {
    type Output = Shipment;

    fn name(&self) -> &'static str {
        "shipment.get"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Shipment, Fault> {
        let found = shipment_get(tx, &self.id, self.partner, self.events_max).await?;
        Ok(found.ok_or_else(|| Refusal::not_found("shipment"))?)
    }
}

/// Reads a page of fulfilments.
pub struct ListFulfillments(pub FulfillmentQuery);

impl Operation for ListFulfillments {
    type Output = Vec<Fulfillment>;

    fn name(&self) -> &'static str {
        "fulfillment.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Fulfillment>, Fault> {
        fulfillments_list(tx, &self.0).await
    }
}

/// Reads a page of the work queue.
pub struct ListWork(pub WorkQuery);

impl Operation for ListWork {
    type Output = Vec<Fulfillment>;

    fn name(&self) -> &'static str {
        "fulfillment.list_work"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Fulfillment>, Fault> {
        work_list(tx, &self.0).await
    }
}

/// Reads a page of shipments.
pub struct ListShipments {
    /// Which.
    pub query: ShipmentQuery,
    /// How many of the events of each are read, the latest.
    pub events_max: i64,
}

impl Operation for ListShipments {
    type Output = Vec<Shipment>;

    fn name(&self) -> &'static str {
        "shipment.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Shipment>, Fault> {
        shipments_list(tx, &self.query, self.events_max).await
    }
}

/// Reads what of an order can be sent back now, of one partner only when one is named.
pub struct CheckReturn {
    /// Which order.
    pub order_id: OrderId,
    /// Whose it has to be.
    pub partner: Option<PartnerId>,
    /// Limits.
    pub limits: ReturnLimits,
}

impl Operation for CheckReturn {
    type Output = Vec<Eligibility>;

    fn name(&self) -> &'static str {
        "return.check"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Eligibility>, Fault> {
        let found =
            fulfillment_get(tx, &FulfillmentKey::Order(self.order_id), self.partner).await?;
        let goods = found.ok_or_else(|| Refusal::not_found("order"))?;
        let (now, window) = (tx.now(), self.limits.window);
        let since = now.minus(window);
        let deliveries =
            deliveries_since(tx, &self.order_id, since, self.limits.deliveries_max).await?;
        let lines = goods.lines.iter();
        Ok(lines
            .map(|line| Eligibility::of(line, &deliveries, window, now))
            .collect())
    }
}

/// Reads one return, of one partner only when one is named.
pub struct GetReturn {
    /// Which.
    pub id: ReturnId,
    /// Whose it has to be.
    pub partner: Option<PartnerId>,
    /// Whether the caller may read the shopper's words.
    pub with_note: bool,
}

impl Operation for GetReturn {
    /// The return and the shopper's words.
    type Output = (GoodsReturn, String);

    fn name(&self) -> &'static str {
        "return.get"
    }

    fn audited(&self) -> bool {
        false
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        let visible = return_owner(tx, &self.id, self.partner.as_ref()).await?;
        let found = match visible {
            Some(_) => return_read(tx, &self.id).await?,
            None => None,
        };
        let found = found.ok_or_else(|| Refusal::not_found("return"))?;
        let note = if self.with_note {
            let note = return_note(tx, &self.id).await?;
            if tx.is_write() && !note.is_empty() {
                tx.audit("return.read_note", self.id, "read for: return");
            }
            note
        } else {
            String::new()
        };
        Ok((found, note))
    }
}

/// Reads a page of returns.
pub struct ListReturns(pub ReturnQuery);

impl Operation for ListReturns {
    type Output = Vec<GoodsReturn>;

    fn name(&self) -> &'static str {
        "return.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<GoodsReturn>, Fault> {
        returns_list(tx, &self.0).await
    }
}
