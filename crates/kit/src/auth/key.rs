//! The keys that the suite signs with.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

use super::jws::PublicKey;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not an Ed25519 key in PKCS#8.
    #[error(
        "no Ed25519 private key in PKCS#8 PEM; make one with: openssl genpkey -algorithm ed25519"
    )]
    Malformed,
    /// The file cannot be read or written.
    #[error("key file {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is there and holds no key.
    #[error("key file {path} holds no Ed25519 private key in PKCS#8 PEM")]
    BadFile {
        /// The file.
        path: PathBuf,
    },
}

/// An Ed25519 key pair. Cheap to clone; never printed.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<Ed25519KeyPair>,
    kid: Arc<str>,
}

impl SigningKey {
    /// A new key.
    pub fn generate() -> Self {
        Self::of(Ed25519KeyPair::generate().expect("the machine's randomness works"))
    }

    /// A key from 32 secret bytes, for tests and demos that want the same one each time.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self::of(
            Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are an Ed25519 seed"),
        )
    }

    /// A key from PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` makes it.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der =
            PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Malformed)?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der());
        Ok(Self::of(pair.map_err(|_| KeyError::Malformed)?))
    }

    /// The key as PKCS#8 PEM. A secret.
    pub fn to_pem(&self) -> String {
        let der = self
            .pair
            .to_pkcs8v1()
            .expect("a key that was parsed can be written");
        let text = STANDARD.encode(der.as_ref());
        let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
        for line in text.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        pem
    }

    /// The key in a file.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let pem = fs::read_to_string(path).map_err(|source| file_error(path, source))?;
        Self::from_pem(&pem).map_err(|_| KeyError::BadFile { path: path.into() })
    }

    /// The key in a file; made and written there, for its owner alone, when the file does not exist.
    /// Of several processes that start at once, all get the key of the first.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        if path.exists() {
            return Self::load(path);
        }
        let key = Self::generate();
        let draft = path.with_extension(format!("{}.new", std::process::id()));
        let written = write_secret(&draft, &key.to_pem())
            // A link fails when the name is taken: nobody sees half a key and nobody overwrites one.
            .and_then(|()| fs::hard_link(&draft, path));
        let removed = fs::remove_file(&draft);
        match written {
            Ok(()) => removed
                .map(|()| key)
                .map_err(|source| file_error(&draft, source)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(path),
            Err(source) => Err(file_error(path, source)),
        }
    }

    /// The key's name: its RFC 7638 thumbprint.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half as a JWK.
    pub fn public_jwk(&self) -> serde_json::Value {
        serde_json::json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "x": self.x(),
            "kid": &*self.kid,
            "alg": "EdDSA",
            "use": "sig",
        })
    }

    /// The public half, to verify with.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::from_jwk_value(&self.public_jwk()).expect("our own JWK is one that we accept")
    }

    /// 32 bytes that only holders of the key can make, for the purpose named; one purpose tells nothing
    /// of another. For keys of seals and quotes that must survive a restart.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let seed = self.pair.seed().and_then(|seed| seed.as_be_bytes());
        let seed = seed.expect("a key pair in memory has its seed");
        let mut hash = Sha256::new();
        hash.update(b"vitrine key derivation\0");
        hash.update(seed.as_ref());
        hash.update(purpose.as_bytes());
        hash.finalize().into()
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.pair.sign(message).as_ref());
        bytes
    }

    fn of(pair: Ed25519KeyPair) -> Self {
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(Sha256::digest(canonical.as_bytes()));
        SigningKey {
            pair: Arc::new(pair),
            kid: kid.into(),
        }
    }

    fn x(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.public_key())
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.kid)
    }
}

fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn file_error(path: &Path, source: io::Error) -> KeyError {
    KeyError::File {
        path: path.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::auth::jws;

    #[test]
    fn reads_what_openssl_writes_and_what_it_writes_itself() {
        let pem = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
                   -----END PRIVATE KEY-----\n";
        let key = SigningKey::from_pem(pem).expect("RFC 8032 test key 1");
        assert_eq!(
            key.public_jwk()["x"],
            "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        );
        // RFC 8037, appendix A.3.
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let again = SigningKey::from_pem(&key.to_pem()).expect("our own PEM");
        assert_eq!(again.kid(), key.kid());
        assert_eq!(again.derive("a"), key.derive("a"));
        assert_ne!(again.derive("a"), key.derive("b"));
    }

    #[test]
    fn a_key_file_is_made_once_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        let key = SigningKey::load_or_create(&path).expect("made");
        let again = SigningKey::load_or_create(&path).expect("read");
        assert_eq!(key.kid(), again.kid());
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
        let token = jws::sign_ed25519(&key, b"x");
        assert_eq!(jws::verify(&token, &again.public_key()), Ok(b"x".to_vec()));
    }

    #[test]
    fn a_file_without_a_key_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        fs::write(&path, "not a key").expect("written");
        let error = SigningKey::load_or_create(&path).expect_err("no key");
        assert!(error.to_string().contains("key.pem"), "{error}");
    }
}
