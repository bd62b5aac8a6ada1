//! The retailer's side: the warehouse and its carrier, stock movements, the catalogue.

use std::time::Duration;

use contracts::catalog::v1 as catalog;
use contracts::common::v1 as common;
use contracts::fulfillment::v1 as pb;
use contracts::order::v1 as order;
use futures::StreamExt;
use kit::clock::{Clock, SystemClock};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::setup::SCARCE;
use super::{Stage, aftercare};
use crate::journal::{Answer, Call};

/// Parcels under way at once.
const AT_ONCE: usize = 6;

/// Works off the queue: ships, then delivers all but a few.
pub async fn warehouse(stage: Stage, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed ^ 0x5a1e);
    while !stage.over() {
        let request = pb::ListWorkRequest {
            page_size: 50,
            ..Default::default()
        };
        let path = "/vitrine.fulfillment.v1.FulfillmentService/ListWork";
        let work = stage
            .world
            .warehouse
            .ask::<_, pb::ListWorkResponse>(path, &request)
            .await;
        let found = work.map(|w| w.answer.fulfillments).unwrap_or_default();
        let jobs: Vec<(pb::Fulfillment, u32)> = found
            .into_iter()
            .map(|f| (f, random.random_range(0..100_u32)))
            .collect();
        futures::stream::iter(jobs)
            .for_each_concurrent(AT_ONCE, |(work, dice)| ship(&stage, work, dice))
            .await;
        stage.rest(Duration::from_millis(150)).await;
    }
}

async fn ship(stage: &Stage, work: pb::Fulfillment, dice: u32) {
    // One parcel for each fulfilment, whatever it takes.
    let key = format!("ship-{}", work.fulfillment_id);
    let request = pb::CreateShipmentRequest {
        request_id: key.clone(),
        draft: Some(pb::ShipmentDraft {
            fulfillment_id: work.fulfillment_id.clone(),
            ..Default::default()
        }),
    };
    let what = Call::Ship {
        fulfillment: work.fulfillment_id.clone(),
        order: work.order_id.clone(),
        key,
    };
    let answer = |answer: &pb::CreateShipmentResponse| {
        let shipment = answer.shipment.clone().unwrap_or_default();
        Answer::Shipped {
            shipment: shipment.shipment_id,
            lines: shipment
                .lines
                .into_iter()
                .map(|l| (l.order_line_id, l.quantity))
                .collect(),
        }
    };
    let path = "/vitrine.fulfillment.v1.FulfillmentService/CreateShipment";
    let shipped = stage
        .call(&stage.world.warehouse, path, &request, what, answer)
        .await;
    let Some(shipment) = shipped.and_then(|s| s.shipment) else {
        return;
    };
    let status = match dice {
        0..10 => pb::TrackingStatus::Lost,
        _ => pb::TrackingStatus::Delivered,
    };
    for status in [pb::TrackingStatus::InTransit, status] {
        track(stage, &shipment.shipment_id, status).await;
    }
    if (10..30).contains(&dice) {
        aftercare::send_back(stage, &shipment).await;
    }
}

async fn track(stage: &Stage, shipment_id: &str, status: pb::TrackingStatus) {
    let event = format!("event-{}", status as i32);
    let request = pb::RecordTrackingRequest {
        request_id: format!("{}-{shipment_id}", status as i32),
        shipment_id: shipment_id.into(),
        event: Some(pb::TrackingEvent {
            carrier_event_id: event.clone(),
            status: status.into(),
            event_time: Some(SystemClock.now().to_proto()),
            ..Default::default()
        }),
    };
    let what = Call::Track {
        shipment: shipment_id.into(),
        event,
        status: status.into(),
    };
    let path = "/vitrine.fulfillment.v1.FulfillmentService/RecordTracking";
    let answer = |_: &pb::RecordTrackingResponse| Answer::Tracked;
    stage
        .call(&stage.world.warehouse, path, &request, what, answer)
        .await;
}

/// Tops the scarce product up, and loses some of it now and then.
pub async fn stock(stage: Stage, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed ^ 0x570c);
    let mut n = 0_u64;
    while !stage.over() {
        n += 1;
        let quantity = match random.random_range(0..6_u32) {
            0 => -1,
            _ => random.random_range(1..8_i64),
        };
        let kind = if quantity < 0 {
            order::MovementKind::Shrinkage
        } else {
            order::MovementKind::TopUp
        };
        let key = format!("{}-move-{n}", stage.world.run);
        let request = order::RecordMovementRequest {
            request_id: key.clone(),
            allotment_id: stage.world.allotments[SCARCE].clone(),
            kind: kind.into(),
            quantity,
            reason: "counted".into(),
        };
        let what = Call::Move {
            allotment: stage.world.allotments[SCARCE].clone(),
            key,
            quantity,
        };
        let answer = |answer: &order::RecordMovementResponse| Answer::Moved {
            movement: answer.movement.clone().unwrap_or_default().movement_id,
        };
        let path = "/vitrine.order.v1.AllotmentService/RecordMovement";
        stage
            .call(&stage.world.ops, path, &request, what, answer)
            .await;
        stage.rest(Duration::from_millis(300)).await;
    }
}

