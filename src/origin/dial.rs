//! Opens what the bytes of a connection to a server go through.
//!
//! Owns: the order of the addresses, each one's share of the time, and the layers of a connection.
//! May touch: [`crate::loopback`], [`crate::message`], [`crate::tls`], [`crate::upstream`]. Called
//! by [`super::connect`] for requests and by [`super::probe`] for checks.

use super::{
    dial_times::DialTimes,
    wire::{Bare, Wire},
};
use crate::{
    loopback,
    message::{
        context::Peer,
        proxy_header::{self, Ends},
    },
    tls::words,
    upstream::{Reach, Server, Speaks},
};
use rustix::io::Errno;
use std::{
    fmt, io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UnixStream},
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

/// Which connections are alike: [`Reach::key`], and the client that they are for, if the server is
/// told of it.
pub type LineKey = (u64, Option<Ends>);

/// Where a connection leads to.
pub struct Destination<'a> {
    /// The server.
    pub server: &'a Server,
    /// How it is reached.
    pub reach: &'a Reach,
    /// The ends of the client's connection, if the server is told of the client.
    pub client: Option<Box<Ends>>,
    /// The one address to ask; `None` allows any of the server's.
    pub only: Option<SocketAddr>,
    /// Where to write down how long a new connection takes to open.
    pub times: Option<&'a DialTimes>,
}

impl<'a> Destination<'a> {
    /// A destination for no client in particular.
    pub fn new(server: &'a Server, reach: &'a Reach) -> Self {
        Self { server, reach, client: None, only: None, times: None }
    }

    /// Which HTTP/2 connections will do.
    pub fn line_key(&self) -> LineKey {
        (self.reach.key(), self.client.as_deref().copied())
    }

    /// A destination for a client, which the server is told of if the config says so.
    #[must_use]
    pub fn of(self, peer: &Peer) -> Self {
        let client = self.reach.means.announces.and_then(|_| peer.told_ends());
        Self { client, ..self }
    }

    /// The same, with how long a new connection takes to open written down in `times`.
    #[must_use]
    pub fn timed(self, times: &'a DialTimes) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Notes that the attempt has waited for a connection since `begun`.
    pub(super) fn connected(&self, begun: Instant) {
        if let Some(times) = self.times {
            times.connected(begun.elapsed());
        }
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub enum Unconnected {
    /// It was refused, or broke.
    Io(io::Error),
    /// It was not ready in time.
    Timeout,
    /// The TLS handshake failed, and why.
    Tls(String),
}

impl fmt::Display for Unconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Timeout => f.write_str("no connection in time"),
            Self::Tls(words) => f.write_str(words),
        }
    }
}

impl Unconnected {
    /// The same error, for another request that waited for the connection.
    #[must_use]
    pub fn again(&self) -> Self {
        match self {
            Self::Io(error) => match error.raw_os_error() {
                Some(code) => Self::Io(io::Error::from_raw_os_error(code)),
                None => Self::Io(io::Error::new(error.kind(), error.to_string())),
            },
            Self::Timeout => Self::Timeout,
            Self::Tls(words) => Self::Tls(words.clone()),
        }
    }
}

impl From<io::Error> for Unconnected {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Whether a connection failed because we lack something, such as descriptors: this must not count
/// against the server. A lack of ports can't be told from an address that is not reachable.
pub fn is_ours(error: &io::Error) -> bool {
    let ours = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| ours.iter().any(|it| it.raw_os_error() == code))
}

/// One place that a server can be reached at.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// An address.
    Inet(SocketAddr),
    /// A socket on this machine.
    Unix(&'a Path),
}

/// All places that a server can be reached at now.
pub struct Places<'a> {
    socket: Option<&'a Path>,
    addresses: Arc<Vec<SocketAddr>>,
}

impl<'a> Places<'a> {
    /// The places of this server.
    pub fn of(to: &Destination<'a>) -> Self {
        let addresses = match to.only {
            Some(address) => Arc::new(vec![address]),
            None => to.server.addresses().clone(),
        };
        Self { socket: to.reach.means.socket.as_deref(), addresses }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        if self.socket.is_some() { 1 } else { self.addresses.len() }
    }

    /// The place at this turn; after the last one, the first follows.
    pub fn at(&self, turn: usize) -> Place<'a> {
        match self.socket {
            Some(path) => Place::Unix(path),
            None => Place::Inet(self.addresses[turn % self.addresses.len()]),
        }
    }
}

/// Connects to one of a server's places, each tried once. The time is shared out, so that a place
/// that does not answer leaves time for the others. The caller limits the whole time.
pub async fn dial(
    to: &Destination<'_>,
    within: Duration,
    speaks: Speaks,
) -> Result<Wire, Unconnected> {
    let places = Places::of(to);
    let first = to.server.requests() as usize % places.count().max(1);
    let nowhere = io::Error::new(io::ErrorKind::NotFound, "the name has no address yet");
    let mut failed = Unconnected::Io(nowhere);
    let begun = Instant::now();
    let deadline = begun + within;
    for turn in 0..places.count() {
        let dialing = dial_at(places.at(first + turn), to, begun, speaks);
        let left = places.count() - turn;
        let dialed = if left == 1 {
            dialing.await
        } else {
            let share = deadline.saturating_duration_since(Instant::now()) / left as u32;
            timeout(share, dialing).await.unwrap_or(Err(Unconnected::Timeout))
        };
        match dialed {
            Ok(wire) => return Ok(wire),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Connects to one place. Sends the PROXY protocol's header and makes the TLS handshake, if wanted.
/// The attempt waits for a connection since `begun`, which earlier places may be part of.
pub async fn dial_at(
    place: Place<'_>,
    to: &Destination<'_>,
    begun: Instant,
    speaks: Speaks,
) -> Result<Wire, Unconnected> {
    let mut bare = match place {
        Place::Inet(address) => Bare::Tcp(tcp(address).await?),
        Place::Unix(path) => Bare::Unix(unix(path).await?),
    };
    to.connected(begun);
    if let Some(version) = to.reach.means.announces {
        bare.write_all(&proxy_header::write(version, to.client.as_deref())).await?;
    }
    let Some(tls) = &to.reach.means.tls else { return Ok(Wire::Plain(bare)) };
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    let connected = Instant::now();
    let stream = connector.with_alpn(speaks.alpn()).connect(tls.name.clone(), bare).await;
    if let Some(times) = to.times {
        times.shaken(connected.elapsed());
    }
    let stream = stream.map_err(|error| Unconnected::Tls(words::handshake(&error)))?;
    Ok(Wire::Tls(Box::new(stream)))
}

async fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Heads and bodies are written whole, so waiting for full segments would only delay them.
    stream.set_nodelay(true)?;
    if loopback::is_paced(&stream)
        && loopback::is_local(stream.local_addr()?.ip(), stream.peer_addr()?.ip())
    {
        loopback::unpace(&stream);
    }
    Ok(stream)
}

/// TCP waits for room in the server's queue. A Unix socket reports at once that there is none.
async fn unix(path: &Path) -> io::Result<UnixStream> {
    let mut wait = Duration::from_millis(1);
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(wait).await,
            connected => return connected,
        }
        wait = (wait * 2).min(Duration::from_millis(20));
    }
}
