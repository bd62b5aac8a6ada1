use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::logs::v1 as logs_v1;
use opentelemetry_proto::tonic::collector::metrics::v1 as metrics_v1;
use opentelemetry_proto::tonic::collector::trace::v1 as trace_v1;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};
use tracing::instrument::WithSubscriber;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::clock::{ManualClock, SharedClock};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const BOUND: Duration = Duration::from_secs(20);

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn writer(&self) -> BoxMakeWriter {
        BoxMakeWriter::new(self.clone())
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

/// Spans, with the header that came with them.
type Export = (Option<String>, trace_v1::ExportTraceServiceRequest);

/// A collector that keeps what arrives.
#[derive(Clone, Default)]
struct Collector {
    traces: Arc<Mutex<Vec<Export>>>,
    metrics: Arc<Mutex<Vec<metrics_v1::ExportMetricsServiceRequest>>>,
    logs: Arc<Mutex<Vec<logs_v1::ExportLogsServiceRequest>>>,
}

#[tonic::async_trait]
impl trace_v1::trace_service_server::TraceService for Collector {
    async fn export(
        &self,
        request: Request<trace_v1::ExportTraceServiceRequest>,
    ) -> Result<Response<trace_v1::ExportTraceServiceResponse>, Status> {
        let header = request
            .metadata()
            .get("x-team")
            .map(|value| value.to_str().unwrap().to_owned());
        self.traces
            .lock()
            .unwrap()
            .push((header, request.into_inner()));
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl metrics_v1::metrics_service_server::MetricsService for Collector {
    async fn export(
        &self,
        request: Request<metrics_v1::ExportMetricsServiceRequest>,
    ) -> Result<Response<metrics_v1::ExportMetricsServiceResponse>, Status> {
        self.metrics.lock().unwrap().push(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl logs_v1::logs_service_server::LogsService for Collector {
    async fn export(
        &self,
        request: Request<logs_v1::ExportLogsServiceRequest>,
    ) -> Result<Response<logs_v1::ExportLogsServiceResponse>, Status> {
        self.logs.lock().unwrap().push(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

impl Collector {
    async fn start() -> (Self, SocketAddr) {
        let collector = Collector::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder()
            .add_service(trace_v1::trace_service_server::TraceServiceServer::new(
                collector.clone(),
            ))
            .add_service(
                metrics_v1::metrics_service_server::MetricsServiceServer::new(collector.clone()),
            )
            .add_service(logs_v1::logs_service_server::LogsServiceServer::new(
                collector.clone(),
            ))
            .serve_with_incoming(TcpListenerStream::new(listener));
        crate::spawn("collector", server);
        (collector, address)
    }
}

fn with_endpoint(endpoint: String) -> TelemetryConfig {
    TelemetryConfig {
        log_level: "debug".to_owned(),
        instance_id: "replica-1".to_owned(),
        otlp: OtlpConfig {
            endpoint,
            headers: BTreeMap::from([("X-Team".to_owned(), Secret::new("commerce"))]),
            ..OtlpConfig::default()
        },
        ..TelemetryConfig::default()
    }
}

fn attribute(resource: &ProtoResource, key: &str) -> String {
    let found = resource
        .attributes
        .iter()
        .find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{key} is {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn all_three_signals_reach_the_collector() {
    let (collector, address) = Collector::start().await;
    let lines = Lines::default();
    let config = with_endpoint(format!("http://{address}"));
    let telemetry = build_with_writer(&config, "order", lines.writer()).unwrap();
    let metrics = Metrics::new(&telemetry.guard.meter());
    let clock: SharedClock = ManualClock::shared(crate::clock::Micros(0));

    let traceparent = async {
        let span = tracing::info_span!("place_order", order = "order_1");
        assert!(set_parent(&span, PARENT));
        let _entered = span.entered();
        tracing::info!(lines = 3, "order placed");
        // The exporter is made of these; were they exported, each export would make another.
        tracing::info!(target: "h2::proto", "noise");
        traceparent_of_current_span().unwrap()
    }
    .with_subscriber(telemetry.dispatch.clone())
    .await;
    metrics
        .call("vitrine.order.v1.OrderService/PlaceOrder", &clock)
        .finish(Code::Ok);
    telemetry.guard.flush(BOUND).await.unwrap();

    let traces = collector.traces.lock().unwrap().clone();
    let (header, request) = &traces[0];
    assert_eq!(header.as_deref(), Some("commerce"));
    let resource = request.resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(attribute(resource, "service.name"), "order");
    assert_eq!(
        attribute(resource, "service.version"),
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(attribute(resource, "service.instance.id"), "replica-1");
    let span = &request.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(span.name, "place_order");
    let (trace_id, span_id) = (hex::encode(&span.trace_id), hex::encode(&span.span_id));
    assert_eq!(trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex::encode(&span.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(traceparent, format!("00-{trace_id}-{span_id}-01"));

    let logs = collector.logs.lock().unwrap().clone();
    let records: Vec<_> = logs
        .iter()
        .flat_map(|r| &r.resource_logs[0].scope_logs)
        .flat_map(|s| &s.log_records)
        .collect();
    let bodies: Vec<_> = records
        .iter()
        .filter_map(|record| record.body.clone()?.value)
        .collect();
    assert_eq!(bodies, [Value::StringValue("order placed".to_owned())]);
    assert_eq!(
        records[0].trace_id, span.trace_id,
        "a log record names its trace"
    );

    let metrics = collector.metrics.lock().unwrap().clone();
    let names: Vec<_> = metrics[0].resource_metrics[0].scope_metrics[0]
        .metrics
        .iter()
        .map(|m| m.name.as_str())
        .collect();
    assert!(names.contains(&"rpc.server.call.duration"), "{names:?}");
    let said = lines.text();
    assert!(
        said.contains("order placed lines=3") && said.contains("noise"),
        "{said}"
    );
}

#[tokio::test]
async fn a_collector_that_is_away_costs_no_more_than_the_bound() {
    // Taken and never accepted from.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = with_endpoint(format!("http://{}", listener.local_addr().unwrap()));
    let telemetry = build_with_writer(&config, "order", Lines::default().writer()).unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch, || {
        tracing::info_span!("lost").in_scope(|| ())
    });
    let bound = Duration::from_millis(50);
    let error = telemetry.guard.flush(bound).await.unwrap_err();
    assert!(error.to_string().contains("traces"), "{error}");
}

#[test]
fn without_an_endpoint_nothing_leaves_and_no_runtime_is_needed() {
    let lines = Lines::default();
    let telemetry =
        build_with_writer(&TelemetryConfig::default(), "order", lines.writer()).unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch, || {
        let span = tracing::info_span!("quiet", room = 7);
        assert!(!set_parent(&span, PARENT));
        let _entered = span.entered();
        assert_eq!(
            (traceparent_of_current_span(), trace_id_of_current_span()),
            (None, None)
        );
        tracing::debug!("too fine");
        tracing::warn!("seen");
    });
    let said = lines.text();
    assert!(
        said.contains(" WARN quiet{room=7}: kit::telemetry::tests: seen"),
        "{said}"
    );
    assert!(!said.contains("too fine"), "{said}");
    let with_endpoint = with_endpoint("http://127.0.0.1:1".to_owned());
    assert!(matches!(
        build(&with_endpoint, "order"),
        Err(TelemetryError::NoRuntime)
    ));
}

#[test]
fn json_lines_are_json() {
    let lines = Lines::default();
    let config = TelemetryConfig {
        log_format: LogFormat::Json,
        ..TelemetryConfig::default()
    };
    let telemetry = build_with_writer(&config, "order", lines.writer()).unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch, || {
        tracing::info!(order = "order_1", "placed")
    });
    let line: serde_json::Value = serde_json::from_str(lines.text().trim()).unwrap();
    assert_eq!(
        (&line["message"], &line["order"], &line["level"]),
        (&"placed".into(), &"order_1".into(), &"INFO".into())
    );
}

#[tokio::test]
async fn what_cannot_be_used_is_said_with_its_key() {
    let config = |change: fn(&mut TelemetryConfig)| {
        let mut config = with_endpoint("http://127.0.0.1:1".to_owned());
        change(&mut config);
        build(&config, "order").unwrap_err().to_string()
    };
    for (said, expected) in [
        (
            config(|c| c.log_level = "info,=loud=".to_owned()),
            "telemetry.log_level: \"info,=loud=\" is no log filter",
        ),
        (
            config(|c| c.otlp.level = "chatty=very".to_owned()),
            "telemetry.otlp.level: \"chatty=very\" is no log filter",
        ),
        (
            config(|c| c.otlp.sample_ratio = 1.5),
            "telemetry.otlp.sample_ratio: must be from 0 to 1",
        ),
        (
            config(|c| c.otlp.queue_max = 0),
            "telemetry.otlp.queue_max: must be from 1",
        ),
        (
            config(|c| c.otlp.endpoint = "collector:4317".to_owned()),
            "must begin with http:// or https://",
        ),
        (
            config(|c| c.otlp.endpoint = "https://c:4317".to_owned()),
            "https needs ca_file",
        ),
        (
            config(|c| c.otlp.headers = BTreeMap::from([("a b".to_owned(), Secret::new("x"))])),
            "\"a b\" is no header",
        ),
    ] {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn calls_are_counted_for_prometheus() {
    let telemetry = build(&TelemetryConfig::default(), "order").unwrap();
    let metrics = Metrics::new(&telemetry.guard.meter());
    let manual = ManualClock::shared(crate::clock::Micros(0));
    let clock: SharedClock = manual.clone();
    let page = || {
        let families = telemetry.guard.registry().gather();
        prometheus::TextEncoder::new()
            .encode_to_string(&families)
            .unwrap()
    };

    let (done, dropped) = (
        metrics.call("a.B/Do", &clock),
        metrics.call("a.B/Do", &clock),
    );
    let open = metrics.call("a.B/Watch", &clock);
    manual.advance(Duration::from_millis(3));
    done.finish(Code::FailedPrecondition);
    drop(dropped);
    metrics.refused("rate_limit", "partner");
    let said = page();
    for line in [
        "rpc_server_active_calls{rpc_method=\"a.B/Do\"} 0",
        "rpc_server_active_calls{rpc_method=\"a.B/Watch\"} 1",
        "rpc_server_call_duration_seconds_count{rpc_method=\"a.B/Do\",rpc_response_status_code=\"CANCELLED\"} 1",
        "rpc_server_call_duration_seconds_sum{rpc_method=\"a.B/Do\",rpc_response_status_code=\"FAILED_PRECONDITION\"} 0.003",
        "rpc_response_status_code=\"FAILED_PRECONDITION\",le=\"0.002\"} 0",
        "rpc_response_status_code=\"FAILED_PRECONDITION\",le=\"0.005\"} 1",
        "vitrine_server_refused_total{layer=\"rate_limit\",why=\"partner\"} 1",
        "service_name=\"order\"",
    ] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
    drop(open);
    assert!(page().contains("rpc_server_active_calls{rpc_method=\"a.B/Watch\"} 0"));
}

#[tokio::test]
async fn a_trace_travels_in_headers() {
    let (_collector, address) = Collector::start().await;
    let config = with_endpoint(format!("http://{address}"));
    let telemetry = build_with_writer(&config, "order", Lines::default().writer()).unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch, || {
        let mut headers = http::HeaderMap::new();
        let caller = tracing::info_span!("caller");
        assert!(set_parent(&caller, PARENT));
        caller.in_scope(|| inject(&mut headers));
        let sent = headers[TRACEPARENT].to_str().unwrap().to_owned();
        assert!(
            sent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && sent != PARENT,
            "{sent}"
        );
        assert_eq!(headers.len(), 1, "no empty tracestate");

        let callee = tracing::info_span!("callee");
        assert!(extract(&callee, &headers));
        let trace_id = callee.in_scope(trace_id_of_current_span);
        assert_eq!(
            trace_id.as_deref(),
            Some("4bf92f3577b34da6a3ce929d0e0e4736")
        );
        assert!(link(&tracing::info_span!("batch"), PARENT));
        assert!(!extract(
            &tracing::info_span!("root"),
            &http::HeaderMap::new()
        ));
    });
    telemetry.guard.flush(BOUND).await.unwrap();
}

#[test]
fn only_a_traceparent_is_one() {
    assert!(is_traceparent(PARENT));
    for text in [
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "zz-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        assert!(!is_traceparent(text), "{text}");
    }
}
