//! A service's durable, ordered log of what changed, read by cursor.
//!
//! Positions have no gap, so a reader knows by itself whether something was taken away before it: the first
//! entry after a cursor has to be the very next one.

mod sweep;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use contracts::ErrorReason;
use contracts::common::v1::{Audience, FeedMeta};
use contracts::feed::FeedMessage;
use contracts::id::PartnerId;
use kit::caller::Caller;
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

pub use crate::head::NewEntry;
pub use sweep::{NewEpoch, SweepConfig, SweepFeed, Sweeper};
pub use watch::FeedWatch;

use crate::cursor::{CursorSpace, cursor_expired};
use crate::head::SERVICE;
use crate::{Db, Operation, Tx, sql};

/// The key in the metadata of CURSOR_EXPIRED that holds the cursor after the newest entry.
pub const HEAD_CURSOR: &str = "head_cursor";

/// Limits on reading a feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedConfig {
    /// Entries on a page when the caller names no size.
    pub page_size_default: u32,
    /// The most entries on a page.
    pub page_size_max: u32,
    /// The most bytes of content on a page; a single larger entry still travels, alone.
    pub page_bytes_max: usize,
    /// How many callers may watch at the same time.
    pub watchers_max: usize,
    /// Pages that a watcher may be behind before its reading waits for it.
    pub watch_buffer_pages: usize,
    /// Milliseconds after which a watcher looks again although nothing in this process was committed:
    /// how late the commits of other replicas are seen at most. 0 counts as 1.
    pub watch_poll_ms: u64,
    /// Milliseconds to let commits gather after the first, so that a busy feed is read in pages.
    pub watch_gather_ms: u64,
}

impl Default for FeedConfig {
    fn default() -> Self {
        FeedConfig {
            page_size_default: 100,
            page_size_max: 1_000,
            page_bytes_max: 2 * 1024 * 1024,
            watchers_max: 1_000,
            watch_buffer_pages: 4,
            watch_poll_ms: 250,
            watch_gather_ms: 5,
        }
    }
}

impl FeedConfig {
    /// Without any pause a watcher would do nothing but look.
    fn watch_poll(&self) -> Duration {
        millis(self.watch_poll_ms.max(1))
    }
}

/// One entry as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Entry {
    /// The service's position, from 1.
    pub position: i64,
    /// The partner it belongs to; empty for none.
    pub partner_id: String,
    /// The partner's position, from 1; 0 where it belongs to none.
    pub partner_position: i64,
    /// What it is about.
    pub aggregate_id: String,
    /// A word for its content.
    pub kind: String,
    /// The aggregate's etag after the change.
    pub etag: String,
    /// The encoded message without its meta.
    pub payload: Vec<u8>,
    /// The trace of the call that caused it.
    pub traceparent: String,
    /// When it was committed, in microseconds.
    pub commit_time: i64,
}

/// A page of a feed.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedPage<F> {
    /// The entries, in order.
    pub entries: Vec<F>,
    /// Where to go on; the same place when there was nothing new.
    pub next_cursor: String,
}

/// Reads the feed of the service that owns the database.
#[derive(Clone)]
pub struct FeedReader {
    db: Db,
    name: &'static str,
    config: Arc<FeedConfig>,
    watchers: Arc<Semaphore>,
}

impl FeedReader {
    /// A reader of the feed `name`; the name binds cursors to this feed.
    pub fn new(db: Db, name: &'static str, config: FeedConfig) -> Self {
        let watchers = Arc::new(Semaphore::new(config.watchers_max));
        FeedReader {
            db,
            name,
            config: Arc::new(config),
            watchers,
        }
    }

    /// Entries after a position: all of the service's, or those of one partner by the partner's own
    /// positions. CURSOR_EXPIRED when some of them are no longer kept.
    pub async fn list(
        &self,
        caller: &Caller,
        after_position: i64,
        limit: u32,
        partner: Option<&PartnerId>,
    ) -> Result<Vec<Entry>, Fault> {
        let view = View::of(partner);
        let read = self.page(&view, Place::Position(after_position), limit);
        Ok(self.db.read(caller, read).await?.entries)
    }

