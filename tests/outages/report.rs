//! What a run came to: for people, and as JSON.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use testkit::Engine;

use crate::check::{Facts, Findings, Violation};
use crate::driver::Summary;

/// One kill.
#[derive(Clone, Debug, Serialize)]
pub struct Kill {
    pub target: String,
    pub moment: String,
    pub at_ms: i64,
}

/// Some measured times.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Times {
    pub all_ms: Vec<u64>,
}

impl Times {
    fn text(&self) -> String {
        let mut sorted = self.all_ms.clone();
        sorted.sort_unstable();
        match (sorted.get(sorted.len() / 2), sorted.last()) {
            (Some(median), Some(max)) => {
                format!(
                    "median {median} ms, longest {max} ms, {} times",
                    sorted.len()
                )
            }
            _ => "none".into(),
        }
    }
}

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub scenario: &'static str,
    pub engine: &'static str,
    pub seed: u64,
    /// What was done to the suite: kills, restarts, starts in an order.
    #[serde(rename = "outages")]
    pub kills: Vec<Kill>,
    /// From the start of a process until it was ready, PostgreSQL up.
    pub ready: Times,
    /// From PostgreSQL's own readiness until every service was ready.
    pub ready_after_database: Times,
    /// PostgreSQL's own recovery.
    pub database_recovery: Times,
    pub driver: Summary,
    /// Calls with an effect that were acknowledged, by kind.
    pub acknowledged: BTreeMap<String, u64>,
    pub streams_resumed: u64,
    pub feed_entries_watched: u64,
    pub checks: u64,
    pub violations: Vec<Violation>,
    /// Processes that ended by themselves at their start and were started again.
    pub failed_starts: Vec<String>,
    /// What else was wrong.
    pub faults: Vec<String>,
}

impl Report {
    pub fn new(scenario: &'static str, engine: Engine, seed: u64) -> Report {
        Report {
            scenario,
            engine: match engine {
                Engine::Postgres => "postgres",
                Engine::Sqlite => "sqlite",
            },
            seed,
            kills: Vec::new(),
            ready: Times::default(),
            ready_after_database: Times::default(),
            database_recovery: Times::default(),
            driver: Summary::default(),
            acknowledged: BTreeMap::new(),
            streams_resumed: 0,
            feed_entries_watched: 0,
            checks: 0,
            violations: Vec::new(),
            failed_starts: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Takes over what the checker found.
    pub fn take(&mut self, facts: &Facts, findings: Findings) {
        for (call, _) in facts.acknowledged() {
            let debug = format!("{call:?}");
            let kind = debug.split_whitespace().next().unwrap_or_default();
            *self.acknowledged.entry(kind.to_lowercase()).or_default() += 1;
        }
        self.streams_resumed = facts.resumed;
        let watched = facts.watched.values().map(Vec::len).sum::<usize>();
        self.feed_entries_watched = u64::try_from(watched).unwrap_or(u64::MAX);
        self.checks = findings.checked;
        for line in findings.summary() {
            println!("  {line}");
        }
        self.violations = findings.violations;
    }

    /// A start that took longer is a fault.
    pub fn limit_readiness(&mut self, limit: Duration) {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        for (what, times) in [
            ("its start", &self.ready),
            ("PostgreSQL was back", &self.ready_after_database),
        ] {
            let late = times.all_ms.iter().filter(|ms| **ms > limit).count();
            if late > 0 {
                self.faults.push(format!(
                    "{late} times not ready within {limit} ms of {what}"
                ));
            }
        }
    }

    /// Whether all was well.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty() && self.faults.is_empty()
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut targets: BTreeMap<String, u64> = BTreeMap::new();
        for kill in &self.kills {
            *targets
                .entry(format!("{}, {}", kill.target, kill.moment))
                .or_default() += 1;
        }
        let list = |counts: &BTreeMap<String, u64>| {
            let all: Vec<String> = counts.iter().map(|(k, n)| format!("{k} {n}")).collect();
            all.join(" · ")
        };
        let mut text = format!(
            "{} on {}, seed {}\n  outages       {}: {}\n  ready         {}\n",
            self.scenario,
            self.engine,
            self.seed,
            self.kills.len(),
            list(&targets),
            self.ready.text(),
        );
        if !self.database_recovery.all_ms.is_empty() {
            text.push_str(&format!(
                "  after the database was back: {}; its own recovery: {}\n",
                self.ready_after_database.text(),
                self.database_recovery.text()
            ));
        }
        let driver = &self.driver;
        if driver.acknowledged > 0 {
            text.push_str(&format!(
                "  calls         {} acknowledged ({}), {} refused, {} tried more than once, {} given up, longest wait {} ms\n  feeds         {} entries watched, streams went on {} times\n  checks        {}, violations {}\n",
                driver.acknowledged,
                list(&self.acknowledged),
                driver.refused,
                driver.retried,
                driver.gave_up,
                driver.longest_wait_ms,
                self.feed_entries_watched,
                self.streams_resumed,
                self.checks,
                self.violations.len(),
            ));
        }
        if !driver.tried_again_after.is_empty() {
            let met = list(&driver.tried_again_after);
            text.push_str(&format!("  tried again after: {met}\n"));
        }
        for start in &self.failed_starts {
            text.push_str(&format!("  started again: {start}\n"));
        }
        for fault in &self.faults {
            text.push_str(&format!("  fault: {fault}\n"));
        }
        text
    }

    /// As JSON.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(file, text)
            .with_context(|| format!("the report {} could not be written", file.display()))
    }
}
