//! `[admin]`: the address for metrics, health and reload.

use super::{listener::socket_address, table::Table};
use std::net::{Ipv4Addr, SocketAddr};

/// The admin address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// `address`, default `127.0.0.1:9900`; `None` when `enabled = false`.
    pub address: Option<SocketAddr>,
}

impl Admin {
    /// Reads `[admin]`, which may be empty.
    pub(super) fn read(table: &Table<'_>) -> Self {
        let address = match table.text("address") {
            Some(text) => socket_address(table, text),
            None => SocketAddr::from((Ipv4Addr::LOCALHOST, 9900)),
        };
        Self { address: table.boolean("enabled", true).then_some(address) }
    }
}
