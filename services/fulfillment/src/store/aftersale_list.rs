//! Finding matters.

use contracts::id::{AftersaleId, FulfillmentId, OrderId, PartnerId};
use kit::clock::Micros;
use kit::errors::Fault;
use store::{StoreError, Tx, sql};

use super::aftersale::aftersales_read;
use super::id;
use crate::model::aftersale::{Aftersale, AftersaleState};

/// How many matters an order has had that people opened, counted no further than `most`.
pub async fn aftersales_count(tx: &mut Tx, order: &OrderId, most: i64) -> Result<i64, Fault> {
    let (count,) = sql!(
        tx,
        one(i64,),
        "SELECT CAST(COUNT(*) AS BIGINT) FROM (SELECT aftersale_id FROM aftersale WHERE order_id = $1 \
         AND shipment_id = '' ORDER BY aftersale_id LIMIT $2) AS a",
        order,
        most
    )?;
    Ok(count)
}

/// Matters whose deadline has passed with the fulfilments they belong to, the longest over first, and at most so many.
pub async fn aftersales_due(
    tx: &mut Tx,
    now: Micros,
    limit: i64,
) -> Result<Vec<(AftersaleId, FulfillmentId)>, Fault> {
    let rows = sql!(
        tx,
        all(String, String),
        "SELECT aftersale_id, fulfillment_id FROM aftersale WHERE due_time IS NOT NULL AND due_time <= $1 \
         ORDER BY due_time, aftersale_id LIMIT $2",
        now,
        limit
    )?;
    rows.iter()
        .map(|(found, owner)| Ok((id(found)?, id(owner)?)))
        .collect()
}

/// Which matters, in the order of creation.
#[derive(Clone, Debug)]
pub struct AftersaleQuery {
    /// Of one partner only.
    pub partner: Option<PartnerId>,
    /// Of one order only.
    pub order: Option<OrderId>,
    /// Of one state only.
    pub state: Option<AftersaleState>,
    /// After this one.
    pub after: Option<AftersaleId>,
    /// At most so many.
    pub limit: i64,
}

macro_rules! matters {
    ($where:literal) => {
        concat!(
            "SELECT a.aftersale_id FROM aftersale AS a WHERE ",
            $where,
            " AND a.aftersale_id > $2 ORDER BY a.aftersale_id LIMIT $1"
        )
    };
}

/// A page of matters. Each filter has a text of its own, so that each finds its index.
pub async fn aftersales_list(tx: &mut Tx, query: &AftersaleQuery) -> Result<Vec<Aftersale>, Fault> {
    let ids = ids(tx, query).await?;
    let ids = ids
        .iter()
        .map(|(found,)| id(found))
        .collect::<Result<Vec<AftersaleId>, Fault>>()?;
    Ok(aftersales_read(tx, &ids).await?.into_values().collect())
}

async fn ids(tx: &mut Tx, query: &AftersaleQuery) -> Result<Vec<(String,)>, StoreError> {
    let after = query.after.as_ref().map_or("", |id| id.as_str());
    let (limit, state) = (query.limit, query.state.map(AftersaleState::word));
    // An order has few matters: whatever else is asked is filtered from them.
    if let Some(order) = &query.order {
        let partner = query.partner.as_ref().map_or("", |id| id.as_str());
        let state = state.unwrap_or("");
        return sql!(
            tx,
            all(String,),
            matters!(
                "a.order_id = $3 AND ($4 = '' OR a.partner_id = $4) AND ($5 = '' OR a.state = $5)"
            ),
            limit,
            after,
            order,
            partner,
            state
        );
    }
    match (&query.partner, state) {
        (None, None) => sql!(tx, all(String,), matters!("true"), limit, after),
        (Some(partner), None) => {
            sql!(
                tx,
                all(String,),
                matters!("a.partner_id = $3"),
                limit,
                after,
                partner
            )
        }
        (None, Some(state)) => {
            sql!(
                tx,
                all(String,),
                matters!("a.state = $3"),
                limit,
                after,
                state
            )
        }
        (Some(partner), Some(state)) => {
            sql!(
                tx,
                all(String,),
                matters!("a.partner_id = $3 AND a.state = $4"),
                limit,
                after,
                partner,
                state
            )
        }
    }
}
