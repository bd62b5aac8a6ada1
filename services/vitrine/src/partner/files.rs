//! Keys and certificates from files, as partners send them.

use std::path::Path;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use contracts::catalog::v1::ClientCertificate;
use kit::auth::PeerCertificate;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The largest file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// How a public key of Ed25519 begins in DER (RFC 8410); 32 bytes follow.
const ED25519: &[u8] = &[
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// How a public key on P-256 begins in DER (RFC 5480), the sign of an uncompressed point at the end; x and y follow.
const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

fn read(file: &Path) -> anyhow::Result<String> {
    let meta = std::fs::metadata(file)
        .with_context(|| format!("the file {} can not be read", file.display()))?;
    if !meta.is_file() || meta.len() > MAX_BYTES {
        bail!("{} is no file of a key or certificate", file.display());
    }
    std::fs::read_to_string(file).with_context(|| {
        format!(
            "the file {} can not be read as text; in DER it has to become PEM first, as openssl does with -inform DER",
            file.display()
        )
    })
}

/// The name and the JWK of the public key in a file.
pub(super) fn public_key_of(file: &Path, kid: Option<&str>) -> anyhow::Result<(String, String)> {
    let text = read(file)?;
    let mut jwk = if text.trim_start().starts_with('{') {
        jwk_of(&text)
    } else {
        jwk_of_pem(&text)
    }
    .with_context(|| format!("the key in {}", file.display()))?;
    let own = jwk.get("kid").and_then(Value::as_str);
    let kid = match (kid, own) {
        (Some(asked), _) => asked.to_owned(),
        (None, Some(own)) => own.to_owned(),
        (None, None) => thumbprint(&jwk)?,
    };
    jwk["kid"] = json!(kid);
    Ok((kid, jwk.to_string()))
}

fn jwk_of(text: &str) -> anyhow::Result<Value> {
    let value: Value = serde_json::from_str(text).context("is no JSON")?;
    let jwk = match value.get("keys").and_then(Value::as_array) {
        Some(keys) => match keys.as_slice() {
            [one] => one.clone(),
            keys => bail!(
                "is a set of {} keys: give one key in a file, and each its own",
                keys.len()
            ),
        },
        None => value,
    };
    if jwk.get("d").is_some() || jwk.get("k").is_some() {
        bail!(
            "is private, and must never leave whoever signs with it: make a new one and send its public half"
        );
    }
    Ok(jwk)
}

/// The first block of PEM with this label.
fn block(text: &str, label: &str) -> anyhow::Result<Option<Vec<u8>>> {
    let (begin, end) = (
        format!("-----BEGIN {label}-----"),
        format!("-----END {label}-----"),
    );
    let Some((_, rest)) = text.split_once(&begin) else {
        return Ok(None);
    };
    let (body, _) = rest.split_once(&end).context("ends before its last line")?;
    let body: String = body.split_ascii_whitespace().collect();
    Ok(Some(STANDARD.decode(body).context("is no PEM")?))
}

fn jwk_of_pem(text: &str) -> anyhow::Result<Value> {
    if text.contains("PRIVATE KEY-----") {
        bail!(
            "is private, and must never leave whoever signs with it: make a new one and send its public half, as openssl pkey -pubout does"
        );
    }
    let Some(der) = block(text, "PUBLIC KEY")? else {
        bail!("is neither a JWK nor PEM with BEGIN PUBLIC KEY");
    };
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match (der.strip_prefix(ED25519), der.strip_prefix(P256)) {
        (Some(x), _) if x.len() == 32 => {
            Ok(json!({ "kty": "OKP", "crv": "Ed25519", "x": part(x) }))
        }
        (_, Some(point)) if point.len() == 64 => Ok(json!({
            "kty": "EC",
            "crv": "P-256",
            "x": part(&point[..32]),
            "y": part(&point[32..]),
        })),
        _ => bail!("is neither Ed25519 nor P-256: give an RSA key as a JWK"),
    }
}

/// RFC 7638.
fn thumbprint(jwk: &Value) -> anyhow::Result<String> {
    let kty = jwk.get("kty").and_then(Value::as_str).unwrap_or_default();
    let names: &[&str] = match kty {
        "OKP" => &["crv", "kty", "x"],
        "EC" => &["crv", "kty", "x", "y"],
        "RSA" => &["e", "kty", "n"],
        _ => bail!("the key is no JWK of Ed25519, P-256 or RSA"),
    };
    let mut parts = Vec::new();
    for name in names {
        let value = jwk.get(*name).and_then(Value::as_str);
        let value = value.with_context(|| format!("the key lacks {name:?}"))?;
        parts.push(format!("{}:{}", json!(name), json!(value)));
    }
    let digest = Sha256::digest(format!("{{{}}}", parts.join(",")));
    Ok(URL_SAFE_NO_PAD.encode(digest))
}

/// What pins the certificate in a file: its fingerprint, and its SPIFFE id if it has one.
pub(super) fn certificate_of(file: &Path) -> anyhow::Result<ClientCertificate> {
    let text = read(file)?;
    let named = || format!("the certificate in {}", file.display());
    if text.contains("PRIVATE KEY-----") {
        return Err(anyhow::anyhow!(
            "is with its private key, which must never leave whoever connects with it: make a new one and send the certificate alone"
        ))
        .with_context(named);
    }
    let der = block(&text, "CERTIFICATE").with_context(named)?;
    let der = der.with_context(|| format!("{} has no BEGIN CERTIFICATE", file.display()))?;
    let read = PeerCertificate::of_der(&der);
    Ok(ClientCertificate {
        sha256_fingerprint: hex::encode(read.sha256()),
        spiffe_id: read.spiffe_id().unwrap_or_default().to_owned(),
        ..ClientCertificate::default()
    })
}
