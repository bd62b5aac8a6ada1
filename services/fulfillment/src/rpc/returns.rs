//! Goods that come back.

use contracts::ErrorReason;
use contracts::fulfillment::v1 as pb;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};

use super::Api;

impl Api {
    pub(super) async fn check_return_eligibility(
        &self,
        _caller: &Caller,
        _request: pb::CheckReturnEligibilityRequest,
    ) -> Result<pb::CheckReturnEligibilityResponse, Fault> {
        Err(later("CheckReturnEligibility"))
    }

    pub(super) async fn request_return(
        &self,
        _caller: &Caller,
        _request: pb::RequestReturnRequest,
    ) -> Result<pb::RequestReturnResponse, Fault> {
        Err(later("RequestReturn"))
    }

    pub(super) async fn decide_return(
        &self,
        _caller: &Caller,
        _request: pb::DecideReturnRequest,
    ) -> Result<pb::DecideReturnResponse, Fault> {
        Err(later("DecideReturn"))
    }

    pub(super) async fn cancel_return(
        &self,
        _caller: &Caller,
        _request: pb::CancelReturnRequest,
    ) -> Result<pb::CancelReturnResponse, Fault> {
        Err(later("CancelReturn"))
    }

    pub(super) async fn record_return_received(
        &self,
        _caller: &Caller,
        _request: pb::RecordReturnReceivedRequest,
    ) -> Result<pb::RecordReturnReceivedResponse, Fault> {
        Err(later("RecordReturnReceived"))
    }

    pub(super) async fn get_return(
        &self,
        _caller: &Caller,
        _request: pb::GetReturnRequest,
    ) -> Result<pb::GetReturnResponse, Fault> {
        Err(later("GetReturn"))
    }

    pub(super) async fn list_returns(
        &self,
        _caller: &Caller,
        _request: pb::ListReturnsRequest,
    ) -> Result<pb::ListReturnsResponse, Fault> {
        Err(later("ListReturns"))
    }
}

fn later(method: &str) -> Fault {
    let message = format!("{method} is not offered yet.");
    Refusal::new(ErrorReason::NotOffered, message).into()
}
