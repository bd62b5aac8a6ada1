//! Refunds, and what partners reported of them. An order's refunds are changed by those who hold its row.

use ::store::{Tx, bulk, sql};
use contracts::id::{AftersaleId, OrderId, RefundId};
use contracts::money::Money;
use kit::clock::Micros;
use kit::errors::Fault;

use super::{column, currency, id, opt_id, word};
use crate::model::payment::Signed;
use crate::model::{CostBearer, Refund, RefundFailure, RefundReason, RefundReport, RefundState};

#[derive(sqlx::FromRow)]
struct RefundRow {
    refund_id: String,
    order_id: String,
    partner_id: String,
    payment_id: String,
    payment_reference: String,
    reason: String,
    currency_code: String,
    shopper_amount: i64,
    partner_amount: i64,
    state: String,
    lines: String,
    return_id: String,
    create_time: i64,
    attempt: i64,
    failure: String,
    refund_reference: String,
    report_time: Option<i64>,
    finish_time: Option<i64>,
    version: i64,
    aftersale_id: String,
    cost_bearer: String,
    partner_first: bool,
}

impl RefundRow {
    fn read(self) -> Result<Refund, Fault> {
        let currency = currency(&self.currency_code)?;
        Ok(Refund {
            refund_id: id(&self.refund_id)?,
            order_id: id(&self.order_id)?,
            partner_id: id(&self.partner_id)?,
            payment_id: id(&self.payment_id)?,
            payment_reference: self.payment_reference,
            reason: word(RefundReason::parse(&self.reason), "refund.reason")?,
            shopper_amount: Money::new(currency, self.shopper_amount),
            partner_amount: Money::new(currency, self.partner_amount),
            state: word(RefundState::parse(&self.state), "refund.state")?,
            lines: serde_json::from_str(&self.lines).map_err(Fault::internal)?,
            return_id: opt_id(&self.return_id)?,
            aftersale_id: opt_id(&self.aftersale_id)?,
            cost_bearer: word(CostBearer::parse(&self.cost_bearer), "refund.cost_bearer")?,
            partner_first: self.partner_first,
            create_time: Micros(self.create_time),
            attempt: self.attempt,
            failure: failure(&self.failure)?,
            refund_reference: self.refund_reference,
            report_time: self.report_time.map(Micros),
            finish_time: self.finish_time.map(Micros),
            version: self.version,
        })
    }
}

macro_rules! refund_columns {
    () => {
        "SELECT refund_id, order_id, partner_id, payment_id, payment_reference, reason, currency_code, shopper_amount, \
         partner_amount, state, lines, return_id, create_time, attempt, failure, refund_reference, report_time, \
         finish_time, version, aftersale_id, cost_bearer, partner_first FROM refund "
    };
}

/// Which refunds a list wants; empty texts want any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefundFilter {
    /// Of this partner.
    pub partner_id: String,
    /// Of this order.
    pub order_id: String,
    /// In this state.
    pub state: String,
}

/// Refunds after an id, by authorisation.
pub async fn refund_page(
    tx: &mut Tx,
    filter: &RefundFilter,
    after: &str,
    limit: i64,
) -> Result<Vec<Refund>, Fault> {
    // Each form has an index of its own.
    let rows = if !filter.order_id.is_empty() {
        sql!(
            tx,
            all RefundRow,
            concat!(
                refund_columns!(),
                "WHERE order_id = $1 AND refund_id > $2 AND ($3 = '' OR partner_id = $3) AND ($4 = '' OR state = $4) \
                 ORDER BY refund_id LIMIT $5"
            ),
            &filter.order_id,
            after,
            &filter.partner_id,
            &filter.state,
            limit
        )?
    } else if !filter.partner_id.is_empty() {
        sql!(
            tx,
            all RefundRow,
            concat!(
                refund_columns!(),
                "WHERE partner_id = $1 AND refund_id > $2 AND ($3 = '' OR state = $3) ORDER BY refund_id LIMIT $4"
            ),
            &filter.partner_id,
            after,
            &filter.state,
            limit
        )?
    } else {
        sql!(
            tx,
            all RefundRow,
            concat!(
                refund_columns!(),
                "WHERE refund_id > $1 AND ($2 = '' OR state = $2) ORDER BY refund_id LIMIT $3"
            ),
            after,
            &filter.state,
            limit
        )?
    };
    rows.into_iter().map(RefundRow::read).collect()
}

