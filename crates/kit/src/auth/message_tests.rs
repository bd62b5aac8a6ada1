use proptest::prelude::*;

use super::*;
use crate::auth::SigningKey;

/// The headers of a request as a partner signs it.
pub(crate) struct Signer {
    pub(crate) key: SigningKey,
    pub(crate) created: i64,
    pub(crate) nonce: String,
}

impl Signer {
    pub(crate) fn input(&self) -> String {
        format!(
            "sig=(\"@path\" \"content-digest\" \"authorization\");created={};nonce=\"{}\";keyid=\"{}\"",
            self.created,
            self.nonce,
            self.key.kid()
        )
    }

    /// Signs what an input says, whatever it is.
    pub(crate) fn sign(&self, input: &str, about: &Covered<'_>) -> String {
        let (label, params) = input.split_once('=').expect("a label");
        let base = format!(
            "\"@path\": {}\n\"content-digest\": {}\n\"authorization\": {}\n\"@signature-params\": {params}",
            about.path, about.content_digest, about.authorization
        );
        let signature = self.key.sign(base.as_bytes());
        format!("{label}=:{}:", STANDARD.encode(signature))
    }
}

fn signer() -> Signer {
    Signer {
        key: SigningKey::from_seed(&[7; 32]),
        created: 1_790_000_000,
        nonce: "0123456789abcdef".into(),
    }
}

const DIGEST: &str = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
const ABOUT: Covered<'static> = Covered {
    path: "/vitrine.order.v1.OrderService/ConfirmPayment",
    content_digest: DIGEST,
    authorization: "Bearer a.b.c",
};

#[test]
fn what_was_signed_holds_and_nothing_else() {
    let signer = signer();
    let input = signer.input();
    let signature = signer.sign(&input, &ABOUT);
    let read = MessageSignature::parse(&input, &signature).expect("well formed");
    assert_eq!(
        (read.key_id, read.created),
        (signer.key.kid(), 1_790_000_000)
    );
    let key = signer.key.public_key();
    assert_eq!(read.verify(&key, &ABOUT), Ok(()));
    for other in [
        Covered {
            path: "/vitrine.order.v1.OrderService/CancelOrder",
            ..ABOUT
        },
        Covered {
            content_digest: "sha-256=:AAAA:",
            ..ABOUT
        },
        Covered {
            authorization: "Bearer d.e.f",
            ..ABOUT
        },
    ] {
        assert_eq!(read.verify(&key, &other), Err(Problem::Signature));
    }
    let stranger = SigningKey::from_seed(&[8; 32]).public_key();
    assert_eq!(read.verify(&stranger, &ABOUT), Err(Problem::Signature));
}

/// As the partners' programs in Python and Node sign; they have the same test.
#[test]
fn samples_sign_alike() {
    let input = "sig=(\"@path\" \"content-digest\" \"authorization\");created=1790000000;nonce=\"0123456789abcdef\";\
                 keyid=\"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k\"";
    let signature = "sig=:C5uZqaSIV0WI4fEI1fa+od90KR/UZzbIEqoJ4wnfeLzTAK/0sauspL6HkM2/40G3AozbKEFLyakoKW2rroqfCw==:";
    let digest = content_digest(b"\n\x07order_1");
    let about = Covered {
        path: "/vitrine.order.v1.OrderService/GetOrder",
        content_digest: &digest,
        authorization: "Bearer a.b.c",
    };
    let key = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let key = PublicKey::from_jwk_json(key).expect("the key of RFC 8037");
    let read = MessageSignature::parse(input, signature).expect("well formed");
    assert_eq!(read.verify(&key, &about), Ok(()));
}

/// RFC 9530's own example: the digest of a text.
#[test]
fn digests_are_those_of_the_rfc() {
    assert_eq!(content_digest(b"{\"hello\": \"world\"}"), DIGEST);
}

