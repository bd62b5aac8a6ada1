//! What a person sees: a bar while it runs, a table of what was rejected, a few lines at the end. In a log,
//! plain lines; for programs, lines of JSON.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use contracts::catalog::v1::{
    ImportOutcome, ImportProblem, ImportProgress, ImportRow, ImportSummary,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::report::{row_json, summary_json};
use super::stock::Stocked;
use super::tally::Tally;
use super::{ImportArgs, Output, Stock};

/// Rejected rows that are shown.
const SHOWN: usize = 20;

/// Notes that are shown.
const NOTES_SHOWN: usize = 5;

/// A line in a log for every so many rows.
const LOG_EVERY: i64 = 10_000;

/// Where it is shown how far the import is.
pub struct Screen {
    output: Output,
    check: bool,
    bar: ProgressBar,
    is_terminal: bool,
    logged: i64,
    rejected: Vec<ImportRow>,
    notes: Vec<(i64, ImportProblem)>,
}

impl Screen {
    /// The beginning.
    pub fn new(args: &ImportArgs, size: Option<u64>) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = match size {
            Some(size) => ProgressBar::new(size),
            None => ProgressBar::no_length(),
        };
        bar.set_draw_target(if is_terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        });
        let template = "{bar:30} {bytes}/{total_bytes}  {msg}  {elapsed}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        if args.output == Output::Text {
            let what = if args.check { "checking" } else { "importing" };
            println!(
                "{what} {}  (prices without a currency are in {}, source {})",
                args.file.display(),
                args.currency,
                args.source
            );
        }
        Screen {
            output: args.output,
            check: args.check,
            bar,
            is_terminal,
            logged: 0,
            rejected: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// A word beside the bar.
    pub fn say(&self, text: &str) {
        if self.is_terminal {
            self.bar.println(text);
        } else {
            eprintln!("{text}");
        }
    }

    /// The import begins again.
    pub fn again(&mut self) {
        self.rejected.clear();
        self.notes.clear();
        self.logged = 0;
    }

    /// A row.
    pub fn row(&mut self, row: &ImportRow, outcome: ImportOutcome) -> anyhow::Result<()> {
        if self.output == Output::Json {
            let mut line = row_json(row, outcome);
            line["type"] = json!("row");
            writeln!(std::io::stdout().lock(), "{line}")?;
        }
        if outcome == ImportOutcome::Rejected && self.rejected.len() < SHOWN {
            self.rejected.push(row.clone());
        }
        for note in &row.notes {
            if self.notes.len() < NOTES_SHOWN {
                self.notes.push((row.line, note.clone()));
            }
        }
        Ok(())
    }

    /// How far it is.
    pub fn progress(&mut self, progress: ImportProgress, tally: &Tally) {
        let words = |rows: i64, rejected: i64| format!("{rows} rows, {rejected} rejected");
        self.bar
            .set_position(u64::try_from(progress.bytes_read).unwrap_or(0));
        self.bar
            .set_message(words(progress.rows, progress.rows_rejected));
        if !self.is_terminal && progress.rows >= self.logged + LOG_EVERY {
            self.logged = progress.rows;
            eprintln!(
                "{}",
                words(
                    progress.rows,
                    i64::try_from(tally.rejected()).unwrap_or(i64::MAX)
                )
            );
        }
    }

    /// The rows are done.
    pub fn imported(&mut self, tally: &Tally, summary: &ImportSummary) {
        self.bar.finish_and_clear();
        if self.output == Output::Json {
            return;
        }
        let would = if self.check { "would be " } else { "" };
        let count = |outcome| tally.count(outcome);
        println!(
            "format    {}",
            summary
                .format()
                .as_str_name()
                .trim_start_matches("IMPORT_FORMAT_")
        );
        println!(
            "products  {} {would}created, {} updated, {} unchanged, {} rejected",
            summary.products_created,
            summary.products_updated,
            summary.products_unchanged,
            summary.products_rejected
        );
        println!(
            "rows      {} in all: {} {would}created, {} updated, {} unchanged, {} rejected",
            tally.rows(),
            count(ImportOutcome::Created),
            count(ImportOutcome::Updated),
            count(ImportOutcome::Unchanged),
            count(ImportOutcome::Rejected)
        );
        println!(
            "variants  {} in the rows that were kept, {} units",
            summary.variants, summary.units
        );
    }

    /// A bar for the stock.
    pub fn stock_bar(&self, rows: usize) -> ProgressBar {
        let bar = ProgressBar::new(rows as u64);
        bar.set_draw_target(if self.is_terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        });
        if let Ok(style) =
            ProgressStyle::with_template("{bar:30} {pos}/{len} allotments  {elapsed}, {eta} left")
        {
            bar.set_style(style);
        }
        bar
    }

    /// The stock is done.
    pub fn stocked(&self, asked: Stock, stocked: &Stocked) {
        if self.output == Output::Json || self.check || asked == Stock::None {
            return;
        }
        println!(
            "stock     {} allotments made with {} units, {} changed, {} as they were, {} failed",
            stocked.created,
            stocked.units,
            stocked.changed,
            stocked.unchanged,
            stocked.failed.len()
        );
    }

    /// What is to be said at the end.
    pub fn finish(&self, tally: &Tally, summary: &ImportSummary, stocked: &Stocked) {
        if self.output == Output::Json {
            let mut line = summary_json(tally, summary, stocked);
            line["type"] = json!("summary");
            println!("{line}");
        } else {
            self.tables(tally, summary, stocked);
        }
        for problem in &summary.file_problems {
            let place = place_of(problem);
            eprintln!("error: {place}: {}. {}", problem.message, problem.fix);
        }
    }

    fn tables(&self, tally: &Tally, summary: &ImportSummary, stocked: &Stocked) {
        for (line, note) in &self.notes {
            let column = if note.column.is_empty() {
                String::new()
            } else {
                format!(", {}", note.column)
            };
            println!("note      line {line}{column}: {}", note.message);
        }
        if tally.notes > self.notes.len() as u64 {
            println!(
                "note      and {} more",
                tally.notes - self.notes.len() as u64
            );
        }
        if !self.rejected.is_empty() {
            println!("\nrejected rows:\n{}", self.rejected_table());
            let more = tally.rejected() - self.rejected.len().min(tally.rejected());
            if more > 0 {
                println!("and {more} more; --report FILE writes all of them");
            }
        }
        for (sku, why) in stocked.failed.iter().take(SHOWN) {
            println!("stock of {sku}: {why}");
        }
        if tally.rejected() > 0 && summary.file_problems.is_empty() {
            println!(
                "\nCorrect the rejected rows and import the file again: rows that were kept are unchanged by it."
            );
        }
    }

    fn rejected_table(&self) -> Table {
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header([
                "line",
                "product",
                "column",
                "what is wrong",
                "what to do",
                "value",
            ]);
        if !std::io::stdout().is_terminal() {
            table.set_width(160);
        }
        for row in &self.rejected {
            for problem in &row.problems {
                let lines = if row.last_line > row.line {
                    format!("{}-{}", row.line, row.last_line)
                } else {
                    row.line.to_string()
                };
                table.add_row([
                    &lines,
                    if row.sku.is_empty() {
                        &row.external_key
                    } else {
                        &row.sku
                    },
                    &problem.column,
                    &problem.message,
                    &problem.fix,
                    &problem.value,
                ]);
            }
        }
        table
    }

    /// How long it took.
    pub fn took(&mut self, time: Duration) {
        if self.output == Output::Text {
            println!("took      {:.1} s", time.as_secs_f64());
        }
    }
}

fn place_of(problem: &ImportProblem) -> String {
    if problem.column.is_empty() {
        format!("line {}", problem.line)
    } else {
        format!("line {}, column {}", problem.line, problem.column)
    }
}
