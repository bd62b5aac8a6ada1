use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::{EncodingKey, Header as JwtHeader};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A key of each kind that partners and Kubernetes sign with, and its public JWK.
pub(crate) fn foreign_key(algorithm: JwtAlgorithm) -> (EncodingKey, Value) {
    let key = match algorithm {
        JwtAlgorithm::ES256 => {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
            EncodingKey::from_ec_der(pair.to_pkcs8v1().expect("written").as_ref())
        }
        JwtAlgorithm::RS256 => {
            let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).expect("a key");
            let der = base64::engine::general_purpose::STANDARD
                .encode(pair.as_der().expect("written").as_ref());
            let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
            EncodingKey::from_rsa_pem(pem.as_bytes()).expect("PKCS#8")
        }
        other => panic!("no key of {other:?}"),
    };
    let jwk = Jwk::from_encoding_key(&key, algorithm).expect("a public half");
    (key, serde_json::to_value(jwk).expect("JSON"))
}

fn forged(header: &Value, payload: &[u8], signature: &[u8]) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!(
        "{}.{}.{}",
        encode(header.to_string().as_bytes()),
        encode(payload),
        encode(signature)
    )
}

#[test]
fn accepts_all_three_algorithms() {
    for algorithm in [JwtAlgorithm::ES256, JwtAlgorithm::RS256] {
        let (private, jwk) = foreign_key(algorithm);
        let public = PublicKey::from_jwk_value(&jwk).expect("a usable key");
        let token = jsonwebtoken::encode(&JwtHeader::new(algorithm), &json!({"a": 1}), &private)
            .expect("signed");
        assert_eq!(verify(&token, &public), Ok(br#"{"a":1}"#.to_vec()));
    }
    let key = generate_ed25519();
    let token = sign_ed25519(&key, b"paid");
    assert_eq!(kid_of(&token).as_deref(), Some(key.kid()));
    let public = PublicKey::from_jwk_json(&key.public_jwk().to_string()).expect("our JWK");
    assert_eq!(verify(&token, &public), Ok(b"paid".to_vec()));
}

#[test]
fn the_key_decides_the_algorithm_and_never_the_header() {
    let key = generate_ed25519();
    let public = key.public_key();
    let payload = b"{}";
    let none = forged(&json!({"alg": "none"}), payload, b"");
    assert_eq!(verify(&none, &public), Err(JwsError::Malformed));
    // The classic: the public key's text used as an HMAC secret.
    let hmac = EncodingKey::from_secret(key.public_jwk()["x"].as_str().expect("text").as_bytes());
    let hmac = jsonwebtoken::encode(&JwtHeader::new(JwtAlgorithm::HS256), &json!({}), &hmac)
        .expect("signed");
    assert_eq!(verify(&hmac, &public), Err(JwsError::Malformed));
    let (ec, _) = foreign_key(JwtAlgorithm::ES256);
    let other = jsonwebtoken::encode(&JwtHeader::new(JwtAlgorithm::ES256), &json!({}), &ec)
        .expect("signed");
    assert_eq!(verify(&other, &public), Err(JwsError::WrongAlgorithm));
    let critical = forged(&json!({"alg": "EdDSA", "crit": ["x"]}), payload, &[0; 64]);
    assert_eq!(verify(&critical, &public), Err(JwsError::Malformed));
}

#[test]
fn another_key_or_name_is_refused() {
    let (key, other) = (generate_ed25519(), generate_ed25519());
    let token = sign_ed25519(&key, b"paid");
    assert_eq!(verify(&token, &other.public_key()), Err(JwsError::WrongKey));
    let mut jwk = other.public_jwk();
    jwk["kid"] = json!(key.kid());
    let impostor = PublicKey::from_jwk_value(&jwk).expect("a key under another's name");
    assert_eq!(verify(&token, &impostor), Err(JwsError::BadSignature));
    assert_eq!(
        verify(&"a".repeat(MAX_BYTES + 1), &impostor),
        Err(JwsError::TooLarge)
    );
}

#[test]
fn keys_that_must_not_verify_are_not_loaded() {
    let good = generate_ed25519().public_jwk();
    let with = |name: &str, value: Value| {
        let mut jwk = good.clone();
        jwk[name] = value;
        PublicKey::from_jwk_json(&jwk.to_string()).err()
    };
    assert!(PublicKey::from_jwk_json(&good.to_string()).is_ok());
    assert_eq!(with("d", json!("AAAA")), Some(JwsError::UnsupportedKey));
    assert_eq!(with("use", json!("enc")), Some(JwsError::UnsupportedKey));
    assert_eq!(with("alg", json!("RS256")), Some(JwsError::UnsupportedKey));
    assert_eq!(with("x", json!("AAAA")), Some(JwsError::UnsupportedKey));
    let symmetric = json!({"kty": "oct", "k": "AAAA"}).to_string();
    assert_eq!(
        PublicKey::from_jwk_json(&symmetric).err(),
        Some(JwsError::UnsupportedKey)
    );
    let short =
        json!({"kty": "RSA", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode([0xff; 128])}).to_string();
    assert_eq!(
        PublicKey::from_jwk_json(&short).err(),
        Some(JwsError::UnsupportedKey)
    );
    assert_eq!(
        PublicKey::from_jwk_json("{").err(),
        Some(JwsError::UnsupportedKey)
    );
}

proptest! {
    #[test]
    fn no_changed_byte_survives(payload in proptest::collection::vec(any::<u8>(), 0..64), at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]") {
        let key = SigningKey::from_seed(&[7; 32]);
        let token = sign_ed25519(&key, &payload);
        let at = at.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(at..=at, &to);
        if changed == token {
            prop_assert_eq!(verify(&changed, &key.public_key()), Ok(payload));
        } else {
            prop_assert!(verify(&changed, &key.public_key()).is_err());
        }
    }

    #[test]
    fn garbage_never_panics(text in ".{0,200}") {
        let key = SigningKey::from_seed(&[7; 32]);
        prop_assert!(verify(&text, &key.public_key()).is_err());
        prop_assert_eq!(kid_of(&text), None);
    }
}

mod security {
    use super::*;

    fn signed(key: &SigningKey, header: &str, payload: &[u8]) -> String {
        let mut token = URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = key.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }

    /// Signed by the key itself, and still in a form that somebody could read otherwise.
    #[test]
    fn a_header_means_one_thing() {
        let key = SigningKey::from_seed(&[7; 32]);
        let public = key.public_key();
        let good = r#"{"alg":"EdDSA","jwk":{"kty":"oct"},"jku":"https://x","x5c":[]}"#;
        assert_eq!(
            verify(&signed(&key, good, b"{}"), &public),
            Ok(b"{}".to_vec())
        );
        for header in [
            r#"{"alg":"EdDSA","crit":null}"#,
            r#"{"alg":"EdDSA","crit":[]}"#,
            r#"{"alg":"EdDSA","crit":["exp"],"exp":1}"#,
            r#"{"alg":"EdDSA","b64":null}"#,
            r#"{"alg":"EdDSA","b64":true}"#,
            r#"{"alg":"EdDSA","b64":false,"crit":["b64"]}"#,
            r#"{"alg":{"EdDSA":null}}"#,
            r#"{"alg":"eddsa"}"#,
            r#"{"alg":"HS256","alg":"EdDSA"}"#,
            r#"{"alg":"EdDSA","\u0061lg":"EdDSA"}"#,
            r#"{"alg":"EdDSA","x":1,"x":2}"#,
            r#"["EdDSA",null,null]"#,
            r#"{"alg":"EdDSA"}{}"#,
            r#"{"alg":"EdDSA","kid":7}"#,
        ] {
            let token = signed(&key, header, b"{}");
            assert_eq!(
                verify(&token, &public),
                Err(JwsError::Malformed),
                "{header}"
            );
        }
    }

    #[test]
    fn there_is_one_encoding() {
        let key = SigningKey::from_seed(&[7; 32]);
        let public = key.public_key();
        let token = sign_ed25519(&key, b"{}");
        let (signed, signature) = token.rsplit_once('.').expect("three parts");
        // The last letter of 64 bytes has four bits that say nothing.
        let last = signature.chars().last().expect("a letter");
        let others = ('A'..='z').filter(|letter| letter.is_ascii_alphabetic() && *letter != last);
        for other in others {
            let twin = format!("{signed}.{}{other}", &signature[..signature.len() - 1]);
            assert_eq!(
                verify(&twin, &public),
                Err(JwsError::BadSignature),
                "{other}"
            );
        }
        for other in [
            format!("{token}=="),
            format!("{token}\n"),
            format!(" {token}"),
            format!("{token}."),
            token.replacen('.', ".\n", 1),
        ] {
            assert!(verify(&other, &public).is_err(), "{other:?}");
        }
    }

    /// Under these keys signatures hold that nobody made.
    #[test]
    fn keys_of_everybody_are_not_loaded() {
        for point in SMALL_ORDER {
            for sign in [0, 0x80] {
                let mut point = point;
                point[31] |= sign;
                let jwk =
                    json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(point)});
                let refused = PublicKey::from_jwk_value(&jwk).err();
                assert_eq!(refused, Some(JwsError::UnsupportedKey), "{point:?}");
            }
        }
        let n = URL_SAFE_NO_PAD.encode([0xff; 256]);
        for (e, good) in [
            (&[3][..], true),
            (&[1, 0, 1], true),
            (&[1], false),
            (&[0, 1], false),
            (&[], false),
            (&[4], false),
        ] {
            let jwk = json!({"kty": "RSA", "n": n, "e": URL_SAFE_NO_PAD.encode(e)});
            assert_eq!(PublicKey::from_jwk_value(&jwk).is_ok(), good, "{e:?}");
        }
    }

    #[test]
    fn raw_signatures_are_those_of_the_jws() {
        let key = SigningKey::from_seed(&[7; 32]);
        let signature = key.sign(b"message");
        assert!(key.public_key().verifies(b"message", &signature));
        assert!(!key.public_key().verifies(b"messages", &signature));
        assert!(!key.public_key().verifies(b"message", &signature[..63]));
        assert!(!key.public_key().verifies(b"message", &[]));
    }
}
