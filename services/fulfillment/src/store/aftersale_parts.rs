//! What belongs to matters: their lines, what went out, their evidence and their steps.

use contracts::id::AftersaleId;
use kit::clock::Micros;
use kit::errors::Fault;
use store::{Tx, bulk, sql};

use super::aftersale::Aftersales;
use super::line_money::currency;
use super::{expect_rows, id, number, word};
use crate::model::Unit;
use crate::model::aftersale::{
    Aftersale, AftersaleState, Found, MatterLine, Party, Reshipped, Step, StepKind,
};

#[derive(sqlx::FromRow)]
struct LineRow {
    aftersale_id: String,
    order_line_id: String,
    variant_id: String,
    sku: String,
    unit: String,
    quantity: i64,
    currency_code: String,
    amount: i64,
    offer_amount: i64,
    sellable: i64,
    damaged: i64,
    counterfeit: i64,
    not_ours: i64,
    restock: i64,
}

impl LineRow {
    fn into_model(self) -> Result<(AftersaleId, MatterLine), Fault> {
        let currency = if self.currency_code.is_empty() {
            None
        } else {
            Some(currency(&self.currency_code)?)
        };
        let line = MatterLine {
            order_line_id: id(&self.order_line_id)?,
            variant_id: id(&self.variant_id)?,
            sku: self.sku,
            unit: word("unit", &self.unit, Unit::named)?,
            quantity: self.quantity,
            currency,
            amount: self.amount,
            offer_amount: self.offer_amount,
            found: Found {
                sellable: self.sellable,
                damaged: self.damaged,
                counterfeit: self.counterfeit,
                not_ours: self.not_ours,
                restock: self.restock,
            },
        };
        Ok((id(&self.aftersale_id)?, line))
    }
}

macro_rules! line_columns {
    () => {
        "l.aftersale_id, l.order_line_id, l.variant_id, l.sku, l.unit, l.quantity, l.currency_code, l.amount, \
         l.offer_amount, l.sellable, l.damaged, l.counterfeit, l.not_ours, l.restock"
    };
}

pub(super) async fn lines_read(
    tx: &mut Tx,
    ids: &[AftersaleId],
    found: &mut Aftersales,
) -> Result<(), Fault> {
    let rows = bulk!(
        tx,
        all LineRow,
        postgres: concat!(
            "SELECT ", line_columns!(), " FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
             (SELECT * FROM aftersale_line WHERE aftersale_id = k.id OFFSET 0) AS l \
             ORDER BY l.aftersale_id, l.line_no"
        ),
        sqlite: concat!(
            "SELECT ", line_columns!(), " FROM json_each($1) AS k CROSS JOIN aftersale_line AS l \
             ON l.aftersale_id = k.value->>0 ORDER BY l.aftersale_id, l.line_no"
        ),
        columns: [ids]
    )?;
    for row in rows {
        let (id, line) = row.into_model()?;
        if let Some(matter) = found.get_mut(&id) {
            matter.lines.push(line);
        }
    }
    Ok(())
}

pub(super) async fn lines_save(tx: &mut Tx, changed: &Aftersale) -> Result<(), Fault> {
    let lines = &changed.lines;
    let ids: Vec<_> = lines.iter().map(|_| changed.id).collect();
    let line_ids: Vec<_> = lines.iter().map(|line| line.order_line_id).collect();
    let numbers: Vec<_> = (0..lines.len()).map(number).collect();
    let variants: Vec<_> = lines.iter().map(|line| line.variant_id).collect();
    let skus: Vec<_> = lines.iter().map(|line| line.sku.as_str()).collect();
    let units: Vec<_> = lines.iter().map(|line| line.unit.word()).collect();
    let quantities: Vec<_> = lines.iter().map(|line| line.quantity).collect();
    let currencies: Vec<_> = lines
        .iter()
        .map(|line| line.currency.map_or("", |c| c.code()))
        .collect();
    let amounts: Vec<_> = lines.iter().map(|line| line.amount).collect();
    let offers: Vec<_> = lines.iter().map(|line| line.offer_amount).collect();
    let sellable: Vec<_> = lines.iter().map(|line| line.found.sellable).collect();
    let damaged: Vec<_> = lines.iter().map(|line| line.found.damaged).collect();
    let counterfeit: Vec<_> = lines.iter().map(|line| line.found.counterfeit).collect();
    let not_ours: Vec<_> = lines.iter().map(|line| line.found.not_ours).collect();
    let restock: Vec<_> = lines.iter().map(|line| line.found.restock).collect();
    macro_rules! upsert {
        ($from:literal) => {
            concat!(
                "INSERT INTO aftersale_line (aftersale_id, order_line_id, line_no, variant_id, sku, unit, quantity, \
                 currency_code, amount, offer_amount, sellable, damaged, counterfeit, not_ours, restock) ",
                $from,
                " ON CONFLICT (aftersale_id, order_line_id) DO UPDATE SET amount = excluded.amount, \
                 offer_amount = excluded.offer_amount, sellable = excluded.sellable, damaged = excluded.damaged, \
                 counterfeit = excluded.counterfeit, not_ours = excluded.not_ours, restock = excluded.restock"
            )
        };
    }
    let written = bulk!(
        tx,
        execute,
        postgres: upsert!(
            "SELECT u.* FROM UNNEST($1::TEXT[], $2::TEXT[], $3::BIGINT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], \
             $7::BIGINT[], $8::TEXT[], $9::BIGINT[], $10::BIGINT[], $11::BIGINT[], $12::BIGINT[], $13::BIGINT[], \
             $14::BIGINT[], $15::BIGINT[]) AS u"
        ),
        sqlite: upsert!(
            "SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, \
             value->>8, value->>9, value->>10, value->>11, value->>12, value->>13, value->>14 \
             FROM json_each($1) WHERE true"
        ),
        columns: [
            ids, line_ids, numbers, variants, skus, units, quantities, currencies, amounts, offers, sellable,
            damaged, counterfeit, not_ours, restock
        ]
    )?;
    expect_rows("aftersale_line", written, changed.lines.len())
}

