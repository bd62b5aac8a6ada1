//! The service with a small catalogue, two partners that sell from it, and everybody's clients.

use std::time::Duration;

use contracts::catalog::v1 as catalog;
use contracts::catalog::v1::catalog_feed_entry::Content;
use contracts::common::v1::{self as common, Audience, RetailerRole};
use contracts::id::{Id, Kind, ListingId, PartnerId, VariantId};
use contracts::order::v1::allotment_service_client::AllotmentServiceClient;
use contracts::order::v1::drop_service_client::DropServiceClient;
use contracts::order::v1::exchange_rate_service_client::ExchangeRateServiceClient;
use contracts::order::v1::ledger_service_client::LedgerServiceClient;
use contracts::order::v1::order_feed_service_client::OrderFeedServiceClient;
use contracts::order::v1::order_service_client::OrderServiceClient;
use contracts::order::v1::person_service_client::PersonServiceClient;
use contracts::order::v1::privacy_service_client::PrivacyServiceClient;
use contracts::order::v1::refund_service_client::RefundServiceClient;
use contracts::order::v1::report_service_client::ReportServiceClient;
use contracts::order::v1::{self as pb, OrderFeedEntry};
use contracts::policy::Policies;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use kit::auth::{AuthConfig, Claims, ServiceTokens, SigningKey, TokenSigner, TokenVerifier};
use kit::clock::{Clock, Micros};
use kit::errors::Fault;
use kit::layers::{LayerDeps, LayersConfig, Rate, RateLimitConfig, layered};
use kit::lifecycle::{DrainConfig, Lifecycle};
use kit::server::{HardenedServer, LayeredService, ServerConfig};
use kit::telemetry::Metrics;
use kit::wire::Wire;
use order::events::catalog::CatalogMirror;
use order::ops::keys::KeyRing;
use order::{Config, Deps};
use store::consumer::Consume;
use store::{Operation, Tx};
use testkit::{Setup, TestDb};
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::{InterceptedService, Interceptor};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::fakes::Fakes;

const DAY: Duration = Duration::from_secs(24 * 3_600);

const SCOPES: [&str; 11] = [
    "privacy.read",
    "privacy.write",
    "order.read",
    "order.write",
    "contact.read",
    "contact.write",
    "feed.read",
    "conversion.write",
    "rate.read",
    "rate.write",
    "report.read",
];

/// The `kid` of every partner's key.
pub const KID: &str = "k1";

pub fn setup() -> Setup {
    Setup::new().migrations(order::migrations())
}

/// The `at`th id of a kind.
pub fn nth<K: Kind>(at: u128) -> Id<K> {
    Id::from_uuid(at)
}

pub fn partner(at: u128) -> PartnerId {
    nth(at)
}

pub fn listing_id(at: u128) -> ListingId {
    nth(at)
}

pub fn variant_id(at: u128) -> VariantId {
    nth(at)
}

/// Adds a bearer token.
#[derive(Clone)]
pub struct Bearer(String);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value: MetadataValue<_> = format!("Bearer {}", self.0)
            .parse()
            .expect("a token is plain ASCII");
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

type Line = InterceptedService<Wire, Bearer>;

/// Everybody's clients with one token.
#[derive(Clone)]
pub struct Clients {
    pub orders: OrderServiceClient<Line>,
    pub allotments: AllotmentServiceClient<Line>,
    pub drops: DropServiceClient<Line>,
    pub feed: OrderFeedServiceClient<Line>,
    pub rates: ExchangeRateServiceClient<Line>,
    pub persons: PersonServiceClient<Line>,
    pub privacy: PrivacyServiceClient<Line>,
    pub reports: ReportServiceClient<Line>,
    pub refunds: RefundServiceClient<Line>,
    pub ledger: LedgerServiceClient<Line>,
}

/// The service under test and its surroundings.
pub struct World {
    pub t: TestDb,
    pub fakes: Fakes,
    pub life: Lifecycle,
    signer: TokenSigner,
    wire: Wire,
    front: LayeredService,
    mirror: CatalogMirror,
}

