//! The metrics of the caches of responses.
//!
//! Owns: the metrics, which are set when they are read. May touch: nothing outside this room.

use super::maker::Maker;
use prometheus::{IntCounterVec, IntGaugeVec};

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
}

impl CacheMetrics {
    pub(super) fn new(make: &Maker) -> Self {
        let cache = ["cache"];
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
        }
    }
}
