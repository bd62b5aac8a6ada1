//! The audit trails of the services: signed checkpoints of them, kept outside of the databases, and `vitrine audit`.
//!
//! Each row of a trail covers the row before it (`store::audit`), so a change in the middle shows. What the chain alone
//! cannot show is that it was cut off, or written anew as a whole by somebody who can write to the database and knows how
//! the hashes are made. For that a process with `audit.checkpoint_dir` signs where its trails end, at intervals and when
//! it stops, and appends that to a file in a folder which the database's writers should not be able to write to. It never
//! signs a trail that does not go on from the last checkpoint.
//!
//! A checkpoint is one line: a compact JWS (EdDSA) whose content is JSON with the service, the position and hash of the
//! last row, the time, the file's name and the line's number in it.

mod checkpoint;
mod export;
mod folder;
#[cfg(test)]
#[path = "security_tests.rs"]
mod security;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Subcommand;
use jiff::Timestamp;
use kit::auth::SigningKey;
use kit::clock::{Micros, SharedClock, SystemClock};
use kit::ids::{SharedIds, SystemIds};
use serde::{Deserialize, Serialize};

pub use checkpoint::{Checkpoint, Keys};
pub use export::{Exporter, Exporters, Made};
pub(crate) use verify::{Asked, verified};

use crate::cli::Service;
use crate::config::VitrineConfig;
use crate::keys;
use crate::ops::{Found, open, say, spoken};

/// Signed checkpoints of the audit trails.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// Folder that checkpoints are appended to; none are made without one. Whoever can write to the databases should not
    /// be able to write here.
    pub checkpoint_dir: Option<PathBuf>,
    /// How often they are made, in seconds. One more is made when the process stops, and none while nothing is written.
    pub checkpoint_interval_s: u64,
    /// Ed25519 private key (PKCS#8 PEM) that signs them; the suite's own key without one.
    pub checkpoint_key_file: Option<PathBuf>,
}

impl Default for AuditConfig {
    fn default() -> Self {
        AuditConfig {
            checkpoint_dir: None,
            checkpoint_interval_s: 60,
            checkpoint_key_file: None,
        }
    }
}

/// What `vitrine audit` does.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Recompute the chain of every audit row and hold it against its checkpoints; exits 1 when a row was changed, put
    /// in, taken out or moved, when the end was cut off, or when the whole chain was written anew.
    Verify {
        /// Which services; all of them when none is named.
        services: Vec<Service>,
        /// Another database than the configured one, such as a copy: sqlite:FILE or postgres://…; for one service.
        #[arg(long, value_name = "URL")]
        database: Option<String>,
        /// Folder of the checkpoints [default: audit.checkpoint_dir].
        #[arg(long, value_name = "DIR")]
        checkpoints: Option<PathBuf>,
        /// Public key that they may be signed with, as `vitrine audit key` prints it, or a JWK set; may be repeated
        /// [default: the configured key].
        #[arg(long = "key", value_name = "FILE")]
        keys: Vec<PathBuf>,
        /// Print the findings as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Sign where the trails end at this moment, and append it to audit.checkpoint_dir.
    Checkpoint {
        /// Which services; all of them when none is named.
        services: Vec<Service>,
    },
    /// Print the public key that checkpoints are signed with, as a JWK. Keep it where the databases are not.
    Key,
}

/// Does what `vitrine audit` was asked.
pub async fn run(config: &VitrineConfig, asked: Audit) -> anyhow::Result<ExitCode> {
    match asked {
        Audit::Verify {
            services,
            database,
            checkpoints,
            keys,
            json,
        } => {
            let asked = Asked {
                services,
                database,
                checkpoints,
                keys,
                json,
            };
            say(verified(config, &asked).await?)
        }
        Audit::Checkpoint { services } => say(checkpointed(config, &services).await?),
        Audit::Key => {
            let key = signing_key(config)?;
            println!("{:#}", key.public_jwk());
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn checkpointed(config: &VitrineConfig, services: &[Service]) -> anyhow::Result<Found> {
    let Some(folder) = config.audit.checkpoint_dir.clone() else {
        bail!("there is no folder for checkpoints: set audit.checkpoint_dir");
    };
    std::fs::create_dir_all(&folder).with_context(|| {
        format!(
            "the folder of checkpoints {} could not be made",
            folder.display()
        )
    })?;
    let key = signing_key(config)?;
    let clock: SharedClock = Arc::new(SystemClock);
    let ids: SharedIds = Arc::new(SystemIds::new(clock.clone()));
    let services = match services {
        [] => &Service::ALL[..],
        named => named,
    };
    let (mut lines, mut well) = (Vec::new(), true);
    for &service in services {
        let db = open(config, service).await?;
        let made = Exporter::new(db.clone(), folder.clone(), key.clone(), clock.clone(), &ids)
            .make()
            .await;
        db.close().await;
        lines.push(match made? {
            Made::Checkpoint(line) => format!("{:<12} {line}", service.name()),
            Made::Unchanged => format!("{:<12} nothing was written since the last checkpoint", service.name()),
            Made::Refused(position) => {
                well = false;
                format!(
                    "{:<12} NOT SIGNED: the trail does not go on from its checkpoint at position {position}; run vitrine \
                     audit verify {}",
                    service.name(),
                    service.name()
                )
            }
        });
    }
    Ok(Found {
        text: lines.join("\n"),
        well,
    })
}

/// The key that checkpoints are signed with.
fn signing_key(config: &VitrineConfig) -> anyhow::Result<SigningKey> {
    match &config.audit.checkpoint_key_file {
        Some(file) => SigningKey::load(file).context("audit.checkpoint_key_file"),
        None => keys::own(config),
    }
}

/// The keys to verify with: those of the files, or the configured one. None is made here.
fn public_keys(config: &VitrineConfig, files: &[PathBuf]) -> anyhow::Result<Keys> {
    if !files.is_empty() {
        return Keys::load(files);
    }
    let configured = config
        .audit
        .checkpoint_key_file
        .clone()
        .or_else(|| config.auth.own_key_file.clone())
        .unwrap_or_else(|| keys::folder(config).join("vitrine.pem"));
    if !configured.exists() {
        bail!(
            "checkpoints cannot be verified without a key: name the public key with --key, as vitrine audit key printed it \
             where they were signed"
        );
    }
    Keys::load(&[configured])
}

/// A time as people read it.
fn moment(time: Micros) -> String {
    Timestamp::from_second(time.seconds()).map_or_else(|_| "?".to_owned(), |at| at.to_string())
}
