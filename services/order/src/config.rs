//! Every limit of the order service, with its unit in its name.

use std::time::Duration;

use contracts::id::PartnerId;
use kit::config::Secret;
use serde::{Deserialize, Serialize};
use store::batch::LaneConfig;
use store::consumer::ConsumerConfig;
use store::feed::{FeedConfig, SweepConfig};

use crate::model::link::ConversionRules;

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

    /// The retailer's shop, where deep links lead: an https address. Empty makes none, but for `link_sites`.
    pub link_base_url: String,
    /// Legal entities with a shop of their own.
    pub link_sites: Vec<LinkSite>,
    /// The key that deep links are signed with, 32 characters or more. Every replica needs the same one, for as
    /// long as links live and their purchases are reported. Empty makes no links.
    pub link_secret: Secret,
    /// The key that deep links were signed with before `link_secret` was changed; still accepted. May be empty.
    pub link_secret_previous: Secret,
    /// How long a click on a deep link counts after it was made.
    pub link_ttl_s: u64,
    /// How long after the click a purchase is credited to the link.
    pub attribution_window_s: u64,
    /// How long after a purchase it can be reversed.
    pub conversion_reversal_window_s: u64,
    /// How far the clock of the retailer's shop may be off.
    pub conversion_clock_skew_s: u64,

    /// How old an exchange rate may be on the day that it is used for: weekends and holidays have none.
    pub rate_age_max_days: u32,
    /// How far ahead an exchange rate may be recorded.
    pub rate_ahead_max_days: u32,
    /// The most days of one report.
    pub report_days_max: u32,
    /// The most rows of one report.
    pub report_rows_max: u32,

    /// After a payment, how long until it must have been shipped when the listing does not say.
    pub ship_within_s: u64,
    /// After the last delivery, how long the shopper may return the goods; then the order is COMPLETED.
    pub return_window_s: u64,

    /// Whether limits per person hold across partners, as PersonService says who is who. Off counts each partner's
    /// shopper apart.
    pub person_limits: PersonLimits,
    /// The key that the retailer's person keys are hashed with, 32 characters or more; needed with `person_limits`.
    /// Every replica needs the same one, for good: under another one nobody is known any more.
    pub person_secret: Secret,

    /// What one person of the retailer may decide alone that a shopper gets, refund or compensation: at most so many
    /// whole units of the order's currency. Above it a second person approves.
    pub refund_alone_max_units: u64,
    /// What a partner may pay back first at another's cost than its own: at most so many whole units of the order's
    /// currency in one refund.
    pub partner_refund_max_units: u64,

    /// How long the law asks for contact data to be kept after the last change of its order, for an erasure that
    /// somebody asks for meanwhile. 0 where it does not.
    pub contact_retention_days: u32,

    /// The most lines of one order.
    pub order_lines_max: u64,
    /// The most touchpoints of one line.
    pub touchpoints_max: u64,

    /// The lanes that carry out placements, payments, cancellations and expiries. More than one only helps
    /// where they touch different allotments.
    pub lane: LaneConfig,
    /// How many placements of late are kept in memory, about a kilobyte each: a payment soon after its placement then
    /// reads less. At least as many as wait for their payment in a rush.
    pub placements_kept_max: u64,
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

    /// What a statement's `aud` must be or contain: this suite. One name per suite keeps apart what a partner signs for
    /// the retailer's other suites.
    pub statement_audience: String,
    /// Whether payment statements have to name their `aud`, as all others do. Off accepts those without, as the first
    /// release of the contracts described them; an `aud` that is there has to be right in any case. On once every partner
    /// states it.
    pub statement_audience_required: bool,
    /// Partners whose payment statements have to name their `aud` in any case, by partner id: those that have said so.
    pub statement_audience_required_of: Vec<PartnerId>,
    /// How far in the future a statement's time may lie, because clocks differ. There is no bound on the past.
    pub statement_leeway_s: u64,
    /// How many parsed payment keys are kept in memory.
    pub payment_keys_max: u64,
    /// How long a payment key may be used from memory before its state is read again. A revocation that this
    /// replica applied itself counts at once; this bounds those that another replica applied.
    pub payment_key_ttl_ms: u64,
}

/// Whether limits per person hold across partners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PersonLimits {
    /// Each partner's shopper is a person of their own.
    #[default]
    Off,
    /// Whoever the retailer says is the same, is.
    On,
}

/// The shop of one legal entity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkSite {
    /// The legal entity, as listings name it.
    pub legal_entity: String,
    /// Its shop: an https address.
    pub base_url: String,
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
            link_base_url: String::new(),
            link_sites: Vec::new(),
            link_secret: Secret::default(),
            link_secret_previous: Secret::default(),
            link_ttl_s: 30 * 24 * 60 * 60,
            attribution_window_s: 30 * 24 * 60 * 60,
            conversion_reversal_window_s: 180 * 24 * 60 * 60,
            conversion_clock_skew_s: 5 * 60,
            rate_age_max_days: 7,
            rate_ahead_max_days: 7,
            report_days_max: 92,
            report_rows_max: 4_000,
            ship_within_s: 3 * 24 * 60 * 60,
            return_window_s: 14 * 24 * 60 * 60,
            person_limits: PersonLimits::Off,
            person_secret: Secret::default(),
            refund_alone_max_units: 200,
            partner_refund_max_units: 50,
            contact_retention_days: 0,
            order_lines_max: 50,
            touchpoints_max: 10,
            lane: LaneConfig::default(),
            placements_kept_max: 16_384,
            sweep_interval_ms: 500,
            sweep_orders_max: 256,
            page_size: 50,
            page_size_max: 200,
            feed: FeedConfig::default(),
            sweep: SweepConfig::default(),
            consumer: ConsumerConfig::default(),
            statement_audience: "vitrine".into(),
            statement_audience_required: false,
            statement_audience_required_of: Vec::new(),
            statement_leeway_s: 5 * 60,
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

    /// How long a click on a deep link counts.
    pub fn link_ttl(&self) -> Duration {
        Duration::from_secs(self.link_ttl_s)
    }

    /// How long things may take from a link to a conversion and its reversal.
    pub fn conversion_rules(&self) -> ConversionRules {
        ConversionRules {
            attribution_window: Duration::from_secs(self.attribution_window_s),
            reversal_window: Duration::from_secs(self.conversion_reversal_window_s),
            clock_skew: Duration::from_secs(self.conversion_clock_skew_s),
        }
    }

    /// After the last delivery, how long the shopper may return the goods.
    pub fn return_window(&self) -> Duration {
        Duration::from_secs(self.return_window_s)
    }

    /// How long the law asks for contact data after the last change of its order.
    pub fn contact_retention(&self) -> Duration {
        Duration::from_secs(24 * 60 * 60) * self.contact_retention_days
    }

    /// How often the sweepers look.
    pub fn sweep_interval(&self) -> Duration {
        Duration::from_millis(self.sweep_interval_ms.max(1))
    }

    /// How far in the future a statement's time may lie.
    pub fn statement_leeway(&self) -> Duration {
        Duration::from_secs(self.statement_leeway_s)
    }

    /// How long a payment key may be used from memory.
    pub fn payment_key_ttl(&self) -> Duration {
        Duration::from_millis(self.payment_key_ttl_ms)
    }
}
