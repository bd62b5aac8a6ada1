//! The accept loop.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::connection::{Connections, Transport};
use super::seats::TooMany;
use super::tls::Certificate;
use crate::lifecycle::Lifecycle;

/// The first pause after an error; doubled up to the configured one.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// Where connections come from.
pub(super) trait Source: Send {
    /// A connection.
    type Stream: Transport;

    /// Waits for the next one; it and where it comes from.
    fn accept(&mut self)
    -> impl Future<Output = io::Result<(Self::Stream, Option<IpAddr>)>> + Send;
}

impl Source for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, Option<IpAddr>)> {
        let (stream, from) = TcpListener::accept(self).await?;
        // Frames are written whole; waiting for more to send would only add latency.
        stream.set_nodelay(true)?;
        Ok((stream, Some(from.ip())))
    }
}

pub(super) struct Loop<S> {
    pub(super) source: S,
    pub(super) connections: Connections,
    pub(super) tls: Option<Certificate>,
    pub(super) lifecycle: Lifecycle,
    pub(super) backoff_max: Duration,
}

impl<S: Source> Loop<S> {
    pub(super) async fn run(mut self) {
        let accepting = self.lifecycle.acceptor();
        let stop = self.lifecycle.stop_accepting();
        let renewal = self.tls.as_ref().map(|tls| tls.keep_fresh(&stop));
        stop.run_until_cancelled(self.accept_all()).await;
        drop(renewal);
        drop(accepting);
    }

    /// Never returns by itself.
    async fn accept_all(&mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.source.accept().await {
                Ok((stream, from)) => {
                    pause = FIRST_PAUSE;
                    // Where nobody can be sent away this waits, and who comes meanwhile waits in the kernel's queue.
                    let seat = match self.connections.seats().take(from).await {
                        Ok(seat) => seat,
                        Err(TooMany) => {
                            self.connections.refused("too_many_from_address");
                            continue;
                        }
                    };
                    let served = self.connections.serve(stream, self.tls.clone(), seat);
                    drop(self.lifecycle.track("connection", served));
                }
                Err(error) if concerns_one_connection(&error) => {
                    tracing::debug!(%error, "a connection was gone before it was accepted");
                }
                // Most likely no file descriptors are left. Trying again at once would only burn the
                // processor that the open connections need to finish.
                Err(error) => {
                    tracing::warn!(%error, pause_ms = pause.as_millis(), "cannot accept connections");
                    self.connections.seats().push_out();
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(self.backoff_max);
                }
            }
        }
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotConnected
    )
}

/// A task that ends with the loop.
pub(super) struct Renewal(pub(super) CancellationToken);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