#[test]
fn an_algorithm_is_only_compared() {
    let signer = signer();
    for (alg, verdict) in [
        ("ed25519", Ok(())),
        ("hmac-sha256", Err(Problem::Algorithm)),
        ("rsa-v1_5-sha256", Err(Problem::Algorithm)),
    ] {
        let input = format!("{};alg=\"{alg}\"", signer.input());
        let signature = signer.sign(&input, &ABOUT);
        let read = MessageSignature::parse(&input, &signature).expect("well formed");
        assert_eq!(
            read.verify(&signer.key.public_key(), &ABOUT),
            verdict,
            "{alg}"
        );
    }
}

#[test]
fn only_one_form_is_read() {
    let signer = signer();
    let good = signer.input();
    let signature = signer.sign(&good, &ABOUT);
    for bad in [
        good.replace("sig=", "Sig="),
        good.replace("sig=", "other="),
        good.replace("created=1", "created=+1"),
        good.replace("created=1", "created=01"),
        good.replace("created=1790000000", "created=\"1790000000\""),
        good.replace(";created=1790000000", ""),
        good.replace(";nonce=\"0123456789abcdef\"", ""),
        good.replace("0123456789abcdef", "short"),
        good.replace("0123456789abcdef", "0123456789abcdef\\\""),
        good.replace(";created", "; created"),
        good.replace(" \"auth", "  \"auth"),
        format!("{good};created=1790000000"),
        format!("{good};tag=\"x\""),
        format!("{good}, other=()"),
        format!("{good};"),
        "sig".into(),
        "sig=()".into(),
        String::new(),
        "x".repeat(2_000),
    ] {
        let read = MessageSignature::parse(&bad, &signature);
        assert_eq!(read.err(), Some(Problem::Malformed), "{bad}");
    }
    for bad in [
        good.replace(" \"authorization\"", ""),
        good.replace("\"@path\" ", ""),
        good.replace("\"content-digest\" ", ""),
        good.replace("\"@path\"", "\"@path\" \"@path\""),
        good.replace("\"@path\"", "\"@path\" \"@method\""),
        good.replace("\"@path\"", "\"@PATH\""),
    ] {
        let read = MessageSignature::parse(&bad, &signature);
        assert_eq!(read.err(), Some(Problem::Covers), "{bad}");
    }
    for bad in [
        signature.replace("sig=:", "sig="),
        signature.replace("sig=", "other="),
        signature.replace("==:", ":"),
        signature.replace("=:", "=:-"),
        format!("{signature}, sig=:AAAA:"),
        String::new(),
    ] {
        let read = MessageSignature::parse(&good, &bad);
        assert_eq!(read.err(), Some(Problem::Malformed), "{bad}");
    }
}

#[test]
fn a_body_has_one_message() {
    let framed = |flag: u8, length: u32, message: &[u8]| {
        let mut body = vec![flag];
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(message);
        body
    };
    assert_eq!(only_message(&framed(0, 3, b"abc")), Ok(&b"abc"[..]));
    assert_eq!(only_message(&framed(0, 0, b"")), Ok(&b""[..]));
    for bad in [
        framed(1, 3, b"abc"),
        framed(0, 2, b"abc"),
        framed(0, 4, b"abc"),
        [framed(0, 1, b"a"), framed(0, 1, b"b")].concat(),
        vec![0; 4],
        Vec::new(),
    ] {
        assert_eq!(only_message(&bad), Err(Problem::Message), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn no_changed_character_survives(at in any::<prop::sample::Index>(), to in "[ -~]", which in any::<bool>()) {
        let signer = signer();
        let (mut input, mut signature) = (signer.input(), String::new());
        signature.push_str(&signer.sign(&input, &ABOUT));
        let text = if which { &mut input } else { &mut signature };
        let at = at.index(text.len());
        let before = text.clone();
        text.replace_range(at..=at, &to);
        let changed = before != *text;
        let verdict = MessageSignature::parse(&input, &signature)
            .and_then(|read| {
                // A change of the key's name finds another key or none.
                if read.key_id != signer.key.kid() { return Err(Problem::Key); }
                read.verify(&signer.key.public_key(), &ABOUT)
            });
        prop_assert_eq!(verdict.is_err(), changed);
    }

    #[test]
    fn garbage_never_panics(input in ".{0,200}", signature in ".{0,100}") {
        prop_assert!(MessageSignature::parse(&input, &signature).is_err());
    }
}
