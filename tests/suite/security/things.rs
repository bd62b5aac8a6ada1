//! Two partners of the scenario, and one of each of the things that they have.

use std::collections::BTreeMap;

use contracts::catalog::v1 as catalog;
use contracts::fulfillment::v1 as fulfillment;
use contracts::order::v1 as order;
use contracts::room::v1 as room;
use prost::Message;
use tonic::transport::Channel;

use crate::raw;

/// One partner's things, by the word that the contracts use for them.
pub struct Owner {
    pub partner_id: String,
    pub things: BTreeMap<&'static str, String>,
}

pub async fn ask<Q: Message, A: Message + Default>(
    channel: &Channel,
    token: &str,
    path: &str,
    request: Q,
) -> A {
    let answer = raw::call(channel, path, Some(token), request.encode_to_vec()).await;
    A::decode(answer.unwrap_or_else(|s| panic!("{path}: {s}")).as_slice())
        .expect("an answer of its kind")
}

/// The partners of the scenario.
pub async fn partners(channel: &Channel, ops: &str) -> Vec<String> {
    let path = "/vitrine.catalog.v1.PartnerService/ListPartners";
    let all: catalog::ListPartnersResponse =
        ask(channel, ops, path, catalog::ListPartnersRequest::default()).await;
    all.partners
        .into_iter()
        .map(|partner| partner.partner_id)
        .collect()
}

/// Lists what a partner has by the retailer's eyes, and takes the first thing of it.
macro_rules! first {
    ($into:ident, $asks:expr, $word:literal, $path:literal, $m:ident::$request:ident, $n:ident::$answer:ident, $items:ident, $id:ident) => {
        let (channel, ops, partner_id): (&Channel, &str, &str) = $asks;
        let request = $m::$request {
            partner_id: partner_id.into(),
            ..Default::default()
        };
        let answer: $n::$answer = ask(channel, ops, $path, request).await;
        if let Some(first) = answer.$items.first() {
            $into.insert($word, first.$id.clone());
        }
    };
}

/// One partner and one of each of its things.
pub async fn owner(channel: &Channel, ops: &str, partner_id: String) -> Owner {
    let asks = (channel, ops, partner_id.as_str());
    let mut things = BTreeMap::from([("partner", partner_id.clone())]);
    first!(
        things,
        asks,
        "outlet",
        "/vitrine.catalog.v1.PartnerService/ListOutlets",
        catalog::ListOutletsRequest,
        catalog::ListOutletsResponse,
        outlets,
        outlet_id
    );
    first!(
        things,
        asks,
        "listing",
        "/vitrine.catalog.v1.ListingService/ListListings",
        catalog::ListListingsRequest,
        catalog::ListListingsResponse,
        listings,
        listing_id
    );
    first!(
        things,
        asks,
        "order",
        "/vitrine.order.v1.OrderService/ListOrders",
        order::ListOrdersRequest,
        order::ListOrdersResponse,
        orders,
        order_id
    );
    first!(
        things,
        asks,
        "refund",
        "/vitrine.order.v1.OrderService/ListRefunds",
        order::ListRefundsRequest,
        order::ListRefundsResponse,
        refunds,
        refund_id
    );
    first!(
        things,
        asks,
        "compensation",
        "/vitrine.order.v1.RefundService/ListCompensations",
        order::ListCompensationsRequest,
        order::ListCompensationsResponse,
        compensations,
        compensation_id
    );
    first!(
        things,
        asks,
        "conversion",
        "/vitrine.order.v1.OrderService/ListConversions",
        order::ListConversionsRequest,
        order::ListConversionsResponse,
        conversions,
        conversion_id
    );
    first!(
        things,
        asks,
        "deep_link",
        "/vitrine.order.v1.OrderService/ListConversions",
        order::ListConversionsRequest,
        order::ListConversionsResponse,
        conversions,
        deep_link_id
    );
    first!(
        things,
        asks,
        "fulfillment",
        "/vitrine.fulfillment.v1.FulfillmentService/ListFulfillments",
        fulfillment::ListFulfillmentsRequest,
        fulfillment::ListFulfillmentsResponse,
        fulfillments,
        fulfillment_id
    );
    first!(
        things,
        asks,
        "shipment",
        "/vitrine.fulfillment.v1.FulfillmentService/ListShipments",
        fulfillment::ListShipmentsRequest,
        fulfillment::ListShipmentsResponse,
        shipments,
        shipment_id
    );
    first!(
        things,
        asks,
        "aftersale",
        "/vitrine.fulfillment.v1.AftersaleService/ListAftersales",
        fulfillment::ListAftersalesRequest,
        fulfillment::ListAftersalesResponse,
        aftersales,
        aftersale_id
    );
    if let Some(order_id) = things.get("order") {
        let path = "/vitrine.order.v1.OrderService/GetOrder";
        let request = order::GetOrderRequest {
            order_id: order_id.clone(),
            ..Default::default()
        };
        let answer: order::GetOrderResponse = ask(channel, ops, path, request).await;
        let line = answer
            .order
            .and_then(|order| order.lines.into_iter().next());
        things.insert(
            "order_line",
            line.expect("an order has lines").order_line_id,
        );
    }
    let path = "/vitrine.room.v1.RoomService/ListRooms";
    let rooms: room::ListRoomsResponse =
        ask(channel, ops, path, room::ListRoomsRequest::default()).await;
    things.insert("room", rooms.rooms[0].room_id.clone());
    if let Some(goods) = a_return(channel, ops, &partner_id).await {
        things.insert("return", goods);
    }
    things.insert("case", a_case(channel, ops, &partner_id).await);
    Owner { partner_id, things }
}

