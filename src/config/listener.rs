//! `[listener.NAME]`: a socket that we accept on, its TLS, timeouts and limits.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// A socket that we accept on.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// The NAME in `[listener.NAME]`.
    pub name: String,
    /// Where to bind; port 0 lets the system choose.
    pub address: SocketAddr,
    /// `None`: plain HTTP/1.1.
    pub tls: Option<Tls>,
    /// The client's side of the timeouts.
    pub timeouts: ListenerTimeouts,
    /// The client's side of the limits.
    pub limits: ListenerLimits,
}

/// `tls` of a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// At least one; the first is used when no name matches.
    pub certificates: Vec<Certificate>,
    /// Lowest protocol version: `true` refuses TLS 1.2 (`min_version = "1.3"`, default `"1.2"`).
    pub only_tls13: bool,
    /// Offer HTTP/2 by ALPN (`http2`, default true).
    pub http2: bool,
    /// Answer 421 when the host is not one that the certificate chosen by SNI covers (`strict_sni`, default true).
    pub strict_sni: bool,
}

/// A certificate chain and its key, already found to be readable and to match.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    /// PEM, leaf first; relative paths are taken from the config file's directory and stored joined.
    pub cert: PathBuf,
    /// PEM, PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// `timeouts` of a listener. Zero is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerTimeouts {
    /// `tls_handshake`, default 10 s.
    pub tls_handshake: Duration,
    /// `request_head`: from the first byte of a request to the end of its head, default 10 s; 408.
    pub request_head: Duration,
    /// `idle`: between two requests on one connection, default 75 s.
    pub idle: Duration,
    /// `send`: between two successful writes to the client, default 60 s.
    pub send: Duration,
}

/// `limits` of a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerLimits {
    /// `request_line`: bytes of the target, default 8 KiB; 414.
    pub request_line: usize,
    /// `request_head`: bytes of the whole head, default 32 KiB; 431. At least 8 KiB.
    pub request_head: usize,
    /// `headers`: fields in a request, default 100; 431.
    pub headers: usize,
    /// `requests_per_connection`, default 10 000; the last answer says `Connection: close`. 0 = unlimited.
    pub requests_per_connection: u64,
    /// `connection_age`, default 1 h, closed gracefully after. Zero = unlimited.
    pub connection_age: Duration,
    /// `connections`: open at once on this listener, default 0 = unlimited; past it new ones wait in the kernel's queue.
    pub connections: usize,
    /// `http2_streams`: concurrent streams per connection, default 100.
    pub http2_streams: u32,
}
