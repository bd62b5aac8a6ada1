//! Customer care.
//!
//! Everything about a case happens under the lock of its row; whoever locks several does so in the order of their
//! ids, and whoever locks a topic as well does that first. What belongs to the order service is looked up before
//! the transaction and handed in as [`Seen`]; a call that was done before is answered without looking.

pub mod dispute;
pub mod open;
pub mod queue;
pub mod read;
pub mod talk;
pub mod time;
pub mod topic;

use contracts::common::v1::{Audience, RetailerRole};
use contracts::id::{CaseId, OrderId, OrderLineId, PartnerId};
use contracts::money::Money;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use store::Tx;

use crate::events::care::case_changed;
use crate::model::care::{Actor, Case, Message, Party};
use crate::store::care::case::{case_is_of, case_save, cases_lock};
use crate::store::care::talk::{actions_insert, message_insert};

/// What the order service was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Orders.
    pub orders: Vec<SeenOrder>,
    /// Refunds and compensations.
    pub money: Vec<SeenMoney>,
}

/// An order as the order service has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenOrder {
    /// The order.
    pub order_id: OrderId,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// Its lines.
    pub lines: Vec<OrderLineId>,
}

/// A refund or a compensation as the order service has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenMoney {
    /// Its id.
    pub what: String,
    /// The order.
    pub order_id: OrderId,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// To the shopper.
    pub amount: Money,
    /// Whether it was taken back, and nothing is paid by it.
    pub is_withdrawn: bool,
    /// Who of the retailer decided on it, as the audit names them; looked up where the case has an arbiter.
    pub deciders: Vec<String>,
}

/// Who acts, as the call's token says it.
fn actor(caller: &Caller) -> Actor {
    Actor {
        party: match caller.audience {
            Audience::Partner => Party::Partner,
            Audience::Retailer => Party::Retailer,
            Audience::Viewer | Audience::Service | Audience::Unspecified => Party::System,
        },
        subject: caller.subject.clone(),
        is_ops: caller.has_role(RetailerRole::Ops),
    }
}

/// Which case is to change, and what of it the caller has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Which {
    /// The case.
    pub case_id: CaseId,
    /// Whose it has to be.
    pub partner: Option<PartnerId>,
    /// The etag that the caller has read, if that matters to them.
    pub etag: Option<String>,
}

impl Which {
    /// Locks and reads the case. A closed one is refused before anything else is looked at.
    async fn lock(&self, tx: &mut Tx) -> Result<Case, Fault> {
        // Nobody waits for the lock of a case that is none of theirs.
        if !case_is_of(tx, &self.case_id, self.partner.as_ref()).await? {
            return Err(Refusal::not_found("case").into());
        }
        let found = cases_lock(tx, &[self.case_id]).await?.remove(&self.case_id);
        let case = found.ok_or_else(|| Refusal::not_found("case"))?;
        case.require_not_closed()?;
        case.require_etag(self.etag.as_deref())?;
        Ok(case)
    }
}

/// Writes a case with what was said and what happened, and tells everybody.
async fn keep(tx: &mut Tx, case: &mut Case, message: Option<&Message>) -> Result<(), Fault> {
    if case.log.is_empty() {
        return Ok(());
    }
    case_save(tx, case).await?;
    if let Some(message) = message {
        message_insert(tx, case, message).await?;
    }
    let log = std::mem::take(&mut case.log);
    actions_insert(tx, &case.id, &log).await?;
    for action in &log {
        tx.publish(case_changed(case, action));
        tx.audit(tx_name(action.change.word()), case.id, case.state.word());
    }
    Ok(())
}

/// What the audit calls a change.
fn tx_name(change: &str) -> &'static str {
    match change {
        "OPENED" => "case.opened",
        "MESSAGE" => "case.message",
        "ASSIGNED" => "case.assigned",
        "ESCALATED" => "case.escalated",
        "ARBITER_NAMED" => "case.arbiter_named",
        "DECIDED" => "case.decided",
        "RESOLVED" => "case.resolved",
        "REOPENED" => "case.reopened",
        "CLOSED" => "case.closed",
        "BREACHED" => "case.breached",
        "GROUPED" => "case.grouped",
        _ => "case.unanswered",
    }
}
