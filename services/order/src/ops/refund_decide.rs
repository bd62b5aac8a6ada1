//! Refunds that somebody decides on: people of the retailer, or a partner that has paid back first.
//!
//! Whoever decides holds the order's row, so what is left is known and nobody takes of it meanwhile; the payment's CHECK
//! has the last word.

use ::store::{Operation, Tx};
use contracts::ErrorReason;
use contracts::id::{OrderId, PartnerId, RefundId, RefundProposalId};
use contracts::money::{Currency, Money, allocate};
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};

use super::compensation;
use super::ledger;
use super::refund::pay_back;
use crate::events::{self, OrderChange};
use crate::model::money::Compensation;
use crate::model::payment::Signed;
use crate::model::proposal::{Draft, Proposal, ProposalState, RefundDraft, is_alone};
use crate::model::refund::{Component, RefundShares};
use crate::model::refund_decided::{LineDraft, over};
use crate::model::{CostBearer, Order, Parts, Refund, RefundReason, RefundReport, RefundState};
use crate::statement;
use crate::statement::money::PartnerRefund;
use crate::store::adjustment::{MoneyDecision, decision_insert};
use crate::store::money::{proposal_by_id, proposal_decide, proposal_insert};
use crate::store::order::{orders_lock, placements_by_id};
use crate::store::order_progress::{orders_advance, payments_owe};
use crate::store::refund::{refund_by_partner_reference, refunds_insert, report_insert};

/// An order that the caller may know of, locked, with what is given of its lines.
pub(super) async fn locked(
    tx: &mut Tx,
    order_id: &OrderId,
    partner_id: Option<&PartnerId>,
) -> Result<Order, Fault> {
    let unknown = || Refusal::not_found("order");
    let placements = placements_by_id(tx, &[*order_id]).await?;
    let own = placements
        .first()
        .is_some_and(|placed| partner_id.is_none_or(|own| *own == placed.partner_id));
    if !own {
        return Err(unknown().into());
    }
    let mut order = orders_lock(tx, placements)
        .await?
        .pop()
        .ok_or_else(unknown)?;
    ledger::look(tx, &mut order).await?;
    Ok(order)
}

/// What a draft made.
#[derive(Clone, Debug)]
pub enum Decided {
    /// A refund.
    Refund(Refund),
    /// A compensation.
    Compensation(Compensation),
    /// Something that waits for somebody else.
    Proposed(Proposal),
}

impl Decided {
    /// The refund or the compensation; empty while there is none.
    fn made_id(&self) -> String {
        match self {
            Decided::Refund(refund) => refund.refund_id.to_string(),
            Decided::Compensation(made) => made.compensation_id.to_string(),
            Decided::Proposed(_) => String::new(),
        }
    }
}

/// Keeps who decided on it: care asks, so that nobody is the arbiter of their own decision.
async fn decided_by(
    tx: &mut Tx,
    order_id: OrderId,
    made: &Decided,
    proposer: &str,
    decider: &str,
) -> Result<(), Fault> {
    let decided = MoneyDecision {
        made_id: made.made_id(),
        order_id,
        proposer: proposer.to_owned(),
        decider: decider.to_owned(),
        decide_time: tx.now(),
    };
    decision_insert(tx, &decided).await
}

/// What somebody of the retailer wants a shopper to get: done at once, or proposed.
#[derive(Clone, Debug)]
pub struct Decide {
    /// Which order.
    pub order_id: OrderId,
    /// What.
    pub draft: Draft,
    /// Of its amounts; none when it names none.
    pub currency: Option<Currency>,
    /// Why, for whoever approves it.
    pub note: String,
    /// What one person may decide alone.
    pub alone_max_units: u64,
}

impl Operation for Decide {
    type Output = Decided;

