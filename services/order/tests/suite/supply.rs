//! Allotments, movements, assignments, drops and stops.

use std::time::Duration;

use contracts::common::v1 as common;
use contracts::common::v1::RetailerRole;
use contracts::order::v1 as pb;
use contracts::order::v1::stop_target::Target;
use testkit::{TestDb, on_both_engines};
use tonic::Code;

use crate::world::{World, fields, listing_id, nth, refused, setup, told, variant_id};

fn movement(
    key: &str,
    allotment_id: &str,
    kind: pb::MovementKind,
    quantity: i64,
) -> pb::RecordMovementRequest {
    pb::RecordMovementRequest {
        request_id: key.into(),
        allotment_id: allotment_id.into(),
        kind: kind.into(),
        quantity,
        reason: "counted".into(),
    }
}

fn assign(key: &str, allotment_id: &str, listing: u128, unit_cap: i64) -> pb::AssignListingRequest {
    pb::AssignListingRequest {
        request_id: key.into(),
        allotment_id: allotment_id.into(),
        listing_id: listing_id(listing).into(),
        unit_cap,
    }
}

fn drop_of(
    world: &World,
    allotment_id: &str,
    listings: &[u128],
    from: i64,
    until: i64,
) -> pb::Drop {
    let at = |seconds| {
        Some(prost_types::Timestamp {
            seconds: world.now().seconds() + seconds,
            nanos: 0,
        })
    };
    pb::Drop {
        allotment_id: allotment_id.into(),
        listing_ids: listings.iter().map(|at| listing_id(*at).into()).collect(),
        display_name: "Ten minutes".into(),
        window: Some(common::Window {
            start_time: at(from),
            end_time: at(until),
        }),
        total_limit: 5,
        per_person_limit: 2,
        ..Default::default()
    }
}

fn create(key: &str, drop: pb::Drop) -> pb::CreateDropRequest {
    pb::CreateDropRequest {
        request_id: key.into(),
        drop: Some(drop),
    }
}

