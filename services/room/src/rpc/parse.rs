//! Fields that several requests have.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use contracts::room::v1 as pb;
use kit::validate::Violations;
use prost_types::FieldMask;

use crate::model::SessionType;

pub const TITLE_MAX: usize = 200;
pub const THEME_MAX: usize = 60;
pub const VENUE_MAX: usize = 60;
pub const REASON_MAX: usize = 200;
pub const SHOPPER_REF_MAX: usize = 128;
const BRAND_MAX: usize = 120;

/// Why something ends, shown to viewers.
pub fn reason(v: &mut Violations, text: &str) -> String {
    v.text("reason", text, 0..=REASON_MAX)
}

/// Ids that are named once each; at least `least`.
pub fn ids<I>(
    v: &mut Violations,
    field: &str,
    texts: &[String],
    least: usize,
    most: usize,
) -> Vec<I>
where
    I: FromStr + Ord + Copy,
    I::Err: Display,
{
    if !v.items(field, texts, least..=most) {
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let mut found = Vec::with_capacity(texts.len());
    for (at, text) in texts.iter().enumerate() {
        let field = format!("{field}[{at}]");
        let Some(id) = v.id::<I>(&field, text) else {
            continue;
        };
        if seen.insert(id) {
            found.push(id);
        } else {
            v.add(&field, "is named twice.");
        }
    }
    found
}

/// Brands that are named once each.
pub fn brands(v: &mut Violations, texts: &[String], most: usize) -> Vec<String> {
    if !v.items("brand_rules", texts, 0..=most) {
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    for (at, text) in texts.iter().enumerate() {
        let field = format!("brand_rules[{at}]");
        v.text(&field, text, 1..=BRAND_MAX);
        if !seen.insert(text) {
            v.add(&field, "is named twice.");
        }
    }
    texts.to_vec()
}

/// What kind of session; with a cart when nothing is said.
pub fn session_type(v: &mut Violations, number: i32) -> SessionType {
    match pb::SessionType::try_from(number) {
        Ok(pb::SessionType::Unspecified | pb::SessionType::Shopping) => SessionType::Shopping,
        Ok(pb::SessionType::Course) => SessionType::Course,
        Ok(pb::SessionType::Tutorial) => SessionType::Tutorial,
        Ok(pb::SessionType::Original) => SessionType::Original,
        Err(_) => {
            v.enumeration::<pb::SessionType>("session_type", number);
            SessionType::Shopping
        }
    }
}

/// The paths of a mask, each once, of those that are known.
pub fn mask<'a>(
    v: &mut Violations,
    mask: &'a Option<FieldMask>,
    known: &[&str],
) -> BTreeSet<&'a str> {
    let paths: BTreeSet<&str> = mask
        .iter()
        .flat_map(|mask| &mask.paths)
        .map(String::as_str)
        .collect();
    if paths.is_empty() {
        v.add("update_mask", "must name at least one field to change.");
    }
    if paths.iter().any(|path| !known.contains(path)) {
        v.add(
            "update_mask",
            format!("may name {} only.", known.join(", ")),
        );
    }
    paths
}

/// The partner's name for a shopper.
pub fn shopper_ref(v: &mut Violations, text: &str) -> String {
    let shopper_ref = v.text("shopper_ref", text, 1..=SHOPPER_REF_MAX);
    if shopper_ref.len() > SHOPPER_REF_MAX {
        v.add(
            "shopper_ref",
            format!("must have at most {SHOPPER_REF_MAX} bytes in UTF-8."),
        );
    }
    shopper_ref
}
