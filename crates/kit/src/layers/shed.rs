//! Bounded concurrency, shared out by how much a call matters.
//!
//! Calls that carry money already taken may use all of it; what nobody misses for a moment may use least.
//! So under load the least important are refused first, at once and before they cost anything, and there
//! is always room left for the most important. Streams have a bound of their own, because they stay.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use contracts::policy::Criticality;
use serde::{Deserialize, Serialize};

use super::{Call, Handle, LayerDeps, Request, Response, Target, refuse};
use crate::errors::{ErrorReason, Refusal};
use crate::ids::SharedIds;
use crate::telemetry::Metrics;

/// How much work a server takes on, and who may use how much of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShedConfig {
    /// Unary calls at the same time. CRITICAL calls may use all of it.
    pub max_calls: usize,
    /// Streams at the same time. CRITICAL streams may use all of it.
    pub max_streams: usize,
    /// The share that IMPORTANT calls may fill, in per cent.
    pub important_percent: u8,
    /// The share that NORMAL calls may fill, in per cent.
    pub normal_percent: u8,
    /// The share that SHEDDABLE calls may fill, in per cent.
    pub sheddable_percent: u8,
    /// When refused callers are told to try again, in milliseconds; up to twice as long, at random, so that
    /// they do not all come back at once.
    pub retry_after_ms: u64,
}

impl Default for ShedConfig {
    fn default() -> Self {
        ShedConfig {
            max_calls: 4_096,
            max_streams: 16_384,
            important_percent: 90,
            normal_percent: 75,
            sheddable_percent: 50,
            retry_after_ms: 250,
        }
    }
}

impl ShedConfig {
    fn share(&self, whole: usize, criticality: Criticality) -> usize {
        let percent = match criticality {
            Criticality::Critical => return whole,
            Criticality::Important => self.important_percent,
            Criticality::Normal => self.normal_percent,
            Criticality::Sheddable | Criticality::Unspecified => self.sheddable_percent,
        };
        // At least one, or a class of calls could never be served at all.
        (whole * usize::from(percent.min(100)) / 100).max(1)
    }
}

/// Work in progress of one kind.
struct Gate {
    shares: [usize; 5],
    used: AtomicUsize,
}

impl Gate {
    fn new(whole: usize, config: &ShedConfig) -> Arc<Self> {
        let classes = [
            Criticality::Unspecified,
            Criticality::Critical,
            Criticality::Important,
            Criticality::Normal,
            Criticality::Sheddable,
        ];
        Arc::new(Gate {
            shares: classes.map(|class| config.share(whole.max(1), class)),
            used: AtomicUsize::new(0),
        })
    }

    fn enter(self: &Arc<Self>, criticality: Criticality) -> Option<Permit> {
        let share = usize::try_from(criticality as i32)
            .ok()
            .and_then(|class| self.shares.get(class))?;
        let free = |used: usize| (used < *share).then_some(used + 1);
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, free)
            .ok()?;
        Some(Permit { gate: self.clone() })
    }
}

/// Room for one call, given back when dropped.
pub(super) struct Permit {
    gate: Arc<Gate>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.used.fetch_sub(1, Ordering::AcqRel);
    }
}

pub(super) struct Shed<N> {
    next: N,
    calls: Arc<Gate>,
    streams: Arc<Gate>,
    retry_after_ms: u64,
    ids: SharedIds,
    metrics: Metrics,
}

impl<N> Shed<N> {
    pub(super) fn new(next: N, config: &ShedConfig, deps: &LayerDeps) -> Self {
        Shed {
            next,
            calls: Gate::new(config.max_calls, config),
            streams: Gate::new(config.max_streams, config),
            retry_after_ms: config.retry_after_ms.max(1),
            ids: deps.ids.clone(),
            metrics: deps.metrics.clone(),
        }
    }

    fn overloaded(&self, criticality: Criticality) -> Refusal {
        self.metrics.refused("shed", criticality.as_str_name());
        let jitter = self.ids.random_u64() % self.retry_after_ms;
        Refusal::new(
            ErrorReason::Overloaded,
            "The server has more work than it can finish in time and nothing was done; try again later.",
        )
        .retry_after(Duration::from_millis(self.retry_after_ms + jitter))
    }
}

impl<N: Handle> Handle for Shed<N> {
    async fn handle(&self, call: &mut Call, request: Request) -> Response {
        // A busy server is not a sick one: refusing health checks would have it restarted under load.
        if matches!(call.target, Target::Health(_)) {
            return self.next.handle(call, request).await;
        }
        let criticality = call.target.criticality();
        let gate = if call.target.streams() {
            &self.streams
        } else {
            &self.calls
        };
        match gate.enter(criticality) {
            Some(permit) => call.permit = Some(permit),
            None => return refuse(self.overloaded(criticality)),
        }
        self.next.handle(call, request).await
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLASSES: [Criticality; 4] = [
        Criticality::Critical,
        Criticality::Important,
        Criticality::Normal,
        Criticality::Sheddable,
    ];

    proptest! {
        /// However calls come and go, a less important one is never let in where a more important one
        /// is not, nothing exceeds the whole, and all room comes back.
        #[test]
        fn the_important_are_never_shut_out_by_the_unimportant(whole in 1usize..40, steps in proptest::collection::vec((0usize..4, any::<bool>()), 0..200)) {
            let gate = Gate::new(whole, &ShedConfig::default());
            let mut held = Vec::new();
            for (class, leave) in steps {
                if leave {
                    held.pop();
                }
                let was = held.len();
                if let Some(permit) = gate.enter(CLASSES[class]) {
                    held.push(permit);
                    for better in &CLASSES[..class] {
                        prop_assert!(ShedConfig::default().share(whole, *better) >= held.len());
                    }
                } else {
                    prop_assert!(was >= ShedConfig::default().share(whole, CLASSES[class]));
                }
                prop_assert!(held.len() <= whole);
            }
            drop(held);
            prop_assert_eq!(gate.used.load(Ordering::SeqCst), 0);
        }
    }
}
