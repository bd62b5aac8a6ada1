//! A crowd that does not wait: everybody comes when they are due, tries once, pays at once for what they hold, and
//! some of them look around meanwhile. Nobody heeds a refusal's advice, nobody tries again; whoever was refused is
//! simply gone, and the next is there already. What became of whom is kept by when they were due and by when it was done.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use contracts::order::v1::PaymentOutcome;
use futures::future::join;
use hdrhistogram::Histogram;

use super::super::calls::Calls;
use super::super::load::{Shared, now};
use super::super::record::{SLOT, Step, histogram};
use super::super::wire::Failed;

/// One in so many looks at an order that was placed a moment ago, one in so many at a page of orders.
const LOOKS_EVERY: u64 = 4;
const LISTS_EVERY: u64 = 40;
/// Of a saturating load, after a refusal.
const PAUSE: Duration = Duration::from_millis(10);

/// What became of those who were due in a quarter of a second, and what was done in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Came.
    pub due: u64,
    /// Of them, those who had their order, in time.
    pub served: u64,
    /// Orders that were completed, in time.
    pub good: u64,
}

/// The whole of it.
pub struct Books {
    began: Instant,
    /// Came.
    pub due: u64,
    /// Units held.
    pub placed: u64,
    /// Orders that were placed and paid, each call within the deadline.
    pub good: u64,
    /// The same, but too late to be of use.
    pub late: u64,
    /// Placements without an order, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Payments that were taken.
    pub paid: u64,
    /// Payments for units held that were answered, but not with PAID.
    pub not_paid: u64,
    /// Payments for units held that were refused or not answered, by reason.
    pub unconfirmed: BTreeMap<String, u64>,
    /// How late the generator itself was, in microseconds.
    pub behind: Histogram<u64>,
    slots: Vec<Slot>,
    last: Option<Rc<str>>,
}

impl Books {
    /// Empty ones; slots count from `began`.
    pub fn new(began: Instant) -> Books {
        Books {
            began,
            due: 0,
            placed: 0,
            good: 0,
            late: 0,
            refused: BTreeMap::new(),
            paid: 0,
            not_paid: 0,
            unconfirmed: BTreeMap::new(),
            behind: histogram(2),
            slots: Vec::new(),
            last: None,
        }
    }

    /// Payments for units held that were not taken.
    pub fn confirmations_refused(&self) -> u64 {
        self.not_paid + self.unconfirmed.values().sum::<u64>()
    }

    /// What lies between two times since the beginning, slot by slot.
    pub fn between(&self, from: Duration, to: Duration) -> Vec<Slot> {
        let of = |time: Duration| (time.as_micros() / SLOT.as_micros()) as usize;
        (of(from)..of(to))
            .map(|n| self.slots.get(n).copied().unwrap_or_default())
            .collect()
    }

    /// Orders completed in time, a second.
    pub fn good_per_s(&self, from: Duration, to: Duration) -> f64 {
        let slots = self.between(from, to);
        let good: u64 = slots.iter().map(|slot| slot.good).sum();
        good as f64 / (SLOT.as_secs_f64() * slots.len().max(1) as f64)
    }

    fn slot(&mut self, at: Instant) -> &mut Slot {
        let since = at.saturating_duration_since(self.began);
        let index = (since.as_micros() / SLOT.as_micros()) as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, Slot::default);
        }
        &mut self.slots[index]
    }

    fn came(&mut self, due: Instant, at: Instant) {
        self.due += 1;
        self.slot(due).due += 1;
        let behind = at.saturating_duration_since(due).as_micros();
        self.behind
            .saturating_record(u64::try_from(behind).unwrap_or(u64::MAX).max(1));
    }

    fn done(&mut self, due: Instant, at: Instant, in_time: bool) {
        self.paid += 1;
        if in_time {
            self.good += 1;
            self.slot(due).served += 1;
            self.slot(at).good += 1;
        } else {
            self.late += 1;
        }
    }
}

fn count(by: &mut BTreeMap<String, u64>, failed: &Failed) {
    match by.get_mut(failed.word()) {
        Some(count) => *count += 1,
        None => {
            by.insert(failed.word().to_owned(), 1);
        }
    }
}

