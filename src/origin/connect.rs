//! A connection to a server.
//!
//! Owns: one wire for as long as it lives and, while it is in use, its buffers and one timer. May
//! touch: [`crate::http1`], [`crate::message`], [`crate::upstream`]. [`super::pool`] keeps wires
//! and buffers between requests; [`mod@crate::origin::exchange`] uses them.

use super::{
    dial::{Destination, Unconnected, dial},
    wire::Wire,
};
use crate::{
    http1::{
        buffers::{self, SMALL},
        moved::{self, Moved},
        outgoing::Outgoing,
        socket::Socket,
    },
    message::proxy_header::Ends,
    upstream::{Server, Speaks},
};
use bytes::Bytes;
use std::{
    io,
    num::NonZeroU16,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{io::AsyncWrite, time::Sleep};

/// What is kept of a connection between two requests.
#[derive(Debug)]
pub struct Link {
    wire: Wire,
    /// How the server was reached: [`Reach::key`](crate::upstream::Reach::key).
    pub key: u64,
    /// The client that the server was told of: the connection carries no other client's requests.
    pub client: Option<Box<Ends>>,
    /// How many bytes the next head is read with: as many as the last response would have needed.
    pub first_read: usize,
    /// Requests that it has carried.
    pub requests: u64,
    /// When it was opened, on the process's clock.
    pub opened: u64,
    /// How long the server keeps it between two requests, in seconds, if it has said so.
    pub kept_for: Option<NonZeroU16>,
    /// The server's [`Server::moves`] when the connection's address was last known to be one of the
    /// server's.
    moves: u32,
}

/// What a connection needs only while it is in use. It goes from one connection to the next, still
/// in the processor's cache; a thousand idle connections are only a thousand sockets.
#[derive(Debug)]
pub struct Gear {
    /// Read from the socket and not yet used.
    pub unread: Bytes,
    /// Still to be written to the socket.
    pub outgoing: Outgoing,
    /// One timer for all waits: moving it to a later time is cheap, making a new one is not.
    deadline: Pin<Box<Sleep>>,
    /// When the current wait began.
    since: Instant,
}

/// A connection to a server, in use.
#[derive(Debug)]
pub struct Connection {
    /// The socket.
    pub link: Link,
    /// What is read from it and to be written to it.
    pub gear: Box<Gear>,
}

impl Gear {
    /// A new one; must be called within a runtime.
    pub fn new() -> Box<Self> {
        Box::new(Self {
            unread: Bytes::new(),
            outgoing: Outgoing::default(),
            deadline: Box::pin(tokio::time::sleep(Duration::ZERO)),
            since: Instant::now(),
        })
    }

    /// Whether nothing of a connection is left in it.
    pub fn is_unused(&self) -> bool {
        self.unread.is_empty() && self.outgoing.is_empty()
    }

    /// Lets the wait that begins `now` end after `timeout`.
    pub fn arm(&mut self, now: Instant, timeout: Duration) {
        self.since = now;
        self.deadline.as_mut().reset((now + timeout).into());
    }

    /// How long the current wait has lasted.
    pub fn waited(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Ready once the wait has ended.
    pub fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.deadline.as_mut().poll(cx)
    }

    /// Whether everything that was read has been used, and everything has been written.
    pub fn is_clean(&self) -> bool {
        self.unread.is_empty() && self.outgoing.is_done()
    }
}

impl Link {
    /// Whether it leads to an address that `server` no longer has.
    pub fn is_astray(&mut self, server: &Server) -> bool {
        let moves = server.moves();
        if self.moves == moves {
            return false;
        }
        self.moves = moves;
        !self.wire.peer().is_none_or(|peer| server.addresses().contains(&peer))
    }

    /// Whether the server has closed it, or sent something without a request. Uses only what the
    /// reactor already knows; `thorough` also asks the kernel, for requests that must not be sent
    /// twice.
    pub fn is_dead(&mut self, thorough: bool) -> bool {
        self.wire.is_dead(thorough)
    }
}

impl Connection {
    /// Connects to one of the server's addresses, each tried once, within `timeout` in all.
    pub async fn open(
        to: &Destination<'_>,
        timeout: Duration,
        now: u64,
        mut gear: Box<Gear>,
    ) -> Result<Self, Unconnected> {
        gear.deadline.as_mut().reset(tokio::time::Instant::now() + timeout);
        let moves = to.server.moves();
        let wire = tokio::select! {
            biased;
            wire = dial(to, timeout, Speaks::Http1) => wire?,
            () = gear.deadline.as_mut() => return Err(Unconnected::Timeout),
        };
        Ok(Self::over(wire, to, (now, moves), gear))
    }

    /// A connection over a wire that was dialed at `now`, after the server had moved `moves` times.
    pub fn over(
        wire: Wire,
        to: &Destination<'_>,
        (now, moves): (u64, u32),
        gear: Box<Gear>,
    ) -> Self {
        let (key, client) = (to.reach.key(), to.client.clone());
        let (first_read, requests, kept_for) = (SMALL, 0, None);
        let link = Link { wire, key, client, first_read, requests, opened: now, kept_for, moves };
        Self { link, gear }
    }

    /// Reads what has arrived into `unread`, with room for `want` bytes. If something is `likely`
    /// to be there, it reads without asking for readiness first.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        want: usize,
        likely: bool,
    ) -> Poll<io::Result<usize>> {
        buffers::poll_fill(cx, &mut self.link.wire, &mut self.gear.unread, want, likely)
    }

    /// Takes up to `most` bytes off the socket without reading them; `None` if this is not possible
    /// now.
    pub fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        most: u64,
    ) -> Poll<io::Result<Option<Moved>>> {
        let Some(socket) = self.link.wire.socket() else { return Poll::Ready(Ok(None)) };
        let piped = ready!(moved::poll_fill(cx, socket, most))?;
        Poll::Ready(Ok(piped.map(Moved::Piped)))
    }

    /// Whether the kernel can move bytes to it.
    pub fn takes_moved(&self) -> bool {
        self.link.wire.socket().is_some()
    }

    /// Writes the rest of the outgoing bytes.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.gear.outgoing.poll_flush(cx, &mut self.link.wire)
    }

    /// Sends the end of what we send; the server may still send.
    pub fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link.wire).poll_shutdown(cx)
    }

    /// Lets the wait that begins `now` end after `timeout`.
    pub fn arm(&mut self, now: Instant, timeout: Duration) {
        self.gear.arm(now, timeout);
    }

    /// How long the current wait has lasted.
    pub fn waited(&self, now: Instant) -> Duration {
        self.gear.waited(now)
    }

    /// Ready once the wait has ended.
    pub fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.gear.poll_deadline(cx)
    }
}
