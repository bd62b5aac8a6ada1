//! To a partner, what belongs to another and what does not exist are the same: every method that partners may call and
//! that names a tenant's thing, asked for the other's id and for one nobody has.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::catalog::v1 as catalog;
use contracts::common::v1::{Audience, RetailerRole};
use contracts::fulfillment::v1 as fulfillment;
use contracts::id::PartnerId;
use contracts::order::v1 as order;
use contracts::policy::{MethodPolicy, Policies};
use kit::auth::{Claims, SigningKey, jws};
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::{Value, json};
use tonic::Code;
use tonic::transport::Channel;

use crate::raw;
use crate::topology::Running;

/// One partner's things, by the word that the contracts use for them.
struct Owner {
    partner_id: String,
    things: BTreeMap<&'static str, String>,
}

async fn ask<Q: Message, A: Message + Default>(
    channel: &Channel,
    token: &str,
    path: &str,
    request: Q,
) -> A {
    let answer = raw::call(channel, path, Some(token), request.encode_to_vec()).await;
    A::decode(answer.unwrap_or_else(|s| panic!("{path}: {s}")).as_slice())
        .expect("an answer of its kind")
}

/// The first partner of the scenario and one of each of its things.
async fn owner(channel: &Channel, ops: &str) -> Owner {
    let partners: catalog::ListPartnersResponse = ask(
        channel,
        ops,
        "/vitrine.catalog.v1.PartnerService/ListPartners",
        catalog::ListPartnersRequest::default(),
    )
    .await;
    let partner_id = partners.partners[0].partner_id.clone();
    let mut things = BTreeMap::from([("partner", partner_id.clone())]);
    let outlets: catalog::ListOutletsResponse = ask(
        channel,
        ops,
        "/vitrine.catalog.v1.PartnerService/ListOutlets",
        catalog::ListOutletsRequest {
            partner_id: partner_id.clone(),
            ..Default::default()
        },
    )
    .await;
    things.insert("outlet", outlets.outlets[0].outlet_id.clone());
    let listings: catalog::ListListingsResponse = ask(
        channel,
        ops,
        "/vitrine.catalog.v1.ListingService/ListListings",
        catalog::ListListingsRequest {
            partner_id: partner_id.clone(),
            ..Default::default()
        },
    )
    .await;
    things.insert("listing", listings.listings[0].listing_id.clone());
    let orders: order::ListOrdersResponse = ask(
        channel,
        ops,
        "/vitrine.order.v1.OrderService/ListOrders",
        order::ListOrdersRequest {
            partner_id: partner_id.clone(),
            ..Default::default()
        },
    )
    .await;
    things.insert("order", orders.orders[0].order_id.clone());
    let refunds: order::ListRefundsResponse = ask(
        channel,
        ops,
        "/vitrine.order.v1.OrderService/ListRefunds",
        order::ListRefundsRequest {
            partner_id: partner_id.clone(),
            ..Default::default()
        },
    )
    .await;
    things.insert("refund", refunds.refunds[0].refund_id.clone());
    let work: fulfillment::ListFulfillmentsResponse = ask(
        channel,
        ops,
        "/vitrine.fulfillment.v1.FulfillmentService/ListFulfillments",
        fulfillment::ListFulfillmentsRequest {
            partner_id: partner_id.clone(),
            ..Default::default()
        },
    )
    .await;
    things.insert("fulfillment", work.fulfillments[0].fulfillment_id.clone());
    let parcels: fulfillment::ListShipmentsResponse = ask(
        channel,
        ops,
        "/vitrine.fulfillment.v1.FulfillmentService/ListShipments",
        fulfillment::ListShipmentsRequest {
            partner_id: partner_id.clone(),
            ..Default::default()
        },
    )
    .await;
    things.insert("shipment", parcels.shipments[0].shipment_id.clone());
    things.insert("return", a_return(channel, ops, &partner_id).await);
    things.insert("case", a_case(channel, ops, &partner_id).await);
    Owner { partner_id, things }
}

/// One unit of the partner's orders that can come back is asked for.
async fn a_return(channel: &Channel, ops: &str, partner_id: &str) -> String {
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
                request_id: "stranger".into(),
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
        return asked.goods_return.expect("the return").return_id;
    }
    panic!("nothing that was delivered can come back");
}