pub(super) async fn reshipped_read(
    tx: &mut Tx,
    ids: &[AftersaleId],
    found: &mut Aftersales,
) -> Result<(), Fault> {
    // Most matters have sent nothing.
    if found.values().all(|matter| matter.reshipment.is_none()) {
        return Ok(());
    }
    let rows = bulk!(
        tx,
        all(String, String, String, i64),
        postgres: "SELECT r.aftersale_id, r.order_line_id, r.variant_id, r.quantity \
                   FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT * FROM aftersale_reshipped WHERE aftersale_id = k.id OFFSET 0) AS r \
                   ORDER BY r.aftersale_id, r.item_no",
        sqlite: "SELECT r.aftersale_id, r.order_line_id, r.variant_id, r.quantity FROM json_each($1) AS k \
                 CROSS JOIN aftersale_reshipped AS r ON r.aftersale_id = k.value->>0 \
                 ORDER BY r.aftersale_id, r.item_no",
        columns: [ids]
    )?;
    for (matter, line, variant, quantity) in rows {
        let sent = found
            .get_mut(&id(&matter)?)
            .and_then(|found| found.reshipment.as_mut());
        if let Some(sent) = sent {
            sent.units.push(Reshipped {
                order_line_id: id(&line)?,
                variant_id: id(&variant)?,
                quantity,
            });
        }
    }
    Ok(())
}

/// What went out is written once and stays as it is.
pub(super) async fn reshipped_insert(tx: &mut Tx, changed: &Aftersale) -> Result<(), Fault> {
    let Some(sent) = &changed.reshipment else {
        return Ok(());
    };
    let ids: Vec<_> = sent.units.iter().map(|_| changed.id).collect();
    let numbers: Vec<_> = (0..sent.units.len()).map(number).collect();
    let lines: Vec<_> = sent.units.iter().map(|part| part.order_line_id).collect();
    let variants: Vec<_> = sent.units.iter().map(|part| part.variant_id).collect();
    let quantities: Vec<_> = sent.units.iter().map(|part| part.quantity).collect();
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO aftersale_reshipped (aftersale_id, item_no, order_line_id, variant_id, quantity) \
                   SELECT u.* FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::TEXT[], $4::TEXT[], $5::BIGINT[]) AS u \
                   ON CONFLICT DO NOTHING",
        sqlite: "INSERT INTO aftersale_reshipped (aftersale_id, item_no, order_line_id, variant_id, quantity) \
                 SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each($1) WHERE true \
                 ON CONFLICT DO NOTHING",
        columns: [ids, numbers, lines, variants, quantities]
    )?;
    Ok(())
}

