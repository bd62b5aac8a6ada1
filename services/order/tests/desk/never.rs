//! What must never be, whatever is lost around a commit and however many replicas race: more sold than supplied, a
//! hold freed before its time, a payment lost or counted twice, a caller given another's verdict. And what must be:
//! abandoned units sell to whoever asks next.
//!
//! The sale is a drop with quotas, through listings of two partners. Units of work are struck before their commit,
//! which undoes them, and after it, which loses only the answer; who got none asks again with the same key, as
//! partners do. [`crate::audit::Check`] counts everything again from the orders.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::ErrorReason;
use contracts::id::{OrderId, kind};
use contracts::money::{Currency, Money};
use futures::future::join_all;
use kit::errors::Fault;
use order::Config;
use order::model::command::{Answer, Command};
use order::model::{PaymentOutcome, Placement, RefundReason};
use order::ops::desk::Desk;
use order::ops::expiry::Expiry;
use store::db::Point;
use store::{Engine, Operation, Tx, sql};
use testkit::fault::FaultPoints;
use testkit::{Setup, TestDb};

use crate::audit::Check;
use crate::hammer::{at_once, desks};
use crate::world::{self, PLAIN};

const HOT: usize = 40;
const SUPPLIED: i64 = 60;
const IN_DROP: i64 = 50;
const SHOPPERS: usize = 90;
/// The operation that carries out batches.
const DESK: &str = "order.desk";
/// How often a caller without an answer asks again.
const ASKS: usize = 40;

/// A divided drop of one allotment, through one listing of each of two partners.
struct Hot;

impl Operation for Hot {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.hot_drop"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        let now = tx.now();
        for number in 0..2 {
            sql!(
                tx,
                execute,
                "INSERT INTO partner (partner_id, display_name, state, etag, update_time) \
                 VALUES ($1, 'P', 'ACTIVE', 'v1', $2)",
                world::partner(number),
                now
            )?;
        }
        world::supply(tx, world::allotment(HOT), SUPPLIED).await?;
        let end = now.plus(Duration::from_secs(7_200));
        let sale = world::drop_id(HOT);
        sql!(
            tx,
            execute,
            "INSERT INTO drop_sale (drop_id, allotment_id, display_name, start_time, end_time, total_limit, \
             per_person_limit, taken, end_reason, version, create_time) VALUES ($1, $2, 'D', $3, $4, $5, 2, 0, '', 1, $3)",
            sale,
            world::allotment(HOT),
            now,
            end,
            IN_DROP
        )?;
        for partner in 0..2 {
            let listing = world::listing(HOT + partner);
            let offer = world::Offer {
                partner,
                draws: Some((HOT, 0)),
                ..PLAIN
            };
            world::offer_insert(tx, listing, &offer).await?;
            sql!(
                tx,
                execute,
                "INSERT INTO drop_listing (drop_id, listing_id, taken) VALUES ($1, $2, 0)",
                sale,
                listing
            )?;
        }
        let creator = world::nth::<kind::Creator>(0);
        world::quota_insert(tx, sale, creator.as_str(), 10, None).await?;
        let outlet = world::nth::<kind::Outlet>(0);
        world::quota_insert(tx, sale, outlet.as_str(), 10, None).await
    }
}

/// The order of a shopper, as call `call` of it: of one partner or the other, one unit or two.
fn wanted(shopper: usize, call: usize) -> Command {
    let quantity = 1 + i64::from(shopper.is_multiple_of(5));
    let whose = shopper % 2;
    let number = shopper + call * 10_000;
    let mut place = world::place(number, whose, shopper, shopper, &[(0, quantity)]);
    place.lines[0].listing_id = world::listing(HOT + whose);
    Command::Place(Box::new(place))
}

/// Runs a test on both engines, with a way to strike units of work; each attempt is the last one.
fn struck<F, T>(test: T)
where
    T: Fn(TestDb, Arc<FaultPoints>) -> F,
    F: Future<Output = ()>,
{
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let points = FaultPoints::new();
        let setup = Setup::new()
            .migrations(order::migrations())
            .faults(points.clone())
            .config(|config| config.backoff_ms = 1);
        testkit::run(engine, setup, |t| test(t, points));
    }
}