    /// The cursor after the newest entry that the caller may see.
    pub async fn head_cursor(&self, caller: &Caller) -> Result<String, Fault> {
        let view = View::of(visible_to(caller)?.as_ref());
        let state = self
            .db
            .read(caller, ReadState { view: view.clone() })
            .await?;
        Ok(self.space(&view, &state.epoch).encode(state.position))
    }

    /// Answers a list call. Partners see their own entries and positions, the retailer and the suite all.
    pub async fn serve_list<F: FeedMessage>(
        &self,
        caller: &Caller,
        cursor: &str,
        page_size: i32,
    ) -> Result<FeedPage<F>, Fault> {
        let view = View::of(visible_to(caller)?.as_ref());
        let limit = self.page_size(page_size)?;
        let read = self.page(&view, Place::Cursor(cursor.to_owned()), limit);
        let page = self.db.read(caller, read).await?;
        self.render(&view, page)
    }

    fn page_size(&self, asked: i32) -> Result<u32, Refusal> {
        match u32::try_from(asked) {
            Ok(0) => Ok(self.config.page_size_default),
            Ok(size) if size <= self.config.page_size_max => Ok(size),
            _ => Err(Refusal::invalid(
                "page_size",
                format!(
                    "must be 0 to {}; 0 means {}.",
                    self.config.page_size_max, self.config.page_size_default
                ),
            )),
        }
    }

    fn page(&self, view: &View, place: Place, limit: u32) -> ReadPage {
        ReadPage {
            feed: self.name,
            view: view.clone(),
            place,
            limit: limit.min(self.config.page_size_max),
        }
    }

    fn space(&self, view: &View, epoch: &str) -> CursorSpace {
        CursorSpace::new(self.name, view.scope(), epoch)
    }

    /// Turns what was read into messages, cut to what may travel at once.
    fn render<F: FeedMessage>(&self, view: &View, page: Page) -> Result<FeedPage<F>, Fault> {
        let space = self.space(view, &page.epoch);
        let mut next = page.after;
        let mut bytes = 0;
        let mut entries = Vec::with_capacity(page.entries.len());
        for entry in page.entries {
            bytes += entry.payload.len();
            if bytes > self.config.page_bytes_max && !entries.is_empty() {
                break;
            }
            next = view.position_of(&entry);
            entries.push(message(view, &space, entry)?);
        }
        Ok(FeedPage {
            entries,
            next_cursor: space.encode(next),
        })
    }
}

/// Whose entries a caller may see: none means all.
fn visible_to(caller: &Caller) -> Result<Option<PartnerId>, Refusal> {
    match caller.audience {
        Audience::Partner => caller.partner().map(Some),
        Audience::Retailer | Audience::Service => Ok(None),
        Audience::Viewer | Audience::Unspecified => Err(Refusal::new(
            ErrorReason::PermissionDenied,
            "This token may not read feeds; use one of a partner, the retailer or a service.",
        )),
    }
}

/// Everything, or what one partner sees.
#[derive(Clone, Debug, PartialEq, Eq)]
enum View {
    All,
    Partner(String),
}

impl View {
    fn of(partner: Option<&PartnerId>) -> Self {
        partner.map_or(View::All, |partner| {
            View::Partner(partner.as_str().to_owned())
        })
    }

    fn scope(&self) -> &str {
        match self {
            View::All => SERVICE,
            View::Partner(id) => id,
        }
    }

    fn position_of(&self, entry: &Entry) -> i64 {
        match self {
            View::All => entry.position,
            View::Partner(_) => entry.partner_position,
        }
    }
}

fn message<F: FeedMessage>(view: &View, space: &CursorSpace, entry: Entry) -> Result<F, Fault> {
    let mut message = F::decode(entry.payload.as_slice()).map_err(Fault::internal)?;
    message.set_meta(FeedMeta {
        cursor: space.encode(view.position_of(&entry)),
        position: if *view == View::All {
            entry.position
        } else {
            0
        },
        partner_position: entry.partner_position,
        partner_id: entry.partner_id,
        aggregate_id: entry.aggregate_id,
        etag: entry.etag,
        commit_time: Some(Micros(entry.commit_time).to_proto()),
        traceparent: entry.traceparent,
    });
    Ok(message)
}

