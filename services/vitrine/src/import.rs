//! `vitrine import`: a file of products into the catalogue, and its stock into allotments.

mod report;
mod screen;
mod send;
mod stock;
mod tally;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use contracts::catalog::v1::{ImportFormat, ImportHeader, ListProductsRequest};
use kit::clock::{SharedClock, SystemClock};
use kit::ids::{SharedIds, SystemIds};
use kit::lifecycle::{DrainConfig, Lifecycle};

use crate::config::VitrineConfig;
use crate::demo::client::{Addresses, Bearer, Caller, Connections};
use crate::keys;
use crate::suite::Suite;
use crate::token::{Role, retailer_claims};
use report::Report;
use screen::Screen;
use send::Sent;
use tally::Tally;

/// How long the tool's own tokens live; longer than any import.
const TOKEN_LIFE: Duration = Duration::from_secs(3_600);

/// The file was kept whole.
const ALL_KEPT: u8 = 0;
/// Some rows were rejected, the others kept.
const SOME_REJECTED: u8 = 1;
/// The file, or the rest of it, can not be used.
const UNUSABLE: u8 = 2;
/// The import could not be carried out.
const NOT_DONE: u8 = 3;

/// What `vitrine import` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Formats: Shopify product CSV; Google Merchant Center TSV and XML (RSS 2.0, Atom); any of them \
packed with gzip. Text is UTF-8, or UTF-16 with its mark.\n\n\
Good rows are kept and bad ones told with line, column, reason and what to do. Rows are found again by the product's \
key (Handle, item_group_id, id) and the SKU, so the same file again changes nothing; variants that a file no longer \
has stay. Descriptions become plain text of at most 10000 characters. Status draft or archived makes a product that \
can not be listed.\n\n\
Without --connect the suite that runs on the data folder is used, or started for as long as the import takes.\n\n\
Exit codes:\n  0  every row was kept\n  1  some rows were rejected, all others kept\n  2  the file can not be used, or only \
a part of it\n  3  the import could not be carried out: nothing answers, or not with this token",
    after_long_help = None::<&str>
)]
pub struct ImportArgs {
    /// The file; - reads standard input.
    file: PathBuf,
    /// Its format, told from how it begins when left out.
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,
    /// Where the file comes from; a product is changed by the source that brought it only.
    #[arg(long, default_value = "shop", value_name = "NAME")]
    source: String,
    /// Currency of prices that name none; Shopify's files never name one.
    #[arg(long, default_value = "EUR", value_name = "CODE")]
    currency: String,
    /// Only say what would become of each row; nothing is changed.
    #[arg(long, visible_alias = "dry-run")]
    check: bool,
    /// What to do with the stock that the file reports.
    #[arg(long, value_enum, default_value_t = Stock::Initial)]
    stock: Stock,
    /// A running suite, such as http://127.0.0.1:7700; where its services run apart: --connect catalog=URL
    /// --connect order=URL.
    #[arg(long, value_name = "[SERVICE=]URL")]
    connect: Vec<String>,
    /// A bearer token of the retailer with the role OPS, or @FILE to read one; made with the data folder's
    /// development key when left out.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Also write counts and every rejected row as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// What to print: text for people, or a line of JSON for every row and one for the summary.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Told from how the file begins.
    Auto,
    /// Shopify's product CSV.
    Shopify,
    /// Google Merchant Center, tab-separated.
    MerchantTsv,
    /// Google Merchant Center, RSS 2.0 or Atom.
    MerchantXml,
}

impl Format {
    fn proto(self) -> ImportFormat {
        match self {
            Format::Auto => ImportFormat::Unspecified,
            Format::Shopify => ImportFormat::ShopifyCsv,
            Format::MerchantTsv => ImportFormat::MerchantTsv,
            Format::MerchantXml => ImportFormat::MerchantXml,
        }
    }
}

/// What becomes of reported stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stock {
    /// Make an allotment for each variant that has none yet; leave those that have one.
    Initial,
    /// The same, and record what the file has more or less than former imports as TOP_UP or SHRINKAGE.
    Sync,
    /// Nothing; listings sell nothing until they get an allotment.
    None,
}

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// Lines of JSON.
    Json,
}

/// Imports a file and says how it went.
pub async fn run(config: VitrineConfig, args: ImportArgs) -> ExitCode {
    let code = match import(config, &args).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            NOT_DONE
        }
    };
    ExitCode::from(code)
}

async fn import(config: VitrineConfig, args: &ImportArgs) -> anyhow::Result<u8> {
    // Before anything is started: that there is no such file is the commonest mistake.
    if let Err(error) = send::look(&args.file) {
        eprintln!("error: {error:#}");
        return Ok(UNUSABLE);
    }
    let clock: SharedClock = Arc::new(SystemClock);
    let ids: SharedIds = Arc::new(SystemIds::new(clock.clone()));
    let begin = clock.instant();
    let (caller, suite) = connected(config, args, clock.clone(), ids).await?;
    let done = carry_out(args, &caller).await;
    if let Some((suite, config)) = suite {
        suite.stop(&config).await;
    }
    let (code, mut screen) = done?;
    screen.took(clock.instant().saturating_duration_since(begin));
    Ok(code)
}

