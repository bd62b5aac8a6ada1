//! What operators see of a call.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use tracing::instrument::WithSubscriber;

use super::*;
use crate::telemetry::{TelemetryConfig, build};

/// Lines that were logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

#[tokio::test]
async fn every_call_is_counted_once_under_its_method_and_outcome() {
    let telemetry = build(&TelemetryConfig::default(), "order").expect("telemetry");
    let mut bench = Bench::new();
    bench.deps.metrics = Metrics::new(&telemetry.guard.meter());
    let service = layered(counting(&Arc::default()), &bench.deps);
    let unary = bench.method(MethodPolicy::is_unary);
    let stream =
        bench.method(|method| method.server_streaming && method.default_deadline.is_none());
    let call = |method: &MethodPolicy, how: &str| {
        with(
            request(&method.path, Some(&bench.token_for(method))),
            "x-behave",
            how,
        )
    };
    status_of(service.answer(call(&unary, "ok")).await).await;
    status_of(service.answer(call(&unary, "panic")).await).await;
    status_of(service.answer(request(&unary.path, None)).await).await;
    status_of(service.answer(request("/made/Up", None)).await).await;
    status_of(service.answer(call(&stream, "stream-panic")).await).await;
    drop(service.answer(call(&stream, "stream")).await);

    let page = prometheus::TextEncoder::new()
        .encode_to_string(&telemetry.guard.registry().gather())
        .expect("a page");
    let counted = |method: &str, code: &str| {
        let labels = [
            format!("rpc_method=\"{method}\""),
            format!("rpc_response_status_code=\"{code}\""),
        ];
        let is_count = |line: &&str| line.contains("duration") && line.contains("_count{");
        let line = page
            .lines()
            .filter(is_count)
            .find(|line| labels.iter().all(|label| line.contains(label)));
        line.and_then(|line| line.rsplit(' ').next())
            .unwrap_or("0")
            .to_owned()
    };
    let expected = [
        (unary.path.as_str(), "OK"),
        (unary.path.as_str(), "INTERNAL"),
        (unary.path.as_str(), "UNAUTHENTICATED"),
        ("unknown", "UNAUTHENTICATED"),
        (stream.path.as_str(), "INTERNAL"),
        (stream.path.as_str(), "CANCELLED"),
    ];
    for (method, code) in expected {
        assert_eq!(counted(method, code), "1", "{method} {code} in\n{page}");
    }
    assert!(
        !page.contains("made"),
        "callers make up time series:\n{page}"
    );
}

#[tokio::test]
async fn an_internal_error_is_logged_once_with_its_call_and_never_a_token() {
    let bench = Bench::new();
    let service = layered(counting(&Arc::default()), &bench.deps);
    let method = bench.method(MethodPolicy::is_unary);
    let token = bench.token_for(&method);
    for how in ["fail", "panic"] {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let request = with(
            with(request(&method.path, Some(&token)), "x-behave", how),
            "x-request-id",
            "r-11",
        );
        let calling = async { status_of(service.answer(request).await).await };
        calling.with_subscriber(subscriber).await;
        let text = log.text();
        let lines: Vec<_> = text
            .lines()
            .filter(|line| line.contains("secret of the handler"))
            .collect();
        assert_eq!(lines.len(), 1, "{how}: {text}");
        for part in ["ERROR", "r-11", &method.path] {
            assert!(lines[0].contains(part), "{part} is missing: {}", lines[0]);
        }
        assert!(!text.contains(&token), "{text}");
    }
}
