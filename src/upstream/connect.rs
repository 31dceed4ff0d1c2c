//! A connection to a server.
//!
//! Owns: one socket, what is read and to be written, and its one timer, which live as long as it
//! does. May touch: [`super::server`], [`crate::http1`], [`crate::loopback`]. [`super::pool`] keeps it
//! between requests, [`mod@crate::proxy::exchange`] speaks over it. It is boxed from its opening to
//! its end, for it changes hands several times a request.

use super::server::Server;
use crate::{
    http1::{
        buffers::{self, Buffers, Size},
        moved::Moved,
        outgoing::Outgoing,
    },
    loopback,
};
use bytes::Bytes;
use socket2::SockRef;
use std::{
    io,
    mem::MaybeUninit,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, time::Sleep};

/// A connection to a server.
#[derive(Debug)]
pub struct Connection {
    /// The socket.
    pub stream: TcpStream,
    /// Read from the socket and not yet used.
    pub unread: Bytes,
    /// Still to be written to the socket.
    pub outgoing: Outgoing,
    /// How much the next head is read with: as much as the last response would have needed.
    pub first_read: Size,
    buffers: Arc<Buffers>,
    /// One timer for every wait on this connection: moving it later is a store, making one is not.
    deadline: Pin<Box<Sleep>>,
    /// Requests that it has carried.
    pub requests: u64,
    /// When it was opened, on the process's clock.
    pub opened: u64,
}

impl Connection {
    /// Connects to one of the server's addresses, each tried once, within `timeout` in all.
    pub async fn open(
        server: &Server,
        timeout: Duration,
        now: u64,
        buffers: Arc<Buffers>,
    ) -> io::Result<Box<Self>> {
        let mut deadline = Box::pin(tokio::time::sleep(timeout));
        let addresses = server.addresses().clone();
        let connecting = connect_any(&addresses, server.requests() as usize);
        let stream = tokio::select! {
            biased;
            stream = connecting => stream?,
            () = deadline.as_mut() => return Err(io::ErrorKind::TimedOut.into()),
        };
        // Heads and bodies are written whole; waiting to fill segments only delays them.
        stream.set_nodelay(true)?;
        if loopback::is_paced(&stream)
            && loopback::is_local(stream.local_addr()?.ip(), stream.peer_addr()?.ip())
        {
            loopback::unpace(&stream);
        }
        Ok(Box::new(Self {
            stream,
            unread: Bytes::new(),
            outgoing: Outgoing::default(),
            first_read: Size::Small,
            buffers,
            deadline,
            requests: 0,
            opened: now,
        }))
    }

    /// Reads what is there into `unread`. If it is `likely` that there is something, that is not
    /// asked first.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        size: Size,
        likely: bool,
    ) -> Poll<io::Result<usize>> {
        buffers::poll_fill(cx, &mut self.stream, &mut self.unread, &self.buffers, size, likely)
    }

    /// Takes up to `most` bytes off the socket without reading them; `None` if that can't be now.
    pub fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        most: u64,
    ) -> Poll<io::Result<Option<Moved>>> {
        let piped = ready!(self.buffers.pipes.poll_fill(cx, &self.stream, most))?;
        Poll::Ready(Ok(piped.map(Moved::Piped)))
    }

    /// Writes what is still to be written.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.poll_flush(cx, &mut self.stream)
    }

    /// Lets the wait that follows end at `deadline`.
    pub fn arm(&mut self, deadline: Instant) {
        self.deadline.as_mut().reset(deadline.into());
    }

    /// Ready once the wait has ended.
    pub fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.deadline.as_mut().poll(cx)
    }

    /// Whether the server has closed it or said something unasked for. Asks only what the reactor
    /// knows already; `thorough` asks the kernel, for requests that must not be sent twice.
    pub fn is_dead(&self, thorough: bool) -> bool {
        if thorough {
            let mut byte = [MaybeUninit::uninit(); 1];
            let peeked = SockRef::from(&self.stream).peek(&mut byte);
            return !is_would_block(&peeked);
        }
        !is_would_block(&self.stream.try_read(&mut [0]))
    }
}

fn is_would_block(read: &io::Result<usize>) -> bool {
    matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

async fn connect_any(addresses: &[SocketAddr], first: usize) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address yet");
    for turn in 0..addresses.len() {
        match TcpStream::connect(addresses[(first + turn) % addresses.len()]).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
