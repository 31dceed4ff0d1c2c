//! How HTTP/2 is spoken to an upstream's servers.
//!
//! Owns: the settings, as the config has them. May touch: nothing outside this room. Read by
//! [`super::sessions`].

use std::time::Duration;

/// An upstream's settings of HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Settings {
    /// Requests at once on one connection; fewer if the server says so.
    pub streams: u32,
    /// If a server with requests under way sends no byte for so long, it is sent a PING.
    pub ping: Duration,
    /// How long the server may take to answer the PING.
    pub ping_timeout: Duration,
    /// Milliseconds that a connection without requests is kept.
    pub idle_timeout: u64,
    /// Requests on one connection, 0 = unlimited.
    pub requests: u64,
    /// Milliseconds of a connection's life, 0 = unlimited.
    pub age: u64,
    /// The largest response head.
    pub head: u32,
}

impl Http2Settings {
    /// Settings for a single request, within a time.
    pub fn once(within: Duration) -> Self {
        Self {
            streams: 1,
            ping: within,
            ping_timeout: within,
            idle_timeout: 0,
            requests: 1,
            age: 0,
            head: 64 * 1024,
        }
    }
}
