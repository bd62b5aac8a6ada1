//! Placing: what is sold, to whom, within which limits.

mod after;
mod drops;

use std::time::Duration;

use contracts::id::{
    AllotmentId, ListingId, MovementId, OrderLineId, PaymentId, ProductId, RefundId, StopId,
    VariantId,
};
use contracts::money::{Currency, Price};
use kit::clock::Micros;

use super::*;
use crate::model::amount::Pricing;
use crate::model::book::{Count, HoldRules, Tracked};
use crate::model::command::{Move, PlaceLine, Resume, Stop, StopTarget};
use crate::model::listing::{Listing, ListingState, PartnerState, PurchaseMode, Unit};
use crate::model::order::{CancelReason, Destination, PaymentState, ShipBlock};
use crate::model::payment::Signed;
use crate::model::stock::{Assignment, MovementKind, Stock};

const NOW: Micros = Micros(1_767_225_600_000_000);
const PRICE: i64 = 1_000;

fn partner() -> PartnerId {
    PartnerId::from_uuid(1)
}

fn listing_id(number: u128) -> ListingId {
    ListingId::from_uuid(number)
}

fn listing(number: u128) -> Listing {
    Listing {
        listing_id: listing_id(number),
        partner_id: partner(),
        variant_id: VariantId::from_uuid(1),
        product_id: ProductId::from_uuid(1),
        sku: "SKU".into(),
        title: "Title".into(),
        unit: Unit::Each,
        quantity_step: 1,
        state: ListingState::Live,
        terms_version: 1,
        pricing: Pricing {
            price: Price::new(Money::new(Currency::EUR, PRICE), 1).expect("a price"),
            retailer_discount_basis_points: 0,
            shipping: 0,
            tax_basis_points: 0,
            tax_included: true,
            commission_basis_points: 0,
        },
        window_start_time: None,
        window_end_time: None,
        per_shopper_limit: 0,
        territories: Vec::new(),
        legal_entity: String::new(),
        purchase_mode: PurchaseMode::InApp,
        dated_purchase_modes: Vec::new(),
        remorse: Duration::from_secs(60),
        ship_within: Duration::from_secs(3_600),
        ship_not_before: None,
        etag: String::new(),
        partner_state: PartnerState::Active,
    }
}

/// Listings 1 and 2 draw from allotment 1 with `units` units; `change` makes them special.
fn book(units: i64, change: impl Fn(&mut Listing)) -> Book {
    let rules = HoldRules {
        ttl: Duration::from_secs(600),
        ttl_max: Duration::from_secs(900),
        extension_max: Duration::from_secs(300),
        total_max: Duration::from_secs(1_000),
        person_limits: false,
    };
    let mut book = Book::new(NOW, rules);
    let stock = Stock {
        allotment_id: AllotmentId::from_uuid(1),
        variant_id: VariantId::from_uuid(1),
        display_name: String::new(),
        supplied: units,
        available: units,
        held: 0,
        sold: 0,
        per_person_limit: 0,
        version: 1,
        create_time: NOW,
    };
    book.stocks.insert(stock.allotment_id, Tracked::new(stock));
    for number in [1, 2] {
        let mut listing = listing(number);
        change(&mut listing);
        book.add_assignment(Assignment {
            listing_id: listing.listing_id,
            allotment_id: AllotmentId::from_uuid(1),
            partner_id: partner(),
            unit_cap: 0,
            taken: 0,
        });
        book.listings.insert(listing.listing_id, Arc::new(listing));
    }
    book
}

fn place(number: u128, lines: &[(u128, i64)]) -> Place {
    let line = |(at, (listing, quantity)): (usize, &(u128, i64))| PlaceLine {
        order_line_id: OrderLineId::from_uuid(number * 100 + at as u128),
        listing_id: listing_id(*listing),
        quantity: *quantity,
        partner_discount: None,
        touchpoints: Vec::new(),
    };
    Place {
        order_id: OrderId::from_uuid(number),
        partner_id: partner(),
        partner_order_id: format!("po-{number}"),
        partner_checkout_id: String::new(),
        shopper_ref: "shopper".into(),
        destination: Destination {
            region_code: "FR".into(),
            subdivision_code: String::new(),
        },
        lines: lines.iter().enumerate().map(line).collect(),
        quote: None,
        expected_payable: Some(Money::new(
            Currency::EUR,
            lines.iter().map(|(_, quantity)| PRICE * quantity).sum(),
        )),
        hold: None,
    }
}

