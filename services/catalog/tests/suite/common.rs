//! The service behind its layers, callers with tokens, and short ways to make things.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use catalog::{Config, Deps};
use contracts::ErrorReason;
use contracts::catalog::v1::assortment_service_client::AssortmentServiceClient;
use contracts::catalog::v1::brand_service_client::BrandServiceClient;
use contracts::catalog::v1::catalog_feed_service_client::CatalogFeedServiceClient;
use contracts::catalog::v1::legal_entity_service_client::LegalEntityServiceClient;
use contracts::catalog::v1::listing_service_client::ListingServiceClient;
use contracts::catalog::v1::partner_service_client::PartnerServiceClient;
use contracts::catalog::v1::product_service_client::ProductServiceClient;
use contracts::catalog::v1::regulation_service_client::RegulationServiceClient;
use contracts::catalog::v1::*;
use contracts::common::v1::{Audience, Money, Price, RetailerRole, Unit};
use contracts::id::PartnerId;
use contracts::policy::Policies;
use kit::auth::{AuthConfig, Claims, SigningKey, TokenSigner, TokenVerifier};
use kit::errors::{Fault, Refusal};
use kit::layers::{LayerDeps, LayersConfig, Rate, RateLimitConfig, layered};
use kit::lifecycle::{DrainConfig, Lifecycle};
use kit::partners::PartnerDirectory;
use kit::telemetry::Metrics;
use kit::wire::Wire;
use testkit::TestDb;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::{InterceptedService, Interceptor};
use tonic::{Request, Status};

const HOUR: Duration = Duration::from_secs(3_600);

/// Adds a bearer token.
#[derive(Clone)]
pub struct Bearer(String);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = format!("Bearer {}", self.0);
        let value: MetadataValue<_> = value.parse().expect("a token is plain ASCII");
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

type Through = InterceptedService<Wire, Bearer>;

/// Somebody with a token.
#[derive(Clone)]
pub struct Hand {
    pub partners: PartnerServiceClient<Through>,
    pub products: ProductServiceClient<Through>,
    pub listings: ListingServiceClient<Through>,
    pub feed: CatalogFeedServiceClient<Through>,
    pub brands: BrandServiceClient<Through>,
    pub regulation: RegulationServiceClient<Through>,
    pub entities: LegalEntityServiceClient<Through>,
    pub assortment: AssortmentServiceClient<Through>,
}

/// Makes a call as somebody: `call!(hand.listings.get_listing(request))`. Answers a Result.
macro_rules! call {
    ($hand:ident.$service:ident.$method:ident($request:expr)) => {
        $hand
            .$service
            .clone()
            .$method($request)
            .await
            .map(tonic::Response::into_inner)
    };
}
pub(crate) use call;

/// The service, served inside this process.
pub struct Server {
    pub life: Lifecycle,
    signer: TokenSigner,
    wire: Wire,
    ops: Hand,
}

impl Server {
    /// Without background work.
    pub async fn start(t: &TestDb) -> Server {
        Self::start_with(t, Config::default(), false).await
    }

    pub async fn start_with(t: &TestDb, config: Config, tasks: bool) -> Server {
        let auth = AuthConfig::default();
        let life = Lifecycle::new();
        let directory = PartnerDirectory::new();
        let key = SigningKey::from_seed(&[7; 32]);
        let signer = TokenSigner::new(key, &auth, t.clock.clone(), t.ids.clone());
        let issuer = signer.issuer(&[Audience::Partner, Audience::Retailer, Audience::Service]);
        let free = Rate {
            per_second: 0,
            burst: 0,
        };
        let layers = LayerDeps {
            verifier: TokenVerifier::new(&auth, vec![issuer], t.clock.clone())
                .with_partners(directory.clone()),
            policies: Policies::load().expect("complete policies"),
            config: LayersConfig {
                rate_limit: RateLimitConfig {
                    partner: free,
                    viewer: free,
                    retailer: free,
                    ..RateLimitConfig::default()
                },
                ..LayersConfig::default()
            },
            clock: t.clock.clone(),
            ids: t.ids.clone(),
            metrics: Metrics::global(),
            drain: life.token(),
        };
        let deps = Deps {
            db: t.db.clone(),
            clock: t.clock.clone(),
            ids: t.ids.clone(),
            lifecycle: life.clone(),
            partners: directory,
        };
        let mut parts = catalog::assemble(config, deps)
            .await
            .expect("it can be put together");
        if tasks {
            life.adopt(&mut parts);
            let readiness = life.readiness().await;
            assert!(readiness.is_ready(), "{readiness}");
        }
        let mut routes = tonic::service::Routes::builder();
        (parts.routes)(&mut routes);
        let wire = Wire::local(layered(routes.routes(), &layers));
        let ops = hand(
            &wire,
            &signer,
            Claims::retailer("ops", &[RetailerRole::Ops]),
        );
        Server {
            life,
            signer,
            wire,
            ops,
        }
    }

