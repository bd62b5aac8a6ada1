//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use testkit::Engine;

use crate::report::Report;
use crate::{kills, rolling, starts, tamper};

/// Outages: kills, rolling restarts, orders of start.
#[derive(Debug, Parser)]
#[command(name = "outages")]
struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// SIGKILL at random moments under load, then every acknowledgement is looked for.
    Kills {
        #[command(flatten)]
        common: Common,
        /// How many kills.
        #[arg(long, default_value_t = 200)]
        kills: u32,
        /// A start that takes longer fails the run.
        #[arg(long, default_value_t = 2_000, value_name = "MS")]
        ready_within_ms: u64,
    },
    /// Every service restarted in turn under load: no call may fail.
    Rolling {
        #[command(flatten)]
        common: Common,
        /// How many times around.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
    },
    /// The services started in every order.
    Starts {
        #[command(flatten)]
        common: Common,
        /// How many of the 24 orders.
        #[arg(long, default_value_t = 24)]
        orders: usize,
    },
    /// Damages journal and tables, and expects the checker to see it.
    Tamper,
}

#[derive(Clone, Debug, clap::Args)]
struct Common {
    #[arg(long, value_enum, default_value_t = Where::Postgres)]
    engine: Where,
    /// The same seed makes the same choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Another program as the suite under test, such as target/release/vitrine.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Leave logs, journal and data behind.
    #[arg(long)]
    keep: bool,
    /// Also write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// About so many orders a second, while nothing is down.
    #[arg(long, default_value_t = 60.0)]
    orders_per_s: f64,
    /// Shoppers at a time, for each of the two partners.
    #[arg(long, default_value_t = 12)]
    buyers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Where {
    Postgres,
    Sqlite,
}

impl Common {
    fn short(engine: Where) -> Common {
        Common {
            engine,
            seed: 1,
            program: None,
            keep: false,
            report: None,
            orders_per_s: 25.0,
            buyers: 4,
        }
    }

    fn engine(&self) -> Engine {
        match self.engine {
            Where::Postgres => Engine::Postgres,
            Where::Sqlite => Engine::Sqlite,
        }
    }

    fn program(&self) -> anyhow::Result<PathBuf> {
        match &self.program {
            Some(program) => Ok(std::path::absolute(program)?),
            None => Ok(std::env::current_exe()?),
        }
    }

    fn kills(&self, kills: u32, ready_within: Option<Duration>) -> anyhow::Result<kills::Options> {
        Ok(kills::Options {
            engine: self.engine(),
            kills,
            seed: self.seed,
            program: self.program()?,
            keep: self.keep,
            report: self.report.clone(),
            orders_per_s: self.orders_per_s,
            buyers: self.buyers,
            ready_within,
        })
    }
}

/// Runs what the command line names; the short form of everything when it names nothing.
pub fn run(arguments: &[String]) -> ExitCode {
    let scenario = matches!(
        arguments.first().map(String::as_str),
        Some("kills" | "rolling" | "starts" | "tamper" | "help" | "--help" | "-h")
    );
    if scenario {
        let parsed = Arguments::parse_from(
            std::iter::once("outages".to_owned()).chain(arguments.iter().cloned()),
        );
        return one(&parsed.scenario);
    }
    if arguments.iter().any(|a| a == "--list") {
        return ExitCode::SUCCESS;
    }
    // What cargo hands to every test program: a name that is to be run alone, and options of libtest.
    let wanted: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let mut code = ExitCode::SUCCESS;
    for (name, scenario) in short() {
        let named = wanted.is_empty() || wanted.iter().any(|w| name.contains(w.as_str()));
        if named && one(&scenario) != ExitCode::SUCCESS {
            println!("outages::{name} ... FAILED");
            code = ExitCode::FAILURE;
        } else if named {
            println!("outages::{name} ... ok");
        }
    }
    code
}

/// Each scenario, as short as it can be and still find something.
fn short() -> Vec<(&'static str, Scenario)> {
    // Readiness is measured and told, and not judged, on a machine that does other things too.
    let kills = |engine, kills| Scenario::Kills {
        common: Common::short(engine),
        kills,
        ready_within_ms: 0,
    };
    vec![
        ("kills_postgres", kills(Where::Postgres, 8)),
        ("kills_sqlite", kills(Where::Sqlite, 6)),
        (
            "rolling",
            Scenario::Rolling {
                common: Common::short(Where::Postgres),
                rounds: 1,
            },
        ),
        (
            "starts",
            Scenario::Starts {
                common: Common::short(Where::Postgres),
                orders: 2,
            },
        ),
        ("tamper", Scenario::Tamper),
    ]
}

fn one(scenario: &Scenario) -> ExitCode {
    let done = match scenario {
        Scenario::Kills {
            common,
            kills,
            ready_within_ms,
        } => {
            let limit = (*ready_within_ms > 0).then(|| Duration::from_millis(*ready_within_ms));
            common
                .kills(*kills, limit)
                .and_then(|options| kills::run(&options))
        }
        Scenario::Rolling { common, rounds } => common
            .kills(0, None)
            .and_then(|options| rolling::run(&options, *rounds)),
        Scenario::Starts { common, orders } => common
            .kills(0, None)
            .and_then(|options| starts::run(&options, *orders)),
        Scenario::Tamper => return crate::ended(tamper::run()),
    };
    match done {
        Ok(Some(report)) => told(&report),
        // There is no PostgreSQL, which was said.
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn told(report: &Report) -> ExitCode {
    print!("{}", report.text());
    if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
