//! Matters after the sale.

use contracts::ErrorReason;
use contracts::fulfillment::v1 as pb;
use contracts::fulfillment::v1::aftersale_service_server::AftersaleService;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use tonic::{Request, Response, Status};

use super::{Api, answer};

macro_rules! stubs {
    ($($method:ident: $request:ident => $response:ident;)+) => {
        impl Api {
            $(async fn $method(&self, _: &Caller, _: pb::$request) -> Result<pb::$response, Fault> {
                Err(Refusal::new(ErrorReason::NotOffered, "This is not offered yet.").into())
            })+
        }
        answer! { AftersaleService: $($method: $request => $response;)+ }
    };
}

stubs! {
    check_aftersale_eligibility: CheckAftersaleEligibilityRequest => CheckAftersaleEligibilityResponse;
    request_aftersale: RequestAftersaleRequest => RequestAftersaleResponse;
    decide_aftersale: DecideAftersaleRequest => DecideAftersaleResponse;
    approve_aftersale_refund: ApproveAftersaleRefundRequest => ApproveAftersaleRefundResponse;
    answer_aftersale_offer: AnswerAftersaleOfferRequest => AnswerAftersaleOfferResponse;
    record_aftersale_received: RecordAftersaleReceivedRequest => RecordAftersaleReceivedResponse;
    inspect_aftersale: InspectAftersaleRequest => InspectAftersaleResponse;
    record_aftersale_reshipped: RecordAftersaleReshippedRequest => RecordAftersaleReshippedResponse;
    withdraw_aftersale: WithdrawAftersaleRequest => WithdrawAftersaleResponse;
    add_aftersale_evidence: AddAftersaleEvidenceRequest => AddAftersaleEvidenceResponse;
    get_aftersale: GetAftersaleRequest => GetAftersaleResponse;
    list_aftersales: ListAftersalesRequest => ListAftersalesResponse;
}
