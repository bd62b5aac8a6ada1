//! Compensations: authorised by the retailer, paid by the partner or by the retailer itself.

use ::store::{Operation, Tx};
use contracts::id::{CompensationId, PartnerId};
use kit::errors::{Fault, Refusal};

use super::refund_decide::{locked, money};
use crate::events;
use crate::model::ledger::{Booking, LedgerStep};
use crate::model::money::{Compensation, CompensationState, CompensationStatement, Payer};
use crate::model::payment::Signed;
use crate::model::proposal::CompensationDraft;
use crate::model::{Order, Parts};
use crate::statement;
use crate::store::ledger::entries_insert;
use crate::store::money::{compensation_by_id, compensation_insert, compensation_update};

/// Writes a compensation; its order is locked.
pub(super) async fn make(
    tx: &mut Tx,
    order: &Order,
    draft: &CompensationDraft,
) -> Result<Compensation, Fault> {
    let line = match draft.line {
        None => None,
        Some(order_line_id) => Some((order.line_at(&order_line_id)?, order_line_id)),
    };
    let made = Compensation {
        compensation_id: CompensationId::from_uuid(tx.ids().next()),
        order_id: *order.order_id(),
        partner_id: order.placement.partner_id,
        line,
        reason: draft.reason,
        amount: money(order, draft.amount),
        cost_bearer: draft.cost_bearer,
        payer: draft.payer,
        state: CompensationState::Authorised,
        failure: None,
        compensation_reference: String::new(),
        matter_reference: draft.matter_reference.clone(),
        kid: String::new(),
        statement: Signed::default(),
        create_time: tx.now(),
        finish_time: None,
        version: 1,
    };
    compensation_insert(tx, &made).await?;
    book(tx, &made, LedgerStep::CompensationAuthorised).await?;
    tx.publish(events::compensation(&made));
    Ok(made)
}

async fn book(tx: &mut Tx, made: &Compensation, step: LedgerStep) -> Result<(), Fault> {
    let booking = Booking {
        order_id: made.order_id,
        partner_id: made.partner_id,
        step,
        cost_bearer: made.cost_bearer,
        source_id: made.compensation_id.as_str(),
        currency: made.amount.currency,
        time: tx.now(),
    };
    let parts = Parts {
        goods: made.amount.minor_units,
        ..Parts::default()
    };
    let ids = tx.ids();
    let entries = booking.entries([(made.line.map(|(at, _)| at), parts)], &mut || ids.next());
    entries_insert(tx, &entries).await
}

/// A compensation that the caller may know of, as it is under its order's lock.
async fn found(
    tx: &mut Tx,
    compensation_id: &CompensationId,
    partner_id: Option<&PartnerId>,
) -> Result<Compensation, Fault> {
    let unknown = || Refusal::not_found("compensation");
    let found = compensation_by_id(tx, compensation_id)
        .await?
        .ok_or_else(unknown)?;
    if partner_id.is_some_and(|own| *own != found.partner_id) {
        return Err(unknown().into());
    }
    locked(tx, &found.order_id, None).await?;
    Ok(compensation_by_id(tx, compensation_id)
        .await?
        .ok_or_else(unknown)?)
}

/// Records what a partner stated of a compensation; gives it as it was right after it.
#[derive(Clone, Debug)]
pub struct ReportCompensation {
    /// Whose.
    pub partner_id: PartnerId,
    /// Which.
    pub compensation_id: CompensationId,
    /// What was stated; the signature held.
    pub stated: CompensationStatement,
    /// The key it was signed with.
    pub kid: String,
    /// Whether that key is active.
    pub active: bool,
    /// The statement itself.
    pub statement: Signed,
}

impl Operation for ReportCompensation {
    type Output = Compensation;

    fn name(&self) -> &'static str {
        "compensation.report"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Compensation, Fault> {
        let mut found = found(tx, &self.compensation_id, Some(&self.partner_id)).await?;
        let about = self.stated.order_id == found.order_id
            && self.stated.compensation_id == found.compensation_id
            && self.stated.amount == found.amount;
        if !about {
            return Err(statement::bad(
                "The statement is not about exactly this compensation; its order_id, compensation_id, minor_units and \
                 currency_code must be the compensation's.",
            )
            .into());
        }
        let loaded_version = found.version;
        if !found.report(&self.stated, tx.now())? {
            tx.audit(self.name(), self.compensation_id, "replayed");
            return Ok(found);
        }
        if !self.active {
            return Err(statement::bad_key().into());
        }
        found.kid.clone_from(&self.kid);
        found.statement = self.statement.clone();
        compensation_update(tx, &found, loaded_version).await?;
        if found.state == CompensationState::Executed {
            book(tx, &found, LedgerStep::CompensationPartnerPaid).await?;
        }
        tx.publish(events::compensation(&found));
        tx.audit(self.name(), self.compensation_id, found.state.as_str());
        Ok(found)
    }
}

/// Records that the retailer has paid a compensation itself.
#[derive(Clone, Debug)]
pub struct CompleteCompensation {
    /// Which.
    pub compensation_id: CompensationId,
    /// The retailer's own reference of the payment.
    pub compensation_reference: String,
}

impl Operation for CompleteCompensation {
    type Output = Compensation;

    fn name(&self) -> &'static str {
        "compensation.complete"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Compensation, Fault> {
        let mut found = found(tx, &self.compensation_id, None).await?;
        let loaded_version = found.version;
        found.complete(&self.compensation_reference, tx.now())?;
        compensation_update(tx, &found, loaded_version).await?;
        debug_assert_eq!(found.payer, Payer::Retailer);
        book(tx, &found, LedgerStep::CompensationRetailerPaid).await?;
        tx.publish(events::compensation(&found));
        tx.audit(self.name(), self.compensation_id, found.state.as_str());
        Ok(found)
    }
}
