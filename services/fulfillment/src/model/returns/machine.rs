//! The steps of a return. Each checks everything before it changes anything.

use std::time::Duration;

use contracts::ErrorReason;
use contracts::id::{OrderLineId, ReturnId};
use kit::clock::Micros;
use kit::errors::Refusal;

use super::super::LineQuantity;
use super::super::fulfillment::Fulfillment;
use super::{
    ConditionQuantity, Delivery, Eligibility, GoodsCondition, GoodsReturn, Instructions,
    RefundState, ReturnInitiator, ReturnKind, ReturnLine, ReturnReason, ReturnRefund, ReturnState,
};

/// A wish to send units back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnAsk {
    /// What the shopper wants.
    pub kind: ReturnKind,
    /// Who asks.
    pub initiator: ReturnInitiator,
    /// At least one, each line once.
    pub lines: Vec<(LineQuantity, ReturnReason)>,
}

/// A yes to a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// What is approved, each line once; none means all that was asked for.
    pub lines: Vec<LineQuantity>,
    /// Where the goods go and by when.
    pub instructions: Instructions,
    /// To the shopper.
    pub message: String,
}

/// Units that came, of one line in one condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The order's line.
    pub order_line_id: OrderLineId,
    /// How many.
    pub quantity: i64,
    /// How they came.
    pub condition: GoodsCondition,
    /// Whether they go back into the allotment.
    pub restock: bool,
}

impl Fulfillment {
    /// Sets units aside for a return that is asked for `now`. A return may be asked for during `window` after
    /// a delivery.
    pub fn request_return(
        &mut self,
        id: ReturnId,
        ask: &ReturnAsk,
        deliveries: &[Delivery],
        window: Duration,
        now: Micros,
    ) -> Result<GoodsReturn, Refusal> {
        let mut lines = Vec::with_capacity(ask.lines.len());
        for (at, (asked, reason)) in ask.lines.iter().enumerate() {
            let line = self.line_asked(asked, "", at)?;
            let eligible = Eligibility::of(line, deliveries, window, now);
            check_returnable(&eligible, asked.quantity)?;
            lines.push(ReturnLine {
                order_line_id: line.order_line_id,
                variant_id: line.variant_id,
                sku: line.sku.clone(),
                unit: line.unit,
                reason: *reason,
                requested: asked.quantity,
                approved: 0,
                conditions: Vec::new(),
            });
        }
        for line in &lines {
            self.line_mut(&line.order_line_id)?.in_returns += line.requested;
        }
        Ok(GoodsReturn {
            id,
            order_id: self.order_id,
            fulfillment_id: self.id,
            partner_id: self.partner_id,
            kind: ask.kind,
            state: ReturnState::Requested,
            initiator: ask.initiator,
            lines,
            instructions: None,
            decision_message: String::new(),
            create_time: now,
            decide_time: None,
            receive_time: None,
            finish_time: None,
            refund: None,
            aftersale_id: None,
            version: 0,
        })
    }
}

fn check_returnable(eligible: &Eligibility, quantity: i64) -> Result<(), Refusal> {
    let (line, returnable) = (eligible.order_line_id, eligible.returnable());
    if quantity <= returnable {
        return Ok(());
    }
    let (reason, message) = if quantity <= eligible.free() {
        let message = format!(
            "The return window is over for all but {returnable} of the units asked for on line {line}; ask for at most that."
        );
        (ErrorReason::OutsideWindow, message)
    } else {
        let message = format!(
            "Line {line} has {returnable} delivered units that can be sent back and are in no return; ask for at most that."
        );
        (ErrorReason::OverQuantity, message)
    };
    Err(Refusal::new(reason, message)
        .with("order_line_id", line)
        .with("returnable_quantity", returnable))
}

