//! RegulationService.

use contracts::catalog::v1::regulation_service_server::RegulationService;
use contracts::catalog::v1::*;
use tonic::Request;

use super::{Answer, Rpc};
use crate::model::not_offered;

#[tonic::async_trait]
impl RegulationService for Rpc {
    async fn set_category_rule(
        &self,
        _: Request<SetCategoryRuleRequest>,
    ) -> Answer<SetCategoryRuleResponse> {
        Err(not_offered("request", "this method").into())
    }

    async fn get_category_rule(
        &self,
        _: Request<GetCategoryRuleRequest>,
    ) -> Answer<GetCategoryRuleResponse> {
        Err(not_offered("request", "this method").into())
    }

    async fn list_category_rules(
        &self,
        _: Request<ListCategoryRulesRequest>,
    ) -> Answer<ListCategoryRulesResponse> {
        Err(not_offered("request", "this method").into())
    }

    async fn record_licence(
        &self,
        _: Request<RecordLicenceRequest>,
    ) -> Answer<RecordLicenceResponse> {
        Err(not_offered("request", "this method").into())
    }

    async fn revoke_licence(
        &self,
        _: Request<RevokeLicenceRequest>,
    ) -> Answer<RevokeLicenceResponse> {
        Err(not_offered("request", "this method").into())
    }

    async fn list_licences(&self, _: Request<ListLicencesRequest>) -> Answer<ListLicencesResponse> {
        Err(not_offered("request", "this method").into())
    }
}