    fn name(&self) -> &'static str {
        match self.draft {
            Draft::Refund(_) => "refund.authorise",
            Draft::Compensation(_) => "compensation.authorise",
        }
    }

    async fn run(&self, tx: &mut Tx) -> Result<Decided, Fault> {
        let mut order = locked(tx, &self.order_id, None).await?;
        let currency = order.placement.amount.currency;
        if self.currency.is_some_and(|named| named != currency) {
            let message = format!("must be in the order's currency, {}", currency.code());
            return Err(Refusal::invalid("shopper_amount", message).into());
        }
        let (shopper, partner) = self.draft.amounts();
        if is_alone(
            shopper.saturating_add(partner),
            currency,
            self.alone_max_units,
        ) {
            let note = format!("{shopper} {partner} {}: {}", currency.code(), self.note);
            tx.audit(self.name(), self.order_id, note);
            let made = make(tx, &mut order, &self.draft).await?;
            let alone = tx.caller().principal();
            decided_by(tx, self.order_id, &made, &alone, &alone).await?;
            return Ok(made);
        }
        // More than is left is refused at once; whether it still is there counts when it is approved.
        if let Draft::Refund(draft) = &self.draft {
            composed(&order, draft)?;
        } else if !order.was_paid() {
            return Err(not_paid(&order).into());
        }
        let proposal = Proposal {
            refund_proposal_id: RefundProposalId::from_uuid(tx.ids().next()),
            order_id: self.order_id,
            draft: self.draft.clone(),
            currency,
            note: self.note.clone(),
            state: ProposalState::Proposed,
            proposer: tx.caller().principal(),
            decider: String::new(),
            decision_note: String::new(),
            made_id: String::new(),
            create_time: tx.now(),
            decide_time: None,
        };
        proposal_insert(tx, &proposal).await?;
        tx.audit(
            "refund_proposal.propose",
            proposal.refund_proposal_id,
            &self.note,
        );
        Ok(Decided::Proposed(proposal))
    }
}

fn not_paid(order: &Order) -> Refusal {
    Refusal::wrong_state("order", order.state, "The order was never paid.")
}

fn composed(order: &Order, draft: &RefundDraft) -> Result<Vec<(usize, Parts)>, Refusal> {
    if draft.lines.is_empty() {
        order.compose_whole(draft.shopper, 0)
    } else {
        order.compose(&draft.lines)
    }
}

async fn make(tx: &mut Tx, order: &mut Order, draft: &Draft) -> Result<Decided, Fault> {
    match draft {
        Draft::Refund(draft) => {
            let taken = composed(order, draft)?;
            let grant = Grant {
                reason: draft.reason,
                cost_bearer: draft.cost_bearer,
                first: None,
            };
            grant.make(tx, order, &taken).await.map(Decided::Refund)
        }
        Draft::Compensation(draft) => {
            if !order.was_paid() {
                return Err(not_paid(order).into());
            }
            compensation::make(tx, order, draft)
                .await
                .map(Decided::Compensation)
        }
    }
}

/// How a refund comes to be.
struct Grant<'a> {
    reason: RefundReason,
    cost_bearer: CostBearer,
    /// When the partner has paid it already: its reference and when.
    first: Option<(&'a str, Micros)>,
}

