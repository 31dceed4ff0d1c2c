//! `servers = [{ … }]` of an upstream: one address and what it can bear.

use super::{names::server_address, table::Table};
use std::time::Duration;

/// One address in an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// `address`: `"host:port"`, `"1.2.3.4:80"` or `"[::1]:80"`, as written and syntactically valid.
    pub address: String,
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
        let address = table.required_text("address", "\"127.0.0.1:3001\"").map(|text| {
            if let Err((message, hint)) = server_address(&text.value) {
                table.error(text.span.clone(), message, Some(hint));
            }
            text.value.clone()
        });
        Self {
            address: address.unwrap_or_default(),
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
