//! Random commands give the same verdicts and the same tables one at a time and in batches of any size, on
//! both engines.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use contracts::id::OrderLineId;
use contracts::money::{Currency, Money};
use kit::clock::Clock;
use order::model::command::{Answer, Command, Place, StopTarget, Verdict};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use testkit::{Engine, Setup, TestDb};

use crate::audit::{Check, Dump};
use crate::world::{self, Batch, OFFERS, Reset};

/// Cases per run of the test; each runs four times.
const CASES: u32 = 32;
const STEPS_MAX: usize = 120;

/// One step of a case, in numbers that mean something whatever the others are.
#[derive(Clone, Debug)]
enum Step {
    Place {
        key: usize,
        whose: usize,
        shopper: usize,
        lines: Vec<(usize, i64)>,
        wrong: u8,
    },
    Extend {
        key: usize,
        order: usize,
        seconds: u64,
    },
    Confirm {
        order: usize,
        reference: usize,
        wrong: u8,
    },
    Cancel {
        key: usize,
        order: usize,
        by_retailer: bool,
    },
    Expire {
        order: usize,
    },
    Move {
        key: usize,
        which: usize,
        quantity: i64,
    },
    Stop {
        key: usize,
        target: usize,
    },
    Resume {
        key: usize,
        stop: usize,
    },
    Wait {
        seconds: u64,
    },
    /// The same call as some steps ago, once more.
    Repeat {
        back: usize,
    },
    /// An order's hold runs out, somebody may take its units, and then it is paid.
    Late {
        order: usize,
        reference: usize,
        between: Between,
    },
}

/// What happens between the end of a hold and its late payment.
#[derive(Clone, Copy, Debug)]
enum Between {
    Nothing,
    /// Others take all that is left.
    Hog,
    /// The same shopper orders the same again, and so comes near the limits.
    Rebuy,
}

fn step() -> impl Strategy<Value = Step> {
    let between = prop_oneof![
        Just(Between::Nothing),
        Just(Between::Hog),
        Just(Between::Rebuy)
    ];
    let line = (
        prop_oneof![12 => 0usize..6, 1 => 6usize..13, 1 => Just(11usize)],
        1i64..5,
    );
    let place = (
        0usize..40,
        0usize..2,
        0usize..6,
        proptest::collection::vec(line, 1..4),
        0u8..24,
    );
    prop_oneof![
        12 => place.prop_map(|(key, whose, shopper, lines, wrong)| Step::Place { key, whose, shopper, lines, wrong }),
        2 => (0usize..20, any::<usize>(), 0u64..330).prop_map(|(key, order, seconds)| Step::Extend { key, order, seconds }),
        7 => (any::<usize>(), 0usize..3, 0u8..20).prop_map(|(order, reference, wrong)| Step::Confirm { order, reference, wrong }),
        2 => (0usize..20, any::<usize>(), any::<bool>())
            .prop_map(|(key, order, by_retailer)| Step::Cancel { key, order, by_retailer }),
        4 => any::<usize>().prop_map(|order| Step::Expire { order }),
        1 => (0usize..6, 0usize..3, -8i64..8).prop_map(|(key, which, quantity)| Step::Move { key, which, quantity }),
        1 => (0usize..40, 0usize..7).prop_map(|(key, target)| Step::Stop { key, target }),
        2 => (0usize..40, any::<usize>()).prop_map(|(key, stop)| Step::Resume { key, stop }),
        2 => prop_oneof![Just(60u64), Just(310), Just(700)].prop_map(|seconds| Step::Wait { seconds }),
        4 => (1usize..12).prop_map(|back| Step::Repeat { back }),
        3 => (any::<usize>(), 0usize..3, between)
            .prop_map(|(order, reference, between)| Step::Late { order, reference, between }),
    ]
}

/// What happens in the world: a command, or time goes by.
enum Act {
    Command(Box<Command>),
    Wait(Duration),
}

