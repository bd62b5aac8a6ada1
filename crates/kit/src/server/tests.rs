//! The server over real sockets, and over pipes where time has to stand still.

mod drain;
mod limits;
mod security;
mod tls;

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use super::accept::{Loop, Source};
use super::connection::Connections;
use super::*;
use crate::layers::tests::{Bench, counting};
use crate::lifecycle::Lifecycle;

/// Any free port, and limits short enough to see them at work.
fn config() -> ServerConfig {
    ServerConfig {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        drain_close_ms: 200,
        layers: LayersConfig {
            stream_drain_grace_ms: 20,
            ..LayersConfig::default()
        },
        ..ServerConfig::default()
    }
}

/// tonic's own health service behind all layers: open to everybody, one unary method and one stream that
/// never ends by itself.
fn health(config: &ServerConfig, lifecycle: &Lifecycle) -> LayeredService {
    let (_, service) = tonic_health::server::health_reporter();
    let mut bench = Bench::with(config.layers.clone());
    bench.deps.drain = lifecycle.token();
    layered(Routes::new(service), &bench.deps)
}

async fn start(config: &ServerConfig, lifecycle: &Lifecycle) -> SocketAddr {
    let server = HardenedServer::bind(config).await.expect("a free port");
    let address = server.local_addr();
    lifecycle.spawn("server", server.serve(health(config, lifecycle), lifecycle));
    address
}

fn ask() -> HealthCheckRequest {
    HealthCheckRequest {
        service: String::new(),
    }
}

async fn connect(address: SocketAddr) -> HealthClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    HealthClient::new(endpoint.connect().await.expect("a connection"))
}

fn reason_of(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}

/// Connections made by hand: no sockets, so paused time is exact.
type Address = Option<std::net::IpAddr>;

struct Pipes(mpsc::Receiver<std::io::Result<DuplexStream>>);

impl Source for Pipes {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> std::io::Result<(DuplexStream, Address)> {
        match self.0.recv().await {
            Some(accepted) => Ok((accepted?, None)),
            None => std::future::pending().await,
        }
    }
}

type Accepted = mpsc::Sender<std::io::Result<DuplexStream>>;

fn start_piped(config: &ServerConfig, lifecycle: &Lifecycle) -> Accepted {
    let (accepted, source) = mpsc::channel(1);
    let service = health(config, lifecycle);
    let accept = Loop {
        source: Pipes(source),
        connections: Connections::new(service, Arc::new(config.clone()), lifecycle.clone()),
        tls: None,
        lifecycle: lifecycle.clone(),
        backoff_max: Duration::from_millis(config.accept_backoff_max_ms),
    };
    lifecycle.spawn("server", accept.run());
    accepted
}

async fn pipe(accepted: &Accepted) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    accepted.send(Ok(theirs)).await.expect("the server accepts");
    ours
}

/// A client that opens a new pipe whenever it needs a connection, and counts them.
fn piped_client(accepted: &Accepted, opened: &Arc<AtomicUsize>) -> HealthClient<Channel> {
    let (accepted, opened) = (accepted.clone(), opened.clone());
    let connector = tower::service_fn(move |_: Uri| {
        opened.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let accepted = accepted.clone();
        async move { Ok::<_, std::io::Error>(TokioIo::new(pipe(&accepted).await)) }
    });
    let channel = Endpoint::from_static("http://piped").connect_with_connector_lazy(connector);
    HealthClient::new(channel)
}

#[tokio::test]
async fn serves_calls_and_streams_over_a_real_port() {
    let lifecycle = Lifecycle::new();
    let address = start(&config(), &lifecycle).await;
    let mut client = connect(address).await;
    let answer = client.check(ask()).await.expect("healthy");
    assert!(answer.metadata().contains_key("x-request-id"));
    let mut stream = client.watch(ask()).await.expect("a stream").into_inner();
    assert!(stream.message().await.expect("a message").is_some());
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("an address");
    let config = ServerConfig {
        address,
        ..config()
    };
    let error = HardenedServer::bind(&config)
        .await
        .err()
        .expect("the port is taken");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[test]
fn the_limits_and_issuers_can_be_configured_and_printed() {
    use crate::config::{Env, load, render};

    #[derive(Default, serde::Serialize, serde::Deserialize)]
    #[serde(default)]
    struct Process {
        server: ServerConfig,
        auth: crate::auth::AuthConfig,
        wire: crate::wire::RemoteConfig,
    }

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("vitrine.toml");
    let key = crate::auth::SigningKey::from_seed(&[1; 32]).public_jwk();
    let text = format!(
        "[server.layers.rate_limit.partners]\n\
         partner_00000000000000000000000001 = {{ per_second = 7, burst = 9 }}\n\
         [[auth.issuers]]\n\
         issuer = \"acme\"\nalgorithms = [\"EdDSA\", \"ES256\"]\nmay_mint = [\"partner\"]\n\
         jwks = '{{\"keys\": [{key}]}}'\n"
    );
    std::fs::write(&file, text).expect("written");
    let overrides = [("server.tls.cert_file".to_owned(), "/tls/tls.crt".to_owned())];
    let env: Env = [("VITRINE__SERVER__MAX_CONNECTIONS", "12")]
        .into_iter()
        .collect();
    let process: Process = load(Some(&file), &env, &overrides).expect("a good configuration");
    assert_eq!(process.server.max_connections, 12);
    assert_eq!(
        process.server.tls.cert_file.as_deref(),
        Some(std::path::Path::new("/tls/tls.crt"))
    );
    let partners = &process.server.layers.rate_limit.partners;
    assert_eq!(partners["partner_00000000000000000000000001"].per_second, 7);
    crate::auth::Issuer::from_config(&process.auth.issuers[0]).expect("a good issuer");
    assert!(
        render(&process)
            .expect("printed")
            .contains("max_connections = 12")
    );
    let wrong = [("server.max_conections".to_owned(), "1".to_owned())];
    assert!(
        load::<Process>(None, &Env::empty(), &wrong).is_err(),
        "a key that nothing reads"
    );
    assert_eq!(process.wire, crate::wire::RemoteConfig::default());
}
