//! The call's name and its trace. Bodies are never logged.

use http::{HeaderMap, HeaderName};
use tracing::Instrument;

use super::{Call, Handle, Request, Response};
use crate::ids::IdSource;
use crate::telemetry;

/// The header that a request id travels in, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const MAX_REQUEST_ID: usize = 64;

pub(super) struct Trace<N> {
    next: N,
}

impl<N> Trace<N> {
    pub(super) fn new(next: N) -> Self {
        Trace { next }
    }
}

impl<N: Handle> Handle for Trace<N> {
    async fn handle(&self, call: &mut Call, request: Request) -> Response {
        let span = tracing::info_span!(
            parent: None,
            "rpc",
            otel.name = call.target.label(),
            otel.kind = "server",
            rpc.system = "grpc",
            rpc.method = call.target.label(),
            rpc.response.status_code = tracing::field::Empty,
            request_id = call.request_id,
            caller = tracing::field::Empty,
        );
        telemetry::extract(&span, request.headers());
        call.traceparent = telemetry::traceparent_of(&span)
            .or_else(|| sent_traceparent(request.headers()))
            .unwrap_or_default();
        call.span = span.clone();
        self.next.handle(call, request).instrument(span).await
    }
}

/// Without a collector no spans are recorded here; what the caller sent is handed on as it came.
fn sent_traceparent(headers: &HeaderMap) -> Option<String> {
    let sent = headers.get(telemetry::TRACEPARENT)?.to_str().ok()?;
    telemetry::is_traceparent(sent).then(|| sent.to_owned())
}

/// The caller's own id for the call when it is harmless in logs and headers, else a new one.
pub(super) fn request_id(headers: &HeaderMap, ids: &dyn IdSource) -> String {
    let sent = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    match sent.filter(|text| is_harmless(text)) {
        Some(text) => text.to_owned(),
        None => format!("{:032x}", ids.next()),
    }
}

pub(super) fn is_harmless(text: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    (1..=MAX_REQUEST_ID).contains(&text.len()) && text.bytes().all(allowed)
}
