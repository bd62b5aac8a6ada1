//! What all steps of a matter have in common, and those from the goods' arrival to the end. Each checks everything
//! before it changes anything.

use contracts::ErrorReason;
use contracts::id::ReturnId;
use kit::clock::Micros;
use kit::errors::Refusal;

use super::super::fulfillment::Fulfillment;
use super::super::returns::{GoodsCondition, Received, RefundState, ReturnRefund, ReturnState};
use super::{
    Action, Aftersale, AftersaleLimits, AftersaleState, Found, InspectedCondition, MatterLine,
    NextAction, Party, Purse, Reshipment, Settlement, Step, StepKind,
};
use contracts::id::OrderLineId;

/// Who does a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// For which side.
    pub party: Party,
    /// As the audit names them; empty for time.
    pub principal: String,
}

/// What a step is done on, and by whom.
pub struct Desk<'a> {
    /// The order's goods, which hold the counters.
    pub goods: &'a mut Fulfillment,
    /// The order's money.
    pub purse: &'a mut Purse,
    /// Times and limits.
    pub limits: &'a AftersaleLimits,
    /// Who does it.
    pub who: Who,
    /// The id of the return, should goods have to come back.
    pub return_id: ReturnId,
    /// When.
    pub now: Micros,
}

/// Inspected units of one line in one condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The order's line.
    pub order_line_id: OrderLineId,
    /// How many.
    pub quantity: i64,
    /// What they are.
    pub condition: InspectedCondition,
    /// Whether they go back into the allotment.
    pub restock: bool,
}

impl Aftersale {
    /// Changes with every change.
    pub fn etag(&self) -> String {
        format!("v{}", self.version)
    }

    /// Whose turn it is; none once it is over.
    pub fn next_action(&self) -> Option<NextAction> {
        let deadline = self.due_time?;
        let failed = |refund: &ReturnRefund| refund.state == RefundState::Failed;
        let (party, action) = match self.state {
            AftersaleState::Requested => (Party::Retailer, Action::Review),
            AftersaleState::CounterOffered => (Party::Shopper, Action::AnswerOffer),
            AftersaleState::AwaitingApproval => (Party::Retailer, Action::ApproveRefund),
            AftersaleState::AwaitingGoods if self.opened_by == Party::Carrier => {
                (Party::Carrier, Action::SendGoods)
            }
            AftersaleState::AwaitingGoods => (Party::Shopper, Action::SendGoods),
            AftersaleState::GoodsReceived => (Party::Retailer, Action::InspectGoods),
            AftersaleState::AwaitingReshipment => (Party::Retailer, Action::Reship),
            AftersaleState::Refunding if self.refund.as_ref().is_some_and(failed) => {
                (Party::Retailer, Action::ReissueRefund)
            }
            AftersaleState::Refunding => (Party::Partner, Action::ExecuteRefund),
            AftersaleState::Resolved
            | AftersaleState::Rejected
            | AftersaleState::Withdrawn
            | AftersaleState::Expired => return None,
        };
        Some(NextAction {
            party,
            action,
            deadline,
        })
    }

    /// What it keeps of a line's money.
    pub(super) fn promised(&self, line: &MatterLine) -> i64 {
        match self.state {
            AftersaleState::CounterOffered => line.amount.max(line.offer_amount),
            AftersaleState::Resolved if self.reshipment.is_some() => 0,
            AftersaleState::Rejected | AftersaleState::Withdrawn | AftersaleState::Expired => 0,
            _ => line.amount,
        }
    }

    /// The units of a line that it keeps set aside itself; once goods are to come, the leg does.
    pub(super) fn set_aside(&self, line: &MatterLine) -> i64 {
        let itself = self.leg.is_none() && self.opened_by != Party::Carrier;
        let by_leg = |leg: &super::GoodsReturn| {
            let own = leg
                .lines
                .iter()
                .find(|own| own.order_line_id == line.order_line_id);
            own.map_or(0, |own| leg.set_aside(own))
        };
        let own = if itself && !self.state.is_over() {
            line.quantity
        } else {
            0
        };
        own + self.leg.as_ref().map_or(0, by_leg)
    }

