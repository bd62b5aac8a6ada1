//! One order that is made up: everything about it follows from the seed and its number.

use std::sync::Arc;
use std::time::Duration;

use ::store::idempotency::Fingerprint;
use contracts::common::v1::Audience;
use contracts::id::{Id, Kind};
use kit::caller::Caller;
use kit::clock::Micros;
use kit::errors::Fault;

use super::{Offer, Script};
use crate::events::OrderChange;
use crate::model::book::KeptKey;
use crate::model::order::{Destination, Touchpoint};
use crate::model::payment::Signed;
use crate::model::{
    CancelReason, CollectedBy, Draws, Line, LineAmount, Order, OrderAmount, OrderState, Payment,
    PaymentOutcome, Placement, PriceSource, ShipTerms,
};

/// An order that came to its end, with what belongs to it.
pub(super) struct Made {
    pub(super) order: Order,
    pub(super) payment: Option<Payment>,
    pub(super) caller: Arc<Caller>,
    /// When it was paid, expired or was cancelled.
    pub(super) end_time: Micros,
    extended: bool,
}

impl Made {
    /// What happened to it last, in the feed's words.
    pub(super) fn change(&self) -> OrderChange {
        match self.order.state {
            OrderState::Expired => OrderChange::Expired,
            OrderState::Cancelled => OrderChange::Cancelled,
            _ => OrderChange::Paid,
        }
    }

    /// The same in the audit trail's: what was done and how it came out.
    pub(super) fn ending(&self) -> (&'static str, &'static str) {
        match self.order.state {
            OrderState::Expired => ("order.expire", "done"),
            OrderState::Cancelled => ("order.cancel", "done"),
            _ => ("order.confirm_payment", "PAID"),
        }
    }

    /// The request key of a call that prolonged its hold; one order in ten had one.
    pub(super) fn key(&self) -> Option<KeptKey> {
        let placement = &self.order.placement;
        self.extended.then(|| KeptKey {
            name: (
                self.caller.scope_key(),
                "vitrine.order.v1.OrderService/ExtendHold",
                format!("extend-{}", placement.partner_order_id),
            ),
            fingerprint: placement.fingerprint,
            response: placement.order_id.as_str().as_bytes().to_vec(),
        })
    }
}

/// The order of this number.
pub(super) fn order(script: &Script, number: u64) -> Result<Made, Fault> {
    let plan = &script.plan;
    let mut dice = Dice(mix(plan.seed ^ mix(number)));
    let place_time = place_time(script, number);
    let hold_expire_time = place_time.plus(Duration::from_secs(600));
    let offers = offers_of(script, number, &mut dice);
    let lines = offers
        .iter()
        .map(|offer| line(offer, place_time, &mut dice))
        .collect::<Result<Vec<Line>, Fault>>()?;
    let listing = &offers[0].listing;
    let amount = OrderAmount::sum(listing.currency(), lines.iter().map(|line| &line.amount))
        .ok_or_else(|| Fault::internal("an order of the history costs more than can be said"))?;
    let partner_id = listing.partner_id;
    let partner_order_id = partner_order_id(offers[0].counted, number, &mut dice);
    let shopper = dice.roll() % plan.shoppers.max(1);
    let placement = Arc::new(Placement {
        order_id: dice.id(place_time),
        partner_id,
        fingerprint: Fingerprint::default().text(&partner_order_id).finish(),
        partner_order_id,
        partner_checkout_id: String::new(),
        shopper_ref: shopper_ref(shopper),
        destination: Destination {
            region_code: "FR".into(),
            subdivision_code: String::new(),
        },
        lines,
        amount,
        ship_terms: ShipTerms {
            remorse: listing.remorse,
            ship_within: listing.ship_within,
            presale_time: listing.ship_not_before,
        },
        hold_expire_time,
        place_time,
    });
    Ok(ended(placement, &mut dice))
}

/// Orders are spread evenly over the time.
fn place_time(script: &Script, number: u64) -> Micros {
    let plan = &script.plan;
    let left = u128::from(plan.orders.saturating_sub(number));
    let ago = plan.span.as_micros() * left / u128::from(plan.orders.max(1));
    script
        .end
        .minus(Duration::from_micros(u64::try_from(ago).unwrap_or(0)))
}

/// One listing by turns; one order in eight has a second line of the same partner.
fn offers_of<'a>(script: &'a Script, number: u64, dice: &mut Dice) -> Vec<&'a Offer> {
    let offers = &script.offers;
    let at = usize::try_from(number % offers.len() as u64).unwrap_or(0);
    let first = &offers[at];
    let mut chosen = vec![first];
    if dice.roll().is_multiple_of(8) {
        let fits = |offer: &&Offer| {
            offer.listing.partner_id == first.listing.partner_id
                && offer.listing.listing_id != first.listing.listing_id
                && offer.listing.currency() == first.listing.currency()
        };
        chosen.extend(offers[at..].iter().chain(&offers[..at]).find(fits));
    }
    chosen
}

