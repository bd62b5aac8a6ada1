//! The heart of the desk: commands carried out one after the other on a [`Book`], in arrival order.
//!
//! Nothing here waits or asks a database, so one command alone and a batch of hundreds go the same way, and
//! twins, limits, partial stock and races between expiry and payment are matters of plain order. A command
//! either has its whole effect on the book or none.

mod supply;

use std::sync::Arc;

use contracts::ErrorReason;
use contracts::id::{OrderId, PartnerId};
use contracts::money::Money;
use kit::errors::Refusal;

use super::book::{Book, Event, Happening, KeptKey, KeyName, OrderSlot};
use super::command::{
    Answer, Cancel, Command, Confirm, Expire, Extend, Place, RequestKey, Verdict,
};
use super::order::{Order, OrderState, Placement};
use super::payment::{Payment, PaymentOutcome, RefundReason};
use super::pricing::{Priced, price};

/// Carries out commands in their order; one verdict each.
pub fn fold<'a>(book: &mut Book, commands: impl IntoIterator<Item = &'a Command>) -> Vec<Verdict> {
    commands
        .into_iter()
        .enumerate()
        .map(|(index, command)| book.carry_out(index, command))
        .collect()
}

impl Book {
    fn carry_out(&mut self, index: usize, command: &Command) -> Verdict {
        let (answer, happening) = match command.request_key() {
            Some(key) => self.once(key, command)?,
            None => self.apply(command)?,
        };
        if let Some(happening) = happening {
            self.events.push(Event {
                command: index,
                happening,
            });
        }
        Ok(answer)
    }

    /// Answers a request key that was used before; else carries the command out and takes the key.
    fn once(
        &mut self,
        key: &RequestKey,
        command: &Command,
    ) -> Result<(Answer, Option<Happening>), Refusal> {
        let name: KeyName = (key.scope.clone(), key.method, key.key.clone());
        if let Some((fingerprint, response)) = self.keys.get(&name) {
            if *fingerprint != key.fingerprint {
                return Err(key_reused());
            }
            let replayed = Happening::Replayed(key.key.clone());
            return Ok((Answer::Replayed(response.clone()), Some(replayed)));
        }
        let (answer, happening) = self.apply(command)?;
        // Without an effect there is nothing to remember.
        if happening.is_some() {
            let response = (key.render)(&answer);
            self.keys
                .insert(name.clone(), (key.fingerprint, response.clone()));
            self.new_keys.push(KeptKey {
                name,
                fingerprint: key.fingerprint,
                response,
            });
        }
        Ok((answer, happening))
    }

    fn apply(&mut self, command: &Command) -> Result<(Answer, Option<Happening>), Refusal> {
        match command {
            Command::Place(command) => self.place(command),
            Command::Extend(command) => self.extend(command),
            Command::Confirm(command) => self.confirm(command),
            Command::Cancel(command) => self.cancel(command),
            Command::Expire(command) => self.expire(command),
            Command::Move(command) => self.move_units(command),
            Command::Stop(command) => self.stop(command),
            Command::Resume(command) => self.resume(command),
        }
    }

    fn place(&mut self, place: &Place) -> Result<(Answer, Option<Happening>), Refusal> {
        let fingerprint = place.fingerprint();
        if let Some(placement) = self
            .placed
            .get(&(place.partner_id, place.partner_order_id.clone()))
        {
            if placement.fingerprint != fingerprint {
                return Err(key_reused());
            }
            let happening = Happening::Replayed(placement.order_id.to_string());
            return Ok((
                Answer::Placed {
                    placement: placement.clone(),
                    replayed: true,
                },
                Some(happening),
            ));
        }
        let hold = match place.hold {
            Some(hold) if hold > self.rules.ttl_max => {
                let message = format!("must be at most {} seconds", self.rules.ttl_max.as_secs());
                return Err(Refusal::invalid("hold_duration", message));
            }
            hold => hold.unwrap_or(self.rules.ttl),
        };
        let Priced {
            lines,
            amount,
            ship_terms,
        } = price(self, place)?;
        self.hold(&lines, place.partner_id, &place.shopper_ref)?;
        let placement = Arc::new(Placement {
            order_id: place.order_id,
            partner_id: place.partner_id,
            partner_order_id: place.partner_order_id.clone(),
            partner_checkout_id: place.partner_checkout_id.clone(),
            shopper_ref: place.shopper_ref.clone(),
            fingerprint,
            destination: place.destination.clone(),
            lines,
            amount,
            ship_terms,
            hold_expire_time: self.now.plus(hold),
            place_time: self.now,
        });
        let order = Order::placed(placement.clone());
        self.placed.insert(
            (place.partner_id, place.partner_order_id.clone()),
            placement.clone(),
        );
        self.orders.insert(
            place.order_id,
            OrderSlot {
                loaded_version: None,
                order: order.clone(),
            },
        );
        Ok((
            Answer::Placed {
                placement,
                replayed: false,
            },
            Some(Happening::Placed(order)),
        ))
    }

