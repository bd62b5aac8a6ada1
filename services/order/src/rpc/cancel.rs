//! Cancelling: before payment the desk decides, after it fulfilment does.

use std::sync::Arc;

use ::store::idempotency::{Idempotent, Keyed};
use contracts::fulfillment::v1 as fulfillment_pb;
use contracts::id::OrderLineId;
use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;
use prost::Message;
use sha2::{Digest, Sha256};

use super::{Api, answered, bound_to, client, keyed, parse, render, request_key};
use crate::model::command::{Answer, Cancel, Command};
use crate::model::{CancelReason, Order};
use crate::ops::cancel::{CancelDecision, NoteDecision};
use crate::ops::read::{GetOrder, OrderName};

const CANCEL_ORDER: &str = "vitrine.order.v1.OrderService/CancelOrder";

impl Api {
    pub(super) async fn cancel_order(
        &self,
        caller: &Arc<Caller>,
        request: pb::CancelOrderRequest,
    ) -> Result<pb::CancelOrderResponse, Fault> {
        let partner_id = bound_to(caller)?;
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let order_id = v.id("order_id", &request.order_id);
        let lines_max = usize::try_from(self.config.order_lines_max).unwrap_or(usize::MAX);
        let lines = parse::quantities(&mut v, &request.lines, lines_max);
        let reason = parse::cancel_reason(&mut v, request.reason, partner_id.is_some());
        v.finish()?;
        let Some(order_id) = order_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let keyed = keyed(caller, CANCEL_ORDER, &request_id, &request);
        let key = request_key(keyed.clone(), cancelled);
        let cancel = Cancel {
            key,
            partner_id,
            order_id,
            lines: lines.clone(),
            reason,
        };
        match self.desk.submit(caller, Command::Cancel(cancel)).await? {
            Answer::CancelAfterPayment => {}
            answer => return answered(&answer, cancelled),
        }
        let (order, _) = self
            .db
            .read(
                caller,
                GetOrder {
                    partner_id,
                    name: OrderName::Id(order_id),
                },
            )
            .await?;
        check_lines(&order, &lines)?;
        let decision = self.ask_fulfillment(&keyed, &order, &lines, reason).await?;
        let note = NoteDecision { order_id, decision };
        self.db
            .execute(
                caller,
                Idempotent::new(keyed, note, |decision| decided(*decision)),
            )
            .await
    }

    /// The same key always asks the same thing, so asking again after a lost answer changes nothing.
    async fn ask_fulfillment(
        &self,
        keyed: &Keyed,
        order: &Order,
        lines: &[(OrderLineId, i64)],
        reason: CancelReason,
    ) -> Result<CancelDecision, Fault> {
        let quantity = |(order_line_id, quantity): &(OrderLineId, i64)| pb::LineQuantity {
            order_line_id: order_line_id.into(),
            quantity: *quantity,
        };
        let request = fulfillment_pb::CancelFulfillmentRequest {
            request_id: scoped(keyed),
            order_id: order.placement.order_id.into(),
            partner_id: order.placement.partner_id.into(),
            lines: lines.iter().map(quantity).collect(),
            reason: render::cancel_reason(reason).into(),
        };
        let answer = client::answer(self.fulfillment.clone().cancel_fulfillment(request).await)?;
        match answer.decision() {
            fulfillment_pb::CancelDecision::Cancelled => Ok(CancelDecision::Cancelled),
            fulfillment_pb::CancelDecision::CancelPending => Ok(CancelDecision::Pending),
            fulfillment_pb::CancelDecision::TooLate => Ok(CancelDecision::TooLate),
            fulfillment_pb::CancelDecision::Unspecified => Err(Fault::internal(
                "fulfilment decided something that this service does not know",
            )),
        }
    }
}

/// The caller's key among the keys of all callers: this service asks in its own name.
fn scoped(keyed: &Keyed) -> String {
    let mut hash = Sha256::new();
    for part in [&keyed.scope, keyed.method, &keyed.key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

fn check_lines(order: &Order, lines: &[(OrderLineId, i64)]) -> Result<(), Refusal> {
    let known = |id: &OrderLineId| {
        order
            .placement
            .lines
            .iter()
            .any(|line| line.order_line_id == *id)
    };
    match lines.iter().find(|(id, _)| !known(id)) {
        Some(_) => Err(Refusal::not_found("order line")),
        None => Ok(()),
    }
}

/// The desk's answer: it cancels as a whole or not at all.
fn cancelled(_: &Answer) -> Vec<u8> {
    decided(CancelDecision::Cancelled).encode_to_vec()
}

fn decided(decision: CancelDecision) -> pb::CancelOrderResponse {
    let outcome = match decision {
        CancelDecision::Cancelled => pb::CancelOutcome::Cancelled,
        CancelDecision::Pending => pb::CancelOutcome::CancelPending,
        CancelDecision::TooLate => pb::CancelOutcome::TooLate,
    };
    pb::CancelOrderResponse {
        outcome: outcome.into(),
    }
}