/// A case of a shopper of the partner.
async fn a_case(channel: &Channel, ops: &str, partner_id: &str) -> String {
    let opened: fulfillment::OpenCaseResponse = ask(
        channel,
        ops,
        "/vitrine.fulfillment.v1.CareService/OpenCase",
        fulfillment::OpenCaseRequest {
            request_id: "stranger".into(),
            partner_id: partner_id.into(),
            shopper_ref: "stranger".into(),
            category: fulfillment::CaseCategory::Other.into(),
            message: Some(fulfillment::CaseMessageDraft {
                visibility: fulfillment::MessageVisibility::ShopperAndAll.into(),
                text: "Hello".into(),
                ..Default::default()
            }),
            ..Default::default()
        },
    )
    .await;
    opened.care_case.expect("the case").case_id
}

/// An id of the same kind that nobody has.
fn unknown_like(id: &str) -> String {
    let (prefix, _) = id.rsplit_once('_').expect("ids have a prefix");
    format!("{prefix}_01h455vb4pex5vsknk084sn02q")
}

/// A body that is right but for whose thing it names: the method's name, the word of the thing, and the field values.
/// `$ID` stands for the id under test. `None` where a partner names only itself or the method takes it as a filter.
fn body(method: &str, statement: impl Fn(&str) -> String, id: &str) -> Option<Value> {
    let line = json!([{ "listingId": id, "quantity": "1" }]);
    Some(match method {
        "GetPartner" => json!({ "partnerId": id }),
        "ListPaymentKeys" | "ListOutlets" | "ListListings" | "ListOrders" | "ListRefunds"
        | "ListFulfillments" | "ListShipments" | "ListReturns" | "ListConversions"
        | "ListAssortment" | "ListLicences" | "ListCompensations" | "ListChargebacks" => {
            json!({ "partnerId": id })
        }
        "SummarizeSales" => {
            json!({ "partnerId": id, "startDate": "2026-11-01", "endDate": "2026-11-30" })
        }
        "CreateDeepLink" => json!({ "requestId": "r", "listingId": id, "shopperRef": "s" }),
        "GetListing" | "ListTermsVersions" => json!({ "listingId": id }),
        "DecideListing" => {
            json!({ "requestId": "r", "listingId": id, "decision": "DECISION_APPROVE" })
        }
        "PauseListing" | "EndListing" => {
            json!({ "requestId": "r", "listingId": id, "reason": "r" })
        }
        "ProposeListing" => {
            json!({ "requestId": "r", "partnerId": id, "variantId": "variant_01h455vb4pex5vsknk084sn02q",
            "terms": { "price": { "amount": { "currencyCode": "EUR", "minorUnits": "100" }, "perQuantity": "1" } } })
        }
        "QuoteOrder" => json!({ "lines": line, "destination": { "regionCode": "FR" } }),
        "PlaceOrder" => {
            json!({ "partnerOrderId": "stranger", "shopperRef": "s", "lines": line, "destination": { "regionCode": "FR" },
            "expectedPayable": { "currencyCode": "EUR", "minorUnits": "100" } })
        }
        "ExtendHold" => json!({ "requestId": "r", "orderId": id, "extension": "60s" }),
        "ConfirmPayment" => {
            json!({ "orderId": id, "paymentReference": "stranger", "statement": statement(id) })
        }
        "CancelOrder" => {
            json!({ "requestId": "r", "orderId": id, "reason": "CANCEL_REASON_SHOPPER_REQUEST" })
        }
        "GetOrder" | "PreviewCancellation" | "ListLedgerLines" | "GetLedgerBalance" => {
            json!({ "orderId": id })
        }
        "SetContact" => {
            json!({ "requestId": "r", "orderId": id, "contact": { "token": { "token": "t", "maskedText": "m", "regionCode": "FR" } } })
        }
        "GetAvailability" => json!({ "listingId": id }),
        "GetFulfillment" => json!({ "fulfillmentId": id }),
        "GetShipment" => json!({ "shipmentId": id }),
        "CheckReturnEligibility" => json!({ "orderId": id }),
        "RequestReturn" => {
            json!({ "requestId": "r", "orderId": id, "kind": "RETURN_KIND_RETURN_AND_REFUND",
            "lines": [{ "orderLineId": "line_01h455vb4pex5vsknk084sn02q", "quantity": "1", "reason": "RETURN_REASON_OTHER" }] })
        }
        "GetReturn" => json!({ "returnId": id }),
        "ListCases" => json!({ "partnerId": id }),
        "OpenCase" => {
            json!({ "requestId": "r", "shopperRef": "s", "category": "CASE_CATEGORY_OTHER", "references": { "orderId": id },
            "message": { "visibility": "MESSAGE_VISIBILITY_SHOPPER_AND_ALL", "text": "t" } })
        }
        "PostMessage" => {
            json!({ "requestId": "r", "caseId": id,
            "message": { "visibility": "MESSAGE_VISIBILITY_SHOPPER_AND_ALL", "text": "t" } })
        }
        "EscalateCase" => {
            json!({ "requestId": "r", "caseId": id, "level": "CASE_LEVEL_DISPUTE", "reason": "r" })
        }
        "ReopenCase" | "CloseCase" => json!({ "requestId": "r", "caseId": id, "reason": "r" }),
        "GetCase" | "ListMessages" | "ListCaseActions" => json!({ "caseId": id }),
        "CancelReturn" => json!({ "requestId": "r", "returnId": id }),
        _ => return None,
    })
}

