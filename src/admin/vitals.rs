//! How the process is: what it uses of what it may use, and what seems to leak.
//!
//! Owns: the words for it in `/health` and `/stats`. May touch: [`crate::config`],
//! [`crate::observe`], [`crate::snapshot`].

use crate::{
    config::HealthLevels,
    observe::{
        figures::{Bounds, Figures, Heap},
        leak::Suspect,
    },
    snapshot::Live,
};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// A check's words.
const WARNING: &str = "warning";

fn word(warns: bool) -> &'static str {
    if warns { WARNING } else { "ok" }
}

/// Adds the checks of the process; returns whether one of them warns.
pub(super) fn check(live: &Live, checks: &mut Map<String, Value>) -> bool {
    let levels = live.load().config.health.clone();
    let (figures, bounds) = (Figures::read(), Bounds::read());
    let told = [
        ("memory", memory(&figures, &bounds, &levels)),
        ("cpu", cpu(live, &figures, &bounds, &levels)),
        ("descriptors", descriptors(&figures, &bounds, &levels)),
        ("workers", workers(live, &levels)),
        ("leak_watch", leak_check(live, &levels)),
    ];
    let warns = told.iter().any(|(_, it)| it["status"] == WARNING);
    checks.extend(told.map(|(name, it)| (name.to_owned(), it)));
    warns
}

/// `used` of `limit` in per cent; `None` without a limit.
fn percent(used: f64, limit: f64) -> Option<f64> {
    (limit > 0.0).then(|| (used / limit * 1000.0).round() / 10.0)
}

/// Whether a level is reached; one of 0 never is.
fn reaches(percent: Option<f64>, level: u32) -> bool {
    level > 0 && percent.is_some_and(|it| it >= f64::from(level))
}

fn memory(figures: &Figures, bounds: &Bounds, levels: &HealthLevels) -> Value {
    let percent = percent(figures.resident as f64, bounds.memory as f64);
    json!({
        "status": word(reaches(percent, levels.memory)),
        "resident_bytes": figures.resident,
        "limit_bytes": bounds.memory,
        "percent": percent,
    })
}

fn cpu(live: &Live, figures: &Figures, bounds: &Bounds, levels: &HealthLevels) -> Value {
    let used = live.sampler().cores();
    let percent = percent(used, bounds.cores as f64);
    // One busy second, as after a start, is none.
    let known = live.sampler().knows_cores();
    json!({
        "status": word(known && reaches(percent, levels.cpu)),
        "seconds": figures.cpu_seconds,
        "cores": (used * 1000.0).round() / 1000.0,
        "cores_limit": bounds.cores,
        "percent": percent,
    })
}

fn descriptors(figures: &Figures, bounds: &Bounds, levels: &HealthLevels) -> Value {
    let limit = bounds.descriptors.unwrap_or_default();
    let percent = percent(figures.descriptors as f64, limit as f64);
    json!({
        "status": word(reaches(percent, levels.descriptors)),
        "open": figures.descriptors,
        "limit": bounds.descriptors,
        "percent": percent,
    })
}

/// A worker's lag counts once there are so many timers: of fewer one alone would decide.
const TIMERS: u64 = 120;
/// A timer that is so much later than the level has not fired because its worker is stuck.
const STUCK: Duration = Duration::from_secs(1);

/// The worker that is worst off counts.
fn workers(live: &Live, levels: &HealthLevels) -> Value {
    let sampler = live.sampler();
    let (mut lag, mut busy, mut warns) = (0.0_f64, 0.0_f64, false);
    let level = levels.worker_lag;
    for worker in sampler.workers() {
        busy = busy.max(worker.busy);
        let own = worker.lag_p99.unwrap_or_default();
        lag = lag.max(own);
        let is_late = worker.timers >= TIMERS && own >= level.as_secs_f64() * 1000.0;
        warns |= !level.is_zero() && (is_late || worker.overdue >= level + STUCK);
    }
    json!({
        "status": word(warns),
        "lag_p99_ms": (lag * 1000.0).round() / 1000.0,
        "busy": (busy * 1000.0).round() / 1000.0,
    })
}

fn leak_check(live: &Live, levels: &HealthLevels) -> Value {
    if !levels.leak_watch {
        return json!({ "status": "ok", "enabled": false });
    }
    let suspects: Vec<_> = live.leaks().suspected().collect();
    let told = |it: &Suspect| format!("{}: {} more each minute", it.what.name(), it.told());
    json!({
        "status": word(!suspects.is_empty()),
        "suspects": suspects.iter().map(told).collect::<Vec<_>>(),
    })
}

/// The process, as `/stats` tells.
pub(super) fn process(cores: f64) -> Value {
    let (figures, bounds, heap) = (Figures::read(), Bounds::read(), Heap::read());
    json!({
        "cpu_seconds": figures.cpu_seconds,
        "cores": (cores * 1000.0).round() / 1000.0,
        "cores_limit": bounds.cores,
        "cpu_percent": percent(cores, bounds.cores as f64),
        "resident_bytes": figures.resident,
        "memory_limit_bytes": bounds.memory,
        "heap": { "committed_bytes": heap.committed, "reserved_bytes": heap.reserved },
        "descriptors": figures.descriptors,
        "descriptors_limit": bounds.descriptors,
        "threads": figures.threads,
        "page_faults": { "minor": figures.faults.0, "major": figures.faults.1 },
    })
}

/// The leak watch, as `/stats` tells.
pub(super) fn leak_watch(live: &Live) -> Value {
    let watch = live.leaks();
    let (samples, over) = watch.seen();
    let suspects = watch.suspicions().map(|(what, it)| {
        json!({
            "what": what.name(),
            "unit": if what.is_bytes() { "bytes" } else { "" },
            "per_minute": it.per_minute.round(),
            "amount": it.amount,
            "for_s": live.uptime().saturating_sub(it.since).as_secs(),
        })
    });
    let suspects = suspects.collect::<Vec<_>>();
    json!({ "samples": samples, "over_s": over.as_secs(), "suspects": suspects })
}
