//! What fulfilment tells of many orders, taken in its order: the pure part of consuming its feed.
//!
//! Everything that the news may touch has been locked and loaded before; what came of it is written afterwards,
//! set by set.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use contracts::id::{
    AftersaleId, AllotmentId, MovementId, OrderId, OrderLineId, RefundId, ReturnId,
};
use contracts::money::Money;
use kit::errors::Refusal;

use super::book::{Book, Tracked};
use super::ledger::{CostBearer, NextId};
use super::order::{CancelReason, CareBlocks, Order, Placement};
use super::payment::{RefundLine, RefundReason};
use super::progress::{Arrival, LineProgress, Step, StepKind};
use super::refund::RefundShares;
use super::returns::{ReturnNews, ReturnStage, ReturnStep};
use super::stock::{Movement, MovementKind, Stock};

/// One thing that fulfilment told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// How far the lines of an order have come, and what people have set in the way of shipping.
    Progress {
        /// The order.
        order_id: OrderId,
        /// Its lines.
        lines: Vec<LineProgress>,
        /// The blocks.
        blocks: CareBlocks,
        /// Grows with every change of the fulfilment.
        version: i64,
    },
    /// Why units of an order were cancelled; the units follow.
    CancelReason {
        /// The order.
        order_id: OrderId,
        /// Why.
        reason: CancelReason,
    },
    /// A return of goods.
    Return(ReturnNews),
    /// What a matter after the sale was settled on.
    Settlement(SettlementNews),
}

/// What a matter after the sale was settled on. It is told once, and taken once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettlementNews {
    /// The matter.
    pub aftersale_id: AftersaleId,
    /// Of which order.
    pub order_id: OrderId,
    /// The goods that came back for it, if they did.
    pub return_id: Option<ReturnId>,
    /// Who bears the cost.
    pub cost_bearer: CostBearer,
    /// What goes back, line by line; no lines for no refund at all.
    pub lines: Vec<SettledLine>,
    /// Units that are to be sold again and are in no return.
    pub restock: Vec<(OrderLineId, i64)>,
}

/// What goes back for units of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettledLine {
    /// The line.
    pub order_line_id: OrderLineId,
    /// For how many units.
    pub quantity: i64,
    /// To the shopper; at most what is left of the line goes back.
    pub amount: Money,
}

impl News {
    /// Which order it is about.
    pub fn order_id(&self) -> &OrderId {
        match self {
            News::Progress { order_id, .. } | News::CancelReason { order_id, .. } => order_id,
            News::Return(news) => &news.order_id,
            News::Settlement(news) => &news.order_id,
        }
    }

    /// Whether money may go back because of it: then what has gone back is to be known.
    pub fn pays_back(&self) -> bool {
        match self {
            News::Progress { lines, .. } => lines
                .iter()
                .any(|line| line.cancelled > 0 || line.undelivered > 0),
            News::CancelReason { .. } => false,
            News::Return(news) => news.stage == ReturnStage::Received && !news.settled_apart,
            News::Settlement(news) => !news.lines.is_empty(),
        }
    }

    /// Whether it may be about an order that is not known: nothing has happened to its units yet.
    fn may_be_early(&self) -> bool {
        match self {
            News::Progress { lines, .. } => lines.iter().all(LineProgress::is_nothing),
            News::CancelReason { .. } => true,
            News::Return(_) | News::Settlement(_) => false,
        }
    }

    /// The allotments whose units it may move; they are locked before the order.
    pub fn allotments<'a>(
        &'a self,
        placement: &'a Placement,
    ) -> impl Iterator<Item = AllotmentId> + 'a {
        placement.lines.iter().filter_map(|line| {
            let moves = match self {
                News::Progress { lines, .. } => lines
                    .iter()
                    .any(|told| told.order_line_id == line.order_line_id && told.cancelled > 0),
                News::CancelReason { .. } => false,
                News::Return(news) => news
                    .lines
                    .iter()
                    .any(|told| told.order_line_id == line.order_line_id && told.restock > 0),
                News::Settlement(news) => news.restock.iter().any(|(order_line_id, units)| {
                    *order_line_id == line.order_line_id && *units > 0
                }),
            };
            moves.then_some(line.allotment_id)
        })
    }
}

