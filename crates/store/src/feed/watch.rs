//! Following a feed as it grows.

use std::pin::Pin;
use std::task::{Context, Poll};

use contracts::ErrorReason;
use contracts::feed::FeedMessage;
use futures::Stream;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{FeedPage, FeedReader, Place, View, millis, visible_to};

/// Pages of a feed as they come; at least one entry each. It ends with an error: DRAINING when the server
/// drains, CURSOR_EXPIRED when the reader fell behind what is kept.
pub struct FeedWatch<F> {
    pages: mpsc::Receiver<Result<Vec<F>, Fault>>,
}

impl<F> Stream for FeedWatch<F> {
    type Item = Result<Vec<F>, Fault>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pages.poll_recv(cx)
    }
}

impl FeedReader {
    /// Answers a watch call: entries after the cursor, then those to come. A bad or expired cursor is refused
    /// at once. Nothing is read ahead of the caller but a few pages.
    pub async fn serve_watch<F: FeedMessage>(
        &self,
        caller: &Caller,
        cursor: &str,
        drain: CancellationToken,
    ) -> Result<FeedWatch<F>, Fault> {
        let view = View::of(visible_to(caller)?.as_ref());
        let Ok(place) = self.watchers.clone().try_acquire_owned() else {
            return Err(Fault::busy(
                "Too many callers watch this feed just now; list it, or watch again later.",
                millis(self.config.watch_poll_ms.max(1_000)),
            ));
        };
        // Subscribed before the first read, so that no commit falls between the two.
        let commits = self.db.commits();
        let limit = self.config.page_size_max;
        let first = self
            .db
            .read(
                caller,
                self.page(&view, Place::Cursor(cursor.to_owned()), limit),
            )
            .await?;
        let (epoch, after) = (first.epoch.clone(), first.after);
        let (pages, receiver) = mpsc::channel(self.config.watch_buffer_pages.max(1) + 1);
        let follower = Follower {
            reader: self.clone(),
            caller: caller.clone(),
            view,
            epoch,
            after,
            commits,
            drain,
            first: Some(first),
        };
        kit::spawn("feed-watch", async move {
            follower.run::<F>(pages).await;
            drop(place);
        });
        Ok(FeedWatch { pages: receiver })
    }
}

struct Follower {
    reader: FeedReader,
    caller: Caller,
    view: View,
    epoch: String,
    after: i64,
    commits: watch::Receiver<u64>,
    drain: CancellationToken,
    first: Option<super::Page>,
}

impl Follower {
    async fn run<F: FeedMessage>(mut self, pages: mpsc::Sender<Result<Vec<F>, Fault>>) {
        // One place is kept for the last word, which must not wait behind a slow reader while draining.
        let Ok(last) = pages.clone().reserve_owned().await else {
            return;
        };
        let drain = self.drain.clone();
        let fault = tokio::select! {
            biased;
            () = drain.cancelled() => draining(),
            () = pages.closed() => return,
            fault = self.follow(&pages) => fault,
        };
        last.send(Err(fault));
    }

    /// Sends pages until something goes wrong.
    async fn follow<F: FeedMessage>(
        &mut self,
        pages: &mpsc::Sender<Result<Vec<F>, Fault>>,
    ) -> Fault {
        loop {
            match self.step(pages).await {
                Ok(true) => {}
                Ok(false) => self.wait().await,
                Err(fault) => return fault,
            }
        }
    }

    /// Reads and sends one page; answers whether there may be more.
    async fn step<F: FeedMessage>(
        &mut self,
        pages: &mpsc::Sender<Result<Vec<F>, Fault>>,
    ) -> Result<bool, Fault> {
        self.commits.borrow_and_update();
        let page = match self.first.take() {
            Some(first) => first,
            None => {
                let place = Place::Resume {
                    after: self.after,
                    epoch: self.epoch.clone(),
                };
                let read = self
                    .reader
                    .page(&self.view, place, self.reader.config.page_size_max);
                self.reader.db.read(&self.caller, read).await?
            }
        };
        let full = page.entries.len() >= self.reader.config.page_size_max as usize;
        let positions: Vec<i64> = page
            .entries
            .iter()
            .map(|entry| self.view.position_of(entry))
            .collect();
        let read = positions.len();
        let FeedPage { entries, .. } = self.reader.render::<F>(&self.view, page)?;
        let sent = entries.len();
        if sent == 0 {
            return Ok(false);
        }
        // Closed means that the caller is gone, which ends `run` as well.
        let _ = pages.send(Ok(entries)).await;
        self.after = positions[sent - 1];
        Ok(full || sent < read)
    }

    /// Until something was committed here, or may have been elsewhere.
    async fn wait(&mut self) {
        let config = &self.reader.config;
        let changed = tokio::time::timeout(config.watch_poll(), self.commits.changed());
        match changed.await {
            Ok(Ok(())) => tokio::time::sleep(millis(config.watch_gather_ms)).await,
            Ok(Err(_)) => tokio::time::sleep(config.watch_poll()).await,
            Err(_) => {}
        }
    }
}

fn draining() -> Fault {
    Refusal::new(
        ErrorReason::Draining,
        "The server is going away; watch again from the cursor of the last entry.",
    )
    .retry_after(millis(100))
    .into()
}
