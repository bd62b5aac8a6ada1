//! Orders, their changes, and the answers to repeated keys.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use contracts::order::v1 as pb;

use super::{Facts, Findings, Kind, State};
use crate::journal::{Answer, Call};

pub fn check(facts: &Facts, state: &State, findings: &mut Findings) {
    same_key_same_answer(facts, findings);
    orders(facts, state, findings);
    changes(facts, state, findings);
    holds(facts, state, findings);
    stops(facts, findings);
    last_words(state, findings);
}

/// What identifies a call's effect: its answer must be the same each time.
fn same_key_same_answer(facts: &Facts, findings: &mut Findings) {
    let mut first: BTreeMap<&Call, &Answer> = BTreeMap::new();
    for (call, answer) in facts.acknowledged() {
        if matches!(call, Call::Like { .. }) {
            continue;
        }
        let known = *first.entry(call).or_insert(answer);
        findings.that(Kind::AnswerChanged, known == answer, || {
            format!("{call:?} was answered {known:?} and {answer:?}")
        });
    }
}

fn orders(facts: &Facts, state: &State, findings: &mut Findings) {
    let mut by_key: HashMap<(&str, &str), Vec<&pb::Order>> = HashMap::new();
    for order in &state.orders {
        by_key
            .entry((&order.partner_id, &order.partner_order_id))
            .or_default()
            .push(order);
    }
    let mut intended: BTreeSet<(&str, &str)> = BTreeSet::new();
    for made in &facts.calls {
        let Call::Place {
            partner,
            key,
            lines,
            payable,
        } = &made.call
        else {
            continue;
        };
        intended.insert((partner, key));
        let found = by_key.get(&(partner.as_str(), key.as_str()));
        let found = found.map(Vec::as_slice).unwrap_or_default();
        findings.that(Kind::OrderDoubled, found.len() <= 1, || {
            format!("{key} has {} orders", found.len())
        });
        let Some((
            _,
            Answer::Placed {
                order,
                payable: told,
                ..
            },
        )) = &made.acknowledged
        else {
            continue;
        };
        let same = found.iter().any(|o| {
            let amount = o.amount.as_ref().and_then(|a| a.payable.as_ref());
            let ordered: Vec<(String, i64)> = o
                .lines
                .iter()
                .map(|l| {
                    (
                        l.listing_id.clone(),
                        l.quantities.unwrap_or_default().ordered,
                    )
                })
                .collect();
            &o.order_id == order
                && amount.map(|m| m.minor_units) == Some(*payable)
                && told == payable
                && &ordered == lines
        });
        findings.that(Kind::OrderLost, same, || {
            let ids: Vec<&String> = found.iter().map(|o| &o.order_id).collect();
            format!("{key} was acknowledged as {order}, the suite has {ids:?}")
        });
    }
    for key in by_key.keys() {
        findings.that(Kind::OrderDoubled, intended.contains(key), || {
            format!("{key:?} was never asked for")
        });
    }
}

