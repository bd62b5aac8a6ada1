//! Logs, traces and metrics.
//!
//! Logs go to stderr, always. Metrics are kept for Prometheus, always. Traces, metrics and logs go to an
//! OTLP collector as soon as [`OtlpConfig::endpoint`] names one.
//!
//! [`init`] is the only function here that touches anything global. [`build`] makes the same thing without
//! that, for tests that want it many times in one process.

mod context;
mod fields;
mod metrics;
mod otlp;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tracing::Dispatch;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

pub use context::{
    TRACEPARENT, extract, inject, is_traceparent, link, set_parent, trace_id_of_current_span,
    traceparent_of, traceparent_of_current_span,
};
pub use metrics::{CallTimer, Metrics, code_name};

use crate::config::Secret;
use fields::{AppendedJson, TextFields};

/// The name that instruments and spans of the suite are made under.
const SCOPE: &str = "vitrine";

/// What the exporter itself is made of. Its own calls must not be exported, or each export makes another.
const EXPORT_MACHINERY: [&str; 6] = [
    "h2",
    "hyper",
    "hyper_util",
    "opentelemetry",
    "tonic",
    "tower",
];

/// How a process tells what it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TelemetryConfig {
    /// What is logged to stderr: a level, or levels by module, such as `info,store=debug`.
    pub log_level: String,
    /// How it is logged.
    pub log_format: LogFormat,
    /// Names this process among its replicas; empty: the host's name and the process id.
    pub instance_id: String,
    /// Where telemetry goes besides stderr and the admin port.
    pub otlp: OtlpConfig,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines, one object a line.
    Json,
}

/// The OTLP collector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OtlpConfig {
    /// Its gRPC address, such as `http://collector:4317`; empty: telemetry is not sent.
    pub endpoint: String,
    /// The certificates to trust, as a PEM file; needed for `https`.
    pub ca_file: String,
    /// Sent with every export, such as an authorization header.
    pub headers: BTreeMap<String, Secret>,
    /// What is exported as spans and log records: a level, or levels by module.
    pub level: String,
    /// The share of traces to record when the caller has not decided, from 0 to 1.
    pub sample_ratio: f64,
    /// An export that takes longer is given up.
    pub timeout_ms: u64,
    /// How often spans and log records are sent.
    pub export_interval_ms: u64,
    /// How often metrics are sent.
    pub metrics_interval_ms: u64,
    /// Spans, and log records, that may wait to be sent; more are dropped.
    pub queue_max: usize,
    /// Spans, or log records, in one export.
    pub batch_max: usize,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        TelemetryConfig {
            log_level: "info".to_owned(),
            log_format: LogFormat::Text,
            instance_id: String::new(),
            otlp: OtlpConfig::default(),
        }
    }
}

impl Default for OtlpConfig {
    fn default() -> Self {
        OtlpConfig {
            endpoint: String::new(),
            ca_file: String::new(),
            headers: BTreeMap::new(),
            level: "info".to_owned(),
            sample_ratio: 1.0,
            timeout_ms: 5_000,
            export_interval_ms: 2_000,
            metrics_interval_ms: 30_000,
            queue_max: 4_096,
            batch_max: 512,
        }
    }
}

/// Why telemetry cannot be set up, or not be flushed.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A level or filter that is none.
    #[error("telemetry.{key}: {text:?} is no log filter: {why}")]
    Filter {
        /// Where it stands in the config.
        key: &'static str,
        /// What stands there.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// A number out of its range.
    #[error("telemetry.otlp.{key}: {why}")]
    Range {
        /// Where it stands in the config.
        key: &'static str,
        /// What it must be.
        why: &'static str,
    },
    /// An address that cannot be used.
    #[error("telemetry.otlp.endpoint {endpoint:?} cannot be used: {why}")]
    Endpoint {
        /// The address.
        endpoint: String,
        /// What is wrong with it.
        why: String,
    },
    /// A header that HTTP does not allow.
    #[error(
        "telemetry.otlp.headers: {name:?} is no header, or its value holds characters that a header must not"
    )]
    Header {
        /// Its name.
        name: String,
    },
    /// OTLP was asked for outside an async runtime.
    #[error("telemetry with an OTLP endpoint must be started inside a tokio runtime")]
    NoRuntime,
    /// A second call of [`init`] in one process.
    #[error("telemetry was started before in this process")]
    Twice,
    /// The SDK refused.
    #[error("telemetry could not be set up: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The SDK refused.
    #[error("telemetry could not be set up: {0}")]
    Sdk(#[from] OTelSdkError),
    /// Something was not delivered.
    #[error("telemetry was not delivered: {0}")]
    Flush(String),
}

