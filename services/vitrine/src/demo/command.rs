//! `vitrine demo`: a suite of its own for one day of the channel, or a running one.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use kit::clock::{SharedClock, SystemClock};
use kit::ids::{SharedIds, SystemIds};
use kit::lifecycle::{DrainConfig, Lifecycle};

use super::{Addresses, Options, Scale, run_at};
use crate::config::VitrineConfig;
use crate::keys;
use crate::suite::Suite;

/// Plays against a suite of its own, or a running one, and says how it went.
pub async fn command(
    mut config: VitrineConfig,
    seed: u64,
    report: Option<PathBuf>,
    connect: Vec<String>,
) -> anyhow::Result<ExitCode> {
    let clock: SharedClock = Arc::new(SystemClock);
    let ids: SharedIds = Arc::new(SystemIds::new(clock.clone()));
    let scale = Scale::default();
    let played = if connect.is_empty() {
        let folder = TempFolder::new(&ids)?;
        config.data_dir = folder.path.clone();
        config.server.address.set_port(0);
        config.admin.address.set_port(0);
        config.drain = DrainConfig::quick();
        let metrics = kit::telemetry::Metrics::global();
        let suite = Suite::start(
            &config,
            &[],
            Lifecycle::new(),
            prometheus::Registry::new(),
            metrics,
        )
        .await?;
        let signer = keys::development_signer(&config, clock, ids)?;
        let addresses = Addresses::one(&format!("http://{}", suite.address));
        let played = run_at(Options {
            seed,
            report,
            addresses,
            scale,
            run: format!("s{seed}"),
            signer,
        })
        .await;
        suite.stop(&config).await;
        played?
    } else {
        if !keys::folder(&config).join("development.pem").exists() {
            anyhow::bail!(
                "{} holds no keys of a running suite: name the suite's folder with --data-dir",
                config.data_dir.display()
            );
        }
        // Others' days may be in the suite, so this one gets a mark of its own.
        let run = format!("s{seed}-{:x}", ids.random_u64() >> 24);
        let signer = keys::development_signer(&config, clock, ids)?;
        run_at(Options {
            seed,
            report,
            addresses: Addresses::parse(&connect)?,
            scale,
            run,
            signer,
        })
        .await?
    };
    print!("{}", played.text());
    if played.checks_failed > 0 {
        eprintln!(
            "error: {} of {} checks failed",
            played.checks_failed, played.checks_made
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// A folder that goes away with the demo.
struct TempFolder {
    path: PathBuf,
}

impl TempFolder {
    fn new(ids: &SharedIds) -> anyhow::Result<TempFolder> {
        let path = std::env::temp_dir().join(format!("vitrine-demo-{:032x}", ids.next()));
        std::fs::create_dir_all(&path)
            .with_context(|| format!("the folder {} could not be made", path.display()))?;
        Ok(TempFolder { path })
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
