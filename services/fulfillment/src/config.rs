//! Limits of the service.

mod care;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::consumer::ConsumerConfig;
use store::feed::{FeedConfig, SweepConfig};

use crate::model::aftersale::AftersaleLimits;
use crate::model::shipment::EventLimits;
use crate::ops::returns::ReturnLimits;

pub use care::{CareConfig, LevelTargets, PriorityTargets};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

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
    /// Seconds after a delivery during which a return may be asked for. The order service counts an order as
    /// completed after its own `return_window_s`: keep the two the same.
    pub return_window_s: u64,
    /// Days from its approval in which a return has to come when the decision names no time.
    pub return_by_days_default: u32,
    /// The most days from its approval in which a return may have to come.
    pub return_by_days_max: u32,
    /// The most returns of one order, whatever became of them.
    pub returns_per_order_max: u32,
    /// The most deliveries of one order that are looked at, the latest; older ones cannot be sent back.
    pub return_deliveries_max: u32,
    /// The most returns on a page of their list.
    pub return_page_size_max: u32,
    /// The most items in the receipt of one return.
    pub received_items_max: usize,
    /// Days after the end of a return before the shopper's words about it are forgotten.
    pub return_note_keep_days: u32,
    /// Seconds that the retailer has for its review of a matter; then it is granted as asked for.
    pub aftersale_review_s: u64,
    /// Seconds that an offer stands; then its matter lapses.
    pub aftersale_offer_s: u64,
    /// Seconds that finance has for agreeing to an amount; then the matter is refused.
    pub aftersale_approval_s: u64,
    /// Seconds that the inspection of goods may take; then they are accepted as they are.
    pub aftersale_inspection_s: u64,
    /// Seconds that other goods have for going out; then money goes back instead.
    pub aftersale_reshipment_s: u64,
    /// Seconds between reminders of a refund that the partner has not executed.
    pub aftersale_refund_s: u64,
    /// Seconds after a delivery during which something may be found wrong with the goods.
    pub aftersale_claim_window_s: u64,
    /// The most offers of one matter.
    pub aftersale_offers_max: u32,
    /// The most pieces of evidence of one matter.
    pub aftersale_evidence_max: usize,
    /// The most matters of one order that people opened, whatever became of them.
    pub aftersales_per_order_max: u32,
    /// The most matters on a page of their list.
    pub aftersale_page_size_max: u32,
    /// The most steps of a matter that are read with it, from the first.
    pub aftersale_steps_shown_max: u32,
    /// Where goods go when time has granted their return: the retailer's name of the place.
    pub aftersale_return_site_reference: String,
    /// The most minor units that one person of the retailer grants alone, by currency code.
    pub aftersale_alone_minor_units: BTreeMap<String, i64>,
    /// The same for all other currencies, in minor units.
    pub aftersale_alone_default_minor_units: i64,
    /// Milliseconds between looks for blocks that time has lifted and returns that time has ended.
    pub lift_interval_ms: u64,
    /// The most fulfilments lifted, returns ended, or tombstones or notes forgotten, in one unit of work.
    pub lift_rows_max: u32,
    /// Days after the end of a case or a return during which the law asks for what was said, for an erasure that
    /// somebody asks for meanwhile. 0 where it does not.
    pub words_retention_days: u32,
    /// Customer care.
    pub care: CareConfig,
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
            return_window_s: 14 * 24 * 60 * 60,
            return_by_days_default: 14,
            return_by_days_max: 90,
            returns_per_order_max: 100,
            return_deliveries_max: 1_000,
            return_page_size_max: 200,
            received_items_max: 500,
            return_note_keep_days: 90,
            aftersale_review_s: 3 * 24 * 60 * 60,
            aftersale_offer_s: 3 * 24 * 60 * 60,
            aftersale_approval_s: 3 * 24 * 60 * 60,
            aftersale_inspection_s: 5 * 24 * 60 * 60,
            aftersale_reshipment_s: 7 * 24 * 60 * 60,
            aftersale_refund_s: 7 * 24 * 60 * 60,
            aftersale_claim_window_s: 90 * 24 * 60 * 60,
            aftersale_offers_max: 3,
            aftersale_evidence_max: 20,
            aftersales_per_order_max: 50,
            aftersale_page_size_max: 200,
            aftersale_steps_shown_max: 500,
            aftersale_return_site_reference: "returns".into(),
            aftersale_alone_minor_units: BTreeMap::new(),
            aftersale_alone_default_minor_units: 20_000,
            lift_interval_ms: 500,
            lift_rows_max: 500,
            words_retention_days: 0,
            care: CareConfig::default(),
            feed: FeedConfig::default(),
            order_feed: ConsumerConfig::default(),
            sweep: SweepConfig::default(),
        }
    }
}

impl Config {
    /// The limits on returns.
    pub fn return_limits(&self) -> ReturnLimits {
        ReturnLimits {
            window: Duration::from_secs(self.return_window_s),
            per_order_max: self.returns_per_order_max.into(),
            deliveries_max: self.return_deliveries_max.into(),
            by_default: DAY * self.return_by_days_default,
            by_max: DAY * self.return_by_days_max,
        }
    }

    /// Times and limits of matters after the sale.
    pub fn aftersale_limits(&self) -> AftersaleLimits {
        AftersaleLimits {
            review: Duration::from_secs(self.aftersale_review_s),
            offer: Duration::from_secs(self.aftersale_offer_s),
            approval: Duration::from_secs(self.aftersale_approval_s),
            goods: DAY * self.return_by_days_default,
            goods_max: DAY * self.return_by_days_max,
            inspection: Duration::from_secs(self.aftersale_inspection_s),
            reshipment: Duration::from_secs(self.aftersale_reshipment_s),
            refund: Duration::from_secs(self.aftersale_refund_s),
            return_window: Duration::from_secs(self.return_window_s),
            claim_window: Duration::from_secs(self.aftersale_claim_window_s),
            offers_max: self.aftersale_offers_max.into(),
            evidence_max: i64::try_from(self.aftersale_evidence_max).unwrap_or(i64::MAX),
            per_order_max: self.aftersales_per_order_max.into(),
            deliveries_max: self.return_deliveries_max.into(),
            default_site: self.aftersale_return_site_reference.clone(),
            alone: self.aftersale_alone_minor_units.clone(),
            alone_default: self.aftersale_alone_default_minor_units,
        }
    }

    /// How long after the end of a case or a return the law asks for what was said.
    pub fn words_retention(&self) -> Duration {
        DAY * self.words_retention_days
    }

    pub(crate) fn event_limits(&self) -> EventLimits {
        EventLimits {
            shown_max: self.events_shown_max,
            count_max: self.events_per_shipment_max,
            back: DAY * self.return_by_days_default,
            inspection: Duration::from_secs(self.aftersale_inspection_s),
        }
    }
}
