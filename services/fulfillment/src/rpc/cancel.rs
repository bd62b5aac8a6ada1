//! Cancelling units of a paid order.

use ::store::idempotency::Idempotent;
use contracts::fulfillment::v1 as pb;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;

use super::{Api, keyed, parse, render};
use crate::model::CancelAsk;
use crate::ops::cancel::Cancel;

const CANCEL: &str = "vitrine.fulfillment.v1.FulfillmentService/CancelFulfillment";

impl Api {
    pub(super) async fn cancel_fulfillment(
        &self,
        caller: &Caller,
        request: pb::CancelFulfillmentRequest,
    ) -> Result<pb::CancelFulfillmentResponse, Fault> {
        let mut wrong = Violations::new();
        let key = parse::request_id(&mut wrong, &request.request_id);
        let order_id = wrong.id("order_id", &request.order_id);
        let partner_id = wrong.opt_id("partner_id", &request.partner_id);
        let lines = request
            .lines
            .iter()
            .map(|line| (line.order_line_id.as_str(), line.quantity));
        let lines = parse::lines(&mut wrong, &self.config, lines);
        let reason = render::cancel_reason_of(wrong.enumeration("reason", request.reason));
        wrong.finish()?;
        // What is missing here was refused above.
        let (Some(order_id), Some(reason)) = (order_id, reason) else {
            return Err(Refusal::not_found("order").into());
        };
        let operation = Cancel {
            order_id,
            partner_id,
            ask: CancelAsk { lines, reason },
            tombstones_max: self.config.tombstones_per_order_max,
        };
        let keyed = keyed(caller, CANCEL, &key, &request);
        let operation =
            Idempotent::new(keyed, operation, |decision| pb::CancelFulfillmentResponse {
                decision: render::cancel_decision(*decision).into(),
            });
        self.db.execute(caller, operation).await
    }
}
