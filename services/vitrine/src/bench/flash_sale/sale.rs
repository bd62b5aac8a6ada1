//! The sale: a few thousand units, ten tries for each, from three partners at once. Some send everything twice, some
//! hang up before they are answered, some take a unit and never pay. It is over when every unit is sold, and then three
//! books must say so: the service's counters, its orders, and what each partner was told by its feed.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use contracts::order::v1 as pb;
use serde_json::json;

use super::super::calls::Calls;
use super::super::feed::Follower;
use super::super::load::{Arrivals, Driven, Plan, drive, now};
use super::super::numbers::mixed;
use super::super::traffic::{Shoppers, back_off};
use super::super::wire::{Failed, Lines};
use super::{LONG_HOLD_S, ON_SALE, Run, SALE_PARTNERS, books};

/// Tries for each unit.
const TRIES: u64 = 10;
/// In a thousand tries: sent twice at the same time, and hung up on.
const TWICE_IN_1000: u64 = 50;
const HUNG_UP_IN_1000: u64 = 50;
/// In a thousand of the first comers: held and never paid, half of them given back by CancelOrder, half left to expire.
const ABANDONED_IN_1000: u64 = 100;
/// First comers are so many tries for each unit; whoever comes later has waited for a unit to come back and buys it.
const FIRST_COMERS: u64 = 2;
/// How long units are held for those who will not pay and do not say so.
const SHORT_HOLD_S: i64 = 1;
/// How long for those who hang up and ask again. Where there are replicas, what was hung up on may still be done after the
/// second answer, so nobody may ever pay for it.
const WARY_HOLD_S: i64 = 3;
/// Who hangs up does so within this time.
const HANG_UP_MAX_MS: u64 = 20;
/// Those who ask while units come back.
const LATECOMERS: usize = 64;
const LATE_PAUSE: Duration = Duration::from_millis(20);
/// By then everything must be sold.
const LIMIT: Duration = Duration::from_secs(60);
/// The most often that one request is sent.
const SENDS: u32 = 20;

/// What a shopper does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    Buys,
    SendsTwice,
    HangsUp { after_ms: u64, asks_again: bool },
    Cancels,
    Forgets,
}

fn habit(seed: u64, n: u64, units: u64) -> Habit {
    let (drawn, more) = (mixed(seed, n) % 1_000, mixed(seed ^ 0x5a1e, n));
    let abandons = n < FIRST_COMERS * units;
    let mut below = TWICE_IN_1000;
    if drawn < below {
        return Habit::SendsTwice;
    }
    below += HUNG_UP_IN_1000;
    if drawn < below {
        return Habit::HangsUp {
            after_ms: more % HANG_UP_MAX_MS,
            asks_again: (more >> 32).is_multiple_of(2),
        };
    }
    below += ABANDONED_IN_1000 / 2;
    if drawn < below && abandons {
        return Habit::Cancels;
    }
    below += ABANDONED_IN_1000 / 2;
    if drawn < below && abandons {
        return Habit::Forgets;
    }
    Habit::Buys
}

/// One partner's shoppers.
struct Side {
    /// With a hold that lasts.
    stay: Shoppers,
    /// With a hold that is over before long.
    wary: Shoppers,
    /// With a hold that is soon over.
    leave: Shoppers,
}

/// The sale under way.
struct Sale {
    sides: Vec<Side>,
    seed: u64,
    units: u64,
    began: Instant,
    paid: RefCell<HashSet<String>>,
    sold_out_after: Cell<Option<Duration>>,
    twice: Cell<u64>,
    hung_up: Cell<u64>,
    abandoned: Cell<u64>,
    /// The same order, sent twice, became two.
    doubled: Cell<u64>,
    late: Cell<u64>,
}

impl Sale {
    async fn shopper(&self, n: u64, due: Instant) {
        let side = &self.sides[(n % self.sides.len() as u64) as usize];
        let count = |what: &Cell<u64>| what.set(what.get() + 1);
        match habit(self.seed, n, self.units) {
            Habit::Buys => self.buy(&side.stay, n, due).await,
            Habit::SendsTwice => {
                count(&self.twice);
                let (first, again) =
                    futures::join!(held(&side.stay, n, due), held(&side.stay, n, due));
                if let (Ok(first), Ok(again)) = (&first, &again)
                    && first != again
                {
                    count(&self.doubled);
                }
                if let Ok(order_id) = first.or(again) {
                    self.pay(&side.stay, n, &order_id).await;
                }
            }
            Habit::HangsUp {
                after_ms,
                asks_again,
            } => {
                count(&self.hung_up);
                let shoppers = if asks_again { &side.wary } else { &side.leave };
                let patience = Duration::from_millis(after_ms);
                // Dropped while it is under way: perhaps done, and nobody knows.
                let answered = tokio::time::timeout(patience, shoppers.hold(n, due)).await;
                match answered {
                    Ok(Ok(order_id)) => self.pay(shoppers, n, &order_id).await,
                    _ if asks_again => self.buy(shoppers, n, now()).await,
                    _ => {}
                }
            }
            Habit::Cancels => {
                if let Ok(order_id) = held(&side.stay, n, due).await {
                    count(&self.abandoned);
                    self.give_back(&side.stay, &order_id).await;
                }
            }
            Habit::Forgets => {
                if held(&side.leave, n, due).await.is_ok() {
                    count(&self.abandoned);
                }
            }
        }
    }