    pub async fn stop(self) {
        let report = self.life.drain(&DrainConfig::quick()).await;
        assert!(report.is_clean(), "{report:?}");
    }

    /// Somebody with this token.
    pub fn hand(&self, claims: Claims) -> Hand {
        hand(&self.wire, &self.signer, claims)
    }

    /// The retailer.
    pub fn ops(&self) -> Hand {
        self.ops.clone()
    }

    /// A partner.
    pub fn partner(&self, partner_id: &str) -> Hand {
        let partner_id = partner_id.parse::<PartnerId>().expect("an id");
        self.hand(Claims::partner("gateway", &partner_id))
    }

    pub async fn register_partner(&self, code: &str) -> String {
        let request = RegisterPartnerRequest {
            request_id: key(),
            partner: Some(profile(code)),
        };
        let ops = self.ops();
        let answer = call!(ops.partners.register_partner(request)).expect("a partner");
        answer.partner.expect("the partner").partner_id
    }

    pub async fn suspend(&self, partner_id: &str) -> Result<SuspendPartnerResponse, Status> {
        let ops = self.ops();
        call!(ops.partners.suspend_partner(SuspendPartnerRequest {
            request_id: key(),
            partner_id: partner_id.into(),
            reason: "late payments".into(),
            etag: String::new(),
        }))
    }

    pub async fn resume_partner(&self, partner_id: &str) {
        let ops = self.ops();
        let request = ResumePartnerRequest {
            request_id: key(),
            partner_id: partner_id.into(),
            etag: String::new(),
        };
        call!(ops.partners.resume_partner(request)).expect("resumed");
    }

    pub async fn add_key(&self, partner_id: &str, kid: &str, jwk: &str) -> PaymentKey {
        let request = AddPaymentKeyRequest {
            request_id: key(),
            partner_id: partner_id.into(),
            kid: kid.into(),
            public_key_jwk: jwk.into(),
        };
        let ops = self.ops();
        let answer = call!(ops.partners.add_payment_key(request)).expect("a key");
        answer.payment_key.expect("the key")
    }

    /// A product with `variants` variants whose SKUs begin with `sku`.
    pub async fn create_product(&self, sku: &str, variants: usize) -> Product {
        let request = CreateProductRequest {
            request_id: key(),
            product: Some(product(sku, variants)),
            validate_only: false,
        };
        let ops = self.ops();
        let answer = call!(ops.products.create_product(request)).expect("a product");
        answer.product.expect("the product")
    }

    /// A listing proposed by the retailer.
    pub async fn propose(&self, partner_id: &str, variant_id: &str) -> Listing {
        let ops = self.ops();
        let request = proposal(partner_id, variant_id);
        let answer = call!(ops.listings.propose_listing(request)).expect("a listing");
        answer.listing.expect("the listing")
    }

    /// A listing proposed by the retailer and approved by the partner.
    pub async fn approved(&self, partner_id: &str, variant_id: &str) -> Listing {
        let listing = self.propose(partner_id, variant_id).await;
        let partner = self.partner(partner_id);
        let request = decision(&listing.listing_id, Decision::Approve);
        let answer = call!(partner.listings.decide_listing(request)).expect("approved");
        answer.listing.expect("the listing")
    }

    /// A listing on these terms, proposed by the retailer.
    pub async fn propose_on(
        &self,
        partner_id: &str,
        variant_id: &str,
        terms: ListingTerms,
    ) -> Result<Listing, Status> {
        let ops = self.ops();
        let request = ProposeListingRequest {
            terms: Some(terms),
            ..proposal(partner_id, variant_id)
        };
        call!(ops.listings.propose_listing(request)).map(|answer| answer.listing.expect("it"))
    }

    /// The partner's yes to a proposal of the retailer.
    pub async fn approve(&self, listing: &Listing) -> Result<Listing, Status> {
        let partner = self.partner(&listing.partner_id);
        let request = decision(&listing.listing_id, Decision::Approve);
        call!(partner.listings.decide_listing(request)).map(|answer| answer.listing.expect("it"))
    }