/// Methods whose tenant fields are covered elsewhere, each with why.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "CheckAftersaleEligibility",
        "matters are opened by the fulfilment service's tests, which test who sees them",
    ),
    ("RequestAftersale", "as CheckAftersaleEligibility"),
    ("AnswerAftersaleOffer", "as CheckAftersaleEligibility"),
    ("WithdrawAftersale", "as CheckAftersaleEligibility"),
    ("AddAftersaleEvidence", "as CheckAftersaleEligibility"),
    ("GetAftersale", "as CheckAftersaleEligibility"),
    ("ListAftersales", "as CheckAftersaleEligibility"),
    (
        "BatchProposeListings",
        "it answers with verdicts; the catalogue tests them",
    ),
    (
        "BatchDecideListings",
        "it answers with verdicts; the catalogue tests them",
    ),
    (
        "CreateViewerToken",
        "the room is the retailer's; the room service tests outlets",
    ),
    ("WatchRoom", "the room service tests outlets"),
    ("ListItems", "the room service tests outlets"),
    ("ListLiveNow", "the room service tests outlets"),
    (
        "GetDeepLink",
        "the scenario has no deep links; the order service tests them",
    ),
    (
        "GetConversion",
        "the scenario has no deep links; the order service tests them",
    ),
    (
        "ReportRefund",
        "needs a statement of the refund's own; the order service tests it",
    ),
    ("ReportPartnerRefund", "as ReportRefund"),
    ("ReportCompensation", "as ReportRefund"),
    ("ReportChargeback", "as ReportRefund"),
    (
        "GetRefund",
        "the scenario has no refund yet; the order service tests it",
    ),
    (
        "GetDrop",
        "a drop is the retailer's; the order service tests who sees it",
    ),
    ("ListQuestions", "the room service tests outlets"),
];

fn names_a_tenants_thing(policies: &Policies, method: &MethodPolicy) -> bool {
    fn walk(message: &MessageDescriptor, policies: &Policies, depth: u8) -> bool {
        depth > 0
            && message.fields().any(|f| {
                let own = policies
                    .field(f.full_name())
                    .is_some_and(|p| p.ownership == contracts::common::v1::Ownership::Tenant);
                own || f
                    .kind()
                    .as_message()
                    .is_some_and(|m| walk(m, policies, depth - 1))
            })
    }
    let request = policies
        .pool()
        .get_message_by_name(&method.request)
        .expect("a request has a descriptor");
    walk(&request, policies, 4)
}

