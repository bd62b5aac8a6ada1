//! The drain: one sequence, one deadline, one report.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Lifecycle, ShutdownCause, lock};

/// How a process takes its leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DrainConfig {
    /// How long the process goes on serving while it says that it is not ready, so that load balancers
    /// have heard it before the listener closes.
    pub drain_delay_s: u64,
    /// The whole drain takes no longer than this, delay and flush included. Keep it below the grace
    /// period of whatever runs the process (30 s on Kubernetes).
    pub drain_deadline_s: u64,
    /// The part of the deadline that is kept back for flushing telemetry.
    pub flush_reserve_s: u64,
}

impl Default for DrainConfig {
    fn default() -> Self {
        DrainConfig {
            drain_delay_s: 5,
            drain_deadline_s: 25,
            flush_reserve_s: 3,
        }
    }
}

impl DrainConfig {
    /// No delay, and a short deadline: for a process that nobody balances load to, and for tests.
    pub fn quick() -> Self {
        DrainConfig {
            drain_delay_s: 0,
            drain_deadline_s: 10,
            flush_reserve_s: 2,
        }
    }
}

/// Work that was still running when the drain gave up on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The work.
    pub task: &'static str,
    /// How many of it.
    pub count: usize,
}

/// What a drain came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainReport {
    /// Why the process ended.
    pub cause: ShutdownCause,
    /// What did not finish in time.
    pub unfinished: Vec<Unfinished>,
    /// Accept loops that had not stopped in time.
    pub acceptors_open: usize,
    /// Why telemetry could not be flushed, if it could not.
    pub flush_failure: Option<String>,
    /// It was cut short by a second signal.
    pub immediate: bool,
    /// How long it took.
    pub took: Duration,
}

impl DrainReport {
    /// Whether everything finished and the process was not failing to begin with. Telemetry that could
    /// not be delivered is no failure of the process.
    pub fn is_clean(&self) -> bool {
        let failed = matches!(self.cause, ShutdownCause::TaskFailed { .. });
        !failed && !self.immediate && self.unfinished.is_empty() && self.acceptors_open == 0
    }

    /// The code to exit with: 0 when clean, else 1.
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.is_clean())
    }
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "stopped after {} ms ({})",
            self.took.as_millis(),
            self.cause
        )?;
        if self.immediate {
            f.write_str(", cut short by a second signal")?;
        }
        if self.acceptors_open > 0 {
            write!(f, ", {} listeners still open", self.acceptors_open)?;
        }
        for (index, Unfinished { task, count }) in self.unfinished.iter().enumerate() {
            f.write_str(if index == 0 { ", unfinished: " } else { ", " })?;
            write!(f, "{task} × {count}")?;
        }
        if let Some(failure) = &self.flush_failure {
            write!(f, ", telemetry not flushed: {failure}")?;
        }
        Ok(())
    }
}

impl Lifecycle {
    /// Ends the process in order: not ready, delay, stop accepting, end streams, finish tasks.
    pub async fn drain(&self, config: &DrainConfig) -> DrainReport {
        self.drain_with(config, |_| async { Ok::<_, String>(()) })
            .await
    }

    /// Like [`Lifecycle::drain`]; at the end flushes telemetry within the time that is left.
    pub async fn drain_with<F, R, E>(&self, config: &DrainConfig, flush: F) -> DrainReport
    where
        F: FnOnce(Duration) -> R,
        R: Future<Output = Result<(), E>>,
        E: fmt::Display,
    {
        let started = Instant::now();
        let deadline = started + Duration::from_secs(config.drain_deadline_s);
        let reserve = Duration::from_secs(config.flush_reserve_s.min(config.drain_deadline_s));
        let work_deadline = deadline - reserve;

        self.request_shutdown(ShutdownCause::Requested);
        let cause = self.cause().unwrap_or(ShutdownCause::Requested);
        tracing::info!(%cause, deadline_s = config.drain_deadline_s, "draining");
        self.inner.draining.cancel();

        let life = &self.inner;
        let sequence = async {
            let delay = started + Duration::from_secs(config.drain_delay_s);
            tokio::time::sleep_until(delay.min(work_deadline)).await;
            life.stop_accepting.cancel();
            life.acceptors.close();
            life.acceptors.wait().await;
            life.end.cancel();
            life.tasks.close();
            life.tasks.wait().await;
        };
        let immediate = tokio::select! {
            biased;
            () = life.immediate.cancelled() => true,
            _ = tokio::time::timeout_at(work_deadline, sequence) => false,
        };
        // Whatever the sequence did not come to is said now, so that nothing waits for it any longer.
        life.stop_accepting.cancel();
        life.end.cancel();

        let unfinished = lock(&life.running)
            .iter()
            .map(|(&task, &count)| Unfinished { task, count })
            .collect();
        let left = deadline.saturating_duration_since(Instant::now());
        let flush_failure = tokio::select! {
            biased;
            // A second signal skips the flush too: whoever sends it wants the process gone.
            () = life.immediate.cancelled() => Some("cut short".to_owned()),
            flushed = tokio::time::timeout(left, flush(left)) => match flushed {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("not done within {} ms", left.as_millis())),
            },
        };
        let report = DrainReport {
            cause,
            unfinished,
            acceptors_open: life.acceptors.len(),
            flush_failure,
            immediate: immediate || life.immediate.is_cancelled(),
            took: started.elapsed(),
        };
        tracing::info!(clean = report.is_clean(), %report, "drained");
        report
    }
}
