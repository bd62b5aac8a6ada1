//! Every method there is, with every kind of wrong certificate and on the wrong port: refused before any handler. The
//! partners' port and the internal one ask for certificates of different authorities.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::id::{OutletId, PartnerId, RoomId};
use contracts::policy::Policies;
use futures::StreamExt;
use kit::auth::{Claims, IssuerConfig, SigningKey, jws};
use kit::server::{ClientAuth, TlsConfig};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, IsCa,
    Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use tonic::Code;
use tonic::transport::{Certificate as Trusted, Channel, ClientTlsConfig, Endpoint, Identity};

use super::credentials::{self, HOUR, ROLES, signed};
use crate::raw;
use crate::topology::Running;

const APP: &str = "spiffe://partner.example/app";
const BOUND: &str = "issuer-with-certificates";
const AT_ONCE: usize = 32;

/// An authority and what it issues.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A client's certificate and key.
struct Client {
    certificate: Certificate,
    key: KeyPair,
}

impl Client {
    fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.certificate.der()))
    }

    fn identity(&self) -> Identity {
        Identity::from_pem(self.certificate.pem(), self.key.serialize_pem())
    }
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            rcgen::KeyUsagePurpose::KeyCertSign,
            rcgen::KeyUsagePurpose::CrlSign,
        ];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signed").pem();
        Authority {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    fn issue(&self, uri: &str, change: impl FnOnce(&mut CertificateParams)) -> Client {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        if !uri.is_empty() {
            params
                .subject_alt_names
                .push(SanType::URI(uri.try_into().expect("an URI")));
        }
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        Client { certificate, key }
    }

    fn revokes(&self, serials: &[u64]) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2099, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer)
            .expect("signed")
            .pem()
            .expect("PEM")
    }
}

/// Two authorities, a suite with two ports, and clients of all kinds.
struct World {
    running: Running,
    folder: tempfile::TempDir,
    servers: Authority,
    partners: Authority,
    insiders: Authority,
    bound: SigningKey,
}

