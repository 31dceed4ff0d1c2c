//! The loop that accepts connections, in one worker on one listener.
//!
//! Owns: when connections are taken, and when they wait. May touch: [`crate::config`],
//! [`crate::loopback`], [`crate::proxy`], [`crate::task`]. Next: [`super::connection`].

use super::{
    backlog::{Accepted, Backlog},
    connection,
    listener::{Listener, OpenConnection},
};
use crate::{config::ListenAddress, loopback, proxy::Proxy, task};
use std::{future::poll_fn, io, pin::pin, sync::Arc, task::Poll, time::Duration};
use tokio::{sync::mpsc, time::timeout};

/// The pause after a failure to accept, for example because no file descriptors are left.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts until the listener is drained. `alive` is held by every connection.
pub async fn accept(listener: Arc<Listener>, proxy: Arc<Proxy>, alive: mpsc::Sender<()>) {
    let Some((mut backlog, paced)) = backlog(&listener, proxy.worker).await else { return };
    let (seats, clock) = (&proxy.live.seats, proxy.live.clock);
    let mut drained = pin!(listener.drained());
    while !listener.is_draining() {
        if seats.are_taken(clock.now()) {
            tokio::select! {
                biased;
                () = drained.as_mut() => break,
                () = seats.freed() => continue,
            }
        }
        if is_full(&listener, &proxy) {
            // A connection that closes makes room, and a reload may have raised the limit.
            let closed = timeout(Duration::from_secs(1), listener.closed());
            tokio::select! {
                biased;
                () = drained.as_mut() => break,
                _ = closed => continue,
            }
        }
        let accepted = poll_fn(|cx| match backlog.poll_accept(cx) {
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
            // Checked only when there is nothing to accept, so that the check delays no client.
            Poll::Pending => drained.as_mut().poll(cx).map(|()| None),
        });
        let Some(accepted) = accepted.await else { break };
        take(accepted, paced, &listener, &proxy, &alive).await;
    }
    // Clients that the kernel has already connected are served, too.
    while let Ok(accepted) = backlog.accept() {
        take(Ok(accepted), paced, &listener, &proxy, &alive).await;
    }
}

/// The connections that wait on this worker's socket, and whether the kernel paces what is sent on
/// them; `None` once the listener is drained. If no descriptor is free for the socket now, one may
/// be later.
async fn backlog(listener: &Listener, worker: usize) -> Option<(Backlog, bool)> {
    let open = || {
        let Some(socket) = listener.socket(worker)? else { return Ok(None) };
        // False if the socket is bound to a loopback address.
        let paced = loopback::is_paced(&socket);
        io::Result::Ok(Some((Backlog::new(socket)?, paced)))
    };
    loop {
        let error = match open() {
            Ok(found) => return found,
            Err(error) => error,
        };
        let name = &*listener.name;
        tracing::error!(listener = name, worker, %error, "can't accept in this worker; another try in a second");
        let _ = timeout(Duration::from_secs(1), listener.drained()).await;
    }
}

/// Whether the listener has as many connections as it may.
fn is_full(listener: &Listener, proxy: &Proxy) -> bool {
    let snapshot = proxy.live.load();
    let limit = snapshot.listener(listener.id).map_or(0, |it| it.limits.connections);
    limit != 0 && listener.open() >= limit
}

async fn take(
    accepted: io::Result<Accepted>,
    paced: bool,
    listener: &Arc<Listener>,
    proxy: &Arc<Proxy>,
    alive: &mpsc::Sender<()>,
) {
    match accepted {
        Ok((stream, peer)) => {
            if paced
                && let (ListenAddress::Ip(own), Some(peer)) = (&listener.address, peer)
                && loopback::is_local(own.ip(), peer.ip())
            {
                loopback::unpace(&stream);
            }
            let open = OpenConnection::new(listener, &proxy.counts, &proxy.live.seats);
            let (proxy, alive) = (Arc::clone(proxy), alive.clone());
            // Boxed, so that it is not moved again on its way into the task.
            task::spawn(Box::pin(connection::serve(stream, peer, open, proxy, alive)));
        }
        Err(error) => {
            let gone = matches!(
                error.kind(),
                io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
            );
            if !gone {
                proxy.live.metrics.accept_errors.inc();
                let listener = &*listener.name;
                tracing::warn!(listener, %error, "can't accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
