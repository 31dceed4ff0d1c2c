//! The metrics of the caches of responses.
//!
//! Owns: the metrics, which are set when they are read. May touch: nothing outside this room.

use super::maker::Maker;
use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec};

/// The metrics of every cache.
pub struct CacheMetrics {
    /// `sheave_cache_requests_total`.
    pub requests: IntCounterVec,
    /// `sheave_cache_objects`.
    pub objects: IntGaugeVec,
    /// `sheave_cache_bytes`.
    pub bytes: IntGaugeVec,
    /// `sheave_cache_evictions_total`.
    pub evictions: IntCounterVec,
    /// `sheave_cache_purged_total`.
    pub purged: IntCounterVec,
    /// `sheave_cache_refreshes_total`.
    pub refreshes: IntCounterVec,
    /// `sheave_cache_fetch_duration_seconds`.
    pub fetch_seconds: HistogramVec,
    /// `sheave_cache_tier_events_total`.
    pub tier_events: IntCounterVec,
    /// `sheave_cache_tier_up`.
    pub tier_up: IntGaugeVec,
    /// `sheave_cache_tier_objects`, of a tier that this process alone has.
    pub tier_objects: IntGaugeVec,
    /// `sheave_cache_tier_bytes`, likewise.
    pub tier_bytes: IntGaugeVec,
}

impl CacheMetrics {
    pub(super) fn new(make: &Maker) -> Self {
        let (cache, tier) = (["cache"], ["cache", "tier"]);
        Self {
            requests: make.counters(
                "sheave_cache_requests_total",
                "Requests for a cache, by what became of them.",
                &["cache", "outcome"],
            ),
            objects: make.gauges("sheave_cache_objects", "Responses that are stored.", &cache),
            bytes: make.gauges("sheave_cache_bytes", "Bytes that they take.", &cache),
            evictions: make.counters(
                "sheave_cache_evictions_total",
                "Responses that had to go for others.",
                &cache,
            ),
            purged: make.counters(
                "sheave_cache_purged_total",
                "Purged responses that have gone.",
                &cache,
            ),
            refreshes: make.counters(
                "sheave_cache_refreshes_total",
                "Fetches behind an answer.",
                &cache,
            ),
            fetch_seconds: make.seconds(
                "sheave_cache_fetch_duration_seconds",
                "Time that fetches for a cache took, by where they found the response.",
                &tier,
            ),
            tier_events: make.counters(
                "sheave_cache_tier_events_total",
                "What became of the uses of a tier beside memory.",
                &["cache", "tier", "event"],
            ),
            tier_up: make.gauges(
                "sheave_cache_tier_up",
                "Whether a tier beside memory can be used.",
                &tier,
            ),
            tier_objects: make.gauges("sheave_cache_tier_objects", "Responses on disk.", &tier),
            tier_bytes: make.gauges("sheave_cache_tier_bytes", "Bytes that they take.", &tier),
        }
    }
}
