//! Proposals and compensations. Whoever changes one holds the row of its order.

use ::store::{Tx, sql};
use contracts::id::{CompensationId, RefundProposalId};
use contracts::money::Money;
use kit::clock::Micros;
use kit::errors::Fault;

use super::refund::RefundFilter;
use super::{all_written, currency, id, opt_id, word};
use crate::model::money::{Compensation, CompensationReason, CompensationState, Payer};
use crate::model::payment::Signed;
use crate::model::proposal::{Priced, Proposal, ProposalState};
use crate::model::{CostBearer, RefundFailure};

#[derive(sqlx::FromRow)]
struct ProposalRow {
    refund_proposal_id: String,
    order_id: String,
    draft: String,
    note: String,
    state: String,
    proposer: String,
    decider: String,
    decision_note: String,
    made_id: String,
    create_time: i64,
    decide_time: Option<i64>,
}

macro_rules! proposal_columns {
    () => {
        "SELECT refund_proposal_id, order_id, draft, note, state, proposer, decider, decision_note, made_id, \
         create_time, decide_time FROM refund_proposal "
    };
}

impl ProposalRow {
    fn read(self) -> Result<Proposal, Fault> {
        let Priced {
            draft,
            currency_code,
        } = serde_json::from_str(&self.draft).map_err(Fault::internal)?;
        Ok(Proposal {
            refund_proposal_id: id(&self.refund_proposal_id)?,
            order_id: id(&self.order_id)?,
            draft,
            currency: currency(&currency_code)?,
            note: self.note,
            state: word(ProposalState::parse(&self.state), "refund_proposal.state")?,
            proposer: self.proposer,
            decider: self.decider,
            decision_note: self.decision_note,
            made_id: self.made_id,
            create_time: Micros(self.create_time),
            decide_time: self.decide_time.map(Micros),
        })
    }
}

/// Writes a new proposal.
pub async fn proposal_insert(tx: &mut Tx, proposal: &Proposal) -> Result<(), Fault> {
    let priced = Priced {
        draft: proposal.draft.clone(),
        currency_code: proposal.currency.code().to_owned(),
    };
    let draft = serde_json::to_string(&priced).map_err(Fault::internal)?;
    sql!(
        tx,
        execute,
        "INSERT INTO refund_proposal (refund_proposal_id, order_id, kind, draft, note, state, proposer, create_time) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        proposal.refund_proposal_id,
        proposal.order_id,
        proposal.draft.kind(),
        &draft,
        &proposal.note,
        proposal.state.as_str(),
        &proposal.proposer,
        proposal.create_time
    )?;
    Ok(())
}

/// A proposal.
pub async fn proposal_by_id(
    tx: &mut Tx,
    proposal_id: &RefundProposalId,
) -> Result<Option<Proposal>, Fault> {
    let row = sql!(
        tx,
        optional ProposalRow,
        concat!(proposal_columns!(), "WHERE refund_proposal_id = $1"),
        proposal_id
    )?;
    row.map(ProposalRow::read).transpose()
}

/// Writes what was decided on a proposal that nobody else has decided on.
pub async fn proposal_decide(tx: &mut Tx, proposal: &Proposal) -> Result<(), Fault> {
    let rows = sql!(
        tx,
        execute,
        "UPDATE refund_proposal SET state = $1, decider = $2, decision_note = $3, made_id = $4, decide_time = $5 \
         WHERE refund_proposal_id = $6 AND state = 'PROPOSED'",
        proposal.state.as_str(),
        &proposal.decider,
        &proposal.decision_note,
        &proposal.made_id,
        proposal.decide_time,
        proposal.refund_proposal_id
    )?;
    all_written("refund proposals", rows, 1)
}

