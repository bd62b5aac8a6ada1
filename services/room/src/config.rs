//! Limits of the service.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::consumer::ConsumerConfig;
use store::feed::{FeedConfig, SweepConfig};

use crate::live::Limits;
use crate::ops::programme::Horizons;

/// Limits and rhythms; every unit is in the name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Things on a page when the caller names no size.
    pub page_size_default: u32,
    /// The most things on a page.
    pub page_size_max: u32,
    /// The most hosts of a room.
    pub hosts_per_room_max: usize,
    /// The most outlets that a room is shown at.
    pub outlets_per_room_max: usize,
    /// The most brand rules of a room.
    pub brand_rules_max: usize,
    /// The most items in a showcase.
    pub items_per_room_max: usize,
    /// The most listings that are resolved for one room.
    pub listings_per_room_max: u32,
    /// The longest that a room may be planned for, in hours.
    pub schedule_max_h: u32,
    /// How long a viewer's token is good, in seconds; not more than `auth.max_viewer_token_life_s` accepts.
    pub viewer_token_life_s: u64,
    /// The most questions of one shopper in one room that may wait for an answer.
    pub open_questions_per_viewer_max: u32,
    /// How long the keys of likes are remembered, in seconds.
    pub like_key_life_s: u64,
    /// How many keys of likes are remembered; beyond that the oldest are forgotten.
    pub like_keys_max: usize,
    /// Milliseconds between writing down likes and views.
    pub flush_interval_ms: u64,
    /// Milliseconds between totals, and between frames of what can wait a moment: chat and bursts.
    pub counter_tick_ms: u64,
    /// The most watchers in this process.
    pub watchers_max: usize,
    /// The most watchers of one room.
    pub watchers_per_room_max: usize,
    /// The most watches of one shopper in one room.
    pub watches_per_viewer_max: usize,
    /// LEDGER events that a watcher may be behind before it is cut off.
    pub ledger_window: usize,
    /// CHAT events that are kept for watchers who are behind.
    pub chat_window: usize,
    /// CHAT events of a watcher's own that are kept although they fell out of the window.
    pub own_chat_window: usize,
    /// EPHEMERAL events that are kept for watchers who are behind.
    pub ephemeral_window: usize,
    /// Questions a second that all watchers at an outlet are shown; those above are shown to their askers only.
    pub chat_rate_max_per_s: u32,
    /// The most events in a frame.
    pub frame_events_max: usize,
    /// The most bytes of events in a frame; a larger event travels alone.
    pub frame_bytes_max: usize,
    /// Milliseconds that something may wait for a watcher who does not read before it is cut off.
    pub slow_reader_cut_ms: u64,
    /// The most LEDGER events that a watcher is sent when it resumes; beyond that it starts over from a snapshot.
    pub ledger_replay_max: u32,
    /// The most CHAT events that a watcher is sent when it resumes; beyond that it starts over from a snapshot.
    pub chat_replay_max: u32,
    /// The most answered questions in a snapshot.
    pub snapshot_questions_max: u32,
    /// Milliseconds between looks for what other processes committed.
    pub tail_poll_ms: u64,
    /// Milliseconds to let commits gather before live rooms look.
    pub tail_gather_ms: u64,
    /// The most events of each class that a live room reads at once.
    pub tail_events_max: u32,
    /// More changes of the catalogue at once than this make every live room look.
    pub catalog_changes_max: u32,
    /// Days that the log of a room is kept after its end.
    pub log_keep_days: u32,
    /// The most log entries forgotten in one unit of work.
    pub log_sweep_rows_max: u32,
    /// Seconds between looks for logs to forget.
    pub log_sweep_interval_s: u64,
    /// The most things asked for at once when the catalogue has to be read anew.
    pub bootstrap_page_size: u32,
    /// The most outlets that a channel is shown at.
    pub outlets_per_channel_max: usize,
    /// The most active slots of a channel.
    pub slots_per_channel_max: u32,
    /// The most dates on which a slot does not begin.
    pub exception_dates_max: usize,
    /// How far ahead slots are checked against each other, in days.
    pub programme_lookahead_days: u32,
    /// How far ahead times of slots become rooms, in hours.
    pub programme_horizon_h: u32,
    /// The most times of one slot within what is looked ahead.
    pub programme_times_max: usize,
    /// The longest stretch of a programme that is listed at once, in days.
    pub programme_window_max_days: u32,
    /// How far ahead the next time of a slot is looked for, in years.
    pub next_slot_search_years: u32,
    /// Seconds between looks for times of slots that are to become rooms.
    pub programme_interval_s: u64,
    /// Seconds after its planned end at which a room that never went on air is ended.
    pub missed_after_s: u64,
    /// Milliseconds between looks for channels whose next room is due.
    pub director_poll_ms: u64,
    /// The most channels that are handed over in one look.
    pub director_channels_max: u32,
    /// Seconds that a room goes on after its planned end when nothing follows it, on channels that hand over by themselves.
    pub overtime_max_s: u64,
    /// The most things that one shopper follows.
    pub follows_per_shopper_max: u32,
    /// When so many prices were read a page of a timeline ends; the most prices of one of its segments.
    pub timeline_prices_max: usize,
    /// The most watches of channels in this process.
    pub channel_watchers_max: usize,
    /// The service's own feed.
    pub feed: FeedConfig,
    /// Reading the catalogue's feed.
    pub catalog_feed: ConsumerConfig,
    /// Forgetting feed entries and idempotency keys.
    pub sweep: SweepConfig,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            page_size_default: 50,
            page_size_max: 200,
            hosts_per_room_max: 20,
            outlets_per_room_max: 200,
            brand_rules_max: 50,
            items_per_room_max: 200,
            listings_per_room_max: 10_000,
            schedule_max_h: 24,
            viewer_token_life_s: 3_600,
            open_questions_per_viewer_max: 20,
            like_key_life_s: 60,
            like_keys_max: 200_000,
            flush_interval_ms: 1_000,
            counter_tick_ms: 250,
            watchers_max: 50_000,
            watchers_per_room_max: 20_000,
            watches_per_viewer_max: 5,
            ledger_window: 256,
            chat_window: 256,
            own_chat_window: 32,
            ephemeral_window: 8,
            chat_rate_max_per_s: 50,
            frame_events_max: 500,
            frame_bytes_max: 256 * 1024,
            slow_reader_cut_ms: 30_000,
            ledger_replay_max: 1_000,
            chat_replay_max: 500,
            snapshot_questions_max: 20,
            tail_poll_ms: 250,
            tail_gather_ms: 5,
            tail_events_max: 500,
            catalog_changes_max: 1_000,
            log_keep_days: 7,
            log_sweep_rows_max: 1_000,
            log_sweep_interval_s: 600,
            bootstrap_page_size: 200,
            outlets_per_channel_max: 200,
            slots_per_channel_max: 500,
            exception_dates_max: 366,
            programme_lookahead_days: 400,
            programme_horizon_h: 48,
            programme_times_max: 20_000,
            programme_window_max_days: 62,
            next_slot_search_years: 20,
            programme_interval_s: 30,
            missed_after_s: 3_600,
            director_poll_ms: 250,
            director_channels_max: 100,
            overtime_max_s: 900,
            follows_per_shopper_max: 1_000,
            timeline_prices_max: 10_000,
            channel_watchers_max: 5_000,
            feed: FeedConfig::default(),
            catalog_feed: ConsumerConfig::default(),
            sweep: SweepConfig::default(),
        }
    }
}

impl Config {
    /// How far programmes are looked at.
    pub(crate) fn horizons(&self) -> Horizons {
        const HOUR: Duration = Duration::from_secs(3_600);
        Horizons {
            lookahead: HOUR * 24 * self.programme_lookahead_days,
            rooms: HOUR * self.programme_horizon_h,
            times_max: self.programme_times_max,
            slots_max: i64::from(self.slots_per_channel_max),
            search_years: i16::try_from(self.next_slot_search_years).unwrap_or(i16::MAX),
            missed_after: Duration::from_secs(self.missed_after_s),
        }
    }

    /// Sizes of windows and frames.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            ledger_window: self.ledger_window,
            chat_window: self.chat_window,
            ephemeral_window: self.ephemeral_window,
            own_chat_window: self.own_chat_window,
            chat_rate_max_per_s: self.chat_rate_max_per_s,
            frame_events_max: self.frame_events_max,
            frame_bytes_max: self.frame_bytes_max,
            watchers_per_room_max: self.watchers_per_room_max,
            watches_per_viewer_max: self.watches_per_viewer_max,
        }
    }
}