fn changes(facts: &Facts, state: &State, findings: &mut Findings) {
    let orders: HashMap<&str, &pb::Order> = state
        .orders
        .iter()
        .map(|o| (o.order_id.as_str(), o))
        .collect();
    let mut counted: HashMap<(&str, i32), usize> = HashMap::new();
    for (order, change) in &state.changes {
        *counted.entry((order, *change)).or_default() += 1;
    }
    let count = |order: &str, change: pb::OrderChange| {
        counted
            .get(&(order, change as i32))
            .copied()
            .unwrap_or_default()
    };
    let mut seen = BTreeSet::new();
    for (call, answer) in facts.acknowledged() {
        // The same key again has no other effect.
        if !seen.insert(call) {
            continue;
        }
        let (order, there) = match (call, answer) {
            (Call::Extend { order, .. }, Answer::Extended { .. }) => {
                (order, count(order, pb::OrderChange::HoldExtended) == 1)
            }
            (Call::Contact { order, .. }, Answer::Contact { version }) => {
                let there = orders.get(order.as_str()).is_some_and(|o| o.has_contact);
                let once = count(order, pb::OrderChange::ContactSet) == 1;
                (order, there && once && *version == 1)
            }
            (Call::Cancel { order, .. }, Answer::Cancelled { outcome }) => {
                let cancelled = *outcome == pb::CancelOutcome::Cancelled as i32;
                let whole = orders
                    .get(order.as_str())
                    .is_some_and(|o| o.state() == pb::OrderState::Cancelled);
                (order, !cancelled || whole)
            }
            _ => continue,
        };
        findings.that(Kind::ChangeLost, there, || {
            format!("{call:?} was answered {answer:?}, and {order} does not show it once")
        });
    }
    for order in &state.orders {
        let once = count(&order.order_id, pb::OrderChange::Placed) == 1;
        findings.that(Kind::EffectMissedOrDoubled, once, || {
            format!("{} stands in the feed as placed not once", order.order_id)
        });
        let paid = count(&order.order_id, pb::OrderChange::Paid);
        let should = usize::from(order.pay_time.is_some());
        findings.that(Kind::EffectMissedOrDoubled, paid == should, || {
            format!("{} stands in the feed as paid {paid} times", order.order_id)
        });
    }
}

/// No hold ends before the time that was promised with it.
fn holds(facts: &Facts, state: &State, findings: &mut Findings) {
    for (call, answer) in facts.acknowledged() {
        let (order, until) = match (call, answer) {
            (
                _,
                Answer::Placed {
                    order, hold_until, ..
                },
            ) => (order, hold_until),
            (Call::Extend { order, .. }, Answer::Extended { until }) => (order, until),
            _ => continue,
        };
        let kept = state.expired.get(order).is_none_or(|at| at >= until);
        findings.that(Kind::HoldBroken, kept, || {
            let at = state.expired.get(order);
            format!("{order} was held until {until} and expired at {at:?}")
        });
    }
}

/// Nothing whose sale is stopped is sold between the stop's acknowledgement and the first word of its end, by
/// whichever replica.
fn stops(facts: &Facts, findings: &mut Findings) {
    let mut ends: HashMap<&str, i64> = HashMap::new();
    let mut first_asked: HashMap<&str, i64> = HashMap::new();
    for made in &facts.calls {
        match &made.call {
            Call::Resume { stop, .. } => {
                ends.entry(stop).or_insert(made.intended_at);
            }
            Call::Place { key, .. } => {
                first_asked.entry(key).or_insert(made.intended_at);
            }
            _ => {}
        }
    }
    let mut stopped: HashMap<&str, Vec<(i64, i64)>> = HashMap::new();
    for made in &facts.calls {
        if let (Call::Stop { listing, .. }, Some((at, Answer::Stopped { stop }))) =
            (&made.call, &made.acknowledged)
        {
            let end = ends.get(stop.as_str()).copied().unwrap_or(i64::MAX);
            stopped.entry(listing).or_default().push((*at, end));
        }
    }
    for made in &facts.calls {
        let (Call::Place { key, lines, .. }, Some((at, _))) = (&made.call, &made.acknowledged)
        else {
            continue;
        };
        let asked = first_asked[key.as_str()];
        for (listing, _) in lines {
            let while_stopped = stopped
                .get(listing.as_str())
                .is_some_and(|stops| stops.iter().any(|(from, to)| asked > *from && at < to));
            findings.that(Kind::StopIgnored, !while_stopped, || {
                format!("{key} was placed at {at} while the sale of {listing} was stopped")
            });
        }
    }
}

/// The feed's last word on an order is the order.
fn last_words(state: &State, findings: &mut Findings) {
    for order in &state.orders {
        let last = state.last_word.get(&order.order_id);
        let same = last.is_some_and(|l| {
            l.etag == order.etag
                && l.state == order.state
                && l.payment_state == order.payment_state
                && l.lines.len() == order.lines.len()
                && l.lines
                    .iter()
                    .zip(&order.lines)
                    .all(|(a, b)| a.quantities == b.quantities)
        });
        findings.that(Kind::EffectMissedOrDoubled, same, || {
            format!("{}: the feed's last word is another", order.order_id)
        });
    }
}