fn one(book: &mut Book, command: Command) -> Verdict {
    fold(book, [&command]).pop().expect("one verdict")
}

fn ask(book: &mut Book, place: Place) -> Verdict {
    one(book, Command::Place(Box::new(place)))
}

fn reason(verdict: Verdict) -> ErrorReason {
    verdict.expect_err("a refusal").reason
}

fn pay(book: &mut Book, order: u128, reference: &str, amount: i64) -> Option<RefundReason> {
    let confirm = Confirm {
        payment_id: PaymentId::from_uuid(order),
        refund_id: RefundId::from_uuid(order),
        partner_id: partner(),
        order_id: OrderId::from_uuid(order),
        payment_reference: reference.into(),
        amount: Money::new(Currency::EUR, amount),
        pay_time: NOW,
        kid: "k".into(),
        statement: Signed("s".into()),
    };
    match one(book, Command::Confirm(Box::new(confirm))).expect("money is always recorded") {
        Answer::Confirmed { payment, .. } => payment.first_refund().map(|refund| {
            assert_eq!(refund.shopper_amount, payment.amount, "all of it goes back");
            refund.reason
        }),
        other => panic!("not a payment: {other:?}"),
    }
}

fn key(key: &str) -> RequestKey {
    RequestKey {
        scope: "s".into(),
        method: "m",
        key: key.into(),
        fingerprint: [0; 32],
        render: |_| vec![1],
    }
}

fn extend(order: u128, seconds: u64) -> Command {
    Command::Extend(Extend {
        key: key(&format!("extend-{order}-{seconds}")),
        partner_id: partner(),
        order_id: OrderId::from_uuid(order),
        extension: Duration::from_secs(seconds),
    })
}

fn cancel(order: u128, lines: Vec<(OrderLineId, i64)>) -> Command {
    Command::Cancel(Cancel {
        key: key(&format!("cancel-{order}-{}", lines.len())),
        partner_id: Some(partner()),
        order_id: OrderId::from_uuid(order),
        lines,
        reason: CancelReason::PartnerRequest,
    })
}

fn expire(order: u128) -> Command {
    Command::Expire(Expire {
        order_id: OrderId::from_uuid(order),
    })
}

fn stop() -> Command {
    Command::Stop(Stop {
        key: key("stop"),
        stop_id: StopId::from_uuid(1),
        target: StopTarget::Product(ProductId::from_uuid(1)),
        reason: "doubt".into(),
        actor: "ops".into(),
    })
}

fn units(book: &Book) -> (i64, i64, i64) {
    let stock = &book.stocks[&AllotmentId::from_uuid(1)].now;
    assert!(stock.is_conserved());
    (stock.available, stock.held, stock.sold)
}

#[test]
fn units_are_held_then_sold() {
    let mut book = book(10, |_| {});
    assert!(ask(&mut book, place(1, &[(1, 2), (2, 3)])).is_ok());
    assert_eq!(units(&book), (5, 5, 0));
    assert_eq!(pay(&mut book, 1, "a", 5 * PRICE), None);
    assert_eq!(units(&book), (5, 0, 5));
    let order = &book.orders[&OrderId::from_uuid(1)].order;
    assert_eq!(
        (order.state, order.payment_state),
        (OrderState::Confirmed, PaymentState::Paid)
    );
    assert_eq!(
        order.ship_not_before,
        Some(NOW.plus(Duration::from_secs(60)))
    );
    assert_eq!(order.ship_by, Some(NOW.plus(Duration::from_secs(3_600))));
    assert_eq!(
        order.ship_blocks(NOW),
        [ShipBlock::Remorse, ShipBlock::AddressMissing]
    );
    assert_eq!(
        order.ship_blocks(NOW.plus(Duration::from_secs(60))),
        [ShipBlock::AddressMissing]
    );
}

