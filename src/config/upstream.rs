//! `[upstream.NAME]`: a group of servers and how a request chooses among them.

use super::{HealthCheck, Retry, Server};
use crate::template::Template;
use std::time::Duration;

/// A group of servers.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// The NAME in `[upstream.NAME]`.
    pub name: String,
    /// `strategy`, default `round_robin`.
    pub strategy: Strategy,
    /// At least one that is not a backup.
    pub servers: Vec<Server>,
    /// `keepalive`: idle connections kept per server and worker, default 64; 0 = none.
    pub keepalive: usize,
    /// `keepalive_timeout`: idle time of a pooled connection, default 30 s, less up to 10 % jitter.
    pub keepalive_timeout: Duration,
    /// `keepalive_requests`: requests on one connection, default 0 = unlimited.
    pub keepalive_requests: u64,
    /// `keepalive_age`: a connection's life, default 1 h. Zero = unlimited.
    pub keepalive_age: Duration,
    /// `health_check`, default none.
    pub health_check: Option<HealthCheck>,
    /// `when_all_down`, default `fail_open`.
    pub when_all_down: WhenAllDown,
    /// `resolve_interval`: how often server names are looked up again, default 10 s.
    pub resolve_interval: Duration,
    /// `fail_on`: statuses of a server that count as its failure, default none.
    pub fail_on: Vec<u16>,
    /// `retry`: for routes that do not say otherwise.
    pub retry: Retry,
}

/// `strategy = "…"` (with `hash_key = "{…}"` beside it for `consistent_hash`, default `{client_ip}`).
#[derive(Clone, Debug, PartialEq)]
pub enum Strategy {
    /// `round_robin`, also written `weighted`.
    RoundRobin,
    /// `least_connections`.
    LeastConnections,
    /// `ip_hash`.
    IpHash,
    /// `random_two`.
    RandomTwo,
    /// `consistent_hash`, by the rendered template.
    ConsistentHash(Template),
}

/// `when_all_down`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAllDown {
    /// Try the ejected server whose ejection ends first.
    FailOpen,
    /// Answer 503.
    Error,
}
