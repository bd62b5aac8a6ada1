//! Drops on the wire: shown before they open, at a price of their own, divided among creators and outlets; and limits
//! per person across partners.

use std::time::Duration;

use contracts::common::v1 as common;
use contracts::common::v1::RetailerRole;
use contracts::id::kind;
use contracts::order::v1 as pb;
use contracts::order::v1::drop_quota::Owner;
use kit::clock::Micros;
use kit::errors::Fault;
use order::Config;
use order::config::PersonLimits;
use store::sql;
use testkit::{TestDb, on_both_engines, op};
use tonic::Code;

use crate::world::{
    Clients, PRICE, World, fields, france, line, listing_id, money, money_in, nth, partner,
    refused, setup, told,
};

fn at(world: &World, seconds: i64) -> Option<prost_types::Timestamp> {
    let time = Micros::from_seconds(world.now().seconds() + seconds);
    Some(time.to_proto())
}

/// A drop of listings 1 and 3, opening in `from` seconds for ten minutes.
fn sale(world: &World, allotment_id: &str, from: i64) -> pb::Drop {
    pb::Drop {
        allotment_id: allotment_id.into(),
        listing_ids: vec![listing_id(1).into(), listing_id(3).into()],
        display_name: "Ten minutes".into(),
        window: Some(common::Window {
            start_time: at(world, from),
            end_time: at(world, from + 600),
        }),
        total_limit: 8,
        ..Default::default()
    }
}

fn priced(listing: u128, currency_code: &str, minor_units: i64) -> pb::DropPrice {
    pb::DropPrice {
        listing_id: listing_id(listing).into(),
        price: Some(common::Price {
            amount: money_in(currency_code, minor_units),
            per_quantity: 1,
        }),
    }
}

fn quota(owner: Owner, unit_limit: i64) -> pb::DropQuota {
    pb::DropQuota {
        unit_limit,
        owner: Some(owner),
        ..Default::default()
    }
}

async fn create(world: &World, key: &str, drop: pb::Drop) -> Result<pb::Drop, tonic::Status> {
    let request = pb::CreateDropRequest {
        request_id: key.into(),
        drop: Some(drop),
    };
    let created = world.ops().drops.create_drop(request).await?;
    Ok(created.into_inner().drop.expect("it"))
}

async fn get(clients: &mut Clients, drop_id: &str) -> pb::Drop {
    let get = pb::GetDropRequest {
        drop_id: drop_id.into(),
    };
    clients
        .drops
        .get_drop(get)
        .await
        .expect("known")
        .into_inner()
        .drop
        .expect("it")
}

async fn quote(clients: &mut Clients, listing: u128) -> pb::QuoteOrderResponse {
    let request = pb::QuoteOrderRequest {
        lines: vec![line(listing, 1)],
        destination: france(),
        shopper_ref: String::new(),
    };
    clients
        .orders
        .quote_order(request)
        .await
        .expect("a quote")
        .into_inner()
}

fn at_price(world: &World, key: &str, listing: u128, minor_units: i64) -> pb::PlaceOrderRequest {
    pb::PlaceOrderRequest {
        shopper_ref: format!("shopper of {key}"),
        expected_payable: money(minor_units),
        ..world.order(key, &[(listing, 1)])
    }
}

fn with_quote(world: &World, key: &str, quote: &pb::QuoteOrderResponse) -> pb::PlaceOrderRequest {
    pb::PlaceOrderRequest {
        quote_token: quote.quote_token.clone(),
        expected_payable: None,
        ..at_price(world, key, 1, 0)
    }
}

/// By whom a shopper came.
fn led_by(
    mut request: pb::PlaceOrderRequest,
    creator: u128,
    outlet: u128,
) -> pb::PlaceOrderRequest {
    request.lines[0].touchpoints = vec![common::Touchpoint {
        creator_id: nth::<kind::Creator>(creator).into(),
        outlet_id: nth::<kind::Outlet>(outlet).into(),
        touch_time: at_time(1_767_225_600),
        ..Default::default()
    }];
    request
}

fn at_time(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(Micros::from_seconds(seconds).to_proto())
}

const HALF: i64 = PRICE / 2;

fn link(key: &str, whose: u128, shopper: &str, person: &str) -> pb::LinkPersonRequest {
    pb::LinkPersonRequest {
        request_id: key.into(),
        partner_id: partner(whose).into(),
        shopper_ref: shopper.into(),
        person_key: person.into(),
    }
}

