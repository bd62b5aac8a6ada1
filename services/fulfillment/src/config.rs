//! Limits of the service.

use serde::{Deserialize, Serialize};
use store::consumer::ConsumerConfig;
use store::feed::{FeedConfig, SweepConfig};

use crate::model::shipment::EventLimits;

/// Limits and rhythms; every unit is in the name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Fulfilments on a page of the work queue when the caller names no size.
    pub work_page_size_default: u32,
    /// The most fulfilments on a page of the work queue.
    pub work_page_size_max: u32,
    /// Fulfilments or shipments on a page of their lists when the caller names no size.
    pub list_page_size_default: u32,
    /// The most fulfilments on a page of their list.
    pub fulfillment_page_size_max: u32,
    /// The most shipments on a page of their list.
    pub shipment_page_size_max: u32,
    /// The most parcels or tracking records in one batch call.
    pub batch_items_max: usize,
    /// The most lines named in one parcel or one cancellation.
    pub lines_max: usize,
    /// The most of anything on one line.
    pub quantity_max: i64,
    /// Tracking events shown with a shipment, the latest.
    pub events_shown_max: usize,
    /// The most tracking events of one shipment; beyond it only one that ends the shipment is taken.
    pub events_per_shipment_max: i64,
    /// The most cancellations that may wait for one order that has not arrived yet.
    pub tombstones_per_order_max: i64,
    /// Days that a cancellation waits for its order before it is forgotten.
    pub tombstone_keep_days: u32,
    /// Milliseconds between looks for blocks that time has lifted.
    pub lift_interval_ms: u64,
    /// The most fulfilments lifted, or tombstones forgotten, in one unit of work.
    pub lift_rows_max: u32,
    /// The service's own feed.
    pub feed: FeedConfig,
    /// Reading the order feed.
    pub order_feed: ConsumerConfig,
    /// Forgetting feed entries and idempotency keys.
    pub sweep: SweepConfig,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            work_page_size_default: 100,
            work_page_size_max: 500,
            list_page_size_default: 50,
            fulfillment_page_size_max: 200,
            shipment_page_size_max: 500,
            batch_items_max: 500,
            lines_max: 100,
            quantity_max: 1_000_000_000,
            events_shown_max: 50,
            events_per_shipment_max: 1_000,
            tombstones_per_order_max: 20,
            tombstone_keep_days: 30,
            lift_interval_ms: 500,
            lift_rows_max: 500,
            feed: FeedConfig::default(),
            order_feed: ConsumerConfig::default(),
            sweep: SweepConfig::default(),
        }
    }
}

impl Config {
    pub(crate) fn event_limits(&self) -> EventLimits {
        EventLimits {
            shown_max: self.events_shown_max,
            count_max: self.events_per_shipment_max,
        }
    }
}
