//! The connections that the kernel has made, and how they are taken from it.
//!
//! Owns: one worker's listening socket. May touch: nothing outside this room. [`super::listener`]
//! takes from it.

use nix::{libc, setsockopt_impl, sockopt_impl, sys::socket::setsockopt};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{AddressFamily, SocketFlags, acceptfrom_with},
};
use std::{
    io,
    net::{SocketAddr, TcpStream as StdStream},
    os::fd::OwnedFd,
    task::{Context, Poll, ready},
};
use tokio::{io::Interest, net::TcpStream, task::coop::poll_proceed};

sockopt_impl!(
    /// For how many seconds the kernel keeps back a connection on which nothing has been sent.
    DeferAccept, SetOnly, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, u32
);

/// Makes a listening socket give out connections only once their client has sent something, so that
/// the request is there when the connection is taken. A silent connection is given out after a
/// second, the shortest time possible: a balancer may open connections ahead.
pub fn defer(socket: &OwnedFd, defer: bool) {
    // Without this option connections are given out at once.
    let _ = setsockopt(socket, DeferAccept, &u32::from(defer));
}

/// A connection and its client's address; clients of a Unix socket have none. tokio's type for TCP
/// holds these connections, too: reading, writing and waiting are the same, so the rest of the code
/// needs only one type.
pub type Accepted = (TcpStream, Option<SocketAddr>);

/// What waits on a listening socket.
pub struct Backlog {
    /// The listening socket. tokio's own listener learns that nothing waits only by an `accept`
    /// that fails, for which the kernel first allocates a socket: 3 µs, where `poll` takes 0.2.
    /// tokio's stream type gives access to readiness without that; nothing is read from this one.
    socket: TcpStream,
    /// Whether, as far as we know, something waits.
    expected: bool,
}

impl Backlog {
    /// The backlog of `socket`; must be called within a runtime.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        let socket = TcpStream::from_std(StdStream::from(socket))?;
        Ok(Self { socket, expected: false })
    }

    /// Takes the next connection, once there is one.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        // With many new clients, a worker must still serve those that it has.
        let turn = ready!(poll_proceed(cx));
        loop {
            let expected = std::mem::take(&mut self.expected);
            let accepted = self.socket.try_io(Interest::READABLE, || {
                if expected || is_waiting(&self.socket)? {
                    accept(&self.socket)
                } else {
                    Err(io::ErrorKind::WouldBlock.into())
                }
            });
            match accepted {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // A second poll usually means that a connection has arrived.
                    self.expected = true;
                    ready!(self.socket.poll_read_ready(cx))?;
                }
                accepted => {
                    turn.made_progress();
                    return Poll::Ready(accepted);
                }
            }
        }
    }

    /// Takes the next connection; `WouldBlock` if there is none.
    pub fn accept(&self) -> io::Result<Accepted> {
        accept(&self.socket)
    }
}

/// Whether a connection waits, or an error.
fn is_waiting(socket: &TcpStream) -> io::Result<bool> {
    let mut asked = [PollFd::new(socket, PollFlags::IN)];
    match poll(&mut asked, Some(&Timespec::default())) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Unlike with tokio's own `accept`, the stream is first read when the reactor says that it is
/// ready: without `defer_accept` the first bytes come later than the connection.
fn accept(socket: &TcpStream) -> io::Result<Accepted> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (accepted, peer) = acceptfrom_with(socket, flags)?;
    let peer = peer.ok_or(io::ErrorKind::ConnectionAborted)?;
    let ip = match peer.address_family() {
        AddressFamily::UNIX => None,
        _ => Some(SocketAddr::try_from(peer)?),
    };
    Ok((TcpStream::from_std(StdStream::from(accepted))?, ip))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::poll_fn,
        net::TcpListener,
        os::unix::net::{UnixListener, UnixStream},
    };

    fn backlog(address: &str) -> (Backlog, SocketAddr) {
        let socket = TcpListener::bind(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        (Backlog::new(socket.into()).unwrap(), address)
    }

    #[tokio::test]
    async fn all_that_wait_are_taken_in_their_order_and_later_ones_too() {
        let (mut backlog, address) = backlog("[::1]:0");
        for _ in 0..3 {
            let clients = [(); 5].map(|()| StdStream::connect(address).unwrap());
            for client in &clients {
                let (_, peer) = poll_fn(|cx| backlog.poll_accept(cx)).await.unwrap();
                assert_eq!(peer, client.local_addr().ok());
            }
            let vain = poll_fn(|cx| Poll::Ready(backlog.poll_accept(cx).is_pending())).await;
            assert!(vain, "nobody waits");
        }
    }

    #[tokio::test]
    async fn a_client_is_taken_even_before_the_reactor_has_heard_of_it() {
        let (backlog, address) = backlog("127.0.0.1:0");
        assert_eq!(backlog.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let client = StdStream::connect(address).unwrap();
        let (_, peer) = backlog.accept().unwrap();
        assert_eq!(peer, client.local_addr().ok());
    }
    #[tokio::test]
    async fn clients_of_a_unix_socket_have_no_address() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let socket = UnixListener::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut backlog = Backlog::new(socket.into()).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        let (_, peer) = poll_fn(|cx| backlog.poll_accept(cx)).await.unwrap();
        assert_eq!(peer, None);
    }
}