/// A partner's clients over the network.
pub struct Socket {
    pub orders: OrderServiceClient<InterceptedService<Channel, Bearer>>,
    pub refunds: RefundServiceClient<InterceptedService<Channel, Bearer>>,
}

impl World {
    /// Without background work; the catalogue is entered by hand.
    pub async fn start(t: TestDb) -> World {
        Self::start_with(t, Config::default(), false).await
    }

    pub async fn start_with(t: TestDb, config: Config, tasks: bool) -> World {
        Self::start_beside(t, Fakes::new(), config, tasks).await
    }

    /// Ends it and starts it again beside the same other services, with background work; something happens to
    /// them while it is away.
    pub async fn again(self, config: Config, meanwhile: impl FnOnce(&Fakes)) -> World {
        let report = self.life.drain(&DrainConfig::quick()).await;
        assert!(report.is_clean(), "{report:?}");
        meanwhile(&self.fakes);
        Self::start_beside(self.t, self.fakes, config, true).await
    }

    async fn start_beside(t: TestDb, fakes: Fakes, config: Config, tasks: bool) -> World {
        let auth = AuthConfig {
            max_token_life_s: 400 * 24 * 3_600,
            ..AuthConfig::default()
        };
        let life = Lifecycle::new();
        let signer = TokenSigner::new(
            SigningKey::from_seed(&[7; 32]),
            &auth,
            t.clock.clone(),
            t.ids.clone(),
        );
        let issuer = signer.issuer(&[Audience::Partner, Audience::Retailer, Audience::Service]);
        let free = Rate {
            per_second: 0,
            burst: 0,
        };
        let rate_limit = RateLimitConfig {
            partner: free,
            viewer: free,
            retailer: free,
            ..RateLimitConfig::default()
        };
        let layers = LayerDeps {
            verifier: TokenVerifier::new(&auth, vec![issuer], t.clock.clone()),
            policies: Policies::load().expect("complete policies"),
            config: LayersConfig {
                rate_limit,
                ..LayersConfig::default()
            },
            clock: t.clock.clone(),
            ids: t.ids.clone(),
            metrics: Metrics::global(),
            drain: life.token(),
        };
        let mut routes = tonic::service::Routes::builder();
        fakes.add_to(&mut routes);
        let scopes = [
            "feed.read",
            "catalog.read",
            "fulfillment.read",
            "fulfillment.write",
        ];
        let tokens = ServiceTokens::new(signer.clone(), "order", &scopes, &auth);
        let others = Wire::local(layered(routes.routes(), &layers)).authorized(tokens);
        let deps = Deps {
            db: t.db.clone(),
            clock: t.clock.clone(),
            ids: t.ids.clone(),
            lifecycle: life.clone(),
            catalog: others.clone(),
            fulfillment: others,
        };
        let mirror_keys = KeyRing::new(t.db.clone(), t.clock.clone(), &config);
        let mirror = CatalogMirror::new(mirror_keys, 3 * DAY);
        let mut parts = order::assemble(config, deps)
            .await
            .expect("it can be put together");
        if tasks {
            life.adopt(&mut parts);
        }
        let mut routes = tonic::service::Routes::builder();
        (parts.routes)(&mut routes);
        let front = layered(routes.routes(), &layers);
        let wire = Wire::local(front.clone());
        World {
            t,
            fakes,
            life,
            signer,
            wire,
            front,
            mirror,
        }
    }

    pub async fn stop(self) {
        let report = self.life.drain(&DrainConfig::quick()).await;
        assert!(report.is_clean(), "{report:?}");
    }

