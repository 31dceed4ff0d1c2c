//! `[upstream.NAME]`: a group of servers and how a request chooses among them.

use super::{Place, Server, ServerTls, listener::head_size, nearest::did_you_mean, table::Table};
use crate::{
    settings::{HealthCheck, Retry},
    template::Template,
};
use std::time::Duration;

/// A group of servers.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// The NAME in `[upstream.NAME]`.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// `strategy`, default `round_robin`.
    pub strategy: Strategy,
    /// `protocol`, default `auto` with TLS and `http1` without.
    pub protocol: Protocol,
    /// `proxy_protocol`: how servers are told who the client is, default not at all.
    pub proxy_protocol: Option<SentHeader>,
    /// `http2`.
    pub http2: UpstreamHttp2,
    /// At least one that is not a backup. What `tls` of the upstream says is in each of them.
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
    /// `limits`.
    pub limits: UpstreamLimits,
}

/// `limits` of an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamLimits {
    /// `response_head`: bytes of a response's head, 8 to 128 KiB, default 64 KiB; 502.
    pub response_head: usize,
    /// `response_headers`: fields of a response, default 200; 502.
    pub response_headers: usize,
}

/// `strategy = "…"` (with `hash_key = "{…}"` beside it for `consistent_hash`, default
/// `{client_ip}`).
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

/// `http2` of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamHttp2 {
    /// `streams`: requests at once on one connection, default 100; fewer if the server says so.
    pub streams: u32,
    /// `ping`: after so long without a byte from a server that has requests, it is asked for a sign
    /// of life; default 10 s.
    pub ping: Duration,
    /// `ping_timeout`: it has so long to give one, default 5 s.
    pub ping_timeout: Duration,
}

/// `protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `http1`.
    Http1,
    /// `http2`, over TLS or not.
    Http2,
    /// `auto`: as the TLS handshake agrees on, by ALPN.
    Auto,
}

/// `proxy_protocol` of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentHeader {
    /// `v1`: a line of text.
    V1,
    /// `v2`: binary.
    V2,
}

/// `when_all_down`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAllDown {
    /// Try the ejected server whose ejection ends first.
    FailOpen,
    /// Answer 503.
    Error,
}

const HOUR: Duration = Duration::from_secs(3600);

const STRATEGIES: [&str; 6] =
    ["round_robin", "weighted", "least_connections", "ip_hash", "random_two", "consistent_hash"];

impl Upstream {
    /// Reads `[upstream.NAME]`.
    pub(super) fn read(name: String, table: &Table<'_>) -> Self {
        let example = "servers = [{ address = \"127.0.0.1:3001\" }]";
        let tls = table.optional_table("tls").map(|it| ServerTls::read(&it));
        let servers: Vec<_> = (table.tables("servers", example).iter())
            .map(|server| Server::read(server, tls.as_ref()))
            .collect();
        if servers.is_empty() && table.value("servers").is_none_or(super::tree::Value::is_empty) {
            let message = format!("{} has no servers", table.label());
            table.absent(table.value_span("servers"), message, Some(format!("add `{example}`")));
        }
        if tls.is_some() && !servers.is_empty() && servers.iter().all(|it| it.tls.is_none()) {
            let message = "`tls` has no effect: the address of every server begins with `http://`";
            let hint = Some("write `https://`, or host and port alone".into());
            table.warning(table.key_span("tls"), message, hint);
        }
        let protocol = read_protocol(table, &servers);
        let all_down = [("fail_open", WhenAllDown::FailOpen), ("error", WhenAllDown::Error)];
        Self {
            name,
            place: table.place(),
            strategy: Strategy::read(table),
            protocol,
            proxy_protocol: table.choice(
                "proxy_protocol",
                None,
                &[("v1", Some(SentHeader::V1)), ("v2", Some(SentHeader::V2))],
            ),
            servers,
            keepalive: table.number("keepalive", 64, 0..=1_000_000),
            keepalive_timeout: table
                .positive_duration("keepalive_timeout", Duration::from_secs(30)),
            keepalive_requests: table.number("keepalive_requests", 0, 0..=u64::from(u32::MAX)),
            keepalive_age: table.duration("keepalive_age", HOUR),
            health_check: read_health_check(table, protocol),
            when_all_down: table.choice("when_all_down", WhenAllDown::FailOpen, &all_down),
            resolve_interval: read_resolve_interval(table),
            fail_on: read_fail_on(table),
            http2: UpstreamHttp2::read(&table.table("http2")),
            retry: Retry::read(&table.table("retry"), &Retry::default()),
            limits: UpstreamLimits::read(&table.table("limits")),
        }
    }
}

