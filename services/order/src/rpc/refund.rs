//! Refunds: what the partner reports, and issuing one again.

use std::sync::Arc;

use ::store::idempotency::Idempotent;
use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::errors::Fault;
use kit::validate::Violations;

use super::{Api, keyed, parse, render};
use crate::model::Refund;
use crate::model::payment::Signed;
use crate::ops::refund::{ReissueRefund, ReportRefund};
use crate::statement::refund::RefundClaims;
use crate::statement::{self, STATEMENT_CHARS_MAX};

const REPORT_REFUND: &str = "vitrine.order.v1.OrderService/ReportRefund";
const REISSUE_REFUND: &str = "vitrine.order.v1.OrderService/ReissueRefund";

impl Api {
    pub(super) async fn report_refund(
        &self,
        caller: &Arc<Caller>,
        request: pb::ReportRefundRequest,
    ) -> Result<pb::ReportRefundResponse, Fault> {
        let partner_id = caller.partner()?;
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let refund_id = v.id("refund_id", &request.refund_id);
        let statement = v.text("statement", &request.statement, 1..=STATEMENT_CHARS_MAX);
        v.finish()?;
        let Some(refund_id) = refund_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let (stated, kid, active) = self
            .keys
            .verify_as::<RefundClaims>(caller, &partner_id, &statement)
            .await?;
        if stated.refund_id != refund_id {
            return Err(
                statement::bad("The statement is about another refund than refund_id.").into(),
            );
        }
        let report = ReportRefund {
            partner_id,
            refund_id,
            stated,
            kid,
            active,
            statement: Signed(statement),
        };
        let keyed = keyed(caller, REPORT_REFUND, &request_id, &request);
        self.db
            .execute(caller, Idempotent::new(keyed, report, reported))
            .await
    }

    pub(super) async fn reissue_refund(
        &self,
        caller: &Arc<Caller>,
        request: pb::ReissueRefundRequest,
    ) -> Result<pb::ReissueRefundResponse, Fault> {
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let refund_id = v.id("refund_id", &request.refund_id);
        let etag = v.text("etag", &request.etag, 0..=64);
        v.finish()?;
        let Some(refund_id) = refund_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let reissue = ReissueRefund { refund_id, etag };
        let keyed = keyed(caller, REISSUE_REFUND, &request_id, &request);
        self.db
            .execute(caller, Idempotent::new(keyed, reissue, reissued))
            .await
    }
}

fn reported(refund: &Refund) -> pb::ReportRefundResponse {
    pb::ReportRefundResponse {
        refund: Some(render::refund(refund)),
    }
}

fn reissued(refund: &Refund) -> pb::ReissueRefundResponse {
    pb::ReissueRefundResponse {
        refund: Some(render::refund(refund)),
    }
}
