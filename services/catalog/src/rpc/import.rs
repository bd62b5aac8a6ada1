//! ImportProducts.

use contracts::catalog::v1::{ImportProductsRequest, ImportProductsResponse};
use futures::stream::BoxStream;
use tonic::{Request, Status, Streaming};

use super::{Answer, Rpc};
use crate::model::not_offered;

pub(super) type Answers = BoxStream<'static, Result<ImportProductsResponse, Status>>;

pub(super) async fn import(
    _rpc: &Rpc,
    _request: Request<Streaming<ImportProductsRequest>>,
) -> Answer<Answers> {
    Err(not_offered("header", "importing a file").into())
}