/// Where to start reading.
#[derive(Clone, Debug)]
enum Place {
    Cursor(String),
    Position(i64),
    /// As before, in the life of the feed that was seen then.
    Resume {
        after: i64,
        epoch: String,
    },
}

#[derive(sqlx::FromRow)]
struct State {
    epoch: String,
    position: i64,
}

async fn state(tx: &mut Tx, view: &View) -> Result<State, Fault> {
    Ok(sql!(
        tx,
        one State,
        "SELECT e.epoch, COALESCE(h.position, CAST(0 AS BIGINT)) AS position \
         FROM feed_epoch e LEFT JOIN feed_head h ON h.scope = $1 WHERE e.singleton = 1",
        view.scope()
    )?)
}

struct ReadState {
    view: View,
}

impl Operation for ReadState {
    type Output = State;

    fn name(&self) -> &'static str {
        "feed.state"
    }

    async fn run(&self, tx: &mut Tx) -> Result<State, Fault> {
        state(tx, &self.view).await
    }
}

struct ReadPage {
    feed: &'static str,
    view: View,
    place: Place,
    limit: u32,
}

struct Page {
    epoch: String,
    after: i64,
    entries: Vec<Entry>,
}

impl Operation for ReadPage {
    type Output = Page;

    fn name(&self) -> &'static str {
        "feed.page"
    }

    async fn run(&self, tx: &mut Tx) -> Result<Page, Fault> {
        // The head is read before the entries: what it says was there and is not found was taken away.
        let State {
            epoch,
            position: head,
        } = state(tx, &self.view).await?;
        let space = CursorSpace::new(self.feed, self.view.scope(), &epoch);
        let expired = |refusal: Refusal| refusal.with(HEAD_CURSOR, space.encode(head));
        let after = match &self.place {
            Place::Cursor(cursor) => match space.decode(cursor) {
                Err(refusal) if refusal.reason == ErrorReason::CursorExpired => {
                    return Err(expired(refusal).into());
                }
                decoded => decoded?,
            },
            Place::Position(after) => *after,
            Place::Resume { epoch: before, .. } if *before != epoch => {
                return Err(expired(cursor_expired()).into());
            }
            Place::Resume { after, .. } => *after,
        };
        let entries = entries(tx, &self.view, after, i64::from(self.limit)).await?;
        let complete = match entries.first() {
            Some(first) => self.view.position_of(first) == after + 1,
            None => head == after || self.limit == 0,
        };
        if !complete {
            return Err(expired(cursor_expired()).into());
        }
        Ok(Page {
            epoch,
            after,
            entries,
        })
    }
}

async fn entries(tx: &mut Tx, view: &View, after: i64, limit: i64) -> Result<Vec<Entry>, Fault> {
    Ok(match view {
        View::All => sql!(
            tx,
            all Entry,
            "SELECT position, partner_id, partner_position, aggregate_id, kind, etag, payload, traceparent, \
             commit_time FROM feed WHERE position > $1 ORDER BY position LIMIT $2",
            after,
            limit
        )?,
        // The second condition says nothing new, but lets the partial index be used for any parameter.
        View::Partner(id) => sql!(
            tx,
            all Entry,
            "SELECT position, partner_id, partner_position, aggregate_id, kind, etag, payload, traceparent, \
             commit_time FROM feed WHERE partner_id = $1 AND partner_id <> '' AND partner_position > $2 \
             ORDER BY partner_position LIMIT $3",
            id,
            after,
            limit
        )?,
    })
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_pauses_between_looks_whatever_is_configured() {
        for (watch_poll_ms, pause) in [(0, 1), (1, 1), (250, 250)] {
            let config = FeedConfig {
                watch_poll_ms,
                ..FeedConfig::default()
            };
            assert_eq!(config.watch_poll(), millis(pause));
        }
    }
}
