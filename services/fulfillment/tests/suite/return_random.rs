//! Everybody wants something of the same returns at the same moment, again and again: the units add up all the same.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::id::{OrderLineId, ReturnId};
use contracts::order::v1::RefundState;
use fulfillment::Config;
use fulfillment::model::LineQuantity;
use fulfillment::model::returns::{
    GoodsCondition, GoodsReturn, Instructions, Received, ReturnAsk, ReturnInitiator, ReturnKind,
    ReturnReason, ReturnState,
};
use fulfillment::ops::read::ListReturns;
use fulfillment::ops::returns::{
    CancelReturn, DecideReturn, Decision, ExpireReturns, ReceiveReturn, RequestReturn, Which,
};
use fulfillment::rpc::render;
use fulfillment::store::return_list::ReturnQuery;
use futures::future::join_all;
use kit::errors::Fault;
use proptest::prelude::*;
use testkit::{Engine, Setup, TestDb};

use crate::common::*;

const ORDERS: u128 = 2;

/// A choice of lines.
type Pick = Vec<(u128, i64)>;

#[derive(Clone, Debug)]
enum Step {
    Ask(u128, Pick),
    Approve(usize, Pick),
    Reject(usize),
    TakeBack(usize),
    Receive(usize, Pick),
    Refund(usize, RefundState, i64),
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let pick = |from: usize| {
        proptest::collection::btree_map(1u128..3, 1i64..4, from..3)
            .prop_map(|lines| lines.into_iter().collect::<Pick>())
    };
    let which = || 0usize..5;
    let refund = proptest::sample::select(vec![
        RefundState::Authorised,
        RefundState::Executed,
        RefundState::Failed,
    ]);
    prop_oneof![
        5 => (1..=ORDERS, pick(1)).prop_map(|(order, pick)| Step::Ask(order, pick)),
        4 => (which(), pick(0)).prop_map(|(at, pick)| Step::Approve(at, pick)),
        1 => which().prop_map(Step::Reject),
        2 => which().prop_map(Step::TakeBack),
        4 => (which(), pick(1)).prop_map(|(at, pick)| Step::Receive(at, pick)),
        3 => (which(), refund, 1i64..3).prop_map(|(at, state, attempt)| Step::Refund(at, state, attempt)),
        2 => Just(Step::Expire),
    ]
}

fn order_of(found: &GoodsReturn) -> u128 {
    found.order_id.uuid()
}

fn lines(order: u128, pick: Pick) -> Vec<LineQuantity> {
    let units = |(line, quantity)| units(order, line, quantity);
    pick.into_iter().map(units).collect()
}

/// Takes a step; whatever is refused is refused.
async fn take(t: &TestDb, known: &[GoodsReturn], step: Step) {
    let limits = Config::default().return_limits();
    let which = |at: usize| {
        known.get(at).map(|found| Which {
            return_id: found.id,
            partner: None,
            etag: None,
        })
    };
    let done = match step {
        Step::Ask(order, pick) => {
            let reason = |line| (line, ReturnReason::Other);
            let ask = RequestReturn {
                order_id: order_id(order),
                partner: Some(partner(1)),
                ask: ReturnAsk {
                    kind: ReturnKind::ReturnAndRefund,
                    initiator: ReturnInitiator::Partner,
                    lines: lines(order, pick).into_iter().map(reason).collect(),
                },
                note: String::new(),
                limits,
            };
            t.execute(ask).await.map(|_| ())
        }
        Step::Approve(at, pick) => {
            let Some(which) = which(at) else { return };
            let decision = Decision::Approve {
                lines: lines(order_of(&known[at]), pick),
                instructions: Instructions {
                    return_site_reference: "lyon-2".into(),
                    ..Instructions::default()
                },
                by: None,
                message: String::new(),
            };
            let approve = DecideReturn {
                which,
                decision,
                limits,
            };
            t.execute(approve).await.map(|_| ())
        }
        Step::Reject(at) => {
            let Some(which) = which(at) else { return };
            let decision = Decision::Reject("No".into());
            let reject = DecideReturn {
                which,
                decision,
                limits,
            };
            t.execute(reject).await.map(|_| ())
        }
        Step::TakeBack(at) => {
            let Some(which) = which(at) else { return };
            t.execute(CancelReturn { which }).await.map(|_| ())
        }
        Step::Receive(at, pick) => {
            let Some(which) = which(at) else { return };
            let came = |line: LineQuantity| Received {
                order_line_id: line.order_line_id,
                quantity: line.quantity,
                condition: GoodsCondition::AsNew,
                restock: true,
            };
            let units = lines(order_of(&known[at]), pick);
            let receive = ReceiveReturn {
                which,
                units: units.into_iter().map(came).collect(),
            };
            t.execute(receive).await.map(|_| ())
        }
        Step::Refund(at, state, attempt) => {
            let Some(found) = known.get(at) else { return };
            let entry = refund(&render::goods_return(found), 1 + at as u128, state, attempt);
            t.execute(Apply(entry)).await
        }
        Step::Expire => t.execute(ExpireReturns { rows_max: 2 }).await.map(|_| ()),
    };
    if let Err(fault) = done {
        assert!(matches!(fault, Fault::Refused(_)), "{fault:?}");
    }
}

async fn all(t: &TestDb) -> Vec<GoodsReturn> {
    let query = ReturnQuery {
        partner: None,
        order: None,
        state: None,
        after: None::<ReturnId>,
        limit: 1_000,
    };
    t.read(ListReturns(query)).await.expect("a page")
}

/// The counters of the lines are what the returns add up to.
async fn check(t: &TestDb) {
    let mut sums: BTreeMap<OrderLineId, [i64; 2]> = BTreeMap::new();
    for found in all(t).await {
        for line in &found.lines {
            let sum = sums.entry(line.order_line_id).or_default();
            sum[0] += found.set_aside(line);
            sum[1] += line.received();
        }
        let is_back = matches!(found.state, ReturnState::Received | ReturnState::Completed);
        assert_eq!(found.lines.iter().any(|line| line.received() > 0), is_back);
    }
    for at in 1..=ORDERS {
        for line in of_order(t, order_id(at)).await.lines {
            let sum = sums.remove(&line.order_line_id).unwrap_or_default();
            assert_eq!([line.in_returns, line.returned], sum);
            assert!(line.in_returns + line.returned <= line.delivered);
        }
    }
}

fn run(engine: Engine, rounds: Vec<Vec<Step>>) {
    let setup: Setup = setup().config(|config| config.max_connections = 8);
    testkit::run(engine, setup, |t| async move {
        for at in 1..=ORDERS {
            delivered(&t, at, &[3, 2]).await;
        }
        for round in rounds {
            let known = all(&t).await;
            join_all(round.into_iter().map(|step| take(&t, &known, step))).await;
            check(&t).await;
            t.clock.advance(Duration::from_secs(4 * 86_400));
        }
        check_feed(&t).await;
    });
}

fn rounds() -> impl Strategy<Value = Vec<Vec<Step>>> {
    proptest::collection::vec(proptest::collection::vec(step(), 1..7), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn returns_add_up_on_sqlite(rounds in rounds()) {
        run(Engine::Sqlite, rounds);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn returns_add_up_on_postgres(rounds in rounds()) {
        run(Engine::Postgres, rounds);
    }
}
