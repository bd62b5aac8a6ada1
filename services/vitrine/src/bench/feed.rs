//! A partner that follows its own feed: how late it hears, and what it hears of.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use contracts::order::v1 as pb;
use kit::clock::{Clock, Micros, SystemClock};
use prost::Message;

use super::load::{Shared, now};
use super::record::Step;
use super::shop::Partner;
use super::wire::{Lines, Rpc, framed};

/// Between two tries to follow again.
const PAUSE: Duration = Duration::from_millis(50);
/// Nothing more comes when nothing has come for so long.
const QUIET: Duration = Duration::from_millis(500);

/// WatchOrderFeedResponse, as far as it is of use.
#[derive(Clone, PartialEq, Message)]
struct Page {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(message, optional, tag = "1")]
    meta: Option<Meta>,
    #[prost(message, optional, tag = "2")]
    changed: Option<Changed>,
}

#[derive(Clone, PartialEq, Message)]
struct Meta {
    #[prost(string, tag = "1")]
    cursor: String,
    #[prost(int64, tag = "3")]
    partner_position: i64,
    #[prost(string, tag = "5")]
    aggregate_id: String,
    #[prost(message, optional, tag = "7")]
    commit_time: Option<prost_types::Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
struct Changed {
    #[prost(int32, tag = "1")]
    change: i32,
}

/// What a partner has heard so far.
#[derive(Debug, Default)]
pub struct Heard {
    /// Entries.
    pub entries: u64,
    /// The last position; positions have no gap.
    pub position: i64,
    /// Places where one was missing or came twice.
    pub gaps: u64,
    /// Orders that it was told are paid.
    pub paid: HashSet<String>,
    cursor: String,
}

/// Follows a feed from its beginning until it is dropped; with a record, it notes how late each entry came.
pub struct Follower {
    lines: Lines,
    partner: super::wire::Bearer,
    record: Option<Shared>,
    /// What it has heard so far.
    pub heard: Rc<RefCell<Heard>>,
}

impl Follower {
    /// A follower with a connection of its own.
    pub fn new(lines: Lines, partner: &Partner, record: Option<&Shared>) -> Follower {
        Follower {
            lines,
            partner: partner.stream_bearer.clone(),
            record: record.cloned(),
            heard: Rc::default(),
        }
    }

    /// Follows, again and again, for ever.
    pub async fn follow(&self) {
        loop {
            let cursor = self.heard.borrow().cursor.clone();
            let request = framed(&pb::WatchOrderFeedRequest { cursor });
            let stream = self
                .lines
                .stream(Rpc::WatchFeed, &self.partner, request)
                .await;
            if let Ok(mut stream) = stream {
                while let Some(page) = stream.next().await {
                    if let Ok(page) = Page::decode(page) {
                        self.hear(page);
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn hear(&self, page: Page) {
        let (wall, time) = (SystemClock.now(), now());
        let mut heard = self.heard.borrow_mut();
        for entry in page.entries {
            let meta = entry.meta.unwrap_or_default();
            heard.entries += 1;
            heard.gaps += u64::from(meta.partner_position != heard.position + 1);
            heard.position = meta.partner_position;
            heard.cursor = meta.cursor;
            let change = entry.changed.unwrap_or_default().change;
            if change == pb::OrderChange::Paid as i32 {
                heard.paid.insert(meta.aggregate_id);
            }
            let committed = meta.commit_time.and_then(|time| Micros::from_proto(&time));
            if let (Some(record), Some(committed)) = (&self.record, committed) {
                let due = time.checked_sub(wall.since(committed)).unwrap_or(time);
                record.borrow_mut().done(Step::Feed, due, time);
            }
        }
    }

    /// Waits until it has heard that at least so many orders are paid and then, for half a second, nothing more; at most
    /// `limit`.
    pub async fn until_quiet(&self, least: usize, limit: Duration) {
        let until = now() + limit;
        let (mut entries, mut since) = (0, now());
        while now() < until {
            let heard = (self.heard.borrow().entries, self.heard.borrow().paid.len());
            if heard.0 != entries {
                (entries, since) = (heard.0, now());
            }
            if heard.1 >= least && now().saturating_duration_since(since) > QUIET {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until it has heard that so many orders are paid, at most `limit`; whether it has.
    pub async fn until_paid(&self, count: usize, limit: Duration) -> bool {
        let until = now() + limit;
        while self.heard.borrow().paid.len() < count {
            if now() > until {
                return false;
            }
            tokio::time::sleep(PAUSE).await;
        }
        true
    }
}
