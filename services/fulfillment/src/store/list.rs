//! Pages of fulfilments and shipments.

use contracts::id::{FulfillmentId, OrderId, PartnerId, ShipmentId};
use kit::errors::Fault;
use store::{StoreError, Tx, sql};

use super::fulfillment::{Row, columns, with_lines};
use super::{id, shipment};
use crate::model::{Fulfillment, FulfillmentState, Shipment, ShipmentState};

/// Which fulfilment.
#[derive(Clone, Debug)]
pub enum FulfillmentKey {
    /// By its own id.
    Id(FulfillmentId),
    /// By the order's.
    Order(OrderId),
}

/// Which fulfilments, in the order of creation.
#[derive(Clone, Debug)]
pub struct FulfillmentQuery {
    /// Of one partner only.
    pub partner: Option<PartnerId>,
    /// Of one state only.
    pub state: Option<FulfillmentState>,
    /// After this one.
    pub after: Option<FulfillmentId>,
    /// At most so many.
    pub limit: i64,
}

/// Which shipments, in the order of creation.
#[derive(Clone, Debug)]
pub struct ShipmentQuery {
    /// Of one partner only.
    pub partner: Option<PartnerId>,
    /// Of one order only.
    pub order: Option<OrderId>,
    /// Of one state only.
    pub state: Option<ShipmentState>,
    /// After this one.
    pub after: Option<ShipmentId>,
    /// At most so many.
    pub limit: i64,
}

/// A page of the work queue: the place of the last fulfilment before it, and how many at most.
#[derive(Clone, Debug)]
pub struct WorkQuery {
    /// `ship_by` and id of the last one before.
    pub after: Option<(i64, FulfillmentId)>,
    /// At most so many.
    pub limit: i64,
}

/// One fulfilment, of one partner only when one is named.
pub async fn fulfillment_get(
    tx: &mut Tx,
    key: &FulfillmentKey,
    partner: Option<PartnerId>,
) -> Result<Option<Fulfillment>, Fault> {
    let partner = partner.as_ref().map_or("", |id| id.as_str());
    let rows = match key {
        FulfillmentKey::Id(id) => sql!(
            tx,
            all Row,
            concat!(
                "SELECT ", columns!(), " FROM fulfillment AS f \
                 WHERE f.fulfillment_id = $1 AND ($2 = '' OR f.partner_id = $2)"
            ),
            id,
            partner
        )?,
        FulfillmentKey::Order(order) => sql!(
            tx,
            all Row,
            concat!(
                "SELECT ", columns!(), " FROM fulfillment AS f \
                 WHERE f.order_id = $1 AND ($2 = '' OR f.partner_id = $2)"
            ),
            order,
            partner
        )?,
    };
    Ok(with_lines(tx, rows).await?.into_values().next())
}

/// One shipment with its latest events, of one partner only when one is named.
pub async fn shipment_get(
    tx: &mut Tx,
    id: &ShipmentId,
    partner: Option<PartnerId>,
    events_max: i64,
) -> Result<Option<Shipment>, Fault> {
    let partner = partner.as_ref().map_or("", |id| id.as_str());
    let visible = sql!(
        tx,
        optional(String,),
        "SELECT shipment_id FROM shipment WHERE shipment_id = $1 AND ($2 = '' OR partner_id = $2)",
        id,
        partner
    )?;
    match visible {
        Some(_) => Ok(shipment::shipments_read(tx, &[*id], events_max)
            .await?
            .remove(id)),
        None => Ok(None),
    }
}

macro_rules! fulfillments {
    ($where:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM fulfillment AS f WHERE ",
            $where,
            " ORDER BY f.fulfillment_id LIMIT $1"
        )
    };
}

