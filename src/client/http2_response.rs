//! A response by HTTP/2 on its way to the client.
//!
//! Owns: giving h2 as much of it as the client has room for. May touch: [`crate::http1`],
//! [`crate::message`], [`crate::proxy`]. Called by [`super::http2_stream`].

use super::{
    activity::Activity,
    http2_given::{Given, Unsent},
    http2_tunnel::agree,
    service::Service,
};
use crate::{
    http1::{buffers::LARGE, outgoing::Part, request::Head, response_head::is_bodiless},
    message::{
        answer::Answer,
        body::{BodyError, Want},
    },
    proxy::delivery::Delivery,
};
use bytes::Bytes;
use h2::{SendStream, server::SendResponse};
use http::{HeaderValue, Method, Response, Version, header};
use std::{
    mem::take,
    task::{Context, Poll, Waker, ready},
};

/// h2 reports no more room than this.
pub const ROOM: usize = LARGE;

/// A part up to this size is copied out of the block that it was read into.
const COPIED: usize = 4 * 1024;

/// At least this much is read at a time, even if a client has less room.
const LEAST: usize = 4 * 1024;

/// A body up to this size may be in memory as a whole. Then its end is sent together with it.
const WHOLE: u64 = 64 * 1024;

/// For every so many bytes that a client has taken of a stream, it may wait as long again for more.
const MUCH: u64 = 1024 * 1024;

/// How a response ended.
pub enum Sent {
    /// All of it is on its way.
    Whole,
    /// The client does not want it any more.
    Gone,
    /// Its body broke off.
    Broken,
}

/// What its request asked for.
#[derive(Clone, Copy)]
pub struct Question {
    head_only: bool,
    /// Whether it asked for a tunnel, by an extended CONNECT.
    tunnel: bool,
}

impl Question {
    /// What a request with this head asks for.
    pub fn by(head: &Head) -> Self {
        Self { head_only: head.method == Method::HEAD, tunnel: head.protocols.is_some() }
    }
}

/// A response on its way.
pub struct Answering {
    stream: SendStream<Given>,
    body: Delivery,
    /// The rest of the part that was taken last, for which there was no room.
    left: Bytes,
    /// What h2 holds of it.
    unsent: Unsent,
    /// Bytes that h2 has been given.
    given: u64,
    /// Whether it has been given the end.
    said: bool,
    waiting: Option<StalledClient>,
}

/// Its client takes nothing.
struct StalledClient {
    /// In the clock's milliseconds, and what h2 held then.
    since: u64,
    held: usize,
    waker: Waker,
}

impl Answering {
    /// Sends the head; `None` if that is all.
    pub fn begin(
        mut answer: Answer<Delivery>,
        respond: &mut SendResponse<Given>,
        asked: Question,
        service: &Service,
    ) -> Option<Self> {
        if asked.tunnel {
            agree(&mut answer);
        }
        let Answer { status, mut fields, mut body, .. } = answer;
        let bodiless = is_bodiless(asked.head_only, status);
        let headers = fields.map();
        match body.length().exact() {
            _ if bodiless => {}
            Some(length) => drop(headers.insert(header::CONTENT_LENGTH, length.into())),
            None => drop(headers.remove(header::CONTENT_LENGTH)),
        }
        if !headers.contains_key(header::DATE)
            && let Ok(date) = HeaderValue::from_bytes(&service.proxy().date())
        {
            // RFC 9110 §6.6.1: an origin server with a clock sends `Date`.
            headers.insert(header::DATE, date);
        }
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.version_mut() = Version::HTTP_2;
        *response.headers_mut() = take(headers);
        if bodiless {
            body.discard();
        }
        let ends = body.is_ended();
        match respond.send_response(response, ends) {
            Ok(stream) if !ends => Some(Self {
                stream,
                body,
                left: Bytes::new(),
                unsent: Unsent::default(),
                given: 0,
                said: false,
                waiting: None,
            }),
            Ok(_) => None,
            Err(error) => {
                // The client is gone, or there is a field that HTTP/2 does not know.
                tracing::debug!(%error, "a response could not be sent");
                respond.send_reset(h2::Reason::INTERNAL_ERROR);
                None
            }
        }
    }

    /// Sends as much of the body as the client has room for.
    pub fn poll(&mut self, cx: &mut Context<'_>, activity: &Activity) -> Poll<Sent> {
        while !self.said {
            let part = activity.part();
            let Poll::Ready(room) = self.poll_room(cx, part) else {
                return self.poll_end(cx, activity);
            };
            let Some(room) = room else { return Poll::Ready(Sent::Gone) };
            self.waiting = None;
            if self.left.is_empty() {
                let want = Want { most: room.min(part).max(LEAST), may_move: false };
                let Poll::Ready(part) = self.body.poll_part(cx, want) else {
                    // Other streams may need the room meanwhile.
                    self.stream.reserve_capacity(0);
                    return self.poll_gone(cx);
                };
                if let Some(end) = self.take(part) {
                    return Poll::Ready(end);
                }
            }
            // More than there is room for would wait within h2, which forgets to send it when
            // another stream gives room back.
            let data = self.left.split_to(self.left.len().min(room));
            if data.is_empty() {
                continue;
            }
            let last = self.left.is_empty() && self.body.is_ended();
            if !self.give(data, last) {
                return Poll::Ready(Sent::Gone);
            }
        }
        self.poll_rest(cx)
    }

