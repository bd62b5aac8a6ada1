//! Sorts rows to products: rows of one product that stand together are one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{KeyedRow, Piece, Problem, ReadProduct, ReadRow, Reason, Refused};
use crate::model::product::{VARIANTS_MAX, VariantOption};

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Products while their rows come.
pub struct Groups {
    /// The most rows of one product.
    product_rows: usize,
    group: Option<ReadProduct>,
    /// What is to be told next.
    ready: VecDeque<Piece>,
    /// A product whose first row was refused: its key, empty when it could not be read, and the row's line.
    orphan: Option<(String, u64)>,
    /// Options of the product at hand, and SKUs and products of the whole file, as hashes.
    siblings: HashMap<String, u64>,
    skus: HashMap<u64, u64>,
    products: HashSet<u64>,
}

impl Groups {
    /// Nothing yet.
    pub fn new(product_rows: usize) -> Self {
        Groups {
            product_rows,
            group: None,
            ready: VecDeque::new(),
            orphan: None,
            siblings: HashMap::new(),
            skus: HashMap::new(),
            products: HashSet::new(),
        }
    }

    /// What is complete.
    pub fn complete(&mut self) -> Option<Piece> {
        self.ready.pop_front()
    }

    /// Whether the file had rows of this product before.
    pub fn knows(&self, external_key: &str) -> bool {
        self.products.contains(&hash(external_key))
    }

    /// Takes a row.
    pub fn add(&mut self, read: Result<KeyedRow, Refused>) {
        match read.and_then(|read| self.admit(read)) {
            Ok(()) => {}
            Err(refused) => self.refuse(refused),
        }
    }

    fn refuse(&mut self, refused: Refused) {
        let of_group = self.group.as_mut().filter(|group| {
            refused.external_key.is_empty() || group.external_key == refused.external_key
        });
        match of_group {
            // However many more there are, they are told at once: what waits for the product has its bound.
            Some(group) if group.rows.len() + group.refused.len() >= self.product_rows => {
                self.ready.push_back(Piece::Refused(refused));
            }
            Some(group) => group.refused.push(refused),
            None => {
                self.flush();
                let known = self.orphan.as_ref().is_some_and(|(key, _)| {
                    !refused.external_key.is_empty()
                        && (key.is_empty() || *key == refused.external_key)
                });
                if !known {
                    self.orphan = Some((refused.external_key.clone(), refused.line));
                }
                self.ready.push_back(Piece::Refused(refused));
            }
        }
    }

    /// Adds a row to the product at hand, or begins the next.
    fn admit(&mut self, read: KeyedRow) -> Result<(), Refused> {
        let KeyedRow { external_key, row } = read;
        if self
            .group
            .as_ref()
            .is_none_or(|group| group.external_key != external_key)
        {
            self.flush();
            self.begin(&external_key, &row)?;
        }
        let sku = row
            .variant
            .as_ref()
            .map_or("", |variant| variant.sku.as_str());
        let refuse = |line: u64, last_line: u64, problem: Problem| Refused {
            external_key: external_key.clone(),
            sku: sku.to_owned(),
            ..Refused::lines(line, last_line, problem)
        };
        let most = self.product_rows;
        let (rows, variants) = self.group.as_ref().map_or((0, 0), |group| {
            let variants = group.rows.iter().filter(|row| row.variant.is_some());
            (group.rows.len() + group.refused.len(), variants.count())
        });
        if rows >= most || (row.variant.is_some() && variants >= VARIANTS_MAX) {
            let message = if rows >= most {
                format!("the product has more than {most} rows (catalog.import.product_rows_max)")
            } else {
                format!("the product has more than {VARIANTS_MAX} variants")
            };
            let fix = "Make another product of the further variants.";
            let problem = Problem::row(row.line, Reason::TooLarge, message, fix);
            return Err(refuse(row.line, row.last_line, problem));
        }
        if let Some(variant) = &row.variant {
            let twin = |line: u64, what: &str, fix: &str| {
                let message = format!("{what} on line {line}");
                Problem::row(row.line, Reason::Duplicate, message, fix)
            };
            let key = options_key(&variant.options);
            if let Some(line) = self.siblings.get(&key) {
                let fix = "Give each variant of a product its own options, or remove the row.";
                let problem = twin(
                    *line,
                    "the product has a variant with the same options",
                    fix,
                );
                return Err(refuse(row.line, row.last_line, problem));
            }
            if let Some(line) = self.skus.get(&hash(&variant.sku)) {
                let fix = "Give each variant its own SKU, or remove the row.";
                let problem = twin(*line, "there is a variant with the same SKU", fix);
                return Err(refuse(
                    row.line,
                    row.last_line,
                    problem.showing(&variant.sku),
                ));
            }
            self.siblings.insert(key, row.line);
            self.skus.insert(hash(&variant.sku), row.line);
        }
        if let Some(group) = &mut self.group {
            group.rows.push(row);
        }
        Ok(())
    }

    /// Begins a product with its first row.
    fn begin(&mut self, external_key: &str, row: &ReadRow) -> Result<(), Refused> {
        let continues = self.products.contains(&hash(external_key));
        if row.details.is_none() && !continues {
            let orphan = self.orphan.as_ref();
            let orphan = orphan.filter(|(key, _)| key.is_empty() || key == external_key);
            let problem = match orphan {
                Some((key, line)) if key.is_empty() => Problem::row(
                    row.line,
                    Reason::Depends,
                    format!(
                        "the product's first row is missing; it may be what was rejected on line {line}"
                    ),
                    "Correct that row; this one is then taken with it.",
                ),
                Some((_, line)) => Problem::row(
                    row.line,
                    Reason::Depends,
                    format!("the product's first row, on line {line}, was rejected"),
                    "Correct that row; this one is then taken with it.",
                ),
                None => Problem::row(
                    row.line,
                    Reason::MissingValue,
                    "the product has no title",
                    "Fill in the title in the product's first row.",
                ),
            };
            let sku = row.variant.as_ref().map_or("", |variant| &variant.sku);
            return Err(Refused {
                external_key: external_key.to_owned(),
                sku: sku.to_owned(),
                ..Refused::lines(row.line, row.last_line, problem)
            });
        }
        self.orphan = None;
        self.group = Some(ReadProduct {
            external_key: external_key.to_owned(),
            rows: Vec::new(),
            refused: Vec::new(),
            continues,
        });
        Ok(())
    }

    /// The product at hand is complete.
    pub fn flush(&mut self) {
        self.siblings.clear();
        let Some(group) = self.group.take() else {
            return;
        };
        if group.rows.is_empty() {
            self.ready
                .extend(group.refused.into_iter().map(Piece::Refused));
            return;
        }
        self.products.insert(hash(&group.external_key));
        self.ready.push_back(Piece::Product(Box::new(group)));
    }
}

/// A text that two variants share when their options are the same, in whatever order.
fn options_key(options: &[VariantOption]) -> String {
    let mut sorted: Vec<_> = options.iter().collect();
    sorted.sort();
    format!("{sorted:?}")
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
