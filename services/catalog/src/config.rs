//! Limits of the catalogue, with their units in their names.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::feed::{FeedConfig, SweepConfig};

pub use crate::import_config::ImportConfig;

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
    /// The most listings that one unit of work looks at again, because their product or the rules around them
    /// changed or a date passed. The first listings of a product follow together with it, the others soon after.
    pub refresh_listings_max: u32,
    /// Milliseconds between looks for listings that have to be looked at again; so late may a date be noticed.
    pub refresh_poll_ms: u64,
    /// Days for which a partner is told before it gets a lower commission.
    pub commission_notice_days: u32,
    /// The most drafts or decisions of one batch.
    pub batch_listings_max: usize,
    /// Limits of imports.
    pub import: ImportConfig,
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
            refresh_listings_max: 500,
            refresh_poll_ms: 1_000,
            commission_notice_days: 30,
            batch_listings_max: 1_000,
            import: ImportConfig::default(),
            feed: FeedConfig::default(),
            sweep: SweepConfig::default(),
        }
    }
}

impl Config {
    pub(crate) fn refresh_limit(&self) -> i64 {
        i64::from(self.refresh_listings_max.max(1))
    }

    pub(crate) fn refresh_poll(&self) -> Duration {
        Duration::from_millis(self.refresh_poll_ms.max(1))
    }

    pub(crate) fn commission_notice(&self) -> Duration {
        Duration::from_secs(u64::from(self.commission_notice_days) * 24 * 60 * 60)
    }
}
