//! `vitrine bench`: how fast, and whether it stays exact, on this machine.
//!
//! The order service runs as a process of its own ([`house`]), what it sells is made through the contracts ([`shop`]),
//! and this process makes the load ([`load`], [`calls`], on [`wire`]) on one thread, so that its share of the cores is
//! small and known. What is measured is kept per step and quarter of a second ([`record`]) and told as JSON, as a table
//! and as a chart ([`report`], [`chart`]).

pub mod args;
pub mod baseline;
pub mod calls;
pub mod chart;
pub mod fairness;
pub mod feed;
pub mod flash_sale;
pub mod growth;
pub mod house;
pub mod load;
pub mod mixed;
pub mod numbers;
pub mod overload;
pub mod record;
pub mod report;
pub mod security;
pub mod shop;
pub mod traffic;
pub mod usage;
pub mod wire;

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context;

use args::Which;
pub use args::{BenchArgs, Common};
use house::{House, Options};
use load::{Shared, now};
use record::Recorder;
use report::Report;
use wire::Lines;

use crate::config::VitrineConfig;
use crate::demo::Addresses;

/// What every benchmark is given.
pub struct Bench {
    /// What all of them can be told.
    pub common: Common,
    /// When it began; the timeline counts from here.
    pub began: Instant,
    settings: Vec<String>,
    data_dir: PathBuf,
}

impl Bench {
    /// Starts the services, or finds those that were named. `settings` are for the order service and `postgres` for a
    /// PostgreSQL of our own, each `name=value`.
    pub fn house(&self, settings: &[String], postgres: &[String]) -> anyhow::Result<House> {
        let mut all = settings.to_vec();
        all.extend_from_slice(&self.settings);
        let options = Options {
            engine: self.common.engine,
            replicas: self.common.replicas,
            settings: all,
            postgres: postgres.to_vec(),
            with_fulfillment: self.common.with_fulfillment,
            keep: self.common.keep,
        };
        if self.common.connect.is_empty() {
            self.say("starting the services");
            return House::start(options);
        }
        let addresses = Addresses::parse(&self.common.connect)?;
        Ok(House::elsewhere(addresses, &self.data_dir, options))
    }

    /// The generator's connections to the order service.
    pub async fn lines(&self, house: &House) -> anyhow::Result<Lines> {
        Lines::open(&house.addresses.order, self.common.connections).await
    }

    /// A record of a phase that begins now.
    pub fn recorder(&self, warm_up: Duration) -> Shared {
        Rc::new(RefCell::new(Recorder::new(now(), warm_up)))
    }

    /// Tells whoever waits what is being done.
    pub fn say(&self, what: &str) {
        if !self.common.quiet {
            let at = now().saturating_duration_since(self.began).as_secs_f64();
            eprintln!("{at:7.1} s  {what}");
        }
    }
}

/// Runs the benchmark that was asked for. `settings` are the `--set` of the command line: they are the order service's.
pub async fn run(
    config: VitrineConfig,
    settings: Vec<String>,
    args: BenchArgs,
) -> anyhow::Result<ExitCode> {
    let data_dir = config.data_dir;
    // One thread with a runtime of its own: the generator must not take both cores, and its futures need no locks.
    let work = tokio::task::spawn_blocking(move || -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("the generator's runtime could not start")?;
        runtime.block_on(async {
            tokio::select! {
                done = run_here(settings, data_dir, args) => done,
                // What was started ends as it is dropped.
                _ = told_to_stop() => anyhow::bail!("interrupted; everything that was started is stopped"),
            }
        })
    });
    work.await.context("the benchmark ended unexpectedly")?
}

/// Ctrl-C or SIGTERM.
async fn told_to_stop() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

async fn run_here(
    settings: Vec<String>,
    data_dir: PathBuf,
    args: BenchArgs,
) -> anyhow::Result<ExitCode> {
    let common = args.which.common().clone();
    common.check()?;
    let bench = Bench {
        began: now(),
        common,
        settings,
        data_dir,
    };
    let report = match args.which {
        Which::FlashSale(args) => flash_sale::run(&bench, &args).await,
        Which::Mixed(args) => mixed::run(&bench, &args).await,
        Which::Growth(args) => growth::run(&bench, &args).await,
        Which::Overload(args) => overload::run(&bench, &args).await,
        Which::Fairness(args) => fairness::run(&bench, &args).await,
        Which::Security(args) => security::run(&bench, &args).await,
    }?;
    finish(&bench, &report)
}

/// Writes and prints what was found; invariants that do not hold are a failure, slow figures are not.
fn finish(bench: &Bench, report: &Report) -> anyhow::Result<ExitCode> {
    if let Some(file) = &bench.common.report {
        report.write(file)?;
    }
    if let Some(file) = &bench.common.svg {
        std::fs::write(file, chart::svg(report)).with_context(|| {
            format!(
                "{} could not be written: name another file with --svg",
                file.display()
            )
        })?;
    }
    print!("{}", report.table());
    if report.broken.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    for broken in &report.broken {
        eprintln!("error: {broken}");
    }
    Ok(ExitCode::FAILURE)
}
