//! An answer's body on its way to the client, with the request's record.
//!
//! Owns: what a slow client has not taken yet, counting bytes, and the [`Record`] until the body's
//! end. May touch: [`crate::http1`], [`crate::message`]. The client's connection pulls it.

use super::record::Record;
use crate::{
    http1::{buffers::SMALL, outgoing::Part},
    message::{
        body::{Body, BodyError, Length, Polled, Want},
        pile::{compact, join},
    },
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    task::{Context, Poll, ready},
    time::Instant,
};

/// What a waiting response takes beside its bytes: its request, TLS records, the allocator's
/// rounding.
const COST: usize = 8 * 1024;

/// A part, or why there is none.
type Taken = Result<Part, BodyError>;

/// An answer's body on its way.
pub struct Delivery {
    body: Body,
    /// Taken off the body ahead of the client.
    pile: VecDeque<Taken>,
    piled: usize,
    /// How many bytes may be taken ahead.
    ahead: usize,
    /// The request, which ends with its answer's body.
    pub record: Box<Record>,
}

impl Delivery {
    /// A delivery of `body`, of which `ahead` bytes may be taken before the client takes them.
    pub fn new(body: Body, ahead: usize, record: Box<Record>) -> Self {
        Self { body, pile: VecDeque::new(), piled: 0, ahead, record }
    }

    /// The next part.
    pub fn poll_part(&mut self, cx: &mut Context<'_>, want: Want) -> Polled {
        let part = if let Some(part) = self.pile.pop_front() {
            self.piled -= part.as_ref().map_or(0, |part| part.size() as usize);
            Some(part)
        } else {
            let part = ready!(self.body.poll_part(cx, want));
            self.note_end();
            part
        };
        match &part {
            Some(Ok(part)) => self.record.facts.sent += part.size(),
            Some(Err(error)) => self.failed(error),
            None => {}
        }
        Poll::Ready(part)
    }

    /// The end, trailers or an error, if nothing else is before them: they take no room. Ask after
    /// [`Delivery::take_ahead`].
    pub fn poll_end(&mut self, cx: &mut Context<'_>) -> Polled {
        match self.pile.front() {
            Some(Ok(Part::Frame(frame))) if frame.is_data() => Poll::Pending,
            None if !self.body.is_ended() => Poll::Pending,
            _ => self.poll_part(cx, Want { most: 0, may_move: false }),
        }
    }

    /// After the end: ready once the other direction has ended, too.
    pub fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let ended = ready!(self.body.poll_rest(cx));
        if let Err(error) = &ended {
            self.failed(error);
        }
        Poll::Ready(ended)
    }

    /// Notes when the server's body has ended. Nobody pays for a look at the clock who does not want
    /// to know.
    fn note_end(&mut self) {
        if self.record.facts.timed && self.body.is_ended() {
            self.record.facts.body_ended.get_or_insert_with(Instant::now);
        }
    }

    fn failed(&mut self, error: &BodyError) {
        tracing::debug!(%error, "a response ended early");
        self.record.body_failed(error);
        self.body = Body::Empty;
    }

    /// Called while the client takes nothing and `held` bytes wait for it already. Takes more of a
    /// body that fits, so that a slow client holds memory instead of a server's connection.
    pub fn take_ahead(&mut self, cx: &mut Context<'_>, held: usize) {
        while !self.body.is_ended() {
            let length = self.body.length().exact();
            let fits = length.is_none_or(|left| left + self.piled as u64 <= self.ahead as u64);
            // Even without room, bytes that were already read are taken out of their block.
            let mut room = self.ahead.saturating_sub(held + self.piled);
            if length.is_none() && held > 0 {
                room = room.saturating_sub(COST);
            } else if length.is_none() && self.piled == 0 {
                // To learn whether the body has ended, one more byte must be asked for.
                room = room.max(1);
            }
            // A larger part would be copied into a block with more room than it needs.
            let want = Want { most: if fits { room.min(SMALL) } else { 0 }, may_move: false };
            let Poll::Ready(Some(part)) = self.body.poll_part(cx, want) else { return };
            self.note_end();
            if let Ok(part) = &part {
                self.piled += part.size() as usize;
            }
            let failed = part.is_err();
            hold(&mut self.pile, part);
            if failed {
                self.body = Body::Empty;
            }
        }
        // A tunnel continues in the other direction.
        if let Poll::Ready(Err(error)) = self.body.poll_rest(cx) {
            hold(&mut self.pile, Err(error));
            self.body = Body::Empty;
        }
    }

    /// How many bytes were taken ahead.
    pub fn piled(&self) -> usize {
        self.piled
    }

    /// What is still to come.
    pub fn length(&self) -> Length {
        match (self.piled as u64, self.body.length()) {
            // Trailers, or an error.
            (0, Length::None) if !self.pile.is_empty() => Length::Unknown,
            (0, length) => length,
            (piled, length) => {
                length.exact().map_or(Length::Unknown, |it| Length::Exact(piled + it))
            }
        }
    }

    /// Whether nothing more is to come.
    pub fn is_ended(&self) -> bool {
        self.pile.is_empty() && self.body.is_ended()
    }

    /// Drops a body that the client must not get, for example after HEAD.
    pub fn discard(&mut self) {
        (self.body, self.piled) = (Body::Empty, 0);
        self.pile.clear();
    }

    /// Replaces the body by one of our own.
    pub fn replace(&mut self, body: Bytes) {
        self.discard();
        self.body = body.into();
    }

    /// Notes that so many bytes of what was handed out were not sent.
    pub fn unsent(&mut self, bytes: u64) {
        let sent = &mut self.record.facts.sent;
        *sent = sent.saturating_sub(bytes);
    }

    /// Notes why the client will not get the whole body.
    pub fn abandon(&mut self, reason: &'static str) {
        self.record.facts.reason.get_or_insert(reason);
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.is_ended() {
            self.abandon("client_aborted");
        }
    }
}

/// Queues a part for a client that takes nothing now.
fn hold(queue: &mut VecDeque<Taken>, mut part: Taken) {
    if let Ok(Part::Frame(frame)) = &mut part
        && let Some(data) = frame.data_mut()
    {
        let last = match queue.back_mut() {
            Some(Ok(Part::Frame(last))) => last.data_mut(),
            _ => None,
        };
        let held: Option<Bytes> = match last {
            Some(last) => join(last, std::mem::take(data)),
            None => Some(compact(std::mem::take(data))),
        };
        let Some(held) = held else { return };
        *data = held;
    }
    queue.push_back(part);
}