/// A refund that is authorised; which payment it is of is known when that payment is counted. One for a return of
/// goods for which nothing was paid is executed as it is made: whoever waits for a return's refund sees it end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRefund {
    /// The refund.
    pub refund_id: RefundId,
    /// The order.
    pub order_id: OrderId,
    /// Why.
    pub reason: RefundReason,
    /// To the shopper.
    pub shopper_amount: Money,
    /// To the partner.
    pub partner_amount: Money,
    /// Lines it is for.
    pub lines: Vec<RefundLine>,
    /// The return it is for.
    pub return_id: Option<ReturnId>,
    /// The matter that was settled with it.
    pub aftersale_id: Option<AftersaleId>,
    /// Who bears its cost.
    pub cost_bearer: CostBearer,
}

impl NewRefund {
    /// Whether there is nothing to pay back.
    pub fn is_nothing(&self) -> bool {
        self.shopper_amount.minor_units == 0 && self.partner_amount.minor_units == 0
    }
}

/// What happened, with the thing as it was right after.
#[derive(Clone, Debug)]
pub enum Event {
    /// Units of an order moved.
    Stepped(StepKind, Order),
    /// A return of an order began, or ended without goods.
    ReturnChanged(Order),
    /// A block was set or lifted.
    BlocksChanged(Order),
    /// A matter was settled, with money to go back.
    Settled(Order),
    /// A refund was authorised, by its place among the new ones.
    Refund(usize),
    /// Units came back to be sold again.
    Restocked(Movement, Stock),
}

/// What the news works on, and what came of it.
#[derive(Debug)]
pub struct Tale {
    /// Units, locked, with everything that counts them.
    pub book: Book,
    /// Orders, locked.
    pub orders: BTreeMap<OrderId, Tracked<Order>>,
    /// How far the returns have come that are known.
    pub returns: BTreeMap<ReturnId, ReturnStage>,
    /// Returns to be written.
    pub new_returns: BTreeMap<ReturnId, (OrderId, ReturnStage)>,
    /// Matters whose settlement was taken before.
    pub settled: BTreeSet<AftersaleId>,
    /// Settlements to be written.
    pub new_settlements: Vec<(AftersaleId, OrderId)>,
    /// Refunds to be written.
    pub new_refunds: Vec<NewRefund>,
    /// What they owe by order, to be counted on the payments.
    pub owed: BTreeMap<OrderId, RefundShares>,
    /// What happened, in order, each with the place of the news that it came from.
    pub events: Vec<(usize, Event)>,
    /// For how long goods may be sent back after the last delivery.
    pub return_window: Duration,
    /// In whose name units are moved.
    pub actor: String,
}

impl Tale {
    /// Nothing is known yet.
    pub fn new(book: Book, return_window: Duration, actor: &str) -> Self {
        Tale {
            book,
            orders: BTreeMap::new(),
            returns: BTreeMap::new(),
            new_returns: BTreeMap::new(),
            settled: BTreeSet::new(),
            new_settlements: Vec::new(),
            new_refunds: Vec::new(),
            owed: BTreeMap::new(),
            events: Vec::new(),
            return_window,
            actor: actor.to_owned(),
        }
    }

