//! Goods that come back, as fulfilment tells.
//!
//! A return is told more than once, by the feed and after a gap by a list, perhaps by two replicas. What counts is
//! how far it has come: its stage only ever rises, and each rise is taken once.

use std::collections::BTreeMap;

use contracts::ErrorReason;
use contracts::id::{OrderId, OrderLineId, ReturnId};
use kit::errors::Refusal;

use super::order::{AftersaleState, Order, OrderState};
use super::progress::{Step, StepKind};
use super::words::words;

words! {
    /// How far a return has come. In this order: what expired may still be received, and then it is.
    ReturnStage {
        /// Asked for, or approved and waited for.
        Open = "OPEN",
        /// Over without goods: rejected, cancelled, expired.
        Ended = "ENDED",
        /// The goods are there.
        Received = "RECEIVED",
    }
}

/// Units of one line that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReturnedLine {
    /// The line.
    pub order_line_id: OrderLineId,
    /// How many came: they are paid back.
    pub received: i64,
    /// Of these, those that can be sold again.
    pub restock: i64,
}

/// What fulfilment says of a return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnNews {
    /// The return.
    pub return_id: ReturnId,
    /// Of which order.
    pub order_id: OrderId,
    /// How far it has come.
    pub stage: ReturnStage,
    /// What was received; nothing before that.
    pub lines: Vec<ReturnedLine>,
    /// Whether it is part of an aftersale, whose settlement says what is paid back for it.
    pub settled_apart: bool,
}

/// What a return did to an order.
#[derive(Clone, Debug)]
pub enum ReturnStep {
    /// It began, or ended without goods; the order after it.
    Changed(Order),
    /// Goods came back.
    Received {
        /// The units, what is paid back for them, and the order after it.
        step: Step,
        /// Units to be sold again, by the line's place.
        restock: Vec<(usize, i64)>,
    },
}

impl Order {
    /// Takes the news of a return that was at `before`; none when there is nothing new. Refuses what cannot be, with
    /// the order as it was.
    pub fn take_return(
        &mut self,
        before: Option<ReturnStage>,
        news: &ReturnNews,
    ) -> Result<Option<ReturnStep>, Refusal> {
        if before >= Some(news.stage) {
            return Ok(None);
        }
        if !matches!(self.state, OrderState::Confirmed | OrderState::Completed) {
            return Err(Refusal::wrong_state(
                "order",
                self.state,
                "Only the units of a paid order can come back.",
            ));
        }
        let mut after = self.clone();
        after.returns_open += i64::from(news.stage == ReturnStage::Open)
            - i64::from(before == Some(ReturnStage::Open));
        let taken = match news.stage {
            ReturnStage::Open | ReturnStage::Ended => {
                after.aftersale_state = after.aftersale_state_now();
                after.version += 1;
                ReturnStep::Changed(after.clone())
            }
            ReturnStage::Received => after.receive(&news.lines, !news.settled_apart)?,
        };
        *self = after;
        Ok(Some(taken))
    }

    fn receive(&mut self, lines: &[ReturnedLine], paid: bool) -> Result<ReturnStep, Refusal> {
        let (mut units, mut restock) = (BTreeMap::new(), BTreeMap::new());
        for line in lines {
            let own = |placed: &super::Line| placed.order_line_id == line.order_line_id;
            let Some(index) = self.placement.lines.iter().position(own) else {
                return Err(Refusal::not_found("order line"));
            };
            if line.received < 0 || !(0..=line.received).contains(&line.restock) {
                return Err(Refusal::new(
                    ErrorReason::OverQuantity,
                    "More units of a line are to be sold again than came back.",
                ));
            }
            add(&mut units, index, line.received)?;
            add(&mut restock, index, line.restock)?;
        }
        // The aftersale state looks at what is counted, so it comes after the counters: the step's order has both.
        let mut step = self.step(StepKind::Returned, units.into_iter().collect(), paid)?;
        self.aftersale_state = self.aftersale_state_now();
        step.order = self.clone();
        Ok(ReturnStep::Received {
            step,
            restock: restock.into_iter().collect(),
        })
    }

    fn aftersale_state_now(&self) -> AftersaleState {
        if self.returns_open > 0 {
            AftersaleState::ReturnOpen
        } else if self.quantities.iter().any(|line| line.returned > 0) {
            AftersaleState::Returned
        } else {
            AftersaleState::None
        }
    }
}

fn add(units: &mut BTreeMap<usize, i64>, index: usize, more: i64) -> Result<(), Refusal> {
    if more == 0 {
        return Ok(());
    }
    let sum = units.entry(index).or_insert(0);
    *sum = sum.checked_add(more).ok_or_else(|| {
        Refusal::new(
            ErrorReason::OverQuantity,
            "More units came back than can be counted.",
        )
    })?;
    Ok(())
}
