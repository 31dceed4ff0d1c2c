//! A client's socket as hyper's HTTP/2 reads and writes it.
//!
//! Owns: what it notes of reads and writes; and the socket outlives hyper's connection. May touch:
//! [`super::activity`], [`super::frames`]. The connection's alarm reads what is noted.

use super::{activity::Activity, frames::ClientFrames};
use bytes::Bytes;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The place where a socket is left when hyper drops it: hyper does not give it back.
#[derive(Debug)]
pub struct Left<S>(Arc<Mutex<Option<S>>>);

impl<S> Default for Left<S> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<S> Left<S> {
    /// The socket, once nobody reads and writes it any more.
    pub fn take(&self) -> Option<S> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A client's socket that notes what happens on it.
#[derive(Debug)]
pub struct ClientIo<S> {
    /// There until it is dropped.
    stream: Option<S>,
    /// Bytes that were already read, and come first.
    begun: Bytes,
    frames: ClientFrames,
    activity: Arc<Activity>,
    left: Left<S>,
}

impl<S> Drop for ClientIo<S> {
    fn drop(&mut self) {
        *self.left.0.lock().unwrap_or_else(PoisonError::into_inner) = self.stream.take();
    }
}

impl<S> ClientIo<S> {
    /// Notes in `activity` what happens on `stream`, of which `begun` was read before; leaves the
    /// stream in `left` when it is dropped.
    pub fn new(stream: S, begun: Bytes, activity: Arc<Activity>, left: &Left<S>) -> Self {
        let left = Left(Arc::clone(&left.0));
        Self { stream: Some(stream), begun, frames: ClientFrames::default(), activity, left }
    }

    fn note(&self, written: &Poll<io::Result<usize>>) {
        self.activity.wrote(written.is_pending());
        if let Poll::Ready(Ok(bytes)) = written {
            self.activity.progress(*bytes);
        }
    }
}

impl<S: Unpin> ClientIo<S> {
    fn stream(&mut self) -> io::Result<Pin<&mut S>> {
        // No one can read or write it while it is dropped.
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.begun.is_empty() {
            ready!(self.stream()?.poll_read(cx, buffer))?;
        } else {
            let length = self.begun.len().min(buffer.remaining());
            buffer.put_slice(&self.begun.split_to(length));
        }
        let shown = self.frames.follow(&buffer.filled()[before..]);
        self.activity.came(shown);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write(cx, bytes);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write_vectored(cx, parts);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(S::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.stream()?.poll_flush(cx);
        self.activity.wrote(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
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
        let activity = Arc::new(Activity::new(Clock::start(), 100));
        let mut io =
            ClientIo::new(Slow(true), Bytes::new(), Arc::clone(&activity), &Left::default());
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
