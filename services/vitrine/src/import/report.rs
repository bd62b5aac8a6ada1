//! The machine-readable report: every rejected row, then the counts. Rows are written as they come, so that a
//! file of which nothing is right costs no memory.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use contracts::catalog::v1::{ImportOutcome, ImportProblem, ImportRow, ImportSummary};
use serde_json::{Value, json};

use super::ImportArgs;
use super::stock::Stocked;
use super::tally::Tally;

/// Notes that the report lists.
const NOTES_MAX: usize = 1_000;

/// The report while it is written; nothing when nobody wants one.
pub struct Report {
    path: Option<PathBuf>,
    begin: Value,
    file: Option<BufWriter<File>>,
    rows: u64,
    notes: Vec<Value>,
}

impl Report {
    /// Begins a report.
    pub fn create(path: Option<&Path>, args: &ImportArgs) -> anyhow::Result<Self> {
        let begin = json!({
            "file": args.file.display().to_string(),
            "source": args.source,
            "currency": args.currency,
            "check": args.check,
        });
        let mut report = Report {
            path: path.map(Path::to_owned),
            begin,
            file: None,
            rows: 0,
            notes: Vec::new(),
        };
        report.again()?;
        Ok(report)
    }

    /// The import begins again.
    pub fn again(&mut self) -> anyhow::Result<()> {
        self.rows = 0;
        self.notes.clear();
        let Some(path) = &self.path else {
            return Ok(());
        };
        let file = File::create(path)
            .with_context(|| format!("the report {} can not be written", path.display()))?;
        let mut file = BufWriter::new(file);
        let begin = self.begin.to_string();
        write!(file, "{},\n\"rejected\": [", begin.trim_end_matches('}'))?;
        self.file = Some(file);
        Ok(())
    }

    /// Writes a row that was rejected.
    pub fn row(&mut self, row: &ImportRow, outcome: ImportOutcome) -> anyhow::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        if outcome == ImportOutcome::Rejected {
            let comma = if self.rows == 0 { "" } else { "," };
            write!(file, "{comma}\n{}", row_json(row, outcome))?;
            self.rows += 1;
        }
        if !row.notes.is_empty() && self.notes.len() < NOTES_MAX {
            self.notes.extend(row.notes.iter().map(problem_json));
        }
        Ok(())
    }

    /// Writes the counts.
    pub fn finish(
        &mut self,
        tally: &Tally,
        summary: &ImportSummary,
        stocked: &Stocked,
    ) -> anyhow::Result<()> {
        let Some(mut file) = self.file.take() else {
            return Ok(());
        };
        let mut end = summary_json(tally, summary, stocked);
        end["notes"] = Value::Array(std::mem::take(&mut self.notes));
        let end = end.to_string();
        write!(file, "\n],\n{}\n", end.trim_start_matches('{'))?;
        file.flush().context("the report can not be written")
    }
}

/// What became of a row.
pub fn row_json(row: &ImportRow, outcome: ImportOutcome) -> Value {
    let mut value = json!({
        "line": row.line,
        "last_line": row.last_line,
        "outcome": outcome.as_str_name().trim_start_matches("IMPORT_OUTCOME_"),
        "external_key": row.external_key,
        "sku": row.sku,
    });
    if outcome == ImportOutcome::Rejected {
        // The first of them where one is looked for.
        if let Some(first) = row.problems.first() {
            let first = problem_json(first);
            for name in ["column", "reason", "message"] {
                value[name] = first[name].clone();
            }
        }
        value["problems"] = row.problems.iter().map(problem_json).collect();
    } else {
        value["product_id"] = json!(row.product_id);
        value["variant_id"] = json!(row.variant_id);
        value["reported_stock"] = json!(row.reported_stock);
        value["notes"] = row.notes.iter().map(problem_json).collect();
    }
    value
}

/// One thing that is wrong or worth knowing.
pub fn problem_json(problem: &ImportProblem) -> Value {
    json!({
        "line": problem.line,
        "column": problem.column,
        "column_number": problem.column_number,
        "reason": problem.reason().as_str_name().trim_start_matches("IMPORT_REASON_"),
        "message": problem.message,
        "fix": problem.fix,
        "value": problem.value,
    })
}

/// The counts.
pub fn summary_json(tally: &Tally, summary: &ImportSummary, stocked: &Stocked) -> Value {
    let failed = stocked
        .failed
        .iter()
        .map(|(sku, why)| json!({ "sku": sku, "message": why }));
    json!({
        "format": summary.format().as_str_name().trim_start_matches("IMPORT_FORMAT_"),
        "rows": {
            "total": tally.rows(),
            "created": tally.count(ImportOutcome::Created),
            "updated": tally.count(ImportOutcome::Updated),
            "unchanged": tally.count(ImportOutcome::Unchanged),
            "rejected": tally.rejected(),
        },
        "products": {
            "created": summary.products_created,
            "updated": summary.products_updated,
            "unchanged": summary.products_unchanged,
            "rejected": summary.products_rejected,
        },
        "variants": summary.variants,
        "units": summary.units,
        "stock": {
            "created": stocked.created,
            "units": stocked.units,
            "changed": stocked.changed,
            "unchanged": stocked.unchanged,
            "failed": failed.collect::<Vec<_>>(),
        },
        "file_problems": summary.file_problems.iter().map(problem_json).collect::<Vec<_>>(),
    })
}
