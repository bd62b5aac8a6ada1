use contracts::common::v1::RetailerRole;
use contracts::id::{OutletId, PartnerId, RoomId};
use jsonwebtoken::{Algorithm as JwtAlgorithm, EncodingKey, Header};
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::auth::jws::{Algorithm, tests::foreign_key};
use crate::auth::{IssuerConfig, SigningKey, TokenSigner};
use crate::clock::{Clock, ManualClock};
use crate::ids::SeededIds;

const HOUR: Duration = Duration::from_secs(3_600);

struct Bench {
    clock: Arc<ManualClock>,
    config: AuthConfig,
    suite: TokenSigner,
    acme: TokenSigner,
    verifier: TokenVerifier,
}

fn partner() -> PartnerId {
    PartnerId::from_uuid(1)
}

fn issuer_config(
    name: &str,
    jwks: &Value,
    algorithm: Algorithm,
    may_mint: &[&str],
) -> IssuerConfig {
    IssuerConfig {
        issuer: name.into(),
        algorithms: vec![algorithm],
        jwks: Some(json!({ "keys": [jwks] }).to_string()),
        may_mint: may_mint.iter().map(|&word| word.to_owned()).collect(),
        ..IssuerConfig::default()
    }
}

/// The suite's own issuer, and `acme`: bound to one partner, minting for it and for viewers.
fn bench() -> Bench {
    let clock = Arc::new(ManualClock::default());
    let ids = SeededIds::shared(1, clock.clone());
    let mut config = AuthConfig::default();
    let signer = |seed: u8| {
        let key = SigningKey::from_seed(&[seed; 32]);
        (
            TokenSigner::new(
                key.clone(),
                &AuthConfig::default(),
                clock.clone(),
                ids.clone(),
            ),
            key.public_jwk(),
        )
    };
    let (suite, _) = signer(1);
    let (acme, jwk) = signer(2);
    config.issuers.push(IssuerConfig {
        partner_id: Some(partner().to_string()),
        ..issuer_config("acme", &jwk, Algorithm::EdDsa, &["partner", "viewer"])
    });
    let own = suite.issuer(&[Audience::Service, Audience::Retailer, Audience::Partner]);
    let verifier = TokenVerifier::from_config(&config, own, clock.clone()).expect("good issuers");
    Bench {
        clock,
        config,
        suite,
        acme: acme.named("acme"),
        verifier,
    }
}

fn viewer_claims() -> Claims {
    Claims::viewer(
        &partner(),
        &OutletId::from_uuid(2),
        &RoomId::from_uuid(3),
        "shopper-1",
    )
}

#[test]
fn each_kind_of_token_gives_its_identity() {
    let b = bench();
    let partner_token = b.acme.mint(
        Claims::partner("gateway", &partner()).scopes(["order.write", "order.read"]),
        HOUR,
    );
    let identity = b
        .verifier
        .verify(&partner_token)
        .expect("a partner's token");
    assert_eq!(
        (identity.audience, identity.partner_id),
        (Audience::Partner, Some(partner()))
    );
    assert_eq!(identity.scopes.len(), 2);

    let viewer = b
        .verifier
        .verify(&b.acme.mint(viewer_claims(), HOUR))
        .expect("a viewer's token");
    assert_eq!(viewer.shopper_ref.as_deref(), Some("shopper-1"));
    assert_eq!(
        (viewer.room_id, viewer.partner_id),
        (Some(RoomId::from_uuid(3)), Some(partner()))
    );

    let mut claims = Claims::retailer("ana", &[RetailerRole::Ops]);
    claims.roles.push("emperor".into());
    let retailer = b
        .verifier
        .verify(&b.suite.mint(claims, HOUR))
        .expect("a retailer's token");
    assert_eq!(retailer.roles, [RetailerRole::Ops]);
    assert_eq!(retailer.partner_id, None);
}

