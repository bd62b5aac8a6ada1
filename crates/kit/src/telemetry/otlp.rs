//! OTLP over gRPC: traces, metrics and logs to one endpoint.

use std::time::Duration;

use opentelemetry_otlp::{
    LogExporter, MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{
    BatchConfigBuilder as LogBatch, BatchLogProcessor, SdkLoggerProvider,
};
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder as SpanBatch, BatchSpanProcessor, Sampler, SdkTracerProvider,
};
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::{OtlpConfig, TelemetryError};

/// What talks to the collector.
pub(super) struct Exporters {
    pub(super) traces: SdkTracerProvider,
    pub(super) logs: SdkLoggerProvider,
    pub(super) metrics: PeriodicReader<MetricExporter>,
}

/// Sets up all three signals over one lazily connected channel; a collector that is away delays nothing.
pub(super) fn exporters(
    config: &OtlpConfig,
    resource: &Resource,
) -> Result<Exporters, TelemetryError> {
    let wire = Wire {
        channel: channel(config)?,
        metadata: metadata(config)?,
        timeout: Duration::from_millis(config.timeout_ms),
    };
    let interval = Duration::from_millis(config.export_interval_ms);

    let spans = wire.onto(SpanExporter::builder().with_tonic()).build()?;
    let batch = SpanBatch::default()
        .with_max_queue_size(config.queue_max)
        .with_max_export_batch_size(config.batch_max.min(config.queue_max))
        .with_scheduled_delay(interval)
        .build();
    let traces = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
            config.sample_ratio,
        ))))
        .with_span_processor(
            BatchSpanProcessor::builder(spans)
                .with_batch_config(batch)
                .build(),
        )
        .build();

    let records = wire.onto(LogExporter::builder().with_tonic()).build()?;
    let batch = LogBatch::default()
        .with_max_queue_size(config.queue_max)
        .with_max_export_batch_size(config.batch_max.min(config.queue_max))
        .with_scheduled_delay(interval)
        .build();
    let logs = SdkLoggerProvider::builder()
        .with_resource(resource.clone())
        .with_log_processor(
            BatchLogProcessor::builder(records)
                .with_batch_config(batch)
                .build(),
        )
        .build();

    let points = wire.onto(MetricExporter::builder().with_tonic()).build()?;
    let metrics = PeriodicReader::builder(points)
        .with_interval(Duration::from_millis(config.metrics_interval_ms))
        .build();
    Ok(Exporters {
        traces,
        logs,
        metrics,
    })
}

struct Wire {
    channel: Channel,
    metadata: MetadataMap,
    timeout: Duration,
}

impl Wire {
    fn onto<B: WithTonicConfig + WithExportConfig>(&self, builder: B) -> B {
        builder
            .with_channel(self.channel.clone())
            .with_metadata(self.metadata.clone())
            .with_timeout(self.timeout)
    }
}

fn channel(config: &OtlpConfig) -> Result<Channel, TelemetryError> {
    // The channel's worker lives on the runtime; without one, connecting would panic.
    tokio::runtime::Handle::try_current().map_err(|_| TelemetryError::NoRuntime)?;
    let timeout = Duration::from_millis(config.timeout_ms);
    let invalid = |why: String| TelemetryError::Endpoint {
        endpoint: config.endpoint.clone(),
        why,
    };
    let endpoint =
        Endpoint::from_shared(config.endpoint.clone()).map_err(|e| invalid(e.to_string()))?;
    let scheme = endpoint.uri().scheme_str().unwrap_or_default().to_owned();
    let endpoint = endpoint.timeout(timeout).connect_timeout(timeout);
    let endpoint = match (scheme.as_str(), config.ca_file.as_str()) {
        ("http", _) => endpoint,
        ("https", "") => {
            return Err(invalid(
                "https needs ca_file, the certificates to trust".to_owned(),
            ));
        }
        ("https", file) => {
            let pem = std::fs::read(file)
                .map_err(|e| invalid(format!("cannot read ca_file {file}: {e}")))?;
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
            endpoint
                .tls_config(tls)
                .map_err(|e| invalid(e.to_string()))?
        }
        _ => return Err(invalid("it must begin with http:// or https://".to_owned())),
    };
    Ok(endpoint.connect_lazy())
}

fn metadata(config: &OtlpConfig) -> Result<MetadataMap, TelemetryError> {
    let mut metadata = MetadataMap::with_capacity(config.headers.len());
    for (name, value) in &config.headers {
        let invalid = || TelemetryError::Header { name: name.clone() };
        let key = MetadataKey::from_bytes(name.to_lowercase().as_bytes()).map_err(|_| invalid())?;
        let mut value = MetadataValue::try_from(value.expose()).map_err(|_| invalid())?;
        value.set_sensitive(true);
        metadata.insert(key, value);
    }
    Ok(metadata)
}
