//! What active checks ask, and how the answers are judged.

use std::time::Duration;

/// Active probes.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthCheck {
    /// `path`, default `/`; starts with `/`.
    pub path: String,
    /// `grpc`: the service whose health is asked for by gRPC, in place of `path`; `""` is the whole
    /// server.
    pub grpc: Option<String>,
    /// `host`: the `Host` sent, default the server's address.
    pub host: Option<String>,
    /// `interval`, default 5 s, ± 10 %.
    pub interval: Duration,
    /// `timeout` of one probe, default 2 s, or `interval` if that is less.
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
