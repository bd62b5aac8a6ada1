use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use contracts::catalog::v1::*;
use kit::auth::{PeerCertificate, SigningKey};
use serde_json::json;

use super::show::Shown;
use super::*;

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("written");
    path
}

fn ed25519() -> (SigningKey, String) {
    let key = SigningKey::from_seed(&[4; 32]);
    let jwk = key.public_jwk();
    let x = jwk["x"].as_str().expect("x").to_owned();
    (key, x)
}

#[test]
fn a_key_is_the_same_as_jwk_as_set_and_as_pem() {
    let folder = tempfile::tempdir().expect("a folder");
    let (key, x) = ed25519();
    let jwk = key.public_jwk();
    let raw = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(&x)
        .expect("base64");
    let mut der = vec![
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
    ];
    der.extend(raw);
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        STANDARD.encode(der)
    );
    let files = [
        file(&folder, "a.json", &jwk.to_string()),
        file(&folder, "b.json", &json!({ "keys": [jwk] }).to_string()),
        file(&folder, "c.pem", &pem),
    ];
    for path in &files {
        let (kid, found) = public_key_of(path, None).expect("a key");
        // The suite's own keys are named by their thumbprint, too.
        assert_eq!(kid, key.kid(), "{}", path.display());
        let found: serde_json::Value = serde_json::from_str(&found).expect("JSON");
        assert_eq!((&found["x"], &found["kid"]), (&json!(x), &json!(kid)));
        let (named, found) = public_key_of(path, Some("2026-11")).expect("a key");
        assert!(named == "2026-11" && found.contains("2026-11"), "{found}");
    }
}

#[test]
fn what_is_no_public_key_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let (key, x) = ed25519();
    let private = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "d": x }).to_string();
    let two = json!({ "keys": [key.public_jwk(), key.public_jwk()] }).to_string();
    for (text, word) in [
        (private.as_str(), "private"),
        (&key.to_pem(), "private"),
        (&two, "set of 2"),
        ("{", "JSON"),
        ("hello", "PEM"),
        (
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            "JWK",
        ),
    ] {
        let path = file(&folder, "key", text);
        let error = public_key_of(&path, None).expect_err(text);
        assert!(format!("{error:#}").contains(word), "{error:#}");
    }
    let missing = public_key_of(&folder.path().join("none"), None).expect_err("no file");
    assert!(format!("{missing:#}").contains("can not be read"));
}

#[test]
fn a_certificate_is_pinned_and_never_sent_with_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let der = b"not really a certificate";
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        STANDARD.encode(der)
    );
    let found = certificate_of(&file(&folder, "a.pem", &pem)).expect("a certificate");
    let sha256 = hex::encode(PeerCertificate::of_der(der).sha256());
    assert_eq!(
        (found.sha256_fingerprint, found.spiffe_id.as_str()),
        (sha256, "")
    );
    let both = format!("{pem}{}", ed25519().0.to_pem());
    let error = certificate_of(&file(&folder, "b.pem", &both)).expect_err("a private key");
    assert!(format!("{error:#}").contains("private key"), "{error:#}");
}

#[test]
fn only_what_is_named_changes() {
    let before = PartnerAccess {
        quotas: Some(PartnerQuotas {
            calls_per_second: 5,
            concurrent_calls: 6,
            placements_per_second: 7,
        }),
        allowed_scopes: vec!["order.read".into()],
        ..PartnerAccess::default()
    };
    assert!(Terms::default().change(&before).is_none());
    let terms = Terms {
        placements_per_second: Some(0),
        scopes: vec!["all".into()],
        ..Terms::default()
    };
    let (after, mask) = terms.change(&before).expect("a change");
    assert_eq!(mask.paths, ["allowed_scopes", "quotas"]);
    let quotas = after.quotas.expect("quotas");
    assert_eq!(
        (quotas.calls_per_second, quotas.placements_per_second),
        (5, 0)
    );
    assert!(after.allowed_scopes.is_empty());
}

#[test]
fn a_partner_is_shown_with_what_it_needs() {
    let about = show::About {
        endpoint: "http://127.0.0.1:7700".into(),
        audience: "vitrine".into(),
        token_life_s: 3_600,
    };
    let mut shown = Shown {
        partner: Partner {
            partner_id: "partner_1".into(),
            partner_code: "north".into(),
            display_name: "North".into(),
            state: PartnerState::Active.into(),
            ..Partner::default()
        },
        access: PartnerAccess::default(),
        payment_keys: Vec::new(),
    };
    let text = shown.render(&about, false);
    assert!(
        text.contains("no keys and no certificates yet")
            && text.contains("To be sent to the partner"),
        "{text}"
    );
    shown.access = PartnerAccess {
        issuer_name: "https://north.example".into(),
        token_keys: vec![TokenKey {
            kid: "2026-11".into(),
            state: TokenKeyState::Active.into(),
            ..TokenKey::default()
        }],
        client_certificates: vec![ClientCertificate {
            spiffe_id: "spiffe://north.example/shop".into(),
            state: ClientCertificateState::Active.into(),
            ..ClientCertificate::default()
        }],
        ..PartnerAccess::default()
    };
    let text = shown.render(&about, false);
    for word in [
        "2026-11",
        "iss https://north.example",
        "aud vitrine",
        "spiffe://north.example/shop",
        "ACTIVE",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let json: serde_json::Value = serde_json::from_str(&shown.render(&about, true)).expect("JSON");
    assert_eq!(json["access"]["token_keys"][0]["kid"], "2026-11");
    assert!(show::list(&[], false).contains("partner add") && show::list(&[], true).contains("[]"));
}
