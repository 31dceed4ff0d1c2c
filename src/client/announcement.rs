//! Reads the PROXY protocol's header, which comes before anything else on a connection.
//!
//! Owns: its time limit, and the reports of failures. May touch: [`crate::cidr`],
//! [`crate::message`], [`crate::observe`], [`crate::proxy`]. Called by [`super::connection`],
//! before the TLS handshake.

use super::{
    handshake::LAST,
    listener::{Listener, OpenConnection},
};
use crate::{
    cidr::PeerAddress,
    message::proxy_protocol::{Announcement, HeaderFault, length},
    observe::metrics::ANNOUNCEMENT_FAILURES,
    proxy::Proxy,
};
use rustix::net::{RecvFlags, recv};
use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::Interest,
    net::TcpStream,
    time::{sleep, timeout},
};

/// How much is looked at in one go: most headers are smaller.
const LOOK: usize = 512;

/// Why there is no header.
enum Unannounced {
    /// It is missing or broken.
    Fault(HeaderFault),
    /// The connection ended before it did.
    Closed,
    /// Reading failed.
    Io(io::Error),
    /// It took too long.
    Late,
}

/// The header that `stream` begins with; `None` if the connection is to end.
pub async fn read(
    stream: &TcpStream,
    peer: Option<SocketAddr>,
    limit: Duration,
    open: &OpenConnection,
    proxy: &Proxy,
) -> Option<Announcement> {
    let listener = open.listener();
    let drained = async {
        listener.drained().await;
        sleep(LAST).await;
    };
    let read = tokio::select! {
        biased;
        read = timeout(limit, take(stream)) => read.unwrap_or(Err(Unannounced::Late)),
        () = drained => return None,
    };
    let (reason, key, detail) = match read {
        Ok(announced) => return Some(announced),
        Err(Unannounced::Fault(HeaderFault::Missing)) => (
            "missing",
            "proxy_protocol_missing",
            "it does not begin with the header of the PROXY protocol".to_owned(),
        ),
        Err(Unannounced::Fault(HeaderFault::Broken(what))) => {
            ("broken", "proxy_protocol_broken", what.to_owned())
        }
        Err(Unannounced::Late) => {
            ("timeout", "proxy_protocol_timeout", format!("not there within {limit:?}"))
        }
        Err(Unannounced::Closed) => ("closed", "", "the connection was closed".to_owned()),
        Err(Unannounced::Io(error)) => ("closed", "", error.to_string()),
    };
    debug_assert!(ANNOUNCEMENT_FAILURES.contains(&reason));
    let failures = &proxy.live.metrics.announcement_failures;
    failures.with_label_values(&[&*listener.name, reason]).inc();
    tell(listener, peer, (reason, key), &detail);
    None
}

/// Reports a failure, at a limited rate: a balancer that is set up wrongly connects as often as its
/// clients do.
fn tell(
    listener: &Listener,
    peer: Option<SocketAddr>,
    (reason, key): (&str, &'static str),
    detail: &str,
) {
    let name = &*listener.name;
    let peer = peer.map_or_else(|| PeerAddress::UNIX.to_owned(), |it| it.to_string());
    // Balancers that check whether the port is open connect every few seconds, so do not warn.
    if key.is_empty() {
        tracing::debug!(listener = name, %peer, reason, detail, "no PROXY protocol header");
    } else if let Some(kept_back) = listener.failures.may_say(key, Instant::now()) {
        tracing::warn!(
            listener = name, %peer, reason, detail, kept_back,
            "a connection was closed, as `proxy_protocol.from` names its address and its PROXY protocol header could not be read"
        );
    }
}

/// Takes the header from the socket, but no byte after it: the next bytes may belong to a TLS
/// handshake.
async fn take(stream: &TcpStream) -> Result<Announcement, Unannounced> {
    let mut header = Vec::new();
    loop {
        let known = header.len();
        header.resize(known + LOOK, 0);
        // What is looked at stays in the socket.
        let seen = receive(stream, &mut header[known..], RecvFlags::PEEK).await?;
        header.truncate(known + seen);
        let whole = length(&header).map_err(Unannounced::Fault)?;
        header.truncate(whole.unwrap_or(header.len()));
        // The whole header has arrived, so one read takes it.
        receive(stream, &mut header[known..], RecvFlags::empty()).await?;
        if whole.is_some() {
            return Announcement::parse(&header).map_err(Unannounced::Fault);
        }
    }
}

async fn receive(
    stream: &TcpStream,
    room: &mut [u8],
    flags: RecvFlags,
) -> Result<usize, Unannounced> {
    let read = stream.async_io(Interest::READABLE, || Ok(recv(stream, &mut *room, flags)?.0));
    match read.await {
        Ok(0) => Err(Unannounced::Closed),
        Ok(read) => Ok(read),
        Err(error) => Err(Unannounced::Io(error)),
    }
}
