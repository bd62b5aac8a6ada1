//! The same calls over both kinds of wire.

mod balance;
mod handed_on;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use contracts::policy::{Access, Audience};
use tonic::service::Routes;
use tonic::{Code, Request as Call};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;
use tower::{Service, ServiceExt};

use super::*;
use crate::layers::layered;
use crate::layers::tests::{Bench, counting, request, status_of};
use crate::lifecycle::Lifecycle;
use crate::server::{HardenedServer, ServerConfig};

fn health(bench: &Bench) -> LayeredService {
    let (_, service) = tonic_health::server::health_reporter();
    layered(Routes::new(service), &bench.deps)
}

fn ask() -> HealthCheckRequest {
    HealthCheckRequest {
        service: String::new(),
    }
}

/// Serves on any free port until the test ends.
async fn serve(service: LayeredService, lifecycle: &Lifecycle) -> std::net::SocketAddr {
    let config = ServerConfig {
        address: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        drain_close_ms: 50,
        ..ServerConfig::default()
    };
    let server = HardenedServer::bind(&config).await.expect("a free port");
    let address = server.local_addr();
    lifecycle.spawn("server", server.serve(service, lifecycle));
    address
}

fn remote(uri: &str, bench: &Bench) -> Wire {
    let config = RemoteConfig {
        answer_timeout_ms: 5_000,
        ..RemoteConfig::default()
    };
    Wire::remote(uri, &config, &bench.deps.clock, &bench.deps.ids).expect("a good address")
}

async fn both_ways(bench: &Bench, lifecycle: &Lifecycle, service: LayeredService) -> [Wire; 2] {
    let address = serve(service.clone(), lifecycle).await;
    [
        Wire::local(service),
        remote(&format!("http://localhost:{}", address.port()), bench),
    ]
}

#[tokio::test]
async fn a_generated_client_calls_and_streams_over_both() {
    let (bench, lifecycle) = (Bench::new(), Lifecycle::new());
    for wire in both_ways(&bench, &lifecycle, health(&bench)).await {
        let mut client = HealthClient::new(wire);
        let answer = client.check(ask()).await.expect("healthy");
        assert!(
            answer.metadata().contains_key("x-request-id"),
            "the layers were passed by"
        );
        let mut stream = client.watch(ask()).await.expect("a stream").into_inner();
        assert!(stream.message().await.expect("a message").is_some());
        let unknown = HealthCheckRequest {
            service: "nothing".into(),
        };
        let status = client.check(unknown).await.expect_err("no such service");
        assert_eq!(status.code(), Code::NotFound);
    }
}

#[tokio::test]
async fn a_deadline_ends_a_call_over_both_in_the_same_words() {
    let (bench, lifecycle) = (Bench::new(), Lifecycle::new());
    let service = layered(counting(&Arc::default()), &bench.deps);
    for wire in both_ways(&bench, &lifecycle, service).await {
        let mut hang = request("/grpc.health.v1.Health/Check", None);
        hang.headers_mut()
            .insert("x-behave", "hang".parse().expect("plain"));
        hang.headers_mut()
            .insert("grpc-timeout", "30m".parse().expect("plain"));
        let status = match wire.oneshot(hang).await {
            Ok(answer) => status_of(answer).await,
            Err(error) => Status::from_error(error),
        };
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
        let reason = status.get_details_error_info().map(|info| info.reason);
        assert_eq!(reason.as_deref(), Some("DEADLINE"));
    }
}

#[tokio::test]
async fn a_late_wire_refuses_until_it_is_tied() {
    let bench = Bench::new();
    let (end, wire) = Wire::late();
    let mut client = HealthClient::new(wire);
    let status = client.check(ask()).await.expect_err("not tied yet");
    assert!(
        matches!(Fault::from_status(&status), Fault::Busy { .. }),
        "{status:?}"
    );
    end.tie(Wire::local(health(&bench)));
    client.check(ask()).await.expect("healthy");
}

#[test]
fn what_is_no_address_is_refused_at_start() {
    let bench = Bench::new();
    let refused = |uri: &str| {
        let config = RemoteConfig::default();
        let made = Wire::remote(uri, &config, &bench.deps.clock, &bench.deps.ids);
        made.err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    for uri in [
        "",
        "order",
        "order:7500",
        "ftp://order:1",
        "http://order:7500/path",
        "http://order?x=1",
        "http://one:7500,",
        "http://one:7500,order",
    ] {
        assert!(refused(uri).contains("http://name:port"), "{uri}");
    }
    assert!(refused("https://order:7500").contains("ca_file"));
}
