//! What belongs to the call in progress and goes along with it without being passed by hand: its
//! request id, trace, deadline and on whose behalf it runs. Errors name the id in it; a
//! [`crate::wire::Wire`] hands trace, deadline and principal to the next service.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::load::QueueTime;

tokio::task_local! {
    static SCOPE: Arc<Scope>;
}

/// The call in progress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Names the call in logs and in answers.
    pub request_id: String,
    /// W3C `traceparent` of the call; empty when there is none.
    pub traceparent: String,
    /// When the caller stops waiting; none for streams that live until either side ends them.
    pub deadline: Option<Instant>,
    /// Who the call is made for, as the audit names them.
    pub principal: Option<String>,
    /// Where queues tell how long the call waited in them.
    pub queue: QueueTime,
}

impl Scope {
    /// The scope of the running task; empty outside a call.
    pub fn current() -> Scope {
        SCOPE
            .try_with(|scope| (**scope).clone())
            .unwrap_or_default()
    }

    pub(crate) fn shared() -> Option<Arc<Scope>> {
        SCOPE.try_with(Arc::clone).ok()
    }

    /// The running call waited for its turn so long. A moment is no queue and is left out.
    pub fn queued(waited: Duration) {
        if waited >= Duration::from_millis(1) {
            let _ = SCOPE.try_with(|scope| scope.queue.add(waited));
        }
    }

    /// Whether the running task belongs to a call.
    pub fn is_set() -> bool {
        SCOPE.try_with(|_| ()).is_ok()
    }

    /// When the running call's caller stops waiting; none outside a call and for streams.
    pub fn deadline() -> Option<Instant> {
        SCOPE.try_with(|scope| scope.deadline).ok().flatten()
    }

    /// Where queues tell how long the running call waited in them; outside a call it tells nobody.
    pub fn queue() -> QueueTime {
        SCOPE
            .try_with(|scope| scope.queue.clone())
            .unwrap_or_default()
    }

    /// The request id of the running task; empty outside a call.
    pub fn request_id() -> String {
        SCOPE
            .try_with(|scope| scope.request_id.clone())
            .unwrap_or_default()
    }

    /// What is left of the running call's time; none when it has no deadline.
    pub fn remaining(clock: &dyn Clock) -> Option<Duration> {
        let deadline = Self::deadline()?;
        Some(deadline.saturating_duration_since(clock.instant()))
    }

    /// Runs `future` inside this scope.
    pub async fn run<F: Future>(self, future: F) -> F::Output {
        Arc::new(self).run_shared(future).await
    }

    pub(crate) async fn run_shared<F: Future>(self: Arc<Self>, future: F) -> F::Output {
        SCOPE.scope(self, future).await
    }

    /// Runs `work` inside this scope.
    pub(crate) fn run_sync<T>(self: Arc<Self>, work: impl FnOnce() -> T) -> T {
        SCOPE.sync_scope(self, work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn travels_with_the_call_and_into_spawned_work() {
        let scope = Scope {
            request_id: "r-1".into(),
            ..Scope::default()
        };
        let seen = scope
            .run(async { crate::spawn("test", async { Scope::request_id() }).await })
            .await;
        assert_eq!(seen.expect("the task ends"), "r-1");
        assert!(!Scope::is_set());
        assert_eq!(Scope::current(), Scope::default());
    }
}
