//! How the generator calls: gRPC straight on HTTP/2, because it shares the machine with what it measures. A call costs
//! a few microseconds here; requests are encoded before they are due, answers are read only as far as needed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::RecvStream;
use h2::client::SendRequest;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE};
use http::{Method, Request, Uri};
use prost::Message;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How much an answer, and a connection, may have on its way.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Resets whose stragglers are still recognised.
const RESETS_REMEMBERED: usize = 16_384;
const FRAME_HEAD: usize = 5;

/// The calls of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rpc {
    /// Prices an order.
    Quote,
    /// Holds units.
    Place,
    /// Pays.
    Confirm,
    /// Gives units back.
    Cancel,
    /// Holds them longer.
    Extend,
    /// Looks at an order.
    Get,
    /// Looks whether there is any.
    Browse,
    /// Looks at a page of orders.
    List,
    /// Follows the partner's feed.
    WatchFeed,
}

impl Rpc {
    /// All of them, in the order of their numbers.
    const ALL: [Rpc; 9] = [
        Rpc::Quote,
        Rpc::Place,
        Rpc::Confirm,
        Rpc::Cancel,
        Rpc::Extend,
        Rpc::Get,
        Rpc::Browse,
        Rpc::List,
        Rpc::WatchFeed,
    ];

    fn path(self) -> &'static str {
        match self {
            Rpc::Quote => "/vitrine.order.v1.OrderService/QuoteOrder",
            Rpc::Place => "/vitrine.order.v1.OrderService/PlaceOrder",
            Rpc::Confirm => "/vitrine.order.v1.OrderService/ConfirmPayment",
            Rpc::Cancel => "/vitrine.order.v1.OrderService/CancelOrder",
            Rpc::Extend => "/vitrine.order.v1.OrderService/ExtendHold",
            Rpc::Get => "/vitrine.order.v1.OrderService/GetOrder",
            Rpc::Browse => "/vitrine.order.v1.AllotmentService/GetAvailability",
            Rpc::List => "/vitrine.order.v1.OrderService/ListOrders",
            Rpc::WatchFeed => "/vitrine.order.v1.OrderFeedService/WatchOrderFeed",
        }
    }
}

/// Why a call has no answer.
#[derive(Clone, Debug)]
pub enum Failed {
    /// The server said no.
    Refused {
        /// The gRPC code.
        code: i32,
        /// The suite's own word for it, such as `SOLD_OUT`; empty when it gave none.
        reason: String,
        /// When it may be sent again, if the server said so.
        retry_after: Option<Duration>,
    },
    /// The connection broke: perhaps done.
    Broken(String),
}

impl Failed {
    /// One word for tallies.
    pub fn word(&self) -> &str {
        match self {
            Failed::Refused { reason, .. } if !reason.is_empty() => reason,
            Failed::Refused { .. } => "NO_REASON",
            Failed::Broken(_) => "BROKEN",
        }
    }

    /// Whether the documented retry rule says to send the same request again.
    pub fn again(&self) -> bool {
        match self {
            Failed::Broken(_) => true,
            Failed::Refused { code, reason, .. } => match reason.as_str() {
                "OVERLOADED" | "RATE_LIMITED" | "DRAINING" | "OUTCOME_UNKNOWN" | "DEADLINE"
                | "INTERNAL" => true,
                // CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE of somebody else.
                "" => matches!(code, 1 | 2 | 4 | 8 | 13 | 14),
                _ => false,
            },
        }
    }
}

/// The headers that every call of one partner carries.
#[derive(Clone)]
pub struct Bearer(HeaderMap);

impl Bearer {
    /// With this token, for calls that may take `deadline_s`.
    pub fn new(token: &str, deadline_s: u32) -> anyhow::Result<Bearer> {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        let token = HeaderValue::from_str(&format!("Bearer {token}"));
        headers.insert(
            AUTHORIZATION,
            token.context("a token is not fit for a header")?,
        );
        if deadline_s > 0 {
            let deadline = HeaderValue::from_str(&format!("{deadline_s}S"))?;
            headers.insert(HeaderName::from_static("grpc-timeout"), deadline);
        }
        Ok(Bearer(headers))
    }

