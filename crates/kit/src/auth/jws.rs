//! Compact JWS: what tokens and payment statements are signed with.
//!
//! A key has one algorithm, fixed by its type, and a signature is checked with that one alone. What the
//! header says is compared, never obeyed: `none`, HMAC with a public key, `jwk`, `jku` and `crit` find
//! no code to run.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{Algorithm as JwtAlgorithm, DecodingKey};
use serde::{Deserialize, Serialize};

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
            if bytes.len() == 32 {
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
            if length >= MIN_RSA_BYTES {
                Ok(Algorithm::Rs256)
            } else {
                Err(JwsError::UnsupportedKey)
            }
        }
        _ => Err(JwsError::UnsupportedKey),
    }
}

/// What a JWS header may say here.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    pub(super) alg: Algorithm,
    pub(super) kid: Option<String>,
    crit: Option<serde_json::Value>,
    b64: Option<serde_json::Value>,
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
        let header: Header = serde_json::from_slice(&header).map_err(|_| JwsError::Malformed)?;
        // RFC 7515 4.1.11: what is critical and not understood must be refused.
        if header.crit.is_some() || header.b64.is_some() {
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
        let library = key.algorithm.library();
        match jsonwebtoken::crypto::verify(
            self.signature,
            self.signed.as_bytes(),
            &key.key,
            library,
        ) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(JwsError::BadSignature),
        }
    }
}

/// The `kid` in the header of a JWS; unverified, good only to look up the key.
pub fn kid_of(token: &str) -> Option<String> {
    Parts::of(token).ok()?.header.kid
}

/// Verifies a compact JWS and gives its payload.
pub fn verify(token: &str, key: &PublicKey) -> Result<Vec<u8>, JwsError> {
    let parts = Parts::of(token)?;
    if let (Some(named), Some(own)) = (&parts.header.kid, &key.kid)
        && named != own
    {
        return Err(JwsError::WrongKey);
    }
    parts.verify(key)?;
    parts.payload()
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