/// Proposals after an id, all or those in a state.
pub async fn proposal_page(
    tx: &mut Tx,
    state: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Proposal>, Fault> {
    // Each form has an index of its own.
    let rows = if state.is_empty() {
        sql!(
            tx,
            all ProposalRow,
            concat!(proposal_columns!(), "WHERE refund_proposal_id > $1 ORDER BY refund_proposal_id LIMIT $2"),
            after,
            limit
        )?
    } else {
        sql!(
            tx,
            all ProposalRow,
            concat!(
                proposal_columns!(),
                "WHERE state = $1 AND refund_proposal_id > $2 ORDER BY refund_proposal_id LIMIT $3"
            ),
            state,
            after,
            limit
        )?
    };
    rows.into_iter().map(ProposalRow::read).collect()
}

#[derive(sqlx::FromRow)]
struct CompensationRow {
    compensation_id: String,
    order_id: String,
    partner_id: String,
    line_number: i64,
    order_line_id: String,
    reason: String,
    currency_code: String,
    amount: i64,
    cost_bearer: String,
    payer: String,
    state: String,
    failure: String,
    compensation_reference: String,
    matter_reference: String,
    kid: String,
    statement: String,
    create_time: i64,
    finish_time: Option<i64>,
    version: i64,
}

macro_rules! compensation_columns {
    () => {
        "SELECT c.compensation_id, c.order_id, c.partner_id, c.line_number, \
         COALESCE(l.order_line_id, '') AS order_line_id, c.reason, c.currency_code, c.amount, c.cost_bearer, c.payer, \
         c.state, c.failure, c.compensation_reference, c.matter_reference, c.kid, c.statement, c.create_time, \
         c.finish_time, c.version FROM compensation AS c \
         LEFT JOIN order_line AS l ON l.order_id = c.order_id AND l.line_number = c.line_number "
    };
}

impl CompensationRow {
    fn read(self) -> Result<Compensation, Fault> {
        let failure = match self.failure.as_str() {
            "" => None,
            text => Some(word(RefundFailure::parse(text), "compensation.failure")?),
        };
        let place = usize::try_from(self.line_number).ok();
        Ok(Compensation {
            compensation_id: id(&self.compensation_id)?,
            order_id: id(&self.order_id)?,
            partner_id: id(&self.partner_id)?,
            line: place.zip(opt_id(&self.order_line_id)?),
            reason: word(
                CompensationReason::parse(&self.reason),
                "compensation.reason",
            )?,
            amount: Money::new(currency(&self.currency_code)?, self.amount),
            cost_bearer: word(
                CostBearer::parse(&self.cost_bearer),
                "compensation.cost_bearer",
            )?,
            payer: word(Payer::parse(&self.payer), "compensation.payer")?,
            state: word(CompensationState::parse(&self.state), "compensation.state")?,
            failure,
            compensation_reference: self.compensation_reference,
            matter_reference: self.matter_reference,
            kid: self.kid,
            statement: Signed(self.statement),
            create_time: Micros(self.create_time),
            finish_time: self.finish_time.map(Micros),
            version: self.version,
        })
    }
}

/// Writes a new compensation.
pub async fn compensation_insert(tx: &mut Tx, made: &Compensation) -> Result<(), Fault> {
    sql!(
        tx,
        execute,
        "INSERT INTO compensation (compensation_id, order_id, partner_id, line_number, reason, currency_code, amount, \
         cost_bearer, payer, state, failure, compensation_reference, matter_reference, kid, statement, create_time, \
         version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, '', '', $11, '', '', $12, $13)",
        made.compensation_id,
        made.order_id,
        made.partner_id,
        made.line
            .map_or(-1, |(at, _)| i64::try_from(at).unwrap_or(i64::MAX)),
        made.reason.as_str(),
        made.amount.currency.code(),
        made.amount.minor_units,
        made.cost_bearer.as_str(),
        made.payer.as_str(),
        made.state.as_str(),
        &made.matter_reference,
        made.create_time,
        made.version
    )?;
    Ok(())
}

/// A compensation.
pub async fn compensation_by_id(
    tx: &mut Tx,
    compensation_id: &CompensationId,
) -> Result<Option<Compensation>, Fault> {
    let row = sql!(
        tx,
        optional CompensationRow,
        concat!(compensation_columns!(), "WHERE c.compensation_id = $1"),
        compensation_id
    )?;
    row.map(CompensationRow::read).transpose()
}

/// Writes what became of a compensation if nobody changed it since its version was read.
pub async fn compensation_update(
    tx: &mut Tx,
    changed: &Compensation,
    loaded_version: i64,
) -> Result<(), Fault> {
    let rows = sql!(
        tx,
        execute,
        "UPDATE compensation SET payer = $1, state = $2, failure = $3, compensation_reference = $4, kid = $5, \
         statement = $6, finish_time = $7, version = $8 \
         WHERE compensation_id = $9 AND version = $10 AND state <> 'EXECUTED'",
        changed.payer.as_str(),
        changed.state.as_str(),
        changed.failure.map_or("", RefundFailure::as_str),
        &changed.compensation_reference,
        &changed.kid,
        &changed.statement.0,
        changed.finish_time,
        changed.version,
        changed.compensation_id,
        loaded_version
    )?;
    all_written("compensations", rows, 1)
}

/// Compensations after an id.
pub async fn compensation_page(
    tx: &mut Tx,
    filter: &RefundFilter,
    after: &str,
    limit: i64,
) -> Result<Vec<Compensation>, Fault> {
    // Each form has an index of its own.
    let rows = if !filter.order_id.is_empty() {
        sql!(
            tx,
            all CompensationRow,
            concat!(
                compensation_columns!(),
                "WHERE c.order_id = $1 AND c.compensation_id > $2 AND ($3 = '' OR c.partner_id = $3) \
                 ORDER BY c.compensation_id LIMIT $4"
            ),
            &filter.order_id,
            after,
            &filter.partner_id,
            limit
        )?
    } else if !filter.partner_id.is_empty() {
        sql!(
            tx,
            all CompensationRow,
            concat!(
                compensation_columns!(),
                "WHERE c.partner_id = $1 AND c.compensation_id > $2 ORDER BY c.compensation_id LIMIT $3"
            ),
            &filter.partner_id,
            after,
            limit
        )?
    } else {
        sql!(
            tx,
            all CompensationRow,
            concat!(
                compensation_columns!(),
                "WHERE c.compensation_id > $1 ORDER BY c.compensation_id LIMIT $2"
            ),
            after,
            limit
        )?
    };
    rows.into_iter().map(CompensationRow::read).collect()
}
