//! A client's socket that speaks HTTP/1, with what was read of it and is to be written.
//!
//! Owns: the two directions. May touch: [`crate::http1`]. [`super::serve_http1`] reads heads from it,
//! [`super::http1_response`] writes responses to it.

use super::stream::Stream;
use crate::http1::{
    buffers::{self, Size},
    outgoing::Outgoing,
    request_body::Giver,
};
use bytes::Bytes;
use std::{
    io,
    task::{Context, Poll, ready},
};

/// A client's socket.
pub struct Http1Socket {
    /// The socket alone.
    pub stream: Stream,
    /// Read and not yet used.
    pub unread: Bytes,
    /// Still to be written.
    pub outgoing: Outgoing,
}

/// The client went away.
#[derive(Debug, PartialEq, Eq)]
pub struct Gone;

impl Http1Socket {
    /// Nothing has been read or written yet.
    pub fn new(stream: Stream) -> Self {
        Self { stream, unread: Bytes::new(), outgoing: Outgoing::default() }
    }

    /// Reads what is there. If it is `likely` that there is something, that is not asked first.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, likely: bool) -> Poll<Result<(), Gone>> {
        let Self { stream, unread, .. } = self;
        match ready!(buffers::poll_fill(cx, stream, unread, Size::Small, likely)) {
            Ok(1..) => Poll::Ready(Ok(())),
            Ok(0) | Err(_) => Poll::Ready(Err(Gone)),
        }
    }

    /// Writes what is to be written.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_flush(cx, &mut self.stream)
    }

    /// While a request is handled: ready when its body's taker is to be polled again, for a part has
    /// been handed over, or when the client is gone.
    pub fn poll_meanwhile(
        &mut self,
        cx: &mut Context<'_>,
        giver: Option<&mut Giver>,
    ) -> Poll<Result<(), Gone>> {
        if let Some(giver) = giver.filter(|giver| !giver.is_done()) {
            let Self { stream, unread, .. } = self;
            return giver.poll(cx, stream, unread).map(Ok);
        }
        // More than the next request's beginning is left to the kernel.
        while self.unread.is_empty() {
            ready!(self.poll_fill(cx, false))?;
        }
        Poll::Pending
    }
}
