//! At any point of an open matter or case the store may be restarted, the clock may jump, and two replicas may look at the
//! same timers: none is lost, and none fires twice.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::common::v1::RetailerRole;
use contracts::fulfillment::v1 as pb;
use contracts::fulfillment::v1::fulfillment_feed_entry::Content;
use fulfillment::Config;
use fulfillment::ops::aftersale_time::{AnyDeadline, PassDeadlines};
use fulfillment::ops::care::time::{AnyDue, FireTimers};
use kit::clock::{Clock, Micros};
use pb::{AftersaleKind as Kind, AftersaleReason as Reason, AftersaleState as State};
use store::{Db, Engine};
use testkit::{TestDb, on_both_engines};

use crate::aftersales::*;
use crate::care::*;
use crate::common::*;
use crate::server::{Server, house};

const DAY: Duration = Duration::from_secs(86_400);

/// What one person grants alone here, in minor units; an order of four units was paid with 1,000.
fn config() -> Config {
    Config {
        aftersale_alone_default_minor_units: 400,
        ..Config::default()
    }
}

/// Every state in which a matter is open, and what its deadline makes of it.
const OPEN: [(State, State); 7] = [
    (State::Requested, State::Refunding),
    (State::CounterOffered, State::Expired),
    (State::AwaitingApproval, State::Rejected),
    (State::AwaitingGoods, State::Expired),
    (State::GoodsReceived, State::Refunding),
    (State::AwaitingReshipment, State::Refunding),
    (State::Refunding, State::Refunding),
];

/// A matter about order `at`, brought to this state.
async fn brought_to(server: &Server, t: &TestDb, at: u128, state: State) -> String {
    delivered_and_priced(t, at, &[4]).await;
    let (kind, why, quantity) = match state {
        State::AwaitingGoods | State::GoodsReceived => (Kind::ReturnAndRefund, Reason::Damaged, 1),
        State::AwaitingReshipment => (Kind::Replacement, Reason::Damaged, 1),
        State::AwaitingApproval => (Kind::RefundOnly, Reason::Damaged, 2),
        _ => (Kind::RefundOnly, Reason::Damaged, 1),
    };
    let key = |step: &str| format!("{step}{at}");
    let id = server
        .open(wish(&key("open"), at, kind, why, quantity, None))
        .await
        .aftersale_id;
    match state {
        State::Requested => {}
        State::CounterOffered => {
            server
                .decide(decide(&key("offer"), &id, offered(at, 100)))
                .await;
        }
        _ => {
            let goods = kind == Kind::ReturnAndRefund;
            server
                .decide(decide(&key("grant"), &id, granted(goods)))
                .await;
        }
    }
    if state == State::GoodsReceived {
        let mut warehouse = server.matters_as(RetailerRole::Warehouse);
        warehouse
            .record_aftersale_received(came(&key("came"), &id))
            .await
            .expect("it came");
    }
    assert_eq!(server.now(&id).await.state(), state);
    id
}

/// Cases in every state in which one is open.
async fn cases(server: &Server) -> Vec<String> {
    let mut ana = server.care_as("ana", RetailerRole::Care);
    let mut ids = Vec::new();
    for state in ["open", "partner", "shopper", "arbiter", "resolved"] {
        let id = opened(server, open(state)).await.case_id;
        let said = match state {
            "partner" => says(
                pb::CaseParty::Retailer,
                pb::MessageVisibility::PartnerAndRetailer,
                "Which one?",
            ),
            "shopper" | "arbiter" => retailer("We think it is genuine"),
            _ => None,
        };
        if said.is_some() {
            ana.post_message(post(&format!("p-{state}"), &id, said))
                .await
                .expect("says");
        }
        if state == "arbiter" {
            let raise = pb::EscalateCaseRequest {
                request_id: "e".into(),
                case_id: id.clone(),
                level: pb::CaseLevel::Dispute.into(),
                reason: "It is not".into(),
                ..Default::default()
            };
            server.care_of(1).escalate_case(raise).await.expect("rises");
            let name = pb::NameArbiterRequest {
                request_id: "n".into(),
                case_id: id.clone(),
                etag: String::new(),
                arbiter: Some(pb::CaseArbiter {
                    display_name: "Dr. Wolf".into(),
                    organisation: "Chamber of Trade".into(),
                    subject: "wolf".into(),
                }),
            };
            server
                .care_as("olga", RetailerRole::Ops)
                .name_arbiter(name)
                .await
                .expect("named");
        }
        if state == "resolved" {
            let outcomes = vec![plain(pb::CaseOutcomeKind::Declined)];
            ana.resolve_case(resolve("r", &id, outcomes))
                .await
                .expect("resolves");
        }
        ids.push(id);
    }
    ids
}

/// Looks at all timers as a replica does, until none is due; two rows in each unit, so that replicas come between.
async fn replica(db: &Db) {
    let caller = kit::caller::Caller::system("time");
    loop {
        let limits = config().aftersale_limits();
        let passed = db
            .execute(
                &caller,
                PassDeadlines {
                    limits,
                    rows_max: 2,
                },
            )
            .await
            .expect("a sweep");
        let rules = config().care.rules();
        let fired = db
            .execute(&caller, FireTimers { rows_max: 2, rules })
            .await
            .expect("a sweep");
        if passed + fired == 0 {
            break;
        }
    }
    assert!(!db.read(&caller, AnyDeadline).await.expect("a look"));
    assert!(!db.read(&caller, AnyDue).await.expect("a look"));
}

/// The process ends and another begins on the same data.
async fn restart(t: &mut TestDb) {
    t.db.close().await;
    t.db = t.reopen().await;
}

