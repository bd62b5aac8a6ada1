//! The service's feed.

use contracts::fulfillment::v1 as pb;
use contracts::fulfillment::v1::fulfillment_feed_service_server::FulfillmentFeedService;
use futures::StreamExt;
use futures::stream::BoxStream;
use kit::caller::Caller;
use tonic::{Request, Response, Status};

use super::Api;

#[tonic::async_trait]
impl FulfillmentFeedService for Api {
    async fn list_fulfillment_feed(
        &self,
        request: Request<pb::ListFulfillmentFeedRequest>,
    ) -> Result<Response<pb::ListFulfillmentFeedResponse>, Status> {
        let caller = Caller::of(&request)?;
        let pb::ListFulfillmentFeedRequest { cursor, page_size } = request.into_inner();
        let page = self.feed.serve_list(&caller, &cursor, page_size).await?;
        let (entries, next_cursor) = (page.entries, page.next_cursor);
        Ok(Response::new(pb::ListFulfillmentFeedResponse {
            entries,
            next_cursor,
        }))
    }

    type WatchFulfillmentFeedStream =
        BoxStream<'static, Result<pb::WatchFulfillmentFeedResponse, Status>>;

    async fn watch_fulfillment_feed(
        &self,
        request: Request<pb::WatchFulfillmentFeedRequest>,
    ) -> Result<Response<Self::WatchFulfillmentFeedStream>, Status> {
        let caller = Caller::of(&request)?;
        let cursor = request.into_inner().cursor;
        let pages = self
            .feed
            .serve_watch(&caller, &cursor, self.drain.clone())
            .await?;
        let answers = pages.map(|page| {
            let entries = page.map_err(Status::from)?;
            Ok(pb::WatchFulfillmentFeedResponse { entries })
        });
        Ok(Response::new(answers.boxed()))
    }
}
