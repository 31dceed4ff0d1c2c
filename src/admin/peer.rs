//! Who is at the other end of an admin connection.
//!
//! Owns: what is known before the first request: address, user, client certificate. May touch:
//! [`crate::credentials`], [`crate::snapshot`], [`crate::tls`].

use crate::{credentials::identity::Identity, snapshot::TlsParts, tls::TrustScope};
use std::{net::SocketAddr, sync::Arc};
use tokio::net::UnixStream;
use tokio_rustls::server::TlsStream;

/// The other end of a connection.
pub(super) struct AdminPeer {
    /// For people: an address, or the user at a Unix socket.
    pub told: Arc<str>,
    /// Whether it has come by TLS, and what was trusted at its handshake.
    pub secured: Option<SecuredPeer>,
}

/// What a handshake has told.
pub(super) struct SecuredPeer {
    /// By its certificate.
    identity: Option<Identity>,
    /// What certificates were verified with.
    trust: Option<TrustScope>,
}

impl AdminPeer {
    /// By TCP.
    pub(super) fn of_tcp(address: SocketAddr) -> Self {
        Self { told: address.to_string().into(), secured: None }
    }

    /// By a Unix socket, which tells the user.
    pub(super) fn of_unix(stream: &UnixStream) -> Self {
        let user = stream.peer_cred().map(|it| it.uid());
        let told = user.map_or("unix".into(), |it| format!("unix, user {it}"));
        Self { told: told.into(), secured: None }
    }

    /// The same, after a handshake with `parts`.
    pub(super) fn secured<S>(self, stream: &TlsStream<S>, parts: &TlsParts) -> Self {
        let chain = stream.get_ref().1.peer_certificates();
        let identity = chain.and_then(|it| it.first()).and_then(|leaf| Identity::read(leaf));
        Self { secured: Some(SecuredPeer { identity, trust: parts.trust }), ..self }
    }

    /// The certificate, if it still holds at `now` (seconds since 1970) and what it was verified with
    /// is still what the config has.
    pub(super) fn identity(&self, now: i64, parts: Option<&TlsParts>) -> Option<&Identity> {
        let secured =
            self.secured.as_ref().filter(|it| parts.map(|it| it.trust) == Some(it.trust))?;
        secured.identity.as_ref().filter(|it| it.ends >= now)
    }
}
