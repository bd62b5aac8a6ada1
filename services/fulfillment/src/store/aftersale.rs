//! Matters after the sale.

use std::collections::BTreeMap;

use contracts::id::{AftersaleId, FulfillmentId, PartnerId, ReturnId};
use contracts::money::Money;
use kit::clock::Micros;
use kit::errors::Fault;
use store::{Tx, bulk, sql};

use super::aftersale_parts::{
    lines_read, lines_save, reshipped_insert, reshipped_read, steps_insert,
};
use super::line_money::currency;
use super::returns::{return_insert, return_save, returns_read};
use super::{expect_rows, id, opt_id, word};
use crate::model::aftersale::{
    Aftersale, AftersaleKind, AftersaleReason, AftersaleState, CostBearer, News, Offer, Party,
    Reshipment,
};
use crate::model::returns::{Instructions, RefundState, ReturnRefund};

/// Matters by id.
pub type Aftersales = BTreeMap<AftersaleId, Aftersale>;

macro_rules! columns {
    () => {
        "a.aftersale_id, a.fulfillment_id, a.order_id, a.partner_id, a.kind, a.state, a.reason, a.opened_by, \
         a.message, a.cost_bearer, a.granted_by, a.offer_number, a.offer_kind, a.offer_message, \
         a.return_site_reference, a.carrier_code, a.tracking_number, a.return_by_time, a.return_id, \
         a.shipment_id, a.reship_carrier_code, a.reship_tracking_number, a.reship_time, a.refund_id, \
         a.refund_state, a.refund_attempt, a.refund_currency, a.refund_minor_units, a.step_count, \
         a.evidence_count, a.due_time, a.create_time, a.settle_time, a.finish_time, a.version"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    aftersale_id: String,
    fulfillment_id: String,
    order_id: String,
    partner_id: String,
    kind: String,
    state: String,
    reason: String,
    opened_by: String,
    message: String,
    cost_bearer: String,
    granted_by: String,
    offer_number: i64,
    offer_kind: String,
    offer_message: String,
    return_site_reference: String,
    carrier_code: String,
    tracking_number: String,
    return_by_time: Option<i64>,
    return_id: String,
    shipment_id: String,
    reship_carrier_code: String,
    reship_tracking_number: String,
    reship_time: Option<i64>,
    refund_id: String,
    refund_state: String,
    refund_attempt: i64,
    refund_currency: String,
    refund_minor_units: i64,
    step_count: i64,
    evidence_count: i64,
    due_time: Option<i64>,
    create_time: i64,
    settle_time: Option<i64>,
    finish_time: Option<i64>,
    version: i64,
}

impl Row {
    /// The matter without its lines, its goods and what went out; and the id of its goods.
    fn into_model(self) -> Result<(Aftersale, Option<ReturnId>), Fault> {
        let refund = self.refund()?;
        let offer = self.offer()?;
        let instructions = self.return_by_time.map(|by| Instructions {
            return_site_reference: self.return_site_reference,
            carrier_code: self.carrier_code,
            tracking_number: self.tracking_number,
            return_by_time: Micros(by),
        });
        let reshipment = self.reship_time.map(|time| Reshipment {
            carrier_code: self.reship_carrier_code,
            tracking_number: self.reship_tracking_number,
            units: Vec::new(),
            ship_time: Micros(time),
        });
        let matter = Aftersale {
            id: id(&self.aftersale_id)?,
            order_id: id(&self.order_id)?,
            fulfillment_id: id(&self.fulfillment_id)?,
            partner_id: id(&self.partner_id)?,
            kind: word("kind", &self.kind, AftersaleKind::named)?,
            state: word("state", &self.state, AftersaleState::named)?,
            reason: word("reason", &self.reason, AftersaleReason::named)?,
            opened_by: word("opened_by", &self.opened_by, Party::named)?,
            lines: Vec::new(),
            offer,
            message: self.message,
            cost_bearer: word("cost_bearer", &self.cost_bearer, CostBearer::named)?,
            granted_by: self.granted_by,
            instructions,
            leg: None,
            shipment_id: opt_id(&self.shipment_id)?,
            reshipment,
            refund,
            due_time: self.due_time.map(Micros),
            create_time: Micros(self.create_time),
            settle_time: self.settle_time.map(Micros),
            finish_time: self.finish_time.map(Micros),
            step_count: self.step_count,
            evidence_count: self.evidence_count,
            version: self.version,
            news: News::default(),
        };
        Ok((matter, opt_id(&self.return_id)?))
    }

    fn refund(&self) -> Result<Option<ReturnRefund>, Fault> {
        if self.refund_id.is_empty() {
            return Ok(None);
        }
        let currency = currency(&self.refund_currency)?;
        Ok(Some(ReturnRefund {
            refund_id: id(&self.refund_id)?,
            state: word("refund_state", &self.refund_state, RefundState::named)?,
            attempt: self.refund_attempt,
            shopper_amount: Money::new(currency, self.refund_minor_units),
        }))
    }

    fn offer(&self) -> Result<Option<Offer>, Fault> {
        if self.offer_number == 0 {
            return Ok(None);
        }
        Ok(Some(Offer {
            kind: word("offer_kind", &self.offer_kind, AftersaleKind::named)?,
            message: self.offer_message.clone(),
            number: self.offer_number,
        }))
    }
}

/// The fulfilment that a matter belongs to, which never changes; of one partner only when one is named.
pub async fn aftersale_owner(
    tx: &mut Tx,
    aftersale: &AftersaleId,
    partner: Option<&PartnerId>,
) -> Result<Option<FulfillmentId>, Fault> {
    let partner = partner.map_or("", |id| id.as_str());
    let row = sql!(
        tx,
        optional(String,),
        "SELECT fulfillment_id FROM aftersale WHERE aftersale_id = $1 AND ($2 = '' OR partner_id = $2)",
        aftersale,
        partner
    )?;
    row.map(|(owner,)| id(&owner)).transpose()
}

/// Reads matters with all that belongs to them but evidence and steps. Whoever is to change them holds the lock of
/// their fulfilments.
pub async fn aftersales_read(tx: &mut Tx, ids: &[AftersaleId]) -> Result<Aftersales, Fault> {
    let mut found = Aftersales::new();
    if ids.is_empty() {
        return Ok(found);
    }
    let rows = bulk!(
        tx,
        all Row,
        postgres: concat!(
            "SELECT ", columns!(), " FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
             (SELECT * FROM aftersale WHERE aftersale_id = k.id LIMIT 1) AS a"
        ),
        sqlite: concat!(
            "SELECT ", columns!(), " FROM json_each($1) AS k CROSS JOIN aftersale AS a \
             ON a.aftersale_id = k.value->>0"
        ),
        columns: [ids]
    )?;
    let mut legs = Vec::new();
    for row in rows {
        let (matter, leg) = row.into_model()?;
        legs.extend(leg.map(|leg| (matter.id, leg)));
        found.insert(matter.id, matter);
    }
    lines_read(tx, ids, &mut found).await?;
    reshipped_read(tx, ids, &mut found).await?;
    let of: Vec<ReturnId> = legs.iter().map(|(_, leg)| *leg).collect();
    let mut returns = returns_read(tx, &of).await?;
    for (matter, leg) in legs {
        if let Some(matter) = found.get_mut(&matter) {
            matter.leg = returns.remove(&leg);
        }
    }
    Ok(found)
}

/// Reads one matter.
pub async fn aftersale_read(tx: &mut Tx, id: &AftersaleId) -> Result<Option<Aftersale>, Fault> {
    Ok(aftersales_read(tx, &[*id]).await?.remove(id))
}

/// Writes a new matter with its lines and steps.
pub async fn aftersale_insert(tx: &mut Tx, new: &mut Aftersale) -> Result<(), Fault> {
    new.version = 1;
    sql!(
        tx,
        execute,
        "INSERT INTO aftersale (aftersale_id, fulfillment_id, order_id, partner_id, kind, state, reason, opened_by, \
         message, cost_bearer, granted_by, offer_number, offer_kind, offer_message, return_site_reference, \
         carrier_code, tracking_number, return_id, shipment_id, reship_carrier_code, reship_tracking_number, \
         refund_id, refund_state, refund_attempt, refund_currency, refund_minor_units, step_count, \
         evidence_count, due_time, create_time, settle_time, finish_time, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', $9, '', 0, '', '', '', '', '', '', $10, '', '', '', '', 0, '', 0, \
         $11, $12, $13, $14, $15, $16, $17)",
        &new.id,
        &new.fulfillment_id,
        &new.order_id,
        &new.partner_id,
        new.kind.word(),
        new.state.word(),
        new.reason.word(),
        new.opened_by.word(),
        new.cost_bearer.word(),
        new.shipment_id.as_ref().map_or("", |id| id.as_str()),
        new.step_count,
        new.evidence_count,
        new.due_time,
        new.create_time,
        new.settle_time,
        new.finish_time,
        new.version
    )?;
    lines_save(tx, new).await?;
    steps_insert(tx, new).await
}

/// Writes a changed matter, its goods as far as they changed (`leg_before` is how they were read) and its new steps; its
/// version grows by one from what was read.
pub async fn aftersale_save(
    tx: &mut Tx,
    changed: &mut Aftersale,
    leg_before: Option<&crate::model::returns::GoodsReturn>,
) -> Result<(), Fault> {
    match (leg_before, changed.leg.as_mut()) {
        (None, Some(new)) => return_insert(tx, new, "").await?,
        (Some(before), Some(now)) if before != &*now => return_save(tx, now).await?,
        _ => {}
    }
    row_save(tx, changed).await?;
    lines_save(tx, changed).await?;
    reshipped_insert(tx, changed).await?;
    steps_insert(tx, changed).await
}

async fn row_save(tx: &mut Tx, changed: &mut Aftersale) -> Result<(), Fault> {
    changed.version += 1;
    let nowhere = Instructions::default();
    let instructions = changed.instructions.as_ref();
    let by = instructions.map(|found| found.return_by_time);
    let instructions = instructions.unwrap_or(&nowhere);
    let (offer, reship) = (changed.offer.as_ref(), changed.reshipment.as_ref());
    let refund = changed.refund.as_ref();
    let written = sql!(
        tx,
        execute,
        "UPDATE aftersale SET kind = $2, state = $3, message = $4, cost_bearer = $5, granted_by = $6, \
         offer_number = $7, offer_kind = $8, offer_message = $9, return_site_reference = $10, carrier_code = $11, \
         tracking_number = $12, return_by_time = $13, return_id = $14, reship_carrier_code = $15, \
         reship_tracking_number = $16, reship_time = $17, refund_id = $18, refund_state = $19, refund_attempt = $20, \
         refund_currency = $21, refund_minor_units = $22, step_count = $23, evidence_count = $24, due_time = $25, \
         settle_time = $26, finish_time = $27, version = $28 WHERE aftersale_id = $1 AND version = $28 - 1",
        &changed.id,
        changed.kind.word(),
        changed.state.word(),
        changed.message.as_str(),
        changed.cost_bearer.word(),
        changed.granted_by.as_str(),
        offer.map_or(0, |offer| offer.number),
        offer.map_or("", |offer| offer.kind.word()),
        offer.map_or("", |offer| offer.message.as_str()),
        instructions.return_site_reference.as_str(),
        instructions.carrier_code.as_str(),
        instructions.tracking_number.as_str(),
        by,
        changed.leg.as_ref().map_or("", |leg| leg.id.as_str()),
        reship.map_or("", |sent| sent.carrier_code.as_str()),
        reship.map_or("", |sent| sent.tracking_number.as_str()),
        reship.map(|sent| sent.ship_time),
        refund.map_or("", |refund| refund.refund_id.as_str()),
        refund.map_or("", |refund| refund.state.word()),
        refund.map_or(0, |refund| refund.attempt),
        refund.map_or("", |refund| refund.shopper_amount.currency.code()),
        refund.map_or(0, |refund| refund.shopper_amount.minor_units),
        changed.step_count,
        changed.evidence_count,
        changed.due_time,
        changed.settle_time,
        changed.finish_time,
        changed.version
    )?;
    expect_rows("aftersale", written, 1)
}