/// Writes the steps that are new. A step is written once: two writers of the same one cannot both go on.
pub(super) async fn steps_insert(tx: &mut Tx, changed: &Aftersale) -> Result<(), Fault> {
    let steps = &changed.news.steps;
    if steps.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = steps.iter().map(|_| changed.id).collect();
    let numbers: Vec<_> = steps.iter().map(|step| step.number).collect();
    let kinds: Vec<_> = steps.iter().map(|step| step.kind.word()).collect();
    let parties: Vec<_> = steps.iter().map(|step| step.party.word()).collect();
    let states: Vec<_> = steps.iter().map(|step| step.state.word()).collect();
    let messages: Vec<_> = steps.iter().map(|step| step.message.as_str()).collect();
    let who: Vec<_> = steps.iter().map(|step| step.who.as_str()).collect();
    let times: Vec<_> = steps.iter().map(|step| step.time).collect();
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO aftersale_step (aftersale_id, step_no, kind, party, state, message, who, step_time) \
                   SELECT u.* FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], \
                   $7::TEXT[], $8::BIGINT[]) AS u",
        sqlite: "INSERT INTO aftersale_step (aftersale_id, step_no, kind, party, state, message, who, step_time) \
                 SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7 \
                 FROM json_each($1) WHERE true",
        columns: [ids, numbers, kinds, parties, states, messages, who, times]
    )?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct StepRow {
    step_no: i64,
    kind: String,
    party: String,
    state: String,
    message: String,
    who: String,
    step_time: i64,
}

/// All steps of a matter, in order. Reminders apart a matter has a handful.
pub async fn steps_read(
    tx: &mut Tx,
    aftersale: &AftersaleId,
    limit: i64,
) -> Result<Vec<Step>, Fault> {
    let rows = sql!(
        tx,
        all StepRow,
        "SELECT step_no, kind, party, state, message, who, step_time FROM aftersale_step \
         WHERE aftersale_id = $1 ORDER BY step_no LIMIT $2",
        aftersale,
        limit
    )?;
    let steps = rows.into_iter().map(|row| {
        Ok(Step {
            number: row.step_no,
            kind: word("kind", &row.kind, StepKind::named)?,
            party: word("party", &row.party, Party::named)?,
            state: word("state", &row.state, AftersaleState::named)?,
            message: row.message,
            who: row.who,
            time: Micros(row.step_time),
        })
    });
    steps.collect()
}

/// A piece of evidence, which is kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Where its keeper finds it.
    pub reference: String,
    /// SHA-256, in hexadecimal digits.
    pub sha256_hex: String,
    /// Media type.
    pub media_type: String,
    /// Bytes.
    pub size_bytes: i64,
}

/// Adds evidence after the first `before` pieces.
pub async fn evidence_insert(
    tx: &mut Tx,
    aftersale: &AftersaleId,
    before: i64,
    party: Party,
    pieces: &[Evidence],
) -> Result<(), Fault> {
    if pieces.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    let ids: Vec<_> = pieces.iter().map(|_| *aftersale).collect();
    let numbers: Vec<_> = (1..=pieces.len()).map(|at| before + number(at)).collect();
    let references: Vec<_> = pieces
        .iter()
        .map(|piece| piece.reference.as_str())
        .collect();
    let digests: Vec<_> = pieces
        .iter()
        .map(|piece| piece.sha256_hex.as_str())
        .collect();
    let types: Vec<_> = pieces
        .iter()
        .map(|piece| piece.media_type.as_str())
        .collect();
    let sizes: Vec<_> = pieces.iter().map(|piece| piece.size_bytes).collect();
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO aftersale_evidence (aftersale_id, evidence_no, evidence_reference, sha256_hex, \
                   media_type, size_bytes, party, create_time) SELECT u.*, $7::TEXT, $8::BIGINT \
                   FROM UNNEST($1::TEXT[], $2::BIGINT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::BIGINT[]) AS u",
        sqlite: "INSERT INTO aftersale_evidence (aftersale_id, evidence_no, evidence_reference, sha256_hex, \
                 media_type, size_bytes, party, create_time) SELECT value->>0, value->>1, value->>2, value->>3, \
                 value->>4, value->>5, $2, $3 FROM json_each($1) WHERE true",
        columns: [ids, numbers, references, digests, types, sizes],
        also: [party.word(), now]
    )?;
    Ok(())
}

/// The evidence of a matter, in the order in which it came, with whose it is and when it came.
pub async fn evidence_read(
    tx: &mut Tx,
    aftersale: &AftersaleId,
    limit: i64,
) -> Result<Vec<(Evidence, Party, Micros)>, Fault> {
    let rows = sql!(
        tx,
        all(String, String, String, i64, String, i64),
        "SELECT evidence_reference, sha256_hex, media_type, size_bytes, party, create_time \
         FROM aftersale_evidence WHERE aftersale_id = $1 ORDER BY evidence_no LIMIT $2",
        aftersale,
        limit
    )?;
    let pieces = rows.into_iter().map(
        |(reference, sha256_hex, media_type, size_bytes, party, time)| {
            let evidence = Evidence {
                reference,
                sha256_hex,
                media_type,
                size_bytes,
            };
            Ok((evidence, word("party", &party, Party::named)?, Micros(time)))
        },
    );
    pieces.collect()
}
