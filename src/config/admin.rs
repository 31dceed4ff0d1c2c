//! `[admin]`: the address for metrics, health and reload.

use std::net::SocketAddr;

/// The admin address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// `address`, default `127.0.0.1:9900`; `None` when `enabled = false`.
    pub address: Option<SocketAddr>,
}
