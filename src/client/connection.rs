//! One client connection, from its first byte to its last.
//!
//! Owns: the choice of HTTP version. May touch: [`crate::cidr`], [`crate::message`],
//! [`crate::proxy`]. Next: [`super::announcement`] and [`super::handshake`], then [`super::http1`]
//! or [`super::http2`].

use super::{
    announcement, handshake, http1::Http1, http2, listener::OpenConnection, service::Service,
    settings::ConnectionSettings, stream::Stream,
};
use crate::{
    cidr::PeerAddress,
    message::{context::Peer, proxy_header::Ends, proxy_protocol::Origin},
    proxy::Proxy,
};
use bytes::Bytes;
use http::StatusCode;
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{net::TcpStream, sync::mpsc};

/// Serves a connection. `alive` tells the worker that it still runs.
pub async fn serve(
    stream: TcpStream,
    peer: Option<SocketAddr>,
    open: OpenConnection,
    proxy: Arc<Proxy>,
    alive: mpsc::Sender<()>,
) {
    let listener = open.listener();
    // Its listener may have left the config just now.
    let snapshot = proxy.live.load_for(listener.id, &listener.last);
    let Some(parts) = snapshot.listener(listener.id) else { return };
    let settings = ConnectionSettings::of(parts);
    let tls = parts.tls.as_ref().map(|tls| Arc::clone(&tls.server));
    let limit = parts.timeouts.tls_handshake;
    let mut address = peer.map_or(PeerAddress::Unix, |peer| peer.ip().into());
    let expected = parts.proxy_protocol.as_ref().filter(|it| it.from.contains(address));
    let header_limit = expected.map(|it| it.timeout);
    // To ask for our own address costs a system call, so do it only where it is needed.
    let asks = snapshot.announces;
    let mut ends = peer.filter(|_| asks).and_then(|it| ends(it, stream.local_addr()));
    drop(snapshot);
    let mut announced = None;
    if let Some(limit) = header_limit {
        let reading = Box::pin(announcement::read(&stream, peer, limit, &open, &proxy));
        let Some(header) = reading.await else { return };
        match header.origin {
            Origin::Ip { source, destination } => {
                address = source.ip().into();
                ends = asks.then(|| Box::new(Ends { source, destination }));
            }
            Origin::Unix => (address, ends) = (PeerAddress::Unix, None),
            Origin::Itself => {}
        }
        announced = Some(Box::new(header));
    }
    let listener = Arc::clone(&open.listener().name);
    let expects_tls = tls.is_some();
    let (stream, secured) = match tls {
        None => (Stream::Plain(stream), None),
        Some(config) => {
            // Boxed, like HTTP/2 below, so that a connection is no larger than its HTTP/1 part.
            let shaking = Box::pin(handshake::shake(stream, config, limit, &open, &proxy, address));
            let Some(shaken) = shaking.await else { return };
            shaken
        }
    };
    let secure = secured.is_some();
    let speaks_http2 = match &stream {
        Stream::Plain(_) => false,
        Stream::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
    };
    let mut peer = Peer::new(address, listener, secured);
    (peer.announced, peer.ends) = (announced, ends);
    let service = Service::new(proxy, open, peer, settings.limits.requests_per_connection);
    if speaks_http2 {
        Box::pin(http2::serve(stream, Bytes::new(), service, settings)).await;
    } else {
        let mut http1 = Http1::new(stream, service, settings);
        if expects_tls && !secure {
            Box::pin(http1.refuse(StatusCode::BAD_REQUEST, "http_on_https_port")).await;
        } else if http1.serve().await {
            let (stream, begun, service) = http1.into_parts();
            Box::pin(http2::serve(stream, begun, service, settings)).await;
        }
    }
    drop(alive);
}

/// Both ends of a connection.
fn ends(source: SocketAddr, own: io::Result<SocketAddr>) -> Option<Box<Ends>> {
    own.ok().map(|destination| Box::new(Ends { source, destination }))
}
