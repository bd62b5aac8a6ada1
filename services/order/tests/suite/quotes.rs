//! Quotes: honoured for their life, for whom and what they were given out.

use std::time::Duration;

use contracts::common::v1 as common;
use contracts::order::v1 as pb;
use testkit::{TestDb, on_both_engines};
use tonic::Code;

use crate::world::{Clients, PRICE, World, france, line, listing_with, money, refused, setup};

fn wanted(lines: Vec<pb::LineRequest>) -> pb::QuoteOrderRequest {
    pb::QuoteOrderRequest {
        lines,
        destination: france(),
        shopper_ref: String::new(),
    }
}

async fn quote(clients: &mut Clients, lines: Vec<pb::LineRequest>) -> pb::QuoteOrderResponse {
    clients
        .orders
        .quote_order(wanted(lines))
        .await
        .expect("a quote")
        .into_inner()
}

/// An order with a quote and nothing else said about money.
fn quoted(
    world: &World,
    key: &str,
    lines: &[(u128, i64)],
    quote: &pb::QuoteOrderResponse,
) -> pb::PlaceOrderRequest {
    pb::PlaceOrderRequest {
        quote_token: quote.quote_token.clone(),
        expected_payable: None,
        ..world.order(key, lines)
    }
}

fn twice_as_dear(terms: &mut contracts::catalog::v1::ListingTerms) {
    terms.price = Some(common::Price {
        amount: money(2 * PRICE),
        per_quantity: 1,
    });
}

