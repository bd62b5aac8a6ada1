//! How much one caller may ask for, once it is known who it is: how fast, and how much at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::shed::Shed;
use super::{Call, Handle, Request, Response, refusals};

/// A steady rate and what may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Calls a second, over time; 0 for no limit.
    pub per_second: u32,
    /// Calls at once.
    pub burst: u32,
}

impl Rate {
    /// Without a limit.
    pub(super) const NONE: Rate = Rate {
        per_second: 0,
        burst: 0,
    };

    /// So many a second as agreed with a partner, two seconds' worth of them at once as usual; 0 for what is usual.
    pub(super) fn agreed(per_second: u32, usual: Rate) -> Rate {
        if per_second == 0 {
            return usual;
        }
        Rate {
            per_second,
            burst: per_second.saturating_mul(2),
        }
    }
}

/// How many calls callers may make. Every replica counts for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RateLimitConfig {
    /// For each partner, over all of its tokens; CRITICAL calls are not counted here.
    pub partner: Rate,
    /// For partners that have a limit of their own at this server, by partner id. It goes before the quotas that the
    /// catalogue knows of the partner (`vitrine partner`), as the other limits by partner id do.
    pub partners: BTreeMap<String, Rate>,
    /// For the CRITICAL calls of each partner, such as confirmations of payments. Generous: the money was taken.
    pub partner_critical: Rate,
    /// For partners whose CRITICAL calls have a limit of their own, by partner id.
    pub partners_critical: BTreeMap<String, Rate>,
    /// Unary calls that each partner may have under way, CRITICAL ones not counted; 0 for no limit. Under load a
    /// partner is held to its share besides.
    pub partner_calls_max: u32,
    /// For partners that may have another number of calls under way, by partner id.
    pub partners_calls_max: BTreeMap<String, u32>,
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
            partner_critical: Rate {
                per_second: 10_000,
                burst: 20_000,
            },
            partners_critical: BTreeMap::new(),
            partner_calls_max: 0,
            partners_calls_max: BTreeMap::new(),
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

pub(super) struct RateLimit<N> {
    next: N,
    shed: Arc<Shed>,
}

impl<N> RateLimit<N> {
    pub(super) fn new(next: N, shed: Arc<Shed>) -> Self {
        RateLimit { next, shed }
    }
}

impl<N: Handle> Handle for RateLimit<N> {
    async fn handle(&self, call: &mut Call, request: Request) -> Response {
        match self.shed.charge(call, request.headers()) {
            Ok(()) => self.next.handle(call, request).await,
            Err(answer) => refusals::after_request(request, answer).await,
        }
    }
}
