//! Payment statements that must not be believed, made from a seed: altered, mixed, wrongly signed, rightly signed in a
//! form that could be read in two ways, or shown for something else than they are about.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use kit::auth::SigningKey;
use serde_json::{Value, json};

use crate::world::{KID, STATEMENT, partner_key};

/// Randomness that is the same on every run.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let at = self.below(of.len());
        &of[at]
    }
}

/// A key to sign with, in whatever words.
pub struct Key {
    pub kid: String,
    pub jwk: Value,
    algorithm: Algorithm,
    private: EncodingKey,
}

impl Key {
    pub fn ed25519(kid: &str, key: &SigningKey) -> Key {
        let private = EncodingKey::from_ed_pem(key.to_pem().as_bytes()).expect("an Ed25519 key");
        Self::of(kid, Algorithm::EdDSA, private, key.public_jwk())
    }

    pub fn es256(kid: &str) -> Key {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let private = EncodingKey::from_ec_der(pair.to_pkcs8v1().expect("written").as_ref());
        Self::derived(kid, Algorithm::ES256, private)
    }

    pub fn rs256(kid: &str) -> Key {
        let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let der = STANDARD.encode(pair.as_der().expect("written").as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
        let private = EncodingKey::from_rsa_pem(pem.as_bytes()).expect("PKCS#8");
        Self::derived(kid, Algorithm::RS256, private)
    }

    fn derived(kid: &str, algorithm: Algorithm, private: EncodingKey) -> Key {
        let jwk = Jwk::from_encoding_key(&private, algorithm).expect("a public half");
        Self::of(
            kid,
            algorithm,
            private,
            serde_json::to_value(jwk).expect("JSON"),
        )
    }

    fn of(kid: &str, algorithm: Algorithm, private: EncodingKey, mut jwk: Value) -> Key {
        jwk["kid"] = kid.into();
        Key {
            kid: kid.into(),
            jwk,
            algorithm,
            private,
        }
    }

    fn alg(&self) -> &'static str {
        match self.algorithm {
            Algorithm::EdDSA => "EdDSA",
            Algorithm::ES256 => "ES256",
            _ => "RS256",
        }
    }

    pub fn header(&self) -> Value {
        json!({"alg": self.alg(), "typ": STATEMENT, "kid": self.kid})
    }

    /// Signs exactly these bytes.
    pub fn sign(&self, header: &[u8], payload: &[u8]) -> String {
        let signed = format!("{}.{}", b64(header), b64(payload));
        let signature =
            jsonwebtoken::crypto::sign(signed.as_bytes(), &self.private, self.algorithm);
        format!("{signed}.{}", signature.expect("signed"))
    }
}

pub fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn unb64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

/// A statement that its partner means.
pub struct Genuine {
    pub order_id: String,
    pub reference: String,
    pub claims: Value,
    pub statement: String,
    /// Index of its key.
    key: usize,
}

impl Genuine {
    fn parts(&self) -> [&str; 3] {
        let mut parts = self.statement.split('.');
        std::array::from_fn(|_| parts.next().expect("three parts"))
    }
}

/// A statement that nobody may believe, and what it is shown for.
pub struct Forged {
    pub what: &'static str,
    pub order_id: String,
    pub reference: String,
    pub statement: String,
}

/// The keys and the genuine statements of partner 1, and the keys of others.
pub struct Material {
    /// Registered and active: two Ed25519, one ES256, one RS256.
    pub own: Vec<Key>,
    pub revoked: Key,
    /// Of partner 2, and not of partner 1; the first has a name that partner 1 uses too.
    pub others: Vec<Key>,
    pub stranger: Key,
    pub genuine: Vec<Genuine>,
}

impl Material {
    /// Without genuine statements yet.
    pub fn new() -> Material {
        Material {
            own: vec![
                Key::ed25519(KID, &partner_key(1)),
                Key::ed25519("k2", &partner_key(21)),
                Key::es256("es"),
                Key::rs256("rs"),
            ],
            revoked: Key::ed25519("k0", &partner_key(20)),
            others: vec![
                Key::ed25519(KID, &partner_key(2)),
                Key::ed25519("k9", &partner_key(22)),
            ],
            stranger: Key::ed25519(KID, &partner_key(99)),
            genuine: Vec::new(),
        }
    }

    /// States the payment of an order under each key.
    pub fn state(&mut self, claims: &Value) {
        let text = |name: &str| claims[name].as_str().expect("text").to_owned();
        for (at, key) in self.own.iter().enumerate() {
            self.genuine.push(Genuine {
                order_id: text("order_id"),
                reference: text("payment_reference"),
                claims: claims.clone(),
                statement: key.sign(
                    key.header().to_string().as_bytes(),
                    claims.to_string().as_bytes(),
                ),
                key: at,
            });
        }
    }