    /// Does `change`, which cannot fail, and keeps units and money in step with it.
    pub(super) fn change(&mut self, desk: &mut Desk, change: impl FnOnce(&mut Self)) {
        let kept = |matter: &Self| -> Vec<(OrderLineId, i64, i64)> {
            let of = |line: &MatterLine| {
                let (units, money) = (matter.set_aside(line), matter.promised(line));
                (line.order_line_id, units, money)
            };
            matter.lines.iter().map(of).collect()
        };
        let before = kept(self);
        change(self);
        for ((id, units, money), (_, units_now, money_now)) in before.into_iter().zip(kept(self)) {
            let line = desk
                .goods
                .lines
                .iter_mut()
                .find(|line| line.order_line_id == id);
            if let Some(line) = line {
                line.in_returns += units_now - units;
            }
            if let Some(purse) = desk.purse.get_mut(&id) {
                purse.promised += money_now - money;
            }
        }
    }

    /// Writes down what happened; the state is the one after it.
    pub(super) fn note(&mut self, desk: &Desk, kind: StepKind, message: &str) {
        self.step_count += 1;
        self.news.steps.push(Step {
            number: self.step_count,
            kind,
            party: desk.who.party,
            state: self.state,
            message: message.to_owned(),
            who: desk.who.principal.clone(),
            time: desk.now,
        });
    }

    /// Comes to its end.
    pub(super) fn end(
        &mut self,
        desk: &mut Desk,
        state: AftersaleState,
        step: StepKind,
        message: &str,
    ) {
        let now = desk.now;
        self.change(desk, |matter| {
            matter.state = state;
            matter.due_time = None;
            matter.finish_time = Some(now);
        });
        self.note(desk, step, message);
    }

    pub(super) fn require(&self, states: &[AftersaleState], rule: &str) -> Result<(), Refusal> {
        if states.contains(&self.state) {
            return Ok(());
        }
        let message = format!("{rule}; this matter is {}.", self.state);
        Err(Refusal::wrong_state("aftersale", self.state, message))
    }

    /// Refuses when the caller has read another version.
    pub fn require_etag(&self, etag: Option<&str>) -> Result<(), Refusal> {
        match etag {
            Some(etag) if etag != self.etag() => {
                let message = "The matter was changed since it was read; read it again, then decide on what it says now.";
                Err(Refusal::new(ErrorReason::EtagMismatch, message))
            }
            _ => Ok(()),
        }
    }

    /// The parcel came.
    pub fn received(&mut self, desk: &mut Desk) -> Result<(), Refusal> {
        self.require(
            &[AftersaleState::AwaitingGoods],
            "Goods are received once, for a matter that waits for them",
        )?;
        let due = desk.now.plus(desk.limits.inspection);
        self.change(desk, |matter| {
            matter.state = AftersaleState::GoodsReceived;
            matter.due_time = Some(due);
        });
        self.note(desk, StepKind::Received, "");
        Ok(())
    }

    /// What the goods are.
    pub fn inspect(
        &mut self,
        desk: &mut Desk,
        units: &[Inspected],
        message: &str,
    ) -> Result<(), Refusal> {
        self.require(
            &[AftersaleState::GoodsReceived],
            "Goods are inspected once, after they were received",
        )?;
        let found = self.found(units)?;
        let accepted: i64 = found.iter().map(Found::accepted).sum();
        if let Some(leg) = self.leg.as_mut() {
            if accepted == 0 {
                leg.cancel(desk.goods, desk.now)?;
            } else {
                leg.receive(desk.goods, &as_received(units), desk.now)?;
            }
        }
        self.change(desk, |matter| {
            for (line, found) in matter.lines.iter_mut().zip(&found) {
                line.found = *found;
                line.amount = part(line.amount, found.accepted(), line.quantity);
            }
        });
        if !message.is_empty() {
            message.clone_into(&mut self.message);
        }
        if self.opened_by == Party::Carrier {
            self.note(desk, StepKind::Inspected, message);
            self.settle_restock(desk);
        } else if accepted == 0 {
            self.note(desk, StepKind::Inspected, message);
            self.end(desk, AftersaleState::Rejected, StepKind::Rejected, message);
        } else {
            self.note(desk, StepKind::Inspected, message);
            self.after_goods(desk);
        }
        Ok(())
    }

