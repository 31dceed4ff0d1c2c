//! `retry = { … }` of an upstream or a route.

use super::table::Table;
use std::time::Duration;

/// When a request is tried at another server.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// `on`, default `["connect", "reset", "timeout"]`; `[]` = never. `"timeout"` is no response
    /// head in time; `"http_502"`, `"http_503"`, `"http_504"`, `"http_429"`, `"grpc_unavailable"`
    /// and the other `grpc_…` only if they are named.
    pub on: Vec<RetryOn>,
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
    /// `grpc_unavailable` and the other `grpc_…`: a call's status in an answer without a body.
    Grpc(u8),
}

const RETRY_ON: [(&str, RetryOn); 12] = [
    ("connect", RetryOn::Connect),
    ("reset", RetryOn::Reset),
    ("timeout", RetryOn::Timeout),
    ("http_502", RetryOn::Status(502)),
    ("http_503", RetryOn::Status(503)),
    ("http_504", RetryOn::Status(504)),
    ("http_429", RetryOn::Status(429)),
    ("grpc_cancelled", RetryOn::Grpc(1)),
    ("grpc_deadline_exceeded", RetryOn::Grpc(4)),
    ("grpc_resource_exhausted", RetryOn::Grpc(8)),
    ("grpc_internal", RetryOn::Grpc(13)),
    ("grpc_unavailable", RetryOn::Grpc(14)),
];

impl Default for Retry {
    fn default() -> Self {
        Self {
            on: vec![RetryOn::Connect, RetryOn::Reset, RetryOn::Timeout],
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

impl Retry {
    /// Reads `retry`. Keys that are absent are as in `base`: the route's upstream, or the defaults.
    pub(super) fn read(table: &Table<'_>, base: &Self) -> Self {
        let on = table.texts("on").map(|texts| {
            let mut on: Vec<_> =
                texts.iter().filter_map(|text| table.chosen("on", text, &RETRY_ON)).collect();
            let mut seen = Vec::new();
            on.retain(|it| {
                !seen.contains(it) && {
                    seen.push(*it);
                    true
                }
            });
            on
        });
        Self {
            on: on.unwrap_or_else(|| base.on.clone()),
            tries: table.number("tries", base.tries, 0..=100),
            timeout: table.positive_duration("timeout", base.timeout),
            non_idempotent: table.boolean("non_idempotent", base.non_idempotent),
            max_body: table.size("max_body", base.max_body),
            budget_percent: table.percent("budget", base.budget_percent),
            budget_min: table.number("budget_min", base.budget_min, 0..=1_000_000),
            budget_wait: table.duration("budget_wait", base.budget_wait),
        }
    }
}
