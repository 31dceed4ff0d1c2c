//! A request's body by HTTP/2.
//!
//! Owns: its body, and the client's window for it, which opens as the body is taken. May touch:
//! [`crate::http1`], [`crate::message`]. Used by [`super::http2_stream`].

use crate::{
    http1::{outgoing::Part, request::is_padded, request_head::decimal},
    message::body::{Body, BodyError, Length, Polled, Source, Want},
};
use futures_util::task::AtomicWaker;
use h2::{Reason, RecvStream};
use http::{HeaderMap, header};
use http_body::Frame;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, ready},
};

/// A client waits for `100 Continue` before it sends its body (RFC 9110 §10.1.1).
#[derive(Clone, Debug, Default)]
pub struct Expectation(Arc<ProtocolWanted>);

#[derive(Debug, Default)]
struct ProtocolWanted {
    is_wanted: AtomicBool,
    waiter: AtomicWaker,
}

impl Expectation {
    /// Ready when somebody wants the body.
    pub fn poll_wanted(&self, cx: &Context<'_>) -> Poll<()> {
        self.0.waiter.register(cx.waker());
        if self.0.is_wanted.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn fulfil(&self) {
        self.0.is_wanted.store(true, SeqCst);
        self.0.waiter.wake();
    }
}

/// The body of a request, or what its client sends by a tunnel.
#[derive(Debug)]
pub struct Received {
    stream: RecvStream,
    length: Length,
    /// Bytes of the part that was taken last. The client's window is opened for as many only when
    /// the next part is wanted. So no more than one window is held while nothing is taken.
    taken: usize,
    ended: bool,
    /// There until somebody wants the body.
    expectation: Option<Expectation>,
}

impl Received {
    /// The body that follows a head with these `fields`, and whether the client waits until it is
    /// wanted.
    pub fn after_head(stream: RecvStream, fields: &HeaderMap) -> (Body, Option<Expectation>) {
        if stream.is_end_stream() {
            return (Body::Empty, None);
        }
        // h2 has checked that it is a number.
        let length = fields.get(header::CONTENT_LENGTH).and_then(|it| decimal(it.as_bytes()));
        let length = length.map_or(Length::Unknown, Length::Exact);
        let expects = fields
            .get(header::EXPECT)
            .is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        let expectation = expects.then(Expectation::default);
        let waits = expectation.clone();
        (Body::stream(Self { stream, length, taken: 0, ended: false, expectation }), waits)
    }

    fn fail(&mut self, error: io::Error) -> BodyError {
        self.ended = true;
        BodyError::Client(error)
    }
}

impl Source for Received {
    fn poll_part(&mut self, cx: &mut Context<'_>, _: Want) -> Polled {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.taken > 0 {
            // It fails only if the stream is gone, which the next call tells.
            let _ = self.stream.flow_control().release_capacity(self.taken);
            self.taken = 0;
        }
        let data = self.stream.poll_data(cx);
        if let Some(expectation) = self.expectation.take()
            && data.is_pending()
        {
            expectation.fulfil();
        }
        if let Some(data) = ready!(data) {
            return Poll::Ready(Some(match data {
                Ok(data) => {
                    self.taken = data.len();
                    if let Length::Exact(left) = &mut self.length {
                        *left = left.saturating_sub(data.len() as u64);
                    }
                    Ok(Part::Frame(Frame::data(data)))
                }
                Err(error) => Err(self.fail(broken(&error))),
            }));
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(match trailers {
            Ok(None) => {
                self.ended = true;
                None
            }
            // RFC 9113 §8.2.1: no message may have such.
            Ok(Some(trailers)) if trailers.values().any(|it| is_padded(it.as_bytes())) => {
                Some(Err(self.fail(io::ErrorKind::InvalidData.into())))
            }
            Ok(Some(trailers)) => {
                self.ended = true;
                Some(Ok(Part::Frame(Frame::trailers(trailers))))
            }
            Err(error) => Some(Err(self.fail(broken(&error)))),
        })
    }

    fn length(&self) -> Length {
        if self.ended || self.stream.is_end_stream() { Length::None } else { self.length }
    }
}

/// Why there is no more: the client has broken the protocol, or has gone. A reset without an error
/// is not a proper end, either.
fn broken(error: &h2::Error) -> io::Error {
    let is_wrong = error.is_library() && error.reason() == Some(Reason::PROTOCOL_ERROR);
    let kind = if is_wrong { io::ErrorKind::InvalidData } else { io::ErrorKind::UnexpectedEof };
    io::Error::new(kind, error.to_string())
}