    /// A listing on these terms, on sale.
    pub async fn live_on(
        &self,
        partner_id: &str,
        variant_id: &str,
        terms: ListingTerms,
    ) -> Listing {
        let listing = self.propose_on(partner_id, variant_id, terms).await;
        let listing = self.approve(&listing.expect("proposed")).await;
        let listing = self.publish(&listing.expect("approved").listing_id).await;
        listing.expect("published")
    }

    pub async fn listing(&self, listing_id: &str) -> Listing {
        let ops = self.ops();
        let get = GetListingRequest {
            listing_id: listing_id.into(),
        };
        let answer = call!(ops.listings.get_listing(get)).expect("there");
        answer.listing.expect("it")
    }

    pub async fn resume(&self, listing_id: &str) -> Result<Listing, Status> {
        let ops = self.ops();
        let request = ResumeListingRequest {
            request_id: key(),
            listing_id: listing_id.into(),
            etag: String::new(),
        };
        call!(ops.listings.resume_listing(request)).map(|answer| answer.listing.expect("it"))
    }

    /// Waits until a listing is as wanted; background work has to run.
    pub async fn until(&self, listing_id: &str, wanted: impl Fn(&Listing) -> bool) -> Listing {
        let done = testkit::eventually_async(Duration::from_secs(60), async || {
            wanted(&self.listing(listing_id).await)
        });
        let is_done = done.await;
        let listing = self.listing(listing_id).await;
        assert!(is_done, "it never came: {listing:?}");
        listing
    }

    pub async fn change_terms(&self, change: ChangeListingTermsRequest) -> Result<Listing, Status> {
        let ops = self.ops();
        let request = ChangeListingTermsRequest {
            request_id: key(),
            ..change
        };
        call!(ops.listings.change_listing_terms(request)).map(|answer| answer.listing.expect("it"))
    }

    pub async fn set_brand(&self, agreement: BrandAgreement) -> Result<BrandAgreement, Status> {
        let ops = self.ops();
        let request = SetBrandAgreementRequest {
            request_id: key(),
            brand_agreement: Some(agreement),
        };
        call!(ops.brands.set_brand_agreement(request))
            .map(|answer| answer.brand_agreement.expect("it"))
    }

    /// The feed's listings as this caller sees them, in order.
    pub async fn told(&self, hand: &Hand, listing_id: &str) -> Vec<Listing> {
        let all = self.feed_of(hand).await.into_iter();
        let listings = all.filter_map(|entry| match entry.content {
            Some(catalog_feed_entry::Content::Listing(listing)) => Some(listing),
            _ => None,
        });
        listings
            .filter(|listing| listing.listing_id == listing_id)
            .collect()
    }

    /// A listing on sale.
    pub async fn live(&self, partner_id: &str, variant_id: &str) -> Listing {
        let listing = self.approved(partner_id, variant_id).await;
        self.publish(&listing.listing_id).await.expect("published")
    }

    pub async fn publish(&self, listing_id: &str) -> Result<Listing, Status> {
        let ops = self.ops();
        let request = PublishListingRequest {
            request_id: key(),
            listing_id: listing_id.into(),
            etag: String::new(),
        };
        call!(ops.listings.publish_listing(request)).map(|answer| answer.listing.expect("it"))
    }

    /// Everything in the feed, as this caller sees it.
    pub async fn feed_of(&self, hand: &Hand) -> Vec<CatalogFeedEntry> {
        let mut all: Vec<CatalogFeedEntry> = Vec::new();
        let mut cursor = String::new();
        loop {
            let request = ListCatalogFeedRequest {
                cursor,
                page_size: 7,
            };
            let page = call!(hand.feed.list_catalog_feed(request)).expect("a page");
            if page.entries.is_empty() {
                return all;
            }
            all.extend(page.entries);
            cursor = page.next_cursor;
        }
    }
}

fn hand(wire: &Wire, signer: &TokenSigner, claims: Claims) -> Hand {
    let scopes = ["catalog.read", "catalog.write", "feed.read"];
    let bearer = Bearer(signer.mint(claims.scopes(scopes), HOUR));
    Hand {
        partners: PartnerServiceClient::with_interceptor(wire.clone(), bearer.clone()),
        products: ProductServiceClient::with_interceptor(wire.clone(), bearer.clone()),
        listings: ListingServiceClient::with_interceptor(wire.clone(), bearer.clone()),
        feed: CatalogFeedServiceClient::with_interceptor(wire.clone(), bearer.clone()),
        brands: BrandServiceClient::with_interceptor(wire.clone(), bearer.clone()),
        regulation: RegulationServiceClient::with_interceptor(wire.clone(), bearer.clone()),
        entities: LegalEntityServiceClient::with_interceptor(wire.clone(), bearer.clone()),
        assortment: AssortmentServiceClient::with_interceptor(wire.clone(), bearer),
    }
}

