//! A consumer's life: one session after another, with pauses between.

use std::time::Duration;

use contracts::ErrorReason;
use contracts::feed::FeedMessage;
use kit::errors::{Fault, Refusal};
use tokio_util::sync::CancellationToken;

use super::session::{Doubt, Session};
use super::work::{At, Reset, UNKNOWN};
use super::{Consume, Consumer, ConsumerConfig, FeedSource};
use crate::feed::HEAD_CURSOR;

impl<F, S, H> Consumer<F, S, H>
where
    F: FeedMessage,
    S: FeedSource<F>,
    H: Consume<F>,
{
    /// Consumes until `drain`; ends between two units of work.
    pub async fn run(self, drain: CancellationToken) {
        let mut pause = Duration::ZERO;
        let mut doubt = Doubt::default();
        while !drain.is_cancelled() {
            let begun = self.db.clock().instant();
            let mut session = Session::new(&self, &drain, doubt);
            let ended = session.run().await;
            let (moved, at) = (session.moved, session.at.clone());
            doubt = session.doubt;
            let lasted = self.db.clock().instant().saturating_duration_since(begun);
            if lasted > Duration::from_millis(self.config.backoff_max_ms) {
                // It followed a quiet feed; the pauses before it have served their time.
                pause = Duration::ZERO;
            }
            pause = next_pause(&self.config, pause, moved);
            if let Err(fault) = ended
                && !drain.is_cancelled()
            {
                // Bootstrapping may take long, and begins anew the next time.
                tokio::select! {
                    biased;
                    () = drain.cancelled() => {}
                    () = self.stopped(&at, fault) => {}
                }
            }
            if !(moved && pause.is_zero()) {
                tokio::select! {
                    biased;
                    () = drain.cancelled() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }

    /// Logs why the cursor stands still, and bootstraps when the feed has forgotten what comes next.
    async fn stopped(&self, at: &At, fault: Fault) {
        self.status.stopped();
        match fault.refusal() {
            Some(refusal) if refusal.reason == ErrorReason::CursorExpired => {
                if let Err(fault) = self.bootstrap_from(at, refusal).await {
                    tracing::error!(
                        consumer = self.name,
                        error = %fault.chain(),
                        "the feed no longer keeps what comes next and bootstrapping failed"
                    );
                }
            }
            Some(refusal) if refusal.reason == ErrorReason::Draining => {
                tracing::debug!(
                    consumer = self.name,
                    "the feed's server goes away, connecting again"
                );
            }
            _ => {
                tracing::warn!(consumer = self.name, error = %fault.chain(), "consumer stopped, trying again")
            }
        }
    }

    async fn bootstrap_from(&self, at: &At, refusal: &Refusal) -> Result<(), Fault> {
        let Some(bootstrap) = &self.bootstrap else {
            return Err(Fault::internal("this consumer has no bootstrap"));
        };
        let Some(cursor) = refusal.metadata.get(HEAD_CURSOR) else {
            return Err(Fault::internal("the feed did not say from where to go on"));
        };
        tracing::warn!(
            consumer = self.name,
            "the feed no longer keeps what comes next, bootstrapping"
        );
        bootstrap(cursor.clone()).await?;
        let to = At {
            cursor: cursor.clone(),
            position: UNKNOWN,
        };
        let reset = Reset {
            consumer: self.name,
            from: at.clone(),
            to,
        };
        self.db.execute(&self.caller, reset).await?;
        Ok(())
    }

    pub(super) fn parked_pause(&self, attempts: i64) -> Duration {
        let doublings = u32::try_from(attempts.clamp(0, 30)).unwrap_or(0);
        let pause = self.config.parked_backoff_ms.saturating_mul(1 << doublings);
        Duration::from_millis(pause.min(self.config.parked_backoff_max_ms))
    }
}

/// No pause after progress; else twice the one before, within the limits.
fn next_pause(config: &ConsumerConfig, before: Duration, moved: bool) -> Duration {
    if moved {
        return Duration::ZERO;
    }
    let first = Duration::from_millis(config.backoff_ms.max(1));
    (before * 2).clamp(
        first,
        Duration::from_millis(config.backoff_max_ms).max(first),
    )
}