    /// What was found of each of the matter's lines.
    fn found(&self, units: &[Inspected]) -> Result<Vec<Found>, Refusal> {
        let mut found = vec![Found::default(); self.lines.len()];
        for (at, part) in units.iter().enumerate() {
            let line = self.line_at(part.order_line_id, || format!("units[{at}].order_line_id"))?;
            if part.restock && part.condition != InspectedCondition::Sellable {
                let description = format!(
                    "must be false for units that are {}; they do not go back on sale.",
                    part.condition
                );
                return Err(Refusal::invalid(
                    format!("units[{at}].restock"),
                    description,
                ));
            }
            let sum = &mut found[line];
            match part.condition {
                InspectedCondition::Sellable => sum.sellable += part.quantity,
                InspectedCondition::Damaged => sum.damaged += part.quantity,
                InspectedCondition::Counterfeit => sum.counterfeit += part.quantity,
                InspectedCondition::NotOurs => sum.not_ours += part.quantity,
            }
            if part.restock {
                sum.restock += part.quantity;
            }
        }
        for (line, found) in self.lines.iter().zip(&found) {
            if found.accepted() > line.quantity {
                let id = line.order_line_id;
                let message = format!(
                    "This matter is about {} units of line {id}; accept at most that.",
                    line.quantity
                );
                return Err(Refusal::new(ErrorReason::OverQuantity, message)
                    .with("order_line_id", id)
                    .with("most_quantity", line.quantity));
            }
        }
        Ok(found)
    }

    pub(super) fn line_at(
        &self,
        id: OrderLineId,
        field: impl FnOnce() -> String,
    ) -> Result<usize, Refusal> {
        let at = self.lines.iter().position(|line| line.order_line_id == id);
        at.ok_or_else(|| {
            Refusal::invalid(
                field(),
                "is not a line of this matter; name one of its lines.",
            )
        })
    }

    /// Others were sent.
    pub fn reshipped(&mut self, desk: &mut Desk, reshipment: Reshipment) -> Result<(), Refusal> {
        self.require(
            &[AftersaleState::AwaitingReshipment],
            "Others are sent once, for a matter that waits for them",
        )?;
        for (at, part) in reshipment.units.iter().enumerate() {
            self.line_at(part.order_line_id, || {
                format!("reshipment.units[{at}].order_line_id")
            })?;
        }
        // Goods that came back are paid for with the others: the order service is told so, with nothing to pay.
        if self.leg.is_some() {
            self.news.settlement = Some(self.settlement(false));
        }
        let now = desk.now;
        self.change(desk, |matter| {
            matter.reshipment = Some(reshipment);
            matter.settle_time = Some(now);
            // What is resolved keeps nothing promised.
            matter.state = AftersaleState::Resolved;
        });
        self.end(desk, AftersaleState::Resolved, StepKind::Reshipped, "");
        Ok(())
    }

    /// Money goes back.
    pub(super) fn settle(&mut self, desk: &mut Desk) {
        self.news.settlement = Some(self.settlement(true));
        let (now, due) = (desk.now, desk.now.plus(desk.limits.refund));
        self.change(desk, |matter| {
            matter.state = AftersaleState::Refunding;
            matter.settle_time = Some(now);
            matter.due_time = Some(due);
        });
        self.note(desk, StepKind::Settled, "");
    }

    fn settlement(&self, pays: bool) -> Settlement {
        let line = |line: &MatterLine| {
            let quantity = if self.leg.is_some() {
                line.found.accepted()
            } else {
                line.quantity
            };
            let amount = if pays { line.amount } else { 0 };
            let currency = line.currency?;
            (quantity > 0).then_some((line.order_line_id, quantity, currency, amount))
        };
        Settlement {
            lines: self.lines.iter().filter_map(line).collect(),
            restock: Vec::new(),
            return_id: self.leg.as_ref().map(|leg| leg.id),
        }
    }

