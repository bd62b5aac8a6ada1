//! HTTP/2 by hand: whatever frames an attacker likes, in whatever order.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// SETTINGS_INITIAL_WINDOW_SIZE.
pub const INITIAL_WINDOW: u16 = 4;

/// One frame, as bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame of a sane size");
    let mut bytes = Vec::with_capacity(9 + payload.len());
    bytes.extend_from_slice(&length.to_be_bytes()[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Headers in the plainest form of HPACK: literal, not indexed, not compressed, so that anything at all can be said.
pub fn block(headers: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in headers {
        bytes.push(0);
        literal(name.as_bytes(), &mut bytes);
        literal(value, &mut bytes);
    }
    bytes
}

fn literal(text: &[u8], into: &mut Vec<u8>) {
    let mut length = text.len();
    if length < 127 {
        into.push(u8::try_from(length).expect("below 127"));
    } else {
        into.push(127);
        length -= 127;
        while length >= 128 {
            into.push(u8::try_from(length % 128 + 128).expect("a byte"));
            length /= 128;
        }
        into.push(u8::try_from(length).expect("below 128"));
    }
    into.extend_from_slice(text);
}

/// The headers of a gRPC call.
pub fn call(path: &[u8], bearer: &str) -> Vec<u8> {
    request(b"POST", path, b"application/grpc", bearer)
}

pub fn request(method: &[u8], path: &[u8], kind: &[u8], bearer: &str) -> Vec<u8> {
    let bearer = format!("Bearer {bearer}");
    block(&[
        (":method", method),
        (":scheme", b"http"),
        (":path", path),
        (":authority", b"vitrine"),
        ("content-type", kind),
        ("te", b"trailers"),
        ("authorization", bearer.as_bytes()),
    ])
}

/// A frame that the server sent.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM and GOAWAY.
    pub fn error_code(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        let code = self.payload.get(at..at + 4)?;
        code.try_into().ok().map(u32::from_be_bytes)
    }
}

/// A connection on which nothing is done by itself.
pub struct Raw {
    pub stream: TcpStream,
}

impl Raw {
    /// A bare connection from an address of this machine.
    pub async fn bare(to: SocketAddr, from: Option<IpAddr>) -> io::Result<Raw> {
        let socket = TcpSocket::new_v4()?;
        if let Some(from) = from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        let stream = timeout(Duration::from_secs(5), socket.connect(to)).await??;
        stream.set_nodelay(true)?;
        Ok(Raw { stream })
    }

    /// The same after the preface and SETTINGS.
    pub async fn greeted(
        to: SocketAddr,
        from: Option<IpAddr>,
        settings: &[(u16, u32)],
    ) -> io::Result<Raw> {
        let mut raw = Self::bare(to, from).await?;
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        let hello = [PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat();
        raw.send(&hello).await?;
        Ok(raw)
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        // A server that no longer reads must not hold up whoever attacks it.
        timeout(Duration::from_secs(5), self.stream.write_all(bytes)).await?
    }

    /// The next frame; none when the connection is closed or nothing comes in time.
    pub async fn frame(&mut self, patience: Duration) -> Option<Frame> {
        let read = async {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, flags, stream @ ..] = head;
            let length = u32::from_be_bytes([0, a, b, c]);
            let mut payload = vec![0; usize::try_from(length).ok()?];
            self.stream.read_exact(&mut payload).await.ok()?;
            let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
            Some(Frame {
                kind,
                flags,
                stream,
                payload,
            })
        };
        timeout(patience, read).await.ok().flatten()
    }

    /// How a call ended: the first frame that ends its stream or the connection; none when it was just closed.
    pub async fn ended(&mut self, stream: u32, patience: Duration) -> Option<Frame> {
        loop {
            let frame = self.frame(patience).await?;
            let ends = frame.flags & END_STREAM != 0 && matches!(frame.kind, HEADERS | DATA);
            if frame.kind == GOAWAY
                || (frame.stream == stream && (ends || frame.kind == RST_STREAM))
            {
                return Some(frame);
            }
        }
    }

    /// Whether the server closes the connection in time, whatever it says before.
    pub async fn is_closed_within(&mut self, patience: Duration) -> bool {
        let mut rest = [0; 16_384];
        let closed = async {
            loop {
                if matches!(self.stream.read(&mut rest).await, Ok(0) | Err(_)) {
                    return;
                }
            }
        };
        timeout(patience, closed).await.is_ok()
    }
}
