//! The whole service behind its layers, with real tokens, and an order service that is nothing but its feed.

use std::time::Duration;

use contracts::common::v1::{Audience, RetailerRole};
use contracts::fulfillment::v1::fulfillment_feed_service_client::FulfillmentFeedServiceClient;
use contracts::fulfillment::v1::fulfillment_service_client::FulfillmentServiceClient;
use contracts::fulfillment::v1::return_service_client::ReturnServiceClient;
use contracts::policy::Policies;
use fulfillment::{Config, Deps};
use kit::auth::{AuthConfig, Claims, ServiceTokens, SigningKey, TokenSigner, TokenVerifier};
use kit::layers::{LayerDeps, LayersConfig, Rate, RateLimitConfig, ShedConfig, layered};
use kit::lifecycle::{DrainConfig, Lifecycle};
use kit::telemetry::Metrics;
use kit::wire::Wire;
use testkit::TestDb;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::{InterceptedService, Interceptor};
use tonic::{Request, Status};

use crate::common::partner;

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

pub type Client = FulfillmentServiceClient<InterceptedService<Wire, Bearer>>;
pub type ReturnClient = ReturnServiceClient<InterceptedService<Wire, Bearer>>;
pub type FeedClient = FulfillmentFeedServiceClient<InterceptedService<Wire, Bearer>>;

/// What servers of the suite share.
pub struct House {
    pub deps: LayerDeps,
    pub life: Lifecycle,
    signer: TokenSigner,
    auth: AuthConfig,
}

impl House {
    pub fn new(t: &TestDb) -> House {
        let auth = AuthConfig::default();
        let life = Lifecycle::new();
        let key = SigningKey::from_seed(&[7; 32]);
        let signer = TokenSigner::new(key, &auth, t.clock.clone(), t.ids.clone());
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
        let deps = LayerDeps {
            verifier: TokenVerifier::new(&auth, vec![issuer], t.clock.clone()),
            policies: Policies::load().expect("complete policies"),
            config: LayersConfig {
                rate_limit,
                shed: ShedConfig::default(),
                ..LayersConfig::default()
            },
            clock: t.clock.clone(),
            ids: t.ids.clone(),
            metrics: Metrics::global(),
            drain: life.token(),
        };
        House {
            deps,
            life,
            signer,
            auth,
        }
    }

    pub fn token(&self, claims: Claims) -> Bearer {
        let scopes = [
            "fulfillment.read",
            "fulfillment.write",
            "return.write",
            "feed.read",
        ];
        Bearer(self.signer.mint(claims.scopes(scopes), HOUR))
    }

    pub fn service_tokens(&self) -> ServiceTokens {
        ServiceTokens::new(
            self.signer.clone(),
            "fulfillment",
            &["feed.read", "order.read"],
            &self.auth,
        )
    }
}

/// The service, served inside this process.
pub struct Server {
    pub house: House,
    wire: Wire,
}

impl Server {
    /// Without background work; the order service never answers.
    pub async fn start(t: &TestDb) -> Server {
        let (_never_tied, order) = Wire::late();
        Self::start_with(t, House::new(t), order, Config::default(), false).await
    }

    pub async fn start_with(
        t: &TestDb,
        house: House,
        order: Wire,
        config: Config,
        tasks: bool,
    ) -> Server {
        let deps = Deps {
            db: t.db.clone(),
            clock: t.clock.clone(),
            ids: t.ids.clone(),
            lifecycle: house.life.clone(),
            order,
        };
        let mut parts = fulfillment::assemble(config, deps)
            .await
            .expect("it can be put together");
        assert_eq!(parts.name, fulfillment::NAME);
        if tasks {
            house.life.adopt(&mut parts);
            assert!(house.life.is_ready().await);
        }
        let mut routes = tonic::service::Routes::builder();
        (parts.routes)(&mut routes);
        let wire = Wire::local(layered(routes.routes(), &house.deps));
        Server { house, wire }
    }

    pub fn client(&self, claims: Claims) -> Client {
        FulfillmentServiceClient::with_interceptor(self.wire.clone(), self.house.token(claims))
    }

    pub fn retailer(&self, role: RetailerRole) -> Client {
        self.client(Claims::retailer("ana", &[role]))
    }

    pub fn partner(&self, at: u128) -> Client {
        self.client(Claims::partner("gateway", &partner(at)))
    }

    pub fn service(&self) -> Client {
        self.client(Claims::service("order", Some("partner:acme")))
    }

    pub fn returns(&self, claims: Claims) -> ReturnClient {
        ReturnServiceClient::with_interceptor(self.wire.clone(), self.house.token(claims))
    }

    /// Returns as a role of the retailer.
    pub fn returns_as(&self, role: RetailerRole) -> ReturnClient {
        self.returns(Claims::retailer("ana", &[role]))
    }

    /// Returns as a partner.
    pub fn returns_of(&self, at: u128) -> ReturnClient {
        self.returns(Claims::partner("gateway", &partner(at)))
    }

    pub fn feed(&self, claims: Claims) -> FeedClient {
        FulfillmentFeedServiceClient::with_interceptor(self.wire.clone(), self.house.token(claims))
    }

    pub async fn stop(self) {
        let report = self.house.life.drain(&DrainConfig::quick()).await;
        assert!(report.is_clean(), "{report:?}");
    }
}
