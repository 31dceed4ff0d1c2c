//! A connection to a server.
//!
//! Owns: one socket with its buffers and its one timer, which live as long as it does. May touch:
//! [`super::server`]. [`super::pool`] keeps it between requests, [`crate::proxy::exchange`] speaks
//! over it.

use super::server::Server;
use bytes::BytesMut;
use socket2::SockRef;
use std::{io, mem::MaybeUninit, net::SocketAddr, pin::Pin, task, time::Duration};
use tokio::{
    net::TcpStream,
    time::{Instant, Sleep},
};

/// Space made for a response's head and, mostly, its whole body.
pub const READ_SIZE: usize = 16 * 1024;

/// A connection to a server.
#[derive(Debug)]
pub struct Connection {
    /// The socket.
    pub stream: TcpStream,
    /// Read from the socket and not yet used.
    pub unread: BytesMut,
    /// Written to the socket next; empty between requests, kept for its capacity.
    pub unsent: Vec<u8>,
    /// One timer for every wait on this connection: moving it later is a store, making one is not.
    deadline: Pin<Box<Sleep>>,
    /// Requests that it has carried.
    pub requests: u64,
    /// When it was opened, on the process's clock.
    pub opened: u64,
}

impl Connection {
    /// Connects to one of the server's addresses, each tried once, within `timeout` in all.
    pub async fn open(server: &Server, timeout: Duration, now: u64) -> io::Result<Self> {
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
        Ok(Self {
            stream,
            unread: BytesMut::new(),
            unsent: Vec::with_capacity(1024),
            deadline,
            requests: 0,
            opened: now,
        })
    }

    /// Lets the wait that follows end after `timeout`.
    pub fn arm(&mut self, timeout: Duration) {
        self.deadline.as_mut().reset(Instant::now() + timeout);
    }

    /// Ready once the wait has ended.
    pub fn poll_deadline(&mut self, cx: &mut task::Context<'_>) -> task::Poll<()> {
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
