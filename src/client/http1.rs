//! HTTP/1 with a client: heads in, answers out, one after the other (RFC 9112).
//!
//! Owns: the client's timeouts between requests, and the ways to end: politely while draining, with
//! 408, or at once. May touch: [`crate::http1`], [`crate::message`], [`crate::proxy`]. Every
//! request goes to [`crate::proxy::handle`]. Meanwhile the socket is read for the request's body,
//! or watched in case the client goes away. Next: [`super::http1_response`], or [`super::http2`] if
//! the client speaks HTTP/2.

use super::{
    alarm::Alarm,
    http1_answer::answer,
    http1_response::Responding,
    http1_socket::{Gone, Http1Socket},
    http1_tunnel,
    service::Service,
    settings::ConnectionSettings,
    stream::Stream,
};
use crate::{
    http1::{
        buffers,
        request_body::{self, hand_over},
        request_head::{self, HeadLimits, RequestFraming, RequestHead},
        response_head::{self, ResponseForm},
    },
    message::{answer::Answer, body::Body},
    proxy::record::Record,
};
use bytes::{Buf, Bytes};
use http::{StatusCode, Version};
use std::{
    future::poll_fn,
    mem::take,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// While draining, an idle connection stays open for this many milliseconds, because a request may
/// be on its way.
const LAST_CALL: u64 = 1000;

/// The first bytes of an HTTP/2 client, which no HTTP/1 request begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HowItEnds {
    /// The client went away, or nothing more can be sent to it.
    Gone,
    /// Everything has been sent.
    Said,
    /// Everything has been sent, but the client still sends and might not read it.
    Interrupting,
    /// The received bytes are no request.
    Refused(StatusCode, &'static str),
    /// It goes on in HTTP/2.
    Http2,
}

impl From<Gone> for HowItEnds {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// A request whose head has been read.
struct Request {
    record: Box<Record>,
    form: ResponseForm,
    /// Whether the connection ends after it, as its client wants.
    closes: bool,
    framing: RequestFraming,
    expects_continue: bool,
}

/// A connection and its state. Moments are in the clock's milliseconds.
pub struct Http1 {
    socket: Http1Socket,
    service: Service,
    settings: ConnectionSettings,
    alarm: Alarm,
    requests: u64,
    /// Since when it waits for a request.
    idle_since: u64,
    /// Since when a head is incomplete; 0 if there is none.
    head_since: u64,
    /// While draining, when it ends if it stays idle; else 0.
    last_call: u64,
    /// Whether the drain will wake this connection's task.
    heard: bool,
}

impl Http1 {
    /// On `stream`, on which nothing has been sent yet.
    pub fn new(stream: Stream, service: Service, settings: ConnectionSettings) -> Self {
        let (proxy, born) = (service.proxy(), Instant::now());
        Self {
            socket: Http1Socket::new(stream),
            settings,
            alarm: Alarm::new(born, first_ring(&settings)),
            requests: 0,
            idle_since: proxy.live.clock.at(born),
            head_since: 0,
            last_call: 0,
            heard: false,
            service,
        }
    }

    /// Answers a connection that can't be served here.
    pub async fn refuse(&mut self, status: StatusCode, reason: &'static str) {
        self.end(HowItEnds::Refused(status, reason)).await;
    }

    /// The stream, and the bytes read from it, to go on with another protocol.
    pub fn into_parts(self) -> (Stream, Bytes, Service) {
        (self.socket.stream, self.socket.unread, self.service)
    }

    /// Serves until one side ends it. Returns whether it must go on in HTTP/2.
    pub async fn serve(&mut self) -> bool {
        let listener = Arc::clone(self.service.listener());
        let mut drained = pin!(listener.drained());
        let end = loop {
            let request = match self.next_request(drained.as_mut()).await {
                Ok(request) => request,
                Err(end) => break end,
            };
            // Boxed, so that an idle connection is small, and so that a request uses the memory of
            // the one before, which is still in the cache.
            if let Err(end) = Box::pin(self.exchange(request)).await {
                break end;
            }
        };
        if end != HowItEnds::Gone && (end != HowItEnds::Said || self.service.is_tls()) {
            // Boxed: rare, and large. A plain socket is simply dropped.
            Box::pin(self.end(end)).await;
        }
        end == HowItEnds::Http2
    }

    async fn end(&mut self, end: HowItEnds) {
        let waited = if self.head_since == 0 { 0 } else { self.now() - self.head_since };
        let Self { socket, service, settings, .. } = self;
        match end {
            HowItEnds::Gone | HowItEnds::Http2 => {}
            HowItEnds::Said => socket.stream.close().await,
            HowItEnds::Interrupting => socket.stream.linger().await,
            HowItEnds::Refused(status, reason) => {
                let waited = Duration::from_millis(waited);
                let refused = (status, reason);
                let Answer { fields, body, .. } =
                    service.refuse_unread(Version::HTTP_11, refused, waited);
                let (out, length) = (socket.outgoing.begin(), Some(body.len() as u64));
                let date = || service.proxy().date();
                response_head::write(
                    out,
                    status,
                    &fields,
                    length,
                    ResponseForm::UNREAD,
                    true,
                    date,
                );
                out.extend_from_slice(&body);
                let wait = Duration::from_millis(settings.waits.send);
                let writing = poll_fn(|cx| socket.poll_flush(cx));
                if let Ok(Ok(())) = tokio::time::timeout(wait, writing).await {
                    socket.stream.linger().await;
                }
            }
        }
    }

    fn now(&self) -> u64 {
        self.service.proxy().live.clock.now()
    }

    fn is_draining(&self) -> bool {
        self.service.listener().is_draining()
    }

    /// Waits for a whole head.
    async fn next_request(
        &mut self,
        mut drained: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Request, HowItEnds> {
        // How many of the unread bytes have been searched without finding the end of a head.
        let mut seen = 0;
        // A second poll usually means that a request has arrived, so read before asking for
        // readiness.
        let mut listened = false;
        poll_fn(|cx| {
            loop {
                if let Some(request) = self.parse(&mut seen)? {
                    return Poll::Ready(Ok(request));
                }
                match self.socket.poll_fill(cx, take(&mut listened)) {
                    Poll::Ready(read) => read?,
                    Poll::Pending => break,
                }
            }
            buffers::settle(&mut self.socket.unread);
            listened = true;
            self.listen_for_drain(cx, drained.as_mut());
            loop {
                ready!(self.alarm.poll(cx));
                if let Some(end) = self.overdue() {
                    return Poll::Ready(Err(end));
                }
            }
        })
        .await
    }

    /// The next request, if its whole head has been read.
    fn parse(&mut self, seen: &mut usize) -> Result<Option<Request>, HowItEnds> {
        let unread = &mut self.socket.unread;
        // RFC 9112 §2.2: empty lines before a request are ignored.
        while let [b'\r', b'\n', ..] = unread[..] {
            unread.advance(2);
            (*seen, self.head_since) = (0, 0);
        }
        if unread.is_empty() {
            // Do not hold the block that the empty lines were read into while nothing follows them.
            *unread = Bytes::new();
            return Ok(None);
        }
        let limits = &self.settings.limits;
        let limits = HeadLimits { head: limits.request_head, fields: limits.headers };
        if may_be_whole(unread, *seen, limits.head) {
            *seen = unread.len();
            match request_head::parse(unread, limits) {
                Ok(None) => {}
                Ok(Some(head)) => {
                    self.head_since = 0;
                    return Ok(Some(self.begin(head)));
                }
                // With TLS the two sides have agreed on HTTP/1.1 (ALPN).
                Err(_) if self.requests == 0 && !self.service.is_tls() && is_http2(unread) => {
                    if unread.len() >= PREFACE.len() {
                        return Err(HowItEnds::Http2);
                    }
                }
                Err(bad) => {
                    let (status, reason) = bad.answer();
                    return Err(HowItEnds::Refused(status, reason));
                }
            }
        }
        if self.head_since == 0 {
            self.head_since = self.now();
            self.alarm.ring_within(Duration::from_millis(self.settings.waits.request_head));
        }
        Ok(None)
    }

    /// Once the listener drains, the next answer is the last one, and an idle client has little
    /// time left to ask.
    fn listen_for_drain(
        &mut self,
        cx: &mut Context<'_>,
        drained: Pin<&mut impl Future<Output = ()>>,
    ) {
        if self.last_call != 0 || self.heard && !self.is_draining() {
            return;
        }
        self.heard = true;
        if drained.poll(cx).is_ready() {
            self.service.close();
            self.last_call = self.now() + LAST_CALL;
            self.alarm.ring_in(Duration::from_millis(LAST_CALL));
        }
    }

    /// Which timeout is over, between requests. If none is, the alarm is set again.
    fn overdue(&mut self) -> Option<HowItEnds> {
        let (now, waits) = (self.now(), &self.settings.waits);
        if self.alarm.is_older_than(self.settings.age) {
            self.service.close();
        }
        let (due, end) = if self.head_since != 0 {
            let late = HowItEnds::Refused(StatusCode::REQUEST_TIMEOUT, "head_timeout");
            (self.head_since + waits.request_head, late)
        } else {
            let last_call = if self.last_call == 0 { u64::MAX } else { self.last_call };
            (last_call.min(self.idle_since + waits.idle), HowItEnds::Said)
        };
        if now >= due {
            return Some(end);
        }
        // It then rings once per idle time. A head that begins meanwhile sets it to an earlier
        // time.
        let wait = Duration::from_millis(due - now);
        let ages = self.alarm.ages_in(self.settings.age);
        self.alarm.ring_in(ages.map_or(wait, |ages| ages.min(wait)));
        None
    }

    fn begin(&mut self, head: RequestHead) -> Request {
        self.requests += 1;
        let form = ResponseForm::by(&head);
        let RequestHead { head, framing, keep_alive, expects_continue, .. } = head;
        let record = self.service.begin(self.requests, framing == RequestFraming::Both, head);
        Request { record, form, closes: !keep_alive, framing, expects_continue }
    }

    /// One request and its response.
    async fn exchange(&mut self, request: Request) -> Result<(), HowItEnds> {
        let Self { socket, service, settings, alarm, .. } = self;
        let proxy = service.proxy();
        let Request { record, form, closes, framing, expects_continue } = request;
        let length = if let RequestFraming::Length(length) = framing { Some(length) } else { None };
        let mut tunnel = None;
        let (mut giver, body) = if record.facts.context.head.protocols.is_some() {
            // What follows the head is read once the server has agreed to change protocols.
            let (giver, taken) = request_body::tunnel();
            // Boxed: tunnels are rare, and every request pays for the size of this future.
            tunnel = Some(Box::new(giver));
            (None, Body::Http1(taken))
        } else if framing == RequestFraming::None {
            (None, Body::Empty)
        } else {
            let (giver, taken) = hand_over(length, expects_continue, &mut socket.unread);
            (Some(giver), Body::Http1(taken))
        };
        let response = answer(socket, service, record, body, giver.as_mut()).await?;
        if socket.is_early() {
            // Boxed: rare, and large.
            Box::pin(socket.finish_early(Duration::from_millis(settings.waits.send))).await?;
        }
        if let (StatusCode::SWITCHING_PROTOCOLS, Some(giver)) = (response.status, tunnel) {
            // Boxed: rare, and it may live for long.
            Box::pin(http1_tunnel::pass(socket, response, *giver)).await;
            return Err(HowItEnds::Said);
        }
        // Whether the connection ends after this response. Decided here, and nowhere else: by the
        // client, by its limits, a reload or a stop, and by what answered.
        let mut closes = closes || service.is_closing() || service.listener().is_draining();
        closes |= response.close;
        // RFC 9112 §9.3: no persistent connection with an HTTP/1.0 client, because proxies of its
        // own may not understand it.
        closes |= form.http10;
        // A request's body that was not read ends the connection, unless all of it has arrived.
        closes |= giver
            .as_mut()
            .is_some_and(|it| !it.is_taken() && !it.skip_what_is_there(&mut socket.unread));
        let clock = proxy.live.clock;
        let outgoing = &mut socket.outgoing;
        let mut responding = Responding::begin(response, (form, closes), outgoing, || proxy.date());
        poll_fn(|cx| {
            let waits = (&mut *alarm, clock, &settings.waits);
            responding.poll(cx, socket, giver.as_mut(), waits)
        })
        .await?;
        let ended = Instant::now();
        responding.end_at(ended);
        drop(responding);
        socket.written();
        service.peer().set_part(socket.part());
        self.idle_since = clock.at(ended);
        let unread = &mut self.socket.unread;
        if giver.is_some_and(|mut giver| !giver.skip_what_is_there(unread)) {
            Err(HowItEnds::Interrupting)
        } else if !closes {
            Ok(())
        } else if unread.is_empty() {
            Err(HowItEnds::Said)
        } else {
            Err(HowItEnds::Interrupting)
        }
    }
}

/// When a connection's timeouts are first checked, if nothing comes.
fn first_ring(settings: &ConnectionSettings) -> Duration {
    let idle = Duration::from_millis(settings.waits.idle);
    if settings.age.is_zero() { idle } else { idle.min(settings.age) }
}

/// Whether these are the first bytes of an HTTP/2 client.
fn is_http2(unread: &[u8]) -> bool {
    let length = unread.len().min(PREFACE.len());
    unread[..length] == PREFACE[..length]
}

/// Whether to look for a head again after `seen` bytes without one. If a client sends byte by byte,
/// the whole head must not be parsed again for each of them.
fn may_be_whole(unread: &[u8], seen: usize, limit: usize) -> bool {
    if seen == 0 || unread.len() >= 2 * seen || unread.len() >= limit {
        return true;
    }
    let news = &unread[seen.saturating_sub(2)..];
    memchr::memchr_iter(b'\n', news)
        .any(|at| news[at + 1..].starts_with(b"\n") || news[at + 1..].starts_with(b"\r\n"))
}

#[cfg(test)]
mod tests {
    use super::may_be_whole;

    #[test]
    fn a_head_in_drops_is_read_again_only_at_its_end() {
        let head = b"GET / HTTP/1.1\r\nhost: a\r\nx: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n\r\n";
        let (mut seen, mut looks) = (0, Vec::new());
        for length in 1..=head.len() {
            if may_be_whole(&head[..length], seen, 1000) {
                seen = length;
                looks.push(length);
            }
        }
        assert_eq!(looks, [1, 2, 4, 8, 16, 32, 64, head.len()]);
        assert!(may_be_whole(b"a\nb\n\nrest", 4, 1000), "bare line ends");
        assert!(!may_be_whole(b"a\nb\nrest", 5, 1000));
        assert!(may_be_whole(b"a\nb\nrest", 7, 8), "the limit is reached");
    }
}
