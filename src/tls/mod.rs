//! TLS: with clients the certificates, client certificates, tickets and settings; with servers
//! [`to_server`].
//!
//! Owns: the settings of a listener. May touch: [`crate::credentials`]. Built into a snapshot; a
//! handshake uses the one that is current when it begins.

mod certificates;
mod clients;
mod tickets;
pub mod to_server;
pub mod verify;
pub mod words;

pub use certificates::{Certificates, Lifetime, Pair};
pub use clients::{Clients, ClientsFiles, TrustScope};
pub use tickets::from_file as tickets_from_file;

use rustls::{
    ServerConfig,
    server::{NoClientAuth, ProducesTickets, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use std::{fmt, path::Path, sync::Arc};
use tickets::Scoped;

/// Why a certificate can't be used, with the file.
#[derive(Debug)]
pub struct TlsError(String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

impl TlsError {
    fn of(path: &Path, error: &dyn fmt::Display) -> Self {
        Self(format!("{} can't be used: {error}", path.display()))
    }
}

/// What a listener's settings are made of.
pub struct ListenerTlsWanted {
    /// Its certificates.
    pub certificates: Arc<Certificates>,
    /// Who may connect, if it asks clients for certificates.
    pub clients: Option<Clients>,
    /// TLS 1.3 only.
    pub only_tls13: bool,
    /// Whether it offers HTTP/2.
    pub http2: bool,
    /// Makes the tickets by which sessions are resumed.
    pub tickets: Arc<dyn ProducesTickets>,
}

/// A listener's settings.
pub fn server_config(wanted: ListenerTlsWanted) -> Result<ServerConfig, TlsError> {
    let ListenerTlsWanted { certificates, clients, only_tls13, http2, tickets } = wanted;
    let versions: &[_] = if only_tls13 { &[&TLS13] } else { &[&TLS13, &TLS12] };
    let (verifier, tickets): (Arc<dyn ClientCertVerifier>, _) = match clients {
        None => (Arc::new(NoClientAuth), tickets),
        Some(Clients { verifier, scope }) => (verifier, Arc::new(Scoped { tickets, scope })),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| TlsError(error.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificates);
    config.alpn_protocols =
        if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    config.ticketer = tickets;
    Ok(config)
}
