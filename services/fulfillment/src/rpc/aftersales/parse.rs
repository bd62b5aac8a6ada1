//! What is asked for, decided, found and sent.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use contracts::fulfillment::v1 as pb;
use contracts::order::v1::CostBearer as Bearer;
use kit::clock::Micros;
use kit::validate::Violations;

use super::super::{parse as common, render};
use crate::config::Config;
use crate::model::aftersale::{
    AskedLine, CostBearer, CounterOffer, Grant, Inspected, Reshipment, Reshipped,
};
use crate::model::returns::Instructions;
use crate::ops::aftersale::Act;
use crate::store::aftersale_parts::Evidence;

pub(super) fn asked_lines(
    wrong: &mut Violations,
    config: &Config,
    drafts: &[pb::AftersaleLineDraft],
) -> Vec<AskedLine> {
    if !wrong.items("lines", drafts, 1..=config.lines_max) {
        return Vec::new();
    }
    let quantities = drafts
        .iter()
        .map(|line| (line.order_line_id.as_str(), line.quantity));
    let lines = common::lines(wrong, config, quantities);
    let mut amounts = Vec::with_capacity(drafts.len());
    for (at, draft) in drafts.iter().enumerate() {
        let mut wrong = wrong.nested(format_args!("lines[{at}]"));
        let amount = match &draft.amount {
            None => None,
            Some(_) => wrong.money("amount", &draft.amount),
        };
        if amount.is_some_and(|amount| amount.minor_units <= 0) {
            wrong.add(
                "amount.minor_units",
                "must be positive; leave the amount out for all that was paid.",
            );
        }
        amounts.push(amount);
    }
    // Where one is missing it was refused above, and nothing comes of the others.
    let asked = lines.into_iter().zip(amounts);
    asked
        .map(|(units, amount)| AskedLine { units, amount })
        .collect()
}

pub(super) fn evidence(
    wrong: &mut Violations,
    pieces: &[pb::Evidence],
    count: RangeInclusive<usize>,
) -> Vec<Evidence> {
    if !wrong.items("evidence", pieces, count) {
        return Vec::new();
    }
    let mut parsed = Vec::with_capacity(pieces.len());
    for (at, piece) in pieces.iter().enumerate() {
        let mut wrong = wrong.nested(format_args!("evidence[{at}]"));
        let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if piece.sha256_hex.len() != 64 || !piece.sha256_hex.chars().all(is_digit) {
            wrong.add("sha256_hex", "must be 64 lower-case hexadecimal digits.");
        }
        parsed.push(Evidence {
            reference: wrong.text("evidence_reference", &piece.evidence_reference, 1..=256),
            sha256_hex: piece.sha256_hex.clone(),
            media_type: wrong.text("media_type", &piece.media_type, 3..=100),
            size_bytes: wrong.range("size_bytes", piece.size_bytes, 1..=10_000_000_000),
        });
    }
    parsed
}

/// Left out, it is the retailer.
fn bearer(wrong: &mut Violations, prefix: &str, number: i32) -> CostBearer {
    let mut wrong = wrong.nested(prefix);
    let said: Option<Bearer> = wrong.opt_enumeration("cost_bearer", number);
    said.and_then(render::cost_bearer_of)
        .unwrap_or(CostBearer::Retailer)
}

/// Where goods go; by when, if that is said, comes beside it.
fn instructions(
    wrong: &mut Violations,
    prefix: &str,
    said: &Option<pb::ReturnInstructions>,
) -> (Option<Instructions>, Option<Micros>) {
    let Some(said) = said else {
        return (None, None);
    };
    let mut wrong = wrong.nested(format_args!("{prefix}.instructions"));
    let site = wrong.text("return_site_reference", &said.return_site_reference, 1..=64);
    let carrier = wrong.opt_text("carrier_code", &said.carrier_code, 1..=40);
    let number = wrong.opt_text("tracking_number", &said.tracking_number, 1..=80);
    let by = wrong.opt_time("return_by_time", &said.return_by_time);
    let instructions = Instructions {
        return_site_reference: site,
        carrier_code: carrier.unwrap_or_default(),
        tracking_number: number.unwrap_or_default(),
        ..Instructions::default()
    };
    (Some(instructions), by)
}

