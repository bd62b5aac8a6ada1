//! Follows the catalogue's feed into what the process knows of its partners.
//!
//! Every process does so for itself, with a cursor of its own: two replicas that shared one, as consumers do, would
//! each hear only half. What is heard counts at once; it is then kept in the database of a service that runs here, so
//! that the process knows it again when it starts, whether the catalogue can be reached by then or not.

use std::time::Duration;

use contracts::ErrorReason;
use contracts::catalog::v1 as pb;
use contracts::catalog::v1::catalog_feed_entry::Content;
use contracts::catalog::v1::catalog_feed_service_client::CatalogFeedServiceClient;
use contracts::catalog::v1::partner_service_client::PartnerServiceClient;
use futures::StreamExt;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::partners::{News, PartnerDirectory};
use kit::wire::Wire;
use prost::Message;
use store::Db;
use store::directory::{Part, Snapshot, load, save};
use store::feed::HEAD_CURSOR;
use tokio_util::sync::CancellationToken;
use tonic::{Response, Status};

/// The name under which it acts.
const NAME: &str = "partner-directory";
/// Pauses between tries double from the first to the last.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(5)];
/// So many entries that say nothing of partners may have to be read again after a start.
const UNSAVED_MAX: usize = 1_000;
/// Things on a page when lists are read instead of the feed.
const PAGE: i32 = 200;

/// Knows the partners of one process.
pub struct Follower {
    db: Db,
    wire: Wire,
    directory: PartnerDirectory,
    caller: Caller,
    cursor: String,
    unsaved: usize,
}

/// One word about a partner, for memory and for the database.
struct Word {
    news: News,
    snapshot: Snapshot,
}

impl Follower {
    /// Fills `directory` from `db` and then by `wire`, which leads to the catalogue.
    pub fn new(db: Db, wire: Wire, directory: PartnerDirectory) -> Self {
        Follower {
            db,
            wire,
            directory,
            caller: Caller::system(NAME),
            cursor: String::new(),
            unsaved: 0,
        }
    }

