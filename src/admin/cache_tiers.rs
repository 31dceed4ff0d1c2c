//! What is told of the tiers of a cache beside memory: in `/cache`, `/health` and metrics.
//!
//! Owns: the words for it. May touch: [`crate::cache`], [`crate::observe`].

use crate::{
    cache::{Cache, tiers::disk::DiskState},
    observe::cache_metrics::CacheMetrics,
};
use serde_json::{Value, json};

/// A tier beside memory.
struct TierNow {
    name: &'static str,
    state: &'static str,
    up: bool,
    /// Objects, bytes and capacity, if it is this process's own.
    held: Option<[u64; 3]>,
    /// Purges that it is to be told of.
    waiting: u64,
    events: Vec<(&'static str, u64)>,
}

fn tiers(cache: &Cache) -> Vec<TierNow> {
    let Some(tiers) = cache.tiers() else { return Vec::new() };
    let redis = tiers.redis.as_ref().map(|tier| {
        let stats = tier.stats();
        TierNow {
            name: "redis",
            state: if stats.connected { "ready" } else { "gone" },
            up: stats.connected,
            held: None,
            waiting: stats.purges_waiting,
            events: vec![
                ("hit", stats.hits),
                ("miss", stats.misses),
                ("write", stats.writes),
                ("dropped", stats.dropped),
                ("failure", stats.failures),
                ("timeout", stats.timeouts),
                ("purge_heard", stats.purges_heard),
            ],
        }
    });
    let disk = tiers.disk.as_ref().map(|tier| {
        let stats = tier.stats();
        TierNow {
            name: "disk",
            state: stats.state.as_str(),
            up: stats.state != DiskState::Unusable,
            held: Some([stats.objects, stats.bytes, stats.capacity]),
            waiting: 0,
            events: vec![
                ("hit", stats.hits),
                ("miss", stats.misses),
                ("write", stats.writes),
                ("dropped", stats.dropped),
                ("eviction", stats.evictions),
                ("purged", stats.purged),
                ("damaged", stats.damaged),
                ("failure", stats.failures),
            ],
        }
    });
    redis.into_iter().chain(disk).collect()
}

/// The tiers, as `/cache` tells.
pub(super) fn tell(cache: &Cache) -> Vec<Value> {
    tiers(cache).iter().map(told).collect()
}

/// The tiers of a cache, and whether they can be used.
pub(super) fn states(cache: &Cache) -> impl Iterator<Item = (&'static str, bool)> {
    tiers(cache).into_iter().map(|it| (it.name, it.up))
}

fn told(tier: &TierNow) -> Value {
    let mut told = json!({ "tier": tier.name, "state": tier.state });
    if let Some([objects, bytes, capacity]) = tier.held {
        (told["objects"], told["bytes"]) = (objects.into(), bytes.into());
        told["capacity"] = capacity.into();
    }
    if tier.waiting > 0 {
        told["purges_waiting"] = tier.waiting.into();
    }
    for (event, count) in &tier.events {
        told[*event] = (*count).into();
    }
    told
}

/// Sets the gauges and counters of its tiers to their current values.
pub(super) fn set_gauges(metrics: &CacheMetrics, cache: &Cache) {
    for tier in tiers(cache) {
        let labels = [&*cache.name, tier.name];
        metrics.tier_up.with_label_values(&labels).set(tier.up.into());
        if let Some([objects, bytes, _]) = tier.held {
            metrics.tier_objects.with_label_values(&labels).set(objects as i64);
            metrics.tier_bytes.with_label_values(&labels).set(bytes as i64);
        }
        for (event, count) in tier.events {
            let counter = metrics.tier_events.with_label_values(&[labels[0], labels[1], event]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }
}
