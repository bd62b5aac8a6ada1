use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::*;
use crate::lifecycle::{DrainConfig, ReadyConfig};
use crate::parts::Parts;
use crate::telemetry::{TelemetryConfig, build};

const BOUND: Duration = Duration::from_secs(20);
const ORDER: &str = "vitrine.order.v1.OrderService";
const ROOM: &str = "vitrine.room.v1.RoomService";

fn config() -> AdminConfig {
    AdminConfig {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        watch_interval_ms: 5,
        ..AdminConfig::default()
    }
}

/// A process of two services, whose order service is ready while the switch says so.
struct Process {
    lifecycle: Lifecycle,
    order_ready: Arc<AtomicBool>,
    admin: AdminHandle,
}

async fn process(config: AdminConfig) -> Process {
    let ready = ReadyConfig {
        cache_ms: 0,
        failure_cache_ms: 0,
        ..ReadyConfig::default()
    };
    let lifecycle = Lifecycle::with_ready(ready);
    let order_ready = Arc::new(AtomicBool::new(true));
    let switch = order_ready.clone();
    let mut order = Parts::new("order", |_| ()).ready_when("database", move || {
        let ready = switch.load(Ordering::SeqCst);
        async move {
            if ready {
                Ok(())
            } else {
                Err("no connection".into())
            }
        }
    });
    lifecycle.adopt(&mut order);
    let state = AdminState {
        lifecycle: lifecycle.clone(),
        registry: Registry::new(),
        health: vec![
            HealthName::new(ORDER, "order"),
            HealthName::new(ROOM, "room"),
        ],
    };
    let admin = Admin::bind(&config).await.unwrap().serve(state).unwrap();
    Process {
        lifecycle,
        order_ready,
        admin,
    }
}

