//! One connection: handshake, life, end.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use super::ServerConfig;
use super::admitted::Admitted;
use super::calls::{CallTasks, Connection};
use super::cork::Corked;
use super::frames::{Counted, Flood};
use super::seats::{Room, Seat, Seats};
use super::tls::Certificate;
use crate::auth::{Listener, Peer};
use crate::clock::SharedClock;
use crate::layers::LayeredService;
use crate::lifecycle::Lifecycle;

/// What every HTTP/2 client says first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes to and from a client.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for T {}

/// Serves connections.
#[derive(Clone)]
pub(super) struct Connections {
    service: LayeredService,
    config: Arc<ServerConfig>,
    http: http2::Builder<CallTasks>,
    lifecycle: Lifecycle,
    seats: Seats,
    listener: Listener,
}

impl Connections {
    pub(super) fn new(
        service: LayeredService,
        config: Arc<ServerConfig>,
        lifecycle: Lifecycle,
    ) -> Self {
        let http = http(&config);
        let seats = Seats::new(Room::of(&config, Listener::Both));
        Connections {
            service,
            config,
            http,
            lifecycle,
            seats,
            listener: Listener::Both,
        }
    }

    /// Those of a port that is not for everybody.
    pub(super) fn at(self, listener: Listener) -> Self {
        let seats = Seats::new(Room::of(&self.config, listener));
        Connections {
            listener,
            seats,
            ..self
        }
    }

    pub(super) fn seats(&self) -> &Seats {
        &self.seats
    }

    /// Counts a connection that was sent away.
    pub(super) fn refused(&self, why: &'static str) {
        self.service.metrics().refused("connection", why);
    }

    /// Serves one connection to its end.
    pub(super) fn serve<T: Transport>(
        &self,
        stream: T,
        tls: Option<Certificate>,
        seat: Seat,
    ) -> impl Future<Output = ()> + Send + use<T> {
        let this = self.clone();
        async move {
            let limit = Duration::from_millis(this.config.handshake_timeout_ms.max(1));
            let asks_clients = tls.as_ref().is_some_and(Certificate::asks_clients);
            let stop = this.lifecycle.stop_accepting();
            let greeted = tokio::select! {
                greeted = timeout(limit, greet(stream, tls)) => greeted,
                // Who has not said anything when the server stops has no call to lose.
                () = stop.cancelled() => return,
                () = seat.pushed_out() => return this.refused("pushed_out"),
            };
            match greeted {
                Ok(Ok(Greeted::Plain(stream))) => this.run(stream, seat, false, None).await,
                Ok(Ok(Greeted::Tls(stream, admitted))) => {
                    this.run(*stream, seat, asks_clients, admitted).await;
                }
                Ok(Err(error)) => {
                    this.refused("handshake_failed");
                    tracing::debug!(%error, "handshake failed");
                }
                Err(_) => {
                    this.refused("handshake_timeout");
                    tracing::debug!("handshake took too long");
                }
            }
        }
    }

    async fn run<T: Transport>(
        self,
        stream: Greeting<T>,
        seat: Seat,
        asks_certificates: bool,
        mut admitted: Option<Admitted>,
    ) {
        let peer = Arc::new(Peer {
            listener: self.listener,
            asks_certificates,
            certificate: admitted.as_ref().map(|one| one.certificate().clone()),
        });
        seat.standing().greeted();
        let streams_end = CancellationToken::new();
        let service = self.service.clone();
        let calls = Connection::new(streams_end.clone(), seat.standing());
        let known = calls.clone();
        let answer = hyper::service::service_fn(move |request: http::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(known.clone());
            request.extensions_mut().insert(peer.clone());
            let service = service.clone();
            // Inside, so that the call finds the task that it runs in.
            async move { Ok::<_, Infallible>(service.answer(request).await) }
        });
        let stream = TokioIo::new(Corked::new(Counted::new(stream, &self.config)));
        let mut connection = pin!(self.http.serve_connection(stream, answer));
        let age = jittered(self.config.connection_age_s, self.service.random());
        let why = tokio::select! {
            ended = connection.as_mut() => return self.ended(ended),
            () = tokio::time::sleep(age) => End::Age,
            () = self.lifecycle.stop_accepting().cancelled_owned() => End::Drain,
            () = seat.pushed_out() => return self.refused("pushed_out"),
            () = refused(&mut admitted, self.service.clock()) => End::Refused,
            () = calls.watch(&self.config, |stalled| self.stalled(stalled)) => End::Age,
        };
        // Tells the client to send no more calls here; those that are under way go on.
        connection.as_mut().graceful_shutdown();
        let told = self.lifecycle.token();
        let last_moment = async {
            if matches!(why, End::Refused) {
                tracing::info!("a client's certificate is no longer good");
                self.refused("certificate_refused");
                streams_end.cancel();
            } else if matches!(why, End::Age) {
                // Most calls end by themselves meanwhile; a drain does not wait for a long grace.
                let grace = Duration::from_secs(self.config.connection_age_grace_s);
                let _ = timeout(grace, told.cancelled()).await;
                streams_end.cancel();
            } else {
                told.cancelled().await;
            }
            tokio::time::sleep(Duration::from_millis(self.config.drain_close_ms)).await;
        };
        tokio::select! {
            ended = connection.as_mut() => self.ended(ended),
            () = last_moment => tracing::debug!("connection closed with calls on it"),
        }
    }

    fn stalled(&self, answers: usize) {
        tracing::info!(answers, "answers that their client did not take were ended");
        self.refused("stalled_answer");
    }

    fn ended(&self, ended: hyper::Result<()>) {
        let Err(error) = ended else {
            return;
        };
        if let Some(flood) = Flood::behind(&error) {
            self.refused(flood.word());
        }
        tracing::debug!(error = %crate::errors::chain(&error), "connection ended");
    }
}

