//! One batch of commands in one transaction: look up keys, lock, load, fold, write, announce.
//!
//! The row of an allotment is the lock of everything that counts its units, so batches that touch the same
//! units stand in line, whatever lane or replica they come from; orders are locked after allotments, each
//! kind in the order of ids. Nothing else keeps the desk right: not how many lanes there are, and not who
//! got a command first.
//!
//! | step | how it can meet another batch | what happens then |
//! |---|---|---|
//! | keys | a twin is not committed yet | its key is found taken at the end, and the batch runs again |
//! | refusals | a twin committed between look-up and lock | the keys of what was refused are looked up again under the locks |
//! | writes | a row that should be there or free is not | the batch runs again |

mod load;
mod write;

pub(super) use load::look;
pub(super) use write::counters as counters_write;

use std::sync::Arc;

use ::store::{Engine, Tx};
use kit::errors::Fault;

use super::agreed::Agreed;
use super::desk::Request;
use crate::events::{self, OrderChange};
use crate::model::book::{Book, Event, Happening};
use crate::model::command::{Command, Verdict};
use crate::model::fold::fold;
use crate::model::{HoldRules, Order, Payment, RefundReason};
use crate::store::key;

/// Carries out the requests in arrival order; one verdict each.
pub async fn run(
    tx: &mut Tx,
    rules: &HoldRules,
    agreed: &Agreed,
    requests: &[Request],
) -> Result<Vec<Verdict>, Fault> {
    let commands: Vec<&Command> = requests.iter().map(|request| &request.command).collect();
    let mut book = Book::new(tx.now(), *rules);
    let answered = load::load(tx, &mut book, agreed, &commands).await?;
    let verdicts = fold(&mut book, commands.iter().copied());
    check_refused(tx, &commands, &verdicts, &answered).await?;
    write::write(tx, &mut book).await?;
    announce(tx, requests, &book);
    Ok(verdicts)
}

/// A refusal stands only if the same call has not been carried out meanwhile: its twin may have taken the
/// last unit between our look-up and our locks, and then the answer is the twin's. Twins touch the same
/// rows, so under our locks a twin has either committed or will come after us.
async fn check_refused(
    tx: &mut Tx,
    commands: &[&Command],
    verdicts: &[Verdict],
    answered: &[bool],
) -> Result<(), Fault> {
    if tx.engine() == Engine::Sqlite {
        // There is one writer, so nobody came between.
        return Ok(());
    }
    let mut places = Vec::new();
    let mut names = Vec::new();
    for ((command, verdict), answered) in commands.iter().zip(verdicts).zip(answered) {
        if *answered || verdict.is_ok() {
            continue;
        }
        if let Command::Place(place) = command {
            places.push((place.partner_id, place.partner_order_id.clone()));
        } else if let Some(key) = command.request_key() {
            names.push((key.scope.clone(), key.method, key.key.clone()));
        }
    }
    let places: Vec<_> = places.iter().collect();
    let names: Vec<_> = names.iter().collect();
    if key::orders_by_key(tx, &places).await?.is_empty()
        && key::request_keys(tx, &names).await?.is_empty()
    {
        return Ok(());
    }
    Err(Fault::Conflict(
        "a twin of a refused command was carried out meanwhile".into(),
    ))
}

/// Publishes and audits what happened, each on the word of whoever asked for it.
fn announce(tx: &mut Tx, requests: &[Request], book: &Book) {
    for Event { command, happening } in &book.events {
        let request = &requests[*command];
        tx.act_for(Arc::clone(&request.caller));
        let name = request.command.name();
        match happening {
            Happening::Placed(order) => order_changed(tx, name, OrderChange::Placed, order),
            Happening::HoldExtended(order) => {
                order_changed(tx, name, OrderChange::HoldExtended, order)
            }
            Happening::Cancelled(order) => order_changed(tx, name, OrderChange::Cancelled, order),
            Happening::Expired(order) => order_changed(tx, name, OrderChange::Expired, order),
            Happening::Paid(payment, order) => paid(tx, name, payment, order, book),
            Happening::RefundDue(payment, order) => paid(tx, name, payment, order, book),
            Happening::Moved(movement, stock) => {
                tx.publish(events::stock_changed(stock));
                tx.audit(
                    name,
                    stock.allotment_id,
                    format!("{} {}", movement.kind, movement.quantity),
                );
            }
            Happening::Stopped(stop_id) | Happening::Resumed(stop_id) => {
                tx.audit(name, *stop_id, "done")
            }
            Happening::Replayed(resource) => tx.audit(name, resource.as_str(), "replayed"),
        }
    }
}

fn order_changed(tx: &mut Tx, name: &'static str, change: OrderChange, order: &Order) {
    let now = tx.now();
    tx.publish(events::order_changed(change, order, now));
    tx.audit(name, *order.order_id(), "done");
}

fn paid(tx: &mut Tx, name: &'static str, payment: &Payment, order: &Order, book: &Book) {
    tx.publish(events::payment(payment));
    let refund = payment.first_refund();
    let (change, outcome) = match &refund {
        None => (OrderChange::Paid, "PAID"),
        Some(refund) => (
            OrderChange::PaymentRecorded,
            RefundReason::as_str(refund.reason),
        ),
    };
    if let Some(refund) = &refund {
        tx.publish(events::refund(refund));
    }
    tx.publish(events::order_changed(change, order, book.now));
    tx.audit(name, *order.order_id(), outcome);
}