    pub fn clients(&self, claims: Claims) -> Clients {
        let bearer = Bearer(self.signer.mint(claims.scopes(SCOPES), 300 * DAY));
        Clients {
            orders: OrderServiceClient::with_interceptor(self.wire.clone(), bearer.clone()),
            allotments: AllotmentServiceClient::with_interceptor(self.wire.clone(), bearer.clone()),
            drops: DropServiceClient::with_interceptor(self.wire.clone(), bearer.clone()),
            feed: OrderFeedServiceClient::with_interceptor(self.wire.clone(), bearer.clone()),
            persons: PersonServiceClient::with_interceptor(self.wire.clone(), bearer.clone()),
            privacy: PrivacyServiceClient::with_interceptor(self.wire.clone(), bearer.clone()),
            rates: ExchangeRateServiceClient::with_interceptor(self.wire.clone(), bearer.clone()),
            reports: ReportServiceClient::with_interceptor(self.wire.clone(), bearer.clone()),
            refunds: RefundServiceClient::with_interceptor(self.wire.clone(), bearer.clone()),
            ledger: LedgerServiceClient::with_interceptor(self.wire.clone(), bearer),
        }
    }

    pub fn partner(&self, at: u128) -> Clients {
        self.clients(Claims::partner("gateway", &partner(at)))
    }

    /// The same service behind a port, as a partner calls it.
    pub async fn socket(&self, at: u128) -> Socket {
        let config = ServerConfig {
            address: ([127, 0, 0, 1], 0).into(),
            ..ServerConfig::default()
        };
        let server = HardenedServer::bind(&config).await.expect("a free port");
        let address = format!("http://{}", server.local_addr());
        self.life
            .spawn("server", server.serve(self.front.clone(), &self.life));
        let claims = Claims::partner("gateway", &partner(at)).scopes(SCOPES);
        let bearer = Bearer(self.signer.mint(claims, 300 * DAY));
        let endpoint = Endpoint::from_shared(address).expect("an address");
        let channel = endpoint.connect().await.expect("a connection");
        Socket {
            orders: OrderServiceClient::with_interceptor(channel.clone(), bearer.clone()),
            refunds: RefundServiceClient::with_interceptor(channel, bearer),
        }
    }

    pub fn retailer(&self, role: RetailerRole) -> Clients {
        self.clients(Claims::retailer("ana", &[role]))
    }

    pub fn ops(&self) -> Clients {
        self.retailer(RetailerRole::Ops)
    }

    pub fn service(&self) -> Clients {
        self.clients(Claims::service("fulfillment", None))
    }

    pub fn now(&self) -> Micros {
        self.t.clock.now()
    }

    pub fn advance(&self, by: Duration) {
        self.t.clock.advance(by);
    }

    /// Enters what the catalogue says, as its feed would.
    pub async fn enter(&self, content: Content) -> Result<(), Fault> {
        let entry = catalog::CatalogFeedEntry {
            meta: None,
            content: Some(content),
        };
        self.t
            .execute(Enter {
                mirror: self.mirror.clone(),
                entry,
            })
            .await
    }

    pub async fn enter_listing(&self, listing: catalog::Listing) {
        self.enter(Content::Listing(listing))
            .await
            .expect("a good listing");
    }

    /// Two partners with a key each, one product of two variants, and a listing of each variant for each
    /// partner: listings 1 and 2 are partner 1's, 3 and 4 partner 2's.
    pub async fn furnish(&self) {
        for at in 1..=2 {
            self.enter(Content::Partner(partner_of(at, true)))
                .await
                .expect("a partner");
            self.enter(Content::PaymentKey(key_of(at, true)))
                .await
                .expect("a key");
        }
        self.enter(Content::Product(product()))
            .await
            .expect("a product");
        for at in 1..=4 {
            self.enter_listing(listing(at)).await;
        }
    }

    /// The same, with an allotment of `units` for each variant that both partners draw from.
    pub async fn stock(&self, units: i64) -> Vec<String> {
        self.furnish().await;
        let mut allotments = Vec::new();
        for variant in 1..=2u128 {
            let id = self.allotment(variant, units).await;
            for listing in [variant, variant + 2] {
                self.assign(&id, listing, 0).await;
            }
            allotments.push(id);
        }
        allotments
    }

