//! Generated from the policies: whatever methods the contracts have or will have, nobody reaches them
//! without the right token, and everybody with it does.

mod signatures;

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::*;
use crate::auth::AuthConfig;

struct Target {
    bench: Bench,
    hits: Arc<AtomicUsize>,
    service: LayeredService,
}

fn target() -> Target {
    // Here bad tokens come by the thousand in no time.
    let mut config = LayersConfig::default();
    config.shed.unproven.per_second = 0;
    let bench = Bench::with(config);
    let hits = Arc::new(AtomicUsize::new(0));
    let service = layered(counting(&hits), &bench.deps);
    Target {
        bench,
        hits,
        service,
    }
}

impl Target {
    async fn call(&self, request: Request) -> Status {
        status_of(self.service.answer(request).await).await
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}

fn unsigned(alg: &str, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!(
        "{}.{}.",
        part(&json!({"alg": alg, "typ": "JWT"})),
        part(claims)
    )
}

/// Requests whose token is no token, each with a word for what is wrong.
fn unauthenticated(bench: &Bench, method: &MethodPolicy) -> Vec<(&'static str, Request)> {
    let access = &method.access[0];
    let good = || claims_for(access).scopes(&access.scopes);
    let now = bench.clock.now().seconds();
    let mut raw = serde_json::to_value(good()).expect("JSON");
    raw["iss"] = json!("vitrine");
    raw["aud"] = json!("vitrine");
    raw["exp"] = json!(now + 600);
    let other_key = TokenSigner::new(
        SigningKey::from_seed(&[2; 32]),
        &AuthConfig::default(),
        bench.clock.clone(),
        bench.deps.ids.clone(),
    );
    let other_suite = AuthConfig {
        audience: "other".into(),
        ..AuthConfig::default()
    };
    let other_suite = TokenSigner::new(
        SigningKey::from_seed(&[1; 32]),
        &other_suite,
        bench.clock.clone(),
        bench.deps.ids.clone(),
    );
    let public = SigningKey::from_seed(&[1; 32]).public_jwk();
    let secret = EncodingKey::from_secret(public["x"].as_str().expect("text").as_bytes());
    let expired = {
        bench.clock.set(bench.clock.now().minus(HOUR));
        let token = bench.suite.mint(good(), HOUR - Duration::from_secs(10));
        bench.clock.advance(HOUR);
        token
    };
    let fine = bench.token(access);
    let tampered = {
        let (head, tail) = fine.split_once('.').expect("three parts");
        let (_, signature) = tail.split_once('.').expect("three parts");
        format!(
            "{head}.{}.{signature}",
            URL_SAFE_NO_PAD.encode(raw.to_string())
        )
    };
    let tokens = [
        ("empty", String::new()),
        ("garbage", "garbage".into()),
        ("three parts of garbage", "a.b.c".into()),
        ("expired", expired),
        (
            "unknown issuer",
            bench.suite.clone().named("mallory").mint(good(), HOUR),
        ),
        ("another key under our name", other_key.mint(good(), HOUR)),
        ("another suite's audience", other_suite.mint(good(), HOUR)),
        ("alg none", unsigned("none", &raw)),
        ("alg EdDSA without a signature", unsigned("EdDSA", &raw)),
        (
            "HMAC with the public key",
            jsonwebtoken::encode(&Header::default(), &raw, &secret).expect("signed"),
        ),
        ("tampered claims", tampered),
        ("without its last letter", fine[..fine.len() - 1].to_owned()),
    ];
    let path = method.path.as_str();
    let mut requests: Vec<_> = tokens
        .iter()
        .map(|(word, token)| (*word, request(path, Some(token))))
        .collect();
    requests.push(("no token", request(path, None)));
    requests.push((
        "another scheme",
        with(
            request(path, None),
            "authorization",
            &format!("Basic {fine}"),
        ),
    ));
    requests.push((
        "no scheme",
        with(request(path, None), "authorization", &fine),
    ));
    let twice = with(
        request(path, Some(&fine)),
        "authorization",
        &format!("Bearer {fine}"),
    );
    requests.push(("two tokens", twice));
    requests
}

#[tokio::test]
async fn no_method_is_reached_without_a_valid_token_and_all_answers_are_one() {
    let target = target();
    let mut answers = BTreeSet::new();
    let mut checked = 0;
    for method in target.bench.deps.policies.methods() {
        for (word, request) in unauthenticated(&target.bench, method) {
            let answer = target
                .service
                .answer(with(request, "x-request-id", "same"))
                .await;
            let headers: Vec<_> = answer
                .headers()
                .iter()
                .map(|(name, value)| format!("{name}: {value:?}"))
                .collect();
            let status = status_of(answer).await;
            assert_eq!(
                status.code(),
                Code::Unauthenticated,
                "{} with {word}",
                method.path
            );
            assert_eq!(
                reason_of(&status),
                "UNAUTHENTICATED",
                "{} with {word}",
                method.path
            );
            answers.insert(headers);
            checked += 1;
        }
    }
    assert!(checked > 100, "only {checked} calls were made");
    assert_eq!(
        answers.len(),
        1,
        "answers tell what was wrong with the token"
    );
    assert_eq!(target.hits(), 0);
}

/// Tokens that are valid and do not fit this method.
fn unfit(bench: &Bench, method: &MethodPolicy) -> Vec<(String, String)> {
    let mut tokens = Vec::new();
    for audience in [
        Audience::Partner,
        Audience::Retailer,
        Audience::Viewer,
        Audience::Service,
    ] {
        let allowed: Vec<_> = method
            .access
            .iter()
            .filter(|access| access.audience == audience)
            .collect();
        let everything = Access {
            audience,
            scopes: method
                .access
                .iter()
                .flat_map(|access| access.scopes.clone())
                .collect(),
            roles: method
                .access
                .iter()
                .flat_map(|access| access.roles.clone())
                .collect(),
        };
        if allowed.is_empty() {
            tokens.push((
                format!("{audience:?} with every scope and role"),
                bench.token(&everything),
            ));
        }
        for access in &allowed {
            for missing in &access.scopes {
                let others = access.scopes.iter().filter(|scope| *scope != missing);
                let claims = claims_for(access).scopes(others);
                // Another entry of the same audience may ask for less; then this token fits after all.
                if allowed.iter().all(|other| other.scopes.contains(missing)) {
                    tokens.push((
                        format!("{audience:?} without {missing}"),
                        bench.suite.mint(claims, HOUR),
                    ));
                }
            }
        }
        if !allowed.is_empty() && allowed.iter().all(|access| !access.roles.is_empty()) {
            let other_roles = crate::caller::ROLES
                .into_iter()
                .filter(|role| !allowed.iter().any(|access| access.roles.contains(role)));
            for roles in [Vec::new(), other_roles.collect()] {
                let claims = claims_for(&Access {
                    roles,
                    ..everything.clone()
                })
                .scopes(&everything.scopes);
                tokens.push((
                    format!("{audience:?} without the role"),
                    bench.suite.mint(claims, HOUR),
                ));
            }
        }
    }
    tokens
}

#[tokio::test]
async fn no_method_is_reached_with_a_token_that_does_not_allow_it() {
    let target = target();
    let mut checked = 0;
    for method in target.bench.deps.policies.methods() {
        for (word, token) in unfit(&target.bench, method) {
            let status = target.call(request(&method.path, Some(&token))).await;
            assert_eq!(
                status.code(),
                Code::PermissionDenied,
                "{} with {word}",
                method.path
            );
            assert_eq!(reason_of(&status), "PERMISSION_DENIED");
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} calls were made");
    assert_eq!(target.hits(), 0);
}

#[tokio::test]
async fn every_method_is_reached_by_everybody_whom_its_policy_names() {
    let target = target();
    let mut expected = 0;
    for method in target.bench.deps.policies.methods() {
        for access in &method.access {
            let roles = if access.roles.is_empty() {
                vec![None]
            } else {
                access.roles.iter().copied().map(Some).collect()
            };
            for role in roles {
                let one = Access {
                    roles: role.into_iter().collect(),
                    ..access.clone()
                };
                let status = target
                    .call(request(&method.path, Some(&target.bench.token(&one))))
                    .await;
                expected += 1;
                assert_eq!(
                    status.code(),
                    Code::Ok,
                    "{} as {one:?}: {status:?}",
                    method.path
                );
                assert_eq!(target.hits(), expected);
            }
        }
    }
}

#[tokio::test]
async fn a_path_that_only_looks_like_a_method_is_none() {
    let target = target();
    let method = target.bench.method(|_| true);
    let token = target.bench.token_for(&method);
    let (service, name) = (&method.service, &method.name);
    let paths = [
        format!("/{service}/{name}/"),
        format!("//{service}/{name}"),
        format!("/{service}//{name}"),
        format!("/{service}/{}", name.to_lowercase()),
        format!("/{service}/%{:02x}{}", name.as_bytes()[0], &name[1..]),
        format!("/x/../{service}/{name}"),
        format!("/{service}/Nothing"),
        "/".to_owned(),
    ];
    for path in paths {
        let status = target.call(request(&path, None)).await;
        assert_eq!(
            status.code(),
            Code::Unauthenticated,
            "{path}: strangers do not learn what exists"
        );
        let status = target.call(request(&path, Some(&token))).await;
        assert_eq!(
            (status.code(), reason_of(&status).as_str()),
            (Code::Unimplemented, "NOT_OFFERED"),
            "{path}"
        );
    }
    assert_eq!(target.hits(), 0);
}

#[tokio::test]
async fn health_is_open_and_reflection_only_when_config_says_so() {
    let open = target();
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    assert_eq!(
        open.call(request("/grpc.health.v1.Health/Check", None))
            .await
            .code(),
        Code::Ok
    );
    assert_eq!(open.call(request(reflection, None)).await.code(), Code::Ok);
    assert_eq!(open.hits(), 2);

    let bench = Bench::with(LayersConfig {
        open_reflection: false,
        ..LayersConfig::default()
    });
    let closed = layered(counting(&open.hits), &bench.deps);
    let status = status_of(closed.answer(request(reflection, None)).await).await;
    assert_eq!(status.code(), Code::Unauthenticated);
    let token = bench.token_for(&bench.method(|_| true));
    let status = status_of(closed.answer(request(reflection, Some(&token))).await).await;
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(open.hits(), 2);
}

#[tokio::test]
async fn a_method_that_this_process_does_not_serve_is_refused_in_the_same_words() {
    let target = target();
    let nothing = layered(Routes::default(), &target.bench.deps);
    let method = target.bench.method(|_| true);
    let token = target.bench.token_for(&method);
    let known = status_of(nothing.answer(request(&method.path, Some(&token))).await).await;
    let unknown = status_of(nothing.answer(request("/x/Y", Some(&token))).await).await;
    assert_eq!(
        (known.code(), known.message()),
        (unknown.code(), unknown.message())
    );
    assert_eq!(known.details(), unknown.details());
}
