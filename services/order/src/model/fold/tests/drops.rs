//! Drops: when they sell, at whose price, and to whom.

use contracts::id::{CreatorId, DropId, OutletId};
use proptest::prelude::*;

use super::*;
use crate::model::amount::LineAmount;
use crate::model::command::{Quote, QuoteLine};
use crate::model::drops::{DropSale, PriceSource, Quota, QuotaOwner};
use crate::model::order::Touchpoint;
use crate::model::pricing::price_asked;

const SALE: u128 = 1;

fn sale(start: i64, end: i64) -> DropSale {
    DropSale {
        drop_id: DropId::from_uuid(SALE),
        allotment_id: AllotmentId::from_uuid(1),
        display_name: String::new(),
        announce_time: None,
        start_time: Micros(NOW.0 + start),
        end_time: Micros(NOW.0 + end),
        total_limit: 3,
        per_person_limit: 2,
        discount_basis_points: 0,
        quota_total: 0,
        taken: 0,
        ended_time: None,
        end_reason: String::new(),
        version: 1,
        create_time: NOW,
    }
}

/// Listing 1 sells in the drop.
fn with(sale: DropSale) -> Book {
    let mut book = book(10, |_| {});
    book.listing_drops.insert(listing_id(1), vec![sale.drop_id]);
    book.add_drop(sale);
    book
}

fn creator(number: u128) -> QuotaOwner {
    QuotaOwner::Creator(CreatorId::from_uuid(number))
}

fn outlet(number: u128) -> QuotaOwner {
    QuotaOwner::Outlet(OutletId::from_uuid(number))
}

fn touched(mut place: Place, owner: QuotaOwner) -> Place {
    let mut touch = Touchpoint {
        outlet_id: None,
        room_id: None,
        creator_id: None,
        surface: String::new(),
        media_time_ms: 0,
        touch_time: None,
    };
    match owner {
        QuotaOwner::Creator(id) => touch.creator_id = Some(id),
        QuotaOwner::Outlet(id) => touch.outlet_id = Some(id),
    }
    place.lines[0].touchpoints = vec![touch];
    place
}

fn divide(book: &mut Book, owner: QuotaOwner, unit_limit: i64, release: Option<i64>) {
    let drop_id = DropId::from_uuid(SALE);
    if let Some(sale) = book.drops.get_mut(&drop_id) {
        sale.quota_total += unit_limit;
    }
    let quota = Quota {
        owner,
        unit_limit,
        release_time: release.map(|after| Micros(NOW.0 + after)),
        taken: 0,
    };
    book.add_quota(drop_id, quota);
}

fn taken(book: &Book) -> i64 {
    book.drop_counts[&DropId::from_uuid(SALE)].now
}

fn taken_by(book: &Book, owner: QuotaOwner) -> i64 {
    book.quota_counts[&(DropId::from_uuid(SALE), owner)].now
}

#[test]
fn a_drop_sells_in_its_window_within_its_limits() {
    assert_eq!(
        reason(ask(&mut with(sale(1, 2)), place(1, &[(1, 1)]))),
        ErrorReason::DropClosed
    );
    let mut over = with(sale(-2, 0));
    assert!(
        ask(&mut over, place(1, &[(1, 5)])).is_ok(),
        "after the drop the listing sells as before"
    );
    assert_eq!(over.drop_counts[&DropId::from_uuid(1)], Count::new(0));

    let mut open = with(sale(0, 1));
    assert_eq!(
        reason(ask(&mut open, place(1, &[(1, 3)]))),
        ErrorReason::LimitExceeded
    );
    assert!(ask(&mut open, place(2, &[(1, 2)])).is_ok());
    let mut other = place(3, &[(1, 2)]);
    other.shopper_ref = "another".into();
    assert_eq!(reason(ask(&mut open, other.clone())), ErrorReason::SoldOut);
    other.lines[0].quantity = 1;
    other.expected_payable = Some(Money::new(Currency::EUR, PRICE));
    assert!(ask(&mut open, other).is_ok());
    assert_eq!(open.drop_counts[&DropId::from_uuid(1)].now, 3);
}