/// New products, and a listing that is paused and resumed.
pub async fn catalogue(stage: Stage) {
    let mut n = 0_u64;
    while !stage.over() {
        n += 1;
        new_product(&stage, n).await;
        let listing = stage.world.partners[0].listings[SCARCE].clone();
        pause_listing(&stage, n, listing).await;
        stage.rest(Duration::from_millis(300)).await;
    }
}

async fn new_product(stage: &Stage, n: u64) {
    let key = format!("{}-new-{n}", stage.world.run);
    let request = catalog::CreateProductRequest {
        request_id: key.clone(),
        product: Some(catalog::Product {
            title: format!("Novelty {n}"),
            variants: vec![catalog::Variant {
                sku: key.to_uppercase(),
                unit: common::Unit::Each.into(),
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    };
    let what = Call::Product {
        sku: key.to_uppercase(),
        key,
    };
    let answer = |answer: &catalog::CreateProductResponse| {
        let product = answer.product.clone().unwrap_or_default();
        Answer::Product {
            variant: product
                .variants
                .first()
                .map(|v| v.variant_id.clone())
                .unwrap_or_default(),
            product: product.product_id,
        }
    };
    let path = "/vitrine.catalog.v1.ProductService/CreateProduct";
    stage
        .call(&stage.world.ops, path, &request, what, answer)
        .await;
}

async fn pause_listing(stage: &Stage, n: u64, listing: String) {
    let resume = n.is_multiple_of(2);
    let key = format!("{}-pause-{n}", stage.world.run);
    let what = Call::Pause {
        listing: listing.clone(),
        key: key.clone(),
        resume,
    };
    let ops = &stage.world.ops;
    if resume {
        let request = catalog::ResumeListingRequest {
            request_id: key,
            listing_id: listing,
            ..Default::default()
        };
        let path = "/vitrine.catalog.v1.ListingService/ResumeListing";
        let answer = |_: &catalog::ResumeListingResponse| Answer::Paused;
        stage.call(ops, path, &request, what, answer).await;
    } else {
        let request = catalog::PauseListingRequest {
            request_id: key,
            listing_id: listing,
            reason: "counting".into(),
            ..Default::default()
        };
        let path = "/vitrine.catalog.v1.ListingService/PauseListing";
        let answer = |_: &catalog::PauseListingResponse| Answer::Paused;
        stage.call(ops, path, &request, what, answer).await;
    }
}

/// Stops the sale of one listing for a moment, and lets it go on.
pub async fn stops(stage: Stage) {
    let mut n = 0_u64;
    while !stage.over() {
        n += 1;
        let listing = stage.world.partners[stage.world.partners.len() - 1].listings[SCARCE].clone();
        let key = format!("{}-stop-{n}", stage.world.run);
        let request = order::StopSaleRequest {
            request_id: key.clone(),
            target: Some(order::StopTarget {
                target: Some(order::stop_target::Target::ListingId(listing.clone())),
            }),
            reason: "a doubt".into(),
        };
        let what = Call::Stop { listing, key };
        let answer = |answer: &order::StopSaleResponse| Answer::Stopped {
            stop: answer.stop_id.clone(),
        };
        let path = "/vitrine.order.v1.OrderService/StopSale";
        let stopped = stage
            .call(&stage.world.ops, path, &request, what, answer)
            .await;
        stage.rest(Duration::from_millis(600)).await;
        if let Some(stopped) = stopped {
            resume(&stage, n, stopped.stop_id).await;
        }
        stage.rest(Duration::from_millis(900)).await;
    }
}

async fn resume(stage: &Stage, n: u64, stop: String) {
    let key = format!("{}-resume-{n}", stage.world.run);
    let request = order::ResumeSaleRequest {
        request_id: key.clone(),
        stop_id: stop.clone(),
    };
    let what = Call::Resume { stop, key };
    let answer = |_: &order::ResumeSaleResponse| Answer::Resumed;
    let path = "/vitrine.order.v1.OrderService/ResumeSale";
    stage
        .call(&stage.world.ops, path, &request, what, answer)
        .await;
}
