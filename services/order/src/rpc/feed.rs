//! The service's feed.

use contracts::order::v1 as pb;
use contracts::order::v1::order_feed_service_server::OrderFeedService;
use futures::StreamExt;
use futures::stream::BoxStream;
use kit::caller::Caller;
use tonic::{Request, Response, Status};

use super::Api;

#[tonic::async_trait]
impl OrderFeedService for Api {
    async fn list_order_feed(
        &self,
        request: Request<pb::ListOrderFeedRequest>,
    ) -> Result<Response<pb::ListOrderFeedResponse>, Status> {
        let caller = Caller::of(&request)?;
        let pb::ListOrderFeedRequest { cursor, page_size } = request.into_inner();
        let page = self.feed.serve_list(&caller, &cursor, page_size).await?;
        let (entries, next_cursor) = (page.entries, page.next_cursor);
        Ok(Response::new(pb::ListOrderFeedResponse {
            entries,
            next_cursor,
        }))
    }

    type WatchOrderFeedStream = BoxStream<'static, Result<pb::WatchOrderFeedResponse, Status>>;

    async fn watch_order_feed(
        &self,
        request: Request<pb::WatchOrderFeedRequest>,
    ) -> Result<Response<Self::WatchOrderFeedStream>, Status> {
        let caller = Caller::of(&request)?;
        let cursor = request.into_inner().cursor;
        let pages = self
            .feed
            .serve_watch(&caller, &cursor, self.drain.clone())
            .await?;
        let answers = pages.map(|page| {
            let entries = page.map_err(Status::from)?;
            Ok(pb::WatchOrderFeedResponse { entries })
        });
        Ok(Response::new(answers.boxed()))
    }
}