#[test]
fn before_it_opens_it_is_priced_and_not_sold() {
    let mut book = with(sale(5_000_000, 9_000_000));
    let refusal = ask(&mut book, place(1, &[(1, 1)])).expect_err("not yet");
    assert_eq!(refusal.reason, ErrorReason::DropClosed);
    assert_eq!(refusal.metadata["open_time"], "2026-01-01T00:00:05Z");
    assert!(refusal.message.contains("2026-01-01T00:00:05Z"));
    let priced = price_asked(&book, &place(1, &[(1, 1)])).expect("a price");
    assert_eq!(priced.lines[0].drop_id, Some(DropId::from_uuid(SALE)));

    let mut foreign = place(2, &[(1, 1)]);
    foreign.partner_id = PartnerId::from_uuid(9);
    let stranger = reason(ask(&mut book, foreign));
    assert_eq!(
        stranger,
        ErrorReason::NotFound,
        "a stranger learns of no drop"
    );
}

#[test]
fn before_its_announcement_its_listings_sell_on_their_own() {
    let announced = |at: i64| DropSale {
        announce_time: Some(Micros(NOW.0 + at)),
        discount_basis_points: 5_000,
        ..sale(20, 30)
    };
    let mut book = with(announced(10));
    let Ok(Answer::Placed { placement, .. }) = ask(&mut book, place(1, &[(1, 5)])) else {
        panic!("sold as ever")
    };
    let line = &placement.lines[0];
    assert_eq!(
        (line.drop_id, line.price_source),
        (None, PriceSource::Listing)
    );
    book.now = Micros(NOW.0 + 10);
    let refused = reason(ask(&mut book, place(2, &[(1, 1)])));
    assert_eq!(refused, ErrorReason::DropClosed);
}

/// What a unit costs, and by whose word.
fn shown(book: &Book) -> (i64, PriceSource) {
    let priced = price_asked(book, &place(1, &[(1, 1)])).expect("a price");
    (priced.amount.payable, priced.lines[0].price_source)
}

#[test]
fn the_drops_price_goes_before_its_discount_and_that_before_the_listings_terms() {
    let mut book = with(sale(0, 9));
    let listing = Arc::make_mut(book.listings.get_mut(&listing_id(1)).expect("a listing"));
    listing.pricing.retailer_discount_basis_points = 3_000;
    assert_eq!(shown(&book), (700, PriceSource::Listing));

    let sale = book
        .drops
        .get_mut(&DropId::from_uuid(SALE))
        .expect("a drop");
    sale.discount_basis_points = 1_000;
    assert_eq!(
        shown(&book),
        (900, PriceSource::Drop),
        "nothing stacks, even where the listing's own discount is larger"
    );
    let key = (DropId::from_uuid(SALE), listing_id(1));
    let price = |code| Price::new(Money::new(code, 650), 1).expect("a price");
    book.drop_prices.insert(key, price(Currency::USD));
    assert_eq!(shown(&book).0, 900, "a price in another currency is none");
    book.drop_prices.insert(key, price(Currency::EUR));
    assert_eq!(shown(&book), (650, PriceSource::Drop));

    let mut wanted = place(1, &[(1, 1)]);
    assert_eq!(
        reason(ask(&mut book, wanted.clone())),
        ErrorReason::PriceChanged
    );
    wanted.expected_payable = Some(Money::new(Currency::EUR, 650));
    let Ok(Answer::Placed { placement, .. }) = ask(&mut book, wanted) else {
        panic!("placed at the drop's price")
    };
    assert_eq!(placement.lines[0].price_source, PriceSource::Drop);
    book.now = Micros(NOW.0 + 9);
    assert_eq!(shown(&book), (700, PriceSource::Listing), "over");
}

