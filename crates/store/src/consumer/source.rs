//! Where entries come from.

use std::future::Future;

use contracts::feed::FeedMessage;
use futures::StreamExt;
use futures::stream::BoxStream;
use kit::caller::Caller;
use kit::errors::Fault;
use tokio_util::sync::CancellationToken;

use crate::feed::FeedReader;

/// Pages as they come.
pub type Pages<F> = BoxStream<'static, Result<Vec<F>, Fault>>;

/// A feed that can be read by cursor.
pub trait FeedSource<F: FeedMessage>: Send + Sync + 'static {
    /// At most `limit` entries after the cursor; none when there is nothing new.
    fn list(&self, cursor: &str, limit: u32) -> impl Future<Output = Result<Vec<F>, Fault>> + Send;

    /// Entries after the cursor and those to come.
    fn watch(&self, cursor: &str) -> impl Future<Output = Result<Pages<F>, Fault>> + Send;
}

/// A source made of two closures, for a generated client:
///
/// ```text
/// Remote::new(
///     move |cursor, limit| { let mut client = client.clone(); async move { .. client.list_order_feed(..).await .. } },
///     move |cursor| { .. client.watch_order_feed(..).await .. },
/// )
/// ```
pub struct Remote<L, W> {
    list: L,
    watch: W,
}

impl<L, W> Remote<L, W> {
    /// `list` gets cursor and limit, `watch` the cursor.
    pub fn new(list: L, watch: W) -> Self {
        Remote { list, watch }
    }
}

impl<F, L, LR, W, WR> FeedSource<F> for Remote<L, W>
where
    F: FeedMessage,
    L: Fn(String, u32) -> LR + Send + Sync + 'static,
    LR: Future<Output = Result<Vec<F>, Fault>> + Send + 'static,
    W: Fn(String) -> WR + Send + Sync + 'static,
    WR: Future<Output = Result<Pages<F>, Fault>> + Send + 'static,
{
    fn list(&self, cursor: &str, limit: u32) -> impl Future<Output = Result<Vec<F>, Fault>> + Send {
        (self.list)(cursor.to_owned(), limit)
    }

    fn watch(&self, cursor: &str) -> impl Future<Output = Result<Pages<F>, Fault>> + Send {
        (self.watch)(cursor.to_owned())
    }
}

/// A feed of the same process, read without a wire.
pub struct Direct {
    reader: FeedReader,
    caller: Caller,
    drain: CancellationToken,
}

impl Direct {
    /// Reads with the eyes of `caller`; streams end at `drain`.
    pub fn new(reader: FeedReader, caller: Caller, drain: CancellationToken) -> Self {
        Direct {
            reader,
            caller,
            drain,
        }
    }
}

impl<F: FeedMessage> FeedSource<F> for Direct {
    async fn list(&self, cursor: &str, limit: u32) -> Result<Vec<F>, Fault> {
        let size = i32::try_from(limit).unwrap_or(i32::MAX);
        Ok(self
            .reader
            .serve_list(&self.caller, cursor, size)
            .await?
            .entries)
    }

    async fn watch(&self, cursor: &str) -> Result<Pages<F>, Fault> {
        Ok(self
            .reader
            .serve_watch(&self.caller, cursor, self.drain.clone())
            .await?
            .boxed())
    }
}
