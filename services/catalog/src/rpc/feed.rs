//! CatalogFeedService.

use std::pin::Pin;

use contracts::catalog::v1::catalog_feed_service_server::CatalogFeedService;
use contracts::catalog::v1::{
    ListCatalogFeedRequest, ListCatalogFeedResponse, WatchCatalogFeedRequest,
    WatchCatalogFeedResponse,
};
use futures::{Stream, StreamExt};
use tonic::{Request, Status};

use super::{Answer, Rpc, open};

#[tonic::async_trait]
impl CatalogFeedService for Rpc {
    async fn list_catalog_feed(
        &self,
        request: Request<ListCatalogFeedRequest>,
    ) -> Answer<ListCatalogFeedResponse> {
        let (caller, asked) = open(request)?;
        let page = self
            .feed
            .serve_list(&caller, &asked.cursor, asked.page_size)
            .await?;
        Ok(ListCatalogFeedResponse {
            entries: page.entries,
            next_cursor: page.next_cursor,
        }
        .into())
    }

    type WatchCatalogFeedStream =
        Pin<Box<dyn Stream<Item = Result<WatchCatalogFeedResponse, Status>> + Send>>;

    async fn watch_catalog_feed(
        &self,
        request: Request<WatchCatalogFeedRequest>,
    ) -> Answer<Self::WatchCatalogFeedStream> {
        let (caller, asked) = open(request)?;
        let drain = self.lifecycle.token();
        let pages = self.feed.serve_watch(&caller, &asked.cursor, drain).await?;
        let answers = pages.map(|page| match page {
            Ok(entries) => Ok(WatchCatalogFeedResponse { entries }),
            Err(fault) => Err(Status::from(fault)),
        });
        let stream: Self::WatchCatalogFeedStream = Box::pin(answers);
        Ok(stream.into())
    }
}