impl Grant<'_> {
    /// Writes a refund of what was taken of the lines.
    async fn make(
        &self,
        tx: &mut Tx,
        order: &mut Order,
        taken: &[(usize, Parts)],
    ) -> Result<Refund, Fault> {
        let loaded_version = order.version;
        let sum = order.grant(taken)?;
        let owed = payments_owe(tx, &[(*order.order_id(), sum)]).await?;
        let (payment_id, payment_reference) = owed
            .into_values()
            .next()
            .ok_or_else(|| Fault::internal("a paid order has no payment"))?;
        let (now, amount) = (tx.now(), &order.placement.amount);
        let refund = Refund {
            refund_id: RefundId::from_uuid(tx.ids().next()),
            order_id: *order.order_id(),
            partner_id: order.placement.partner_id,
            payment_id,
            payment_reference,
            reason: self.reason,
            shopper_amount: amount.money(sum.shopper),
            partner_amount: amount.money(sum.partner),
            state: match self.first {
                None => RefundState::Authorised,
                Some(_) => RefundState::Executed,
            },
            lines: order.refund_lines(taken),
            return_id: None,
            aftersale_id: None,
            cost_bearer: self.cost_bearer,
            partner_first: self.first.is_some(),
            create_time: now,
            attempt: 1,
            failure: None,
            refund_reference: self.first.map_or("", |(reference, _)| reference).to_owned(),
            report_time: self.first.map(|(_, time)| time),
            finish_time: self.first.map(|_| now),
            version: 1,
        };
        refunds_insert(tx, std::slice::from_ref(&refund)).await?;
        ledger::book_refunds(tx, &[(&refund, order)]).await?;
        orders_advance(tx, &[(order, loaded_version)]).await?;
        let change = if self.first.is_some() {
            pay_back(tx, order, &refund).await?;
            OrderChange::Refunded
        } else {
            OrderChange::RefundDecided
        };
        tx.publish(events::refund(&refund));
        tx.publish(events::order_changed(change, order, now));
        Ok(refund)
    }
}

/// Approves or rejects a proposal.
#[derive(Clone, Debug)]
pub struct DecideProposal {
    /// Which.
    pub refund_proposal_id: RefundProposalId,
    /// Whether it is approved.
    pub approve: bool,
    /// Why.
    pub note: String,
}

impl Operation for DecideProposal {
    type Output = (Proposal, Option<Decided>);

    fn name(&self) -> &'static str {
        "refund_proposal.decide"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
        let unknown = || Refusal::not_found("refund proposal");
        let found = proposal_by_id(tx, &self.refund_proposal_id).await?;
        let order_id = found.ok_or_else(unknown)?.order_id;
        let mut order = locked(tx, &order_id, None).await?;
        let found = proposal_by_id(tx, &self.refund_proposal_id).await?;
        let mut proposal = found.ok_or_else(unknown)?;
        let decider = tx.caller().principal();
        proposal.check(&decider)?;
        proposal.decider = decider;
        proposal.decision_note.clone_from(&self.note);
        proposal.decide_time = Some(tx.now());
        let made = if self.approve {
            let made = make(tx, &mut order, &proposal.draft).await?;
            decided_by(tx, order_id, &made, &proposal.proposer, &proposal.decider).await?;
            proposal.state = ProposalState::Approved;
            proposal.made_id = made.made_id();
            Some(made)
        } else {
            proposal.state = ProposalState::Rejected;
            None
        };
        proposal_decide(tx, &proposal).await?;
        tx.audit(
            self.name(),
            self.refund_proposal_id,
            proposal.state.as_str(),
        );
        Ok((proposal, made))
    }
}

/// Records what a partner has paid back first.
#[derive(Clone, Debug)]
pub struct ReportPartnerRefund {
    /// Whose order.
    pub partner_id: PartnerId,
    /// What was stated; the signature held.
    pub stated: PartnerRefund,
    /// The key it was signed with.
    pub kid: String,
    /// Whether that key is active.
    pub active: bool,
    /// The statement itself.
    pub statement: Signed,
    /// The most at another's cost, in whole units of the currency.
    pub others_cost_max_units: u64,
}

impl Operation for ReportPartnerRefund {
    type Output = Refund;

