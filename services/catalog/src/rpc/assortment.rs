//! AssortmentService.

use contracts::catalog::v1::assortment_service_server::AssortmentService;
use contracts::catalog::v1::*;
use tonic::Request;

use super::{Answer, Rpc};
use crate::model::not_offered;

#[tonic::async_trait]
impl AssortmentService for Rpc {
    async fn list_assortment(
        &self,
        _: Request<ListAssortmentRequest>,
    ) -> Answer<ListAssortmentResponse> {
        Err(not_offered("request", "this method").into())
    }
}
