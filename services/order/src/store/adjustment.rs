//! Corrections of the ledger, and who decided on refunds and compensations. Whoever writes one holds the order's row.

use ::store::{Tx, sql};
use contracts::id::{LedgerAdjustmentId, OrderId};
use contracts::money::{Currency, Money};
use kit::clock::Micros;
use kit::errors::Fault;

use super::ledger::LedgerRange;
use super::{all_written, currency, id, opt_id, word};
use crate::model::adjustment::{Adjustment, AdjustmentReason, AdjustmentState};
use crate::model::ledger::Account;
use crate::model::rate::DAY_US;

#[derive(sqlx::FromRow)]
struct AdjustmentRow {
    ledger_adjustment_id: String,
    order_id: String,
    partner_id: String,
    line_number: i64,
    order_line_id: String,
    adjusted_entry_id: String,
    reason: String,
    credit_account: String,
    debit_account: String,
    currency_code: String,
    amount: i64,
    note: String,
    state: String,
    proposer: String,
    decider: String,
    decision_note: String,
    entry_id: String,
    create_time: i64,
    decide_time: Option<i64>,
}

macro_rules! adjustment_columns {
    () => {
        "SELECT a.ledger_adjustment_id, a.order_id, a.partner_id, a.line_number, \
         COALESCE(l.order_line_id, '') AS order_line_id, a.adjusted_entry_id, a.reason, a.credit_account, \
         a.debit_account, a.currency_code, a.amount, a.note, a.state, a.proposer, a.decider, a.decision_note, \
         a.entry_id, a.create_time, a.decide_time FROM ledger_adjustment AS a \
         LEFT JOIN order_line AS l ON l.order_id = a.order_id AND l.line_number = a.line_number "
    };
}

impl AdjustmentRow {
    fn read(self) -> Result<Adjustment, Fault> {
        let place = usize::try_from(self.line_number).ok();
        Ok(Adjustment {
            adjustment_id: id(&self.ledger_adjustment_id)?,
            order_id: id(&self.order_id)?,
            partner_id: id(&self.partner_id)?,
            line: place.zip(opt_id(&self.order_line_id)?),
            adjusted_entry_id: id(&self.adjusted_entry_id)?,
            reason: word(
                AdjustmentReason::parse(&self.reason),
                "ledger_adjustment.reason",
            )?,
            credit: account(&self.credit_account)?,
            debit: account(&self.debit_account)?,
            amount: Money::new(currency(&self.currency_code)?, self.amount),
            note: self.note,
            state: word(
                AdjustmentState::parse(&self.state),
                "ledger_adjustment.state",
            )?,
            proposer: self.proposer,
            decider: self.decider,
            decision_note: self.decision_note,
            entry_id: opt_id(&self.entry_id)?,
            create_time: Micros(self.create_time),
            decide_time: self.decide_time.map(Micros),
        })
    }
}

fn account(text: &str) -> Result<Account, Fault> {
    word(Account::parse(text), "ledger_adjustment.account")
}

fn read(rows: Vec<AdjustmentRow>) -> Result<Vec<Adjustment>, Fault> {
    rows.into_iter().map(AdjustmentRow::read).collect()
}

/// Writes a new proposal.
pub async fn adjustment_insert(tx: &mut Tx, wanted: &Adjustment) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "INSERT INTO ledger_adjustment (ledger_adjustment_id, order_id, partner_id, line_number, adjusted_entry_id, \
         reason, credit_account, debit_account, currency_code, amount, note, state, proposer, create_time) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        wanted.adjustment_id,
        wanted.order_id,
        wanted.partner_id,
        wanted
            .line
            .map_or(-1, |(at, _)| i64::try_from(at).unwrap_or(i64::MAX)),
        wanted.adjusted_entry_id,
        wanted.reason.as_str(),
        wanted.credit.as_str(),
        wanted.debit.as_str(),
        wanted.amount.currency.code(),
        wanted.amount.minor_units,
        &wanted.note,
        wanted.state.as_str(),
        &wanted.proposer,
        wanted.create_time
    )?;
    Ok(())
}

