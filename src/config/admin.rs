//! `[admin]`: the address for metrics, health, reload and changes, and who may use it.
//!
//! Owns: its keys and what they are by default. May touch: [`crate::settings`]. `admin_access.rs`
//! has who is known by a token or a certificate.

use super::{
    ListenAddress, Tls,
    admin_access::AdminAccess,
    listen_address::{NOWHERE, listen_address, socket_mode},
    table::Table,
};
use crate::settings::Role;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// The admin address.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// `address`, default `127.0.0.1:9900`; `None` when `enabled = false`.
    pub address: Option<ListenAddress>,
    /// `mode`: who may connect to a Unix socket, default 0660: the daemon's user and group.
    pub mode: u32,
    /// `tls`: `None` without it.
    pub tls: Option<Tls>,
    /// `access`: who is known, and what they may do.
    pub access: Vec<AdminAccess>,
    /// `anonymous`: what everybody else may do. By default nothing if somebody is known; otherwise
    /// everything on a loopback address or a Unix socket, and only reading on any other.
    pub anonymous: Role,
    /// `hosts`: names by which browsers may ask, in lower case, besides `localhost`, names without a
    /// dot, and this machine's own.
    pub hosts: Vec<String>,
    /// `audit_log`: a file for a line about every write; the daemon's log has it in any case.
    pub audit_log: Option<PathBuf>,
    /// `connections`: open at once, default 256; others wait in the kernel's queue.
    pub connections: usize,
    /// `events`: listeners of `/events` at once, as each dashboard is, default 32; 503.
    pub events: usize,
    /// `body`: bytes of a request's body, default 64 KiB; 413.
    pub body: usize,
    /// `timeout`: for a TLS handshake, a request's head and its body, each; default 10 s.
    pub timeout: Duration,
}

impl Admin {
    /// Reads `[admin]`, which may be empty.
    pub(super) fn read(table: &Table<'_>) -> Self {
        let address = match table.text("address") {
            Some(text) => listen_address(table, text),
            None => SocketAddr::from((Ipv4Addr::LOCALHOST, 9900)).into(),
        };
        let mode = socket_mode(table, &address, 0o660);
        let tls = table.optional_table("tls").map(|it| Tls::read_admin(&it));
        let example = "access = [{ name = \"ci\", token = \"${ADMIN_TOKEN}\", role = \"write\" }]";
        let asks = tls.as_ref().is_some_and(|it| it.client.is_some());
        let access = table.tables("access", example);
        let access: Vec<_> = access.iter().map(|it| AdminAccess::read(it, asks)).collect();
        let anonymous = read_anonymous(table, &address, !access.is_empty());
        Self {
            address: table.boolean("enabled", true).then_some(address),
            mode,
            tls,
            access,
            anonymous,
            hosts: read_hosts(table),
            audit_log: table.text("audit_log").map(|text| table.path_in(text)),
            connections: table.number("connections", 256, 1..=65_535),
            events: table.number("events", 32, 0..=10_000),
            body: table.size("body", 64 << 10),
            timeout: table.positive_duration("timeout", Duration::from_secs(10)),
        }
    }

    /// Every file that it names.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let tokens = self.access.iter().filter_map(|it| it.file.as_ref());
        self.tls.iter().flat_map(Tls::files).chain(tokens)
    }
}

fn read_anonymous(table: &Table<'_>, address: &ListenAddress, has_access: bool) -> Role {
    let is_open = match address {
        ListenAddress::Ip(address) => {
            !address.ip().to_canonical().is_loopback() && ListenAddress::Ip(*address) != NOWHERE
        }
        ListenAddress::Unix(_) => false,
    };
    let default = match (has_access, is_open) {
        (true, _) => Role::None,
        (false, false) => Role::Write,
        (false, true) => Role::Read,
    };
    let choices = [Role::None, Role::Read, Role::Write].map(|it| (it.name(), it));
    let wanted = table.choice("anonymous", default, &choices);
    let written = table.has("anonymous");
    let warn = |key: &str, message: &str, hint: &str| {
        table.warning(table.value_span(key), message, Some(hint.into()));
    };
    if is_open && !written && !has_access {
        let hint = "write `anonymous = \"read\"` if that is meant; for changes add `access` with a \
                    token or a client certificate";
        warn(
            "address",
            "everybody who reaches this address may read there, and nobody may change anything",
            hint,
        );
    } else if is_open && wanted == Role::Write {
        let hint = "give those who should a token: `access = [{ name = \"ci\", token = …, role = \"write\" }]`";
        warn("anonymous", "everybody who reaches this address may change what runs", hint);
    } else if wanted == Role::Write && has_access {
        let hint = "write `anonymous = \"none\"`, or `\"read\"`";
        warn("anonymous", "`access` has no effect: everybody may do everything", hint);
    }
    wanted
}

fn read_hosts(table: &Table<'_>) -> Vec<String> {
    let mut hosts = Vec::new();
    for text in table.texts("hosts").unwrap_or_default() {
        let host = text.value.trim_end_matches('.').to_ascii_lowercase();
        let is_name = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | '_');
        if host.is_empty() || !host.chars().all(is_name) {
            let message = format!("`{}` is no host name", text.value);
            let hint = "write the name alone, without scheme and port: `\"admin.example.com\"`";
            table.error(text.span.clone(), message, Some(hint.into()));
        }
        hosts.push(host);
    }
    hosts
}
