//! Prepares the day: partners and their keys, products, agreed listings, allotments, the drop, and then the channel.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::catalog::v1 as catalog;
use contracts::common::v1 as common;
use contracts::order::v1 as order;
use tonic::Status;

use super::agreed::{listing, refuse_a_listing, seller, terms};
use super::client::{Caller, reason, retrying, told};
use super::goods::{DROP_PRODUCT, PARTNERS, PRODUCTS};
use super::plan::{DROP_PER_PERSON, Plan};
use super::stage::prepare_channel;
use super::tokens::Tokens;
use super::{now_proto, platform::PaymentKey};
use crate::token::Role;

/// A partner as the demo plays it.
pub struct PartnerWorld {
    pub partner_id: String,
    pub outlet_id: String,
    pub key: PaymentKey,
    pub caller: Caller,
    /// One per product.
    pub listings: Vec<catalog::Listing>,
}

/// A room with its showcase.
pub struct RoomWorld {
    pub room_id: String,
    /// By product index.
    pub items: BTreeMap<usize, String>,
}

/// Everything that was prepared.
pub struct World {
    pub ops: Caller,
    pub host: Caller,
    pub warehouse: Caller,
    pub care: Caller,
    pub finance: Caller,
    pub partners: Vec<PartnerWorld>,
    pub product_ids: Vec<String>,
    /// One per product; empty for one that is sold in the retailer's own shop.
    pub allotment_ids: Vec<String>,
    pub drop_id: String,
    pub channel_id: String,
    pub rooms: Vec<RoomWorld>,
    pub run: String,
}

pub fn text(parts: &[&str]) -> String {
    parts.join("-")
}

macro_rules! ask {
    ($what:expr, $caller:expr, $client:ident . $method:ident ( $request:expr )) => {{
        let request = $request;
        $crate::demo::client::retrying(|| {
            let (request, mut client) = (request.clone(), $caller.$client());
            async move { client.$method(request).await }
        })
        .await
        .map_err(|s| $crate::demo::client::told($what, &s))
    }};
}
pub(super) use ask;

impl World {
    /// Prepares everything; the suite may be new or hold others' data.
    pub async fn prepare(plan: &Plan, tokens: &Tokens, run: &str) -> anyhow::Result<World> {
        let ops = tokens.retailer("demo-ops", &[Role::Ops])?;
        let product_ids_and_variants = products(&ops, run).await?;
        let mut partners = Vec::new();
        for index in 0..PARTNERS.len() {
            partners.push(partner(&ops, tokens, index, run).await?);
        }
        let seller = seller(&ops).await?;
        for (index, partner) in partners.iter_mut().enumerate() {
            for (product, (_, variant_id)) in product_ids_and_variants.iter().enumerate() {
                let terms = terms(index, product, &seller);
                let listing =
                    listing(&ops, partner, index, product, variant_id, terms, run).await?;
                partner.listings.push(listing);
            }
        }
        let cheap = terms(1, 0, &seller);
        refuse_a_listing(
            &ops,
            &partners[1],
            &product_ids_and_variants[0].1,
            cheap,
            run,
        )
        .await?;
        let allotment_ids =
            allotments(&ops, plan, &partners, &product_ids_and_variants, run).await?;
        let mut world = World {
            host: tokens.retailer("demo-host", &[Role::Host])?,
            warehouse: tokens.retailer("demo-warehouse", &[Role::Warehouse, Role::Carrier])?,
            care: tokens.retailer("demo-care", &[Role::Care])?,
            finance: tokens.retailer("demo-finance", &[Role::Finance])?,
            ops,
            partners,
            product_ids: product_ids_and_variants
                .into_iter()
                .map(|(id, _)| id)
                .collect(),
            allotment_ids,
            drop_id: String::new(),
            channel_id: String::new(),
            rooms: Vec::new(),
            run: run.to_owned(),
        };
        world.drop_id = create_drop(&world, plan).await?;
        (world.channel_id, world.rooms) = prepare_channel(&world, plan).await?;
        world.partners_know_their_assortment().await?;
        Ok(world)
    }
}

