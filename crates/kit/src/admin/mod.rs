//! The admin port: `/metrics`, `/livez`, `/readyz` and gRPC health, in plaintext.
//!
//! It speaks no TLS because the kubelet's gRPC probes do not, and asks for no token; it belongs on an
//! address that only the cluster reaches. It goes on answering through the whole drain, so that whoever
//! asks hears "not ready" and not a refused connection.

mod health;
mod reflection;
mod serve;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Encoder, Registry, TextEncoder};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use health::{HealthName, health_service};
pub use reflection::{ReflectionError, add_reflection, reflection_v1, reflection_v1alpha};

use crate::lifecycle::Lifecycle;

/// The admin port and its limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AdminConfig {
    /// Where it listens. Only this machine by default; in a cluster, an address that probes reach.
    pub address: SocketAddr,
    /// Connections at a time; more wait to be accepted.
    pub connections_max: usize,
    /// A connection that does not send a whole request head in this time is closed; so is an idle one.
    pub head_timeout_ms: u64,
    /// A connection older than this is closed once its requests are answered.
    pub connection_age_s: u64,
    /// Requests at a time on one connection.
    pub streams_max: u32,
    /// Health watches at a time, over all connections.
    pub watches_max: usize,
    /// How often a health watch looks whether something changed.
    pub watch_interval_ms: u64,
}

impl Default for AdminConfig {
    fn default() -> Self {
        AdminConfig {
            address: SocketAddr::from(([127, 0, 0, 1], 9464)),
            connections_max: 128,
            head_timeout_ms: 10_000,
            connection_age_s: 600,
            streams_max: 32,
            watches_max: 256,
            watch_interval_ms: 1_000,
        }
    }
}

/// What the admin port shows.
#[derive(Clone, Debug)]
pub struct AdminState {
    /// The process.
    pub lifecycle: Lifecycle,
    /// Its metrics.
    pub registry: Registry,
    /// The gRPC services it answers health for, besides the process as a whole.
    pub health: Vec<HealthName>,
}

/// The admin port, bound and not yet answering.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    config: AdminConfig,
}

/// The admin port, answering until this is dropped.
#[derive(Debug)]
pub struct AdminHandle {
    address: SocketAddr,
    _stop: DropGuard,
}

impl AdminHandle {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Admin {
    /// Takes the port.
    pub async fn bind(config: &AdminConfig) -> io::Result<Self> {
        // With none of these nobody would ever be answered, and the process would look dead.
        for (key, value) in [
            ("connections_max", config.connections_max as u64),
            ("streams_max", u64::from(config.streams_max)),
            ("head_timeout_ms", config.head_timeout_ms),
            ("watch_interval_ms", config.watch_interval_ms),
        ] {
            if value == 0 {
                let why = format!("admin.{key} must be above 0");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
        }
        let named = |e: io::Error| {
            io::Error::new(
                e.kind(),
                format!("cannot listen on {}: {e}", config.address),
            )
        };
        Ok(Admin {
            listener: TcpListener::bind(config.address).await.map_err(named)?,
            config: config.clone(),
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers in the background until the handle is dropped, which should be after the drain.
    pub fn serve(self, state: AdminState) -> io::Result<AdminHandle> {
        let address = self.local_addr()?;
        let stop = CancellationToken::new();
        let lifecycle = state.lifecycle.clone();
        let app = router(state, &self.config);
        let accepting = serve::accept(self.listener, app, self.config, stop.clone());
        lifecycle.spawn_until("admin", stop.clone(), accepting);
        Ok(AdminHandle {
            address,
            _stop: stop.drop_guard(),
        })
    }
}

/// The admin port's routes.
pub fn router(state: AdminState, config: &AdminConfig) -> Router {
    let health = health_service(&state.lifecycle, state.health.clone(), config);
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(state)
        .route_service("/grpc.health.v1.Health/{method}", health)
}

/// The process can answer: that is all that a restart could mend.
async fn livez() -> &'static str {
    "alive\n"
}

async fn readyz(State(state): State<AdminState>) -> Response {
    let readiness = state.lifecycle.readiness().await;
    let code = match readiness.is_ready() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (
        code,
        [(header::CACHE_CONTROL, "no-store")],
        readiness.to_string(),
    )
        .into_response()
}

async fn metrics(State(state): State<AdminState>) -> Response {
    let encoder = TextEncoder::new();
    let mut page = Vec::new();
    match encoder.encode(&state.registry.gather(), &mut page) {
        Ok(()) => (
            [(header::CONTENT_TYPE, encoder.format_type().to_owned())],
            page,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be shown");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "metrics cannot be shown\n",
            )
                .into_response()
        }
    }
}