    /// One forgery; never one of the genuine statements shown for what it is about.
    pub fn forge(&self, dice: &mut Dice) -> Forged {
        loop {
            // RSA is slow to sign with.
            let mut about = dice.one(&self.genuine);
            if self.own[about.key].algorithm == Algorithm::RS256 && dice.below(4) > 0 {
                about = &self.genuine[0];
            }
            let (what, statement) = match dice.below(10) {
                0 | 1 => self.altered(about, dice),
                2 => self.mixed(about, dice),
                3 | 4 => self.reencoded(about, dice),
                5 => self.wrongly_signed(about, dice),
                6 => self.malleated(about, dice),
                7 => self.ambiguous(about, dice),
                8 => self.saying_something_else(about, dice),
                _ => {
                    let shown_for = dice.one(&self.genuine);
                    if shown_for.order_id == about.order_id {
                        continue;
                    }
                    let named = [&shown_for.reference, &about.reference][dice.below(2)];
                    return Forged {
                        what: "for another order",
                        order_id: shown_for.order_id.clone(),
                        reference: named.clone(),
                        statement: about.statement.clone(),
                    };
                }
            };
            if !self
                .genuine
                .iter()
                .any(|genuine| genuine.statement == statement)
            {
                return Forged {
                    what,
                    order_id: about.order_id.clone(),
                    reference: about.reference.clone(),
                    statement,
                };
            }
        }
    }

    /// One bit, byte or letter of one part is another.
    fn altered(&self, about: &Genuine, dice: &mut Dice) -> (&'static str, String) {
        let mut parts: Vec<String> = about.parts().map(str::to_owned).to_vec();
        let part = dice.below(3);
        if dice.below(2) == 0 {
            let mut bytes = unb64(&parts[part]);
            let at = dice.below(bytes.len());
            bytes[at] ^= 1 << dice.below(8);
            parts[part] = b64(&bytes);
            return ("a bit", parts.join("."));
        }
        const LETTERS: &[u8] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=.~ \n\0";
        let at = dice.below(parts[part].len());
        let letter = char::from(*dice.one(LETTERS));
        parts[part].replace_range(at..=at, &letter.to_string());
        ("a letter", parts.join("."))
    }

    /// Parts of several genuine statements.
    fn mixed(&self, about: &Genuine, dice: &mut Dice) -> (&'static str, String) {
        let other = dice.one(&self.genuine);
        let pool = [about.parts(), other.parts()];
        let pick: Vec<&str> = (0..3).map(|part| pool[dice.below(2)][part]).collect();
        match dice.below(4) {
            0 => (
                "parts in another order",
                format!("{}.{}.{}", pick[1], pick[0], pick[2]),
            ),
            1 => (
                "a part twice",
                format!("{}.{}.{}", pick[0], pick[1], pick[1]),
            ),
            _ => ("parts of several", pick.join(".")),
        }
    }

