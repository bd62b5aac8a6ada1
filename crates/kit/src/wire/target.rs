//! Where a wire across the network leads, and its limits.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use serde::{Deserialize, Serialize};
use tonic::transport::{Channel, Endpoint};

use super::credentials::Credentials;
use super::resolve::Dns;

/// The limits of a wire across the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RemoteConfig {
    /// The certificates to trust for `https`, PEM.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate chain, PEM, for servers that ask for one; none is shown without it.
    pub cert_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub key_file: Option<PathBuf>,
    /// How often these files are read again, in seconds, because certificates are renewed in place.
    pub reload_interval_s: u64,
    /// How long connecting may take, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long a call without a deadline may wait for the head of its answer, in milliseconds.
    pub answer_timeout_ms: u64,
    /// How often a silent connection is asked whether it is still there, in seconds.
    pub keepalive_interval_s: u64,
    /// How long it may take to answer that, in seconds.
    pub keepalive_timeout_s: u64,
    /// How often the name is resolved, in milliseconds.
    pub resolve_interval_ms: u64,
    /// How soon it is resolved again when an address could not be reached, in milliseconds.
    pub resolve_pause_ms: u64,
    /// How long resolving may take, in milliseconds.
    pub resolve_timeout_ms: u64,
    /// More addresses than this are left out.
    pub max_addresses: usize,
    /// How long an address is passed over after it could not be reached, in milliseconds.
    pub avoid_ms: u64,
    /// Calls that may wait for one connection.
    pub max_waiting_calls: usize,
    /// All headers of an answer, in bytes.
    pub max_header_list_bytes: u32,
}

impl Default for RemoteConfig {
    fn default() -> Self {
        RemoteConfig {
            ca_file: None,
            cert_file: None,
            key_file: None,
            reload_interval_s: 30,
            connect_timeout_ms: 2_000,
            answer_timeout_ms: 30_000,
            keepalive_interval_s: 20,
            keepalive_timeout_s: 10,
            resolve_interval_ms: 10_000,
            resolve_pause_ms: 500,
            resolve_timeout_ms: 5_000,
            max_addresses: 64,
            avoid_ms: 1_000,
            max_waiting_calls: 1_024,
            max_header_list_bytes: 16_384,
        }
    }
}

/// Why a wire cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The address is none.
    #[error(
        "{uri:?} is no address of a service; write http://name:port or https://name:port, several of one kind with a comma between"
    )]
    Address {
        /// What was given.
        uri: String,
    },
    /// The certificates cannot be used.
    #[error("certificates to trust for {uri}: {problem}")]
    Tls {
        /// Which service.
        uri: String,
        /// What is wrong.
        problem: String,
    },
}

/// Where a wire leads.
pub(super) struct Target {
    uri: Uri,
    pub(super) host: String,
    port: u16,
    pub(super) tls: Option<Credentials>,
}

impl Target {
    /// One address, or several with a comma between; how connections look follows from the first.
    pub(super) fn parse_all(
        text: &str,
        config: &RemoteConfig,
    ) -> Result<(Target, Vec<Dns>), WireError> {
        let mut addresses = text.split(',').map(str::trim);
        let target = Target::parse(addresses.next().unwrap_or_default(), config)?;
        let mut names = vec![Dns::new(target.host(), target.port())];
        for address in addresses {
            let other = Target::parse(address, config)?;
            if other.tls.is_some() != target.tls.is_some() {
                return Err(WireError::Address { uri: text.into() });
            }
            names.push(Dns::new(other.host(), other.port()));
        }
        Ok((target, names))
    }

    pub(super) fn parse(text: &str, config: &RemoteConfig) -> Result<Target, WireError> {
        let wrong = || WireError::Address {
            uri: text.to_owned(),
        };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let host = uri
            .host()
            .ok_or_else(wrong)?
            .trim_matches(['[', ']'])
            .to_owned();
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong());
        }
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tls = secure.then(|| Credentials::load(&host, config)).transpose();
        let tls = tls.map_err(|problem| WireError::Tls {
            uri: text.to_owned(),
            problem,
        })?;
        Ok(Target {
            uri,
            host,
            port,
            tls,
        })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn channel(
        &self,
        address: SocketAddr,
        config: &RemoteConfig,
    ) -> Result<Channel, tonic::transport::Error> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))?
            .origin(self.uri.clone())
            .connect_timeout(Duration::from_millis(config.connect_timeout_ms.max(1)))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(config.keepalive_interval_s.max(1)))
            .keep_alive_timeout(Duration::from_secs(config.keepalive_timeout_s.max(1)))
            .keep_alive_while_idle(true)
            .http2_max_header_list_size(config.max_header_list_bytes)
            .buffer_size(config.max_waiting_calls.max(1));
        if let Some(tls) = &self.tls {
            endpoint = endpoint.tls_config(tls.current())?;
        }
        Ok(endpoint.connect_lazy())
    }
}