/// Writes what was decided on one that nobody else has decided on.
pub async fn adjustment_decide(tx: &mut Tx, decided: &Adjustment) -> Result<(), Fault> {
    let rows = sql!(
        tx,
        execute,
        "UPDATE ledger_adjustment SET state = $1, decider = $2, decision_note = $3, entry_id = $4, decide_time = $5 \
         WHERE ledger_adjustment_id = $6 AND state = 'PROPOSED'",
        decided.state.as_str(),
        &decided.decider,
        &decided.decision_note,
        decided
            .entry_id
            .as_ref()
            .map_or("", |entry_id| entry_id.as_str()),
        decided.decide_time,
        decided.adjustment_id
    )?;
    all_written("ledger adjustments", rows, 1)
}

/// An adjustment.
pub async fn adjustment_by_id(
    tx: &mut Tx,
    adjustment_id: &LedgerAdjustmentId,
) -> Result<Option<Adjustment>, Fault> {
    let row = sql!(
        tx,
        optional AdjustmentRow,
        concat!(adjustment_columns!(), "WHERE a.ledger_adjustment_id = $1"),
        adjustment_id
    )?;
    row.map(AdjustmentRow::read).transpose()
}

/// Adjustments after an id, of one order or of all, in one state or any.
pub async fn adjustment_page(
    tx: &mut Tx,
    order_id: Option<&OrderId>,
    state: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Adjustment>, Fault> {
    // Each form has an index of its own.
    let rows = match (order_id, state) {
        (Some(order_id), _) => sql!(
            tx,
            all AdjustmentRow,
            concat!(
                adjustment_columns!(),
                "WHERE a.order_id = $1 AND a.ledger_adjustment_id > $2 AND ($3 = '' OR a.state = $3) \
                 ORDER BY a.ledger_adjustment_id LIMIT $4"
            ),
            order_id,
            after,
            state,
            limit
        )?,
        (None, "") => sql!(
            tx,
            all AdjustmentRow,
            concat!(
                adjustment_columns!(),
                "WHERE a.ledger_adjustment_id > $1 ORDER BY a.ledger_adjustment_id LIMIT $2"
            ),
            after,
            limit
        )?,
        (None, state) => sql!(
            tx,
            all AdjustmentRow,
            concat!(
                adjustment_columns!(),
                "WHERE a.state = $1 AND a.ledger_adjustment_id > $2 ORDER BY a.ledger_adjustment_id LIMIT $3"
            ),
            state,
            after,
            limit
        )?,
    };
    read(rows)
}

/// Approved adjustments whose entries come after an id, in the order of these.
pub async fn adjusted_page(
    tx: &mut Tx,
    range: &LedgerRange,
    after: &str,
    limit: i64,
) -> Result<Vec<Adjustment>, Fault> {
    let partner = range.partner_id.as_ref().map_or("", |id| id.as_str());
    let rows = match &range.order_id {
        Some(order_id) => sql!(
            tx,
            all AdjustmentRow,
            concat!(
                adjustment_columns!(),
                "WHERE a.order_id = $1 AND a.entry_id <> '' AND a.entry_id > $2 AND ($3 = '' OR a.partner_id = $3) \
                 ORDER BY a.entry_id LIMIT $4"
            ),
            order_id,
            after,
            partner,
            limit
        )?,
        None => sql!(
            tx,
            all AdjustmentRow,
            concat!(
                adjustment_columns!(),
                "WHERE a.entry_id <> '' AND a.entry_id > $1 AND ($2 = '' OR a.partner_id = $2) \
                 AND a.decide_time >= $3 AND a.decide_time < $4 ORDER BY a.entry_id LIMIT $5"
            ),
            after,
            partner,
            range.start,
            range.end,
            limit
        )?,
    };
    read(rows)
}

/// Adjustments of one day, currency and pair of accounts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdjustedSum {
    /// Days since 1970; 0 when an order was asked for.
    pub day: i64,
    /// Of the amount.
    pub currency: Currency,
    /// Where it was taken from.
    pub credit: Account,
    /// Where it went.
    pub debit: Account,
    /// The sum.
    pub amount: i64,
}