    pub async fn allotment(&self, variant: u128, units: i64) -> String {
        let request = pb::CreateAllotmentRequest {
            request_id: format!("allotment-{variant}-{units}-{}", self.t.ids.next())
                .chars()
                .take(64)
                .collect(),
            variant_id: variant_id(variant).into(),
            display_name: "Autumn".into(),
            initial_quantity: units,
            ..Default::default()
        };
        let created = self
            .ops()
            .allotments
            .create_allotment(request)
            .await
            .expect("an allotment");
        created.into_inner().allotment.expect("it").allotment_id
    }

    pub async fn assign(&self, allotment_id: &str, listing: u128, unit_cap: i64) {
        let request = pb::AssignListingRequest {
            request_id: format!("assign-{listing}-{unit_cap}"),
            allotment_id: allotment_id.into(),
            listing_id: listing_id(listing).into(),
            unit_cap,
        };
        self.ops()
            .allotments
            .assign_listing(request)
            .await
            .expect("assigned");
    }

    /// Places an order of partner 1.
    pub async fn place(&self, key: &str, lines: &[(u128, i64)]) -> pb::PlaceOrderResponse {
        let (request, clients) = (self.order(key, lines), self.partner(1));
        let placed = retrying(|| {
            let (request, mut clients) = (request.clone(), clients.clone());
            async move { clients.orders.place_order(request).await }
        });
        placed.await.expect("placed")
    }

    /// A request for lines of listing and quantity, at the catalogue's price.
    pub fn order(&self, key: &str, lines: &[(u128, i64)]) -> pb::PlaceOrderRequest {
        let total: i64 = lines.iter().map(|(_, quantity)| PRICE * quantity).sum();
        pb::PlaceOrderRequest {
            partner_order_id: key.into(),
            shopper_ref: "ann".into(),
            lines: lines
                .iter()
                .map(|(listing, quantity)| line(*listing, *quantity))
                .collect(),
            destination: france(),
            expected_payable: money(total),
            ..pb::PlaceOrderRequest::default()
        }
    }

    /// The request that pays an order of a partner with a statement signed under its key.
    pub fn payment(
        &self,
        by: u128,
        order_id: &str,
        reference: &str,
        minor_units: i64,
    ) -> pb::ConfirmPaymentRequest {
        let claims = self.claims(order_id, reference, minor_units);
        confirm(
            order_id,
            reference,
            sign(&partner_key(by), KID, STATEMENT, &claims),
        )
    }

    pub fn claims(&self, order_id: &str, reference: &str, minor_units: i64) -> serde_json::Value {
        serde_json::json!({
            "order_id": order_id,
            "kind": "CHARGE",
            "minor_units": minor_units,
            "currency_code": "EUR",
            "payment_reference": reference,
            "paid_at": self.now().seconds(),
        })
    }

    /// Places and pays an order of partner 1.
    pub async fn paid(&self, key: &str, lines: &[(u128, i64)]) -> pb::PlaceOrderResponse {
        let placed = self.place(key, lines).await;
        let total: i64 = lines.iter().map(|(_, quantity)| PRICE * quantity).sum();
        let request = self.payment(1, &placed.order_id, &format!("pay-{key}"), total);
        let answer = self.pay(&request).await;
        assert_eq!(answer.outcome(), pb::PaymentOutcome::Paid);
        placed
    }

    /// Partner 1 states a payment.
    pub async fn pay(&self, request: &pb::ConfirmPaymentRequest) -> pb::ConfirmPaymentResponse {
        let clients = self.partner(1);
        let answer = retrying(|| {
            let (request, mut clients) = (request.clone(), clients.clone());
            async move { clients.orders.confirm_payment(request).await }
        });
        answer.await.expect("recorded")
    }