async fn products(ops: &Caller, run: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut made = Vec::new();
    for product in &PRODUCTS {
        let unit = if product.by_weight {
            common::Unit::Gram
        } else {
            common::Unit::Each
        };
        let variant = catalog::Variant {
            sku: text(&[product.sku, run]),
            unit: unit.into(),
            quantity_step: if product.by_weight { 500 } else { 1 },
            ..Default::default()
        };
        let request = catalog::CreateProductRequest {
            request_id: text(&[run, "product", product.sku]),
            product: Some(catalog::Product {
                title: product.title.into(),
                brand: product.brand.into(),
                category: product.category.into(),
                variants: vec![variant],
                ..Default::default()
            }),
            validate_only: false,
        };
        let product = ask!(
            "could not create a product",
            ops,
            products.create_product(request)
        )?
        .product
        .unwrap_or_default();
        let variant_id = product
            .variants
            .first()
            .map(|v| v.variant_id.clone())
            .unwrap_or_default();
        made.push((product.product_id, variant_id));
    }
    Ok(made)
}

async fn partner(
    ops: &Caller,
    tokens: &Tokens,
    index: usize,
    run: &str,
) -> anyhow::Result<PartnerWorld> {
    let plan = &PARTNERS[index];
    let request = catalog::RegisterPartnerRequest {
        request_id: text(&[run, "partner", plan.code]),
        partner: Some(catalog::Partner {
            partner_code: text(&[plan.code, run]),
            display_name: plan.name.into(),
            legal_entity: plan.legal_entity.into(),
            ..Default::default()
        }),
    };
    let partner = ask!(
        "could not register a partner",
        ops,
        partners.register_partner(request)
    )?
    .partner
    .unwrap_or_default();
    let key = PaymentKey::generate();
    let request = catalog::AddPaymentKeyRequest {
        request_id: text(&[run, "key", plan.code]),
        partner_id: partner.partner_id.clone(),
        kid: key.kid.clone(),
        public_key_jwk: key.public_jwk.clone(),
    };
    ask!(
        "could not add a payment key",
        ops,
        partners.add_payment_key(request)
    )?;
    let request = catalog::RegisterOutletRequest {
        request_id: text(&[run, "outlet", plan.code]),
        outlet: Some(catalog::Outlet {
            partner_id: partner.partner_id.clone(),
            surface: catalog::Surface::App.into(),
            display_name: format!("{} app", plan.name),
            ..Default::default()
        }),
    };
    let outlet = ask!(
        "could not register an outlet",
        ops,
        partners.register_outlet(request)
    )?
    .outlet
    .unwrap_or_default();
    Ok(PartnerWorld {
        caller: tokens.partner(&partner.partner_id)?,
        partner_id: partner.partner_id,
        outlet_id: outlet.outlet_id,
        key,
        listings: Vec::new(),
    })
}