    async fn buy(&self, shoppers: &Shoppers, n: u64, due: Instant) {
        if let Ok(order_id) = held(shoppers, n, due).await {
            self.pay(shoppers, n, &order_id).await;
        }
    }

    async fn pay(&self, shoppers: &Shoppers, n: u64, order_id: &str) {
        let mut paid = shoppers.pay(n, order_id).await;
        for _ in 1..SENDS {
            match &paid {
                Err(failed) if failed.again() => {}
                _ => break,
            }
            back_off(&paid).await;
            paid = shoppers.pay(n, order_id).await;
        }
        if let Ok(pb::PaymentOutcome::Paid) = paid {
            let mut all = self.paid.borrow_mut();
            all.insert(order_id.to_owned());
            if all.len() as u64 == self.units {
                self.sold_out_after
                    .set(Some(now().saturating_duration_since(self.began)));
            }
        }
    }

    async fn give_back(&self, shoppers: &Shoppers, order_id: &str) {
        for _ in 0..SENDS {
            let cancelled = shoppers.cancel(order_id).await;
            match &cancelled {
                Err(failed) if failed.again() => back_off(&cancelled).await,
                _ => return,
            }
        }
    }

    /// Whoever asks next, until there is nothing left to come back.
    async fn latecomers(&self, first: u64) -> Driven {
        let plan = Plan::new(
            Arrivals::Saturating {
                in_flight: LATECOMERS,
            },
            Duration::ZERO,
            LIMIT.saturating_sub(now().saturating_duration_since(self.began)),
        );
        let wait = async {
            while self.sold_out_after.get().is_none() {
                tokio::time::sleep(LATE_PAUSE).await;
            }
        };
        let late = drive(&plan, |n, due| async move {
            if self.sold_out_after.get().is_none() {
                self.late.set(self.late.get() + 1);
                let n = first + n;
                let side = &self.sides[(n % self.sides.len() as u64) as usize];
                self.buy(&side.stay, n, due).await;
            }
            tokio::time::sleep(LATE_PAUSE).await;
        });
        tokio::select! {
            driven = late => driven,
            () = wait => Driven::default(),
        }
    }
}

/// Asks for a unit by the retry rule: the same request, until there is an answer.
async fn held(shoppers: &Shoppers, n: u64, due: Instant) -> Result<String, Failed> {
    let mut placed = shoppers.hold(n, due).await;
    for _ in 1..SENDS {
        match &placed {
            Err(failed) if failed.again() => {}
            _ => break,
        }
        back_off(&placed).await;
        placed = shoppers.hold(n, now()).await;
    }
    placed
}

/// Sells everything.
pub(super) async fn run(run: &mut Run<'_>) -> anyhow::Result<()> {
    let units = u64::try_from(run.args.units()).unwrap_or(0);
    let record = run.bench.recorder(Duration::ZERO);
    let sides = sides(run, &record).await?;
    let followers = followers(run).await?;
    let sale = Sale {
        sides,
        seed: run.bench.common.seed,
        units,
        began: now(),
        paid: RefCell::default(),
        sold_out_after: Cell::new(None),
        twice: Cell::new(0),
        hung_up: Cell::new(0),
        abandoned: Cell::new(0),
        doubled: Cell::new(0),
        late: Cell::new(0),
    };
    run.bench
        .say(&format!("the sale: {units} units, {} tries", units * TRIES));
    let before = run.house.usage();
    let mut plan = Plan::new(
        Arrivals::Saturating {
            in_flight: run.args.crowd,
        },
        Duration::ZERO,
        LIMIT,
    );
    plan.journeys_max = units * TRIES;
    let tries = async {
        let driven = drive(&plan, |n, due| sale.shopper(n, due)).await;
        let late = sale.latecomers(units * TRIES).await;
        (driven, late)
    };
    let follow = futures::future::join_all(followers.iter().map(Follower::follow));
    let (driven, late) = tokio::select! {
        driven = tries => driven,
        _ = follow => <(Driven, Driven)>::default(),
    };
    let used = run.house.usage().since(&before);
    tell(run, &sale, &driven);
    let paid = sale.paid.borrow().clone();
    books::check(run, &paid, &followers, LIMIT).await?;
    let left = driven.left + late.left;
    run.report
        .must(left == 0, || format!("{left} shoppers were never answered"));
    let sold = sale.paid.borrow().len() as u64;
    drop(sale);
    run.report.phase(run.bench, "sale", record, &used, sold);
    Ok(())
}

