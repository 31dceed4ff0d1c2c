//! From a [`Config`] and what runs now to what runs next.
//!
//! Owns: the only way to make a [`Snapshot`]. May touch: [`crate::cache`], [`crate::config`],
//! [`crate::country`], [`crate::http1`], [`crate::message`], [`crate::origin`], [`crate::route`],
//! [`crate::tls`], [`crate::upstream`]; certificate files. A server that
//! both configs have keeps its [`Server`]: health, counts and pooled connections survive. A failure
//! leaves everything as it was. Routes are compiled by `routes`.

use super::{
    Databases, Snapshot, listening,
    live::Resources,
    logs::{self, LogError},
    reaches::Reaches,
    routes::{self, Compiler, status},
    telemetry,
};
use crate::{
    cache::Cache,
    config::{self, Config, HostPattern},
    country::{CountryDatabase, DatabaseFault},
    http1::request_head::HeadLimits,
    message::forwarded::Believed,
    origin::{http2_settings::Http2Settings, pool},
    route::{Group, Router, Sites},
    tls::TlsError,
    upstream::{ActiveHealth, Member, Reach, Server, StrategyKind, Upstream},
};
use http::StatusCode;
use std::{collections::HashMap, fmt, path::PathBuf, sync::Arc, time::Duration};

/// Why a valid config can't be run.
#[derive(Debug)]
pub enum BuildError {
    /// A certificate changed or vanished between the check and the build.
    Tls(TlsError),
    /// A database of countries changed or vanished.
    Countries(PathBuf, DatabaseFault),
    /// An access log can't be opened.
    AccessLog(LogError),
}