#[test]
fn all_lines_or_none() {
    let mut book = book(4, |_| {});
    let verdict = ask(&mut book, place(1, &[(1, 3), (2, 2)]));
    assert_eq!(
        verdict.expect_err("a refusal").metadata["listing_id"],
        listing_id(2).as_str()
    );
    assert_eq!(units(&book), (4, 0, 0));
    assert!(
        book.listing_counts
            .values()
            .chain(book.shopper_counts.values())
            .all(|count| count.delta() == 0)
    );
    assert!(
        book.events.is_empty() && book.placed.is_empty(),
        "a refusal has no effect"
    );
}

#[test]
fn a_repeated_key_gives_the_same_answer_and_other_content_is_refused() {
    let mut book = book(1, |_| {});
    let first = ask(&mut book, place(1, &[(1, 1)])).expect("placed");
    let mut again = place(2, &[(1, 1)]);
    again.partner_order_id = "po-1".into();
    let (
        Answer::Placed { placement, .. },
        Answer::Placed {
            placement: repeated,
            replayed: true,
        },
    ) = (first, ask(&mut book, again.clone()).expect("the same"))
    else {
        panic!("not the same answer")
    };
    assert_eq!(placement, repeated);
    // Even when nothing is left, the quote has ended, or the partner's key is no longer right.
    again.quote = Some(Err(Refusal::new(ErrorReason::BadQuote, "old")));
    assert!(
        ask(&mut book, again.clone()).is_ok(),
        "the quote token is no content"
    );
    again.lines[0].quantity = 2;
    assert_eq!(reason(ask(&mut book, again)), ErrorReason::KeyReused);
    assert_eq!(units(&book), (0, 1, 0));
}

#[test]
fn what_cannot_be_sold_is_refused_with_its_reason() {
    type Change = fn(&mut Listing);
    let cases: [(Change, ErrorReason); 8] = [
        (
            |listing| listing.partner_state = PartnerState::Suspended,
            ErrorReason::PartnerSuspended,
        ),
        (
            |listing| listing.partner_id = PartnerId::from_uuid(9),
            ErrorReason::NotFound,
        ),
        (
            |listing| listing.purchase_mode = PurchaseMode::Redirect,
            ErrorReason::ListingRedirects,
        ),
        (
            |listing| listing.state = ListingState::Paused,
            ErrorReason::ListingNotLive,
        ),
        (
            |listing| listing.window_end_time = Some(NOW),
            ErrorReason::OutsideWindow,
        ),
        (
            |listing| listing.territories = vec!["DE".into()],
            ErrorReason::Territory,
        ),
        (
            |listing| listing.quantity_step = 2,
            ErrorReason::InvalidField,
        ),
        (
            |listing| listing.pricing.shipping = 1,
            ErrorReason::PriceChanged,
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(
            reason(ask(&mut book(9, change), place(1, &[(1, 1)]))),
            expected
        );
    }
    let changed = ask(
        &mut book(9, |listing| listing.pricing.shipping = 5),
        place(1, &[(1, 1)]),
    );
    let metadata = changed.expect_err("another price").metadata;
    assert_eq!(
        (
            metadata["payable_minor_units"].as_str(),
            metadata["currency_code"].as_str()
        ),
        ("1005", "EUR")
    );

    let mut book = book(9, |_| {});
    book.assignments.clear();
    assert_eq!(
        reason(ask(&mut book, place(1, &[(1, 1)]))),
        ErrorReason::NoAllotment
    );
}

#[test]
fn limits_count_what_is_held_and_bought() {
    let mut book = book(10, |listing| listing.per_shopper_limit = 3);
    assert!(ask(&mut book, place(1, &[(1, 2)])).is_ok());
    let refusal = ask(&mut book, place(2, &[(1, 2)])).expect_err("over the limit");
    assert_eq!(
        (refusal.reason, refusal.metadata["remaining"].as_str()),
        (ErrorReason::LimitExceeded, "1")
    );
    assert!(one(&mut book, cancel(1, Vec::new())).is_ok());
    assert!(
        ask(&mut book, place(3, &[(1, 3)])).is_ok(),
        "cancelled units count no more"
    );

    book.assignments
        .get_mut(&listing_id(2))
        .expect("assigned")
        .unit_cap = 1;
    let refusal = ask(&mut book, place(4, &[(2, 2)])).expect_err("over the cap");
    assert_eq!(
        (refusal.reason, refusal.metadata["available"].as_str()),
        (ErrorReason::SoldOut, "1")
    );
}