/// Turns numbers into commands. The command at place `i` makes the order, payment, stop number `i`; later
/// steps refer to orders and stops among those asked for before.
fn acts(steps: &[Step]) -> Vec<Act> {
    let mut orders: Vec<(usize, usize, Money)> = Vec::new();
    let mut stops: Vec<usize> = Vec::new();
    let mut keys = BTreeSet::new();
    let mut acts = Vec::with_capacity(steps.len());
    for (number, step) in steps.iter().enumerate() {
        // Among the latest, so that several steps meet on one order.
        let of = |order: &usize| {
            let back = 1 + order % orders.len().clamp(1, 6);
            orders
                .len()
                .checked_sub(back)
                .map_or((900, 0, zero()), |at| orders[at])
        };
        let command = match step {
            Step::Place {
                key,
                whose,
                shopper,
                lines,
                wrong,
            } => {
                let place = wanted(number, *key, *whose, *shopper, lines, *wrong);
                if keys.insert((*whose, *key)) {
                    orders.push((number, *whose, place.expected_payable.unwrap_or(zero())));
                }
                Command::Place(Box::new(place))
            }
            Step::Extend {
                key,
                order,
                seconds,
            } => {
                let (order, whose, _) = of(order);
                world::extend(*key, whose, order, *seconds)
            }
            Step::Confirm {
                order,
                reference,
                wrong,
            } => {
                let (order, whose, payable) = of(order);
                let (whose, amount) = match wrong {
                    0 => (whose, Money::new(payable.currency, payable.minor_units + 1)),
                    1 => (whose, Money::new(Currency::USD, payable.minor_units)),
                    2 => (1 - whose, payable),
                    _ => (whose, payable),
                };
                world::confirm(number, whose, order, *reference, amount)
            }
            Step::Cancel {
                key,
                order,
                by_retailer,
            } => {
                let (order, whose, _) = of(order);
                world::cancel(*key, (!by_retailer).then_some(whose), order)
            }
            Step::Expire { order } => world::expire(of(order).0),
            Step::Move {
                key,
                which,
                quantity,
            } => world::move_units(number, *key, *which, *quantity),
            Step::Stop { key, target } => {
                stops.push(number);
                world::stop(number, *key, stop_target(*target))
            }
            Step::Resume { key, stop } => world::resume(
                *key,
                stops.get(stop % stops.len().max(1)).copied().unwrap_or(900),
            ),
            Step::Wait { seconds } => {
                acts.push(Act::Wait(Duration::from_secs(*seconds)));
                continue;
            }
            Step::Repeat { back } => match acts.iter().rev().filter_map(Act::command).nth(*back) {
                Some(command) => again(number, command),
                None => continue,
            },
            Step::Late {
                order,
                reference,
                between,
            } => {
                let (order, whose, payable) = of(order);
                acts.push(Act::Wait(Duration::from_secs(950)));
                acts.push(Act::new(world::expire(order)));
                let taken = match between {
                    Between::Nothing => Vec::new(),
                    Between::Hog => hogs(number),
                    Between::Rebuy => rebuy(number, order, &acts),
                };
                acts.extend(
                    taken
                        .into_iter()
                        .map(|place| Act::new(Command::Place(Box::new(place)))),
                );
                world::confirm(number, whose, order, *reference, payable)
            }
        };
        acts.push(Act::new(command));
    }
    acts
}

/// Strangers who take whatever is left of two listings.
fn hogs(number: usize) -> Vec<Place> {
    let hog = |(quantity, offer): (i64, usize)| {
        let key = number * 100 + quantity as usize * 10 + offer % 10 + 1_000;
        world::place(key, 0, key, key, &[(offer, quantity)])
    };
    let quantities = [8, 4, 2, 1].into_iter();
    quantities
        .flat_map(|quantity| [(quantity, 0), (quantity, 11)])
        .map(hog)
        .collect()
}

