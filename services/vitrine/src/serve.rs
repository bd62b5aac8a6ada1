//! `vitrine serve`: runs until it is told to stop, then drains.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use kit::config::env_var;
use kit::lifecycle::{DrainConfig, Lifecycle};
use kit::server::TlsConfig;
use kit::telemetry::{self, Metrics};

use crate::cli::Service;
use crate::config::VitrineConfig;
use crate::sandbox;
use crate::suite::Suite;

/// Serves the services named, or all, and on request plays a retailer for a partner's engineer.
pub async fn run(
    mut config: VitrineConfig,
    services: Vec<Service>,
    sandbox: bool,
) -> anyhow::Result<ExitCode> {
    spare_memory();
    let embedded = services.is_empty();
    if embedded && config.drain == DrainConfig::default() {
        // Nobody balances load to a laptop, so nobody has to hear first that it ends.
        config.drain = DrainConfig::quick();
    }
    let name = match services.as_slice() {
        [one] => format!("vitrine-{}", one.name()),
        _ => "vitrine".to_owned(),
    };
    let telemetry = telemetry::init(&config.telemetry, &name)?;
    let lifecycle = Lifecycle::new();
    lifecycle
        .handle_signals()
        .context("signals cannot be handled")?;
    let suite = Suite::start(
        &config,
        &services,
        lifecycle.clone(),
        telemetry.registry(),
        Metrics::global(),
    )
    .await?;
    announce(&config, &suite, embedded);
    if sandbox {
        sandbox::start(&config, &suite).await?;
    }
    let cause = lifecycle.wait_for_shutdown().await;
    tracing::info!(%cause, "stopping");
    let report = lifecycle
        .drain_with(&config.drain, |bound| telemetry.flush(bound))
        .await;
    suite.close().await;
    if !report.is_clean() {
        eprintln!("stopped: {report}");
    }
    Ok(ExitCode::from(report.exit_code()))
}

/// Addresses and one command that works when pasted.
fn announce(config: &VitrineConfig, suite: &Suite, embedded: bool) {
    println!("gRPC         {}", address_of(config, suite));
    if let Some(internal) = suite.internal_address {
        let scheme = scheme(&config.server.internal.tls);
        println!("internal     {scheme}://{internal}  (retailer and services)");
    }
    println!(
        "admin        http://{}  (/readyz, /metrics, gRPC health)",
        suite.admin_address
    );
    if embedded {
        println!("data         {}", config.data_dir.display());
    }
    // With certificates or two ports it takes more than one line.
    let plain = config.server.tls.cert_file.is_none() && suite.internal_address.is_none();
    if config.development_tokens && plain {
        println!("\ntry it:\n  {}", try_it(config, suite));
    }
    println!();
}

fn scheme(tls: &TlsConfig) -> &'static str {
    if tls.cert_file.is_some() {
        "https"
    } else {
        "http"
    }
}

fn address_of(config: &VitrineConfig, suite: &Suite) -> String {
    format!("{}://{}", scheme(&config.server.tls), suite.address)
}

fn try_it(config: &VitrineConfig, suite: &Suite) -> String {
    let program = program();
    let data = std::path::absolute(&config.data_dir)
        .map_or_else(|_| quoted(&config.data_dir), |path| quoted(&path));
    if on_path("buf") && config.reflection {
        format!(
            "buf curl --protocol grpc --http2-prior-knowledge -H \"authorization: Bearer $({program} token retailer --data-dir {data})\" -d '{{}}' http://{}/vitrine.catalog.v1.PartnerService/ListPartners",
            suite.address
        )
    } else {
        format!(
            "{program} demo --connect http://{} --data-dir {data}",
            suite.address
        )
    }
}

/// This program as a shell takes it.
pub(crate) fn program() -> String {
    std::env::current_exe().map_or_else(|_| "vitrine".to_owned(), |path| quoted(&path))
}

/// A path as a shell takes it.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c));
    if plain {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

fn on_path(program: &str) -> bool {
    env_var("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    })
}

/// Memory comes in pages of the usual size: of the huge ones that Linux would give, most is never used, and a
/// busy order service then held half as much again, no faster for it.
fn spare_memory() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay as the system has them");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_a_shell() {
        assert_eq!(quoted(Path::new("/a/b-c.d")), "/a/b-c.d");
        assert_eq!(quoted(Path::new("/a b/it's")), "'/a b/it'\\''s'");
    }
}