#[derive(sqlx::FromRow)]
struct SumRow {
    day: i64,
    currency_code: String,
    credit_account: String,
    debit_account: String,
    amount: i64,
}

/// What approved adjustments moved, summed up.
pub async fn adjusted_sums(
    tx: &mut Tx,
    range: &LedgerRange,
    limit: i64,
) -> Result<Vec<AdjustedSum>, Fault> {
    let partner = range.partner_id.as_ref().map_or("", |id| id.as_str());
    let rows = match &range.order_id {
        Some(order_id) => sql!(
            tx,
            all SumRow,
            "SELECT CAST(0 AS BIGINT) AS day, currency_code, credit_account, debit_account, \
             CAST(SUM(amount) AS BIGINT) AS amount FROM ledger_adjustment \
             WHERE order_id = $1 AND entry_id <> '' AND ($2 = '' OR partner_id = $2) \
             GROUP BY day, currency_code, credit_account, debit_account \
             ORDER BY day, currency_code, credit_account, debit_account LIMIT $3",
            order_id,
            partner,
            limit
        )?,
        None => sql!(
            tx,
            all SumRow,
            "SELECT decide_time / $1 AS day, currency_code, credit_account, debit_account, \
             CAST(SUM(amount) AS BIGINT) AS amount FROM ledger_adjustment \
             WHERE entry_id <> '' AND ($2 = '' OR partner_id = $2) AND decide_time >= $3 AND decide_time < $4 \
             GROUP BY day, currency_code, credit_account, debit_account \
             ORDER BY day, currency_code, credit_account, debit_account LIMIT $5",
            DAY_US,
            partner,
            range.start,
            range.end,
            limit
        )?,
    };
    rows.into_iter()
        .map(|row| {
            Ok(AdjustedSum {
                day: row.day,
                currency: currency(&row.currency_code)?,
                credit: account(&row.credit_account)?,
                debit: account(&row.debit_account)?,
                amount: row.amount,
            })
        })
        .collect()
}

/// Who decided that a shopper gets something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoneyDecision {
    /// The refund or the compensation.
    pub made_id: String,
    /// The order.
    pub order_id: OrderId,
    /// Who wanted it.
    pub proposer: String,
    /// Who approved it.
    pub decider: String,
    /// When.
    pub decide_time: Micros,
}

/// Writes who decided on something that was made just now.
pub async fn decision_insert(tx: &mut Tx, decided: &MoneyDecision) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "INSERT INTO money_decision (made_id, order_id, proposer, decider, decide_time) VALUES ($1, $2, $3, $4, $5)",
        &decided.made_id,
        decided.order_id,
        &decided.proposer,
        &decided.decider,
        decided.decide_time
    )?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct DecisionRow {
    made_id: String,
    order_id: String,
    proposer: String,
    decider: String,
    decide_time: i64,
}

/// Decisions on an order's money after one of them, by time.
pub async fn decision_page(
    tx: &mut Tx,
    order_id: &OrderId,
    after: (Micros, &str),
    limit: i64,
) -> Result<Vec<MoneyDecision>, Fault> {
    let rows = sql!(
        tx,
        all DecisionRow,
        "SELECT made_id, order_id, proposer, decider, decide_time FROM money_decision \
         WHERE order_id = $1 AND (decide_time, made_id) > ($2, $3) ORDER BY decide_time, made_id LIMIT $4",
        order_id,
        after.0,
        after.1,
        limit
    )?;
    rows.into_iter()
        .map(|row| {
            Ok(MoneyDecision {
                made_id: row.made_id,
                order_id: id(&row.order_id)?,
                proposer: row.proposer,
                decider: row.decider,
                decide_time: Micros(row.decide_time),
            })
        })
        .collect()
}