/// The status line and the rest of one answer.
async fn fetch(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(BOUND, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let (status, rest) = answer.split_once("\r\n").unwrap();
    (status.to_owned(), rest.to_owned())
}

async fn health(address: SocketAddr) -> HealthClient<Channel> {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    HealthClient::new(endpoint.connect().await.unwrap())
}

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

async fn ask(client: &mut HealthClient<Channel>, service: &str) -> ServingStatus {
    client
        .check(of(service))
        .await
        .unwrap()
        .into_inner()
        .status()
}

#[tokio::test]
async fn readiness_and_health_follow_the_checks() {
    let process = process(config()).await;
    let address = process.admin.local_addr();
    let mut client = health(address).await;
    assert_eq!(fetch(address, "/livez").await.0, "HTTP/1.1 200 OK");
    assert_eq!(fetch(address, "/readyz").await.0, "HTTP/1.1 200 OK");
    for service in ["", ORDER, ROOM] {
        assert_eq!(
            ask(&mut client, service).await,
            ServingStatus::Serving,
            "{service}"
        );
    }

    process.order_ready.store(false, Ordering::SeqCst);
    let (status, rest) = fetch(address, "/readyz").await;
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert!(
        rest.ends_with("\r\n\r\nnot ready\norder/database: no connection\n"),
        "{rest}"
    );
    assert_eq!(
        fetch(address, "/livez").await.0,
        "HTTP/1.1 200 OK",
        "a restart would mend nothing"
    );
    for (service, expected) in [
        ("", ServingStatus::NotServing),
        (ORDER, ServingStatus::NotServing),
        (ROOM, ServingStatus::Serving),
    ] {
        assert_eq!(ask(&mut client, service).await, expected, "{service}");
    }
    assert_eq!(
        client
            .check(of("vitrine.Nothing"))
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
    assert_eq!(fetch(address, "/nothing").await.0, "HTTP/1.1 404 Not Found");
}

#[tokio::test]
async fn a_draining_process_says_so_until_the_very_end() {
    let process = process(config()).await;
    let address = process.admin.local_addr();
    let mut client = health(address).await;
    let mut watch = client.watch(of(ORDER)).await.unwrap().into_inner();
    assert_eq!(
        watch.message().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    process.order_ready.store(false, Ordering::SeqCst);
    assert_eq!(
        watch.message().await.unwrap().unwrap().status(),
        ServingStatus::NotServing
    );
    process.order_ready.store(true, Ordering::SeqCst);
    assert_eq!(
        watch.message().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );

    // Holds the drain open after its first step.
    let acceptor = process.lifecycle.acceptor();
    let draining = process.lifecycle.clone();
    let drain = crate::spawn("drain", async move {
        draining.drain(&DrainConfig::quick()).await
    });
    let said = tokio::time::timeout(BOUND, watch.message()).await.unwrap();
    assert_eq!(said.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(ask(&mut client, "").await, ServingStatus::NotServing);
    let (status, rest) = fetch(address, "/readyz").await;
    assert!(
        status.contains("503") && rest.contains("process: draining"),
        "{status} {rest}"
    );

    drop(acceptor);
    assert!(
        drain.await.unwrap().is_clean(),
        "the admin port is nothing to wait for"
    );
    assert!(
        tokio::time::timeout(BOUND, watch.message())
            .await
            .unwrap()
            .unwrap()
            .is_none(),
        "watches end"
    );
    assert_eq!(
        ask(&mut client, "").await,
        ServingStatus::NotServing,
        "and it still answers"
    );

    drop(process.admin);
    let closed = async { while TcpStream::connect(address).await.is_ok() {} };
    tokio::time::timeout(BOUND, closed).await.unwrap();
    assert_eq!(
        process.lifecycle.cause(),
        Some(crate::lifecycle::ShutdownCause::Requested)
    );
}

#[tokio::test]
async fn watches_are_limited_and_an_unknown_name_is_told() {
    let process = process(AdminConfig {
        watches_max: 1,
        ..config()
    })
    .await;
    let mut client = health(process.admin.local_addr()).await;
    let mut watch = client
        .watch(of("vitrine.Nothing"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        watch.message().await.unwrap().unwrap().status(),
        ServingStatus::ServiceUnknown
    );
    assert_eq!(
        client.watch(of("")).await.unwrap_err().code(),
        Code::ResourceExhausted
    );
    drop(watch);
    let free_again = async { while client.watch(of("")).await.is_err() {} };
    tokio::time::timeout(BOUND, free_again).await.unwrap();
}

#[tokio::test]
async fn a_silent_connection_does_not_keep_its_place() {
    let process = process(AdminConfig {
        connections_max: 1,
        head_timeout_ms: 50,
        ..config()
    })
    .await;
    let address = process.admin.local_addr();
    let mut silent = TcpStream::connect(address).await.unwrap();
    silent.write_all(b"GET /livez HT").await.unwrap();
    assert_eq!(fetch(address, "/livez").await.0, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn an_old_connection_is_told_to_go() {
    let process = process(AdminConfig {
        connection_age_s: 0,
        ..config()
    })
    .await;
    let mut stream = TcpStream::connect(process.admin.local_addr())
        .await
        .unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(BOUND, stream.read_to_end(&mut rest))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn metrics_are_shown() {
    let telemetry = build(&TelemetryConfig::default(), "order").unwrap();
    telemetry
        .guard
        .meter()
        .u64_counter("orders")
        .build()
        .add(3, &[KeyValue::new("outcome", "paid")]);
    let lifecycle = Lifecycle::new();
    let registry = telemetry.guard.registry();
    let state = AdminState {
        lifecycle,
        registry,
        health: Vec::new(),
    };
    let admin = Admin::bind(&config()).await.unwrap().serve(state).unwrap();
    let (status, rest) = fetch(admin.local_addr(), "/metrics").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(
        rest.contains("content-type: text/plain; version=0.0.4"),
        "{rest}"
    );
    assert!(rest.contains("orders_total{outcome=\"paid\"} 3"), "{rest}");
    assert!(rest.contains("service_name=\"order\""), "{rest}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let process = process(config()).await;
    let address = process.admin.local_addr();
    let error = Admin::bind(&AdminConfig {
        address,
        ..config()
    })
    .await
    .unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("cannot listen on {address}")),
        "{error}"
    );
}

#[tokio::test]
async fn a_limit_that_would_answer_nobody_is_refused() {
    let config = AdminConfig {
        connections_max: 0,
        ..config()
    };
    let error = Admin::bind(&config).await.unwrap_err();
    assert_eq!(error.to_string(), "admin.connections_max must be above 0");
}

/// Asks both versions of reflection the same; they differ in nothing but their name.
macro_rules! reflection_test {
    ($test:ident, $version:ident, $name:literal) => {
        #[tokio::test]
        async fn $test() {
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

            let mut routes = tonic::service::Routes::builder();
            add_reflection(&mut routes, &[contracts::FILE_DESCRIPTOR_SET]).unwrap();
            let mut client = ServerReflectionClient::new(routes.routes());
            let symbols = [
                ORDER,
                "google.rpc.ErrorInfo",
                "google.rpc.BadRequest",
                "grpc.health.v1.Health",
            ];
            let ask = |request| ServerReflectionRequest {
                host: String::new(),
                message_request: Some(request),
            };
            let mut questions = vec![ask(MessageRequest::ListServices(String::new()))];
            questions
                .extend(symbols.map(|s| ask(MessageRequest::FileContainingSymbol(s.to_owned()))));
            let answers = client
                .server_reflection_info(tokio_stream::iter(questions))
                .await
                .unwrap();
            let mut answers = answers.into_inner();
            let mut next = async || {
                answers
                    .message()
                    .await
                    .unwrap()
                    .unwrap()
                    .message_response
                    .unwrap()
            };

            let MessageResponse::ListServicesResponse(list) = next().await else {
                panic!("no list")
            };
            let names: Vec<_> = list
                .service
                .into_iter()
                .map(|service| service.name)
                .collect();
            for name in [
                ORDER,
                ROOM,
                "grpc.health.v1.Health",
                concat!("grpc.reflection.", $name, ".ServerReflection"),
            ] {
                assert!(
                    names.iter().any(|n| n == name),
                    "{name} is not in {names:?}"
                );
            }
            for symbol in symbols {
                let MessageResponse::FileDescriptorResponse(file) = next().await else {
                    panic!("{symbol}")
                };
                if symbol == ORDER {
                    // Byte for byte as it was compiled, so custom options are in it.
                    let bytes = &file.file_descriptor_proto[0];
                    let set = contracts::FILE_DESCRIPTOR_SET;
                    assert!(set.windows(bytes.len()).any(|part| part == bytes));
                }
            }
        }
    };
}

reflection_test!(reflection_answers_v1, v1, "v1");
reflection_test!(reflection_answers_v1alpha, v1alpha, "v1alpha");

#[test]
fn a_broken_descriptor_set_is_refused() {
    assert!(reflection_v1(&[&[0xff, 0xff]]).is_err());
    assert!(reflection_v1alpha(&[&[0xff, 0xff]]).is_err());
}