/// Strikes that are spread over what comes: more than one unit of work survives in its attempts.
fn strike(points: &FaultPoints) {
    for _ in 0..4 {
        points.strike_operation(Point::AfterCommit, DESK, 3);
        points.strike_operation(Point::BeforeCommit, DESK, 3);
    }
}

/// Hands calls in at once, each at every replica; whoever gets no answer asks again until there is one. `ask` makes
/// the call of somebody, as they make it the nth time.
async fn until_answered(
    desks: &[Desk],
    callers: usize,
    ask: impl Fn(usize, usize) -> Command,
) -> Vec<Vec<Result<Answer, Fault>>> {
    let mut answers: Vec<Vec<Result<Answer, Fault>>> = (0..callers).map(|_| Vec::new()).collect();
    let mut open: Vec<(usize, usize)> = (0..callers).flat_map(|who| [(who, 0), (who, 1)]).collect();
    for round in 0..ASKS {
        let calls = open.iter().map(|(who, twin)| ask(*who, round * 2 + twin));
        let got = at_once(desks, calls.collect()).await;
        let mut again = Vec::new();
        for ((who, twin), answer) in open.into_iter().zip(got) {
            match answer {
                Ok(_) | Err(Fault::Refused(_)) => answers[who].push(answer),
                Err(_) => again.push((who, twin)),
            }
        }
        if again.is_empty() {
            return answers;
        }
        open = again;
    }
    panic!("{} callers were never answered", open.len());
}

/// Everybody asks twice at the same time; answers what was placed, by shopper.
async fn sell_out(desks: &[Desk], first: usize) -> BTreeMap<usize, Arc<Placement>> {
    let answers = until_answered(desks, SHOPPERS, |who, call| wanted(first + who, call)).await;
    let mut placed = BTreeMap::new();
    for (who, answers) in answers.into_iter().enumerate() {
        let shopper = first + who;
        let Command::Place(own) = wanted(shopper, 0) else {
            unreachable!("it is a placement")
        };
        for answer in answers {
            match answer {
                Ok(Answer::Placed { placement, .. }) => {
                    assert_eq!(
                        placement.partner_order_id, own.partner_order_id,
                        "their own verdict"
                    );
                    assert_eq!(placement.partner_id, own.partner_id);
                    assert_eq!(placement.shopper_ref, own.shopper_ref);
                    assert_eq!(placement.lines[0].quantity, own.lines[0].quantity);
                    let twin = placed.insert(shopper, placement.clone());
                    assert!(
                        twin.is_none_or(|twin| twin == placement),
                        "one key, one answer"
                    );
                }
                Err(Fault::Refused(refusal)) => {
                    assert_eq!(refusal.reason, ErrorReason::SoldOut);
                    let listing = &refusal.metadata["listing_id"];
                    assert_eq!(
                        *listing,
                        own.lines[0].listing_id.as_str(),
                        "their own refusal"
                    );
                }
                other => panic!("not an answer to a placement: {other:?}"),
            }
        }
    }
    placed
}

/// What a table counts.
struct Count(&'static str);

impl Operation for Count {
    type Output = i64;

    fn name(&self) -> &'static str {
        "test.count"
    }

    async fn run(&self, tx: &mut Tx) -> Result<i64, Fault> {
        macro_rules! count {
            ($($what:literal => $text:literal),+) => {
                match self.0 {
                    $($what => sql!(tx, one(i64,), $text)?.0,)+
                    other => panic!("nobody counts {other}"),
                }
            };
        }
        Ok(count! {
            "held" => "SELECT held FROM allotment",
            "sold" => "SELECT sold FROM allotment",
            "payments" => "SELECT COUNT(*) FROM payment",
            "orders" => "SELECT COUNT(*) FROM orders",
            "pending" => "SELECT COUNT(*) FROM orders WHERE state = 'PENDING_PAYMENT'",
            "in drop" => "SELECT taken FROM drop_sale"
        })
    }
}

async fn count(t: &TestDb, what: &'static str) -> i64 {
    t.read(Count(what)).await.expect("a count")
}

