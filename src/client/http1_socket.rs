//! A client's socket that speaks HTTP/1, with the bytes that were read and those to be written.
//!
//! Owns: the two directions. May touch: [`crate::http1`], [`crate::message`]. [`super::http1`]
//! reads heads from it, [`super::http1_response`] writes responses to it.

use super::stream::Stream;
use crate::{
    http1::{
        buffers::{self, Parts, SMALL},
        outgoing::Outgoing,
        request_body::Giver,
        response_head,
        socket::{Socket as _, poll_write},
    },
    message::interim::Interim,
};
use bytes::Bytes;
use std::{
    future::{pending, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncWrite as _, Interest, Ready},
    time::{Instant, Sleep, sleep, timeout},
};

/// While a request is handled, this many bytes of the next requests are read. The kernel keeps the
/// rest.
const AHEAD: usize = 8 * 1024;

/// How often to check whether a client that has sent more than [`AHEAD`] is gone.
const LOOK: Duration = Duration::from_secs(1);

/// A client's socket.
pub struct Http1Socket {
    /// The socket alone.
    pub stream: Stream,
    /// Read and not yet used.
    pub unread: Bytes,
    /// Still to be written.
    pub outgoing: Outgoing,
    /// Interim responses, which go out before anything else.
    early: Vec<u8>,
    /// The timer for that check, once the client has sent more than [`AHEAD`].
    look: Option<Pin<Box<Sleep>>>,
    /// Bytes that the client took before the message that is under way.
    taken: u64,
}

/// The result of reading ahead.
pub enum Ahead {
    /// A part of the request's body was handed over.
    Given,
    /// As many bytes are waiting as are read ahead, so no more is read.
    Full,
}

/// The client went away.
#[derive(Debug, PartialEq, Eq)]
pub struct Gone;

impl Http1Socket {
    /// Nothing has been read or written yet.
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            unread: Bytes::new(),
            outgoing: Outgoing::default(),
            early: Vec::new(),
            look: None,
            taken: 0,
        }
    }

    /// Sends an interim response before anything else.
    pub fn say_early(&mut self, interim: &Interim) {
        response_head::write_interim(&mut self.early, interim.status, &interim.fields);
    }

    /// Whether interim responses wait to be sent.
    pub fn is_early(&self) -> bool {
        !self.early.is_empty()
    }

    /// Ready once all interim responses are on their way.
    pub fn poll_early(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        if self.early.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.early.is_empty() {
            match ready!(poll_write(cx, &mut self.stream, &self.early)) {
                Ok(written @ 1..) => drop(self.early.drain(..written)),
                Ok(0) | Err(_) => return Poll::Ready(Err(Gone)),
            }
            if self.early.is_empty() {
                self.early = Vec::new();
            }
        }
        if self.stream.socket().is_none() {
            // What TLS still holds.
            return Pin::new(&mut self.stream).poll_flush(cx).map_err(|_| Gone);
        }
        Poll::Ready(Ok(()))
    }

    /// How much of a body is taken at a time for this client.
    pub fn part(&self) -> usize {
        let parts = if self.stream.socket().is_some() { Parts::PLAIN } else { Parts::TLS };
        parts.after(self.taken + self.outgoing.sent)
    }

    /// Notes that a message has been written.
    pub fn written(&mut self) {
        self.taken += std::mem::take(&mut self.outgoing.sent);
        self.stream.hold_at_most(self.part());
    }

    /// Reads what has arrived. If something is `likely` to be there, it reads without asking for
    /// readiness first.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, likely: bool) -> Poll<Result<(), Gone>> {
        let Self { stream, unread, .. } = self;
        match ready!(buffers::poll_fill(cx, stream, unread, SMALL, likely)) {
            Ok(1..) => Poll::Ready(Ok(())),
            Ok(0) | Err(_) => Poll::Ready(Err(Gone)),
        }
    }

    /// Sends the rest of the interim responses, within a time.
    pub async fn finish_early(&mut self, wait: Duration) -> Result<(), Gone> {
        timeout(wait, poll_fn(|cx| self.poll_early(cx))).await.unwrap_or(Err(Gone))
    }

    /// Writes the outgoing bytes.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_flush(cx, &mut self.stream)
    }

    /// While a request is handled: ready when a part of its body has been handed over, so that the
    /// taker must be polled again, or when the client is gone.
    pub fn poll_meanwhile(
        &mut self,
        cx: &mut Context<'_>,
        giver: Option<&mut Giver>,
    ) -> Poll<Result<(), Gone>> {
        match ready!(self.poll_ahead(cx, giver))? {
            Ahead::Given => Poll::Ready(Ok(())),
            Ahead::Full => self.poll_hung_up(cx),
        }
    }

    /// The same, but also ready when no more is read ahead. Then [`Self::hung_up`] notices the
    /// client's end.
    pub fn poll_ahead(
        &mut self,
        cx: &mut Context<'_>,
        giver: Option<&mut Giver>,
    ) -> Poll<Result<Ahead, Gone>> {
        if let Some(giver) = giver.filter(|giver| !giver.is_done()) {
            let Self { stream, unread, .. } = self;
            return giver.poll(cx, stream, unread).map(|()| Ok(Ahead::Given));
        }
        // The client's end comes after everything that it has sent, so read on to notice it.
        while self.unread.len() < AHEAD {
            ready!(self.poll_fill(cx, false))?;
        }
        Poll::Ready(Ok(Ahead::Full))
    }

    /// Ready when the client is gone, even if unread bytes come before its end. Nothing can be
    /// written meanwhile.
    pub async fn hung_up(&self) {
        // `READABLE` would be true all the time. `PRIORITY` reports the end as well, and urgent
        // data is not reported.
        let ready = self.stream.tcp().ready(Interest::PRIORITY).await;
        if ready.is_ok_and(|ready| !ready.is_read_closed()) {
            pending::<()>().await;
        }
    }

    /// The same, but something may be written meanwhile. Then the system reports that something has
    /// come, but not whether that is the end, so ask it now and then.
    fn poll_hung_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let look = self.look.get_or_insert_with(|| Box::pin(sleep(LOOK)));
        loop {
            if let Poll::Ready(ready) = pin!(self.stream.tcp().ready(Interest::READABLE)).poll(cx)
                && ready.is_ok_and(Ready::is_read_closed)
            {
                return Poll::Ready(Err(Gone));
            }
            ready!(look.as_mut().poll(cx));
            look.as_mut().reset(Instant::now() + LOOK);
        }
    }
}
