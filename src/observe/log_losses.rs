//! Lines that the access log has lost.
//!
//! Owns: their count, and the time of the last warning. May touch: nothing outside this room. A
//! disk that hangs also blocks the writer, so the warning comes from the thread that loses the
//! line.

use prometheus::IntCounter;
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

/// Milliseconds between two warnings. `/health` is degraded for as long after a loss.
const WARN_EVERY: u64 = 60_000;

/// Counts lost lines, and warns of them.
pub struct Losses {
    /// `sheave_access_log_dropped_total`.
    counter: IntCounter,
    begun: Instant,
    /// Lines lost since the last warning.
    untold: AtomicU64,
    /// The time of the last warning: milliseconds since `begun`, plus one. 0 means never.
    told: AtomicU64,
    last: AtomicU64,
}

impl Losses {
    /// Starts with no lost lines.
    pub fn new(counter: IntCounter) -> Self {
        Self {
            counter,
            begun: Instant::now(),
            untold: AtomicU64::new(0),
            told: AtomicU64::new(0),
            last: AtomicU64::new(0),
        }
    }

    /// Counts lost lines; `why` is for people.
    pub fn add(&self, lines: u64, why: &str) {
        if lines == 0 {
            return;
        }
        self.counter.inc_by(lines);
        self.untold.fetch_add(lines, Relaxed);
        let now = self.now();
        self.last.store(now, Relaxed);
        let told = self.told.load(Relaxed);
        let due = told == 0 || now >= told + WARN_EVERY;
        // Only one of several threads warns.
        if due && self.told.compare_exchange(told, now, Relaxed, Relaxed).is_ok() {
            let (lost, total) = (self.untold.swap(0, Relaxed), self.counter.get());
            tracing::warn!(lost, total, "access log lines are lost: {why}");
        }
    }

    /// Whether lines were lost recently.
    pub fn are_recent(&self) -> bool {
        let last = self.last.load(Relaxed);
        last != 0 && self.now() < last + WARN_EVERY
    }

    fn now(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64 + 1
    }
}