    /// The same caller, for calls that may take so many milliseconds.
    pub fn within(&self, deadline_ms: u32) -> anyhow::Result<Bearer> {
        let mut headers = self.0.clone();
        let deadline = HeaderValue::from_str(&format!("{deadline_ms}m"))?;
        headers.insert(HeaderName::from_static("grpc-timeout"), deadline);
        Ok(Bearer(headers))
    }
}

/// A message with its gRPC frame, ready to be sent.
pub fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(FRAME_HEAD + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // Room was made for all of it.
    let _ = message.encode(&mut frame);
    frame.freeze()
}

/// A frame around bytes that are a message already.
pub fn framed_bytes(parts: &[&[u8]]) -> Bytes {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = BytesMut::with_capacity(FRAME_HEAD + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    parts.iter().for_each(|part| frame.put_slice(part));
    frame.freeze()
}

/// Connections to the order service, shared by the calls of this thread.
#[derive(Clone)]
pub struct Lines {
    lines: Rc<Vec<Line>>,
    next: Rc<Cell<usize>>,
}

struct Line {
    address: String,
    tls: Option<TlsConnector>,
    uris: Vec<Uri>,
    sender: RefCell<Option<SendRequest<Bytes>>>,
}

impl Lines {
    /// Opens `count` connections, in turn to each address (such as `http://127.0.0.1:7700`).
    pub async fn open(addresses: &[String], count: usize) -> anyhow::Result<Lines> {
        Self::open_with(addresses, count, None).await
    }

    /// The same, over TLS when there is a connector.
    pub async fn open_with(
        addresses: &[String],
        count: usize,
        tls: Option<TlsConnector>,
    ) -> anyhow::Result<Lines> {
        let mut lines = Vec::new();
        for n in 0..count.max(addresses.len()) {
            let address = &addresses[n % addresses.len()];
            let line = Line::new(address, tls.clone())?;
            line.sender()
                .await
                .with_context(|| format!("nothing answers at {address}"))?;
            lines.push(line);
        }
        Ok(Lines {
            lines: Rc::new(lines),
            next: Rc::new(Cell::new(0)),
        })
    }

    /// One call on the next connection. Dropping the future resets the call, as a client that goes away does.
    pub async fn call(&self, rpc: Rpc, bearer: &Bearer, body: Bytes) -> Result<Bytes, Failed> {
        let response = self.send(rpc, bearer, body).await?;
        read(response).await
    }

    /// A stream of messages.
    pub async fn stream(&self, rpc: Rpc, bearer: &Bearer, body: Bytes) -> Result<Stream, Failed> {
        let response = self.send(rpc, bearer, body).await?;
        if let Some(failed) = status(response.headers()) {
            return Err(failed);
        }
        Ok(Stream {
            body: response.into_body(),
            read: BytesMut::new(),
        })
    }

    async fn send(
        &self,
        rpc: Rpc,
        bearer: &Bearer,
        body: Bytes,
    ) -> Result<http::Response<RecvStream>, Failed> {
        let n = self.next.get();
        self.next.set(n.wrapping_add(1));
        let line = &self.lines[n % self.lines.len()];
        let mut sender = line
            .sender()
            .await
            .map_err(|error| Failed::Broken(format!("{error:#}")))?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = line.uris[rpc as usize].clone();
        *request.headers_mut() = bearer.0.clone();
        let sent = sender
            .send_request(request, false)
            .and_then(|(response, mut stream)| {
                stream.send_data(body, true)?;
                Ok(response)
            });
        let answered = match sent {
            Ok(response) => response.await,
            Err(error) => Err(error),
        };
        answered.map_err(|error| line.broke(&error))
    }
}

impl Line {
    fn new(address: &str, tls: Option<TlsConnector>) -> anyhow::Result<Line> {
        let base: Uri = address.parse().with_context(|| {
            format!("{address} is not an address: write it like http://127.0.0.1:7700")
        })?;
        let authority = base
            .authority()
            .map(ToString::to_string)
            .unwrap_or_default();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let uris = Rpc::ALL
            .iter()
            .map(|rpc| format!("{scheme}://{authority}{}", rpc.path()).parse())
            .collect::<Result<_, _>>()?;
        Ok(Line {
            address: authority,
            tls,
            uris,
            sender: RefCell::new(None),
        })
    }

    async fn sender(&self) -> anyhow::Result<SendRequest<Bytes>> {
        if let Some(sender) = &*self.sender.borrow() {
            return Ok(sender.clone());
        }
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let sender = match &self.tls {
            None => speak(stream).await?,
            Some(tls) => {
                let host = self.address.rsplit_once(':').map_or("", |(host, _)| host);
                let name = ServerName::try_from(host.to_owned())?;
                speak(tls.connect(name, stream).await?).await?
            }
        };
        *self.sender.borrow_mut() = Some(sender.clone());
        Ok(sender)
    }

    /// Notes that a call failed below gRPC; the next one connects anew unless only that call was reset.
    fn broke(&self, error: &h2::Error) -> Failed {
        if !error.is_reset() || error.is_go_away() {
            self.sender.borrow_mut().take();
        }
        Failed::Broken(error.to_string())
    }
}

/// HTTP/2 on a connection, which lives by itself from here on.
async fn speak<S>(stream: S) -> anyhow::Result<SendRequest<Bytes>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_reset_streams(RESETS_REMEMBERED)
        .enable_push(false)
        .handshake::<_, Bytes>(stream)
        .await?;
    kit::spawn("bench connection", async move {
        // Calls on it hear of its end themselves.
        let _ = connection.await;
    });
    Ok(sender)
}