/// Starts telemetry for the process: the one subscriber, the one meter, the W3C propagator.
pub fn init(
    config: &TelemetryConfig,
    service_name: &str,
) -> Result<TelemetryGuard, TelemetryError> {
    let Telemetry { dispatch, guard } = build(config, service_name)?;
    tracing::dispatcher::set_global_default(dispatch).map_err(|_| TelemetryError::Twice)?;
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    opentelemetry::global::set_meter_provider(guard.meters.clone());
    if let Some(traces) = &guard.traces {
        opentelemetry::global::set_tracer_provider(traces.clone());
    }
    Ok(guard)
}

/// The process-wide meter. Instruments made from it before [`init`] record nothing.
pub fn meter() -> Meter {
    opentelemetry::global::meter(SCOPE)
}

/// Telemetry that nothing global knows of.
#[derive(Debug)]
pub struct Telemetry {
    /// The subscriber, for [`tracing::dispatcher::with_default`] or a future's `with_subscriber`.
    pub dispatch: Dispatch,
    /// Everything else.
    pub guard: TelemetryGuard,
}

/// Makes telemetry that writes to stderr and touches nothing global.
pub fn build(config: &TelemetryConfig, service_name: &str) -> Result<Telemetry, TelemetryError> {
    build_with_writer(config, service_name, BoxMakeWriter::new(std::io::stderr))
}

/// Makes telemetry that logs to `writer` and touches nothing global.
pub fn build_with_writer(
    config: &TelemetryConfig,
    service_name: &str,
    writer: BoxMakeWriter,
) -> Result<Telemetry, TelemetryError> {
    check(&config.otlp)?;
    let resource = resource(config, service_name);
    let registry = prometheus::Registry::new();
    let prometheus = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .build()?;
    let meters = SdkMeterProvider::builder()
        .with_resource(resource.clone())
        .with_reader(prometheus);
    let (meters, traces, logs) = if config.otlp.endpoint.is_empty() {
        (meters.build(), None, None)
    } else {
        let otlp::Exporters {
            traces,
            logs,
            metrics,
        } = otlp::exporters(&config.otlp, &resource)?;
        (
            meters.with_reader(metrics).build(),
            Some(traces),
            Some(logs),
        )
    };
    let guard = TelemetryGuard {
        meters,
        traces,
        logs,
        registry,
        flushed: false,
    };
    let dispatch = subscriber(config, writer, &guard)?;
    Ok(Telemetry { dispatch, guard })
}

fn subscriber(
    config: &TelemetryConfig,
    writer: BoxMakeWriter,
    guard: &TelemetryGuard,
) -> Result<Dispatch, TelemetryError> {
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match config.log_format {
        LogFormat::Text => lines.with_ansi(false).fmt_fields(TextFields).boxed(),
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true);
            lines.fmt_fields(AppendedJson::new()).boxed()
        }
    };
    let lines = lines.with_filter(filter("log_level", &config.log_level)?);
    let spans = match &guard.traces {
        None => None,
        Some(traces) => {
            let layer = tracing_opentelemetry::layer().with_tracer(traces.tracer(SCOPE));
            Some(layer.with_filter(export_filter(&config.otlp)?))
        }
    };
    let records = match &guard.logs {
        None => None,
        Some(logs) => {
            Some(OpenTelemetryTracingBridge::new(logs).with_filter(export_filter(&config.otlp)?))
        }
    };
    Ok(Dispatch::new(
        Registry::default().with(lines).with(spans).with(records),
    ))
}

fn filter(key: &'static str, text: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(text).map_err(|error| TelemetryError::Filter {
        key,
        text: text.to_owned(),
        why: error.to_string(),
    })
}

fn export_filter(config: &OtlpConfig) -> Result<EnvFilter, TelemetryError> {
    let silenced = EXPORT_MACHINERY
        .map(|target| format!(",{target}=off"))
        .concat();
    filter("otlp.level", &config.level)?;
    filter("otlp.level", &format!("{}{silenced}", config.level))
}

