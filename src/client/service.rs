//! What a connection's requests have in common, and how each is answered.
//!
//! Owns: the count of a connection's requests, and whether it is to end after the next answer. May
//! touch: [`crate::proxy`], [`super::activity`].

use super::{
    activity::Activity,
    listener::{Listener, Open},
};
use crate::{
    http1::{
        outgoing::Part,
        request::{Head, is_padded},
        response_head::is_bodiless,
    },
    message::{
        answer::Answer,
        body::{Body, BodyError, Length, Polled, Source, Want},
        context::Peer,
    },
    observe::metrics::Metrics,
    proxy::{Arrival, Proxy, begin, delivery::Delivery, handle, record::Record, refusal::Refusal},
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::{Body as _, Frame, SizeHint};
use std::{
    convert::Infallible,
    io,
    mem::take,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// What is handed out at once, at most: nothing less is told of what an HTTP/2 client takes.
const HANDED: usize = 64 * 1024;

/// One connection's requests.
pub struct Service {
    proxy: Arc<Proxy>,
    open: Open,
    peer: Arc<Peer>,
    limit: u64,
    closing: AtomicBool,
}

impl Service {
    /// For one connection, which carries `limit` requests (0 = any number).
    pub fn new(proxy: Arc<Proxy>, open: Open, peer: Peer, limit: u64) -> Self {
        Self { proxy, open, peer: Arc::new(peer), limit, closing: AtomicBool::new(false) }
    }

    /// Lets the next answer end the connection.
    pub fn close(&self) {
        self.closing.store(true, Relaxed);
    }

    /// Whether the next answer ends the connection.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Relaxed)
    }

    /// The listener.
    pub fn listener(&self) -> &Arc<Listener> {
        self.open.listener()
    }

    /// The client's address.
    pub fn client(&self) -> IpAddr {
        self.peer.ip
    }

    /// The client's connection.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Whether the connection is TLS.
    pub fn is_tls(&self) -> bool {
        self.peer.is_tls()
    }

    /// Every counter.
    pub fn metrics(&self) -> &Metrics {
        &self.proxy.live.metrics
    }

    /// Records a request without a usable head, which was waited for, and returns the answer to it.
    pub fn refuse_unread(
        &self,
        version: Version,
        (status, reason): (StatusCode, &'static str),
        waited: Duration,
    ) -> Answer<Bytes> {
        self.metrics().reject(reason);
        let (mut head, ()) = Request::new(()).into_parts();
        // As in nginx's log: the method and target are not known.
        head.method = Method::from_bytes(b"-").unwrap_or_default();
        head.version = version;
        head.uri = Uri::from_static("*");
        let head = Head::from(head);
        let mut record = begin(&self.proxy, &self.arrival(0, false), head);
        let context = &mut record.facts.context;
        context.started = context.started.checked_sub(waited).unwrap_or(context.started);
        record.facts.status = Some(status);
        record.facts.reason = Some(reason);
        Refusal::new(status, reason).answer(record.facts.context.id.as_str())
    }

    /// The worker's part.
    pub fn proxy(&self) -> &Arc<Proxy> {
        &self.proxy
    }

    /// Begins the `count`th request of the connection, which may be its last.
    pub fn begin(&self, count: u64, framed_twice: bool, head: Head) -> Box<Record> {
        if count == self.limit {
            self.close();
        }
        begin(&self.proxy, &self.arrival(count, framed_twice), head)
    }

    fn arrival(&self, count: u64, framed_twice: bool) -> Arrival<'_> {
        let listener = self.open.listener();
        Arrival {
            peer: &self.peer,
            listener: listener.id,
            number: count as u32,
            framed_twice,
            last: &listener.last,
        }
    }

    /// Answers an HTTP/2 request; errors are answers, too.
    pub async fn answer(
        self: Arc<Self>,
        activity: Arc<Activity>,
        request: Request<hyper::body::Incoming>,
    ) -> Result<Response<ConnectionBody>, Infallible> {
        let count = activity.begin();
        let (head, body) = request.into_parts();
        let head_only = head.method == Method::HEAD;
        let record = self.begin(count, false, head.into());
        let in_flight = InFlight { activity, begun: record.facts.context.started, answered: false };
        let body = if body.is_end_stream() { Body::Empty } else { Body::stream(Received(body)) };
        let mut answer = handle(record, body).await;
        if is_bodiless(head_only, answer.status) {
            // hyper sends the body that it is given, but DATA in an answer to HEAD breaks the
            // stream.
            answer.body.discard();
        }
        let with_body = |body| {
            in_flight.activity.tell(Some(0));
            ConnectionBody { body, left: Bytes::new(), failed: None, in_flight }
        };
        Ok(answer.map(with_body).into_http2())
    }
}

/// Counts a request while it lives.
struct InFlight {
    activity: Arc<Activity>,
    begun: Instant,
    /// Whether it came to an end by itself.
    answered: bool,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.activity.end(self.answered, self.begun);
    }
}

