//! Limits of the catalogue, with their units in their names.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::feed::{FeedConfig, SweepConfig};

/// Configuration of the catalogue service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Items on a page of a list when the caller names no size.
    pub page_size_default: u32,
    /// The most items on a page of a list.
    pub page_size_max: u32,
    /// The most bytes of items on a page; a page that would be larger ends earlier. A single larger item
    /// still travels, alone.
    pub page_bytes_max: usize,
    /// The most listings that get their product's new title in one unit of work. The first of them get it
    /// together with the product, the others soon after.
    pub retitle_listings_max: u32,
    /// Milliseconds between looks for listings that still show a former title.
    pub retitle_poll_ms: u64,
    /// Limits on reading the feed.
    pub feed: FeedConfig,
    /// How long feed entries and idempotency keys are kept.
    pub sweep: SweepConfig,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            page_size_default: 50,
            page_size_max: 200,
            page_bytes_max: 2 * 1024 * 1024,
            retitle_listings_max: 500,
            retitle_poll_ms: 1_000,
            feed: FeedConfig::default(),
            sweep: SweepConfig::default(),
        }
    }
}

impl Config {
    pub(crate) fn retitle_limit(&self) -> i64 {
        i64::from(self.retitle_listings_max.max(1))
    }

    pub(crate) fn retitle_poll(&self) -> Duration {
        Duration::from_millis(self.retitle_poll_ms.max(1))
    }
}
