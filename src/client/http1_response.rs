//! One response on its way to an HTTP/1 client.
//!
//! Owns: sending as many bytes as were announced, and the time that a client may take nothing. May
//! touch: [`crate::clock`], [`crate::http1`], [`crate::message`], [`crate::proxy`]. Called by
//! [`super::http1`].

use super::{
    alarm::Alarm,
    http1_socket::{Gone, Http1Socket},
    settings::Waits,
};
use crate::{
    clock::Clock,
    http1::{
        outgoing::{Outgoing, Part},
        request_body::Giver,
        response_head::{self, ResponseForm, ResponseFraming},
        socket::Socket as _,
    },
    message::{answer::Answer, body::Want},
    proxy::delivery::Delivery,
};
use std::{
    io,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// A response on its way.
pub struct Responding {
    body: Delivery,
    /// Bytes still to come, if the length was announced.
    left: Option<u64>,
    /// Only the connection's end tells the client that all has come.
    ends_by_close: bool,
    trailers: bool,
    /// The body broke off: what has come of it is sent, then the connection ends.
    broken: bool,
    /// Since when the client has taken nothing, and how much it had taken before.
    stalled: Option<(u64, u64)>,
}

impl Responding {
    /// Begins: the head is queued.
    pub fn begin(
        answer: Answer<Delivery>,
        (form, closes): (ResponseForm, bool),
        outgoing: &mut Outgoing,
        date: impl FnOnce() -> [u8; 29],
    ) -> Self {
        let Answer { status, fields, mut body, .. } = answer;
        let length = body.length().exact();
        let out = outgoing.begin();
        let framing = response_head::write(out, status, &fields, length, form, closes, date);
        let mut left = None;
        match framing {
            ResponseFraming::None => {
                body.discard();
                outgoing.end(None);
            }
            ResponseFraming::Length(0) => outgoing.end(None),
            ResponseFraming::Length(length) => left = Some(length),
            ResponseFraming::Chunked => outgoing.set_chunked(),
            ResponseFraming::Close => {}
        }
        let ends_by_close = matches!(framing, ResponseFraming::Close);
        let trailers = form.trailers;
        Self { body, left, ends_by_close, trailers, broken: false, stalled: None }
    }

    /// Notes the moment of its end.
    pub fn end_at(&mut self, moment: Instant) {
        self.body.record.facts.ended = Some(moment);
    }

    /// Writes it. If the server answered early, the rest of the request is sent on meanwhile.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Http1Socket,
        mut giver: Option<&mut Giver>,
        waits: (&mut Alarm, Clock, &Waits),
    ) -> Poll<Result<(), Gone>> {
        loop {
            if !self.broken && socket.outgoing.wants_more() {
                self.pull(cx, socket);
            }
            let giving = giver.as_deref_mut().filter(|giver| !giver.is_done());
            if giving.is_some() && socket.poll_meanwhile(cx, giving).is_ready() {
                continue;
            }
            if socket.outgoing.is_empty() {
                if self.broken {
                    return Poll::Ready(Err(self.gone(socket)));
                }
                if socket.outgoing.is_done() {
                    return Poll::Ready(Ok(()));
                }
                return socket.poll_meanwhile(cx, giver);
            }
            match socket.poll_flush(cx) {
                Poll::Ready(Ok(())) => self.stalled = None,
                Poll::Ready(Err(error)) => {
                    // Only a file can end before its announced length.
                    let cut = error.kind() == io::ErrorKind::UnexpectedEof;
                    self.body.abandon(if cut { "file_error" } else { "client_aborted" });
                    return Poll::Ready(Err(self.gone(socket)));
                }
                Poll::Pending => {
                    self.body.take_ahead(cx, socket.outgoing.held());
                    // The server may have taken all of the request that it was given, and want
                    // more.
                    let giving = giver.as_deref_mut().filter(|giver| !giver.is_done());
                    if giving.is_some() && socket.poll_meanwhile(cx, giving).is_ready() {
                        continue;
                    }
                    return self.poll_stall(cx, socket, waits);
                }
            }
        }
    }

    /// Queues the next part of the body.
    fn pull(&mut self, cx: &mut Context<'_>, socket: &mut Http1Socket) {
        let want = Want { most: socket.part(), may_move: socket.stream.socket().is_some() };
        let Poll::Ready(part) = self.body.poll_part(cx, want) else { return };
        let outgoing = &mut socket.outgoing;
        match part {
            Some(Ok(part)) => {
                let size = part.size();
                self.broken = self.left.is_some_and(|left| left < size);
                if self.broken {
                    return;
                }
                self.left = self.left.map(|left| left - size);
                let dropped =
                    matches!(&part, Part::Frame(it) if it.is_trailers()) && !self.trailers;
                if !dropped {
                    outgoing.push(part);
                }
                if self.body.is_ended() {
                    self.end(outgoing);
                }
            }
            Some(Err(_)) => self.broken = true,
            None => self.end(outgoing),
        }
    }

    fn end(&mut self, outgoing: &mut Outgoing) {
        if self.left.is_some_and(|left| left > 0) {
            // RFC 9112 §8: only the connection's end tells the client.
            self.broken = true;
        } else {
            outgoing.end(None);
        }
    }

    /// Bytes that were taken from the body but never written to the client are not counted as sent.
    fn gone(&mut self, socket: &Http1Socket) -> Gone {
        if self.ends_by_close {
            // RFC 9112 §8: after a usual close it would look complete.
            socket.stream.reset_at_close();
        }
        self.body.unsent(socket.outgoing.unwritten());
        Gone
    }

    /// Ready when the client has taken nothing for too long.
    fn poll_stall(
        &mut self,
        cx: &mut Context<'_>,
        socket: &Http1Socket,
        (alarm, clock, waits): (&mut Alarm, Clock, &Waits),
    ) -> Poll<Result<(), Gone>> {
        let sent = socket.outgoing.sent;
        let (since, _) = match self.stalled {
            Some(stalled) if stalled.1 == sent => stalled,
            _ => {
                alarm.ring_within(Duration::from_millis(waits.send));
                *self.stalled.insert((clock.now(), sent))
            }
        };
        loop {
            ready!(alarm.poll(cx));
            let now = clock.now();
            let due = since + waits.send;
            if now >= due {
                self.body.abandon("send_timeout");
                return Poll::Ready(Err(self.gone(socket)));
            }
            alarm.ring_in(Duration::from_millis(due - now));
        }
    }
}