    /// Follows until `drain`.
    pub async fn run(mut self, drain: CancellationToken) {
        let ended = drain.clone();
        tokio::select! {
            () = ended.cancelled() => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&mut self) {
        let mut pause = PAUSES[0];
        while let Err(fault) = self.begin().await {
            tracing::warn!(error = %fault.chain(), "what is known of the partners cannot be read, trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES[1]);
        }
        self.directory.loaded();
        pause = PAUSES[0];
        loop {
            let before = self.cursor.clone();
            let fault = match self.session().await {
                Ok(()) => Fault::internal("the stream ended"),
                Err(fault) => fault,
            };
            let expired = fault
                .refusal()
                .filter(|r| r.reason == ErrorReason::CursorExpired);
            let mended = match expired.and_then(|refusal| refusal.metadata.get(HEAD_CURSOR)) {
                Some(head) => self.read_lists(head.clone()).await,
                None => Err(fault),
            };
            if let Err(fault) = mended {
                tracing::debug!(error = %fault.chain(), "the catalogue's feed of partners ended, connecting again");
            }
            pause = if self.cursor == before {
                (pause * 2).min(PAUSES[1])
            } else {
                PAUSES[0]
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// What was known when the process last ran.
    async fn begin(&mut self) -> Result<(), Fault> {
        let kept = load(&self.db, &self.caller).await?;
        let news = kept.snapshots.iter().filter_map(|kept| {
            let read = match kept.part {
                Part::State => decoded(&kept.content, News::of_partner),
                Part::Access => decoded(&kept.content, News::of_access),
            };
            read.map_err(|fault| {
                tracing::error!(partner_id = kept.partner_id, error = %fault.chain(), "what is kept of a partner cannot be read");
            })
            .ok()
        });
        self.directory.learn(news.collect::<Vec<_>>());
        self.cursor = kept.cursor;
        Ok(())
    }

    async fn session(&mut self) -> Result<(), Fault> {
        let mut feed = CatalogFeedServiceClient::new(self.wire.clone());
        let request = pb::WatchCatalogFeedRequest {
            cursor: self.cursor.clone(),
        };
        let mut pages = answer(feed.watch_catalog_feed(request).await)?;
        while let Some(page) = pages.next().await {
            let entries = page.map_err(|status| Fault::from_status(&status))?.entries;
            let last = entries.last().and_then(|entry| entry.meta.as_ref());
            let cursor = last.map(|meta| meta.cursor.clone());
            let words: Vec<Word> = entries.iter().filter_map(word).collect();
            self.take(words, entries.len(), cursor).await?;
        }
        Ok(())
    }

    /// In memory at once, then in the database.
    async fn take(
        &mut self,
        words: Vec<Word>,
        entries: usize,
        cursor: Option<String>,
    ) -> Result<(), Fault> {
        let (news, snapshots): (Vec<_>, Vec<_>) = words
            .into_iter()
            .map(|word| (word.news, word.snapshot))
            .unzip();
        self.directory.learn(news);
        self.unsaved += entries;
        let cursor = cursor.unwrap_or_else(|| self.cursor.clone());
        if !snapshots.is_empty() || self.unsaved >= UNSAVED_MAX {
            save(&self.db, &self.caller, cursor.clone(), snapshots).await?;
            self.unsaved = 0;
        }
        self.cursor = cursor;
        Ok(())
    }

    /// Everything anew, and from `head` on the feed again.
    async fn read_lists(&mut self, head: String) -> Result<(), Fault> {
        let mut client = PartnerServiceClient::new(self.wire.clone());
        let mut page_token = String::new();
        loop {
            let request = pb::ListPartnersRequest {
                page_size: PAGE,
                page_token,
            };
            let page = answer(client.list_partners(request).await)?;
            let words = page.partners.iter().filter_map(|it| spoken(state(it)));
            self.take(words.collect(), 0, None).await?;
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        loop {
            let request = pb::ListPartnerAccessRequest {
                page_size: PAGE,
                page_token,
            };
            let page = answer(client.list_partner_access(request).await)?;
            let words = page.access.iter().filter_map(|it| spoken(access(it)));
            self.take(words.collect(), 0, None).await?;
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        self.take(Vec::new(), UNSAVED_MAX, Some(head)).await
    }
}

/// What an entry says of a partner; most say nothing.
fn word(entry: &pb::CatalogFeedEntry) -> Option<Word> {
    match &entry.content {
        Some(Content::Partner(partner)) => spoken(state(partner)),
        Some(Content::PartnerAccess(it)) => spoken(access(it)),
        _ => None,
    }
}

/// A word that cannot be read must not hold up those after it.
fn spoken(word: Result<Word, Refusal>) -> Option<Word> {
    word.map_err(|refusal| tracing::error!(%refusal, "a word about a partner cannot be read"))
        .ok()
}

fn state(partner: &pb::Partner) -> Result<Word, Refusal> {
    Ok(Word {
        news: News::of_partner(partner)?,
        snapshot: Snapshot {
            partner_id: partner.partner_id.clone(),
            part: Part::State,
            revision: partner.revision,
            content: partner.encode_to_vec(),
        },
    })
}

fn access(access: &pb::PartnerAccess) -> Result<Word, Refusal> {
    Ok(Word {
        news: News::of_access(access)?,
        snapshot: Snapshot {
            partner_id: access.partner_id.clone(),
            part: Part::Access,
            revision: access.revision,
            content: access.encode_to_vec(),
        },
    })
}

fn decoded<M: Message + Default>(
    content: &[u8],
    read: impl Fn(&M) -> Result<News, Refusal>,
) -> Result<News, Fault> {
    let message = M::decode(content).map_err(Fault::internal)?;
    Ok(read(&message)?)
}

fn answer<T>(answer: Result<Response<T>, Status>) -> Result<T, Fault> {
    Ok(answer
        .map_err(|status| Fault::from_status(&status))?
        .into_inner())
}