    pub async fn get(&self, order_id: &str) -> pb::Order {
        let request = pb::GetOrderRequest {
            order_id: order_id.into(),
            ..Default::default()
        };
        let found = self.ops().orders.get_order(request).await.expect("found");
        found.into_inner().order.expect("an order")
    }

    pub async fn get_allotment(&self, allotment_id: &str) -> pb::Allotment {
        let request = pb::GetAllotmentRequest {
            allotment_id: allotment_id.into(),
        };
        let found = self
            .ops()
            .allotments
            .get_allotment(request)
            .await
            .expect("found");
        let allotment = found.into_inner().allotment.expect("an allotment");
        assert_eq!(
            allotment.available + allotment.held + allotment.sold,
            allotment.supplied
        );
        allotment
    }

    /// The whole feed with somebody's eyes; positions have no gap.
    pub async fn feed(&self, mut clients: Clients) -> Vec<OrderFeedEntry> {
        let (mut entries, mut cursor) = (Vec::new(), String::new());
        loop {
            let request = pb::ListOrderFeedRequest {
                cursor,
                page_size: 1_000,
            };
            let page = clients
                .feed
                .list_order_feed(request)
                .await
                .expect("the feed")
                .into_inner();
            if page.entries.is_empty() {
                return entries;
            }
            entries.extend(page.entries);
            cursor = page.next_cursor;
        }
    }
}

struct Enter {
    mirror: CatalogMirror,
    entry: catalog::CatalogFeedEntry,
}

impl Operation for Enter {
    type Output = ();

    fn name(&self) -> &'static str {
        "test.enter"
    }

    async fn run(&self, tx: &mut Tx) -> Result<(), Fault> {
        self.mirror.apply(tx, &self.entry).await
    }
}

/// What every listing costs.
pub const PRICE: i64 = 1_990;

pub fn money(minor_units: i64) -> Option<common::Money> {
    money_in("EUR", minor_units)
}

pub fn money_in(currency_code: &str, minor_units: i64) -> Option<common::Money> {
    Some(common::Money {
        currency_code: currency_code.into(),
        minor_units,
    })
}

pub fn france() -> Option<pb::Destination> {
    Some(pb::Destination {
        region_code: "FR".into(),
        subdivision_code: String::new(),
    })
}

pub fn line(listing: u128, quantity: i64) -> pb::LineRequest {
    pb::LineRequest {
        listing_id: listing_id(listing).into(),
        quantity,
        ..Default::default()
    }
}

pub fn partner_of(at: u128, active: bool) -> catalog::Partner {
    let state = if active {
        catalog::PartnerState::Active
    } else {
        catalog::PartnerState::Suspended
    };
    catalog::Partner {
        partner_id: partner(at).into(),
        partner_code: format!("p{at}"),
        display_name: format!("Partner {at}"),
        state: state.into(),
        etag: "v1".into(),
        ..Default::default()
    }
}

/// The key that a partner signs with.
pub fn partner_key(at: u128) -> SigningKey {
    SigningKey::from_seed(&[at as u8; 32])
}

pub fn key_of(at: u128, active: bool) -> catalog::PaymentKey {
    let state = if active {
        catalog::PaymentKeyState::Active
    } else {
        catalog::PaymentKeyState::Revoked
    };
    // The partner's own name for the key, not the key's.
    let mut jwk = partner_key(at).public_jwk();
    jwk["kid"] = KID.into();
    catalog::PaymentKey {
        payment_key_id: nth::<contracts::id::kind::PaymentKey>(at).into(),
        partner_id: partner(at).into(),
        kid: KID.into(),
        public_key_jwk: jwk.to_string(),
        state: state.into(),
        ..Default::default()
    }
}

pub fn product() -> catalog::Product {
    catalog::Product {
        product_id: nth::<contracts::id::kind::Product>(1).into(),
        title: "Teapot".into(),
        variants: (1..=2).map(variant).collect(),
        ..Default::default()
    }
}