fn check(config: &OtlpConfig) -> Result<(), TelemetryError> {
    let range = |key, ok: bool, why| {
        if ok {
            Ok(())
        } else {
            Err(TelemetryError::Range { key, why })
        }
    };
    range(
        "sample_ratio",
        (0.0..=1.0).contains(&config.sample_ratio),
        "must be from 0 to 1",
    )?;
    range("timeout_ms", config.timeout_ms > 0, "must be above 0")?;
    range(
        "export_interval_ms",
        config.export_interval_ms > 0,
        "must be above 0",
    )?;
    range(
        "metrics_interval_ms",
        config.metrics_interval_ms > 0,
        "must be above 0",
    )?;
    range(
        "queue_max",
        (1..=1_000_000).contains(&config.queue_max),
        "must be from 1 to 1000000",
    )?;
    range(
        "batch_max",
        (1..=100_000).contains(&config.batch_max),
        "must be from 1 to 100000",
    )
}

fn resource(config: &TelemetryConfig, service_name: &str) -> Resource {
    let instance = match config.instance_id.as_str() {
        "" => {
            let host = crate::config::env_var("HOSTNAME").unwrap_or_else(|| "local".to_owned());
            format!("{host}-{}", std::process::id())
        }
        instance => instance.to_owned(),
    };
    Resource::builder()
        .with_service_name(service_name.to_owned())
        .with_attribute(KeyValue::new("service.namespace", SCOPE))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", instance))
        .build()
}

/// Holds telemetry open. Flush it at the end of the process; dropped without that, it sends what it can
/// from a thread of its own.
pub struct TelemetryGuard {
    meters: SdkMeterProvider,
    traces: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
    registry: prometheus::Registry,
    flushed: bool,
}

impl fmt::Debug for TelemetryGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetryGuard")
            .field("otlp", &self.traces.is_some())
            .finish_non_exhaustive()
    }
}

impl TelemetryGuard {
    /// What `/metrics` shows.
    pub fn registry(&self) -> prometheus::Registry {
        self.registry.clone()
    }

    /// A meter of this telemetry, global or not.
    pub fn meter(&self) -> Meter {
        self.meters.meter(SCOPE)
    }

    /// Sends everything that waits and closes. Gives up after `bound`; what was not delivered by then is
    /// lost.
    pub async fn flush(mut self, bound: Duration) -> Result<(), TelemetryError> {
        let mut waiting = Vec::new();
        for (signal, close) in self.closers(bound) {
            let (done, closed) = oneshot::channel();
            // The SDK blocks while it closes; on a thread of the runtime that would stop the very
            // channel it sends through. A plain thread also keeps no runtime from ending.
            std::thread::spawn(move || drop(done.send(close())));
            waiting.push((signal, closed));
        }
        let mut failures = Vec::new();
        let deadline = tokio::time::Instant::now() + bound;
        for (signal, closed) in waiting {
            match tokio::time::timeout_at(deadline, closed).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => failures.push(format!("{signal}: {error}")),
                Ok(Err(_)) => failures.push(format!("{signal}: the exporter died")),
                Err(_) => failures.push(format!(
                    "{signal}: not done within {} ms",
                    bound.as_millis()
                )),
            }
        }
        if failures.is_empty() {
            Ok(())
        } else {
            Err(TelemetryError::Flush(failures.join("; ")))
        }
    }

    fn closers(&mut self, bound: Duration) -> Vec<(&'static str, Closer)> {
        self.flushed = true;
        let meters = self.meters.clone();
        let mut closers: Vec<(&'static str, Closer)> = vec![(
            "metrics",
            Box::new(move || meters.shutdown_with_timeout(bound)),
        )];
        if let Some(traces) = self.traces.take() {
            closers.push((
                "traces",
                Box::new(move || traces.shutdown_with_timeout(bound)),
            ));
        }
        if let Some(logs) = self.logs.take() {
            closers.push(("logs", Box::new(move || logs.shutdown_with_timeout(bound))));
        }
        closers
    }
}

type Closer = Box<dyn FnOnce() -> OTelSdkResult + Send>;

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if self.flushed {
            return;
        }
        let closers = self.closers(Duration::from_secs(1));
        std::thread::spawn(move || {
            for (_, close) in closers {
                // Nobody is left to tell.
                drop(close());
            }
        });
    }
}
