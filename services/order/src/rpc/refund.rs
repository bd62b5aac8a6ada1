//! Refunds: what the partner reports, and issuing one again.

use std::sync::Arc;

use contracts::ErrorReason;
use contracts::id::RefundId;
use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;

use super::{Api, parse};
use crate::statement::STATEMENT_CHARS_MAX;

impl Api {
    pub(super) async fn report_refund(
        &self,
        _: &Arc<Caller>,
        request: pb::ReportRefundRequest,
    ) -> Result<pb::ReportRefundResponse, Fault> {
        let mut v = Violations::new();
        parse::request_id(&mut v, &request.request_id);
        v.id::<RefundId>("refund_id", &request.refund_id);
        v.text("statement", &request.statement, 1..=STATEMENT_CHARS_MAX);
        v.finish()?;
        Err(later("ReportRefund").into())
    }

    pub(super) async fn reissue_refund(
        &self,
        _: &Arc<Caller>,
        request: pb::ReissueRefundRequest,
    ) -> Result<pb::ReissueRefundResponse, Fault> {
        let mut v = Violations::new();
        parse::request_id(&mut v, &request.request_id);
        v.id::<RefundId>("refund_id", &request.refund_id);
        v.finish()?;
        Err(later("ReissueRefund").into())
    }
}

fn later(method: &str) -> Refusal {
    Refusal::new(
        ErrorReason::NotOffered,
        format!("{method} is not offered yet; nothing was done."),
    )
    .with("method", method)
}