#[rstest]
#[case::service("service", AuthError::ActorNotAllowed)]
#[case::retailer("retailer", AuthError::ActorNotAllowed)]
#[case::nonsense("root", AuthError::ActorNotAllowed)]
fn an_issuer_mints_only_what_it_is_configured_for(#[case] actor: &str, #[case] error: AuthError) {
    let b = bench();
    let mut claims = Claims::partner("x", &partner());
    claims.actor = Some(actor.into());
    assert_eq!(b.verifier.verify(&b.acme.mint(claims, HOUR)), Err(error));
}

#[test]
fn a_bound_issuer_speaks_for_its_partner_alone() {
    let b = bench();
    let foreign = b
        .acme
        .mint(Claims::partner("x", &PartnerId::from_uuid(9)), HOUR);
    assert_eq!(b.verifier.verify(&foreign), Err(AuthError::ForeignPartner));
    let mut silent = Claims::partner("x", &partner());
    silent.partner_id = None;
    let identity = b
        .verifier
        .verify(&b.acme.mint(silent.clone(), HOUR))
        .expect("bound");
    assert_eq!(identity.partner_id, Some(partner()));
    assert_eq!(
        b.verifier.verify(&b.suite.mint(silent, HOUR)),
        Err(AuthError::Claim("partner_id"))
    );
    // One partner's key under another issuer's name.
    let borrowed = b
        .acme
        .clone()
        .named("vitrine")
        .mint(Claims::partner("x", &partner()), HOUR);
    assert_eq!(b.verifier.verify(&borrowed), Err(AuthError::UnknownKey));
}

#[rstest]
#[case("room_id")]
#[case("outlet_id")]
#[case("shopper_ref")]
fn a_viewer_is_bound_to_room_outlet_and_shopper(#[case] missing: &'static str) {
    let b = bench();
    for value in [Value::Null, json!(""), json!("room_x\u{7}")] {
        let mut claims = serde_json::to_value(viewer_claims()).expect("JSON");
        claims[missing] = value;
        let claims = serde_json::from_value(claims).expect("claims");
        assert_eq!(
            b.verifier.verify(&b.acme.mint(claims, HOUR)),
            Err(AuthError::Claim(missing))
        );
    }
}

#[test]
fn time_decides_also_for_remembered_tokens() {
    let b = bench();
    let token = b.acme.mint(Claims::partner("x", &partner()), HOUR);
    assert!(b.verifier.verify(&token).is_ok());
    b.clock.advance(HOUR + Duration::from_secs(4));
    assert!(b.verifier.verify(&token).is_ok(), "within the leeway");
    b.clock.advance(Duration::from_secs(1));
    assert_eq!(b.verifier.verify(&token), Err(AuthError::Expired));
    assert_eq!(
        b.verifier.verify(&token),
        Err(AuthError::Expired),
        "and once more, verified anew"
    );

    let early = b.acme.mint(Claims::partner("x", &partner()), HOUR);
    b.clock.set(b.clock.now().minus(Duration::from_secs(6)));
    assert_eq!(b.verifier.verify(&early), Err(AuthError::NotYetValid));
    let long = b.acme.mint(Claims::partner("x", &partner()), HOUR * 25);
    assert_eq!(b.verifier.verify(&long), Err(AuthError::TooLongLived));
    assert_eq!(
        b.verifier.verify(&b.acme.mint(viewer_claims(), HOUR * 7)),
        Err(AuthError::TooLongLived)
    );
}

#[test]
fn a_token_for_somebody_else_is_refused() {
    let b = bench();
    let config = AuthConfig {
        audience: "other-suite".into(),
        ..AuthConfig::default()
    };
    let ids = SeededIds::shared(5, b.clock.clone());
    let signer = TokenSigner::new(
        SigningKey::from_seed(&[2; 32]),
        &config,
        b.clock.clone(),
        ids,
    )
    .named("acme");
    let token = signer.mint(Claims::partner("x", &partner()), HOUR);
    assert_eq!(b.verifier.verify(&token), Err(AuthError::WrongAudience));
    let unknown = b
        .acme
        .clone()
        .named("mallory")
        .mint(Claims::partner("x", &partner()), HOUR);
    assert_eq!(b.verifier.verify(&unknown), Err(AuthError::UnknownIssuer));
    assert_eq!(
        b.verifier.verify(&"x".repeat(9_000)),
        Err(AuthError::TooLarge)
    );
    assert!(b.verifier.verify("").is_err());
}

