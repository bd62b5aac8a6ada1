//! What honest callers feel while a server is attacked, measured. See `tests/README.md`.
//!
//! This program is also the server under test and, at the lowest priority because attackers bring machines of their
//! own, the attacker.

mod honest;
mod pause;
mod raid;
mod server;
#[allow(dead_code, reason = "the suite uses the rest of it")]
mod wire;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use serde_json::{Value, json};

use crate::honest::Honest;
use crate::raid::Raid;
use crate::server::{Server, Ulimit};

/// What an attack may do to the slowest hundredth of honest calls.
const TIMES_QUIET_MAX: f64 = 3.0;
/// Below this, a multiple says more about the machine than about the server.
const FLOOR: Duration = Duration::from_millis(10);
const RECOVERY_MAX: Duration = Duration::from_secs(5);

/// Attacks on a server, and what honest callers feel.
#[derive(Debug, Parser)]
#[command(name = "attacks")]
struct Arguments {
    /// How long each attack lasts, in seconds.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Only these, by name.
    #[arg(long, value_name = "ATTACK")]
    only: Vec<String>,
    /// Where the figures go, as JSON.
    #[arg(long)]
    report: Option<std::path::PathBuf>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let ended = match arguments.get(1).map(String::as_str) {
        Some("serve") => return vitrine::cli::main(),
        Some("raid") => runtime().and_then(|on| on.block_on(raid::main(&arguments[2..]))),
        // As `cargo test` runs it: the same attacks in small are `security::attacks` of the suite.
        None => {
            println!(
                "attacks are measured by `cargo test --workspace --test attacks -- --seconds 15`"
            );
            Ok(())
        }
        Some(_) => runtime().and_then(|on| on.block_on(measure(&Arguments::parse()))),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?)
}

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let mut figures = Vec::new();
    let mut missed = Vec::new();
    for raid in Raid::ALL {
        let name = raid.name();
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| only == name) {
            continue;
        }
        let figure = one(raid, Duration::from_secs(arguments.seconds))
            .await
            .with_context(|| name.to_owned())?;
        println!("{name}: {figure}");
        if figure["held"] != json!(true) {
            missed.push(name);
        }
        figures.push(figure);
    }
    if let Some(file) = &arguments.report {
        let report = json!({ "seconds": arguments.seconds, "debug": cfg!(debug_assertions), "attacks": figures });
        std::fs::write(file, serde_json::to_string_pretty(&report)?)?;
    }
    if !missed.is_empty() {
        bail!("the server did not hold against {}", missed.join(", "));
    }
    Ok(())
}

/// Quiet, attacked, quiet again: each on a server of its own.
async fn one(raid: Raid, seconds: Duration) -> anyhow::Result<Value> {
    let limit = if raid == Raid::Connections {
        Ulimit::Files(256)
    } else {
        Ulimit::AsIs
    };
    let server = Server::start(limit, raid == Raid::Handshakes).await?;
    let honest = Honest::connect(&server).await?;
    // The first calls find nothing in any cache.
    honest.calls(Duration::from_secs(2)).await?;
    let quiet = honest.calls(seconds).await?;
    let (memory, files) = (server.resident_kib(), server.open_files());

    let attacker = server.attacked_by(raid, seconds + Duration::from_secs(2))?;
    pause::pause(Duration::from_secs(1)).await;
    let under = honest
        .calls(seconds.saturating_sub(Duration::from_secs(2)))
        .await?;
    let newcomer = honest.newcomer(&server).await;
    let (memory_under, files_under) = (server.resident_kib(), server.open_files());
    let did = attacker.ended().await?;

    let bound = (quiet.p99.mul_f64(TIMES_QUIET_MAX)).max(FLOOR);
    let recovery = honest.until_within(bound, Duration::from_secs(30)).await?;
    let after = honest.calls(Duration::from_secs(3)).await?;
    let ms = |time: Duration| (time.as_secs_f64() * 10_000.0).round() / 10.0;
    let held = under.failed == 0
        && under.p99 <= bound
        && recovery.is_some_and(|took| took <= RECOVERY_MAX)
        && newcomer.is_some();
    Ok(json!({
        "attack": raid.name(),
        "held": held,
        "attacker": did,
        "quiet": { "calls": quiet.calls, "p50_ms": ms(quiet.p50), "p99_ms": ms(quiet.p99) },
        "attacked": { "calls": under.calls, "failed": under.failed, "p50_ms": ms(under.p50), "p99_ms": ms(under.p99) },
        "after": { "failed": after.failed, "p99_ms": ms(after.p99) },
        "times_quiet": (under.p99.as_secs_f64() / quiet.p99.as_secs_f64() * 100.0).round() / 100.0,
        "newcomer_ms": newcomer.map(ms),
        "recovered_after_ms": recovery.map(ms),
        "resident_mib": [memory / 1_024, memory_under / 1_024, server.resident_kib() / 1_024],
        "open_files": [files, files_under, server.open_files()],
    }))
}
