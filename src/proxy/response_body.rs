//! The body that goes to a client, from any source.
//!
//! Owns: counting bytes, and the [`Record`] until the body's end. May touch: [`crate::origin::body`],
//! [`crate::files`].

use super::{read_ahead::ReadAhead, record::Record};
use crate::{
    files::FileBody, http1::moved::Moved, message::body::BodyError, origin::body::ServerBody,
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

/// Where a body comes from.
pub enum Source {
    /// Nowhere.
    Empty,
    /// Memory.
    Full(Bytes),
    /// A server.
    Server(Box<ServerBody>),
    /// A server, ahead of the client.
    Ahead(ReadAhead),
    /// A directory.
    File(FileBody),
}

impl Source {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Server(body) => body.poll_frame(cx),
            Self::Ahead(body) => body.poll_frame(cx),
            Self::File(body) => {
                Pin::new(body).poll_frame(cx).map(|it| it.map(|it| it.map_err(BodyError::File)))
            }
        }
    }

    fn is_ended(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Server(body) => body.is_ended(),
            Self::Ahead(body) => body.is_ended(),
            Self::File(body) => body.is_end_stream(),
        }
    }
}

/// A response's body with the request's record.
pub struct ResponseBody {
    source: Source,
    failed: Option<BodyError>,
    record: Option<Box<Record>>,
}

impl ResponseBody {
    /// A body that ends `record` when it ends.
    pub fn new(source: Source, record: Box<Record>) -> Self {
        Self { source, failed: None, record: Some(record) }
    }

    /// The next part for the kernel to move; `None` if it must be polled for.
    pub fn poll_moved(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Moved, BodyError>>> {
        let moved = match &mut self.source {
            Source::Server(body) => ready!(body.poll_moved(cx)),
            Source::File(body) => body.moved().map(Ok),
            _ => None,
        };
        if let Some(moved) = &moved {
            self.note(moved.as_ref().map(Moved::left));
        }
        Poll::Ready(moved)
    }

    fn note(&mut self, part: Result<u64, &BodyError>) {
        let Some(record) = &mut self.record else { return };
        match part {
            Ok(size) => record.facts.sent += size,
            Err(error) => {
                tracing::debug!(%error, "a response ended early");
                record.body_failed(error);
            }
        }
    }

    /// So many bytes of what was handed out were not sent.
    pub fn take_back(&mut self, bytes: u64) {
        if let Some(record) = &mut self.record {
            record.facts.sent = record.facts.sent.saturating_sub(bytes);
        }
    }

    /// Reads no more than `bytes` at a time from now on.
    pub fn read_at_most(&mut self, bytes: usize) {
        match &mut self.source {
            Source::File(body) => body.read_at_most(bytes),
            Source::Server(body) => body.read_at_most(bytes),
            // These are small.
            Source::Empty | Source::Full(_) | Source::Ahead(_) => {}
        }
    }

    /// Reads more while the client takes nothing, which `held` bytes of memory wait for already.
    pub fn read_ahead(&mut self, cx: &mut Context<'_>, held: usize) {
        if let Source::Server(body) = &mut self.source {
            body.read_ahead(cx, held);
        }
    }

    /// Drops a body that the client must not get, as after HEAD.
    pub fn discard(&mut self) {
        self.source = Source::Empty;
    }

    /// Notes the moment of its end, if the caller knows it already.
    pub fn end_at(&mut self, moment: Instant) {
        if let Some(record) = &mut self.record {
            record.facts.ended = Some(moment);
        }
    }

    /// Notes why the client will not have the body to its end.
    pub fn abandon(&mut self, reason: &'static str) {
        if let Some(record) = &mut self.record {
            record.facts.reason.get_or_insert(reason);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let frame = ready!(self.source.poll(cx));
        if let Some(frame) = &frame {
            let size = |frame: &Frame<Bytes>| frame.data_ref().map_or(0, Bytes::len) as u64;
            self.note(frame.as_ref().map(size));
        }
        match frame {
            Some(Err(error)) => {
                // When a body fails, hyper's HTTP/2 drops what it has not written. So it is given
                // the time to write first: the client then sees the head, and a body that breaks
                // off.
                self.source = Source::Empty;
                self.failed = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            frame => Poll::Ready(frame),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_ended() && self.failed.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty if self.failed.is_some() => SizeHint::default(),
            Source::Empty => SizeHint::with_exact(0),
            Source::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Server(body) => body.size_hint(),
            Source::Ahead(body) => body.size_hint(),
            Source::File(body) => body.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if !self.source.is_ended() {
            self.abandon("client_aborted");
        }
    }
}
