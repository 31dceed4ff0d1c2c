//! `health_check = { … }` of an upstream: active probes.

use std::time::Duration;

/// Active probes.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthCheck {
    /// `path`, default `/`; starts with `/`.
    pub path: String,
    /// `host`: the `Host` sent, default the server's address.
    pub host: Option<String>,
    /// `interval`, default 5 s, ± 10 %.
    pub interval: Duration,
    /// `timeout` of one probe, default 2 s.
    pub timeout: Duration,
    /// `fall`: failures in a row until down, default 3.
    pub fall: u32,
    /// `rise`: successes in a row until up, default 2.
    pub rise: u32,
    /// `status`: accepted, default `["200-399"]`; each `"200"`, `200` or `"200-399"`.
    pub status: Vec<StatusRange>,
}

/// An inclusive range of status codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    /// First accepted.
    pub first: u16,
    /// Last accepted.
    pub last: u16,
}
