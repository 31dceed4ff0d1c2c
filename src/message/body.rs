//! A request's body on its way to a server, and what can go wrong with bodies.
//!
//! Owns: counting, the size limit, and the copy that another try replays. May touch:
//! [`crate::http1`]. [`mod@crate::origin::exchange`] pulls it.

use super::{
    hop_by_hop::{EditedNames, end_to_end},
    pile::join,
};
use crate::http1::{outgoing::Part, request::is_padded, request_body};
use bytes::Bytes;
use http::HeaderValue;
use http_body::{Body as _, Frame};
use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

/// Why a body ended early.
#[derive(Debug)]
pub enum BodyError {
    /// The server closed before the announced end.
    Truncated,
    /// The server sent nothing for too long.
    ReadTimeout,
    /// The server's chunked framing is broken.
    BadChunk,
    /// The server's connection broke.
    Reset(io::Error),
    /// The client went away or broke its framing.
    Client(io::Error),
    /// The client's body is larger than the route allows.
    TooLarge,
    /// A file could not be read to its end.
    File(io::Error),
}

impl BodyError {
    /// The word for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Truncated | Self::Reset(_) => "response_truncated",
            Self::ReadTimeout => "read_timeout",
            Self::BadChunk => "bad_response",
            // Its framing, which the connection's reader calls so.
            Self::Client(error) if error.kind() == io::ErrorKind::InvalidData => "bad_request",
            Self::Client(_) => "client_aborted",
            Self::TooLarge => "body_too_large",
            Self::File(_) => "file_error",
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the server closed before the end of its response"),
            Self::ReadTimeout => f.write_str("the server stopped sending its response"),
            Self::BadChunk => f.write_str("the server broke the chunked framing"),
            Self::Reset(error) => write!(f, "the server's connection broke: {error}"),
            Self::Client(error) => write!(f, "the client's body broke: {error}"),
            Self::TooLarge => f.write_str("the client's body is too large"),
            Self::File(error) => write!(f, "the file could not be read: {error}"),
        }
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Reset(error) | Self::File(error) | Self::Client(error) => Some(error),
            _ => None,
        }
    }
}

/// How long a request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// There is none.
    None,
    /// This many bytes.
    Exact(u64),
    /// Told by its end.
    Unknown,
}

/// A body as it comes from the client.
#[derive(Debug, Default)]
pub enum Incoming {
    /// There is none.
    #[default]
    None,
    /// By HTTP/1.
    Http1(request_body::Body),
    /// By HTTP/2.
    Http2(hyper::body::Incoming),
}

impl Incoming {
    /// Its length as announced.
    pub fn length(&self) -> Length {
        let exact = |length: Option<u64>| length.map_or(Length::Unknown, Length::Exact);
        match self {
            Self::None => Length::None,
            Self::Http1(body) => exact(body.length()),
            Self::Http2(body) if body.is_end_stream() => Length::None,
            Self::Http2(body) => exact(body.size_hint().exact()),
        }
    }

    fn is_ended(&self) -> bool {
        match self {
            Self::None => true,
            Self::Http1(body) => body.is_ended(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    /// The next part. One that is `unseen` may be for the kernel to move.
    fn poll_part(&mut self, cx: &mut Context<'_>, unseen: bool) -> Poll<Option<io::Result<Part>>> {
        match self {
            Self::None => Poll::Ready(None),
            Self::Http1(body) => body.poll_part(cx, unseen),
            Self::Http2(body) => match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                // hyper takes a reset without an error for an end, and so would the server.
                None if !body.is_end_stream() => {
                    Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())))
                }
                Some(Ok(frame)) if has_padded_trailers(&frame) => {
                    Poll::Ready(Some(Err(io::ErrorKind::InvalidData.into())))
                }
                frame => Poll::Ready(frame.map(|it| it.map(Part::Frame).map_err(io::Error::other))),
            },
        }
    }
}

/// Whether they are such as no HTTP/2 message may have.
fn has_padded_trailers(frame: &Frame<Bytes>) -> bool {
    let is_padded = |value: &HeaderValue| is_padded(value.as_bytes());
    frame.trailers_ref().is_some_and(|trailers| trailers.values().any(is_padded))
}

/// A request's body, with the copy of its beginning that another try replays.
#[derive(Debug)]
pub struct RequestBody {
    incoming: Incoming,
    length: Length,
    /// Frames passed on so far, while they fit `keep_limit`.
    kept: Vec<Bytes>,
    keep_limit: u32,
    /// Set once something was passed on that is not kept.
    lost: bool,
    replay_at: u32,
    max: u64,
    ended: bool,
    received: Option<Arc<AtomicU64>>,
    /// How long its client was waited for, in all attempts together. In milliseconds, to save
    /// space: every request has this.
    waited: u32,
    edited: EditedNames,
}