pub fn variant(at: u128) -> catalog::Variant {
    catalog::Variant {
        variant_id: variant_id(at).into(),
        product_id: nth::<contracts::id::kind::Product>(1).into(),
        sku: format!("SKU-{at}"),
        unit: common::Unit::Each.into(),
        quantity_step: 1,
        ..Default::default()
    }
}

/// Listing 1 or 2 of partner 1, 3 or 4 of partner 2, of the first or second variant: live, at one price.
pub fn listing(at: u128) -> catalog::Listing {
    let of_variant = (at - 1) % 2 + 1;
    catalog::Listing {
        listing_id: listing_id(at).into(),
        partner_id: partner((at - 1) / 2 + 1).into(),
        variant_id: variant_id(of_variant).into(),
        product_id: nth::<contracts::id::kind::Product>(1).into(),
        terms: Some(catalog::ListingTerms {
            price: Some(common::Price {
                amount: money(PRICE),
                per_quantity: 1,
            }),
            tax_basis_points: 2_000,
            tax_included: true,
            commission_basis_points: 1_000,
            legal_entity: "Maison SA".into(),
            purchase_mode: common::PurchaseMode::InApp.into(),
            ..Default::default()
        }),
        terms_version: 1,
        state: catalog::ListingState::Live.into(),
        title: "Teapot".into(),
        variant: Some(variant(of_variant)),
        etag: "v1".into(),
        ..Default::default()
    }
}

/// The same with other terms.
pub fn listing_with(at: u128, change: impl FnOnce(&mut catalog::ListingTerms)) -> catalog::Listing {
    let mut listing = listing(at);
    change(listing.terms.as_mut().expect("terms"));
    listing.terms_version += 1;
    listing
}

pub const STATEMENT: &str = "vitrine-payment+jwt";

/// A statement signed under a key, whatever name and type it claims. A partner names its keys as it likes.
pub fn sign(key: &SigningKey, kid: &str, typ: &str, claims: &serde_json::Value) -> String {
    let header = Header {
        typ: Some(typ.into()),
        kid: Some(kid.into()),
        ..Header::new(Algorithm::EdDSA)
    };
    let key = EncodingKey::from_ed_pem(key.to_pem().as_bytes()).expect("an Ed25519 key");
    jsonwebtoken::encode(&header, claims, &key).expect("signed")
}

pub fn confirm(order_id: &str, reference: &str, statement: String) -> pb::ConfirmPaymentRequest {
    pb::ConfirmPaymentRequest {
        order_id: order_id.into(),
        payment_reference: reference.into(),
        statement,
    }
}

/// Calls again what was not done for want of time, as partners do: a clock that jumps while a batch runs makes
/// the desk think that batches are slow.
pub async fn retrying<T, F>(call: impl Fn() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<tonic::Response<T>, Status>>,
{
    let mut last = None;
    for _ in 0..1_000 {
        match call().await {
            Err(status) if status.code() == Code::Unavailable => last = Some(status),
            answer => return answer.map(tonic::Response::into_inner),
        }
        tokio::task::yield_now().await;
    }
    Err(last.expect("it was refused"))
}

/// The reason of a refusal.
pub fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}

/// What a refusal tells a program.
pub fn told(status: &Status, key: &str) -> String {
    let info = status.get_details_error_info().expect("an ErrorInfo");
    info.metadata.get(key).cloned().unwrap_or_default()
}

/// The fields that a refusal names.
pub fn fields(status: &Status) -> Vec<String> {
    let details = status
        .get_details_bad_request()
        .map(|bad| bad.field_violations)
        .unwrap_or_default();
    details
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

/// Asserts that a call was refused for this reason, with its code.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(
    answer: Result<tonic::Response<T>, Status>,
    wanted: &str,
    code: Code,
) -> Status {
    let status = answer.expect_err(wanted);
    assert_eq!(
        (reason(&status).as_str(), status.code()),
        (wanted, code),
        "{status:?}"
    );
    status
}
