//! Calls made in a service's own name.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, header};

use super::{Carrier, Wire, refused};
use crate::auth::ServiceTokens;
use crate::errors::{BoxError, ErrorReason, Refusal};
use crate::layers::{GRPC_TIMEOUT, REQUEST_ID, Request, Response, format_timeout, parse_timeout};
use crate::scope::Scope;
use crate::telemetry;

pub(super) struct Authorized {
    next: Wire,
    tokens: ServiceTokens,
}

impl Authorized {
    pub(super) fn new(next: Wire, tokens: ServiceTokens) -> Self {
        Authorized { next, tokens }
    }
}

impl Carrier for Authorized {
    fn carry(
        self: Arc<Self>,
        mut request: Request,
    ) -> BoxFuture<'static, Result<Response, BoxError>> {
        let scope = Scope::current();
        let headers = request.headers_mut();
        // A caller's own token is never forwarded, whoever put it here.
        headers.insert(
            header::AUTHORIZATION,
            self.tokens.bearer(scope.principal.as_deref()),
        );
        hand_on_trace(headers, &scope);
        let remaining = Scope::remaining(&**self.tokens.clock());
        if let Some(time) = shorter(asked(headers), remaining) {
            if time.is_zero() {
                return refused(over());
            }
            if let Ok(time) = HeaderValue::from_str(&format_timeout(time)) {
                headers.insert(GRPC_TIMEOUT, time);
            }
        }
        self.next.carrier.clone().carry(request)
    }
}

fn hand_on_trace(headers: &mut HeaderMap, scope: &Scope) {
    telemetry::inject(headers);
    if !headers.contains_key(telemetry::TRACEPARENT)
        && let Ok(trace) = HeaderValue::from_str(&scope.traceparent)
        && !trace.is_empty()
    {
        headers.insert(telemetry::TRACEPARENT, trace);
    }
    if let Ok(id) = HeaderValue::from_str(&scope.request_id)
        && !id.is_empty()
    {
        headers.insert(REQUEST_ID, id);
    }
}

/// The timeout that a request asks for.
pub(super) fn asked(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get(GRPC_TIMEOUT)?
        .to_str()
        .ok()
        .and_then(parse_timeout)
}

fn shorter(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// The refusal for a call that has no time left.
pub(super) fn over() -> Refusal {
    Refusal::new(
        ErrorReason::Deadline,
        "The time for this call is over; with a mutation, ask again with the same key.",
    )
}
