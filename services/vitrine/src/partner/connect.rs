//! Whom the tool speaks to, and with which token.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use contracts::catalog::v1::ListPartnersRequest;
use kit::clock::{SharedClock, SystemClock};
use kit::ids::{SharedIds, SystemIds};
use kit::lifecycle::{DrainConfig, Lifecycle};
use tonic::{Code, Status};

use super::show::About;
use crate::config::VitrineConfig;
use crate::demo::client::{Addresses, Bearer, Caller, Connections, reason};
use crate::keys;
use crate::suite::Suite;
use crate::token::{Role, retailer_claims};

/// How long the tool's own tokens live.
const TOKEN_LIFE: Duration = Duration::from_secs(300);

/// Where and as whom.
#[derive(Debug, Args)]
pub(super) struct Connect {
    /// A running suite, or its catalogue, such as http://127.0.0.1:7700; the internal port, where there are two.
    #[arg(long, global = true, value_name = "URL")]
    connect: Option<String>,
    /// A bearer token of the retailer with the role OPS, or @FILE to read one; made with the data folder's
    /// development key when left out.
    #[arg(long, global = true, value_name = "TOKEN")]
    token: Option<String>,
    /// Who you are, for the audit, when the token is made here.
    #[arg(long, global = true, default_value = "operator", value_name = "NAME")]
    by: String,
}

/// Somebody who may, and the suite that was started for it, if one was.
pub(super) struct Connected {
    pub(super) caller: Caller,
    pub(super) ids: SharedIds,
    config: VitrineConfig,
    suite: Option<Suite>,
}

impl Connected {
    /// What partners are told of the suite.
    pub(super) fn about(&self) -> About {
        About {
            endpoint: format!("http://{}", self.config.server.address),
            audience: self.config.auth.audience.clone(),
            token_life_s: self.config.auth.max_token_life_s,
        }
    }

    pub(super) async fn close(self) {
        if let Some(suite) = self.suite {
            suite.stop(&self.config).await;
        }
    }
}

impl Connect {
    pub(super) async fn open(&self, config: VitrineConfig) -> anyhow::Result<Connected> {
        let clock: SharedClock = Arc::new(SystemClock);
        let ids: SharedIds = Arc::new(SystemIds::new(clock.clone()));
        if let Some(address) = &self.connect {
            self.require_key(&config)?;
            let addresses = Addresses::one(address);
            let caller = self.caller(&config, &addresses, clock, &ids).await?;
            return Ok(Connected {
                caller,
                ids,
                config,
                suite: None,
            });
        }
        if let Some(caller) = self.running(&config, clock.clone(), &ids).await {
            return Ok(Connected {
                caller,
                ids,
                config,
                suite: None,
            });
        }
        if self.token.is_some() {
            anyhow::bail!("a token is for a running suite: say with --connect where it answers");
        }
        let mut quiet = config.clone();
        quiet.server.address.set_port(0);
        quiet.server.internal.address = None;
        quiet.admin.address.set_port(0);
        quiet.drain = DrainConfig::quick();
        let registry = prometheus::Registry::new();
        let metrics = kit::telemetry::Metrics::global();
        let suite = Suite::start(&quiet, &[], Lifecycle::new(), registry, metrics).await?;
        let addresses = Addresses::one(&format!("http://{}", suite.address));
        match self.caller(&quiet, &addresses, clock, &ids).await {
            Ok(caller) => Ok(Connected {
                caller,
                ids,
                config: VitrineConfig {
                    drain: quiet.drain,
                    ..config
                },
                suite: Some(suite),
            }),
            Err(error) => {
                suite.stop(&quiet).await;
                Err(error)
            }
        }
    }

    fn require_key(&self, config: &VitrineConfig) -> anyhow::Result<()> {
        if self.token.is_none() && !keys::folder(config).join("development.pem").exists() {
            anyhow::bail!(
                "{} holds no keys of a running suite: give a token with --token, or name the suite's folder with --data-dir",
                config.data_dir.display()
            );
        }
        Ok(())
    }

    /// A suite that runs where it usually does and takes this token, or the folder's.
    async fn running(
        &self,
        config: &VitrineConfig,
        clock: SharedClock,
        ids: &SharedIds,
    ) -> Option<Caller> {
        self.require_key(config).ok()?;
        let address = config.server.internal.address;
        let address = address.unwrap_or(config.server.address);
        let addresses = Addresses::one(&format!("http://{address}"));
        let caller = self.caller(config, &addresses, clock, ids).await.ok()?;
        let look = ListPartnersRequest {
            page_size: 1,
            page_token: String::new(),
        };
        caller.partners().list_partners(look).await.ok()?;
        Some(caller)
    }

    async fn caller(
        &self,
        config: &VitrineConfig,
        addresses: &Addresses,
        clock: SharedClock,
        ids: &SharedIds,
    ) -> anyhow::Result<Caller> {
        let token = match &self.token {
            Some(token) => match token.strip_prefix('@') {
                Some(file) => std::fs::read_to_string(Path::new(file))
                    .with_context(|| format!("the token in {file} could not be read"))?
                    .trim()
                    .to_owned(),
                None => token.clone(),
            },
            None => {
                let signer = keys::development_signer(config, clock, ids.clone())?;
                signer.mint(retailer_claims(&self.by, &[Role::Ops]), TOKEN_LIFE)
            }
        };
        let connections = Connections::open(addresses, 1).await?;
        Ok(connections.with(&Bearer::new(&token)?))
    }
}

/// A status in one sentence, and what to do about it.
pub(super) fn said(what: impl Into<String>) -> impl FnOnce(Status) -> anyhow::Error {
    let what = what.into();
    move |status| {
        let hint = match (status.code(), reason(&status).as_str()) {
            (Code::Unauthenticated, _) => {
                " Use a current token with --token, or the suite's own --data-dir."
            }
            (Code::PermissionDenied, "WRONG_LISTENER") => {
                " Connect to the internal port with --connect."
            }
            (Code::PermissionDenied, _) => " It takes a token of the retailer with the role OPS.",
            (_, "ETAG_MISMATCH") => " Somebody else changed it in the meantime: try again.",
            (Code::Unavailable | Code::DeadlineExceeded, _) => {
                " Is the suite running? Try again, or name it with --connect."
            }
            _ => "",
        };
        anyhow::anyhow!("{what}: {}{hint}", status.message())
    }
}