impl From<TlsError> for BuildError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(error) => error.fmt(f),
            Self::Countries(path, fault) => write!(f, "error: `{}` {fault}", path.display()),
            Self::AccessLog(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BuildError {}

/// Compiles `config`, taking over from `previous` what both have.
pub fn build(
    config: Config,
    previous: Option<&Snapshot>,
    resources: &Resources,
) -> Result<Snapshot, BuildError> {
    assemble(config, previous, None, resources)
}

/// Compiles the config of `running` once more, with what an operator has set since. No file is read.
pub fn rebuild(running: &Snapshot, resources: &Resources) -> Result<Snapshot, BuildError> {
    let config = Config::clone(&running.config);
    let mut snapshot = assemble(config, Some(running), Some(running), resources)?;
    snapshot.generation = running.generation;
    Ok(snapshot)
}

/// The files of `unchanged`, if there is one, are not read again.
fn assemble(
    config: Config,
    previous: Option<&Snapshot>,
    unchanged: Option<&Snapshot>,
    resources: &Resources,
) -> Result<Snapshot, BuildError> {
    let mut reaches = Reaches::new(resources, unchanged.is_some());
    let group = |it| group(it, previous, resources, &mut reaches).map(Arc::new);
    let groups = config.upstreams.iter().map(group).collect::<Result<Vec<_>, _>>()?;
    let by_name = config.upstreams.iter().zip(&groups).map(|it| (it.0.name.as_str(), it)).collect();
    let caches = caches(&config, previous);
    let known = unchanged.map(|it| it.databases.clone());
    let databases = known.map_or_else(|| databases(&config, previous), Ok)?;
    let fields = config.trusted_fields;
    let mut compiler = Compiler::new(by_name, previous, fields, &caches, &databases, resources);
    let mut router = Router::default();
    let mut sites: HashMap<&str, Sites> = HashMap::new();
    for site in &config.sites {
        let index = router.add(site.routes.iter().map(|route| compiler.route(route)).collect());
        router.set_pages(index, routes::pages(site.error_pages.as_ref()));
        for name in &site.listeners {
            let sites = sites.entry(name).or_default();
            if site.hosts.is_empty() {
                sites.set_default(index);
            }
            for host in &site.hosts {
                match host {
                    HostPattern::Exact(host) => sites.add_exact(host, index),
                    HostPattern::Wildcard(parent) => sites.add_wildcard(parent, index),
                }
            }
        }
    }
    let mut listeners = Vec::new();
    for listener in &config.listeners {
        let id = resources.listener_id(&listener.name);
        listeners.resize_with(listeners.len().max(id + 1), || None);
        let sites = sites.remove(listener.name.as_str()).unwrap_or_default();
        let unchanged = unchanged.and_then(|it| it.listener(id));
        listeners[id] =
            Some(listening::parts(listener, sites, unchanged, resources).map_err(BuildError::Tls)?);
    }
    drop(compiler);
    let admin_tls = listening::admin_tls(&config.admin, unchanged, resources);
    let access_logs = logs::open(&config, previous, resources).map_err(BuildError::AccessLog)?;
    Ok(Snapshot {
        generation: previous.map_or(1, |it| it.generation + 1),
        alive: Arc::clone(&resources.generations),
        listeners,
        router,
        trusted_proxies: config.trusted_proxies.clone(),
        believed: believed(config.trusted_fields),
        wants_times: access_logs.wants_times() || config.otlp.is_some(),
        access_logs,
        noted_fields: logs::noted_fields(&config),
        custom: logs::custom_counters(&config, resources),
        export: telemetry::export(&config, previous, &mut reaches).map_err(BuildError::Tls)?,
        tracing: telemetry::tracing(&config, resources),
        admin_tls: admin_tls.map_err(BuildError::Tls)?,
        announces: config.upstreams.iter().any(|it| it.proxy_protocol.is_some()),
        groups,
        caches,
        databases,
        config: Arc::new(config),
    })
}

/// A cache that both configs have keeps what is stored, even if its size changes.
fn caches(config: &Config, previous: Option<&Snapshot>) -> Vec<Arc<Cache>> {
    let known = previous.map_or(&[][..], |it| &it.caches[..]);
    let cache = |wanted: &config::Cache| {
        let &config::Cache { ref name, memory, max_object, .. } = wanted;
        let cache = match known.iter().find(|it| *it.name == **name) {
            Some(cache) => {
                cache.resize(memory, max_object);
                Arc::clone(cache)
            }
            None => Cache::new(name, memory, max_object),
        };
        cache.set_tiers(wanted.redis.as_ref(), wanted.disk.as_ref());
        cache
    };
    config.caches.iter().map(cache).collect()
}

/// A database whose file has not changed is not read again. One whose file can't be used any more stays
/// as it was; the config's check has warned.
fn databases(config: &Config, previous: Option<&Snapshot>) -> Result<Databases, BuildError> {
    let known = previous.map_or(&[][..], |it| &it.databases[..]);
    let mut databases = Databases::new();
    let routes = config.sites.iter().flat_map(|it| &it.routes);
    for config::Geo { database: path, .. } in routes.filter_map(|it| it.geo.as_ref()) {
        if databases.iter().any(|it| it.path() == path) {
            continue;
        }
        let kept = known.iter().find(|it| it.is_still(path)).cloned();
        let earlier = || known.iter().find(|it| it.path() == path).cloned();
        let read =
            || CountryDatabase::read(path).map(Arc::new).or_else(|fault| earlier().ok_or(fault));
        let fault = |fault| BuildError::Countries(path.clone(), fault);
        databases.push(kept.map_or_else(read, Ok).map_err(fault)?);
    }
    Ok(databases)
}

fn believed(wanted: config::TrustedFields) -> Believed {
    match wanted {
        config::TrustedFields::Any => Believed::Any,
        config::TrustedFields::XForwarded => Believed::XForwarded,
        config::TrustedFields::Forwarded => Believed::Forwarded,
    }
}

fn group(
    wanted: &config::Upstream,
    previous: Option<&Snapshot>,
    resources: &Resources,
    reaches: &mut Reaches<'_>,
) -> Result<Group, TlsError> {
    let previous = previous
        .and_then(|it| it.groups.iter().find(|group| group.upstream.name() == wanted.name))
        .map(|group| &group.upstream);
    // Beside servers that are known to work, a new one must first pass a check. If no such server
    // is left, the new ones get requests at once.
    let checked = wanted.health_check.is_some() && previous.is_some();
    let known = previous.map_or(&[][..], Upstream::members);
    let members = wanted.servers.iter().map(|it| {
        let kept = known.iter().find(|old| old.server.address() == it.address);
        let server = kept.map(|old| Arc::clone(&old.server));
        let server = server.unwrap_or_else(|| new_server(&wanted.name, it, checked));
        Ok(member(it, server, reaches.reach((wanted, it), kept.map(|old| &old.reach))?))
    });
    let members = members.collect::<Result<_, _>>()?;
    let kind = match wanted.strategy {
        config::Strategy::RoundRobin => StrategyKind::RoundRobin,
        config::Strategy::LeastConnections => StrategyKind::LeastConnections,
        config::Strategy::IpHash => StrategyKind::IpHash,
        config::Strategy::RandomTwo => StrategyKind::RandomTwo,
        config::Strategy::ConsistentHash(_) => StrategyKind::ConsistentHash,
    };
    let fail_open = wanted.when_all_down == config::WhenAllDown::FailOpen;
    let servers: Vec<_> = wanted.servers.iter().map(|it| it.address.as_str()).collect();
    Ok(Group {
        upstream: Upstream::new(&wanted.name, kind, members, fail_open, previous),
        metrics: resources.metrics.upstream(&wanted.name, &servers),
        pool: pool::PoolLimits {
            idle: wanted.keepalive,
            idle_timeout: millis(wanted.keepalive_timeout),
            requests: wanted.keepalive_requests,
            age: millis(wanted.keepalive_age),
        },
        response: HeadLimits {
            head: wanted.limits.response_head,
            fields: wanted.limits.response_headers,
        },
        http2: Http2Settings {
            streams: wanted.http2.streams,
            ping: wanted.http2.ping,
            ping_timeout: wanted.http2.ping_timeout,
            idle_timeout: millis(wanted.keepalive_timeout),
            requests: wanted.keepalive_requests,
            age: millis(wanted.keepalive_age),
            head: u32::try_from(wanted.limits.response_head).unwrap_or(u32::MAX),
        },
        fail_on: statuses(&wanted.fail_on),
        resolve_interval: wanted.resolve_interval,
        health_check: wanted.health_check.clone(),
    })
}

/// What an operator has set counts in place of what the config says.
fn member(wanted: &config::Server, server: Arc<Server>, reach: Arc<Reach>) -> Member {
    let mut terms = wanted.terms;
    if let Some(weight) = server.overruled().and_then(|it| it.weight) {
        terms.weight = weight;
    }
    Member { server, reach, terms }
}

/// A new server. One that is `checked` gets no requests before its first check has passed.
fn new_server(upstream: &str, wanted: &config::Server, checked: bool) -> Arc<Server> {
    let server = Server::new(upstream, &wanted.address);
    if checked {
        server.set_active(ActiveHealth::Checking);
    }
    server
}

fn statuses(codes: &[u16]) -> Vec<StatusCode> {
    codes.iter().map(|code| status(*code)).collect()
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
