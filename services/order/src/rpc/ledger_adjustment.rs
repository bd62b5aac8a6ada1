//! Corrections of the ledger by hand.

use std::sync::Arc;

use contracts::ErrorReason;
use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};

use super::Api;

impl Api {
    pub(super) async fn list_refund_deciders(
        &self,
        _caller: &Arc<Caller>,
        _request: pb::ListRefundDecidersRequest,
    ) -> Result<pb::ListRefundDecidersResponse, Fault> {
        Err(Refusal::new(ErrorReason::NotOffered, "Not offered yet.").into())
    }

    pub(super) async fn propose_ledger_adjustment(
        &self,
        _caller: &Arc<Caller>,
        _request: pb::ProposeLedgerAdjustmentRequest,
    ) -> Result<pb::ProposeLedgerAdjustmentResponse, Fault> {
        Err(Refusal::new(ErrorReason::NotOffered, "Not offered yet.").into())
    }

    pub(super) async fn decide_ledger_adjustment(
        &self,
        _caller: &Arc<Caller>,
        _request: pb::DecideLedgerAdjustmentRequest,
    ) -> Result<pb::DecideLedgerAdjustmentResponse, Fault> {
        Err(Refusal::new(ErrorReason::NotOffered, "Not offered yet.").into())
    }

    pub(super) async fn list_ledger_adjustments(
        &self,
        _caller: &Arc<Caller>,
        _request: pb::ListLedgerAdjustmentsRequest,
    ) -> Result<pb::ListLedgerAdjustmentsResponse, Fault> {
        Err(Refusal::new(ErrorReason::NotOffered, "Not offered yet.").into())
    }
}
