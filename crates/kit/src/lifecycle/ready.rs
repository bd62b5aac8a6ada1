//! Readiness: conditions asked under a timeout, answered from a short memory.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::lock;
use crate::parts::ReadyCheck;

/// Limits on readiness checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadyConfig {
    /// A check that takes longer counts as failed.
    pub timeout_ms: u64,
    /// How long a good answer is repeated before the check is asked again.
    pub cache_ms: u64,
    /// The same for a bad one: shorter, so that whoever waits for the process learns soon that it is ready.
    pub failure_cache_ms: u64,
}

impl Default for ReadyConfig {
    fn default() -> Self {
        ReadyConfig {
            timeout_ms: 1_000,
            cache_ms: 1_000,
            failure_cache_ms: 100,
        }
    }
}

/// The answer of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    /// The check, with the service it belongs to: `order/database`.
    pub name: String,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Whether a process, or a service in it, is ready, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// The process is ending.
    pub draining: bool,
    /// What each check said.
    pub checks: Vec<CheckResult>,
}

impl Readiness {
    /// Whether every check passed and no drain has begun.
    pub fn is_ready(&self) -> bool {
        !self.draining && self.checks.iter().all(|check| check.failure.is_none())
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_ready() {
            "ready\n"
        } else {
            "not ready\n"
        })?;
        if self.draining {
            f.write_str("process: draining\n")?;
        }
        for CheckResult { name, failure } in &self.checks {
            writeln!(f, "{name}: {}", failure.as_deref().unwrap_or("ok"))?;
        }
        Ok(())
    }
}

/// Every check of the process.
#[derive(Debug)]
pub(super) struct Checks {
    config: ReadyConfig,
    all: Mutex<Vec<Arc<Check>>>,
}

struct Check {
    service: &'static str,
    name: String,
    ready: ReadyCheck,
    // Held while the check is asked, so that many probers at once ask once.
    last: tokio::sync::Mutex<Option<(Instant, Option<String>)>>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Checks {
    pub(super) fn new(config: ReadyConfig) -> Self {
        Checks {
            config,
            all: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn add(&self, service: &'static str, ready: ReadyCheck) {
        let name = match service {
            "" => ready.name.to_owned(),
            _ => format!("{service}/{}", ready.name),
        };
        lock(&self.all).push(Arc::new(Check {
            service,
            name,
            ready,
            last: tokio::sync::Mutex::new(None),
        }));
    }

    pub(super) async fn ask(&self, service: Option<&str>, draining: bool) -> Readiness {
        let wanted = |check: &&Arc<Check>| {
            service.is_none_or(|s| check.service.is_empty() || check.service == s)
        };
        let checks: Vec<_> = lock(&self.all).iter().filter(wanted).cloned().collect();
        let asked = checks.iter().map(|check| async {
            CheckResult {
                name: check.name.clone(),
                failure: check.ask(&self.config).await,
            }
        });
        Readiness {
            draining,
            checks: join_all(asked).await,
        }
    }
}

impl Check {
    async fn ask(&self, config: &ReadyConfig) -> Option<String> {
        let mut last = self.last.lock().await;
        if let Some((asked, failure)) = &*last {
            let keep_ms = match failure {
                None => config.cache_ms,
                Some(_) => config.failure_cache_ms,
            };
            if asked.elapsed() < Duration::from_millis(keep_ms) {
                return failure.clone();
            }
        }
        let timeout = Duration::from_millis(config.timeout_ms);
        let failure = match tokio::time::timeout(timeout, (self.ready.check)()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(super::with_sources(&*error)),
            Err(_) => Some(format!("no answer within {} ms", config.timeout_ms)),
        };
        let before = last.as_ref().map(|(_, failure)| failure.is_none());
        match (&failure, before) {
            (Some(reason), None | Some(true)) => {
                tracing::warn!(check = self.name, reason, "readiness check fails")
            }
            (None, Some(false)) => {
                tracing::info!(check = self.name, "readiness check passes again")
            }
            _ => {}
        }
        *last = Some((Instant::now(), failure.clone()));
        failure
    }
}
