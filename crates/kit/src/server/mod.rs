//! The one server of every process.
//!
//! tonic's own server leaves open what a server on the internet must not: streams per connection, resets,
//! handshakes, connections. Here each limit is explicit and a config field, the accept loop backs off when
//! the machine runs out of file descriptors, connections end after a while so that load spreads over new
//! replicas, and a drain is over in a known time.

mod accept;
mod connection;
mod cork;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

pub use crate::layers::{LayerDeps, LayeredService, LayersConfig, layered};
pub(crate) use connection::ConnectionDrain;
pub use tls::{TlsConfig, TlsError};

use crate::lifecycle::Lifecycle;

/// The limits of a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerConfig {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate; plaintext without one.
    pub tls: TlsConfig,
    /// Connections at the same time; more wait to be accepted.
    pub max_connections: usize,
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
            max_connections: 10_000,
            handshake_timeout_ms: 5_000,
            accept_backoff_max_ms: 1_000,
            connection_age_s: 1_800,
            connection_age_grace_s: 30,
            keepalive_interval_s: 20,
            keepalive_timeout_s: 10,
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
}

impl HardenedServer {
    /// Takes the port and reads the certificate. Port 0 takes any free one.
    pub async fn bind(config: &ServerConfig) -> Result<Self, ServerError> {
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
            tracing::info!(address = %self.local_addr, scheme, "listening");
            let connections =
                connection::Connections::new(service, self.config.clone(), lifecycle.clone());
            accept::Loop {
                source: self.listener,
                connections,
                tls: self.tls,
                lifecycle,
                backoff_max: Duration::from_millis(self.config.accept_backoff_max_ms.max(1)),
                max_connections: self.config.max_connections.max(1),
            }
            .run()
            .await;
            tracing::info!(address = %self.local_addr, "no longer listening");
        }
    }
}

#[cfg(test)]
mod tests;
