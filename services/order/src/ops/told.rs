//! Takes what fulfilment tells, a page of its feed at a time: lock, load, fold, write, announce.
//!
//! The locks are the desk's, in the desk's order: allotments, then orders, each kind by id. So the consumer of the
//! feed and a batch of the desk may touch the same things at the same time and never wait for each other crosswise.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ::store::Tx;
use contracts::id::{AftersaleId, AllotmentId, OrderId, PaymentId, ReturnId};
use kit::clock::Micros;
use kit::errors::Fault;

use super::batch::counters_write;
use super::ledger;
use crate::events::{self, OrderChange};
use crate::model::book::{Book, Tracked};
use crate::model::progress::StepKind;
use crate::model::told::{Event, NewRefund, News, Tale};
use crate::model::{HoldRules, Order, Placement, Refund, RefundState};
use crate::store::{order, order_progress, refund, stock};

/// Takes the news in their order. `acting` is called with the place of a piece of news before what came of it is
/// published.
pub async fn take(
    tx: &mut Tx,
    news: &[News],
    return_window: Duration,
    acting: &(dyn Fn(&mut Tx, usize) + Send + Sync),
) -> Result<(), Fault> {
    let mut tale = load(tx, news, return_window).await?;
    let ids = tx.ids();
    for (index, news) in news.iter().enumerate() {
        tale.tell(index, news, &mut || ids.next())?;
    }
    let refunds = write(tx, &tale).await?;
    announce(tx, &tale, &refunds, acting);
    Ok(())
}

async fn load(tx: &mut Tx, news: &[News], return_window: Duration) -> Result<Tale, Fault> {
    let wanted: BTreeSet<OrderId> = news.iter().map(|news| *news.order_id()).collect();
    let wanted: Vec<OrderId> = wanted.into_iter().collect();
    // What was agreed never changes, so it tells without a lock what is to be locked.
    let mut placements = order::placements_by_id(tx, &wanted).await?;
    placements.sort_unstable_by_key(|placement| placement.order_id);
    let allotments: BTreeSet<AllotmentId> = news
        .iter()
        .filter_map(|news| Some((news, placed(&placements, news.order_id())?)))
        .flat_map(|(news, placement)| news.allotments(placement))
        .collect();
    let allotments: Vec<AllotmentId> = allotments.into_iter().collect();

    let book = Book::new(tx.now(), HoldRules::default());
    let actor = tx.caller().subject.clone();
    let mut tale = Tale::new(book, return_window, &actor);
    for stock in stock::allotments_lock(tx, &allotments).await? {
        tale.book
            .stocks
            .insert(stock.allotment_id, Tracked::new(stock));
    }
    for order in order::orders_lock(tx, placements).await? {
        tale.orders.insert(*order.order_id(), Tracked::new(order));
    }
    given(tx, &mut tale, news).await?;
    let matters: BTreeSet<AftersaleId> = news
        .iter()
        .filter_map(|news| match news {
            News::Settlement(news) => Some(news.aftersale_id),
            _ => None,
        })
        .collect();
    let matters: Vec<AftersaleId> = matters.into_iter().collect();
    tale.settled = refund::settlements_known(tx, &matters)
        .await?
        .into_iter()
        .collect();
    let returns: BTreeSet<ReturnId> = news
        .iter()
        .filter_map(|news| match news {
            News::Return(news) => Some(news.return_id),
            _ => None,
        })
        .collect();
    let returns: Vec<ReturnId> = returns.into_iter().collect();
    tale.returns = order_progress::return_stages(tx, &returns)
        .await?
        .into_iter()
        .collect();
    Ok(tale)
}

/// Loads what has gone back of the orders of which more may.
async fn given(tx: &mut Tx, tale: &mut Tale, news: &[News]) -> Result<(), Fault> {
    let wanted: BTreeSet<&OrderId> = news
        .iter()
        .filter(|news| news.pays_back())
        .map(|news| news.order_id())
        .collect();
    let orders: Vec<Order> = wanted
        .into_iter()
        .filter_map(|order_id| Some(tale.orders.get(order_id)?.now.clone()))
        .collect();
    for (order_id, given) in ledger::given_of(tx, &orders).await? {
        if let Some(order) = tale.orders.get_mut(&order_id) {
            order.now.balance.given.clone_from(&given);
            order.loaded.balance.given = given;
        }
    }
    Ok(())
}

fn placed<'a>(placements: &'a [Arc<Placement>], order_id: &OrderId) -> Option<&'a Placement> {
    let at = placements.binary_search_by_key(order_id, |placement| placement.order_id);
    at.ok().map(|at| &*placements[at])
}

