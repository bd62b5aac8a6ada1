//! TLS, with certificates, authorities and revocations that are renewed while the server runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, crypto};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::accept::Renewal;
use super::pem::{self, Pems};
use crate::clock::Micros;

/// Whoever revokes a certificate may count on this.
const REVOKED_WITHIN_S: u64 = 60;

/// A server's certificate, and those that it asks of its clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsConfig {
    /// The certificate chain, PEM; plaintext without one.
    pub cert_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub key_file: Option<PathBuf>,
    /// Whether clients show a certificate.
    pub client_auth: ClientAuth,
    /// The authorities of clients' certificates, PEM. A certificate that signed itself stands here itself.
    pub client_ca_file: Option<PathBuf>,
    /// What those authorities revoked, PEM: a list of each authority in a client's chain, or the client is refused.
    pub client_crl_file: Option<PathBuf>,
    /// How often the files are read again, in seconds, because they are renewed in place. With `client_crl_file` at
    /// most 60, because a client whose certificate is revoked is refused within that time.
    pub reload_interval_s: u64,
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// None is asked for.
    #[default]
    Off,
    /// One is asked for; who has none is served all the same, but not with a token that needs one.
    Optional,
    /// Without one there is no connection.
    Required,
}

impl Default for TlsConfig {
    fn default() -> Self {
        TlsConfig {
            cert_file: None,
            key_file: None,
            client_auth: ClientAuth::Off,
            client_ca_file: None,
            client_crl_file: None,
            reload_interval_s: 30,
        }
    }
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Only one of the two files is named.
    #[error("tls.cert_file and tls.key_file must be set together")]
    Half,
    /// Certificates of clients are asked for, and nobody says which are good; or the reverse.
    #[error(
        "tls.client_auth optional and required need tls.cert_file and tls.client_ca_file; tls.client_ca_file and tls.client_crl_file need tls.client_auth"
    )]
    HalfClients,
    /// Revocations would be noticed too late.
    #[error("tls.reload_interval_s must be 60 or less with tls.client_crl_file")]
    Slow,
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
    /// The authorities or their lists cannot be used.
    #[error("tls.client_ca_file or tls.client_crl_file cannot be used: {0}")]
    Clients(String),
}

/// The certificates in use.
#[derive(Clone)]
pub(super) struct Certificate {
    inner: Arc<Inner>,
}

struct Inner {
    config: TlsConfig,
    current: watch::Sender<Arc<Loaded>>,
}

/// All that belongs together.
pub(super) struct Loaded {
    own: Arc<Own>,
    clients: Option<Arc<Clients>>,
    config: Arc<rustls::ServerConfig>,
}

/// Our certificate.
struct Own {
    pems: Pems,
    resolver: Arc<dyn ResolvesServerCert>,
}

/// Which certificates of clients are good.
struct Clients {
    pems: Pems,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// The files as they are now.
#[derive(PartialEq, Eq)]
struct Look {
    own: Result<Pems, String>,
    clients: Option<Result<Pems, String>>,
}

impl Certificate {
    /// The configured certificate; none for plaintext.
    pub(super) fn load(config: &TlsConfig) -> Result<Option<Self>, TlsError> {
        let asks = config.client_auth != ClientAuth::Off;
        let knows = config.client_ca_file.is_some();
        if asks != knows || (config.client_crl_file.is_some() && !asks) {
            return Err(TlsError::HalfClients);
        }
        match (&config.cert_file, &config.key_file) {
            (None, None) if asks => return Err(TlsError::HalfClients),
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {}
            _ => return Err(TlsError::Half),
        }
        if config.client_crl_file.is_some() && config.reload_interval_s > REVOKED_WITHIN_S {
            return Err(TlsError::Slow);
        }
        let own = Own::of(config, Pems::read(&own_files(config))?)?;
        let clients = match client_files(config) {
            None => None,
            Some(files) => Some(Arc::new(Clients::of(config, Pems::read(&files)?)?)),
        };
        let loaded = Loaded::of(Arc::new(own), clients)?;
        Ok(Some(Certificate {
            inner: Arc::new(Inner {
                config: config.clone(),
                current: watch::Sender::new(Arc::new(loaded)),
            }),
        }))
    }

    /// Accepts with the certificate that is current now.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.inner.current.borrow().config.clone())
    }

    /// What is good now and later.
    pub(super) fn watch(&self) -> watch::Receiver<Arc<Loaded>> {
        self.inner.current.subscribe()
    }

    /// Whether clients are asked for a certificate.
    pub(super) fn asks_clients(&self) -> bool {
        self.inner.config.client_auth != ClientAuth::Off
    }

    pub(super) fn reload_interval(&self) -> Duration {
        Duration::from_secs(self.inner.config.reload_interval_s.max(1))
    }

    #[cfg(test)]
    pub(super) fn fingerprint(&self) -> Vec<u8> {
        self.inner.current.borrow().own.pems.at(0).to_vec()
    }

    /// Reads the files again from time to time, until the guard is dropped.
    pub(super) fn keep_fresh(&self, stop: &CancellationToken) -> Renewal {
        let (this, stop) = (self.clone(), stop.child_token());
        let renewal = Renewal(stop.clone());
        drop(crate::spawn("certificates", async move {
            let wait = || tokio::time::sleep(this.reload_interval());
            while stop.run_until_cancelled(wait()).await.is_some() {
                // Taken only when it stands still: who writes several files, or a long one, is not done in an instant.
                let mut look = this.look();
                for _ in 0..pem::LOOKS {
                    if !this.is_new(&look) {
                        break;
                    }
                    tokio::time::sleep(pem::SETTLED).await;
                    let again = this.look();
                    if again == look {
                        this.take(look);
                        break;
                    }
                    look = again;
                }
            }
        }));
        renewal
    }

