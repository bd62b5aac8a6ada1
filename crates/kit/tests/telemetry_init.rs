//! Starting telemetry is global, so this stays the only test of its binary.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::time::Duration;

use kit::telemetry::{self, Metrics, TelemetryConfig, TelemetryError};

#[tokio::test]
async fn a_process_starts_telemetry_once() {
    let config = TelemetryConfig {
        log_level: "off".to_owned(),
        ..TelemetryConfig::default()
    };
    let guard = telemetry::init(&config, "order").unwrap();
    let again = telemetry::init(&config, "order");
    assert!(matches!(again, Err(TelemetryError::Twice)));

    Metrics::global().refused("rate_limit", "partner");
    let registry = guard.registry();
    let names: Vec<_> = registry
        .gather()
        .iter()
        .map(|family| family.name().to_owned())
        .collect();
    assert!(
        names
            .iter()
            .any(|name| name == "vitrine_server_refused_total"),
        "{names:?}"
    );
    guard.flush(Duration::from_secs(5)).await.unwrap();
}
