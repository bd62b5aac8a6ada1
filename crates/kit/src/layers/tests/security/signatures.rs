//! Whatever is altered of a request that is signed, it is refused before any handler.

use http::{HeaderName, HeaderValue};
use http_body_util::Full;

use super::*;
use crate::auth::message::tests::Signer;
use crate::auth::message::{
    CONTENT_DIGEST, Covered, Problem, SIGNATURE, SIGNATURE_INPUT, content_digest,
};
use crate::layers::signatures::RequestKeys;

struct Keys {
    required: bool,
    /// The only partner whose signatures are looked at.
    partner_id: PartnerId,
    known: Vec<SigningKey>,
}

impl KeySource for Keys {
    fn request_keys(&self, partner_id: &PartnerId) -> Option<Arc<RequestKeys>> {
        (*partner_id == self.partner_id).then(|| {
            Arc::new(RequestKeys {
                required: self.required,
                keys: self.known.iter().map(SigningKey::public_key).collect(),
            })
        })
    }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

struct Signed {
    bench: Bench,
    hits: Arc<AtomicUsize>,
    service: LayeredService,
    method: Arc<MethodPolicy>,
    token: String,
}

impl Signed {
    /// Partner 1 has the keys 7 and 8, an old one and its successor.
    fn new(required: bool) -> Signed {
        Self::with(Some(Keys {
            required,
            partner_id: partner(),
            known: vec![key(7), key(8)],
        }))
    }

    fn with(keys: Option<Keys>) -> Signed {
        let config = LayersConfig {
            max_request_bytes: 1_000,
            ..LayersConfig::default()
        };
        let bench = Bench::with(config);
        let hits = Arc::new(AtomicUsize::new(0));
        let signatures = keys.map(|keys| {
            let config = SignatureConfig {
                nonces_max: 50,
                ..SignatureConfig::default()
            };
            RequestSignatures::new(&config, Arc::new(keys), bench.clock.clone())
        });
        let service = layered_with(counting(&hits), &bench.deps, signatures);
        let method = bench.method(|method| method.path.ends_with("/ConfirmPayment"));
        let token = bench.token_for(&method);
        Signed {
            bench,
            hits,
            service,
            method,
            token,
        }
    }

    fn signer(&self, nonce: &str) -> Signer {
        Signer {
            key: key(7),
            created: self.bench.clock.now().seconds(),
            nonce: format!("0123456789abcdef{nonce}"),
        }
    }

    /// A request as a partner signs it.
    fn request(&self, signer: &Signer) -> Request {
        let digest = content_digest(MESSAGE);
        let authorization = format!("Bearer {}", self.token);
        let about = Covered {
            path: &self.method.path,
            content_digest: &digest,
            authorization: &authorization,
        };
        let input = signer.input();
        let signature = signer.sign(&input, &about);
        let request = request(&self.method.path, Some(&self.token));
        let request = with(request, "x-behave", "read");
        let request = with(request, CONTENT_DIGEST, &digest);
        let request = with(request, SIGNATURE_INPUT, &input);
        body(with(request, SIGNATURE, &signature), framed(0, MESSAGE))
    }

    async fn call(&self, request: Request) -> Status {
        status_of(self.service.answer(request).await).await
    }

    #[track_caller]
    fn refused(&self, status: &Status, problem: Problem, what: &str) {
        let details = status.get_details_error_info().expect("a reason");
        let told = (
            details.reason.as_str(),
            details.metadata["problem"].as_str(),
        );
        assert_eq!(told, ("BAD_SIGNATURE", problem.word()), "{what}");
        assert_eq!(status.code(), Code::Unauthenticated, "{what}");
        assert_eq!(status.message(), problem.sentence(), "{what}");
        assert_eq!(self.hits.load(Ordering::SeqCst), 0, "{what}");
    }
}

const MESSAGE: &[u8] = b"pay 49.90 EUR";

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut body = vec![flag];
    body.extend_from_slice(&(message.len() as u32).to_be_bytes());
    body.extend_from_slice(message);
    body
}

fn body(request: Request, bytes: Vec<u8>) -> Request {
    request.map(|_| Body::new(Full::new(bytes::Bytes::from(bytes)).map_err(|never| match never {})))
}

fn replaced(mut request: Request, name: &str, change: impl FnOnce(&str) -> String) -> Request {
    let name: HeaderName = name.parse().expect("a name");
    let value = change(request.headers()[&name].to_str().expect("text"));
    request
        .headers_mut()
        .insert(name, HeaderValue::from_str(&value).expect("a value"));
    request
}

fn without(mut request: Request, name: &str) -> Request {
    request.headers_mut().remove(name).expect("it was there");
    request
}

