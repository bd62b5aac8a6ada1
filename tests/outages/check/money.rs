//! Every cent that a partner said it took is recorded once, and is kept for goods or due back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use contracts::common::v1::Money;
use contracts::order::v1 as pb;

use super::{Facts, Findings, Kind, State};
use crate::journal::{Answer, Call};

fn minor(money: Option<&Money>) -> i64 {
    money.map_or(0, |m| m.minor_units)
}

pub fn check(facts: &Facts, state: &State, findings: &mut Findings) {
    let recorded = payments(facts, state, findings);
    refunds(facts, state, findings);
    conserved(state, &recorded, findings);
}

/// Payments by order and reference.
fn payments<'a>(
    facts: &Facts,
    state: &'a State,
    findings: &mut Findings,
) -> BTreeMap<&'a str, i64> {
    let mut by_key: HashMap<(&str, &str), Vec<&pb::Payment>> = HashMap::new();
    let mut by_order: BTreeMap<&str, i64> = BTreeMap::new();
    let mut sum = 0;
    for payment in &state.payments {
        by_key
            .entry((&payment.order_id, &payment.payment_reference))
            .or_default()
            .push(payment);
        sum += minor(payment.amount.as_ref());
        *by_order.entry(&payment.order_id).or_default() += minor(payment.amount.as_ref());
    }
    let in_feed = [i64::try_from(state.payments.len()).unwrap_or(i64::MAX), sum];
    findings.that(
        Kind::PaymentDoubled,
        in_feed == state.tables.payments,
        || {
            format!(
                "payments and their sum: {in_feed:?} in the feed, {:?} in the table",
                state.tables.payments
            )
        },
    );
    let mut intended = BTreeSet::new();
    for made in &facts.calls {
        let Call::Pay {
            order,
            reference,
            minor_units,
        } = &made.call
        else {
            continue;
        };
        intended.insert((order.as_str(), reference.as_str()));
        let found = by_key.get(&(order.as_str(), reference.as_str()));
        let found = found.map(Vec::as_slice).unwrap_or_default();
        findings.that(Kind::PaymentDoubled, found.len() <= 1, || {
            format!("{reference} of {order} is recorded {} times", found.len())
        });
        let Some((_, Answer::Paid { payment, paid, .. })) = &made.acknowledged else {
            continue;
        };
        let same = found.iter().any(|p| {
            &p.payment_id == payment
                && minor(p.amount.as_ref()) == *minor_units
                && (p.outcome() == pb::PaymentOutcome::Paid) == *paid
        });
        findings.that(Kind::PaymentLost, same, || {
            format!("{reference} of {order} was acknowledged as {payment} and is not there")
        });
    }
    for key in by_key.keys() {
        findings.that(Kind::PaymentDoubled, intended.contains(key), || {
            format!("{key:?} was never stated")
        });
    }
    by_order
}

fn refunds(facts: &Facts, state: &State, findings: &mut Findings) {
    let by_id: HashMap<&str, &pb::Refund> = state
        .refunds
        .iter()
        .map(|r| (r.refund_id.as_str(), r))
        .collect();
    for (call, answer) in facts.acknowledged() {
        let there = match (call, answer) {
            (
                _,
                Answer::Paid {
                    refund,
                    refund_minor_units,
                    paid: false,
                    ..
                },
            ) => by_id
                .get(refund.as_str())
                .is_some_and(|r| minor(r.shopper_amount.as_ref()) == *refund_minor_units),
            (
                Call::Refund {
                    refund,
                    reference,
                    executed,
                },
                Answer::Refunded { minor_units, .. },
            ) => by_id.get(refund.as_str()).is_some_and(|r| {
                let same = minor(r.shopper_amount.as_ref()) == *minor_units;
                let final_word =
                    r.state() == pb::RefundState::Executed && &r.refund_reference == reference;
                same && (final_word || !executed)
            }),
            (Call::Reissue { refund, .. }, Answer::Reissued { attempt }) => by_id
                .get(refund.as_str())
                .is_some_and(|r| r.attempt >= *attempt),
            _ => continue,
        };
        findings.that(Kind::PaymentLost, there, || {
            format!("{call:?} was answered {answer:?}, and the refund is not there as told")
        });
    }
}

/// What was paid for an order is what its goods cost, and what goes back.
fn conserved(state: &State, paid: &BTreeMap<&str, i64>, findings: &mut Findings) {
    // Paid back already, and still to be paid back.
    let mut back: HashMap<&str, [i64; 2]> = HashMap::new();
    for refund in &state.refunds {
        let due = usize::from(refund.state() != pb::RefundState::Executed);
        back.entry(&refund.order_id).or_default()[due] += minor(refund.shopper_amount.as_ref());
    }
    for order in &state.orders {
        let id = order.order_id.as_str();
        let paid = paid.get(id).copied().unwrap_or_default();
        let sums = back.get(id).copied().unwrap_or_default();
        let back: i64 = sums.iter().sum();
        let kept: i64 = order
            .lines
            .iter()
            .filter(|_| order.pay_time.is_some())
            .map(|line| {
                let q = line.quantities.unwrap_or_default();
                let payable = line.amount.as_ref().and_then(|a| a.payable.as_ref());
                // Lines here have a price per unit and nothing else, so that each unit costs the same.
                minor(payable) * (q.ordered - q.cancelled - q.undelivered - q.returned)
                    / q.ordered.max(1)
            })
            .sum();
        findings.that(Kind::MoneyNotConserved, paid - back == kept, || {
            format!("{id}: {paid} paid, {back} due back, but {kept} kept")
        });
        let said = [
            minor(order.refunded.as_ref()),
            minor(order.refund_due.as_ref()),
        ];
        findings.that(Kind::MoneyNotConserved, said == sums, || {
            format!("{id}: says that {said:?} is paid back and due, its refunds say {sums:?}")
        });
    }
}
