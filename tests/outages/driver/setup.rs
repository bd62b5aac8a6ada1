//! Partners, products, listings, units and a room, by calls that may be repeated.

use std::sync::Arc;
use std::time::Duration;

use contracts::catalog::v1 as catalog;
use contracts::common::v1 as common;
use contracts::id::PartnerId;
use contracts::order::v1 as order;
use contracts::room::v1 as room;
use kit::auth::{SigningKey, TokenSigner, jws};
use kit::clock::{Clock, SystemClock};
use prost::Message;
use vitrine::token::{Role, STATEMENT_TYPE, partner_claims, retailer_claims};

use crate::client::{Bearer, Caller, Ended, Network, reason};
use crate::journal;
use crate::pause::pause;

/// How long a minted token lives.
const LIFE: Duration = Duration::from_secs(3_600);
/// Products: the price of a unit, and units to begin with.
pub const PRODUCTS: [(&str, i64, i64); 3] = [
    ("Silk square", 34_500, 1_000_000_000),
    ("Lip colour", 1_990, 1_000_000_000),
    ("Numbered print", 99_900, 40),
];
/// The product of which there is never enough.
pub const SCARCE: usize = 2;

/// A partner platform.
pub struct Partner {
    pub id: String,
    pub caller: Caller,
    pub outlet: String,
    pub key: SigningKey,
    /// One per product.
    pub listings: Vec<String>,
}

/// Everything there is to work with.
pub struct World {
    pub ops: Caller,
    pub warehouse: Caller,
    pub host: Caller,
    pub partners: Vec<Partner>,
    /// One per product.
    pub allotments: Vec<String>,
    pub room: String,
    pub network: Arc<Network>,
    pub run: String,
}

impl World {
    /// For the journal.
    pub fn facts(&self) -> journal::World {
        journal::World {
            partners: self.partners.iter().map(|p| p.id.clone()).collect(),
            allotments: self.allotments.clone(),
            rooms: vec![self.room.clone()],
        }
    }
}

impl Partner {
    /// The partner's signed word that it was paid.
    pub fn statement(&self, order_id: &str, reference: &str, minor_units: i64) -> String {
        let claims = serde_json::json!({
            "order_id": order_id,
            "kind": "CHARGE",
            "minor_units": minor_units,
            "currency_code": "EUR",
            "payment_reference": reference,
            "paid_at": SystemClock.now().seconds(),
        });
        jws::sign(&self.key, STATEMENT_TYPE, claims.to_string().as_bytes())
    }
}

pub fn euros(minor_units: i64) -> common::Money {
    common::Money {
        currency_code: "EUR".into(),
        minor_units,
    }
}

