//! Counts the frames of a client that cost the server work and the client nothing.
//!
//! HTTP/2 itself bounds calls, headers and bytes. It does not bound how often a client may send SETTINGS, PING,
//! PRIORITY, WINDOW_UPDATE, empty DATA or frames of unknown kinds, and every call may be reset a moment after it
//! was made. A client that sends more of these than any honest one does is disconnected. Honest ones send some of
//! them for each call and for what they receive, so calls and bytes sent to them add to what they may send.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::ServerConfig;
use crate::layers::Rate;

const PREFACE_BYTES: usize = 24;
const HEADER_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 1;

/// Frames that a call adds.
const PER_CALL: u32 = 4;
/// Bytes sent that add one frame: a client makes room again by WINDOW_UPDATE.
const BYTES_PER_FRAME: usize = 512;

/// A connection that is closed when its client floods it.
pub(super) struct Counted<T> {
    stream: T,
    frames: Frames,
    sent: usize,
}

impl<T> Counted<T> {
    pub(super) fn new(stream: T, config: &ServerConfig) -> Self {
        Counted {
            stream,
            frames: Frames::new(config),
            sent: 0,
        }
    }

    fn count_sent(&mut self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            self.sent += bytes;
            let frames = self.sent / BYTES_PER_FRAME;
            self.sent %= BYTES_PER_FRAME;
            self.frames
                .control
                .give(u32::try_from(frames).unwrap_or(u32::MAX));
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, into) {
            Poll::Ready(Ok(())) => {
                let read = into.filled().get(before..).unwrap_or_default();
                Poll::Ready(this.frames.see(read).map_err(io::Error::other))
            }
            other => other,
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.count_sent(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bytes);
        this.count_sent(&written);
        written
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

/// What a client sent too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flood {
    /// Resets of its own calls.
    #[error("the client resets calls faster than it may")]
    Resets,
    /// Frames that carry no call.
    #[error("the client sends control frames faster than it may")]
    Control,
}

impl Flood {
    /// The flood that ended a connection, if one did.
    pub(super) fn behind(error: &(dyn std::error::Error + 'static)) -> Option<Flood> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(flood) = error.downcast_ref::<Flood>() {
                return Some(*flood);
            }
            let inside = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref);
            cause = match inside {
                Some(inside) => Some(inside),
                None => error.source(),
            };
        }
        None
    }

    /// From a fixed set, for metrics.
    pub(super) fn word(self) -> &'static str {
        match self {
            Flood::Resets => "reset_flood",
            Flood::Control => "control_flood",
        }
    }
}

/// Follows the frames of a client.
struct Frames {
    preface_left: usize,
    header: [u8; HEADER_BYTES],
    have: usize,
    payload_left: usize,
    resets: Allowance,
    control: Allowance,
}

impl Frames {
    fn new(config: &ServerConfig) -> Self {
        Frames {
            preface_left: PREFACE_BYTES,
            header: [0; HEADER_BYTES],
            have: 0,
            payload_left: 0,
            resets: Allowance::new(config.resets_per_connection),
            control: Allowance::new(config.control_frames_per_connection),
        }
    }

    fn see(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        let skip = |left: &mut usize, bytes: &mut &[u8]| {
            let now = (*left).min(bytes.len());
            *left -= now;
            *bytes = &bytes[now..];
        };
        skip(&mut self.preface_left, &mut bytes);
        loop {
            skip(&mut self.payload_left, &mut bytes);
            if bytes.is_empty() {
                return Ok(());
            }
            let now = (HEADER_BYTES - self.have).min(bytes.len());
            self.header[self.have..self.have + now].copy_from_slice(&bytes[..now]);
            self.have += now;
            bytes = &bytes[now..];
            if self.have == HEADER_BYTES {
                self.have = 0;
                let [a, b, c, kind, flags, ..] = self.header;
                self.payload_left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.count(kind, flags)?;
            }
        }
    }

    fn count(&mut self, kind: u8, flags: u8) -> Result<(), Flood> {
        match kind {
            HEADERS => {
                self.control.give(PER_CALL);
                Ok(())
            }
            // An empty one that ends the call is how some clients say that their request is whole.
            DATA if self.payload_left > 0 || flags & END_STREAM != 0 => Ok(()),
            RST_STREAM => self.resets.take().ok_or(Flood::Resets),
            _ => self.control.take().ok_or(Flood::Control),
        }
    }
}

/// So many at once, and so many more each second.
struct Allowance {
    rate: Rate,
    left: u32,
    /// Since when time has added nothing.
    since: Instant,
}

impl Allowance {
    fn new(rate: Rate) -> Self {
        Allowance {
            rate,
            left: rate.burst,
            since: Instant::now(),
        }
    }

    fn give(&mut self, more: u32) {
        self.left = self.left.saturating_add(more).min(self.rate.burst);
    }

    /// The clock is only asked when there is nothing left: honest clients never come so far.
    fn take(&mut self) -> Option<()> {
        if self.rate.per_second == 0 {
            return Some(());
        }
        if self.left == 0 {
            let now = Instant::now();
            let passed = now.saturating_duration_since(self.since).as_secs_f64();
            let more = passed * f64::from(self.rate.per_second);
            self.give(more.min(f64::from(self.rate.burst)) as u32);
            if self.left > 0 {
                self.since = now;
            }
        }
        self.left = self.left.checked_sub(1)?;
        Some(())
    }
}
