//! When a request is tried at another server.

use http::StatusCode;
use std::time::Duration;

/// When a request is tried at another server.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// `on`, default `["connect", "reset", "timeout"]`; `[]` = never. `"timeout"` is no response
    /// head in time; `"http_502"`, `"http_503"`, `"http_504"`, `"http_429"`, `"grpc_unavailable"`
    /// and the other `grpc_…` only if they are named.
    pub on: RetryOn,
    /// `tries`: further servers after the first, default 2; 0 = never. Servers that can't be
    /// connected to do not count, because no request was sent to them.
    pub tries: u32,
    /// `timeout`: no further try starts after this, default 10 s.
    pub timeout: Duration,
    /// `non_idempotent`: also POST and the like once sent, default false.
    pub non_idempotent: bool,
    /// `max_body`: request bodies up to this are kept for another try, default 64 KiB.
    pub max_body: usize,
    /// `budget`: retries as a percentage of the running requests, default `"20%"`; `"100%"` is no
    /// limit.
    pub budget_percent: u32,
    /// `budget_min`: retries always allowed at once, default 3.
    pub budget_min: u32,
    /// `budget_wait`: how long a retry waits for the budget, default 1 s; zero = not at all.
    pub budget_wait: Duration,
}

/// What a retry may follow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetryOn {
    /// `connect`: no connection could be made; nothing was sent.
    pub connect: bool,
    /// `reset`: the connection broke before a response head.
    pub reset: bool,
    /// `timeout`: no response head in time.
    pub timeout: bool,
    /// `http_502`, `http_503`, `http_504`, `http_429`.
    pub statuses: Vec<StatusCode>,
    /// `grpc_unavailable` and the other `grpc_…`: statuses of gRPC calls that end with their head,
    /// one bit for each.
    pub grpc: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            on: RetryOn { connect: true, reset: true, timeout: true, ..RetryOn::default() },
            tries: 2,
            timeout: Duration::from_secs(10),
            non_idempotent: false,
            max_body: 64 << 10,
            budget_percent: 20,
            budget_min: 3,
            budget_wait: Duration::from_secs(1),
        }
    }
}
