//! The metrics of the process's own health.
//!
//! Owns: those of the heap, of page faults, and of suspected leaks. May touch: nothing outside this
//! room. They are set when the metrics are read, except for the suspects.

use super::{
    figures::{Figures, Heap},
    leak::{Grower, Suspect},
    maker::Maker,
};
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// The metrics.
pub struct VitalMetrics {
    heap_committed: IntGauge,
    faults: IntCounterVec,
    leaks: IntGaugeVec,
}

impl VitalMetrics {
    pub(super) fn new(make: &Maker) -> Self {
        Self {
            heap_committed: make.gauge(
                "sheave_heap_committed_bytes",
                "Bytes that the allocator has from the system and has not given back.",
            ),
            faults: make.counters(
                "sheave_page_faults_total",
                "Page faults: without the disk (minor) and with it (major).",
                &["kind"],
            ),
            leaks: make.gauges(
                "sheave_leak_suspected",
                "What grows at equal load, by how much per minute: bytes, or a number.",
                &["what"],
            ),
        }
    }

    /// Sets them to these figures.
    pub fn set(&self, figures: &Figures, heap: &Heap) {
        self.heap_committed.set(heap.committed as i64);
        let set = |counter: IntCounter, to: u64| counter.inc_by(to.saturating_sub(counter.get()));
        set(self.faults.with_label_values(&["minor"]), figures.faults.0);
        set(self.faults.with_label_values(&["major"]), figures.faults.1);
    }

    /// This grows.
    pub fn suspect(&self, suspect: &Suspect) {
        let per_minute = suspect.per_minute.round() as i64;
        self.leaks.with_label_values(&[suspect.what.name()]).set(per_minute);
    }

    /// This no longer does.
    pub fn settle(&self, what: Grower) {
        let _ = self.leaks.remove_label_values(&[what.name()]);
    }
}
