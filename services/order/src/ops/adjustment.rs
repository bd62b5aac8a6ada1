//! Correcting the ledger by hand, and looking who decided on an order's money.

use ::store::{Operation, Tx};
use contracts::id::{LedgerAdjustmentId, LedgerEntryId, OrderId};
use contracts::money::Money;
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use super::ledger;
use super::refund_decide::locked;
use crate::model::Order;
use crate::model::adjustment::{Adjustment, AdjustmentReason, AdjustmentState, Target};
use crate::model::ledger::Account;
use crate::store::adjustment::{
    MoneyDecision, adjustment_by_id, adjustment_decide, adjustment_insert, adjustment_page,
    decision_page,
};

/// More adjustments than an order ever has: each is a person's work.
const ADJUSTMENTS_MAX: i64 = 100_000;

/// Proposes a correction.
#[derive(Clone, Debug)]
pub struct ProposeAdjustment {
    /// Which order.
    pub order_id: OrderId,
    /// Which of its entries.
    pub adjusted_entry_id: LedgerEntryId,
    /// Why.
    pub reason: AdjustmentReason,
    /// Where the entry put it.
    pub credit: Account,
    /// Where it goes.
    pub debit: Account,
    /// How much.
    pub amount: Money,
    /// Why, for whoever approves it.
    pub note: String,
}

impl Operation for ProposeAdjustment {
    type Output = Adjustment;

    fn name(&self) -> &'static str {
        "ledger_adjustment.propose"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Adjustment, Fault> {
        let order = locked(tx, &self.order_id, None).await?;
        let currency = order.placement.amount.currency;
        if self.amount.currency != currency {
            let message = format!("must be the order's, {}.", currency.code());
            return Err(Refusal::invalid("amount.currency_code", message).into());
        }
        let known = known(tx, &self.order_id).await?;
        let target = target(tx, &order, &known, &self.adjusted_entry_id).await?;
        let line = target.line.and_then(|at| {
            let placed = order.placement.lines.get(at)?;
            Some((at, placed.order_line_id))
        });
        let wanted = Adjustment {
            adjustment_id: LedgerAdjustmentId::from_uuid(tx.ids().next()),
            order_id: self.order_id,
            partner_id: order.placement.partner_id,
            line,
            adjusted_entry_id: self.adjusted_entry_id,
            reason: self.reason,
            credit: self.credit,
            debit: self.debit,
            amount: self.amount,
            note: self.note.clone(),
            state: AdjustmentState::Proposed,
            proposer: tx.caller().principal(),
            decider: String::new(),
            decision_note: String::new(),
            entry_id: None,
            create_time: tx.now(),
            decide_time: None,
        };
        wanted.check_target(&target, &known)?;
        adjustment_insert(tx, &wanted).await?;
        tx.audit(self.name(), wanted.adjustment_id, said(&wanted));
        Ok(wanted)
    }
}

/// What the audit keeps of it.
fn said(adjustment: &Adjustment) -> String {
    format!(
        "{} {} {}: {} {} {} -> {}: {}",
        adjustment.state,
        adjustment.adjusted_entry_id,
        adjustment.reason,
        adjustment.amount.minor_units,
        adjustment.amount.currency.code(),
        adjustment.credit,
        adjustment.debit,
        adjustment.note
    )
}

async fn known(tx: &mut Tx, order_id: &OrderId) -> Result<Vec<Adjustment>, Fault> {
    adjustment_page(tx, Some(order_id), "", "", ADJUSTMENTS_MAX).await
}

/// What is to be adjusted: an entry of the order, or what an approved adjustment made.
async fn target(
    tx: &mut Tx,
    order: &Order,
    known: &[Adjustment],
    wanted: &LedgerEntryId,
) -> Result<Target, Fault> {
    if let Some(other) = known.iter().find(|known| known.entry_id == Some(*wanted)) {
        return Ok(Target {
            entry_id: *wanted,
            line: other.line.map(|(at, _)| at),
            lines: vec![other.moved()],
            is_adjustment: true,
        });
    }
    let entries = ledger::entries_of(tx, order).await?;
    let entry = entries.into_iter().find(|entry| entry.entry_id == *wanted);
    let entry = entry.ok_or_else(|| Refusal::not_found("ledger entry"))?;
    Ok(Target {
        entry_id: *wanted,
        line: entry.line,
        lines: entry.lines(),
        is_adjustment: false,
    })
}

/// Approves or rejects a correction.
#[derive(Clone, Debug)]
pub struct DecideAdjustment {
    /// Which.
    pub adjustment_id: LedgerAdjustmentId,
    /// Whether it is approved.
    pub approve: bool,
    /// Why.
    pub note: String,
}

impl Operation for DecideAdjustment {
    type Output = Adjustment;

    fn name(&self) -> &'static str {
        "ledger_adjustment.decide"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Adjustment, Fault> {
        let unknown = || Refusal::not_found("ledger adjustment");
        let found = adjustment_by_id(tx, &self.adjustment_id).await?;
        let order_id = found.ok_or_else(unknown)?.order_id;
        let order = locked(tx, &order_id, None).await?;
        let found = adjustment_by_id(tx, &self.adjustment_id).await?;
        let mut decided = found.ok_or_else(unknown)?;
        let decider = tx.caller().principal();
        decided.check_decider(&decider)?;
        if self.approve {
            let known = known(tx, &order_id).await?;
            let target = target(tx, &order, &known, &decided.adjusted_entry_id).await?;
            decided.check_target(&target, &known)?;
            decided.state = AdjustmentState::Approved;
            decided.entry_id = Some(LedgerEntryId::from_uuid(tx.ids().next()));
        } else {
            decided.state = AdjustmentState::Rejected;
        }
        decided.decider = decider;
        decided.decision_note.clone_from(&self.note);
        decided.decide_time = Some(tx.now());
        adjustment_decide(tx, &decided).await?;
        tx.audit(self.name(), self.adjustment_id, said(&decided));
        Ok(decided)
    }
}

/// Adjustments after an id.
#[derive(Clone, Debug)]
pub struct ListAdjustments {
    /// Of one order; none for all.
    pub order_id: Option<OrderId>,
    /// Only in this state; empty for any.
    pub state: &'static str,
    /// After which; empty for the first.
    pub after: String,
    /// The most of them.
    pub limit: i64,
}

impl Operation for ListAdjustments {
    type Output = Vec<Adjustment>;

    fn name(&self) -> &'static str {
        "ledger_adjustment.list"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<Adjustment>, Fault> {
        if let Some(order_id) = &self.order_id {
            ledger::visible(tx, order_id, None).await?;
        }
        adjustment_page(
            tx,
            self.order_id.as_ref(),
            self.state,
            &self.after,
            self.limit,
        )
        .await
    }
}

/// Who decided on an order's refunds and compensations.
#[derive(Clone, Debug)]
pub struct ListDeciders {
    /// Which order.
    pub order_id: OrderId,
    /// After which decision.
    pub after: (Micros, String),
    /// The most of them.
    pub limit: i64,
}

impl Operation for ListDeciders {
    type Output = Vec<MoneyDecision>;

    fn name(&self) -> &'static str {
        "refund.list_deciders"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Vec<MoneyDecision>, Fault> {
        ledger::visible(tx, &self.order_id, None).await?;
        let (time, made_id) = &self.after;
        decision_page(tx, &self.order_id, (*time, made_id), self.limit).await
    }
}
