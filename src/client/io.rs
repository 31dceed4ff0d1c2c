//! A client's socket as h2 reads and writes it.
//!
//! Owns: what it notes of reads and writes. May touch: nothing outside this room. The connection's
//! alarm reads what is noted.

use super::{activity::Activity, frames::ClientFrames};
use bytes::Bytes;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A client's socket that notes what happens on it.
#[derive(Debug)]
pub struct ClientIo<'a, S> {
    stream: &'a mut S,
    /// Bytes that were already read, and come first.
    begun: Bytes,
    frames: ClientFrames,
    activity: &'a Activity,
}

impl<'a, S: Unpin> ClientIo<'a, S> {
    /// Notes in `activity` what happens on `stream`, from which `begun` was read before.
    pub fn new(stream: &'a mut S, begun: Bytes, activity: &'a Activity) -> Self {
        Self { stream, begun, frames: ClientFrames::default(), activity }
    }

    fn stream(&mut self) -> Pin<&mut S> {
        Pin::new(self.stream)
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        self.activity.wrote(written.is_pending());
        if let Poll::Ready(Ok(bytes)) = written {
            self.activity.progress(*bytes);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientIo<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.begun.is_empty() {
            ready!(self.stream().poll_read(cx, buffer))?;
        } else {
            let length = self.begun.len().min(buffer.remaining());
            buffer.put_slice(&self.begun.split_to(length));
        }
        let shown = self.frames.follow(&buffer.filled()[before..]);
        self.activity.came(shown);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientIo<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream().poll_write(cx, bytes);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream().poll_write_vectored(cx, parts);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.stream().poll_flush(cx);
        self.activity.wrote(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::{activity::Finding, settings::Waits},
        clock::Clock,
    };
    use std::task::Waker;

    /// Takes what is written, as TLS does, and passes it on at the second try.
    struct Slow(bool);

    impl AsyncWrite for Slow {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            let slow = std::mem::take(&mut self.0);
            if slow { Poll::Pending } else { Poll::Ready(Ok(())) }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_connection_that_was_slow_once_is_not_stalled() {
        let activity = Activity::new(Clock::start(), 100);
        let mut slow = Slow(true);
        let mut io = ClientIo::new(&mut slow, Bytes::new(), &activity);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut io).poll_write(&mut cx, b"last").is_ready());
        let waits = Waits { request_head: 1000, idle: 1000, send: 0 };
        activity.begin();
        assert!(Pin::new(&mut io).poll_flush(&mut cx).is_pending());
        assert_eq!(activity.look(&waits), Finding::Stalled);
        assert!(Pin::new(&mut io).poll_flush(&mut cx).is_ready());
        assert!(matches!(activity.look(&waits), Finding::Fine(_)));
    }
}
