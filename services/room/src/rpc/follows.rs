//! FollowService.

use contracts::room::v1::follow_service_server::FollowService;
use contracts::room::v1::*;
use tonic::Request;

use super::{Answer, Api};

#[tonic::async_trait]
impl FollowService for Api {
    async fn follow_channel(
        &self,
        _request: Request<FollowChannelRequest>,
    ) -> Answer<FollowChannelResponse> {
        Err(super::not_offered("FollowChannel", "soon").into())
    }

    async fn unfollow_channel(
        &self,
        _request: Request<UnfollowChannelRequest>,
    ) -> Answer<UnfollowChannelResponse> {
        Err(super::not_offered("UnfollowChannel", "soon").into())
    }

    async fn follow_creator(
        &self,
        _request: Request<FollowCreatorRequest>,
    ) -> Answer<FollowCreatorResponse> {
        Err(super::not_offered("FollowCreator", "soon").into())
    }

    async fn unfollow_creator(
        &self,
        _request: Request<UnfollowCreatorRequest>,
    ) -> Answer<UnfollowCreatorResponse> {
        Err(super::not_offered("UnfollowCreator", "soon").into())
    }

    async fn list_follows(
        &self,
        _request: Request<ListFollowsRequest>,
    ) -> Answer<ListFollowsResponse> {
        Err(super::not_offered("ListFollows", "soon").into())
    }
}
