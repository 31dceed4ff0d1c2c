//! `servers = [{ … }]` of an upstream: one address and what it can bear.

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
    /// `max_conns`: requests in flight, default 0 = unlimited.
    pub max_conns: u32,
    /// `backup`: used only when no other server can be, default false.
    pub backup: bool,
    /// `down`: never used, default false.
    pub down: bool,
}