/// A page of fulfilments. Each filter has a text of its own, so that each finds its index.
pub async fn fulfillments_list(
    tx: &mut Tx,
    query: &FulfillmentQuery,
) -> Result<Vec<Fulfillment>, Fault> {
    let after = query.after.as_ref().map_or("", |id| id.as_str());
    let (limit, state) = (query.limit, query.state.map(FulfillmentState::word));
    let rows: Result<Vec<Row>, StoreError> = match (&query.partner, state) {
        (None, None) => sql!(tx, all Row, fulfillments!("f.fulfillment_id > $2"), limit, after),
        (Some(partner), None) => {
            sql!(tx, all Row, fulfillments!("f.partner_id = $3 AND f.fulfillment_id > $2"), limit, after, partner)
        }
        (None, Some(state)) => {
            sql!(tx, all Row, fulfillments!("f.state = $3 AND f.fulfillment_id > $2"), limit, after, state)
        }
        (Some(partner), Some(state)) => sql!(
            tx,
            all Row,
            fulfillments!("f.partner_id = $3 AND f.state = $4 AND f.fulfillment_id > $2"),
            limit,
            after,
            partner,
            state
        ),
    };
    Ok(with_lines(tx, rows?).await?.into_values().collect())
}

/// A page of what the warehouse is to do: what can be shipped now, by `ship_by`.
pub async fn work_list(tx: &mut Tx, query: &WorkQuery) -> Result<Vec<Fulfillment>, Fault> {
    let (time, id) = match &query.after {
        Some((time, id)) => (*time, id.as_str()),
        None => (i64::MIN, ""),
    };
    let rows = sql!(
        tx,
        all Row,
        concat!(
            "SELECT ", columns!(), " FROM fulfillment AS f WHERE f.work_time IS NOT NULL \
             AND (f.work_time, f.fulfillment_id) > ($1, $2) ORDER BY f.work_time, f.fulfillment_id LIMIT $3"
        ),
        time,
        id,
        query.limit
    )?;
    let mut work: Vec<Fulfillment> = with_lines(tx, rows).await?.into_values().collect();
    work.sort_by_key(|fulfillment| (fulfillment.ship_by, fulfillment.id));
    Ok(work)
}

macro_rules! shipments {
    ($where:literal) => {
        concat!(
            "SELECT s.shipment_id FROM shipment AS s WHERE ",
            $where,
            " AND s.shipment_id > $2 \
             ORDER BY s.shipment_id LIMIT $1"
        )
    };
}

/// A page of shipments.
pub async fn shipments_list(
    tx: &mut Tx,
    query: &ShipmentQuery,
    events_max: i64,
) -> Result<Vec<Shipment>, Fault> {
    let ids = shipment_ids(tx, query).await?;
    let ids = ids
        .iter()
        .map(|(found,)| id(found))
        .collect::<Result<Vec<ShipmentId>, Fault>>()?;
    Ok(shipment::shipments_read(tx, &ids, events_max)
        .await?
        .into_values()
        .collect())
}

async fn shipment_ids(tx: &mut Tx, query: &ShipmentQuery) -> Result<Vec<(String,)>, StoreError> {
    let after = query.after.as_ref().map_or("", |id| id.as_str());
    let (limit, state) = (query.limit, query.state.map(ShipmentState::word));
    // An order has few shipments: whatever else is asked is filtered from them.
    if let Some(order) = &query.order {
        let (partner, state) = (
            query.partner.as_ref().map_or("", |id| id.as_str()),
            state.unwrap_or(""),
        );
        return sql!(
            tx,
            all(String,),
            shipments!(
                "s.order_id = $3 AND ($4 = '' OR s.partner_id = $4) AND ($5 = '' OR s.state = $5)"
            ),
            limit,
            after,
            order,
            partner,
            state
        );
    }
    match (&query.partner, state) {
        (None, None) => sql!(tx, all(String,), shipments!("true"), limit, after),
        (Some(partner), None) => {
            sql!(
                tx,
                all(String,),
                shipments!("s.partner_id = $3"),
                limit,
                after,
                partner
            )
        }
        (None, Some(state)) => sql!(
            tx,
            all(String,),
            shipments!("s.state = $3"),
            limit,
            after,
            state
        ),
        (Some(partner), Some(state)) => {
            sql!(
                tx,
                all(String,),
                shipments!("s.partner_id = $3 AND s.state = $4"),
                limit,
                after,
                partner,
                state
            )
        }
    }
}
