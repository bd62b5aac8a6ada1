//! Arrivals: when calls are due, and keeping to it.
//!
//! An open load has a fixed schedule. What is due is sent, whether the server keeps up or not, and its latency counts
//! from when it was due, so that a server that stands still for a second is not measured once but for everyone who came
//! in that second (no coordinated omission). A saturating load keeps a fixed number of calls under way: it finds the
//! highest rate, and says nothing about latency.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};
use kit::clock::{Clock, SystemClock};

use super::record::Recorder;

/// When calls are due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrivals {
    /// Evenly, so many a second.
    Open {
        /// Arrivals a second.
        per_s: f64,
    },
    /// Whenever one ends, the next.
    Saturating {
        /// Under way at the same time.
        in_flight: usize,
    },
}

/// A load of some length.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// When calls are due.
    pub arrivals: Arrivals,
    /// Counted in no total.
    pub warm_up: Duration,
    /// How long calls are begun, the warm-up included.
    pub length: Duration,
    /// No more journeys than this are begun, however long it takes.
    pub journeys_max: u64,
    /// An open load has at most so many under way; who comes then is counted as turned away, and is a failure.
    pub in_flight_max: usize,
    /// How long what is under way at the end may take.
    pub patience: Duration,
}

impl Plan {
    /// A load with the usual bounds.
    pub fn new(arrivals: Arrivals, warm_up: Duration, length: Duration) -> Plan {
        Plan {
            arrivals,
            warm_up,
            length,
            journeys_max: u64::MAX,
            in_flight_max: 50_000,
            patience: Duration::from_secs(30),
        }
    }
}

/// A record that the journeys of one thread share.
pub type Shared = Rc<RefCell<Recorder>>;

/// How a load went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Driven {
    /// Journeys that were begun.
    pub begun: u64,
    /// Arrivals for which there was no room in the generator.
    pub turned_away: u64,
    /// Journeys that had not ended when patience did.
    pub left: u64,
    /// From the first arrival to the end of the last journey.
    pub took: Duration,
}

/// The time now.
pub fn now() -> Instant {
    SystemClock.instant()
}

/// Begins journeys as the plan says and waits for them; each is told its number and when it was due. Dropping the
/// future ends them all.
pub async fn drive<F>(plan: &Plan, mut journey: impl FnMut(u64, Instant) -> F) -> Driven
where
    F: Future<Output = ()>,
{
    let began = now();
    let end = began + plan.length;
    let mut driven = Driven::default();
    let mut under_way = FuturesUnordered::new();
    let mut number = 0;
    let timer = tokio::time::sleep(Duration::ZERO);
    tokio::pin!(timer);
    loop {
        let time = now();
        let mut due = next_due(plan, began, number, under_way.len(), time);
        while let Some(at) = due.filter(|at| *at <= time && *at < end && number < plan.journeys_max)
        {
            if under_way.len() < plan.in_flight_max {
                under_way.push(journey(number, at));
                driven.begun += 1;
            } else {
                driven.turned_away += 1;
            }
            number += 1;
            due = next_due(plan, began, number, under_way.len(), time);
        }
        let over = time >= end || number >= plan.journeys_max;
        if over && (under_way.is_empty() || time >= end + plan.patience) {
            break;
        }
        let wake = match due {
            Some(at) if !over => at.min(end),
            _ => end + plan.patience,
        };
        timer.as_mut().reset(wake.into());
        tokio::select! {
            Some(()) = under_way.next(), if !under_way.is_empty() => {}
            () = &mut timer => {}
        }
    }
    driven.left = under_way.len() as u64;
    driven.took = now().saturating_duration_since(began);
    driven
}

/// When the journey of this number is due; none while there is no room for it.
fn next_due(
    plan: &Plan,
    began: Instant,
    number: u64,
    under_way: usize,
    time: Instant,
) -> Option<Instant> {
    match plan.arrivals {
        Arrivals::Open { per_s } => {
            Some(began + Duration::from_secs_f64(number as f64 / per_s.max(0.001)))
        }
        Arrivals::Saturating { in_flight } => (under_way < in_flight).then_some(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arrivals: Arrivals) -> Plan {
        Plan::new(arrivals, Duration::ZERO, Duration::from_millis(200))
    }

    #[tokio::test]
    async fn an_open_load_keeps_to_its_schedule_whatever_the_server_does() {
        let dues = RefCell::new(Vec::new());
        let driven = drive(&plan(Arrivals::Open { per_s: 500.0 }), |_, due| {
            dues.borrow_mut().push(due);
            // Nobody is served before all have come.
            tokio::time::sleep(Duration::from_millis(300))
        })
        .await;
        assert_eq!((driven.begun, driven.left), (100, 0));
        let dues = dues.into_inner();
        let span = dues[99].saturating_duration_since(dues[0]);
        assert!(
            span.abs_diff(Duration::from_millis(198)) < Duration::from_micros(5),
            "{span:?}"
        );
    }

    #[tokio::test]
    async fn a_full_generator_turns_arrivals_away_and_says_so() {
        let mut plan = plan(Arrivals::Open { per_s: 500.0 });
        plan.in_flight_max = 10;
        plan.patience = Duration::from_millis(10);
        let driven = drive(&plan, |_, _| std::future::pending::<()>()).await;
        assert_eq!(
            (driven.begun, driven.turned_away, driven.left),
            (10, 90, 10)
        );
    }

    #[tokio::test]
    async fn a_saturating_load_keeps_so_many_under_way() {
        let (now, most) = (RefCell::new(0_usize), RefCell::new(0_usize));
        let mut plan = plan(Arrivals::Saturating { in_flight: 7 });
        plan.journeys_max = 100;
        let driven = drive(&plan, |_, _| async {
            *now.borrow_mut() += 1;
            let under_way = *now.borrow();
            most.replace_with(|most| under_way.max(*most));
            tokio::task::yield_now().await;
            *now.borrow_mut() -= 1;
        })
        .await;
        assert_eq!((driven.begun, *most.borrow()), (100, 7));
    }
}