/// A placement with a quote at half the price.
fn quoted(number: u128, price_source: PriceSource, drop: Option<u128>) -> Place {
    let mut place = place(number, &[(1, 1)]);
    let half = PRICE / 2;
    let amount = LineAmount {
        price: half,
        payable: half,
        ..LineAmount::default()
    };
    let line = QuoteLine {
        listing_id: listing_id(1),
        quantity: 1,
        terms_version: 1,
        unit_price: Price::new(Money::new(Currency::EUR, half), 1).expect("a price"),
        amount,
        price_source,
        drop_id: drop.map(DropId::from_uuid),
    };
    place.expected_payable = None;
    place.quote = Some(Ok(Quote {
        partner_id: place.partner_id,
        destination: place.destination.clone(),
        currency: Currency::EUR,
        lines: vec![line],
        expire_time: Micros(NOW.0 + 100),
    }));
    place
}

#[test]
fn a_quoted_price_of_a_drop_is_good_in_that_drop_only() {
    let of_drop = |number, drop| quoted(number, PriceSource::Drop, Some(drop));
    let mut ahead = with(sale(1, 9));
    let early = reason(ask(&mut ahead, of_drop(1, SALE)));
    assert_eq!(early, ErrorReason::DropClosed);
    ahead.now = Micros(NOW.0 + 1);
    assert!(
        ask(&mut ahead, of_drop(1, SALE)).is_ok(),
        "quoted in the pre-heat"
    );
    let other = reason(ask(&mut ahead, of_drop(2, SALE + 1)));
    assert_eq!(other, ErrorReason::DropClosed, "another drop's price");

    let mut over = with(sale(-9, -1));
    let late = reason(ask(&mut over, of_drop(3, SALE)));
    assert_eq!(late, ErrorReason::DropClosed);
    assert!(
        ask(&mut over, place(4, &[(1, 1)])).is_ok(),
        "at its own price it sells"
    );

    // A price of the listing from before the announcement is honoured, and counts in the drop.
    let mut open = with(sale(0, 9));
    let Ok(Answer::Placed { placement, .. }) =
        ask(&mut open, quoted(5, PriceSource::Listing, None))
    else {
        panic!("honoured")
    };
    let line = &placement.lines[0];
    assert_eq!(
        (line.price_source, placement.amount.payable),
        (PriceSource::Listing, PRICE / 2)
    );
    assert_eq!(taken(&open), 1);
}

#[test]
fn a_quota_is_its_owners_and_all_they_get() {
    let mut book = with(DropSale {
        per_person_limit: 0,
        total_limit: 6,
        ..sale(0, 9)
    });
    divide(&mut book, creator(1), 2, None);
    divide(&mut book, outlet(2), 3, Some(5));
    let ours = |number, owner| touched(place(number, &[(1, 1)]), owner);
    // One unit is open to everybody.
    assert!(ask(&mut book, place(1, &[(1, 1)])).is_ok());
    let refusal = ask(&mut book, place(2, &[(1, 1)])).expect_err("the rest is set aside");
    assert_eq!(refusal.reason, ErrorReason::SoldOut);
    let mut named = refusal.metadata.keys();
    assert!(named.all(|key| key == "listing_id"), "it names nobody");
    assert_eq!(
        reason(ask(&mut book, ours(3, creator(9)))),
        ErrorReason::SoldOut
    );

    assert!(ask(&mut book, ours(4, creator(1))).is_ok());
    assert!(ask(&mut book, ours(5, creator(1))).is_ok());
    let own = ask(&mut book, ours(6, creator(1))).expect_err("all of it is taken");
    assert_eq!(own.message, refusal.message, "in the same words");
    assert!(ask(&mut book, ours(7, outlet(2))).is_ok());
    assert_eq!(
        (
            taken(&book),
            taken_by(&book, creator(1)),
            taken_by(&book, outlet(2))
        ),
        (4, 2, 1)
    );

    // What the outlet has left is open from its release on, and it draws from there like anybody else.
    book.now = Micros(NOW.0 + 5);
    assert!(ask(&mut book, place(8, &[(1, 1)])).is_ok());
    assert!(ask(&mut book, ours(9, outlet(2))).is_ok());
    assert_eq!((taken(&book), taken_by(&book, outlet(2))), (6, 1));
    assert_eq!(
        reason(ask(&mut book, place(10, &[(1, 1)]))),
        ErrorReason::SoldOut
    );
    // A hold of the released quota that ends frees a unit for everybody.
    assert!(one(&mut book, cancel(7, Vec::new())).is_ok());
    assert!(ask(&mut book, place(11, &[(1, 1)])).is_ok());
    assert_eq!(
        pay(&mut book, 7, "late", PRICE),
        Some(RefundReason::OrderCancelled)
    );
}

