//! What servers under test share: the layers that every call goes through, and tokens that they believe.

use std::time::Duration;

use contracts::common::v1::Audience;
use contracts::policy::Policies;
use kit::auth::{AuthConfig, Claims, ServiceTokens, SigningKey, TokenSigner, TokenVerifier};
use kit::errors::{Fault, Refusal};
use kit::layers::{LayerDeps, LayersConfig, Rate, RateLimitConfig, layered};
use kit::lifecycle::Lifecycle;
use kit::telemetry::Metrics;
use kit::wire::Wire;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::{InterceptedService, Interceptor};
use tonic::service::{Routes, RoutesBuilder};
use tonic::{Request, Status};

use crate::TestDb;

const HOUR: Duration = Duration::from_secs(3_600);

/// Servers under test that know each other: one clock, one signer, one life. Nobody's rate is limited.
pub struct House {
    /// What the layers of its servers are made of.
    pub deps: LayerDeps,
    /// The life of its servers.
    pub life: Lifecycle,
    signer: TokenSigner,
    auth: AuthConfig,
    scopes: &'static [&'static str],
}

impl House {
    /// On the clock and the ids of `t`; its people's tokens carry `scopes`.
    pub fn new(t: &TestDb, scopes: &'static [&'static str]) -> House {
        let auth = AuthConfig::default();
        let life = Lifecycle::new();
        let key = SigningKey::from_seed(&[7; 32]);
        let signer = TokenSigner::new(key, &auth, t.clock.clone(), t.ids.clone());
        let issuer = signer.issuer(&[
            Audience::Partner,
            Audience::Retailer,
            Audience::Viewer,
            Audience::Service,
        ]);
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
            scopes,
        }
    }

    /// A token, good for an hour.
    pub fn token(&self, claims: Claims) -> Bearer {
        let scopes = self.scopes.iter().copied();
        Bearer(self.signer.mint(claims.scopes(scopes), HOUR))
    }

    /// Tokens of a service of the suite, for its calls to others.
    pub fn service_tokens(&self, service: &str, scopes: &[&str]) -> ServiceTokens {
        ServiceTokens::new(self.signer.clone(), service, scopes, &self.auth)
    }

    /// A server behind its layers, inside this process.
    pub fn serve(&self, add_routes: impl FnOnce(&mut RoutesBuilder)) -> Wire {
        let mut routes = Routes::builder();
        add_routes(&mut routes);
        Wire::local(layered(routes.routes(), &self.deps))
    }
}

/// What a client calls through: a server of the house, as somebody.
pub type Through = InterceptedService<Wire, Bearer>;

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

/// What a refusal says. Panics when it is none.
pub fn refusal(status: &Status) -> Refusal {
    match Fault::from_status(status) {
        Fault::Refused(refusal) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Why a call was refused. Panics when it was answered, or when something else went wrong.
pub fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> Refusal {
    refusal(&answer.expect_err("a refusal"))
}