    /// A file that is half written, or gone for a moment, changes nothing.
    #[cfg(test)]
    pub(super) fn reload(&self) {
        self.take(self.look());
    }

    fn look(&self) -> Look {
        let config = &self.inner.config;
        let read = |files: &[PathBuf]| Pems::read(files).map_err(|error| error.to_string());
        Look {
            own: read(&own_files(config)),
            clients: client_files(config).map(|files| read(&files)),
        }
    }

    fn is_new(&self, look: &Look) -> bool {
        let current = self.inner.current.borrow();
        let clients = current.clients.as_ref().map(|clients| &clients.pems);
        look.own.as_ref().ok() != Some(&current.own.pems)
            || look.clients.as_ref().map(|found| found.as_ref().ok()) != clients.map(Some)
    }

    /// Our certificate and the clients' authorities are renewed by different hands, so that one does not wait for the
    /// other.
    fn take(&self, look: Look) {
        let current = self.inner.current.borrow().clone();
        let config = &self.inner.config;
        let own = renewed(
            &current.own,
            look.own,
            |own| &own.pems,
            |pems| Own::of(config, pems),
        );
        let clients = match (&current.clients, look.clients) {
            (Some(before), Some(found)) => renewed(
                before,
                found,
                |clients| &clients.pems,
                |pems| Clients::of(config, pems),
            ),
            _ => None,
        };
        if own.is_none() && clients.is_none() {
            return;
        }
        let own = own.unwrap_or_else(|| current.own.clone());
        match Loaded::of(own, clients.or_else(|| current.clients.clone())) {
            Ok(loaded) => {
                self.inner.current.send_replace(Arc::new(loaded));
                tracing::info!("certificates, authorities or revocations renewed");
            }
            Err(error) => tracing::warn!(%error, "certificates not renewed, the old ones stay"),
        }
    }
}

/// What was found, if it is new and of use.
fn renewed<T>(
    before: &Arc<T>,
    found: Result<Pems, String>,
    pems: impl Fn(&T) -> &Pems,
    make: impl Fn(Pems) -> Result<T, TlsError>,
) -> Option<Arc<T>> {
    let made = match found {
        Ok(found) if found == *pems(before) => return None,
        Ok(found) => make(found).map_err(|error| error.to_string()),
        Err(problem) => Err(problem),
    };
    match made {
        Ok(made) => Some(Arc::new(made)),
        Err(error) => {
            tracing::warn!(error, "tls files not renewed, the old ones stay");
            None
        }
    }
}

fn own_files(config: &TlsConfig) -> Vec<PathBuf> {
    [&config.cert_file, &config.key_file]
        .into_iter()
        .flatten()
        .cloned()
        .collect()
}

fn client_files(config: &TlsConfig) -> Option<Vec<PathBuf>> {
    let authorities = config.client_ca_file.clone()?;
    Some(
        std::iter::once(authorities)
            .chain(config.client_crl_file.clone())
            .collect(),
    )
}

fn provider() -> Arc<crypto::CryptoProvider> {
    Arc::new(crypto::aws_lc_rs::default_provider())
}

impl Own {
    fn of(config: &TlsConfig, pems: Pems) -> Result<Self, TlsError> {
        let files = own_files(config);
        let (cert_file, key_file) = (&files[0], &files[1]);
        let chain = pem::certificates(cert_file, pems.at(0))?;
        let key = PrivateKeyDer::from_pem_slice(pems.at(1))
            .map_err(|error| pem::failed(key_file, error.to_string()))?;
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(TlsError::Unusable)?;
        Ok(Own {
            pems,
            resolver: Arc::new(SingleCertAndKey::from(key)),
        })
    }
}

impl Clients {
    fn of(config: &TlsConfig, pems: Pems) -> Result<Self, TlsError> {
        let unusable = |error: &dyn std::fmt::Display| TlsError::Clients(error.to_string());
        let files = client_files(config).unwrap_or_default();
        let mut roots = RootCertStore::empty();
        for authority in pem::certificates(&files[0], pems.at(0))? {
            roots.add(authority).map_err(|error| unusable(&error))?;
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        if let Some(file) = files.get(1) {
            let lists = CertificateRevocationListDer::pem_slice_iter(pems.at(1))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| pem::failed(file, error.to_string()))?;
            // No list is not a list of nobody.
            if lists.is_empty() {
                return Err(pem::failed(file, "holds no revocation list".into()));
            }
            builder = builder.with_crls(lists);
        }
        if config.client_auth == ClientAuth::Optional {
            builder = builder.allow_unauthenticated();
        }
        Ok(Clients {
            verifier: builder.build().map_err(|error| unusable(&error))?,
            pems,
        })
    }
}

impl Loaded {
    fn of(own: Arc<Own>, clients: Option<Arc<Clients>>) -> Result<Self, TlsError> {
        let builder = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unusable)?;
        let builder = match &clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(clients.verifier.clone()),
        };
        let mut config = builder.with_cert_resolver(own.resolver.clone());
        config.alpn_protocols = vec![b"h2".to_vec()];
        if clients.is_some() {
            // A session that is taken up again brings the certificate of its first handshake along, unverified.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Loaded {
            own,
            clients,
            config: Arc::new(config),
        })
    }

    /// Whether a client that was let in with this chain would be let in now.
    pub(super) fn still_trusts(&self, chain: &[CertificateDer<'_>], now: Micros) -> bool {
        let (Some(clients), Some((own, between))) = (&self.clients, chain.split_first()) else {
            return false;
        };
        let now = Duration::from_micros(u64::try_from(now.0).unwrap_or(0));
        let now = UnixTime::since_unix_epoch(now);
        clients
            .verifier
            .verify_client_cert(own, between, now)
            .is_ok()
    }
}