fn line(offer: &Offer, place_time: Micros, dice: &mut Dice) -> Result<Line, Fault> {
    let listing = &offer.listing;
    let quantity = listing.quantity_step;
    let touchpoint = Touchpoint {
        outlet_id: Some(dice.id(place_time)),
        room_id: Some(dice.id(place_time)),
        creator_id: None,
        surface: "live_card".into(),
        media_time_ms: i64::try_from(dice.roll() % 7_200_000).unwrap_or(0),
        touch_time: Some(place_time),
    };
    Ok(Line {
        order_line_id: dice.id(place_time),
        listing_id: listing.listing_id,
        allotment_id: offer.assignment.allotment_id,
        variant_id: listing.variant_id,
        product_id: listing.product_id,
        sku: listing.sku.clone(),
        title: listing.title.clone(),
        unit: listing.unit,
        terms_version: listing.terms_version,
        unit_price: listing.pricing.price,
        amount: LineAmount::compose(&listing.pricing, quantity, 0).map_err(Fault::internal)?,
        quantity,
        touchpoints: vec![touchpoint],
        drop_id: None,
        drop_person_limited: false,
        price_source: PriceSource::Listing,
        draws: Draws::default(),
        collected_by: CollectedBy::Partner,
        legal_entity: listing.legal_entity.clone(),
    })
}

/// Some platforms count their orders up, others throw dice.
fn partner_order_id(counted: bool, number: u64, dice: &mut Dice) -> String {
    if counted {
        format!("{:019}", 576_460_000_000_000_000 + number)
    } else {
        format!("{:016x}{:016x}", dice.roll(), dice.roll())
    }
}

pub(super) fn shopper_ref(number: u64) -> String {
    format!("shopper-{:016x}", mix(number))
}

/// Nine in ten are paid, some expire, a few are cancelled.
fn ended(placement: Arc<Placement>, dice: &mut Dice) -> Made {
    let mut order = Order::placed(placement);
    let fate = dice.roll() % 100;
    let waited = Duration::from_millis(5_000 + dice.roll() % 120_000);
    let end_time = order.placement.place_time.plus(waited);
    let mut payment = None;
    if fate < 90 {
        order.pay(end_time);
        payment = Some(payment_of(&order.placement, end_time, dice));
    } else if fate < 97 {
        order.expire();
    } else {
        order.cancel_unpaid(CancelReason::ShopperRequest);
    }
    let partner_id = order.placement.partner_id;
    let caller = Caller {
        subject: "history".into(),
        issuer: "rehearsal".into(),
        audience: Audience::Partner,
        partner_id: Some(partner_id),
        request_id: format!("{:016x}{:016x}", dice.roll(), dice.roll()),
        traceparent: format!(
            "00-{:016x}{:016x}-{:016x}-01",
            dice.roll(),
            dice.roll(),
            dice.roll()
        ),
        ..Caller::system("history")
    };
    Made {
        order,
        payment,
        caller: Arc::new(caller),
        end_time,
        extended: dice.roll().is_multiple_of(10),
    }
}

fn payment_of(placement: &Placement, time: Micros, dice: &mut Dice) -> Payment {
    // As long as a signed statement is.
    let statement: String = (0..28).map(|_| format!("{:016x}", dice.roll())).collect();
    Payment {
        payment_id: dice.id(time),
        order_id: placement.order_id,
        partner_id: placement.partner_id,
        payment_reference: format!("pay-{}", placement.partner_order_id),
        amount: placement.amount.money(placement.amount.payable),
        partner_amount: placement.amount.partner_discount,
        refunded: 0,
        partner_refunded: 0,
        outcome: PaymentOutcome::Paid,
        refund: None,
        kid: "rehearsal".into(),
        statement: Signed(statement),
        pay_time: time,
        record_time: time,
    }
}

/// Numbers that look like chance and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// An id of this moment: a UUID of version 7.
    fn id<K: Kind>(&mut self, time: Micros) -> Id<K> {
        let millis = u128::from(u64::try_from(time.millis()).unwrap_or(0) & 0xffff_ffff_ffff);
        let random = (u128::from(self.roll()) << 64) | u128::from(self.roll());
        let (fraction, tail) = ((random >> 64) & 0xfff, random & 0x3fff_ffff_ffff_ffff);
        Id::from_uuid((millis << 80) | (7 << 76) | (fraction << 64) | (0b10 << 62) | tail)
    }
}

/// The finishing step of SplitMix64.
fn mix(from: u64) -> u64 {
    let mut x = from;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
