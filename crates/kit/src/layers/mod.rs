//! What every call goes through before its handler, outermost first:
//!
//! ```text
//! load shedding → catch panic → request id and trace → metrics → deadline → authenticate
//!   → authorise → share and rate of the caller → signature of the request → handler
//! ```
//!
//! Load shedding comes before everything else, so that a call that cannot be served costs next to nothing.
//!
//! The same stack serves the network and calls inside a process, so that nothing that matters lives only
//! in a transport. Each layer is a [`Handle`] around the next one and writes what it found out into the
//! [`Call`]; the answer's body keeps what must outlive the handler (span, timer, permit) until it ends.

mod accounts;
mod authenticate;
mod authorize;
mod body;
mod call;
mod catch_panic;
mod deadline;
mod gate;
mod limit;
mod metrics;
mod rate_limit;
mod refusals;
mod routed;
mod shed;
mod signatures;
mod trace;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use contracts::policy::Policies;
use futures::future::BoxFuture;
use http::{Method, StatusCode, header};
use http_body::Body as _;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;

pub use call::{Call, Deadline, Target};
pub(crate) use deadline::{GRPC_TIMEOUT, format_timeout, parse_timeout};
pub use rate_limit::{Rate, RateLimitConfig};
pub use shed::ShedConfig;
pub use signatures::{
    ConfiguredKeys, KeySource, RequestKeys, RequestSignatures, SignatureConfig, SignatureError,
    SignerConfig,
};
pub use trace::REQUEST_ID;

use crate::auth::{Peer, TokenVerifier};
use crate::clock::SharedClock;
use crate::errors::{ErrorReason, Refusal};
use crate::ids::SharedIds;
use crate::server::{Connection, OpenCall};
use crate::telemetry::Metrics;

/// A request on its way in.
pub type Request = http::Request<Body>;
/// An answer on its way out.
pub type Response = http::Response<Body>;

/// Something that answers a call; a layer does so by asking the next one.
pub trait Handle: Send + Sync + 'static {
    /// Answers one call.
    fn handle(&self, call: &mut Call, request: Request) -> impl Future<Output = Response> + Send;
}

/// The limits of the layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LayersConfig {
    /// The longest that a unary call may take, whatever its caller asks for, in milliseconds.
    pub deadline_cap_ms: u64,
    /// The largest request of a call that does not stream its requests, in bytes.
    pub max_request_bytes: usize,
    /// How long a stream may go on after the drain told it to end, in milliseconds.
    pub stream_drain_grace_ms: u64,
    /// Whether server reflection answers callers without a token.
    pub open_reflection: bool,
    /// Whether it does so on the port for partners too, where there are two.
    pub reflection_on_partner_port: bool,
    /// Whether the retailer may call on the port for partners too, where there are two.
    pub retailer_on_partner_port: bool,
    /// Calls of one connection at the same time that need no credential: health, reflection.
    pub max_open_calls_per_connection: usize,
    /// Reflections at the same time, over all connections; their answers are large.
    pub max_reflections: usize,
    /// Who is refused first under load.
    pub shed: ShedConfig,
    /// How many calls each caller may make.
    pub rate_limit: RateLimitConfig,
    /// Partners that sign their requests.
    pub signatures: SignatureConfig,
}

impl Default for LayersConfig {
    fn default() -> Self {
        LayersConfig {
            deadline_cap_ms: 30_000,
            max_request_bytes: 1_048_576,
            stream_drain_grace_ms: 2_000,
            open_reflection: true,
            reflection_on_partner_port: false,
            retailer_on_partner_port: false,
            max_open_calls_per_connection: 16,
            max_reflections: 64,
            shed: ShedConfig::default(),
            rate_limit: RateLimitConfig::default(),
            signatures: SignatureConfig::default(),
        }
    }
}

/// What the layers need.
#[derive(Clone)]
pub struct LayerDeps {
    /// Verifies bearer tokens.
    pub verifier: TokenVerifier,
    /// Who may call what.
    pub policies: Policies,
    /// The limits.
    pub config: LayersConfig,
    /// The clock.
    pub clock: SharedClock,
    /// Request ids and jitter.
    pub ids: SharedIds,
    /// Rate, errors and duration.
    pub metrics: Metrics,
    /// Cancelled when streams are to end: [`crate::lifecycle::Lifecycle::token`].
    pub drain: CancellationToken,
}

/// Puts the layers around a server's routes.
pub fn layered(routes: Routes, deps: &LayerDeps) -> LayeredService {
    layered_with(routes, deps, None)
}

