//! The certificates of a wire: whom it trusts, and what it shows.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::target::RemoteConfig;
use crate::server::pem::{self, Pems};

/// Certificates that are renewed while the wire is in use.
pub(super) struct Credentials {
    host: String,
    current: ArcSwap<Loaded>,
}

struct Loaded {
    pems: Pems,
    tls: ClientTlsConfig,
    number: u64,
}

impl Credentials {
    pub(super) fn load(host: &str, config: &RemoteConfig) -> Result<Self, String> {
        let pems = Pems::read(&files(config)?).map_err(|error| error.to_string())?;
        let tls = usable(host, config, &pems)?;
        Ok(Credentials {
            host: host.to_owned(),
            current: ArcSwap::from_pointee(Loaded {
                pems,
                tls,
                number: 0,
            }),
        })
    }

    /// What to connect with.
    pub(super) fn current(&self) -> ClientTlsConfig {
        self.current.load().tls.clone()
    }

    /// Grows whenever the certificates change.
    pub(super) fn number(&self) -> u64 {
        self.current.load().number
    }

    /// What the files hold, if it is something new.
    pub(super) fn look(&self, config: &RemoteConfig) -> Option<Pems> {
        match files(config).map(|files| Pems::read(&files)) {
            Ok(Ok(found)) => (found != self.current.load().pems).then_some(found),
            Ok(Err(error)) => {
                tracing::warn!(host = self.host, %error, "certificates not renewed, the old ones stay");
                None
            }
            Err(_) => None,
        }
    }

    /// Takes over what was seen, if it still stands there and is of use. A file that is half written, or gone for a
    /// moment, changes nothing.
    pub(super) fn renew(&self, config: &RemoteConfig, seen: Pems) -> bool {
        if self.look(config).as_ref() != Some(&seen) {
            return false;
        }
        match usable(&self.host, config, &seen) {
            Ok(tls) => {
                let number = self.number() + 1;
                self.current.store(Arc::new(Loaded {
                    pems: seen,
                    tls,
                    number,
                }));
                true
            }
            Err(error) => {
                tracing::warn!(
                    host = self.host,
                    error,
                    "certificates not renewed, the old ones stay"
                );
                false
            }
        }
    }
}

fn files(config: &RemoteConfig) -> Result<Vec<PathBuf>, String> {
    let authorities = config.ca_file.clone();
    let mut files = vec![authorities.ok_or("ca_file must be set for https")?];
    match (&config.cert_file, &config.key_file) {
        (Some(cert), Some(key)) => files.extend([cert.clone(), key.clone()]),
        (None, None) => {}
        _ => return Err("cert_file and key_file must be set together".into()),
    }
    Ok(files)
}

/// Certificates that connections can be opened with; tried without opening one.
fn usable(host: &str, config: &RemoteConfig, pems: &Pems) -> Result<ClientTlsConfig, String> {
    let files = files(config)?;
    pem::certificates(&files[0], pems.at(0)).map_err(|error| error.to_string())?;
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(pems.at(0)))
        .domain_name(host);
    if let [_, cert_file, key_file] = files.as_slice() {
        pem::certificates(cert_file, pems.at(1)).map_err(|error| error.to_string())?;
        PrivateKeyDer::from_pem_slice(pems.at(2))
            .map_err(|error| pem::failed(key_file, error.to_string()).to_string())?;
        tls = tls.identity(Identity::from_pem(pems.at(1), pems.at(2)));
    }
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    Endpoint::from_shared(format!("https://{nowhere}"))
        .and_then(|endpoint| endpoint.tls_config(tls.clone()))
        .map_err(|error| crate::errors::chain(&error))?;
    Ok(tls)
}