pub(super) fn grant(wrong: &mut Violations, said: &pb::AftersaleGrant) -> Option<Act> {
    let (instructions, by) = instructions(wrong, "grant", &said.instructions);
    let cost_bearer = bearer(wrong, "grant", said.cost_bearer);
    let message = wrong
        .nested("grant")
        .long_text("message", &said.message, 0..=500);
    let grant = Grant {
        instructions,
        message,
        cost_bearer,
    };
    Some(Act::Grant(grant, by))
}

pub(super) fn offer(
    wrong: &mut Violations,
    config: &Config,
    said: &pb::AftersaleCounterOffer,
) -> Option<Act> {
    const FIELD: &str = "counter_offer";
    let (instructions, by) = instructions(wrong, FIELD, &said.instructions);
    let cost_bearer = bearer(wrong, FIELD, said.cost_bearer);
    let mut wrong = wrong.nested(FIELD);
    let kind = render::aftersale_kind_of(wrong.enumeration("kind", said.kind));
    let message = wrong.long_text("message", &said.message, 1..=500);
    let mut amounts = Vec::new();
    if wrong.items("amounts", &said.amounts, 0..=config.lines_max) {
        let mut seen = BTreeSet::new();
        for (at, part) in said.amounts.iter().enumerate() {
            let mut wrong = wrong.nested(format_args!("amounts[{at}]"));
            let id = wrong.id("order_line_id", &part.order_line_id);
            let amount = wrong.money("amount", &part.amount);
            if amount.is_some_and(|amount| amount.minor_units < 0) {
                wrong.add("amount.minor_units", "must not be negative.");
            }
            let (Some(id), Some(amount)) = (id, amount) else {
                continue;
            };
            if !seen.insert(id) {
                wrong.add(
                    "order_line_id",
                    "names a line that an earlier item names; name each once.",
                );
            }
            amounts.push((id, amount));
        }
    }
    let offer = CounterOffer {
        kind: kind?,
        amounts,
        message,
        cost_bearer,
        instructions,
    };
    Some(Act::Offer(offer, by))
}

pub(super) fn inspected(
    wrong: &mut Violations,
    config: &Config,
    units: &[pb::InspectedUnits],
) -> Vec<Inspected> {
    let mut parsed = Vec::new();
    if !wrong.items("units", units, 0..=config.received_items_max) {
        return parsed;
    }
    let mut seen = BTreeSet::new();
    for (at, part) in units.iter().enumerate() {
        let mut wrong = wrong.nested(format_args!("units[{at}]"));
        let id = wrong.id("order_line_id", &part.order_line_id);
        let quantity = wrong.range("quantity", part.quantity, 1..=config.quantity_max);
        let said = wrong.enumeration("condition", part.condition);
        let (Some(order_line_id), Some(condition)) = (id, render::inspected_condition_of(said))
        else {
            continue;
        };
        if !seen.insert((order_line_id, condition, part.restock)) {
            wrong.add(
                "order_line_id",
                "comes with the condition and restock of an earlier item; put the two together.",
            );
        }
        parsed.push(Inspected {
            order_line_id,
            quantity,
            condition,
            restock: part.restock,
        });
    }
    parsed
}

pub(super) fn reshipment(
    wrong: &mut Violations,
    config: &Config,
    said: &pb::Reshipment,
) -> Option<Reshipment> {
    let mut wrong = wrong.nested("reshipment");
    let carrier_code = wrong.text("carrier_code", &said.carrier_code, 1..=40);
    let tracking_number = wrong.opt_text("tracking_number", &said.tracking_number, 1..=80);
    let mut units = Vec::new();
    if wrong.items("units", &said.units, 1..=config.lines_max) {
        for (at, part) in said.units.iter().enumerate() {
            let mut wrong = wrong.nested(format_args!("units[{at}]"));
            let line = wrong.id("order_line_id", &part.order_line_id);
            let variant = wrong.id("variant_id", &part.variant_id);
            let quantity = wrong.range("quantity", part.quantity, 1..=config.quantity_max);
            let (Some(order_line_id), Some(variant_id)) = (line, variant) else {
                continue;
            };
            units.push(Reshipped {
                order_line_id,
                variant_id,
                quantity,
            });
        }
    }
    Some(Reshipment {
        carrier_code,
        tracking_number: tracking_number.unwrap_or_default(),
        units,
        ship_time: Micros(0),
    })
}
