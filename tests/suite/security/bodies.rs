//! How a stranger would ask: for each method that partners may call and that names a tenant's things, a request that
//! is right when everything in it is the caller's own. `$order` and the like stand for the caller's own things.

use serde_json::{Value, json};

/// The request of a method by its name; none where there is none yet.
pub fn body(method: &str) -> Option<Value> {
    catalogue(method)
        .or_else(|| orders(method))
        .or_else(|| fulfilment(method))
        .or_else(|| rooms(method))
}

fn catalogue(method: &str) -> Option<Value> {
    let terms = json!({ "price": { "amount": { "currencyCode": "EUR", "minorUnits": "100" }, "perQuantity": "1" } });
    let draft = json!({ "partnerId": "$partner", "variantId": "variant_01h455vb4pex5vsknk084sn02q", "terms": terms });
    Some(match method {
        "GetPartner"
        | "ListPaymentKeys"
        | "ListOutlets"
        | "GetPartnerAccess"
        | "ListTokenKeys"
        | "ListClientCertificates"
        | "ListListings"
        | "ListAssortment"
        | "ListLicences" => {
            json!({ "partnerId": "$partner" })
        }
        "GetListing" | "ListTermsVersions" => json!({ "listingId": "$listing" }),
        "DecideListing" => {
            json!({ "requestId": "r", "listingId": "$listing", "decision": "DECISION_APPROVE" })
        }
        "PauseListing" | "EndListing" => {
            json!({ "requestId": "r", "listingId": "$listing", "reason": "r" })
        }
        "ProposeListing" => {
            let mut body = draft.clone();
            body["requestId"] = json!("r");
            body
        }
        "BatchProposeListings" => json!({ "requestId": "r", "drafts": [draft] }),
        "BatchDecideListings" => {
            json!({ "requestId": "r", "decisions": [{ "listingId": "$listing", "decision": "DECISION_APPROVE" }] })
        }
        _ => return None,
    })
}

fn orders(method: &str) -> Option<Value> {
    let touch = json!([{ "outletId": "$outlet", "surface": "s" }]);
    let line = json!([{ "listingId": "$listing", "quantity": "1", "touchpoints": touch }]);
    let euro = json!({ "currencyCode": "EUR", "minorUnits": "100" });
    Some(match method {
        "ListOrders" => json!({ "partnerId": "$partner" }),
        "ListConversions" => json!({ "partnerId": "$partner", "deepLinkId": "$deep_link" }),
        "ListRefunds" | "ListCompensations" | "ListChargebacks" | "ListLedgerLines"
        | "GetLedgerBalance" => {
            json!({ "partnerId": "$partner", "orderId": "$order" })
        }
        "SummarizeSales" => {
            json!({ "partnerId": "$partner", "startDate": "2026-11-01", "endDate": "2026-11-30" })
        }
        "EraseShopper" => {
            json!({ "requestId": "r", "partnerId": "$partner", "shopperRef": "nobody" })
        }
        "GetErasure" => json!({ "partnerId": "$partner", "shopperRef": "nobody" }),
        "QuoteOrder" => json!({ "lines": line, "destination": { "regionCode": "FR" } }),
        "PlaceOrder" => json!({ "partnerOrderId": "stranger", "shopperRef": "s", "lines": line,
            "destination": { "regionCode": "FR" }, "expectedPayable": euro }),
        "ExtendHold" => json!({ "requestId": "r", "orderId": "$order", "extension": "60s" }),
        "ConfirmPayment" => {
            json!({ "orderId": "$order", "paymentReference": "stranger", "statement": "$statement" })
        }
        "CancelOrder" => {
            json!({ "requestId": "r", "orderId": "$order", "reason": "CANCEL_REASON_SHOPPER_REQUEST",
            "lines": [{ "orderLineId": "$order_line", "quantity": "1" }] })
        }
        "PreviewCancellation" => {
            json!({ "orderId": "$order", "lines": [{ "orderLineId": "$order_line", "quantity": "1" }] })
        }
        "GetOrder" => json!({ "orderId": "$order" }),
        "SetContact" => json!({ "requestId": "r", "orderId": "$order",
            "contact": { "token": { "token": "t", "maskedText": "m", "regionCode": "FR" } } }),
        "GetAvailability" => json!({ "listingId": "$listing" }),
        "CreateDeepLink" => {
            json!({ "requestId": "r", "listingId": "$listing", "shopperRef": "s", "touchpoints": touch })
        }
        "GetDeepLink" => json!({ "deepLinkId": "$deep_link" }),
        "GetConversion" => json!({ "conversionId": "$conversion" }),
        "GetRefund" => json!({ "refundId": "$refund" }),
        _ => return None,
    })
}

