//! What the directory of partners decides: who is suspended, what a partner may use, how much, with which keys and
//! certificates.

use contracts::catalog::v1 as pb;
use contracts::policy::Criticality;

use super::*;
use crate::auth::{Peer, PeerCertificate};
use crate::clock::Micros;
use crate::partners::{News, PartnerDirectory};

struct House {
    bench: Bench,
    hits: Arc<AtomicUsize>,
    service: LayeredService,
    directory: PartnerDirectory,
}

fn house_of(directory: PartnerDirectory, config: LayersConfig) -> House {
    let mut bench = Bench::with(config);
    bench.deps.verifier = bench.deps.verifier.clone().with_partners(directory.clone());
    let hits = Arc::new(AtomicUsize::new(0));
    let service = layered(counting(&hits), &bench.deps);
    House {
        bench,
        hits,
        service,
        directory,
    }
}

fn house() -> House {
    let mut config = LayersConfig::default();
    config.shed.unproven.per_second = 0;
    house_of(PartnerDirectory::new(), config)
}

impl House {
    fn turn(&self, revision: i64, state: pb::PartnerState) {
        let message = pb::Partner {
            partner_id: partner().to_string(),
            state: state.into(),
            revision,
            ..Default::default()
        };
        self.directory.learn(News::of_partner(&message));
    }

    fn admit(&self, revision: i64, change: impl FnOnce(&mut pb::PartnerAccess)) {
        let mut access = pb::PartnerAccess {
            partner_id: partner().to_string(),
            revision,
            ..Default::default()
        };
        change(&mut access);
        self.directory.learn(News::of_access(&access));
    }

    async fn reason(&self, request: Request) -> String {
        reason_of(&status_of(self.service.answer(request).await).await)
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    fn partner_method(&self, fits: impl Fn(&MethodPolicy) -> bool) -> (Arc<MethodPolicy>, String) {
        let for_partners = |method: &MethodPolicy| {
            fits(method)
                && method
                    .access
                    .iter()
                    .any(|a| a.audience == Audience::Partner)
        };
        let method = self.bench.method(for_partners);
        let access = method
            .access
            .iter()
            .find(|a| a.audience == Audience::Partner);
        let token = self.bench.token(access.expect("just found"));
        (method, token)
    }
}

/// Every method that partners or viewers may call, whatever methods there are or will be.
mod security {
    use super::*;

    #[tokio::test]
    async fn a_suspended_partner_reaches_nothing_but_what_reports_money() {
        let h = house();
        h.turn(1, pb::PartnerState::Suspended);
        let (mut refused, mut open) = (0, Vec::new());
        for method in h.bench.deps.policies.methods() {
            for access in &method.access {
                let reached = h.hits();
                let reason = h
                    .reason(request(&method.path, Some(&h.bench.token(access))))
                    .await;
                let is_partners = matches!(access.audience, Audience::Partner | Audience::Viewer);
                if !is_partners || method.criticality == Criticality::Critical {
                    assert_eq!(
                        (reason.as_str(), h.hits()),
                        ("", reached + 1),
                        "{}",
                        method.path
                    );
                    if is_partners {
                        open.push(method.name.clone());
                    }
                } else {
                    assert_eq!(reason, "PARTNER_SUSPENDED", "{}", method.path);
                    assert_eq!(h.hits(), reached, "{} reached its handler", method.path);
                    refused += 1;
                }
            }
        }
        assert!(refused > 50, "{refused}");
        for name in ["ConfirmPayment", "ReportRefund"] {
            assert!(
                open.iter().any(|method| method == name),
                "{name} is closed: {open:?}"
            );
        }
        for name in ["PlaceOrder", "WatchOrderFeed"] {
            assert!(!open.iter().any(|method| method == name), "{name} is open");
        }

        h.turn(2, pb::PartnerState::Active);
        let (method, token) = h.partner_method(|method| method.name == "PlaceOrder");
        assert_eq!(h.reason(request(&method.path, Some(&token))).await, "");
    }

    #[tokio::test]
    async fn nobody_is_let_in_before_it_is_known_who_is_suspended() {
        let h = house_of(PartnerDirectory::to_be_loaded(), LayersConfig::default());
        let (place, token) = h.partner_method(|method| method.name == "PlaceOrder");
        let (confirm, money) = h.partner_method(|method| method.name == "ConfirmPayment");
        assert_eq!(
            h.reason(request(&place.path, Some(&token))).await,
            "OVERLOADED"
        );
        assert_eq!(h.reason(request(&confirm.path, Some(&money))).await, "");
        assert_eq!(h.hits(), 1);
        h.directory.loaded();
        assert_eq!(h.reason(request(&place.path, Some(&token))).await, "");
    }