/// The same for a server that looks at the signatures of requests.
pub fn layered_with(
    routes: Routes,
    deps: &LayerDeps,
    signatures: Option<RequestSignatures>,
) -> LayeredService {
    let config = &deps.config;
    let handed_over = Arc::new(AtomicU64::new(0));
    let routed = routed::Routed::new(routes, config, handed_over.clone());
    let shed = Arc::new(shed::Shed::new(config, deps));
    let signed = signatures::CheckSignature::new(routed, signatures, deps);
    let rate_limit = rate_limit::RateLimit::new(signed, shed.clone());
    let authorize = authorize::Authorize::new(rate_limit, deps);
    let authenticate = authenticate::Authenticate::new(authorize, deps);
    let deadline = deadline::EnforceDeadline::new(authenticate, deps);
    let metrics = metrics::Meter::new(deadline, deps.metrics.clone(), deps.clock.clone());
    let trace = trace::Trace::new(metrics);
    let top = catch_panic::CatchPanic::new(trace);
    LayeredService {
        entry: Arc::new(Stack {
            top,
            shed,
            reflections: Arc::new(Semaphore::new(config.max_reflections)),
            handed_over,
            deps: deps.clone(),
        }),
    }
}

/// A server's routes with all layers around them. Cheap to clone.
#[derive(Clone)]
pub struct LayeredService {
    entry: Arc<dyn Entry>,
}

impl std::fmt::Debug for LayeredService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LayeredService")
    }
}

impl LayeredService {
    /// Answers one call.
    pub fn answer(&self, request: Request) -> BoxFuture<'static, Response> {
        self.entry.clone().enter(request)
    }

    /// How many calls of methods that need a credential the layers have let through to a handler. That nobody got
    /// in is told from this.
    pub fn handed_over(&self) -> u64 {
        self.entry.handed_over()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.entry.deps().metrics
    }

    pub(crate) fn clock(&self) -> &SharedClock {
        &self.entry.deps().clock
    }

    pub(crate) fn random(&self) -> u64 {
        self.entry.deps().ids.random_u64()
    }
}

impl tower::Service<Request> for LayeredService {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let answer = self.answer(request);
        Box::pin(async move { Ok(answer.await) })
    }
}

/// The stack behind one pointer, whatever its layers' types.
trait Entry: Send + Sync {
    fn enter(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response>;
    fn deps(&self) -> &LayerDeps;
    fn handed_over(&self) -> u64;
}

struct Stack<H> {
    top: H,
    shed: Arc<shed::Shed>,
    reflections: Arc<Semaphore>,
    handed_over: Arc<AtomicU64>,
    deps: LayerDeps,
}

impl<H> Stack<H> {
    /// Counts the call on its connection; none inside a process. What needs no credential is bounded here, because
    /// nobody is known who could be held to a share.
    fn open(&self, target: &Target, request: &Request) -> Result<Option<OpenCall>, Refusal> {
        let Some(connection) = request.extensions().get::<Connection>() else {
            return Ok(None);
        };
        let mut open = connection.begin();
        if target.is_open() && !open.count_unasked(self.deps.config.max_open_calls_per_connection) {
            return Err(too_many_open("This connection has"));
        }
        if matches!(target, Target::Reflection(_)) {
            match self.reflections.clone().try_acquire_owned() {
                Ok(room) => open.keep(room),
                Err(_) => return Err(too_many_open("The server has")),
            }
        }
        Ok(Some(open))
    }
}

fn too_many_open(whose: &str) -> Refusal {
    Refusal::new(
        ErrorReason::RateLimited,
        format!(
            "{whose} as many calls under way that need no token as may be; wait for some to end."
        ),
    )
}

impl<H: Handle> Entry for Stack<H> {
    fn enter(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response> {
        if let Some(answer) = refuse_other_protocols(&request) {
            return Box::pin(std::future::ready(answer));
        }
        // A method has one path and nothing behind it.
        let path = match request.uri().query() {
            None => request.uri().path(),
            Some(_) => "",
        };
        let target = Target::of(path, Peer::listener_of(request.extensions()), &self.deps);
        let open = match self.open(&target, &request) {
            Ok(open) => open,
            Err(refusal) => {
                self.deps
                    .metrics
                    .refused("connection", "too_many_open_calls");
                return Box::pin(std::future::ready(refuse(refusal)));
            }
        };
        let permit = match self.shed.admit(&target, request.headers()) {
            Ok(permit) => permit,
            Err(answer) if request.body().is_end_stream() => {
                return Box::pin(std::future::ready(answer));
            }
            Err(answer) => return Box::pin(refusals::after_request(request, answer)),
        };
        Box::pin(async move {
            let mut call = Call::begin(&request, target, permit, open, &self.deps);
            let answer = self.top.handle(&mut call, request).await;
            self.shed.ended(&call);
            if let (Some(open), Some(_)) = (&call.connection, &call.caller) {
                open.connection().proved();
            }
            body::finish(call, answer, &self.deps)
        })
    }

    fn deps(&self) -> &LayerDeps {
        &self.deps
    }

    fn handed_over(&self) -> u64 {
        self.handed_over.load(Ordering::Relaxed)
    }
}

/// What is not gRPC gets the answer that the gRPC specification asks for.
fn refuse_other_protocols(request: &Request) -> Option<Response> {
    let is_grpc = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let status = match (request.method() == Method::POST, is_grpc) {
        (true, true) => return None,
        (false, _) => StatusCode::METHOD_NOT_ALLOWED,
        (true, false) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
    };
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    Some(answer)
}

/// The answer that says no.
fn refuse(refusal: Refusal) -> Response {
    Status::from(refusal).into_http()
}

#[cfg(test)]
pub(crate) mod tests;
