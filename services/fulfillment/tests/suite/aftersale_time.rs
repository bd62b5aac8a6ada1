//! Timers of matters: whatever crashes and however the clock jumps, none is lost and none fires twice.

use std::time::Duration;

use contracts::fulfillment::v1 as pb;
use fulfillment::Config;
use fulfillment::ops::aftersale_time::PassDeadlines;
use kit::clock::{Clock, Micros};
use kit::wire::Wire;
use pb::{AftersaleKind as Kind, AftersaleReason as Reason, AftersaleState as State};
use proptest::prelude::*;
use testkit::{TestDb, eventually_async, on_both_engines};

use crate::aftersales::*;
use crate::common::*;
use crate::server::{Server, house};

const DAY: Duration = Duration::from_secs(86_400);
const BOUND: Duration = Duration::from_secs(30);

async fn with_timers(t: &TestDb) -> Server {
    let (_never_tied, order) = Wire::late();
    let config = Config {
        lift_interval_ms: 5,
        ..Config::default()
    };
    Server::start_with(t, house(t), order, config, true).await
}

fn sweep(rows_max: i64) -> PassDeadlines {
    PassDeadlines {
        limits: Config::default().aftersale_limits(),
        rows_max,
    }
}

/// What happens between two looks.
#[derive(Clone, Debug)]
enum Event {
    /// The clock jumps ahead by so many hours.
    Jump(u64),
    /// The clock is set back by so many hours.
    Back(u64),
    /// A sweeper passes deadlines, so many at once.
    Sweep(i64),
    /// Two sweepers do so at the same moment.
    Race,
    /// A sweeper is cut off in the middle: its caller goes away.
    Crash,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        (1_u64..200).prop_map(Event::Jump),
        (1_u64..50).prop_map(Event::Back),
        (1_i64..4).prop_map(Event::Sweep),
        Just(Event::Race),
        Just(Event::Crash),
    ];
    proptest::collection::vec(event, 1..14)
}

/// Random plans, the same in every run that names its seed.
fn plans(count: usize) -> Vec<Vec<Event>> {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, TestRunner};
    let mut runner = TestRunner::new(Config::default());
    let plan = |_| events().new_tree(&mut runner).expect("a plan").current();
    (0..count).map(plan).collect()
}

async fn happen(t: &TestDb, event: &Event) {
    match event {
        Event::Jump(hours) => {
            t.clock.advance(Duration::from_secs(hours * 3_600));
        }
        Event::Back(hours) => {
            let back = Duration::from_secs(hours * 3_600);
            t.clock.set(t.clock.now().minus(back));
        }
        Event::Sweep(rows_max) => {
            t.execute(sweep(*rows_max)).await.expect("a sweep");
        }
        Event::Race => {
            let (one, two) = tokio::join!(t.execute(sweep(10)), t.execute(sweep(10)));
            one.and(two).expect("both end well");
        }
        Event::Crash => {
            let cut = Duration::from_micros(300);
            let _cut_off = tokio::time::timeout(cut, t.execute(sweep(10))).await;
        }
    }
}

/// Each step of time that a matter has taken, told once each, no earlier than its deadline.
async fn check_timers(server: &Server, t: &TestDb, ids: &[String], plan: &[Event]) {
    for id in ids {
        let whole = server.whole(id).await;
        let matter = whole.aftersale.expect("a matter");
        let numbers: Vec<i32> = whole.steps.iter().map(|step| step.step_number).collect();
        let all: Vec<i32> = (1..).take(numbers.len()).collect();
        assert_eq!(numbers, all, "{plan:?}");
        let of_time = |kind: pb::AftersaleStepKind| {
            let mine = whole
                .steps
                .iter()
                .filter(|step| step.party() == pb::AftersaleParty::Time);
            mine.filter(|step| step.kind() == kind).count()
        };
        for once in [
            pb::AftersaleStepKind::Granted,
            pb::AftersaleStepKind::Expired,
            pb::AftersaleStepKind::Settled,
            pb::AftersaleStepKind::Inspected,
        ] {
            assert!(of_time(once) <= 1, "{once:?} fires once: {plan:?}");
        }
        // A deadline passes no sooner than it says: reviews take three days, reminders a week.
        let at =
            |at: usize| Micros::from_proto(&whole.steps[at].time.expect("a time")).expect("a time");
        for (n, step) in whole.steps.iter().enumerate().skip(1) {
            let wait = match step.kind() {
                pb::AftersaleStepKind::Granted => DAY * 3,
                pb::AftersaleStepKind::Reminded => DAY * 7,
                _ => continue,
            };
            assert!(
                at(n).since(at(n - 1)) >= wait,
                "{step:?} too soon: {plan:?}"
            );
        }
        // After all sweeps nothing is overdue.
        if let Some(next) = matter.next_action {
            let deadline = Micros::from_proto(&next.deadline.expect("a deadline")).expect("a time");
            assert!(deadline > t.clock.now(), "a timer was lost: {plan:?}");
        }
    }
    let told = settlements(t).await;
    for id in ids {
        let of = told.iter().filter(|told| told.aftersale_id == *id).count();
        assert!(of <= 1, "settled once: {plan:?}");
    }
}