#[tokio::test]
async fn what_the_partner_signed_comes_through_once() {
    let signed = Signed::new(true);
    for (at, seed) in [7, 8].into_iter().enumerate() {
        let signer = Signer {
            key: key(seed),
            ..signed.signer(&seed.to_string())
        };
        assert_eq!(signed.call(signed.request(&signer)).await.code(), Code::Ok);
        assert_eq!(signed.hits.load(Ordering::SeqCst), at + 1);
        let again = signed.call(signed.request(&signer)).await;
        let details = again.get_details_error_info().expect("a reason");
        assert_eq!(details.metadata["problem"], "NONCE");
        assert_eq!(signed.hits.load(Ordering::SeqCst), at + 1);
    }
}

#[tokio::test]
async fn every_altered_part_is_refused_before_any_handler() {
    let signed = Signed::new(true);
    let good = || signed.request(&signed.signer(""));
    let other_path = signed
        .bench
        .method(|method| method.path.ends_with("/ExtendHold"));
    let moved = {
        let (mut parts, body) = good().into_parts();
        parts.uri = other_path.path.parse().expect("a path");
        Request::from_parts(parts, body)
    };
    let access = &signed.method.access[0];
    let later_token = {
        let claims = claims_for(access).scopes(&access.scopes);
        let token = signed.bench.suite.mint(claims, HOUR / 2);
        replaced(good(), "authorization", |_| format!("Bearer {token}"))
    };
    let digest_of_other = content_digest(b"pay 1.00 EUR");
    let altered: Vec<(&str, Request, Problem)> = vec![
        ("another method", moved, Problem::Signature),
        (
            "another token of the same partner",
            later_token,
            Problem::Signature,
        ),
        (
            "another message",
            body(good(), framed(0, b"pay 19.90 EUR")),
            Problem::Digest,
        ),
        (
            "a message more",
            body(good(), [framed(0, MESSAGE), framed(0, MESSAGE)].concat()),
            Problem::Message,
        ),
        (
            "less of it",
            body(good(), framed(0, MESSAGE)[..10].to_vec()),
            Problem::Message,
        ),
        ("none", body(good(), Vec::new()), Problem::Message),
        (
            "compressed",
            body(good(), framed(1, MESSAGE)),
            Problem::Message,
        ),
        (
            "another message with its digest",
            body(
                replaced(good(), CONTENT_DIGEST, |_| digest_of_other.clone()),
                framed(0, b"pay 1.00 EUR"),
            ),
            Problem::Signature,
        ),
        (
            "the digest in other words",
            replaced(good(), CONTENT_DIGEST, |it| format!("{it}, sha-512=:AA==:")),
            Problem::Signature,
        ),
        (
            "no digest",
            without(good(), CONTENT_DIGEST),
            Problem::Missing,
        ),
        (
            "two digests",
            with(good(), CONTENT_DIGEST, &digest_of_other),
            Problem::Malformed,
        ),
        (
            "another time",
            replaced(good(), SIGNATURE_INPUT, |it| {
                it.replace("created=17", "created=18")
            }),
            Problem::Time,
        ),
        (
            "a second later",
            replaced(good(), SIGNATURE_INPUT, |it| {
                it.replace("created=1767225600", "created=1767225601")
            }),
            Problem::Signature,
        ),
        (
            "another nonce",
            replaced(good(), SIGNATURE_INPUT, |it| it.replace("0123", "3210")),
            Problem::Signature,
        ),
        (
            "another of its keys",
            replaced(good(), SIGNATURE_INPUT, |it| {
                it.replace(key(7).kid(), key(8).kid())
            }),
            Problem::Signature,
        ),
        (
            "nobody's key",
            replaced(good(), SIGNATURE_INPUT, |it| it.replace(key(7).kid(), "x")),
            Problem::Key,
        ),
        (
            "another algorithm",
            replaced(good(), SIGNATURE_INPUT, |it| {
                format!("{it};alg=\"rsa-v1_5-sha256\"")
            }),
            Problem::Algorithm,
        ),
        (
            "its algorithm, unsigned",
            replaced(good(), SIGNATURE_INPUT, |it| {
                format!("{it};alg=\"ed25519\"")
            }),
            Problem::Signature,
        ),
        (
            "other order",
            replaced(good(), SIGNATURE_INPUT, |it| {
                it.replace(
                    "\"@path\" \"content-digest\"",
                    "\"content-digest\" \"@path\"",
                )
            }),
            Problem::Signature,
        ),
        (
            "less covered",
            replaced(good(), SIGNATURE_INPUT, |it| {
                it.replace(" \"authorization\"", "")
            }),
            Problem::Covers,
        ),
        (
            "no input",
            without(good(), SIGNATURE_INPUT),
            Problem::Missing,
        ),
        (
            "two inputs",
            with(good(), SIGNATURE_INPUT, "sig=()"),
            Problem::Malformed,
        ),
        ("no signature", without(good(), SIGNATURE), Problem::Missing),
        (
            "two signatures",
            with(good(), SIGNATURE, "sig=:AA==:"),
            Problem::Malformed,
        ),
        (
            "an empty signature",
            replaced(good(), SIGNATURE, |_| "sig=::".into()),
            Problem::Signature,
        ),
        (
            "another's signature",
            signed.request(&Signer {
                key: key(9),
                ..signed.signer("")
            }),
            Problem::Key,
        ),
        (
            "nothing",
            without(
                without(without(good(), SIGNATURE), SIGNATURE_INPUT),
                CONTENT_DIGEST,
            ),
            Problem::Missing,
        ),
    ];
    for (what, request, problem) in altered {
        let status = signed.call(request).await;
        signed.refused(&status, problem, what);
    }
    // None of it used up the nonce.
    assert_eq!(signed.call(good()).await.code(), Code::Ok);
}

