//! The one body: what flows from a client to a server and back, from any source.
//!
//! Owns: the kinds of bodies, how they are pulled, and what can go wrong with them. May touch:
//! [`crate::http1`]. A [`Source`] makes one, its taker pulls it part by part.

use crate::http1::{outgoing::Part, request_body};
use bytes::Bytes;
use http_body::Frame;
use std::{
    fmt,
    future::poll_fn,
    io,
    mem::take,
    task::{Context, Poll, ready},
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
    /// The server broke the rules of HTTP/2.
    BadFrame,
    /// The server's content coding is broken.
    BadCoding,
    /// The server's connection broke.
    Reset(io::Error),
    /// The client went away or broke its framing.
    Client(io::Error),
    /// The client's body is larger than the route allows.
    TooLarge,
    /// A file could not be read to its end.
    File(io::Error),
    /// Nothing passed a tunnel for too long.
    Idle,
}

impl BodyError {
    /// The word for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Truncated | Self::Reset(_) => "response_truncated",
            Self::ReadTimeout => "read_timeout",
            Self::BadChunk | Self::BadFrame | Self::BadCoding => "bad_response",
            // Its framing is wrong: the connection's reader reports this kind of error.
            Self::Client(error) if error.kind() == io::ErrorKind::InvalidData => "bad_request",
            Self::Client(_) => "client_aborted",
            Self::TooLarge => "body_too_large",
            Self::File(_) => "file_error",
            Self::Idle => "tunnel_idle",
        }
    }
}

/// An error in words. If TLS ends without `close_notify`, rustls adds the address of its manual,
/// which is left out here.
fn words(error: &io::Error) -> String {
    let mut text = error.to_string();
    if let Some(at) = text.find(": https://") {
        text.truncate(at);
    }
    text
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the server closed before the end of its response"),
            Self::ReadTimeout => f.write_str("the server stopped sending its response"),
            Self::BadChunk => f.write_str("the server broke the chunked framing"),
            Self::BadFrame => f.write_str("the server broke the rules of HTTP/2"),
            Self::BadCoding => f.write_str("the body could not be decoded or compressed"),
            Self::Reset(error) => write!(f, "the server's connection broke: {}", words(error)),
            Self::Client(error) => write!(f, "the client's body broke: {}", words(error)),
            Self::TooLarge => f.write_str("the client's body is too large"),
            Self::File(error) => write!(f, "the file could not be read: {error}"),
            Self::Idle => f.write_str("nothing passed the tunnel for `timeouts.tunnel`"),
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

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// There is none, or nothing more of it.
    None,
    /// This many bytes are still to come.
    Exact(u64),
    /// Known only at the end.
    Unknown,
}

impl Length {
    /// The number of bytes, if it is known.
    pub fn exact(self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::Exact(length) => Some(length),
            Self::Unknown => None,
        }
    }
}

/// What a body's taker can take now.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    /// No more bytes than this are read for the next part; a part that is in memory already may be
    /// larger. 0: the taker can take nothing now. Then it gets only what is in memory already. Work
    /// that must not wait for the taker goes on, such as sending the rest of a request.
    pub most: usize,
    /// The taker does not look at the bytes: the kernel may move them.
    pub may_move: bool,
}

impl Want {
    /// Whatever comes, in memory.
    pub const ALL: Self = Self { most: usize::MAX, may_move: false };
}

/// The next part, an error, or the end.
pub type Polled = Poll<Option<Result<Part, BodyError>>>;

/// What makes a body.
pub trait Source: Send + Sync {
    /// The next part. After an error or `None` there is nothing more. Dropping the source early
    /// tells the sender that the rest is not wanted.
    fn poll_part(&mut self, cx: &mut Context<'_>, want: Want) -> Polled;

    /// Collects up to `most` bytes that should go out in one piece with the head. Returns the body,
    /// if that is all of it.
    fn poll_gather(&mut self, _: &mut Context<'_>, _most: usize) -> Poll<Option<Bytes>> {
        Poll::Ready(None)
    }

    /// What is still to come.
    fn length(&self) -> Length;

    /// After the end of this body: ready once the other direction has ended, too. Only a tunnel has
    /// another direction.
    fn poll_rest(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        Poll::Ready(Ok(()))
    }
}

/// A body.
#[derive(Default)]
pub enum Body {
    /// Nothing, or nothing more.
    #[default]
    Empty,
    /// In memory.
    Full(Bytes),
    /// From a client, by HTTP/1.
    Http1(request_body::RequestBody),
    /// From any other source: another kind of connection, a file, or a wrapper around another body.
    Stream(Box<dyn Source>),
}

impl Body {
    /// A body from a source.
    pub fn stream(source: impl Source + 'static) -> Self {
        Self::Stream(Box::new(source))
    }

    /// The next part.
    pub fn poll_part(&mut self, cx: &mut Context<'_>, want: Want) -> Polled {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = take(bytes);
                *self = Self::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Part::Frame(Frame::data(bytes)))))
            }
            Self::Http1(body) => {
                let part = ready!(body.poll_part(cx, want.may_move));
                Poll::Ready(part.map(|it| it.map_err(BodyError::Client)))
            }
            Self::Stream(source) => source.poll_part(cx, want),
        }
    }

    /// Waits shortly for up to `most` bytes that should go out in one piece with the head.
    pub async fn gather(&mut self, most: usize) {
        poll_fn(|cx| self.poll_gather(cx, most)).await;
    }

    /// Ready once these bytes are in one piece, as far as they come.
    pub fn poll_gather(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<()> {
        if let Self::Stream(source) = self
            && let Some(whole) = ready!(source.poll_gather(cx, most))
        {
            *self = whole.into();
        }
        Poll::Ready(())
    }

    /// After the end: ready once the other direction has ended, too.
    pub fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        match self {
            Self::Stream(source) => source.poll_rest(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// What is still to come. For an HTTP/1 client's body it is the announced length.
    pub fn length(&self) -> Length {
        match self {
            Self::Empty => Length::None,
            Self::Full(bytes) if bytes.is_empty() => Length::None,
            Self::Full(bytes) => Length::Exact(bytes.len() as u64),
            Self::Http1(body) => body.length().map_or(Length::Unknown, Length::Exact),
            Self::Stream(source) => source.length(),
        }
    }

    /// Whether nothing more is to come.
    pub fn is_ended(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_ended(),
            body => body.length() == Length::None,
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Full(bytes) }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Body").field(&self.length()).finish()
    }
}

#[cfg(test)]
pub mod pulled {
    //! Any body for tests that use hyper.

    use super::*;
    use http_body::SizeHint;
    use std::pin::Pin;

    /// A body as hyper takes it.
    pub struct Pulled(pub Body);

    impl http_body::Body for Pulled {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            let want = Want { most: 16 * 1024, may_move: false };
            let part = ready!(self.0.poll_part(cx, want));
            Poll::Ready(part.map(|part| match part? {
                Part::Frame(frame) => Ok(frame),
                Part::Moved(_) => panic!("nobody asked for it"),
            }))
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_ended()
        }

        fn size_hint(&self) -> SizeHint {
            match self.0.length() {
                Length::Unknown => SizeHint::default(),
                length => SizeHint::with_exact(length.exact().unwrap_or_default()),
            }
        }
    }
}
