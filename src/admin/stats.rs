//! `/stats`: what has happened in the last second, minute and five minutes, and how full everything
//! is.
//!
//! Owns: the form of it, which the dashboard and `sheave status` read, too. May touch:
//! [`crate::observe`], [`crate::route`], [`crate::snapshot`], [`crate::upstream`].

use super::{
    answer::{AdminAnswer, document},
    ask::Ask,
    cache, vitals,
};
use crate::{
    observe::{
        sampler::{StatsSampler, WorkerHealth},
        tally::{Summary, WindowTally},
        windows::StatsWindow,
    },
    route::Group,
    snapshot::{Live, Snapshot},
    upstream::Member,
};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::{collections::HashSet, iter::repeat_with};

/// Answers with all of it.
pub(super) fn stats(Ask { live, .. }: &Ask) -> AdminAnswer {
    document(StatusCode::OK, &everything(live))
}

/// All of it.
pub(super) fn everything(live: &Live) -> Value {
    let (snapshot, sampler, now) = (live.load(), live.sampler(), live.clock.now());
    json!({
        "time": Timestamp::now().to_string(),
        "uptime": live.uptime().as_secs_f64(),
        "version": env!("CARGO_PKG_VERSION"),
        "generation": snapshot.generation,
        "total": windows(|window| sampler.total(window)),
        "routes": routes(&snapshot, &sampler),
        "upstreams": snapshot.groups.iter().map(|it| upstream(it, &sampler, now)).collect::<Vec<_>>(),
        "errors": errors(&sampler),
        "workers": workers(live, &sampler),
        "pools": pools(live, &snapshot),
        "queues": queues(&snapshot),
        "connections": connections(live, &snapshot),
        "process": vitals::process(sampler.cores()),
        "leak_watch": vitals::leak_watch(live),
        "caches": cache::told(live),
    })
}

/// A thing's windows, by their names.
fn windows(summary: impl Fn(StatsWindow) -> Summary) -> Value {
    let told = StatsWindow::ALL.map(|window| (window.name().to_owned(), told(&summary(window))));
    Value::Object(told.into_iter().collect())
}

fn told(summary: &Summary) -> Value {
    let WindowTally { requests, errors, .. } = summary.tally;
    json!({
        "requests": requests,
        "rate": rounded(summary.rate()),
        "errors": errors,
        "error_rate": summary.error_rate(),
        "p50_ms": summary.quantile(0.5).map(rounded),
        "p90_ms": summary.quantile(0.9).map(rounded),
        "p99_ms": summary.quantile(0.99).map(rounded),
    })
}

/// To three places: no figure here is more exact.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Every route of the config once, in its order.
fn routes(snapshot: &Snapshot, sampler: &StatsSampler) -> Vec<Value> {
    let mut seen = HashSet::new();
    let routes = snapshot.router.routes().iter().filter(|route| seen.insert(&*route.name));
    let route = |name: &str| {
        let mut told = windows(|window| sampler.route(name, window));
        told["name"] = name.into();
        told
    };
    routes.map(|it| route(&it.name)).collect()
}

fn upstream(group: &Group, sampler: &StatsSampler, now: u64) -> Value {
    let upstream = &group.upstream;
    let one =
        |member: &Member, window| sampler.server(upstream.name(), member.server.address(), window);
    let all = |window| {
        let mut sum = Summary { tally: WindowTally::default(), over: sampler.length(window) };
        upstream.members().iter().for_each(|it| sum.tally.add(&one(it, window).tally));
        sum
    };
    let mut told = windows(all);
    told["name"] = upstream.name().into();
    told["in_flight"] = upstream.running().into();
    told["retries"] = group.metrics.retries.get().into();
    let servers = upstream.members().iter().map(|member| {
        let mut told = windows(|window| one(member, window));
        let (server, status) = (&member.server, member.server.status(member, now));
        told["address"] = server.address().into();
        told["state"] = status.state.as_str().into();
        told["reason"] = status.reason.as_deref().into();
        told["in_flight"] = server.in_flight().into();
        told["max_conns"] = member.terms.max_conns.into();
        told["weight"] = member.terms.weight.into();
        told["backup"] = member.terms.backup.into();
        told["drained"] = server.is_drained().into();
        told
    });
    told["servers"] = servers.collect();
    told
}

/// Requests that something went wrong with, by reason.
fn errors(sampler: &StatsSampler) -> Value {
    let by_reason = |window: StatsWindow| -> Map<String, Value> {
        sampler.reasons(window).map(|(reason, count)| (reason.to_owned(), count.into())).collect()
    };
    json!({ "1m": by_reason(StatsWindow::Minute), "5m": by_reason(StatsWindow::FiveMinutes) })
}

fn workers(live: &Live, sampler: &StatsSampler) -> Vec<Value> {
    // The first sample is taken after a second.
    let healths = sampler.workers().chain(repeat_with(WorkerHealth::default));
    let workers = live.metrics.workers().into_iter().zip(healths).enumerate();
    let told = workers.map(|(index, (worker, health))| {
        json!({
            "worker": index,
            "busy": rounded(health.busy),
            "lag_p99_ms": health.lag_p99.map(rounded),
            "lag_max_ms": rounded(health.lag_max.as_secs_f64() * 1000.0),
            "connections": worker.connections(),
            "requests": worker.requests(),
            "tasks": worker.tasks(),
            "queue": worker.queue(),
        })
    });
    told.collect()
}

/// Connections to servers.
fn pools(live: &Live, snapshot: &Snapshot) -> Value {
    let metrics = &live.metrics;
    let (hits, misses) = (metrics.pool_hits.get(), metrics.pool_misses.get());
    json!({
        "idle": metrics.workers().iter().map(|it| it.idle()).sum::<usize>(),
        "in_use": snapshot.groups.iter().map(|it| it.upstream.running()).sum::<u32>(),
        "hit_ratio": (hits + misses > 0).then(|| hits as f64 / (hits + misses) as f64),
    })
}

/// What waits to be written or sent, in bytes.
fn queues(snapshot: &Snapshot) -> Value {
    let mut told = Map::new();
    let mut room = (0, 0);
    for writer in snapshot.access_logs.writers() {
        let (used, limit) = writer.fill();
        room = (room.0 + used, room.1 + limit);
    }
    told.insert("access_log".into(), json!({ "used": room.0, "limit": room.1 }));
    if let Some(tracing) = &snapshot.tracing {
        let (used, limit) = tracing.queue.fill();
        told.insert("otlp".into(), json!({ "used": used, "limit": limit }));
    }
    Value::Object(told)
}

/// Connections from clients.
fn connections(live: &Live, snapshot: &Snapshot) -> Value {
    let mut listeners = Map::new();
    for listener in snapshot.listeners.iter().flatten() {
        let open = live.metrics.connections_open.with_label_values(&[&listener.name]).get();
        listeners.insert(listener.name.to_string(), open.into());
    }
    let open = live.metrics.workers().iter().map(|it| it.connections()).sum::<usize>();
    json!({ "open": open, "max": live.metrics.connections_max.get(), "listeners": listeners })
}
