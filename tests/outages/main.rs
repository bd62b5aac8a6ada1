//! Outages: what is lost when something is killed, drained or started in another order. Nothing may be.
//!
//! Without arguments, as `cargo test` runs it, each scenario runs short. See `tests/README.md` for the long runs.

mod args;
mod check;
mod client;
mod driver;
mod journal;
mod kills;
mod pause;
mod report;
mod rolling;
mod rules;
mod starts;
mod tamper;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        // This program is also the suite under test, and its driver.
        Some("serve" | "migrate") => vitrine::cli::main(),
        Some("drive") => {
            let plan = arguments.get(1).map(std::path::PathBuf::from);
            ended(driver::main(&plan.unwrap_or_default()))
        }
        _ => args::run(&arguments),
    }
}

fn ended(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A runtime for what has to be asked for.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?)
}
