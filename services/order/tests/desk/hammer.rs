//! Many lanes and replicas on the same units at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::ErrorReason;
use contracts::id::OrderId;
use contracts::money::{Currency, Money};
use futures::future::join_all;
use kit::caller::Caller;
use kit::errors::Fault;
use order::Config;
use order::model::command::{Answer, Command, StopTarget};
use order::model::{PaymentOutcome, Placement, RefundReason};
use order::ops::desk::Desk;
use order::ops::expiry::Expiry;
use store::{Engine, Operation, Tx, sql};
use testkit::{Setup, TestDb, on_both_engines};

use crate::audit::Check;
use crate::world::{self, PLAIN};

const UNITS: i64 = 150;
const SHOPPERS: usize = 140;
const HOT: usize = 40;

/// One allotment that everybody wants, through two listings of one partner.
struct Hot;

impl Operation for Hot {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.hot"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        let now = tx.now();
        sql!(
            tx,
            execute,
            "INSERT INTO partner (partner_id, display_name, state, etag, update_time) VALUES ($1, 'P', 'ACTIVE', 'v1', $2)",
            world::partner(0),
            now
        )?;
        world::supply(tx, world::allotment(HOT), UNITS).await?;
        for listing in [HOT, HOT + 1] {
            let offer = world::Offer {
                draws: Some((HOT, 0)),
                ..PLAIN
            };
            world::offer_insert(tx, world::listing(listing), &offer).await?;
        }
        Ok(())
    }
}

/// Ways in to the same database: three replicas with two lanes each, or on SQLite, which has one writer, one
/// with three lanes.
pub async fn desks(t: &TestDb) -> Vec<Desk> {
    let mut config = Config::default();
    config.lane.batch_max = 16;
    config.lane.lanes = 3;
    if t.engine() == Engine::Sqlite {
        return vec![Desk::start(&t.db, &config)];
    }
    config.lane.lanes = 2;
    let mut desks = vec![Desk::start(&t.db, &config)];
    for _ in 0..2 {
        desks.push(Desk::start(&t.reopen().await, &config));
    }
    desks
}

pub fn caller() -> Arc<Caller> {
    Arc::new(Caller::system("test"))
}

/// Hands all commands in at once, in turn to each desk.
pub async fn at_once(desks: &[Desk], commands: Vec<Command>) -> Vec<Result<Answer, Fault>> {
    let caller = caller();
    let submit = |(at, command): (usize, Command)| {
        let (desk, caller) = (desks[at % desks.len()].clone(), caller.clone());
        async move { desk.submit(&caller, command).await }
    };
    join_all(commands.into_iter().enumerate().map(submit)).await
}

/// The order of shopper `shopper`: one or two units of either listing. Call `call` of it.
fn wanted(shopper: usize, call: usize) -> Command {
    let quantity = 1 + i64::from(shopper.is_multiple_of(3));
    let mut place = world::place(
        shopper + call * 10_000,
        0,
        shopper,
        shopper,
        &[(0, quantity)],
    );
    place.lines[0].listing_id = world::listing(HOT + shopper % 2);
    Command::Place(Box::new(place))
}

async fn check(t: &TestDb) {
    let wrong = t.read(Check).await.expect("an answer");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

async fn units(t: &TestDb) -> (i64, i64, i64) {
    struct Units;
    impl Operation for Units {
        type Output = (i64, i64, i64);

        fn name(&self) -> &'static str {
            "test.units"
        }

        async fn run(&self, tx: &mut Tx) -> Result<Self::Output, Fault> {
            Ok(sql!(
                tx,
                one(i64, i64, i64),
                "SELECT available, held, sold FROM allotment"
            )?)
        }
    }
    t.read(Units).await.expect("the units")
}

/// Every order is asked for twice, at two places, at the same time; answers what was placed.
async fn sell_out(t: &TestDb, desks: &[Desk]) -> BTreeMap<OrderId, Arc<Placement>> {
    let calls = (0..2).flat_map(|call| (0..SHOPPERS).map(move |shopper| wanted(shopper, call)));
    let answers = at_once(desks, calls.collect()).await;
    let mut placed = BTreeMap::new();
    let mut units_placed = 0;
    for shopper in 0..SHOPPERS {
        match (&answers[shopper], &answers[shopper + SHOPPERS]) {
            (
                Ok(Answer::Placed {
                    placement,
                    replayed,
                }),
                Ok(Answer::Placed {
                    placement: twin,
                    replayed: twin_replayed,
                }),
            ) => {
                assert_eq!(placement, twin, "twins get the same answer");
                assert!(replayed ^ twin_replayed, "one of two twins does it");
                units_placed += placement.lines[0].quantity;
                placed.insert(placement.order_id, placement.clone());
            }
            (Err(Fault::Refused(refusal)), Err(Fault::Refused(twin))) => {
                assert_eq!(
                    (refusal.reason, twin.reason),
                    (ErrorReason::SoldOut, ErrorReason::SoldOut)
                );
            }
            (answer, twin) => panic!("twins differ: {answer:?} and {twin:?}"),
        }
    }
    let (available, held, sold) = units(t).await;
    assert_eq!((held, sold), (units_placed, 0));
    assert_eq!(available + held, UNITS);
    // What is left is too little for those who wanted two; nobody who wanted one was sent away for it.
    assert!(available <= 1, "{available} units were left over");
    check(t).await;
    placed
}

