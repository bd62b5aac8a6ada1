//! Whether what a case names is there, and whose it is.

use contracts::id::{AftersaleId, OrderId, OrderLineId, PartnerId, ReturnId, ShipmentId};
use kit::errors::Fault;
use store::{Tx, sql};

use super::super::id;

/// Whose something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belongs {
    /// The order; none when it belongs to no order.
    pub order_id: Option<OrderId>,
    /// The partner.
    pub partner_id: PartnerId,
    /// Who of the retailer decided on it, where that is known, as the audit names them.
    pub decided_by: Vec<String>,
}

type Found = Option<(String, String)>;

fn belongs(found: Found) -> Result<Option<Belongs>, Fault> {
    found
        .map(|(order, partner)| {
            Ok(Belongs {
                order_id: Some(id(&order)?),
                partner_id: id(&partner)?,
                decided_by: Vec::new(),
            })
        })
        .transpose()
}

/// Whose a paid order is.
pub async fn order_look(tx: &mut Tx, order: &OrderId) -> Result<Option<Belongs>, Fault> {
    let row = sql!(
        tx,
        optional(String, String),
        "SELECT order_id, partner_id FROM fulfillment WHERE order_id = $1",
        order
    )?;
    belongs(row)
}

/// Whether a paid order has the line.
pub async fn line_look(tx: &mut Tx, order: &OrderId, line: &OrderLineId) -> Result<bool, Fault> {
    let row = sql!(
        tx,
        optional(String,),
        "SELECT l.order_line_id FROM fulfillment AS f JOIN fulfillment_line AS l \
         ON l.fulfillment_id = f.fulfillment_id WHERE f.order_id = $1 AND l.order_line_id = $2",
        order,
        line
    )?;
    Ok(row.is_some())
}

/// Whose a return is.
pub async fn return_look(tx: &mut Tx, found: &ReturnId) -> Result<Option<Belongs>, Fault> {
    let row = sql!(
        tx,
        optional(String, String),
        "SELECT order_id, partner_id FROM goods_return WHERE return_id = $1",
        found
    )?;
    belongs(row)
}

/// Whose a shipment is.
pub async fn shipment_look(tx: &mut Tx, found: &ShipmentId) -> Result<Option<Belongs>, Fault> {
    let row = sql!(
        tx,
        optional(String, String),
        "SELECT order_id, partner_id FROM shipment WHERE shipment_id = $1",
        found
    )?;
    belongs(row)
}

/// Whose an aftersale is, and who offered, granted, agreed to or refused it.
pub async fn aftersale_look(tx: &mut Tx, found: &AftersaleId) -> Result<Option<Belongs>, Fault> {
    let row = sql!(
        tx,
        optional(String, String),
        "SELECT order_id, partner_id FROM aftersale WHERE aftersale_id = $1",
        found
    )?;
    let Some(mut found_of) = belongs(row)? else {
        return Ok(None);
    };
    let rows = sql!(
        tx,
        all(String,),
        "SELECT DISTINCT who FROM aftersale_step WHERE aftersale_id = $1 AND party = 'RETAILER' AND who <> '' \
         AND kind IN ('OFFERED', 'GRANTED', 'APPROVAL_ASKED', 'APPROVED', 'REJECTED') ORDER BY who",
        found
    )?;
    found_of.decided_by = rows.into_iter().map(|(who,)| who).collect();
    Ok(Some(found_of))
}
