//! RoomFeedService.

use contracts::room::v1::room_feed_service_server::RoomFeedService;
use contracts::room::v1::*;
use futures::StreamExt;
use futures::stream::BoxStream;
use tonic::{Request, Status};

use super::{Answer, Api, open};

#[tonic::async_trait]
impl RoomFeedService for Api {
    type WatchRoomFeedStream = BoxStream<'static, Result<WatchRoomFeedResponse, Status>>;

    async fn list_room_feed(
        &self,
        request: Request<ListRoomFeedRequest>,
    ) -> Answer<ListRoomFeedResponse> {
        let (caller, asked) = open(request)?;
        let page = self
            .feed
            .serve_list(&caller, &asked.cursor, asked.page_size)
            .await?;
        Ok(ListRoomFeedResponse {
            entries: page.entries,
            next_cursor: page.next_cursor,
        }
        .into())
    }

    async fn watch_room_feed(
        &self,
        request: Request<WatchRoomFeedRequest>,
    ) -> Answer<Self::WatchRoomFeedStream> {
        let (caller, asked) = open(request)?;
        let pages = self
            .feed
            .serve_watch(&caller, &asked.cursor, self.lifecycle.token())
            .await?;
        let answers = pages.map(|page| match page {
            Ok(entries) => Ok(WatchRoomFeedResponse { entries }),
            Err(fault) => Err(Status::from(fault)),
        });
        Ok(answers.boxed().into())
    }
}
