//! `servers = [{ … }]` of an upstream: one address and what it can bear.

use super::{names::server_address, table::Table, tree::Text};
use std::{os::unix::ffi::OsStrExt, path::PathBuf, time::Duration};

/// One address in an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// `address`: `"host:port"`, `"1.2.3.4:80"`, `"[::1]:80"` or `"unix:app.sock"`, as written and
    /// syntactically valid.
    pub address: String,
    /// The path of a Unix socket; relative paths are taken from the config file's directory and stored
    /// joined.
    pub socket: Option<PathBuf>,
    /// `weight`: 0 to 1000, default 1; 0 gets no requests.
    pub weight: u32,
    /// `max_fails` within `fail_timeout` eject, default 3; 0 = never.
    pub max_fails: u32,
    /// `fail_timeout`: the window of `max_fails` and the length of an ejection, default 10 s.
    pub fail_timeout: Duration,
    /// `fail_share`: unless `max_fails` failures came in a row, they eject only if they are this
    /// percentage of the attempts within `fail_timeout`, default `"5%"`; `"0%"`: whatever their share.
    pub fail_share: u32,
    /// `max_conns`: requests in flight, default 0 = unlimited.
    pub max_conns: u32,
    /// `backup`: used only when no other server can be, default false.
    pub backup: bool,
    /// `down`: never used, default false.
    pub down: bool,
}

impl Server {
    /// Reads one of `servers`.
    pub(super) fn read(table: &Table<'_>) -> Self {
        let address = table.required_text("address", "\"127.0.0.1:3001\"");
        let socket = address.and_then(|text| socket(table, text));
        if let Some(text) = address.filter(|_| socket.is_none())
            && let Err((message, hint)) = server_address(&text.value)
        {
            table.error(text.span.clone(), message, Some(hint));
        }
        Self {
            address: address.map(|text| text.value.clone()).unwrap_or_default(),
            socket,
            weight: table.number("weight", 1, 0..=1000),
            max_fails: table.number("max_fails", 3, 0..=1_000_000),
            fail_timeout: table.positive_duration("fail_timeout", Duration::from_secs(10)),
            fail_share: table.percent("fail_share", 5),
            max_conns: table.number("max_conns", 0, 0..=u64::from(u32::MAX)),
            backup: table.boolean("backup", false),
            down: table.boolean("down", false),
        }
    }
}

/// So many bytes of a path fit into a socket's address on Linux.
const LONGEST_SOCKET: usize = 107;

/// The path of `unix:app.sock`.
fn socket(table: &Table<'_>, text: &Text) -> Option<PathBuf> {
    let written = text.value.strip_prefix("unix:")?;
    // As in a URL.
    let written = written.strip_prefix("//").unwrap_or(written);
    let path = table.directory().join(written);
    let length = path.as_os_str().as_bytes().len();
    if written.is_empty() {
        let hint = Some("write a path: `\"unix:app.sock\"`".into());
        table.error(text.span.clone(), "a Unix socket has a path", hint);
    } else if length > LONGEST_SOCKET {
        let message = format!(
            "the path of a Unix socket has at most {LONGEST_SOCKET} bytes, `{}` has {length}",
            path.display()
        );
        let hint = Some("put the socket into a directory with a shorter name".into());
        table.error(text.span.clone(), message, hint);
    }
    Some(path)
}