    /// Takes one piece of news. What is refused ends the whole: nothing of it is to be written then.
    pub fn tell(&mut self, index: usize, news: &News, ids: NextId<'_>) -> Result<(), Refusal> {
        if !self.orders.contains_key(news.order_id()) {
            return match news.may_be_early() {
                true => Ok(()),
                false => Err(Refusal::not_found("order")),
            };
        }
        match news {
            News::Progress {
                order_id,
                lines,
                blocks,
                version,
            } => {
                self.take_blocks(index, order_id, *blocks, *version)?;
                self.take_progress(index, order_id, lines, ids)
            }
            News::CancelReason { order_id, reason } => {
                self.order(order_id)?.cancel_reason = Some(*reason);
                Ok(())
            }
            News::Return(news) => self.take_return(index, news, ids),
            News::Settlement(news) => self.take_settlement(index, news, ids),
        }
    }

    fn order(&mut self, order_id: &OrderId) -> Result<&mut Order, Refusal> {
        let found = self.orders.get_mut(order_id);
        found
            .map(|found| &mut found.now)
            .ok_or_else(|| Refusal::not_found("order"))
    }

    fn take_blocks(
        &mut self,
        index: usize,
        order_id: &OrderId,
        blocks: CareBlocks,
        version: i64,
    ) -> Result<(), Refusal> {
        let order = self.order(order_id)?;
        if version < order.care_version {
            return Ok(());
        }
        order.care_version = version;
        if order.care_blocks != blocks {
            order.care_blocks = blocks;
            order.version += 1;
            let event = Event::BlocksChanged(order.clone());
            self.events.push((index, event));
        }
        Ok(())
    }

    fn take_progress(
        &mut self,
        index: usize,
        order_id: &OrderId,
        lines: &[LineProgress],
        ids: NextId<'_>,
    ) -> Result<(), Refusal> {
        let return_end = self.book.now.plus(self.return_window);
        let now = self.book.now;
        let order = self.order(order_id)?;
        let steps = order.advance(lines)?;
        if !steps.is_empty() {
            order.complete_after = match order.arrival() {
                Some(Arrival::Delivered) => Some(return_end),
                Some(Arrival::NothingArrived) => Some(now),
                None => None,
            };
        }
        for step in steps {
            if step.kind == StepKind::LinesCancelled {
                self.give_back(&step);
            }
            self.stepped(index, step, None, ids);
        }
        Ok(())
    }

    /// Cancelled units can be sold again; units that got lost cannot.
    fn give_back(&mut self, step: &Step) {
        let placement = &step.order.placement;
        for (at, quantity) in &step.units {
            if let Some(line) = placement.lines.get(*at) {
                self.book.unsell(
                    line,
                    placement.partner_id,
                    &placement.shopper_ref,
                    *quantity,
                );
            }
        }
    }

    fn stepped(&mut self, index: usize, step: Step, return_id: Option<ReturnId>, ids: NextId<'_>) {
        let reason = match step.kind {
            StepKind::Undelivered => RefundReason::Undelivered,
            StepKind::Returned => RefundReason::Returned,
            _ => RefundReason::LinesCancelled,
        };
        let lines = step.refund_lines();
        let (order, refund) = (step.order, step.refund);
        let (order_id, currency) = (*order.order_id(), order.placement.amount.currency);
        self.events.push((index, Event::Stepped(step.kind, order)));
        if refund.is_zero() && return_id.is_none() {
            return;
        }
        self.owe(
            index,
            NewRefund {
                refund_id: RefundId::from_uuid(ids()),
                order_id,
                reason,
                shopper_amount: Money::new(currency, refund.shopper),
                partner_amount: Money::new(currency, refund.partner),
                lines,
                return_id,
                aftersale_id: None,
                cost_bearer: CostBearer::Retailer,
            },
        );
    }

    fn owe(&mut self, index: usize, refund: NewRefund) {
        // Parts of one payment, so their sum fits as well as it does.
        let owed = self.owed.entry(refund.order_id).or_default();
        owed.shopper += refund.shopper_amount.minor_units;
        owed.partner += refund.partner_amount.minor_units;
        self.events
            .push((index, Event::Refund(self.new_refunds.len())));
        self.new_refunds.push(refund);
    }

