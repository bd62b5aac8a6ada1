//! ChannelService.

use contracts::room::v1::channel_service_server::ChannelService;
use contracts::room::v1::*;
use futures::stream::BoxStream;
use tonic::Request;
use tonic::Status;

use super::{Answer, Api};

#[tonic::async_trait]
impl ChannelService for Api {
    async fn create_channel(
        &self,
        _request: Request<CreateChannelRequest>,
    ) -> Answer<CreateChannelResponse> {
        Err(super::not_offered("CreateChannel", "soon").into())
    }

    async fn update_channel(
        &self,
        _request: Request<UpdateChannelRequest>,
    ) -> Answer<UpdateChannelResponse> {
        Err(super::not_offered("UpdateChannel", "soon").into())
    }

    async fn get_channel(
        &self,
        _request: Request<GetChannelRequest>,
    ) -> Answer<GetChannelResponse> {
        Err(super::not_offered("GetChannel", "soon").into())
    }

    async fn list_channels(
        &self,
        _request: Request<ListChannelsRequest>,
    ) -> Answer<ListChannelsResponse> {
        Err(super::not_offered("ListChannels", "soon").into())
    }

    async fn archive_channel(
        &self,
        _request: Request<ArchiveChannelRequest>,
    ) -> Answer<ArchiveChannelResponse> {
        Err(super::not_offered("ArchiveChannel", "soon").into())
    }

    async fn hand_over(&self, _request: Request<HandOverRequest>) -> Answer<HandOverResponse> {
        Err(super::not_offered("HandOver", "soon").into())
    }

    type WatchChannelStream = BoxStream<'static, Result<WatchChannelResponse, Status>>;
    async fn watch_channel(
        &self,
        _request: Request<WatchChannelRequest>,
    ) -> Answer<Self::WatchChannelStream> {
        Err(super::not_offered("WatchChannel", "soon").into())
    }
}
