//! What comes after the sale: refunds that the partner executes or cannot, and goods that come back.

use std::time::Duration;

use contracts::fulfillment::v1 as goods;
use contracts::order::v1 as pb;
use kit::auth::jws;
use kit::clock::{Clock, SystemClock};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Stage;
use crate::journal::{Answer, Call};

const REFUND_STATEMENT_TYPE: &str = "vitrine-refund+jwt";

/// A partner pays back what it is told to, and says so; some it cannot, and then the retailer issues it again.
pub async fn refunds(stage: Stage, partner: usize, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed ^ 0xbac);
    while !stage.over() {
        let request = pb::ListRefundsRequest {
            state: pb::RefundState::Authorised.into(),
            page_size: 50,
            ..Default::default()
        };
        let path = "/vitrine.order.v1.OrderService/ListRefunds";
        let listed = stage.world.partners[partner]
            .caller
            .ask::<_, pb::ListRefundsResponse>(path, &request)
            .await;
        let due = listed.map(|l| l.answer.refunds).unwrap_or_default();
        for refund in due {
            if stage.over() {
                return;
            }
            let executed = random.random_range(0..5_u32) != 0;
            report(&stage, partner, &refund, executed).await;
        }
        stage.rest(Duration::from_millis(250)).await;
    }
}

async fn report(stage: &Stage, partner: usize, refund: &pb::Refund, executed: bool) {
    let partner = &stage.world.partners[partner];
    let reference = format!("{}-{}", refund.refund_id, refund.attempt);
    let minor = |money: &Option<contracts::common::v1::Money>| {
        money.as_ref().map_or(0, |money| money.minor_units)
    };
    let mut claims = serde_json::json!({
        "aud": "vitrine",
        "kind": if executed { "REFUND_EXECUTED" } else { "REFUND_FAILED" },
        "order_id": refund.order_id,
        "refund_id": refund.refund_id,
        "shopper_minor_units": minor(&refund.shopper_amount),
        "partner_minor_units": minor(&refund.partner_amount),
        "currency_code": "EUR",
        "refund_reference": reference,
        "reported_at": SystemClock.now().seconds(),
    });
    if !executed {
        claims["failure"] = "DECLINED".into();
    }
    let statement = jws::sign(
        &partner.key,
        REFUND_STATEMENT_TYPE,
        claims.to_string().as_bytes(),
    );
    let request = pb::ReportRefundRequest {
        request_id: format!("r-{reference}"),
        refund_id: refund.refund_id.clone(),
        statement,
    };
    let what = Call::Refund {
        refund: refund.refund_id.clone(),
        reference,
        executed,
    };
    let answer = |answer: &pb::ReportRefundResponse| {
        let refund = answer.refund.clone().unwrap_or_default();
        Answer::Refunded {
            executed: refund.state() == pb::RefundState::Executed,
            minor_units: minor(&refund.shopper_amount),
        }
    };
    let path = "/vitrine.order.v1.OrderService/ReportRefund";
    let reported = stage
        .call(&partner.caller, path, &request, what, answer)
        .await;
    if reported.is_some() && !executed {
        reissue(stage, refund).await;
    }
}

async fn reissue(stage: &Stage, refund: &pb::Refund) {
    let key = format!("i-{}-{}", refund.refund_id, refund.attempt);
    let request = pb::ReissueRefundRequest {
        request_id: key.clone(),
        refund_id: refund.refund_id.clone(),
        ..Default::default()
    };
    let what = Call::Reissue {
        refund: refund.refund_id.clone(),
        key,
    };
    let answer = |answer: &pb::ReissueRefundResponse| Answer::Reissued {
        attempt: answer.refund.as_ref().map_or(0, |r| r.attempt),
    };
    let path = "/vitrine.order.v1.OrderService/ReissueRefund";
    stage
        .call(&stage.world.ops, path, &request, what, answer)
        .await;
}

/// All of a delivered parcel comes back and can be sold again.
pub async fn send_back(stage: &Stage, shipment: &goods::Shipment) {
    let order = &shipment.order_id;
    let key = format!("back-{order}");
    let request = goods::RequestReturnRequest {
        request_id: key.clone(),
        order_id: order.clone(),
        kind: goods::ReturnKind::ReturnAndRefund.into(),
        lines: shipment
            .lines
            .iter()
            .map(|line| goods::ReturnLineDraft {
                order_line_id: line.order_line_id.clone(),
                quantity: line.quantity,
                reason: goods::ReturnReason::ChangedMind.into(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    let what = Call::Return {
        order: order.clone(),
        key,
    };
    let answer = |answer: &goods::RequestReturnResponse| Answer::Returned {
        id: answer.goods_return.clone().unwrap_or_default().return_id,
    };
    let path = "/vitrine.fulfillment.v1.ReturnService/RequestReturn";
    let asked = stage
        .call(&stage.world.ops, path, &request, what, answer)
        .await;
    let Some(asked) = asked.and_then(|a| a.goods_return) else {
        return;
    };
    let request = goods::DecideReturnRequest {
        request_id: format!("yes-{}", asked.return_id),
        return_id: asked.return_id.clone(),
        decision: Some(goods::decide_return_request::Decision::Approve(
            goods::ReturnApproval {
                instructions: Some(goods::ReturnInstructions {
                    return_site_reference: "north".into(),
                    ..Default::default()
                }),
                ..Default::default()
            },
        )),
        ..Default::default()
    };
    let what = Call::Decide {
        goods_return: asked.return_id.clone(),
    };
    let answer = |_: &goods::DecideReturnResponse| Answer::Decided;
    let path = "/vitrine.fulfillment.v1.ReturnService/DecideReturn";
    let decided = stage
        .call(&stage.world.ops, path, &request, what, answer)
        .await;
    if decided.is_some() {
        receive(stage, shipment, asked.return_id).await;
    }
}

async fn receive(stage: &Stage, shipment: &goods::Shipment, return_id: String) {
    let request = goods::RecordReturnReceivedRequest {
        request_id: format!("came-{return_id}"),
        return_id: return_id.clone(),
        units: shipment
            .lines
            .iter()
            .map(|line| goods::ReceivedUnits {
                order_line_id: line.order_line_id.clone(),
                quantity: line.quantity,
                condition: goods::GoodsCondition::AsNew.into(),
                restock: true,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    let what = Call::Receive {
        goods_return: return_id,
    };
    let answer = |_: &goods::RecordReturnReceivedResponse| Answer::Received;
    let path = "/vitrine.fulfillment.v1.ReturnService/RecordReturnReceived";
    stage
        .call(&stage.world.warehouse, path, &request, what, answer)
        .await;
}
