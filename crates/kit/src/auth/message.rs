//! Signatures of requests, as HTTP message signatures (RFC 9421) that cover what a call is: its path, the digest of its
//! message (RFC 9530) and the token it comes with.
//!
//! Only the serialisation that the RFCs make canonical is read, and only one signature of one form: what two programs
//! could read in two ways is refused. The key decides the algorithm.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::jws::{Algorithm, PublicKey};

/// The header with what is signed and how.
pub const SIGNATURE_INPUT: &str = "signature-input";
/// The header with the signature.
pub const SIGNATURE: &str = "signature";
/// The header with the message's digest.
pub const CONTENT_DIGEST: &str = "content-digest";

/// What every signature has to cover.
const REQUIRED: [&str; 3] = ["@path", "content-digest", "authorization"];
const HEADER_CHARS_MAX: usize = 1_024;
const LABEL_CHARS_MAX: usize = 32;
const KEY_ID_CHARS_MAX: usize = 64;
const NONCE_CHARS: std::ops::RangeInclusive<usize> = 16..=64;
/// Flag and length of a message on the wire.
const PREFIX_BYTES: usize = 5;

/// Why a request's signature is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// There is none.
    Missing,
    /// Not of the one form that is read.
    Malformed,
    /// It does not cover all that it has to.
    Covers,
    /// No such key.
    Key,
    /// `alg` is not the key's algorithm.
    Algorithm,
    /// Too old, or from the future.
    Time,
    /// The nonce was used before.
    Nonce,
    /// The digest is not the message's.
    Digest,
    /// The message is compressed, or there is not exactly one.
    Message,
    /// The signature is not the key's over this request.
    Signature,
}

impl Problem {
    /// A word for programs, logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Problem::Missing => "MISSING",
            Problem::Malformed => "MALFORMED",
            Problem::Covers => "COVERS",
            Problem::Key => "KEY",
            Problem::Algorithm => "ALGORITHM",
            Problem::Time => "TIME",
            Problem::Nonce => "NONCE",
            Problem::Digest => "DIGEST",
            Problem::Message => "MESSAGE",
            Problem::Signature => "SIGNATURE",
        }
    }

    /// What is wrong and what to do.
    pub fn sentence(self) -> &'static str {
        match self {
            Problem::Missing => {
                "This partner signs its requests and this one has no signature; send signature-input, signature and \
                 content-digest once each."
            }
            Problem::Malformed => {
                "The request's signature is not of the form sig=(\"@path\" \"content-digest\" \
                 \"authorization\");created=…;nonce=\"…\";keyid=\"…\" with sig=:…: in signature; see OrderService."
            }
            Problem::Covers => {
                "The request's signature has to cover \"@path\", \"content-digest\" and \"authorization\", each once."
            }
            Problem::Key => {
                "The request is signed with a key that is not known of this partner; use one that the retailer has."
            }
            Problem::Algorithm => {
                "The alg of the request's signature is not its key's; leave it out or name the key's own."
            }
            Problem::Time => {
                "The request was signed too long ago or in the future; sign it anew, and set the clock."
            }
            Problem::Nonce => {
                "The nonce of the request's signature was used before; sign each try anew."
            }
            Problem::Digest => {
                "The content-digest is not that of the message that came; digest its bytes as encoded, without gRPC's \
                 five bytes before it."
            }
            Problem::Message => {
                "A signed request has exactly one message, not compressed; send it as it was digested."
            }
            Problem::Signature => {
                "The request's signature does not hold over its path, digest, authorization and parameters; sign them \
                 as RFC 9421 says."
            }
        }
    }
}

/// The signature of a request, taken apart and not verified.
#[derive(Debug, PartialEq, Eq)]
pub struct MessageSignature<'a> {
    /// The key that it says it is of.
    pub key_id: &'a str,
    /// Counts once.
    pub nonce: &'a str,
    /// When it was made, in seconds since 1970 UTC.
    pub created: i64,
    covered: Vec<&'a str>,
    alg: Option<&'a str>,
    params: &'a str,
    signature: Vec<u8>,
}

/// What a signature is about.
#[derive(Clone, Copy, Debug)]
pub struct Covered<'a> {
    /// The call's path.
    pub path: &'a str,
    /// The header `content-digest` as it came.
    pub content_digest: &'a str,
    /// The header `authorization` as it came.
    pub authorization: &'a str,
}

impl<'a> MessageSignature<'a> {
    /// Reads both headers.
    pub fn parse(input: &'a str, signature: &str) -> Result<Self, Problem> {
        if input.len() > HEADER_CHARS_MAX || signature.len() > HEADER_CHARS_MAX {
            return Err(Problem::Malformed);
        }
        let (label, params) = input.split_once('=').ok_or(Problem::Malformed)?;
        if !is_label(label) {
            return Err(Problem::Malformed);
        }
        let signature = signature
            .strip_prefix(label)
            .and_then(|rest| rest.strip_prefix("=:"))
            .and_then(|rest| rest.strip_suffix(':'))
            .and_then(|text| STANDARD.decode(text).ok())
            .ok_or(Problem::Malformed)?;
        let (list, rest) = params
            .strip_prefix('(')
            .and_then(|rest| rest.split_once(')'))
            .ok_or(Problem::Malformed)?;
        let covered = list
            .split(' ')
            .map(quoted)
            .collect::<Option<Vec<_>>>()
            .ok_or(Problem::Malformed)?;
        let twice = |at: usize| covered[..at].contains(&covered[at]);
        if (0..covered.len()).any(twice)
            || REQUIRED.iter().any(|name| !covered.contains(name))
            || covered.len() > REQUIRED.len()
        {
            return Err(Problem::Covers);
        }
        let parameters = Parameters::parse(rest)?;
        Ok(MessageSignature {
            key_id: parameters.key_id.ok_or(Problem::Malformed)?,
            nonce: parameters.nonce.ok_or(Problem::Malformed)?,
            created: parameters.created.ok_or(Problem::Malformed)?,
            covered,
            alg: parameters.alg,
            params,
            signature,
        })
    }