/// One allotment per product, shared by all partners. Listings reach the order service by the catalog's feed, so
/// what is not known there yet is asked for again.
async fn allotments(
    ops: &Caller,
    plan: &Plan,
    partners: &[PartnerWorld],
    products: &[(String, String)],
    run: &str,
) -> anyhow::Result<Vec<String>> {
    let mut ids = Vec::new();
    for (product, (_, variant_id)) in products.iter().enumerate() {
        if PRODUCTS[product].redirects {
            ids.push(String::new());
            continue;
        }
        let units = if product == DROP_PRODUCT {
            plan.scale.drop_units
        } else {
            PRODUCTS[product].units
        };
        // A part comes later, as a top-up.
        let first = units - units / 10;
        let request = order::CreateAllotmentRequest {
            request_id: text(&[run, "allotment", PRODUCTS[product].sku]),
            variant_id: variant_id.clone(),
            display_name: PRODUCTS[product].title.into(),
            initial_quantity: first,
            ..Default::default()
        };
        let allotment = until_known("an allotment", || {
            let (request, mut client) = (request.clone(), ops.allotments());
            async move { client.create_allotment(request).await }
        })
        .await?
        .allotment
        .unwrap_or_default();
        let request = order::RecordMovementRequest {
            request_id: text(&[run, "top-up", PRODUCTS[product].sku]),
            allotment_id: allotment.allotment_id.clone(),
            kind: order::MovementKind::TopUp.into(),
            quantity: units - first,
            reason: "second delivery of the day".into(),
        };
        if units > first {
            ask!(
                "could not top up an allotment",
                ops,
                allotments.record_movement(request)
            )?;
        }
        for partner in partners {
            let request = order::AssignListingRequest {
                request_id: text(&[run, "assign", &partner.listings[product].listing_id])
                    .chars()
                    .take(64)
                    .collect(),
                allotment_id: allotment.allotment_id.clone(),
                listing_id: partner.listings[product].listing_id.clone(),
                unit_cap: 0,
            };
            until_known("a listing", || {
                let (request, mut client) = (request.clone(), ops.allotments());
                async move { client.assign_listing(request).await }
            })
            .await?;
        }
        ids.push(allotment.allotment_id);
    }
    Ok(ids)
}

async fn create_drop(world: &World, plan: &Plan) -> anyhow::Result<String> {
    let now = now_proto();
    let request = order::CreateDropRequest {
        request_id: text(&[&world.run, "drop"]),
        drop: Some(order::Drop {
            allotment_id: world.allotment_ids[DROP_PRODUCT].clone(),
            listing_ids: world
                .partners
                .iter()
                .map(|p| p.listings[DROP_PRODUCT].listing_id.clone())
                .collect(),
            display_name: "Fourteen thousand".into(),
            window: Some(common::Window {
                start_time: Some(now),
                end_time: Some(prost_types::Timestamp {
                    seconds: now.seconds + 3_600,
                    nanos: now.nanos,
                }),
            }),
            total_limit: plan.scale.drop_units,
            per_person_limit: DROP_PER_PERSON,
            ..Default::default()
        }),
    };
    let drop = until_known("the drop", || {
        let (request, mut client) = (request.clone(), world.ops.drops());
        async move { client.create_drop(request).await }
    })
    .await?;
    Ok(drop.drop.unwrap_or_default().drop_id)
}

/// Asks until the service has read what it needs from another's feed: at most ten seconds.
pub async fn until_known<T, F>(what: &str, call: impl Fn() -> F) -> anyhow::Result<T>
where
    F: Future<Output = Result<tonic::Response<T>, Status>>,
{
    let mut last = None;
    for _ in 0..200 {
        match retrying(&call).await {
            Ok(answer) => return Ok(answer),
            Err(status)
                if matches!(
                    status.code(),
                    tonic::Code::NotFound | tonic::Code::FailedPrecondition
                ) =>
            {
                last = Some(status);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(status) => return Err(told(&format!("could not prepare {what}"), &status)),
        }
    }
    Err(last.map_or_else(
        || anyhow::anyhow!("could not prepare {what}"),
        |status| {
            told(
                &format!("could not prepare {what} within ten seconds"),
                &status,
            )
        },
    ))
}

/// A call that must be refused for this reason.
pub fn expect_refusal<T>(
    wanted: &str,
    answer: Result<tonic::Response<T>, Status>,
) -> anyhow::Result<()> {
    match answer {
        Err(status) if reason(&status) == wanted => Ok(()),
        Err(status) => Err(told(
            &format!("expected the refusal {wanted}, got another"),
            &status,
        )),
        Ok(_) => anyhow::bail!("expected the refusal {wanted}, but the call was done"),
    }
}
