//! The command line: what can be said, and what is said back when it was said wrong.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Flags, VitrineConfig};
use crate::{audit, bench, demo, import, migrate, ops, partner, probe, sealing, serve, token};

/// Live commerce over gRPC: a retailer's catalog, live rooms, orders and fulfilment, sold inside partners' apps.
#[derive(Debug, Parser)]
#[command(
    name = "vitrine",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(
    after_help = "Start here:\n  vitrine demo     a day of a 24-hour channel, played and checked in about a minute\n  vitrine serve    the whole suite in one process, on SQLite files in ./vitrine-data"
)]
pub struct Cli {
    /// Configuration file (TOML). Environment variables VITRINE__SECTION__KEY and flags come after it.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one configuration value, such as --set order.hold_ttl_s=600; may be repeated.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Folder for databases and keys of the embedded suite [default: vitrine-data].
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play a day of a 24-hour channel and check every unit and every cent.
    Demo(DemoArgs),
    /// Run the suite, or some of its services.
    Serve(ServeArgs),
    /// Import a file of products: Shopify CSV, Google Merchant Center TSV or XML.
    Import(import::ImportArgs),
    /// Bring the databases' tables up to date.
    Migrate {
        /// Which services; all of them when none is named.
        services: Vec<Service>,
    },
    /// Print the configuration as it would be used, with secrets hidden.
    Config,
    /// Mint development tokens and sign payment statements with the keys of the data folder.
    Token(token::TokenArgs),
    /// Check the audit trails of the databases, and sign where they end.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Bring partners in, see how they are let in, and keep them out.
    Partner(partner::PartnerArgs),
    /// See to the wrapping keys of personal data.
    #[command(subcommand)]
    Keys(sealing::Keys),
    /// See and mend what the consumers of feeds have put aside.
    #[command(subcommand)]
    Feed(ops::Feed),
    /// Ask a running process whether it is ready; exits 0 when it is.
    Probe(ProbeArgs),
    /// Measure how fast this machine sells, and that it stays exact.
    Bench(bench::BenchArgs),
}

/// A service of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Service {
    /// Partners, products, listings.
    Catalog,
    /// Rooms, showcases, audience.
    Room,
    /// Allotments, drops, orders, payments.
    Order,
    /// Shipments and cancellations.
    Fulfillment,
}

impl Service {
    /// All of them.
    pub const ALL: [Service; 4] = [
        Service::Catalog,
        Service::Room,
        Service::Order,
        Service::Fulfillment,
    ];

    /// As written on the command line and in configuration.
    pub fn name(self) -> &'static str {
        match self {
            Service::Catalog => "catalog",
            Service::Room => "room",
            Service::Order => "order",
            Service::Fulfillment => "fulfillment",
        }
    }
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// The same seed plays the same day.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Also write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Play against a running suite, such as http://127.0.0.1:7700, with the keys of its data folder; where its
    /// services run apart, once for each, replicas with a comma between: --connect order=http://127.0.0.1:7720,http://127.0.0.2:7720.
    #[arg(long, value_name = "[SERVICE=]URL")]
    connect: Vec<String>,
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// Which services; all of them in one process when none is named.
    services: Vec<Service>,
    /// Where gRPC listens [default: 127.0.0.1:7700].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where health and metrics listen, in plaintext [default: 127.0.0.1:7701].
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// Also play a retailer for a partner's engineer: a partner with listings, stock and a room on air, and a
    /// warehouse that ships by itself. What a program needs is written to `partner` in the data folder.
    #[arg(long, conflicts_with = "services")]
    sandbox: bool,
}

#[derive(Debug, Args)]
struct ProbeArgs {
    /// The admin port of the process [default: the configured one, 127.0.0.1:7701].
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// A service such as `order` or vitrine.order.v1.OrderService; the whole process when left out.
    #[arg(long)]
    service: Option<String>,
    /// How long to wait for it to become ready, in seconds; 0 asks once.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    wait: u64,
}

/// Reads the command line and does what it says. Here rather than in the binary, so that the compiler makes the
/// whole program's code once, in parallel, for the binary and the tests alike.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the async runtime could not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(cli.run());
    // Whatever still runs has had its drain; a stuck blocking thread must not keep the process.
    runtime.shutdown_background();
    code
}

impl Cli {
    /// Does what was asked; a failure is one sentence on stderr and an exit code of 1 (2 for configuration).
    pub async fn run(self) -> ExitCode {
        let config = match self.load() {
            Ok(config) => config,
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::from(2);
            }
        };
        let done = match self.command {
            Command::Demo(args) => {
                demo::command(config, args.seed, args.report, args.connect).await
            }
            Command::Serve(args) => serve::run(config, args.services, args.sandbox).await,
            Command::Import(args) => Ok(import::run(config, args).await),
            Command::Migrate { services } => migrate::run(&config, &services)
                .await
                .map(|()| ExitCode::SUCCESS),
            Command::Config => match kit::config::render(&config) {
                Ok(text) => {
                    print!("{text}");
                    Ok(ExitCode::SUCCESS)
                }
                Err(error) => Err(error.into()),
            },
            Command::Token(args) => token::run(&config, &args).map(|()| ExitCode::SUCCESS),
            Command::Audit(asked) => audit::run(&config, asked).await,
            Command::Partner(args) => partner::run(config, args).await,
            Command::Keys(asked) => sealing::run(&config, asked).await,
            Command::Feed(asked) => ops::feed(&config, &asked).await,
            Command::Probe(args) => {
                probe::run(&config, args.address, args.service, args.wait).await
            }
            Command::Bench(args) => bench::run(config, self.overrides, args).await,
        };
        done.unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        })
    }

    fn load(&self) -> Result<VitrineConfig, kit::config::ConfigError> {
        let (listen, admin) = match &self.command {
            Command::Serve(args) => (args.listen.clone(), args.admin.clone()),
            _ => (None, None),
        };
        let flags = Flags {
            data_dir: self.data_dir.clone(),
            listen,
            admin,
            set: self.overrides.clone(),
        };
        VitrineConfig::load(self.config.as_deref(), &kit::config::Env::process(), &flags)
    }
}