/// Both replicas look at the same moment. SQLite has one writer, and so one process.
async fn race(t: &TestDb) {
    match t.db.engine() {
        Engine::Postgres => {
            let other = t.reopen().await;
            tokio::join!(replica(&t.db), replica(&other));
            other.close().await;
        }
        Engine::Sqlite => {
            tokio::join!(replica(&t.db), replica(&t.db));
        }
    }
}

async fn server(t: &TestDb) -> Server {
    let (_never_tied, order) = kit::wire::Wire::late();
    Server::start_with(t, house(t), order, config(), false).await
}

/// How often time has moved each matter. What was granted or inspected may be settled in the same move.
async fn moved_by_time(server: &Server, ids: &[String]) -> Vec<usize> {
    use pb::AftersaleStepKind::{Granted, Inspected, Settled};
    let is_times = |step: &pb::AftersaleStep| step.party() == pb::AftersaleParty::Time;
    let mut counts = Vec::new();
    for id in ids {
        let steps = server.whole(id).await.steps;
        let moves = steps.iter().enumerate().filter(|(at, step)| {
            let before = at.checked_sub(1).and_then(|at| steps.get(at));
            let goes_on = before.is_some_and(|before| {
                is_times(before)
                    && step.kind() == Settled
                    && matches!(before.kind(), Granted | Inspected)
            });
            is_times(step) && !goes_on
        });
        counts.push(moves.count());
    }
    counts
}

/// What was told of cases, by case, change and target.
async fn told_of_cases(t: &TestDb) -> BTreeMap<(String, i32, i32), usize> {
    let mut told = BTreeMap::new();
    for entry in feed(t).await {
        if let Some(Content::CaseEvent(event)) = entry.content {
            let id = event.care_case.unwrap_or_default().case_id;
            *told.entry((id, event.change, event.target)).or_default() += 1;
        }
    }
    told
}

on_both_engines! {
    setup: setup().config(|config| config.max_connections = 8);

    async fn a_restart_and_leaps_of_the_clock_lose_no_timer_and_fire_none_twice(t: TestDb) {
        let mut t = t;
        let first = server(&t).await;
        let mut ids = Vec::new();
        for (at, (state, _)) in (1_u128..).zip(OPEN) {
            ids.push(brought_to(&first, &t, at, state).await);
        }
        let case_ids = cases(&first).await;
        let start = t.clock.now();

        // Back, and a restart: nothing is due.
        restart(&mut t).await;
        t.clock.set(start.minus(DAY * 50));
        race(&t).await;
        let second = server(&t).await;
        assert_eq!(moved_by_time(&second, &ids).await, [0; OPEN.len()]);

        // Forward past every deadline, another restart, two replicas at once: each has moved once, and as it should.
        t.clock.set(start.plus(DAY * 15));
        restart(&mut t).await;
        race(&t).await;
        let third = server(&t).await;
        assert_eq!(moved_by_time(&third, &ids).await, [1; OPEN.len()]);
        for (id, (state, after)) in ids.iter().zip(OPEN) {
            let matter = third.now(id).await;
            assert_eq!(matter.state(), after, "{state:?}");
            if let Some(next) = matter.next_action {
                let deadline = Micros::from_proto(&next.deadline.expect("a deadline")).expect("a time");
                assert!(deadline > t.clock.now(), "{state:?}: a timer was lost");
            }
        }
        let told = told_of_cases(&t).await;
        for target in [pb::CaseTargetKind::FirstResponse, pb::CaseTargetKind::Resolution, pb::CaseTargetKind::PartnerAnswer] {
            let breached = |(key, count): &(&(String, i32, i32), &usize)| {
                key.1 == i32::from(pb::CaseChange::Breached) && key.2 == i32::from(target) && **count == 1
            };
            assert!(told.iter().any(|found| breached(&found)), "{target:?}");
        }
        let states = [
            pb::CaseState::Open, pb::CaseState::WaitingRetailer, pb::CaseState::Closed, pb::CaseState::WaitingArbiter,
            pb::CaseState::Closed,
        ];
        for (id, wanted) in case_ids.iter().zip(states) {
            let case = get(&third, id).await;
            let is_told_twice = told.iter().any(|(key, count)| {
                key.0 == *id && key.1 == i32::from(pb::CaseChange::Breached) && *count > 1
            });
            assert!(!is_told_twice, "{case:?}");
            assert!(case.state() == wanted || case.state() == pb::CaseState::Resolved, "{wanted:?}: {case:?}");
            assert_eq!(case.next_action.is_none(), case.state() == pb::CaseState::Closed);
        }

        // Back over the deadlines that have passed, restarted, and forward to them again: nothing happens twice.
        for to in [start.minus(DAY * 50), start.plus(DAY * 15)] {
            t.clock.set(to);
            restart(&mut t).await;
            race(&t).await;
        }
        let fourth = server(&t).await;
        assert_eq!(moved_by_time(&fourth, &ids).await, [1; OPEN.len()]);
        assert_eq!(told_of_cases(&t).await, told);
        let settled = settlements(&t).await;
        for id in &ids {
            assert!(settled.iter().filter(|told| told.aftersale_id == *id).count() <= 1, "settled once");
        }

        // What is still open goes on: partners that have not paid back are reminded, once more each.
        t.clock.set(start.plus(DAY * 23));
        restart(&mut t).await;
        race(&t).await;
        let fifth = server(&t).await;
        let counts = moved_by_time(&fifth, &ids).await;
        let wanted: Vec<usize> = OPEN.iter().map(|(_, after)| 1 + usize::from(*after == State::Refunding)).collect();
        assert_eq!(counts, wanted);
        check_feed(&t).await;
    }
}