/// The same order again under a new key, at the price of the day.
fn rebuy(number: usize, order: usize, acts: &[Act]) -> Vec<Place> {
    let placed = acts
        .iter()
        .filter_map(Act::command)
        .find_map(|command| match command {
            Command::Place(place) if place.order_id == world::nth(order) => Some(place),
            _ => None,
        });
    let Some(mut place) = placed.map(|place| (**place).clone()) else {
        return Vec::new();
    };
    place.order_id = world::nth(number + 500_000);
    place.partner_order_id = format!("again-{number}");
    place.quote = None;
    let mut payable = 0;
    for (at, line) in place.lines.iter_mut().enumerate() {
        line.order_line_id = OrderLineId::from_uuid((number * 16 + at + 1_000_000) as u128);
        line.partner_discount = None;
        payable += world::payable(line.listing_id.uuid() as usize - 1, line.quantity);
    }
    place.expected_payable = place
        .expected_payable
        .map(|shown| Money::new(shown.currency, payable));
    vec![place]
}

impl Act {
    fn new(command: Command) -> Self {
        Act::Command(Box::new(command))
    }

    fn command(&self) -> Option<&Command> {
        match self {
            Act::Command(command) => Some(command),
            Act::Wait(_) => None,
        }
    }
}

/// The same call again, as its caller makes it: the ids of what it may create are new.
fn again(number: usize, command: &Command) -> Command {
    let mut command = command.clone();
    match &mut command {
        Command::Place(place) => place.order_id = world::nth(number),
        Command::Confirm(confirm) => confirm.payment_id = world::nth(number + 1_000),
        _ => {}
    }
    command
}

fn zero() -> Money {
    Money::zero(Currency::EUR)
}

fn stop_target(target: usize) -> StopTarget {
    match target {
        0..=3 => StopTarget::Listing(world::listing(target)),
        4 | 5 => StopTarget::Allotment(world::allotment(target - 4)),
        _ => StopTarget::Listing(world::listing(77)),
    }
}

fn wanted(
    number: usize,
    key: usize,
    whose: usize,
    shopper: usize,
    lines: &[(usize, i64)],
    wrong: u8,
) -> Place {
    let mut distinct: Vec<(usize, i64)> = Vec::new();
    for (offer, quantity) in lines {
        // Mostly the partner's own listings, so that most placements get as far as the stock.
        let own = if OFFERS[*offer].partner == whose || wrong == 1 {
            *offer
        } else {
            3 + whose - 1
        };
        let own = if OFFERS[own].partner != whose && wrong != 1 {
            0
        } else {
            own
        };
        if distinct.iter().all(|(seen, _)| *seen != own) {
            distinct.push((own, quantity * OFFERS[own].step));
        }
    }
    let mut place = world::place(number, whose, key, shopper, &distinct);
    match wrong {
        0 => {
            place.expected_payable = place
                .expected_payable
                .map(|shown| Money::new(shown.currency, shown.minor_units - 1))
        }
        2 => place.hold = Some(Duration::from_secs(1_000)),
        3 => place.hold = Some(Duration::from_secs(30)),
        4 => place.destination.region_code = "DE".into(),
        5..=8 => {
            place.quote = Some(world::quote(&place, wrong));
            // What is paid is what was quoted.
            place.expected_payable = match &place.quote {
                Some(Ok(quote)) => Some(Money::new(
                    Currency::EUR,
                    quote.lines.iter().map(|line| line.amount.payable).sum(),
                )),
                _ => None,
            };
        }
        9 => place.lines[0].partner_discount = Some(Money::new(Currency::EUR, 100)),
        _ => {}
    }
    place
}

/// Where batches end: sizes that repeat; a wait ends a batch too, because a batch has one time.
async fn play(
    t: &TestDb,
    acts: &[Act],
    sizes: &[usize],
) -> Result<(Vec<Verdict>, Vec<String>), TestCaseError> {
    t.clock.set(kit::clock::ManualClock::default().now());
    // It empties the ledger, as no service may.
    let owner = t.as_owner().await;
    owner.execute(&t.caller(), Reset).await.map_err(failed)?;
    if t.engine() == Engine::Postgres {
        owner.close().await;
    }
    let mut verdicts = Vec::new();
    let mut batch: Vec<Command> = Vec::new();
    let mut sizes = sizes.iter().cycle();
    let mut size = *sizes.next().expect("at least one size");
    for act in acts {
        match act {
            Act::Command(command) => batch.push((**command).clone()),
            Act::Wait(time) => {
                flush(t, &mut batch, &mut verdicts).await?;
                t.clock.advance(*time);
            }
        }
        if batch.len() >= size {
            flush(t, &mut batch, &mut verdicts).await?;
            size = *sizes.next().expect("it repeats");
        }
    }
    flush(t, &mut batch, &mut verdicts).await?;
    Ok((verdicts, t.read(Dump).await.map_err(failed)?))
}

