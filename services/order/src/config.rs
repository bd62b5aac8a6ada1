//! Every limit of the order service, with its unit in its name.

use std::time::Duration;

use kit::config::Secret;
use serde::{Deserialize, Serialize};
use store::batch::LaneConfig;
use store::consumer::ConsumerConfig;
use store::feed::{FeedConfig, SweepConfig};

/// Configuration of the order service.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long units are held when the partner names no time.
    pub hold_ttl_s: u64,
    /// The longest time that a partner may ask for at placement.
    pub hold_ttl_max_s: u64,
    /// The longest time that one ExtendHold may add.
    pub hold_extension_max_s: u64,
    /// The longest time between placement and the end of the hold, extensions included.
    pub hold_total_max_s: u64,

    /// How long a quote's price is honoured.
    pub quote_ttl_s: u64,
    /// The key that quotes are signed with, 32 characters or more. Every replica needs the same one. Empty
    /// makes a new one at each start, so quotes do not outlive the process.
    pub quote_secret: Secret,
    /// The key that quotes were signed with before `quote_secret` was changed; still accepted. May be empty.
    pub quote_secret_previous: Secret,

    /// After a payment, how long until it must have been shipped when the listing does not say.
    pub ship_within_s: u64,
    /// After the last delivery, how long the shopper may return the goods; then the order is COMPLETED.
    pub return_window_s: u64,

    /// The most lines of one order.
    pub order_lines_max: u64,
    /// The most touchpoints of one line.
    pub touchpoints_max: u64,

    /// The lanes that carry out placements, payments, cancellations and expiries. More than one only helps
    /// where they touch different allotments.
    pub lane: LaneConfig,
    /// How often the sweepers look for holds that ran out and orders whose return window ended.
    pub sweep_interval_ms: u64,
    /// The most orders that one sweep takes in one transaction.
    pub sweep_orders_max: u64,

    /// Page size of lists when the caller names none.
    pub page_size: u32,
    /// The largest page of a list.
    pub page_size_max: u32,
    /// Limits on reading the feed that this service publishes.
    pub feed: FeedConfig,
    /// How long feed entries and idempotency keys are kept.
    pub sweep: SweepConfig,
    /// Limits on consuming the feeds of catalog and fulfillment.
    pub consumer: ConsumerConfig,

    /// How many parsed payment keys are kept in memory.
    pub payment_keys_max: u64,
    /// How long a payment key may be used from memory before its state is read again. A revocation that this
    /// replica applied itself counts at once; this bounds those that another replica applied.
    pub payment_key_ttl_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            hold_ttl_s: 10 * 60,
            hold_ttl_max_s: 30 * 60,
            hold_extension_max_s: 15 * 60,
            hold_total_max_s: 60 * 60,
            quote_ttl_s: 2 * 60,
            quote_secret: Secret::default(),
            quote_secret_previous: Secret::default(),
            ship_within_s: 3 * 24 * 60 * 60,
            return_window_s: 14 * 24 * 60 * 60,
            order_lines_max: 50,
            touchpoints_max: 10,
            lane: LaneConfig::default(),
            sweep_interval_ms: 500,
            sweep_orders_max: 256,
            page_size: 50,
            page_size_max: 200,
            feed: FeedConfig::default(),
            sweep: SweepConfig::default(),
            consumer: ConsumerConfig::default(),
            payment_keys_max: 10_000,
            payment_key_ttl_ms: 1_000,
        }
    }
}

impl Config {
    /// How long units are held when the partner names no time.
    pub fn hold_ttl(&self) -> Duration {
        Duration::from_secs(self.hold_ttl_s)
    }

    /// How long a quote's price is honoured.
    pub fn quote_ttl(&self) -> Duration {
        Duration::from_secs(self.quote_ttl_s)
    }

    /// After the last delivery, how long the shopper may return the goods.
    pub fn return_window(&self) -> Duration {
        Duration::from_secs(self.return_window_s)
    }

    /// How often the sweepers look.
    pub fn sweep_interval(&self) -> Duration {
        Duration::from_millis(self.sweep_interval_ms.max(1))
    }

    /// How long a payment key may be used from memory.
    pub fn payment_key_ttl(&self) -> Duration {
        Duration::from_millis(self.payment_key_ttl_ms)
    }
}
