//! CreatorService.

use contracts::room::v1::creator_service_server::CreatorService;
use contracts::room::v1::*;
use tonic::Request;

use super::{Answer, Api};

#[tonic::async_trait]
impl CreatorService for Api {
    async fn register_creator(
        &self,
        _request: Request<RegisterCreatorRequest>,
    ) -> Answer<RegisterCreatorResponse> {
        Err(super::not_offered("RegisterCreator", "soon").into())
    }

    async fn get_creator(
        &self,
        _request: Request<GetCreatorRequest>,
    ) -> Answer<GetCreatorResponse> {
        Err(super::not_offered("GetCreator", "soon").into())
    }

    async fn list_creators(
        &self,
        _request: Request<ListCreatorsRequest>,
    ) -> Answer<ListCreatorsResponse> {
        Err(super::not_offered("ListCreators", "soon").into())
    }
}
