//! Trace context: how a trace crosses gRPC calls and feeds.
//!
//! A trace travels as one W3C `traceparent` text. Without an OTLP endpoint no spans are recorded and the
//! current span has none; what a caller sent may still be handed on as it came.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The header, and the key, that a trace travels under.
pub const TRACEPARENT: &str = "traceparent";

/// The trace that the current span belongs to, for a feed entry or a call to another service.
pub fn traceparent_of_current_span() -> Option<String> {
    traceparent_of(&Span::current())
}

/// The trace that this span belongs to.
pub fn traceparent_of(span: &Span) -> Option<String> {
    let mut carrier = One(None);
    TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
    carrier.0
}

/// The 32 hexadecimal digits that name the trace of the current span.
pub fn trace_id_of_current_span() -> Option<String> {
    let context = Span::current().context();
    let span = context.span();
    let span_context = span.span_context();
    span_context
        .is_valid()
        .then(|| span_context.trace_id().to_string())
}

/// Makes `span` a child of the trace in `traceparent`. Must come before the span is entered or asked for
/// its context. Says whether it did; text that is no `traceparent` is passed over.
pub fn set_parent(span: &Span, traceparent: &str) -> bool {
    parent(traceparent).is_some_and(|context| span.set_parent(context).is_ok())
}

/// Links `span` to the trace in `traceparent`: for work that many traces led to, such as a batch.
pub fn link(span: &Span, traceparent: &str) -> bool {
    let Some(context) = parent(traceparent) else {
        return false;
    };
    span.add_link(context.span().span_context().clone());
    true
}

/// Whether this text is a well-formed `traceparent`.
pub fn is_traceparent(text: &str) -> bool {
    parent(text).is_some()
}

/// Writes the trace of the current span into headers.
pub fn inject(headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut Headers(headers));
}

/// Makes `span` a child of the trace in these headers, if there is one; see [`set_parent`].
pub fn extract(span: &Span, headers: &HeaderMap) -> bool {
    let context =
        TraceContextPropagator::new().extract_with_context(&Context::new(), &HeadersRef(headers));
    context.span().span_context().is_valid() && span.set_parent(context).is_ok()
}

fn parent(traceparent: &str) -> Option<Context> {
    let carrier = OneRef(traceparent);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    let valid = context.span().span_context().is_valid();
    valid.then_some(context)
}

struct One(Option<String>);

impl Injector for One {
    fn set(&mut self, key: &str, value: String) {
        if key == TRACEPARENT {
            self.0 = Some(value);
        }
    }
}

struct OneRef<'a>(&'a str);

impl Extractor for OneRef<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

struct Headers<'a>(&'a mut HeaderMap);

impl Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        // An empty tracestate says nothing.
        if value.is_empty() {
            return;
        }
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(key.as_bytes()),
            HeaderValue::try_from(value),
        ) {
            self.0.insert(name, value);
        }
    }
}

struct HeadersRef<'a>(&'a HeaderMap);

impl Extractor for HeadersRef<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}
