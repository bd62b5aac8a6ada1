//! What rows that were read mean for what the catalogue has: pure, and the same for a check and an import.
//!
//! A row is taken whole or refused whole. A product is made or changed by the rows that are left; what the
//! file does not say of it stays. Nothing is ever taken away: variants that the file no longer has remain.

use std::collections::{BTreeMap, HashMap};

use contracts::id::{ProductId, VariantId};
use contracts::money::Money;
use kit::clock::Micros;
use kit::ids::IdSource;

use super::draft::Draft;
use super::{Outcome, Problem, ReadProduct, ReadRow, Reason, Refused};
use crate::model::product::Product;
use crate::model::version::Version;

/// What the source said of a product, beside what the catalogue uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProductSource {
    /// The source's name.
    pub source: String,
    /// The state there; may be empty.
    pub status: String,
    /// Tags.
    pub tags: Vec<String>,
}

/// What the source said of a variant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VariantSource {
    /// What one costs in the shop.
    pub reference_price: Option<Money>,
    /// The price it is compared with.
    pub compare_at_price: Option<Money>,
    /// Units there are.
    pub reported_stock: Option<i64>,
}

/// A product that the catalogue has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The product.
    pub product: Product,
    /// What its source said; none when it was made by hand.
    pub source: Option<ProductSource>,
    /// What the source said of its variants.
    pub variants: BTreeMap<VariantId, VariantSource>,
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its first line.
    pub line: u64,
    /// Its last line.
    pub last_line: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// The product's key; may be empty.
    pub external_key: String,
    /// The variant's SKU; may be empty.
    pub sku: String,
    /// The product.
    pub product_id: Option<ProductId>,
    /// The variant.
    pub variant_id: Option<VariantId>,
    /// Units that it reports.
    pub reported_stock: Option<i64>,
    /// Why it was refused.
    pub problems: Vec<Problem>,
    /// What was noted.
    pub notes: Vec<Problem>,
}

impl From<Refused> for Verdict {
    fn from(refused: Refused) -> Self {
        Verdict {
            line: refused.line,
            last_line: refused.last_line,
            outcome: Outcome::Rejected,
            external_key: refused.external_key,
            sku: refused.sku,
            product_id: None,
            variant_id: None,
            reported_stock: None,
            problems: refused.problems,
            notes: Vec::new(),
        }
    }
}

/// A product to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// After the change.
    pub product: Product,
    /// The version before; none when it is new.
    pub before: Option<Version>,
    /// Where its new variants begin.
    pub new_from: usize,
    /// Older variants whose GTIN or weight was corrected, by their places.
    pub corrected: Vec<usize>,
    /// Whether what listings show of it is different.
    pub face_changed: bool,
    /// What the source says now, when that is different.
    pub source: Option<ProductSource>,
    /// The same of variants.
    pub variants: Vec<(VariantId, VariantSource)>,
}

/// What is to be done with a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What becomes of the product.
    pub outcome: Outcome,
    /// What is to be written; none when nothing changes.
    pub write: Option<Box<Write>>,
    /// What became of each row, in the order of the file.
    pub verdicts: Vec<Verdict>,
}

/// What a plan is made from beside the rows.
pub struct Around<'a> {
    /// The source's name.
    pub source: &'a str,
    /// SKUs of the catalogue, and the external key or id of the products that have them.
    pub owners: &'a HashMap<String, (ProductId, String)>,
    /// New ids.
    pub ids: &'a dyn IdSource,
    /// The time.
    pub now: Micros,
}

/// Plans what rows do to a product.
pub fn plan(read: ReadProduct, known: Option<Known>, around: &Around<'_>) -> Plan {
    let foreign = known.as_ref().and_then(|known| known.source.as_ref());
    if let Some(source) = foreign.filter(|known| known.source != around.source) {
        let message = format!(
            "the product was imported from the source {}, and this is {}",
            source.source, around.source
        );
        let fix = "Import it with the same --source, or give it another key.";
        return reject(read, |row| {
            Problem::row(row.line, Reason::Conflict, &*message, fix)
        });
    }
    match Draft::new(&read, known, around) {
        Ok(draft) => draft.plan(read, around),
        Err((reason, message, fix)) => {
            reject(read, |row| Problem::row(row.line, reason, message, fix))
        }
    }
}

fn reject(read: ReadProduct, why: impl Fn(&ReadRow) -> Problem) -> Plan {
    let key = read.external_key;
    let rows = read
        .rows
        .iter()
        .map(|row| refuse(&key, row, vec![why(row)]));
    let verdicts = rows
        .chain(read.refused.into_iter().map(Verdict::from))
        .collect();
    Plan {
        outcome: Outcome::Rejected,
        write: None,
        verdicts: in_order(verdicts),
    }
}

pub(super) fn refuse(key: &str, row: &ReadRow, problems: Vec<Problem>) -> Verdict {
    Verdict::from(Refused {
        line: row.line,
        last_line: row.last_line,
        external_key: key.to_owned(),
        sku: row
            .variant
            .as_ref()
            .map_or_else(String::new, |variant| variant.sku.clone()),
        problems,
    })
}

pub(super) fn in_order(mut verdicts: Vec<Verdict>) -> Vec<Verdict> {
    verdicts.sort_by_key(|verdict| verdict.line);
    verdicts
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
