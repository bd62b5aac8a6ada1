//! Keeps the issuers' keys as their sets say, and asks early when a token names a key that nobody knows.
//!
//! Unknown keys are what a rotation looks like, and also what a flood of made-up tokens looks like. So one early
//! question is asked at most once in a while, whoever wants it; all who come meanwhile wait for its answer, and after
//! it a token with an unknown key is refused at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream;
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::AuthConfig;
use super::fetch::{self, Limits};
use super::issuer::Issuer;
use super::jwks::Source;
use crate::clock::SharedClock;
use crate::errors::BoxError;

/// Sets that are asked for at the same time.
const AT_ONCE: usize = 8;

/// How keys are kept fresh.
#[derive(Clone)]
pub(super) struct Refresh {
    inner: Arc<Inner>,
}

struct Inner {
    every: Duration,
    max_stale: Duration,
    unknown_pause: Duration,
    limits: Limits,
    clock: SharedClock,
    early: Mutex<Early>,
    wake: Notify,
    answered: watch::Sender<u64>,
    looked: AtomicBool,
}

/// The early question.
#[derive(Default)]
struct Early {
    /// Nobody asks anything before [`Refresh::run`] runs.
    runs: bool,
    last: Option<Instant>,
    /// The issuer that is being asked about.
    issuer: Option<String>,
}

impl Refresh {
    pub(super) fn new(config: &AuthConfig, clock: SharedClock) -> Self {
        Refresh {
            inner: Arc::new(Inner {
                every: Duration::from_secs(config.jwks_refresh_s.max(1)),
                max_stale: Duration::from_secs(config.jwks_max_stale_s),
                unknown_pause: Duration::from_secs(config.jwks_unknown_key_pause_s),
                limits: Limits {
                    time: Duration::from_millis(config.jwks_timeout_ms.max(1)),
                    max_bytes: config.jwks_max_bytes,
                    ca_file: config.jwks_ca_file.clone(),
                },
                clock,
                early: Mutex::default(),
                wake: Notify::new(),
                answered: watch::Sender::new(0),
                looked: AtomicBool::new(false),
            }),
        }
    }

    /// Whether every set was looked at once, with or without success.
    pub(super) fn has_looked(&self) -> bool {
        self.inner.looked.load(Ordering::Relaxed)
    }

    /// Renews the keys of these issuers until told to stop.
    pub(super) async fn run(self, issuers: impl Fn() -> Vec<Issuer>, stop: CancellationToken) {
        let mut tick = interval(self.inner.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.early().runs = true;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = tick.tick() => {
                    stream::iter(issuers())
                        .for_each_concurrent(AT_ONCE, |issuer| self.renew(issuer))
                        .await;
                    self.inner.looked.store(true, Ordering::Relaxed);
                }
                () = self.inner.wake.notified() => {
                    let asked = self.early().issuer.clone();
                    for issuer in issuers() {
                        if Some(&issuer.name) == asked.as_ref() {
                            self.renew(issuer).await;
                        }
                    }
                    self.early().issuer = None;
                    self.inner.answered.send_modify(|count| *count += 1);
                }
            }
        }
        self.early().runs = false;
    }

    /// Asks early for the keys of an issuer, if it may, or waits for who does already; whether to look again.
    pub(super) async fn ask(&self, issuer: &Issuer) -> bool {
        if matches!(issuer.keys.source(), Source::Fixed) {
            return false;
        }
        let mut answered = self.inner.answered.subscribe();
        {
            let mut early = self.early();
            let now = self.inner.clock.instant();
            let too_soon = early
                .last
                .is_some_and(|last| now.saturating_duration_since(last) < self.inner.unknown_pause);
            match &early.issuer {
                Some(asked) if *asked == issuer.name => {}
                None if early.runs && !too_soon => {
                    early.last = Some(now);
                    early.issuer = Some(issuer.name.clone());
                    self.inner.wake.notify_one();
                }
                _ => return false,
            }
            // Under the lock, so that the answer that is waited for is still to come.
            answered.mark_unchanged();
        }
        // A regular round may be under way before it.
        let patience = self.inner.limits.time * 2;
        matches!(timeout(patience, answered.changed()).await, Ok(Ok(())))
    }

    async fn renew(&self, issuer: Issuer) {
        let limits = &self.inner.limits;
        let found = match issuer.keys.source() {
            Source::Fixed => return,
            Source::File(path) => read(path, limits.max_bytes).await,
            Source::Url(url) => fetch::get(url, limits).await,
        };
        let until = self.inner.clock.now().plus(self.inner.max_stale);
        let taken = found.and_then(|text| Ok(issuer.keys.replace(&text, until)?));
        match taken {
            Ok(true) => tracing::info!(issuer = issuer.name, "keys renewed"),
            Ok(false) => {}
            Err(error) => tracing::warn!(
                issuer = issuer.name,
                from = ?issuer.keys.source(),
                error = %crate::errors::chain(&*error),
                "keys not renewed, the old ones stay for a while"
            ),
        }
    }

    fn early(&self) -> std::sync::MutexGuard<'_, Early> {
        self.inner
            .early
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(path: &std::path::Path, max_bytes: usize) -> Result<String, BoxError> {
    let found = tokio::fs::metadata(path).await?;
    if usize::try_from(found.len()).map_or(true, |bytes| bytes > max_bytes) {
        return Err(format!("larger than {max_bytes} bytes").into());
    }
    Ok(tokio::fs::read_to_string(path).await?)
}
