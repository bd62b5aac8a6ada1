//! Fulfilments, parcels, the catalogue and its mirrors.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use contracts::fulfillment::v1 as pb;
use contracts::order::v1 as order;

use super::{Facts, Findings, Kind, State};
use crate::journal::{Answer, Call};

pub fn check(facts: &Facts, state: &State, findings: &mut Findings) {
    one_to_one(state, findings);
    parcels(facts, state, findings);
    counters(state, findings);
    products(facts, state, findings);
    mirrors(state, findings);
}

fn one_to_one(state: &State, findings: &mut Findings) {
    let mut by_order: HashMap<&str, Vec<&pb::Fulfillment>> = HashMap::new();
    for fulfillment in &state.fulfillments {
        by_order
            .entry(&fulfillment.order_id)
            .or_default()
            .push(fulfillment);
    }
    for order in &state.orders {
        let found = by_order.remove(order.order_id.as_str()).unwrap_or_default();
        let should = usize::from(order.pay_time.is_some());
        findings.that(Kind::EffectMissedOrDoubled, found.len() == should, || {
            format!(
                "{} should have {should} fulfilments and has {}",
                order.order_id,
                found.len()
            )
        });
        let Some(fulfillment) = found.first() else {
            continue;
        };
        let counts = |id: &str, q: order::LineQuantities| {
            (
                id.to_owned(),
                [
                    q.ordered,
                    q.cancelled,
                    q.shipped,
                    q.delivered,
                    q.undelivered,
                ],
            )
        };
        let here: BTreeMap<String, [i64; 5]> = order
            .lines
            .iter()
            .map(|l| counts(&l.order_line_id, l.quantities.unwrap_or_default()))
            .collect();
        let there: BTreeMap<String, [i64; 5]> = fulfillment
            .lines
            .iter()
            .map(|l| counts(&l.order_line_id, l.quantities.unwrap_or_default()))
            .collect();
        findings.that(Kind::EffectMissedOrDoubled, here == there, || {
            format!(
                "{}: the order counts {here:?}, its fulfilment {there:?}",
                order.order_id
            )
        });
    }
    for order in by_order.keys() {
        findings.that(Kind::EffectMissedOrDoubled, false, || {
            format!("a fulfilment is there for {order}, which is not")
        });
    }
}

fn parcels(facts: &Facts, state: &State, findings: &mut Findings) {
    let by_id: HashMap<&str, &pb::Shipment> = state
        .shipments
        .iter()
        .map(|s| (s.shipment_id.as_str(), s))
        .collect();
    let mut acknowledged: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (call, answer) in facts.acknowledged() {
        match (call, answer) {
            (Call::Ship { order, .. }, Answer::Shipped { shipment, lines }) => {
                acknowledged.entry(order).or_default().insert(shipment);
                let same = by_id.get(shipment.as_str()).is_some_and(|s| {
                    let there: BTreeMap<&str, i64> = s
                        .lines
                        .iter()
                        .map(|l| (l.order_line_id.as_str(), l.quantity))
                        .collect();
                    &s.order_id == order
                        && there == lines.iter().map(|(l, q)| (l.as_str(), *q)).collect()
                });
                findings.that(Kind::ParcelLost, same, || {
                    format!("{shipment} of {order} was acknowledged and is not there as told")
                });
            }
            (
                Call::Track {
                    shipment,
                    event,
                    status,
                },
                Answer::Tracked,
            ) => {
                let there = by_id.get(shipment.as_str()).map_or(0, |s| {
                    s.events
                        .iter()
                        .filter(|e| &e.carrier_event_id == event && e.status == *status)
                        .count()
                });
                findings.that(Kind::ParcelLost, there == 1, || {
                    format!("{event} of {shipment} was acknowledged and is there {there} times")
                });
            }
            _ => {}
        }
    }
    let mut per_order: BTreeMap<&str, usize> = BTreeMap::new();
    for shipment in &state.shipments {
        *per_order.entry(&shipment.order_id).or_default() += 1;
    }
    for (order, parcels) in per_order {
        // The warehouse packs each order once, with one key.
        findings.that(Kind::ParcelDoubled, parcels == 1, || {
            format!("{order} has {parcels} parcels")
        });
    }
}

/// What is in parcels is what the fulfilments count.
fn counters(state: &State, findings: &mut Findings) {
    let mut in_parcels: HashMap<&str, [i64; 3]> = HashMap::new();
    for shipment in &state.shipments {
        for line in &shipment.lines {
            let sums = in_parcels.entry(&line.order_line_id).or_default();
            sums[0] += line.quantity;
            match shipment.state() {
                pb::ShipmentState::Delivered => sums[1] += line.quantity,
                pb::ShipmentState::Failed => sums[2] += line.quantity,
                _ => {}
            }
        }
    }
    for line in state.fulfillments.iter().flat_map(|f| &f.lines) {
        let q = line.quantities.unwrap_or_default();
        let counted = [q.shipped, q.delivered, q.undelivered];
        let parcels = in_parcels
            .get(line.order_line_id.as_str())
            .copied()
            .unwrap_or_default();
        findings.that(Kind::EffectMissedOrDoubled, counted == parcels, || {
            format!(
                "{}: counts {counted:?}, its parcels hold {parcels:?}",
                line.order_line_id
            )
        });
    }
}

fn products(facts: &Facts, state: &State, findings: &mut Findings) {
    let mut by_sku: HashMap<&str, Vec<(&str, &str)>> = HashMap::new();
    for product in &state.products {
        for variant in &product.variants {
            by_sku
                .entry(&variant.sku)
                .or_default()
                .push((&product.product_id, &variant.variant_id));
        }
    }
    for (call, answer) in facts.acknowledged() {
        let (Call::Product { sku, .. }, Answer::Product { product, variant }) = (call, answer)
        else {
            continue;
        };
        let found = by_sku.get(sku.as_str()).map(Vec::as_slice);
        let found = found.unwrap_or_default();
        let same = found == [(product.as_str(), variant.as_str())];
        findings.that(Kind::ProductLost, same, || {
            format!("{sku} was acknowledged as {product}, the catalogue has {found:?}")
        });
    }
}

fn mirrors(state: &State, findings: &mut Findings) {
    let Some(original) = state.tables.listings.get("catalog") else {
        return;
    };
    for mirror in ["order", "room"] {
        for (listing, said) in original {
            let there = state
                .tables
                .listings
                .get(mirror)
                .and_then(|m| m.get(listing));
            findings.that(Kind::MirrorWrong, there == Some(said), || {
                format!("{listing} is {said} in the catalogue and {there:?} in {mirror}")
            });
        }
    }
}