/// Whether a method's answer may differ in the id of the request and nothing else.
pub async fn foreign_and_unknown_look_the_same(running: &Running) {
    let policies = Policies::load().expect("whole contracts");
    let channel = raw::connect(&running.addresses.order).await;
    let roles = [
        RetailerRole::Ops,
        RetailerRole::Warehouse,
        RetailerRole::Finance,
        RetailerRole::Care,
    ];
    let ops = running.token(Claims::retailer("ops", &roles));
    let owner = owner(&channel, &ops).await;
    // A partner of its own, with a key of its own for statements.
    let registered: catalog::RegisterPartnerResponse = ask(
        &channel,
        &ops,
        "/vitrine.catalog.v1.PartnerService/RegisterPartner",
        catalog::RegisterPartnerRequest {
            request_id: "stranger".into(),
            partner: Some(catalog::Partner {
                partner_code: "stranger".into(),
                display_name: "Stranger".into(),
                legal_entity: "Stranger Ltd".into(),
                ..Default::default()
            }),
        },
    )
    .await;
    let stranger: PartnerId = registered
        .partner
        .expect("the partner")
        .partner_id
        .parse()
        .expect("an id");
    let key = SigningKey::generate();
    let _: catalog::AddPaymentKeyResponse = ask(
        &channel,
        &ops,
        "/vitrine.catalog.v1.PartnerService/AddPaymentKey",
        catalog::AddPaymentKeyRequest {
            request_id: "stranger".into(),
            partner_id: stranger.to_string(),
            kid: key.kid().into(),
            public_key_jwk: key.public_jwk().to_string(),
        },
    )
    .await;
    let statement = |order_id: &str| {
        let claims = json!({ "order_id": order_id, "kind": "CHARGE", "minor_units": 100, "currency_code": "EUR", "payment_reference": "stranger", "paid_at": 1_790_000_000 });
        jws::sign(&key, "vitrine-payment+jwt", claims.to_string().as_bytes())
    };
    let token = running.token(Claims::partner("app", &stranger));
    let mut tried = Vec::new();
    for method in policies.methods() {
        let partners_may = method
            .access
            .iter()
            .any(|a| a.audience == Audience::Partner);
        if !partners_may
            || !names_a_tenants_thing(&policies, method)
            || ELSEWHERE.iter().any(|(name, _)| *name == method.name)
        {
            continue;
        }
        let things = owner
            .things
            .iter()
            .filter(|(word, _)| takes(&method.name, word));
        let mut any = false;
        for (word, foreign) in things {
            any = true;
            let mut said = Vec::new();
            for id in [foreign.clone(), unknown_like(foreign)] {
                let body = body(&method.name, statement, &id).unwrap_or_else(|| {
                    panic!(
                        "{}: say how a stranger would ask, or where that is tested",
                        method.path
                    )
                });
                let status =
                    until_known(&channel, &method.path, &token, &policies, method, &body).await;
                assert_eq!(
                    status.code(),
                    Code::NotFound,
                    "{} with a {word}: {}",
                    method.path,
                    status.message()
                );
                let (code, message, details) = raw::said(&status);
                said.push((
                    code,
                    message.replace(&id, "$ID"),
                    without_request_id(&details, &id),
                ));
            }
            assert_eq!(
                said[0], said[1],
                "{}: a foreign and an unknown {word} must look the same",
                method.path
            );
        }
        assert!(any, "{}: no thing to ask for", method.path);
        tried.push(method.name.clone());
    }
    assert!(tried.len() >= 20, "only {tried:?} were tried");
    assert!(!owner.partner_id.is_empty());
}

/// Which thing's id a method's body takes.
fn takes(method: &str, word: &str) -> bool {
    let wanted = match method {
        "GetPartner" | "ListPaymentKeys" | "ListOutlets" | "ListListings" | "ListOrders"
        | "ListRefunds" | "ListFulfillments" | "ListShipments" | "ListReturns"
        | "ProposeListing" | "ListConversions" | "SummarizeSales" | "ListAssortment"
        | "ListLicences" | "ListCompensations" | "ListChargebacks" => "partner",
        "GetListing" | "ListTermsVersions" | "DecideListing" | "PauseListing" | "EndListing"
        | "QuoteOrder" | "PlaceOrder" | "GetAvailability" | "CreateDeepLink" => "listing",
        "GetFulfillment" => "fulfillment",
        "GetShipment" => "shipment",
        "GetReturn" | "CancelReturn" => "return",
        "ListCases" => "partner",
        "GetCase" | "ListMessages" | "ListCaseActions" | "PostMessage" | "EscalateCase"
        | "ReopenCase" | "CloseCase" => "case",
        _ => "order",
    };
    wanted == word
}

/// The stranger's key reaches the order service by a feed; until then its statements are unknown, not its orders.
async fn until_known(
    channel: &Channel,
    path: &str,
    token: &str,
    policies: &Policies,
    method: &MethodPolicy,
    body: &Value,
) -> tonic::Status {
    let descriptor = policies
        .pool()
        .get_message_by_name(&method.request)
        .expect("a request has a descriptor");
    let message =
        DynamicMessage::deserialize(descriptor, body).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut last = None;
    testkit::eventually_async(Duration::from_secs(10), || async {
        let status = raw::call(channel, path, Some(token), message.encode_to_vec())
            .await
            .expect_err("a stranger is refused");
        status.code() != Code::Unauthenticated
    })
    .await;
    if last.is_none() {
        last = Some(
            raw::call(channel, path, Some(token), message.encode_to_vec())
                .await
                .expect_err("a stranger is refused"),
        );
    }
    last.expect("asked at least once")
}

/// The details as text, without the parts that name this one call.
fn without_request_id(details: &[u8], id: &str) -> String {
    let status = tonic_types::pb::Status::decode(details).expect("rich details");
    format!("{status:?}").replace(id, "$ID")
}
