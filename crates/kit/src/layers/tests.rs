//! The stack around routes that count what reaches them.

mod admission;
mod behaviour;
mod observed;
mod partners;
mod security;
mod streams;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use contracts::id::{OutletId, PartnerId, RoomId};
use contracts::policy::{Access, Audience, MethodPolicy};
use http_body_util::{BodyExt, StreamBody};
use tonic::Code;
use tonic_types::StatusExt;

use super::*;
use crate::auth::{AuthConfig, Claims, SigningKey, TokenSigner};
use crate::clock::{Clock, ManualClock};
use crate::ids::SeededIds;

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// Everything that layers need, with an own issuer that may mint anything.
pub(crate) struct Bench {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) suite: TokenSigner,
    pub(crate) deps: LayerDeps,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        Self::with(LayersConfig::default())
    }

    pub(crate) fn with(config: LayersConfig) -> Bench {
        let clock = Arc::new(ManualClock::default());
        let ids = SeededIds::shared(1, clock.clone());
        let auth = AuthConfig::default();
        let key = SigningKey::from_seed(&[1; 32]);
        let suite = TokenSigner::new(key, &auth, clock.clone(), ids.clone());
        let own = suite.issuer(&[
            Audience::Partner,
            Audience::Retailer,
            Audience::Viewer,
            Audience::Service,
        ]);
        let deps = LayerDeps {
            verifier: TokenVerifier::new(&auth, vec![own], clock.clone()),
            policies: Policies::load().expect("complete policies"),
            config,
            clock: clock.clone(),
            ids,
            metrics: Metrics::global(),
            drain: CancellationToken::new(),
        };
        Bench { clock, suite, deps }
    }

    /// A token that fits this entry of a policy.
    pub(crate) fn token(&self, access: &Access) -> String {
        self.suite
            .mint(claims_for(access).scopes(&access.scopes), HOUR)
    }

    /// A token that fits the method.
    pub(crate) fn token_for(&self, method: &MethodPolicy) -> String {
        self.token(&method.access[0])
    }

    /// The first method that fits.
    pub(crate) fn method(&self, fits: impl Fn(&MethodPolicy) -> bool) -> Arc<MethodPolicy> {
        let mut methods = self.deps.policies.methods();
        methods
            .find(|method| fits(method))
            .expect("the contracts have such a method")
            .clone()
    }
}

pub(crate) fn partner() -> PartnerId {
    PartnerId::from_uuid(1)
}

pub(crate) fn claims_for(access: &Access) -> Claims {
    match access.audience {
        Audience::Partner => Claims::partner("gateway", &partner()),
        Audience::Retailer => Claims::retailer("ana", &access.roles),
        Audience::Viewer => Claims::viewer(
            &partner(),
            &OutletId::from_uuid(2),
            &RoomId::from_uuid(3),
            "s-1",
        ),
        Audience::Service => Claims::service("order", Some("partner:acme")),
        Audience::Unspecified => panic!("a policy without an audience"),
    }
}

/// Routes that answer every path and count; `x-behave` says how they answer.
pub(crate) fn counting(hits: &Arc<AtomicUsize>) -> Routes {
    let hits = hits.clone();
    let handler = move |request: axum::extract::Request| {
        hits.fetch_add(1, Ordering::SeqCst);
        async move { behave(request).await }
    };
    Routes::from(axum::Router::new().route("/{*path}", axum::routing::any(handler)))
}

async fn behave(request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    assert!(
        !parts.headers.contains_key(header::AUTHORIZATION),
        "the token went past the layers"
    );
    let how = parts
        .headers
        .get("x-behave")
        .map(|how| how.to_str().expect("a word").to_owned());
    match how.as_deref() {
        Some("hang") => std::future::pending().await,
        Some("panic") => panic!("secret of the handler"),
        Some("fail") => {
            Status::from(crate::errors::Fault::internal("secret of the handler")).into_http()
        }
        Some("read") => match body.collect().await {
            Ok(_) => ok(),
            Err(error) => Status::from_error(Box::new(error)).into_http(),
        },
        Some("stream") => streaming(futures::stream::pending()),
        Some("stream-panic") => {
            streaming(futures::stream::poll_fn(|_| panic!("secret of the stream")))
        }
        Some("deadline") => {
            let deadline = parts
                .extensions
                .get::<Deadline>()
                .expect("the layers left it")
                .at;
            let scope = crate::scope::Scope::current();
            assert_eq!(scope.deadline, deadline);
            let mut answer = ok();
            answer.extensions_mut().insert(Deadline { at: deadline });
            answer
                .headers_mut()
                .insert("x-seen", scope.request_id.parse().expect("plain"));
            answer
        }
        _ => ok(),
    }
}

fn ok() -> Response {
    let mut answer = Response::new(Body::empty());
    answer
        .headers_mut()
        .insert("grpc-status", "0".parse().expect("plain"));
    answer
}

fn streaming<S>(stream: S) -> Response
where
    S: futures::Stream<Item = Result<http_body::Frame<bytes::Bytes>, Status>> + Send + 'static,
{
    Response::new(Body::new(StreamBody::new(stream)))
}

/// A call as a client sends it.
pub(crate) fn request(path: &str, token: Option<&str>) -> Request {
    let mut request = http::Request::post(path)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header("te", "trailers");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(Body::empty()).expect("a request")
}

fn with(mut request: Request, name: &'static str, value: &str) -> Request {
    request
        .headers_mut()
        .append(name, value.parse().expect("a header value"));
    request
}

/// The status of an answer, wherever it stands.
pub(crate) async fn status_of(answer: Response) -> Status {
    let (parts, body) = answer.into_parts();
    if let Some(status) = Status::from_header_map(&parts.headers) {
        return status;
    }
    match body.collect().await {
        Ok(all) => all
            .trailers()
            .and_then(Status::from_header_map)
            .expect("an answer ends with a status"),
        Err(status) => status,
    }
}

fn reason_of(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}

#[tokio::test]
async fn what_is_not_grpc_is_told_so() {
    let bench = Bench::new();
    let hits = Arc::new(AtomicUsize::new(0));
    let service = layered(counting(&hits), &bench.deps);
    let mut get = request("/x/Y", None);
    *get.method_mut() = Method::GET;
    assert_eq!(
        service.answer(get).await.status(),
        StatusCode::METHOD_NOT_ALLOWED
    );
    let mut json = request("/x/Y", None);
    json.headers_mut().insert(
        header::CONTENT_TYPE,
        "application/json".parse().expect("plain"),
    );
    assert_eq!(
        service.answer(json).await.status(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    let status = status_of(service.answer(request("/x/Y", None)).await).await;
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}