fn by_person() -> Config {
    Config {
        person_limits: PersonLimits::On,
        person_secret: "a secret of 32 characters or more".into(),
        ..Config::default()
    }
}

on_both_engines! {
    setup: setup();

    async fn a_drop_is_shown_before_it_opens_and_sold_at_its_instant(t: TestDb) {
        let world = World::start(t).await;
        let allotments = world.stock(20).await;
        let drop = pb::Drop {
            announce_time: at(&world, 60),
            prices: vec![priced(1, "EUR", HALF)],
            discount_basis_points: 1_000,
            ..sale(&world, &allotments[0], 120)
        };
        let made = create(&world, "d-1", drop).await.expect("created");
        assert_eq!(made.state(), pb::DropState::Scheduled);
        let (mut first, mut second) = (world.partner(1), world.partner(2));

        // Before the announcement there is no drop for partners, and the listing sells as ever.
        let before = pb::GetDropRequest { drop_id: made.drop_id.clone() };
        refused(first.drops.get_drop(before).await, "NOT_FOUND", Code::NotFound);
        let none = first.drops.list_drops(pb::ListDropsRequest::default()).await.expect("a page").into_inner();
        assert!(none.drops.is_empty());
        let told_now = quote(&mut first, 1).await;
        assert_eq!((told_now.lines[0].price_source(), told_now.lines[0].drop_id.as_str()), (pb::PriceSource::Listing, ""));
        first.orders.place_order(at_price(&world, "early", 1, PRICE)).await.expect("sold on its own");

        // Announced: priced and visible, not sold.
        world.advance(Duration::from_secs(60));
        let own = get(&mut first, &made.drop_id).await;
        assert_eq!((own.prices.len(), own.allotment_id.as_str(), own.quotas.len()), (1, "", 0));
        assert_eq!(own.announce_time, made.announce_time);
        assert!(get(&mut second, &made.drop_id).await.prices.is_empty(), "a partner sees its own prices");
        let list = second.drops.list_drops(pb::ListDropsRequest::default()).await.expect("a page").into_inner();
        assert_eq!(list.drops, [get(&mut second, &made.drop_id).await]);
        refused(world.partner(5).drops.get_drop(pb::GetDropRequest { drop_id: made.drop_id.clone() }).await, "NOT_FOUND", Code::NotFound);
        let preheat = quote(&mut first, 1).await;
        let shown = &preheat.lines[0];
        assert_eq!((shown.price_source(), shown.available, shown.drop_id.as_str()), (pb::PriceSource::Drop, false, made.drop_id.as_str()));
        assert_eq!(shown.drop_open_time, made.window.expect("a window").start_time);
        assert_eq!(shown.unit_price.as_ref().and_then(|price| price.amount.clone()), money(HALF));
        let discounted = quote(&mut second, 3).await;
        assert_eq!(discounted.amount.and_then(|amount| amount.retailer_discount), money(PRICE / 10));
        let closed = refused(first.orders.place_order(with_quote(&world, "o-1", &preheat)).await, "DROP_CLOSED", Code::FailedPrecondition);
        assert_eq!(told(&closed, "open_time"), "2026-01-01T00:02:00Z");

        // A quote of the pre-heat is honoured once it has begun, at the very instant.
        world.advance(Duration::from_secs(59));
        let last = quote(&mut first, 1).await;
        refused(first.orders.place_order(with_quote(&world, "o-1", &last)).await, "DROP_CLOSED", Code::FailedPrecondition);
        world.advance(Duration::from_secs(1));
        let request = with_quote(&world, "o-1", &last);
        let placed = first.orders.place_order(request.clone()).await.expect("placed").into_inner();
        assert_eq!((placed.lines[0].price_source(), placed.lines[0].drop_id.as_str()), (pb::PriceSource::Drop, made.drop_id.as_str()));
        assert_eq!(placed.amount.as_ref().and_then(|amount| amount.payable.clone()), money(HALF));
        let dear = first.orders.place_order(at_price(&world, "o-2", 1, PRICE)).await;
        let dear = refused(dear, "PRICE_CHANGED", Code::FailedPrecondition);
        assert_eq!(told(&dear, "payable_minor_units"), HALF.to_string());
        assert_eq!(get(&mut first, &made.drop_id).await.state(), pb::DropState::Open);
        assert_eq!(first.orders.place_order(request).await.expect("again").into_inner(), placed);
    }

    async fn a_quoted_price_of_a_drop_lives_no_longer_than_the_drop(t: TestDb) {
        let world = World::start(t).await;
        let allotments = world.stock(20).await;
        let drop = pb::Drop { prices: vec![priced(1, "EUR", HALF)], ..sale(&world, &allotments[0], 0) };
        let end = drop.window.expect("a window").end_time;
        let made = create(&world, "d-1", drop).await.expect("created");
        let mut first = world.partner(1);
        world.advance(Duration::from_secs(590));
        let late = quote(&mut first, 1).await;
        assert_eq!(late.expire_time, end, "never beyond the end");
        world.advance(Duration::from_secs(9));
        first.orders.place_order(with_quote(&world, "o-1", &late)).await.expect("placed");
        world.advance(Duration::from_secs(1));
        refused(first.orders.place_order(with_quote(&world, "o-2", &late)).await, "QUOTE_EXPIRED", Code::FailedPrecondition);
        assert_eq!(get(&mut first, &made.drop_id).await.state(), pb::DropState::Ended);
        first.orders.place_order(at_price(&world, "o-2", 1, PRICE)).await.expect("at its own price");

        // Ended early, its price is over at once.
        let other = pb::Drop { discount_basis_points: 5_000, ..sale(&world, &allotments[0], 0) };
        let other = create(&world, "d-2", other).await.expect("created");
        let cut = quote(&mut first, 1).await;
        let end = pb::EndDropRequest { request_id: "e-1".into(), drop_id: other.drop_id, reason: "enough".into() };
        world.ops().drops.end_drop(end).await.expect("ended");
        refused(first.orders.place_order(with_quote(&world, "o-3", &cut)).await, "DROP_CLOSED", Code::FailedPrecondition);
    }

    async fn quotas_divide_a_drop_and_what_ends_is_sold_again_at_once(t: TestDb) {
        let world = World::start_with(t, Config { sweep_interval_ms: 10, ..Config::default() }, true).await;
        let allotments = world.stock(20).await;
        let mut of_outlet = quota(Owner::OutletId(nth::<kind::Outlet>(7).into()), 1);
        of_outlet.release_time = at(&world, 300);
        let drop = pb::Drop {
            total_limit: 4,
            window: Some(common::Window { start_time: at(&world, 0), end_time: at(&world, 1_800) }),
            quotas: vec![quota(Owner::CreatorId(nth::<kind::Creator>(7).into()), 2), of_outlet],
            ..sale(&world, &allotments[0], 0)
        };
        let made = create(&world, "d-1", drop).await.expect("created");
        let (mut first, mut second) = (world.partner(1), world.partner(2));
        let wanted = |key: &str, listing| at_price(&world, key, listing, PRICE);
        first.orders.place_order(wanted("o-1", 1)).await.expect("the open unit");
        let out = refused(second.orders.place_order(wanted("o-1", 3)).await, "SOLD_OUT", Code::FailedPrecondition);
        second.orders.place_order(led_by(wanted("o-2", 3), 7, 9)).await.expect("the creator's");
        first.orders.place_order(led_by(wanted("o-2", 1), 7, 7)).await.expect("the creator's, through any partner");
        let own = first.orders.place_order(led_by(wanted("o-3", 1), 7, 9)).await;
        assert_eq!(refused(own, "SOLD_OUT", Code::FailedPrecondition).message(), out.message(), "in the same words");
        let seen = get(&mut world.ops(), &made.drop_id).await;
        assert_eq!(seen.quotas.iter().map(|quota| quota.taken).collect::<Vec<_>>(), [2, 0]);
        assert_eq!((seen.taken, seen.state()), (3, pb::DropState::Open));
        assert!(get(&mut first, &made.drop_id).await.quotas.is_empty());

        // Released, the outlet's unit is anybody's.
        world.advance(Duration::from_secs(300));
        first.orders.place_order(wanted("o-4", 1)).await.expect("the released one");
        assert_eq!(get(&mut first, &made.drop_id).await.state(), pb::DropState::SoldOut);
        refused(second.orders.place_order(wanted("o-3", 3)).await, "SOLD_OUT", Code::FailedPrecondition);

        // The first three holds run out, and their units sell to whoever asks next: each to those it was for.
        world.advance(Duration::from_secs(300) - Duration::from_micros(1));
        refused(second.orders.place_order(wanted("o-3", 3)).await, "SOLD_OUT", Code::FailedPrecondition);
        world.advance(Duration::from_micros(1));
        let back = testkit::eventually_async(Duration::from_secs(60), || {
            let (mut ops, drop_id) = (world.ops(), made.drop_id.clone());
            async move { get(&mut ops, &drop_id).await.taken == 1 }
        });
        assert!(back.await, "the holds never ended");
        second.orders.place_order(wanted("o-3", 3)).await.expect("the open unit");
        refused(first.orders.place_order(wanted("o-5", 1)).await, "SOLD_OUT", Code::FailedPrecondition);
        second.orders.place_order(led_by(wanted("o-4", 3), 7, 9)).await.expect("the creator's");
        world.stop().await;
    }

    async fn what_a_drop_cannot_be_is_refused(t: TestDb) {
        let world = World::start(t).await;
        let allotments = world.stock(20).await;
        let id = allotments[0].as_str();
        let creator = || Owner::CreatorId(nth::<kind::Creator>(7).into());
        let wrong = pb::Drop {
            announce_time: at(&world, 1),
            discount_basis_points: 10_001,
            prices: vec![priced(2, "EUR", 1), priced(1, "EUR", -1), priced(1, "EUR", 1), priced(1, "EUR", 2)],
            quotas: vec![quota(creator(), 5), quota(creator(), 4), pb::DropQuota { unit_limit: 0, ..Default::default() }],
            ..sale(&world, id, 0)
        };
        let status = create(&world, "d-1", wrong).await.expect_err("wrong");
        assert_eq!(fields(&status), [
            "drop.announce_time", "drop.discount_basis_points", "drop.prices[0].listing_id",
            "drop.prices[1].price.amount.minor_units", "drop.prices[3].listing_id", "drop.quotas[1].unit_limit",
            "drop.quotas[2].creator_id", "drop.quotas[2].unit_limit", "drop.quotas",
        ]);
        let foreign = pb::Drop { prices: vec![priced(1, "USD", 1)], ..sale(&world, id, 0) };
        assert_eq!(fields(&create(&world, "d-1", foreign).await.expect_err("wrong")), ["drop.prices"]);
        let larger = pb::Drop { total_limit: 21, ..sale(&world, id, 0) };
        assert_eq!(fields(&create(&world, "d-1", larger).await.expect_err("wrong")), ["drop.total_limit"]);
        let mut late = quota(creator(), 1);
        late.release_time = at(&world, 600);
        let late = pb::Drop { quotas: vec![late], ..sale(&world, id, 0) };
        assert_eq!(fields(&create(&world, "d-1", late).await.expect_err("wrong")), ["drop.quotas[0].release_time"]);

        let whole = pb::Drop { quotas: vec![quota(creator(), 8)], ..sale(&world, id, 0) };
        create(&world, "d-1", whole).await.expect("all of it may be set aside");
        macro_rules! impossible {
            ($text:literal) => {{
                let broken = op("break", |tx| {
                    Box::pin(async move {
                        sql!(tx, execute, $text)?;
                        Ok(())
                    })
                });
                let fault = world.t.execute(broken).await.expect_err($text);
                assert!(matches!(fault, Fault::Internal(_)), "{fault:?}");
            }};
        }
        impossible!("UPDATE drop_quota SET taken = unit_limit + 1");
        impossible!("UPDATE drop_quota SET taken = -1");
        impossible!("UPDATE drop_sale SET taken = total_limit + 1");
        impossible!("UPDATE drop_sale SET quota_total = total_limit + 1");
        impossible!("UPDATE drop_sale SET discount_basis_points = 10001");
        impossible!("UPDATE allotment SET per_person_limit = -1");
    }

    async fn a_person_is_one_across_partners_when_the_retailer_says_so(t: TestDb) {
        let world = World::start_with(t, by_person(), false).await;
        let allotments = world.stock(20).await;
        let id = allotments[0].as_str();
        let mut ops = world.ops();
        for (key, whose, shopper) in [("l-1", 1, "ann"), ("l-2", 2, "ann@two")] {
            let request = link(key, whose, shopper, "customer 4711");
            ops.persons.link_person(request.clone()).await.expect("linked");
            ops.persons.link_person(request).await.expect("again");
        }
        let unknown = ops.persons.link_person(link("l-3", 9, "x", "y")).await;
        refused(unknown, "NOT_FOUND", Code::NotFound);
        let empty = ops.persons.link_person(link("l-3", 1, "", "")).await;
        assert_eq!(fields(&refused(empty, "INVALID_FIELD", Code::InvalidArgument)), ["shopper_ref", "person_key"]);

        let limit = pb::SetPersonLimitRequest {
            request_id: "p-1".into(),
            allotment_id: id.into(),
            per_person_limit: 3,
            etag: world.get_allotment(id).await.etag,
        };
        let limited = ops.allotments.set_person_limit(limit.clone()).await.expect("limited").into_inner();
        assert_eq!(limited.allotment.as_ref().map(|after| after.per_person_limit), Some(3));
        assert_eq!(ops.allotments.set_person_limit(limit.clone()).await.expect("again").into_inner(), limited);
        let stale = pb::SetPersonLimitRequest { request_id: "p-2".into(), ..limit };
        refused(ops.allotments.set_person_limit(stale).await, "ETAG_MISMATCH", Code::Aborted);

        let (mut first, mut second) = (world.partner(1), world.partner(2));
        let two = first.orders.place_order(world.order("o-1", &[(1, 2)])).await.expect("placed").into_inner();
        let at_second = |key: &str, quantity: i64, shopper: &str| pb::PlaceOrderRequest {
            shopper_ref: shopper.into(),
            ..world.order(key, &[(3, quantity)])
        };
        let over = second.orders.place_order(at_second("o-1", 2, "ann@two")).await;
        assert_eq!(told(&refused(over, "LIMIT_EXCEEDED", Code::FailedPrecondition), "remaining"), "1");
        second.orders.place_order(at_second("o-1", 1, "ann@two")).await.expect("the third");
        second.orders.place_order(at_second("o-2", 3, "bob")).await.expect("somebody else");

        // A partner's word on who somebody is counts for nothing.
        let claimed = pb::PlaceOrderRequest { person_key: "another".into(), ..world.order("o-9", &[(1, 1)]) };
        refused(first.orders.place_order(claimed).await, "NOT_OFFERED", Code::Unimplemented);
        refused(first.persons.link_person(link("l-9", 1, "ann", "me")).await, "PERMISSION_DENIED", Code::PermissionDenied);

        // What is given back is given back to the person, also when nobody knows any more who they are.
        let unlink = pb::UnlinkPersonRequest { request_id: "u-1".into(), partner_id: partner(1).into(), shopper_ref: "ann".into() };
        world.retailer(RetailerRole::Care).persons.unlink_person(unlink.clone()).await.expect("forgotten");
        let twice = pb::UnlinkPersonRequest { request_id: "u-2".into(), ..unlink };
        refused(ops.persons.unlink_person(twice).await, "NOT_FOUND", Code::NotFound);
        let cancel = pb::CancelOrderRequest {
            request_id: "c-1".into(),
            order_id: two.order_id,
            reason: pb::CancelReason::ShopperRequest.into(),
            ..Default::default()
        };
        first.orders.cancel_order(cancel).await.expect("cancelled");
        second.orders.place_order(at_second("o-3", 2, "ann@two")).await.expect("two are free again");
        refused(second.orders.place_order(at_second("o-4", 1, "ann@two")).await, "LIMIT_EXCEEDED", Code::FailedPrecondition);
    }

    async fn off_every_partners_shopper_is_a_person_of_their_own(t: TestDb) {
        let world = World::start(t).await;
        let allotments = world.stock(20).await;
        let mut ops = world.ops();
        refused(ops.persons.link_person(link("l-1", 1, "ann", "4711")).await, "NOT_OFFERED", Code::Unimplemented);
        let limit = pb::SetPersonLimitRequest {
            request_id: "p-1".into(),
            allotment_id: allotments[0].clone(),
            per_person_limit: 1,
            etag: String::new(),
        };
        ops.allotments.set_person_limit(limit).await.expect("limited");
        let (mut first, mut second) = (world.partner(1), world.partner(2));
        first.orders.place_order(world.order("o-1", &[(1, 1)])).await.expect("placed");
        refused(first.orders.place_order(world.order("o-2", &[(1, 1)])).await, "LIMIT_EXCEEDED", Code::FailedPrecondition);
        second.orders.place_order(world.order("o-1", &[(3, 1)])).await.expect("another shopper by the same name");
    }
}