#[tokio::test]
async fn a_signature_counts_for_a_minute() {
    let signed = Signed::new(true);
    let now = signed.bench.clock.now().seconds();
    for (created, problem) in [
        (now - 61, Some(Problem::Time)),
        (now + 6, Some(Problem::Time)),
        (0, Some(Problem::Time)),
        (999_999_999_999_999, Some(Problem::Time)),
        (now - 60, None),
        (now + 5, None),
    ] {
        let signer = Signer {
            created,
            ..signed.signer(&created.to_string())
        };
        let status = signed.call(signed.request(&signer)).await;
        match problem {
            Some(problem) => signed.refused(&status, problem, &created.to_string()),
            None => assert_eq!(status.code(), Code::Ok, "{created}"),
        }
    }
}

#[tokio::test]
async fn no_more_are_let_in_than_are_remembered() {
    let signed = Signed::new(true);
    for at in 0..50 {
        let request = signed.request(&signed.signer(&at.to_string()));
        assert_eq!(signed.call(request).await.code(), Code::Ok);
    }
    let over = signed.call(signed.request(&signed.signer("over"))).await;
    assert_eq!(reason_of(&over), "RATE_LIMITED");
    signed.bench.clock.advance(Duration::from_secs(70));
    let later = signed.call(signed.request(&signed.signer("later"))).await;
    assert_eq!(later.code(), Code::Ok);
}

#[tokio::test]
async fn a_large_message_is_not_held() {
    let signed = Signed::new(true);
    let large = body(signed.request(&signed.signer("")), framed(0, &[7; 2_000]));
    let status = signed.call(large).await;
    assert_eq!(reason_of(&status), "INVALID_FIELD");
    assert_eq!(signed.hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn who_need_not_sign_may_and_then_it_has_to_hold() {
    let signed = Signed::new(false);
    let plain = request(&signed.method.path, Some(&signed.token));
    assert_eq!(signed.call(plain).await.code(), Code::Ok);
    let good = signed.request(&signed.signer(""));
    assert_eq!(signed.call(good).await.code(), Code::Ok);
    assert_eq!(signed.hits.swap(0, Ordering::SeqCst), 2);
    let altered = body(
        signed.request(&signed.signer("x")),
        framed(0, b"pay 1.00 EUR"),
    );
    let status = signed.call(altered).await;
    signed.refused(&status, Problem::Digest, "altered");
    // Half a signature is none, but it is meant as one.
    let half = without(signed.request(&signed.signer("y")), SIGNATURE_INPUT);
    let status = signed.call(half).await;
    signed.refused(&status, Problem::Missing, "half");
}

#[tokio::test]
async fn nobody_else_is_asked_for_a_signature() {
    let stranger = Keys {
        required: true,
        partner_id: PartnerId::from_uuid(99),
        known: vec![key(7)],
    };
    for keys in [None, Some(stranger)] {
        let signed = Signed::with(keys);
        let plain = || request(&signed.method.path, Some(&signed.token));
        assert_eq!(signed.call(plain()).await.code(), Code::Ok);
        let nonsense = with(plain(), SIGNATURE_INPUT, "nonsense");
        assert_eq!(signed.call(nonsense).await.code(), Code::Ok);
    }
    // Nor is somebody of the retailer where that partner signs all its requests.
    let signed = Signed::new(true);
    let (method, access) = signed
        .bench
        .deps
        .policies
        .methods()
        .flat_map(|method| method.access.iter().map(move |access| (method, access)))
        .find(|(_, access)| access.audience == Audience::Retailer)
        .expect("the retailer may do something");
    let token = signed.bench.token(access);
    let status = signed.call(request(&method.path, Some(&token))).await;
    assert_eq!(status.code(), Code::Ok);
}