/// Asks until the service knows what it has to learn from another's feed.
async fn until_known<Q, A>(caller: &Caller, path: &'static str, request: &Q) -> anyhow::Result<A>
where
    Q: Message + Clone + 'static,
    A: Message + Default + 'static,
{
    let mut last = None;
    for _ in 0..600 {
        match caller.ask::<Q, A>(path, request).await {
            Ok(answered) => return Ok(answered.answer),
            Err(Ended::Refused { status, tries })
                if matches!(
                    reason(&status).as_str(),
                    "NOT_FOUND" | "WRONG_STATE" | "LISTING_NOT_LIVE"
                ) =>
            {
                last = Some(Ended::Refused { status, tries });
                pause(Duration::from_millis(50)).await;
            }
            Err(ended) => return Err(anyhow::anyhow!("{path}: {ended}")),
        }
    }
    Err(anyhow::anyhow!(
        "{path}: not possible in time: {}",
        last.map(|l| l.to_string()).unwrap_or_default()
    ))
}

/// Prepares the world; `run` marks its request ids, so that the same run is prepared once.
pub async fn prepare(
    network: &Arc<Network>,
    signer: &TokenSigner,
    partners: usize,
    run: &str,
) -> anyhow::Result<World> {
    let retailer = |subject: &'static str, roles: &'static [Role]| {
        let signer = signer.clone();
        let mint = move || signer.mint(retailer_claims(subject, roles), LIFE);
        Caller::new(network, Bearer::minted(mint))
    };
    let ops = retailer("ops", &[Role::Ops]);
    let mut variants = Vec::new();
    for (n, (title, _, _)) in PRODUCTS.iter().enumerate() {
        let request = catalog::CreateProductRequest {
            request_id: format!("{run}-product-{n}"),
            product: Some(catalog::Product {
                title: (*title).into(),
                variants: vec![catalog::Variant {
                    sku: format!("SKU-{run}-{n}"),
                    unit: common::Unit::Each.into(),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            ..Default::default()
        };
        let made: catalog::CreateProductResponse = until_known(
            &ops,
            "/vitrine.catalog.v1.ProductService/CreateProduct",
            &request,
        )
        .await?;
        let product = made.product.unwrap_or_default();
        variants.push((product.product_id, product.variants[0].variant_id.clone()));
    }
    let mut all = Vec::new();
    for n in 0..partners {
        all.push(partner(network, signer, &ops, n, &variants, run).await?);
    }
    let mut world = World {
        warehouse: retailer("warehouse", &[Role::Warehouse, Role::Carrier]),
        host: retailer("host", &[Role::Host]),
        ops,
        partners: all,
        allotments: Vec::new(),
        room: String::new(),
        network: network.clone(),
        run: run.to_owned(),
    };
    world.allotments = allotments(&world, &variants).await?;
    world.room = open_room(&world).await?;
    Ok(world)
}

async fn partner(
    network: &Arc<Network>,
    signer: &TokenSigner,
    ops: &Caller,
    n: usize,
    variants: &[(String, String)],
    run: &str,
) -> anyhow::Result<Partner> {
    let request = catalog::RegisterPartnerRequest {
        request_id: format!("{run}-partner-{n}"),
        partner: Some(catalog::Partner {
            partner_code: format!("app-{run}-{n}"),
            display_name: format!("App {n}"),
            legal_entity: format!("App {n} Ltd"),
            ..Default::default()
        }),
    };
    let registered: catalog::RegisterPartnerResponse = until_known(
        ops,
        "/vitrine.catalog.v1.PartnerService/RegisterPartner",
        &request,
    )
    .await?;
    let id = registered.partner.unwrap_or_default().partner_id;
    let partner_id: PartnerId = id.parse()?;
    let minter = signer.clone();
    let mint = move || minter.mint(partner_claims(&partner_id), LIFE);
    let caller = Caller::new(network, Bearer::minted(mint));
    let key = SigningKey::generate();
    let request = catalog::AddPaymentKeyRequest {
        request_id: format!("{run}-key-{n}"),
        partner_id: id.clone(),
        kid: key.kid().into(),
        public_key_jwk: key.public_jwk().to_string(),
    };
    let _: catalog::AddPaymentKeyResponse = until_known(
        ops,
        "/vitrine.catalog.v1.PartnerService/AddPaymentKey",
        &request,
    )
    .await?;
    let request = catalog::RegisterOutletRequest {
        request_id: format!("{run}-outlet-{n}"),
        outlet: Some(catalog::Outlet {
            partner_id: id.clone(),
            surface: catalog::Surface::App.into(),
            display_name: format!("App {n}"),
            ..Default::default()
        }),
    };
    let outlet: catalog::RegisterOutletResponse = until_known(
        ops,
        "/vitrine.catalog.v1.PartnerService/RegisterOutlet",
        &request,
    )
    .await?;
    let mut listings = Vec::new();
    for (product, (_, variant)) in variants.iter().enumerate() {
        let mark = format!("{run}-{n}-{product}");
        listings.push(listing(ops, &caller, &id, product, variant, &mark).await?);
    }
    Ok(Partner {
        id,
        caller,
        outlet: outlet.outlet.unwrap_or_default().outlet_id,
        key,
        listings,
    })
}

async fn listing(
    ops: &Caller,
    partner: &Caller,
    partner_id: &str,
    product: usize,
    variant: &str,
    mark: &str,
) -> anyhow::Result<String> {
    let request = catalog::ProposeListingRequest {
        request_id: format!("propose-{mark}"),
        partner_id: partner_id.into(),
        variant_id: variant.into(),
        terms: Some(catalog::ListingTerms {
            price: Some(common::Price {
                amount: Some(euros(PRODUCTS[product].1)),
                per_quantity: 1,
            }),
            commission_basis_points: 1_200,
            ..Default::default()
        }),
        ..Default::default()
    };
    let proposed: catalog::ProposeListingResponse = until_known(
        ops,
        "/vitrine.catalog.v1.ListingService/ProposeListing",
        &request,
    )
    .await?;
    let id = proposed.listing.unwrap_or_default().listing_id;
    let request = catalog::DecideListingRequest {
        request_id: format!("decide-{mark}"),
        listing_id: id.clone(),
        decision: catalog::Decision::Approve.into(),
        ..Default::default()
    };
    let _: catalog::DecideListingResponse = until_known(
        partner,
        "/vitrine.catalog.v1.ListingService/DecideListing",
        &request,
    )
    .await?;
    let request = catalog::PublishListingRequest {
        request_id: format!("publish-{mark}"),
        listing_id: id.clone(),
        ..Default::default()
    };
    let _: catalog::PublishListingResponse = until_known(
        ops,
        "/vitrine.catalog.v1.ListingService/PublishListing",
        &request,
    )
    .await?;
    Ok(id)
}

async fn allotments(world: &World, variants: &[(String, String)]) -> anyhow::Result<Vec<String>> {
    let (ops, run) = (&world.ops, &world.run);
    let mut ids = Vec::new();
    for (product, (_, variant)) in variants.iter().enumerate() {
        let request = order::CreateAllotmentRequest {
            request_id: format!("{run}-allotment-{product}"),
            variant_id: variant.clone(),
            display_name: PRODUCTS[product].0.into(),
            initial_quantity: PRODUCTS[product].2,
            ..Default::default()
        };
        let created: order::CreateAllotmentResponse = until_known(
            ops,
            "/vitrine.order.v1.AllotmentService/CreateAllotment",
            &request,
        )
        .await?;
        let id = created.allotment.unwrap_or_default().allotment_id;
        for (n, partner) in world.partners.iter().enumerate() {
            let request = order::AssignListingRequest {
                request_id: format!("{run}-assign-{product}-{n}"),
                allotment_id: id.clone(),
                listing_id: partner.listings[product].clone(),
                ..Default::default()
            };
            let _: order::AssignListingResponse = until_known(
                ops,
                "/vitrine.order.v1.AllotmentService/AssignListing",
                &request,
            )
            .await?;
        }
        ids.push(id);
    }
    Ok(ids)
}

async fn open_room(world: &World) -> anyhow::Result<String> {
    let (ops, run) = (&world.ops, &world.run);
    let request = room::RegisterHostRequest {
        request_id: format!("{run}-host"),
        host: Some(room::Host {
            display_name: "Mina".into(),
            ..Default::default()
        }),
    };
    let host: room::RegisterHostResponse =
        until_known(ops, "/vitrine.room.v1.HostService/RegisterHost", &request).await?;
    let host_id = host.host.unwrap_or_default().host_id;
    let request = room::DecideHostRequest {
        request_id: format!("{run}-approve"),
        host_id: host_id.clone(),
        decision: room::HostState::Approved.into(),
        ..Default::default()
    };
    let _: room::DecideHostResponse =
        until_known(ops, "/vitrine.room.v1.HostService/DecideHost", &request).await?;
    let request = room::CreateRoomRequest {
        request_id: format!("{run}-room"),
        room: Some(room::Room {
            title: "Evening".into(),
            session_type: room::SessionType::Shopping.into(),
            host_ids: vec![host_id],
            outlet_ids: world.partners.iter().map(|p| p.outlet.clone()).collect(),
            ..Default::default()
        }),
    };
    let created: room::CreateRoomResponse =
        until_known(ops, "/vitrine.room.v1.RoomService/CreateRoom", &request).await?;
    let room_id = created.room.unwrap_or_default().room_id;
    let now = SystemClock.now();
    let request = room::ScheduleRoomRequest {
        request_id: format!("{run}-schedule"),
        room_id: room_id.clone(),
        schedule: Some(common::Window {
            start_time: Some(now.to_proto()),
            end_time: Some(now.plus(Duration::from_secs(6 * 3_600)).to_proto()),
        }),
        ..Default::default()
    };
    let _: room::ScheduleRoomResponse =
        until_known(ops, "/vitrine.room.v1.RoomService/ScheduleRoom", &request).await?;
    let request = room::GoLiveRequest {
        request_id: format!("{run}-live"),
        room_id: room_id.clone(),
        ..Default::default()
    };
    let _: room::GoLiveResponse =
        until_known(ops, "/vitrine.room.v1.RoomService/GoLive", &request).await?;
    Ok(room_id)
}
