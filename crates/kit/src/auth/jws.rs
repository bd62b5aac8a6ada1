//! Compact JWS: what tokens and payment statements are signed with.
//!
//! A key has one algorithm, fixed by its type, and a signature is checked with that one alone. What the
//! header says is compared, never obeyed: `none`, HMAC with a public key, `jwk`, `jku` and `crit` find
//! no code to run.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{Algorithm as JwtAlgorithm, DecodingKey};
use serde::{Deserialize, Deserializer, Serialize};

use super::json;
use super::key::SigningKey;

/// A longer statement is refused before anything else is done with it.
pub const MAX_BYTES: usize = 65_536;

/// The shortest RSA modulus that is accepted.
const MIN_RSA_BYTES: usize = 256;

/// The signature algorithms of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA over P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// RSA PKCS#1 v1.5 with SHA-256, 2,048 bits or more.
    #[serde(rename = "RS256")]
    Rs256,
}

impl Algorithm {
    /// The name in a JWS header.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::EdDsa => "EdDSA",
            Algorithm::Es256 => "ES256",
            Algorithm::Rs256 => "RS256",
        }
    }

    fn named(name: &str) -> Option<Algorithm> {
        [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }

    fn library(self) -> JwtAlgorithm {
        match self {
            Algorithm::EdDsa => JwtAlgorithm::EdDSA,
            Algorithm::Es256 => JwtAlgorithm::ES256,
            Algorithm::Rs256 => JwtAlgorithm::RS256,
        }
    }
}

/// Why a JWS or a key is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// No compact JWS, or a header that asks for something this code does not do.
    #[error("no compact JWS of a supported form")]
    Malformed,
    /// Larger than [`MAX_BYTES`].
    #[error("larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// The header's algorithm is not the key's.
    #[error("the algorithm is not the key's")]
    WrongAlgorithm,
    /// The header names another key.
    #[error("the kid is not the key's")]
    WrongKey,
    /// The signature is not the key's over this content.
    #[error("the signature is wrong")]
    BadSignature,
    /// No public key of a supported kind.
    #[error(
        "no JWK of a supported kind: Ed25519, P-256 or RSA of at least 2048 bits, for signatures"
    )]
    UnsupportedKey,
}

/// A public key to verify with.
#[derive(Clone)]
pub struct PublicKey {
    kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl PublicKey {
    /// A key from the JSON of a JWK. Private and symmetric keys, and keys for encryption, are refused.
    pub fn from_jwk_json(json: &str) -> Result<Self, JwsError> {
        let value: serde_json::Value =
            serde_json::from_str(json).map_err(|_| JwsError::UnsupportedKey)?;
        Self::from_jwk_value(&value)
    }

    /// The same from JSON that is parsed already.
    pub fn from_jwk_value(value: &serde_json::Value) -> Result<Self, JwsError> {
        let has = |name: &str| value.get(name).is_some();
        let is_for_signatures = value.get("use").is_none_or(|usage| usage == "sig");
        // A private key that somebody pasted here is compromised; do not get used to it.
        if has("d") || has("k") || !is_for_signatures {
            return Err(JwsError::UnsupportedKey);
        }
        let jwk: Jwk =
            serde_json::from_value(value.clone()).map_err(|_| JwsError::UnsupportedKey)?;
        let algorithm = algorithm_of(&jwk)?;
        if value
            .get("alg")
            .is_some_and(|name| name != algorithm.name())
        {
            return Err(JwsError::UnsupportedKey);
        }
        let key = DecodingKey::from_jwk(&jwk).map_err(|_| JwsError::UnsupportedKey)?;
        Ok(PublicKey {
            kid: jwk.common.key_id,
            algorithm,
            key,
        })
    }

    /// The key's own name, when it has one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The key's one algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether this is the key's signature of the message: 64 bytes of Ed25519, 64 of ES256 (no DER), as many as the
    /// modulus has of RS256.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verifies_text(message, &URL_SAFE_NO_PAD.encode(signature))
    }

    fn verifies_text(&self, message: &[u8], signature: &str) -> bool {
        let library = self.algorithm.library();
        jsonwebtoken::crypto::verify(signature, message, &self.key, library).unwrap_or(false)
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublicKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

fn algorithm_of(jwk: &Jwk) -> Result<Algorithm, JwsError> {
    match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
            let bytes = URL_SAFE_NO_PAD
                .decode(&okp.x)
                .map_err(|_| JwsError::UnsupportedKey)?;
            if bytes.len() == 32 && !is_of_small_order(&bytes) {
                Ok(Algorithm::EdDsa)
            } else {
                Err(JwsError::UnsupportedKey)
            }
        }
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            Ok(Algorithm::Es256)
        }
        AlgorithmParameters::RSA(rsa) => {
            let modulus = URL_SAFE_NO_PAD
                .decode(&rsa.n)
                .map_err(|_| JwsError::UnsupportedKey)?;
            let length = modulus.iter().skip_while(|byte| **byte == 0).count();
            if length >= MIN_RSA_BYTES && has_sound_exponent(&rsa.e) {
                Ok(Algorithm::Rs256)
            } else {
                Err(JwsError::UnsupportedKey)
            }
        }
        _ => Err(JwsError::UnsupportedKey),
    }
}