on_both_engines! {
    setup: Setup::new().migrations(order::migrations());

    async fn nothing_is_oversold_and_twins_agree(t: TestDb) {
        t.execute(Hot).await.expect("a catalogue");
        let desks = desks(&t).await;
        let placed = sell_out(&t, &desks).await;

        // Each order is paid twice with one payment, and once more with another.
        let pay = |reference: usize| {
            placed.values().enumerate().map(move |(at, placement)| {
                let order = placement.order_id.uuid() as usize - 1;
                let amount = Money::new(Currency::EUR, placement.amount.payable);
                world::confirm(at + 1 + reference * 10_000, 0, order, reference % 2, amount)
            })
        };
        let answers = at_once(&desks, pay(0).chain(pay(2)).chain(pay(1)).collect()).await;
        let mut paid: BTreeMap<OrderId, u32> = BTreeMap::new();
        let mut due = 0;
        for answer in answers {
            match answer.expect("money is always recorded") {
                Answer::Confirmed { payment, replayed: false } if payment.outcome == PaymentOutcome::Paid => {
                    *paid.entry(payment.order_id).or_default() += 1;
                }
                Answer::Confirmed { payment, replayed: false } => {
                    assert_eq!(payment.refund.map(|refund| refund.1), Some(RefundReason::DuplicatePayment));
                    due += 1;
                }
                Answer::Confirmed { replayed: true, .. } => {}
                other => panic!("not a payment: {other:?}"),
            }
        }
        assert_eq!(paid.len(), placed.len());
        assert!(paid.values().all(|times| *times == 1), "an order is paid once");
        assert_eq!(due, placed.len());
        assert_eq!(units(&t).await.1, 0, "nothing is held any more");
        check(&t).await;
    }

    async fn expiry_and_payment_race_on_one_order(t: TestDb) {
        t.execute(Hot).await.expect("a catalogue");
        let desks = desks(&t).await;
        let placed = sell_out(&t, &desks).await;
        t.clock.advance(Duration::from_secs(3_600));

        let order = |placement: &Placement| placement.order_id.uuid() as usize - 1;
        let expire = placed.values().map(|placement| world::expire(order(placement)));
        let pay = placed.values().enumerate().map(|(at, placement)| {
            world::confirm(at + 1, 0, order(placement), 0, Money::new(Currency::EUR, placement.amount.payable))
        });
        let answers = at_once(&desks, expire.zip(pay).flat_map(|(expire, pay)| [expire, pay]).collect()).await;
        for answer in answers {
            match answer.expect("neither is refused") {
                // Whoever came first: there are units for everybody, so every late payment gets them again.
                Answer::Confirmed { payment, .. } => assert_eq!(payment.outcome, PaymentOutcome::Paid),
                Answer::Expired | Answer::NotExpired => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
        let (_, held, sold) = units(&t).await;
        assert_eq!((held, sold), (0, placed.values().map(|placement| placement.lines[0].quantity).sum()));
        check(&t).await;
    }

    async fn holds_that_ran_out_are_ended_page_by_page(t: TestDb) {
        t.execute(Hot).await.expect("a catalogue");
        let desks = desks(&t).await;
        let placed = sell_out(&t, &desks).await;
        let config = Config { sweep_orders_max: 7, ..Config::default() };
        let expiry = Expiry::new(t.db.clone(), desks[0].clone(), &config);
        assert_eq!(expiry.turn().await.expect("a turn"), 0, "the hold is never shorter than promised");

        t.clock.advance(config.hold_ttl());
        assert_eq!(expiry.turn().await.expect("a turn"), placed.len() as u64);
        assert_eq!(units(&t).await, (UNITS, 0, 0));
        assert_eq!(expiry.turn().await.expect("a turn"), 0);
        check(&t).await;
    }

    async fn a_stop_acts_at_once_everywhere(t: TestDb) {
        t.execute(Hot).await.expect("a catalogue");
        let desks = desks(&t).await;
        let last = desks.last().expect("at least one desk");
        let before = at_once(&desks, (0..20).map(|shopper| wanted(shopper, 0)).collect()).await;
        let stop = world::stop(1, 1, StopTarget::Allotment(world::allotment(HOT)));
        desks[0].submit(&caller(), stop).await.expect("a stop");
        for shopper in 20..30 {
            let refused = last.submit(&caller(), wanted(shopper, 0)).await.expect_err("the sale is stopped");
            assert_eq!(refused.refusal().map(|refusal| refusal.reason), Some(ErrorReason::SaleStopped));
        }
        let Answer::Placed { placement, .. } = before[0].as_ref().expect("placed before the stop") else {
            panic!("not a placement");
        };
        let amount = Money::new(Currency::EUR, placement.amount.payable);
        let late = world::confirm(1, 0, placement.order_id.uuid() as usize - 1, 0, amount);
        let Answer::Confirmed { payment, .. } = last.submit(&caller(), late).await.expect("recorded") else {
            panic!("not a payment");
        };
        assert_eq!(payment.refund.map(|refund| refund.1), Some(RefundReason::SaleStopped));

        last.submit(&caller(), world::resume(2, 1)).await.expect("the stop ends");
        desks[0].submit(&caller(), wanted(31, 0)).await.expect("sold again");
        check(&t).await;
    }
}
