//! What is counted of an upstream and its servers.
//!
//! Owns: the counters of a config's upstreams, resolved once. May touch: nothing outside this room.
//! Made by [`super::metrics`].

use super::{
    durations::Durations,
    maker::{family, label},
    outcome::AttemptOutcome,
};
use prometheus::{
    IntCounter,
    core::{Collector, Desc},
    proto::{Metric, MetricFamily, MetricType},
};
use std::{
    collections::HashMap,
    iter::zip,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

const NAME: &str = "sheave_upstream_response_seconds";
const HELP: &str = "Time from an attempt's start to its response's head.";
const LABELS: [&str; 2] = ["upstream", "server"];

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
    /// From the start of an attempt to its response's head.
    pub(super) heads: Durations,
}

impl UpstreamMetrics {
    /// Counts an attempt at the member `index`.
    pub fn attempt(&self, index: usize, outcome: AttemptOutcome) {
        self.servers[index].attempts[outcome as usize].fetch_add(1, Relaxed);
    }

    /// The member `index` sent a response's head after this time.
    pub fn answered(&self, index: usize, after: Duration) {
        self.servers[index].heads.observe(after);
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

    /// How many attempts there were, and how many of them failed.
    pub(super) fn attempts(&self) -> (u64, u64) {
        let (mut all, mut failed) = (0, 0);
        for (outcome, (new, counter)) in
            zip(AttemptOutcome::ALL, zip(&self.attempts, &self.counters))
        {
            let count = new.load(Relaxed) + counter.get();
            all += count;
            failed += if outcome.is_failure() { count } else { 0 };
        }
        (all, failed)
    }
}

/// The servers of all upstreams, by upstream and address, for as long as the config has them.
#[derive(Clone)]
pub(super) struct ServerFamily(Arc<KnownServers>);

struct KnownServers {
    desc: Desc,
    by_name: Mutex<HashMap<[String; 2], Arc<ServerMetrics>>>,
}

impl ServerFamily {
    /// Starts without servers.
    pub(super) fn new() -> prometheus::Result<Self> {
        let labels = LABELS.map(str::to_owned).to_vec();
        let desc = Desc::new(NAME.to_owned(), HELP.to_owned(), labels, HashMap::new())?;
        Ok(Self(Arc::new(KnownServers { desc, by_name: Mutex::default() })))
    }

    /// All of them.
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<[String; 2], Arc<ServerMetrics>>> {
        self.0.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for ServerFamily {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let servers = self.lock();
        // A server that has never answered has no series.
        let answered = servers.iter().filter(|it| it.1.heads.sum() > 0);
        let metrics = answered.map(|(names, server)| {
            let labels = zip(LABELS, names.clone()).map(label).collect();
            let mut metric = Metric::from_label(labels);
            metric.set_histogram(server.heads.collect());
            metric
        });
        vec![family(NAME, HELP, MetricType::HISTOGRAM, metrics.collect())]
    }
}
