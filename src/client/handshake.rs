//! A TLS handshake with a client, and the reports of failed ones.
//!
//! Owns: its time limit, and the reasons of failures. May touch: [`crate::cidr`],
//! [`crate::message`], [`crate::observe`], [`crate::proxy`]. Called by [`super::connection`].

use super::{
    listener::{Listener, OpenConnection},
    secured,
    stream::Stream,
};
use crate::{
    cidr::PeerAddress, message::secured::Secured, observe::metrics::HANDSHAKE_FAILURES,
    proxy::Proxy,
};
use rustls::{Error as TlsError, HandshakeKind, PeerIncompatible, ServerConfig};
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

/// How long a connection may still take to begin once the listener drains: enough for the round
/// trips of a distant client, which may have a request for us.
pub(super) const LAST: Duration = Duration::from_millis(500);

/// What a handshake has led to: TLS, or a client that speaks plain HTTP.
pub type Shaken = (Stream, Option<Box<Secured>>);

/// Makes a handshake; `None` if it fails.
pub async fn shake(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    limit: Duration,
    open: &OpenConnection,
    proxy: &Proxy,
    client: PeerAddress,
) -> Option<Shaken> {
    let listener = open.listener();
    let shaking = async {
        match is_plain_http(&stream).await {
            Ok(true) => Ok((Stream::Plain(stream), None)),
            Ok(false) => accept(stream, config).await,
            Err(error) => Err((error, stream)),
        }
    };
    let drained = async {
        listener.drained().await;
        sleep(LAST).await;
    };
    let shaken = tokio::select! {
        biased;
        shaken = timeout(limit, shaking) => shaken,
        () = drained => {
            tracing::debug!(listener = &*listener.name, %client, "a handshake was under way at the end");
            return None;
        }
    };
    let (result, reason, detail) = match &shaken {
        Ok(Ok((Stream::Plain(_), _))) => ("failed", "plain_http", String::new()),
        Ok(Ok((Stream::Tls(stream), _))) => match stream.get_ref().1.handshake_kind() {
            Some(HandshakeKind::Resumed) => ("resumed", "", String::new()),
            _ => ("full", "", String::new()),
        },
        Ok(Err((error, _))) => ("failed", reason(error), detail(error)),
        Err(_) => ("timeout", "timeout", format!("not done within {limit:?}")),
    };
    let metrics = &proxy.live.metrics;
    metrics.tls_handshakes.with_label_values(&[&*listener.name, result]).inc();
    if !reason.is_empty() {
        debug_assert!(HANDSHAKE_FAILURES.contains(&reason));
        metrics.tls_failures.with_label_values(&[&*listener.name, reason]).inc();
        tell(listener, client, reason, &detail);
    }
    match shaken.ok()? {
        Ok(shaken) => Some(shaken),
        Err((_, stream)) => {
            if reason == "client_certificate" {
                // Its request may have come already: closing now would reset the connection, and
                // the client would not learn why.
                let _ = timeout(LAST, Stream::Plain(stream).linger()).await;
            }
            None
        }
    }
}

async fn accept(
    stream: TcpStream,
    config: Arc<ServerConfig>,
) -> Result<Shaken, (io::Error, TcpStream)> {
    let stream = TlsAcceptor::from(config).accept(stream).into_fallible().await?;
    match secured::read(stream.get_ref().1) {
        Ok(secured) => {
            let mut stream = Stream::Tls(Box::new(stream));
            stream.hold_at_most(0);
            Ok((stream, Some(Box::new(secured))))
        }
        Err(error) => Err((io::Error::other(error), stream.into_inner().0)),
    }
}

/// Reports a failure, at a limited rate because strangers can cause any number of them.
fn tell(listener: &Listener, client: PeerAddress, reason: &'static str, detail: &str) {
    let name = &*listener.name;
    // Load balancers that check whether the port is open connect every few seconds, so do not warn.
    if reason == "closed" {
        tracing::debug!(listener = name, %client, reason, detail, "a TLS handshake failed");
    } else if let Some(kept_back) = listener.failures.may_say(reason, Instant::now()) {
        tracing::info!(listener = name, %client, reason, detail, kept_back, "a TLS handshake failed");
    }
}

/// The error in words. rustls's own words do not help if versions differ, or with two kinds of
/// certificates that `openssl` makes by default: `x509 -req` without an extension makes version 1,
/// and `req -x509` makes an authority.
fn detail(error: &io::Error) -> String {
    if let Some(TlsError::PeerIncompatible(
        PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled,
    )) = error.get_ref().and_then(|it| it.downcast_ref())
    {
        return "the client offers no version of TLS that is taken here: 1.2 and 1.3, with \
                `min_version = \"1.3\"` only that"
            .into();
    }
    let text = error.to_string();
    if text.contains("UnsupportedCertVersion") {
        return "the certificate is X.509 version 1 or 2: make it again as version 3".into();
    }
    if text.contains("CaUsedAsEndEntity") {
        return "the certificate is one of an authority (`CA:TRUE`): make one that is not".into();
    }
    text
}

/// The word for the metrics.
fn reason(error: &io::Error) -> &'static str {
    match error.get_ref().and_then(|it| it.downcast_ref::<TlsError>()) {
        None => "closed",
        // Mostly the client does not trust the certificate; the alert is in the log's line.
        Some(TlsError::AlertReceived(_)) => "client_refused",
        Some(TlsError::InvalidCertificate(_) | TlsError::NoCertificatesPresented) => {
            "client_certificate"
        }
        Some(TlsError::PeerIncompatible(_)) => "incompatible",
        Some(TlsError::NoApplicationProtocol) => "no_common_protocol",
        Some(
            TlsError::InvalidMessage(_)
            | TlsError::InappropriateMessage { .. }
            | TlsError::InappropriateHandshakeMessage { .. }
            | TlsError::PeerMisbehaved(_)
            | TlsError::DecryptError
            | TlsError::PeerSentOversizedRecord,
        ) => "bad_message",
        Some(_) => "other",
    }
}

/// Whether a client begins with a method and not with a TLS record, whose first byte is no letter
/// (RFC 8446 §5.1). It gets an HTTP answer, because it could not read a TLS alert.
async fn is_plain_http(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? > 0 && first[0].is_ascii_uppercase())
}