#[test]
fn a_person_is_counted_across_shoppers_and_from_when_they_are_known() {
    let mut book = with(sale(0, 9));
    let drop_id = DropId::from_uuid(SALE);
    if let Some(sale) = book.drops.get_mut(&drop_id) {
        sale.total_limit = 9;
    }
    let wanted = |number, shopper: &str| {
        let mut place = place(number, &[(1, 1)]);
        place.shopper_ref = shopper.into();
        place
    };
    assert!(ask(&mut book, wanted(1, "ann")).is_ok());
    for shopper in ["ann", "ann at home"] {
        let name = (partner(), shopper.to_owned());
        book.persons.insert(name, "hash".into());
    }
    assert!(ask(&mut book, wanted(2, "ann at home")).is_ok());
    let before_counts = reason(ask(&mut book, wanted(3, "ann")));
    assert_eq!(
        before_counts,
        ErrorReason::LimitExceeded,
        "one before, one as a person"
    );
    assert!(ask(&mut book, wanted(4, "ann at home")).is_ok());
    assert_eq!(
        reason(ask(&mut book, wanted(5, "ann at home"))),
        ErrorReason::LimitExceeded
    );
    assert!(ask(&mut book, wanted(6, "bob")).is_ok());
    // What ends is given back to whom it was counted for, whoever they are said to be by then.
    book.persons.clear();
    assert!(one(&mut book, cancel(2, Vec::new())).is_ok());
    let of_person = book
        .shopper_counts
        .iter()
        .find(|(key, _)| key.partner_id.is_none());
    assert_eq!(of_person.map(|(_, count)| count.now), Some(1));
}

#[test]
fn an_allotment_may_be_limited_by_person_through_all_its_listings() {
    let mut book = book(10, |_| {});
    let allotment_id = AllotmentId::from_uuid(1);
    let stock = book.stocks.get_mut(&allotment_id).expect("a stock");
    stock.now.per_person_limit = 3;
    assert!(ask(&mut book, place(1, &[(1, 1), (2, 1)])).is_ok());
    let over = ask(&mut book, place(2, &[(1, 2)])).expect_err("over the limit");
    assert_eq!(
        (over.reason, over.metadata["remaining"].as_str()),
        (ErrorReason::LimitExceeded, "1")
    );
    assert!(one(&mut book, cancel(1, Vec::new())).is_ok());
    assert!(ask(&mut book, place(3, &[(2, 3)])).is_ok());
}

/// One thing that happens to a divided drop.
#[derive(Clone, Debug)]
enum Deed {
    Place { quantity: i64, whose: usize },
    Pay { order: usize },
    Cancel { order: usize },
    Expire { order: usize },
    Wait { micros: i64 },
}

fn deed() -> impl Strategy<Value = Deed> {
    let order = 0usize..40;
    prop_oneof![
        6 => (1i64..4, 0usize..4).prop_map(|(quantity, whose)| Deed::Place { quantity, whose }),
        3 => order.clone().prop_map(|order| Deed::Pay { order }),
        2 => order.clone().prop_map(|order| Deed::Cancel { order }),
        3 => order.prop_map(|order| Deed::Expire { order }),
        // Holds last 600 seconds, the releases come at 300 and 900.
        2 => (0i64..400_000_000).prop_map(|micros| Deed::Wait { micros }),
    ]
}

const OWNERS: [fn() -> QuotaOwner; 3] = [|| creator(1), || outlet(2), || creator(3)];

