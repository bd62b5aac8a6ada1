//! What became of the rows of a file, counted once even when the import was broken and begun again.

use contracts::catalog::v1::{ImportOutcome, ImportRow};
use contracts::id::VariantId;

/// Units that a row reports of a variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Units {
    /// The variant.
    pub variant_id: VariantId,
    /// Its SKU.
    pub sku: Box<str>,
    /// How many.
    pub units: i64,
    /// The row's line.
    pub line: i64,
}

/// Counts of rows, and what stock they report.
#[derive(Debug, Default)]
pub struct Tally {
    /// What became of each row, in the order of the file; a byte each.
    outcomes: Vec<u8>,
    /// The row that comes next.
    next: usize,
    wants_stock: bool,
    /// What rows report.
    pub stock: Vec<Units>,
    /// Notes about rows that were kept.
    pub notes: u64,
}

impl Tally {
    /// Nothing yet.
    pub fn new(wants_stock: bool) -> Self {
        Tally {
            wants_stock,
            ..Tally::default()
        }
    }

    /// The import begins again: the same rows come again, and what was made before is unchanged now.
    pub fn again(&mut self) {
        self.next = 0;
        self.stock.clear();
        self.notes = 0;
    }

    /// Takes the next row; answers what became of it, a former try included.
    pub fn add(&mut self, row: &ImportRow) -> ImportOutcome {
        let mut outcome = row.outcome();
        match self.outcomes.get(self.next) {
            Some(&before) => {
                let before = ImportOutcome::try_from(i32::from(before)).unwrap_or_default();
                let was_done = matches!(before, ImportOutcome::Created | ImportOutcome::Updated);
                if was_done && outcome == ImportOutcome::Unchanged {
                    outcome = before;
                }
                self.outcomes[self.next] = byte(outcome);
            }
            None => self.outcomes.push(byte(outcome)),
        }
        self.next += 1;
        self.notes += row.notes.len() as u64;
        let units = row.reported_stock;
        if self.wants_stock
            && outcome != ImportOutcome::Rejected
            && let (Some(units), Ok(variant_id)) = (units, row.variant_id.parse())
        {
            self.stock.push(Units {
                variant_id,
                sku: row.sku.as_str().into(),
                units,
                line: row.line,
            });
        }
        outcome
    }

    /// How many rows had this outcome.
    pub fn count(&self, outcome: ImportOutcome) -> usize {
        let wanted = byte(outcome);
        self.outcomes.iter().filter(|byte| **byte == wanted).count()
    }

    /// How many were rejected.
    pub fn rejected(&self) -> usize {
        self.count(ImportOutcome::Rejected)
    }

    /// How many there were.
    pub fn rows(&self) -> usize {
        self.outcomes.len()
    }
}

fn byte(outcome: ImportOutcome) -> u8 {
    u8::try_from(i32::from(outcome)).unwrap_or(0)
}
