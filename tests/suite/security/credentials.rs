//! Everything that may be wrong with a credential.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::common::v1::{Audience, RetailerRole};
use contracts::id::{OutletId, PartnerId, RoomId};
use contracts::policy::{MethodPolicy, Policies};
use jsonwebtoken::{Algorithm, EncodingKey};
use kit::auth::{AuthConfig, Claims, IssuerConfig, SigningKey, TokenSigner, jws};
use serde_json::{Value, json};
use tonic::Code;

use crate::topology::Running;

pub const HOUR: Duration = Duration::from_secs(3_600);

pub const ROLES: [RetailerRole; 8] = [
    RetailerRole::Ops,
    RetailerRole::Host,
    RetailerRole::Moderator,
    RetailerRole::Care,
    RetailerRole::Warehouse,
    RetailerRole::Carrier,
    RetailerRole::Finance,
    RetailerRole::Inspector,
];

/// The issuer of one partner, in the suite under test.
const BOUND: &str = "issuer-of-one-partner";

/// A kind of wrong credential, what is sent, and what it is answered with; none where the protocol itself refuses.
pub struct Wrong {
    pub kind: String,
    pub headers: Vec<(&'static str, String)>,
    pub code: Option<Code>,
}

pub fn partner() -> PartnerId {
    PartnerId::from_uuid(1)
}

pub fn all_scopes(policies: &Policies) -> Vec<String> {
    let mut scopes: Vec<String> = policies
        .methods()
        .flat_map(|m| m.access.iter().flat_map(|a| a.scopes.clone()))
        .collect();
    scopes.sort();
    scopes.dedup();
    scopes
}

/// The keys that the suite under test knows, and one that it knew.
pub struct Keys {
    known: SigningKey,
    bound: SigningKey,
    rotated_out: SigningKey,
}

impl Keys {
    pub fn new() -> Keys {
        Keys {
            known: SigningKey::generate(),
            bound: SigningKey::generate(),
            rotated_out: SigningKey::generate(),
        }
    }

