//! `[admin]`: the address for metrics, health and reload.

use super::{
    listen_address::{ListenAddress, listen_address, socket_mode},
    table::Table,
};
use std::net::{Ipv4Addr, SocketAddr};

/// The admin address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// `address`, default `127.0.0.1:9900`; `None` when `enabled = false`.
    pub address: Option<ListenAddress>,
    /// `mode`: who may connect to a Unix socket, default 0660: the daemon's user and group.
    pub mode: u32,
}

impl Admin {
    /// Reads `[admin]`, which may be empty.
    pub(super) fn read(table: &Table<'_>) -> Self {
        let address = match table.text("address") {
            Some(text) => listen_address(table, text),
            None => SocketAddr::from((Ipv4Addr::LOCALHOST, 9900)).into(),
        };
        let mode = socket_mode(table, &address, 0o660);
        Self { address: table.boolean("enabled", true).then_some(address), mode }
    }
}