impl World {
    async fn new() -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let (servers, partners, insiders) = (Authority::new(), Authority::new(), Authority::new());
        let server = servers.issue("", |_| {});
        let write = |name: &str, text: String| -> PathBuf {
            let file = folder.path().join(name);
            std::fs::write(&file, text).expect("written");
            file
        };
        let cert_file = write("server.pem", server.certificate.pem());
        let key_file = write("server.key", server.key.serialize_pem());
        let tls = |ca: PathBuf, crl: PathBuf| TlsConfig {
            cert_file: Some(cert_file.clone()),
            key_file: Some(key_file.clone()),
            client_auth: ClientAuth::Required,
            client_ca_file: Some(ca),
            client_crl_file: Some(crl),
            ..TlsConfig::default()
        };
        let outside = tls(
            write("partners.pem", partners.pem.clone()),
            write("partners.crl", partners.revokes(&[13])),
        );
        let inside = tls(
            write("insiders.pem", insiders.pem.clone()),
            write("insiders.crl", insiders.revokes(&[13])),
        );
        let bound = SigningKey::generate();
        let issuer = IssuerConfig {
            issuer: BOUND.into(),
            algorithms: vec![jws::Algorithm::EdDsa],
            jwks: Some(json!({ "keys": [bound.public_jwk()] }).to_string()),
            may_mint: vec!["partner".into()],
            partner_id: Some(credentials::partner().to_string()),
            spiffe_ids: vec![APP.into()],
            ..IssuerConfig::default()
        };
        let running = Running::embedded_with(|config| {
            config.server.tls = outside;
            config.server.internal.address = Some(([127, 0, 0, 1], 0).into());
            config.server.internal.tls = inside;
            config.auth.issuers.push(issuer);
            config.server.layers.shed.unproven.per_second = 0;
        })
        .await;
        World {
            running,
            folder,
            servers,
            partners,
            insiders,
            bound,
        }
    }

    fn endpoint(&self, inside: bool, client: Option<&Client>) -> Endpoint {
        let port = if inside {
            self.running.internal_socket()
        } else {
            self.running.socket()
        };
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Trusted::from_pem(&self.servers.pem))
            .domain_name("localhost");
        if let Some(client) = client {
            tls = tls.identity(client.identity());
        }
        Endpoint::from_shared(format!("https://localhost:{}", port.port()))
            .and_then(|endpoint| endpoint.tls_config(tls))
            .expect("an endpoint")
            .connect_timeout(Duration::from_secs(10))
    }

    /// The claims of a partner's token of the issuer with certificates.
    fn bound_token(&self, cnf: Option<serde_json::Value>) -> String {
        let now = kit::clock::Clock::now(&kit::clock::SystemClock).seconds();
        let scopes = credentials::all_scopes(&Policies::load().expect("whole contracts"));
        let mut claims = json!({ "iss": BOUND, "sub": "app", "aud": "vitrine", "iat": now, "exp": now + 600,
            "actor": "partner", "partner_id": credentials::partner().to_string(), "scope": scopes.join(" ") });
        if let Some(cnf) = cnf {
            claims["cnf"] = cnf;
        }
        let header = json!({ "alg": "EdDSA", "kid": self.bound.kid(), "typ": "JWT" });
        signed(&header, &claims, &self.bound)
    }

    /// Asks every method; none may answer. With `code` each refusal has one of these.
    async fn refuses(&self, kind: &str, channel: Channel, token: &str, codes: &[Code]) -> usize {
        let policies = Policies::load().expect("whole contracts");
        let before = self.running.let_in().0;
        let calls = AtomicUsize::new(0);
        futures::stream::iter(policies.methods())
            .for_each_concurrent(AT_ONCE, |method| {
                let (channel, calls) = (channel.clone(), &calls);
                async move {
                    let answer = raw::call(&channel, &method.path, Some(token), Vec::new()).await;
                    let status = answer.expect_err(kind);
                    assert!(
                        codes.contains(&status.code()),
                        "{} with {kind}: {status:?}",
                        method.path
                    );
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
            .await;
        assert_eq!(
            self.running.let_in().0,
            before,
            "{kind}: a handler was asked"
        );
        calls.into_inner()
    }
}

const NOT_CONNECTED: &[Code] = &[
    Code::Unavailable,
    Code::Unknown,
    Code::Internal,
    Code::Cancelled,
];
const REFUSED: &[Code] = &[Code::Unauthenticated, Code::PermissionDenied];

#[tokio::test(flavor = "multi_thread")]
async fn no_wrong_certificate_or_port_reaches_a_handler() {
    let world = World::new().await;
    let methods = Policies::load().expect("whole contracts").methods().len();
    let good = world.partners.issue(APP, |_| {});
    let other = world
        .partners
        .issue("spiffe://partner.example/another", |_| {});
    let revoked = world.partners.issue(APP, |params| {
        params.serial_number = Some(SerialNumber::from(13))
    });
    let expired = world.partners.issue(APP, |params| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let early = world
        .partners
        .issue(APP, |params| params.not_before = date_time_ymd(2090, 1, 1));
    let alien = Authority::new().issue(APP, |_| {});
    let insider = world
        .insiders
        .issue("spiffe://retailer.example/ops", |_| {});
    let token = world.bound_token(None);
    let mut kinds = 0;

    // Who has no good certificate has no connection.
    let plain =
        Endpoint::from_shared(format!("http://{}", world.running.socket())).expect("an address");
    let mut unconnected = vec![
        ("no TLS", plain),
        ("no certificate", world.endpoint(false, None)),
    ];
    for (kind, inside, client) in [
        ("a certificate of another authority", false, &alien),
        ("an expired certificate", false, &expired),
        ("a certificate that is not valid yet", false, &early),
        ("a revoked certificate", false, &revoked),
        (
            "an internal certificate on the partners' port",
            false,
            &insider,
        ),
        ("a partner's certificate on the internal port", true, &good),
    ] {
        unconnected.push((kind, world.endpoint(inside, Some(client))));
    }
    for (kind, endpoint) in unconnected {
        let asked = world
            .refuses(kind, endpoint.connect_lazy(), &token, NOT_CONNECTED)
            .await;
        assert_eq!(asked, methods);
        kinds += 1;
    }

    // Who has one comes with a token that is not for it, or to the port that is for others.
    let scopes = credentials::all_scopes(&Policies::load().expect("whole contracts"));
    let mint = |claims: Claims| world.running.signer().mint(claims.scopes(&scopes), HOUR);
    let partner = || Claims::partner("app", &credentials::partner());
    let viewer = Claims::viewer(
        &PartnerId::from_uuid(1),
        &OutletId::from_uuid(2),
        &RoomId::from_uuid(3),
        "s",
    );
    let bound = |thumbprint: String| world.bound_token(Some(json!({ "x5t#S256": thumbprint })));
    for (kind, inside, client, token) in [
        (
            "another SPIFFE id than the issuer's",
            false,
            &other,
            token.clone(),
        ),
        (
            "a token of another certificate",
            false,
            &good,
            bound(other.thumbprint()),
        ),
        (
            "a token of a certificate that nobody has",
            false,
            &good,
            bound("A".repeat(43)),
        ),
        (
            "a token bound in another way",
            false,
            &good,
            world.bound_token(Some(json!({ "jkt": "A" }))),
        ),
        (
            "a token bound twice",
            false,
            &good,
            world.bound_token(Some(json!({ "x5t#S256": good.thumbprint(), "jkt": "A" }))),
        ),
        (
            "the retailer on the partners' port",
            false,
            &good,
            mint(Claims::retailer("ops", &ROLES)),
        ),
        (
            "a partner on the internal port",
            true,
            &insider,
            mint(partner()),
        ),
        (
            "a viewer on the internal port",
            true,
            &insider,
            mint(viewer),
        ),
        (
            "a bound token on the internal port",
            true,
            &insider,
            bound(good.thumbprint()),
        ),
    ] {
        let channel = world
            .endpoint(inside, Some(client))
            .connect()
            .await
            .expect("a good certificate");
        let asked = world.refuses(kind, channel, &token, REFUSED).await;
        assert_eq!(asked, methods);
        kinds += 1;
    }
    assert!(kinds >= 17, "only {kinds} kinds");

    // With everything right the same counters move, so they would have told.
    let path = "/vitrine.catalog.v1.PartnerService/ListPartners";
    let channel = world
        .endpoint(true, Some(&insider))
        .connect()
        .await
        .expect("connected");
    let before = world.running.let_in();
    let ops = mint(Claims::retailer("ops", &ROLES));
    raw::call(&channel, path, Some(&ops), Vec::new())
        .await
        .expect("let in");
    let channel = world
        .endpoint(false, Some(&good))
        .connect()
        .await
        .expect("connected");
    let path = "/vitrine.order.v1.OrderService/ListOrders";
    raw::call(&channel, path, Some(&bound(good.thumbprint())), Vec::new())
        .await
        .expect("let in");
    assert_eq!(world.running.let_in().0, before.0 + 2);
    let World {
        running, folder, ..
    } = world;
    running.stop().await;
    drop(folder);
}
