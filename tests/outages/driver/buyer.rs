//! Shoppers on a partner's app: every way that an order can go.

use std::time::Duration;

use contracts::order::v1 as pb;
use kit::clock::Micros;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Stage;
use super::setup::{PRODUCTS, Partner, SCARCE, euros};
use crate::journal::{Answer, Call, Event};

const PLACE: &str = "/vitrine.order.v1.OrderService/PlaceOrder";
const PAY: &str = "/vitrine.order.v1.OrderService/ConfirmPayment";
/// Longer than any outage that a test makes, so that only what is meant to expire does.
const LONG_HOLD_S: i64 = 1_800;
const SHORT_HOLD_S: i64 = 1;

/// What becomes of an order.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Pay,
    ExtendAndPay,
    PayTwice,
    PayWrong,
    PayAndCancel,
    CancelAndPay,
    Cancel,
    Abandon,
    PayLate,
}

fn fate(random: &mut StdRng) -> Fate {
    match random.random_range(0..100_u32) {
        0..48 => Fate::Pay,
        48..58 => Fate::ExtendAndPay,
        58..65 => Fate::PayTwice,
        65..70 => Fate::PayWrong,
        70..79 => Fate::PayAndCancel,
        79..84 => Fate::CancelAndPay,
        84..91 => Fate::Cancel,
        91..95 => Fate::Abandon,
        _ => Fate::PayLate,
    }
}

/// An order that was placed.
struct Placed {
    order: String,
    mark: String,
    payable: i64,
}

/// Buys until the end.
pub async fn run(stage: Stage, partner: usize, who: usize, seed: u64, gap: Duration) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut n = 0_u64;
    while !stage.over() {
        n += 1;
        let mark = format!("{}-{who}-{n}", stage.world.run);
        buy(&stage, &stage.world.partners[partner], mark, &mut random).await;
        let share = random.random_range(50..150_u32);
        stage.rest(gap * share / 100).await;
    }
}

async fn buy(stage: &Stage, partner: &Partner, mark: String, random: &mut StdRng) {
    let fate = fate(random);
    let Some(placed) = place(stage, partner, mark, fate, random).await else {
        return;
    };
    let contact = random.random_range(0..10_u32);
    if contact < 5 {
        set_contact(stage, partner, &placed).await;
    }
    let (payable, mark) = (placed.payable, placed.mark.as_str());
    match fate {
        Fate::Pay => {
            pay(stage, partner, &placed, &format!("{mark}-a"), payable).await;
            if random.random_range(0..10_u32) == 0 {
                // The partner's own retry, long after the answer.
                pay(stage, partner, &placed, &format!("{mark}-a"), payable).await;
            }
        }
        Fate::ExtendAndPay => {
            extend(stage, partner, &placed).await;
            pay(stage, partner, &placed, &format!("{mark}-a"), payable).await;
        }
        Fate::PayTwice => {
            let (a, b) = (format!("{mark}-a"), format!("{mark}-b"));
            tokio::join!(
                pay(stage, partner, &placed, &a, payable),
                pay(stage, partner, &placed, &b, payable)
            );
        }
        Fate::PayWrong => {
            pay(stage, partner, &placed, &format!("{mark}-a"), payable - 1).await;
            pay(stage, partner, &placed, &format!("{mark}-b"), payable).await;
        }
        Fate::PayAndCancel => {
            pay(stage, partner, &placed, &format!("{mark}-a"), payable).await;
            cancel(stage, partner, &placed).await;
        }
        Fate::CancelAndPay => {
            let reference = format!("{mark}-a");
            tokio::join!(
                cancel(stage, partner, &placed),
                pay(stage, partner, &placed, &reference, payable)
            );
        }
        Fate::Cancel => cancel(stage, partner, &placed).await,
        Fate::Abandon => {}
        Fate::PayLate => {
            stage.rest(Duration::from_millis(2_200)).await;
            pay(stage, partner, &placed, &format!("{mark}-a"), payable).await;
        }
    }
    if (5..9).contains(&contact) {
        set_contact(stage, partner, &placed).await;
    }
}

async fn place(
    stage: &Stage,
    partner: &Partner,
    mark: String,
    fate: Fate,
    random: &mut StdRng,
) -> Option<Placed> {
    let short = matches!(fate, Fate::Abandon | Fate::PayLate);
    let mut products: Vec<usize> = vec![random.random_range(0..SCARCE)];
    if random.random_range(0..4_u32) == 0 {
        products.push(SCARCE);
    }
    let lines: Vec<(usize, i64)> = products
        .into_iter()
        .map(|p| (p, random.random_range(1..=3_i64)))
        .collect();
    let payable = lines.iter().map(|(p, q)| PRODUCTS[*p].1 * q).sum();
    let request = pb::PlaceOrderRequest {
        partner_order_id: mark.clone(),
        shopper_ref: format!("shopper-{mark}"),
        lines: lines
            .iter()
            .map(|(p, quantity)| pb::LineRequest {
                listing_id: partner.listings[*p].clone(),
                quantity: *quantity,
                ..Default::default()
            })
            .collect(),
        destination: Some(pb::Destination {
            region_code: "FR".into(),
            ..Default::default()
        }),
        expected_payable: Some(euros(payable)),
        hold_duration: Some(prost_types::Duration {
            seconds: if short { SHORT_HOLD_S } else { LONG_HOLD_S },
            nanos: 0,
        }),
        ..Default::default()
    };
    let what = Call::Place {
        partner: partner.id.clone(),
        key: mark.clone(),
        lines: lines
            .iter()
            .map(|(p, q)| (partner.listings[*p].clone(), *q))
            .collect(),
        payable,
    };
    let once = || {
        stage.call::<_, pb::PlaceOrderResponse>(
            &partner.caller,
            PLACE,
            &request,
            what.clone(),
            placed_answer,
        )
    };
    let answer = match random.random_range(0..12_u32) {
        // Two of the partner's servers at once.
        0 => {
            let (one, other) = tokio::join!(once(), once());
            one.or(other)
        }
        // And again after the answer.
        1 => {
            let first = once().await;
            once().await.or(first)
        }
        _ => once().await,
    }?;
    let placed = Placed {
        order: answer.order_id,
        mark,
        payable,
    };
    if random.random_range(0..10_u32) == 0 {
        read_back(stage, partner, &placed).await;
    }
    Some(placed)
}