impl UpstreamHttp2 {
    fn read(table: &Table<'_>) -> Self {
        Self {
            streams: table.number("streams", 100, 1..=10_000),
            ping: table.positive_duration("ping", Duration::from_secs(10)),
            ping_timeout: table.positive_duration("ping_timeout", Duration::from_secs(5)),
        }
    }
}

impl UpstreamLimits {
    fn read(table: &Table<'_>) -> Self {
        Self {
            response_head: head_size(table, "response_head", 64 << 10),
            response_headers: table.number("response_headers", 200, 1..=10_000),
        }
    }
}

impl Strategy {
    fn read(table: &Table<'_>) -> Self {
        let key = table.template("hash_key");
        if key.as_ref().is_some_and(is_constant) {
            let hint = Some("did you mean `\"{client_ip}\"`?".into());
            let message = "`hash_key` is the same for every request: one server would get them all";
            table.error(table.value_span("hash_key"), message, hint);
        }
        let strategy = match table.text("strategy") {
            None => Self::RoundRobin,
            Some(text) => match text.value.as_str() {
                "round_robin" | "weighted" => Self::RoundRobin,
                "least_connections" => Self::LeastConnections,
                "ip_hash" => Self::IpHash,
                "random_two" => Self::RandomTwo,
                "consistent_hash" => {
                    // The default is a constant; a wrong key was reported and never runs.
                    let client = || Template::parse("{client_ip}").unwrap_or_default();
                    return Self::ConsistentHash(key.unwrap_or_else(client));
                }
                unknown => {
                    let hint = did_you_mean(unknown, STRATEGIES, "known strategies");
                    let message = format!("unknown strategy `{unknown}`");
                    table.error(text.span.clone(), message, Some(hint));
                    // The user may have meant `consistent_hash`, which takes a key.
                    return Self::RoundRobin;
                }
            },
        };
        if table.has("hash_key") {
            let hint = Some("write `strategy = \"consistent_hash\"`, or leave the key out".into());
            let message = "`hash_key` is only for the strategy `consistent_hash`";
            table.error(table.key_span("hash_key"), message, hint);
        }
        strategy
    }
}

/// Whether a template gives the same text for every request to an upstream.
fn is_constant(template: &Template) -> bool {
    use crate::template::{Piece, Variable};
    template.parts().iter().all(|part| {
        matches!(part, Piece::Literal(_) | Piece::Variable(Variable::Server | Variable::Upstream))
    })
}

fn read_health_check(table: &Table<'_>, protocol: Protocol) -> Option<HealthCheck> {
    let checks = table.optional_table("health_check")?;
    let check = HealthCheck::read(&checks);
    if check.grpc.is_some() && protocol == Protocol::Http1 {
        let hint = Some("write `protocol = \"http2\"` beside it".into());
        let message = "gRPC needs HTTP/2, and these servers are asked by HTTP/1.1";
        checks.error(checks.value_span("grpc"), message, hint);
    }
    Some(check)
}

fn read_protocol(table: &Table<'_>, servers: &[Server]) -> Protocol {
    let tls = servers.iter().any(|server| server.tls.is_some());
    let default = if tls { Protocol::Auto } else { Protocol::Http1 };
    let words = [("http1", Protocol::Http1), ("http2", Protocol::Http2), ("auto", Protocol::Auto)];
    let protocol = table.choice("protocol", default, &words);
    if protocol == Protocol::Auto && !tls && !servers.is_empty() {
        let hint = Some("add `tls = {}`, or write `protocol = \"http1\"`".into());
        let message =
            "`auto` is agreed on in a TLS handshake, and no server of this upstream has TLS";
        table.error(table.value_span("protocol"), message, hint);
    }
    protocol
}

fn read_resolve_interval(table: &Table<'_>) -> Duration {
    let interval = table.positive_duration("resolve_interval", Duration::from_secs(10));
    if interval < Duration::from_secs(1) {
        let hint = Some("write at least `\"1s\"`: name servers are others' machines".into());
        table.error(table.value_span("resolve_interval"), "names are looked up too often", hint);
    }
    interval
}

fn read_fail_on(table: &Table<'_>) -> Vec<u16> {
    let values = table.array("fail_on").unwrap_or_default();
    let statuses = values.iter().filter_map(|it| table.number_in("fail_on", it, 400..=599));
    statuses.filter_map(|status| u16::try_from(status).ok()).collect()
}