    /// The issuer that is bound to the partner, with the keys that it has now.
    pub fn issuer(&self) -> IssuerConfig {
        IssuerConfig {
            issuer: BOUND.into(),
            algorithms: vec![jws::Algorithm::EdDsa],
            jwks: Some(json!({ "keys": [self.bound.public_jwk()] }).to_string()),
            may_mint: vec!["partner".into()],
            partner_id: Some(partner().to_string()),
            ..IssuerConfig::default()
        }
    }
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token with whatever header and claims, signed by an Ed25519 key.
pub fn signed(header: &Value, claims: &Value, key: &SigningKey) -> String {
    let text = format!("{}.{}", part(header), part(claims));
    let key = EncodingKey::from_ed_pem(key.to_pem().as_bytes()).expect("our own key");
    let signature = jsonwebtoken::crypto::sign(text.as_bytes(), &key, Algorithm::EdDSA);
    format!("{text}.{}", signature.expect("signed"))
}

fn header_of(key: &SigningKey) -> Value {
    json!({ "alg": "EdDSA", "kid": key.kid(), "typ": "JWT" })
}

/// A good token, what it says, and the time.
fn good(running: &Running) -> (String, Value, i64) {
    let scopes = all_scopes(&Policies::load().expect("whole contracts"));
    let claims = Claims::retailer("ops", &ROLES).scopes(&scopes);
    let token = running.signer().mint(claims, HOUR);
    let body = token.split('.').nth(1).expect("three parts");
    let json = URL_SAFE_NO_PAD.decode(body).expect("base64url");
    let claims = serde_json::from_slice(&json).expect("claims");
    let now = kit::clock::Clock::now(&kit::clock::SystemClock).seconds();
    (token, claims, now)
}

/// Tokens made as the wrong ones are, with nothing wrong; each with a method that it is good for.
pub fn right(running: &Running, keys: &Keys) -> [(&'static str, String); 2] {
    let key = vitrine::keys::development(&running.config).expect("the folder's development key");
    let (_, claims, now) = good(running);
    let bound = changed(
        &of_bound(&claims, now),
        "partner_id",
        json!(partner().to_string()),
    );
    [
        (
            "/vitrine.catalog.v1.PartnerService/ListPartners",
            signed(&header_of(&key), &claims, &key),
        ),
        (
            "/vitrine.order.v1.OrderService/ListOrders",
            signed(&header_of(&keys.bound), &bound, &keys.bound),
        ),
    ]
}

/// The same claims as the issuer of one partner would make them.
fn of_bound(claims: &Value, now: i64) -> Value {
    let mut own = changed(claims, "iss", json!(BOUND));
    own["actor"] = json!("partner");
    own["exp"] = json!(now + 600);
    own
}

/// Credentials that are wrong for every method.
pub fn wrong_for_all(running: &Running, keys: &Keys) -> Vec<Wrong> {
    let key = vitrine::keys::development(&running.config).expect("the folder's development key");
    let (token, claims, now) = good(running);
    let header = header_of(&key);
    let mut tokens = tokens_with_other_headers(&header, &claims, &key, keys);
    tokens.extend(tokens_with_other_claims(&header, &claims, &key, now));
    tokens.extend(tokens_of_issuers(&claims, now, keys));
    tokens.extend(tokens_that_are_broken(&token, &claims));
    let mut all: Vec<Wrong> = tokens
        .into_iter()
        .map(|(kind, token)| wrong(kind, vec![("authorization", format!("Bearer {token}"))]))
        .collect();
    let bearer = format!("Bearer {token}");
    all.extend([
        wrong("no token", vec![]),
        wrong("the scheme alone", vec![("authorization", "Bearer".into())]),
        wrong("an empty bearer", vec![("authorization", "Bearer ".into())]),
        wrong("no scheme", vec![("authorization", token.clone())]),
        wrong(
            "the basic scheme",
            vec![("authorization", format!("Basic {token}"))],
        ),
        wrong(
            "the DPoP scheme",
            vec![("authorization", format!("DPoP {token}"))],
        ),
        wrong(
            "two good tokens",
            vec![
                ("authorization", bearer.clone()),
                ("authorization", bearer.clone()),
            ],
        ),
        wrong(
            "two in one header",
            vec![("authorization", format!("{bearer}, {bearer}"))],
        ),
        wrong(
            "in another header",
            vec![
                ("x-authorization", bearer.clone()),
                ("cookie", format!("token={token}")),
            ],
        ),
        Wrong {
            kind: "headers that are too large".into(),
            headers: vec![("authorization", format!("Bearer {}", "x".repeat(40_000)))],
            code: None,
        },
    ]);
    all
}

fn wrong(kind: &str, headers: Vec<(&'static str, String)>) -> Wrong {
    Wrong {
        kind: kind.into(),
        headers,
        code: Some(Code::Unauthenticated),
    }
}

type Tokens = Vec<(&'static str, String)>;

pub fn changed(of: &Value, field: &str, value: Value) -> Value {
    let mut changed = of.clone();
    match value {
        Value::Null => drop(changed.as_object_mut().expect("an object").remove(field)),
        value => changed[field] = value,
    }
    changed
}

fn tokens_with_other_headers(
    header: &Value,
    claims: &Value,
    key: &SigningKey,
    keys: &Keys,
) -> Tokens {
    let mallory = &keys.rotated_out;
    let headed = |field: &str, value: Value| signed(&changed(header, field, value), claims, key);
    let embedded = |field: &str, value: Value| {
        let own = changed(header, "kid", json!(mallory.kid()));
        signed(&changed(&own, field, value), claims, mallory)
    };
    let hmac = |secret: &[u8]| {
        let head = jsonwebtoken::Header::new(Algorithm::HS256);
        jsonwebtoken::encode(&head, claims, &EncodingKey::from_secret(secret)).expect("signed")
    };
    let public = key.public_jwk();
    let x = public["x"].as_str().expect("text");
    vec![
        ("an unknown kid", headed("kid", json!("nobody"))),
        (
            "a kid that leaves the folder",
            headed("kid", json!("../../../../dev/null")),
        ),
        ("a kid that is a query", headed("kid", json!("' OR 1=1 --"))),
        ("a kid that is a number", headed("kid", json!(1))),
        ("a critical header", headed("crit", json!(["exp"]))),
        ("an unencoded payload", headed("b64", json!(false))),
        (
            "the typ of a payment statement",
            headed("typ", json!("vitrine-payment+jwt")),
        ),
        ("another algorithm's name", headed("alg", json!("ES256"))),
        ("no algorithm", headed("alg", Value::Null)),
        (
            "an embedded key (jwk)",
            embedded("jwk", mallory.public_jwk()),
        ),
        (
            "a key by address (jku)",
            embedded("jku", json!("https://mallory.example/jwks.json")),
        ),
        ("a chain (x5c)", embedded("x5c", json!([x]))),
        (
            "a chain by address (x5u)",
            embedded("x5u", json!("https://mallory.example/chain.pem")),
        ),
        (
            "HS256 with the public key",
            hmac(&URL_SAFE_NO_PAD.decode(x).expect("base64url")),
        ),
        (
            "HS256 with the public key's text",
            hmac(public.to_string().as_bytes()),
        ),
        ("HS256 with nothing", hmac(b"")),
        (
            "another key under the same kid",
            signed(header, claims, mallory),
        ),
        (
            "another key without a kid",
            signed(&changed(header, "kid", Value::Null), claims, mallory),
        ),
    ]
}

fn tokens_with_other_claims(header: &Value, claims: &Value, key: &SigningKey, now: i64) -> Tokens {
    let says = |field: &str, value: Value| signed(header, &changed(claims, field, value), key);
    vec![
        ("another issuer", says("iss", json!("somebody-else"))),
        ("no issuer", says("iss", Value::Null)),
        ("another audience", says("aud", json!("another-suite"))),
        ("no audience", says("aud", Value::Null)),
        ("expired", says("exp", json!(now - 60))),
        ("no expiry", says("exp", Value::Null)),
        (
            "an expiry that is a text",
            says("exp", json!((now + 60).to_string())),
        ),
        ("not valid yet", says("nbf", json!(now + 600))),
        ("issued in the future", says("iat", json!(now + 600))),
        ("too long-lived", says("exp", json!(now + 400 * 86_400))),
        ("no subject", says("sub", Value::Null)),
        ("an actor that nobody is", says("actor", json!("root"))),
        (
            "a partner without a partner",
            says("actor", json!("partner")),
        ),
        ("a viewer without a room", says("actor", json!("viewer"))),
        (
            "a service's, by a key for others",
            says("actor", json!("service")),
        ),
    ]
}

fn tokens_of_issuers(claims: &Value, now: i64, keys: &Keys) -> Tokens {
    let header = header_of;
    let own = of_bound(claims, now);
    let says = |partner: &PartnerId| changed(&own, "partner_id", json!(partner.to_string()));
    let mut retailer = own.clone();
    retailer["actor"] = json!("retailer");
    vec![
        (
            "another tenant's",
            signed(
                &header(&keys.bound),
                &says(&PartnerId::from_uuid(2)),
                &keys.bound,
            ),
        ),
        (
            "a key that was rotated out",
            signed(
                &header(&keys.rotated_out),
                &says(&partner()),
                &keys.rotated_out,
            ),
        ),
        (
            "the retailer's, by a partner's issuer",
            signed(&header(&keys.bound), &retailer, &keys.bound),
        ),
        (
            "a key of nobody",
            signed(&header(&keys.known), &says(&partner()), &keys.known),
        ),
    ]
}

fn tokens_that_are_broken(token: &str, claims: &Value) -> Tokens {
    let parts: Vec<&str> = token.split('.').collect();
    let unsigned = |alg: &str| {
        format!(
            "{}.{}.",
            part(&json!({ "alg": alg, "typ": "JWT" })),
            parts[1]
        )
    };
    let richer = part(&changed(claims, "sub", json!("somebody else")));
    vec![
        ("garbage", "garbage".into()),
        ("three parts of garbage", "a.b.c".into()),
        ("alg none", unsigned("none")),
        ("alg NONE", unsigned("NONE")),
        ("no signature", unsigned("EdDSA")),
        (
            "other claims under the signature",
            format!("{}.{richer}.{}", parts[0], parts[2]),
        ),
        (
            "without its last letter",
            token[..token.len() - 1].to_owned(),
        ),
        ("with a letter more", format!("{token}A")),
        ("with a part more", format!("{token}.{}", parts[2])),
        (
            "larger than a token may be",
            format!("{token}{}", "x".repeat(9_000)),
        ),
    ]
}

/// Tokens that are good, and not for this method.
pub fn not_for(method: &MethodPolicy, signer: &TokenSigner, scopes: &[String]) -> Vec<Wrong> {
    let (outlet, room) = (OutletId::from_uuid(2), RoomId::from_uuid(3));
    let may = |audience: Audience| method.access.iter().find(|a| a.audience == audience);
    let mut refused: Vec<(String, Claims)> = Vec::new();
    for (audience, claims) in [
        (Audience::Partner, Claims::partner("app", &partner())),
        (
            Audience::Viewer,
            Claims::viewer(&partner(), &outlet, &room, "shopper"),
        ),
    ] {
        match may(audience) {
            None => refused.push((format!("{audience:?}, not named"), claims.scopes(scopes))),
            Some(access) => {
                let fewer = scopes.iter().filter(|s| !access.scopes.contains(s));
                refused.push((
                    format!("{audience:?} without its scope"),
                    claims.scopes(fewer),
                ));
            }
        }
    }
    for role in ROLES {
        let claims = Claims::retailer("staff", &[role]);
        match may(Audience::Retailer) {
            Some(access) if access.roles.contains(&role) => {
                let fewer = scopes.iter().filter(|s| !access.scopes.contains(s));
                refused.push((format!("{role:?} without its scope"), claims.scopes(fewer)));
            }
            _ => refused.push((format!("{role:?}, not named"), claims.scopes(scopes))),
        }
    }
    refused.push((
        "no role".into(),
        Claims::retailer("staff", &[]).scopes(scopes),
    ));
    let none: [&str; 0] = [];
    refused.push((
        "no scope".into(),
        Claims::retailer("staff", &ROLES).scopes(none),
    ));
    refused
        .into_iter()
        .map(|(kind, claims)| Wrong {
            headers: vec![(
                "authorization",
                format!("Bearer {}", signer.mint(claims, HOUR)),
            )],
            kind,
            code: Some(Code::PermissionDenied),
        })
        .collect()
}

/// The suite's own key under another suite's name is nobody's.
pub fn of_another_suite(running: &Running) -> TokenSigner {
    let clock: kit::clock::SharedClock = Arc::new(kit::clock::SystemClock);
    let ids = Arc::new(kit::ids::SystemIds::new(clock.clone()));
    let key = vitrine::keys::own(&running.config).expect("the folder's own key");
    let other = AuthConfig {
        audience: "another-suite".into(),
        ..AuthConfig::default()
    };
    TokenSigner::new(key, &other, clock, ids)
}
