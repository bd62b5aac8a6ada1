//! Watchers of the feeds: each goes on from its cursor when its stream breaks, and writes down every entry it gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use contracts::catalog::v1 as catalog;
use contracts::common::v1::FeedMeta;
use contracts::fulfillment::v1 as fulfillment;
use contracts::order::v1 as order;
use contracts::room::v1 as room;
use kit::clock::Clock;
use prost::Message;
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Stage;
use crate::client::Caller;
use crate::journal::{Entry, Event, Journal};
use crate::pause::pause;

/// Silence for so long means that there is nothing more to come.
const SILENCE: Duration = Duration::from_millis(1_500);
/// However busy the feeds are.
const SILENCE_BOUND: Duration = Duration::from_secs(60);
/// Between two tries to open a stream.
const PAUSE: Duration = Duration::from_millis(100);

/// The watchers at work.
pub struct Watchers {
    pub tasks: Vec<JoinHandle<()>>,
    /// Entries so far, of all of them.
    entries: Arc<AtomicI64>,
}

/// The digest of an entry: the same entry read again has the same.
fn digest(entry: &impl Message) -> String {
    hex::encode(&Sha256::digest(entry.encode_to_vec())[..12])
}

/// The entries of one answer of a feed.
pub trait Page: Message + Default + 'static {
    /// Each one's meta data and digest.
    fn entries(&self) -> Vec<(FeedMeta, String)>;
}

/// An entry of a feed.
trait Entered: Message + Clone {
    fn meta(&mut self) -> &mut Option<FeedMeta>;

    /// What it carries beside its content, and its digest.
    fn seen(&self) -> (FeedMeta, String) {
        let mut entry = self.clone();
        let meta = entry.meta().take().unwrap_or_default();
        // Cursors are opaque: the same place may be written in more than one way.
        *entry.meta() = Some(FeedMeta {
            cursor: String::new(),
            ..meta.clone()
        });
        (meta, digest(&entry))
    }
}

macro_rules! pages {
    ($($entry:ty: $($page:ty),*;)*) => {$(
        impl Entered for $entry {
            fn meta(&mut self) -> &mut Option<FeedMeta> {
                &mut self.meta
            }
        }
        $(impl Page for $page {
            fn entries(&self) -> Vec<(FeedMeta, String)> {
                self.entries.iter().map(Entered::seen).collect()
            }
        })*
    )*};
}
pages! {
    order::OrderFeedEntry: order::WatchOrderFeedResponse, order::ListOrderFeedResponse;
    catalog::CatalogFeedEntry: catalog::WatchCatalogFeedResponse, catalog::ListCatalogFeedResponse;
    fulfillment::FulfillmentFeedEntry:
        fulfillment::WatchFulfillmentFeedResponse, fulfillment::ListFulfillmentFeedResponse;
    room::RoomFeedEntry: room::WatchRoomFeedResponse, room::ListRoomFeedResponse;
}

/// Starts a watcher for each service, and one for each partner.
pub fn start(stage: &Stage, end: &CancellationToken) -> Watchers {
    let entries = Arc::new(AtomicI64::new(0));
    let mut tasks = Vec::new();
    let mut begin = |name: String, caller: &Caller, kind: Kind| {
        let watcher = Watcher {
            name,
            caller: caller.clone(),
            journal: stage.journal.clone(),
            entries: entries.clone(),
            end: end.clone(),
        };
        tasks.push(kit::spawn("watcher", watcher.run(kind)));
    };
    let world = &stage.world;
    begin("catalog".into(), &world.ops, Kind::Catalog);
    begin("room".into(), &world.ops, Kind::Room);
    begin("order".into(), &world.ops, Kind::Order);
    begin("fulfillment".into(), &world.ops, Kind::Fulfillment);
    for partner in &world.partners {
        begin(
            format!("order/{}", partner.id),
            &partner.caller,
            Kind::Order,
        );
        begin(
            format!("fulfillment/{}", partner.id),
            &partner.caller,
            Kind::Fulfillment,
        );
    }
    Watchers { tasks, entries }
}