    #[tokio::test]
    async fn a_token_says_no_more_than_the_retailer_allows_its_partner() {
        let h = house();
        h.admit(1, |access| {
            access.allowed_scopes = vec!["order.read".into()]
        });
        for method in h.bench.deps.policies.methods() {
            let Some(access) = method
                .access
                .iter()
                .find(|a| a.audience == Audience::Partner)
            else {
                continue;
            };
            let reached = h.hits();
            let reason = h
                .reason(request(&method.path, Some(&h.bench.token(access))))
                .await;
            if access.scopes == ["order.read"] {
                assert_eq!(reason, "", "{}", method.path);
            } else {
                assert_eq!(
                    (reason.as_str(), h.hits()),
                    ("PERMISSION_DENIED", reached),
                    "{}",
                    method.path
                );
            }
        }
        h.admit(2, |_| {});
        let (method, token) = h.partner_method(|method| method.name == "PlaceOrder");
        assert_eq!(h.reason(request(&method.path, Some(&token))).await, "");
    }

    #[tokio::test]
    async fn a_partner_with_registered_certificates_comes_with_one_of_them() {
        let h = house();
        let (method, token) = h.partner_method(|method| method.name == "PlaceOrder");
        let shown = PeerCertificate::of_der(b"a certificate");
        let with = |certificate: Option<&PeerCertificate>, asks_certificates: bool| {
            let mut request = request(&method.path, Some(&token));
            request.extensions_mut().insert(Arc::new(Peer {
                asks_certificates,
                certificate: certificate.cloned(),
                ..Peer::default()
            }));
            request
        };
        assert_eq!(h.reason(with(None, true)).await, "");
        let pin = |sha256: &[u8; 32]| pb::ClientCertificate {
            sha256_fingerprint: hex::encode(sha256),
            state: pb::ClientCertificateState::Active.into(),
            ..Default::default()
        };
        h.admit(1, |access| {
            access.client_certificates = vec![pin(shown.sha256())]
        });
        assert_eq!(h.reason(with(Some(&shown), true)).await, "");
        // A port that asks for none cannot tell.
        assert_eq!(h.reason(with(None, false)).await, "");
        let other = PeerCertificate::of_der(b"another");
        let reached = h.hits();
        for wrong in [None, Some(&other)] {
            assert_eq!(h.reason(with(wrong, true)).await, "PERMISSION_DENIED");
        }
        // Revoked: there is another left, so it does not turn into any.
        h.admit(2, |access| access.client_certificates = vec![pin(&[9; 32])]);
        assert_eq!(
            h.reason(with(Some(&shown), true)).await,
            "PERMISSION_DENIED"
        );
        assert_eq!(h.hits(), reached);
    }

    /// A partner's own tokens: signed by it, as the issuer that it registered.
    fn signer(h: &House, seed: u8, issuer: &str) -> TokenSigner {
        let (clock, ids) = (h.bench.deps.clock.clone(), h.bench.deps.ids.clone());
        let key = SigningKey::from_seed(&[seed; 32]);
        TokenSigner::new(key, &AuthConfig::default(), clock, ids).named(issuer)
    }

    fn key(seed: u8, state: pb::TokenKeyState, retire: Option<Micros>) -> pb::TokenKey {
        let public = SigningKey::from_seed(&[seed; 32]);
        pb::TokenKey {
            kid: public.kid().to_owned(),
            public_key_jwk: public.public_jwk().to_string(),
            state: state.into(),
            retire_time: retire.map(Micros::to_proto),
            ..Default::default()
        }
    }

    #[tokio::test]
    async fn keys_overlap_while_they_are_rotated_and_are_refused_when_they_are_gone() {
        use pb::TokenKeyState::{Active, Retiring};
        const NAME: &str = "https://north.example";
        let h = house();
        let (method, _) = h.partner_method(|method| method.name == "PlaceOrder");
        let mint = |seed: u8, who: PartnerId| {
            let claims = Claims::partner("gateway", &who).scopes(["order.write"]);
            signer(&h, seed, NAME).mint(claims, HOUR)
        };
        let ask = async |token: &str| h.reason(request(&method.path, Some(token))).await;
        let (old, new) = (mint(1, partner()), mint(2, partner()));
        assert_eq!(ask(&old).await, "UNAUTHENTICATED");

        let keys = |revision: i64, keys: Vec<pb::TokenKey>| {
            h.admit(revision, |access| {
                access.issuer_name = NAME.into();
                access.token_keys = keys;
            });
        };
        keys(1, vec![key(1, Active, None)]);
        assert_eq!(
            (ask(&old).await.as_str(), ask(&new).await.as_str()),
            ("", "UNAUTHENTICATED")
        );
        // The name is one partner's; nobody else's tokens are signed under it.
        assert_eq!(
            ask(&mint(1, PartnerId::from_uuid(9))).await,
            "UNAUTHENTICATED"
        );
        let retailer = Claims::retailer("ana", &crate::caller::ROLES).scopes(["order.write"]);
        assert_eq!(
            ask(&signer(&h, 1, NAME).mint(retailer, HOUR)).await,
            "UNAUTHENTICATED"
        );

        let until = h.bench.clock.now().plus(Duration::from_secs(60));
        keys(2, vec![key(1, Retiring, Some(until)), key(2, Active, None)]);
        assert_eq!(
            (ask(&old).await.as_str(), ask(&new).await.as_str()),
            ("", "")
        );
        h.bench.clock.advance(Duration::from_secs(61));
        assert_eq!(
            (ask(&old).await.as_str(), ask(&new).await.as_str()),
            ("UNAUTHENTICATED", "")
        );
        // Revoked: tokens that were let in a moment ago are refused too.
        keys(3, vec![]);
        assert_eq!(ask(&new).await, "UNAUTHENTICATED");
        keys(4, vec![key(2, Active, None)]);
        assert_eq!(ask(&new).await, "");
        // Without the name there is no issuer.
        h.admit(5, |access| access.token_keys = vec![key(2, Active, None)]);
        assert_eq!(ask(&new).await, "UNAUTHENTICATED");
    }