/// Writes refunds. What they pay back has to be counted on the payment in the same transaction.
pub async fn refunds_insert(tx: &mut Tx, refunds: &[Refund]) -> Result<(), Fault> {
    if refunds.is_empty() {
        return Ok(());
    }
    let lines = refunds
        .iter()
        .map(|refund| serde_json::to_string(&refund.lines));
    let lines: Vec<String> = lines.collect::<Result<_, _>>().map_err(Fault::internal)?;
    bulk!(
        tx,
        execute,
        postgres: "INSERT INTO refund (refund_id, order_id, partner_id, payment_id, payment_reference, reason, \
                   currency_code, shopper_amount, partner_amount, state, lines, create_time, finish_time, version, return_id, \
                   report_time, refund_reference, aftersale_id, cost_bearer, partner_first) \
                   SELECT * FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], \
                   $7::TEXT[], $8::BIGINT[], $9::BIGINT[], $10::TEXT[], $11::TEXT[], $12::BIGINT[], $13::BIGINT[], \
                   $14::BIGINT[], $15::TEXT[], $16::BIGINT[], $17::TEXT[], $18::TEXT[], $19::TEXT[], $20::BOOLEAN[])",
        sqlite: "INSERT INTO refund (refund_id, order_id, partner_id, payment_id, payment_reference, reason, \
                 currency_code, shopper_amount, partner_amount, state, lines, create_time, finish_time, version, return_id, \
                   report_time, refund_reference, aftersale_id, cost_bearer, partner_first) \
                 SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, \
                 value->>8, value->>9, value->>10, value->>11, value->>12, value->>13, value->>14, value->>15, \
                 value->>16, value->>17, value->>18, value->>19 FROM json_each($1)",
        columns: [
            column(refunds, |r| r.refund_id), column(refunds, |r| r.order_id), column(refunds, |r| r.partner_id),
            column(refunds, |r| r.payment_id), column(refunds, |r| r.payment_reference.as_str()),
            column(refunds, |r| r.reason.as_str()), column(refunds, |r| r.shopper_amount.currency.code()),
            column(refunds, |r| r.shopper_amount.minor_units), column(refunds, |r| r.partner_amount.minor_units),
            column(refunds, |r| r.state.as_str()), lines, column(refunds, |r| r.create_time),
            column(refunds, |r| r.finish_time), column(refunds, |r| r.version),
            column(refunds, |r| r.return_id.as_ref().map_or("", |return_id| return_id.as_str())),
            column(refunds, |r| r.report_time), column(refunds, |r| r.refund_reference.as_str()),
            column(refunds, |r| r.aftersale_id.as_ref().map_or("", |aftersale_id| aftersale_id.as_str())),
            column(refunds, |r| r.cost_bearer.as_str()), column(refunds, |r| r.partner_first)
        ]
    )?;
    Ok(())
}

/// A refund.
pub async fn refund_by_id(tx: &mut Tx, refund_id: &RefundId) -> Result<Option<Refund>, Fault> {
    let row = sql!(
        tx,
        optional RefundRow,
        concat!(refund_columns!(), "WHERE refund_id = $1"),
        refund_id
    )?;
    row.map(RefundRow::read).transpose()
}

/// What a partner paid back first under a reference.
pub async fn refund_by_partner_reference(
    tx: &mut Tx,
    order_id: &OrderId,
    refund_reference: &str,
) -> Result<Option<Refund>, Fault> {
    let row = sql!(
        tx,
        optional RefundRow,
        concat!(refund_columns!(), "WHERE order_id = $1 AND refund_reference = $2 AND partner_first"),
        order_id,
        refund_reference
    )?;
    row.map(RefundRow::read).transpose()
}

