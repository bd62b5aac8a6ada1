//! What can be said on the command line.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};

use super::flash_sale::FlashSaleArgs;
use super::house::Engine;
use super::mixed::MixedArgs;
use super::{fairness, growth, overload, security};

/// `vitrine bench`.
#[derive(Debug, Args)]
#[command(
    after_help = "Every figure, its unit and how to repeat it: tests/bench/README.md.\nBuild with --release; leave the machine alone while it runs. --set order.lane.batch_max=256 tries a setting."
)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub(super) which: Which,
}

/// Which benchmark.
#[derive(Debug, Subcommand)]
pub(super) enum Which {
    /// One hot listing: holds, complete orders, a sale to the last unit, latency; beside pgbench on the same disk.
    FlashSale(FlashSaleArgs),
    /// Many listings of many partners: browse, quote, place, extend, confirm, cancel.
    Mixed(MixedArgs),
    /// Complete orders with millions of orders stored, beside the same on an empty database.
    Growth(growth::GrowthArgs),
    /// More than the service can do: what still gets done, whether payments are refused, how soon it is over.
    Overload(overload::OverloadArgs),
    /// One partner far over its quota: what the others still get.
    Fairness(fairness::FairnessArgs),
    /// TLS, bound tokens and row-level security on and off in turns: what they cost.
    Security(security::SecurityArgs),
}

impl Which {
    pub(super) fn common(&self) -> &Common {
        match self {
            Which::FlashSale(args) => &args.common,
            Which::Mixed(args) => &args.common,
            Which::Growth(args) => &args.common,
            Which::Overload(args) => &args.common,
            Which::Fairness(args) => &args.common,
            Which::Security(args) => &args.common,
        }
    }
}

/// What every benchmark can be told.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The services' database.
    #[arg(long, value_enum)]
    pub engine: Engine,
    /// Writes every figure as JSON.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Draws throughput and latency over time.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// The same seed makes the same shoppers.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Small and short: shows that it works, measures nothing.
    #[arg(long)]
    pub quick: bool,
    /// Processes of the order service on one PostgreSQL; calls are balanced over them.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub replicas: usize,
    /// The generator's connections to the order service.
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub connections: usize,
    /// Measures a running suite, such as http://127.0.0.1:7700, with the keys of its --data-dir; where its services run
    /// apart, once for each: --connect order=http://127.0.0.1:7720. Its memory and CPU are then not in the report.
    #[arg(long, value_name = "[SERVICE=]URL")]
    pub connect: Vec<String>,
    /// Also runs fulfilment, which follows the orders on the same cores.
    #[arg(long)]
    pub with_fulfillment: bool,
    /// Leaves the services' logs and data behind, and says where.
    #[arg(long)]
    pub keep: bool,
    /// Says nothing before the end.
    #[arg(long)]
    pub quiet: bool,
}

impl Common {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.connections == 0 || self.replicas == 0 {
            bail!("there is nothing to call: --connections and --replicas are at least 1");
        }
        if self.engine == Engine::Sqlite && self.replicas > 1 {
            bail!("SQLite is one process's own: leave out --replicas, or take --engine postgres");
        }
        for file in [&self.report, &self.svg].into_iter().flatten() {
            let folder = file
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            if folder.is_some_and(|folder| !folder.is_dir()) {
                bail!(
                    "{} has no folder to be written to: make it first",
                    file.display()
                );
            }
        }
        Ok(())
    }
}
