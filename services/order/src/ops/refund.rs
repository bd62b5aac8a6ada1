//! Refunds after they were authorised: what the partner reports, and issuing one again.
//!
//! A refund is changed by whoever holds its order's row; nothing of stock is touched, so no allotment is locked.

use ::store::{Operation, Tx};
use contracts::ErrorReason;
use contracts::id::{PartnerId, RefundId};
use kit::errors::{Fault, Refusal};

use crate::events::{self, OrderChange};
use crate::model::payment::Signed;
use crate::model::{Order, Refund, RefundReport, RefundStatement};
use crate::ops::ledger;
use crate::statement;
use crate::store::chargeback::payment_forgo;
use crate::store::order::{orders_lock, placements_by_id};
use crate::store::order_progress::{lines_advance, orders_advance, payment_pay_back};
use crate::store::refund::{refund_by_id, refund_update, report_by_reference, report_insert};

/// Records what a partner stated of a refund; gives the refund as it was right after it.
#[derive(Clone, Debug)]
pub struct ReportRefund {
    /// Whose refund.
    pub partner_id: PartnerId,
    /// Which.
    pub refund_id: RefundId,
    /// What was stated; the signature held.
    pub stated: RefundStatement,
    /// The key it was signed with.
    pub kid: String,
    /// Whether that key is active.
    pub active: bool,
    /// The statement itself.
    pub statement: Signed,
}

impl Operation for ReportRefund {
    type Output = Refund;

    fn name(&self) -> &'static str {
        "refund.report"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Refund, Fault> {
        let (mut refund, mut order) = locked(tx, &self.refund_id, Some(&self.partner_id)).await?;
        if !self.stated.is_about(&refund) {
            return Err(statement::bad(
                "The statement is not about exactly this refund; its order_id, refund_id, currency_code, \
                 shopper_minor_units and partner_minor_units must be the refund's.",
            )
            .into());
        }
        let reference = &self.stated.refund_reference;
        if let Some(report) = report_by_reference(tx, &self.refund_id, reference).await? {
            if !report.says(&self.stated) {
                return Err(refund.contradicted().into());
            }
            tx.audit(self.name(), self.refund_id, "replayed");
            return Ok(refund.as_reported(&report));
        }
        if !self.active {
            return Err(statement::bad_key().into());
        }
        let (now, loaded_version) = (tx.now(), refund.version);
        refund.report(&self.stated, now)?;
        refund_update(tx, &refund, loaded_version).await?;
        report_insert(tx, &self.recorded(&refund, now)).await?;
        if self.stated.failure.is_none() {
            pay_back(tx, &mut order, &refund).await?;
        }
        tx.publish(events::refund(&refund));
        if self.stated.failure.is_none() {
            tx.publish(events::order_changed(OrderChange::Refunded, &order, now));
        }
        tx.audit(self.name(), self.refund_id, refund.state.as_str());
        Ok(refund)
    }
}

impl ReportRefund {
    fn recorded(&self, refund: &Refund, now: kit::clock::Micros) -> RefundReport {
        RefundReport {
            refund_id: self.refund_id,
            attempt: refund.attempt,
            refund_reference: self.stated.refund_reference.clone(),
            failure: self.stated.failure,
            report_time: self.stated.report_time,
            record_time: now,
            version: refund.version,
            kid: self.kid.clone(),
            statement: self.statement.clone(),
        }
    }
}

/// Counts an executed refund on its payment, its order and its lines; the tables refuse more than was owed.
pub(super) async fn pay_back(tx: &mut Tx, order: &mut Order, refund: &Refund) -> Result<(), Fault> {
    let loaded_version = order.version;
    if !order.pay_back(refund) {
        return Err(Fault::internal("a refund is not among what its order owes"));
    }
    payment_pay_back(tx, &refund.payment_id, refund.amounts()).await?;
    orders_advance(tx, &[(order, loaded_version)]).await?;
    if !refund.lines.is_empty() {
        lines_advance(tx, &[order]).await?;
    }
    ledger::book_executed(tx, refund, order).await
}

/// Issues a refund again that failed; gives it as it is then.
#[derive(Clone, Debug)]
pub struct ReissueRefund {
    /// Which.
    pub refund_id: RefundId,
    /// The etag that was read; empty for any.
    pub etag: String,
}

impl Operation for ReissueRefund {
    type Output = Refund;

    fn name(&self) -> &'static str {
        "refund.reissue"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Refund, Fault> {
        let (mut refund, _) = locked(tx, &self.refund_id, None).await?;
        if !self.etag.is_empty() && self.etag != refund.etag() {
            return Err(Refusal::new(
                ErrorReason::EtagMismatch,
                "The refund has changed since it was read; read it again.",
            )
            .into());
        }
        let loaded_version = refund.version;
        refund.reissue()?;
        refund_update(tx, &refund, loaded_version).await?;
        tx.publish(events::refund(&refund));
        let attempt = format!("attempt {}", refund.attempt);
        tx.audit(self.name(), self.refund_id, attempt);
        Ok(refund)
    }
}

/// Gives a refund up that failed; gives it as it is then.
#[derive(Clone, Debug)]
pub struct WithdrawRefund {
    /// Which.
    pub refund_id: RefundId,
    /// The etag that was read; empty for any.
    pub etag: String,
}

impl Operation for WithdrawRefund {
    type Output = Refund;

    fn name(&self) -> &'static str {
        "refund.withdraw"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Refund, Fault> {
        let (mut refund, mut order) = locked(tx, &self.refund_id, None).await?;
        if !self.etag.is_empty() && self.etag != refund.etag() {
            return Err(Refusal::new(
                ErrorReason::EtagMismatch,
                "The refund has changed since it was read; read it again.",
            )
            .into());
        }
        let (now, loaded) = (tx.now(), (refund.version, order.version));
        refund.withdraw(now)?;
        refund_update(tx, &refund, loaded.0).await?;
        if !order.forgo(&refund) {
            return Err(Fault::internal("a refund is not among what its order owes"));
        }
        orders_advance(tx, &[(&order, loaded.1)]).await?;
        ledger::book_withdrawn(tx, &refund, &order).await?;
        payment_forgo(tx, &refund.payment_id, refund.amounts()).await?;
        tx.publish(events::refund(&refund));
        tx.publish(events::order_changed(
            OrderChange::RefundDecided,
            &order,
            now,
        ));
        tx.audit(self.name(), self.refund_id, refund.state.as_str());
        Ok(refund)
    }
}

/// A refund that the caller may know of, as it is under its order's lock, and the order.
async fn locked(
    tx: &mut Tx,
    refund_id: &RefundId,
    partner_id: Option<&PartnerId>,
) -> Result<(Refund, Order), Fault> {
    let unknown = || Refusal::not_found("refund");
    let found = refund_by_id(tx, refund_id).await?.ok_or_else(unknown)?;
    if partner_id.is_some_and(|partner_id| *partner_id != found.partner_id) {
        return Err(unknown().into());
    }
    let placements = placements_by_id(tx, &[found.order_id]).await?;
    let order = orders_lock(tx, placements).await?.pop();
    let order = order.ok_or_else(|| Fault::internal("a refund has no order"))?;
    let refund = refund_by_id(tx, refund_id).await?.ok_or_else(unknown)?;
    Ok((refund, order))
}