    /// Whether it is the key's over what is covered.
    pub fn verify(&self, key: &PublicKey, about: &Covered<'_>) -> Result<(), Problem> {
        if self.alg.is_some_and(|alg| alg != name_of(key.algorithm())) {
            return Err(Problem::Algorithm);
        }
        let base = self.base(about);
        match key.verifies(base.as_bytes(), &self.signature) {
            true => Ok(()),
            false => Err(Problem::Signature),
        }
    }

    /// The text that is signed: RFC 9421, 2.5.
    fn base(&self, about: &Covered<'_>) -> String {
        let mut base = String::with_capacity(self.params.len() + about.authorization.len() + 256);
        for name in &self.covered {
            let value = match *name {
                "@path" => about.path,
                "content-digest" => about.content_digest,
                _ => about.authorization,
            };
            base.push('"');
            base.push_str(name);
            base.push_str("\": ");
            base.push_str(value);
            base.push('\n');
        }
        base.push_str("\"@signature-params\": ");
        base.push_str(self.params);
        base
    }
}

#[derive(Default)]
struct Parameters<'a> {
    created: Option<i64>,
    nonce: Option<&'a str>,
    key_id: Option<&'a str>,
    alg: Option<&'a str>,
}

impl<'a> Parameters<'a> {
    /// Of `;created=1;nonce="…";keyid="…"`, each at most once, in any order, and none that is not known.
    fn parse(text: &'a str) -> Result<Self, Problem> {
        let mut found = Parameters::default();
        let all = text.strip_prefix(';').ok_or(Problem::Malformed)?;
        for parameter in all.split(';') {
            let (name, value) = parameter.split_once('=').ok_or(Problem::Malformed)?;
            let fresh = match name {
                "created" => found.created.replace(seconds(value)?).is_none(),
                "nonce" => {
                    let nonce = quoted(value).filter(|text| NONCE_CHARS.contains(&text.len()));
                    let nonce = nonce.ok_or(Problem::Malformed)?;
                    found.nonce.replace(nonce).is_none()
                }
                "keyid" => {
                    let key_id = quoted(value).filter(|text| text.len() <= KEY_ID_CHARS_MAX);
                    let key_id = key_id.ok_or(Problem::Malformed)?;
                    found.key_id.replace(key_id).is_none()
                }
                "alg" => {
                    let alg = quoted(value).ok_or(Problem::Malformed)?;
                    found.alg.replace(alg).is_none()
                }
                _ => return Err(Problem::Malformed),
            };
            if !fresh {
                return Err(Problem::Malformed);
            }
        }
        Ok(found)
    }
}

/// Digits without a sign or leading zeros, at most as many as RFC 8941 allows.
fn seconds(text: &str) -> Result<i64, Problem> {
    let digits = (1..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return Err(Problem::Malformed);
    }
    text.parse().map_err(|_| Problem::Malformed)
}

/// What stands between two quotes: visible ASCII without quotes, backslashes or what ends a list or a parameter.
fn quoted(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let harmless = |byte: u8| byte.is_ascii_graphic() && !b"\"\\;()".contains(&byte);
    (!inner.is_empty() && inner.bytes().all(harmless)).then_some(inner)
}

/// A key of a dictionary of RFC 8941.
fn is_label(text: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_lowercase() || byte == b'*';
    let other = |byte: u8| first(byte) || byte.is_ascii_digit() || b"_-.".contains(&byte);
    text.len() <= LABEL_CHARS_MAX
        && text.bytes().next().is_some_and(first)
        && text.bytes().all(other)
}

/// The name of an algorithm in RFC 9421's registry.
fn name_of(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::EdDsa => "ed25519",
        Algorithm::Es256 => "ecdsa-p256-sha256",
        Algorithm::Rs256 => "rsa-v1_5-sha256",
    }
}

/// The `content-digest` of a message.
pub fn content_digest(message: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(message)))
}

/// The one message of a body as gRPC frames it, if it is not compressed.
pub fn only_message(body: &[u8]) -> Result<&[u8], Problem> {
    let ([flag, length @ ..], message) = body
        .split_first_chunk::<PREFIX_BYTES>()
        .ok_or(Problem::Message)?;
    let length = u32::from_be_bytes(*length);
    match *flag == 0 && usize::try_from(length).is_ok_and(|length| length == message.len()) {
        true => Ok(message),
        false => Err(Problem::Message),
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
pub(crate) mod tests;