/// Writes what became of a refund if nobody changed it since its version was read.
pub async fn refund_update(tx: &mut Tx, refund: &Refund, loaded_version: i64) -> Result<(), Fault> {
    let rows = sql!(
        tx,
        execute,
        "UPDATE refund SET state = $1, attempt = $2, failure = $3, refund_reference = $4, report_time = $5, \
         finish_time = $6, version = $7 WHERE refund_id = $8 AND version = $9 AND state NOT IN ('EXECUTED', 'WITHDRAWN')",
        refund.state.as_str(),
        refund.attempt,
        refund.failure.map_or("", RefundFailure::as_str),
        &refund.refund_reference,
        refund.report_time,
        refund.finish_time,
        refund.version,
        refund.refund_id,
        loaded_version
    )?;
    if rows == 1 {
        Ok(())
    } else {
        Err(Fault::Conflict("a refund was changed by another".into()))
    }
}

#[derive(sqlx::FromRow)]
struct ReportRow {
    attempt: i64,
    failure: String,
    kid: String,
    statement: String,
    version: i64,
    report_time: i64,
    record_time: i64,
}

/// What was reported of a refund under a reference.
pub async fn report_by_reference(
    tx: &mut Tx,
    refund_id: &RefundId,
    refund_reference: &str,
) -> Result<Option<RefundReport>, Fault> {
    let row = sql!(
        tx,
        optional ReportRow,
        "SELECT attempt, failure, kid, statement, version, report_time, record_time FROM refund_report \
         WHERE refund_id = $1 AND refund_reference = $2",
        refund_id,
        refund_reference
    )?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(RefundReport {
        refund_id: *refund_id,
        attempt: row.attempt,
        refund_reference: refund_reference.to_owned(),
        failure: failure(&row.failure)?,
        report_time: Micros(row.report_time),
        record_time: Micros(row.record_time),
        version: row.version,
        kid: row.kid,
        statement: Signed(row.statement),
    }))
}

/// Writes a report; one that somebody else has written meanwhile makes the unit run again.
pub async fn report_insert(tx: &mut Tx, report: &RefundReport) -> Result<(), Fault> {
    let rows = sql!(
        tx,
        execute,
        "INSERT INTO refund_report (refund_id, refund_reference, attempt, failure, kid, statement, version, \
         report_time, record_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
        report.refund_id,
        &report.refund_reference,
        report.attempt,
        report.failure.map_or("", RefundFailure::as_str),
        &report.kid,
        &report.statement.0,
        report.version,
        report.report_time,
        report.record_time
    )?;
    super::all_written("refund reports", rows, 1)
}

fn failure(word: &str) -> Result<Option<RefundFailure>, Fault> {
    match word {
        "" => Ok(None),
        word => super::word(RefundFailure::parse(word), "refund.failure").map(Some),
    }
}

/// Those of these matters whose settlement was taken before.
pub async fn settlements_known(
    tx: &mut Tx,
    matters: &[AftersaleId],
) -> Result<Vec<AftersaleId>, Fault> {
    if matters.is_empty() {
        return Ok(Vec::new());
    }
    let rows = bulk!(
        tx,
        all(String,),
        postgres: "SELECT s.aftersale_id FROM UNNEST($1::TEXT[]) AS k(id) CROSS JOIN LATERAL \
                   (SELECT aftersale_id FROM order_settlement WHERE aftersale_id = k.id LIMIT 1) AS s",
        sqlite: "SELECT s.aftersale_id FROM json_each($1) AS k \
                 CROSS JOIN order_settlement AS s ON s.aftersale_id = k.value->>0",
        columns: [matters]
    )?;
    rows.iter()
        .map(|(aftersale_id,)| id(aftersale_id))
        .collect()
}

/// Notes settlements that were taken.
pub async fn settlements_insert(
    tx: &mut Tx,
    settled: &[(AftersaleId, OrderId)],
) -> Result<(), Fault> {
    if settled.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    let written = bulk!(
        tx,
        execute,
        postgres: "INSERT INTO order_settlement (aftersale_id, order_id, record_time) \
                   SELECT u.*, $3::BIGINT FROM UNNEST($1::TEXT[], $2::TEXT[]) AS u ON CONFLICT DO NOTHING",
        sqlite: "INSERT INTO order_settlement (aftersale_id, order_id, record_time) \
                 SELECT value->>0, value->>1, $2 FROM json_each($1) WHERE true ON CONFLICT DO NOTHING",
        columns: [column(settled, |settled| settled.0), column(settled, |settled| settled.1)],
        also: [now]
    )?;
    super::all_written("settlements", written, settled.len())
}
