//! Units: movements, holds and sales add up.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use contracts::order::v1 as pb;

use super::{Facts, Findings, Kind, State};
use crate::journal::{Answer, Call};

pub fn check(facts: &Facts, state: &State, findings: &mut Findings) {
    movements(facts, state, findings);
    let mut allotment_of: HashMap<&str, &str> = HashMap::new();
    for allotment in &state.allotments {
        for listing in &allotment.listings {
            allotment_of.insert(&listing.listing_id, &allotment.allotment_id);
        }
    }
    let (mut held, mut sold): (BTreeMap<&str, i64>, BTreeMap<&str, i64>) = Default::default();
    for order in &state.orders {
        for line in &order.lines {
            let q = line.quantities.unwrap_or_default();
            let Some(allotment) = allotment_of.get(line.listing_id.as_str()) else {
                continue;
            };
            if order.state() == pb::OrderState::PendingPayment {
                *held.entry(allotment).or_default() += q.ordered;
            } else if order.pay_time.is_some() {
                *sold.entry(allotment).or_default() += q.ordered - q.cancelled;
            }
        }
    }
    for allotment in &state.allotments {
        let id = allotment.allotment_id.as_str();
        let moved: i64 = state
            .movements
            .iter()
            .filter(|m| m.allotment_id == id)
            .map(|m| m.quantity)
            .sum();
        let of = |counts: &BTreeMap<&str, i64>| counts.get(id).copied().unwrap_or_default();
        let said = [allotment.supplied, allotment.held, allotment.sold];
        let should = [moved, of(&held), of(&sold)];
        findings.that(Kind::UnitsNotConserved, said == should, || {
            format!("{id}: supplied, held, sold are {said:?}; movements and orders make {should:?}")
        });
        let sum = allotment.available + allotment.held + allotment.sold;
        findings.that(Kind::UnitsNotConserved, sum == allotment.supplied, || {
            format!("{id}: {sum} is not {}", allotment.supplied)
        });
        let taken: i64 = allotment.listings.iter().map(|l| l.taken).sum();
        let should = allotment.held + allotment.sold;
        findings.that(Kind::UnitsNotConserved, taken == should, || {
            format!("{id}: its listings have taken {taken}, held and sold are {should}")
        });
    }
}

fn movements(facts: &Facts, state: &State, findings: &mut Findings) {
    let by_id: HashMap<&str, &pb::Movement> = state
        .movements
        .iter()
        .map(|m| (m.movement_id.as_str(), m))
        .collect();
    let mut intended: BTreeSet<&Call> = BTreeSet::new();
    for made in &facts.calls {
        let Call::Move {
            allotment,
            quantity,
            key,
        } = &made.call
        else {
            continue;
        };
        if made.refused.is_none() {
            intended.insert(&made.call);
        }
        let Some((_, Answer::Moved { movement })) = &made.acknowledged else {
            continue;
        };
        let same = by_id
            .get(movement.as_str())
            .is_some_and(|m| m.quantity == *quantity && &m.allotment_id == allotment);
        findings.that(Kind::MovementLost, same, || {
            format!("{key} was acknowledged as {movement} and is not there")
        });
    }
    let later = state
        .movements
        .iter()
        .filter(|m| {
            // What came back is the consumers' doing.
            !matches!(
                m.kind(),
                pb::MovementKind::Initial | pb::MovementKind::Restock
            )
        })
        .count();
    findings.that(Kind::MovementLost, later == intended.len(), || {
        format!(
            "{} movements were asked for, {later} are there",
            intended.len()
        )
    });
}
