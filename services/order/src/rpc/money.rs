//! Refunds that people decide on, compensations and chargebacks.

use std::sync::Arc;

use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::errors::Fault;

use super::{Api, parse};

macro_rules! later {
    ($($method:ident: $request:ident => $response:ident;)+) => {
        impl Api {
            $(
                pub(super) async fn $method(
                    &self,
                    _: &Arc<Caller>,
                    _: pb::$request,
                ) -> Result<pb::$response, Fault> {
                    Err(parse::not_offered(stringify!($method)).into())
                }
            )+
        }
    };
}

later! {
    preview_cancellation: PreviewCancellationRequest => PreviewCancellationResponse;
    get_refund: GetRefundRequest => GetRefundResponse;
    authorise_refund: AuthoriseRefundRequest => AuthoriseRefundResponse;
    decide_refund_proposal: DecideRefundProposalRequest => DecideRefundProposalResponse;
    list_refund_proposals: ListRefundProposalsRequest => ListRefundProposalsResponse;
    withdraw_refund: WithdrawRefundRequest => WithdrawRefundResponse;
    report_partner_refund: ReportPartnerRefundRequest => ReportPartnerRefundResponse;
    authorise_compensation: AuthoriseCompensationRequest => AuthoriseCompensationResponse;
    report_compensation: ReportCompensationRequest => ReportCompensationResponse;
    complete_compensation: CompleteCompensationRequest => CompleteCompensationResponse;
    list_compensations: ListCompensationsRequest => ListCompensationsResponse;
    report_chargeback: ReportChargebackRequest => ReportChargebackResponse;
    list_chargebacks: ListChargebacksRequest => ListChargebacksResponse;
}