enum End {
    Age,
    Drain,
    Refused,
}

/// Returns when the client's certificate is no longer good; never for a client without one.
async fn refused(admitted: &mut Option<Admitted>, clock: &SharedClock) {
    match admitted {
        Some(admitted) => admitted.until_refused(clock).await,
        None => std::future::pending().await,
    }
}

fn http(config: &ServerConfig) -> http2::Builder<CallTasks> {
    let mut http = http2::Builder::new(CallTasks(TokioExecutor::new()));
    http.timer(TokioTimer::new())
        .max_concurrent_streams(config.max_streams_per_connection)
        .max_pending_accept_reset_streams(config.max_pending_reset_streams)
        .max_local_error_reset_streams(config.max_local_error_reset_streams)
        .max_header_list_size(config.max_header_list_bytes)
        .initial_stream_window_size(config.stream_window_bytes)
        .initial_connection_window_size(config.connection_window_bytes)
        .max_frame_size(config.max_frame_bytes)
        .max_send_buf_size(config.max_send_buffer_bytes)
        .keep_alive_interval(Duration::from_secs(config.keepalive_interval_s.max(1)))
        .keep_alive_timeout(Duration::from_secs(config.keepalive_timeout_s.max(1)))
        .auto_date_header(false);
    http
}

/// Up to a tenth longer, so that connections that were opened together do not close together.
fn jittered(seconds: u64, random: u64) -> Duration {
    let whole = Duration::from_secs(seconds.max(1));
    let thousandths = u32::try_from(random % 100).unwrap_or(0);
    whole + whole * thousandths / 1_000
}

enum Greeted<T> {
    Plain(Greeting<T>),
    Tls(
        Box<Greeting<tokio_rustls::server::TlsStream<T>>>,
        Option<Admitted>,
    ),
}

async fn greet<T: Transport>(stream: T, tls: Option<Certificate>) -> io::Result<Greeted<T>> {
    match tls {
        None => Ok(Greeted::Plain(Greeting::read(stream).await?)),
        Some(tls) => {
            let trusted = tls.watch();
            let stream = tls.acceptor().accept(stream).await?;
            let admitted = Admitted::of(stream.get_ref().1, &tls, trusted);
            Ok(Greeted::Tls(
                Box::new(Greeting::read(stream).await?),
                admitted,
            ))
        }
    }
}

/// A connection whose client has said the HTTP/2 preface, which is given again to whoever reads on. So a
/// client that connects and says nothing is sent away in time; hyper alone would wait for ever.
struct Greeting<T> {
    stream: T,
    given: usize,
}

impl<T: Transport> Greeting<T> {
    async fn read(mut stream: T) -> io::Result<Self> {
        let mut said = [0; PREFACE.len()];
        stream.read_exact(&mut said).await?;
        if said != *PREFACE {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "no HTTP/2 preface",
            ));
        }
        Ok(Greeting { stream, given: 0 })
    }
}

impl<T: Transport> AsyncRead for Greeting<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let rest = &PREFACE[this.given..];
        if rest.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, into);
        }
        let now = rest.len().min(into.remaining());
        into.put_slice(&rest[..now]);
        this.given += now;
        Poll::Ready(Ok(()))
    }
}

impl<T: Transport> AsyncWrite for Greeting<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