/// A request id that nobody has used.
pub fn key() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("r-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn profile(code: &str) -> Partner {
    Partner {
        partner_code: code.into(),
        display_name: "North".into(),
        legal_entity: "North AB".into(),
        ..Partner::default()
    }
}

/// The public half of a key that follows from `seed`.
pub fn jwk(seed: u8, kid: &str) -> String {
    let mut jwk = SigningKey::from_seed(&[seed; 32]).public_jwk();
    jwk["kid"] = kid.into();
    jwk.to_string()
}

pub fn variant(sku: &str) -> Variant {
    Variant {
        sku: sku.into(),
        unit: Unit::Each.into(),
        options: vec![VariantOption {
            name: "Number".into(),
            value: sku.into(),
        }],
        ..Variant::default()
    }
}

pub fn product(sku: &str, variants: usize) -> Product {
    Product {
        title: format!("Teapot {sku}"),
        brand: "Lund".into(),
        variants: (0..variants)
            .map(|number| variant(&format!("{sku}-{number}")))
            .collect(),
        ..Product::default()
    }
}

pub fn money(minor_units: i64, currency_code: &str) -> Money {
    Money {
        currency_code: currency_code.into(),
        minor_units,
    }
}

pub fn price(minor_units: i64) -> Price {
    Price {
        amount: Some(money(minor_units, "EUR")),
        per_quantity: 1,
    }
}

pub fn terms() -> ListingTerms {
    ListingTerms {
        price: Some(price(1_990)),
        shipping: Some(money(490, "EUR")),
        tax_basis_points: 1_900,
        tax_included: true,
        territories: vec!["DE".into(), "AT".into()],
        commission_basis_points: 1_200,
        legal_entity: "Vitrine Retail SA".into(),
        ..ListingTerms::default()
    }
}

pub fn proposal(partner_id: &str, variant_id: &str) -> ProposeListingRequest {
    ProposeListingRequest {
        request_id: key(),
        partner_id: partner_id.into(),
        variant_id: variant_id.into(),
        terms: Some(terms()),
        validate_only: false,
    }
}

pub fn decision(listing_id: &str, decision: Decision) -> DecideListingRequest {
    DecideListingRequest {
        request_id: key(),
        listing_id: listing_id.into(),
        decision: decision.into(),
        reason: "we talked".into(),
        etag: String::new(),
    }
}

/// A service whose background work looks every few milliseconds.
pub fn quick() -> Config {
    Config {
        refresh_poll_ms: 5,
        ..Config::default()
    }
}

/// The rule that forbade a step.
pub fn rule<R: std::fmt::Debug>(answer: Result<R, Status>) -> String {
    let refusal = refusal(answer);
    assert_eq!(refusal.reason, ErrorReason::NotAllowedHere, "{refusal}");
    refusal.metadata["rule"].clone()
}

/// Why a call was refused.
pub fn refusal<R: std::fmt::Debug>(answer: Result<R, Status>) -> Refusal {
    let status = answer.expect_err("a refusal");
    match Fault::from_status(&status) {
        Fault::Refused(refusal) => refusal,
        other => panic!("no refusal: {other:?}"),
    }
}

/// The reason why a call was refused.
pub fn reason<R: std::fmt::Debug>(answer: Result<R, Status>) -> ErrorReason {
    refusal(answer).reason
}

/// The fields that a call was refused for.
pub fn fields<R: std::fmt::Debug>(answer: Result<R, Status>) -> Vec<String> {
    let refusal = refusal(answer);
    assert_eq!(refusal.reason, ErrorReason::InvalidField, "{refusal}");
    let fields = refusal.violations.into_iter();
    fields.map(|violation| violation.field).collect()
}

/// Everything of a status that travels.
pub fn bytes_of<R: std::fmt::Debug>(answer: Result<R, Status>) -> (tonic::Code, String, Vec<u8>) {
    let status = answer.expect_err("a refusal");
    (
        status.code(),
        status.message().to_owned(),
        status.details().to_vec(),
    )
}