    fn extend(&mut self, extend: &Extend) -> Result<(Answer, Option<Happening>), Refusal> {
        let (now, rules) = (self.now, self.rules);
        let order = self.order_mut(&extend.order_id, Some(extend.partner_id))?;
        match order.state {
            OrderState::PendingPayment if now < order.hold_expire_time => {}
            OrderState::PendingPayment | OrderState::Expired => {
                return Err(Refusal::new(
                    ErrorReason::HoldExpired,
                    "The hold is over; place a new order.",
                ));
            }
            state => {
                let message = "Only the hold of an order that waits for payment can be extended.";
                return Err(Refusal::wrong_state("order", state, message));
            }
        }
        if extend.extension.is_zero() || extend.extension > rules.extension_max {
            let message = format!("must be 1 to {} seconds", rules.extension_max.as_secs());
            return Err(Refusal::invalid("extension", message));
        }
        let latest = order.placement.place_time.plus(rules.total_max);
        if order.hold_expire_time.plus(extend.extension) > latest {
            let left = latest.since(order.hold_expire_time).as_secs();
            let message = format!("The hold may be extended by {left} seconds more at the most.");
            return Err(Refusal::new(ErrorReason::HoldCap, message).with("remaining_s", left));
        }
        order.extend(extend.extension);
        let answer = Answer::Extended {
            hold_expire_time: order.hold_expire_time,
        };
        Ok((answer, Some(Happening::HoldExtended(order.clone()))))
    }

    /// Money that was genuinely stated is recorded whatever has become of its order.
    fn confirm(&mut self, confirm: &Confirm) -> Result<(Answer, Option<Happening>), Refusal> {
        let key = (confirm.order_id, confirm.payment_reference.clone());
        if let Some(payment) = self.payments.get(&key) {
            if payment.partner_id != confirm.partner_id {
                return Err(Refusal::not_found("order"));
            }
            if payment.amount != confirm.amount || payment.pay_time != confirm.pay_time {
                return Err(key_reused());
            }
            let happening = Happening::Replayed(payment.payment_id.to_string());
            return Ok((
                Answer::Confirmed {
                    payment: payment.clone(),
                    replayed: true,
                },
                Some(happening),
            ));
        }
        let order = self
            .order_mut(&confirm.order_id, Some(confirm.partner_id))?
            .clone();
        let reason = self.settle(&order, confirm.amount);
        let now = self.now;
        let order = self.order_mut(&confirm.order_id, None)?;
        match reason {
            None => order.pay(now),
            Some(_) => {
                let own_currency = confirm.amount.currency == order.placement.amount.currency;
                if !order.owe(if own_currency {
                    confirm.amount.minor_units
                } else {
                    0
                }) {
                    return Err(Refusal::invalid(
                        "statement",
                        "makes a sum of refunds too large to compute with",
                    ));
                }
            }
        }
        let order = order.clone();
        let payment = Arc::new(recorded(confirm, &order, reason, now));
        self.payments.insert(key, payment.clone());
        self.new_payments.push(payment.clone());
        let happening = match reason {
            None => Happening::Paid(payment.clone(), order),
            Some(_) => Happening::RefundDue(payment.clone(), order),
        };
        Ok((
            Answer::Confirmed {
                payment,
                replayed: false,
            },
            Some(happening),
        ))
    }

    /// Whether this amount pays the order now; if so its units are sold, else why the money goes back.
    fn settle(&mut self, order: &Order, paid: Money) -> Option<RefundReason> {
        let placement = &order.placement;
        if order.was_paid() {
            return Some(RefundReason::DuplicatePayment);
        }
        if order.state == OrderState::Cancelled {
            return Some(RefundReason::OrderCancelled);
        }
        if paid != placement.amount.money(placement.amount.payable) {
            return Some(RefundReason::AmountMismatch);
        }
        if placement.lines.iter().any(|line| self.is_stopped(line)) {
            return Some(RefundReason::SaleStopped);
        }
        // While an order is pending its units are still held, however late it is. Afterwards they are taken
        // again, within every limit, if there are any.
        if order.state == OrderState::Expired
            && self
                .hold(
                    &placement.lines,
                    placement.partner_id,
                    &placement.shopper_ref,
                )
                .is_err()
        {
            return Some(RefundReason::HoldExpired);
        }
        self.sell(&placement.lines);
        None
    }

