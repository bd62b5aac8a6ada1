//! The smallest shop there is: one partner, one product on sale, some units. For scenarios about what happens to calls.

use std::time::Duration;

use contracts::catalog::v1 as catalog;
use contracts::common::v1::{Money, Price, RetailerRole, Unit};
use contracts::id::PartnerId;
use contracts::order::v1 as order;
use kit::auth::{Claims, SigningKey, jws};
use prost::Message;
use serde_json::json;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::raw;
use crate::topology::Running;

/// What one unit costs, in cents.
pub const PRICE: i64 = 1_000;

pub struct Shop {
    pub order: Channel,
    pub ops: String,
    pub partner: String,
    pub key: SigningKey,
    pub listing_id: String,
    pub allotment_id: String,
}

/// A call that is to be answered.
pub async fn ask<Q: Message, A: Message + Default>(
    channel: &Channel,
    token: &str,
    path: &str,
    request: &Q,
) -> Result<A, Status> {
    let answer = raw::call(channel, path, Some(token), request.encode_to_vec()).await?;
    Ok(A::decode(answer.as_slice()).expect("an answer of its kind"))
}

/// A call that needs what another service has yet to read from a feed: asked until it is there.
async fn ask_until_known<Q: Message, A: Message + Default>(
    channel: &Channel,
    token: &str,
    path: &str,
    request: &Q,
) -> A {
    let answer = std::sync::Mutex::new(None);
    let done = testkit::eventually_async(Duration::from_secs(20), || async {
        match ask::<Q, A>(channel, token, path, request).await {
            Ok(a) => {
                *answer.lock().expect("no panic holds it") = Some(a);
                true
            }
            Err(status)
                if matches!(
                    status.code(),
                    Code::NotFound | Code::FailedPrecondition | Code::Unavailable
                ) =>
            {
                false
            }
            Err(status) => panic!("{path}: {status}"),
        }
    })
    .await;
    assert!(done, "{path} was not possible in time");
    answer
        .into_inner()
        .expect("no panic holds it")
        .expect("it is there")
}

impl Shop {
    /// Opens it, with so many units.
    pub async fn open(running: &Running, units: i64) -> Shop {
        let catalog_channel = raw::connect(&running.addresses.catalog).await;
        let order_channel = raw::connect(&running.addresses.order).await;
        let ops = running.token(Claims::retailer("ops", &[RetailerRole::Ops]));
        let registered: catalog::RegisterPartnerResponse = ask_until_known(
            &catalog_channel,
            &ops,
            "/vitrine.catalog.v1.PartnerService/RegisterPartner",
            &catalog::RegisterPartnerRequest {
                request_id: "partner".into(),
                partner: Some(catalog::Partner {
                    partner_code: "app".into(),
                    display_name: "App".into(),
                    legal_entity: "App Ltd".into(),
                    ..Default::default()
                }),
            },
        )
        .await;
        let partner_id = registered.partner.expect("the partner").partner_id;
        let partner = running.token(Claims::partner(
            "app",
            &partner_id.parse::<PartnerId>().expect("an id"),
        ));
        let key = SigningKey::generate();
        let _: catalog::AddPaymentKeyResponse = ask_until_known(
            &catalog_channel,
            &ops,
            "/vitrine.catalog.v1.PartnerService/AddPaymentKey",
            &catalog::AddPaymentKeyRequest {
                request_id: "key".into(),
                partner_id: partner_id.clone(),
                kid: key.kid().into(),
                public_key_jwk: key.public_jwk().to_string(),
            },
        )
        .await;
        let (variant_id, listing_id) =
            Self::list(&catalog_channel, &ops, &partner, &partner_id).await;
        let created: order::CreateAllotmentResponse = ask_until_known(
            &order_channel,
            &ops,
            "/vitrine.order.v1.AllotmentService/CreateAllotment",
            &order::CreateAllotmentRequest {
                request_id: "allotment".into(),
                variant_id,
                display_name: "Units".into(),
                initial_quantity: units,
                ..Default::default()
            },
        )
        .await;
        let allotment_id = created.allotment.expect("the allotment").allotment_id;
        let _: order::AssignListingResponse = ask_until_known(
            &order_channel,
            &ops,
            "/vitrine.order.v1.AllotmentService/AssignListing",
            &order::AssignListingRequest {
                request_id: "assign".into(),
                allotment_id: allotment_id.clone(),
                listing_id: listing_id.clone(),
                unit_cap: 0,
            },
        )
        .await;
        Shop {
            order: order_channel,
            ops,
            partner,
            key,
            listing_id,
            allotment_id,
        }
    }