    /// What came back undelivered goes back on sale; the order service pays back by itself.
    fn settle_restock(&mut self, desk: &mut Desk) {
        let restock: Vec<_> = self
            .lines
            .iter()
            .filter(|line| line.found.restock > 0)
            .map(|line| (line.order_line_id, line.found.restock))
            .collect();
        if !restock.is_empty() {
            self.news.settlement = Some(Settlement {
                lines: Vec::new(),
                restock,
                return_id: None,
            });
        }
        self.settle_time = Some(desk.now);
        self.end(desk, AftersaleState::Resolved, StepKind::Settled, "");
    }

    /// The order service tells of the refund. Says whether that is new: the same may be told again, and what was true
    /// before may come late.
    pub fn refund_told(&mut self, desk: &mut Desk, told: &ReturnRefund) -> bool {
        let leg_moved = match self.leg.as_mut() {
            Some(leg) if leg.state == ReturnState::Received => {
                leg.refund_told(told.clone(), desk.now).unwrap_or(false)
            }
            _ => false,
        };
        if self.state != AftersaleState::Refunding {
            return leg_moved;
        }
        let known = self.refund.as_ref();
        if known.is_some_and(|known| progress(known) >= progress(told)) {
            return leg_moved;
        }
        self.refund = Some(told.clone());
        match told.state {
            RefundState::Authorised => self.note(desk, StepKind::RefundAuthorised, ""),
            RefundState::Failed => {
                self.due_time = Some(desk.now.plus(desk.limits.refund));
                self.note(desk, StepKind::RefundFailed, "");
            }
            RefundState::Executed => {
                let step = StepKind::RefundExecuted;
                self.end(desk, AftersaleState::Resolved, step, "");
            }
            RefundState::Withdrawn => {
                let message = "The refund had failed and was given up.";
                self.end(desk, AftersaleState::Rejected, StepKind::Rejected, message);
            }
        }
        true
    }

    /// Evidence is added: so many pieces.
    pub fn add_evidence(&mut self, desk: &Desk, pieces: i64) -> Result<(), Refusal> {
        if self.state.is_over() {
            let message = format!(
                "Evidence is added to open matters; this one is {}.",
                self.state
            );
            return Err(Refusal::wrong_state("aftersale", self.state, message));
        }
        let most = desk.limits.evidence_max;
        if self.evidence_count.saturating_add(pieces) > most {
            let message = format!(
                "This matter has {} pieces of evidence and may have {most}; add fewer.",
                self.evidence_count
            );
            return Err(Refusal::wrong_state("aftersale", "MOST_EVIDENCE", message));
        }
        self.evidence_count += pieces;
        self.note(desk, StepKind::EvidenceAdded, "");
        Ok(())
    }
}

/// How far a refund is: what is further is never told back.
fn progress(refund: &ReturnRefund) -> (i64, u8) {
    let rank = match refund.state {
        RefundState::Authorised => 0,
        RefundState::Failed | RefundState::Executed => 1,
        RefundState::Withdrawn => 2,
    };
    (refund.attempt, rank)
}

/// The part of an amount that so many of all units have.
fn part(amount: i64, units: i64, all: i64) -> i64 {
    let part = i128::from(amount) * i128::from(units) / i128::from(all.max(1));
    i64::try_from(part).unwrap_or(amount)
}

/// Inspected units in the words of returns. What is not the retailer's was never received.
fn as_received(units: &[Inspected]) -> Vec<Received> {
    let of = |part: &Inspected| {
        let condition = match part.condition {
            InspectedCondition::Sellable => GoodsCondition::AsNew,
            InspectedCondition::Damaged => GoodsCondition::Damaged,
            InspectedCondition::Counterfeit => GoodsCondition::Defective,
            InspectedCondition::NotOurs => return None,
        };
        Some(Received {
            order_line_id: part.order_line_id,
            quantity: part.quantity,
            condition,
            restock: part.restock,
        })
    };
    units.iter().filter_map(of).collect()
}
