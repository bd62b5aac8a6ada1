//! What was found: for programs as JSON, for people as a table.

use std::path::Path;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::Bench;
use super::house::House;
use super::load::Shared;
use super::record::{Recorder, Step};
use super::usage::Usage;

/// A phase on the timeline.
pub struct Phase {
    /// Its name.
    pub name: String,
    /// From the beginning of the benchmark.
    pub offset: Duration,
    /// What was measured.
    pub record: Recorder,
}

/// Everything that one benchmark found.
pub struct Report {
    /// Its name.
    pub bench: &'static str,
    /// What does not hold although it must.
    pub broken: Vec<String>,
    /// The timeline.
    pub phases: Vec<Phase>,
    title: String,
    figures: Vec<Figure>,
}

struct Figure {
    name: String,
    value: Value,
    /// For the table; figures without one are only for programs.
    meaning: &'static str,
}

impl Report {
    /// A report of what is about to be measured.
    pub fn new(bench: &Bench, name: &'static str, house: &House) -> Report {
        let common = &bench.common;
        let mut report = Report {
            bench: name,
            broken: Vec::new(),
            phases: Vec::new(),
            title: format!("{name} on {}", common.engine.name()),
            figures: Vec::new(),
        };
        report.note("bench", name);
        report.note("engine", common.engine.name());
        report.note("version", env!("CARGO_PKG_VERSION"));
        report.note("optimised", !cfg!(debug_assertions));
        report.note("seed", common.seed);
        report.note("quick", common.quick);
        report.note("replicas", common.replicas);
        report.note("connections", common.connections);
        report.note("cores", available_parallelism().map_or(0, usize::from));
        report.note("with_fulfillment", common.with_fulfillment);
        report.note("configuration", house.told());
        report
    }

    /// A figure with its meaning for the table; an absent one is null.
    pub fn figure(&mut self, name: &str, value: impl Into<Value>, meaning: &'static str) {
        self.put(name, value.into(), meaning);
    }

    /// A figure of which so many digits after the point are told.
    pub fn rounded(&mut self, name: &str, value: Option<f64>, digits: i32, meaning: &'static str) {
        let scale = 10_f64.powi(digits);
        let value = value
            .filter(|value| value.is_finite())
            .map_or(Value::Null, |value| json!((value * scale).round() / scale));
        self.put(name, value, meaning);
    }

    /// Something that only programs, and whoever looks twice, want to know.
    pub fn note(&mut self, name: &str, value: impl Into<Value>) {
        self.put(name, value.into(), "");
    }

    /// A figure that is there already.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|f| f.name == name)?.value.as_f64()
    }

    /// What was measured, in one line.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Whether it is there, if only as null.
    pub fn has(&self, name: &str) -> bool {
        self.figures.iter().any(|f| f.name == name)
    }

    fn put(&mut self, name: &str, value: Value, meaning: &'static str) {
        let figure = Figure {
            name: name.to_owned(),
            value,
            meaning,
        };
        match self.figures.iter_mut().find(|f| f.name == name) {
            Some(known) => *known = figure,
            None => self.figures.push(figure),
        }
    }

    /// Something that must hold.
    pub fn must(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(otherwise());
        }
    }

    /// Takes a phase's record: its refusals, what the processes used for each of `count` things, and its timeline.
    pub fn phase(&mut self, bench: &Bench, name: &str, record: Shared, used: &Usage, count: u64) {
        let record = record.replace(Recorder::new(bench.began, Duration::ZERO));
        let steps: serde_json::Map<String, Value> = Step::ALL
            .iter()
            .filter(|step| record.count(**step) + record.failures(**step) > 0)
            .map(|step| {
                let ms = |quantile| record.quantile_ms(*step, quantile);
                let told = json!({
                    "done": record.count(*step),
                    "refused_or_broken": record.failures(*step),
                    "p50_ms": ms(0.5), "p90_ms": ms(0.9), "p99_ms": ms(0.99), "p999_ms": ms(0.999), "max_ms": ms(1.0),
                });
                (step.name().to_owned(), told)
            })
            .collect();
        self.note(
            &format!("phase_{name}"),
            json!({
                "steps": steps,
                "reasons": record.reasons,
                "cpu_s": used,
                "cpu_us_each": used.each_us(count),
                "counted": count,
            }),
        );
        self.phases.push(Phase {
            name: name.to_owned(),
            offset: record.began.saturating_duration_since(bench.began),
            record,
        });
    }

    /// Writes the JSON.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(file, text).with_context(|| {
            format!(
                "{} could not be written: name another file with --report",
                file.display()
            )
        })
    }

    /// What people want to know.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header([self.title.as_str(), "", ""]);
        for figure in self.figures.iter().filter(|f| !f.meaning.is_empty()) {
            table.add_row([figure.name.as_str(), &shown(&figure.value), figure.meaning]);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut text = format!("{table}\n");
        if cfg!(debug_assertions) {
            text.push_str("not optimised: build with --release before you believe a figure\n");
        }
        text
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::Number(number) => match number.as_f64() {
            Some(value) if value.abs() >= 1_000.0 => grouped(value.round() as i64),
            _ => number.to_string(),
        },
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A whole number with a comma after each thousand.
fn grouped(value: i64) -> String {
    let digits = value.abs().to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0 { format!("-{text}") } else { text }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for figure in &self.figures {
            map.serialize_entry(&figure.name, &figure.value)?;
        }
        map.serialize_entry("invariants_broken", &self.broken)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(-999), "-999");
        assert_eq!(shown(&json!(12.5)), "12.5");
        assert_eq!(shown(&json!(28_123.4)), "28,123");
        assert_eq!(shown(&Value::Null), "–");
    }
}
