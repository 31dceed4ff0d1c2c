//! A connection to a server.
//!
//! Owns: one socket for as long as it lives and, while it is in use, its buffers and one timer. May
//! touch: [`crate::upstream`], [`crate::http1`], [`crate::loopback`]. [`super::pool`] keeps sockets
//! and buffers between requests; [`mod@crate::origin::exchange`] uses them.

use crate::{
    http1::{
        buffers::{self, SMALL},
        moved::{self, Moved},
        outgoing::Outgoing,
    },
    loopback,
    upstream::Server,
};
use bytes::Bytes;
use rustix::io::Errno;
use socket2::SockRef;
use std::{
    io,
    mem::MaybeUninit,
    net::SocketAddr,
    num::NonZeroU16,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, time::Sleep};

/// Whether a connection failed because we lack something, such as descriptors: this must not count
/// against the server. A lack of ports can't be told from an address that is not reachable.
pub fn is_ours(error: &io::Error) -> bool {
    let ours = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| ours.iter().any(|it| it.raw_os_error() == code))
}

/// A socket to a server: all that is kept of a connection between two requests.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    /// How many bytes the next head is read with: as many as the last response would have needed.
    pub first_read: usize,
    /// Requests that it has carried.
    pub requests: u64,
    /// When it was opened, on the process's clock.
    pub opened: u64,
    /// How long the server keeps it between two requests, in seconds, if it has said so.
    pub kept_for: Option<NonZeroU16>,
    /// The server's [`Server::moves`] at the last time that this was one of its addresses.
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
        !self.stream.peer_addr().is_ok_and(|peer| server.addresses().contains(&peer))
    }

    /// Whether the server has closed it, or sent something without a request. Uses only what the
    /// reactor already knows; `thorough` also asks the kernel, for requests that must not be sent
    /// twice.
    pub fn is_dead(&self, thorough: bool) -> bool {
        if thorough {
            let mut byte = [MaybeUninit::uninit(); 1];
            let peeked = SockRef::from(&self.stream).peek(&mut byte);
            return !is_would_block(&peeked);
        }
        !is_would_block(&self.stream.try_read(&mut [0]))
    }
}

impl Connection {
    /// Connects to one of the server's addresses, each tried once, within `timeout` in all.
    pub async fn open(
        server: &Server,
        timeout: Duration,
        now: u64,
        mut gear: Box<Gear>,
    ) -> io::Result<Self> {
        gear.deadline.as_mut().reset(tokio::time::Instant::now() + timeout);
        let moves = server.moves();
        let addresses = server.addresses().clone();
        let connecting = connect_any(&addresses, server.requests() as usize, timeout);
        let stream = tokio::select! {
            biased;
            stream = connecting => stream?,
            () = gear.deadline.as_mut() => return Err(io::ErrorKind::TimedOut.into()),
        };
        // Heads and bodies are written whole, so waiting for full segments would only delay them.
        stream.set_nodelay(true)?;
        if loopback::is_paced(&stream)
            && loopback::is_local(stream.local_addr()?.ip(), stream.peer_addr()?.ip())
        {
            loopback::unpace(&stream);
        }
        let (first_read, requests, kept_for) = (SMALL, 0, None);
        let link = Link { stream, first_read, requests, opened: now, kept_for, moves };
        Ok(Self { link, gear })
    }

    /// Reads what has arrived into `unread`, with room for `want` bytes. If something is `likely`
    /// to be there, it reads without asking for readiness first.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        want: usize,
        likely: bool,
    ) -> Poll<io::Result<usize>> {
        buffers::poll_fill(cx, &mut self.link.stream, &mut self.gear.unread, want, likely)
    }

    /// Takes up to `most` bytes off the socket without reading them; `None` if this is not possible
    /// now.
    pub fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        most: u64,
    ) -> Poll<io::Result<Option<Moved>>> {
        let piped = ready!(moved::poll_fill(cx, &self.link.stream, most))?;
        Poll::Ready(Ok(piped.map(Moved::Piped)))
    }

    /// Writes the rest of the outgoing bytes.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.gear.outgoing.poll_flush(cx, &mut self.link.stream)
    }

    /// Lets the wait that begins `now` end after `timeout`.
    pub fn arm(&mut self, now: Instant, timeout: Duration) {
        self.gear.since = now;
        self.gear.deadline.as_mut().reset((now + timeout).into());
    }

    /// How long the current wait has lasted.
    pub fn waited(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.gear.since)
    }

    /// Ready once the wait has ended.
    pub fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.gear.deadline.as_mut().poll(cx)
    }
}

fn is_would_block(read: &io::Result<usize>) -> bool {
    matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// An address that does not answer leaves the others their share of the time.
async fn connect_any(
    addresses: &[SocketAddr],
    first: usize,
    timeout: Duration,
) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address yet");
    let deadline = Instant::now() + timeout;
    for turn in 0..addresses.len() {
        let connecting = TcpStream::connect(addresses[(first + turn) % addresses.len()]);
        let left = addresses.len() - turn;
        let connected = if left == 1 {
            connecting.await
        } else {
            let share = deadline.saturating_duration_since(Instant::now()) / left as u32;
            let connected = tokio::time::timeout(share, connecting).await;
            connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
