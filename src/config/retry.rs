//! `retry = { … }` of an upstream or a route.

use std::time::Duration;

/// When a request is tried at another server.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// `on`, default `["connect", "reset"]`; `[]` = never. `"timeout"` (no response head in time),
    /// `"http_502"`, `"http_503"`, `"http_504"`, `"http_429"` on request.
    pub on: Vec<RetryOn>,
    /// `tries`: further servers after the first, default 2; 0 = never.
    pub tries: u32,
    /// `timeout`: no further try starts after this, default 10 s.
    pub timeout: Duration,
    /// `non_idempotent`: also POST and the like once sent, default false.
    pub non_idempotent: bool,
    /// `max_body`: request bodies up to this are kept for another try, default 64 KiB.
    pub max_body: usize,
    /// `budget`: retries as a percentage of the running requests, default `"20%"`; `"100%"` is no limit.
    pub budget_percent: u32,
    /// `budget_min`: retries always allowed at once, default 3.
    pub budget_min: u32,
}

/// What a retry may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryOn {
    /// `connect`: no connection could be made; nothing was sent.
    Connect,
    /// `reset`: the connection broke before a response head.
    Reset,
    /// `timeout`: no response head in time.
    Timeout,
    /// `http_502`, `http_503`, `http_504` or `http_429`.
    Status(u16),
}
