//! Writes of many calls, put together.
//!
//! When a batch is committed, hundreds of calls on a connection are answered in one moment, each by a task of its
//! own. The first answer wakes the connection's task, which would write it at once, alone, and so on for each of
//! them: one system call, one segment and one wake-up of the client for each answer. So whoever wants to write
//! goes to the end of the queue of ready tasks first. By its turn the answers of all others are there, and go in one
//! write. Where nothing else is ready the turn comes at once, so an idle server answers as fast as before.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So much is worth a write of its own: about what HTTP/2 gathers at most.
const ENOUGH: usize = 8_192;

/// A stream that lets other tasks run before it writes.
///
/// It has no vectored writes, because HTTP/2 then copies small messages (below a kilobyte) into the buffer that it
/// gathers frames in, instead of writing what it has gathered with each of them.
pub(super) struct Corked<T> {
    stream: T,
    let_others_run: bool,
}

impl<T> Corked<T> {
    pub(super) fn new(stream: T) -> Self {
        Corked {
            stream,
            let_others_run: false,
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Corked<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Corked<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.let_others_run && bytes.len() < ENOUGH {
            self.let_others_run = true;
            // A task that wakes itself goes to the end of the queue.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // Kept until the flush, so that the rest of what is gathered goes without another wait.
        self.let_others_run = true;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        false
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.let_others_run = false;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
