//! The requests of one partner for one listing, encoded as far as can be before they are due, and the answers, read as
//! far as they are needed.

use bytes::Bytes;
use contracts::common::v1 as common;
use contracts::order::v1 as pb;
use kit::auth::jws;
use kit::clock::{Clock, SystemClock};
use prost::Message;

use super::shop::{CURRENCY, PRICE, Partner, euros};
use super::wire::{Bearer, Failed, Lines, Rpc, framed, framed_bytes};
use crate::token::STATEMENT_TYPE;

/// Where everything is sent.
const REGION: &str = "FR";

/// PlaceOrderResponse, as far as it is of use.
#[derive(Clone, PartialEq, Message)]
pub struct Placed {
    /// The order.
    #[prost(string, tag = "1")]
    pub order_id: String,
    /// What the caller called it.
    #[prost(string, tag = "2")]
    pub partner_order_id: String,
}

/// ConfirmPaymentResponse, as far as it is of use.
#[derive(Clone, PartialEq, Message)]
struct Confirmed {
    #[prost(int32, tag = "2")]
    outcome: i32,
}

/// One partner's calls for one listing. An order is of one unit, with attribution.
#[derive(Clone)]
pub struct Calls {
    lines: Lines,
    bearer: Bearer,
    key: kit::auth::SigningKey,
    /// PlaceOrderRequest without its key and its shopper.
    order: Vec<u8>,
    listing_id: String,
}

impl Calls {
    /// The same calls with another token.
    pub fn with_bearer(self, bearer: Bearer) -> Calls {
        Calls { bearer, ..self }
    }

    /// Calls over these lines. Holds last `hold_s`, or as long as the server pleases.
    pub fn new(lines: &Lines, partner: &Partner, listing_id: &str, hold_s: Option<i64>) -> Calls {
        let order = pb::PlaceOrderRequest {
            lines: vec![line(partner, listing_id)],
            destination: Some(pb::Destination {
                region_code: REGION.into(),
                ..Default::default()
            }),
            expected_payable: Some(euros(PRICE)),
            hold_duration: hold_s.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
            ..Default::default()
        };
        Calls {
            lines: lines.clone(),
            bearer: partner.bearer.clone(),
            key: partner.key.clone(),
            order: order.encode_to_vec(),
            listing_id: listing_id.to_owned(),
        }
    }

    /// A PlaceOrder ready to be sent; fields may come in any order, so its key and shopper simply stand before the rest.
    pub fn order(&self, reference: &str, shopper: &str) -> Bytes {
        let length = |text: &str| u8::try_from(text.len().min(127)).unwrap_or(127);
        framed_bytes(&[
            &[0x0a, length(reference)],
            reference.as_bytes(),
            &[0x12, length(shopper)],
            shopper.as_bytes(),
            &self.order,
        ])
    }

    /// Holds one unit; the order's id.
    pub async fn place(&self, order: Bytes) -> Result<String, Failed> {
        Ok(self.placed(order).await?.order_id)
    }

    /// The same with what the answer says it is for.
    pub async fn placed(&self, order: Bytes) -> Result<Placed, Failed> {
        decoded(self.lines.call(Rpc::Place, &self.bearer, order).await?)
    }

    /// The partner's signed word that it was paid, as a ConfirmPayment ready to be sent.
    pub fn payment(&self, order_id: &str, reference: &str) -> Bytes {
        let paid_at = SystemClock.now().seconds();
        let claims = format!(
            r#"{{"order_id":"{order_id}","kind":"CHARGE","minor_units":{PRICE},"currency_code":"{CURRENCY}","payment_reference":"{reference}","paid_at":{paid_at}}}"#
        );
        framed(&pb::ConfirmPaymentRequest {
            order_id: order_id.to_owned(),
            payment_reference: reference.to_owned(),
            statement: jws::sign(&self.key, STATEMENT_TYPE, claims.as_bytes()),
        })
    }

    /// Pays; what became of the money.
    pub async fn confirm(&self, payment: Bytes) -> Result<pb::PaymentOutcome, Failed> {
        let answer = self.lines.call(Rpc::Confirm, &self.bearer, payment).await?;
        let outcome = decoded::<Confirmed>(answer)?.outcome;
        Ok(pb::PaymentOutcome::try_from(outcome).unwrap_or_default())
    }

    /// Gives the units of an unpaid order back.
    pub async fn cancel(&self, order_id: &str) -> Result<(), Failed> {
        let request = pb::CancelOrderRequest {
            request_id: format!("cancel-{order_id}"),
            order_id: order_id.to_owned(),
            reason: pb::CancelReason::ShopperRequest.into(),
            ..Default::default()
        };
        self.done(Rpc::Cancel, framed(&request)).await
    }

    /// Holds the units of an order for longer.
    pub async fn extend(&self, order_id: &str, seconds: i64) -> Result<(), Failed> {
        let request = pb::ExtendHoldRequest {
            request_id: format!("extend-{order_id}"),
            order_id: order_id.to_owned(),
            extension: Some(prost_types::Duration { seconds, nanos: 0 }),
        };
        self.done(Rpc::Extend, framed(&request)).await
    }

    /// Asks for the price.
    pub async fn quote(&self, partner: &Partner, shopper: &str) -> Result<(), Failed> {
        let request = pb::QuoteOrderRequest {
            lines: vec![line(partner, &self.listing_id)],
            destination: Some(pb::Destination {
                region_code: REGION.into(),
                ..Default::default()
            }),
            shopper_ref: shopper.to_owned(),
        };
        self.done(Rpc::Quote, framed(&request)).await
    }

    /// Looks whether there is any.
    pub async fn browse(&self) -> Result<(), Failed> {
        let request = pb::GetAvailabilityRequest {
            listing_id: self.listing_id.clone(),
        };
        self.done(Rpc::Browse, framed(&request)).await
    }

    /// Looks at an order.
    pub async fn get(&self, order_id: &str) -> Result<(), Failed> {
        let request = pb::GetOrderRequest {
            order_id: order_id.to_owned(),
            ..Default::default()
        };
        self.done(Rpc::Get, framed(&request)).await
    }

    /// Looks at the first page of the partner's orders.
    pub async fn list(&self) -> Result<(), Failed> {
        let request = pb::ListOrdersRequest {
            page_size: 20,
            ..Default::default()
        };
        self.done(Rpc::List, framed(&request)).await
    }

    /// The same calls with another deadline.
    pub fn within(&self, deadline_ms: u32) -> anyhow::Result<Calls> {
        let bearer = self.bearer.within(deadline_ms)?;
        Ok(Calls {
            bearer,
            ..self.clone()
        })
    }

    async fn done(&self, rpc: Rpc, request: Bytes) -> Result<(), Failed> {
        self.lines.call(rpc, &self.bearer, request).await.map(drop)
    }
}

fn line(partner: &Partner, listing_id: &str) -> pb::LineRequest {
    pb::LineRequest {
        listing_id: listing_id.to_owned(),
        quantity: 1,
        touchpoints: vec![common::Touchpoint {
            outlet_id: partner.outlet_id.clone(),
            surface: "live_card".into(),
            media_time_ms: 61_000,
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn decoded<M: Message + Default>(answer: Bytes) -> Result<M, Failed> {
    M::decode(answer).map_err(|error| Failed::Broken(format!("an answer that is none: {error}")))
}