impl GoodsReturn {
    /// The retailer takes it, all or in part. Units that are not approved are free again.
    pub fn approve(
        &mut self,
        goods: &mut Fulfillment,
        approval: Approval,
        now: Micros,
    ) -> Result<(), Refusal> {
        self.require(
            &[ReturnState::Requested],
            "Only a requested return is decided on, and once",
        )?;
        let quantities = self.approved(&approval.lines)?;
        let before = self.clone();
        self.state = ReturnState::Approved;
        for (line, approved) in self.lines.iter_mut().zip(quantities) {
            line.approved = approved;
        }
        self.instructions = Some(approval.instructions);
        self.decision_message = approval.message;
        self.decide_time = Some(now);
        self.free(goods, &before)
    }

    fn approved(&self, lines: &[LineQuantity]) -> Result<Vec<i64>, Refusal> {
        for (at, part) in lines.iter().enumerate() {
            let line = self.line(&part.order_line_id, || {
                format!("approve.lines[{at}].order_line_id")
            })?;
            if part.quantity > line.requested {
                return Err(over(line, "requested", line.requested));
            }
        }
        let of = |line: &ReturnLine| {
            let named = lines
                .iter()
                .find(|part| part.order_line_id == line.order_line_id);
            match named {
                Some(part) => part.quantity,
                None if lines.is_empty() => line.requested,
                None => 0,
            }
        };
        Ok(self.lines.iter().map(of).collect())
    }

    /// The retailer does not take it.
    pub fn reject(
        &mut self,
        goods: &mut Fulfillment,
        message: String,
        now: Micros,
    ) -> Result<(), Refusal> {
        self.require(
            &[ReturnState::Requested],
            "Only a requested return is decided on, and once",
        )?;
        self.decision_message = message;
        self.decide_time = Some(now);
        self.end(goods, ReturnState::Rejected, now)
    }

    /// It is taken back before anything was received.
    pub fn cancel(&mut self, goods: &mut Fulfillment, now: Micros) -> Result<(), Refusal> {
        self.require(
            &[ReturnState::Requested, ReturnState::Approved],
            "A return is taken back only before anything was received and before it is over",
        )?;
        self.end(goods, ReturnState::Cancelled, now)
    }

    /// Its time is over and nothing came. Says whether that is so.
    pub fn expire(&mut self, goods: &mut Fulfillment, now: Micros) -> Result<bool, Refusal> {
        let is_over = self
            .instructions
            .as_ref()
            .is_some_and(|instructions| instructions.return_by_time <= now);
        if self.state != ReturnState::Approved || !is_over {
            return Ok(false);
        }
        self.end(goods, ReturnState::Expired, now)?;
        Ok(true)
    }

    /// The goods came. What came late is taken as well, as long as its units are in no other return: goods that
    /// are there can always be told of.
    pub fn receive(
        &mut self,
        goods: &mut Fulfillment,
        units: &[Received],
        now: Micros,
    ) -> Result<(), Refusal> {
        self.require(
            &[ReturnState::Approved, ReturnState::Expired],
            "Goods are received once, for a return that was approved and not taken back",
        )?;
        let received = self.sorted_by_line(units)?;
        for (line, conditions) in self.lines.iter().zip(&received) {
            let came: i64 = conditions.iter().map(|part| part.quantity).sum();
            if came > line.approved {
                return Err(over(line, "approved", line.approved));
            }
            let free = goods
                .line_mut(&line.order_line_id)?
                .free_to_return()
                .saturating_add(self.set_aside(line));
            if came > free {
                return Err(over(line, "in no other return", free));
            }
        }
        let before = self.clone();
        self.state = ReturnState::Received;
        self.receive_time = Some(now);
        self.finish_time = None;
        for (line, conditions) in self.lines.iter_mut().zip(received) {
            line.conditions = conditions;
        }
        self.free(goods, &before)?;
        for line in &self.lines {
            goods.line_mut(&line.order_line_id)?.returned += line.received();
        }
        Ok(())
    }

