//! LegalEntityService.

use contracts::catalog::v1::legal_entity_service_server::LegalEntityService;
use contracts::catalog::v1::*;
use tonic::Request;

use super::{Answer, Rpc};
use crate::model::not_offered;

#[tonic::async_trait]
impl LegalEntityService for Rpc {
    async fn register_legal_entity(
        &self,
        _: Request<RegisterLegalEntityRequest>,
    ) -> Answer<RegisterLegalEntityResponse> {
        Err(not_offered("request", "this method").into())
    }

    async fn retire_legal_entity(
        &self,
        _: Request<RetireLegalEntityRequest>,
    ) -> Answer<RetireLegalEntityResponse> {
        Err(not_offered("request", "this method").into())
    }

    async fn get_legal_entity(
        &self,
        _: Request<GetLegalEntityRequest>,
    ) -> Answer<GetLegalEntityResponse> {
        Err(not_offered("request", "this method").into())
    }

    async fn list_legal_entities(
        &self,
        _: Request<ListLegalEntitiesRequest>,
    ) -> Answer<ListLegalEntitiesResponse> {
        Err(not_offered("request", "this method").into())
    }
}