async fn sides(run: &Run<'_>, record: &super::super::load::Shared) -> anyhow::Result<Vec<Side>> {
    let lines = run.bench.lines(&run.house).await?;
    let listings = &run.shop.articles[ON_SALE].listings;
    let side = |(partner, listing_id): &(usize, String)| {
        let partner = &run.shop.partners[*partner];
        let with = |hold_s| {
            let calls = Calls::new(&lines, partner, listing_id, Some(hold_s));
            Shoppers::new(calls, record, "sale")
        };
        Side {
            stay: with(LONG_HOLD_S),
            wary: with(WARY_HOLD_S),
            leave: with(SHORT_HOLD_S),
        }
    };
    Ok(listings.iter().map(side).collect())
}

async fn followers(run: &Run<'_>) -> anyhow::Result<Vec<Follower>> {
    let mut all = Vec::new();
    for partner in &run.shop.partners[..SALE_PARTNERS] {
        let own = Lines::open(&run.house.addresses.order, 1).await?;
        all.push(Follower::new(own, partner, None));
    }
    Ok(all)
}

fn tell(run: &mut Run<'_>, sale: &Sale, driven: &Driven) {
    let sold_out = sale.sold_out_after.get().map(|after| after.as_secs_f64());
    let of = |count: fn(&Side) -> &Rc<super::super::traffic::Tally>| -> u64 {
        sale.sides
            .iter()
            .map(|side| count(side).not_paid.get())
            .sum()
    };
    let report = &mut run.report;
    report.rounded(
        "sold_out_after_s",
        sold_out,
        2,
        "from the first try until every unit was paid for, s",
    );
    report.note(
        "sale",
        json!({
            "tries": driven.begun,
            "all_tries_answered_after_s": driven.took.as_secs_f64(),
            "sent_twice": sale.twice.get(),
            "hung_up": sale.hung_up.get(),
            "abandoned": sale.abandoned.get(),
            "latecomers": sale.late.get(),
            "paid_too_late": of(|side| &side.leave.tally) + of(|side| &side.wary.tally),
        }),
    );
    let early = of(|side| &side.stay.tally);
    report.must(early == 0, || {
        format!("{early} holds were gone before their time: their payments were not taken")
    });
    let doubled = sale.doubled.get();
    report.must(doubled == 0, || {
        format!("{doubled} orders that were sent twice became two")
    });
    let mixed_up: u64 = sale
        .sides
        .iter()
        .flat_map(|side| [&side.stay, &side.wary, &side.leave])
        .map(|shoppers| shoppers.tally.mixed_up.get())
        .sum();
    report.must(mixed_up == 0, || {
        format!("{mixed_up} callers were given another caller's answer")
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn habits_come_in_their_shares_and_from_the_seed_alone() {
        let units = 10_000;
        let count = |from: u64, to: u64, is: fn(Habit) -> bool| {
            (from..to).filter(|n| is(habit(7, *n, units))).count() as f64 / (to - from) as f64
        };
        let near = |share: f64, wanted: f64| {
            assert!((share - wanted).abs() < 0.005, "{share} is not {wanted}")
        };
        let all = (0, units * TRIES);
        near(count(all.0, all.1, |h| h == Habit::SendsTwice), 0.05);
        near(
            count(all.0, all.1, |h| matches!(h, Habit::HangsUp { .. })),
            0.05,
        );
        let first = FIRST_COMERS * units;
        near(
            count(0, first, |h| matches!(h, Habit::Cancels | Habit::Forgets)),
            0.10,
        );
        near(
            count(first, all.1, |h| {
                matches!(h, Habit::Cancels | Habit::Forgets)
            }),
            0.0,
        );
        assert!((0..1_000).all(|n| habit(7, n, units) == habit(7, n, units)));
        assert!((0..1_000).any(|n| habit(7, n, units) != habit(8, n, units)));
    }
}