    /// What came of each of the return's lines, by condition.
    fn sorted_by_line(&self, units: &[Received]) -> Result<Vec<Vec<ConditionQuantity>>, Refusal> {
        let mut by_line: Vec<Vec<ConditionQuantity>> = vec![Vec::new(); self.lines.len()];
        for (at, came) in units.iter().enumerate() {
            let line = self
                .lines
                .iter()
                .position(|line| line.order_line_id == came.order_line_id)
                .ok_or_else(|| not_a_line(format!("units[{at}].order_line_id")))?;
            if came.restock && !came.condition.may_restock() {
                let description = format!(
                    "must be false for goods that came {}; they do not go back on sale.",
                    came.condition
                );
                return Err(Refusal::invalid(
                    format!("units[{at}].restock"),
                    description,
                ));
            }
            let restock = if came.restock { came.quantity } else { 0 };
            let conditions = &mut by_line[line];
            match conditions
                .iter_mut()
                .find(|part| part.condition == came.condition)
            {
                Some(part) => {
                    part.quantity += came.quantity;
                    part.restock += restock;
                }
                None => conditions.push(ConditionQuantity {
                    condition: came.condition,
                    quantity: came.quantity,
                    restock,
                }),
            }
        }
        for conditions in &mut by_line {
            conditions.sort_by_key(|part| part.condition);
        }
        Ok(by_line)
    }

    /// The order service tells of the refund. Says whether that is new: the same may be told again, and what
    /// was true before may come late.
    pub fn refund_told(&mut self, mut told: ReturnRefund, now: Micros) -> Result<bool, Refusal> {
        // A refund that was given up is, to a return, one that failed.
        if told.state == RefundState::Withdrawn {
            told.state = RefundState::Failed;
        }
        if self.state == ReturnState::Completed {
            return Ok(false);
        }
        self.require(
            &[ReturnState::Received],
            "Only what was received is refunded",
        )?;
        let progress =
            |refund: &ReturnRefund| (refund.attempt, refund.state != RefundState::Authorised);
        if let Some(known) = &self.refund
            && known.refund_id == told.refund_id
            && progress(known) >= progress(&told)
        {
            return Ok(false);
        }
        if told.state == RefundState::Executed {
            self.state = ReturnState::Completed;
            self.finish_time = Some(now);
        }
        self.refund = Some(told);
        Ok(true)
    }

    /// Refuses when the caller has read another version.
    pub fn require_etag(&self, etag: Option<&str>) -> Result<(), Refusal> {
        match etag {
            Some(etag) if etag != self.etag() => {
                let message = "The return was changed since it was read; read it again, then decide on what it says now.";
                Err(Refusal::new(ErrorReason::EtagMismatch, message))
            }
            _ => Ok(()),
        }
    }

    fn require(&self, states: &[ReturnState], rule: &str) -> Result<(), Refusal> {
        if states.contains(&self.state) {
            return Ok(());
        }
        let message = format!("{rule}; this one is {}.", self.state);
        Err(Refusal::wrong_state("return", self.state, message))
    }

    fn line(
        &self,
        id: &OrderLineId,
        field: impl FnOnce() -> String,
    ) -> Result<&ReturnLine, Refusal> {
        self.lines
            .iter()
            .find(|line| line.order_line_id == *id)
            .ok_or_else(|| not_a_line(field()))
    }

    fn end(
        &mut self,
        goods: &mut Fulfillment,
        state: ReturnState,
        now: Micros,
    ) -> Result<(), Refusal> {
        let before = self.clone();
        self.state = state;
        self.finish_time = Some(now);
        self.free(goods, &before)
    }

    /// Gives back to the fulfilment the units that it kept `before` and keeps no more.
    fn free(&self, goods: &mut Fulfillment, before: &GoodsReturn) -> Result<(), Refusal> {
        for (line, was) in self.lines.iter().zip(&before.lines) {
            goods.line_mut(&line.order_line_id)?.in_returns -=
                before.set_aside(was) - self.set_aside(line);
        }
        Ok(())
    }
}

fn not_a_line(field: String) -> Refusal {
    Refusal::invalid(
        field,
        "is not a line of this return; name one of its lines.",
    )
}

fn over(line: &ReturnLine, what: &str, most: i64) -> Refusal {
    let id = line.order_line_id;
    let message = format!("Line {id} of this return has {most} units {what}; name at most that.");
    Refusal::new(ErrorReason::OverQuantity, message)
        .with("order_line_id", id)
        .with("most", most)
}