on_both_engines! {
    setup: setup();

    async fn a_quote_is_honoured_after_the_price_has_changed(t: TestDb) {
        let world = World::start(t).await;
        world.stock(5).await;
        let mut partner = world.partner(1);
        let old = quote(&mut partner, vec![line(1, 2)]).await;
        world.enter_listing(listing_with(1, twice_as_dear)).await;
        let placed = partner.orders.place_order(quoted(&world, "o-1", &[(1, 2)], &old)).await.expect("placed").into_inner();
        assert_eq!(placed.amount.expect("an amount").payable, money(2 * PRICE));
        assert_eq!((placed.lines[0].terms_version, placed.lines[0].amount.clone()), (1, old.lines[0].amount.clone()));
        let new = quote(&mut partner, vec![line(1, 2)]).await;
        assert_eq!((new.lines[0].terms_version, new.amount.expect("an amount").payable), (2, money(4 * PRICE)));
    }

    async fn a_quote_ends(t: TestDb) {
        let world = World::start(t).await;
        world.stock(5).await;
        let mut partner = world.partner(1);
        let given = quote(&mut partner, vec![line(1, 1)]).await;
        let until = given.expire_time.expect("an end");
        assert_eq!(until.seconds, world.now().seconds() + 120);
        let request = quoted(&world, "o-1", &[(1, 1)], &given);
        world.advance(Duration::from_secs(119));
        let placed = partner.orders.place_order(request.clone()).await.expect("just in time").into_inner();
        world.advance(Duration::from_secs(1));
        let late = quoted(&world, "o-2", &[(1, 1)], &given);
        refused(partner.orders.place_order(late).await, "QUOTE_EXPIRED", Code::FailedPrecondition);
        // A key that was used is answered whatever has become of the quote.
        assert_eq!(partner.orders.place_order(request.clone()).await.expect("again").into_inner(), placed);
        let garbled = pb::PlaceOrderRequest { quote_token: "garbage".into(), ..request };
        assert_eq!(partner.orders.place_order(garbled).await.expect("again").into_inner(), placed);
    }

    async fn a_quote_is_for_one_partner_these_lines_and_this_destination(t: TestDb) {
        let world = World::start(t).await;
        world.stock(5).await;
        let (mut partner, mut other) = (world.partner(1), world.partner(2));
        let given = quote(&mut partner, vec![line(1, 2)]).await;
        let mut tampered = given.quote_token.clone();
        let middle = tampered.len() / 2;
        let letter = if tampered.as_bytes()[middle] == b'A' { "B" } else { "A" };
        tampered.replace_range(middle..=middle, letter);
        let mut discounted = quoted(&world, "o", &[(1, 2)], &given);
        discounted.lines[0].partner_discount = money(5);
        let elsewhere = pb::PlaceOrderRequest {
            destination: Some(pb::Destination { region_code: "DE".into(), subdivision_code: String::new() }),
            ..quoted(&world, "o", &[(1, 2)], &given)
        };
        for request in [
            pb::PlaceOrderRequest { quote_token: tampered, ..world.order("o", &[(1, 2)]) },
            pb::PlaceOrderRequest { quote_token: "garbage".into(), ..world.order("o", &[(1, 2)]) },
            quoted(&world, "o", &[(1, 1)], &given),
            quoted(&world, "o", &[(2, 2)], &given),
            quoted(&world, "o", &[(1, 2), (2, 1)], &given),
            discounted,
            elsewhere,
        ] {
            refused(partner.orders.place_order(request).await, "BAD_QUOTE", Code::InvalidArgument);
        }
        // Even for its own listing of the same goods.
        let foreign = quoted(&world, "o", &[(3, 2)], &given);
        refused(other.orders.place_order(foreign).await, "BAD_QUOTE", Code::InvalidArgument);
        let own = quote(&mut partner, vec![line(1, 2)]).await;
        let shown = pb::PlaceOrderRequest { expected_payable: money(1), ..quoted(&world, "o", &[(1, 2)], &own) };
        refused(partner.orders.place_order(shown).await, "PRICE_CHANGED", Code::FailedPrecondition);
    }

    async fn a_quote_for_one_shopper_is_for_no_other(t: TestDb) {
        let world = World::start(t).await;
        world.stock(5).await;
        let mut partner = world.partner(1);
        let request = pb::QuoteOrderRequest { shopper_ref: "bob".into(), ..wanted(vec![line(1, 1)]) };
        let given = partner.orders.quote_order(request).await.expect("a quote").into_inner();
        let for_ann = quoted(&world, "o-1", &[(1, 1)], &given);
        refused(partner.orders.place_order(for_ann.clone()).await, "BAD_QUOTE", Code::InvalidArgument);
        let for_bob = pb::PlaceOrderRequest { shopper_ref: "bob".into(), ..for_ann };
        partner.orders.place_order(for_bob).await.expect("placed");
    }

    async fn a_quote_promises_a_price_and_nothing_else(t: TestDb) {
        let world = World::start(t).await;
        world.stock(2).await;
        let mut partner = world.partner(1);
        let given = quote(&mut partner, vec![line(1, 2)]).await;
        assert!(given.lines[0].available);
        world.place("o-1", &[(1, 1)]).await;
        let late = quoted(&world, "o-2", &[(1, 2)], &given);
        refused(partner.orders.place_order(late).await, "SOLD_OUT", Code::FailedPrecondition);
        let now = quote(&mut partner, vec![line(1, 2), line(2, 1)]).await;
        assert_eq!(now.lines.iter().map(|line| line.available).collect::<Vec<_>>(), [false, true]);
        // Limits count in the quote already when it says for whom.
        world.enter_listing(listing_with(1, |terms| terms.per_shopper_limit = 1)).await;
        let for_ann = pb::QuoteOrderRequest { shopper_ref: "ann".into(), ..wanted(vec![line(1, 1)]) };
        refused(partner.orders.quote_order(for_ann).await, "LIMIT_EXCEEDED", Code::FailedPrecondition);
        let for_bob = pb::QuoteOrderRequest { shopper_ref: "bob".into(), ..wanted(vec![line(1, 1)]) };
        partner.orders.quote_order(for_bob).await.expect("a quote");
        // What cannot be sold is not quoted.
        world.enter_listing(listing_with(1, |terms| terms.territories = vec!["DE".into()])).await;
        refused(partner.orders.quote_order(wanted(vec![line(1, 1)])).await, "TERRITORY", Code::FailedPrecondition);
        // Nothing is held by any of it.
        assert_eq!(world.feed(world.ops()).await.iter().filter(|entry| matches!(
            entry.content, Some(pb::order_feed_entry::Content::OrderChanged(_))
        )).count(), 1);
    }
}