/// Until no watcher has got anything for a while.
pub async fn until_silent(watchers: &Watchers, clock: &dyn Clock) {
    let began = clock.instant();
    let mut last = (watchers.entries.load(Ordering::Relaxed), began);
    loop {
        pause(PAUSE).await;
        let (seen, now) = (watchers.entries.load(Ordering::Relaxed), clock.instant());
        if seen != last.0 {
            last = (seen, now);
        }
        let silent = now.saturating_duration_since(last.1) > SILENCE;
        if silent || now.saturating_duration_since(began) > SILENCE_BOUND {
            return;
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Catalog,
    Room,
    Order,
    Fulfillment,
}

struct Watcher {
    name: String,
    caller: Caller,
    journal: Journal,
    entries: Arc<AtomicI64>,
    end: CancellationToken,
}

impl Watcher {
    async fn run(self, kind: Kind) {
        let mut cursor = String::new();
        while !self.end.is_cancelled() {
            let broke = match kind {
                Kind::Catalog => {
                    let request = catalog::WatchCatalogFeedRequest {
                        cursor: cursor.clone(),
                    };
                    let path = "/vitrine.catalog.v1.CatalogFeedService/WatchCatalogFeed";
                    self.follow::<_, catalog::WatchCatalogFeedResponse>(path, request, &mut cursor)
                        .await
                }
                Kind::Room => {
                    let request = room::WatchRoomFeedRequest {
                        cursor: cursor.clone(),
                    };
                    let path = "/vitrine.room.v1.RoomFeedService/WatchRoomFeed";
                    self.follow::<_, room::WatchRoomFeedResponse>(path, request, &mut cursor)
                        .await
                }
                Kind::Order => {
                    let request = order::WatchOrderFeedRequest {
                        cursor: cursor.clone(),
                    };
                    let path = "/vitrine.order.v1.OrderFeedService/WatchOrderFeed";
                    self.follow::<_, order::WatchOrderFeedResponse>(path, request, &mut cursor)
                        .await
                }
                Kind::Fulfillment => {
                    let request = fulfillment::WatchFulfillmentFeedRequest {
                        cursor: cursor.clone(),
                    };
                    let path =
                        "/vitrine.fulfillment.v1.FulfillmentFeedService/WatchFulfillmentFeed";
                    self.follow::<_, fulfillment::WatchFulfillmentFeedResponse>(
                        path,
                        request,
                        &mut cursor,
                    )
                    .await
                }
            };
            let Some(status) = broke else { return };
            let watcher = self.name.clone();
            self.journal.note(Event::Resumed { watcher, status });
            pause(PAUSE).await;
        }
    }

    /// Follows one stream to its end, and says how it ended; none when the watcher was told to stop.
    async fn follow<Q, P>(
        &self,
        path: &'static str,
        request: Q,
        cursor: &mut String,
    ) -> Option<String>
    where
        Q: Message + Clone + 'static,
        P: Page,
    {
        let mut stream = match self.caller.watch::<Q, P>(path, &request).await {
            Ok(stream) => stream,
            Err(status) => return Some(format!("{:?} {}", status.code(), status.message())),
        };
        loop {
            let message = tokio::select! {
                message = stream.message() => message,
                () = self.end.cancelled() => return None,
            };
            let page = match message {
                Ok(Some(page)) => page,
                Ok(None) => return Some("ended".into()),
                Err(status) => return Some(format!("{:?} {}", status.code(), status.message())),
            };
            for (meta, digest) in page.entries() {
                *cursor = meta.cursor;
                // Partners have their own positions.
                let position = match meta.position {
                    0 => meta.partner_position,
                    position => position,
                };
                self.journal.note(Event::Entry(Entry {
                    watcher: self.name.clone(),
                    position,
                    digest,
                }));
                self.entries.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