/// One unit of the partner's orders that can come back is asked for.
async fn a_return(channel: &Channel, ops: &str, partner_id: &str) -> Option<String> {
    let finished: fulfillment::ListFulfillmentsResponse = ask(
        channel,
        ops,
        "/vitrine.fulfillment.v1.FulfillmentService/ListFulfillments",
        fulfillment::ListFulfillmentsRequest {
            partner_id: partner_id.into(),
            state: fulfillment::FulfillmentState::Finished.into(),
            ..Default::default()
        },
    )
    .await;
    for order_id in finished.fulfillments.into_iter().map(|done| done.order_id) {
        let eligible: fulfillment::CheckReturnEligibilityResponse = ask(
            channel,
            ops,
            "/vitrine.fulfillment.v1.ReturnService/CheckReturnEligibility",
            fulfillment::CheckReturnEligibilityRequest {
                order_id: order_id.clone(),
            },
        )
        .await;
        let Some(line) = (eligible.lines.into_iter()).find(|line| line.returnable_quantity > 0)
        else {
            continue;
        };
        let asked: fulfillment::RequestReturnResponse = ask(
            channel,
            ops,
            "/vitrine.fulfillment.v1.ReturnService/RequestReturn",
            fulfillment::RequestReturnRequest {
                request_id: order_id.clone(),
                order_id,
                kind: fulfillment::ReturnKind::ReturnAndRefund.into(),
                lines: vec![fulfillment::ReturnLineDraft {
                    order_line_id: line.order_line_id,
                    quantity: 1,
                    reason: fulfillment::ReturnReason::Other.into(),
                    unit_ids: Vec::new(),
                }],
                shopper_note: String::new(),
            },
        )
        .await;
        return asked.goods_return.map(|goods| goods.return_id);
    }
    None
}

/// A text that is in one partner's things and nowhere else.
pub fn canary(partner_id: &str) -> String {
    format!(
        "canary-of-{}",
        partner_id.rsplit('_').next().unwrap_or_default()
    )
}

/// A case of a shopper of the partner.
async fn a_case(channel: &Channel, ops: &str, partner_id: &str) -> String {
    let opened: fulfillment::OpenCaseResponse = ask(
        channel,
        ops,
        "/vitrine.fulfillment.v1.CareService/OpenCase",
        fulfillment::OpenCaseRequest {
            request_id: partner_id.into(),
            partner_id: partner_id.into(),
            shopper_ref: canary(partner_id),
            category: fulfillment::CaseCategory::Other.into(),
            message: Some(fulfillment::CaseMessageDraft {
                visibility: fulfillment::MessageVisibility::ShopperAndAll.into(),
                text: canary(partner_id),
                ..Default::default()
            }),
            ..Default::default()
        },
    )
    .await;
    opened.care_case.expect("the case").case_id
}
