//! What can be read.

use contracts::id::{PartnerId, ShipmentId};
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use crate::model::{Fulfillment, Shipment};
use crate::store::list::{
    FulfillmentKey, FulfillmentQuery, ShipmentQuery, WorkQuery, fulfillment_get, fulfillments_list,
    shipment_get, shipments_list, work_list,
};

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
