//! Opens a case.

use contracts::ErrorReason;
use contracts::id::{CaseId, CaseMessageId, PartnerId};
use kit::errors::{Fault, Refusal};
use store::{Operation, Tx};

use super::{Seen, actor, keep};
use crate::model::care::{Case, Opening, References, Rules};
use crate::store::care::list::{open_of_shopper, opening_lock};
use crate::store::care::look::{
    Belongs, aftersale_look, line_look, order_look, return_look, shipment_look,
};

/// Opens a case.
pub struct OpenCase {
    /// As it is opened.
    pub opening: Opening,
    /// What the order service was asked for.
    pub seen: Seen,
    /// The most open cases of one shopper.
    pub open_max: i64,
    /// What steps obey.
    pub rules: Rules,
}

impl Operation for OpenCase {
    /// The case and its first message.
    type Output = (Case, CaseMessageId);

    fn name(&self) -> &'static str {
        "case.open"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        let mut opening = self.opening.clone();
        let partner = opening.partner_id;
        look(tx, &mut opening.references, partner, &self.seen).await?;
        // Two that come at the same moment would both count before either is there.
        opening_lock(tx, &partner, &opening.shopper_ref).await?;
        let open = open_of_shopper(tx, &partner, &opening.shopper_ref, self.open_max).await?;
        if open >= self.open_max {
            let message = format!(
                "This shopper has {open} open cases, the most there may be; go on in one of them."
            );
            return Err(Refusal::new(ErrorReason::LimitExceeded, message)
                .with("remaining", 0)
                .into());
        }
        let now = tx.now();
        let ids = (
            CaseId::from_uuid(tx.ids().next()),
            CaseMessageId::from_uuid(tx.ids().next()),
        );
        let actor = actor(tx.caller());
        let (mut case, message) = Case::open(ids, opening, &actor, &self.rules, now)?;
        keep(tx, &mut case, Some(&message)).await?;
        Ok((case, message.id))
    }
}

/// Refuses what is not there or another's, in one way; the order follows from what belongs to it.
async fn look(
    tx: &mut Tx,
    references: &mut References,
    partner: PartnerId,
    seen: &Seen,
) -> Result<(), Fault> {
    if let Some(id) = &references.return_id {
        let found = return_look(tx, id).await?;
        fits(&mut references.order_id, found, partner, "return")?;
    }
    if let Some(id) = &references.aftersale_id {
        let found = aftersale_look(tx, id).await?;
        fits(&mut references.order_id, found, partner, "aftersale")?;
    }
    if let Some(id) = &references.shipment_id {
        let found = shipment_look(tx, id).await?;
        fits(&mut references.order_id, found, partner, "shipment")?;
    }
    let Some(order) = references.order_id else {
        if references.order_line_id.is_some() {
            let why = "names a line, so references.order_id must be set as well.";
            return Err(Refusal::invalid("references.order_line_id", why).into());
        }
        return Ok(());
    };
    let told = seen.orders.iter().find(|told| told.order_id == order);
    let owner = match (order_look(tx, &order).await?, told) {
        (Some(found), _) => Some(found.partner_id),
        (None, Some(told)) => Some(told.partner_id),
        (None, None) => None,
    };
    if owner != Some(partner) {
        return Err(Refusal::not_found("order").into());
    }
    if let Some(line) = &references.order_line_id {
        let is_told = told.is_some_and(|told| told.lines.contains(line));
        if !is_told && !line_look(tx, &order, line).await? {
            return Err(Refusal::not_found("order_line").into());
        }
    }
    Ok(())
}

fn fits(
    order: &mut Option<contracts::id::OrderId>,
    found: Option<Belongs>,
    partner: PartnerId,
    kind: &str,
) -> Result<(), Refusal> {
    let own = found.filter(|found| found.partner_id == partner);
    let own = own.ok_or_else(|| Refusal::not_found(kind))?;
    if order.is_some() && *order != own.order_id {
        return Err(Refusal::not_found(kind));
    }
    *order = own.order_id;
    Ok(())
}