/// Writes everything, and gives the new refunds with the payments they are of.
async fn write(tx: &mut Tx, tale: &Tale) -> Result<Vec<Refund>, Fault> {
    counters_write(tx, &tale.book).await?;
    stock::movements_insert(tx, &tale.book.new_movements).await?;
    let changed: Vec<&Tracked<Order>> = tale
        .orders
        .values()
        .filter(|order| order.loaded != order.now)
        .collect();
    let orders: Vec<(&Order, i64)> = changed
        .iter()
        .map(|order| (&order.now, order.loaded.version))
        .collect();
    order_progress::orders_advance(tx, &orders).await?;
    let counted: Vec<&Order> = changed
        .iter()
        .filter(|order| order.loaded.quantities != order.now.quantities)
        .map(|order| &order.now)
        .collect();
    order_progress::lines_advance(tx, &counted).await?;
    let returns: Vec<_> = tale
        .new_returns
        .iter()
        .map(|(return_id, (order_id, stage))| (*return_id, *order_id, *stage))
        .collect();
    order_progress::returns_put(tx, &returns).await?;

    let owed: Vec<_> = tale
        .owed
        .iter()
        .map(|(order_id, owed)| (*order_id, *owed))
        .collect();
    let payments = order_progress::payments_owe(tx, &owed).await?;
    let mut refunds = Vec::with_capacity(tale.new_refunds.len());
    for new in &tale.new_refunds {
        let order = tale.orders.get(&new.order_id);
        let (Some(order), Some(payment)) = (order, payments.get(&new.order_id)) else {
            return Err(Fault::internal("a refund has no order or no payment"));
        };
        refunds.push(authorised(new, &order.now, payment, tale.book.now));
    }
    refund::refunds_insert(tx, &refunds).await?;
    refund::settlements_insert(tx, &tale.new_settlements).await?;
    let booked: Vec<(&Refund, &Order)> = refunds
        .iter()
        .filter_map(|refund| Some((refund, &tale.orders.get(&refund.order_id)?.now)))
        .collect();
    ledger::book_refunds(tx, &booked).await?;
    Ok(refunds)
}

fn authorised(
    new: &NewRefund,
    order: &Order,
    (payment_id, payment_reference): &(PaymentId, String),
    now: Micros,
) -> Refund {
    let done = new.is_nothing();
    Refund {
        refund_id: new.refund_id,
        order_id: new.order_id,
        partner_id: order.placement.partner_id,
        payment_id: *payment_id,
        payment_reference: payment_reference.clone(),
        reason: new.reason,
        shopper_amount: new.shopper_amount,
        partner_amount: new.partner_amount,
        state: match done {
            true => RefundState::Executed,
            false => RefundState::Authorised,
        },
        lines: new.lines.clone(),
        return_id: new.return_id,
        aftersale_id: new.aftersale_id,
        cost_bearer: new.cost_bearer,
        partner_first: false,
        create_time: now,
        attempt: 1,
        failure: None,
        refund_reference: String::new(),
        report_time: done.then_some(now),
        finish_time: done.then_some(now),
        version: 1,
    }
}

/// Publishes and audits what happened, each on the word of the news it came from.
fn announce(
    tx: &mut Tx,
    tale: &Tale,
    refunds: &[Refund],
    acting: &(dyn Fn(&mut Tx, usize) + Send + Sync),
) {
    for (index, event) in &tale.events {
        acting(tx, *index);
        match event {
            Event::Stepped(kind, order) => {
                let (change, action) = told_as(*kind);
                changed(tx, change, action, order);
            }
            Event::ReturnChanged(order) => {
                let change = OrderChange::ReturnChanged;
                changed(tx, change, "order.return_changed", order);
            }
            Event::BlocksChanged(order) => {
                let change = OrderChange::BlocksChanged;
                changed(tx, change, "order.blocks_changed", order);
            }
            Event::Settled(order) => {
                let change = OrderChange::RefundDecided;
                changed(tx, change, "order.settled", order);
            }
            Event::Refund(at) => {
                if let Some(refund) = refunds.get(*at) {
                    tx.publish(events::refund(refund));
                }
            }
            Event::Restocked(movement, stock) => {
                tx.publish(events::stock_changed(stock));
                tx.audit(
                    "allotment.restock",
                    stock.allotment_id,
                    format!("{} {}", movement.kind, movement.quantity),
                );
            }
        }
    }
}

fn changed(tx: &mut Tx, change: OrderChange, action: &'static str, order: &Order) {
    let now = tx.now();
    tx.publish(events::order_changed(change, order, now));
    tx.audit(action, *order.order_id(), "done");
}

fn told_as(kind: StepKind) -> (OrderChange, &'static str) {
    match kind {
        StepKind::LinesCancelled => (OrderChange::LinesCancelled, "order.lines_cancelled"),
        StepKind::Shipped => (OrderChange::Shipped, "order.shipped"),
        StepKind::Delivered => (OrderChange::Delivered, "order.delivered"),
        StepKind::Undelivered => (OrderChange::Undelivered, "order.undelivered"),
        StepKind::Returned => (OrderChange::Returned, "order.returned"),
    }
}