async fn carry_out(args: &ImportArgs, caller: &Caller) -> anyhow::Result<(u8, Screen)> {
    let header = ImportHeader {
        source: args.source.clone(),
        format: args.format.proto().into(),
        currency_code: args.currency.clone(),
        validate_only: args.check,
    };
    let mut screen = Screen::new(args, send::size(&args.file));
    let mut report = Report::create(args.report.as_deref(), args)?;
    let mut tally = Tally::new(args.stock != Stock::None && !args.check);
    let sent = Sent {
        file: &args.file,
        header,
    };
    let summary = sent
        .send(caller, &mut tally, &mut screen, &mut report)
        .await?;
    screen.imported(&tally, &summary);
    let stocked = if tally.stock.is_empty() {
        stock::Stocked::default()
    } else {
        stock::bring(caller, args, &tally.stock, &screen).await?
    };
    screen.stocked(args.stock, &stocked);
    report.finish(&tally, &summary, &stocked)?;
    screen.finish(&tally, &summary, &stocked);
    let code = if !summary.file_problems.is_empty() {
        UNUSABLE
    } else if tally.rejected() > 0 || !stocked.failed.is_empty() {
        SOME_REJECTED
    } else {
        ALL_KEPT
    };
    Ok((code, screen))
}

/// Somebody who may import, and the suite that was started for it, if one was.
async fn connected(
    mut config: VitrineConfig,
    args: &ImportArgs,
    clock: SharedClock,
    ids: SharedIds,
) -> anyhow::Result<(Caller, Option<(Suite, VitrineConfig)>)> {
    if !args.connect.is_empty() {
        if args.token.is_none() && !keys::folder(&config).join("development.pem").exists() {
            anyhow::bail!(
                "{} holds no keys of a running suite: give a token with --token, or name the suite's folder with --data-dir",
                config.data_dir.display()
            );
        }
        let addresses = addresses(&args.connect)?;
        return Ok((caller(&config, args, &addresses, clock, ids).await?, None));
    }
    if let Some(caller) = running(&config, args, clock.clone(), ids.clone()).await {
        return Ok((caller, None));
    }
    if args.token.is_some() {
        anyhow::bail!("a token is for a running suite: say with --connect where it answers");
    }
    config.server.address.set_port(0);
    config.admin.address.set_port(0);
    config.drain = DrainConfig::quick();
    let registry = prometheus::Registry::new();
    let metrics = kit::telemetry::Metrics::global();
    let suite = Suite::start(&config, &[], Lifecycle::new(), registry, metrics).await?;
    let addresses = Addresses::one(&format!("http://{}", suite.address));
    match caller(&config, args, &addresses, clock, ids).await {
        Ok(caller) => Ok((caller, Some((suite, config)))),
        Err(error) => {
            suite.stop(&config).await;
            Err(error)
        }
    }
}

/// A suite that runs where it usually does and on this data folder: it takes the folder's tokens.
async fn running(
    config: &VitrineConfig,
    args: &ImportArgs,
    clock: SharedClock,
    ids: SharedIds,
) -> Option<Caller> {
    if args.token.is_none() && !keys::folder(config).join("development.pem").exists() {
        return None;
    }
    let address = Addresses::one(&format!("http://{}", config.server.address));
    let caller = caller(config, args, &address, clock, ids).await.ok()?;
    let look = ListProductsRequest {
        page_size: 1,
        ..ListProductsRequest::default()
    };
    caller.products().list_products(look).await.ok()?;
    Some(caller)
}

async fn caller(
    config: &VitrineConfig,
    args: &ImportArgs,
    addresses: &Addresses,
    clock: SharedClock,
    ids: SharedIds,
) -> anyhow::Result<Caller> {
    let token = match args
        .token
        .as_deref()
        .map(|token| (token, token.strip_prefix('@')))
    {
        Some((_, Some(file))) => std::fs::read_to_string(Path::new(file))
            .with_context(|| format!("the token in {file} could not be read"))?
            .trim()
            .to_owned(),
        Some((token, None)) => token.to_owned(),
        None => {
            let signer = keys::development_signer(config, clock, ids)?;
            signer.mint(retailer_claims("import", &[Role::Ops]), TOKEN_LIFE)
        }
    };
    let connections = Connections::open(addresses, 1).await?;
    Ok(connections.with(&Bearer::new(&token)?))
}

/// From `--connect`: one address for both, or one for the catalogue and one for orders.
fn addresses(given: &[String]) -> anyhow::Result<Addresses> {
    let mut full = given.to_vec();
    // The other services are not called, and need no address of their own.
    if let Some(catalog) = given.iter().find_map(|text| text.strip_prefix("catalog=")) {
        for name in ["room", "fulfillment"] {
            if !given
                .iter()
                .any(|text| text.starts_with(&format!("{name}=")))
            {
                full.push(format!("{name}={catalog}"));
            }
        }
    }
    Addresses::parse(&full)
}

#[cfg(test)]
mod tests;