async fn check(t: &TestDb) {
    let wrong = t.read(Check).await.expect("an answer");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn order(placement: &Placement) -> usize {
    placement.order_id.uuid() as usize - 1
}

fn confirm(placement: &Placement, call: usize, reference: usize) -> Command {
    let whose = usize::from(placement.partner_id == world::partner(1));
    let amount = Money::new(Currency::EUR, placement.amount.payable);
    let number = 1 + order(placement) + (call + 1) * 1_000_000 + reference * 500_000;
    world::confirm(number, whose, order(placement), reference, amount)
}

fn units(placed: &BTreeMap<usize, Arc<Placement>>) -> i64 {
    placed
        .values()
        .map(|placement| placement.lines[0].quantity)
        .sum()
}

fn expiries(t: &TestDb, desks: &[Desk]) -> Vec<Expiry> {
    let config = Config {
        sweep_orders_max: 7,
        ..Config::default()
    };
    let expiry = |desk: &Desk| Expiry::new(t.db.clone(), desk.clone(), &config);
    desks.iter().map(expiry).collect()
}

/// Every replica sweeps at the same time, until none has anything left; a turn that got no answer is taken again.
async fn sweep(expiries: &[Expiry]) -> u64 {
    let mut ended = 0;
    for _ in 0..ASKS {
        let turns = join_all(expiries.iter().map(Expiry::turn)).await;
        let failed = turns.iter().any(Result::is_err);
        let turned: u64 = turns.into_iter().flatten().sum();
        ended += turned;
        if turned == 0 && !failed {
            return ended;
        }
    }
    panic!("the sweep came to no end");
}

#[test]
fn nothing_is_oversold_or_paid_twice_whatever_is_lost_around_a_commit() {
    struck(|t, points| async move {
        t.execute(Hot).await.expect("a catalogue");
        let desks = desks(&t).await;
        strike(&points);
        let placed = sell_out(&desks, 0).await;
        assert_eq!(
            count(&t, "held").await,
            units(&placed),
            "everybody knows of their own"
        );
        assert_eq!(count(&t, "orders").await, placed.len() as i64);
        // Too little is left for those who were sent away: of the open units, and of each quota, one at the most.
        let left = IN_DROP - count(&t, "in drop").await;
        assert!((0..=3).contains(&left), "{left} units were left over");
        check(&t).await;

        strike(&points);
        let placements: Vec<Arc<Placement>> = placed.values().cloned().collect();
        // Two statements for each order: the first pays it, whichever it is, the other goes back.
        let pay = |who: usize, call| confirm(&placements[who / 2], call, who % 2);
        let answers = until_answered(&desks, placements.len() * 2, pay).await;
        let mut paid: BTreeMap<OrderId, Vec<String>> = BTreeMap::new();
        for (who, answers) in answers.into_iter().enumerate() {
            let mut outcomes = answers
                .into_iter()
                .map(|answer| match answer.expect("recorded") {
                    Answer::Confirmed { payment, .. } => {
                        assert_eq!(
                            payment.order_id,
                            placements[who / 2].order_id,
                            "their own verdict"
                        );
                        assert_eq!(payment.payment_reference, format!("ref-{}", who % 2));
                        payment
                    }
                    other => panic!("not a payment: {other:?}"),
                });
            let first = outcomes.next().expect("an answer");
            assert!(
                outcomes.all(|twin| twin == first),
                "one statement, one answer"
            );
            match first.outcome {
                PaymentOutcome::Paid => {
                    let reference = first.payment_reference.clone();
                    paid.entry(first.order_id).or_default().push(reference);
                }
                _ => assert_eq!(
                    first.refund.map(|(_, reason)| reason),
                    Some(RefundReason::DuplicatePayment)
                ),
            }
        }
        assert_eq!(paid.len(), placements.len(), "no payment was lost");
        assert!(
            paid.values().all(|references| references.len() == 1),
            "none counted twice"
        );
        assert_eq!(count(&t, "payments").await, placements.len() as i64 * 2);
        assert_eq!(
            (count(&t, "held").await, count(&t, "sold").await),
            (0, units(&placed))
        );
        check(&t).await;
    });
}

#[test]
fn no_hold_ends_before_its_time_and_then_whoever_asks_next_gets_its_units() {
    struck(|t, points| async move {
        t.execute(Hot).await.expect("a catalogue");
        let desks = desks(&t).await;
        let expiries = expiries(&t, &desks);
        let placed = sell_out(&desks, 0).await;
        let held = count(&t, "held").await;
        let ttl = Config::default().hold_ttl();

        // One moment before the end: sweepers and all that ends holds find nothing to end, on any replica.
        t.clock.advance(ttl - Duration::from_micros(1));
        strike(&points);
        assert_eq!(sweep(&expiries).await, 0, "never shorter than promised");
        let placements: Vec<Arc<Placement>> = placed.values().cloned().collect();
        let end = |who: usize, _| world::expire(order(&placements[who]));
        for answers in until_answered(&desks, placements.len(), end).await {
            assert!(
                answers
                    .iter()
                    .all(|answer| matches!(answer, Ok(Answer::NotExpired)))
            );
        }
        assert_eq!(count(&t, "held").await, held);
        // Every third one is extended, in the last moment.
        let kept: Vec<Arc<Placement>> = placements.iter().step_by(3).cloned().collect();
        let extend = |who: usize, _| {
            let whose = usize::from(kept[who].partner_id == world::partner(1));
            world::extend(order(&kept[who]) + 1_000, whose, order(&kept[who]), 120)
        };
        for answers in until_answered(&desks, kept.len(), extend).await {
            assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        }

        // Everybody is still told that nothing is left, wherever they ask; then the holds end, on all replicas at
        // the same time, and the next who ask get every unit that came back.
        let (first, later) = (SHOPPERS * 10, SHOPPERS * 20);
        let none = sell_out(&desks, first).await;
        assert!(
            none.values()
                .all(|placement| placement.lines[0].quantity == 1),
            "the odd units at most"
        );
        let before = count(&t, "in drop").await;
        t.clock.advance(Duration::from_micros(1));
        strike(&points);
        sweep(&expiries).await;
        points.clear();
        let still = kept.len() + none.len();
        assert_eq!(
            count(&t, "pending").await,
            still as i64,
            "what was extended stays"
        );
        let freed = before - count(&t, "in drop").await;
        let kept_units: i64 = kept
            .iter()
            .map(|placement| placement.lines[0].quantity)
            .sum();
        assert_eq!(freed, units(&placed) - kept_units);
        check(&t).await;
        let next = sell_out(&desks, later).await;
        assert!(
            units(&next) >= freed - 3,
            "{} of {freed} sold at once",
            units(&next)
        );
        check(&t).await;
    });
}

#[test]
fn the_end_of_holds_late_payments_and_the_next_askers_race_for_the_same_units() {
    struck(|t, points| async move {
        t.execute(Hot).await.expect("a catalogue");
        let desks = desks(&t).await;
        let placed = sell_out(&desks, 0).await;
        let placements: Vec<Arc<Placement>> = placed.values().cloned().collect();
        t.clock.advance(Config::default().hold_ttl());
        strike(&points);
        let later = SHOPPERS * 10;
        let count_of = placements.len();
        // Expiry, late payment, somebody new: all of it at once.
        let ask = |who: usize, call: usize| match who % 3 {
            0 => world::expire(order(&placements[who / 3])),
            1 => confirm(&placements[who / 3], call, 0),
            _ => wanted(later + who / 3, call),
        };
        let answers = until_answered(&desks, count_of * 3, ask).await;
        let mut paid = 0;
        for (who, answers) in answers.into_iter().enumerate() {
            let mut first = None;
            for answer in answers {
                match (who % 3, answer) {
                    (0, Ok(Answer::Expired | Answer::NotExpired)) => {}
                    (1, Ok(Answer::Confirmed { payment, .. })) => {
                        assert_eq!(
                            payment.order_id,
                            placements[who / 3].order_id,
                            "their own verdict"
                        );
                        if first.replace(payment.clone()).is_none() {
                            match &payment.refund {
                                None => paid += placements[who / 3].lines[0].quantity,
                                Some((_, reason)) => assert_eq!(*reason, RefundReason::HoldExpired),
                            }
                        }
                        assert_eq!(first.as_ref(), Some(&payment), "one statement, one answer");
                    }
                    (2, Ok(Answer::Placed { placement, .. })) => {
                        assert_eq!(
                            placement.partner_order_id,
                            format!("po-{}", later + who / 3)
                        )
                    }
                    (2, Err(Fault::Refused(refusal))) => {
                        assert_eq!(refusal.reason, ErrorReason::SoldOut)
                    }
                    (_, other) => panic!("not an answer to that: {other:?}"),
                }
            }
        }
        assert_eq!(
            count(&t, "payments").await,
            count_of as i64,
            "no money is lost"
        );
        assert_eq!(count(&t, "sold").await, paid);
        assert!(count(&t, "in drop").await <= IN_DROP);
        check(&t).await;
    });
}
