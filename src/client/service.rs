//! What a connection's requests have in common, and how each is answered.
//!
//! Owns: the count of a connection's requests, and whether it is to end after the next answer. May
//! touch: [`crate::proxy`], [`super::activity`].

use super::{
    activity::Activity,
    listener::{Listener, Open},
};
use crate::{
    http1::{request::Head, response_head::is_bodiless},
    message::{
        answer::Answer,
        body::{BodyError, Incoming},
        context::Peer,
    },
    observe::metrics::Metrics,
    proxy::{
        Arrival, Proxy, begin, handle, record::Record, refusal::Refusal,
        response_body::ResponseBody,
    },
};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use std::{
    convert::Infallible,
    mem::take,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
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
        self.peer.tls
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
        let mut record = begin(&self.proxy, &self.arrival(false), head);
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
        begin(&self.proxy, &self.arrival(framed_twice), head)
    }

    fn arrival(&self, framed_twice: bool) -> Arrival<'_> {
        let listener = self.open.listener();
        Arrival { peer: &self.peer, listener: listener.id, framed_twice, last: &listener.last }
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
        let mut answer = handle(record, Incoming::Http2(body)).await;
        if is_bodiless(head_only, answer.status) {
            // hyper sends the body that it is given, but DATA in an answer to HEAD breaks the
            // stream.
            answer.body.discard();
        }
        let with_body = |body| {
            in_flight.activity.tell(Some(0));
            ConnectionBody { body, left: Bytes::new(), in_flight }
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
    body: ResponseBody,
    /// Of the part that is being handed out.
    left: Bytes,
    in_flight: InFlight,
}

impl Drop for ConnectionBody {
    fn drop(&mut self) {
        self.in_flight.answered |= self.is_end_stream();
        self.body.take_back(self.left.len() as u64);
        if self.in_flight.activity.stalled.load(Relaxed) {
            self.body.abandon("send_timeout");
        }
    }
}

impl Body for ConnectionBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { body, left, in_flight } = &mut *self;
        let part = in_flight.activity.part();
        let mut polled = if left.is_empty() {
            body.read_at_most(part);
            Pin::new(body).poll_frame(cx)
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
        self.left.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (body, left) = (self.body.size_hint(), self.left.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + left);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + left);
        }
        hint
    }
}
