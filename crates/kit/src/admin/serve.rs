//! The admin port's own accept loop: few connections, short heads, nothing that lasts for ever.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::AdminConfig;

/// How long to wait when the operating system gives no connection, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a connection may take to finish when it is told to.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// Accepts until `stop`.
pub(super) async fn accept(
    listener: TcpListener,
    app: Router,
    config: AdminConfig,
    stop: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(config.connections_max));
    let builder = Arc::new(builder(&config));
    let age = Duration::from_secs(config.connection_age_s);
    let accepting = async {
        // The semaphore is never closed.
        while let Ok(permit) = permits.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let served = serve(stream, builder.clone(), app.clone(), age, stop.clone());
                    drop(crate::spawn("admin connection", async move {
                        served.await;
                        drop(permit);
                    }));
                }
                Err(error) => {
                    tracing::warn!(%error, "admin port cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    // None when it was stopped, which is the only way in which it ends.
    let _ = stop.run_until_cancelled(accepting).await;
}

fn builder(config: &AdminConfig) -> Builder<TokioExecutor> {
    let head_timeout = Duration::from_millis(config.head_timeout_ms);
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(16 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.streams_max)
        .max_local_error_reset_streams(Some(64))
        .max_pending_accept_reset_streams(Some(16))
        .max_header_list_size(16 * 1024)
        .keep_alive_interval(Some(head_timeout))
        .keep_alive_timeout(head_timeout);
    builder
}

async fn serve(
    stream: TcpStream,
    builder: Arc<Builder<TokioExecutor>>,
    app: Router,
    age: Duration,
    stop: CancellationToken,
) {
    let service = TowerToHyperService::new(app);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop.cancelled() => None,
        () = tokio::time::sleep(age) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            // A health watch has no end of its own; past the grace it is cut, and asked for anew.
            tokio::time::timeout(CLOSE_GRACE, connection)
                .await
                .unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "admin connection ended");
    }
}
