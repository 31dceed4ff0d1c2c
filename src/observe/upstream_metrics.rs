//! What is counted of an upstream and its servers.
//!
//! Owns: the counters of a config's upstreams, resolved once. May touch: nothing outside this room.
//! Made by [`super::metrics`].

use super::outcome::AttemptOutcome;
use prometheus::IntCounter;
use std::{
    iter::zip,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// An upstream's counters.
pub struct UpstreamMetrics {
    /// Attempts after a failed one.
    pub retries: IntCounter,
    pub(super) servers: Vec<Arc<ServerMetrics>>,
}

/// One server's counters. Attempts are counted in one array and copied to the registered counters
/// when the metrics are read: each of those is in another place in memory, which with many servers
/// is not in the processor's cache.
pub(super) struct ServerMetrics {
    pub(super) attempts: [AtomicU64; AttemptOutcome::ALL.len()],
    pub(super) counters: [IntCounter; AttemptOutcome::ALL.len()],
    pub(super) ejections: IntCounter,
}

impl UpstreamMetrics {
    /// Counts an attempt at the member `index`.
    pub fn attempt(&self, index: usize, outcome: AttemptOutcome) {
        self.servers[index].attempts[outcome as usize].fetch_add(1, Relaxed);
    }

    /// Counts an ejection of the member `index`.
    pub fn ejected(&self, index: usize) {
        self.servers[index].ejections.inc();
    }
}

impl ServerMetrics {
    /// Copies the counts to the registered counters.
    pub(super) fn publish(&self) {
        for (attempts, counter) in zip(&self.attempts, &self.counters) {
            counter.inc_by(attempts.swap(0, Relaxed));
        }
    }
}