async fn read(response: http::Response<RecvStream>) -> Result<Bytes, Failed> {
    if let Some(failed) = status(response.headers()) {
        return Err(failed);
    }
    let broken = |error: h2::Error| Failed::Broken(error.to_string());
    let mut body = response.into_body();
    let mut whole = Bytes::new();
    let mut parts: Option<BytesMut> = None;
    while let Some(data) = body.data().await {
        let data = data.map_err(broken)?;
        let _ = body.flow_control().release_capacity(data.len());
        match (&mut parts, whole.is_empty()) {
            (None, true) => whole = data,
            (Some(parts), _) => parts.put_slice(&data),
            (none, false) => {
                let mut both = BytesMut::from(whole.as_ref());
                both.put_slice(&data);
                *none = Some(both);
            }
        }
    }
    if let Some(failed) = body
        .trailers()
        .await
        .map_err(broken)?
        .as_ref()
        .and_then(status)
    {
        return Err(failed);
    }
    let mut whole = parts.map_or(whole, BytesMut::freeze);
    if whole.len() < FRAME_HEAD {
        return Err(Failed::Broken("an answer without a message".into()));
    }
    whole.advance(FRAME_HEAD);
    Ok(whole)
}

/// A call whose answers come one by one.
pub struct Stream {
    body: RecvStream,
    read: BytesMut,
}

impl Stream {
    /// The next message; none when the stream ended or broke.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(length) = self.read.get(1..FRAME_HEAD).map(|mut head| head.get_u32()) {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                if self.read.len() - FRAME_HEAD >= length {
                    self.read.advance(FRAME_HEAD);
                    return Some(self.read.split_to(length).freeze());
                }
            }
            let data = self.body.data().await?.ok()?;
            let _ = self.body.flow_control().release_capacity(data.len());
            self.read.put_slice(&data);
        }
    }
}

/// `google.rpc.Status`, as far as it is of use here.
#[derive(Clone, PartialEq, Message)]
struct Details {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

/// None when all is well, or nothing is said yet.
fn status(headers: &HeaderMap) -> Option<Failed> {
    let code = headers
        .get("grpc-status")?
        .to_str()
        .ok()?
        .parse()
        .unwrap_or(2);
    if code == 0 {
        return None;
    }
    let mut reason = String::new();
    let mut retry_after = None;
    let details = headers
        .get("grpc-status-details-bin")
        .and_then(|text| {
            let text = text.as_bytes();
            STANDARD_NO_PAD
                .decode(text)
                .or_else(|_| STANDARD.decode(text))
                .ok()
        })
        .and_then(|bytes| Details::decode(bytes.as_slice()).ok())
        .unwrap_or_default();
    for detail in details.details {
        if detail.type_url.ends_with("google.rpc.ErrorInfo") {
            reason = ErrorInfo::decode(detail.value).unwrap_or_default().reason;
        } else if detail.type_url.ends_with("google.rpc.RetryInfo") {
            let told = RetryInfo::decode(detail.value)
                .unwrap_or_default()
                .retry_delay;
            retry_after = told.and_then(|delay| Duration::try_from(delay).ok());
        }
    }
    Some(Failed::Refused {
        code,
        reason,
        retry_after,
    })
}
