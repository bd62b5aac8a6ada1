//! Goods that came back: the returns, the units that can be sold again, the money.

use std::collections::{BTreeMap, HashMap};

use contracts::fulfillment::v1 as pb;
use contracts::order::v1 as order;

use super::{Facts, Findings, Kind, State};
use crate::journal::{Answer, Call};

pub fn check(facts: &Facts, state: &State, findings: &mut Findings) {
    acknowledged(facts, state, findings);
    effects(state, findings);
}

fn acknowledged(facts: &Facts, state: &State, findings: &mut Findings) {
    let by_id: HashMap<&str, &pb::GoodsReturn> = state
        .returns
        .iter()
        .map(|r| (r.return_id.as_str(), r))
        .collect();
    for (call, answer) in facts.acknowledged() {
        let there = match (call, answer) {
            (Call::Return { order, .. }, Answer::Returned { id }) => {
                let of_order = state.returns.iter().filter(|r| &r.order_id == order);
                of_order.map(|r| &r.return_id).eq([id])
            }
            (Call::Decide { goods_return }, _) => by_id
                .get(goods_return.as_str())
                .is_some_and(|r| r.decide_time.is_some()),
            (Call::Receive { goods_return }, _) => by_id
                .get(goods_return.as_str())
                .is_some_and(|r| r.receive_time.is_some()),
            _ => continue,
        };
        findings.that(Kind::ReturnLost, there, || {
            format!("{call:?} was answered {answer:?}, and the return does not show it once")
        });
    }
}

/// What was received stands in the order's counters, went back into the allotment and is paid back: each once.
fn effects(state: &State, findings: &mut Findings) {
    let mut received: HashMap<&str, i64> = HashMap::new();
    let mut restocked = 0;
    let mut owed: BTreeMap<&str, usize> = BTreeMap::new();
    for goods_return in &state.returns {
        for line in &goods_return.lines {
            *received.entry(&line.order_line_id).or_default() += line.received_quantity;
            restocked += line.restock_quantity;
        }
        if goods_return.receive_time.is_some() {
            *owed.entry(&goods_return.return_id).or_default() += 1;
        }
    }
    for line in state.orders.iter().flat_map(|o| &o.lines) {
        let counted = line.quantities.unwrap_or_default().returned;
        let came = received
            .get(line.order_line_id.as_str())
            .copied()
            .unwrap_or_default();
        findings.that(Kind::ReturnLost, counted == came, || {
            format!(
                "{}: {came} came back, {counted} counted",
                line.order_line_id
            )
        });
    }
    let moved: i64 = state
        .movements
        .iter()
        .filter(|m| m.kind() == order::MovementKind::Restock)
        .map(|m| m.quantity)
        .sum();
    findings.that(Kind::ReturnLost, moved == restocked, || {
        format!("{restocked} units are to be sold again, {moved} were moved")
    });
    let mut paid_back: BTreeMap<&str, usize> = BTreeMap::new();
    for refund in state.refunds.iter().filter(|r| !r.return_id.is_empty()) {
        *paid_back.entry(&refund.return_id).or_default() += 1;
    }
    findings.that(Kind::ReturnLost, owed == paid_back, || {
        format!(
            "{} returns were received, {} refunds are for returns, not one for each",
            owed.len(),
            state
                .refunds
                .iter()
                .filter(|r| !r.return_id.is_empty())
                .count()
        )
    });
}
