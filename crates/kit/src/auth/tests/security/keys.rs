//! Keys that are asked for: rotated, retired, lost, and wanted by floods of made-up tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::join_all;

use super::*;
use crate::auth::AuthError;

struct Bound {
    bench: Bench,
    server: KeyServer,
    verifier: TokenVerifier,
    lifecycle: Lifecycle,
}

/// A verifier that asks `acme`'s server for its keys.
async fn bound(refresh_s: u64) -> Bound {
    let bench = Bench::new();
    let server = KeyServer::new(key_set(&[2])).await;
    let mut auth = AuthConfig {
        jwks_refresh_s: refresh_s,
        ..AuthConfig::default()
    };
    auth.issuers.push(IssuerConfig {
        jwks_url: Some(server.url.clone()),
        ..acme()
    });
    let own = bench.suite.issuer(&[Audience::Service]);
    let verifier =
        TokenVerifier::from_config(&auth, own, bench.clock.clone()).expect("good issuers");
    let lifecycle = Lifecycle::new();
    lifecycle.spawn("issuers", verifier.keep_fresh(lifecycle.token()));
    Bound {
        bench,
        server,
        verifier,
        lifecycle,
    }
}

impl Bound {
    fn token(&self, seed: u8) -> String {
        signer(&self.bench, seed).mint(Claims::partner("gateway", &partner()), HOUR)
    }

    async fn verify(&self, token: &str) -> Result<(), AuthError> {
        self.verifier.verify_with_new_keys(token).await.map(drop)
    }

    /// The first round is over.
    async fn ready(&self) {
        let token = self.token(2);
        eventually("the keys are there", || async {
            self.verifier.has_looked_for_keys() && self.verifier.verify(&token).is_ok()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_keys_lead_to_one_question_in_half_a_minute_whoever_names_them() {
    let b = bound(3_600).await;
    b.ready().await;
    assert_eq!(b.server.asked(), 1);
    let flood = || async {
        let tokens: Vec<String> = (10..110).map(|seed| b.token(seed)).collect();
        let answers = join_all(tokens.iter().map(|token| b.verify(token))).await;
        assert!(
            answers
                .iter()
                .all(|answer| *answer == Err(AuthError::UnknownKey))
        );
    };
    flood().await;
    flood().await;
    assert_eq!(b.server.asked(), 2, "one early question");
    b.bench.clock.advance(Duration::from_secs(29));
    flood().await;
    assert_eq!(b.server.asked(), 2);
    b.bench.clock.advance(Duration::from_secs(1));
    flood().await;
    flood().await;
    assert_eq!(b.server.asked(), 3);
    assert!(
        b.verify(&b.token(2)).await.is_ok(),
        "honest tokens do not notice"
    );
    b.lifecycle
        .request_shutdown(crate::lifecycle::ShutdownCause::Requested);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_good_at_its_first_token_and_an_old_one_bad_once_it_is_gone() {
    let b = bound(3_600).await;
    b.ready().await;
    b.server.say(Some(key_set(&[2, 3])));
    assert_eq!(b.verify(&b.token(3)).await, Ok(()), "asked for early");
    let old = b.token(2);
    assert_eq!(b.verify(&old).await, Ok(()));
    assert!(b.verifier.recall(&old).is_some(), "remembered");
    b.bench.clock.advance(Duration::from_secs(30));
    b.server.say(Some(key_set(&[3, 4])));
    assert_eq!(b.verify(&b.token(4)).await, Ok(()));
    // The same token, verified before and remembered.
    assert!(b.verifier.recall(&old).is_none());
    assert_eq!(b.verify(&old).await, Err(AuthError::UnknownKey));
    assert_eq!(b.verify(&b.token(3)).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_outlive_a_server_that_is_ill_but_not_for_ever() {
    let b = bound(1).await;
    b.ready().await;
    b.server.say(None);
    let asked = b.server.asked();
    eventually("it was asked in vain", || async {
        b.server.asked() > asked + 1
    })
    .await;
    assert_eq!(b.verify(&b.token(2)).await, Ok(()));
    for nonsense in [
        "",
        "{",
        "[1]",
        &format!("{{\"keys\": [{}]}}", "1,".repeat(50_000)),
    ] {
        b.server.say(Some(nonsense.into()));
        let asked = b.server.asked();
        eventually("it was asked for nonsense", || async {
            b.server.asked() > asked + 1
        })
        .await;
        assert_eq!(b.verify(&b.token(2)).await, Ok(()));
    }
    b.bench.clock.advance(HOUR * 25);
    assert_eq!(b.verify(&b.token(2)).await, Err(AuthError::UnknownKey));
    b.server.say(Some(key_set(&[2])));
    let token = b.token(2);
    eventually("it is well again", || async {
        b.verify(&token).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_a_token_brings_along_or_points_to_are_never_used() {
    let b = bound(3_600).await;
    b.ready().await;
    let trap = KeyServer::new(key_set(&[66])).await;
    let key = SigningKey::from_seed(&[66; 32]);
    let good = b.token(2);
    let payload = good.split('.').nth(1).expect("three parts");
    for (name, value) in [
        ("jwk", key.public_jwk()),
        ("jku", json!(trap.url)),
        ("x5u", json!(trap.url)),
        ("x5c", json!(["MIIB"])),
        ("kid", json!("../../../../dev/null")),
        ("kid", json!(trap.url)),
        ("kid", json!("' OR 1=1 --")),
        ("kid", json!(SigningKey::from_seed(&[2; 32]).kid())),
    ] {
        let mut header = json!({"alg": "EdDSA", "typ": "JWT", "kid": key.kid()});
        header[name] = value;
        let head = URL_SAFE_NO_PAD.encode(header.to_string());
        // What follows is signed as it should be, by the wrong one.
        let text = format!("{head}.{payload}");
        let signed = format!(
            "{text}.{}",
            URL_SAFE_NO_PAD.encode(key.sign(text.as_bytes()))
        );
        assert!(b.verify(&signed).await.is_err(), "{name}");
    }
    assert_eq!(trap.asked(), 0);
    assert_eq!(b.verify(&good).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_keys_is_read_again() {
    let bench = Bench::new();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("acme.jwks.json");
    fs::write(&file, key_set(&[2])).expect("written");
    let mut auth = AuthConfig {
        jwks_refresh_s: 1,
        ..AuthConfig::default()
    };
    auth.issuers.push(IssuerConfig {
        jwks_file: Some(file.clone()),
        ..acme()
    });
    let own = bench.suite.issuer(&[Audience::Service]);
    let verifier =
        TokenVerifier::from_config(&auth, own, bench.clock.clone()).expect("good issuers");
    let lifecycle = Lifecycle::new();
    lifecycle.spawn("issuers", verifier.keep_fresh(lifecycle.token()));
    let token = |seed| signer(&bench, seed).mint(Claims::partner("gateway", &partner()), HOUR);
    let (old, new) = (token(2), token(3));
    assert!(verifier.verify(&old).is_ok());
    fs::write(&file, key_set(&[3])).expect("written");
    let gone = || async { verifier.verify(&old) == Err(AuthError::UnknownKey) };
    eventually("the old key is gone", gone).await;
    assert!(verifier.verify(&new).is_ok());
    // Half a file, or none, changes nothing.
    fs::write(&file, &key_set(&[4])[..40]).expect("written");
    assert!(verifier.verify_with_new_keys(&token(4)).await.is_err());
    fs::remove_file(&file).expect("removed");
    assert!(verifier.verify(&new).is_ok());
}