fn fulfilment(method: &str) -> Option<Value> {
    let visible = "MESSAGE_VISIBILITY_SHOPPER_AND_ALL";
    Some(match method {
        // One of two ids, whichever is asked for.
        "GetFulfillment" => json!({}),
        "GetShipment" => json!({ "shipmentId": "$shipment" }),
        "ListFulfillments" => json!({ "partnerId": "$partner" }),
        "ListShipments" | "ListReturns" | "ListAftersales" | "ListCases" => {
            json!({ "partnerId": "$partner", "orderId": "$order" })
        }
        "CheckReturnEligibility" | "CheckAftersaleEligibility" => json!({ "orderId": "$order" }),
        "RequestReturn" => {
            json!({ "requestId": "r", "orderId": "$order", "kind": "RETURN_KIND_RETURN_AND_REFUND",
            "lines": [{ "orderLineId": "$order_line", "quantity": "1", "reason": "RETURN_REASON_OTHER" }] })
        }
        "CancelReturn" => json!({ "requestId": "r", "returnId": "$return" }),
        "GetReturn" => json!({ "returnId": "$return" }),
        "RequestAftersale" => {
            json!({ "requestId": "r", "orderId": "$order", "kind": "AFTERSALE_KIND_REFUND_ONLY",
            "reason": "AFTERSALE_REASON_OTHER", "lines": [{ "orderLineId": "$order_line", "quantity": "1" }] })
        }
        "AnswerAftersaleOffer" => {
            json!({ "requestId": "r", "aftersaleId": "$aftersale", "accept": true, "offerNumber": 1 })
        }
        "WithdrawAftersale" => json!({ "requestId": "r", "aftersaleId": "$aftersale" }),
        "AddAftersaleEvidence" => json!({ "requestId": "r", "aftersaleId": "$aftersale",
            "evidence": [{ "evidenceReference": "photo-1", "sha256Hex": "0".repeat(64), "mediaType": "image/jpeg", "sizeBytes": "1" }] }),
        "GetAftersale" => json!({ "aftersaleId": "$aftersale" }),
        "OpenCase" => json!({ "requestId": "r", "partnerId": "$partner", "shopperRef": "s",
            "category": "CASE_CATEGORY_OTHER", "references": {},
            "message": { "visibility": visible, "text": "t" } }),
        "PostMessage" => {
            json!({ "requestId": "r", "caseId": "$case", "message": { "visibility": visible, "text": "t" } })
        }
        "EscalateCase" => {
            json!({ "requestId": "r", "caseId": "$case", "level": "CASE_LEVEL_DISPUTE", "reason": "r" })
        }
        "ReopenCase" | "CloseCase" => json!({ "requestId": "r", "caseId": "$case", "reason": "r" }),
        "GetCase" | "ListMessages" | "ListCaseActions" => json!({ "caseId": "$case" }),
        _ => return None,
    })
}

fn rooms(method: &str) -> Option<Value> {
    Some(match method {
        "ListLiveNow" => json!({ "outletId": "$outlet" }),
        "ListItems" | "WatchRoom" => json!({ "roomId": "$room", "outletId": "$outlet" }),
        "CreateViewerToken" => {
            json!({ "roomId": "$room", "outletId": "$outlet", "shopperRef": "s" })
        }
        _ => return None,
    })
}

/// Fields that are no way to a thing of another, or that are asked for elsewhere, each with why.
pub const ELSEWHERE: &[(&str, &str)] = &[
    (
        "ReportRefund.refund_id",
        "needs a statement of the refund's own; the order service's tests ask",
    ),
    ("ReportPartnerRefund.order_id", "as ReportRefund"),
    ("ReportCompensation.compensation_id", "as ReportRefund"),
    ("ReportChargeback.order_id", "as ReportRefund"),
];

/// Fields that narrow what is the caller's own: what is another's narrows it to nothing, exactly as what is not there.
pub const NARROWING: &[&str] = &[
    "ListReturns.order_id",
    "ListAftersales.order_id",
    "ListCases.order_id",
    "ListShipments.order_id",
    "ListRefunds.order_id",
    "ListCompensations.order_id",
    "ListChargebacks.order_id",
    "ListConversions.deep_link_id",
];

/// Fields that are not answered with NOT_FOUND, each with why; foreign and unknown are answered alike all the same.
pub const ALIKE: &[(&str, &str)] = &[
    (
        "BatchProposeListings.drafts.partner_id",
        "each draft has a verdict of its own",
    ),
    (
        "BatchDecideListings.decisions.listing_id",
        "each decision has a verdict of its own",
    ),
    (
        "RequestReturn.lines.order_line_id",
        "a line is only looked for in its order",
    ),
    (
        "RequestAftersale.lines.order_line_id",
        "a line is only looked for in its order",
    ),
    (
        "OpenCase.references.order_line_id",
        "a line is only looked for in its order",
    ),
    (
        "PreviewCancellation.lines.order_line_id",
        "a line is only looked for in its order",
    ),
    (
        "QuoteOrder.lines.touchpoints.outlet_id",
        "the listing is looked at before how it was found",
    ),
    (
        "PlaceOrder.lines.touchpoints.outlet_id",
        "the listing is looked at before how it was found",
    ),
    (
        "CreateDeepLink.touchpoints.outlet_id",
        "the listing is looked at before how it was found",
    ),
];
