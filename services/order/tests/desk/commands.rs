//! Commands by number.

use std::time::Duration;

use contracts::ErrorReason;
use contracts::id::{OrderId, OrderLineId, PaymentId, RefundId, StopId};
use contracts::money::{Currency, Money, Price};
use kit::clock::Micros;
use kit::errors::Refusal;
use order::model::command::{
    Answer, Cancel, Command, Confirm, Expire, Extend, Move, Place, PlaceLine, Quote, QuoteLine,
    RequestKey, Resume, Stop, StopTarget,
};
use order::model::payment::Signed;
use order::model::{CancelReason, Destination, LineAmount, MovementKind, PriceSource, Touchpoint};

use super::{OFFERS, allotment, listing, nth, partner};

/// What a line of an offer costs: 5 % off, tax included, no shipping; in its drop what the drop says.
pub fn payable(number: usize, quantity: i64) -> i64 {
    if let Some(price) = OFFERS[number].drop_price {
        return price * quantity;
    }
    let price = OFFERS[number].price * quantity;
    price - contracts::money::scale(price, 500, 10_000).expect("small amounts")
}

fn currency(number: usize) -> Currency {
    Currency::parse(OFFERS[number].currency).expect("a currency")
}

/// The answers of keyed commands, short.
fn render(answer: &Answer) -> Vec<u8> {
    answer.name().as_bytes().to_vec()
}

fn request_key(method: &'static str, key: usize, content: u8) -> RequestKey {
    RequestKey {
        scope: "partner|test".into(),
        method,
        key: format!("k{key}"),
        fingerprint: [content; 32],
        render,
    }
}

/// A placement: whose, under which key, for which shopper, and what.
pub fn place(
    number: usize,
    whose: usize,
    key: usize,
    shopper: usize,
    lines: &[(usize, i64)],
) -> Place {
    let total: i64 = lines
        .iter()
        .map(|(offer, quantity)| payable(*offer, *quantity))
        .sum();
    let first = lines
        .first()
        .map_or(Currency::EUR, |(offer, _)| currency(*offer));
    let line = |(at, (offer, quantity)): (usize, &(usize, i64))| PlaceLine {
        order_line_id: OrderLineId::from_uuid((number * 16 + at) as u128),
        listing_id: listing(*offer),
        quantity: *quantity,
        partner_discount: None,
        touchpoints: vec![Touchpoint {
            // Some come by a creator or an outlet that units of a drop are set aside for.
            outlet_id: (shopper % 4 == 1).then(|| nth(0)),
            room_id: None,
            creator_id: shopper.is_multiple_of(4).then(|| nth(0)),
            surface: "live_card".into(),
            media_time_ms: 7,
            touch_time: Some(Micros(5)),
        }],
    };
    Place {
        order_id: nth(number),
        partner_id: partner(whose),
        partner_order_id: format!("po-{key}"),
        partner_checkout_id: String::new(),
        shopper_ref: format!("shopper-{shopper}"),
        destination: Destination {
            region_code: "FR".into(),
            subdivision_code: String::new(),
        },
        lines: lines.iter().enumerate().map(line).collect(),
        quote: None,
        expected_payable: Some(Money::new(first, total)),
        hold: None,
    }
}

/// A quote for a placement: at half the price, or over, or for something else, or none of ours.
pub fn quote(place: &Place, wrong: u8) -> Result<Quote, Refusal> {
    if wrong == 8 {
        return Err(Refusal::new(ErrorReason::BadQuote, "not ours"));
    }
    let line = |line: &PlaceLine| {
        let half = OFFERS[line.listing_id.uuid() as usize - 1].price / 2;
        let unit_price = Price::new(Money::new(Currency::EUR, half), 1).expect("a price");
        let payable = half * line.quantity;
        QuoteLine {
            listing_id: line.listing_id,
            quantity: line.quantity + i64::from(wrong == 7),
            terms_version: 1,
            unit_price,
            amount: LineAmount {
                price: payable,
                payable,
                ..LineAmount::default()
            },
            price_source: PriceSource::Listing,
            drop_id: None,
        }
    };
    Ok(Quote {
        partner_id: place.partner_id,
        destination: place.destination.clone(),
        currency: Currency::EUR,
        lines: place.lines.iter().map(line).collect(),
        // The first ten minutes of the world.
        expire_time: Micros::from_seconds(1_767_225_600 + if wrong == 6 { 0 } else { 600 }),
    })
}

/// A payment statement: for which order, under which reference, how much.
pub fn confirm(
    number: usize,
    whose: usize,
    order: usize,
    reference: usize,
    amount: Money,
) -> Command {
    Command::Confirm(Box::new(Confirm {
        payment_id: PaymentId::from_uuid(number as u128),
        refund_id: RefundId::from_uuid(number as u128),
        partner_id: partner(whose),
        order_id: nth(order),
        payment_reference: format!("ref-{reference}"),
        amount,
        pay_time: Micros::from_seconds(1_767_225_600),
        kid: "key".into(),
        statement: Signed("signed".into()),
    }))
}

pub fn extend(key: usize, whose: usize, order: usize, seconds: u64) -> Command {
    Command::Extend(Extend {
        key: request_key("extend", key, order as u8),
        partner_id: partner(whose),
        order_id: nth(order),
        extension: Duration::from_secs(seconds),
    })
}

pub fn cancel(key: usize, whose: Option<usize>, order: usize) -> Command {
    Command::Cancel(Cancel {
        key: request_key("cancel", key, order as u8),
        partner_id: whose.map(partner),
        order_id: nth(order),
        lines: Vec::new(),
        reason: CancelReason::ShopperRequest,
    })
}

pub fn expire(order: usize) -> Command {
    Command::Expire(Expire {
        order_id: OrderId::from_uuid(order as u128 + 1),
    })
}

pub fn move_units(number: usize, key: usize, which: usize, quantity: i64) -> Command {
    Command::Move(Move {
        key: request_key("move", key, quantity as u8),
        movement_id: nth(number + 100),
        allotment_id: allotment(which),
        kind: if quantity > 0 {
            MovementKind::TopUp
        } else {
            MovementKind::Shrinkage
        },
        quantity,
        reason: "counted".into(),
        actor: "ops".into(),
    })
}

pub fn stop(number: usize, key: usize, target: StopTarget) -> Command {
    Command::Stop(Stop {
        key: request_key("stop", key, target.id().len() as u8),
        stop_id: nth(number),
        target,
        reason: "doubt".into(),
        actor: "ops".into(),
    })
}

pub fn resume(key: usize, stop: usize) -> Command {
    Command::Resume(Resume {
        key: request_key("resume", key, stop as u8),
        stop_id: StopId::from_uuid(stop as u128 + 1),
        actor: "ops".into(),
    })
}
