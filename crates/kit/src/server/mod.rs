//! The one server of every process.
//!
//! tonic's own server leaves open what a server on the internet must not: streams per connection, resets,
//! handshakes, connections. Here each limit is explicit and a config field, the accept loop backs off when
//! the machine runs out of file descriptors, connections end after a while so that load spreads over new
//! replicas, and a drain is over in a known time.

mod accept;
mod admitted;
mod calls;
mod connection;
mod cork;
mod frames;
pub(crate) mod pem;
mod seats;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

pub use crate::layers::{LayerDeps, LayeredService, LayersConfig, Rate, layered};
pub(crate) use calls::{Connection, OpenCall};
pub use tls::{ClientAuth, TlsConfig, TlsError};

use crate::auth::Listener;
use crate::lifecycle::Lifecycle;

/// The limits of a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerConfig {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate, and its clients'; plaintext without one.
    pub tls: TlsConfig,
    /// A second port, for the retailer's own systems and the suite's services; with it the first is for partners.
    pub internal: InternalConfig,
    /// Connections at the same time. For more, those that have proved nothing yet have to leave, the oldest first;
    /// where all have, the new ones wait. Less where the process may open fewer files, see `reserved_files`.
    pub max_connections: usize,
    /// Connections at the same time from one address (of IPv6: one /64 network); more are closed at once. 0 for no
    /// limit, which is right behind a proxy that hides its clients' addresses.
    pub max_connections_per_address: usize,
    /// Handshakes at the same time; for more, the oldest are ended. 0 for no limit.
    pub max_handshakes: usize,
    /// Files that the process opens beside its connections: databases, logs, calls of its own. Connections get what
    /// is left of its limit (nofile).
    pub reserved_files: usize,
    /// How long a connection may take to become one (TLS and HTTP/2 preface), in milliseconds.
    pub handshake_timeout_ms: u64,
    /// The longest pause between two tries to accept while the machine cannot, in milliseconds.
    pub accept_backoff_max_ms: u64,
    /// How long a connection lives before its client is told to open another, in seconds; up to a tenth
    /// longer, at random.
    pub connection_age_s: u64,
    /// How long calls on an aged connection may take to finish, in seconds.
    pub connection_age_grace_s: u64,
    /// How often a silent connection is asked whether it is still there, in seconds.
    pub keepalive_interval_s: u64,
    /// How long it may take to answer that, in seconds.
    pub keepalive_timeout_s: u64,
    /// How long a connection may be without a call before its first good credential, in seconds; then its client is
    /// told to open another when it needs one. 0 for ever.
    pub first_call_timeout_s: u64,
    /// The same afterwards.
    pub idle_timeout_s: u64,
    /// How long a client may leave an answer that it asked for where it is, without room for more of it, in seconds,
    /// before the answer is ended; up to twice that. 0 for ever.
    pub stalled_answer_timeout_s: u64,
    /// Control frames that a client may send on one connection (SETTINGS, PING, PRIORITY, WINDOW_UPDATE, empty DATA,
    /// frames of unknown kinds) before it is closed, beyond what its calls account for. 0 a second for no limit.
    pub control_frames_per_connection: Rate,
    /// Calls that a client may reset on one connection, before it is closed. 0 a second for no limit.
    pub resets_per_connection: Rate,
    /// Calls at the same time on one connection.
    pub max_streams_per_connection: u32,
    /// Calls that a client reset and that wait to be noticed, before its connection is closed.
    pub max_pending_reset_streams: usize,
    /// Calls that a client made us reset by breaking the protocol, before its connection is closed.
    pub max_local_error_reset_streams: usize,
    /// All headers of a call, in bytes.
    pub max_header_list_bytes: u32,
    /// What a client may send ahead on one call, in bytes.
    pub stream_window_bytes: u32,
    /// What a client may send ahead on one connection, in bytes.
    pub connection_window_bytes: u32,
    /// One HTTP/2 frame, in bytes; 16,384 or more.
    pub max_frame_bytes: u32,
    /// What waits to be sent on one call, in bytes.
    pub max_send_buffer_bytes: usize,
    /// How long connections may take to finish after the drain has ended all streams, in milliseconds.
    pub drain_close_ms: u64,
    /// The limits of the layers.
    pub layers: LayersConfig,
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig {
            address: SocketAddr::from(([127, 0, 0, 1], 7500)),
            tls: TlsConfig::default(),
            internal: InternalConfig::default(),
            max_connections: 10_000,
            max_connections_per_address: 2_048,
            max_handshakes: 1_024,
            reserved_files: 128,
            handshake_timeout_ms: 5_000,
            accept_backoff_max_ms: 1_000,
            connection_age_s: 1_800,
            connection_age_grace_s: 30,
            keepalive_interval_s: 20,
            keepalive_timeout_s: 10,
            first_call_timeout_s: 30,
            idle_timeout_s: 300,
            stalled_answer_timeout_s: 60,
            control_frames_per_connection: Rate {
                per_second: 1_000,
                burst: 10_000,
            },
            resets_per_connection: Rate {
                per_second: 1_000,
                burst: 10_000,
            },
            max_streams_per_connection: 512,
            max_pending_reset_streams: 64,
            max_local_error_reset_streams: 256,
            max_header_list_bytes: 16_384,
            stream_window_bytes: 262_144,
            connection_window_bytes: 1_048_576,
            max_frame_bytes: 16_384,
            max_send_buffer_bytes: 262_144,
            drain_close_ms: 5_000,
            layers: LayersConfig::default(),
        }
    }
}