    fn name(&self) -> &'static str {
        "refund.report_first"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Refund, Fault> {
        let stated = &self.stated;
        let mut order = locked(tx, &stated.order_id, Some(&self.partner_id)).await?;
        let known = refund_by_partner_reference(tx, &stated.order_id, &stated.refund_reference);
        if let Some(known) = known.await? {
            return self.again(tx, known);
        }
        if !self.active {
            return Err(statement::bad_key().into());
        }
        let currency = order.placement.amount.currency;
        if stated.currency != currency {
            let message = format!(
                "The statement's currency_code must be the order's, {}.",
                currency.code()
            );
            return Err(statement::bad(message).into());
        }
        let amount = stated
            .amounts
            .shopper
            .saturating_add(stated.amounts.partner);
        let own = stated.cost_bearer == CostBearer::Partner;
        if !own && !is_alone(amount, currency, self.others_cost_max_units) {
            return Err(Refusal::new(
                ErrorReason::NotAllowedHere,
                "A partner pays so much back first only at its own cost; the retailer authorises the refund otherwise.",
            )
            .with("max_units", self.others_cost_max_units)
            .into());
        }
        let taken = self.taken(&order)?;
        let grant = Grant {
            reason: stated.reason,
            cost_bearer: stated.cost_bearer,
            first: Some((&stated.refund_reference, stated.report_time)),
        };
        let refund = grant.make(tx, &mut order, &taken).await?;
        let report = RefundReport {
            refund_id: refund.refund_id,
            attempt: 1,
            refund_reference: stated.refund_reference.clone(),
            failure: None,
            report_time: stated.report_time,
            record_time: tx.now(),
            version: 1,
            kid: self.kid.clone(),
            statement: self.statement.clone(),
        };
        report_insert(tx, &report).await?;
        tx.audit(self.name(), refund.refund_id, refund.state.as_str());
        Ok(refund)
    }
}

impl ReportPartnerRefund {
    /// The same reference again: the same answer to the same word, and nothing else.
    fn again(&self, tx: &mut Tx, known: Refund) -> Result<Refund, Fault> {
        let stated = &self.stated;
        let shopper = |id| {
            let line = known.parts().find(|(line_id, _)| **line_id == id);
            line.map_or(0, |(_, parts)| parts.shopper())
        };
        let same = known.reason == stated.reason
            && known.cost_bearer == stated.cost_bearer
            && known.amounts() == stated.amounts
            && known.shopper_amount.currency == stated.currency
            && known.report_time == Some(stated.report_time)
            && stated
                .lines
                .iter()
                .all(|(id, amount)| shopper(*id) == *amount);
        if !same {
            return Err(Refusal::new(
                ErrorReason::RefundContradicted,
                "This refund_reference was used before and the statement says something else; use a new one.",
            )
            .with("state", known.state)
            .into());
        }
        tx.audit(self.name(), known.refund_id, "replayed");
        Ok(known)
    }

    fn taken(&self, order: &Order) -> Result<Vec<(usize, Parts)>, Refusal> {
        let stated = &self.stated;
        let RefundShares { shopper, partner } = stated.amounts;
        if stated.lines.is_empty() {
            return order.compose_whole(shopper, partner);
        }
        let left = order.left();
        let weights: Vec<i64> = left.iter().map(|left| left.partner).collect();
        if partner > weights.iter().sum() {
            return Err(over(RefundShares {
                shopper: left.iter().map(Parts::shopper).sum(),
                partner: weights.iter().sum(),
            }));
        }
        let partners = match partner {
            0 => vec![0; left.len()],
            partner => allocate(partner, &weights),
        };
        for (order_line_id, _) in &stated.lines {
            order.line_at(order_line_id)?;
        }
        let drafts: Vec<LineDraft> = order
            .placement
            .lines
            .iter()
            .zip(partners)
            .map(|(line, partner)| {
                let own = stated
                    .lines
                    .iter()
                    .find(|(id, _)| *id == line.order_line_id);
                LineDraft {
                    order_line_id: line.order_line_id,
                    shopper: own.map_or(0, |(_, amount)| *amount),
                    partner,
                    component: Component::All,
                }
            })
            .filter(|draft| draft.shopper > 0 || draft.partner > 0)
            .collect();
        order.compose(&drafts)
    }
}

/// Money of an order's currency.
pub(super) fn money(order: &Order, minor_units: i64) -> Money {
    order.placement.amount.money(minor_units)
}
