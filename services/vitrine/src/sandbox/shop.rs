//! Makes what the sandbox sells, to whom, and where it is shown.

use contracts::catalog::v1 as catalog;
use contracts::common::v1 as common;
use contracts::order::v1 as order;
use contracts::room::v1 as room;
use kit::auth::SigningKey;
use kit::clock::{Clock, SystemClock};
use kit::ids::SharedIds;
use tonic::Code;

use super::folder::Partner;
use crate::demo::client::{Caller, retrying, told};
use crate::demo::tokens::Tokens;

/// The room's title; a room of this title that is on air is gone on with.
const ROOM: &str = "The sandbox, live";
/// How long a room is planned for.
const ROOM_LIFE_S: i64 = 12 * 3_600;
/// The most rooms that are looked through for one to go on with.
const ROOMS_MAX: i32 = 200;

/// One product of the sandbox.
struct Article {
    sku: &'static str,
    title: &'static str,
    unit: common::Unit,
    quantity_step: i64,
    cents: i64,
    per_quantity: i64,
    units: i64,
}

/// Something by the piece, something by weight, and something that is gone.
const ARTICLES: [Article; 3] = [
    Article {
        sku: "SILK",
        title: "Silk square",
        unit: common::Unit::Each,
        quantity_step: 1,
        cents: 34_500,
        per_quantity: 1,
        units: 1_000_000,
    },
    Article {
        sku: "TEA",
        title: "Jasmine tea, loose",
        unit: common::Unit::Gram,
        quantity_step: 100,
        cents: 1_990,
        per_quantity: 500,
        units: 100_000_000,
    },
    Article {
        sku: "PRINT",
        title: "Print, sold out",
        unit: common::Unit::Each,
        quantity_step: 1,
        cents: 12_000,
        per_quantity: 1,
        units: 0,
    },
];

/// Whether the suite knows the partner: a data folder can be removed and its sandbox's folder kept.
pub async fn knows(house: &Caller, partner_id: &str) -> anyhow::Result<bool> {
    let request = catalog::GetPartnerRequest {
        partner_id: partner_id.into(),
    };
    let asked = retrying(|| {
        let (request, mut client) = (request.clone(), house.partners());
        async move { client.get_partner(request).await }
    });
    match asked.await {
        Ok(_) => Ok(true),
        Err(status) if status.code() == Code::NotFound => Ok(false),
        Err(status) => Err(told("the sandbox's partner could not be read", &status)),
    }
}

/// Makes a partner with its key and outlet, and everything it may sell. `run` is new each time.
pub async fn make(
    house: &Caller,
    tokens: &Tokens,
    key: &SigningKey,
    run: &str,
) -> anyhow::Result<Partner> {
    let request = catalog::RegisterPartnerRequest {
        request_id: format!("{run}-partner"),
        partner: Some(catalog::Partner {
            partner_code: format!("sandbox-{run}"),
            display_name: "Sandbox app".into(),
            legal_entity: "Sandbox App Ltd".into(),
            ..Default::default()
        }),
    };
    let made = known!("a partner", house.partners().register_partner(request))?;
    let partner_id = made.partner.unwrap_or_default().partner_id;
    let request = catalog::AddPaymentKeyRequest {
        request_id: format!("{run}-key"),
        partner_id: partner_id.clone(),
        kid: key.kid().into(),
        public_key_jwk: key.public_jwk().to_string(),
    };
    known!("a payment key", house.partners().add_payment_key(request))?;
    let request = catalog::RegisterOutletRequest {
        request_id: format!("{run}-outlet"),
        outlet: Some(catalog::Outlet {
            partner_id: partner_id.clone(),
            surface: catalog::Surface::App.into(),
            display_name: "Sandbox app".into(),
            ..Default::default()
        }),
    };
    let made = known!("an outlet", house.partners().register_outlet(request))?;
    let outlet_id = made.outlet.unwrap_or_default().outlet_id;
    let partner = tokens.partner(&partner_id)?;
    for article in &ARTICLES {
        offer(house, &partner, &partner_id, article, run).await?;
    }
    Ok(Partner::new(partner_id, outlet_id, key))
}