/// What must hold whatever happens; see [`crate::model::drops`].
fn nested(book: &Book) -> Result<(), TestCaseError> {
    let sale = &book.drops[&DropId::from_uuid(SALE)];
    let quotas = &book.quotas[&sale.drop_id];
    let mut reserved = 0;
    for quota in quotas {
        let taken = taken_by(book, quota.owner);
        prop_assert!(
            (0..=quota.unit_limit).contains(&taken),
            "quota {:?} {}",
            quota,
            taken
        );
        if !quota.is_released(book.now) {
            reserved += quota.unit_limit - taken;
        }
    }
    prop_assert!(
        taken(book) + reserved <= sale.total_limit,
        "set aside stays so"
    );
    // Counted again from the orders themselves.
    let live = |order: &&Order| {
        order.state == OrderState::PendingPayment || order.state == OrderState::Confirmed
    };
    let orders = book.orders.values().map(|slot| &slot.order).filter(live);
    let lines: Vec<_> = orders.flat_map(|order| &order.placement.lines).collect();
    let sum = |of: &dyn Fn(&crate::model::Line) -> bool| -> i64 {
        let counted = lines.iter().filter(|line| of(line));
        counted.map(|line| line.quantity).sum()
    };
    prop_assert_eq!(sum(&|_| true), taken(book));
    for owner in OWNERS {
        let of_owner = sum(&|line| line.draws.quota == Some(owner()));
        prop_assert_eq!(of_owner, taken_by(book, owner()));
    }
    let stock = &book.stocks[&AllotmentId::from_uuid(1)].now;
    prop_assert!(stock.is_conserved());
    prop_assert_eq!(
        stock.held + stock.sold,
        taken(book),
        "the drop is all that sells"
    );
    let counts = book.shopper_counts.values();
    prop_assert!(counts.clone().all(|count| count.now >= 0));
    Ok(())
}

proptest! {
    #[test]
    fn units_are_conserved_through_nested_quotas(
        deeds in prop::collection::vec(deed(), 1..80),
        units in 8i64..16,
    ) {
        let mut book = with(DropSale { total_limit: 12, per_person_limit: 0, ..sale(0, i64::MAX / 4) });
        let stock = book.stocks.get_mut(&AllotmentId::from_uuid(1)).expect("a stock");
        (stock.now.supplied, stock.now.available) = (units, units);
        divide(&mut book, creator(1), 4, Some(300_000_000));
        divide(&mut book, outlet(2), 3, Some(900_000_000));
        divide(&mut book, creator(3), 2, None);
        let mut orders: Vec<u128> = Vec::new();
        for (number, deed) in (1u128..).zip(deeds) {
            let nth = |order: usize| orders.get(order % orders.len().max(1)).copied();
            match deed {
                Deed::Place { quantity, whose } => {
                    let mut wanted = place(number, &[(1, quantity)]);
                    if let Some(owner) = OWNERS.get(whose) {
                        wanted = touched(wanted, owner());
                    }
                    let free = book.stocks[&AllotmentId::from_uuid(1)].now.available;
                    let before = taken(&book);
                    match ask(&mut book, wanted) {
                        Ok(_) => orders.push(number),
                        Err(refusal) => {
                            prop_assert_eq!(refusal.reason, ErrorReason::SoldOut);
                            prop_assert_eq!(taken(&book), before);
                            // Nobody is sent away while there is enough for them.
                            let reserved = 12 - before >= 9 + quantity;
                            prop_assert!(whose < 3 || free < quantity || !reserved);
                        }
                    }
                }
                Deed::Pay { order } => {
                    if let Some(order) = nth(order) {
                        let due = book.orders[&OrderId::from_uuid(order)].order.placement.amount.payable;
                        pay(&mut book, order, &format!("{number}"), due);
                    }
                }
                Deed::Cancel { order } => {
                    if let Some(order) = nth(order) {
                        let _ = one(&mut book, cancel(order, Vec::new()));
                    }
                }
                Deed::Expire { order } => {
                    if let Some(order) = nth(order) {
                        one(&mut book, expire(order)).expect("never refused");
                    }
                }
                Deed::Wait { micros } => book.now = Micros(book.now.0 + micros),
            }
            nested(&book)?;
        }
    }
}
