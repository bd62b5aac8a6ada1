//! TLS, with certificates that are renewed while the server runs.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::accept::Renewal;

/// A server's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsConfig {
    /// The certificate chain, PEM; plaintext without one.
    pub cert_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub key_file: Option<PathBuf>,
    /// How often the files are read again, in seconds, because certificates are renewed in place.
    pub reload_interval_s: u64,
}

impl Default for TlsConfig {
    fn default() -> Self {
        TlsConfig {
            cert_file: None,
            key_file: None,
            reload_interval_s: 60,
        }
    }
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Only one of the two files is named.
    #[error("tls.cert_file and tls.key_file must be set together")]
    Half,
    /// A file cannot be read or holds nothing of the kind.
    #[error("tls file {path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The two do not fit.
    #[error("tls certificate and key cannot be used")]
    Unusable(#[source] rustls::Error),
}

/// The certificate in use.
#[derive(Clone)]
pub(super) struct Certificate {
    inner: Arc<Inner>,
}

struct Inner {
    cert_file: PathBuf,
    key_file: PathBuf,
    reload_interval: Duration,
    current: ArcSwap<Loaded>,
}

struct Loaded {
    pem: (Vec<u8>, Vec<u8>),
    config: Arc<rustls::ServerConfig>,
}

impl Certificate {
    /// The configured certificate; none for plaintext.
    pub(super) fn load(config: &TlsConfig) -> Result<Option<Self>, TlsError> {
        let (cert_file, key_file) = match (&config.cert_file, &config.key_file) {
            (None, None) => return Ok(None),
            (Some(cert), Some(key)) => (cert.clone(), key.clone()),
            _ => return Err(TlsError::Half),
        };
        let loaded = read(&cert_file, &key_file)?;
        Ok(Some(Certificate {
            inner: Arc::new(Inner {
                cert_file,
                key_file,
                reload_interval: Duration::from_secs(config.reload_interval_s.max(1)),
                current: ArcSwap::from_pointee(loaded),
            }),
        }))
    }

    /// Accepts with the certificate that is current now.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.inner.current.load().config.clone())
    }

    #[cfg(test)]
    pub(super) fn fingerprint(&self) -> Vec<u8> {
        self.inner.current.load().pem.0.clone()
    }

    /// Reads the files again from time to time, until the guard is dropped.
    pub(super) fn keep_fresh(&self, stop: &CancellationToken) -> Renewal {
        let (this, stop) = (self.clone(), stop.child_token());
        let renewal = Renewal(stop.clone());
        drop(crate::spawn("certificates", async move {
            let wait = || tokio::time::sleep(this.inner.reload_interval);
            while stop.run_until_cancelled(wait()).await.is_some() {
                this.reload();
            }
        }));
        renewal
    }

    /// A file that is half written, or gone for a moment, changes nothing.
    pub(super) fn reload(&self) {
        let current = self.inner.current.load();
        match read(&self.inner.cert_file, &self.inner.key_file) {
            Ok(loaded) if loaded.pem == current.pem => {}
            Ok(loaded) => {
                tracing::info!(file = %self.inner.cert_file.display(), "certificate renewed");
                self.inner.current.store(Arc::new(loaded));
            }
            Err(error) => tracing::warn!(%error, "certificate not renewed, the old one stays"),
        }
    }
}

fn read(cert_file: &PathBuf, key_file: &PathBuf) -> Result<Loaded, TlsError> {
    let failed = |path: &PathBuf, problem: String| TlsError::File {
        path: path.clone(),
        problem,
    };
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error: io::Error| failed(path, error.to_string()))
    };
    let pem = (read(cert_file)?, read(key_file)?);
    let chain = CertificateDer::pem_slice_iter(&pem.0)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(cert_file, error.to_string()))?;
    if chain.is_empty() {
        return Err(failed(cert_file, "holds no certificate".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(&pem.1)
        .map_err(|error| failed(key_file, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(TlsError::Unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Loaded {
        pem,
        config: Arc::new(config),
    })
}