on_both_engines! {
    setup: setup();

    async fn no_timer_is_lost_or_fires_twice(t: TestDb) {
        let server = Server::start(&t).await;
        for (round, plan) in (0_u128..).zip(plans(12)) {
            let mut ids = Vec::new();
            let kinds = [(Kind::RefundOnly, Reason::Damaged), (Kind::ReturnAndRefund, Reason::Damaged), (Kind::Replacement, Reason::Damaged)];
            for (n, (kind, why)) in (0_u128..).zip(kinds) {
                let at = round * 10 + n + 1;
                // Orders of two matters: their timers pass in one sweep.
                delivered_and_priced(&t, at, &[2]).await;
                for unit in 0..2 {
                    ids.push(server.open(wish(&format!("r{round}n{n}u{unit}"), at, kind, why, 1, None)).await.aftersale_id);
                }
            }
            for event in &plan {
                happen(&t, event).await;
            }
            while t.execute(sweep(3)).await.expect("a sweep") > 0 {}
            check_timers(&server, &t, &ids, &plan).await;
        }
        check_feed(&t).await;
    }

    async fn each_deadline_does_what_the_contract_says(t: TestDb) {
        let server = Server::start(&t).await;
        delivered_and_priced(&t, 1, &[8]).await;
        let days = |n: u32| { t.clock.advance(DAY * n); };
        let pass = || async { t.execute(sweep(50)).await.expect("a sweep") };
        let silent = server.open(wish("a", 1, Kind::RefundOnly, Reason::Damaged, 1, None)).await.aftersale_id;
        let sent = server.open(wish("b", 1, Kind::ReturnAndRefund, Reason::ChangedMind, 1, None)).await.aftersale_id;
        let shelf = server.open(wish("c", 1, Kind::Replacement, Reason::Damaged, 1, None)).await.aftersale_id;
        let offer = server.open(wish("d", 1, Kind::RefundOnly, Reason::Damaged, 1, None)).await.aftersale_id;
        server.decide(decide("d2", &offer, offered(1, 50))).await;
        days(3);
        assert_eq!(pass().await, 4);
        assert_eq!(server.now(&silent).await.state(), State::Refunding, "a silent retailer has granted");
        let goods = server.now(&sent).await;
        assert_eq!((goods.state(), goods.instructions.expect("somewhere").return_site_reference.as_str()), (State::AwaitingGoods, "returns"));
        assert_eq!(server.now(&shelf).await.state(), State::AwaitingReshipment);
        assert_eq!(server.now(&offer).await.state(), State::Expired, "a silent shopper lets the offer lapse");
        assert_eq!(pass().await, 0);
        days(7);
        assert_eq!(pass().await, 2);
        assert_eq!(server.now(&shelf).await.state(), State::Refunding, "nothing went out: paid back instead");
        let steps = server.whole(&silent).await.steps;
        assert_eq!(steps.last().expect("a step").kind(), pb::AftersaleStepKind::Reminded);
        days(7);
        pass().await;
        assert_eq!(server.now(&sent).await.state(), State::Expired, "nothing came");
        let line = &of_order(&t, order_id(1)).await.lines[0];
        assert_eq!(line.in_returns, 2, "what is still to be paid back");
        let slow = server.matters_as(contracts::common::v1::RetailerRole::Care)
            .request_aftersale(wish("e", 1, Kind::ReturnAndRefund, Reason::Damaged, 1, None)).await.expect("care may");
        let slow = slow.into_inner().aftersale.expect("a matter").aftersale_id;
        server.decide(decide("e2", &slow, granted(true))).await;
        let mut warehouse = server.matters_as(contracts::common::v1::RetailerRole::Warehouse);
        warehouse.record_aftersale_received(came("e3", &slow)).await.expect("it came");
        days(5);
        pass().await;
        let accepted = server.now(&slow).await;
        assert_eq!((accepted.state(), accepted.lines[0].accepted_quantity, accepted.lines[0].restock_quantity), (State::Refunding, 1, 0));
        check_feed(&t).await;
    }

    async fn timers_go_on_after_a_restart(t: TestDb) {
        let server = with_timers(&t).await;
        delivered_and_priced(&t, 1, &[1]).await;
        let id = server.open(wish("a", 1, Kind::RefundOnly, Reason::Damaged, 1, None)).await.aftersale_id;
        server.stop().await;
        // Less than feeds are kept for, and more than the deadline.
        t.clock.advance(DAY * 4);
        let server = with_timers(&t).await;
        let settled = || async { server.now(&id).await.state() == State::Refunding };
        assert!(eventually_async(BOUND, settled).await);
        assert_eq!(settlements(&t).await.len(), 1);
        server.stop().await;
    }
}
