//! Finding returns, and what may become one.

use contracts::id::{FulfillmentId, OrderId, PartnerId, ReturnId};
use kit::clock::Micros;
use kit::errors::Fault;
use store::sealed::open_text;
use store::{StoreError, Tx, sql};

use super::id;
use super::privacy::note_place;
use super::returns::returns_read;
use crate::model::returns::{Delivery, GoodsReturn, ReturnState};

/// What of an order was delivered after `since`, the latest first and at most so many.
pub async fn deliveries_since(
    tx: &mut Tx,
    order: &OrderId,
    since: Micros,
    limit: i64,
) -> Result<Vec<Delivery>, Fault> {
    let rows = sql!(
        tx,
        all(String, i64, i64),
        "SELECT l.order_line_id, s.finish_time, CAST(SUM(l.quantity) AS BIGINT) FROM shipment AS s \
         JOIN shipment_line AS l ON l.shipment_id = s.shipment_id \
         WHERE s.order_id = $1 AND s.state = 'DELIVERED' AND s.finish_time > $2 \
         GROUP BY l.order_line_id, s.finish_time ORDER BY s.finish_time DESC, l.order_line_id LIMIT $3",
        order,
        since,
        limit
    )?;
    rows.iter()
        .map(|(line, time, quantity)| {
            Ok(Delivery {
                order_line_id: id(line)?,
                time: Micros(*time),
                quantity: *quantity,
            })
        })
        .collect()
}

/// How many returns an order has had, counted no further than `most`.
pub async fn returns_count(tx: &mut Tx, order: &OrderId, most: i64) -> Result<i64, Fault> {
    let (count,) = sql!(
        tx,
        one(i64,),
        "SELECT CAST(COUNT(*) AS BIGINT) FROM \
         (SELECT return_id FROM goods_return WHERE order_id = $1 ORDER BY return_id LIMIT $2) AS r",
        order,
        most
    )?;
    Ok(count)
}

/// Approved returns of no matter whose time is over with the fulfilments they belong to, the longest over first, and at
/// most so many.
pub async fn returns_overdue(
    tx: &mut Tx,
    now: Micros,
    limit: i64,
) -> Result<Vec<(ReturnId, FulfillmentId)>, Fault> {
    let rows = sql!(
        tx,
        all(String, String),
        "SELECT return_id, fulfillment_id FROM goods_return WHERE state = 'APPROVED' AND aftersale_id = '' \
         AND return_by_time <= $1 \
         ORDER BY return_by_time, return_id LIMIT $2",
        now,
        limit
    )?;
    rows.iter()
        .map(|(found, owner)| Ok((id(found)?, id(owner)?)))
        .collect()
}

/// The shopper's words with a return; empty when there are none.
pub async fn return_note(tx: &mut Tx, return_id: &ReturnId) -> Result<String, Fault> {
    let row = sql!(
        tx,
        optional(String,),
        "SELECT shopper_note FROM goods_return WHERE return_id = $1",
        return_id
    )?;
    let stored = row.map(|(note,)| note).unwrap_or_default();
    // Whose key is destroyed is forgotten.
    let note = open_text(&tx.keys()?, note_place(return_id.as_str()), &stored).await?;
    Ok(note.unwrap_or_default())
}

/// Forgets shoppers' words about returns that ended before `before`, of so many at most. Gives their ids.
pub async fn notes_forget(tx: &mut Tx, before: Micros, limit: i64) -> Result<Vec<String>, Fault> {
    let rows = sql!(
        tx,
        all(String,),
        "UPDATE goods_return SET shopper_note = '' WHERE return_id IN (SELECT return_id FROM goods_return \
         WHERE shopper_note <> '' AND finish_time < $1 ORDER BY finish_time, return_id LIMIT $2) \
         RETURNING return_id",
        before,
        limit
    )?;
    Ok(rows.into_iter().map(|(found,)| found).collect())
}

/// Which returns, in the order of creation.
#[derive(Clone, Debug)]
pub struct ReturnQuery {
    /// Of one partner only.
    pub partner: Option<PartnerId>,
    /// Of one order only.
    pub order: Option<OrderId>,
    /// Of one state only.
    pub state: Option<ReturnState>,
    /// After this one.
    pub after: Option<ReturnId>,
    /// At most so many.
    pub limit: i64,
}

macro_rules! returns {
    ($where:literal) => {
        concat!(
            "SELECT r.return_id FROM goods_return AS r WHERE ",
            $where,
            " AND r.return_id > $2 ORDER BY r.return_id LIMIT $1"
        )
    };
}

/// A page of returns. Each filter has a text of its own, so that each finds its index.
pub async fn returns_list(tx: &mut Tx, query: &ReturnQuery) -> Result<Vec<GoodsReturn>, Fault> {
    let ids = return_ids(tx, query).await?;
    let ids = ids
        .iter()
        .map(|(found,)| id(found))
        .collect::<Result<Vec<ReturnId>, Fault>>()?;
    Ok(returns_read(tx, &ids).await?.into_values().collect())
}

async fn return_ids(tx: &mut Tx, query: &ReturnQuery) -> Result<Vec<(String,)>, StoreError> {
    let after = query.after.as_ref().map_or("", |id| id.as_str());
    let (limit, state) = (query.limit, query.state.map(ReturnState::word));
    // An order has few returns: whatever else is asked is filtered from them.
    if let Some(order) = &query.order {
        let partner = query.partner.as_ref().map_or("", |id| id.as_str());
        let state = state.unwrap_or("");
        return sql!(
            tx,
            all(String,),
            returns!(
                "r.order_id = $3 AND ($4 = '' OR r.partner_id = $4) AND ($5 = '' OR r.state = $5)"
            ),
            limit,
            after,
            order,
            partner,
            state
        );
    }
    match (&query.partner, state) {
        (None, None) => sql!(tx, all(String,), returns!("true"), limit, after),
        (Some(partner), None) => {
            sql!(
                tx,
                all(String,),
                returns!("r.partner_id = $3"),
                limit,
                after,
                partner
            )
        }
        (None, Some(state)) => {
            sql!(
                tx,
                all(String,),
                returns!("r.state = $3"),
                limit,
                after,
                state
            )
        }
        (Some(partner), Some(state)) => {
            sql!(
                tx,
                all(String,),
                returns!("r.partner_id = $3 AND r.state = $4"),
                limit,
                after,
                partner,
                state
            )
        }
    }
}
