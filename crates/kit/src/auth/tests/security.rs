//! A server on real ports, authorities that issue and revoke certificates, and an issuer's key server.

mod certificates;
mod keys;
mod listeners;
mod rotation;

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contracts::policy::{Access, Audience, MethodPolicy};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SanType, SerialNumber, date_time_ymd,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity as Shown};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::ServiceExt;

use crate::auth::{
    AuthConfig, Claims, Issuer, IssuerConfig, Peer, PeerCertificate, SigningKey, TokenSigner,
    TokenVerifier, jws::Algorithm,
};
use crate::layers::tests::{Bench, HOUR, claims_for, partner, request, status_of};
use crate::layers::{LayersConfig, Rate, layered};
use crate::lifecycle::Lifecycle;
use crate::server::{ClientAuth, HardenedServer, InternalConfig, ServerConfig, TlsConfig};

const HOST: &str = "vitrine.test";
const SPIFFE: &str = "spiffe://acme.example/gateway";
/// More than any of these takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whoever issues certificates.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    serials: AtomicU64,
}

/// A certificate and its key.
#[derive(Clone)]
struct Leaf {
    cert: String,
    key: String,
    serial: u64,
    peer: PeerCertificate,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        Authority {
            issuer: CertifiedIssuer::self_signed(params, key).expect("an authority"),
            serials: AtomicU64::new(1),
        }
    }

    fn pem(&self) -> String {
        self.issuer.pem()
    }

    fn issue(&self, names: Vec<SanType>, purpose: ExtendedKeyUsagePurpose) -> Leaf {
        let serial = self.serials.fetch_add(1, Ordering::Relaxed);
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.subject_alt_names = names;
        params.serial_number = Some(SerialNumber::from(serial));
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Leaf {
            cert: certificate.pem(),
            key: key.serialize_pem(),
            serial,
            peer: PeerCertificate::of_der(certificate.der()),
        }
    }

    fn server(&self) -> Leaf {
        let names = vec![
            SanType::DnsName(HOST.try_into().expect("a name")),
            SanType::IpAddress([127, 0, 0, 1].into()),
        ];
        self.issue(names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn client(&self, spiffe_id: &str) -> Leaf {
        let name = SanType::URI(spiffe_id.try_into().expect("a name"));
        self.issue(vec![name], ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A list of what is revoked.
    fn revoked(&self, leaves: &[&Leaf]) -> String {
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2025, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: leaves
                .iter()
                .map(|leaf| RevokedCertParams {
                    serial_number: SerialNumber::from(leaf.serial),
                    revocation_time: date_time_ymd(2025, 1, 1),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("a list");
        list.pem().expect("PEM")
    }
}

/// A server with its files, and whom it saw.
struct World {
    bench: Bench,
    folder: tempfile::TempDir,
    authority: Authority,
    hits: Arc<AtomicUsize>,
    seen: Arc<Mutex<HashMap<String, PeerCertificate>>>,
    lifecycle: Lifecycle,
    address: SocketAddr,
    internal: Option<SocketAddr>,
}

struct Plan {
    client_auth: ClientAuth,
    internal: bool,
    layers: LayersConfig,
    auth: AuthConfig,
}

impl Default for Plan {
    fn default() -> Self {
        let mut layers = LayersConfig::default();
        // Here bad tokens come by the hundred in no time.
        layers.shed.unproven.per_second = 0;
        layers.rate_limit.partner = Rate {
            per_second: 0,
            burst: 0,
        };
        Plan {
            client_auth: ClientAuth::Required,
            internal: false,
            layers,
            auth: AuthConfig::default(),
        }
    }
}

impl World {
    async fn new(plan: Plan) -> World {
        let authority = Authority::new("first");
        let folder = tempfile::tempdir().expect("a folder");
        let mut bench = Bench::with(plan.layers.clone());
        let own = bench.suite.issuer(&[
            Audience::Partner,
            Audience::Retailer,
            Audience::Viewer,
            Audience::Service,
        ]);
        bench.deps.verifier =
            TokenVerifier::from_config(&plan.auth, own, bench.clock.clone()).expect("good issuers");
        let lifecycle = Lifecycle::new();
        lifecycle.spawn("issuers", bench.deps.verifier.keep_fresh(lifecycle.token()));
        let mut world = World {
            bench,
            authority,
            folder,
            hits: Arc::default(),
            seen: Arc::default(),
            lifecycle,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            internal: None,
        };
        world.start(&plan).await;
        world
    }

    async fn start(&mut self, plan: &Plan) {
        let server = self.authority.server();
        self.write("tls.crt", &server.cert);
        self.write("tls.key", &server.key);
        self.write("clients.crt", &self.authority.pem());
        self.write("clients.crl", &self.authority.revoked(&[]));
        let asks = plan.client_auth != ClientAuth::Off;
        let tls = TlsConfig {
            cert_file: Some(self.file("tls.crt")),
            key_file: Some(self.file("tls.key")),
            client_auth: plan.client_auth,
            client_ca_file: asks.then(|| self.file("clients.crt")),
            client_crl_file: asks.then(|| self.file("clients.crl")),
            reload_interval_s: 1,
        };
        let config = ServerConfig {
            address: self.address,
            internal: InternalConfig {
                address: plan.internal.then_some(self.address),
                tls: tls.clone(),
            },
            tls,
            drain_close_ms: 200,
            layers: plan.layers.clone(),
            ..ServerConfig::default()
        };
        let service = layered(self.routes(), &self.bench.deps);
        let front = HardenedServer::bind(&config).await.expect("a free port");
        self.address = front.local_addr();
        self.lifecycle
            .spawn("server", front.serve(service.clone(), &self.lifecycle));
        if let Some(internal) = HardenedServer::bind_internal(&config)
            .await
            .expect("a port")
        {
            self.internal = Some(internal.local_addr());
            self.lifecycle
                .spawn("internal", internal.serve(service, &self.lifecycle));
        }
    }

    /// Answers everything, counts, and remembers who called with which certificate.
    fn routes(&self) -> Routes {
        let (hits, seen) = (self.hits.clone(), self.seen.clone());
        let handler = move |request: axum::extract::Request| {
            hits.fetch_add(1, Ordering::SeqCst);
            let worker = request.headers().get("x-worker");
            let peer = Peer::of(request.extensions());
            if let (Some(worker), Some(peer)) = (worker, peer)
                && let Some(certificate) = &peer.certificate
            {
                let worker = worker.to_str().expect("a word").to_owned();
                seen.lock()
                    .expect("alive")
                    .insert(worker, certificate.clone());
            }
            async {
                http::Response::builder()
                    .header("grpc-status", "0")
                    .body(tonic::body::Body::empty())
                    .expect("an answer")
            }
        };
        Routes::from(axum::Router::new().route("/{*path}", axum::routing::any(handler)))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).expect("written");
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    /// A new connection that shows this certificate.
    fn connect(&self, address: SocketAddr, shown: Option<&Leaf>) -> Channel {
        connect(address, shown, &self.authority.pem())
    }

    fn method_for(&self, audience: Audience) -> (Arc<MethodPolicy>, Access) {
        let of = |method: &MethodPolicy| {
            let mut access = method.access.iter();
            access.find(|access| access.audience == audience).cloned()
        };
        let method = self
            .bench
            .method(|method| method.is_unary() && of(method).is_some());
        let access = of(&method).expect("just found");
        (method, access)
    }

    /// A call as this kind of caller, with a token of the suite's own issuer.
    async fn call_as(&self, channel: &Channel, audience: Audience) -> Result<(), Status> {
        let (method, access) = self.method_for(audience);
        call(channel, &method.path, Some(&self.bench.token(&access))).await
    }

    /// A partner's call with these claims, signed by this signer.
    async fn call_with(
        &self,
        channel: &Channel,
        signer: &TokenSigner,
        change: impl Fn(Claims) -> Claims,
    ) -> Result<(), Status> {
        let (method, access) = self.method_for(Audience::Partner);
        let claims = change(claims_for(&access).scopes(&access.scopes));
        call(channel, &method.path, Some(&signer.mint(claims, HOUR))).await
    }

    fn signer(&self, seed: u8) -> TokenSigner {
        signer(&self.bench, seed)
    }
}

/// A new connection that shows a certificate and trusts these.
fn connect(address: SocketAddr, shown: Option<&Leaf>, trusted: &str) -> Channel {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(trusted))
        .domain_name(HOST);
    if let Some(leaf) = shown {
        tls = tls.identity(Shown::from_pem(&leaf.cert, &leaf.key));
    }
    Endpoint::from_shared(format!("https://{address}"))
        .and_then(|endpoint| endpoint.tls_config(tls))
        .expect("an endpoint")
        .connect_lazy()
}

/// Signs as the issuer `acme`.
fn signer(bench: &Bench, seed: u8) -> TokenSigner {
    let key = SigningKey::from_seed(&[seed; 32]);
    let (clock, ids) = (bench.clock.clone(), bench.deps.ids.clone());
    TokenSigner::new(key, &AuthConfig::default(), clock, ids).named("acme")
}

/// A set of the public keys of these seeds.
fn key_set(seeds: &[u8]) -> String {
    let keys: Vec<_> = seeds
        .iter()
        .map(|seed| SigningKey::from_seed(&[*seed; 32]).public_jwk())
        .collect();
    json!({ "keys": keys }).to_string()
}

/// The issuer of one partner, whose keys are somewhere.
fn acme() -> IssuerConfig {
    IssuerConfig {
        issuer: "acme".into(),
        algorithms: vec![Algorithm::EdDsa],
        may_mint: vec!["partner".into(), "viewer".into()],
        partner_id: Some(partner().to_string()),
        ..IssuerConfig::default()
    }
}

async fn call(channel: &Channel, path: &str, token: Option<&str>) -> Result<(), Status> {
    let answer = channel.clone().oneshot(request(path, token)).await;
    let answer = answer.map_err(|error| Status::from_error(error.into()))?;
    let status = status_of(answer).await;
    match status.code() {
        Code::Ok => Ok(()),
        _ => Err(status),
    }
}

fn reason(answer: Result<(), Status>) -> String {
    let status = answer.expect_err("a refusal");
    status
        .get_details_error_info()
        .map_or_else(|| format!("{status:?}"), |info| info.reason)
}

/// Waits until it is so.
async fn eventually<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let waiting = async {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        while !is_so().await {
            pause.tick().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Serves a key set over HTTP and counts how often it is asked.
struct KeyServer {
    url: String,
    /// What it says; nothing for a server that is ill.
    set: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
}

impl KeyServer {
    async fn new(set: String) -> KeyServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let set = Arc::new(Mutex::new(Some(set)));
        let asked = Arc::new(AtomicUsize::new(0));
        let (says, count) = (set.clone(), asked.clone());
        drop(crate::spawn("key-server", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let said = says.lock().expect("alive").clone();
                let answer = match said {
                    Some(set) => format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{set}",
                        set.len()
                    ),
                    None => "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".into(),
                };
                let mut request = [0; 1_024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }));
        KeyServer {
            url: format!("http://{address}/keys"),
            set,
            asked,
        }
    }

    fn say(&self, set: Option<String>) {
        *self.set.lock().expect("alive") = set;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[test]
fn an_issuer_says_what_is_wrong_with_its_certificates_and_addresses() {
    let refused = |change: &dyn Fn(&mut IssuerConfig)| {
        let mut config = acme();
        config.jwks = Some(key_set(&[1]));
        change(&mut config);
        let made = Issuer::from_config(&config);
        made.err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    assert_eq!(refused(&|_| {}), "");
    assert!(refused(&|c| c.spiffe_ids = vec!["acme".into()]).contains("spiffe_ids"));
    assert!(refused(&|c| c.certificate_sha256 = vec!["ab".into()]).contains("certificate_sha256"));
    assert!(
        refused(&|c| c.jwks_url = Some("https://id.acme.example".into())).contains("exactly one")
    );
    let plain = |c: &mut IssuerConfig| {
        c.jwks = None;
        c.jwks_url = Some("http://id.acme.example/keys".into());
    };
    assert!(refused(&plain).contains("https"));
}
