//! What is for sale: partners with payment keys, products, agreed listings and units, made by the same calls that a
//! retailer makes, and known to the order service by the catalog's feed.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::catalog::v1 as catalog;
use contracts::common::v1 as common;
use contracts::id::PartnerId;
use contracts::order::v1 as order;
use futures::stream::{self, StreamExt, TryStreamExt};
use kit::auth::{Confirmation, SigningKey, TokenSigner};
use kit::clock::{SharedClock, SystemClock};
use kit::ids::{SharedIds, SystemIds};

use super::house::House;
use super::wire::Bearer;
use crate::config::VitrineConfig;
use crate::demo::client::{Caller, Connections};
use crate::demo::tokens::Tokens;
use crate::demo::world::until_known;
use crate::keys;
use crate::token::{Role, partner_claims};

/// What everything costs, in cents.
pub const PRICE: i64 = 34_500;
/// In euros.
pub const CURRENCY: &str = "EUR";
/// Units of what is never sold out.
pub const ENDLESS: i64 = 1_000_000_000;
/// How long tokens live, and how long one call may take.
const TOKEN_LIFE: Duration = Duration::from_secs(3_600);
const DEADLINE_S: u32 = 10;
/// Things that are made at the same time.
const HANDS: usize = 16;
const CONNECTIONS: usize = 4;

/// What is to be for sale.
#[derive(Clone, Debug, Default)]
pub struct Goods {
    /// How many partners there are.
    pub partners: usize,
    /// What they sell.
    pub articles: Vec<Article>,
}

/// One product with one allotment.
#[derive(Clone, Debug)]
pub struct Article {
    /// How many there are.
    pub units: i64,
    /// Which partners sell it, by number; each gets a listing.
    pub sold_by: Vec<usize>,
}

/// A partner platform.
pub struct Partner {
    /// As the suite knows it.
    pub id: String,
    /// Where its shoppers come from, for the attribution of every order.
    pub outlet_id: String,
    /// What its payment statements are signed with.
    pub key: SigningKey,
    /// For the generator's calls.
    pub bearer: Bearer,
    /// The same for streams, which have no deadline.
    pub stream_bearer: Bearer,
    /// For everything else.
    pub caller: Caller,
}

/// An article with its units and listings.
pub struct Stocked {
    /// Where its units are counted.
    pub allotment_id: String,
    /// The partner's number and its listing.
    pub listings: Vec<(usize, String)>,
}

/// Everything that is for sale, and by whom.
pub struct Shop {
    /// The retailer.
    pub ops: Caller,
    /// By number.
    pub partners: Vec<Partner>,
    /// As they were asked for.
    pub articles: Vec<Stocked>,
}

impl Shop {
    /// Makes the goods in a house. It may be called several times; what was there stays.
    pub async fn prepare(house: &House, goods: &Goods) -> anyhow::Result<Shop> {
        let ids: SharedIds = Arc::new(SystemIds::new(Arc::new(SystemClock)));
        let signer = signer(house)?;
        let tokens = Tokens {
            connections: Connections::open(&house.reachable(), CONNECTIONS).await?,
            signer,
        };
        let run = format!("{:010x}", ids.random_u64() >> 24);
        let ops = tokens.retailer("bench-ops", &[Role::Ops])?;
        let partners: Vec<Partner> = stream::iter(0..goods.partners)
            .map(|n| partner(&ops, &tokens, n, &run))
            .buffered(HANDS)
            .try_collect()
            .await?;
        let articles = stream::iter(goods.articles.iter().enumerate())
            .map(|(n, article)| stocked(&ops, &partners, n, article, &run))
            .buffered(HANDS)
            .try_collect()
            .await?;
        Ok(Shop {
            ops,
            partners,
            articles,
        })
    }

    /// The counters of an article as they are now.
    pub async fn allotment(&self, article: usize) -> anyhow::Result<order::Allotment> {
        let request = order::GetAllotmentRequest {
            allotment_id: self.articles[article].allotment_id.clone(),
        };
        let got = until_known("the allotment", || {
            let (request, mut client) = (request.clone(), self.ops.allotments());
            async move { client.get_allotment(request).await }
        });
        Ok(got.await?.allotment.unwrap_or_default())
    }
}

/// Calls until the service knows what it has to hear from another's feed.
macro_rules! made {
    ($what:expr, $caller:expr, $client:ident . $method:ident ( $request:expr )) => {{
        let request = $request;
        until_known($what, || {
            let (request, mut client) = (request.clone(), $caller.$client());
            async move { client.$method(request).await }
        })
        .await?
    }};
}

fn bearer(signer: &TokenSigner, partner_id: &str, deadline_s: u32) -> anyhow::Result<Bearer> {
    let partner_id: PartnerId = partner_id.parse()?;
    Bearer::new(
        &signer.mint(partner_claims(&partner_id), TOKEN_LIFE),
        deadline_s,
    )
}

/// A partner's token that is good only together with the client's certificate of this SHA-256.
pub fn bound_bearer(
    house: &House,
    partner_id: &str,
    certificate_sha256: &[u8],
) -> anyhow::Result<Bearer> {
    let signer = signer(house)?;
    let partner_id: PartnerId = partner_id.parse()?;
    let mut claims = partner_claims(&partner_id);
    claims.cnf = Some(Confirmation {
        certificate_sha256: URL_SAFE_NO_PAD.encode(certificate_sha256),
    });
    Bearer::new(&signer.mint(claims, TOKEN_LIFE), DEADLINE_S)
}

