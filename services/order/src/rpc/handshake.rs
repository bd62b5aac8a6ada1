//! Quote, place, extend, confirm.

use std::sync::Arc;

use contracts::id::{OrderId, OrderLineId, PartnerId, PaymentId, RefundId};
use contracts::order::v1 as pb;
use kit::caller::Caller;
use kit::clock::Micros;
use kit::errors::{Fault, Refusal};
use kit::validate::Violations;
use prost::Message;

use super::parse::{self, Unoffered, WantedLine};
use super::{Api, answered, keyed, render, request_key};
use crate::model::Destination;
use crate::model::command::{Answer, Command, Confirm, Extend, Place, PlaceLine, QuoteLine};
use crate::model::payment::Signed;
use crate::ops::desk::hold_rules;
use crate::ops::keys::Asked;
use crate::ops::quote::QuoteOrder;
use crate::quote::TOKEN_CHARS_MAX;
use crate::statement::STATEMENT_CHARS_MAX;

const EXTEND_HOLD: &str = "vitrine.order.v1.OrderService/ExtendHold";

/// A quoted line, whether there are units for it, when its drop opens.
type Quoted<'a> = ((&'a QuoteLine, &'a bool), &'a Option<Micros>);

impl Api {
    pub(super) async fn quote_order(
        &self,
        caller: &Arc<Caller>,
        request: pb::QuoteOrderRequest,
    ) -> Result<pb::QuoteOrderResponse, Fault> {
        let partner_id = caller.partner()?;
        let (mut v, mut unoffered) = (Violations::new(), Unoffered::default());
        let lines = self.lines(&mut v, &mut unoffered, &request.lines);
        let destination = parse::destination(&mut v, &request.destination);
        let shopper_ref = v.text("shopper_ref", &request.shopper_ref, 0..=128);
        unoffered.finish(v)?;
        let place = Place {
            partner_order_id: String::new(),
            partner_checkout_id: String::new(),
            shopper_ref: shopper_ref.clone(),
            ..self.placement(partner_id, destination, lines)
        };
        let rules = hold_rules(&self.config);
        let quoted = self
            .db
            .read(
                caller,
                QuoteOrder {
                    place,
                    rules,
                    ttl: self.config.quote_ttl(),
                },
            )
            .await?;
        let currency = quoted.quote.currency;
        let line = |((line, available), open_time): Quoted<'_>| pb::QuotedLine {
            listing_id: line.listing_id.into(),
            quantity: line.quantity,
            terms_version: line.terms_version,
            amount: Some(render::line_amount(currency, &line.amount)),
            available: *available,
            price_source: render::price_source(line.price_source).into(),
            drop_id: line.drop_id.map(String::from).unwrap_or_default(),
            drop_open_time: open_time.map(Micros::to_proto),
            unit_price: render::price(line.unit_price),
        };
        Ok(pb::QuoteOrderResponse {
            lines: quoted
                .quote
                .lines
                .iter()
                .zip(&quoted.available)
                .zip(&quoted.open_times)
                .map(line)
                .collect(),
            amount: Some(render::order_amount(&quoted.amount)),
            quote_token: self.sealer.seal(&quoted.quote, &shopper_ref),
            expire_time: Some(quoted.quote.expire_time.to_proto()),
        })
    }

    pub(super) async fn place_order(
        &self,
        caller: &Arc<Caller>,
        request: pb::PlaceOrderRequest,
    ) -> Result<pb::PlaceOrderResponse, Fault> {
        let place = self.parse_place(caller.partner()?, &request)?;
        let (placement, _) = self.desk.place(caller, place).await?;
        Ok(render::placement(&placement))
    }

    fn parse_place(
        &self,
        partner_id: PartnerId,
        request: &pb::PlaceOrderRequest,
    ) -> Result<Place, Refusal> {
        let (mut v, mut unoffered) = (Violations::new(), Unoffered::default());
        let partner_order_id = v.text("partner_order_id", &request.partner_order_id, 1..=64);
        let shopper_ref = v.text("shopper_ref", &request.shopper_ref, 1..=128);
        unoffered.note("person_key", !request.person_key.is_empty());
        let partner_checkout_id =
            v.text("partner_checkout_id", &request.partner_checkout_id, 0..=64);
        let lines = self.lines(&mut v, &mut unoffered, &request.lines);
        let destination = parse::destination(&mut v, &request.destination);
        v.text("quote_token", &request.quote_token, 0..=TOKEN_CHARS_MAX);
        let expected_payable = match &request.expected_payable {
            Some(_) => v.money("expected_payable", &request.expected_payable),
            None => None,
        };
        let hold = parse::duration(&mut v, "hold_duration", &request.hold_duration);
        unoffered.finish(v)?;
        // What is wrong with a quote counts only after the key: it may have been used up long ago.
        let quote = match request.quote_token.as_str() {
            "" => None,
            token => Some(self.sealer.open(token, &shopper_ref)),
        };
        Ok(Place {
            partner_order_id,
            partner_checkout_id,
            shopper_ref,
            quote,
            expected_payable,
            hold,
            ..self.placement(partner_id, destination, lines)
        })
    }

    fn lines(
        &self,
        v: &mut Violations,
        unoffered: &mut Unoffered,
        lines: &[pb::LineRequest],
    ) -> Vec<WantedLine> {
        let most = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        parse::lines(
            v,
            unoffered,
            lines,
            most(self.config.order_lines_max),
            most(self.config.touchpoints_max),
        )
    }

    /// A placement of these lines, with ids of its own.
    fn placement(
        &self,
        partner_id: PartnerId,
        destination: Destination,
        lines: Vec<WantedLine>,
    ) -> Place {
        let line = |line: WantedLine| PlaceLine {
            order_line_id: OrderLineId::from_uuid(self.ids.next()),
            listing_id: line.listing_id,
            quantity: line.quantity,
            partner_discount: line.partner_discount,
            touchpoints: line.touchpoints,
        };
        Place {
            order_id: OrderId::from_uuid(self.ids.next()),
            partner_id,
            partner_order_id: String::new(),
            partner_checkout_id: String::new(),
            shopper_ref: String::new(),
            destination,
            lines: lines.into_iter().map(line).collect(),
            quote: None,
            expected_payable: None,
            hold: None,
        }
    }

    pub(super) async fn extend_hold(
        &self,
        caller: &Arc<Caller>,
        request: pb::ExtendHoldRequest,
    ) -> Result<pb::ExtendHoldResponse, Fault> {
        let partner_id = caller.partner()?;
        let mut v = Violations::new();
        let request_id = parse::request_id(&mut v, &request.request_id);
        let order_id = v.id("order_id", &request.order_id);
        v.required("extension", &request.extension);
        let extension = parse::duration(&mut v, "extension", &request.extension);
        v.finish()?;
        let (Some(order_id), Some(extension)) = (order_id, extension) else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let key = request_key(keyed(caller, EXTEND_HOLD, &request_id, &request), extended);
        let answer = self
            .desk
            .submit(
                caller,
                Command::Extend(Extend {
                    key,
                    partner_id,
                    order_id,
                    extension,
                }),
            )
            .await?;
        answered(&answer, extended)
    }

    pub(super) async fn confirm_payment(
        &self,
        caller: &Arc<Caller>,
        request: pb::ConfirmPaymentRequest,
    ) -> Result<pb::ConfirmPaymentResponse, Fault> {
        let partner_id = caller.partner()?;
        let mut v = Violations::new();
        let order_id = v.id("order_id", &request.order_id);
        let payment_reference = v.text("payment_reference", &request.payment_reference, 1..=128);
        let statement = v.text("statement", &request.statement, 1..=STATEMENT_CHARS_MAX);
        v.finish()?;
        let Some(order_id) = order_id else {
            return Err(Fault::internal("a parsed field is missing"));
        };
        let asked = Asked {
            order_id: &order_id,
            payment_reference: &payment_reference,
            statement: &statement,
        };
        let (stated, kid) = self.keys.verify(caller, &partner_id, &asked).await?;
        let confirm = Confirm {
            payment_id: PaymentId::from_uuid(self.ids.next()),
            refund_id: RefundId::from_uuid(self.ids.next()),
            partner_id,
            order_id,
            payment_reference,
            amount: stated.amount,
            pay_time: stated.pay_time,
            kid,
            statement: Signed(statement),
        };
        let (payment, _) = self.desk.confirm(caller, confirm).await?;
        Ok(render::confirmation(&payment))
    }
}

fn extended(answer: &Answer) -> Vec<u8> {
    let hold_expire_time = match answer {
        Answer::Extended { hold_expire_time } => Some(hold_expire_time.to_proto()),
        _ => None,
    };
    pb::ExtendHoldResponse { hold_expire_time }.encode_to_vec()
}