    async fn list(
        channel: &Channel,
        ops: &str,
        partner: &str,
        partner_id: &str,
    ) -> (String, String) {
        let created: catalog::CreateProductResponse = ask_until_known(
            channel,
            ops,
            "/vitrine.catalog.v1.ProductService/CreateProduct",
            &catalog::CreateProductRequest {
                request_id: "product".into(),
                product: Some(catalog::Product {
                    title: "Lip colour".into(),
                    variants: vec![catalog::Variant {
                        sku: "LIP".into(),
                        unit: Unit::Each.into(),
                        ..Default::default()
                    }],
                    ..Default::default()
                }),
                validate_only: false,
            },
        )
        .await;
        let variant_id = created.product.expect("the product").variants[0]
            .variant_id
            .clone();
        let price = Price {
            amount: Some(Money {
                currency_code: "EUR".into(),
                minor_units: PRICE,
            }),
            per_quantity: 1,
        };
        let proposed: catalog::ProposeListingResponse = ask_until_known(
            channel,
            ops,
            "/vitrine.catalog.v1.ListingService/ProposeListing",
            &catalog::ProposeListingRequest {
                request_id: "propose".into(),
                partner_id: partner_id.into(),
                variant_id: variant_id.clone(),
                terms: Some(catalog::ListingTerms {
                    price: Some(price),
                    ..Default::default()
                }),
                validate_only: false,
            },
        )
        .await;
        let listing_id = proposed.listing.expect("the listing").listing_id;
        let _: catalog::DecideListingResponse = ask_until_known(
            channel,
            partner,
            "/vitrine.catalog.v1.ListingService/DecideListing",
            &catalog::DecideListingRequest {
                request_id: "decide".into(),
                listing_id: listing_id.clone(),
                decision: catalog::Decision::Approve.into(),
                ..Default::default()
            },
        )
        .await;
        let _: catalog::PublishListingResponse = ask_until_known(
            channel,
            ops,
            "/vitrine.catalog.v1.ListingService/PublishListing",
            &catalog::PublishListingRequest {
                request_id: "publish".into(),
                listing_id: listing_id.clone(),
                etag: String::new(),
            },
        )
        .await;
        (variant_id, listing_id)
    }

    /// A request for one unit.
    pub fn one_unit(&self, partner_order_id: &str) -> order::PlaceOrderRequest {
        order::PlaceOrderRequest {
            partner_order_id: partner_order_id.into(),
            shopper_ref: format!("shopper-of-{partner_order_id}"),
            lines: vec![order::LineRequest {
                listing_id: self.listing_id.clone(),
                quantity: 1,
                ..Default::default()
            }],
            destination: Some(order::Destination {
                region_code: "FR".into(),
                ..Default::default()
            }),
            expected_payable: Some(Money {
                currency_code: "EUR".into(),
                minor_units: PRICE,
            }),
            ..Default::default()
        }
    }

    /// Until the listing is on sale: the order service hears of it by a feed.
    pub async fn until_on_sale(&self) {
        let request = self.one_unit("first");
        let _: order::PlaceOrderResponse = ask_until_known(
            &self.order,
            &self.partner,
            "/vitrine.order.v1.OrderService/PlaceOrder",
            &request,
        )
        .await;
    }

    pub async fn place(&self, partner_order_id: &str) -> Result<order::PlaceOrderResponse, Status> {
        ask(
            &self.order,
            &self.partner,
            "/vitrine.order.v1.OrderService/PlaceOrder",
            &self.one_unit(partner_order_id),
        )
        .await
    }

    pub async fn pay(
        &self,
        order_id: &str,
        reference: &str,
    ) -> Result<order::ConfirmPaymentResponse, Status> {
        let claims = json!({ "order_id": order_id, "kind": "CHARGE", "minor_units": PRICE, "currency_code": "EUR", "payment_reference": reference, "paid_at": 1_700_000_000 });
        let request = order::ConfirmPaymentRequest {
            order_id: order_id.into(),
            payment_reference: reference.into(),
            statement: jws::sign(
                &self.key,
                "vitrine-payment+jwt",
                claims.to_string().as_bytes(),
            ),
        };
        ask(
            &self.order,
            &self.partner,
            "/vitrine.order.v1.OrderService/ConfirmPayment",
            &request,
        )
        .await
    }

    pub async fn order(&self, order_id: &str) -> Result<order::Order, Status> {
        let request = order::GetOrderRequest {
            order_id: order_id.into(),
            ..Default::default()
        };
        let answer: order::GetOrderResponse = ask(
            &self.order,
            &self.partner,
            "/vitrine.order.v1.OrderService/GetOrder",
            &request,
        )
        .await?;
        Ok(answer.order.expect("the order"))
    }

    pub async fn allotment(&self) -> order::Allotment {
        let request = order::GetAllotmentRequest {
            allotment_id: self.allotment_id.clone(),
        };
        let answer: order::GetAllotmentResponse = ask(
            &self.order,
            &self.ops,
            "/vitrine.order.v1.AllotmentService/GetAllotment",
            &request,
        )
        .await
        .expect("the allotment");
        answer.allotment.expect("the allotment")
    }

    /// Every order of the partner.
    pub async fn orders(&self) -> Vec<order::Order> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = order::ListOrdersRequest {
                page_size: 200,
                page_token,
                ..Default::default()
            };
            let page: order::ListOrdersResponse = ask(
                &self.order,
                &self.partner,
                "/vitrine.order.v1.OrderService/ListOrders",
                &request,
            )
            .await
            .expect("the list");
            all.extend(page.orders);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return all;
            }
        }
    }
}