    /// Whoever waits for a matter's refund sees one, also of zero.
    fn take_settlement(
        &mut self,
        index: usize,
        news: &SettlementNews,
        ids: NextId<'_>,
    ) -> Result<(), Refusal> {
        if self.settled.contains(&news.aftersale_id) {
            return Ok(());
        }
        let order = self.order(&news.order_id)?;
        let mut units: BTreeMap<AllotmentId, i64> = BTreeMap::new();
        for (order_line_id, quantity) in &news.restock {
            let placed = order.line_at(order_line_id)?;
            *units
                .entry(order.placement.lines[placed].allotment_id)
                .or_default() += quantity;
        }
        if !news.lines.is_empty() {
            let lines = order.settle(&news.lines, news.return_id.is_some())?;
            let (order, currency) = (order.clone(), order.placement.amount.currency);
            let shares = lines.iter().filter_map(|line| line.parts);
            let (shopper, partner) = shares.fold((0, 0), |(shopper, partner), parts| {
                (shopper + parts.shopper(), partner + parts.partner)
            });
            let reason = match news.return_id {
                Some(_) => RefundReason::Returned,
                None => RefundReason::Aftersale,
            };
            self.events.push((index, Event::Settled(order)));
            self.owe(
                index,
                NewRefund {
                    refund_id: RefundId::from_uuid(ids()),
                    order_id: news.order_id,
                    reason,
                    shopper_amount: Money::new(currency, shopper),
                    partner_amount: Money::new(currency, partner),
                    lines,
                    return_id: news.return_id,
                    aftersale_id: Some(news.aftersale_id),
                    cost_bearer: news.cost_bearer,
                },
            );
        }
        for (allotment_id, quantity) in units.into_iter().filter(|(_, quantity)| *quantity > 0) {
            self.restock(
                index,
                news.aftersale_id.as_str(),
                allotment_id,
                quantity,
                ids,
            )?;
        }
        self.settled.insert(news.aftersale_id);
        self.new_settlements
            .push((news.aftersale_id, news.order_id));
        Ok(())
    }

    fn take_return(
        &mut self,
        index: usize,
        news: &ReturnNews,
        ids: NextId<'_>,
    ) -> Result<(), Refusal> {
        let before = self.returns.get(&news.return_id).copied();
        let Some(taken) = self.order(&news.order_id)?.take_return(before, news)? else {
            return Ok(());
        };
        self.returns.insert(news.return_id, news.stage);
        self.new_returns
            .insert(news.return_id, (news.order_id, news.stage));
        match taken {
            ReturnStep::Changed(order) => {
                self.events.push((index, Event::ReturnChanged(order)));
            }
            ReturnStep::Received { step, restock } => {
                let placement = step.order.placement.clone();
                // What is settled apart is paid back, or not, by the settlement.
                let of = (!news.settled_apart).then_some(news.return_id);
                self.stepped(index, step, of, ids);
                let mut units: BTreeMap<AllotmentId, i64> = BTreeMap::new();
                for (at, quantity) in restock {
                    if let Some(line) = placement.lines.get(at) {
                        *units.entry(line.allotment_id).or_default() += quantity;
                    }
                }
                for (allotment_id, quantity) in units {
                    let of = news.return_id;
                    self.restock(index, of.as_str(), allotment_id, quantity, ids)?;
                }
            }
        }
        Ok(())
    }

    fn restock(
        &mut self,
        index: usize,
        of: &str,
        allotment_id: AllotmentId,
        quantity: i64,
        ids: NextId<'_>,
    ) -> Result<(), Refusal> {
        let movement = Movement {
            movement_id: MovementId::from_uuid(ids()),
            allotment_id,
            kind: MovementKind::Restock,
            quantity,
            reason: format!("goods of {of} came back"),
            actor: self.actor.clone(),
            create_time: self.book.now,
        };
        let stock = self.book.record(&movement)?;
        self.events.push((index, Event::Restocked(movement, stock)));
        Ok(())
    }
}

#[cfg(test)]
#[path = "told_tests.rs"]
mod tests;