    /// Used while there is no room: takes more of the body ahead, and sends the end, which needs no
    /// room.
    fn poll_end(&mut self, cx: &mut Context<'_>, activity: &Activity) -> Poll<Sent> {
        self.body.take_ahead(cx, self.left.len() + self.unsent.bytes());
        if self.left.is_empty()
            && let Poll::Ready(part) = self.body.poll_end(cx)
        {
            return match self.take(part) {
                Some(end) => Poll::Ready(end),
                None => self.poll_rest(cx),
            };
        }
        self.wait(cx, activity);
        Poll::Pending
    }

    /// Takes what the body has given. Returns how the response has ended, if it has.
    fn take(&mut self, part: Option<Result<Part, BodyError>>) -> Option<Sent> {
        let frame = match part {
            None => return (!self.give(Bytes::new(), true)).then_some(Sent::Gone),
            Some(Ok(Part::Frame(frame))) => frame,
            // Nobody has asked for bytes that the kernel moves.
            Some(Ok(Part::Moved(_)) | Err(_)) => return Some(Sent::Broken),
        };
        match frame.into_data() {
            Ok(data) => {
                // h2 may hold the part for long, and a small part may be a slice of a large block.
                let small = data.len() <= COPIED;
                self.left = if small { Bytes::copy_from_slice(&data) } else { data };
                None
            }
            Err(frame) => {
                self.said = true;
                let trailers = frame.into_trailers().unwrap_or_default();
                self.stream.send_trailers(trailers).is_err().then_some(Sent::Gone)
            }
        }
    }

    /// Gives h2 some bytes, and with the `last` ones the end. False if the client no longer wants
    /// them.
    fn give(&mut self, data: Bytes, last: bool) -> bool {
        self.given += data.len() as u64;
        self.said |= last;
        let data = if last { Given::last(data) } else { Given::counted(data, &self.unsent) };
        self.stream.send_data(data, last).is_ok()
    }

    /// The client has been told the end. In a tunnel it may still send.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Sent> {
        self.waiting = None;
        match self.body.poll_rest(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Sent::Whole),
            Poll::Ready(Err(_)) => Poll::Ready(Sent::Broken),
            Poll::Pending => self.poll_gone(cx),
        }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Sent> {
        // Ready also if h2 has forgotten the stream.
        self.stream.poll_reset(cx).map(|_| Sent::Gone)
    }

    /// Room for the next part of `part` bytes, or for a whole body that is somewhat larger; `None`
    /// if the client has given it up. h2 holds one part at a time.
    fn poll_room(&mut self, cx: &mut Context<'_>, part: usize) -> Poll<Option<usize>> {
        // If the client gives it up, h2 drops what it holds.
        ready!(self.unsent.poll_sent(cx));
        let more = match self.body.length().exact() {
            Some(whole @ ..=WHOLE) => whole as usize,
            _ => 0,
        };
        self.stream.reserve_capacity(part.max(self.left.len()).max(more));
        loop {
            match self.stream.capacity() {
                0 => {}
                room => return Poll::Ready(Some(room)),
            }
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
    }

    /// Starts to wait for the client to take something, if there is anything to take: a tunnel may
    /// be idle.
    fn wait(&mut self, cx: &Context<'_>, activity: &Activity) {
        let held = self.unsent.bytes();
        let has_none = held == 0 && self.left.is_empty() && self.body.piled() == 0;
        if has_none && self.body.length().exact().is_none() {
            self.waiting = None;
            return;
        }
        let (now, waker) = (activity.clock.now(), cx.waker());
        let waiting = || StalledClient { since: now, held, waker: waker.clone() };
        self.waiting.get_or_insert_with(waiting).waker.clone_from(waker);
    }

    /// Whether it waits for its client to take something.
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Notes why the client will not get the whole response. Returns the waker of the task that
    /// waits, which has to be woken.
    pub fn abandon(&mut self, reason: &'static str) -> Option<Waker> {
        self.body.abandon(reason);
        self.waiting.take().map(|it| it.waker)
    }

    /// Whether the client has taken nothing for `patience` milliseconds. A client that has already
    /// taken much may wait longer: some clients with a large window report only when half of it is
    /// free.
    pub fn is_stalled(&mut self, now: u64, patience: u64) -> bool {
        let held = self.unsent.bytes();
        let Some(waiting) = &mut self.waiting else { return false };
        if held != waiting.held {
            (waiting.since, waiting.held) = (now, held);
        }
        let taken = self.given - held as u64;
        now >= waiting.since + patience.saturating_mul((taken / MUCH).max(1))
    }

    /// Notes how far it came.
    pub fn end(mut self) -> SendStream<Given> {
        if !self.left.is_empty() {
            self.body.abandon("client_aborted");
        }
        if !self.said {
            self.body.unsent((self.left.len() + self.unsent.bytes()) as u64);
        }
        self.stream
    }
}
