//! `/topology`: which listener leads to which site, route, upstream and server.
//!
//! Owns: the running config as people draw it; no figures, so it changes only with the config. May
//! touch: [`crate::config`], [`crate::snapshot`].

use super::{
    answer::{AdminAnswer, document},
    ask::Ask,
};
use crate::{
    config::{
        Action, HostPattern, Listener, PathPattern, Protocol, Route, Server, Site, Strategy,
        Upstream,
    },
    snapshot::{Snapshot, TlsParts},
};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

/// All of it.
pub(super) fn topology(Ask { live, .. }: &Ask) -> AdminAnswer {
    document(StatusCode::OK, &told(&live.load()))
}

fn told(snapshot: &Snapshot) -> Value {
    let config = &snapshot.config;
    json!({
        "generation": snapshot.generation,
        "file": config.source.file.display().to_string(),
        "listeners": list(&config.listeners, |it| listener(snapshot, it)),
        "sites": list(&config.sites, site),
        "upstreams": list(&config.upstreams, upstream),
        "caches": list(&config.caches, |it| it.name.as_str().into()),
    })
}

fn list<T>(things: &[T], told: impl Fn(&T) -> Value) -> Vec<Value> {
    things.iter().map(told).collect()
}

fn listener(snapshot: &Snapshot, wanted: &Listener) -> Value {
    let running = snapshot.listeners.iter().flatten().find(|it| *it.name == *wanted.name);
    let tls = wanted.tls.as_ref().map(|tls| {
        json!({
            "http2": tls.http2,
            "min_version": if tls.only_tls13 { "1.3" } else { "1.2" },
            "client_certificates": tls.client.as_ref().map(|it| {
                if it.required { "required" } else { "optional" }
            }),
            "certificates": running.and_then(|it| it.tls.as_ref()).map(certificates),
        })
    });
    json!({
        "name": wanted.name,
        "line": wanted.place.line,
        "address": wanted.address.to_string(),
        "proxy_protocol": wanted.proxy_protocol.is_some(),
        "tls": tls,
    })
}

fn certificates(tls: &TlsParts) -> Vec<Value> {
    let time = |second| Timestamp::from_second(second).map(|it| it.to_string()).ok();
    let certificates = tls.certificates.lifetimes().map(|it| {
        json!({
            "file": it.file.display().to_string(),
            "names": it.names,
            "begins": time(it.begins),
            "expires": time(it.ends),
        })
    });
    certificates.collect()
}

fn site(site: &Site) -> Value {
    let host = |host: &HostPattern| match host {
        HostPattern::Exact(host) => host.clone().into(),
        HostPattern::Wildcard(parent) => format!("*.{parent}").into(),
    };
    json!({
        "name": site.name,
        "line": site.place.line,
        "hosts": list(&site.hosts, host),
        "listeners": site.listeners,
        "routes": list(&site.routes, route),
    })
}

fn route(route: &Route) -> Value {
    let path = match &route.path {
        PathPattern::Exact(path) => path.clone(),
        PathPattern::Prefix(path) => format!("{path}*"),
        PathPattern::Suffix(end) => format!("*{end}"),
    };
    let (action, upstream, says) = match &route.action {
        Action::Forward(upstream) => ("forward", Some(upstream), None),
        Action::Files(files) => ("files", None, Some(files.root.display().to_string())),
        Action::Redirect(redirect) => ("redirect", None, Some(redirect.status.to_string())),
        Action::Respond(respond) => ("respond", None, Some(respond.status.to_string())),
    };
    json!({
        "name": route.name,
        "line": route.place.line,
        "path": path,
        "methods": list(&route.methods, |it| it.as_str().into()),
        "action": action,
        "upstream": upstream,
        "says": says,
        "cache": route.cache.as_ref().map(|it| &*it.store),
    })
}

fn upstream(upstream: &Upstream) -> Value {
    let strategy = match upstream.strategy {
        Strategy::RoundRobin => "round_robin",
        Strategy::LeastConnections => "least_connections",
        Strategy::IpHash => "ip_hash",
        Strategy::RandomTwo => "random_two",
        Strategy::ConsistentHash(_) => "consistent_hash",
    };
    let protocol = match upstream.protocol {
        Protocol::Http1 => "http1",
        Protocol::Http2 => "http2",
        Protocol::Auto => "auto",
    };
    json!({
        "name": upstream.name,
        "line": upstream.place.line,
        "strategy": strategy,
        "protocol": protocol,
        "health_check": upstream.health_check.is_some(),
        "servers": list(&upstream.servers, server),
    })
}

fn server(server: &Server) -> Value {
    json!({
        "address": server.address,
        "line": server.place.line,
        "weight": server.terms.weight,
        "backup": server.terms.backup,
        "max_conns": server.terms.max_conns,
        "tls": server.tls.is_some(),
    })
}