fn signer(house: &House) -> anyhow::Result<TokenSigner> {
    let clock: SharedClock = Arc::new(SystemClock);
    let ids: SharedIds = Arc::new(SystemIds::new(clock.clone()));
    let config = VitrineConfig {
        data_dir: house.data_dir().to_owned(),
        ..VitrineConfig::default()
    };
    keys::development_signer(&config, clock, ids)
}

async fn partner(ops: &Caller, tokens: &Tokens, n: usize, run: &str) -> anyhow::Result<Partner> {
    let request = catalog::RegisterPartnerRequest {
        request_id: format!("{run}-partner-{n}"),
        partner: Some(catalog::Partner {
            partner_code: format!("bench-{run}-{n}"),
            display_name: format!("Bench {n}"),
            legal_entity: format!("Bench {n} Ltd"),
            ..Default::default()
        }),
    };
    let registered = made!("a partner", ops, partners.register_partner(request));
    let id = registered.partner.unwrap_or_default().partner_id;
    let key = SigningKey::generate();
    let request = catalog::AddPaymentKeyRequest {
        request_id: format!("{run}-key-{n}"),
        partner_id: id.clone(),
        kid: key.kid().to_owned(),
        public_key_jwk: key.public_jwk().to_string(),
    };
    made!("a payment key", ops, partners.add_payment_key(request));
    let request = catalog::RegisterOutletRequest {
        request_id: format!("{run}-outlet-{n}"),
        outlet: Some(catalog::Outlet {
            partner_id: id.clone(),
            surface: catalog::Surface::App.into(),
            display_name: format!("Bench {n} app"),
            ..Default::default()
        }),
    };
    let outlet = made!("an outlet", ops, partners.register_outlet(request));
    Ok(Partner {
        outlet_id: outlet.outlet.unwrap_or_default().outlet_id,
        bearer: bearer(&tokens.signer, &id, DEADLINE_S)?,
        stream_bearer: bearer(&tokens.signer, &id, 0)?,
        caller: tokens.partner(&id)?,
        id,
        key,
    })
}

async fn stocked(
    ops: &Caller,
    partners: &[Partner],
    n: usize,
    article: &Article,
    run: &str,
) -> anyhow::Result<Stocked> {
    let request = catalog::CreateProductRequest {
        request_id: format!("{run}-product-{n}"),
        product: Some(catalog::Product {
            title: format!("Mask {n}"),
            variants: vec![catalog::Variant {
                sku: format!("MASK-{run}-{n}"),
                unit: common::Unit::Each.into(),
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    };
    let product = made!("a product", ops, products.create_product(request));
    let product = product.product.unwrap_or_default();
    let variant_id = product.variants.first().map(|v| v.variant_id.clone());
    let variant_id = variant_id.unwrap_or_default();
    let mut listings = Vec::new();
    for &partner in &article.sold_by {
        let mark = format!("{run}-{n}-{partner}");
        let id = listing(ops, &partners[partner], &variant_id, &mark).await?;
        listings.push((partner, id));
    }
    let request = order::CreateAllotmentRequest {
        request_id: format!("{run}-allotment-{n}"),
        variant_id,
        display_name: format!("Mask {n}"),
        initial_quantity: article.units,
        ..Default::default()
    };
    let allotment = made!("an allotment", ops, allotments.create_allotment(request));
    let allotment_id = allotment.allotment.unwrap_or_default().allotment_id;
    for (partner, listing_id) in &listings {
        let request = order::AssignListingRequest {
            request_id: format!("{run}-assign-{n}-{partner}"),
            allotment_id: allotment_id.clone(),
            listing_id: listing_id.clone(),
            unit_cap: 0,
        };
        made!("a listing's units", ops, allotments.assign_listing(request));
    }
    Ok(Stocked {
        allotment_id,
        listings,
    })
}

/// Proposed by the retailer, approved by the partner, on sale.
async fn listing(
    ops: &Caller,
    partner: &Partner,
    variant_id: &str,
    mark: &str,
) -> anyhow::Result<String> {
    let request = catalog::ProposeListingRequest {
        request_id: format!("propose-{mark}"),
        partner_id: partner.id.clone(),
        variant_id: variant_id.to_owned(),
        terms: Some(catalog::ListingTerms {
            price: Some(common::Price {
                amount: Some(euros(PRICE)),
                per_quantity: 1,
            }),
            commission_basis_points: 1_200,
            ..Default::default()
        }),
        ..Default::default()
    };
    let proposed = made!("a listing", ops, listings.propose_listing(request));
    let listing_id = proposed.listing.unwrap_or_default().listing_id;
    let request = catalog::DecideListingRequest {
        request_id: format!("decide-{mark}"),
        listing_id: listing_id.clone(),
        decision: catalog::Decision::Approve.into(),
        ..Default::default()
    };
    made!(
        "a listing's approval",
        partner.caller,
        listings.decide_listing(request)
    );
    let request = catalog::PublishListingRequest {
        request_id: format!("publish-{mark}"),
        listing_id: listing_id.clone(),
        ..Default::default()
    };
    made!(
        "a listing's publication",
        ops,
        listings.publish_listing(request)
    );
    Ok(listing_id)
}

/// An amount in the currency of the benchmark.
pub fn euros(minor_units: i64) -> common::Money {
    common::Money {
        currency_code: CURRENCY.into(),
        minor_units,
    }
}
