//! How many calls one caller may make.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::common::v1::Audience;
use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};

use super::{Call, Handle, LayerDeps, Request, Response, refuse};
use crate::caller::Caller;
use crate::clock::SharedClock;
use crate::errors::{ErrorReason, Refusal};
use crate::telemetry::Metrics;

/// A steady rate and what may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Calls a second, over time; 0 for no limit.
    pub per_second: u32,
    /// Calls at once.
    pub burst: u32,
}

impl Rate {
    fn quota(self) -> Option<Quota> {
        let per_second = NonZeroU32::new(self.per_second)?;
        let burst = NonZeroU32::new(self.burst).unwrap_or(NonZeroU32::MIN);
        Some(Quota::per_second(per_second).allow_burst(burst))
    }
}

/// How many calls callers may make. Every replica counts for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RateLimitConfig {
    /// For each partner, over all of its tokens.
    pub partner: Rate,
    /// For partners that have a limit of their own, by partner id.
    pub partners: BTreeMap<String, Rate>,
    /// For each viewer.
    pub viewer: Rate,
    /// For each subject of the retailer.
    pub retailer: Rate,
    /// How many callers are counted at the same time; beyond that the least active are forgotten.
    pub max_counted_callers: u64,
    /// A caller that was silent for so long is forgotten, in seconds.
    pub forget_after_s: u64,
}

impl Default for RateLimitConfig {
    fn default() -> Self {
        RateLimitConfig {
            partner: Rate {
                per_second: 5_000,
                burst: 10_000,
            },
            partners: BTreeMap::new(),
            viewer: Rate {
                per_second: 20,
                burst: 40,
            },
            retailer: Rate {
                per_second: 500,
                burst: 1_000,
            },
            max_counted_callers: 200_000,
            forget_after_s: 300,
        }
    }
}

/// The injected clock, as governor wants to see it.
#[derive(Clone)]
struct Ticks {
    clock: SharedClock,
    origin: Instant,
}

impl GovernorClock for Ticks {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let since = self.clock.instant().saturating_duration_since(self.origin);
        Nanos::from(since)
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<Nanos>>;

pub(super) struct RateLimit<N> {
    next: N,
    config: RateLimitConfig,
    ticks: Ticks,
    // One limiter per caller behind a bounded cache: governor's own keyed store has no bound.
    limiters: Cache<String, Arc<Limiter>>,
    metrics: Metrics,
}

impl<N> RateLimit<N> {
    pub(super) fn new(next: N, config: &RateLimitConfig, deps: &LayerDeps) -> Self {
        let limiters = Cache::builder()
            .max_capacity(config.max_counted_callers)
            .time_to_idle(Duration::from_secs(config.forget_after_s.max(1)))
            .build();
        RateLimit {
            next,
            config: config.clone(),
            ticks: Ticks {
                clock: deps.clock.clone(),
                origin: deps.clock.instant(),
            },
            limiters,
            metrics: deps.metrics.clone(),
        }
    }

    fn rate(&self, caller: &Caller) -> Option<Rate> {
        match caller.audience {
            Audience::Partner => {
                let own = caller
                    .partner_id
                    .as_ref()
                    .and_then(|id| self.config.partners.get(id.as_str()));
                Some(own.copied().unwrap_or(self.config.partner))
            }
            Audience::Viewer => Some(self.config.viewer),
            Audience::Retailer => Some(self.config.retailer),
            // The suite's own services are held back by concurrency, not by rate.
            Audience::Service | Audience::Unspecified => None,
        }
    }

    fn check(&self, caller: &Caller) -> Result<(), Refusal> {
        let Some(quota) = self.rate(caller).and_then(Rate::quota) else {
            return Ok(());
        };
        let new = || Arc::new(RateLimiter::direct_with_clock(quota, self.ticks.clone()));
        let limiter = self.limiters.get_with(caller.scope_key(), new);
        limiter.check().map_err(|wait| {
            self.metrics.refused("rate_limit", crate::caller::audience_word(caller.audience));
            let wait = wait.wait_time_from(self.ticks.now()).max(Duration::from_millis(1));
            Refusal::new(
                ErrorReason::RateLimited,
                "This caller makes calls faster than its limit and nothing was done; slow down and try again.",
            )
            .retry_after(wait)
        })
    }
}

impl<N: Handle> Handle for RateLimit<N> {
    async fn handle(&self, call: &mut Call, request: Request) -> Response {
        match call.caller.as_ref().map(|caller| self.check(caller)) {
            None | Some(Ok(())) => self.next.handle(call, request).await,
            Some(Err(refusal)) => refuse(refusal),
        }
    }
}
