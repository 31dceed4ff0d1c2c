//! What is told of the exports to a collector.
//!
//! Owns: their counters. May touch: nothing outside this room. The exporter counts.

use super::maker::Maker;
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec};

/// The counters of exports.
pub struct OtlpMetrics {
    /// `sheave_otlp_exports_total`.
    pub exports: IntCounterVec,
    /// `sheave_otlp_up`.
    pub up: IntGaugeVec,
    /// `sheave_otlp_exported_spans_total`.
    pub exported_spans: IntCounter,
    /// `sheave_otlp_dropped_spans_total`.
    pub dropped_spans: IntCounter,
    /// `sheave_otlp_dropped_points_total`.
    pub dropped_points: IntCounter,
}

impl OtlpMetrics {
    pub(super) fn new(make: &Maker) -> Self {
        Self {
            exports: make.counters(
                "sheave_otlp_exports_total",
                "Exports to the collector, by what became of them.",
                &["signal", "result"],
            ),
            up: make.gauges(
                "sheave_otlp_up",
                "0 while the collector can't be reached or asks to wait; exports are then sent again.",
                &["signal"],
            ),
            exported_spans: make
                .counter("sheave_otlp_exported_spans_total", "Spans that the collector took."),
            dropped_spans: make.counter(
                "sheave_otlp_dropped_spans_total",
                "Spans lost: no room in the buffer, or refused by the collector.",
            ),
            dropped_points: make.counter(
                "sheave_otlp_dropped_points_total",
                "Data points of metrics that the collector refused.",
            ),
        }
    }
}
