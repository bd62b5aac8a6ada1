//! Finding orders, for answers.

use ::store::{Tx, sql};
use contracts::id::{OrderId, PartnerId};
use kit::errors::Fault;

use super::id;
use super::order::{orders_read, placements_by_id};
use crate::model::Order;

/// An order.
pub async fn order_by_id(tx: &mut Tx, order_id: &OrderId) -> Result<Option<Order>, Fault> {
    let placements = placements_by_id(tx, &[*order_id]).await?;
    Ok(orders_read(tx, placements).await?.pop())
}

/// An order by its partner's own id.
pub async fn order_by_partner_order_id(
    tx: &mut Tx,
    partner_id: &PartnerId,
    partner_order_id: &str,
) -> Result<Option<Order>, Fault> {
    let key = (*partner_id, partner_order_id.to_owned());
    match super::key::orders_by_key(tx, &[&key]).await?.pop() {
        Some(order_id) => order_by_id(tx, &order_id).await,
        None => Ok(None),
    }
}

/// Whose order it is.
pub async fn order_partner(tx: &mut Tx, order_id: &OrderId) -> Result<Option<PartnerId>, Fault> {
    let row = sql!(
        tx,
        optional(String,),
        "SELECT partner_id FROM orders WHERE order_id = $1",
        order_id
    )?;
    row.map(|(partner_id,)| id(&partner_id)).transpose()
}

/// Which orders a list wants; empty texts want any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// Of this partner.
    pub partner_id: String,
    /// In this state.
    pub state: String,
    /// Of this checkout.
    pub partner_checkout_id: String,
}

/// Orders after an id, by placement: an order's id begins with its time.
pub async fn order_page(
    tx: &mut Tx,
    filter: &OrderFilter,
    after: &str,
    limit: i64,
) -> Result<Vec<Order>, Fault> {
    // Each form has an index of its own.
    let rows = if filter.partner_id.is_empty() {
        sql!(
            tx,
            all(String,),
            "SELECT order_id FROM orders WHERE order_id > $1 AND ($2 = '' OR state = $2) \
             AND ($3 = '' OR partner_checkout_id = $3) ORDER BY order_id LIMIT $4",
            after,
            &filter.state,
            &filter.partner_checkout_id,
            limit
        )?
    } else if filter.partner_checkout_id.is_empty() {
        sql!(
            tx,
            all(String,),
            "SELECT order_id FROM orders WHERE partner_id = $1 AND order_id > $2 AND ($3 = '' OR state = $3) \
             ORDER BY order_id LIMIT $4",
            &filter.partner_id,
            after,
            &filter.state,
            limit
        )?
    } else {
        sql!(
            tx,
            all(String,),
            "SELECT order_id FROM orders WHERE partner_id = $1 AND partner_checkout_id = $2 \
             AND partner_checkout_id <> '' AND order_id > $3 AND ($4 = '' OR state = $4) ORDER BY order_id LIMIT $5",
            &filter.partner_id,
            &filter.partner_checkout_id,
            after,
            &filter.state,
            limit
        )?
    };
    let ids = rows
        .iter()
        .map(|(order_id,)| id(order_id))
        .collect::<Result<Vec<OrderId>, Fault>>()?;
    let placements = placements_by_id(tx, &ids).await?;
    orders_read(tx, placements).await
}