    fn cancel(&mut self, cancel: &Cancel) -> Result<(Answer, Option<Happening>), Refusal> {
        let order = self.order_mut(&cancel.order_id, cancel.partner_id)?;
        if order.was_paid() {
            return Ok((Answer::CancelAfterPayment, None));
        }
        if order.state == OrderState::Cancelled {
            return Err(Refusal::wrong_state(
                "order",
                order.state,
                "The order is cancelled already.",
            ));
        }
        check_whole(order, cancel)?;
        let held = order.state == OrderState::PendingPayment;
        order.cancel_unpaid(cancel.reason);
        let order = order.clone();
        if held {
            let placement = &order.placement;
            self.release(
                &placement.lines,
                placement.partner_id,
                &placement.shopper_ref,
            );
        }
        Ok((Answer::Cancelled, Some(Happening::Cancelled(order))))
    }

    fn expire(&mut self, expire: &Expire) -> Result<(Answer, Option<Happening>), Refusal> {
        let now = self.now;
        let order = self.order_mut(&expire.order_id, None)?;
        if order.state != OrderState::PendingPayment || now < order.hold_expire_time {
            return Ok((Answer::NotExpired, None));
        }
        order.expire();
        let order = order.clone();
        let placement = &order.placement;
        self.release(
            &placement.lines,
            placement.partner_id,
            &placement.shopper_ref,
        );
        Ok((Answer::Expired, Some(Happening::Expired(order))))
    }

    /// An order that the caller may know of.
    fn order_mut(
        &mut self,
        order_id: &OrderId,
        partner_id: Option<PartnerId>,
    ) -> Result<&mut Order, Refusal> {
        let slot = self.orders.get_mut(order_id);
        let own = slot.filter(|slot| {
            partner_id.is_none_or(|partner_id| slot.order.placement.partner_id == partner_id)
        });
        own.map(|slot| &mut slot.order)
            .ok_or_else(|| Refusal::not_found("order"))
    }
}

/// Before payment an order is cancelled as a whole: lines that are named must be all of it.
fn check_whole(order: &Order, cancel: &Cancel) -> Result<(), Refusal> {
    let lines = &order.placement.lines;
    for (index, (order_line_id, quantity)) in cancel.lines.iter().enumerate() {
        let Some(line) = lines
            .iter()
            .find(|line| line.order_line_id == *order_line_id)
        else {
            return Err(Refusal::not_found("order line"));
        };
        if *quantity != line.quantity {
            let message = format!(
                "must be {}, all of the line: before payment only all can be cancelled",
                line.quantity
            );
            return Err(Refusal::invalid(
                format!("lines[{index}].quantity"),
                message,
            ));
        }
    }
    let named =
        |line: &super::order::Line| cancel.lines.iter().any(|(id, _)| *id == line.order_line_id);
    if !cancel.lines.is_empty() && !lines.iter().all(named) {
        return Err(Refusal::invalid(
            "lines",
            "must be empty or name every line: before payment only all can be cancelled",
        ));
    }
    Ok(())
}

fn recorded(
    confirm: &Confirm,
    order: &Order,
    reason: Option<RefundReason>,
    now: kit::clock::Micros,
) -> Payment {
    Payment {
        payment_id: confirm.payment_id,
        order_id: confirm.order_id,
        partner_id: order.placement.partner_id,
        payment_reference: confirm.payment_reference.clone(),
        amount: confirm.amount,
        // What the partner adds belongs to the payment that paid the order, and to no other.
        partner_amount: if reason.is_none() {
            order.placement.amount.partner_discount
        } else {
            0
        },
        refunded: if reason.is_some() {
            confirm.amount.minor_units
        } else {
            0
        },
        partner_refunded: 0,
        outcome: if reason.is_none() {
            PaymentOutcome::Paid
        } else {
            PaymentOutcome::RefundDue
        },
        refund: reason.map(|reason| (confirm.refund_id, reason)),
        kid: confirm.kid.clone(),
        statement: confirm.statement.clone(),
        pay_time: confirm.pay_time,
        record_time: now,
    }
}

fn key_reused() -> Refusal {
    Refusal::new(
        ErrorReason::KeyReused,
        "This key was used before with other content; send the same content or a new key.",
    )
}

#[cfg(test)]
mod tests;