on_both_engines! {
    setup: setup();

    async fn units_come_and_go(t: TestDb) {
        let world = World::start(t).await;
        let allotments = world.stock(3).await;
        let id = allotments[0].as_str();
        let mut ops = world.ops();
        world.place("o-1", &[(1, 2)]).await;

        let request = movement("m-1", id, pb::MovementKind::TopUp, 7);
        let moved = ops.allotments.record_movement(request.clone()).await.expect("moved").into_inner();
        let after = moved.allotment.clone().expect("an allotment");
        assert_eq!((after.supplied, after.available, after.held), (10, 8, 2));
        assert_eq!(moved.movement.as_ref().map(|movement| (movement.quantity, movement.actor.as_str())), Some((7, "ana")));
        assert_eq!(ops.allotments.record_movement(request).await.expect("again").into_inner(), moved);
        let other = movement("m-1", id, pb::MovementKind::TopUp, 8);
        refused(ops.allotments.record_movement(other).await, "KEY_REUSED", Code::AlreadyExists);

        let status = ops.allotments.record_movement(movement("m-2", id, pb::MovementKind::Withdrawn, -9)).await;
        let status = refused(status, "STOCK_IN_USE", Code::FailedPrecondition);
        assert_eq!(told(&status, "available"), "8");
        let mut warehouse = world.retailer(RetailerRole::Warehouse);
        let shrink = movement("m-2", id, pb::MovementKind::Shrinkage, -8);
        let moved = warehouse.allotments.record_movement(shrink).await.expect("moved").into_inner();
        assert_eq!(moved.allotment.map(|after| (after.supplied, after.available)), Some((2, 0)));
        assert_ne!(after.etag, world.get_allotment(id).await.etag);

        for wrong in [
            movement("w", id, pb::MovementKind::TopUp, -1),
            movement("w", id, pb::MovementKind::Shrinkage, 1),
            movement("w", id, pb::MovementKind::Restock, 0),
            movement("w", id, pb::MovementKind::TopUp, 1_000_000_000_001),
        ] {
            let status = refused(ops.allotments.record_movement(wrong).await, "INVALID_FIELD", Code::InvalidArgument);
            assert_eq!(fields(&status), ["quantity"]);
        }
        for kind in [pb::MovementKind::Initial, pb::MovementKind::Unspecified] {
            let wrong = ops.allotments.record_movement(movement("w", id, kind, 1)).await;
            assert_eq!(fields(&refused(wrong, "INVALID_FIELD", Code::InvalidArgument)), ["kind"]);
        }
        let unknown = nth::<contracts::id::kind::Allotment>(9).to_string();
        let status = ops.allotments.record_movement(movement("w", &unknown, pb::MovementKind::TopUp, 1)).await;
        refused(status, "NOT_FOUND", Code::NotFound);

        let list = pb::ListMovementsRequest { allotment_id: id.into(), page_size: 2, page_token: String::new() };
        let first = ops.allotments.list_movements(list.clone()).await.expect("a page").into_inner();
        let next = pb::ListMovementsRequest { page_token: first.next_page_token.clone(), ..list };
        let second = ops.allotments.list_movements(next).await.expect("a page").into_inner();
        let all: Vec<i64> = first.movements.iter().chain(&second.movements).map(|movement| movement.quantity).collect();
        assert_eq!((all, second.next_page_token), (vec![3, 7, -8], String::new()));
    }

    async fn an_allotment_needs_a_known_variant(t: TestDb) {
        let world = World::start(t).await;
        let mut ops = world.ops();
        let request = pb::CreateAllotmentRequest {
            request_id: "a-1".into(),
            variant_id: variant_id(1).into(),
            display_name: "Autumn".into(),
            initial_quantity: 5,
            ..Default::default()
        };
        refused(ops.allotments.create_allotment(request.clone()).await, "NOT_FOUND", Code::NotFound);
        world.furnish().await;
        let created = ops.allotments.create_allotment(request.clone()).await.expect("created").into_inner();
        assert_eq!(ops.allotments.create_allotment(request.clone()).await.expect("again").into_inner(), created);
        let wrong = pb::CreateAllotmentRequest { display_name: String::new(), initial_quantity: -1, ..request };
        let status = refused(ops.allotments.create_allotment(wrong).await, "INVALID_FIELD", Code::InvalidArgument);
        assert_eq!(fields(&status), ["display_name", "initial_quantity"]);
        let list = ops.allotments.list_allotments(pb::ListAllotmentsRequest::default()).await.expect("a page").into_inner();
        assert_eq!(list.allotments, [created.allotment.expect("it")]);
    }

    async fn a_listing_draws_from_one_allotment(t: TestDb) {
        let world = World::start(t).await;
        let allotments = world.stock(5).await;
        let (mut ops, id) = (world.ops(), allotments[0].as_str());
        let spare = world.allotment(1, 9).await;
        refused(ops.allotments.assign_listing(assign("x", &spare, 1, 0)).await, "WRONG_STATE", Code::FailedPrecondition);
        let status = ops.allotments.assign_listing(assign("x", id, 2, 0)).await;
        assert_eq!(fields(&refused(status, "INVALID_FIELD", Code::InvalidArgument)), ["listing_id"]);
        refused(ops.allotments.assign_listing(assign("x", id, 99, 0)).await, "NOT_FOUND", Code::NotFound);
        world.place("o-1", &[(1, 2)]).await;
        let status = ops.allotments.assign_listing(assign("x", id, 1, 1)).await;
        assert_eq!(told(&refused(status, "STOCK_IN_USE", Code::FailedPrecondition), "taken"), "2");
        let capped = ops.allotments.assign_listing(assign("x", id, 1, 2)).await.expect("capped").into_inner();
        let own = &capped.allotment.expect("it").listings[0];
        assert_eq!((own.unit_cap, own.taken), (2, 2));
    }

    async fn a_partner_sees_a_band_and_its_own_cap(t: TestDb) {
        let world = World::start(t).await;
        let allotments = world.stock(20).await;
        let ask = |listing| pb::GetAvailabilityRequest { listing_id: listing_id(listing).into() };
        let (mut partner, mut other) = (world.partner(1), world.partner(2));
        let answer = partner.allotments.get_availability(ask(1)).await.expect("known").into_inner();
        assert_eq!((answer.band(), answer.cap_remaining), (pb::AvailabilityBand::Available, None));
        world.assign(&allotments[0], 1, 4).await;
        world.place("o-1", &[(1, 1)]).await;
        let answer = partner.allotments.get_availability(ask(1)).await.expect("known").into_inner();
        assert_eq!((answer.band(), answer.cap_remaining), (pb::AvailabilityBand::Available, Some(3)));
        other.orders.place_order(world.order("o-1", &[(3, 18)])).await.expect("placed");
        let answer = partner.allotments.get_availability(ask(1)).await.expect("known").into_inner();
        assert_eq!((answer.band(), answer.cap_remaining), (pb::AvailabilityBand::Low, Some(3)));
        other.orders.place_order(world.order("o-2", &[(3, 1)])).await.expect("placed");
        let answer = partner.allotments.get_availability(ask(1)).await.expect("known").into_inner();
        assert_eq!(answer.band(), pb::AvailabilityBand::SoldOut);
        let foreign = refused(partner.allotments.get_availability(ask(3)).await, "NOT_FOUND", Code::NotFound);
        let unknown = refused(partner.allotments.get_availability(ask(99)).await, "NOT_FOUND", Code::NotFound);
        assert_eq!(foreign.message(), unknown.message());
        world.enter_listing(contracts::catalog::v1::Listing {
            listing_id: listing_id(9).into(), ..crate::world::listing(1)
        }).await;
        refused(partner.allotments.get_availability(ask(9)).await, "NO_ALLOTMENT", Code::FailedPrecondition);
        world.service().allotments.get_availability(ask(3)).await.expect("the suite sees all");
    }

    async fn a_drop_is_a_sale_within_limits(t: TestDb) {
        let world = World::start(t).await;
        let allotments = world.stock(20).await;
        let (mut ops, id) = (world.ops(), allotments[0].as_str());
        let request = create("d-1", drop_of(&world, id, &[1, 3], 0, 600));
        let drop = ops.drops.create_drop(request.clone()).await.expect("created").into_inner().drop.expect("it");
        let again = ops.drops.create_drop(request).await.expect("again").into_inner().drop.expect("it");
        assert_eq!((&again, drop.state()), (&drop, pb::DropState::Open));

        world.place("o-1", &[(1, 2)]).await;
        let (mut partner, mut other) = (world.partner(1), world.partner(2));
        let limit = partner.orders.place_order(world.order("o-2", &[(1, 1)])).await;
        refused(limit, "LIMIT_EXCEEDED", Code::FailedPrecondition);
        // The same shopper_ref at another partner is another shopper.
        other.orders.place_order(world.order("o-1", &[(3, 2)])).await.expect("placed");
        let bob = pb::PlaceOrderRequest { shopper_ref: "bob".into(), ..world.order("o-3", &[(1, 2)]) };
        refused(partner.orders.place_order(bob.clone()).await, "SOLD_OUT", Code::FailedPrecondition);

        let get = pb::GetDropRequest { drop_id: drop.drop_id.clone() };
        let seen = ops.drops.get_drop(get.clone()).await.expect("known").into_inner().drop.expect("it");
        assert_eq!((seen.taken, seen.listing_ids.len()), (4, 2));
        let own = partner.drops.get_drop(get.clone()).await.expect("its own").into_inner().drop.expect("it");
        assert_eq!((own.taken, own.listing_ids, own.allotment_id), (2, vec![listing_id(1).to_string()], String::new()));
        let stranger = refused(world.partner(5).drops.get_drop(get.clone()).await, "NOT_FOUND", Code::NotFound);
        let unknown = pb::GetDropRequest { drop_id: nth::<contracts::id::kind::Drop>(9).into() };
        let unknown = refused(world.partner(5).drops.get_drop(unknown).await, "NOT_FOUND", Code::NotFound);
        assert_eq!(stranger.message(), unknown.message());

        let end = pb::EndDropRequest { request_id: "e-1".into(), drop_id: drop.drop_id.clone(), reason: "enough".into() };
        let ended = ops.drops.end_drop(end.clone()).await.expect("ended").into_inner().drop.expect("it");
        assert_eq!(ended.state(), pb::DropState::Ended);
        assert_eq!(ops.drops.end_drop(end.clone()).await.expect("again").into_inner().drop, Some(ended));
        let twice = pb::EndDropRequest { request_id: "e-2".into(), ..end };
        refused(ops.drops.end_drop(twice).await, "WRONG_STATE", Code::FailedPrecondition);
        // After it the goods sell as before, without its limits.
        partner.orders.place_order(bob).await.expect("placed");
        partner.orders.place_order(world.order("o-4", &[(1, 9)])).await.expect("placed");
    }

    async fn drops_are_checked(t: TestDb) {
        let world = World::start(t).await;
        let allotments = world.stock(20).await;
        let (mut ops, id) = (world.ops(), allotments[0].as_str());
        ops.drops.create_drop(create("d-1", drop_of(&world, id, &[1], 600, 1_200))).await.expect("created");
        let overlapping = create("d-2", drop_of(&world, id, &[3, 1], 0, 601));
        refused(ops.drops.create_drop(overlapping).await, "WRONG_STATE", Code::FailedPrecondition);
        let before = create("d-2", drop_of(&world, id, &[3, 1], 0, 600));
        ops.drops.create_drop(before).await.expect("one after the other");
        let stray = create("d-3", drop_of(&world, id, &[2], 0, 600));
        assert_eq!(
            told(&refused(ops.drops.create_drop(stray).await, "NO_ALLOTMENT", Code::FailedPrecondition), "listing_id"),
            listing_id(2).as_str()
        );
        let past = create("d-3", drop_of(&world, id, &[3], -600, 0));
        refused(ops.drops.create_drop(past).await, "OUTSIDE_WINDOW", Code::FailedPrecondition);
        let nothing = nth::<contracts::id::kind::Allotment>(9).to_string();
        let nowhere = create("d-3", drop_of(&world, &nothing, &[3], 0, 600));
        refused(ops.drops.create_drop(nowhere).await, "NOT_FOUND", Code::NotFound);
        let wrong = pb::Drop {
            listing_ids: vec![listing_id(1).into(), listing_id(1).into()],
            display_name: String::new(),
            window: Some(common::Window::default()),
            total_limit: 0,
            per_person_limit: -1,
            ..drop_of(&world, id, &[1], 0, 600)
        };
        let status = refused(ops.drops.create_drop(create("d-3", wrong)).await, "INVALID_FIELD", Code::InvalidArgument);
        assert_eq!(
            fields(&status),
            ["drop.listing_ids[1]", "drop.display_name", "drop.window", "drop.total_limit", "drop.per_person_limit"]
        );
        let list = ops.drops.list_drops(pb::ListDropsRequest::default()).await.expect("a page").into_inner();
        let states: Vec<pb::DropState> = list.drops.iter().map(pb::Drop::state).collect();
        assert_eq!(states, [pb::DropState::Scheduled, pb::DropState::Open]);
        world.advance(Duration::from_secs(1_200));
        let list = ops.drops.list_drops(pb::ListDropsRequest::default()).await.expect("a page").into_inner();
        assert!(list.drops.iter().all(|drop| drop.state() == pb::DropState::Ended));
    }

    async fn a_stop_is_at_once_and_ends_once(t: TestDb) {
        let world = World::start(t).await;
        let allotments = world.stock(20).await;
        let mut ops = world.ops();
        let (mut partner, mut other) = (world.partner(1), world.partner(2));
        let stop = |key: &str, target: Target| pb::StopSaleRequest {
            request_id: key.into(),
            target: Some(pb::StopTarget { target: Some(target) }),
            reason: "Recalled".into(),
        };
        let request = stop("s-1", Target::ListingId(listing_id(1).into()));
        let one = ops.orders.stop_sale(request.clone()).await.expect("stopped").into_inner();
        assert_eq!(ops.orders.stop_sale(request).await.expect("again").into_inner(), one);
        refused(partner.orders.place_order(world.order("o-1", &[(1, 1)])).await, "SALE_STOPPED", Code::FailedPrecondition);
        other.orders.place_order(world.order("o-1", &[(3, 1)])).await.expect("only one listing is stopped");
        let all = ops.orders.stop_sale(stop("s-2", Target::AllotmentId(allotments[0].clone()))).await.expect("stopped");
        refused(other.orders.place_order(world.order("o-2", &[(3, 1)])).await, "SALE_STOPPED", Code::FailedPrecondition);
        let resume = |key: &str, stop_id: &str| pb::ResumeSaleRequest { request_id: key.into(), stop_id: stop_id.into() };
        ops.orders.resume_sale(resume("r-1", &all.into_inner().stop_id)).await.expect("resumed");
        other.orders.place_order(world.order("o-2", &[(3, 1)])).await.expect("placed");
        refused(partner.orders.place_order(world.order("o-1", &[(1, 1)])).await, "SALE_STOPPED", Code::FailedPrecondition);
        ops.orders.resume_sale(resume("r-2", &one.stop_id)).await.expect("resumed");
        ops.orders.resume_sale(resume("r-2", &one.stop_id)).await.expect("again");
        refused(ops.orders.resume_sale(resume("r-3", &one.stop_id)).await, "WRONG_STATE", Code::FailedPrecondition);
        partner.orders.place_order(world.order("o-1", &[(1, 1)])).await.expect("placed");

        let unknown = nth::<contracts::id::kind::Stop>(9).to_string();
        refused(ops.orders.resume_sale(resume("r-4", &unknown)).await, "NOT_FOUND", Code::NotFound);
        for target in [
            Target::ListingId(listing_id(99).into()),
            Target::AllotmentId(nth::<contracts::id::kind::Allotment>(99).into()),
            Target::ProductId(nth::<contracts::id::kind::Product>(99).into()),
        ] {
            refused(ops.orders.stop_sale(stop("s-9", target)).await, "NOT_FOUND", Code::NotFound);
        }
        let empty = pb::StopSaleRequest { target: None, reason: String::new(), ..stop("s-9", Target::ListingId("".into())) };
        let status = refused(ops.orders.stop_sale(empty).await, "INVALID_FIELD", Code::InvalidArgument);
        assert_eq!(fields(&status), ["target", "reason"]);
        refused(partner.orders.stop_sale(stop("s", Target::ListingId(listing_id(1).into()))).await, "PERMISSION_DENIED", Code::PermissionDenied);
    }
}