#[rstest]
#[case(JwtAlgorithm::ES256, Algorithm::Es256)]
#[case(JwtAlgorithm::RS256, Algorithm::Rs256)]
fn kubernetes_and_partners_with_other_algorithms(
    #[case] library: JwtAlgorithm,
    #[case] ours: Algorithm,
) {
    let b = bench();
    let (private, mut jwk) = foreign_key(library);
    jwk["kid"] = json!("k1");
    let mut config = b.config.clone();
    config.issuers.push(issuer_config(
        "https://kubernetes.default.svc",
        &jwk,
        ours,
        &["retailer"],
    ));
    let own = b.suite.issuer(&[Audience::Service]);
    b.verifier
        .reload(&config, own.clone())
        .expect("good issuers");
    // As the API server makes them: a list of audiences, no actor, no scope.
    let now = b.clock.now().seconds();
    let claims = json!({"iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:ops:bot",
        "aud": ["vitrine", "other"], "exp": now + 600, "iat": now, "nbf": now});
    let token = |kid: Option<&str>, key: &EncodingKey| {
        let mut header = Header::new(library);
        header.kid = kid.map(str::to_owned);
        jsonwebtoken::encode(&header, &claims, key).expect("signed")
    };
    let identity = b
        .verifier
        .verify(&token(Some("k1"), &private))
        .expect("its own key");
    assert_eq!(identity.audience, Audience::Retailer);
    assert!(
        b.verifier.verify(&token(None, &private)).is_ok(),
        "the only key needs no name"
    );
    assert_eq!(
        b.verifier.verify(&token(Some("k2"), &private)),
        Err(AuthError::UnknownKey)
    );

    // The same issuer, allowed to sign in another way only.
    config.issuers[1].algorithms = vec![Algorithm::EdDsa];
    assert!(
        b.verifier.reload(&config, own.clone()).is_err(),
        "no key is left, so the old issuers stay"
    );
    assert!(b.verifier.verify(&token(Some("k1"), &private)).is_ok());
    let ed = SigningKey::from_seed(&[3; 32]).public_jwk();
    config.issuers[1].jwks = Some(json!({"keys": [jwk, ed]}).to_string());
    b.verifier.reload(&config, own).expect("one key is left");
    assert_eq!(
        b.verifier.verify(&token(Some("k1"), &private)),
        Err(AuthError::AlgorithmNotAllowed)
    );
}

#[test]
fn issuers_that_would_be_too_powerful_are_refused_at_start() {
    let jwk = SigningKey::from_seed(&[9; 32]).public_jwk();
    let refused = |config: IssuerConfig| {
        Issuer::from_config(&config)
            .expect_err("refused")
            .to_string()
    };
    let good = || issuer_config("x", &jwk, Algorithm::EdDsa, &["partner"]);
    assert!(Issuer::from_config(&good()).is_ok());
    assert!(refused(issuer_config("x", &jwk, Algorithm::EdDsa, &["service"])).contains("service"));
    assert!(refused(issuer_config("x", &jwk, Algorithm::EdDsa, &[])).contains("may_mint"));
    assert!(
        refused(issuer_config("x", &jwk, Algorithm::Rs256, &["partner"])).contains("no public key")
    );
    assert!(
        refused(IssuerConfig {
            algorithms: vec![],
            ..good()
        })
        .contains("algorithms")
    );
    assert!(
        refused(IssuerConfig {
            jwks: None,
            ..good()
        })
        .contains("exactly one")
    );
    assert!(
        refused(IssuerConfig {
            partner_id: Some("acme".into()),
            ..good()
        })
        .contains("partner_id")
    );
    let both = IssuerConfig {
        partner_id: Some(partner().to_string()),
        ..issuer_config("x", &jwk, Algorithm::EdDsa, &["retailer"])
    };
    assert!(refused(both).contains("bound"));
}