impl RequestBody {
    /// `max` bytes are let through (0 = all), `keep_limit` bytes are kept for another try, and of the
    /// trailers those that are not `edited`.
    pub fn new(incoming: Incoming, max: u64, keep_limit: usize, edited: &EditedNames) -> Self {
        let length = incoming.length();
        Self {
            incoming,
            length,
            kept: Vec::new(),
            keep_limit: u32::try_from(keep_limit).unwrap_or(u32::MAX),
            lost: false,
            replay_at: 0,
            max: if max == 0 { u64::MAX } else { max },
            ended: length == Length::None,
            received: (length != Length::None).then(Arc::default),
            waited: 0,
            edited: edited.clone(),
        }
    }

    /// Its length as announced.
    pub fn length(&self) -> Length {
        self.length
    }

    /// Whether the announced length already breaks the limit.
    pub fn is_too_large(&self) -> bool {
        matches!(self.length, Length::Exact(length) if length > self.max)
    }

    /// Whether another try may lack what was passed on.
    pub fn outgrows_what_is_kept(&self) -> bool {
        match self.length {
            Length::None => false,
            Length::Exact(length) => length > self.keep_limit.into(),
            Length::Unknown => true,
        }
    }

    /// The count of bytes received from the client, which outlives the body.
    pub fn received(&self) -> Option<Arc<AtomicU64>> {
        self.received.clone()
    }

    /// Its client was waited for once more.
    pub fn waited_for(&mut self, time: Duration) {
        let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        self.waited = self.waited.saturating_add(millis);
    }

    /// How long its client was waited for.
    pub fn waited(&self) -> Duration {
        Duration::from_millis(self.waited.into())
    }

    /// How many bytes came from the client so far.
    pub fn received_bytes(&self) -> u64 {
        self.received.as_ref().map_or(0, |it| it.load(Ordering::Relaxed))
    }

    /// Whether [`RequestBody::rewind`] can bring back all that was passed on.
    pub fn can_replay(&self) -> bool {
        !self.lost
    }

    /// Whether everything has been passed on.
    pub fn is_ended(&self) -> bool {
        self.replay_at as usize >= self.kept.len() && (self.ended || self.incoming.is_ended())
    }

    /// Starts again from the first byte.
    pub fn rewind(&mut self) {
        self.replay_at = 0;
    }

    /// The next part: data, or trailers at the end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, BodyError>>> {
        if let Some(data) = self.kept.get(self.replay_at as usize) {
            self.replay_at += 1;
            return Poll::Ready(Some(Ok(Part::Frame(Frame::data(data.clone())))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        // What won't be kept for another try is looked at by nobody.
        let unseen = self.lost || self.length != Length::Unknown && self.outgrows_what_is_kept();
        match ready!(self.incoming.poll_part(cx, unseen)) {
            None => {
                self.ended = true;
                Poll::Ready(None)
            }
            Some(Err(error)) => Poll::Ready(Some(Err(BodyError::Client(error)))),
            Some(Ok(part)) => {
                self.count(part.size())?;
                let frame = match part {
                    Part::Frame(frame) => frame,
                    moved @ Part::Moved(_) => {
                        self.lose();
                        return Poll::Ready(Some(Ok(moved)));
                    }
                };
                if let Some(data) = frame.data_ref() {
                    self.keep(data);
                    return Poll::Ready(Some(Ok(Part::Frame(frame))));
                }
                // Trailers are not kept: a try after them is not worth a second copy.
                self.lost = true;
                let trailers = frame.into_trailers().unwrap_or_default();
                Poll::Ready(Some(Ok(Part::Frame(Frame::trailers(end_to_end(
                    trailers,
                    &self.edited,
                ))))))
            }
        }
    }

    fn count(&self, size: u64) -> Result<(), BodyError> {
        let Some(received) = &self.received else { return Ok(()) };
        let before = received.fetch_add(size, Ordering::Relaxed);
        if before + size > self.max { Err(BodyError::TooLarge) } else { Ok(()) }
    }

    fn keep(&mut self, data: &Bytes) {
        // Until something is lost, all that was received is kept.
        if !self.lost && self.received_bytes() <= self.keep_limit.into() {
            // The first is mostly the only one.
            let part = match self.kept.last_mut() {
                Some(last) => join(last, data.clone()),
                None => Some(data.clone()),
            };
            self.kept.extend(part);
            self.replay_at = self.kept.len() as u32;
        } else {
            self.lose();
        }
    }

    fn lose(&mut self) {
        self.lost = true;
        self.kept = Vec::new();
        self.replay_at = 0;
    }
}
