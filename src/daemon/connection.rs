//! One client connection, from its first byte to its last.
//!
//! Owns: TLS, and the choice of HTTP version. May touch: [`crate::proxy`]. Next:
//! [`super::serve_http1`] or [`super::serve_http2`].

use super::{
    listener::Open, serve_http1::Http1, serve_http2, service::Service, settings::Settings,
    stream::Stream,
};
use crate::{message::context::Peer, proxy::Proxy};
use bytes::Bytes;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Serves a connection. `alive` tells the worker that it still runs.
pub async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    open: Open,
    proxy: Arc<Proxy>,
    alive: mpsc::Sender<()>,
) {
    let listener = open.listener();
    // It may have been accepted as its listener left the config.
    let snapshot = proxy.live.load_for(listener.id, &listener.last);
    let Some(parts) = snapshot.listener(listener.id) else { return };
    let settings = Settings::of(parts);
    let tls = parts.tls.as_ref().map(|tls| Arc::clone(&tls.server));
    let handshake = parts.timeouts.tls_handshake;
    drop(snapshot);
    let ip = peer.ip().to_canonical();
    let listener = Arc::clone(&open.listener().name);
    let (secure, mut sni) = (tls.is_some(), None);
    let (stream, http2) = match tls {
        None => (Stream::Plain(stream), false),
        Some(config) => {
            // Boxed, like HTTP/2 below, so that a connection is no larger than its HTTP/1 part.
            let shaking = Box::pin(shake_hands(stream, config, handshake, &open, &proxy));
            let Some(stream) = shaking.await else { return };
            let (_, tls) = stream.get_ref();
            sni = tls.server_name().map(str::to_ascii_lowercase);
            let http2 = tls.alpn_protocol() == Some(b"h2");
            (Stream::Tls(Box::new(stream)), http2)
        }
    };
    let peer = Peer::new(ip, listener, secure, sni);
    let service = Service::new(proxy, open, peer, settings.limits.requests_per_connection);
    let http2 = if http2 {
        Some((stream, Bytes::new(), service))
    } else {
        Http1::new(stream, service, settings).serve().await
    };
    if let Some((stream, begun, service)) = http2 {
        Box::pin(serve_http2::serve(stream, begun, service, settings)).await;
    }
    drop(alive);
}

async fn shake_hands(
    stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
    limit: Duration,
    open: &Open,
    proxy: &Proxy,
) -> Option<TlsStream<TcpStream>> {
    let listener = &*open.listener().name;
    let shaken = timeout(limit, TlsAcceptor::from(config).accept(stream)).await;
    let (result, stream) = match shaken {
        Ok(Ok(stream)) => match stream.get_ref().1.handshake_kind() {
            Some(rustls::HandshakeKind::Resumed) => ("resumed", Some(stream)),
            _ => ("full", Some(stream)),
        },
        Ok(Err(error)) => {
            tracing::debug!(listener, %error, "TLS handshake failed");
            ("failed", None)
        }
        Err(_) => ("timeout", None),
    };
    proxy.live.metrics.tls_handshakes.with_label_values(&[listener, result]).inc();
    stream
}