/// An HTTP/2 response's body, which ends its request for the connection when it ends.
pub struct ConnectionBody {
    body: Delivery,
    /// Of the part that is being handed out.
    left: Bytes,
    /// Why the body broke off, until hyper has written what came before.
    failed: Option<BodyError>,
    in_flight: InFlight,
}

impl Drop for ConnectionBody {
    fn drop(&mut self) {
        self.in_flight.answered |= self.is_end_stream();
        let left = self.left.len() as u64;
        self.body.unsent(left);
        if self.in_flight.activity.stalled.load(Relaxed) {
            self.body.abandon("send_timeout");
        }
    }
}

impl http_body::Body for ConnectionBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { body, left, failed, in_flight } = &mut *self;
        let part = in_flight.activity.part();
        let mut polled = if let Some(error) = failed.take() {
            Poll::Ready(Some(Err(error)))
        } else if left.is_empty() {
            match ready!(body.poll_part(cx, Want { most: part, may_move: false })) {
                // When a body fails, hyper's HTTP/2 drops what it has not written. So it is given
                // the time to write first: the client then sees the head, and a body that breaks
                // off.
                Some(Err(error)) => {
                    *failed = Some(error);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Ok(Part::Frame(frame))) => Poll::Ready(Some(Ok(frame))),
                Some(Ok(Part::Moved(_))) | None => Poll::Ready(None),
            }
        } else {
            Poll::Ready(Some(Ok(Frame::data(take(left)))))
        };
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(data) = frame.data_mut()
            && data.len() > part.min(HANDED)
        {
            *left = data.split_off(part.min(HANDED));
        }
        in_flight.answered |= matches!(polled, Poll::Ready(None | Some(Err(_))));
        in_flight.activity.tell(match &polled {
            Poll::Ready(Some(Ok(frame))) => Some(frame.data_ref().map_or(0, Bytes::len)),
            _ => None,
        });
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.failed.is_none() && self.body.is_ended()
    }

    fn size_hint(&self) -> SizeHint {
        match self.body.length().exact() {
            Some(_) if self.failed.is_some() => SizeHint::default(),
            Some(length) => SizeHint::with_exact(length + self.left.len() as u64),
            None => SizeHint::default(),
        }
    }
}

/// A request's body by HTTP/2.
struct Received(hyper::body::Incoming);

impl Source for Received {
    fn poll_part(&mut self, cx: &mut Context<'_>, _: Want) -> Polled {
        let is_padded = |value: &HeaderValue| is_padded(value.as_bytes());
        let failed = |error| Poll::Ready(Some(Err(BodyError::Client(error))));
        match ready!(Pin::new(&mut self.0).poll_frame(cx)) {
            // hyper takes a reset without an error for an end, and so would the server.
            None if !self.0.is_end_stream() => failed(io::ErrorKind::UnexpectedEof.into()),
            None => Poll::Ready(None),
            // RFC 9113 §8.2.1.
            Some(Ok(frame))
                if frame.trailers_ref().is_some_and(|it| it.values().any(is_padded)) =>
            {
                failed(io::ErrorKind::InvalidData.into())
            }
            Some(Ok(frame)) => Poll::Ready(Some(Ok(Part::Frame(frame)))),
            Some(Err(error)) => failed(io::Error::other(error)),
        }
    }

    fn length(&self) -> Length {
        if self.0.is_end_stream() {
            return Length::None;
        }
        self.0.size_hint().exact().map_or(Length::Unknown, Length::Exact)
    }
}