    /// The same content in another writing.
    fn reencoded(&self, about: &Genuine, dice: &mut Dice) -> (&'static str, String) {
        let [header, payload, signature] = about.parts();
        let token = about.statement.as_str();
        let at = dice.below(token.len());
        let (first, last) = token.split_at(at);
        match dice.below(16) {
            0 => ("padded", format!("{header}.{}.{signature}", URL_SAFE.encode(unb64(payload)) + "=")),
            1 => ("signature padded", format!("{header}.{payload}.{signature}==")),
            2 => ("standard letters", format!("{header}.{payload}.{}", STANDARD_NO_PAD.encode(unb64(signature)))),
            3 => ("cut off", first.to_owned()),
            4 => ("cut off before", last.to_owned()),
            5 => ("something in it", format!("{first}{}{last}", dice.one(&[" ", "\n", "\t", "\0", "=", ".", "%2E", "é", "．", "\u{200b}"]))),
            6 => ("something after", format!("{token}{}", dice.one(&[".", "..", ".e30", "\n", " ", "A", "==", "\u{feff}"]))),
            7 => ("something before", format!("{}{token}", dice.one(&["Bearer ", " ", "\u{feff}", ".", "\""]))),
            8 => ("JSON serialisation", json!({"protected": header, "payload": payload, "signature": signature}).to_string()),
            9 => ("general serialisation", json!({"payload": payload, "signatures": [{"protected": header, "signature": signature}]}).to_string()),
            10 => {
                let claims: Value = serde_json::from_slice(&unb64(payload)).expect("JSON");
                let pretty = serde_json::to_string_pretty(&claims).expect("JSON");
                ("claims written anew", format!("{header}.{}.{signature}", b64(pretty.as_bytes())))
            }
            11 => {
                let bits = signature.chars().last().expect("a letter");
                let other = char::from(*dice.one(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"));
                let kept = &signature[..signature.len() - bits.len_utf8()];
                ("bits that say nothing", format!("{header}.{payload}.{kept}{other}"))
            }
            12 => ("detached", format!("{header}..{signature}")),
            13 => ("unsigned", format!("{header}.{payload}.")),
            14 => ("another case", token.to_ascii_uppercase()),
            _ => ("encoded twice", format!("{header}.{}.{signature}", b64(payload.as_bytes()))),
        }
    }

    /// Signed by somebody else, or by nobody, whatever the header says about it.
    fn wrongly_signed(&self, about: &Genuine, dice: &mut Dice) -> (&'static str, String) {
        let own = &self.own[about.key];
        let claims = about.claims.to_string();
        let with = |key: &Key, change: &dyn Fn(&mut Value)| {
            let mut header = own.header();
            change(&mut header);
            key.sign(header.to_string().as_bytes(), claims.as_bytes())
        };
        let other = dice.one(&self.others);
        let kids = [
            "",
            "k3",
            "k9",
            "K1",
            "k1 ",
            "k1\0",
            "../k1",
            "k1/../k1",
            "' OR '1'='1",
            "%6b1",
            "ｋ1",
            "http://x/k1",
        ];
        let kid = *dice.one(&kids);
        match dice.below(13) {
            0 => (
                "a stranger's key",
                with(&self.stranger, &|header| header["alg"] = "EdDSA".into()),
            ),
            1 => (
                "another partner's key",
                with(other, &|header| {
                    header["alg"] = "EdDSA".into();
                    header["kid"] = other.kid.as_str().into();
                }),
            ),
            2 => (
                "a revoked key",
                with(&self.revoked, &|header| {
                    header["alg"] = "EdDSA".into();
                    header["kid"] = "k0".into();
                }),
            ),
            3 => (
                "an embedded key",
                with(&self.stranger, &|header| {
                    header["alg"] = "EdDSA".into();
                    header["jwk"] = self.stranger.jwk.clone();
                }),
            ),
            4 => (
                "a key to fetch",
                with(&self.stranger, &|header| {
                    header["alg"] = "EdDSA".into();
                    header["jku"] = "https://127.0.0.1:1/keys".into();
                    header["x5u"] = "https://127.0.0.1:1/keys".into();
                    header["x5c"] = json!(["AAAA"]);
                }),
            ),
            5 => ("no algorithm", {
                let alg = *dice.one(&["none", "None", "NONE", ""]);
                format!(
                    "{}.{}.",
                    b64(json!({"alg": alg, "typ": STATEMENT, "kid": own.kid})
                        .to_string()
                        .as_bytes()),
                    b64(claims.as_bytes())
                )
            }),
            6 => ("an HMAC with the public key", {
                let text = own.jwk.to_string();
                let point = own.jwk["x"]
                    .as_str()
                    .or(own.jwk["n"].as_str())
                    .expect("a public key");
                let raw = unb64(point);
                let secret = *dice.one(&[text.as_bytes(), point.as_bytes(), raw.as_slice()]);
                let header = json!({"alg": "HS256", "typ": STATEMENT, "kid": own.kid});
                let signed = format!(
                    "{}.{}",
                    b64(header.to_string().as_bytes()),
                    b64(claims.as_bytes())
                );
                let secret = EncodingKey::from_secret(secret);
                let mac = jsonwebtoken::crypto::sign(signed.as_bytes(), &secret, Algorithm::HS256);
                let mac = mac.expect("signed");
                // Under its own name, and under that of the key.
                match dice.below(2) {
                    0 => format!("{signed}.{mac}"),
                    _ => format!("{}.{}.{mac}", about.parts()[0], about.parts()[1]),
                }
            }),
            7 => (
                "another algorithm's name",
                with(own, &|header| {
                    header["alg"] = if own.alg() == "EdDSA" {
                        "ES256".into()
                    } else {
                        "EdDSA".into()
                    };
                }),
            ),
            8 => (
                "an algorithm in other words",
                with(own, &|header| {
                    header["alg"] = json!({own.alg(): null});
                }),
            ),
            9 => ("another of its keys' names", {
                let named = &self.own[(about.key + 1) % self.own.len()];
                with(own, &|header| header["kid"] = named.kid.as_str().into())
            }),
            10 => (
                "a name that is none",
                with(own, &|header| header["kid"] = kid.into()),
            ),
            11 => (
                "a name that is no text",
                with(own, &|header| {
                    header["kid"] = json!([own.kid]);
                }),
            ),
            _ => (
                "no name",
                with(own, &|header| {
                    header.as_object_mut().expect("an object").remove("kid");
                }),
            ),
        }
    }

    /// Another signature made of the genuine one without the key.
    fn malleated(&self, about: &Genuine, dice: &mut Dice) -> (&'static str, String) {
        let [header, payload, signature] = about.parts();
        let raw = unb64(signature);
        let changed = match self.own[about.key].algorithm {
            Algorithm::EdDSA => {
                let mut twin = raw.clone();
                match dice.below(4) {
                    0 => add_little(&mut twin[32..], &ED25519_ORDER),
                    1 => twin[63] |= 0x80,
                    2 => twin[..32].fill(0),
                    _ => twin[32..].fill(0),
                }
                twin
            }
            Algorithm::ES256 => {
                let (r, s) = raw.split_at(32);
                match dice.below(8) {
                    0 => [&[0; 32][..], s].concat(),
                    1 => [r, &[0; 32]].concat(),
                    2 => vec![0; 64],
                    3 => [&P256_ORDER[..], s].concat(),
                    4 => [r, &P256_ORDER[..]].concat(),
                    5 => der(r, s),
                    6 => [s, r].concat(),
                    // With a zero before each number, as some write them.
                    _ => [&[0][..], r, &[0], s].concat(),
                }
            }
            _ => match dice.below(4) {
                0 => [&[0][..], raw.as_slice()].concat(),
                1 => raw[1..].to_vec(),
                2 => vec![0; raw.len()],
                _ => {
                    let mut one = vec![0; raw.len()];
                    one[raw.len() - 1] = 1;
                    one
                }
            },
        };
        (
            "a malleable signature",
            format!("{header}.{payload}.{}", b64(&changed)),
        )
    }

    /// Signed by the partner in a form that two programs could read in two ways, or that asks for what is not done.
    fn ambiguous(&self, about: &Genuine, dice: &mut Dice) -> (&'static str, String) {
        let key = &self.own[about.key];
        let (header, claims) = (key.header().to_string(), about.claims.to_string());
        let sign = |header: &str, claims: &str| key.sign(header.as_bytes(), claims.as_bytes());
        let first = |text: &str, member: &str| text.replacen('{', &format!("{{{member},"), 1);
        let amount = dice.below(100_000);
        match dice.below(16) {
            0 => (
                "a claim twice",
                sign(
                    &header,
                    &first(&claims, &format!("\"minor_units\":{amount}")),
                ),
            ),
            1 => (
                "a claim twice, escaped",
                sign(
                    &header,
                    &first(&claims, "\"\\u006binor_units\":1,\"\\u006bind\":\"GIFT\""),
                ),
            ),
            2 => (
                "a claim twice, deep down",
                sign(&header, &first(&claims, "\"more\":[{\"a\":1,\"a\":2}]")),
            ),
            3 => (
                "a header member twice",
                sign(&first(&header, "\"kid\":\"k9\""), &claims),
            ),
            4 => (
                "an algorithm twice",
                sign(&first(&header, "\"alg\":\"none\""), &claims),
            ),
            5 => (
                "another header member twice",
                sign(&first(&header, "\"x\":1,\"x\":2"), &claims),
            ),
            6 => (
                "critical",
                sign(&first(&header, "\"crit\":[\"exp\"],\"exp\":1"), &claims),
            ),
            7 => (
                "critical nothing",
                sign(
                    &first(&header, dice.one::<&str>(&["\"crit\":null", "\"crit\":[]"])),
                    &claims,
                ),
            ),
            8 => (
                "not encoded",
                sign(
                    &first(
                        &header,
                        dice.one::<&str>(&[
                            "\"b64\":false",
                            "\"b64\":true",
                            "\"b64\":false,\"crit\":[\"b64\"]",
                        ]),
                    ),
                    &claims,
                ),
            ),
            9 => ("two objects", sign(&header, &format!("{claims}{claims}"))),
            10 => ("in a list", sign(&header, &format!("[{claims}]"))),
            11 => ("as text", sign(&header, &Value::from(claims).to_string())),
            12 => (
                "nested without end",
                sign(
                    &header,
                    &first(
                        &claims,
                        &format!("\"more\":{}{}", "[".repeat(1_000), "]".repeat(1_000)),
                    ),
                ),
            ),
            13 => (
                "no UTF-8",
                key.sign(
                    header.as_bytes(),
                    &[first(&claims, "\"more\":\"").as_bytes(), b"\xff\xfe"].concat(),
                ),
            ),
            14 => (
                "a byte order mark",
                sign(&header, &format!("\u{feff}{claims}")),
            ),
            _ => (
                "a statement in a statement",
                sign(&header, &about.statement),
            ),
        }
    }

    /// Signed by the partner, and not the statement of a payment to this suite.
    fn saying_something_else(&self, about: &Genuine, dice: &mut Dice) -> (&'static str, String) {
        let key = &self.own[about.key];
        let (mut header, mut claims) = (key.header(), about.claims.clone());
        let what = match dice.below(6) {
            0 => {
                header["typ"] = (*dice.one(&[
                    "JWT",
                    "",
                    "vitrine-refund+jwt",
                    "vitrine-compensation+jwt",
                    "vitrine-chargeback+jwt",
                    "Vitrine-Payment+JWT",
                    "application/vitrine-payment+jwt",
                ]))
                .into();
                "another type"
            }
            1 => {
                let wrong = [
                    json!("other"),
                    json!(["other"]),
                    json!([]),
                    Value::Null,
                    json!("vitrine "),
                    json!({"vitrine": 1}),
                    json!(7),
                ];
                claims["aud"] = dice.one(&wrong).clone();
                "another audience"
            }
            2 => {
                claims["kind"] = (*dice.one(&[
                    "GIFT",
                    "charge",
                    "",
                    "REFUND_EXECUTED",
                    "PARTNER_REFUND",
                    "CHARGEBACK_OPENED",
                    "CHARGE ",
                    "DEPOSIT",
                ]))
                .into();
                "another kind"
            }
            3 => {
                let ahead = 301 + dice.below(100_000_000) as i64;
                claims["paid_at"] =
                    (about.claims["paid_at"].as_i64().expect("a time") + ahead).into();
                "from the future"
            }
            4 => {
                let (name, wrong) = dice
                    .one(&[
                        ("minor_units", json!(-1)),
                        ("minor_units", json!("1990")),
                        ("minor_units", json!(19.9)),
                        ("minor_units", json!(1990.0)),
                        ("minor_units", json!(1e300)),
                        ("minor_units", json!(u64::MAX)),
                        ("currency_code", json!("eur")),
                        ("currency_code", json!("EURO")),
                        ("currency_code", json!("ＥＵＲ")),
                        ("paid_at", json!("now")),
                        ("paid_at", json!(-1)),
                        ("paid_at", json!(1.5)),
                    ])
                    .clone();
                claims[name] = wrong;
                "no payment"
            }
            _ => {
                let members = [
                    "order_id",
                    "kind",
                    "minor_units",
                    "currency_code",
                    "payment_reference",
                    "paid_at",
                ];
                let missing = *dice.one(&members);
                claims.as_object_mut().expect("an object").remove(missing);
                "a claim missing"
            }
        };
        (
            what,
            key.sign(header.to_string().as_bytes(), claims.to_string().as_bytes()),
        )
    }
}

/// The order of the base point of Ed25519, least byte first.
const ED25519_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The order of P-256, greatest byte first.
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

fn add_little(number: &mut [u8], more: &[u8; 32]) {
    let mut carry = 0;
    for (digit, more) in number.iter_mut().zip(more) {
        let sum = u16::from(*digit) + u16::from(*more) + carry;
        (*digit, carry) = ((sum & 0xff) as u8, sum >> 8);
    }
}

/// What an ES256 statement becomes with `n - s` for `s`: as good a signature of the same words.
pub fn high_s(statement: &str) -> String {
    let (signed, signature) = statement.rsplit_once('.').expect("three parts");
    let mut raw = unb64(signature);
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i16::from(P256_ORDER[at]) - i16::from(raw[32 + at]) - borrow;
        (raw[32 + at], borrow) = (difference.rem_euclid(256) as u8, i16::from(difference < 0));
    }
    format!("{signed}.{}", b64(&raw))
}

fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let number = |digits: &[u8]| {
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        let mut digits = digits[zeros..].to_vec();
        if digits.first().is_some_and(|digit| *digit >= 0x80) {
            digits.insert(0, 0);
        }
        [&[2, digits.len() as u8][..], digits.as_slice()].concat()
    };
    let both = [number(r), number(s)].concat();
    [&[0x30, both.len() as u8][..], both.as_slice()].concat()
}
