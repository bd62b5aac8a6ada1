//! Returns and what is in them.

use std::collections::BTreeMap;

use contracts::id::{FulfillmentId, OrderLineId, PartnerId, ReturnId};
use contracts::money::Money;
use kit::clock::Micros;
use kit::errors::Fault;
use store::{Tx, bulk, sql};

use super::privacy::note_seal;
use super::{expect_rows, id, number, opt_id, word};
use crate::model::Unit;
use crate::model::returns::{
    ConditionQuantity, GoodsCondition, GoodsReturn, Instructions, RefundState, ReturnInitiator,
    ReturnKind, ReturnLine, ReturnReason, ReturnRefund, ReturnState,
};

/// Returns by id.
pub type Returns = BTreeMap<ReturnId, GoodsReturn>;

/// The columns of a [`Row`]. The shopper's note is none of them.
macro_rules! columns {
    () => {
        "r.return_id, r.fulfillment_id, r.order_id, r.partner_id, r.kind, r.state, r.initiator, \
         r.return_site_reference, r.carrier_code, r.tracking_number, r.return_by_time, r.decision_message, \
         r.create_time, r.decide_time, r.receive_time, r.finish_time, r.refund_id, r.refund_state, \
         r.refund_attempt, r.refund_currency, r.refund_minor_units, r.aftersale_id, r.version"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    return_id: String,
    fulfillment_id: String,
    order_id: String,
    partner_id: String,
    kind: String,
    state: String,
    initiator: String,
    return_site_reference: String,
    carrier_code: String,
    tracking_number: String,
    return_by_time: Option<i64>,
    decision_message: String,
    create_time: i64,
    decide_time: Option<i64>,
    receive_time: Option<i64>,
    finish_time: Option<i64>,
    refund_id: String,
    refund_state: String,
    refund_attempt: i64,
    refund_currency: String,
    refund_minor_units: i64,
    aftersale_id: String,
    version: i64,
}

impl Row {
    /// The return without its lines.
    fn into_model(self) -> Result<GoodsReturn, Fault> {
        let refund = self.refund()?;
        let instructions = self.return_by_time.map(|by| Instructions {
            return_site_reference: self.return_site_reference,
            carrier_code: self.carrier_code,
            tracking_number: self.tracking_number,
            return_by_time: Micros(by),
        });
        Ok(GoodsReturn {
            id: id(&self.return_id)?,
            order_id: id(&self.order_id)?,
            fulfillment_id: id(&self.fulfillment_id)?,
            partner_id: id(&self.partner_id)?,
            kind: word("kind", &self.kind, ReturnKind::named)?,
            state: word("state", &self.state, ReturnState::named)?,
            initiator: word("initiator", &self.initiator, ReturnInitiator::named)?,
            lines: Vec::new(),
            instructions,
            decision_message: self.decision_message,
            create_time: Micros(self.create_time),
            decide_time: self.decide_time.map(Micros),
            receive_time: self.receive_time.map(Micros),
            finish_time: self.finish_time.map(Micros),
            refund,
            aftersale_id: opt_id(&self.aftersale_id)?,
            version: self.version,
        })
    }

    fn refund(&self) -> Result<Option<ReturnRefund>, Fault> {
        if self.refund_id.is_empty() {
            return Ok(None);
        }
        let currency = self.refund_currency.parse().map_err(|_| {
            Fault::internal(format!(
                "a table holds `{}` as a currency",
                self.refund_currency
            ))
        })?;
        Ok(Some(ReturnRefund {
            refund_id: id(&self.refund_id)?,
            state: word("refund_state", &self.refund_state, RefundState::named)?,
            attempt: self.refund_attempt,
            shopper_amount: Money::new(currency, self.refund_minor_units),
        }))
    }
}

#[derive(sqlx::FromRow)]
struct LineRow {
    return_id: String,
    order_line_id: String,
    variant_id: String,
    sku: String,
    unit: String,
    reason: String,
    requested: i64,
    approved: i64,
}

impl LineRow {
    fn into_model(self) -> Result<(ReturnId, ReturnLine), Fault> {
        let line = ReturnLine {
            order_line_id: id(&self.order_line_id)?,
            variant_id: id(&self.variant_id)?,
            sku: self.sku,
            unit: word("unit", &self.unit, Unit::named)?,
            reason: word("reason", &self.reason, ReturnReason::named)?,
            requested: self.requested,
            approved: self.approved,
            conditions: Vec::new(),
        };
        Ok((id(&self.return_id)?, line))
    }
}

/// The fulfilment that a return belongs to, which never changes; of one partner only when one is named.
pub async fn return_owner(
    tx: &mut Tx,
    return_id: &ReturnId,
    partner: Option<&PartnerId>,
) -> Result<Option<FulfillmentId>, Fault> {
    let partner = partner.map_or("", |id| id.as_str());
    let row = sql!(
        tx,
        optional(String,),
        "SELECT fulfillment_id FROM goods_return WHERE return_id = $1 AND ($2 = '' OR partner_id = $2)",
        return_id,
        partner
    )?;
    row.map(|(owner,)| id(&owner)).transpose()
}

/// Reads returns with their lines. Whoever is to change them holds the lock of their fulfilments.
pub async fn returns_read(tx: &mut Tx, ids: &[ReturnId]) -> Result<Returns, Fault> {
    let mut found = Returns::new();
    if ids.is_empty() {
        return Ok(found);
    }
    let rows = bulk!(
        tx,
        all Row,
        postgres: concat!(
            "SELECT ", columns!(), " FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
             (SELECT * FROM goods_return WHERE return_id = k.id LIMIT 1) AS r"
        ),
        sqlite: concat!(
            "SELECT ", columns!(), " FROM json_each($1) AS k CROSS JOIN goods_return AS r \
             ON r.return_id = k.value->>0"
        ),
        columns: [ids]
    )?;
    for row in rows {
        let goods_return = row.into_model()?;
        found.insert(goods_return.id, goods_return);
    }
    read_lines(tx, ids, &mut found).await?;
    read_conditions(tx, ids, &mut found).await?;
    Ok(found)
}

/// Reads one return.
pub async fn return_read(tx: &mut Tx, id: &ReturnId) -> Result<Option<GoodsReturn>, Fault> {
    Ok(returns_read(tx, &[*id]).await?.remove(id))
}

async fn read_lines(tx: &mut Tx, ids: &[ReturnId], found: &mut Returns) -> Result<(), Fault> {
    let rows = bulk!(
        tx,
        all LineRow,
        postgres: "SELECT l.return_id, l.order_line_id, f.variant_id, f.sku, f.unit, l.reason, l.requested, l.approved \
                   FROM UNNEST($1::TEXT[]) AS k(id) \
                   CROSS JOIN LATERAL (SELECT * FROM goods_return WHERE return_id = k.id LIMIT 1) AS r \
                   CROSS JOIN LATERAL (SELECT * FROM goods_return_line WHERE return_id = k.id OFFSET 0) AS l \
                   CROSS JOIN LATERAL (SELECT * FROM fulfillment_line WHERE fulfillment_id = r.fulfillment_id \
                   AND order_line_id = l.order_line_id LIMIT 1) AS f ORDER BY l.return_id, l.line_no",
        sqlite: "SELECT l.return_id, l.order_line_id, f.variant_id, f.sku, f.unit, l.reason, l.requested, l.approved \
                 FROM json_each($1) AS k CROSS JOIN goods_return AS r ON r.return_id = k.value->>0 \
                 CROSS JOIN goods_return_line AS l ON l.return_id = k.value->>0 \
                 CROSS JOIN fulfillment_line AS f ON f.fulfillment_id = r.fulfillment_id \
                 AND f.order_line_id = l.order_line_id ORDER BY l.return_id, l.line_no",
        columns: [ids]
    )?;
    for row in rows {
        let (id, line) = row.into_model()?;
        if let Some(goods_return) = found.get_mut(&id) {
            goods_return.lines.push(line);
        }
    }
    Ok(())
}

async fn read_conditions(tx: &mut Tx, ids: &[ReturnId], found: &mut Returns) -> Result<(), Fault> {
    let rows = bulk!(
        tx,
        all(String, String, String, i64, i64),
        postgres: "SELECT c.return_id, c.order_line_id, c.goods_condition, c.quantity, c.restock \
                   FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM goods_return_condition WHERE return_id = k.id OFFSET 0) AS c",
        sqlite: "SELECT c.return_id, c.order_line_id, c.goods_condition, c.quantity, c.restock \
                 FROM json_each($1) AS k CROSS JOIN goods_return_condition AS c ON c.return_id = k.value->>0",
        columns: [ids]
    )?;
    for (return_id, line, condition, quantity, restock) in rows {
        let line: OrderLineId = id(&line)?;
        let part = ConditionQuantity {
            condition: word("goods_condition", &condition, GoodsCondition::named)?,
            quantity,
            restock,
        };
        let of_return = found.get_mut(&id(&return_id)?);
        let lines = of_return.into_iter().flat_map(|found| &mut found.lines);
        for line in lines.filter(|own| own.order_line_id == line) {
            line.conditions.push(part);
            line.conditions.sort_by_key(|part| part.condition);
        }
    }
    Ok(())
}

/// Writes a new return with its lines and the shopper's note.
pub async fn return_insert(tx: &mut Tx, new: &mut GoodsReturn, note: &str) -> Result<(), Fault> {
    new.version = 1;
    let (note, shopper_ref) = note_seal(tx, new, note).await?;
    let nowhere = Instructions::default();
    let instructions = new.instructions.as_ref();
    let by = instructions.map(|found| found.return_by_time);
    let instructions = instructions.unwrap_or(&nowhere);
    sql!(
        tx,
        execute,
        "INSERT INTO goods_return (return_id, fulfillment_id, order_id, partner_id, kind, state, initiator, \
         shopper_note, return_site_reference, carrier_code, tracking_number, decision_message, create_time, \
         refund_id, refund_state, refund_attempt, refund_currency, refund_minor_units, aftersale_id, \
         return_by_time, decide_time, version, shopper_ref) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, '', '', 0, '', 0, $14, $15, $16, $17, $18)",
        &new.id,
        &new.fulfillment_id,
        &new.order_id,
        &new.partner_id,
        new.kind.word(),
        new.state.word(),
        new.initiator.word(),
        note,
        instructions.return_site_reference.as_str(),
        instructions.carrier_code.as_str(),
        instructions.tracking_number.as_str(),
        new.decision_message.as_str(),
        new.create_time,
        new.aftersale_id.as_ref().map_or("", |id| id.as_str()),
        by,
        new.decide_time,
        new.version,
        shopper_ref
    )?;
    lines_save(tx, new).await
}

/// Writes a changed return; its version grows by one from what was read.
pub async fn return_save(tx: &mut Tx, changed: &mut GoodsReturn) -> Result<(), Fault> {
    changed.version += 1;
    let nowhere = Instructions::default();
    let instructions = changed.instructions.as_ref();
    let by = instructions.map(|found| found.return_by_time);
    let instructions = instructions.unwrap_or(&nowhere);
    let refund = changed.refund.as_ref();
    let written = sql!(
        tx,
        execute,
        "UPDATE goods_return SET state = $2, return_site_reference = $3, carrier_code = $4, \
         tracking_number = $5, return_by_time = $6, decision_message = $7, decide_time = $8, receive_time = $9, \
         finish_time = $10, refund_id = $11, refund_state = $12, refund_attempt = $13, refund_currency = $14, \
         refund_minor_units = $15, version = $16 WHERE return_id = $1 AND version = $16 - 1",
        &changed.id,
        changed.state.word(),
        instructions.return_site_reference.as_str(),
        instructions.carrier_code.as_str(),
        instructions.tracking_number.as_str(),
        by,
        changed.decision_message.as_str(),
        changed.decide_time,
        changed.receive_time,
        changed.finish_time,
        refund.map_or("", |refund| refund.refund_id.as_str()),
        refund.map_or("", |refund| refund.state.word()),
        refund.map_or(0, |refund| refund.attempt),
        refund.map_or("", |refund| refund.shopper_amount.currency.code()),
        refund.map_or(0, |refund| refund.shopper_amount.minor_units),
        changed.version
    )?;
    expect_rows("goods_return", written, 1)?;
    lines_save(tx, changed).await
}

/// Writes returns that have come to their end with nothing else changed; each version grows by one from what
/// was read.
pub async fn returns_end(tx: &mut Tx, ended: &mut [GoodsReturn]) -> Result<(), Fault> {
    if ended.is_empty() {
        return Ok(());
    }
    for goods_return in &mut *ended {
        goods_return.version += 1;
    }
    let ids: Vec<_> = ended.iter().map(|r| r.id).collect();
    let states: Vec<_> = ended.iter().map(|r| r.state.word()).collect();
    let times: Vec<_> = ended.iter().map(|r| r.finish_time).collect();
    let versions: Vec<_> = ended.iter().map(|r| r.version).collect();
    let written = bulk!(
        tx,
        execute,
        postgres: "UPDATE goods_return AS r SET state = u.state, finish_time = u.finish_time, version = u.version \
                   FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[], $4::BIGINT[]) \
                   AS u(id, state, finish_time, version) WHERE r.return_id = u.id AND r.version = u.version - 1",
        sqlite: "UPDATE goods_return SET state = u.value->>1, finish_time = u.value->>2, version = u.value->>3 \
                 FROM json_each($1) AS u \
                 WHERE goods_return.return_id = u.value->>0 AND goods_return.version = (u.value->>3) - 1",
        columns: [ids, states, times, versions]
    )?;
    expect_rows("goods_return", written, ended.len())
}

async fn lines_save(tx: &mut Tx, changed: &GoodsReturn) -> Result<(), Fault> {
    let all = || (0..).zip(&changed.lines);
    let ids: Vec<_> = all().map(|_| changed.id).collect();
    let lines: Vec<_> = all().map(|(_, line)| line.order_line_id).collect();
    let numbers: Vec<_> = all().map(|(at, _)| number(at)).collect();
    let reasons: Vec<_> = all().map(|(_, line)| line.reason.word()).collect();
    let requested: Vec<_> = all().map(|(_, line)| line.requested).collect();
    let approved: Vec<_> = all().map(|(_, line)| line.approved).collect();
    let received: Vec<_> = all().map(|(_, line)| line.received()).collect();
    macro_rules! upsert {
        ($from:literal) => {
            concat!(
                "INSERT INTO goods_return_line (return_id, order_line_id, line_no, reason, requested, approved, \
                 received) ",
                $from,
                " ON CONFLICT (return_id, order_line_id) DO UPDATE SET approved = excluded.approved, \
                 received = excluded.received"
            )
        };
    }
    let written = bulk!(
        tx,
        execute,
        postgres: upsert!(
            "SELECT u.* FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[], $4::TEXT[], $5::BIGINT[], $6::BIGINT[], \
             $7::BIGINT[]) AS u"
        ),
        sqlite: upsert!(
            "SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6 \
             FROM json_each($1) WHERE true"
        ),
        columns: [ids, lines, numbers, reasons, requested, approved, received]
    )?;
    expect_rows("goods_return_line", written, changed.lines.len())?;
    conditions_save(tx, changed).await
}

/// Conditions are written once, with the receipt, and stay as they are.
async fn conditions_save(tx: &mut Tx, changed: &GoodsReturn) -> Result<(), Fault> {
    let of = |line: &ReturnLine| {
        let id = line.order_line_id;
        let parts = line.conditions.iter();
        parts.map(|part| (id, *part)).collect::<Vec<_>>()
    };
    let all = || changed.lines.iter().flat_map(of);
    let lines: Vec<_> = all().map(|(line, _)| line).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = all().map(|_| changed.id).collect();
    let conditions: Vec<_> = all().map(|(_, part)| part.condition.word()).collect();
    let quantities: Vec<_> = all().map(|(_, part)| part.quantity).collect();
    let restocks: Vec<_> = all().map(|(_, part)| part.restock).collect();
    macro_rules! insert {
        ($from:literal) => {
            concat!(
                "INSERT INTO goods_return_condition (return_id, order_line_id, goods_condition, quantity, restock) ",
                $from,
                " ON CONFLICT (return_id, order_line_id, goods_condition) DO NOTHING"
            )
        };
    }
    bulk!(
        tx,
        execute,
        postgres: insert!(
            "SELECT u.* FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::BIGINT[], $5::BIGINT[]) AS u"
        ),
        sqlite: insert!(
            "SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each($1) WHERE true"
        ),
        columns: [ids, lines, conditions, quantities, restocks]
    )?;
    Ok(())
}