/// Points of Ed25519 under which signatures hold that nobody made (RFC 8032, 5.1.7): their order divides eight. Each as
/// it is encoded, without the sign bit; some in two ways.
const SMALL_ORDER: [[u8; 32]; 7] = [
    first_and_last(0x00, 0x00, 0x00),
    first_and_last(0x01, 0x00, 0x00),
    first_and_last(0xec, 0xff, 0x7f),
    first_and_last(0xed, 0xff, 0x7f),
    first_and_last(0xee, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

const fn first_and_last(first: u8, between: u8, last: u8) -> [u8; 32] {
    let mut bytes = [between; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

fn is_of_small_order(point: &[u8]) -> bool {
    let Ok(mut point) = <[u8; 32]>::try_from(point) else {
        return false;
    };
    point[31] &= 0x7f;
    SMALL_ORDER.contains(&point)
}

/// Odd and at least three: with one, everybody can sign.
fn has_sound_exponent(text: &str) -> bool {
    let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    let exponent: &[u8] = match bytes.iter().position(|byte| *byte != 0) {
        Some(start) => &bytes[start..],
        None => &[],
    };
    match exponent {
        [] | [1] => false,
        [.., last] => last % 2 == 1,
    }
}

/// What a JWS header may say here.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    #[serde(deserialize_with = "algorithm_in_text")]
    pub(super) alg: Algorithm,
    pub(super) kid: Option<String>,
    pub(super) typ: Option<String>,
    #[serde(default, deserialize_with = "json::present")]
    crit: bool,
    #[serde(default, deserialize_with = "json::present")]
    b64: bool,
}

/// An algorithm by its name, as text and in no other of the ways in which enums may be written.
fn algorithm_in_text<'de, D: Deserializer<'de>>(name: D) -> Result<Algorithm, D::Error> {
    let name = String::deserialize(name)?;
    Algorithm::named(&name).ok_or_else(|| serde::de::Error::custom("no algorithm of ours"))
}

/// A compact JWS, taken apart and not verified.
pub(super) struct Parts<'a> {
    pub(super) header: Header,
    signed: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    pub(super) fn of(token: &'a str) -> Result<Self, JwsError> {
        if token.len() > MAX_BYTES {
            return Err(JwsError::TooLarge);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwsError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(JwsError::Malformed)?;
        if payload.contains('.') {
            return Err(JwsError::Malformed);
        }
        let header = URL_SAFE_NO_PAD
            .decode(header)
            .map_err(|_| JwsError::Malformed)?;
        // RFC 7515 4: no name twice, or two programs read two headers.
        if !json::is_plain_object(&header) {
            return Err(JwsError::Malformed);
        }
        let header: Header = serde_json::from_slice(&header).map_err(|_| JwsError::Malformed)?;
        // RFC 7515 4.1.11: what is critical and not understood must be refused.
        if header.crit || header.b64 {
            return Err(JwsError::Malformed);
        }
        Ok(Parts {
            header,
            signed,
            payload,
            signature,
        })
    }

    pub(super) fn payload(&self) -> Result<Vec<u8>, JwsError> {
        URL_SAFE_NO_PAD
            .decode(self.payload)
            .map_err(|_| JwsError::Malformed)
    }

    pub(super) fn verify(&self, key: &PublicKey) -> Result<(), JwsError> {
        if self.header.alg != key.algorithm {
            return Err(JwsError::WrongAlgorithm);
        }
        if key.verifies_text(self.signed.as_bytes(), self.signature) {
            Ok(())
        } else {
            Err(JwsError::BadSignature)
        }
    }
}

/// The `kid` in the header of a JWS; unverified, good only to look up the key.
pub fn kid_of(token: &str) -> Option<String> {
    Parts::of(token).ok()?.header.kid
}

/// A compact JWS in which nobody believes yet: its header says which key to look up and what the signer meant.
pub struct Unverified<'a> {
    parts: Parts<'a>,
}

impl<'a> Unverified<'a> {
    /// Takes a compact JWS apart.
    pub fn of(token: &'a str) -> Result<Self, JwsError> {
        Ok(Unverified {
            parts: Parts::of(token)?,
        })
    }

    /// The key that it says it is signed with.
    pub fn kid(&self) -> Option<&str> {
        self.parts.header.kid.as_deref()
    }

    /// The `typ` that it says it is of.
    pub fn typ(&self) -> Option<&str> {
        self.parts.header.typ.as_deref()
    }

    /// What was signed, if the signature is the key's over exactly the bytes that came.
    pub fn verify(&self, key: &PublicKey) -> Result<Vec<u8>, JwsError> {
        if let (Some(named), Some(own)) = (&self.parts.header.kid, &key.kid)
            && named != own
        {
            return Err(JwsError::WrongKey);
        }
        self.parts.verify(key)?;
        self.parts.payload()
    }
}

/// Verifies a compact JWS and gives its payload.
pub fn verify(token: &str, key: &PublicKey) -> Result<Vec<u8>, JwsError> {
    Unverified::of(token)?.verify(key)
}

/// Signs a payload with an Ed25519 key; the header names the key.
pub fn sign_ed25519(key: &SigningKey, payload: &[u8]) -> String {
    sign(key, "JOSE", payload)
}

/// A new Ed25519 key.
pub fn generate_ed25519() -> SigningKey {
    SigningKey::generate()
}

/// Signs a payload with an Ed25519 key under a `typ` header, which says what the signer means.
pub fn sign(key: &SigningKey, typ: &str, payload: &[u8]) -> String {
    let header =
        serde_json::json!({ "alg": Algorithm::EdDsa.name(), "kid": key.kid(), "typ": typ });
    let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut token);
    let signature = key.sign(token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}

#[cfg(test)]
#[path = "jws_tests.rs"]
pub(crate) mod tests;
