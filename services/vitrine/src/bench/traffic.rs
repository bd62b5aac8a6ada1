//! What shoppers do: hold, pay, change their minds. Each step is recorded from when it was due.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use contracts::order::v1::PaymentOutcome;

use super::calls::Calls;
use super::load::{Shared, now};
use super::record::Step;
use super::wire::Failed;

/// Pauses of a saturating load between two tries, where the server named none.
const PAUSE: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What was answered for certain, the warm-up included: the service's own books must say the same.
#[derive(Debug, Default)]
pub struct Tally {
    /// Orders that were placed.
    pub held: Cell<u64>,
    /// Payments that were answered with PAID.
    pub paid: Cell<u64>,
    /// Payments that were answered with a refund, or to be looked at.
    pub not_paid: Cell<u64>,
    /// Payments without an answer.
    pub unknown: Cell<u64>,
    /// Answers that were another caller's.
    pub mixed_up: Cell<u64>,
}

impl Tally {
    fn add(count: &Cell<u64>) {
        count.set(count.get() + 1);
    }
}

/// The shoppers of one partner on one listing.
#[derive(Clone)]
pub struct Shoppers {
    /// Their calls.
    pub calls: Rc<Calls>,
    /// Where it is recorded.
    pub record: Shared,
    /// What was answered.
    pub tally: Rc<Tally>,
    /// Keeps their references apart from everybody else's.
    pub mark: Rc<str>,
}

impl Shoppers {
    /// Shoppers whose references begin with `mark`.
    pub fn new(calls: Calls, record: &Shared, mark: &str) -> Shoppers {
        Shoppers {
            calls: Rc::new(calls),
            record: record.clone(),
            tally: Rc::default(),
            mark: mark.into(),
        }
    }

    /// Holds a unit; the order, if there is one now.
    pub async fn hold(&self, n: u64, due: Instant) -> Result<String, Failed> {
        let reference = format!("{}-{n}", self.mark);
        self.hold_as(&reference, &format!("s-{n}"), due).await
    }

    /// The same under names of one's own.
    pub async fn hold_as(
        &self,
        reference: &str,
        shopper: &str,
        due: Instant,
    ) -> Result<String, Failed> {
        let order = self.calls.order(reference, shopper);
        let placed = self.calls.placed(order).await;
        self.note(Step::Place, due, &placed);
        let placed = placed?;
        Tally::add(&self.tally.held);
        if placed.partner_order_id != reference {
            Tally::add(&self.tally.mixed_up);
        }
        Ok(placed.order_id)
    }

    /// Pays for an order that was placed just now.
    pub async fn pay(&self, n: u64, order_id: &str) -> Result<PaymentOutcome, Failed> {
        let due = now();
        let payment = self
            .calls
            .payment(order_id, &format!("pay-{}-{n}", self.mark));
        let paid = self.calls.confirm(payment).await;
        self.note(Step::Confirm, due, &paid);
        Tally::add(match &paid {
            Ok(PaymentOutcome::Paid) => &self.tally.paid,
            Ok(_) => &self.tally.not_paid,
            Err(_) => &self.tally.unknown,
        });
        paid
    }

    /// Gives the units of an order back.
    pub async fn cancel(&self, order_id: &str) -> Result<(), Failed> {
        let due = now();
        let cancelled = self.calls.cancel(order_id).await;
        self.note(Step::Cancel, due, &cancelled);
        cancelled
    }

    /// A complete order: held, charged, signed, confirmed.
    pub async fn buy(&self, n: u64, due: Instant) -> Result<PaymentOutcome, Failed> {
        let order_id = self.hold(n, due).await?;
        self.pay(n, &order_id).await
    }

    /// Any other step.
    pub async fn timed<T>(
        &self,
        step: Step,
        due: Instant,
        call: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Failed> {
        let result = call.await;
        self.note(step, due, &result);
        result
    }

    fn note<T>(&self, step: Step, due: Instant, result: &Result<T, Failed>) {
        let mut record = self.record.borrow_mut();
        match result {
            Ok(_) => record.done(step, due, now()),
            Err(failed) => record.failed(step, due, now(), failed),
        }
    }
}

/// Waits as a refusal asks; for a saturating load, which would otherwise spend its time on being refused.
pub async fn back_off<T>(result: &Result<T, Failed>) {
    if let Err(failed) = result {
        let asked = match failed {
            Failed::Refused { retry_after, .. } => *retry_after,
            Failed::Broken(_) => None,
        };
        tokio::time::sleep(asked.unwrap_or(PAUSE).min(PAUSE_MAX)).await;
    }
}