/// A product, a listing that both sides agreed on, and its units.
async fn offer(
    house: &Caller,
    partner: &Caller,
    partner_id: &str,
    article: &Article,
    run: &str,
) -> anyhow::Result<()> {
    let key = |step: &str| format!("{run}-{step}-{}", article.sku);
    let request = catalog::CreateProductRequest {
        request_id: key("product"),
        product: Some(catalog::Product {
            title: article.title.into(),
            variants: vec![catalog::Variant {
                sku: format!("{}-{run}", article.sku),
                unit: article.unit.into(),
                quantity_step: article.quantity_step,
                ..Default::default()
            }],
            ..Default::default()
        }),
        validate_only: false,
    };
    let product = known!("a product", house.products().create_product(request))?
        .product
        .unwrap_or_default();
    let variant_id = product
        .variants
        .into_iter()
        .next()
        .unwrap_or_default()
        .variant_id;
    let request = catalog::ProposeListingRequest {
        request_id: key("propose"),
        partner_id: partner_id.into(),
        variant_id: variant_id.clone(),
        terms: Some(terms(article)),
        validate_only: false,
    };
    let listing_id = known!("a listing", house.listings().propose_listing(request))?
        .listing
        .unwrap_or_default()
        .listing_id;
    let request = catalog::DecideListingRequest {
        request_id: key("decide"),
        listing_id: listing_id.clone(),
        decision: catalog::Decision::Approve.into(),
        ..Default::default()
    };
    known!("a decision", partner.listings().decide_listing(request))?;
    let request = catalog::PublishListingRequest {
        request_id: key("publish"),
        listing_id: listing_id.clone(),
        ..Default::default()
    };
    known!("a live listing", house.listings().publish_listing(request))?;
    let request = order::CreateAllotmentRequest {
        request_id: key("units"),
        variant_id,
        display_name: article.title.into(),
        initial_quantity: article.units,
        ..Default::default()
    };
    let allotment_id = known!("units", house.allotments().create_allotment(request))?
        .allotment
        .unwrap_or_default()
        .allotment_id;
    let request = order::AssignListingRequest {
        request_id: key("assign"),
        allotment_id,
        listing_id,
        unit_cap: 0,
    };
    known!(
        "units for a listing",
        house.allotments().assign_listing(request)
    )?;
    Ok(())
}

fn terms(article: &Article) -> catalog::ListingTerms {
    catalog::ListingTerms {
        price: Some(common::Price {
            amount: Some(common::Money {
                currency_code: "EUR".into(),
                minor_units: article.cents,
            }),
            per_quantity: article.per_quantity,
        }),
        tax_basis_points: 2_000,
        tax_included: true,
        commission_basis_points: 1_200,
        legal_entity: "Sandbox Retail SA".into(),
        ..Default::default()
    }
}

/// A room on air at the partner's outlet: the one there is, or a new one.
pub async fn room_on_air(
    house: &Caller,
    partner: &Partner,
    ids: &SharedIds,
) -> anyhow::Result<String> {
    let request = room::ListRoomsRequest {
        state: room::RoomState::Live.into(),
        page_size: ROOMS_MAX,
        page_token: String::new(),
    };
    let on_air = known!("the rooms", house.rooms().list_rooms(request))?.rooms;
    let ours = |r: &&room::Room| r.title == ROOM && r.outlet_ids.contains(&partner.outlet_id);
    match on_air.iter().find(ours) {
        Some(room) => Ok(room.room_id.clone()),
        None => {
            let run = format!("{:08x}", ids.random_u64() >> 32);
            new_room(house, partner, &run).await
        }
    }
}

async fn new_room(house: &Caller, partner: &Partner, run: &str) -> anyhow::Result<String> {
    let request = room::RegisterHostRequest {
        request_id: format!("{run}-host"),
        host: Some(room::Host {
            display_name: "Vera".into(),
            ..Default::default()
        }),
    };
    let host = known!("a host", house.hosts().register_host(request))?;
    let host_id = host.host.unwrap_or_default().host_id;
    let request = room::DecideHostRequest {
        request_id: format!("{run}-approve"),
        host_id: host_id.clone(),
        decision: room::HostState::Approved.into(),
        ..Default::default()
    };
    known!("an approved host", house.hosts().decide_host(request))?;
    let request = room::CreateRoomRequest {
        request_id: format!("{run}-room"),
        room: Some(room::Room {
            title: ROOM.into(),
            theme: "sandbox".into(),
            session_type: room::SessionType::Shopping.into(),
            host_ids: vec![host_id],
            outlet_ids: vec![partner.outlet_id.clone()],
            ..Default::default()
        }),
    };
    let room = known!("a room", house.rooms().create_room(request))?;
    let room_id = room.room.unwrap_or_default().room_id;
    for (rank, product_id) in products(house, partner).await?.into_iter().enumerate() {
        let request = room::AddItemRequest {
            request_id: format!("{run}-item-{rank}"),
            room_id: room_id.clone(),
            product_id,
            rank: i32::try_from(rank).unwrap_or(i32::MAX),
        };
        known!("a showcase item", house.showcase().add_item(request))?;
    }
    let now = SystemClock.now().to_proto();
    let request = room::ScheduleRoomRequest {
        request_id: format!("{run}-schedule"),
        room_id: room_id.clone(),
        schedule: Some(common::Window {
            start_time: Some(now),
            end_time: Some(prost_types::Timestamp {
                seconds: now.seconds + ROOM_LIFE_S,
                nanos: now.nanos,
            }),
        }),
        etag: String::new(),
    };
    known!("a scheduled room", house.rooms().schedule_room(request))?;
    let request = room::GoLiveRequest {
        request_id: format!("{run}-live"),
        room_id: room_id.clone(),
        etag: String::new(),
    };
    known!("a room on air", house.rooms().go_live(request))?;
    Ok(room_id)
}

/// What the partner may sell, as products.
async fn products(house: &Caller, partner: &Partner) -> anyhow::Result<Vec<String>> {
    let request = catalog::ListListingsRequest {
        partner_id: partner.partner_id.clone(),
        state: catalog::ListingState::Live.into(),
        ..Default::default()
    };
    let listings = known!("the listings", house.listings().list_listings(request))?.listings;
    Ok(listings.into_iter().map(|l| l.product_id).collect())
}