fn failed(fault: kit::errors::Fault) -> TestCaseError {
    TestCaseError::fail(fault.chain())
}

async fn flush(
    t: &TestDb,
    batch: &mut Vec<Command>,
    verdicts: &mut Vec<Verdict>,
) -> Result<(), TestCaseError> {
    if batch.is_empty() {
        return Ok(());
    }
    verdicts.extend(t.execute(Batch::new(batch)).await.map_err(failed)?);
    batch.clear();
    let wrong = t.read(Check).await.map_err(failed)?;
    prop_assert!(wrong.is_empty(), "{:#?}", wrong);
    Ok(())
}

fn compare(
    what: &str,
    (expected, rows): &(Vec<Verdict>, Vec<String>),
    (got, got_rows): &(Vec<Verdict>, Vec<String>),
) -> Result<(), TestCaseError> {
    for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
        prop_assert_eq!(expected, got, "{}: command {}", what, index);
    }
    prop_assert_eq!(expected.len(), got.len());
    for (expected, got) in rows.iter().zip(got_rows) {
        prop_assert_eq!(expected, got, "{}", what);
    }
    prop_assert_eq!(rows.len(), got_rows.len(), "{}", what);
    Ok(())
}

async fn open(engine: Engine) -> Option<TestDb> {
    TestDb::open(engine, Setup::new().migrations(order::migrations())).await
}

#[test]
fn one_at_a_time_and_in_batches_is_the_same_on_both_engines() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime needs nothing that could be missing");
    let (sqlite, postgres) =
        runtime.block_on(async { (open(Engine::Sqlite).await, open(Engine::Postgres).await) });
    let sqlite = sqlite.expect("SQLite is always there");
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let cases = (
        proptest::collection::vec(step(), 1..STEPS_MAX),
        proptest::collection::vec(1usize..40, 1..5),
    );
    let seen = RefCell::new(BTreeMap::<String, u32>::new());
    let result = TestRunner::new(config).run(&cases, |(steps, sizes)| {
        let acts = acts(&steps);
        runtime.block_on(async {
            let single = play(&sqlite, &acts, &[1]).await?;
            count(&mut seen.borrow_mut(), &single.0);
            let batched = play(&sqlite, &acts, &sizes).await?;
            compare("in batches on SQLite", &single, &batched)?;
            if let Some(postgres) = &postgres {
                let batched = play(postgres, &acts, &sizes).await?;
                compare("in batches on PostgreSQL", &single, &batched)?;
                if steps.len() % 4 == 0 {
                    let alone = play(postgres, &acts, &[1]).await?;
                    compare("one at a time on PostgreSQL", &single, &alone)?;
                }
            }
            Ok(())
        })
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    println!("{:#?}", seen.borrow());
}

/// What the cases led to; shown with `--nocapture`, to see that they lead everywhere.
fn count(seen: &mut BTreeMap<String, u32>, verdicts: &[Verdict]) {
    for verdict in verdicts {
        let word = match verdict {
            Ok(Answer::Confirmed { payment, .. }) => {
                payment.refund.map_or("paid".to_owned(), |(_, reason)| {
                    format!("refund due {reason}")
                })
            }
            Ok(Answer::Placed { replayed: true, .. }) => "placed again".to_owned(),
            Ok(answer) => answer.name().to_owned(),
            Err(refusal) => kit::errors::reason_name(refusal.reason).to_owned(),
        };
        *seen.entry(word).or_default() += 1;
    }
}