fn placed_answer(answer: &pb::PlaceOrderResponse) -> Answer {
    let payable = answer.amount.as_ref().and_then(|a| a.payable.as_ref());
    Answer::Placed {
        order: answer.order_id.clone(),
        payable: payable.map_or(-1, |m| m.minor_units),
        hold_until: moment(answer.hold_expire_time.as_ref()),
    }
}

pub fn moment(time: Option<&prost_types::Timestamp>) -> i64 {
    time.and_then(Micros::from_proto).map_or(0, |t| t.0)
}

/// What was acknowledged is there for whoever asks next, whichever replica answers.
async fn read_back(stage: &Stage, partner: &Partner, placed: &Placed) {
    let request = pb::GetOrderRequest {
        order_id: placed.order.clone(),
        ..Default::default()
    };
    let read = partner
        .caller
        .ask::<_, pb::GetOrderResponse>("/vitrine.order.v1.OrderService/GetOrder", &request)
        .await;
    if let Err(ended) = read {
        let what = format!("{} right after it was placed: {ended}", placed.order);
        stage.journal.write(0, Event::Unseen { what }).await;
    }
}

async fn pay(stage: &Stage, partner: &Partner, placed: &Placed, reference: &str, amount: i64) {
    let request = pb::ConfirmPaymentRequest {
        order_id: placed.order.clone(),
        payment_reference: reference.into(),
        statement: partner.statement(&placed.order, reference, amount),
    };
    let what = Call::Pay {
        order: placed.order.clone(),
        reference: reference.into(),
        minor_units: amount,
    };
    let answer = |answer: &pb::ConfirmPaymentResponse| {
        let refund = answer.refund.clone().unwrap_or_default();
        Answer::Paid {
            payment: answer.payment_id.clone(),
            paid: answer.outcome() == pb::PaymentOutcome::Paid,
            refund_minor_units: refund.shopper_amount.map_or(0, |m| m.minor_units),
            refund: refund.refund_id,
        }
    };
    stage
        .call(&partner.caller, PAY, &request, what, answer)
        .await;
}

async fn extend(stage: &Stage, partner: &Partner, placed: &Placed) {
    let key = format!("{}-extend", placed.mark);
    let request = pb::ExtendHoldRequest {
        request_id: key.clone(),
        order_id: placed.order.clone(),
        extension: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
    };
    let what = Call::Extend {
        order: placed.order.clone(),
        key,
    };
    let answer = |answer: &pb::ExtendHoldResponse| Answer::Extended {
        until: moment(answer.hold_expire_time.as_ref()),
    };
    let path = "/vitrine.order.v1.OrderService/ExtendHold";
    stage
        .call(&partner.caller, path, &request, what, answer)
        .await;
}

async fn cancel(stage: &Stage, partner: &Partner, placed: &Placed) {
    let key = format!("{}-cancel", placed.mark);
    let request = pb::CancelOrderRequest {
        request_id: key.clone(),
        order_id: placed.order.clone(),
        reason: pb::CancelReason::ShopperRequest.into(),
        ..Default::default()
    };
    let what = Call::Cancel {
        order: placed.order.clone(),
        key,
    };
    let answer = |answer: &pb::CancelOrderResponse| Answer::Cancelled {
        outcome: answer.outcome,
    };
    let path = "/vitrine.order.v1.OrderService/CancelOrder";
    stage
        .call(&partner.caller, path, &request, what, answer)
        .await;
}

async fn set_contact(stage: &Stage, partner: &Partner, placed: &Placed) {
    let key = format!("{}-contact", placed.mark);
    let token = format!("address-of-{}", placed.mark);
    let request = pb::SetContactRequest {
        request_id: key.clone(),
        order_id: placed.order.clone(),
        contact: Some(pb::Contact {
            form: Some(pb::contact::Form::Token(pb::TokenContact {
                token: token.clone(),
                masked_text: "S***, Paris".into(),
                region_code: "FR".into(),
            })),
        }),
    };
    let what = Call::Contact {
        order: placed.order.clone(),
        key,
        token,
    };
    let answer = |answer: &pb::SetContactResponse| Answer::Contact {
        version: answer.contact_version,
    };
    let path = "/vitrine.order.v1.OrderService/SetContact";
    stage
        .call(&partner.caller, path, &request, what, answer)
        .await;
}
