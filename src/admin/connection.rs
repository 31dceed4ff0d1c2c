//! The connections of the admin address.
//!
//! Owns: accepting them up to a limit, TLS, and HTTP/1. May touch:
//! [`crate::task`]. Next: `turn.rs` takes each request.

use super::{patient::Patient, peer::AdminPeer, turn::Desk};
use crate::task;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

/// After a failure to accept.
const PAUSE: Duration = Duration::from_millis(50);

/// Where the admin address listens.
pub enum Acceptor {
    /// For TCP.
    Tcp(TcpListener),
    /// A file.
    Unix(UnixListener),
}

/// The places for connections. A reload may change how many there are: those that are taken are then
/// left to those who have them.
#[derive(Default)]
struct AdminPlaces {
    most: usize,
    free: Option<Arc<Semaphore>>,
}

impl AdminPlaces {
    async fn take(&mut self, most: usize) -> Option<OwnedSemaphorePermit> {
        if self.most != most {
            *self = Self { most, free: Some(Arc::new(Semaphore::new(most))) };
        }
        Arc::clone(self.free.as_ref()?).acquire_owned().await.ok()
    }
}

/// Accepts until it is dropped.
pub(super) async fn accept(socket: Acceptor, desk: Arc<Desk>) {
    let mut places = AdminPlaces::default();
    loop {
        // Those who find no place wait in the kernel's queue.
        let place = places.take(desk.live.load().config.admin.connections).await;
        let desk = Arc::clone(&desk);
        let accepted = match &socket {
            Acceptor::Tcp(socket) => socket.accept().await.map(|(stream, address)| {
                task::spawn(shake(stream, AdminPeer::of_tcp(address), desk, place));
            }),
            Acceptor::Unix(socket) => socket.accept().await.map(|(stream, _)| {
                let peer = AdminPeer::of_unix(&stream);
                task::spawn(shake(stream, peer, desk, place));
            }),
        };
        if let Err(error) = accepted {
            tracing::warn!(%error, "the admin address can't accept a connection");
            sleep(PAUSE).await;
        }
    }
}

/// By TLS if the config has it.
async fn shake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    peer: AdminPeer,
    desk: Arc<Desk>,
    _place: Option<OwnedSemaphorePermit>,
) {
    let snapshot = desk.live.load();
    let limit = snapshot.config.admin.timeout;
    let Some(parts) = snapshot.admin_tls.clone() else {
        drop(snapshot);
        return converse(stream, peer, &desk, limit).await;
    };
    // It must not be kept by a connection that stays open.
    drop(snapshot);
    let shaking = TlsAcceptor::from(Arc::clone(&parts.server)).accept(stream);
    let shaken = timeout(limit, shaking).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
    match shaken {
        Ok(stream) => {
            let peer = peer.secured(&stream, &parts);
            drop(parts);
            converse(stream, peer, &desk, limit).await;
        }
        Err(error) => {
            let peer = &*peer.told;
            if let Some(kept_back) = desk.failures.may_say((), Instant::now()) {
                tracing::info!(peer, %error, kept_back, "a TLS handshake at the admin address failed");
            }
        }
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: AdminPeer,
    desk: &Desk,
    limit: Duration,
) {
    let service = service_fn(|request| desk.answer(request, &peer));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limit);
    if let Err(error) = http.serve_connection(TokioIo::new(Patient::new(stream)), service).await {
        tracing::debug!(%error, "an admin connection ended with an error");
    }
}