/// The shoppers of one partner.
#[derive(Clone)]
pub struct Crowd {
    /// With the deadline of somebody who wants something.
    pub wanting: Rc<Calls>,
    /// With the deadline of somebody who has taken money.
    pub paying: Rc<Calls>,
    /// What is too late to be of use.
    pub deadline: Duration,
    /// Whether some of them look around.
    pub looks: bool,
    /// Keeps their references apart from everybody else's.
    pub mark: Rc<str>,
    /// The timeline.
    pub record: Shared,
    /// The books.
    pub books: Rc<RefCell<Books>>,
}

impl Crowd {
    /// Somebody comes; whether they got an order.
    pub async fn come(&self, n: u64, due: Instant) -> bool {
        self.books.borrow_mut().came(due, now());
        if self.looks && n.is_multiple_of(LOOKS_EVERY) {
            join(self.look(n), self.buy(n, due)).await.1
        } else {
            self.buy(n, due).await
        }
    }

    /// The same for a saturating load: when one is refused the next comes a little later, or most of the time would go
    /// into refusals.
    pub async fn come_in_turn(&self, n: u64, due: Instant) {
        if !self.come(n, due).await {
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn look(&self, n: u64) {
        let order_id = self.books.borrow().last.clone();
        let asked = now();
        let looked = match order_id {
            Some(_) if n.is_multiple_of(LISTS_EVERY) => self.wanting.list().await,
            Some(order_id) => self.wanting.get(&order_id).await,
            None => return,
        };
        self.note(Step::Browse, asked, &looked);
    }

    async fn buy(&self, n: u64, due: Instant) -> bool {
        let reference = format!("{}-{n}", self.mark);
        let placed = self
            .wanting
            .place(self.wanting.order(&reference, &format!("s-{n}")))
            .await;
        let placed_in_time = now().saturating_duration_since(due) <= self.deadline;
        self.note(Step::Place, due, &placed);
        let order_id = match placed {
            Ok(order_id) => order_id,
            Err(failed) => {
                count(&mut self.books.borrow_mut().refused, &failed);
                return false;
            }
        };
        {
            let mut books = self.books.borrow_mut();
            books.placed += 1;
            if self.looks {
                books.last = Some(order_id.as_str().into());
            }
        }
        let payment = self.paying.payment(&order_id, &format!("pay-{reference}"));
        let asked = now();
        let paid = self.paying.confirm(payment).await;
        let at = now();
        self.note(Step::Confirm, asked, &paid);
        let mut books = self.books.borrow_mut();
        match paid {
            Ok(PaymentOutcome::Paid) => {
                let in_time = at.saturating_duration_since(asked) <= self.deadline;
                books.done(due, at, placed_in_time && in_time);
            }
            Ok(_) => books.not_paid += 1,
            Err(failed) => count(&mut books.unconfirmed, &failed),
        }
        true
    }

    fn note<T>(&self, step: Step, due: Instant, result: &Result<T, Failed>) {
        let mut record = self.record.borrow_mut();
        match result {
            Ok(_) => record.done(step, due, now()),
            Err(failed) => record.failed(step, due, now(), failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_too_late_is_paid_but_no_good() {
        let began = now();
        let at = |ms| began + Duration::from_millis(ms);
        let mut books = Books::new(began);
        for (due, done, in_time) in [(0, 300, true), (10, 900, false), (260, 300, true)] {
            books.came(at(due), at(due));
            books.done(at(due), at(done), in_time);
        }
        assert_eq!(
            (books.due, books.paid, books.good, books.late),
            (3, 3, 2, 1)
        );
        let slots = books.between(Duration::ZERO, Duration::from_secs(1));
        let first = Slot {
            due: 2,
            served: 1,
            good: 0,
        };
        let second = Slot {
            due: 1,
            served: 1,
            good: 2,
        };
        assert_eq!(slots, [first, second, Slot::default(), Slot::default()]);
        assert_eq!(
            books.good_per_s(Duration::ZERO, Duration::from_millis(500)),
            4.0
        );
    }
}
