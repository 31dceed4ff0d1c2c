//! `/health`: what is well and what is not, for people and monitors.

use super::{
    answer::{AdminAnswer, document},
    ask::Ask,
    cache_tiers, certificates, vitals,
};
use crate::{
    snapshot::{Live, live::Phase},
    upstream::Member,
};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// `ok`, or `degraded` when an upstream has no live server, the last reload failed, the access log
/// lost lines within the last minute, a cache's Redis or disk is gone, or a certificate ends within
/// three days; `warning` when the process itself reaches a level of `[health]`, or seems to leak; 503
/// when requests can't be served.
pub(super) fn health(Ask { live, .. }: &Ask) -> AdminAnswer {
    let (status, body) = now(live);
    document(status, &body)
}

/// The status and the body of the answer.
pub(super) fn now(live: &Live) -> (StatusCode, Value) {
    let (snapshot, now) = (live.load(), live.clock.now());
    let mut degraded = false;
    let mut checks = Map::new();
    for group in &snapshot.groups {
        let members = group.upstream.members();
        let states = members.iter().map(|member| member.server.status(member, now).state);
        let up = states.filter(|state| state.is_up()).count();
        let alive = group.upstream.has_live(now);
        degraded |= !alive;
        let mut told = json!({ "status": word(alive), "up": up, "servers": members.len() });
        // This is what the config wants, but it must stay visible.
        if members.iter().any(Member::is_unverified) {
            told["tls"] = "not verified".into();
        }
        checks.insert(format!("upstream.{}", group.upstream.name()), told);
    }
    let reloaded = live.metrics.reload_successful.get() == 1;
    degraded |= !reloaded;
    checks.insert(
        "config".into(),
        json!({ "status": word(reloaded), "generation": snapshot.generation }),
    );
    let warns = vitals::check(live, &mut checks);
    if !snapshot.access_logs.is_empty() {
        // Requests are served, but readers of the log should know that lines are missing.
        let whole = !snapshot.access_logs.writers().any(|it| it.loses_lines());
        degraded |= !whole;
        let dropped = live.metrics.access_log_dropped.get();
        checks.insert("access_log".into(), json!({ "status": word(whole), "dropped": dropped }));
    }
    if snapshot.export.is_some() {
        // Requests are served without it, and nobody shall take this instance out for it.
        checks.insert("otlp".into(), exports(live));
    }
    for cache in &snapshot.caches {
        for (tier, up) in cache_tiers::states(cache) {
            // Requests are served without it, only slower.
            degraded |= !up;
            let name = format!("cache.{}.{tier}", cache.name);
            checks.insert(name, json!({ "status": word(up) }));
        }
    }
    if let Some((well, mut told)) = certificates::check(&snapshot, Timestamp::now()) {
        degraded |= !well;
        told["status"] = word(well).into();
        checks.insert("certificates".into(), told);
    }
    let serving = live.phase() == Phase::Running && snapshot.has_live_upstream(now);
    let body: Value = json!({
        "status": overall(degraded || !serving, warns),
        "uptime": live.uptime().as_secs_f64(),
        "version": env!("CARGO_PKG_VERSION"),
        "checks": checks,
    });
    let status = if serving { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, body)
}

fn overall(degraded: bool, warns: bool) -> &'static str {
    match (degraded, warns) {
        (true, _) => "degraded",
        (false, true) => "warning",
        (false, false) => "ok",
    }
}

/// What is sent to a collector.
fn exports(live: &Live) -> Value {
    let up = |signal| live.metrics.otlp.up.with_label_values(&[signal]).get() == 1;
    let (traces, metrics) = (up("traces"), up("metrics"));
    let (used, limit) = live.spans.fill();
    json!({
        "status": word(traces && metrics),
        "traces": word(traces),
        "metrics": word(metrics),
        "dropped_spans": live.metrics.otlp.dropped_spans.get(),
        "queue": { "used": used, "limit": limit },
    })
}

fn word(well: bool) -> &'static str {
    if well { "ok" } else { "degraded" }
}