    #[tokio::test]
    async fn no_partner_takes_the_name_of_an_issuer_that_the_configuration_has() {
        let h = house();
        h.admit(1, |access| {
            access.issuer_name = "vitrine".into();
            access.token_keys = vec![key(3, pb::TokenKeyState::Active, None)];
        });
        let (method, good) = h.partner_method(|method| method.name == "PlaceOrder");
        let claims = Claims::partner("gateway", &partner()).scopes(["order.write"]);
        let forged = signer(&h, 3, "vitrine").mint(claims, HOUR);
        assert_eq!(
            h.reason(request(&method.path, Some(&forged))).await,
            "UNAUTHENTICATED"
        );
        assert_eq!(h.reason(request(&method.path, Some(&good))).await, "");
    }
}

#[tokio::test]
async fn the_streams_of_a_partner_end_when_it_is_suspended() {
    let h = house();
    let (method, token) = h.partner_method(|method| method.server_streaming);
    let viewers = |m: &MethodPolicy| {
        m.server_streaming && m.access.iter().any(|a| a.audience == Audience::Viewer)
    };
    let watched = h.bench.method(viewers);
    let access = watched
        .access
        .iter()
        .find(|a| a.audience == Audience::Viewer);
    let viewer = h.bench.token(access.expect("just found"));
    let stream = |path: &str, token: &str| with(request(path, Some(token)), "x-behave", "stream");
    let mut ends = Vec::new();
    for (path, token) in [(&method.path, &token), (&watched.path, &viewer)] {
        let answer = h.service.answer(stream(path, token)).await;
        ends.push(Box::pin(status_of(answer)));
    }
    for end in &mut ends {
        assert!(futures::poll!(end).is_pending());
    }
    h.turn(1, pb::PartnerState::Suspended);
    for end in ends {
        let status = tokio::time::timeout(Duration::from_secs(10), end)
            .await
            .expect("it ends at once");
        assert_eq!(
            (status.code(), reason_of(&status).as_str()),
            (Code::FailedPrecondition, "PARTNER_SUSPENDED")
        );
    }
}

#[tokio::test]
async fn quotas_of_the_directory_apply_from_the_next_call_on() {
    let h = house();
    let (place, token) = h.partner_method(|method| method.name == "PlaceOrder");
    let (read, reading) = h.partner_method(|method| method.name == "GetOrder");
    let place = || request(&place.path, Some(&token));
    let read = || request(&read.path, Some(&reading));
    for _ in 0..20 {
        assert_eq!(h.reason(place()).await, "");
    }
    let quotas = |revision: i64, quotas: pb::PartnerQuotas| {
        h.admit(revision, |access| access.quotas = Some(quotas));
    };
    quotas(
        1,
        pb::PartnerQuotas {
            placements_per_second: 2,
            ..Default::default()
        },
    );
    // Two seconds' worth at once, then no more; other calls go on.
    for n in 0..6 {
        let reason = h.reason(place()).await;
        assert_eq!(reason, if n < 4 { "" } else { "RATE_LIMITED" }, "order {n}");
    }
    assert_eq!(h.reason(read()).await, "");
    h.bench.clock.advance(Duration::from_secs(1));
    assert_eq!(h.reason(place()).await, "");

    quotas(
        2,
        pb::PartnerQuotas {
            calls_per_second: 1,
            ..Default::default()
        },
    );
    for n in 0..3 {
        let reason = h.reason(read()).await;
        assert_eq!(reason, if n < 2 { "" } else { "RATE_LIMITED" }, "call {n}");
    }
    // Whoever was over its rate hears so at the door for as long as it was told to wait, whatever is said meanwhile.
    h.bench.clock.advance(Duration::from_secs(2));
    quotas(
        3,
        pb::PartnerQuotas {
            concurrent_calls: 1,
            ..Default::default()
        },
    );
    let mut held = Box::pin(h.service.answer(with(read(), "x-behave", "hang")));
    assert!(futures::poll!(&mut held).is_pending());
    assert_eq!(h.reason(read()).await, "RATE_LIMITED");
    drop(held);
    assert_eq!(h.reason(read()).await, "");
}
