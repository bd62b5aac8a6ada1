//! BrandService.

use contracts::catalog::v1::brand_service_server::BrandService;
use contracts::catalog::v1::*;
use tonic::Request;

use super::{Answer, Rpc};
use crate::model::not_offered;

#[tonic::async_trait]
impl BrandService for Rpc {
    async fn set_brand_agreement(
        &self,
        _: Request<SetBrandAgreementRequest>,
    ) -> Answer<SetBrandAgreementResponse> {
        Err(not_offered("request", "this method").into())
    }

    async fn get_brand_agreement(
        &self,
        _: Request<GetBrandAgreementRequest>,
    ) -> Answer<GetBrandAgreementResponse> {
        Err(not_offered("request", "this method").into())
    }

    async fn list_brand_agreements(
        &self,
        _: Request<ListBrandAgreementsRequest>,
    ) -> Answer<ListBrandAgreementsResponse> {
        Err(not_offered("request", "this method").into())
    }
}
