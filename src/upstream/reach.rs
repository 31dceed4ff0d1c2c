//! How a server is reached, as one config has it.
//!
//! Owns: [`Reach`], and the key of the connections that are made by it. May touch:
//! [`crate::message`], [`crate::tls`]. [`crate::origin::dial`] uses it to open connections.

use crate::{message::proxy_header::HeaderVersion, tls::to_server::ServerHandshakes};
use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// How a server is reached, as one config has it.
#[derive(Debug)]
pub struct Reach {
    key: u64,
    /// What the config says.
    pub means: Means,
}

/// The means to reach a server. By default it is TCP and nothing else.
#[derive(Debug, Default, PartialEq)]
pub struct Means {
    /// Its Unix socket, in place of the addresses that its name has.
    pub socket: Option<PathBuf>,
    /// What is spoken to it.
    pub speaks: Speaks,
    /// TLS.
    pub tls: Option<ServerHandshakes>,
    /// The header by which the server is told who the client is.
    pub announces: Option<HeaderVersion>,
}

/// What is spoken to a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, over TLS or not.
    Http2,
    /// The version that the TLS handshake agrees on.
    Either,
}

impl Speaks {
    /// What a TLS handshake offers, by ALPN (RFC 7301), the best first.
    pub fn alpn(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http1 => vec![b"http/1.1".to_vec()],
            Self::Http2 => vec![b"h2".to_vec()],
            Self::Either => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }
}

impl Reach {
    /// A way to reach a server, by these means.
    pub fn new(means: Means) -> Self {
        // This only needs to make numbers that are unique in the process.
        static NEXT_KEY: AtomicU64 = AtomicU64::new(1);
        Self { key: NEXT_KEY.fetch_add(1, Relaxed), means }
    }

    /// Unique in the process, also over time: the key of connection pools. A config with other
    /// means to reach a server makes another one, so that no old connection is used again.
    pub fn key(&self) -> u64 {
        self.key
    }
}

impl Default for Reach {
    fn default() -> Self {
        Self::new(Means::default())
    }
}