/// The second port of a server. Its limits are the first one's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InternalConfig {
    /// Where it listens; without one there is a single port, for everybody.
    pub address: Option<SocketAddr>,
    /// Its certificate, and its clients'; plaintext without one.
    pub tls: TlsConfig,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address is not to be had.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A server that has its port and does not accept yet.
pub struct HardenedServer {
    listener: TcpListener,
    tls: Option<tls::Certificate>,
    config: Arc<ServerConfig>,
    local_addr: SocketAddr,
    kind: Listener,
}

impl HardenedServer {
    /// Takes the port and reads the certificate. Port 0 takes any free one. Where there is an internal port too, this
    /// one is for partners.
    pub async fn bind(config: &ServerConfig) -> Result<Self, ServerError> {
        let kind = match config.internal.address {
            Some(_) => Listener::Partner,
            None => Listener::Both,
        };
        Self::bind_as(config, kind).await
    }

    /// Takes the internal port, if there is to be one.
    pub async fn bind_internal(config: &ServerConfig) -> Result<Option<Self>, ServerError> {
        let Some(address) = config.internal.address else {
            return Ok(None);
        };
        let config = ServerConfig {
            address,
            tls: config.internal.tls.clone(),
            ..config.clone()
        };
        Self::bind_as(&config, Listener::Internal).await.map(Some)
    }

    async fn bind_as(config: &ServerConfig, kind: Listener) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Bind {
            address: config.address,
            source,
        };
        let tls = tls::Certificate::load(&config.tls)?;
        let listener = TcpListener::bind(config.address).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        Ok(HardenedServer {
            listener,
            tls,
            config: Arc::new(config.clone()),
            local_addr,
            kind,
        })
    }

    /// The address it has.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until the lifecycle says to stop accepting. Connections are the lifecycle's to wait for:
    /// they finish their calls, are told to close, and are closed a while after the drain has ended
    /// their streams.
    pub fn serve(
        self,
        service: LayeredService,
        lifecycle: &Lifecycle,
    ) -> impl Future<Output = ()> + Send + use<> {
        let lifecycle = lifecycle.clone();
        async move {
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            tracing::info!(address = %self.local_addr, scheme, kind = ?self.kind, "listening");
            let connections =
                connection::Connections::new(service, self.config.clone(), lifecycle.clone())
                    .at(self.kind);
            accept::Loop {
                source: self.listener,
                connections,
                tls: self.tls,
                lifecycle,
                backoff_max: Duration::from_millis(self.config.accept_backoff_max_ms.max(1)),
            }
            .run()
            .await;
            tracing::info!(address = %self.local_addr, "no longer listening");
        }
    }
}

#[cfg(test)]
mod tests;
